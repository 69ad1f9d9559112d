//! An answer as it lies in the database: sealed, since it may hold a secret that is shown once.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const REPLAYED: &str = "idempotency-replayed";

/// An answer as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Seals an answer; `None` where it is no text, which no handler answers a write with.
pub(super) fn seal(key: &[u8; 32], parts: &Parts, body: &Bytes) -> Option<Vec<u8>> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let answer = Answer {
        status: parts.status.as_u16(),
        headers: parts.headers.iter().filter_map(text).collect(),
        body: String::from_utf8(body.to_vec()).ok()?,
    };
    let mut octets = serde_json::to_vec(&answer).ok()?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut octets).ok()?;
    Some([nonce.as_ref().as_slice(), &octets].concat())
}

/// The answer once more; `None` where nothing was kept, or somebody else sealed it.
pub(super) fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Response> {
    let (nonce, octets) = sealed.split_first_chunk::<12>()?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let mut octets = octets.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key.open_in_place(nonce, Aad::empty(), &mut octets).ok()?;
    replay(serde_json::from_slice(plain).ok()?)
}

fn replay(answer: Answer) -> Option<Response> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).ok()?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).ok()?);
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Some(response)
}
