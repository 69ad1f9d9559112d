//! The roll: who is in good standing, by the hash of the public key, in memory. Authentication asks
//! here and never in SQL.
//!
//! It holds every key that ever had a credential, so it also says for certain that a key is
//! unknown. The writer fills it at the start by one scan and turns it after each durable commit;
//! nobody else changes it. Read on in [`Roll::lookup`] for what one learns of a key; the memory is
//! laid out in `table.rs`, and `turn.rs` lists what may happen to it.

mod table;
mod turn;

pub(crate) use turn::{Issued, Turn, Which};

use crate::realm::RealmKey;
use identity::credential::{CredentialKind, Serial};
use identity::device::{DeviceId, Standing};
use identity::{SpkiHash, UnixTime};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use table::Table;

/// What the roll knows of a key. Everything about a credential is about the key's newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose key it is.
    pub device: DeviceId,
    /// Where the device stands.
    pub standing: Standing,
    /// `Leaf` where the key has or had a leaf, else `Birth`.
    pub kind: CredentialKind,
    /// Whether the key has or had a birth certificate, alone or beside leaves.
    pub birth: bool,
    /// The generation of the newest leaf of this key; 0 without one.
    pub generation: u32,
    /// The generation of the device's newest leaf; more than `generation` says that this key has a
    /// successor.
    pub device_generation: u32,
    /// Which credential is the newest of this key: see [`fingerprint`].
    pub newest: [u8; 8],
    /// Whether a handshake with it has completed.
    pub used: bool,
    /// From when on it is spent, in whole seconds, rounded up.
    pub spent: Option<UnixTime>,
    /// Whether it is revoked or on hold.
    pub revoked: bool,
    /// Whether the key was revoked for compromise, for good.
    pub compromised: bool,
}

/// Devices of a realm by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a birth certificate, never joined.
    pub born: u64,
    /// Joined.
    pub enrolled: u64,
    /// Set aside automatically or by hand.
    pub quarantined: u64,
    /// Set aside by an operator.
    pub suspended: u64,
    /// Struck off.
    pub retired: u64,
}

/// The last 8 octets of a serial number, all of them random: enough to tell the credentials of one
/// key apart.
#[must_use]
pub fn fingerprint(serial: &Serial) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = *serial.octets();
    [a, b, c, d, e, f, g, h]
}

/// Who is in good standing. At most 100 octets for each key.
pub struct Roll {
    table: RwLock<Table>,
}

impl Roll {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::with_room(0)
    }

    /// An empty roll that takes so many keys before it has to grow.
    pub(crate) fn with_room(keys: usize) -> Self {
        Self { table: RwLock::new(Table::new(keys)) }
    }

    /// Gives back the room that a load did not need.
    pub(crate) fn fit(&self) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).fit();
    }

    /// What is known of a key; `None` says that it never had a credential here.
    ///
    /// One hash and one or two cache misses, behind a read lock that the writer holds for
    /// microseconds.
    #[must_use]
    pub fn lookup(&self, realm: RealmKey, key: &SpkiHash) -> Option<Seen> {
        self.read().lookup(realm, key)
    }

    /// Keys of all realms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that it takes, in octets.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.read().octets()
    }

    /// Devices of a realm by standing.
    #[must_use]
    pub fn counts(&self, realm: RealmKey) -> Counts {
        self.read().counts(realm)
    }

    /// Applies what a durable commit did. Only the writer calls this, so that nothing changes
    /// between making room under the read lock, while others read on, and the turns under the short
    /// write lock.
    pub(crate) fn turn(&self, turns: &[Turn]) {
        if turns.is_empty() {
            return;
        }
        let roomier = self.read().roomier(turns.len());
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(roomier) = roomier {
            table.move_into(roomier);
        }
        turns.iter().for_each(|turn| table.apply(turn));
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // A poisoned lock means that a reader's or the writer's thread died between two whole
        // changes of a slot; the registry closes with its writer, and reading on is no worse than
        // what was read before.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}
