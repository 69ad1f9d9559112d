//! The device's half.

use super::wire::{JSON, Operation, Place, Report};
use crate::est::client::{Incoming, Outgoing, Reply, refused};
use identity::RealmName;

/// Says what the device runs, and what is printed on it.
#[must_use]
pub fn report(realm: &RealmName, report: &Report) -> Outgoing {
    say(realm, Operation::Report, vec![("Content-Type", JSON.to_owned())], report.write())
}

/// Says that the device leaves.
#[must_use]
pub fn leave(realm: &RealmName) -> Outgoing {
    say(realm, Operation::Leave, Vec::new(), Vec::new())
}

fn say(
    realm: &RealmName,
    operation: Operation,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
) -> Outgoing {
    let path = Place { realm: realm.clone(), operation }.path();
    Outgoing { method: operation.method(), path, headers, body }
}

/// Reads the answer to either.
#[must_use]
pub fn read(incoming: &Incoming<'_>) -> Reply<()> {
    match incoming.status {
        200..=299 => Reply::Done(()),
        _ => refused(incoming),
    }
}
