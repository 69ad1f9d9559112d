//! Authorities: who signs, from when, until when. The root signs offline, where this server never
//! is: here its work is installed, and an authority is retired or barred at once.

use super::body::{Json, Named};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, view};
use api::{AuthorityInstall, AuthorityStateRequest, AuthorityView, Page};
use identity::Certificate;
use identity::authority::{Authority, AuthorityState, Role};
use ledger::Class;
use registry::Change;

/// Lists the realm's authorities, the root first.
#[utoipa::path(get, path = api::path::AUTHORITIES, tag = "authorities",
    responses((status = 200, body = Page<AuthorityView>), Problems))]
pub(crate) async fn list(_: State, Viewer(who): Viewer) -> Answer<Page<AuthorityView>> {
    let mut all: Vec<&Authority> = who.realm.authorities.iter().collect();
    all.sort_by_key(|a| (a.role, a.certificate.not_before()));
    let items = all.into_iter().map(view::authority).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Shows an authority.
#[utoipa::path(get, path = api::path::AUTHORITY, tag = "authorities",
    params(("id" = String, Path, description = "Its subject key identifier in hex")),
    responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn show(
    _: State,
    Viewer(who): Viewer,
    Named(id): Named<String>,
) -> Answer<AuthorityView> {
    Ok(axum::Json(view::authority(named(&who, &id)?)))
}

/// Installs an authority that the root signed. It signs as soon as its key is in the server's
/// hands.
#[utoipa::path(post, path = api::path::AUTHORITIES, tag = "authorities", params(Idempotent),
    request_body = AuthorityInstall,
    responses((status = 201, body = AuthorityView), Problems))]
pub(crate) async fn install(
    state: State,
    Admin(who): Admin,
    Json(request): Json<AuthorityInstall>,
) -> Result<(axum::http::StatusCode, axum::Json<AuthorityView>), Refused> {
    let authority = fit(&state, &who, &request)?;
    let payload = who
        .payload("authority.installed")
        .with("authority", authority.id.octets().as_slice())
        .with("role", authority.role.as_str())
        .with("certificate", authority.certificate.fingerprint().as_slice());
    let view = view::authority(&authority);
    state.change(&who, Change::Authority(authority), Class::Authority, payload).await?;
    Ok((axum::http::StatusCode::CREATED, axum::Json(view)))
}

/// Lets an authority sign, lets it sign no more, or bars it at once. The root's state is not
/// changed here.
#[utoipa::path(patch, path = api::path::AUTHORITY, tag = "authorities",
    params(("id" = String, Path, description = "Its subject key identifier in hex")),
    request_body = AuthorityStateRequest,
    responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn change(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
    Json(request): Json<AuthorityStateRequest>,
) -> Answer<AuthorityView> {
    let mut authority = named(&who, &id)?.clone();
    let to = view::authority_state_of(request.state);
    if authority.role == Role::Root {
        let sentence = "a root is replaced offline, not retired or barred here".to_owned();
        return Err(Refused::Rule { rule: "root", sentence });
    }
    if authority.state == AuthorityState::Barred && to != AuthorityState::Barred {
        let sentence = "a barred authority never signs again: install a new one".to_owned();
        return Err(Refused::Rule { rule: "barred", sentence });
    }
    if authority.state != to {
        let payload = who
            .payload("authority.changed")
            .with("authority", authority.id.octets().as_slice())
            .with("was", authority.state.as_str())
            .with("state", to.as_str());
        let change = Change::AuthorityState { id: authority.id, state: to };
        state.change(&who, change, Class::Authority, payload).await?;
        authority.state = to;
    }
    Ok(axum::Json(view::authority(&authority)))
}

/// The authority of that identifier.
pub(crate) fn named<'a>(who: &'a Who, id: &str) -> Result<&'a Authority, Refused> {
    let of_that_name = |a: &&Authority| a.id.to_string() == id;
    let missing = || Refused::Missing { what: "authority", name: id.to_owned() };
    who.realm.authorities.iter().find(of_that_name).ok_or_else(missing)
}

/// The authority that a certificate makes, if the realm's root signed it as one.
fn fit(state: &State, who: &Who, request: &AuthorityInstall) -> Result<Authority, Refused> {
    let malformed =
        |what: &dyn std::fmt::Display| Err(Refused::Malformed(format!("`certificate`: {what}")));
    let read = Certificate::parse_pem(&request.certificate, 1);
    let certificate = match read.map(|all| all.into_iter().next()) {
        Ok(Some(certificate)) => certificate,
        Ok(None) => return malformed(&"there is none"),
        Err(defect) => return malformed(&defect),
    };
    if certificate.not_after() <= state.house.clock.now() {
        return malformed(&"it has ended");
    }
    let known = &who.realm.authorities;
    let signed =
        |a: &&Authority| a.role == Role::Root && certificate.signed_by(&a.certificate).is_ok();
    let Some(root) = known.iter().find(signed) else {
        let sentence = "it is not signed by the root of this realm".to_owned();
        return Err(Refused::Rule { rule: "not-signed-by-root", sentence });
    };
    let role = view::authority_role_of(request.role);
    if role == Role::Root || certificate.authority() != Some(Some(0)) {
        return malformed(&"it is not one of an authority below the root");
    }
    let authority = match ca::authority::admit(certificate, role, &root.certificate) {
        Ok(authority) => authority,
        Err(refusal) => return malformed(&refusal),
    };
    if known.iter().any(|a| a.id == authority.id) {
        let sentence = format!("the authority `{}` is installed already", authority.id);
        return Err(Refused::Conflict(sentence));
    }
    Ok(authority)
}
