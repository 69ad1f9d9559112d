//! Join tokens: somebody vouches once, or N times, for a device that has nothing else to show.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Joins that one token may be good for: more than that is a door, not a token.
pub const USES_MAX: u32 = 100_000;
/// How long a token may be good for in seconds, a year.
pub const TTL_MAX_S: u64 = 366 * 86_400;

/// A token to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Joins that it is good for.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100_000, default = 1)]
    pub uses: u32,
    /// How long it is good for, in seconds.
    #[serde(default = "hour")]
    #[schema(minimum = 1, maximum = 31_622_400, default = 3600)]
    pub ttl_s: u64,
    /// Groups that its devices get.
    #[serde(default)]
    pub group: Vec<String>,
    /// The one device that may use it, by serial number. Without one it never attaches to a device
    /// that exists.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub serial: Option<String>,
}

const fn one() -> u32 {
    1
}

const fn hour() -> u64 {
    3600
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self { uses: one(), ttl_s: hour(), group: Vec::new(), serial: None }
    }
}

/// A new token: the only time that its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// Its public half, 16 base64url characters.
    pub id: String,
    /// Its secret half, 43 base64url characters.
    pub secret: String,
    /// For HTTP Basic: `id:secret`.
    pub basic: String,
    /// For HTTP Bearer: `id.secret`.
    pub bearer: String,
    /// Joins that it is good for.
    pub uses: u32,
    /// When it ends.
    pub ends: String,
    /// Groups that its devices get.
    pub group: Vec<String>,
    /// The one device that may use it.
    pub serial: Option<String>,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenMade({}, ..)", self.id)
    }
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its public half.
    pub id: String,
    /// Joins that it was made for.
    pub uses: u32,
    /// Joins that are left.
    pub uses_left: u32,
    /// When it was made.
    pub made: String,
    /// When it ends.
    pub ends: String,
    /// Groups that its devices get.
    pub group: Vec<String>,
    /// The one device that may use it.
    pub serial: Option<String>,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// Who made it.
    pub by: String,
    /// Whether a device could use it now.
    pub live: bool,
}
