//! The realm and its settings, and the groups that its devices are in.

use super::body::{Asked, Json};
use super::openapi::{Idempotent, IfMatch, Problems};
use super::page::{Window, window};
use super::refuse::Refused;
use super::said::{bounded, group};
use super::tag::{self, if_match, tagged};
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, apart, view};
use crate::settings;
use api::{GroupView, Page, RealmView, SettingRequest, SettingView};
use axum::http::HeaderMap;
use axum::response::Response;
use identity::GroupName;
use identity::authority::{AuthorityState, Role};
use identity::text::{hex, rfc3339};
use ledger::Class;
use registry::{Change, DeviceFilter};
use std::collections::BTreeMap;

/// Characters of a setting's value.
const VALUE_CHARS_MAX: usize = 256;

/// Shows the realm of the credential.
#[utoipa::path(get, path = api::path::REALM, tag = "realm",
    responses((status = 200, body = RealmView), Problems))]
pub(crate) async fn show(state: State, Viewer(who): Viewer) -> Answer<RealmView> {
    let row = &who.realm.realm;
    let root = who.realm.authorities.iter().rev();
    let mut root = root.filter(|a| a.role == Role::Root && a.state == AuthorityState::Active);
    Ok(axum::Json(RealmView {
        name: row.name.to_string(),
        id: uuid(&row.id),
        origin: row.origin.clone(),
        founded: rfc3339(row.founded),
        root_pin: root.next().map(|a| hex(a.certificate.spki_hash().octets())),
        public_url: state.house.addresses(&who.realm).public_url,
        settings: stored(&state, &who)?,
    }))
}

/// Lists the settings that differ from their defaults. The ETag is of all of them together.
#[utoipa::path(get, path = api::path::SETTINGS, tag = "realm",
    responses((status = 200, body = Page<SettingView>, headers(("etag" = String))), Problems))]
pub(crate) async fn settings(state: State, Viewer(who): Viewer) -> Result<Response, Refused> {
    Ok(tagged(&listed(&state, &who)?))
}

fn listed(state: &State, who: &Who) -> Result<Page<SettingView>, Refused> {
    Ok(Page { items: stored(state, who)?, next: None })
}

/// Changes one setting, for the realm or for a group; `null` takes it back to its default.
#[utoipa::path(put, path = api::path::SETTINGS, tag = "realm", params(IfMatch, Idempotent),
    request_body = SettingRequest,
    responses((status = 200, body = Page<SettingView>, headers(("etag" = String))), Problems))]
pub(crate) async fn set(
    state: State,
    Admin(who): Admin,
    headers: HeaderMap,
    Json(request): Json<SettingRequest>,
) -> Result<Response, Refused> {
    let (who, _turn) = state.turn(who).await?;
    let group = request.group.as_deref().map(group).transpose()?;
    let value = request.value.as_deref();
    let value = value.map(|v| bounded("value", v, VALUE_CHARS_MAX)).transpose()?;
    check(&request.key, value.as_deref(), group.is_some())?;
    if_match(&headers, Some(&tag::of(&listed(&state, &who)?)))?;
    let payload = who
        .payload("setting.set")
        .with("key", request.key.as_str())
        .with_some("group", group.as_ref().map(|g| g.as_str()))
        .with_some("value", value.as_deref());
    let change = Change::SettingSet { key: request.key, group, value };
    state.change(&who, change, Class::Setting, payload).await?;
    Ok(tagged(&listed(&state, &who)?))
}

/// Lists the groups that have devices.
#[utoipa::path(get, path = api::path::GROUPS, tag = "groups", params(Window),
    responses((status = 200, body = Page<GroupView>), Problems))]
pub(crate) async fn groups(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Window>,
) -> Answer<Page<GroupView>> {
    apart(move || {
        let rows = members(&state, &who)?;
        let view = |(name, devices): &(GroupName, u64)| GroupView {
            name: name.to_string(),
            devices: *devices,
        };
        window(&rows, &asked, |(name, _)| name.to_string(), view).map(axum::Json)
    })
    .await
}

/// Groups exist by being named on devices; all of them are looked at.
fn members(state: &State, who: &Who) -> Result<Vec<(GroupName, u64)>, Refused> {
    let mut counted: BTreeMap<GroupName, u64> = BTreeMap::new();
    let (mut after, filter) = (None, DeviceFilter::default());
    loop {
        let rows = state.house.registry.devices(who.realm.key, &filter, after, 1000)?;
        let Some(last) = rows.last() else { return Ok(counted.into_iter().collect()) };
        after = Some(last.id);
        for group in rows.into_iter().flat_map(|d| d.groups) {
            *counted.entry(group).or_default() += 1;
        }
    }
}

/// A setting that is taken back must exist, too.
fn check(key: &str, value: Option<&str>, by_group: bool) -> Result<(), Refused> {
    let known = settings::KNOWN.iter().any(|k| k.key == key);
    match value {
        None if known => Ok(()),
        value => {
            settings::check(key, value.unwrap_or_default(), by_group).map_err(Refused::Malformed)
        }
    }
}

fn stored(state: &State, who: &Who) -> Result<Vec<SettingView>, Refused> {
    let rows = state.house.registry.settings(who.realm.key)?;
    // Witnesses have an address of their own.
    let own = rows.iter().filter(|(key, _, _)| !key.starts_with(crate::witness::SETTING));
    Ok(own.map(view::setting).collect())
}

fn uuid(octets: &[u8; 16]) -> String {
    let digits = hex(octets);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|range| digits.get(range).unwrap_or_default()).join("-")
}
