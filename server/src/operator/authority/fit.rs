//! Whether a certificate is one of an authority of ours: signed by the root that counts, for a key
//! that was made here, and for the role that it was made for.

use super::super::refuse::Refused;
use super::super::who::Who;
use super::super::{State, view};
use api::AuthorityInstall;
use identity::authority::{Authority, AuthorityState, Role};
use identity::{Certificate, UnixTime, text};

/// What a certificate makes.
pub(super) enum Fit {
    /// An authority that is to be installed.
    New(Authority),
    /// One that is installed already, with this very certificate.
    Again(Authority),
}

/// The authority that a certificate makes.
pub(super) fn fit(state: &State, who: &Who, request: &AuthorityInstall) -> Result<Fit, Refused> {
    let certificate = read(&request.certificate)?;
    let known = &who.realm.authorities;
    let role = view::authority_role_of(request.role);
    let same = |a: &&Authority| a.role == role && a.certificate.der() == certificate.der();
    if let Some(same) = known.iter().find(same).filter(|a| a.role != Role::Root) {
        return Ok(Fit::Again(same.clone()));
    }
    if certificate.not_after() <= state.house.clock.now() {
        return malformed("it has ended");
    }
    let roots =
        |a: &&Authority| a.role == Role::Root && certificate.signed_by(&a.certificate).is_ok();
    let root = match known.iter().filter(roots).min_by_key(|a| a.state) {
        Some(root) if root.state == AuthorityState::Active => root,
        Some(_) => {
            let sentence =
                "it is signed by a root that has a successor: sign it with that".to_owned();
            return Err(Refused::Rule { rule: "older-root", sentence });
        }
        None => {
            let sentence = "it is not signed by the root of this realm".to_owned();
            return Err(Refused::Rule { rule: "not-signed-by-root", sentence });
        }
    };
    if role == Role::Root || certificate.authority() != Some(Some(0)) {
        return malformed("it is not one of an authority below the root");
    }
    let authority = match ca::authority::admit(certificate, role, &root.certificate) {
        Ok(authority) => authority,
        Err(refusal) => return malformed(refusal),
    };
    if known.iter().any(|a| a.id == authority.id) {
        let sentence = format!("the authority `{}` has another certificate already", authority.id);
        return Err(Refused::Conflict(sentence));
    }
    lasts(&authority)?;
    was_asked_for(state, who, &authority)?;
    Ok(Fit::New(authority))
}

/// A certificate that was signed for another role lasts as that one does: a birth authority that
/// ends takes every device with it, and another that does not is never followed.
fn lasts(authority: &Authority) -> Result<(), Refused> {
    let (role, certificate) = (authority.role, &authority.certificate);
    let (from, until) = (certificate.not_before(), certificate.not_after());
    let wanted = match ca::authority::lasts_s(role) {
        None if until < UnixTime::NEVER_ENDS => "never ends",
        Some(most_s) if until > from.plus_secs(most_s) => "lasts ten years",
        _ => return Ok(()),
    };
    let sentence = format!(
        "it ends at {}, and a {role} authority {wanted}: it was signed for another role, so sign the \
         request again with `muster ca sign --role {role}`",
        text::rfc3339(until)
    );
    Err(Refused::Rule { rule: "other-role", sentence })
}

/// A certificate without its key would be an authority that cannot sign, and a server that cannot
/// start.
fn was_asked_for(state: &State, who: &Who, authority: &Authority) -> Result<(), Refused> {
    let open = state.house.registry.authority_requests(who.realm.key)?;
    // A request is called by its key, whatever identifier a tool wrote beside that.
    let of_key = authority.certificate.key().key_id();
    match open.iter().find(|r| r.id == of_key) {
        Some(asked) if asked.role != authority.role => {
            let (asked, role) = (asked.role, authority.role);
            let sentence = format!("its key was made for the role `{asked}`, and not for `{role}`");
            Err(Refused::Rule { rule: "other-role", sentence })
        }
        None => {
            let sentence = "its key is not here: it answers another request than the one that is \
                open, or one that was given up; `muster ca roll ROLE --again` prints the open one"
                .to_owned();
            Err(Refused::Rule { rule: "other-request", sentence })
        }
        Some(_) if authority.id != of_key => {
            let sentence = format!(
                "its subject key identifier is `{}`, and everything here names an authority by that \
                 of its key (RFC 7093 section 2 method 1): sign the request with `muster ca sign`, or \
                 with the identifier `{of_key}`",
                authority.id
            );
            Err(Refused::Rule { rule: "other-key-id", sentence })
        }
        Some(_) => Ok(()),
    }
}

fn read(pem: &str) -> Result<Certificate, Refused> {
    match Certificate::parse_pem(pem, 1).map(|all| all.into_iter().next()) {
        Ok(Some(certificate)) => Ok(certificate),
        Ok(None) => malformed("there is none"),
        Err(defect) => malformed(defect),
    }
}

fn malformed<T>(what: impl std::fmt::Display) -> Result<T, Refused> {
    Err(Refused::Malformed(format!("`certificate`: {what}")))
}
