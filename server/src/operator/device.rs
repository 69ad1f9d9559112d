//! Devices: the list with its filters, and one of them by any of its names. What may be done to one
//! is in [`super::change`].

use super::body::{Asked, Named};
use super::members::WithLeaves;
use super::openapi::Problems;
use super::page::{cursor, limit};
use super::refuse::Refused;
use super::said::group;
use super::who::{Viewer, Who};
use super::{Answer, State, apart, view};
use api::{CertificateView, DeviceView, Page};
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use identity::name::DeviceName;
use identity::selector::{DEVICE_MEMBERS, LEAF_MEMBERS, Selector};
use identity::{Credential, CredentialKind, Device, DeviceId};
use registry::DeviceFilter;
use serde::Deserialize;
use utoipa::IntoParams;

/// Rows that one request with `where` looks at; a page then ends early, and its `next` goes on.
const LOOKED_AT_MAX: usize = 20_000;
/// Certificates of one device that are shown: two a day over a year's history of a bad week.
const CERTIFICATES_MAX: usize = 1000;

/// Which devices.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The cursor that the page before gave as `next`.
    after: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// In this group.
    group: Option<String>,
    /// Standing here.
    standing: Option<api::Standing>,
    /// Of this model.
    model: Option<String>,
    /// Of this maker; empty for the realm's own births.
    maker: Option<String>,
    /// With this serial number.
    serial: Option<String>,
    /// A CEL expression over the members of a device: `group == "pumps" && generation > 3`. A page
    /// may then be short although more follow.
    #[serde(rename = "where")]
    selector: Option<String>,
}

/// Lists devices by UUID, which is by age.
#[utoipa::path(get, path = api::path::DEVICES, tag = "devices", params(Wanted),
    responses((status = 200, body = Page<DeviceView>), Problems))]
pub(crate) async fn list(
    state: State,
    Viewer(who): Viewer,
    Asked(wanted): Asked<Wanted>,
) -> Answer<Page<DeviceView>> {
    apart(move || find(&state, &who, wanted).map(axum::Json)).await
}

/// What was asked for, read.
struct Question {
    filter: DeviceFilter,
    selector: Option<Selector>,
    after: Option<DeviceId>,
    limit: usize,
}

impl Question {
    fn read(wanted: Wanted) -> Result<Self, Refused> {
        let filter = DeviceFilter {
            group: wanted.group.as_deref().map(group).transpose()?,
            standing: wanted.standing.map(view::standing_of),
            model: wanted.model,
            maker: wanted.maker,
            serial: wanted.serial,
        };
        Ok(Self {
            filter,
            selector: wanted.selector.as_deref().map(selector).transpose()?,
            after: cursor(wanted.after.as_deref(), DeviceId::parse)?,
            limit: limit(wanted.limit)?,
        })
    }

    fn picks(&self, state: &State, who: &Who, device: &Device) -> Result<bool, Refused> {
        self.selector.as_ref().map_or(Ok(true), |selector| holds(selector, state, who, device))
    }
}

/// Whether a selector holds for a device, wherever one is said. Leaves are read only where they are
/// asked for.
pub(super) fn holds(
    selector: &Selector,
    state: &State,
    who: &Who,
    device: &Device,
) -> Result<bool, Refused> {
    if !selector.asks_for(&LEAF_MEMBERS) {
        return Ok(selector.holds(device));
    }
    let newest = state.house.registry.credentials_of(who.realm.key, &device.id, 3)?;
    Ok(selector.holds(&WithLeaves::new(device, &leaves_of(newest), state.house.clock.now())))
}

pub(super) fn selector(text: &str) -> Result<Selector, Refused> {
    let read = Selector::parse(text).and_then(|s| s.check(&DEVICE_MEMBERS));
    read.map_err(|e| Refused::Malformed(format!("`where`: {e}")))
}

fn find(state: &State, who: &Who, wanted: Wanted) -> Result<Page<DeviceView>, Refused> {
    let (devices, next) = select(state, who, Question::read(wanted)?)?;
    let now = state.house.clock.now();
    let view = |device: &Device| {
        let newest = state.house.registry.credentials_of(who.realm.key, &device.id, 3)?;
        Ok(view::device(device, &leaves_of(newest), now, false))
    };
    let items = devices.iter().map(view).collect::<Result<_, Refused>>()?;
    Ok(Page { items, next: next.map(|id| id.to_string()) })
}

/// Looks at a bounded number of rows and keeps those that are picked; says where to go on.
fn select(
    state: &State,
    who: &Who,
    mut question: Question,
) -> Result<(Vec<Device>, Option<DeviceId>), Refused> {
    let mut picked = Vec::new();
    let mut looked_at = 0;
    // Without a selector every row is picked, so no more than a page is read.
    let at_once = if question.selector.is_some() { 1000 } else { question.limit };
    while looked_at < LOOKED_AT_MAX {
        let (filter, after) = (&question.filter, question.after);
        let rows = state.house.registry.devices(who.realm.key, filter, after, at_once)?;
        looked_at += rows.len();
        let last = rows.len() < at_once;
        for device in rows {
            question.after = Some(device.id);
            if question.picks(state, who, &device)? {
                picked.push(device);
            }
            if picked.len() == question.limit {
                return Ok((picked, question.after));
            }
        }
        if last {
            return Ok((picked, None));
        }
    }
    Ok((picked, question.after))
}

/// Shows a device, with its newest leaf. The ETag is its version.
#[utoipa::path(get, path = api::path::DEVICE, tag = "devices",
    params(("id" = String, Path, description = "UUID, unique prefix of one, `serial:S` or \
        `serial:MAKER/MODEL/S`")),
    responses((status = 200, body = DeviceView, headers(("etag" = String))), Problems))]
pub(crate) async fn show(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Result<Response, Refused> {
    let device = resolve(&state, &who, &name)?;
    shown(&state, &who, &device)
}

/// Lists the certificates of a device, newest first.
#[utoipa::path(get, path = api::path::DEVICE_CERTIFICATES, tag = "devices",
    params(("id" = String, Path, description = "A name of the device")),
    responses((status = 200, body = Page<CertificateView>), Problems))]
pub(crate) async fn certificates(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Answer<Page<CertificateView>> {
    let device = resolve(&state, &who, &name)?;
    let rows = state.house.registry.credentials_of(who.realm.key, &device.id, CERTIFICATES_MAX)?;
    let now = state.house.clock.now();
    let items = rows.iter().map(|c| view::certificate(c, now, false)).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Looks up a device by any of its names.
pub(crate) fn resolve(state: &State, who: &Who, name: &str) -> Result<Device, Refused> {
    let parsed = DeviceName::parse(name).ok_or_else(|| {
        Refused::Malformed(
            "a device is named by its UUID, by 6 or more hex digits of one, or as `serial:S`"
                .to_owned(),
        )
    })?;
    let mut found = state.house.registry.devices_named(who.realm.key, &parsed)?;
    match found.len() {
        0 => Err(Refused::Missing { what: "device", name: name.to_owned() }),
        1 => found.pop().ok_or(Refused::Outage("the registry changed its mind")),
        _ => {
            let candidates = found.iter().map(|d| d.id.to_string()).collect();
            Err(Refused::Ambiguous { name: name.to_owned(), candidates })
        }
    }
}

pub(super) fn shown(state: &State, who: &Who, device: &Device) -> Result<Response, Refused> {
    let leaves = state.house.registry.credentials_of(who.realm.key, &device.id, 3)?;
    let mut view = view::device(device, &leaves_of(leaves), state.house.clock.now(), true);
    view.clone =
        state.house.registry.caught(who.realm.key, &device.id)?.as_ref().and_then(view::clone);
    let reported = state.house.registry.report(who.realm.key, &device.id)?;
    view.reported = reported.as_ref().map(view::report);
    Ok(([(ETAG, tag(device))], axum::Json(view)).into_response())
}

/// The ETag of a device, which is its version.
pub(super) fn tag(device: &Device) -> String {
    format!("\"{}\"", device.version)
}

/// The birth certificate has no generation and says nothing of renewals.
fn leaves_of(mut credentials: Vec<Credential>) -> Vec<Credential> {
    credentials.retain(|c| c.kind == CredentialKind::Leaf);
    credentials
}
