//! The memory of the roll: one slot of 76 octets for each key, in chunks that never move, and two
//! hash tables of slot numbers, by key and by device. The keys of a device are a ring.
//!
//! A million keys take 76 MB of slots and 2 × 10.5 MB of tables. The chunks spare the roll the
//! moment in which a growing vector is there twice.

use super::turn::{Issued, Turn, Which};
use super::{Counts, Seen, fingerprint};
use crate::realm::RealmKey;
use hashbrown::HashTable;
use identity::credential::CredentialKind;
use identity::device::{DeviceId, Standing};
use identity::{SpkiHash, UnixTime};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// Slots in a chunk: 76 KiB at a time, so that a small fleet takes little, and the last one is a
/// small part of it.
const CHUNK: usize = 1024;

/// A key. The fields are laid out without gaps.
struct Slot {
    spki: [u8; 32],
    device: [u8; 16],
    newest: [u8; 8],
    generation: u32,
    device_generation: u32,
    /// Seconds since 1970, rounded up; 0 is not spent. Good until 2106.
    spent: u32,
    /// The next key of the same device.
    next: u32,
    realm: RealmKey,
    standing: Standing,
    flags: u8,
}

const LEAF: u8 = 1;
const BIRTH: u8 = 2;
const USED: u8 = 4;
const REVOKED: u8 = 8;
const COMPROMISED: u8 = 16;

impl Slot {
    fn new(issued: &Issued) -> Self {
        Self {
            spki: *issued.which.spki.octets(),
            device: *issued.device.octets(),
            newest: [0; 8],
            generation: 0,
            device_generation: issued.device_generation,
            spent: 0,
            next: 0,
            realm: issued.which.realm,
            standing: issued.standing,
            flags: 0,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    /// A credential of a later generation is the newest from now on. Births have one generation: of
    /// those the later is, and a start finds them in the order of their serial numbers, which a
    /// clock that was set back turns around; so what was replaced does not stand before what
    /// replaced it.
    fn renew(&mut self, issued: &Issued) {
        let later = self.flags == 0 || !issued.revoked || self.has(REVOKED);
        self.set(if issued.kind == CredentialKind::Leaf { LEAF } else { BIRTH }, true);
        if issued.generation > self.generation || issued.generation == self.generation && later {
            self.generation = issued.generation;
            self.newest = fingerprint(&issued.which.serial);
            self.spent = 0;
            self.set(USED | REVOKED, false);
        }
    }

    fn seen(&self) -> Option<Seen> {
        let spent = (self.spent != 0).then(|| UnixTime::from_secs(u64::from(self.spent)));
        Some(Seen {
            device: DeviceId::from_octets(self.device)?,
            standing: self.standing,
            kind: if self.has(LEAF) { CredentialKind::Leaf } else { CredentialKind::Birth },
            birth: self.has(BIRTH),
            generation: self.generation,
            device_generation: self.device_generation,
            newest: self.newest,
            used: self.has(USED),
            spent,
            revoked: self.has(REVOKED),
            compromised: self.has(COMPROMISED),
        })
    }
}

/// Hash tables with more room, made while others still read the old ones.
pub(super) struct Roomier {
    keys: HashTable<u32>,
    devices: HashTable<u32>,
}

pub(super) struct Table {
    chunks: Vec<Vec<Slot>>,
    /// Every slot, by realm and key.
    keys: HashTable<u32>,
    /// One slot of each device, by realm and device.
    devices: HashTable<u32>,
    /// Devices by realm and standing.
    counts: BTreeMap<(RealmKey, Standing), u64>,
    /// Keys are chosen by those who hold them; a seed of this process keeps them from choosing
    /// collisions.
    seed: RandomState,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        Self {
            chunks: Vec::new(),
            keys: HashTable::with_capacity(keys),
            devices: HashTable::with_capacity(keys),
            counts: BTreeMap::new(),
            seed: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Slot>()
            + self.keys.allocation_size()
            + self.devices.allocation_size()
    }

    pub(super) fn lookup(&self, realm: RealmKey, key: &SpkiHash) -> Option<Seen> {
        self.slot(self.find_key(realm, key)?)?.seen()
    }

    pub(super) fn counts(&self, realm: RealmKey) -> Counts {
        let count = |standing| self.counts.get(&(realm, standing)).copied().unwrap_or_default();
        Counts {
            born: count(Standing::Born),
            enrolled: count(Standing::Enrolled),
            quarantined: count(Standing::Quarantined),
            suspended: count(Standing::Suspended),
            retired: count(Standing::Retired),
        }
    }

    /// Larger hash tables, where `more` keys would not fit into those at hand. Filled in the order
    /// of the slots, since following the old table's order would miss the cache at each of a
    /// million slots.
    pub(super) fn roomier(&self, more: usize) -> Option<Roomier> {
        let fits = |table: &HashTable<u32>| table.len() + more <= table.capacity();
        if fits(&self.keys) && fits(&self.devices) {
            return None;
        }
        let mut keys = HashTable::with_capacity(self.keys.len() + more);
        let mut devices = HashTable::with_capacity(self.devices.len() + more);
        for (at, slot) in (0_u32..).zip(self.chunks.iter().flatten()) {
            keys.insert_unique(self.hash_key(slot.realm, &slot.spki), at, |_| 0);
            let hash = self.hash_device(slot.realm, &slot.device);
            // Of each device the slot that already stands for it.
            if self.devices.find(hash, |known| *known == at).is_some() {
                devices.insert_unique(hash, at, |_| 0);
            }
        }
        Some(Roomier { keys, devices })
    }

    /// The smallest hash tables that hold what there is.
    pub(super) fn fit(&mut self) {
        let Self { keys, devices, chunks, seed, .. } = self;
        keys.shrink_to(0, |at| rehash_key(chunks, seed, *at));
        devices.shrink_to(0, |at| rehash_device(chunks, seed, *at));
    }

    pub(super) fn move_into(&mut self, roomier: Roomier) {
        self.keys = roomier.keys;
        self.devices = roomier.devices;
    }

    pub(super) fn apply(&mut self, turn: &Turn) {
        match turn {
            Turn::Issued(issued) => self.issue(issued),
            Turn::Device { realm, device, standing, generation } => {
                self.stand(*realm, device, *standing, *generation);
            }
            Turn::Used(which) => self.newest(which, |slot| slot.set(USED, true)),
            Turn::Spent(which, at) => {
                let secs = u32::try_from(at.millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
                self.newest(which, |slot| slot.spent = secs);
            }
            Turn::Revoked(which, on) => self.newest(which, |slot| slot.set(REVOKED, *on)),
            Turn::Compromised { realm, spki } => {
                let found = self.find_key(*realm, spki);
                if let Some(slot) = found.and_then(|at| self.slot_mut(at)) {
                    slot.set(COMPROMISED, true);
                }
            }
        }
    }

    fn issue(&mut self, issued: &Issued) {
        let Issued { which, device, standing, device_generation, .. } = issued;
        let known = self.find_key(which.realm, &which.spki).map(|at| (at, false));
        let Some((at, first)) = known.or_else(|| self.add(issued)) else { return };
        if let Some(slot) = self.slot_mut(at) {
            slot.renew(issued);
        }
        if !first {
            self.stand(which.realm, device, *standing, *device_generation);
        }
    }

    /// A slot for a new key, in the ring of its device, and whether it is the first there, which
    /// then stands as was said. `None` past 2^32 keys, which no memory holds.
    fn add(&mut self, issued: &Issued) -> Option<(u32, bool)> {
        let (realm, spki) = (issued.which.realm, issued.which.spki);
        let at = u32::try_from(self.keys.len()).ok()?;
        let mut slot = Slot::new(issued);
        slot.next = at;
        let first = self.find_device(realm, &issued.device);
        match first {
            Some(first) => {
                let known = self.slot_mut(first)?;
                // The standing that the device has is told by those of its slots; a new one must
                // not hide a change.
                slot.standing = known.standing;
                slot.next = std::mem::replace(&mut known.next, at);
            }
            None => {
                *self.counts.entry((realm, issued.standing)).or_default() += 1;
                let hash = self.hash_device(realm, issued.device.octets());
                let Self { devices, chunks, seed, .. } = self;
                devices.insert_unique(hash, at, |i| rehash_device(chunks, seed, *i));
            }
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut()?.push(slot);
        let hash = self.hash_key(realm, spki.octets());
        let Self { keys, chunks, seed, .. } = self;
        keys.insert_unique(hash, at, |i| rehash_key(chunks, seed, *i));
        Some((at, first.is_none()))
    }

    fn stand(&mut self, realm: RealmKey, device: &DeviceId, standing: Standing, generation: u32) {
        let Some(first) = self.find_device(realm, device) else { return };
        let Some(before) = self.slot(first).map(|slot| slot.standing) else { return };
        if before != standing {
            if let Some(count) = self.counts.get_mut(&(realm, before)) {
                *count = count.saturating_sub(1);
            }
            *self.counts.entry((realm, standing)).or_default() += 1;
        }
        let mut at = first;
        while let Some(slot) = self.slot_mut(at) {
            slot.standing = standing;
            slot.device_generation = generation;
            at = slot.next;
            if at == first {
                break;
            }
        }
    }

    fn newest(&mut self, which: &Which, change: impl FnOnce(&mut Slot)) {
        let found = self.find_key(which.realm, &which.spki);
        let slot = found.and_then(|at| self.slot_mut(at));
        if let Some(slot) = slot.filter(|slot| slot.newest == fingerprint(&which.serial)) {
            change(slot);
        }
    }

    fn find_key(&self, realm: RealmKey, key: &SpkiHash) -> Option<u32> {
        let is = |at: &u32| {
            self.slot(*at).is_some_and(|slot| slot.realm == realm && slot.spki == *key.octets())
        };
        self.keys.find(self.hash_key(realm, key.octets()), is).copied()
    }

    fn find_device(&self, realm: RealmKey, device: &DeviceId) -> Option<u32> {
        let is = |at: &u32| {
            self.slot(*at)
                .is_some_and(|slot| slot.realm == realm && slot.device == *device.octets())
        };
        self.devices.find(self.hash_device(realm, device.octets()), is).copied()
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        slot(&self.chunks, at)
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        let at = at as usize;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    fn hash_key(&self, realm: RealmKey, spki: &[u8; 32]) -> u64 {
        hash_key(&self.seed, realm, spki)
    }

    fn hash_device(&self, realm: RealmKey, device: &[u8; 16]) -> u64 {
        hash_device(&self.seed, realm, device)
    }
}

fn slot(chunks: &[Vec<Slot>], at: u32) -> Option<&Slot> {
    chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
}

/// 8 octets of a SHA-256 spread as well as all 32.
fn hash_key(seed: &RandomState, realm: RealmKey, spki: &[u8; 32]) -> u64 {
    let front = spki.first_chunk::<8>().map_or(0, |octets| u64::from_ne_bytes(*octets));
    seed.hash_one(front ^ u64::from(realm.0))
}

fn hash_device(seed: &RandomState, realm: RealmKey, device: &[u8; 16]) -> u64 {
    seed.hash_one(u128::from_ne_bytes(*device) ^ u128::from(realm.0))
}

fn rehash_key(chunks: &[Vec<Slot>], seed: &RandomState, at: u32) -> u64 {
    slot(chunks, at).map_or(0, |slot| hash_key(seed, slot.realm, &slot.spki))
}

fn rehash_device(chunks: &[Vec<Slot>], seed: &RandomState, at: u32) -> u64 {
    slot(chunks, at).map_or(0, |slot| hash_device(seed, slot.realm, &slot.device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Serial;

    fn issued(n: u32) -> Turn {
        let mut chance = [0; 10];
        chance[6..].copy_from_slice(&n.to_be_bytes());
        let mut spki = [7; 32];
        spki[..4].copy_from_slice(&n.to_be_bytes());
        let now = UnixTime::from_secs(1_800_000_000);
        Turn::Issued(Issued {
            which: Which {
                realm: RealmKey(1),
                spki: SpkiHash::from_octets(spki),
                serial: Serial::new(now, chance),
            },
            device: DeviceId::new(now, chance),
            standing: Standing::Born,
            device_generation: 0,
            kind: CredentialKind::Birth,
            generation: 0,
            revoked: false,
        })
    }

    #[test]
    fn a_key_takes_at_most_100_octets_also_right_after_the_tables_have_grown() {
        assert_eq!(size_of::<Slot>(), 76);
        let roll = super::super::Roll::new();
        // One more than 7/8 of 2^17: the tables have just doubled.
        let count = 114_689;
        let turns: Vec<Turn> = (0..count).map(issued).collect();
        turns.chunks(512).for_each(|batch| roll.turn(batch));

        assert_eq!(roll.len(), 114_689);
        assert_eq!(roll.counts(RealmKey(1)).born, 114_689);
        assert!(roll.octets() / roll.len() <= 100, "{}", roll.octets() / roll.len());
    }
}
