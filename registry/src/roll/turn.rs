//! What may happen to the roll, as the writer tells it after a durable commit, and as a start reads
//! it from the rows.

use crate::realm::RealmKey;
use identity::credential::{Credential, CredentialKind, Serial};
use identity::device::{Device, DeviceId, Standing};
use identity::{SpkiHash, UnixTime};

/// One thing that happened. Whatever tells of a credential that is not the newest of its key
/// changes nothing.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// A credential was issued.
    Issued(Issued),
    /// A device has this standing and generation, and with it all its keys.
    Device { realm: RealmKey, device: DeviceId, standing: Standing, generation: u32 },
    /// A handshake with a credential completed.
    Used(Which),
    /// A credential is spent from a moment on.
    Spent(Which, UnixTime),
    /// A credential was revoked or put on hold (`true`), or its hold lifted (`false`).
    Revoked(Which, bool),
    /// A key is compromised for good.
    Compromised { realm: RealmKey, spki: SpkiHash },
}

/// Names a credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which {
    pub(crate) realm: RealmKey,
    pub(crate) spki: SpkiHash,
    pub(crate) serial: Serial,
}

/// A credential as the roll learns of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issued {
    pub(crate) which: Which,
    pub(crate) device: DeviceId,
    pub(crate) standing: Standing,
    pub(crate) device_generation: u32,
    pub(crate) kind: CredentialKind,
    pub(crate) generation: u32,
    /// Whether it is revoked by now, as a start may find it.
    pub(crate) revoked: bool,
}

impl Turn {
    pub(crate) fn issued(realm: RealmKey, device: &Device, credential: &Credential) -> Self {
        Self::Issued(Issued {
            which: Which { realm, spki: credential.spki, serial: credential.serial },
            device: device.id,
            standing: device.standing,
            device_generation: device.generation,
            kind: credential.kind,
            generation: credential.generation,
            revoked: false,
        })
    }
}
