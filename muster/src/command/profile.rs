//! Certificate profiles: the shape of the leaves that a door gives.

use super::words::{seconds, word};
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Call, Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{PROFILE, PROFILES, fill};
use api::{KeyKind, ProfileRequest, ProfileView};
use clap::{Args, Subcommand};
use hyper::Method;

/// Certificate profiles: the shape of the leaves that a door gives.
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    List(List),
    Show(Show),
    Set(Set),
}

/// List the profiles.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster profile list")]
pub(crate) struct List {}

/// Show one profile.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster profile show standard")]
pub(crate) struct Show {
    /// The profile.
    name: String,
}

/// Make a profile, or change one: what is not said stays as it is.
///
/// It holds for leaves that are issued from now on.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  muster profile set standard --lifetime 7d --key p256 --key p384"
)]
pub(crate) struct Set {
    /// The profile.
    name: String,
    /// How long a leaf is good: 12h, 30d; 5 minutes to 5 years.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    lifetime: Option<u64>,
    /// A kind of key that a leaf may have; may be said again, and replaces all.
    #[arg(long, value_name = "KIND", value_parser = word!(KeyKind))]
    key: Vec<KeyKind>,
    /// The organization (O) in the subject; empty takes it away.
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// A further extended key usage as dotted OID; may be said again, and replaces all.
    #[arg(long, value_name = "OID")]
    usage: Vec<String>,
    /// Whether the server may make the device's key, which lowers its assurance.
    #[arg(long, value_name = "YES")]
    server_key: Option<bool>,
}

/// Does what was typed.
pub(super) async fn run(typed: Profile, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Profile::List(List {}) => {
            let rows: Vec<ProfileView> = rest.list(PROFILES, &Query::default(), None).await?;
            session.show(&rows, |rows, paint| table(rows, paint))
        }
        Profile::Show(Show { name }) => {
            let profile: ProfileView = rest.get(fill(PROFILE, &[&name])).await?;
            session.show(&profile, sheet)
        }
        Profile::Set(set) => {
            let profile = self::set(set, &rest).await?;
            session.show(&profile, sheet)
        }
    }
}

async fn set(typed: Set, rest: &Rest) -> Outcome<ProfileView> {
    let path = fill(PROFILE, &[&typed.name]);
    let (before, tag) = match rest.get_tagged::<ProfileView>(path.as_str()).await {
        Ok((found, tag)) => (from(found), tag),
        Err(failure) if failure.is_absent() => (fresh()?, None),
        Err(failure) => return Err(failure),
    };
    let call = Call::new(Method::PUT, path).json(&merge(before, typed))?.if_match(tag);
    rest.send(call).await?.value()
}

/// What the contract gives a profile of which nothing is said.
fn fresh() -> Outcome<ProfileRequest> {
    serde_json::from_str("{}").map_err(Failure::new)
}

fn from(found: ProfileView) -> ProfileRequest {
    let ProfileView { lifetime_s, keys, organization, usages, server_key, .. } = found;
    ProfileRequest { lifetime_s, keys, organization, usages, server_key }
}

fn merge(before: ProfileRequest, typed: Set) -> ProfileRequest {
    let organization = match typed.organization {
        Some(said) => Some(said).filter(|o| !o.is_empty()),
        None => before.organization,
    };
    ProfileRequest {
        lifetime_s: typed.lifetime.unwrap_or(before.lifetime_s),
        keys: if typed.key.is_empty() { before.keys } else { typed.key },
        organization,
        usages: if typed.usage.is_empty() { before.usages } else { typed.usage },
        server_key: typed.server_key.unwrap_or(before.server_key),
    }
}

fn words(keys: &[KeyKind]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[ProfileView], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "LIFETIME", "KEYS", "ORGANIZATION", "USAGES"]);
    for profile in rows {
        table.row([
            profile.name.clone(),
            lifetime(profile.lifetime_s),
            words(&profile.keys),
            profile.organization.clone().unwrap_or_default(),
            profile.usages.join(","),
        ]);
    }
    table.print(paint)
}

fn lifetime(s: u64) -> String {
    match s {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn sheet(profile: &ProfileView, paint: Paint) -> String {
    members(
        paint,
        [
            ("name", Some(profile.name.clone())),
            ("lifetime", Some(lifetime(profile.lifetime_s))),
            ("keys", Some(words(&profile.keys))),
            ("organization", profile.organization.clone()),
            ("usages", Some(profile.usages.join(", "))),
            ("server key", Some(if profile.server_key { "allowed" } else { "no" }.to_owned())),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let mut before = fresh().unwrap();
        before.organization = Some("ACME".to_owned());
        let set = |organization: Option<&str>| Set {
            name: "standard".to_owned(),
            lifetime: Some(3600),
            key: Vec::new(),
            organization: organization.map(str::to_owned),
            usage: Vec::new(),
            server_key: None,
        };
        let after = merge(before.clone(), set(None));
        assert_eq!(after.lifetime_s, 3600);
        assert_eq!(after.organization.as_deref(), Some("ACME"));
        assert_eq!(after.keys, before.keys);
        assert_eq!(merge(before, set(Some(""))).organization, None);
    }
}
