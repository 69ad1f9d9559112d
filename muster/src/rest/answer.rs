//! What comes back: a value, or a problem (RFC 9457) that becomes the verb's failure.

use crate::failure::{Failure, Outcome};
use crate::output::plain;
use api::Problem;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The largest answers are a batch of 256 births and a page of entries with their payloads (1,000
/// of at most 16 KiB).
const ANSWER_OCTETS_MAX: usize = 32 * 1024 * 1024;

/// An answer, read whole.
pub(crate) struct Answer {
    status: StatusCode,
    /// Its ETag.
    pub(super) tag: Option<String>,
    /// Whether the server closes the connection behind it.
    pub(super) closes: bool,
    retry_after_s: Option<u64>,
    body: Bytes,
}

impl Answer {
    /// Reads the whole answer.
    pub(super) async fn read(
        response: Response<Incoming>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = response.into_parts();
        let word = |name| text(&parts.headers, name);
        let closes = word(header::CONNECTION).is_some_and(|c| c.eq_ignore_ascii_case("close"));
        let tag = word(header::ETAG);
        let retry_after_s = word(header::RETRY_AFTER).and_then(|s| s.parse().ok());
        let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await?.to_bytes();
        Ok(Self { status: parts.status, tag, closes, retry_after_s, body })
    }

    /// Whether the server asks to come again; also where the first of two that are one is still under
    /// way, which is a conflict with a time to wait.
    pub(super) fn may_retry(&self) -> bool {
        let busy = self.status == StatusCode::CONFLICT && self.retry_after_s.is_some();
        busy || super::is_later(self.status)
    }

    /// How long it asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_s.map(Duration::from_secs)
    }

    /// Itself, or the refusal that it is.
    pub(super) fn or_failure(self) -> Outcome<Self> {
        if self.status.is_success() { Ok(self) } else { Err(self.failure()) }
    }

    /// The value in it; nothing reads as JSON's `null`.
    pub(crate) fn value<T: DeserializeOwned>(&self) -> Outcome<T> {
        let body: &[u8] = if self.body.is_empty() { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|e| {
            Failure::new(format!("the server's answer is not understood: {e}"))
                .next("use the `muster` of the server's version (`muster --version`)")
        })
    }

    /// The text of it.
    pub(crate) fn text(&self) -> Outcome<String> {
        String::from_utf8(self.body.to_vec())
            .map_err(|_| Failure::new("the server's answer is no text"))
    }

    fn failure(&self) -> Failure {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = [&problem.detail, &problem.title].into_iter().find(|s| !s.is_empty());
        let unsaid = || format!("the server answered {}", self.status);
        let failure = Failure::new(said.map_or_else(unsaid, |s| plain(s))).status(self.status);
        let next = Some(problem.next.as_str()).filter(|n| !n.is_empty());
        match next.or_else(|| usual_next(self.status)) {
            Some(next) if problem.candidates.is_empty() => failure.next(plain(next)),
            _ if !problem.candidates.is_empty() => {
                failure.next(format!("take one of {}", problem.candidates.join(", ")))
            }
            _ => failure,
        }
    }
}

/// What to do where the server does not say.
fn usual_next(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        401 => Some("name a credential that is still good with --as FILE"),
        403 => Some("ask somebody whose role allows it, or use their credential with --as FILE"),
        404 => Some("look the name up with the `list` verb of the same noun"),
        409 | 412 => Some("look at it again with `show`: somebody was faster"),
        429 => Some("wait a little, then type the same again"),
        500..=599 => Some("look at the server's log and its /readyz, then type the same again"),
        _ => None,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        Answer { status, tag: None, closes: false, retry_after_s: None, body }
    }

    #[test]
    fn a_problem_becomes_a_sentence_and_a_next_step() {
        let body = r#"{"type":"","title":"Conflict","status":409,"instance":"","rule":"",
            "detail":"the serial `S1` was born","next":"--replace"}"#;
        let failure = answer(409, body).or_failure().err().unwrap();
        assert_eq!(failure.what(), "the serial `S1` was born");
        let failure = answer(502, "<html>").or_failure().err().unwrap();
        assert!(failure.what().contains("502"));
    }

    #[test]
    fn an_empty_answer_is_nothing_and_a_strange_one_is_a_failure() {
        assert!(answer(204, "").value::<()>().is_ok());
        assert!(answer(200, "[1").value::<Vec<u8>>().is_err());
    }
}
