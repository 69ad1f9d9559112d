//! Who made contact. A completed handshake proves possession of a key; the roll says whose it is,
//! without SQL.

use crate::house::{House, RealmState};
use crate::listen::Connection;
use identity::{Certificate, CredentialKind, Defect, DeviceId};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, Seen};

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
    proven(house, realm, connection).is_some_and(|seen| seen.standing.is_good() && !seen.revoked)
}

/// Notes the contact: a device in good standing is no stranger to its address, and the first
/// contact with a leaf ends its predecessors, at once or after the overlap.
///
/// The mark is durable before the request is judged, so that a retry for a leaf that was used is
/// not mistaken for one after a lost answer. A mark that cannot be written is made at the next
/// contact.
pub(super) async fn note(house: &House, realm: &RealmState, connection: &Connection) {
    let Some(seen) = proven(house, realm, connection) else { return };
    if !seen.standing.is_good() || seen.revoked {
        return;
    }
    connection.prove();
    if seen.kind == CredentialKind::Leaf && !seen.used {
        first_use(house, realm, connection, seen.device).await;
    }
}

async fn first_use(house: &House, realm: &RealmState, connection: &Connection, device: DeviceId) {
    let Some(shown) = &connection.holder else { return };
    let Some(serial) = shown.serial() else { return };
    // A device that keeps its key over renewals may still show the older certificate of it.
    let leaf = match house.registry.credential(realm.key, &serial) {
        // The very certificate: a made-up one could carry the serial number of a leaf whose key was
        // not proven.
        Ok(Some(leaf))
            if leaf.der == shown.der() && leaf.used.is_none() && leaf.revoked.is_none() =>
        {
            leaf
        }
        _ => return,
    };
    let groups = house.registry.device(realm.key, &device).ok().flatten();
    let at = house.clock.now();
    let overlap_s = if leaf.closes { 0 } else { realm.settings.rules(groups.as_ref()).overlap_s };
    let payload = Payload::new("leaf.used")
        .with("device", device.to_string())
        .with("serial", serial.octets().to_vec())
        .with("generation", u64::from(leaf.generation))
        .with("from", connection.peer.to_string());
    let change = Change::Used { serial, at, earlier_end: at.plus_secs(overlap_s) };
    match house.commit(realm.key, change, Class::Use, payload).await {
        // Another connection of the device was first.
        Ok(_) | Err(CommitError::Conflict(Clash::Exists)) => {}
        Err(error) => tracing::warn!(
            %device, %serial, "the first use of a leaf could not be recorded: {error}"
        ),
    }
}
