//! An authority: a certificate that may sign others, and what it may sign.

use crate::certificate::Certificate;
use crate::device::words;
use crate::text::hex;
use std::fmt;

/// The subject key identifier of an authority: 20 octets, the leftmost 160 bits of the SHA-256 of
/// its key's bit string (RFC 7093 §2 method 1). Its lower-case hex is how addresses name an issuer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 20]);

impl KeyId {
    /// A stored or parsed identifier; `None` where it does not have 20 octets.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// The 20 octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The realm's root: signs authorities, offline.
    Root,
    /// Birth certificates.
    Birth,
    /// Leaves.
    Operations,
    /// Server certificates of Muster itself.
    Service,
}

words!(Role { Root = "root", Birth = "birth", Operations = "operations", Service = "service" });

/// Whether an authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthorityState {
    /// Signs.
    Active,
    /// Signs no more certificates, but its CRLs; what it signed is still good.
    Retiring,
    /// Barred at once: nothing that it signed is good.
    Barred,
}

words!(AuthorityState { Active = "active", Retiring = "retiring", Barred = "barred" });

/// An authority of a realm.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its subject key identifier.
    pub id: KeyId,
    /// What it signs.
    pub role: Role,
    /// Whether it signs.
    pub state: AuthorityState,
    /// Its certificate.
    pub certificate: Certificate,
}
