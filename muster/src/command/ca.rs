//! Authorities: what signs in this realm, and what the root signs offline.

mod install;
mod offline;
mod revoke;
mod roll;
mod root;

pub(crate) use roll::follow;

use super::words::{until, word};
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Call, Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{AUTHORITIES, AUTHORITY, fill};
use api::{
    AuthorityRequest, AuthorityRole, AuthorityState, AuthorityStateRequest, AuthorityView, KeyKind,
};
use clap::{Args, Subcommand};
use hyper::Method;

/// Authorities: list and look at them, roll one over to its successor, bar one at once.
///
/// A new authority takes three steps, since the root's key is nowhere near the server: `ca roll`
/// makes the key on the server and prints its request, `ca sign` signs it where the root's key is,
/// `ca install` brings the certificate back and begins the overlap. `ca roll --root-key FILE` does
/// all three.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    List(List),
    Show(Show),
    Export(Export),
    Roll(roll::Roll),
    Request(Request),
    Sign(offline::Sign),
    Install(install::Install),
    Revoke(revoke::Revoke),
    State(State),
    Crl(offline::RootCrl),
}

/// List the authorities of the realm, the root first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ca list")]
pub(crate) struct List {}

/// Show one authority, with its PEM.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ca show birth")]
pub(crate) struct Show {
    /// Its id, the first digits of it, or its role if only one active has it.
    #[arg(value_name = "AUTHORITY")]
    id: String,
}

/// Print certificates of authorities in PEM: all below the root, or with --root the root alone.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca export --root > root.pem
  muster ca export > authorities.pem")]
pub(crate) struct Export {
    /// The root alone: what verifiers believe.
    #[arg(long)]
    root: bool,
    /// With --root, also older roots that still count, and what leads from one to the other.
    #[arg(long, requires = "root")]
    all: bool,
}

/// Make a key for a new authority on the server, and print its request for the root.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ca request --role operations > operations.csr")]
pub(crate) struct Request {
    /// What it shall sign.
    #[arg(long, value_parser = word!(AuthorityRole, except AuthorityRole::Root))]
    role: AuthorityRole,
    /// The kind of its key.
    #[arg(long, value_name = "KIND", default_value = "p256",
        value_parser = word!(KeyKind, except KeyKind::Rsa))]
    key_kind: KeyKind,
}

/// Change whether an authority signs: `retiring` signs no more certificates and counts until its
/// date, `retired` ends that overlap now, `active` takes a retiring one back.
///
/// One whose key may be known to others is barred: `muster ca revoke`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca state 5f0c9a retiring --until 30d
  muster ca state 5f0c9a retired")]
pub(crate) struct State {
    /// Its id, the first digits of it, or its role if only one active has it.
    #[arg(value_name = "AUTHORITY")]
    id: String,
    /// How it shall stand.
    #[arg(value_parser = word!(AuthorityState, except AuthorityState::Barred))]
    state: AuthorityState,
    /// When a retiring one retires: a length of time like 30d, or a day like 2027-03-31.
    #[arg(long, value_name = "WHEN", value_parser = until)]
    until: Option<u64>,
}

/// Does what was typed.
pub(super) async fn run(typed: Ca, session: &Session) -> Outcome {
    match typed {
        Ca::Sign(sign) => offline::sign(&sign, session),
        Ca::Crl(crl) => offline::crl(crl, session).await,
        Ca::Roll(typed) if typed.is_root() => root::roll(typed, session).await,
        other => ask(other, &session.rest()?, session).await,
    }
}

async fn ask(typed: Ca, rest: &Rest, session: &Session) -> Outcome {
    match typed {
        Ca::List(List {}) => {
            session.show(&all(rest).await?, |rows, paint| table(rows, paint))?;
            for open in roll::open(rest).await? {
                session.remark(&format!(
                    "open since {}: a request for a new {} authority; `muster ca roll {1} --again` \
                     prints it",
                    open.made, open.role
                ));
            }
            Ok(())
        }
        Ca::Show(Show { id }) => session.show(&find(rest, &id).await?, sheet),
        Ca::Export(Export { root: true, all: true }) => root::export(rest, session).await,
        Ca::Export(Export { root, .. }) => export(rest, root, session).await,
        Ca::Roll(roll) => roll::roll(roll, rest, session).await,
        Ca::Request(Request { role, key_kind }) => {
            let request = AuthorityRequest { role, key_kind: Some(key_kind), in_overlap: false };
            roll::ask(&request, rest, session).await
        }
        Ca::Install(install) => install::install(install, rest, session).await,
        Ca::Revoke(revoke) => revoke::revoke(revoke, rest, session).await,
        Ca::State(State { id, state, until }) => {
            let id = find(rest, &id).await?.id;
            let call = Call::new(Method::PATCH, fill(AUTHORITY, &[&id]));
            let call = call.json(&AuthorityStateRequest { state, overlap_s: until })?;
            let done: AuthorityView = rest.send(call).await?.value()?;
            session.show(&done, facts)
        }
        // They need no server, and were done.
        Ca::Sign(_) | Ca::Crl(_) => Ok(()),
    }
}

/// The authorities of the realm, the root first.
pub(crate) async fn all(rest: &Rest) -> Outcome<Vec<AuthorityView>> {
    let mut rows: Vec<AuthorityView> = rest.list(AUTHORITIES, &Query::default(), None).await?;
    rows.sort_by(|a, b| a.role.cmp(&b.role).then_with(|| a.not_before.cmp(&b.not_before)));
    Ok(rows)
}

/// An authority as a person names it.
async fn find(rest: &Rest, named: &str) -> Outcome<AuthorityView> {
    let rows = all(rest).await?;
    let role: Option<AuthorityRole> = named.parse().ok();
    let fits = |row: &AuthorityView| match role {
        Some(role) => row.role == role && row.state == AuthorityState::Active,
        None => named.len() >= 6 && row.id.starts_with(&named.to_ascii_lowercase()),
    };
    let mut fitting = rows.into_iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::new(format!("no authority `{named}`"))
            .next("`muster ca list` has their ids; six digits are enough")),
        (Some(_), Some(_)) => Err(Failure::new(format!("`{named}` fits several authorities"))
            .next("`muster ca list` has their ids; give more digits")),
    }
}

async fn export(rest: &Rest, root: bool, session: &Session) -> Outcome {
    let rows = all(rest).await?;
    let wanted: Vec<AuthorityView> = rows
        .into_iter()
        .filter(|row| (row.role == AuthorityRole::Root) == root)
        .filter(|row| match root {
            true => row.state == AuthorityState::Active,
            false => matches!(row.state, AuthorityState::Active | AuthorityState::Retiring),
        })
        .collect();
    session.show(&wanted, |rows, _| rows.iter().map(|row| row.pem.as_str()).collect())
}

fn table(rows: &[AuthorityView], paint: Paint) -> String {
    let mut table =
        Table::new(&["ID", "ROLE", "STATE", "KEY", "LEAVES", "RETIRES", "ENDS", "SUBJECT"]);
    for row in rows {
        table.row([
            row.id.clone(),
            row.role.to_string(),
            row.state.to_string(),
            row.key_kind.to_string(),
            row.leaves.map(|n| n.to_string()).unwrap_or_default(),
            row.retires.clone().unwrap_or_default(),
            row.not_after.clone(),
            row.subject.clone(),
        ]);
    }
    table.print(paint)
}

fn sheet(row: &AuthorityView, paint: Paint) -> String {
    format!("{}\n\n{}", facts(row, paint), row.pem)
}

fn facts(row: &AuthorityView, paint: Paint) -> String {
    members(
        paint,
        [
            ("id", Some(row.id.clone())),
            ("role", Some(row.role.to_string())),
            ("state", Some(row.state.to_string())),
            ("subject", Some(row.subject.clone())),
            ("key", Some(row.key_kind.to_string())),
            ("good from", Some(row.not_before.clone())),
            ("ends", Some(row.not_after.clone())),
            ("retires", row.retires.clone()),
            ("leaves left", row.leaves.map(|n| n.to_string())),
            ("barred", row.barred.as_ref().map(|b| format!("{}, {}", b.at, b.reason))),
            ("key destroyed", row.wiped.clone()),
        ],
    )
}
