//! What only the root's key can do. It runs here, and needs no server.

use super::super::root::{RootArgs, one_certificate, pem_of};
use super::super::words::{moment, word};
use crate::failure::{Failure, Outcome};
use crate::production::write_whole;
use crate::rest::{Call, Rest};
use crate::session::Session;
use api::path::{AUTHORITY_CRL, fill};
use api::{AuthorityRole, AuthorityState, AuthorityView, CrlInstall, Reason};
use ca::crl::{self, Revoked, Scope};
use ca::{Addresses, authority};
use clap::Args;
use hyper::Method;
use identity::authority::Role;
use identity::certificate::pem;
use identity::{Certificate, Csr, RealmName, SerialNumber};
use server::clock;
use std::path::{Path, PathBuf};

/// Sign an authority's request with the root's key, here and without a server; print the
/// certificate.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca sign --role operations --csr operations.csr --root-key /media/usb/root.key.age \\
      --public-url http://muster.example:8080 --out operations.pem")]
pub(crate) struct Sign {
    /// The request that `muster ca request` printed, PEM.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// What the authority shall sign.
    #[arg(long, value_parser = word!(AuthorityRole, except AuthorityRole::Root))]
    role: AuthorityRole,
    /// The server's public URL, for the addresses in the certificate [default: left out].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The realm, which stands in those addresses.
    #[arg(long, default_value = "default", value_parser = realm)]
    realm: RealmName,
    /// Where to write the certificate [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    root: RootArgs,
}

/// Sign the root's CRL with the root's key, and print it or give it to the server.
///
/// It lists the authorities that are not good any more, and holds for a year. It replaces the one
/// before: with --authorities (or --install, which asks the server) every barred one is named by
/// itself, and with --previous all that the list before names; otherwise name every authority that
/// was ever revoked, with --revoke. The server refuses a list that leaves one of them out.
///
/// Its number is the second of signing, or one more than that of the list before where that is
/// greater: --authorities and --install know it, otherwise name that list with --previous.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca crl --root --install
  muster ca crl --root --authorities authorities.json --root-key /media/usb/root.key.age \\
      --root-certificate root.pem --out root.crl
  muster ca crl --root --revoke old-operations.pem=superseded --out root.crl")]
pub(crate) struct RootCrl {
    /// Of the root; the server signs all other lists by itself.
    #[arg(long = "root", required = true)]
    _root: bool,
    /// The authorities as `muster ca list --json` told them: those that are barred are listed.
    #[arg(long, value_name = "FILE", conflicts_with = "install")]
    authorities: Option<PathBuf>,
    /// An authority that is not good any more, and why; may be said again.
    #[arg(long, value_name = "FILE[=REASON]")]
    revoke: Vec<String>,
    /// The list before this one, PEM or DER, as /crl/… shows it: this one has all that it names, and
    /// a number above its.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// How many days it holds.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=3660))]
    days: u16,
    /// Where to write it, PEM [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Give it to the server, which publishes it.
    #[arg(long)]
    install: bool,
    #[command(flatten)]
    root: RootArgs,
}

fn realm(text: &str) -> Result<RealmName, String> {
    RealmName::parse(text).ok_or_else(|| format!("`{text}` is no name of a realm"))
}

/// Signs a request.
pub(super) fn sign(typed: &Sign, session: &Session) -> Outcome {
    let role = Role::parse(typed.role.as_str()).filter(|r| *r != Role::Root);
    let role = role.ok_or_else(|| {
        Failure::usage("the root signs birth, operations and service authorities, and no root")
    })?;
    let text = pem_of(&typed.csr, "CERTIFICATE REQUEST")?;
    let csr = Csr::parse_pem(&text)
        .map_err(|d| Failure::new(format!("`{}`: {}", typed.csr.display(), d.sentence)))?;
    for_its_role(&csr, role)?;
    let root = typed.root.open(session)?;
    let addresses = Addresses { public_url: typed.public_url.clone(), realm: typed.realm.clone() };
    if addresses.public_url.is_none() {
        session.remark(
            "note: without --public-url the certificate says nowhere where the root's CRL is",
        );
    }
    let order = authority::Order { csr: &csr, role, addresses: &addresses };
    let signed =
        clock::outside(|outside| authority::sign(&root.certificate, &root.key, order, outside));
    let signed = signed.map_err(Failure::new)?;
    session.remark(&format!("next: muster ca install --role {role} --certificate FILE"));
    let said = serde_json::json!({ "role": role.as_str(), "certificate": signed.pem() });
    deliver(&signed.pem(), typed.out.as_ref(), &said, session)
}

/// A request tells what its key was made for.
fn for_its_role(csr: &Csr, role: Role) -> Outcome {
    match authority::asked_role(csr) {
        Some(asked) if asked != role => {
            let what = format!("the request was made for the role `{asked}`, and not for `{role}`");
            Err(Failure::new(what).next(format!("say `--role {asked}`, or take the other request")))
        }
        _ => Ok(()),
    }
}

/// Signs the root's list.
pub(super) async fn crl(typed: RootCrl, session: &Session) -> Outcome {
    let mut entries: Vec<Revoked> =
        typed.revoke.iter().map(|r| revoked(r)).collect::<Outcome<_>>()?;
    let rest = if typed.install { Some(session.rest()?) } else { None };
    let known = match (&rest, &typed.authorities) {
        (Some(rest), _) => super::all(rest).await?,
        (None, Some(path)) => read_authorities(path)?,
        (None, None) => Vec::new(),
    };
    let root = typed.root.open(session)?;
    add_barred(&known, &root.certificate, &mut entries)?;
    let previous = typed.previous.as_deref().map(previous).transpose()?;
    add_listed(previous.as_ref(), &mut entries)?;
    let this_update = clock::now();
    let next_update = this_update.plus_secs(u64::from(typed.days) * 86_400);
    let before = before(previous.map(|p| p.number), &known, &root.certificate);
    let number = crl::next_number(this_update, before);
    if let Some(note) = doubt(this_update.secs(), before) {
        session.remark(&note);
    }
    let list = crl::Crl { number, this_update, next_update, scope: Scope::Complete, entries };
    let der = crl::sign(&root.certificate, &root.key, list).map_err(Failure::new)?;
    let text = pem("X509 CRL", &der);
    if let Some(rest) = &rest {
        let id = root.certificate.subject_key_id();
        let id = id.ok_or_else(|| Failure::new("the root has no subject key identifier"))?;
        publish(id.to_string(), text.clone(), rest).await?;
        session.remark("the server publishes it now");
    }
    if typed.install && typed.out.is_none() && !session.json {
        return Ok(());
    }
    deliver(&text, typed.out.as_ref(), &serde_json::json!({ "crl": text }), session)
}

/// The greatest number of a list before this one, as far as it is known here.
fn before(said: Option<u64>, known: &[AuthorityView], root: &Certificate) -> Option<u64> {
    let id = root.subject_key_id().map(|id| id.to_string());
    let shown = known.iter().filter(|row| Some(&row.id) == id.as_ref());
    shown.filter_map(|row| row.crl_number).max().max(said)
}

/// A list that was shown before the one that is signed now.
struct Previous {
    number: u64,
    listed: Vec<crl::Listed>,
}

fn previous(path: &Path) -> Outcome<Previous> {
    let octets = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    let body = std::str::from_utf8(&octets).ok().filter(|text| text.contains("-----BEGIN"));
    let body =
        body.map(|text| text.lines().filter(|l| !l.starts_with("-----")).collect::<String>());
    let der = match body {
        Some(body) => identity::text::from_base64(body.as_bytes()).unwrap_or_default(),
        None => octets,
    };
    let read = crl::number(&der).zip(crl::entries(&der));
    let (number, listed) = read.ok_or_else(|| {
        Failure::new(format!("`{}` is no CRL with a number, in PEM or DER", path.display()))
            .next("fetch it from the server: /crl/REALM/ISSUER.crl at its public port")
    })?;
    Ok(Previous { number, listed })
}

/// What the list before named stays revoked.
fn add_listed(previous: Option<&Previous>, entries: &mut Vec<Revoked>) -> Outcome {
    for listed in previous.iter().flat_map(|previous| &previous.listed) {
        let serial = SerialNumber::from_integer(&listed.serial).ok_or_else(|| {
            let serial = identity::text::hex(&listed.serial);
            unlistable(&format!("the list before names the serial number {serial}"))
        })?;
        if !entries.iter().any(|entry| entry.serial == serial) {
            entries.push(Revoked { serial, at: listed.at, reason: listed.reason });
        }
    }
    Ok(())
}

/// What a person should know of the number of the new list.
fn doubt(now_s: u64, before: Option<u64>) -> Option<String> {
    match before {
        None => Some(format!(
            "note: the list before this one is not known here, so its number is the second of \
             signing, {now_s}; where a list with a greater number is shown, this one is refused: \
             name it with --previous, or take --authorities or --install"
        )),
        Some(before) if before > now_s => Some(format!(
            "note: the list before this one has the number {before}, which the clock here has not \
             reached: look whether it is right; this list has the next number"
        )),
        Some(_) => None,
    }
}

/// Gives the list of authority `id` to the server.
pub(super) async fn publish(id: String, crl: String, rest: &Rest) -> Outcome<AuthorityView> {
    let call = Call::new(Method::PUT, fill(AUTHORITY_CRL, &[&id])).json(&CrlInstall { crl })?;
    rest.send(call).await?.value()
}

pub(super) fn read_authorities(path: &Path) -> Outcome<Vec<AuthorityView>> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    serde_json::from_str(&text).map_err(|e| {
        Failure::new(format!("`{}` is no list of authorities: {e}", path.display()))
            .next("`muster ca list --json` prints one")
    })
}

/// A list replaces the one before: an authority that is left out of it is good again for everybody.
fn add_barred(known: &[AuthorityView], root: &Certificate, entries: &mut Vec<Revoked>) -> Outcome {
    for row in known.iter().filter(|row| row.state == AuthorityState::Barred) {
        let mut certificates = Vec::new();
        for pem in [&row.pem].into_iter().chain(&row.earlier) {
            certificates
                .extend(Certificate::parse_pem(pem, 1).map_err(|d| Failure::new(d.sentence))?);
        }
        for certificate in certificates.iter().filter(|c| c.signed_by(root).is_ok()) {
            let serial = certificate.number().ok_or_else(|| {
                let (role, id) = (row.role, &row.id);
                unlistable(&format!(
                    "the {role} authority `{id}`, which is barred, has a serial number"
                ))
            })?;
            if !entries.iter().any(|entry| entry.serial == serial) {
                entries.push(barred(row, serial));
            }
        }
    }
    Ok(())
}

/// A list without somebody who has to stand in it would make him good again, so there is none.
fn unlistable(what: &str) -> Failure {
    Failure::new(format!(
        "{what} that is negative or longer than 20 octets: no list can name it (RFC 5280 section \
         4.1.2.2)"
    ))
    .next("make a new root, which leaves it out (`muster ca roll root`), and retire the old one")
}

fn barred(row: &AuthorityView, serial: SerialNumber) -> Revoked {
    let said = row.barred.as_ref();
    let reason = said.and_then(|b| identity::Reason::parse(b.reason.as_str()));
    let at = said.and_then(|b| moment(&b.at)).unwrap_or_else(clock::now);
    Revoked { serial, at, reason: reason.unwrap_or(identity::Reason::Unspecified) }
}

fn revoked(said: &str) -> Outcome<Revoked> {
    let (path, reason) = said.rsplit_once('=').unwrap_or((said, Reason::Unspecified.as_str()));
    let reason = identity::Reason::parse(reason).ok_or_else(|| {
        Failure::usage(format!("`{reason}` is no reason to revoke"))
            .next("take superseded, keyCompromise, cessationOfOperation or unspecified")
    })?;
    let certificate = one_certificate(path.as_ref())?;
    let serial = certificate
        .number()
        .ok_or_else(|| unlistable(&format!("the certificate in `{path}` has a serial number")))?;
    Ok(Revoked { serial, at: clock::now(), reason })
}

fn deliver(
    text: &str,
    out: Option<&PathBuf>,
    said: &serde_json::Value,
    session: &Session,
) -> Outcome {
    if let Some(path) = out {
        write_whole(path, text.as_bytes())?;
    }
    if out.is_some() && !session.json {
        return Ok(());
    }
    session.show(said, |_, _| text.to_owned())
}

#[cfg(test)]
mod tests;
