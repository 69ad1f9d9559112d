//! Port 8443, the devices' own: a thin adapter between HTTP and the conversations of `enroll`.
//!
//! A request is read within its limits, the machine hears it, and what it asks for is done:
//! [`desk`] carries a wish for a leaf to its durable answer, on the facts that [`facts`] gathers;
//! [`contact`] hears of every handshake, and [`caught`] acts where two parties hold one identity;
//! [`own`] takes what a device says of itself.

mod caught;
mod contact;
mod desk;
mod facts;
#[cfg(test)]
mod model;
mod own;

pub use contact::meet;

use crate::house::{House, RealmState};
use crate::limits;
use crate::listen::{BodyError, Connection, read_body};
use crate::public::date::http_date;
use crate::record::Refused;
use bytes::Bytes;
use ca::Recognized;
use enroll::device;
use enroll::est::Request as Said;
use enroll::est::server::{self, Action, Answer};
use enroll::est::wire::{BODY_OCTETS_MAX, Place};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use identity::ask::Shown;
use identity::{Certificate, Defect, RealmName, Refusal, RuleId};
use std::sync::Arc;

/// Answers one request of a device, and says what time it is: a device whose clock starts in 1970
/// has nobody else to ask.
pub async fn answer(
    house: Arc<House>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let now = house.clock.now();
    let mut response = hear(house, connection, request).await;
    if let Ok(date) = HeaderValue::try_from(http_date(now)) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn hear(
    house: Arc<House>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // A path of no realm, or of one that is not here, is judged as the default one's: its refusals
    // have to stand somewhere.
    let path = head.uri.path();
    let named = Place::parse(path).map(|p| p.realm);
    let named = named.or_else(|| device::Place::parse(path).map(|p| p.realm));
    let name = named.unwrap_or_else(RealmName::default_realm);
    let found = house.realm(&name);
    let missing = found.is_none();
    let Some(realm) = found.or_else(|| house.realm(&RealmName::default_realm())) else {
        return write(server::refuse(&nowhere(&name)));
    };
    contact::note(&house, &realm, &connection).await;
    let stranger = !contact::is_in_good_standing(&house, &realm, &connection);
    let chain = match barred(stranger, (&realm, &connection), &head.headers) {
        Ok(chain) => chain,
        Err(refusal) => return write(refuse(&house, &realm, &connection, &refusal).await),
    };
    if missing {
        return write(refuse(&house, &realm, &connection, &nowhere(&name)).await);
    }
    let body = match read_body(body, BODY_OCTETS_MAX, limits::BODY).await {
        Ok(body) => body,
        Err(error) => return write(unread(&house, &realm, &connection, error).await),
    };
    connection.hear(true);
    if device::Place::is_below(path) {
        let kind = text(&head.headers, header::CONTENT_TYPE);
        let action = device::server::hear(head.method.as_str(), path, kind, &body);
        return write(heed(&house, &realm, &connection, action).await);
    }
    let said = Said {
        method: head.method.as_str(),
        path: head.uri.path(),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        authorization: text(&head.headers, header::AUTHORIZATION),
        receipt: text(&head.headers, HeaderName::from_static("muster-receipt")),
        body: &body,
        chain,
        exporter: connection.exporter,
        from: connection.peer,
    };
    let action = server::hear(said);
    let asks = matches!(action, Action::Judge { .. });
    let answer = act(&house, &realm, &connection, action).await;
    if asks && answer.refusal.is_none() {
        connection.prove();
        if stranger {
            connection.stranger_came_in();
        }
    }
    write(answer)
}

/// What is refused before the body is read: a certificate that cannot be read, a compressed body, a
/// stranger that asks too often. Else the certificates that were shown.
fn barred(
    stranger: bool,
    (realm, connection): (&RealmState, &Connection),
    headers: &HeaderMap,
) -> Result<Vec<Certificate>, Refusal> {
    let chain = contact::shown(realm, connection).map_err(Refusal::Malformed)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        let sentence =
            "send the body as it is: a small request that unfolds into a large one is not read";
        return Err(Refusal::Malformed(Defect::new("content-encoding", sentence)));
    }
    if headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        let sentence = "two `Content-Type` headers say two things of one body: send one";
        return Err(Refusal::Malformed(Defect::new("content-type-twice", sentence)));
    }
    if stranger && !connection.stranger_may_ask() {
        return Err(Refusal::Denied(RuleId::RATE));
    }
    Ok(chain)
}

/// Does what a device says of itself asks for.
async fn heed(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    action: device::server::Action,
) -> Answer {
    match action {
        device::server::Action::Note(_, said) => own::note(house, realm, connection, &said).await,
        device::server::Action::LetGo(_) => own::let_go(house, realm, connection).await,
        device::server::Action::Answer(answer) => {
            if let Some(refusal) = &answer.refusal {
                record(house, realm, connection, refusal).await;
            }
            answer
        }
    }
}

async fn act(house: &House, realm: &RealmState, connection: &Connection, action: Action) -> Answer {
    match action {
        Action::CaCerts(_) => server::cacerts(&realm.device_anchors()),
        Action::CsrAttrs { shown, .. } => csrattrs(house, realm, &shown),
        Action::Judge { ask, .. } => desk::enroll(house, realm, &ask).await,
        Action::Answer(answer) => match &answer.refusal {
            Some(_) if is_worn(house, realm, connection) => {
                refuse(house, realm, connection, &Refusal::Denied(RuleId::RATE)).await
            }
            Some(refusal) => {
                record(house, realm, connection, refusal).await;
                answer
            }
            None => answer,
        },
    }
}

/// What the door that what was shown leads to wants of a request; without one, what the standard
/// profile wants.
fn csrattrs(house: &House, realm: &RealmState, shown: &Shown) -> Answer {
    let trust = ca::Trust { authorities: &realm.authorities, doors: &realm.doors };
    let door = ca::recognize(shown, &trust, house.clock.now()).ok().and_then(|recognized| {
        let device = match &recognized {
            Recognized::Leaf { device, .. } => {
                house.registry.device(realm.key, device).ok().flatten()
            }
            _ => None,
        };
        facts::door_of(realm, &recognized, device.as_ref())
    });
    let profile = door.and_then(|d| realm.profile(&d.profile)).unwrap_or(&realm.standard);
    server::csrattrs(profile, door.is_some_and(|d| d.binding))
}

async fn refuse(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    refusal: &Refusal,
) -> Answer {
    record(house, realm, connection, refusal).await;
    server::refuse(refusal)
}

/// Whether a device has used up its hour, of which each refusal takes one: before the desk, too, a
/// device that loops harms itself alone. Of a stranger, whom its address bounds, never.
fn is_worn(house: &House, realm: &RealmState, connection: &Connection) -> bool {
    let Some(seen) = contact::proven(house, realm, connection) else { return false };
    let device = house.registry.device(realm.key, &seen.device).ok().flatten();
    let groups = device.map(|device| device.groups).unwrap_or_default();
    let per_hour = realm.settings.device_rate_per_hour(&groups);
    !house.rates.take(seen.device, per_hour, house.clock.now())
}

/// The trace of a refusal that never came to the desk.
async fn record(house: &House, realm: &RealmState, connection: &Connection, refusal: &Refusal) {
    let device = contact::proven(house, realm, connection).map(|seen| seen.device);
    let refused = Refused {
        want: "request",
        door: None,
        device,
        refusal,
        from: connection.peer,
        by: None,
        token: None,
        mark: None,
    };
    house.refused(realm, refused).await;
}

async fn unread(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    error: BodyError,
) -> Answer {
    let (status, name) = match error {
        BodyError::TooLarge => (413, "body-too-large"),
        BodyError::TooSlow => (408, "body-too-slow"),
        BodyError::Broken => (400, "body-broken"),
    };
    if is_worn(house, realm, connection) {
        return refuse(house, realm, connection, &Refusal::Denied(RuleId::RATE)).await;
    }
    let refusal = Refusal::Malformed(Defect::new(name, error.to_string()));
    let answer = refuse(house, realm, connection, &refusal).await;
    Answer { status, close: true, ..answer }
}

fn nowhere(realm: &RealmName) -> Refusal {
    Refusal::Malformed(Defect::new("path", format!("there is no realm `{realm}` here")))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn write(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        // The machine's values are ASCII; one that were not would be left out rather than end the
        // answer.
        if let (Ok(name), Ok(value)) =
            (header::HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    if answer.close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
