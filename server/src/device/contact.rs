//! Who made contact. A completed handshake proves possession of a key; the roll says whose it is,
//! without SQL, and where the roll finds something odd, `ca::contact` says what it tells.
//!
//! [`meet`] hears of each handshake once, before its first request: it notes the first use of a
//! leaf, and finds the one who comes with a leaf that is spent. What is done about that is in
//! [`super::caught`].

use super::caught;
use crate::contacts::Contact;
use crate::house::{House, RealmState};
use crate::listen::Connection;
use crate::tls::Print;
use ca::contact::{self, Known, Told};
use identity::{
    Certificate, Credential, CredentialKind, Defect, Device, Signal, SpkiHash, UnixTime,
};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, ReadError, Seen};
use std::net::IpAddr;

/// How often a contact is judged anew because the device changed between decision and commit.
const DECISIONS_MAX: usize = 4;

/// A completed handshake with a certificate.
#[derive(Clone, Copy)]
pub(super) struct Handshake<'a> {
    /// What was shown; its key is proven.
    pub(super) shown: &'a Certificate,
    /// Where it came from.
    pub(super) from: IpAddr,
    /// What the hello looked like.
    pub(super) print: Option<Print>,
    /// When the connection was accepted.
    pub(super) began: UnixTime,
    /// When the handshake was complete.
    pub(super) at: UnixTime,
}

impl Handshake<'_> {
    fn key(&self) -> SpkiHash {
        self.shown.spki_hash()
    }

    pub(super) fn contact(&self) -> Contact {
        Contact { from: self.from, at: self.at, print: self.print }
    }
}

/// What is known of the key that made contact.
pub(super) struct Record {
    pub(super) device: Device,
    pub(super) of_key: Vec<Credential>,
}

/// What the roll says of the key that this connection proved.
pub(super) fn proven(house: &House, realm: &RealmState, connection: &Connection) -> Option<Seen> {
    let shown = connection.holder.as_ref()?;
    house.registry.roll().lookup(realm.key, &shown.spki_hash())
}

/// What was shown, as far as a judge wants to see it: the rest of a chain only where none of our
/// own authorities signed the holder's certificate, as far as that says.
///
/// # Errors
/// Why a certificate could not be read.
pub(super) fn shown(
    realm: &RealmState,
    connection: &Connection,
) -> Result<Vec<Certificate>, Defect> {
    let is_ours = |holder: &&Certificate| {
        let signer = holder.authority_key_id();
        realm.authorities.iter().any(|authority| Some(authority.id) == signer)
    };
    match connection.holder.as_ref().filter(is_ours) {
        Some(holder) => Ok(vec![holder.clone()]),
        None => connection.chain(),
    }
}

/// Whether the key that this connection proved is of a device in good standing.
pub(super) fn is_in_good_standing(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
) -> bool {
    proven(house, realm, connection).is_some_and(|seen| is_good(&seen))
}

fn is_good(seen: &Seen) -> bool {
    seen.standing.is_good() && !seen.revoked
}

/// Hears of a completed handshake, whose realm is not known before its first request: a key is
/// looked for in each.
pub async fn meet(house: &House, connection: &Connection) {
    let Some(shown) = connection.holder.as_ref() else { return };
    let at = house.clock.now();
    let age_ms = u64::try_from(connection.age().as_millis()).unwrap_or(u64::MAX);
    let began = UnixTime::from_millis(at.millis().saturating_sub(age_ms));
    let (from, print) = (connection.peer, connection.print);
    for realm in house.realms() {
        if hear(house, &realm, &Handshake { shown, from, print, began, at }).await {
            connection.prove();
        }
    }
}

/// Hears of a completed handshake in one realm; whether the key is of a device in good standing.
pub(super) async fn hear(house: &House, realm: &RealmState, hands: &Handshake<'_>) -> bool {
    let lookup = || house.registry.roll().lookup(realm.key, &hands.key());
    let Some(seen) = lookup() else { return false };
    if is_odd(&seen, hands.at) {
        if let Err(error) = odd(house, realm, hands).await {
            tracing::error!(device = %seen.device, "a contact could not be judged: {error}");
        }
        return lookup().is_some_and(|seen| is_good(&seen));
    }
    if !is_good(&seen) {
        return false;
    }
    first_use(house, realm, hands, &seen).await;
    house.contacts.remember(realm.key, hands.key(), hands.contact());
    true
}

/// Whether a look at the rows is due. The roll rounds up, and speaks of the key's newest
/// certificate only.
fn is_odd(seen: &Seen, at: UnixTime) -> bool {
    seen.compromised || seen.revoked || seen.spent.is_some_and(|spent| spent <= at.plus_secs(1))
}

/// Judges a contact that may be odd, on the rows; again where they changed meanwhile.
async fn odd(house: &House, realm: &RealmState, hands: &Handshake<'_>) -> Result<(), ReadError> {
    let shown = contact::Contact { spki: hands.key(), began: hands.began, at: hands.at };
    for _ in 0..DECISIONS_MAX {
        let Some(seen) = house.registry.roll().lookup(realm.key, &shown.spki) else { break };
        let Some(device) = house.registry.device(realm.key, &seen.device)? else { break };
        let of_key = house.registry.credentials_by_key(realm.key, &shown.spki)?;
        let record = Record { device, of_key };
        let (device, of_key) = (&record.device, record.of_key.as_slice());
        match contact::hear(&shown, &Known { device, of_key, compromised: seen.compromised }) {
            Told::Nothing => break,
            Told::Odd(signal) => {
                knocked(house, realm, hands, (&record, signal)).await;
                break;
            }
            Told::Clone(leaf) => {
                if caught::act(house, realm, hands, (&record, leaf)).await? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// A key that has nothing to say any more completed a handshake: counted each time, an entry a few
/// times an hour.
async fn knocked(
    house: &House,
    realm: &RealmState,
    hands: &Handshake<'_>,
    (record, signal): (&Record, Signal),
) {
    house.metrics.signal(realm.name().as_str(), signal.as_str());
    let device = record.device.id;
    if !house.contacts.may_tell_knock(device, hands.at) {
        return;
    }
    tracing::warn!(realm = %realm.name(), %device, from = %hands.from, %signal,
        "{}", signal.sentence());
    let mut payload = Payload::new("key.knocked")
        .with("device", device.to_string())
        .with("spki", hands.key().octets().to_vec())
        .with("signal", signal.as_str())
        .with("severity", signal.severity().as_str())
        .with("reason", signal.sentence())
        .with("from", hands.from.to_string());
    if let Some(print) = hands.print {
        payload = payload.with("print", print.octets().to_vec());
    }
    if let Err(error) = house.commit(realm.key, Change::Nothing, Class::Signal, payload).await {
        tracing::error!(%device, "a knock could not be recorded: {error}");
    }
}

/// Notes a contact by the way of a request: a device in good standing is no stranger to its
/// address, and a first use that could not be written is made up for.
///
/// The mark is durable before the request is judged, so that a retry for a leaf that was used is
/// not mistaken for one after a lost answer. A mark that cannot be written is made at the next
/// contact.
pub(super) async fn note(house: &House, realm: &RealmState, connection: &Connection) {
    let (Some(shown), Some(seen)) = (connection.holder.as_ref(), proven(house, realm, connection))
    else {
        return;
    };
    if !is_good(&seen) {
        return;
    }
    connection.prove();
    let at = house.clock.now();
    let (from, print) = (connection.peer, connection.print);
    first_use(house, realm, &Handshake { shown, from, print, began: at, at }, &seen).await;
}

/// Ends the predecessors of a leaf at its first use, at once or after the overlap.
async fn first_use(house: &House, realm: &RealmState, hands: &Handshake<'_>, seen: &Seen) {
    if seen.kind != CredentialKind::Leaf || seen.used {
        return;
    }
    let Some(serial) = hands.shown.serial() else { return };
    // A device that keeps its key over renewals may still show the older certificate of it.
    let leaf = match house.registry.credential(realm.key, &serial) {
        // The very certificate: a made-up one could carry the serial number of a leaf whose key was
        // not proven.
        Ok(Some(leaf))
            if leaf.der == hands.shown.der() && leaf.used.is_none() && leaf.revoked.is_none() =>
        {
            leaf
        }
        _ => return,
    };
    let groups = house.registry.device(realm.key, &seen.device).ok().flatten();
    let at = house.clock.now();
    let overlap_s = if leaf.closes { 0 } else { realm.settings.rules(groups.as_ref()).overlap_s };
    let mut payload = Payload::new("leaf.used")
        .with("device", seen.device.to_string())
        .with("serial", serial.octets().to_vec())
        .with("generation", u64::from(leaf.generation))
        .with("from", hands.from.to_string());
    if let Some(print) = hands.print {
        payload = payload.with("print", print.octets().to_vec());
    }
    let change = Change::Used { serial, at, earlier_end: at.plus_secs(overlap_s) };
    match house.commit(realm.key, change, Class::Use, payload).await {
        // Another connection of the device was first.
        Ok(_) | Err(CommitError::Conflict(Clash::Exists)) => {}
        Err(error) => tracing::warn!(
            device = %seen.device, %serial, "the first use of a leaf could not be recorded: {error}"
        ),
    }
}
