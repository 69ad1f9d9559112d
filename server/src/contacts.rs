//! Who was in contact: the newest handshake of each key, in bounded memory, and how many devices
//! were set aside for a clone within the hour. The first use of a leaf is an entry; what comes
//! after it is worth remembering and not worth an fsync.

use crate::rate::Rates;
use crate::tls::Print;
use ca::contact::{Caps, Window};
use identity::{Device, DeviceId, GroupName, Response, SpkiHash, UnixTime};
use ledger::{Payload, Value};
use registry::{EntryRow, RealmKey, Registry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Contacts that are remembered at least; twice as many at most, some 100 octets each. A fleet that
/// is larger remembers those of the last minutes, which is when two holders of one key meet.
const CONTACTS_KEPT: usize = 32_768;
/// Entries of one device in an hour about keys that knock, and as many about a clone that only an
/// alarm answers: enough to see a pattern, too few to fill a disk.
const ENTRIES_PER_HOUR: u32 = 4;
/// What a start reads again: the window of `ca::contact`.
const HOUR_S: u64 = 3600;

/// One handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Where it came from.
    pub from: IpAddr,
    /// When it was complete.
    pub at: UnixTime,
    /// What its hello looked like.
    pub print: Option<Print>,
}

/// Who was in contact.
#[derive(Default)]
pub struct Contacts {
    newest: Mutex<Newest>,
    windows: Mutex<BTreeMap<RealmKey, Window>>,
    knocks: Rates,
    alarms: Rates,
}

type ByKey = HashMap<(RealmKey, SpkiHash), Contact>;

/// Two halves: what is found in neither was not in contact since the older one was begun.
#[derive(Default)]
struct Newest {
    young: ByKey,
    old: ByKey,
}

impl Contacts {
    /// Remembers a contact.
    pub fn remember(&self, realm: RealmKey, key: SpkiHash, contact: Contact) {
        let mut newest = lock(&self.newest);
        if newest.young.len() >= CONTACTS_KEPT {
            newest.old = std::mem::take(&mut newest.young);
        }
        newest.young.insert((realm, key), contact);
    }

    /// The newest contact with a key, where it is remembered.
    #[must_use]
    pub fn newest(&self, realm: RealmKey, key: &SpkiHash) -> Option<Contact> {
        let newest = lock(&self.newest);
        newest.young.get(&(realm, *key)).or_else(|| newest.old.get(&(realm, *key))).copied()
    }

    /// What is done about a clone, as many within the hour as the realm allows.
    #[must_use]
    pub fn respond(
        &self,
        realm: RealmKey,
        wanted: Response,
        (device, caps): (&Device, &Caps),
        now: UnixTime,
    ) -> Response {
        let mut windows = lock(&self.windows);
        ca::contact::respond(wanted, windows.entry(realm).or_default(), (device, caps), now)
    }

    /// A quarantine that was decided at `at` came to nothing.
    pub fn give_back(&self, realm: RealmKey, device: &Device, at: UnixTime) {
        if let Some(window) = lock(&self.windows).get_mut(&realm) {
            window.give_back(&device.groups, at);
        }
    }

    /// Whether one more knock of a device's old keys may be an entry.
    #[must_use]
    pub fn may_tell_knock(&self, device: DeviceId, now: UnixTime) -> bool {
        self.knocks.take(device, ENTRIES_PER_HOUR, now)
    }

    /// Whether one more alarm about a clone of this device may be an entry.
    #[must_use]
    pub fn may_tell_alarm(&self, device: DeviceId, now: UnixTime) -> bool {
        self.alarms.take(device, ENTRIES_PER_HOUR, now)
    }

    /// Reads from the ledger who was set aside within the last hour, so that a restart does not
    /// give an attacker a fresh allowance.
    ///
    /// # Errors
    /// Where the registry cannot be read.
    pub fn recall(
        &self,
        registry: &Registry,
        realm: RealmKey,
        now: UnixTime,
    ) -> Result<(), registry::ReadError> {
        let rows = registry.caught_since(realm, now.minus_secs(HOUR_S))?;
        let mut window = Window::default();
        for (groups, at) in rows.iter().filter_map(set_aside) {
            window.put(groups, at);
        }
        lock(&self.windows).insert(realm, window);
        Ok(())
    }
}

/// The groups of a device that was quarantined for a clone, and when.
fn set_aside(row: &EntryRow) -> Option<(BTreeSet<GroupName>, UnixTime)> {
    let payload = Payload::decode(row.payload.as_ref()?).ok()?;
    if payload.get("response")?.as_text()? != Response::Quarantine.as_str() {
        return None;
    }
    let groups = match payload.get("groups") {
        Some(Value::List(names)) => {
            names.iter().filter_map(|n| GroupName::parse(n.as_text()?)).collect()
        }
        _ => BTreeSet::new(),
    };
    Some((groups, row.at))
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_newest_contacts_are_kept_and_the_memory_has_an_end() {
        let contacts = Contacts::default();
        let realm = RealmKey(1);
        let key = |n: u32| {
            let mut octets = [0; 32];
            octets[..4].copy_from_slice(&n.to_be_bytes());
            SpkiHash::from_octets(octets)
        };
        let contact = |n: u32| Contact {
            from: Ipv4Addr::from(n).into(),
            at: UnixTime::from_secs(n.into()),
            print: None,
        };
        let all = u32::try_from(CONTACTS_KEPT).unwrap() * 3;
        for n in 0..all {
            contacts.remember(realm, key(n), contact(n));
        }

        assert_eq!(contacts.newest(realm, &key(all - 1)), Some(contact(all - 1)));
        assert_eq!(contacts.newest(realm, &key(0)), None);
        let newest = lock(&contacts.newest);
        assert!(newest.young.len() + newest.old.len() <= 2 * CONTACTS_KEPT);
    }
}
