//! Barring an authority.

use super::super::words::word;
use super::{all, facts, find};
use crate::command::sure::sure;
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
/// Where no other authority of its role signs, you are asked first: without one no device is born, or
/// gets or renews a leaf.
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
    /// Do not ask where it is the last of its role that signs.
    #[arg(long)]
    yes: bool,
}

/// Does what was typed.
pub(super) async fn revoke(typed: Revoke, rest: &Rest, session: &Session) -> Outcome {
    let named = find(rest, &typed.id).await?;
    let request = AuthorityRevocation { reason: typed.reason };
    if let Some(loss) = lost_with(&all(rest).await?, &named).filter(|_| !typed.yes) {
        sure("barring", &loss, named.role.as_str())?;
    }
    let done: AuthorityView = rest.post(fill(AUTHORITY_REVOKE, &[&named.id]), &request).await?;
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

/// What nobody gets where no authority of a role signs; without the other two there is no server, which
/// sees to them itself.
const fn given_by(role: AuthorityRole) -> Option<&'static str> {
    match role {
        AuthorityRole::Operations => Some("no device gets or renews a leaf"),
        AuthorityRole::Birth => Some("no device is born"),
        AuthorityRole::Root | AuthorityRole::Service => None,
    }
}

fn signs(row: &AuthorityView, role: AuthorityRole) -> bool {
    row.role == role && row.state == AuthorityState::Active
}

/// What ends with this authority, where it is the last of its role that signs.
fn lost_with(rows: &[AuthorityView], named: &AuthorityView) -> Option<String> {
    let role = named.role;
    let last = signs(named, role) && !rows.iter().any(|r| signs(r, role) && r.id != named.id);
    let what = given_by(role).filter(|_| last)?;
    Some(format!("{} is the last active {role} authority, and without one {what}", named.id))
}

/// What has ended with the last authority of a role.
fn nobody_left(rows: &[AuthorityView], role: AuthorityRole) -> Option<String> {
    let what = given_by(role).filter(|_| !rows.iter().any(|row| signs(row, role)))?;
    Some(format!(
        "warning: it was the last active {role} authority: {what} until there is another, by \
         `muster ca roll {role}` (`--in-overlap` where an older one is still retiring)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::KeyKind;

    fn row(id: &str, role: AuthorityRole, state: AuthorityState) -> AuthorityView {
        AuthorityView {
            id: id.to_owned(),
            role,
            state,
            subject: String::new(),
            not_before: String::new(),
            not_after: String::new(),
            pem: String::new(),
            key_kind: KeyKind::P256,
            retires: None,
            barred: None,
            wiped: None,
            leaves: None,
            earlier: Vec::new(),
            crl_number: None,
        }
    }

    #[test]
    fn only_the_last_of_its_role_that_signs_is_asked_about() {
        use AuthorityRole::{Birth, Operations, Service};
        use AuthorityState::{Active, Barred, Retiring};
        let mut rows = vec![
            row("b1", Birth, Active),
            row("o1", Operations, Retiring),
            row("o2", Operations, Active),
            row("s1", Service, Active),
        ];
        let asked = |rows: &[AuthorityView], id: &str| {
            lost_with(rows, rows.iter().find(|row| row.id == id).unwrap())
        };
        assert!(asked(&rows, "o2").unwrap().contains("no device gets or renews a leaf"));
        assert!(asked(&rows, "b1").unwrap().contains("no device is born"));
        assert_eq!(asked(&rows, "o1"), None, "it signs no more");
        assert_eq!(asked(&rows, "s1"), None, "the server refuses by itself");
        rows.push(row("o3", Operations, Active));
        rows.push(row("b2", Birth, Barred));
        assert_eq!(asked(&rows, "o2"), None);
        assert!(asked(&rows, "b1").is_some());
    }
}
