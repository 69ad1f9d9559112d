//! Where devices and authorities stand, and what became of their certificates, as it was answered;
//! what was under way may be either way.

use super::{REALM, flocks, rollers, units};
use crate::Failure;
use crate::audit;
use crate::kill::load::flock::Flock;
use crate::kill::load::{Book, Worker};
use crate::kill::unit::Unit;
use identity::authority::{AuthorityState, KeyId, Role};
use identity::{Credential, CredentialKind, Device, DeviceId, Reason, Standing};
use registry::Registry;
use std::collections::{BTreeMap, BTreeSet};

/// Every certificate of each device.
type ByDevice<'a> = BTreeMap<DeviceId, Vec<&'a Credential>>;

pub(super) fn look(
    registry: &Registry,
    credentials: &[Credential],
    (book, workers): (&Book, &[Worker]),
) -> Result<(), Failure> {
    let mut of: ByDevice<'_> = BTreeMap::new();
    for credential in credentials {
        of.entry(credential.device).or_default().push(credential);
    }
    for unit in units(book, workers) {
        let Some(id) = unit.device() else { continue };
        let all = of.get(&id).map(Vec::as_slice).unwrap_or_default();
        device(registry, unit, &id, all).map_err(|why| format!("{}: {why}", unit.serial))?;
    }
    for flock in flocks(book, workers) {
        together(registry, flock)?;
    }
    whole(registry, &of)?;
    let installed: Vec<KeyId> = rollers(workers).flat_map(|r| r.installed.clone()).collect();
    authorities(registry, credentials, &installed)
}

fn row(registry: &Registry, id: &DeviceId) -> Result<Device, Failure> {
    Ok(registry.device(REALM, id)?.ok_or_else(|| format!("device {id} is lost"))?)
}

fn device(
    registry: &Registry,
    unit: &Unit,
    id: &DeviceId,
    all: &[&Credential],
) -> Result<(), Failure> {
    let standing = row(registry, id)?.standing;
    if standing != unit.standing && Some(standing) != unit.may_stand() {
        return Err(format!("it is {standing}, and {} was answered", unit.standing).into());
    }
    let erased = registry.erased_at(REALM, id)?.is_some();
    if erased != unit.erased && !unit.may_be_erased() {
        return Err(format!("erased: {erased}, which is not what was answered").into());
    }
    if unit.caught > 0 && !erased && registry.caught(REALM, id)?.is_none() {
        return Err("nothing tells of the clone that was caught".into());
    }
    for (serial, reason) in &unit.ended {
        let found = all.iter().find(|c| c.serial == *serial).and_then(|c| c.revoked);
        if found.map(|r| r.reason) != Some(*reason) {
            let now = found.map(|r| r.reason);
            return Err(format!("{serial} was revoked as {reason}, and is {now:?}").into());
        }
    }
    go_with(standing, all)?;
    match unit.leaf() {
        // What it holds is good, where nothing was under way that may have ended it.
        Some((serial, held)) if standing == Standing::Enrolled && !unit.waits() => {
            let leaf = all.iter().find(|c| c.serial == serial).and_then(|c| c.revoked);
            let wanted = held.then_some(Reason::CertificateHold);
            match leaf.map(|r| r.reason) == wanted {
                true => Ok(()),
                false => Err(format!("{serial} is {leaf:?}, on hold: {held}").into()),
            }
        }
        _ => Ok(()),
    }
}

/// A device and its certificates are struck off together.
fn go_with(standing: Standing, all: &[&Credential]) -> Result<(), Failure> {
    let leaf = |c: &Credential| c.kind == CredentialKind::Leaf;
    let left = all.iter().find(|c| match standing {
        Standing::Retired => !c.is_ended(),
        Standing::Suspended | Standing::Quarantined => leaf(c) && c.revoked.is_none(),
        Standing::Born | Standing::Enrolled => false,
    });
    match left {
        None => Ok(()),
        Some(c) => Err(format!("it is {standing}, and {} is good all the same", c.serial).into()),
    }
}

fn together(registry: &Registry, flock: &Flock) -> Result<(), Failure> {
    let may = flock.may_stand();
    for id in &flock.devices {
        let device = row(registry, id)?;
        let grouped = flock.group().is_none_or(|group| device.groups.contains(&group));
        if !may.contains(&device.standing) || !grouped {
            let (standing, groups) = (device.standing, device.groups);
            return Err(format!("{id} was moved with others: {standing}, {groups:?}").into());
        }
    }
    Ok(())
}

/// No device is half: one that joined has a leaf, one that did not has none.
fn whole(registry: &Registry, of: &ByDevice<'_>) -> Result<(), Failure> {
    for device in audit::devices(registry, REALM)? {
        let all = of.get(&device.id).map(Vec::as_slice).unwrap_or_default();
        let leaved = all.iter().any(|c| c.kind == CredentialKind::Leaf);
        if device.enrolled.is_some() != leaved {
            return Err(format!("device {} is half", device.id).into());
        }
    }
    Ok(())
}

/// An authority that was installed signs or has a successor, one signs, and each certificate is of
/// one that is on record.
fn authorities(
    registry: &Registry,
    credentials: &[Credential],
    installed: &[KeyId],
) -> Result<(), Failure> {
    let all = registry.authorities(REALM)?;
    let known: BTreeSet<KeyId> = all.iter().map(|a| a.id).collect();
    if let Some(stray) = credentials.iter().find(|c| !known.contains(&c.issuer)) {
        return Err(format!("{} is of an authority that is not on record", stray.serial).into());
    }
    let state = |id: &KeyId| all.iter().find(|a| a.id == *id).map(|a| a.state);
    let active: Vec<KeyId> = all
        .iter()
        .filter(|a| a.role == Role::Operations && a.state == AuthorityState::Active)
        .map(|a| a.id)
        .collect();
    if active.len() != 1 {
        return Err(format!("{} operations authorities sign", active.len()).into());
    }
    for (number, id) in installed.iter().enumerate() {
        let last = number + 1 == installed.len();
        match state(id) {
            Some(AuthorityState::Active) if last => {}
            // Its successor may be there without an answer.
            Some(AuthorityState::Retiring) => {}
            other => return Err(format!("authority {id} was installed, and is {other:?}").into()),
        }
    }
    Ok(())
}
