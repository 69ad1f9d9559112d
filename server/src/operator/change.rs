//! What operators do with one device: each move of its standing, its mark, and its groups.

use super::State;
use super::body::{Json, MaybeJson, Named};
use super::device::{resolve, shown, tag};
use super::openapi::{Idempotent, IfMatch, Problems};
use super::refuse::Refused;
use super::said::{group, remark};
use super::tag::if_match;
use super::who::{Operating, Who};
use crate::standing::Move;
use api::{DeviceView, StandingRequest, UnmarkRequest};
use axum::http::HeaderMap;
use axum::response::Response;
use identity::{Device, GroupName};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError};

/// How often a change is decided anew because another one crossed it.
const DECISIONS_MAX: usize = 4;
/// Groups that one device may be in: each is looked at when its rules and settings are.
const GROUPS_MAX: usize = 64;

/// Makes the handlers of the moves, which differ in one word.
macro_rules! moves {
    ($($(#[$about:meta])* $name:ident, $path:path, $wanted:ident;)+) => {$(
        $(#[$about])*
        #[utoipa::path(post, path = $path, tag = "devices",
            params(("id" = String, Path, description = "A name of the device"), IfMatch, Idempotent),
            request_body = Option<StandingRequest>,
            responses((status = 200, body = DeviceView, headers(("etag" = String))), Problems))]
        pub(crate) async fn $name(
            state: State,
            Operating(who): Operating,
            Named(name): Named<String>,
            headers: HeaderMap,
            MaybeJson(why): MaybeJson<StandingRequest>,
        ) -> Result<Response, Refused> {
            stand(&state, &who, &name, &headers, (why, Move::$wanted)).await
        }
    )+};
}

moves! {
    /// Puts the leaves of a device on hold; no door lets it in until it is resumed.
    suspend, api::path::DEVICE_SUSPEND, Suspend;
    /// Lifts a suspension: the device stands where it stood, and its leaves are good again.
    resume, api::path::DEVICE_RESUME, Resume;
    /// Sets a device aside whose identity is in doubt: its leaves go on hold, and no door lets it in
    /// until it is released.
    quarantine, api::path::DEVICE_QUARANTINE, Quarantine;
    /// Ends a quarantine: every leaf is revoked as superseded, and the device joins again with a new
    /// key only.
    release, api::path::DEVICE_RELEASE, Release;
    /// Strikes a device off for good: every certificate is revoked, the birth certificate too, and
    /// so is every join token that names it.
    retire, api::path::DEVICE_RETIRE, Retire;
}

/// Takes the mark off a device, once somebody knows what it was. The entry keeps it, with the reason;
/// what is odd from now on marks the device anew. One without a mark stays as it is.
#[utoipa::path(post, path = api::path::DEVICE_UNMARK, tag = "devices",
    params(("id" = String, Path, description = "A name of the device"), IfMatch, Idempotent),
    request_body = UnmarkRequest,
    responses((status = 200, body = DeviceView, headers(("etag" = String))), Problems))]
pub(crate) async fn unmark(
    state: State,
    Operating(who): Operating,
    Named(name): Named<String>,
    headers: HeaderMap,
    Json(why): Json<UnmarkRequest>,
) -> Result<Response, Refused> {
    let reason = remark("reason", &why.reason)?;
    if reason.trim().is_empty() {
        let sentence = "`reason` is empty: say what it was, the ledger keeps it".to_owned();
        return Err(Refused::Malformed(sentence));
    }
    act(&state, &who, &name, &headers, &Deed::Unmark(reason)).await
}

/// Puts a device into a group.
#[utoipa::path(put, path = api::path::DEVICE_GROUP, tag = "devices",
    params(("id" = String, Path, description = "A name of the device"),
        ("group" = String, Path, description = "1 to 64 of letters, digits and `-_.`"), IfMatch,
        Idempotent),
    responses((status = 200, body = DeviceView, headers(("etag" = String))), Problems))]
pub(crate) async fn group_add(
    state: State,
    Operating(who): Operating,
    Named((name, group)): Named<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    regroup(&state, &who, &name, &headers, (&group, true)).await
}

/// Takes a device out of a group.
#[utoipa::path(delete, path = api::path::DEVICE_GROUP, tag = "devices",
    params(("id" = String, Path, description = "A name of the device"),
        ("group" = String, Path, description = "The group"), IfMatch),
    responses((status = 200, body = DeviceView, headers(("etag" = String))), Problems))]
pub(crate) async fn group_remove(
    state: State,
    Operating(who): Operating,
    Named((name, group)): Named<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    regroup(&state, &who, &name, &headers, (&group, false)).await
}

/// A change that was decided on, with its entry; `None` where nothing is left to do.
pub(super) type Decided = Option<(Change, Class, Payload)>;

/// What is to be done to a device, one or many.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// Move it, and why.
    Stand(Move, Option<String>),
    /// Put it into a group, or take it out.
    Group(GroupName, bool),
    /// Take its mark away, and why.
    Unmark(String),
}

impl Deed {
    /// Whether there is anything to do to this device.
    pub(super) fn would(&self, device: &Device) -> Result<bool, Refused> {
        match self {
            Self::Stand(wanted, _) => {
                let step = wanted.of(device).map_err(|rule| Refused::standing(&rule))?;
                Ok(step.is_some())
            }
            Self::Group(group, into) => Ok(device.groups.contains(group) != *into),
            Self::Unmark(_) => Ok(device.mark.is_some()),
        }
    }

    /// Decides on one device.
    pub(super) fn decide(
        &self,
        state: &State,
        who: &Who,
        device: &Device,
    ) -> Result<Decided, Refused> {
        match self {
            Self::Stand(wanted, reason) => step(state, who, device, (*wanted, reason.as_deref())),
            Self::Group(group, into) => member(who, device, group, *into),
            Self::Unmark(reason) => Ok(unmarked(who, device, reason)),
        }
    }
}

fn step(
    state: &State,
    who: &Who,
    device: &Device,
    (wanted, reason): (Move, Option<&str>),
) -> Result<Decided, Refused> {
    let Some(step) = wanted.of(device).map_err(|rule| Refused::standing(&rule))? else {
        return Ok(None);
    };
    let payload = step.told(device, who.payload(step.verb), reason);
    if wanted != Move::Retire {
        return Ok(Some((step.change(device), Class::Standing, payload)));
    }
    // Whoever holds a token for it shall not bring it back under another identity.
    let at = state.house.clock.now();
    let tokens = state.house.registry.tokens_naming(who.realm.key, device, true)?;
    let told = tokens.iter().map(|id| id.as_str()).collect::<ledger::Value>();
    let payload = if tokens.is_empty() { payload } else { payload.with("tokens", told) };
    let closed = tokens.into_iter().map(|id| Change::TokenRevoked { id, at });
    let mut changes = vec![step.change(device)];
    changes.extend(closed);
    let change = match changes.len() {
        1 => step.change(device),
        _ => Change::Batch(changes),
    };
    Ok(Some((change, Class::Standing, payload)))
}

fn unmarked(who: &Who, device: &Device, reason: &str) -> Decided {
    let mark = device.mark.as_deref()?;
    let payload = who
        .payload("device.unmarked")
        .with("device", device.id.to_string())
        .with("mark", mark)
        .with("reason", reason);
    let change = Change::Unmarked { device: device.id, expected: device.version };
    Some((change, Class::Standing, payload))
}

fn member(who: &Who, device: &Device, group: &GroupName, into: bool) -> Result<Decided, Refused> {
    let mut groups = device.groups.clone();
    let changed = if into { groups.insert(group.clone()) } else { groups.remove(group) };
    if !changed {
        return Ok(None);
    }
    if groups.len() > GROUPS_MAX {
        return Err(Refused::Conflict(format!("a device is in at most {GROUPS_MAX} groups")));
    }
    let payload = who
        .payload(if into { "group.added" } else { "group.removed" })
        .with("device", device.id.to_string())
        .with("group", group.as_str());
    let change = Change::Grouped { device: device.id, expected: device.version, groups };
    Ok(Some((change, Class::Group, payload)))
}

async fn stand(
    state: &State,
    who: &Who,
    name: &str,
    headers: &HeaderMap,
    (why, wanted): (StandingRequest, Move),
) -> Result<Response, Refused> {
    let reason = why.reason.as_deref().map(|r| remark("reason", r)).transpose()?;
    act(state, who, name, headers, &Deed::Stand(wanted, reason)).await
}

async fn regroup(
    state: &State,
    who: &Who,
    name: &str,
    headers: &HeaderMap,
    (text, into): (&str, bool),
) -> Result<Response, Refused> {
    act(state, who, name, headers, &Deed::Group(group(text)?, into)).await
}

/// Reads, decides and commits; decides anew where another change crossed it, unless the caller
/// insisted on a version.
async fn act(
    state: &State,
    who: &Who,
    name: &str,
    headers: &HeaderMap,
    deed: &Deed,
) -> Result<Response, Refused> {
    for _ in 0..DECISIONS_MAX {
        let device = resolve(state, who, name)?;
        if_match(headers, Some(&tag(&device)))?;
        let Some((change, class, payload)) = deed.decide(state, who, &device)? else {
            return shown(state, who, &device);
        };
        match state.house.commit(who.realm.key, change, class, payload).await {
            Err(CommitError::Conflict(Clash::DeviceVersion)) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let device = resolve(state, who, &device.id.to_string())?;
                return shown(state, who, &device);
            }
        }
    }
    Err(Refused::Busy("the device changes too fast to be changed"))
}
