//! What a start looks at before anything is signed: that the ledger goes on from what was signed
//! last. Else the next checkpoint would be our own word for a past that somebody wrote anew while
//! nobody was here.
//!
//! It costs some reads for the tree, and one for each entry that a crash left behind the last
//! checkpoint. Entries that were signed are hashed again by the long look, which runs behind the
//! start; what the last checkpoint was about, nobody can tell who has taken that away too.

use super::SPACE;
use crate::house::{House, RealmState};
use ledger::note::{self, Checkpoint};
use ledger::tree::{Hashes, leaf_hash, root};
use ledger::{Entry, Head, Origin, VerifierKey};
use registry::{EntryRow, ReadError};

/// Whether each ledger goes on from its last checkpoint.
///
/// # Errors
/// A sentence that says which does not, and what to do.
pub(crate) fn continues(house: &House) -> Result<(), String> {
    for realm in house.realms() {
        look(house, &realm).map_err(|what| {
            format!(
                "the ledger of realm `{}` was changed while the server was stopped, or is damaged: \
                 {what}; keep the file, see with `muster ledger verify` on its `muster.db` where it \
                 breaks, and restore a back-up",
                realm.name()
            )
        })?;
    }
    Ok(())
}

fn look(house: &House, realm: &RealmState) -> Result<(), String> {
    let signed =
        signed(house, realm)?.unwrap_or(Head { size: 0, root: ledger::tree::empty_root() });
    let (head, begins, ends) = house
        .registry
        .hashes(realm.key, |head, stored| {
            (head, root(signed.size.min(head.size), stored), root(head.size, stored))
        })
        .map_err(unread)?;
    if signed.size > head.size {
        return Err(format!("{} entries were signed, and it has {}", signed.size, head.size));
    }
    if begins != Ok(signed.root) {
        return Err(format!("its first {} entries are not those that were signed", signed.size));
    }
    if ends != Ok(head.root) {
        return Err("its head does not go with its tiles".to_owned());
    }
    behind(house, realm, (signed.size, head.size))
}

/// What was signed last, where it is the ledger's own key that did it; `None` before the first.
fn signed(house: &House, realm: &RealmState) -> Result<Option<Head>, String> {
    let noted = house.registry.noted(realm.key, SPACE, b"").map_err(unread)?;
    let Some(octets) = noted else { return Ok(None) };
    let unbelieved = |why: &str| format!("its last checkpoint is not to be believed ({why})");
    let text = String::from_utf8(octets).map_err(|_| unbelieved("it is not text"))?;
    let origin = Origin::parse(&realm.realm.origin).ok_or("its origin cannot be read")?;
    let key = VerifierKey::new(&origin, house.ledger_key.public());
    let key = key.ok_or("the ledger's key in `keys/` is not Ed25519")?;
    let checkpoint: Checkpoint =
        note::open(&text, &[key]).map_err(|defect| unbelieved(&defect.sentence))?;
    Ok(Some(checkpoint.head()))
}

/// The entries from one number to before another: each is the leaf of its number, and its payload
/// is what it says.
fn behind(house: &House, realm: &RealmState, (from, to): (u64, u64)) -> Result<(), String> {
    let mut next = from;
    while next < to {
        let rows = house.registry.entries(realm.key, next, registry::read::ROWS_MAX);
        let rows = rows.map_err(unread)?;
        let broken = house.registry.hashes(realm.key, |_, stored| {
            rows.iter().zip(next..).find(|(row, number)| !is_leaf(row, *number, stored))
        });
        if let Some((_, number)) = broken.map_err(unread)? {
            return Err(format!("entry {number} is not the one that its tree has"));
        }
        if rows.is_empty() {
            return Err(format!("entry {next} is missing"));
        }
        next += rows.len() as u64;
    }
    Ok(())
}

fn is_leaf(row: &EntryRow, number: u64, stored: &impl Hashes) -> bool {
    let Ok(entry) = Entry::decode(&row.entry) else { return false };
    let payload = row.payload.as_ref().zip(row.salt.as_ref());
    row.index == number
        && entry.index == number
        && stored.leaf(number) == Some(leaf_hash(&row.entry))
        && payload.is_none_or(|(payload, salt)| ledger::digest(salt, payload) == entry.digest)
}

fn unread(error: ReadError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::house::{Furniture, Keyring};
    use crate::keys::NewKey;
    use identity::key::SoftwareKey;
    use identity::{KeyKind, RealmName, UnixTime};
    use ledger::{Class, Payload};
    use registry::{Change, Draft, Options, Realm, RealmKey, Registry};
    use std::path::Path;
    use std::sync::Arc;

    const REALM: RealmKey = RealmKey(1);

    fn origin() -> Origin {
        Origin::new(&[1; 16], 1)
    }

    fn key() -> Arc<SoftwareKey> {
        Arc::new(NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap())
    }

    fn house(path: &Path, ledger_key: &Arc<SoftwareKey>) -> Arc<House> {
        House::new(Furniture {
            registry: Registry::open(path, Options::default()).unwrap(),
            clock: Clock::System,
            keyring: Keyring::new(),
            ledger_key: Arc::<SoftwareKey>::clone(ledger_key),
            public_url: None,
        })
        .unwrap()
    }

    /// A ledger of so many entries; gives its heads from the empty one on.
    fn grown(path: &Path, size: u64) -> Vec<Head> {
        let registry = Registry::open(path, Options::default()).unwrap();
        let realm = Realm {
            key: REALM,
            name: RealmName::default_realm(),
            id: [1; 16],
            origin: origin().as_str().to_owned(),
            founded: UnixTime::default(),
        };
        let mut heads = vec![registry.head(REALM).unwrap()];
        for number in 0..size {
            let payload = Payload::new("test.happened").with("number", number);
            let draft = Draft::new(Class::Use, &payload, [7; 32], UnixTime::default());
            let found = (number == 0).then(|| Change::Found(realm.clone()));
            registry.commit_wait(REALM, found.unwrap_or(Change::Nothing), draft).unwrap();
            heads.push(registry.head(REALM).unwrap());
        }
        heads
    }

    fn note_of(house: &House, text: &str) {
        let octets = Some(text.as_bytes().to_vec());
        house.registry.note_wait(REALM, SPACE, b"", octets).unwrap();
    }

    fn sign(head: Head, key: &SoftwareKey) -> String {
        let checkpoint = Checkpoint { origin: origin(), size: head.size, root: head.root };
        note::sign(&checkpoint, key).unwrap()
    }

    #[test]
    fn a_ledger_goes_on_from_what_was_signed_last_or_nobody_signs_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muster.db");
        let (heads, key) = (grown(&path, 300), self::key());
        let house = house(&path, &key);
        assert_eq!(continues(&house), Ok(()), "nothing was signed yet");
        for size in [0, 1, 255, 256, 299, 300] {
            note_of(&house, &sign(heads[size], &key));
            assert_eq!(continues(&house), Ok(()), "{size}");
        }

        let other = Head { root: [9; 32], ..heads[200] };
        let more = Head { size: 301, ..heads[300] };
        let mut garbled = sign(heads[200], &key);
        garbled.replace_range(garbled.len() - 6..garbled.len() - 4, "AA");
        for (said, why) in [
            (sign(other, &key), "its first 200 entries are not those that were signed"),
            (sign(more, &key), "301 entries were signed, and it has 300"),
            (sign(heads[200], &self::key()), "its last checkpoint is not to be believed"),
            (garbled, "its last checkpoint is not to be believed"),
            (String::new(), "its last checkpoint is not to be believed"),
        ] {
            note_of(&house, &said);
            let told = continues(&house).unwrap_err();
            assert!(told.contains(why) && told.contains("muster ledger verify"), "{told}");
        }
    }

    #[test]
    fn what_a_crash_left_behind_the_last_checkpoint_is_hashed_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muster.db");
        let (heads, key) = (grown(&path, 300), self::key());
        let first = house(&path, &key);
        note_of(&first, &sign(heads[290], &key));
        let rows = first.registry.entries(REALM, 0, 1000).unwrap();
        first.registry.close();
        drop(first);
        let whole = std::fs::read(&path).unwrap();

        for (number, told) in [(289, None), (290, Some("entry 290")), (299, Some("entry 299"))] {
            let of = rows[number].payload.as_deref().unwrap();
            let mut octets = whole.clone();
            let at = octets.windows(of.len()).position(|window| window == of).unwrap();
            octets[at + of.len() - 1] ^= 1;
            std::fs::write(&path, octets).unwrap();
            let house = house(&path, &key);
            let said = continues(&house);
            match told {
                Some(told) => assert!(said.clone().unwrap_err().contains(told), "{said:?}"),
                None => assert_eq!(said, Ok(()), "the long look finds it"),
            }
            house.registry.close();
        }
    }
}
