//! The end of what is known of a device: only a retired one is erased, and what remains is told.

use super::body::Named;
use super::device::resolve;
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Admin, Who};
use super::{Answer, State, apart};
use crate::erasure::Over;
use api::EraseResult;
use identity::text::rfc3339;
use identity::{Device, Standing, UnixTime};
use ledger::Class;
use registry::{Change, CommitError, Erasure};

/// How often the emptying of the log is tried while others read.
const SCRUBS_MAX: usize = 10;

/// Destroys what is known of a retired device: its identifiers, its certificates, payload and salt
/// of every entry about it. Its UUID and the proof stay, and nobody is born under its identifiers
/// again.
#[utoipa::path(post, path = api::path::DEVICE_ERASE, tag = "devices",
    params(("id" = String, Path, description = "A name of the device"), Idempotent),
    responses((status = 200, body = EraseResult), Problems))]
pub(crate) async fn erase(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<EraseResult> {
    let device = resolve(&state, &who, &name)?;
    if device.standing != Standing::Retired {
        let sentence = format!(
            "the device is {}: only a retired device is erased, and retiring is for good",
            device.standing
        );
        return Err(Refused::Rule { rule: "not-retired", sentence });
    }
    let before = state.house.registry.erased_at(who.realm.key, &device.id)?;
    let (at, entries) = match before {
        Some(at) => (at, None),
        None => {
            let (at, entries) = destroy(&state, &who, &device).await?;
            (at, Some(entries))
        }
    };
    scrub(&state).await?;
    Ok(axum::Json(EraseResult {
        device: device.id.to_string(),
        erased: rfc3339(at),
        already: entries.is_none(),
        entries: entries.unwrap_or_default(),
        remains: remains(at),
    }))
}

async fn destroy(state: &State, who: &Who, device: &Device) -> Result<(UnixTime, u64), Refused> {
    let (reading, by, told) = (state.clone(), who.clone(), device.clone());
    let erasure = apart(move || plan(&reading, &by, &told)).await?;
    let entries =
        state.house.registry.count_about(who.realm.key, &device.id)? + erasure.entries.len() as u64;
    let payload =
        who.payload("device.erased").with("device", device.id.to_string()).with("entries", entries);
    let change = Change::Erased(erasure);
    state.house.commit(who.realm.key, change, Class::Standing, payload).await?;
    let at = state.house.registry.erased_at(who.realm.key, &device.id)?;
    Ok((at.unwrap_or_else(|| state.house.clock.now()), entries))
}

/// What is to be destroyed, and the digests that stay.
fn plan(state: &State, who: &Who, device: &Device) -> Result<Erasure, Refused> {
    let house = &state.house;
    let tokens = house.registry.tokens_naming(who.realm.key, device, false)?;
    let entries = house.registry.entries_naming(who.realm.key, &tokens)?;
    let digest = |over| {
        let made = house.erasure_digest(&who.realm, &device.identifiers, over);
        made.map_err(|_| Refused::Outage("the ledger key does not sign"))
    };
    let digests = match device.identifiers.serial.is_empty() {
        // Nothing to keep apart, but that it was done.
        true => vec![identity::key::sha256(&[device.id.octets()])],
        false => vec![digest(Over::All)?, digest(Over::Serial)?],
    };
    Ok(Erasure { device: device.id, expected: device.version, entries, tokens, digests })
}

/// The log still holds what was overwritten in the file, until it is emptied.
async fn scrub(state: &State) -> Result<(), Refused> {
    for _ in 0..SCRUBS_MAX {
        let registry = state.house.registry.clone();
        let done = tokio::task::spawn_blocking(move || registry.scrub_wait()).await;
        match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(CommitError::Busy)) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Refused::Outage("the request failed within the server")),
        }
    }
    Err(Refused::Busy(
        "it is erased, but others are reading an older state, so that the log still holds it",
    ))
}

fn remains(at: UnixTime) -> Vec<String> {
    let at = rfc3339(at);
    vec![
        format!("copies and back-ups of the home made before {at} still hold it: let them end"),
        "so do exports of the ledger, logs, and what other systems were sent".to_owned(),
        "answers that are kept for an `Idempotency-Key` hold it up to 24 hours, encrypted"
            .to_owned(),
        "its UUID, its standing, the numbers and dates of its certificates and the entries' \
         digests stay, and a keyed digest of its serial number"
            .to_owned(),
        "the SHA-256 of its public keys stays, so that none of them comes in again".to_owned(),
    ]
}
