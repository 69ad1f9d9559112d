//! The ledger as operators read it, and as somebody who does not believe us computes it again.

pub(crate) mod seek;

use super::body::{Asked, Named};
use super::openapi::Problems;
use super::page::{cursor, limit, page};
use super::refuse::Refused;
use super::who::{Viewer, Who};
use super::{Answer, State, apart, view};
use crate::checkpoint::fresh;
use api::{EntryRow, EntryView, HeadView, Page};
use identity::text::{base64, hex, rfc3339};
use ledger::{Entry, Event, Payload, Value, VerifierKey};
use seek::Sought;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Stretch {
    /// The first entry's number; instead of `after`.
    from: Option<u64>,
    /// The cursor that the page before gave as `next`.
    after: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Lists entries, as people read them: in their order, or the newest first. A page may be short,
/// and even empty, although more follow.
#[utoipa::path(get, path = api::path::ENTRIES, tag = "entries", params(Sought),
    responses((status = 200, body = Page<EntryView>), Problems))]
pub(crate) async fn entries(
    state: State,
    Viewer(who): Viewer,
    Asked(sought): Asked<Sought>,
) -> Answer<Page<EntryView>> {
    apart(move || seek::find(&state, &who, sought).map(axum::Json)).await
}

/// Lists entries with payloads and salts, for a verifier.
#[utoipa::path(get, path = api::path::ROWS, tag = "entries", params(Stretch),
    responses((status = 200, body = Page<EntryRow>), Problems))]
pub(crate) async fn rows(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Stretch>,
) -> Answer<Page<EntryRow>> {
    apart(move || stretch(&state, &who, &asked, row).map(axum::Json)).await
}

/// Shows one entry.
#[utoipa::path(get, path = api::path::ENTRY, tag = "entries",
    params(("index" = u64, Path, description = "Its number")),
    responses((status = 200, body = EntryView), Problems))]
pub(crate) async fn entry(
    state: State,
    Viewer(who): Viewer,
    Named(index): Named<u64>,
) -> Answer<EntryView> {
    let rows = state.house.registry.entries(who.realm.key, index, 1)?;
    let missing = || Refused::Missing { what: "entry", name: index.to_string() };
    rows.first().filter(|r| r.index == index).map(shown).map(axum::Json).ok_or_else(missing)
}

/// Shows size, root and a fresh checkpoint of the ledger.
#[utoipa::path(get, path = api::path::HEAD, tag = "entries",
    responses((status = 200, body = HeadView), Problems))]
pub(crate) async fn head(state: State, Viewer(who): Viewer) -> Answer<HeadView> {
    let (seen, checkpoint) = fresh(&state.house, &who.realm).map_err(|error| {
        tracing::error!("the checkpoint was not signed: {error}");
        Refused::Outage("the ledger's head is not signed: the server's log says why")
    })?;
    let key = VerifierKey::new(&seen.origin, state.house.ledger_key.public());
    Ok(axum::Json(HeadView {
        origin: seen.origin.to_string(),
        size: seen.size,
        root: hex(&seen.root),
        checkpoint: Some(checkpoint),
        verifier: key.map(|key| key.to_string()),
    }))
}

fn stretch<V>(
    state: &State,
    who: &Who,
    asked: &Stretch,
    view: impl Fn(&registry::EntryRow) -> V,
) -> Result<Page<V>, Refused> {
    let limit = limit(asked.limit)?;
    let after = cursor(asked.after.as_deref(), |text| text.parse::<u64>().ok())?;
    let from = match (asked.from, after) {
        (Some(_), Some(_)) => {
            let sentence = "`from` and `after` exclude each other".to_owned();
            return Err(Refused::Malformed(sentence));
        }
        (Some(from), None) => from,
        (None, Some(after)) => after.saturating_add(1),
        (None, None) => 0,
    };
    // SQL counts in 63 bits, and so do the integers of the description (`int64`).
    if i64::try_from(from).is_err() {
        return Err(Refused::Malformed("an entry has a number below 2^63".to_owned()));
    }
    let rows = state.house.registry.entries(who.realm.key, from, limit)?;
    Ok(page(rows, limit, |r| r.index.to_string(), view))
}

/// An entry as people read it.
pub(crate) fn shown(row: &registry::EntryRow) -> EntryView {
    let entry = Entry::decode(&row.entry).ok();
    let payload = row.payload.as_deref().and_then(|p| Payload::decode(p).ok());
    let event = payload.as_ref().and_then(|p| Event::of(p.verb()));
    EntryView {
        index: row.index,
        hours: entry.map_or(row.at.hours(), |e| e.hours),
        at: Some(rfc3339(row.at)),
        class: entry.map(|e| e.class.to_string()).unwrap_or_default(),
        digest: entry.map(|e| hex(&e.digest)).unwrap_or_default(),
        verb: payload.as_ref().map(|p| p.verb().to_owned()),
        event: event.map(|e| e.id),
        severity: payload.as_ref().and_then(ledger::event::gravity).map(view::severity),
        damaged: row.payload.is_some() && payload.is_none(),
        payload: payload.map(|p| {
            serde_json::Value::Object(p.iter().map(|(k, v)| (k.to_owned(), plain(v))).collect())
        }),
    }
}

fn row(row: &registry::EntryRow) -> EntryRow {
    EntryRow {
        index: row.index,
        entry: base64(&row.entry),
        payload: row.payload.as_deref().map(base64),
        salt: row.salt.as_ref().map(|s| base64(s)),
        at: Some(rfc3339(row.at)),
    }
}

/// A value as JSON has it; octets in hex.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Uint(number) => json!(number),
        Value::Bytes(octets) => json!(hex(octets)),
        Value::Bool(yes) => json!(yes),
        Value::List(list) => list.iter().map(plain).collect(),
        Value::Map(map) => {
            serde_json::Value::Object(map.iter().map(|(k, v)| (k.to_owned(), plain(v))).collect())
        }
    }
}
