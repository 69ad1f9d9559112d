//! Writes happen once. A write runs to its end even if its caller hangs up, so that what was
//! committed is also read anew; and a POST or PUT that carries an `Idempotency-Key` is answered for
//! 24 hours with the answer of its first time.
//!
//! What is kept may hold a secret (a join token is shown once), so it is sealed under a key that
//! only the bearer of the credential and the idempotency key can make: the database alone does not
//! tell it. A refusal changed nothing and is not kept, and neither are answers of births, which
//! repeat by themselves; of those only the key is. If the process dies between the commit and
//! the note, a repeated request runs again: births answer the same, and a second token or
//! operator shows in the lists.

mod sealed;

use super::body::{BATCH_OCTETS_MAX, BODY_OCTETS_MAX, bounded};
use super::refuse::Refused;
use super::who::{self, Who};
use super::{State, apart};
use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use identity::UnixTime;
use identity::key::sha256;
use registry::{Noted, RealmKey, Registry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Where the registry keeps the answers.
const SPACE: &str = "idempotency";
/// How long an answer is kept: a caller that lost it retries within a working day.
const KEPT_S: u64 = 86_400;
/// A longer answer is not kept. Only lists of births are longer, and a repeated birth answers the
/// same by itself.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// Keys that one credential may have within that time: a fleet of 100,000 changed with a request
/// each. A key alone has some 120 octets of database. Births repeat by themselves, so none of their
/// answers is kept: a station that repeats itself leaves 12 MB at most, and beyond this it is served
/// all the same, and its keys are not remembered.
pub(crate) const KEYS_MAX: u64 = 100_000;
/// What is kept for all keys of one credential: so many answers of 1.3 KB each, which is a device as
/// it is shown. Answers of the largest size fill it with 2,000.
pub(crate) const ANSWERS_OCTETS_MAX: u64 = 128 * 1024 * 1024;
/// Ended answers that are taken away before the writer is waited for, whose queue is bounded.
const SWEPT_AT_ONCE: usize = 512;
/// Characters of a key: a UUID has 36, a digest in hex 64.
const KEY_OCTETS_MAX: usize = 255;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The keyed requests that are under way, and what is kept of those before, by realm.
#[derive(Default)]
pub(crate) struct Flights {
    keys: Mutex<HashSet<Slot>>,
    kept: Mutex<HashMap<RealmKey, Kept>>,
    /// Held by whoever sweeps and counts in a realm.
    counting: Mutex<HashMap<RealmKey, Arc<tokio::sync::Mutex<()>>>>,
}

impl Flights {
    pub(super) fn counting(&self, realm: RealmKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(realm).or_default())
    }
}

type Slot = (RealmKey, [u8; 32]);

/// What is kept in a realm, and the hour in which that was swept and counted.
struct Kept {
    by_bearer: ByBearer,
    hour: u64,
}

type ByBearer = BTreeMap<Vec<u8>, Noted>;

impl Kept {
    fn of(&self, slot: &[u8]) -> Noted {
        self.by_bearer.get(bearer(slot)).copied().unwrap_or_default()
    }

    fn add(&mut self, slot: &[u8], octets: usize) {
        let held = self.by_bearer.entry(bearer(slot).to_vec()).or_default();
        held.count += 1;
        held.octets += octets as u64;
    }

    /// Adds what came between two states of the count before.
    fn grow(&mut self, before: &ByBearer, after: &ByBearer) {
        for (bearer, after) in after {
            let before = before.get(bearer).copied().unwrap_or_default();
            if *after != before {
                let held = self.by_bearer.entry(bearer.clone()).or_default();
                held.count += after.count.saturating_sub(before.count);
                held.octets += after.octets.saturating_sub(before.octets);
            }
        }
    }
}

/// So many octets at the front of a slot are its credential's.
const BEARER_OCTETS: u8 = 8;

fn bearer(slot: &[u8]) -> &[u8] {
    slot.get(..BEARER_OCTETS.into()).unwrap_or(slot)
}

/// One keyed request under way; over when dropped.
struct Flight {
    flights: Arc<Flights>,
    slot: Slot,
}

impl Flight {
    fn begin(flights: &Arc<Flights>, slot: Slot) -> Result<Self, Refused> {
        let mut keys = flights.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(slot) {
            return Err(Refused::KeyBusy);
        }
        Ok(Self { flights: Arc::clone(flights), slot })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
    }
}

/// What a keyed request is known by.
struct Keyed {
    who: Who,
    slot: Slot,
    /// Digest of method, address and body.
    request: [u8; 32],
    /// Seals the answer.
    seal: [u8; 32],
    /// Whether the answer is long and repeats by itself.
    repeats: bool,
}

/// The middleware: bounds the body of a write, runs the write apart from its connection, and
/// answers a key that comes again.
pub(crate) async fn once(
    axum::extract::State(state): axum::extract::State<State>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    // Detached, so that a caller who hangs up cannot stop a write between its commit and what
    // follows it.
    let write = tokio::spawn(write(state, request, next));
    match write.await {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => Refused::Outage("the request failed within the server").into_response(),
    }
}

async fn write(state: State, request: Request, next: Next) -> Result<Response, Refused> {
    let births = request.uri().path() == api::path::BIRTHS;
    let octets_max = if births { BATCH_OCTETS_MAX } else { BODY_OCTETS_MAX };
    let (mut parts, body) = request.into_parts();
    let body = bounded(body, octets_max).await?;
    // A body may come slowly: who lost the credential or the role meanwhile writes nothing.
    let who = parts.extensions.remove::<Who>().ok_or(Refused::NoCredential)?;
    parts.extensions.insert(who::still(&state, who)?);
    let named = matches!(parts.method, Method::POST | Method::PUT);
    let keyed = named.then(|| keyed(&parts, &body, births)).transpose()?;
    let request = Request::from_parts(parts, Body::from(body));
    let Some(keyed) = keyed.flatten() else { return Ok(next.run(request).await) };

    let _flight = Flight::begin(&state.flights, keyed.slot)?;
    if let Some(response) = kept(&state, &keyed)? {
        return Ok(response);
    }
    let held = held(&state, &keyed.slot).await?;
    if held.count >= KEYS_MAX || held.octets >= ANSWERS_OCTETS_MAX {
        return if keyed.repeats { Ok(next.run(request).await) } else { Err(Refused::TooManyKeys) };
    }
    let response = next.run(request).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    keep(&state, &keyed, response).await
}

fn keyed(
    parts: &axum::http::request::Parts,
    body: &Bytes,
    repeats: bool,
) -> Result<Option<Keyed>, Refused> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let who = parts.extensions.get::<Who>().cloned().ok_or(Refused::NoCredential)?;
    let key = key.as_bytes();
    let fit = (1..=KEY_OCTETS_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if !fit {
        let sentence =
            format!("`Idempotency-Key` is 1 to {KEY_OCTETS_MAX} visible ASCII characters");
        return Err(Refused::Malformed(sentence));
    }
    let address = parts.uri.path_and_query().map_or("", |p| p.as_str());
    let mut slot = sha256(&[who.id.as_str().as_bytes(), b"\0", key]);
    let of = sha256(&[who.id.as_str().as_bytes()]);
    slot.iter_mut().zip(bearer(&of)).for_each(|(octet, of)| *octet = *of);
    let seal = sha256(&[b"muster/idempotency/v1\0", &who.seal, key]);
    let method = parts.method.as_str().as_bytes();
    let request = sha256(&[method, b"\0", address.as_bytes(), b"\0", body]);
    Ok(Some(Keyed { slot: (who.realm.key, slot), who, request, seal, repeats }))
}

/// The answer that is kept for this key; `None` where it is new or has to run again.
fn kept(state: &State, keyed: &Keyed) -> Result<Option<Response>, Refused> {
    let (realm, slot) = &keyed.slot;
    let Some(row) = state.house.registry.noted(*realm, SPACE, slot)? else { return Ok(None) };
    let Some((at, request, sealed)) = parse(&row) else { return Ok(None) };
    if state.house.clock.now().secs_since(at) >= KEPT_S {
        return Ok(None);
    }
    if request != keyed.request {
        return Err(Refused::KeyReused);
    }
    Ok(sealed::open(&keyed.seal, sealed))
}

/// What is kept for the credential of this slot. Once an hour what has ended in its realm goes, and
/// what is left is counted, by one request and on a thread that may block; in between the count is
/// kept up. Those beside the one that counts go on with the count before, and wait where there is
/// none. An hour whose count failed is counted by the next.
pub(super) async fn held(state: &State, (realm, slot): &Slot) -> Result<Noted, Refused> {
    let known = |now: UnixTime| {
        let all = kept_of(state);
        all.get(realm).map(|kept| (kept.of(slot), kept.hour == now.hours()))
    };
    let counting = state.flights.counting(*realm);
    let _turn = match known(state.house.clock.now()) {
        Some((held, true)) => return Ok(held),
        Some((held, false)) => match counting.try_lock() {
            Ok(turn) => turn,
            Err(_) => return Ok(held),
        },
        None => counting.lock().await,
    };
    let now = state.house.clock.now();
    if let Some((held, true)) = known(now) {
        return Ok(held);
    }
    count(state, *realm, now).await?;
    Ok(kept_of(state).get(realm).map(|kept| kept.of(slot)).unwrap_or_default())
}

/// Sweeps and counts. What is added meanwhile comes on top, though the count may have it already; a
/// note that waits to be written when the count begins is missed until the next hour.
async fn count(state: &State, realm: RealmKey, now: UnixTime) -> Result<(), Refused> {
    let before = kept_of(state).get(&realm).map(|kept| kept.by_bearer.clone());
    let registry = state.house.registry.clone();
    let by_bearer = apart(move || {
        sweep(&registry, realm, now)?;
        Ok(registry.noted_by_front(realm, SPACE, BEARER_OCTETS.into())?)
    })
    .await?;
    let mut kept = Kept { by_bearer, hour: now.hours() };
    let mut all = kept_of(state);
    if let (Some(before), Some(after)) = (before, all.get(&realm)) {
        kept.grow(&before, &after.by_bearer);
    }
    all.insert(realm, kept);
    Ok(())
}

/// Takes away what has ended. What cannot be taken away now is in the next hour.
fn sweep(registry: &Registry, realm: RealmKey, now: UnixTime) -> Result<(), Refused> {
    let ended = now.minus_secs(KEPT_S).millis().to_be_bytes();
    let gone = registry.noted_until(realm, SPACE, &ended)?;
    for some in gone.chunks(SWEPT_AT_ONCE) {
        let Some((last, others)) = some.split_last() else { continue };
        for key in others {
            registry.note(realm, SPACE, key, None, Box::new(drop));
        }
        if let Err(error) = registry.note_wait(realm, SPACE, last, None) {
            tracing::warn!("ended idempotency keys are left: {error}");
            break;
        }
    }
    Ok(())
}

async fn keep(state: &State, keyed: &Keyed, response: Response) -> Result<Response, Refused> {
    let (parts, body) = response.into_parts();
    let body = bounded(body, usize::MAX).await?;
    let now = state.house.clock.now();
    let fits = !keyed.repeats && body.len() <= ANSWER_OCTETS_MAX;
    let sealed = if fits { sealed::seal(&keyed.seal, &parts, &body) } else { None };
    let row = format(now, &keyed.request, sealed.as_deref().unwrap_or_default());
    if let Some(kept) = kept_of(state).get_mut(&keyed.slot.0) {
        kept.add(&keyed.slot.1, row.len());
    }
    note(state, keyed.slot.0, keyed.slot.1.to_vec(), Some(row)).await;
    tracing::debug!(by = keyed.who.name, "kept the answer of a keyed request");
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Notes and waits. A note that cannot be written costs only the replay, so it is logged.
async fn note(state: &State, realm: RealmKey, key: Vec<u8>, value: Option<Vec<u8>>) {
    let (answer, answered) = oneshot::channel();
    let tell = move |result| {
        let _gone = answer.send(result);
    };
    state.house.registry.note(realm, SPACE, &key, value, Box::new(tell));
    match answered.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("an idempotency key could not be noted: {error}"),
        Err(_) => tracing::warn!("an idempotency key could not be noted: the registry is closed"),
    }
}

fn kept_of(state: &State) -> MutexGuard<'_, HashMap<RealmKey, Kept>> {
    state.flights.kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When, which request, and the sealed answer.
fn format(at: UnixTime, request: &[u8; 32], sealed: &[u8]) -> Vec<u8> {
    [&at.millis().to_be_bytes(), request.as_slice(), sealed].concat()
}

fn parse(row: &[u8]) -> Option<(UnixTime, [u8; 32], &[u8])> {
    let (at, rest) = row.split_first_chunk::<8>()?;
    let (request, sealed) = rest.split_first_chunk::<32>()?;
    Some((UnixTime::from_millis(u64::from_be_bytes(*at)), *request, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_while_somebody_counts_is_not_lost() {
        let slot = |of: u8| [[of; 8].as_slice(), &[0; 24]].concat();
        let mut old = Kept { by_bearer: ByBearer::new(), hour: 1 };
        old.add(&slot(1), 100);
        old.add(&slot(2), 100);
        let before = old.by_bearer.clone();
        old.add(&slot(1), 40);
        old.add(&slot(3), 40);

        // The sweep took what the second had.
        let counted = [([1; 8].to_vec(), Noted { count: 1, octets: 100 })];
        let mut new = Kept { by_bearer: counted.into(), hour: 2 };
        new.grow(&before, &old.by_bearer);

        assert_eq!(new.of(&slot(1)), Noted { count: 2, octets: 140 });
        assert_eq!(new.of(&slot(2)), Noted::default());
        assert_eq!(new.of(&slot(3)), Noted { count: 1, octets: 40 });
    }
}
