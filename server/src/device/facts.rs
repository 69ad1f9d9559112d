//! What the registry knows about one claim: the facts that a decision stands on.

use crate::clock::SystemDice;
use crate::house::{House, RealmState};
use ca::{Facts, KeyFacts, Recognized};
use identity::door::Door;
use identity::name::DeviceName;
use identity::{Ask, Credential, CredentialKind, Device, DeviceId, Outside, UnixTime};
use registry::ReadError;

/// The facts, and what the record of a refusal will want of them.
pub(super) struct Gathered<'a> {
    /// For the judge, who takes them.
    pub(super) facts: Facts<'a>,
    /// The device that what was shown *proved*, and did not merely name.
    pub(super) proven: Option<DeviceId>,
}

/// Leaves of a device that a decision looks at: the newest, its predecessors in their overlap, and those that a
/// device in trouble left behind.
const LEAVES_MAX: usize = 8;

/// Gathers the facts about one claim, in a handful of point reads.
///
/// # Errors
/// [`ReadError`] where the registry cannot be read.
pub(super) fn gather<'a>(
    house: &House,
    realm: &'a RealmState,
    ask: &Ask,
    recognized: &Recognized,
    now: UnixTime,
) -> Result<Gathered<'a>, ReadError> {
    let registry = &house.registry;
    let (device, shown, token) = match recognized {
        Recognized::Birth { serial, device, .. } | Recognized::Leaf { serial, device, .. } => {
            (registry.device(realm.key, device)?, registry.credential(realm.key, serial)?, None)
        }
        Recognized::Maker { identifiers: i, .. } => {
            (registry.device_by_serial(realm.key, &i.maker, &i.model, &i.serial)?, None, None)
        }
        Recognized::Token { id, .. } => {
            let token = registry.token(realm.key, id)?;
            let named = token.as_ref().and_then(|t| t.serial.clone());
            (of_token(house, realm, ask, named.as_deref())?, None, token)
        }
    };
    let (leaves, has_birth) = match &device {
        Some(device) => held(house, realm, device)?,
        None => (Vec::new(), false),
    };
    let door = door_of(realm, recognized, device.as_ref());
    let profile = door.and_then(|d| realm.profile(&d.profile)).unwrap_or(&realm.standard);
    let proven = match recognized {
        Recognized::Token { .. } => None,
        _ => device.as_ref().map(|d| d.id),
    };
    let fresh = Outside { now, dice: &mut SystemDice }.device_id();
    let key = key_facts(house, realm, ask);
    let facts = Facts { door, profile, shown, has_birth, leaves, key, token, fresh, device };
    Ok(Gathered { facts, proven })
}

/// The device that a token's holder may mean: the one that the token names; else the one that the CSR's key is known
/// for (a retry); else the one whose serial number the CSR claims, so that the judge can refuse it.
fn of_token(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    named: Option<&str>,
) -> Result<Option<Device>, ReadError> {
    let known = house.registry.roll().lookup(realm.key, &ask.csr.key().hash());
    if let (None, Some(seen)) = (named, known) {
        return house.registry.device(realm.key, &seen.device);
    }
    let claimed = ask.csr.claims().serial;
    let serial = named.unwrap_or(&claimed);
    match DeviceName::parse(&format!("serial:{serial}")) {
        Some(name) => Ok(house.registry.devices_named(realm.key, &name)?.into_iter().next()),
        None => Ok(None),
    }
}

/// The device's leaves, and whether it has a birth certificate that still counts.
fn held(
    house: &House,
    realm: &RealmState,
    device: &Device,
) -> Result<(Vec<Credential>, bool), ReadError> {
    let all = house.registry.credentials_of(realm.key, &device.id, LEAVES_MAX + 1)?;
    let leaves = all.into_iter().filter(|c| c.kind == CredentialKind::Leaf).take(LEAVES_MAX);
    let birth = house.registry.birth_of(realm.key, &device.id)?;
    Ok((leaves.collect(), birth.is_some_and(|b| b.revoked.is_none())))
}

/// The roll answers for nearly every new key: it is unknown, and no SQL is asked.
fn key_facts(house: &House, realm: &RealmState, ask: &Ask) -> KeyFacts {
    let seen = house.registry.roll().lookup(realm.key, &ask.csr.key().hash());
    seen.map_or_else(KeyFacts::default, |seen| KeyFacts {
        device: Some(seen.device),
        compromised: seen.compromised,
        is_birth: seen.kind == CredentialKind::Birth,
    })
}

/// The door before which a claim stands. A leaf comes back through the door that its device last joined by.
pub(super) fn door_of<'a>(
    realm: &'a RealmState,
    recognized: &Recognized,
    device: Option<&Device>,
) -> Option<&'a Door> {
    let of_kind = |kind: &str| realm.doors.iter().find(|d| d.kind.as_str() == kind);
    match recognized {
        Recognized::Birth { .. } => of_kind("birth"),
        Recognized::Maker { door, .. } => realm.door(door),
        Recognized::Token { .. } => of_kind("token"),
        Recognized::Leaf { .. } => realm.door(device?.door.as_deref()?),
    }
}
