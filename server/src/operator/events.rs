//! What happens, as it happens: server-sent events, one for each entry of the ledger. The id of an
//! event is the entry's number, so a client that lost its connection goes on where it was.
//!
//! A slow client is not waited for: what it may be behind is bounded by one channel, and past that
//! its stream ends and it comes back with `Last-Event-ID`. The credential is looked at again before
//! every batch, so that one that was taken away ends its streams, too. A stop ends them all at once.

use super::body::Asked;
use super::ledger::shown;
use super::openapi::Problems;
use super::refuse::Refused;
use super::who::{Viewer, Who};
use super::{State, apart};
use crate::listen::{Endless, Stop};
use api::EntryView;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::IntoParams;

/// Streams at the same time: each holds a connection of the operators' 1,024 and a task.
pub(crate) const STREAMS_MAX: usize = 256;
/// Batches that may wait for one client, some 64 KiB each at most.
const WAITING_MAX: usize = 4;
/// Entries that are read at once.
const BATCH: usize = 64;
/// A comment after so long without an entry keeps proxies from closing the connection; many close
/// after 30 s or 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A client that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(30);

/// From where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// The number of the last entry that is known; the header `Last-Event-ID` goes before it.
    /// Without either only new entries come.
    after: Option<u64>,
}

/// Streams entries as they are committed.
#[utoipa::path(get, path = api::path::EVENTS, tag = "events",
    params(Since, ("Last-Event-ID" = Option<u64>, Header,
        description = "The number of the last entry that was received")),
    responses((status = 200, body = EntryView, content_type = "text/event-stream",
        description = "Events named `entry`; `data` is one entry in JSON"), Problems))]
pub(crate) async fn events(
    state: State,
    Viewer(who): Viewer,
    Asked(since): Asked<Since>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let size = state.house.registry.head(who.realm.key)?.size;
    let from = match last_event(&headers)?.or(since.after) {
        Some(last) => last.saturating_add(1).min(size),
        None => size,
    };
    let permit = state.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Refused::Busy("too many event streams are open"))?;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let stop = state.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = asked(stop) => {}
            () = follow(state, who, from, sender, permit) => {}
        }
    });
    let media = [(CONTENT_TYPE, "text/event-stream")];
    let mut response = (media, Body::new(Stream(receiver))).into_response();
    response.extensions_mut().insert(Endless);
    Ok(response)
}

async fn asked(stop: Option<Stop>) {
    match stop {
        Some(mut stop) => stop.asked().await,
        None => std::future::pending().await,
    }
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let malformed = || Refused::Malformed("`Last-Event-ID` is the number of an entry".to_owned());
    number.map(Some).ok_or_else(malformed)
}

/// Sends what is there, then waits for more.
async fn follow(
    state: State,
    who: Who,
    mut next: u64,
    client: mpsc::Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
) {
    let mut tide = state.tide.subscribe();
    if !send(&client, Bytes::from_static(b": muster\n\n")).await {
        return;
    }
    loop {
        tide.borrow_and_update();
        loop {
            let Ok(rows) = batch(&state, &who, next).await else { return };
            let Some(last) = rows.last() else { break };
            next = last.index + 1;
            if !send(&client, rows.iter().map(written).collect::<String>().into()).await {
                return;
            }
        }
        tokio::select! {
            changed = tide.changed() => if changed.is_err() { return },
            () = client.closed() => return,
            () = tokio::time::sleep(KEEP_ALIVE) => {
                if !send(&client, Bytes::from_static(b": alive\n\n")).await {
                    return;
                }
            }
        }
    }
}

async fn send(client: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    matches!(tokio::time::timeout(STALLED, client.send(bytes)).await, Ok(Ok(())))
}

/// The next entries, if the credential still may see them.
async fn batch(state: &State, who: &Who, from: u64) -> Result<Vec<registry::EntryRow>, Refused> {
    let (state, realm, id) = (state.clone(), who.realm.key, who.id.clone());
    apart(move || {
        let registry = &state.house.registry;
        let rows = registry.entries(realm, from, BATCH)?;
        // After the rows were read: one that was taken away by then sees none of them.
        registry.operator(realm, &id)?.ok_or(Refused::BadCredential)?;
        Ok(rows)
    })
    .await
}

fn written(row: &registry::EntryRow) -> String {
    // JSON of one entry has no line break: `data` is one line.
    let data = serde_json::to_string(&shown(row)).unwrap_or_default();
    format!("id: {}\nevent: entry\ndata: {data}\n\n", row.index)
}

/// The body of an event stream: what the follower hands over.
pub(super) struct Stream(pub(super) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}
