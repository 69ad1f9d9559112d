//! ETags: of a device its version; of rules, whose versions nobody counts, a digest of what is shown
//! of them. A write that names one with `If-Match` is done only to what its sender has seen.

use super::refuse::Refused;
use axum::http::HeaderMap;
use axum::http::header::{ETAG, IF_MATCH};
use axum::response::{IntoResponse, Response};
use identity::key::sha256;
use identity::text::hex;
use serde::Serialize;

/// The tag of what is shown.
pub(super) fn of<T: Serialize>(view: &T) -> String {
    // A view is made of texts and numbers, which JSON always holds.
    let json = serde_json::to_vec(view).unwrap_or_default();
    let digest = hex(&sha256(&[&json]));
    // 128 bits tell any two apart that somebody did not make to be alike.
    format!("\"{}\"", digest.get(..32).unwrap_or_default())
}

/// An answer that shows something, with its tag.
pub(super) fn tagged<T: Serialize>(view: &T) -> Response {
    ([(ETAG, of(view))], axum::Json(view)).into_response()
}

/// Holds `If-Match` against the tag of what is there, if anything is (RFC 9110 §13.1.1); a weak tag
/// never matches. To be asked behind everything that would be refused without it (§13.2.1).
pub(super) fn if_match(headers: &HeaderMap, own: Option<&str>) -> Result<(), Refused> {
    let mut tags = headers.get_all(IF_MATCH).iter().peekable();
    if tags.peek().is_none() {
        return Ok(());
    }
    let fits = |tag: &str| own.is_some_and(|own| tag == "*" || tag == own);
    let said = tags.filter_map(|v| v.to_str().ok());
    match said.flat_map(|v| v.split(',')).any(|tag| fits(tag.trim())) {
        true => Ok(()),
        false => Err(Refused::Stale { tag: own.map(str::to_owned) }),
    }
}
