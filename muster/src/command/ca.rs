//! Authorities: what signs in this realm, and what the root signs offline.

mod offline;

use super::words::word;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Call, Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{AUTHORITIES, AUTHORITY, AUTHORITY_REQUESTS, fill};
use api::{
    AuthorityCsr, AuthorityInstall, AuthorityRequest, AuthorityRole, AuthorityState,
    AuthorityStateRequest, AuthorityView, KeyKind,
};
use clap::{Args, Subcommand};
use hyper::Method;
use std::path::PathBuf;

/// Authorities: list and look at them, export their certificates, make a new one with the root.
///
/// A new authority takes three steps, since the root's key is nowhere near the server: `ca request`
/// makes the key on the server and prints its request, `ca sign` signs it where the root's key is,
/// `ca install` brings the certificate back.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    List(List),
    Show(Show),
    Export(Export),
    Request(Request),
    Sign(offline::Sign),
    Install(Install),
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

/// Install what the root signed: an authority's certificate, which signs from then on, or the
/// root's CRL, which is published.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca install --role operations --certificate operations.pem
  muster ca install --crl root.crl")]
pub(crate) struct Install {
    /// The certificate, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "crl", requires = "role")]
    certificate: Option<PathBuf>,
    /// What it signs.
    #[arg(long, requires = "certificate")]
    #[arg(value_parser = word!(AuthorityRole, except AuthorityRole::Root))]
    role: Option<AuthorityRole>,
    /// The root's CRL, PEM, as `muster ca crl --root --out` wrote it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "role"])]
    crl: Option<PathBuf>,
}

/// Change whether an authority signs: `retiring` signs no more certificates, `barred` ends at once
/// everything that it signed.
///
/// The root's CRL says so to everybody else, and follows by hand: `muster ca crl --root`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ca state 5f0c9a retiring")]
pub(crate) struct State {
    /// Its id, the first digits of it, or its role if only one active has it.
    #[arg(value_name = "AUTHORITY")]
    id: String,
    /// How it shall stand.
    #[arg(value_parser = word!(AuthorityState))]
    state: AuthorityState,
}

/// Does what was typed.
pub(super) async fn run(typed: Ca, session: &Session) -> Outcome {
    match typed {
        Ca::Sign(sign) => offline::sign(&sign, session),
        Ca::Crl(crl) => offline::crl(crl, session).await,
        other => ask(other, &session.rest()?, session).await,
    }
}

async fn ask(typed: Ca, rest: &Rest, session: &Session) -> Outcome {
    match typed {
        Ca::List(List {}) => session.show(&all(rest).await?, |rows, paint| table(rows, paint)),
        Ca::Show(Show { id }) => session.show(&find(rest, &id).await?, sheet),
        Ca::Export(Export { root }) => export(rest, root, session).await,
        Ca::Request(Request { role, key_kind }) => {
            let request = AuthorityRequest { role, key_kind: Some(key_kind) };
            let made: AuthorityCsr = rest.post(AUTHORITY_REQUESTS, &request).await?;
            session.remark(&format!(
                "next: muster ca sign --role {role} --csr FILE, where the root's key is"
            ));
            session.show(&made, |made, _| made.csr.clone())
        }
        Ca::Install(install) => self::install(install, rest, session).await,
        Ca::State(State { id, state }) => {
            let id = find(rest, &id).await?.id;
            let call = Call::new(Method::PATCH, fill(AUTHORITY, &[&id]));
            let call = call.json(&AuthorityStateRequest { state })?;
            let done: AuthorityView = rest.send(call).await?.value()?;
            session.show(&done, facts)
        }
        // They need no server, and were done.
        Ca::Sign(_) | Ca::Crl(_) => Ok(()),
    }
}

async fn install(typed: Install, rest: &Rest, session: &Session) -> Outcome {
    if let Some(path) = typed.crl {
        let crl = std::fs::read_to_string(&path).map_err(|e| Failure::file("read", &path, &e))?;
        let done = offline::publish(find(rest, "root").await?.id, crl, rest).await?;
        return session.show(&done, |_, _| "the server publishes it now".to_owned());
    }
    // One of the two is there, and each demands the other.
    let (Some(path), Some(role)) = (typed.certificate, typed.role) else { return Ok(()) };
    let certificate = super::root::one_certificate(&path)?.pem();
    let request = AuthorityInstall { certificate, role };
    let done: AuthorityView = rest.post(AUTHORITIES, &request).await?;
    session.show(&done, facts)
}

async fn all(rest: &Rest) -> Outcome<Vec<AuthorityView>> {
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
        .filter(|row| row.state != AuthorityState::Barred)
        .collect();
    session.show(&wanted, |rows, _| rows.iter().map(|row| row.pem.as_str()).collect())
}

fn table(rows: &[AuthorityView], paint: Paint) -> String {
    let mut table = Table::new(&["ID", "ROLE", "STATE", "KEY", "ENDS", "SUBJECT"]);
    for row in rows {
        table.row([
            row.id.clone(),
            row.role.to_string(),
            row.state.to_string(),
            row.key_kind.to_string(),
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
        ],
    )
}
