//! Rows from numbers: the same number is the same device, key or realm in every run.

use super::series::REALM;
use identity::authority::KeyId;
use identity::key::sha256;
use identity::{
    Assurance, Device, DeviceId, Identifiers, RealmName, Serial, SpkiHash, Standing, UnixTime,
};
use registry::{Realm, RealmKey};
use std::collections::BTreeSet;

pub(super) fn founded(key: RealmKey) -> Realm {
    let id = sha256(&[&key.0.to_be_bytes()])[..16].try_into().unwrap_or([0; 16]);
    let named = match key {
        REALM => Some(RealmName::default_realm()),
        _ => RealmName::parse(&format!("realm-{}", key.0)),
    };
    Realm {
        key,
        name: named.unwrap_or_else(RealmName::default_realm),
        id,
        origin: format!("00000000-0000-7000-8000-{:012}.muster.invalid/ledger/1", key.0),
        founded: moment(0),
    }
}

pub(super) fn moment(n: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + n)
}

pub(super) fn chance(n: u64, more: u64) -> [u8; 10] {
    let mut chance = [0; 10];
    chance.copy_from_slice(&sha256(&[&n.to_be_bytes(), &more.to_be_bytes()])[..10]);
    chance
}

pub(super) fn id(n: u64) -> DeviceId {
    DeviceId::new(UnixTime::from_secs(1_700_000_000).plus_secs(n % 1_000_000), chance(n, 0))
}

pub(super) fn key(n: u64, generation: u32) -> SpkiHash {
    SpkiHash::from_octets(sha256(&[b"key", &n.to_be_bytes(), &generation.to_be_bytes()]))
}

pub(super) fn serial(count: u64, chance_of: u64) -> Serial {
    Serial::new(moment(count), chance(chance_of, 1))
}

pub(super) fn issuer() -> KeyId {
    // 20 octets are always one.
    KeyId::from_octets(&[9; 20]).unwrap_or_else(|| unreachable!())
}

pub(super) fn device(n: u64) -> Device {
    Device {
        id: id(n),
        standing: Standing::Born,
        assurance: Assurance::Certified,
        identifiers: Identifiers {
            model: "pump".into(),
            serial: format!("S{n}"),
            macs: ["00:11:22:33:44:55".to_owned()].into(),
            meta: [("plant".to_owned(), "7".to_owned())].into(),
            ..Identifiers::default()
        },
        groups: BTreeSet::new(),
        version: 1,
        generation: 0,
        born: moment(n),
        enrolled: None,
        mark: None,
        door: None,
    }
}
