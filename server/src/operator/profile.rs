//! Certificate profiles: the shape of the leaves that doors give.

use super::body::{Json, Named};
use super::openapi::{Idempotent, IfMatch, Problems};
use super::refuse::Refused;
use super::said::{bounded, name, within};
use super::tag::{self, if_match, tagged};
use super::who::{Admin, Viewer};
use super::{Answer, State, view};
use api::{Page, ProfileRequest, ProfileView};
use axum::http::HeaderMap;
use axum::response::Response;
use const_oid::ObjectIdentifier;
use identity::profile::{LIFETIME_MAX_S, LIFETIME_MIN_S, Profile};
use ledger::{Class, Value};
use registry::Change;
use std::collections::BTreeSet;

/// Further key usages of a profile: each makes every leaf some 10 octets longer.
const USAGES_MAX: usize = 8;
/// X.520's bound on an organization (`ub-organization-name`, RFC 5280 appendix A).
const ORGANIZATION_CHARS_MAX: usize = 64;
/// clientAuth is always there. A device is no server, and no leaf is good for everything: neither
/// serverAuth, anyExtendedKeyUsage, codeSigning, timeStamping nor OCSPSigning is given.
const USAGES_REFUSED: [&str; 5] = [
    "1.3.6.1.5.5.7.3.1",
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.3",
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
];

/// Lists the profiles by name.
#[utoipa::path(get, path = api::path::PROFILES, tag = "profiles",
    responses((status = 200, body = Page<ProfileView>), Problems))]
pub(crate) async fn list(_: State, Viewer(who): Viewer) -> Answer<Page<ProfileView>> {
    let mut profiles: Vec<&Profile> = who.realm.profiles.iter().collect();
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    let items = profiles.into_iter().map(view::profile).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Shows a profile.
#[utoipa::path(get, path = api::path::PROFILE, tag = "profiles",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ProfileView, headers(("etag" = String))), Problems))]
pub(crate) async fn show(
    _: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Result<Response, Refused> {
    let profile = who.realm.profile(&name).map(view::profile);
    profile.map(|profile| tagged(&profile)).ok_or(Refused::Missing { what: "profile", name })
}

/// Makes a profile, or changes it to be exactly this; leaves that were issued stay as they are.
#[utoipa::path(put, path = api::path::PROFILE, tag = "profiles",
    params(("name" = String, Path, description = "1 to 64 of letters, digits and `-_.`"), IfMatch,
        Idempotent),
    request_body = ProfileRequest,
    responses((status = 200, body = ProfileView, headers(("etag" = String))), Problems))]
pub(crate) async fn set(
    state: State,
    Admin(who): Admin,
    Named(called): Named<String>,
    headers: HeaderMap,
    Json(request): Json<ProfileRequest>,
) -> Result<Response, Refused> {
    let (who, _turn) = state.turn(who).await?;
    let own = who.realm.profile(&called).map(|profile| tag::of(&view::profile(profile)));
    let profile = fit(name("a profile", &called)?, request)?;
    if_match(&headers, own.as_deref())?;
    let payload = who
        .payload("profile.set")
        .with("profile", profile.name.as_str())
        .with("lifetime_s", profile.lifetime_s)
        .with("keys", profile.keys.iter().map(|k| k.as_str()).collect::<Value>())
        .with_some("organization", profile.organization.as_deref())
        .with("usages", profile.usages.iter().map(String::as_str).collect::<Value>())
        .with("server_key", profile.server_key);
    let view = view::profile(&profile);
    state.change(&who, Change::ProfileSet(profile), Class::Profile, payload).await?;
    Ok(tagged(&view))
}

fn fit(name: String, request: ProfileRequest) -> Result<Profile, Refused> {
    let malformed = |sentence: &str| Err(Refused::Malformed(sentence.to_owned()));
    let lifetime_s = within("lifetime_s", request.lifetime_s, LIFETIME_MIN_S, LIFETIME_MAX_S)?;
    if request.keys.is_empty() {
        return malformed("`keys` names no kind of key");
    }
    let organization = match request.organization.as_deref() {
        Some("") => return malformed("`organization` is empty"),
        Some(text) => Some(bounded("organization", text, ORGANIZATION_CHARS_MAX)?),
        None => None,
    };
    if request.usages.len() > USAGES_MAX {
        return malformed("`usages` has at most 8 members");
    }
    let usages = request.usages.iter().map(|u| usage(u)).collect::<Result<BTreeSet<_>, _>>()?;
    let keys = request.keys.into_iter().map(view::key_kind_of).collect();
    Ok(Profile { name, lifetime_s, keys, organization, usages, server_key: request.server_key })
}

fn usage(text: &str) -> Result<String, Refused> {
    let oid = ObjectIdentifier::new(text)
        .map_err(|_| Refused::Malformed("`usages` are dotted OIDs".to_owned()))?;
    if USAGES_REFUSED.contains(&text) {
        let sentence = format!("`usages`: a device is not certified for {text}");
        return Err(Refused::Malformed(sentence));
    }
    Ok(oid.to_string())
}
