//! Barring an authority.

use super::super::words::word;
use super::{all, facts, find};
use crate::failure::Outcome;
use crate::rest::Rest;
use crate::session::Session;
use api::path::{AUTHORITY_REVOKE, fill};
use api::{AuthorityRevocation, AuthorityRole, AuthorityState, AuthorityView, Reason};
use clap::Args;

/// Bar an authority, at once and for good: it signs nothing any more, and nothing that it signed
/// opens a door.
///
/// For when somebody else has its key, or may have. Devices with a leaf of a barred operations
/// authority join again with their birth certificate, by themselves. Everybody else hears of it by
/// the root's CRL, which is signed where the root's key is; what to type is printed.
///
/// Of one that is barred already the reason may be raised: to keyCompromise, or from unspecified.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ca revoke 5f0c9a --reason keyCompromise")]
pub(crate) struct Revoke {
    /// Its id, the first digits of it, or its role if only one active has it.
    #[arg(value_name = "AUTHORITY")]
    id: String,
    /// Why: keyCompromise, cACompromise, superseded, cessationOfOperation …
    #[arg(long, value_parser = word!(Reason, except Reason::CertificateHold))]
    reason: Reason,
}

/// Does what was typed.
pub(super) async fn revoke(typed: Revoke, rest: &Rest, session: &Session) -> Outcome {
    let id = find(rest, &typed.id).await?.id;
    let request = AuthorityRevocation { reason: typed.reason };
    let done: AuthorityView = rest.post(fill(AUTHORITY_REVOKE, &[&id]), &request).await?;
    session.show(&done, facts)?;
    if let Some(warning) = nobody_left(&all(rest).await?, done.role) {
        session.remark(&warning);
    }
    session.remark(
        "next: everybody else hears of it by the root's CRL.
here:                         muster ca list --json > authorities.json
                              muster ca export --root > root.pem
where the root's key is:      muster ca crl --root --authorities authorities.json \\
                                  --root-certificate root.pem --root-key root.key.age --out root.crl
and here again:               muster ca install --crl root.crl",
    );
    Ok(())
}

/// What ends with the last authority of a role.
fn nobody_left(rows: &[AuthorityView], role: AuthorityRole) -> Option<String> {
    if rows.iter().any(|row| row.role == role && row.state == AuthorityState::Active) {
        return None;
    }
    let what = match role {
        AuthorityRole::Operations => "no device gets or renews a leaf",
        AuthorityRole::Birth => "no device is born",
        AuthorityRole::Root | AuthorityRole::Service => return None,
    };
    Some(format!(
        "warning: it was the last active {role} authority: {what} until there is another, by \
         `muster ca roll {role}`"
    ))
}
