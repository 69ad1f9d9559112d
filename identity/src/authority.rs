//! An authority: a certificate that may sign others, and what it may sign.

use crate::certificate::Certificate;
use crate::credential::Revocation;
use crate::device::words;
use crate::outside::UnixTime;
use crate::text::shown_in_hex;

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

shown_in_hex!(KeyId);

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
    /// The overlap with its successor is over: a leaf of it opens no door. It signs its CRLs until
    /// the last leaf of it ends.
    Retired,
    /// Barred at once: nothing that it signed is good.
    Barred,
}

impl AuthorityState {
    /// Whether what such an authority signed is believed at the doors.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Active | Self::Retiring)
    }
}

words!(AuthorityState {
    Active = "active", Retiring = "retiring", Retired = "retired", Barred = "barred"
});

/// The key of an authority that is to come, and the request that the root has not answered yet.
#[derive(Clone, Debug)]
pub struct AuthorityRequest {
    /// The subject key identifier that it will have.
    pub id: KeyId,
    /// What it shall sign.
    pub role: Role,
    /// The request (PKCS#10) in DER.
    pub csr: Vec<u8>,
    /// When it was made.
    pub made: UnixTime,
}

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
    /// When a retiring one retires; `None` where it has no date: an anchor for good.
    pub retires: Option<UnixTime>,
    /// Since when a barred one is barred, and why.
    pub barred: Option<Revocation>,
    /// When its private key was destroyed here.
    pub wiped: Option<UnixTime>,
}

impl Authority {
    /// One that signs from now on.
    #[must_use]
    pub const fn active(id: KeyId, role: Role, certificate: Certificate) -> Self {
        let state = AuthorityState::Active;
        Self { id, role, state, certificate, retires: None, barred: None, wiped: None }
    }

    /// Whether what it signed is believed at the doors.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.state.counts()
    }
}
