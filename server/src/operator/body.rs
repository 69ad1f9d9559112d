//! What a request says, read strictly: JSON of the type that the contract names, no unknown member,
//! no second value, and a position where it is wrong.

use super::refuse::Refused;
use crate::limits;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

/// A body: a maker door with the allow-list of a batch of 50,000 units is the largest, 1 MiB.
pub(crate) const BODY_OCTETS_MAX: usize = 1024 * 1024;
/// A batch of births: 512 requests of 4 KiB in base64 with all their identifiers, 4 MiB.
pub(crate) const BATCH_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// A JSON body that must be there.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out; then it is the default.
pub(crate) struct MaybeJson<T>(pub(crate) T);

/// Parts of the path, percent-decoded.
pub(crate) struct Named<T>(pub(crate) T);

/// The query, in which a name that nobody knows is refused.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        check_media(&request)?;
        read(&collect(request.into_body()).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let media = check_media(&request);
        let body = collect(request.into_body()).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        media?;
        read(&body).map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(named) = read.map_err(|e| Refused::Malformed(lower(&e.body_text())))?;
        Ok(Self(named))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(asked) = read.map_err(|e| Refused::Malformed(lower(&e.body_text())))?;
        Ok(Self(asked))
    }
}

/// The whole body, which `once` bounded and read before anybody looked at it.
async fn collect(body: axum::body::Body) -> Result<Bytes, Refused> {
    bounded(body, BATCH_OCTETS_MAX).await
}

/// Reads a body of at most `octets_max` within [`limits::BODY`].
pub(crate) async fn bounded(body: axum::body::Body, octets_max: usize) -> Result<Bytes, Refused> {
    let slow = || Refused::Malformed("the body did not come in time".to_owned());
    let whole = Limited::new(body, octets_max).collect();
    match tokio::time::timeout(limits::BODY, whole).await.map_err(|_| slow())? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::TooLarge { octets_max }),
        Err(_) => Err(Refused::Malformed("the body ended early".to_owned())),
    }
}

fn check_media(request: &Request) -> Result<(), Refused> {
    // A small body that unfolds into a large one is not read.
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Refused::MediaType);
    }
    let media = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = media.and_then(|m| m.split(';').next()).map(str::trim);
    match essence {
        Some(m) if m.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Refused::MediaType),
    }
}

/// Every body is an object; serde would take the members of one from a list, too.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    if body.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| *b == b'[') {
        return Err(Refused::Malformed("the body: a JSON object is expected".to_owned()));
    }
    serde_json::from_slice(body).map_err(|e| Refused::Malformed(format!("the body: {e}")))
}

/// Prose of ours begins in lower case; that of the frameworks does not.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
