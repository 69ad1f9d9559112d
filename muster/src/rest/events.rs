//! The stream of server-sent events: what happens, as it happens.

use super::dial::Lane;
use super::{Answer, Call, Lost, RETRY_WAIT, Rest, TRIES};
use crate::failure::{Failure, Outcome};
use api::path::EVENTS;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The server says something at least every 15 seconds; three times that is a broken line.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// An entry with the largest payload, 16 KiB, some of it as hex digits in JSON.
const EVENT_OCTETS_MAX: usize = 256 * 1024;

/// An open stream.
pub(crate) struct Events {
    body: Incoming,
    /// Held, since the stream ends with it.
    _lane: Lane,
    heard: Heard,
}

impl Rest {
    /// Opens the stream behind the entry with this number.
    pub(crate) async fn events(&self, after: u64) -> Outcome<Events> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.stream(after).await {
                Ok(events) => return Ok(events),
                Err(lost) if lost.again && tried < TRIES => {}
                Err(lost) => return Err(lost.failure),
            }
            tokio::time::sleep(RETRY_WAIT * 2_u32.pow(tried)).await;
        }
    }

    async fn stream(&self, after: u64) -> Result<Events, Lost> {
        let call = Call::new(Method::GET, format!("{EVENTS}?after={after}"));
        let mut request = self.request(&call).map_err(Lost::for_good)?;
        let media = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(header::ACCEPT, media);
        let mut lane = self.dialer.dial().await?;
        let sent = tokio::time::timeout(SILENCE_MAX, lane.open(request)).await;
        let response = sent
            .map_err(|_| Lost::again(self.dialer.slow()))?
            .map_err(|e| Lost::again(self.dialer.broken(&*e)))?;
        if !response.status().is_success() {
            let answer = Answer::read(response).await;
            let answer = answer.map_err(|e| Lost::again(self.dialer.broken(&*e)))?;
            return Err(answer.or_failure().map_or_else(Lost::for_good, |_| {
                Lost::for_good(Failure::new("the server answered with no stream"))
            }));
        }
        Ok(Events { body: response.into_body(), _lane: lane, heard: Heard::default() })
    }
}

impl Events {
    /// The next event; `None` where the stream has ended, which is nothing that is lost: open the
    /// next one behind the last event that came.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Outcome<Option<T>> {
        loop {
            if let Some(event) = self.heard.event() {
                return serde_json::from_str(&event).map(Some).map_err(|e| {
                    Failure::new(format!("an event is not understood: {e}"))
                        .next("use the `muster` of the server's version (`muster --version`)")
                });
            }
            match tokio::time::timeout(SILENCE_MAX, self.body.frame()).await {
                Ok(Some(Ok(frame))) => self.heard.take(frame.into_data().unwrap_or_default())?,
                Ok(Some(Err(_)) | None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// What came and is not a whole event yet.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Heard {
    fn take(&mut self, octets: Bytes) -> Outcome {
        self.0.extend_from_slice(&octets);
        match self.0.len() <= EVENT_OCTETS_MAX {
            true => Ok(()),
            false => Err(Failure::new("the server sends something that is no stream of events")),
        }
    }

    /// The data of the next whole event, comments left out; an event ends with an empty line.
    fn event(&mut self) -> Option<String> {
        loop {
            let end = self.0.windows(2).position(|two| two == b"\n\n")?;
            let rest = self.0.split_off(end + 2);
            let event = std::mem::replace(&mut self.0, rest);
            let event = String::from_utf8_lossy(&event);
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) {
                return Some(data.trim().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_were_cut_and_comments_are_none() {
        let sent = b": muster\n\nid: 1\nevent: entry\ndata: {\"a\":1}\n\n: alive\n\ndata: 2\n\nda";
        for size in 1..sent.len() {
            let (mut heard, mut events) = (Heard::default(), Vec::new());
            for octets in sent.chunks(size) {
                heard.take(Bytes::copy_from_slice(octets)).unwrap();
                events.extend(std::iter::from_fn(|| heard.event()));
            }
            assert_eq!(events, ["{\"a\":1}", "2"]);
        }
    }

    #[test]
    fn a_stream_without_events_is_refused_before_it_fills_the_memory() {
        let mut heard = Heard::default();
        let octets = Bytes::from(vec![b'x'; EVENT_OCTETS_MAX]);
        assert!(heard.take(octets.clone()).is_ok());
        assert!(heard.take(octets).is_err());
    }
}
