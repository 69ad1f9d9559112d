//! What the registry knows about one claim: the facts that a decision stands on.

use crate::clock::SystemDice;
use crate::erasure::Over;
use crate::house::{House, RealmState};
use ca::{Facts, KeyFacts, Recognized};
use identity::ask::Shown;
use identity::authority::{Authority, AuthorityState};
use identity::door::Door;
use identity::name::DeviceName;
use identity::token::Token;
use identity::{
    Ask, Credential, CredentialKind, Device, DeviceId, Identifiers, Outside, SpkiHash, UnixTime,
};
use registry::ReadError;
use std::collections::BTreeSet;

/// Who somebody claims to be, and our record of the certificate that they showed.
pub(super) struct Claim {
    pub(super) recognized: Recognized,
    pub(super) record: Option<Credential>,
}

/// The facts, and what the record of a refusal will want of them.
pub(super) struct Gathered<'a> {
    /// Who it claims to be.
    pub(super) recognized: Recognized,
    /// For the judge, who takes them.
    pub(super) facts: Facts<'a>,
    /// The device that what was shown *proved*, and did not merely name.
    pub(super) proven: Option<DeviceId>,
}

/// Leaves of a device that a decision looks at: the newest, its predecessors in their overlap, and
/// those that a device in trouble left behind.
const LEAVES_MAX: usize = 8;

/// Gathers the facts about one claim, in a handful of point reads.
///
/// # Errors
/// [`ReadError`] where the registry cannot be read.
pub(super) fn gather<'a>(
    house: &House,
    realm: &'a RealmState,
    ask: &Ask,
    claim: Claim,
    now: UnixTime,
) -> Result<Gathered<'a>, ReadError> {
    let Claim { recognized, record: shown } = claim;
    let Resolved { device, token, namesakes } = resolve(house, realm, ask, &recognized)?;
    let (leaves, has_birth) = match &device {
        Some(device) => held(house, realm, ask, (device, shown.as_ref()))?,
        None => (Vec::new(), false),
    };
    let door = door_of(realm, &recognized, device.as_ref());
    let profile = door.and_then(|d| realm.profile(&d.profile)).unwrap_or(&realm.standard);
    let key = key_facts(house, realm, ask, (&leaves, now))?;
    let proven = device.as_ref().map(|d| d.id).filter(|_| match &recognized {
        Recognized::Token { digest, .. } => {
            token.as_ref().is_some_and(|t| vouches(t, digest, &key))
        }
        _ => true,
    });
    let fresh = Outside { now, dice: &mut SystemDice }.device_id();
    let nobody = device.is_none() && !namesakes;
    let erased = nobody && was_erased(house, realm, ask, (&recognized, token.as_ref()))?;
    let facts = Facts {
        door,
        profile,
        erased,
        shown,
        has_birth,
        leaves,
        key,
        token,
        namesakes,
        fresh,
        device,
    };
    Ok(Gathered { recognized, facts, proven })
}

/// Whom a claim resolves to.
#[derive(Default)]
struct Resolved {
    device: Option<Device>,
    token: Option<Token>,
    /// Whether several devices have the serial number that the token names.
    namesakes: bool,
}

fn resolve(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    recognized: &Recognized,
) -> Result<Resolved, ReadError> {
    let registry = &house.registry;
    let alone = |device| Resolved { device, ..Resolved::default() };
    Ok(match recognized {
        Recognized::Birth { device, .. } | Recognized::Leaf { device, .. } => {
            alone(registry.device(realm.key, device)?)
        }
        Recognized::Maker { identifiers: i, .. } => {
            let known = registry.device_by_idevid(realm.key, &recognized.requester())?;
            alone(match known {
                Some(known) => Some(known),
                None => registry.device_by_serial(realm.key, &i.maker, &i.model, &i.serial)?,
            })
        }
        Recognized::Token { id, .. } => {
            let token = registry.token(realm.key, id)?;
            let named = token.as_ref().and_then(|t| t.serial.clone());
            let found = of_token(house, realm, ask, named.as_deref())?;
            let namesakes = named.is_some() && found.len() > 1;
            let key = &ask.csr.key().hash();
            let device = if namesakes { of_key(house, realm, found, key) } else { first(found) };
            Resolved { device, token, namesakes }
        }
    })
}

/// Whether the identifiers that a new device would have were those of one that was erased.
fn was_erased(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    (recognized, token): (&Recognized, Option<&Token>),
) -> Result<bool, ReadError> {
    let named = match recognized {
        Recognized::Maker { identifiers, .. } => {
            return house.was_erased(realm, identifiers, Over::All);
        }
        Recognized::Token { .. } => token.and_then(|t| t.serial.as_deref()),
        Recognized::Birth { .. } | Recognized::Leaf { .. } => return Ok(false),
    };
    let claims = ask.csr.claims();
    let (said, over) = match named.map(|n| DeviceName::parse(&format!("serial:{n}"))) {
        Some(Some(DeviceName::Serial { of: Some((maker, model)), serial })) => {
            (Identifiers { maker, model, serial, ..Identifiers::default() }, Over::All)
        }
        Some(Some(DeviceName::Serial { of: None, serial })) => {
            (Identifiers { serial, ..Identifiers::default() }, Over::Serial)
        }
        _ => (claims, Over::Serial),
    };
    house.was_erased(realm, &said, over)
}

/// Our record of the certificate that was shown, where the roll knows its key: a stranger's costs
/// no SQL.
pub(super) fn recorded(
    house: &House,
    realm: &RealmState,
    shown: &Shown,
) -> Result<Option<Credential>, ReadError> {
    let Some(shown) = shown.chain.first() else { return Ok(None) };
    let known = house.registry.roll().lookup(realm.key, &shown.spki_hash()).is_some();
    match shown.serial().filter(|_| known) {
        Some(serial) => house.registry.credential(realm.key, &serial),
        None => Ok(None),
    }
}

/// Whether a token speaks for the device that was found: its secret is right, and it names the
/// device, or the CSR's key is the device's own. A serial number that its holder merely claims
/// proves nothing.
fn vouches(token: &Token, digest: &[u8; 32], key: &KeyFacts) -> bool {
    let right = token.digest == *digest && token.revoked.is_none();
    right && (token.serial.is_some() || key.device.is_some())
}

/// The devices that a token's holder may mean: those that the token names; else the one that the
/// CSR's key is known for (a retry); else those whose serial number the CSR claims, so that the
/// judge can refuse it.
fn of_token(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    named: Option<&str>,
) -> Result<Vec<Device>, ReadError> {
    let known = house.registry.roll().lookup(realm.key, &ask.csr.key().hash());
    if let (None, Some(seen)) = (named, known) {
        return Ok(house.registry.device(realm.key, &seen.device)?.into_iter().collect());
    }
    let claimed = ask.csr.claims().serial;
    let serial = named.unwrap_or(&claimed);
    match DeviceName::parse(&format!("serial:{serial}")) {
        Some(name) => house.registry.devices_named(realm.key, &name),
        None => Ok(Vec::new()),
    }
}

/// Of several devices the one that the CSR's key is known for, which is a retry's: no other is
/// chosen among namesakes.
fn of_key(house: &House, realm: &RealmState, found: Vec<Device>, key: &SpkiHash) -> Option<Device> {
    let known = house.registry.roll().lookup(realm.key, key)?;
    found.into_iter().find(|device| device.id == known.device)
}

fn first(found: Vec<Device>) -> Option<Device> {
    found.into_iter().next()
}

/// The device's leaves, and whether it has a birth certificate that still counts.
fn held(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    (device, shown): (&Device, Option<&Credential>),
) -> Result<(Vec<Credential>, bool), ReadError> {
    // A device of generation 0 never had a leaf: the first join, of a whole production run, asks
    // for none.
    let all = match device.generation {
        0 => Vec::new(),
        _ => house.registry.credentials_of(realm.key, &device.id, LEAVES_MAX + 1)?,
    };
    let newest = all.into_iter().filter(|c| c.kind == CredentialKind::Leaf).take(LEAVES_MAX);
    let leaves = with_elder(house, realm, newest.collect(), &ask.csr.key().hash())?;
    let leaves = leaves.into_iter().map(|leaf| barred(realm, leaf));
    // A birth certificate that was revoked counts too: who took it away did not mean to give grace.
    let has_birth = match shown {
        Some(shown) if shown.kind == CredentialKind::Birth => true,
        _ => house.registry.birth_of(realm.key, &device.id)?.is_some(),
    };
    Ok((leaves.collect(), has_birth))
}

/// The newest leaves and, where there may be more of them, the older ones of each key that is about
/// to be decided on: the CSR's, and those with a leaf that nobody has used. Whether a key is at work
/// is said by all of its leaves, and many lost answers hide the one that is.
fn with_elder(
    house: &House,
    realm: &RealmState,
    newest: Vec<Credential>,
    asked: &SpkiHash,
) -> Result<Vec<Credential>, ReadError> {
    if newest.len() < LEAVES_MAX {
        return Ok(newest);
    }
    let open = newest.iter().filter(|l| l.spki == *asked || (l.used.is_none() && !l.is_ended()));
    let keys: BTreeSet<SpkiHash> = open.map(|leaf| leaf.spki).collect();
    let oldest = newest.iter().map(|leaf| leaf.generation).min().unwrap_or_default();
    let mut leaves = newest;
    for key in keys {
        let of_key = house.registry.credentials_by_key(realm.key, &key)?;
        leaves.extend(of_key.into_iter().filter(|leaf| leaf.generation < oldest));
    }
    Ok(leaves)
}

/// A leaf of a barred authority is no answer to a retry, and its key may come again: what was
/// answered with it counts as used.
fn barred(realm: &RealmState, leaf: Credential) -> Credential {
    let barred = |a: &Authority| a.id == leaf.issuer && a.state == AuthorityState::Barred;
    let dead = realm.authorities.iter().any(barred);
    Credential { used: leaf.used.or(dead.then_some(leaf.issued)), ..leaf }
}

/// The roll answers for nearly every new key: it is unknown, and no SQL is asked. A key that had
/// leaves of which none is among the newest is looked up, so that no key of long ago comes back.
fn key_facts(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    (leaves, now): (&[Credential], UnixTime),
) -> Result<KeyFacts, ReadError> {
    let hash = ask.csr.key().hash();
    let Some(seen) = house.registry.roll().lookup(realm.key, &hash) else {
        return Ok(KeyFacts::default());
    };
    let is_birth = seen.kind == CredentialKind::Birth;
    let worn = if is_birth || leaves.iter().any(|leaf| leaf.spki == hash) {
        false
    } else {
        let of_key = house.registry.credentials_by_key(realm.key, &hash)?;
        !of_key.is_empty() && of_key.iter().all(|leaf| leaf.is_worn(now))
    };
    Ok(KeyFacts { device: Some(seen.device), compromised: seen.compromised, is_birth, worn })
}

/// The door before which a claim stands; of births and of tokens there is one, and in a home of
/// before, which may have several, the first that is open. A leaf comes back through the door that its device last joined by.
pub(super) fn door_of<'a>(
    realm: &'a RealmState,
    recognized: &Recognized,
    device: Option<&Device>,
) -> Option<&'a Door> {
    let of_kind = |kind: &str| {
        let mut doors = realm.doors.iter().filter(|d| d.kind.as_str() == kind);
        let first = doors.clone().next();
        doors.find(|d| d.open).or(first)
    };
    match recognized {
        Recognized::Birth { .. } => of_kind("birth"),
        Recognized::Maker { door, .. } => realm.door(door),
        Recognized::Token { .. } => of_kind("token"),
        Recognized::Leaf { .. } => realm.door(device?.door.as_deref()?),
    }
}
