//! A certificate profile: the shape of the leaves that a door gives.

use crate::key::KeyKind;
use std::collections::BTreeSet;

/// What the leaves of a door look like. Subject and SAN always come from the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name: 1 to 64 of letters, digits and `-_.`.
    pub name: String,
    /// How long a leaf is good, in seconds (never beyond its issuer).
    pub lifetime_s: u64,
    /// Keys that a leaf may have.
    pub keys: BTreeSet<KeyKind>,
    /// The organization (O) in the subject, where the realm wants one.
    pub organization: Option<String>,
    /// Further extended key usages as dotted OIDs; clientAuth is always there, and serverAuth
    /// never.
    pub usages: BTreeSet<String>,
    /// Whether `serverkeygen` may make the device's key here, which lowers its assurance to `token`
    /// at most.
    pub server_key: bool,
}

/// 30 days: long enough for a device that is switched off over a holiday, short enough that a lost
/// leaf ends soon.
pub const LIFETIME_DEFAULT_S: u64 = 30 * 86_400;
/// The shortest leaf: below it clocks that are a few minutes off lock devices out.
pub const LIFETIME_MIN_S: u64 = 300;
/// The longest leaf (five years): what must live longer is a birth certificate.
pub const LIFETIME_MAX_S: u64 = 5 * 366 * 86_400;

impl Profile {
    /// The profile that a new realm has.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            name: "standard".to_owned(),
            lifetime_s: LIFETIME_DEFAULT_S,
            keys: KeyKind::ALL.iter().copied().collect(),
            organization: None,
            usages: BTreeSet::new(),
            server_key: false,
        }
    }
}
