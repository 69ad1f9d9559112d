//! What the registry knows about one claim: the facts that a decision stands on.

use crate::clock::SystemDice;
use crate::house::{House, RealmState};
use ca::{Facts, KeyFacts, Recognized};
use identity::door::{Door, DoorKind};
use identity::profile::Profile;
use identity::{Ask, Credential, CredentialKind, Device, DeviceId, Outside, UnixTime};
use registry::ReadError;

/// The facts, and what the record of a refusal will want of them.
pub struct Gathered {
    /// For the judge, who takes them.
    pub facts: Facts,
    /// The door that the claim stands before.
    pub door: Option<String>,
    /// The device that what was shown *proved*, and did not merely name.
    pub proven: Option<DeviceId>,
}

/// Leaves of a device that a decision looks at: the newest, its predecessors in their overlap, and those that a
/// device in trouble left behind.
const LEAVES_MAX: usize = 8;

/// Gathers the facts about one claim, in a handful of point reads.
///
/// # Errors
/// [`ReadError`] where the registry cannot be read.
pub fn gather(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    recognized: &Recognized,
    now: UnixTime,
) -> Result<Gathered, ReadError> {
    let registry = &house.registry;
    let (device, shown, token) = match recognized {
        Recognized::Birth { serial, device } | Recognized::Leaf { serial, device } => {
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
    let leaves = match &device {
        Some(device) => leaves(house, realm, device)?,
        None => Vec::new(),
    };
    let door = door_of(realm, recognized, &device);
    let profile = door.and_then(|d| realm.profile(&d.profile)).cloned().unwrap_or_else(Profile::standard);
    let proven = match recognized {
        Recognized::Token { .. } => None,
        _ => device.as_ref().map(|d| d.id),
    };
    let facts = Facts {
        door: door.cloned(),
        profile,
        shown,
        leaves,
        key: key_facts(house, realm, ask)?,
        token,
        fresh: Outside { now, dice: &mut SystemDice }.device_id(),
        device,
    };
    Ok(Gathered { door: door.map(|d| d.name.clone()), facts, proven })
}

/// The device that a token's holder may mean: the one that the token names, else the one whose serial the CSR claims,
/// so that the judge can refuse it.
fn of_token(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    named: Option<&str>,
) -> Result<Option<Device>, ReadError> {
    let claimed = ask.csr.claims().serial;
    let serial = named.unwrap_or(&claimed);
    if serial.is_empty() {
        return Ok(None);
    }
    let name = identity::name::DeviceName::parse(&format!("serial:{serial}"));
    let found = match name {
        Some(name) => house.registry.devices_named(realm.key, &name)?,
        None => Vec::new(),
    };
    Ok(found.into_iter().next())
}

fn leaves(house: &House, realm: &RealmState, device: &Device) -> Result<Vec<Credential>, ReadError> {
    let all = house.registry.credentials_of(realm.key, &device.id, LEAVES_MAX + 1)?;
    Ok(all.into_iter().filter(|c| c.kind == CredentialKind::Leaf).take(LEAVES_MAX).collect())
}

/// The roll answers for nearly every new key: it is unknown, and no SQL is asked.
fn key_facts(house: &House, realm: &RealmState, ask: &Ask) -> Result<KeyFacts, ReadError> {
    let seen = house.registry.roll().lookup(realm.key, &ask.csr.key().hash());
    Ok(seen.map_or(KeyFacts { device: None, compromised: false, is_birth: false }, |seen| KeyFacts {
        device: Some(seen.device),
        compromised: seen.compromised,
        is_birth: seen.kind == CredentialKind::Birth,
    }))
}

/// The door before which a claim stands. A leaf comes back through the door of its kind: born here or by a maker,
/// else by token.
fn door_of<'a>(realm: &'a RealmState, recognized: &Recognized, device: &Option<Device>) -> Option<&'a Door> {
    let of_kind = |kind: &str| realm.doors.iter().find(|d| d.kind.as_str() == kind);
    match recognized {
        Recognized::Birth { .. } => of_kind("birth"),
        Recognized::Maker { door, .. } => realm.door(door),
        Recognized::Token { .. } => of_kind("token"),
        Recognized::Leaf { .. } => {
            let device = device.as_ref()?;
            let maker = realm.door(&device.identifiers.maker);
            let maker = maker.filter(|d| matches!(d.kind, DoorKind::Maker(_)));
            maker.or_else(|| of_kind(if device.assurance <= identity::Assurance::Token { "token" } else { "birth" }))
        }
    }
}
