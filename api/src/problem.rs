//! How a refusal looks: RFC 9457, with the name of the rule and with what to do next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What [`Problem::kind`] begins with; the rule's name follows.
pub const TYPE_PREFIX: &str = "urn:muster:problem:";

/// Why a request was refused (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:muster:problem:RULE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of refusal in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What was wrong this time, as a sentence.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// The stable name of the rule that said no.
    pub rule: String,
    /// What to do next.
    pub next: String,
    /// Where a name fits several devices: their UUIDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.detail, self.next)
    }
}

impl std::error::Error for Problem {}
