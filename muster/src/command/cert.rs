//! Certificates that devices were given.

use super::words::{certificate, device, word};
use crate::failure::Outcome;
use crate::output::{Paint, plain};
use crate::rest::Query;
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{
    CERTIFICATE, CERTIFICATE_RELEASE, CERTIFICATE_REVOKE, CERTIFICATES, DEVICE_CERTIFICATES, fill,
};
use api::{
    CertificateState, CertificateView, Reason, ReleaseResult, RevocationRequest, RevocationResult,
};
use clap::{Args, Subcommand};

/// Certificates that devices were given: list, look at, revoke, take off hold.
///
/// A certificate is named as `cert:HEX` (or just HEX), its serial number, or as `spki:HEX`, the
/// SHA-256 of its public key, which is the newest with that key. HEX may have colons.
#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    List(List),
    Show(Show),
    Revoke(Revoke),
    Release(Release),
}

/// List certificates, all or those of one device.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster cert list --device serial:P7-000123")]
pub(crate) struct List {
    /// Only those of this device, newest first.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    device: Option<String>,
    /// At most so many [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Show one certificate, with its PEM.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster cert show cert:0190a5b27c3d0123456789abcdef0123
  muster cert show 0190a5b27c3d0123456789abcdef0123 --pem > leaf.pem")]
pub(crate) struct Show {
    /// The certificate.
    #[arg(value_name = "CERTIFICATE", value_parser = certificate)]
    name: String,
    /// Print the PEM alone.
    #[arg(long, conflicts_with = "json")]
    pem: bool,
}

/// Revoke a certificate, and every certificate of the same key; they are listed.
///
/// The reasons are those of RFC 5280. `certificateHold` can be lifted with `cert release`; every
/// other is final. `keyCompromise` keeps the key out for good. To cut a whole device off, suspend or
/// retire it instead.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster cert revoke cert:0190a5b27c3d0123456789abcdef0123 --reason keyCompromise
  muster cert revoke cert:0190a5b27c3d0123456789abcdef0123 --reason certificateHold")]
pub(crate) struct Revoke {
    /// The certificate.
    #[arg(value_name = "CERTIFICATE", value_parser = certificate)]
    name: String,
    /// Why; `keyCompromise` also keeps the key out for good.
    #[arg(long, default_value = "unspecified", value_parser = word!(Reason))]
    reason: Reason,
}

/// Take a certificate off hold, and every leaf of the same key; they are listed.
///
/// Only a hold of `cert revoke --reason certificateHold` is lifted here. The hold of a suspended
/// device is lifted by `device resume`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster cert release cert:0190a5b27c3d0123456789abcdef0123")]
pub(crate) struct Release {
    /// The certificate.
    #[arg(value_name = "CERTIFICATE", value_parser = certificate)]
    name: String,
}

/// Does what was typed.
pub(super) async fn run(typed: Cert, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Cert::List(List { device, limit }) => {
            let path = device.map_or_else(
                || CERTIFICATES.to_owned(),
                |device| fill(DEVICE_CERTIFICATES, &[&device]),
            );
            let rows: Vec<CertificateView> = rest.list(&path, &Query::default(), limit).await?;
            session.show(&rows, |rows, paint| table(rows, paint))
        }
        Cert::Show(Show { name, pem }) => {
            let found: CertificateView = rest.get(fill(CERTIFICATE, &[&name])).await?;
            if pem {
                return crate::output::text(found.pem.as_deref().unwrap_or_default());
            }
            session.show(&found, sheet)
        }
        Cert::Revoke(Revoke { name, reason }) => {
            let path = fill(CERTIFICATE_REVOKE, &[&name]);
            let done: RevocationResult = rest.post(path, &RevocationRequest { reason }).await?;
            session.show(&done, |done, paint| table(&done.revoked, paint))
        }
        Cert::Release(Release { name }) => {
            let path = fill(CERTIFICATE_RELEASE, &[&name]);
            let done: ReleaseResult = rest.post(path, &serde_json::json!({})).await?;
            session.show(&done, |done, paint| released(done, &name, paint))
        }
    }
}

fn released(done: &ReleaseResult, name: &str, paint: Paint) -> String {
    if done.released.is_empty() {
        return format!("`{}` is not on hold: there was nothing to release", plain(name));
    }
    table(&done.released, paint)
}

/// Certificates, a line each.
pub(super) fn table(rows: &[CertificateView], paint: Paint) -> String {
    let mut table = Table::new(&["SERIAL", "KIND", "GEN", "DEVICE", "ISSUED", "ENDS", "STATE"]);
    for row in rows {
        table.row([
            row.serial.clone(),
            row.kind.to_string(),
            row.generation.to_string(),
            row.device.clone(),
            row.issued.clone(),
            row.not_after.clone(),
            state(row),
        ]);
    }
    table.print(paint)
}

/// Its state as the server says it; with the reason or the date that a person asks for next.
fn state(row: &CertificateView) -> String {
    match (row.state, &row.revoked, &row.spent) {
        (_, Some(revoked), _) => revoked.reason.to_string(),
        (CertificateState::Overlap, None, Some(spent)) => format!("overlap until {spent}"),
        (state, None, _) => state.to_string(),
    }
}

fn sheet(row: &CertificateView, paint: Paint) -> String {
    let revoked = row.revoked.as_ref().map(|r| format!("{} ({})", r.at, r.reason));
    let all = members(
        paint,
        [
            ("serial", Some(row.serial.clone())),
            ("kind", Some(row.kind.to_string())),
            ("device", Some(row.device.clone())),
            ("issuer", Some(row.issuer.clone())),
            ("generation", Some(row.generation.to_string())),
            ("spki", Some(row.spki.clone())),
            ("issued", Some(row.issued.clone())),
            ("ends", Some(row.not_after.clone())),
            ("state", Some(state(row))),
            ("first used", row.used.clone()),
            ("spent from", row.spent.clone()),
            ("revoked", revoked),
        ],
    );
    format!("{all}\n\n{}", row.pem.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{CertificateKind, RevocationView};

    #[test]
    fn a_release_of_what_is_not_on_hold_says_so() {
        let told = released(
            &ReleaseResult { released: Vec::new() },
            "cert:01",
            Paint::decide(crate::output::Color::Never, false),
        );
        assert_eq!(told, "`cert:01` is not on hold: there was nothing to release");
    }

    #[test]
    fn a_person_reads_until_when_a_predecessor_is_good_and_why_one_was_revoked() {
        let (issued, ends) = ("2026-05-01T08:00:00Z", "2026-05-31T08:00:00Z");
        let mut row = CertificateView {
            serial: "00".repeat(16),
            kind: CertificateKind::Leaf,
            device: String::new(),
            issuer: String::new(),
            generation: 1,
            spki: String::new(),
            issued: issued.to_owned(),
            not_after: ends.to_owned(),
            used: Some(issued.to_owned()),
            state: CertificateState::Overlap,
            spent: Some("2026-05-03T08:00:00Z".to_owned()),
            revoked: None,
            pem: None,
        };
        assert_eq!(state(&row), "overlap until 2026-05-03T08:00:00Z");
        row.state = CertificateState::Spent;
        assert_eq!(state(&row), "spent");
        row.state = CertificateState::Held;
        row.revoked =
            Some(RevocationView { at: issued.to_owned(), reason: Reason::CertificateHold });
        assert_eq!(state(&row), "certificateHold");
    }
}
