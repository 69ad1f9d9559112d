//! The realm and its settings.

use super::words::seconds;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{REALM, SETTINGS};
use api::{RealmView, SettingRequest};
use clap::{Args, Subcommand};
use server::settings::{KNOWN, check};

/// The realm: what it is, and its settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Realm {
    Show(Show),
    Set(Set),
}

/// Show the realm: its name, its root's pin, its addresses and its settings.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster realm show")]
pub(crate) struct Show {}

/// Change a setting, for the realm or for one group; `--default` takes it back.
#[derive(Debug, Args)]
#[command(long_about = every_setting(), after_help = "Example:
  muster realm set overlap_s 48h
  muster realm set hw_type 1.3.6.1.4.1.99999.1
  muster realm set renew_grace_s --default --group pumps
  muster realm set clone alarm --group ward")]
pub(crate) struct Set {
    /// The setting.
    key: String,
    /// Its value.
    #[arg(required_unless_present = "default", conflicts_with = "default")]
    value: Option<String>,
    /// Only for devices of this group.
    #[arg(long)]
    group: Option<String>,
    /// Take it back to its default.
    #[arg(long)]
    default: bool,
}

/// The manual of `realm set`: every setting that the server knows, in its words.
fn every_setting() -> String {
    let mut text = "Change a setting, for the realm or for one group; `--default` takes it back.\n\n\
        Times may be typed as 90s, 15m, 12h, 30d. The settings, in brackets what holds without them; \
        those with a star may have a value for each group:\n"
        .to_owned();
    for known in KNOWN {
        let star = if known.by_group { "*" } else { "" };
        text.push_str(&format!("\n{}{star}: {}", known.key, known.meaning));
    }
    text
}

/// Does what was typed.
pub(super) async fn run(typed: Realm, session: &Session) -> Outcome {
    let wanted = match typed {
        Realm::Show(Show {}) => None,
        Realm::Set(set) => Some(wanted(set)?),
    };
    let rest = session.rest()?;
    if let Some(request) = wanted {
        rest.put::<_, serde::de::IgnoredAny>(SETTINGS, &request).await?;
    }
    let realm: RealmView = rest.get(REALM).await?;
    session.show(&realm, sheet)
}

fn wanted(typed: Set) -> Outcome<SettingRequest> {
    let Set { key, value, group, default: _ } = typed;
    // What counts seconds may be typed as people count.
    let counted = value.as_deref().filter(|_| key.ends_with("_s")).map(seconds);
    let value = counted.and_then(Result::ok).map(|s| s.to_string()).or(value);
    if let Some(value) = &value {
        check(&key, value, group.is_some()).map_err(Failure::usage)?;
    }
    Ok(SettingRequest { key, group, value })
}

fn sheet(realm: &RealmView, paint: Paint) -> String {
    let left_out = || "none: addresses are left out of certificates".to_owned();
    let all = members(
        paint,
        [
            ("name", Some(realm.name.clone())),
            ("id", Some(realm.id.clone())),
            ("founded", Some(realm.founded.clone())),
            ("ledger", Some(realm.origin.clone())),
            ("root pin", realm.root_pin.clone()),
            ("public url", Some(realm.public_url.clone().unwrap_or_else(left_out))),
        ],
    );
    let mut table = Table::new(&["SETTING", "VALUE", "GROUP"]);
    let of_realm = |key: &str| realm.settings.iter().any(|s| s.key == key && s.group.is_none());
    for known in KNOWN.iter().filter(|known| !of_realm(known.key)) {
        table.row([known.key.to_owned(), format!("(default: {})", known.default()), String::new()]);
    }
    for setting in &realm.settings {
        let group = setting.group.clone().unwrap_or_default();
        table.row([setting.key.clone(), setting.value.clone(), group]);
    }
    format!("{all}\n\n{}", table.print(paint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Color;
    use api::SettingView;
    use clap::Command;

    #[test]
    fn a_realm_shows_what_is_set_and_what_holds_without_being_set() {
        let set = |group: Option<&str>| SettingView {
            key: "overlap_s".to_owned(),
            group: group.map(str::to_owned),
            value: "7200".to_owned(),
        };
        let mut realm = RealmView {
            name: "default".to_owned(),
            id: String::new(),
            origin: String::new(),
            founded: String::new(),
            root_pin: None,
            public_url: None,
            settings: vec![set(Some("pumps"))],
        };
        let shown = sheet(&realm, Paint::decide(Color::Never, false));
        assert!(shown.contains("(default: 86400)") && shown.contains("7200"), "{shown}");
        assert!(KNOWN.iter().all(|known| shown.contains(known.key)), "{shown}");
        realm.settings.push(set(None));
        let shown = sheet(&realm, Paint::decide(Color::Never, false));
        assert!(!shown.contains("(default: 86400)"), "{shown}");
    }

    #[test]
    fn a_setting_that_does_not_exist_or_fit_is_wrong_usage() {
        let typed = |key: &str, value: Option<&str>, group: Option<&str>| {
            let said = |text: &str| text.to_owned();
            wanted(Set {
                key: said(key),
                value: value.map(said),
                group: group.map(said),
                default: false,
            })
        };
        assert_eq!(
            typed("overlap_s", Some("2h"), Some("pumps")).unwrap().value,
            Some("7200".into())
        );
        assert_eq!(typed("overlap_s", None, None).unwrap().value, None);
        assert!(typed("nosuch", Some("1"), None).is_err());
        assert!(typed("overlap_s", Some("soon"), None).is_err());
        assert!(typed("witness_quorum", Some("2"), Some("pumps")).is_err());
    }

    #[test]
    fn the_manual_of_realm_set_has_every_setting_that_the_server_knows() {
        let help = Set::augment_args(Command::new("set")).render_long_help().to_string();
        for known in KNOWN {
            assert!(help.contains(known.key), "{} is missing: {help}", known.key);
        }
    }
}
