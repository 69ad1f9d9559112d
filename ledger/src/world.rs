//! What the tests of this crate have in common: keys of numbers, and the name of a log.

use crate::note::Origin;
use identity::key::SoftwareKey;

/// An Ed25519 key of 32 equal octets, in PKCS#8 version 1 (RFC 8410 §7).
pub(crate) fn key(seed: u8) -> SoftwareKey {
    let front = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    SoftwareKey::from_pkcs8(&[&front[..], &[seed; 32]].concat()).unwrap()
}

/// The log of the tests.
pub(crate) fn origin() -> Origin {
    Origin::new(&[0x5a; 16], 1)
}
