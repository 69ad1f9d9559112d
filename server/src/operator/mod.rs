//! The operators' interface: REST at 9443 `/api/v1`, how the process is, and figures.
//!
//! A request goes through three rings. The outer one ([`told`]) writes refusals as `problem+json`
//! and counts; [`who`] looks whose token it is; [`once`] bounds the body, runs writes apart from
//! their connection and answers a repeated `Idempotency-Key`. Inside, a handler takes a permission
//! (`Viewer`, `Midwife`, `Operating`, `Admin`) as an argument, reads, decides, and commits with an
//! entry that says who did it and from where.
//!
//! The types and addresses are in the crate `api`. Read on in `refuse` for what a refusal says, in
//! `who` for roles, and in `device` for the longest of the handlers. TLS is the listener's.

mod authority;
mod birth;
mod body;
mod certificate;
mod change;
mod device;
mod door;
mod erase;
mod events;
mod figures;
mod ledger;
mod members;
mod moves;
mod once;
mod openapi;
mod operators;
mod page;
mod profile;
mod realm;
mod receipt;
mod refuse;
mod said;
mod sink;
mod tag;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod view;
mod who;
mod witness;
mod workshop;

pub(crate) use self::ledger::shown;
pub(crate) use self::view::severity_of;
pub use workshop::Workshop;

use crate::clock::SystemDice;
use crate::house::House;
use crate::listen::Stop;
use ::ledger::{Class, Payload};
use api::{Check, path};
use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use identity::Outside;
use refuse::Refused;
use registry::Change;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, watch};
use who::Who;

/// Where a request came from; the listener hands it in as an extension.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address of the client, behind any balancer.
    pub addr: IpAddr,
}

/// Further checks for `/readyz`, made at most once a second; they must be quick.
pub type Checks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// What the host of a home adds to the interface.
#[derive(Clone, Default)]
pub struct Fittings {
    /// What else `/readyz` looks at.
    pub checks: Option<Checks>,
    /// Who makes keys and publishes what was signed offline.
    pub workshop: Option<Arc<dyn Workshop>>,
    /// When what has no end by itself ends.
    pub stop: Option<Stop>,
}

/// The interface of a house.
pub fn router(house: Arc<House>) -> Router {
    router_with(house, Fittings::default())
}

/// The interface of a house, with what the host of a home adds.
pub fn router_with(house: Arc<House>, fittings: Fittings) -> Router {
    let state = State::new(house, fittings);
    let guarded = devices()
        .merge(rules())
        .merge(records())
        .route_layer(from_fn_with_state(state.clone(), once::once))
        .route_layer(from_fn_with_state(state.clone(), who::recognize));
    let open = Router::new()
        .route(path::OPENAPI, get(document))
        .route(path::HEALTHZ, get(figures::health))
        .route(path::READYZ, get(figures::ready));
    guarded
        .merge(open)
        .fallback(async || Refused::NoSuchPath)
        .method_not_allowed_fallback(async || Refused::NoSuchMethod)
        .layer(from_fn_with_state(state.clone(), told))
        .layer(from_fn(quiet))
        .with_state(state)
}

fn devices() -> Router<State> {
    Router::new()
        .route(path::DEVICES, get(device::list))
        .route(path::DEVICE_MOVES, post(moves::moves))
        .route(path::DEVICE, get(device::show))
        .route(path::DEVICE_CERTIFICATES, get(device::certificates))
        .route(path::DEVICE_SUSPEND, post(change::suspend))
        .route(path::DEVICE_RESUME, post(change::resume))
        .route(path::DEVICE_QUARANTINE, post(change::quarantine))
        .route(path::DEVICE_RELEASE, post(change::release))
        .route(path::DEVICE_RETIRE, post(change::retire))
        .route(path::DEVICE_UNMARK, post(change::unmark))
        .route(path::DEVICE_ERASE, post(erase::erase))
        .route(path::DEVICE_GROUP, put(change::group_add).delete(change::group_remove))
        .route(path::DEVICE_RECEIPT, get(receipt::of_device))
        .route(path::GROUPS, get(realm::groups))
        .route(path::BIRTHS, post(birth::births))
        .route(path::CERTIFICATES, get(certificate::list))
        .route(path::CERTIFICATE, get(certificate::show))
        .route(path::CERTIFICATE_REVOKE, post(certificate::revoke))
        .route(path::CERTIFICATE_RECEIPT, get(receipt::of_certificate))
        .route(path::CERTIFICATE_RELEASE, post(certificate::release))
        .route(path::TOKENS, get(token::list).post(token::make))
        .route(path::TOKEN, get(token::show).delete(token::revoke))
}

fn rules() -> Router<State> {
    Router::new()
        .route(path::AUTHORITIES, get(authority::list).post(authority::install))
        .route(path::AUTHORITY_REQUESTS, get(workshop::requests).post(workshop::request))
        .route(path::AUTHORITY_REQUEST, delete(workshop::abandon))
        .route(path::AUTHORITY_ROOT, post(authority::root::succeed))
        .route(path::ROOTS, get(authority::root::roots))
        .route(path::AUTHORITY_REVOKE, post(authority::revoke))
        .route(path::AUTHORITY_CRL, put(workshop::publish))
        .route(path::AUTHORITY, get(authority::show).patch(authority::change))
        .route(path::DOORS, get(door::list))
        .route(path::DOOR, get(door::show).put(door::set).delete(door::remove))
        .route(path::DOOR_OPEN, post(door::open))
        .route(path::DOOR_CLOSE, post(door::close))
        .route(path::PROFILES, get(profile::list))
        .route(path::PROFILE, get(profile::show).put(profile::set))
        .route(path::OPERATORS, get(operators::list).post(operators::add))
        .route(path::OPERATOR, delete(operators::remove))
        .route(path::REALM, get(realm::show))
        .route(path::SETTINGS, get(realm::settings).put(realm::set))
        .route(path::SINKS, get(sink::list))
        .route(path::SINK, get(sink::show).put(sink::set).delete(sink::remove))
        .route(path::SINK_TEST, post(sink::test))
        .route(path::SINK_DEAD, get(sink::dead).delete(sink::give_up))
        .route(path::SINK_RETRY, post(sink::retry))
}

fn records() -> Router<State> {
    Router::new()
        .route(path::ENTRIES, get(ledger::entries))
        .route(path::ENTRY, get(ledger::entry))
        .route(path::ROWS, get(ledger::rows))
        .route(path::HEAD, get(ledger::head))
        .route(path::CONSISTENCY, get(receipt::consistency))
        .route(path::WITNESSES, get(witness::list))
        .route(path::WITNESS, put(witness::set).delete(witness::remove))
        .route(path::EVENTS, get(events::events))
        .route(path::METRICS, get(figures::metrics))
}

/// What every request has at hand.
#[derive(Clone)]
pub(crate) struct State {
    house: Arc<House>,
    /// Keyed writes under way.
    flights: Arc<once::Flights>,
    /// Rises whenever a ledger grows.
    tide: Arc<watch::Sender<u64>>,
    /// Event streams that may still be opened.
    streams: Arc<Semaphore>,
    overdue: Arc<figures::OverdueSeen>,
    readiness: Arc<figures::ReadinessSeen>,
    leaves: Arc<authority::LeavesSeen>,
    checks: Option<Checks>,
    workshop: Option<Arc<dyn Workshop>>,
    /// Held by whoever changes a door, a profile, a setting, a witness, a sink or a root's list.
    rules: Arc<Mutex<()>>,
    stop: Option<Stop>,
    document: Arc<str>,
}

impl State {
    fn new(house: Arc<House>, fittings: Fittings) -> Self {
        let tide = Arc::new(watch::Sender::new(0));
        let rises = Arc::clone(&tide);
        let told = move |_, _| rises.send_modify(|level: &mut u64| *level = level.wrapping_add(1));
        house.registry.on_entry(Box::new(told));
        Self {
            house,
            flights: Arc::default(),
            tide,
            streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
            overdue: Arc::default(),
            readiness: Arc::default(),
            leaves: Arc::default(),
            checks: fittings.checks,
            workshop: fittings.workshop,
            rules: Arc::default(),
            stop: fittings.stop,
            document: openapi::document().into(),
        }
    }

    /// Calls `act` with the world outside as it is now.
    fn outside<T>(&self, act: impl FnOnce(&mut Outside<'_>) -> T) -> T {
        act(&mut Outside { now: self.house.clock.now(), dice: &mut SystemDice })
    }

    /// Doors, profiles, settings and the like change one after the other: what is decided on is what
    /// the change before left, so that an `If-Match` or a bound holds until the commit, and who lost
    /// the right to it while waiting changes nothing.
    async fn turn(&self, who: Who) -> Result<(Who, OwnedMutexGuard<()>), Refused> {
        let turn = Arc::clone(&self.rules).lock_owned().await;
        Ok((who::admin_still(self, who)?, turn))
    }

    /// Commits a change of what every decision has at hand, and has it read anew.
    async fn change(
        &self,
        who: &Who,
        change: Change,
        class: Class,
        payload: Payload,
    ) -> Result<(), Refused> {
        let committed = self.house.commit(who.realm.key, change, class, payload).await;
        // Also what clashed is a reason to read: a change before this one may not have been read.
        let read = self.house.reload(who.realm.name());
        committed?;
        Ok(read?)
    }
}

impl FromRequestParts<State> for State {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &State) -> Result<Self, Infallible> {
        Ok(state.clone())
    }
}

impl Who {
    /// The beginning of an entry: what was done, by whom, from where.
    fn payload(&self, verb: &str) -> Payload {
        Payload::new(verb).with("by", self.name.as_str()).with("from", self.from.to_string())
    }
}

/// What a handler that shows something answers.
type Answer<T> = Result<axum::Json<T>, Refused>;

/// Runs what reads many rows on a thread that may block.
async fn apart<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or(Err(Refused::Outage("the request failed within the server")))
}

async fn document(state: State) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.document.to_string()).into_response()
}

/// Writes refusals, and counts.
async fn told(
    axum::extract::State(state): axum::extract::State<State>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let realm = response.extensions().get::<who::Realm>().map(|r| r.0.clone()).unwrap_or_default();
    let (response, rule) = refuse::finish(response, &path);
    let metrics = &state.house.metrics;
    // A made-up method must not make a series.
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = if known.contains(&method.as_str()) { method.as_str() } else { "other" };
    metrics.request(&realm, method, response.status().as_u16());
    if let Some(rule) = rule {
        metrics.refusal(&realm, "operator", rule);
    }
    response
}

/// Nothing of this interface is for caches, and nothing is to be guessed at.
async fn quiet(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
