//! Installing what the root signed, far away from the server.

use super::super::root::{one_certificate, pem_of};
use super::super::words::{until, word};
use super::{all, facts, find, offline, root};
use crate::failure::Outcome;
use crate::rest::Rest;
use crate::session::Session;
use api::path::AUTHORITIES;
use api::{AuthorityInstall, AuthorityRole, AuthorityState, AuthorityView};
use clap::Args;
use identity::text::counted;
use std::path::PathBuf;

/// Install what the root signed: an authority's certificate, which signs from then on, or the
/// root's CRL, which is published.
///
/// The authority of the same role that signed before retires: it signs no more, what it signed stays
/// good until the overlap ends, and leaves move over as they renew. The same certificate may be
/// installed again; nothing happens then.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca install --role operations --certificate operations.pem
  muster ca install --crl root.crl")]
pub(crate) struct Install {
    /// The certificate, PEM or DER.
    #[arg(long, value_name = "FILE", requires = "role")]
    #[arg(required_unless_present_any = ["crl", "root_roll"])]
    certificate: Option<PathBuf>,
    /// What it signs.
    #[arg(long, requires = "certificate")]
    #[arg(value_parser = word!(AuthorityRole, except AuthorityRole::Root))]
    role: Option<AuthorityRole>,
    /// When the one before retires: a length of time like 60d, or a day like 2027-03-31 [default:
    /// once the last leaf of it has ended].
    #[arg(long, value_name = "WHEN", value_parser = until, requires = "certificate")]
    until: Option<u64>,
    /// The root's CRL, PEM or DER: as `muster ca crl --root --out` wrote it, or HOME/offline/root.crl.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "role"])]
    crl: Option<PathBuf>,
    /// A new root with all that leads to it, as `muster ca roll root` wrote it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "role", "crl"])]
    root_roll: Option<PathBuf>,
}

/// Does what was typed.
pub(super) async fn install(typed: Install, rest: &Rest, session: &Session) -> Outcome {
    if let Some(path) = typed.crl {
        let crl = pem_of(&path, "X509 CRL")?;
        let id = signer_of(&crl, rest).await?;
        let done = offline::publish(id, crl, rest).await?;
        return session.show(&done, |_, _| "the server publishes it now".to_owned());
    }
    if let Some(path) = typed.root_roll {
        return root::install(&path, rest, session).await;
    }
    // One of the two is there, and each demands the other.
    let (Some(path), Some(role)) = (typed.certificate, typed.role) else { return Ok(()) };
    let certificate = one_certificate(&path)?.pem();
    let request = AuthorityInstall { certificate, role, overlap_s: typed.until };
    let done: AuthorityView = rest.post(AUTHORITIES, &request).await?;
    tell(&done, rest, session).await
}

/// The root that signed a list: a list names its issuer's key. Of several the one that signs is
/// meant where none is named.
async fn signer_of(crl: &str, rest: &Rest) -> Outcome<String> {
    let body: String = crl.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = identity::text::from_base64(body.as_bytes()).unwrap_or_default();
    let der = identity::text::hex(&der);
    let rows = all(rest).await?;
    let mut roots = rows.iter().filter(|row| row.role == AuthorityRole::Root);
    match roots.find(|row| der.contains(&row.id)) {
        Some(row) => Ok(row.id.clone()),
        None => Ok(find(rest, "root").await?.id),
    }
}

/// Says what was installed, and what becomes of the ones before.
pub(super) async fn tell(done: &AuthorityView, rest: &Rest, session: &Session) -> Outcome {
    for old in all(rest).await?.iter().filter(|row| row.role == done.role && row.id != done.id) {
        if old.state != AuthorityState::Retiring {
            continue;
        }
        let (one, many) = ("leaf waits for its renewal", "leaves wait for their renewal");
        let left = old.leaves.map(|n| format!(" {}.", counted(n, one, many))).unwrap_or_default();
        session.remark(&match &old.retires {
            Some(at) => format!("{} signs no more, and counts until {at}.{left}", old.id),
            None => format!("{} signs no more, and counts for good.", old.id),
        });
    }
    session.show(done, facts)
}
