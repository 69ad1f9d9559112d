//! `/ocsp/{realm}`: the responder, as HTTP (RFC 6960 appendix A, RFC 5019 §5 and §6).
//!
//! A question comes as the body of a POST, or base64 behind the path of a GET. What it means and
//! what is answered is decided by `ca::ocsp`; [`desk`] brings the facts and the keys, [`known`]
//! keeps what was signed. Every answer that can be given at all is a 200 with an OCSPResponse in it,
//! also a failure: that is what clients read.

mod desk;
mod known;

pub use desk::Desk;

use super::conditional::has_it;
use super::date::http_date;
use super::{Answer, sentence};
use crate::limits;
use crate::listen::read_body;
use bytes::Bytes;
use ca::ocsp::wire::REQUEST_OCTETS_MAX;
use ca::ocsp::{Failure, Signed};
use desk::Said;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderValue,
    LAST_MODIFIED,
};
use hyper::{Method, Request, Response, StatusCode};
use identity::UnixTime;
use identity::key::sha256;
use identity::text::{from_base64, hex};
use std::net::IpAddr;

/// Caches ask again after a minute, however long an answer is good: who is struck off today is not
/// let in by a proxy for an hour.
const MAX_AGE: HeaderValue =
    HeaderValue::from_static("public, max-age=60, no-transform, must-revalidate");
/// Answers of one asker alone, and failures.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer that is given to everybody who asks the same, with what caches want to know of it.
pub(super) struct Kept {
    octets: Bytes,
    etag: HeaderValue,
    modified: HeaderValue,
    expires: HeaderValue,
    made: UnixTime,
    /// From when on a new one is signed.
    stale: UnixTime,
    /// Whether an answer that said otherwise may have the same date: dates have seconds.
    dated_twice: bool,
}

impl Kept {
    /// An answer that says what is so since `changed`, where that is known.
    pub(super) fn new(signed: Signed, changed: Option<UnixTime>) -> Self {
        let digest = hex(&sha256(&[&signed.der]));
        let value = |text: String| {
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        let life = signed.next_update.secs_since(signed.this_update);
        Self {
            etag: value(format!("\"{digest}\"")),
            modified: value(http_date(signed.this_update)),
            expires: value(http_date(signed.next_update)),
            made: signed.this_update,
            dated_twice: changed.is_some_and(|at| at.secs() >= signed.this_update.secs()),
            stale: signed.this_update.plus_secs(life / 2),
            octets: signed.der.into(),
        }
    }

    /// Whether it is given at `now`: so every answer that leaves is good for half its life at
    /// least.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        self.made <= now && now < self.stale
    }

    fn say(&self, headers: Option<&HeaderMap>) -> Answer {
        let seen = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let date = (!self.dated_twice).then(|| seen(&self.modified));
        let has_it = headers.is_some_and(|asked| {
            !asked.is_empty() && has_it(&seen(&self.etag), date.as_deref(), asked)
        });
        let body = if has_it { Bytes::new() } else { self.octets.clone() };
        let mut answer = shaped(body, MAX_AGE);
        if has_it {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = answer.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(LAST_MODIFIED, self.modified.clone());
        headers.insert(EXPIRES, self.expires.clone());
        answer
    }
}

/// Answers a request whose path begins with `/ocsp/`.
pub(super) async fn serve(desk: &Desk, from: IpAddr, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix("/ocsp/").unwrap_or_default();
    let (realm, question) = path.split_once('/').unwrap_or((path, ""));
    match head.method {
        Method::GET | Method::HEAD => {
            let asked = decoded(question).unwrap_or_default();
            say(desk.answer(realm, &asked, from).await, Some(&head.headers))
        }
        Method::POST => match read_body(body, REQUEST_OCTETS_MAX, limits::BODY).await {
            Ok(asked) => say(desk.answer(realm, &asked, from).await, None),
            Err(_) => {
                let mut answer = failed(Failure::Malformed);
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                answer
            }
        },
        _ => {
            let text = "only GET, HEAD and POST are answered";
            let mut refused = sentence(StatusCode::METHOD_NOT_ALLOWED, text);
            let allowed = HeaderValue::from_static("GET, HEAD, POST");
            refused.headers_mut().insert(ALLOW, allowed);
            refused
        }
    }
}

/// A POST is answered as a GET is, but nobody has its answer already.
fn say(said: Option<Said>, asked: Option<&HeaderMap>) -> Answer {
    match said {
        Some(Said::Kept(kept)) => kept.say(asked),
        Some(Said::Signed(der)) => shaped(der.into(), NO_STORE),
        Some(Said::Limited) => failed(Failure::TryLater),
        Some(Said::Failed(failure)) => failed(failure),
        None => sentence(StatusCode::NOT_FOUND, "there is no such realm"),
    }
}

fn failed(failure: Failure) -> Answer {
    shaped(Bytes::from_static(failure.octets()), NO_STORE)
}

fn shaped(octets: Bytes, keep: HeaderValue) -> Answer {
    let mut answer = Response::new(Full::new(octets));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/ocsp-response"));
    headers.insert(CACHE_CONTROL, keep);
    answer
}

/// The question behind a path: base64, its `+`, `/` and `=` escaped or not. Some clients put a
/// slash too many before it, which no request begins with.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.trim_start_matches('/').as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (octet, after) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => (16 * digit(*high)? + digit(*low)?, after),
            (b'%', _) => return None,
            (plain, after) => (*plain, after),
        };
        plain.push(octet);
        rest = after;
    }
    from_base64(&plain)
}

fn digit(hex: u8) -> Option<u8> {
    u8::try_from(char::from(hex).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_in_a_path_is_read_escaped_or_not() {
        for text in ["AP/+AQ==", "AP%2F%2bAQ%3D%3d", "/AP/+AQ==", "AP/%2BAQ=="] {
            assert_eq!(decoded(text).as_deref(), Some(&[0, 255, 254, 1][..]), "{text}");
        }
        for text in ["AP*", "AP%2", "AP%zz", "AQ"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn who_has_an_answer_already_is_not_sent_it_again() {
        let made = UnixTime::from_secs(1_790_000_000);
        let signed = Signed { der: vec![1], this_update: made, next_update: made.plus_secs(3600) };
        let kept = Kept::new(signed, None);
        let first = kept.say(Some(&HeaderMap::new()));
        assert_eq!(first.headers()[EXPIRES], "Mon, 21 Sep 2026 15:13:20 GMT");
        for (name, value) in [
            (hyper::header::IF_NONE_MATCH, first.headers()[ETAG].clone()),
            (hyper::header::IF_MODIFIED_SINCE, first.headers()[LAST_MODIFIED].clone()),
        ] {
            let asked = HeaderMap::from_iter([(name, value)]);
            assert_eq!(kept.say(Some(&asked)).status(), StatusCode::NOT_MODIFIED);
            assert_eq!(kept.say(None).status(), StatusCode::OK);
        }
    }

    #[test]
    fn who_was_told_good_within_the_second_of_the_revocation_hears_of_it_also_by_date() {
        let made = UnixTime::from_secs(1_790_000_000);
        let signed =
            || Signed { der: vec![1], this_update: made, next_update: made.plus_secs(3600) };
        let asked = |kept: &Kept| {
            HeaderMap::from_iter([(hyper::header::IF_MODIFIED_SINCE, kept.modified.clone())])
        };
        let at_once = Kept::new(signed(), Some(made));
        assert_eq!(at_once.say(Some(&asked(&at_once))).status(), StatusCode::OK);
        let later = Kept::new(signed(), Some(made.minus_secs(1)));
        assert_eq!(later.say(Some(&asked(&later))).status(), StatusCode::NOT_MODIFIED);
    }
}
