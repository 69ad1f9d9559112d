//! Databases without their keys: copied away from their home, or with keys that are sealed.

use super::super::database::proofs;
use super::*;
use identity::RealmName;
use identity::key::SoftwareKey;
use registry::{Change, Draft, Options, Realm, RealmKey, Registry};
use server::checkpoint::{KEY, SEEN, SPACE};

const REALM: RealmKey = RealmKey(1);

struct Database {
    dir: tempfile::TempDir,
    registry: Option<Registry>,
    origin: Origin,
    key: SoftwareKey,
}

fn draft(number: u64) -> Draft {
    let payload = Payload::new("test.happened").with("number", number);
    Draft::new(Class::Use, &payload, [7; 32], UnixTime::from_secs(1_790_000_000))
}

impl Database {
    /// A realm with this many entries, signed by nobody so far.
    fn of(size: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&dir.path().join("muster.db"), Options::default()).unwrap();
        let origin = Origin::new(&[7; 16], 1);
        let realm = Realm {
            key: REALM,
            name: RealmName::default_realm(),
            id: [7; 16],
            origin: origin.as_str().to_owned(),
            founded: UnixTime::from_secs(0),
        };
        registry.commit_wait(REALM, Change::Found(realm), draft(0)).unwrap();
        let key = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
        let mut made = Self { dir, registry: Some(registry), origin, key };
        made.grow(1..size);
        made
    }

    fn registry(&mut self) -> &Registry {
        let path = self.path();
        self.registry.get_or_insert_with(|| Registry::open(&path, Options::default()).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("muster.db")
    }

    fn grow(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.registry().commit_wait(REALM, Change::Nothing, draft(number)).unwrap();
        }
    }

    fn note(&mut self, space: &str, value: Option<String>) {
        let octets = value.map(String::into_bytes);
        self.registry().note_wait(REALM, space, b"", octets).unwrap();
    }

    /// Stores a checkpoint of what is there, and its key beside it.
    fn sign(&mut self, space: &str) {
        let head = self.registry().head(REALM).unwrap();
        let origin = self.origin.clone();
        let seen = Checkpoint { origin, size: head.size, root: head.root };
        let signed = note::sign(&seen, &self.key).unwrap();
        self.note(space, Some(signed));
        let key = self.vkey();
        self.note(KEY, Some(key));
    }

    fn vkey(&self) -> String {
        VerifierKey::new(&self.origin, self.key.public()).unwrap().to_string()
    }

    fn verify(&mut self, typed: &Verify) -> Outcome<Proof> {
        if let Some(open) = self.registry.take() {
            open.close();
        }
        proofs(typed, &self.path()).map(|mut proofs| proofs.remove(0))
    }

    fn breaks(&mut self, typed: &Verify) -> String {
        self.verify(typed).unwrap_err().what().to_owned()
    }

    /// The same entries but one, in a database whose tree agrees, with the notes of this one.
    fn forged(&mut self) -> Self {
        let mut forged = Self::of(1);
        forged.grow(7..8);
        let size = self.registry().head(REALM).unwrap().size;
        forged.grow(2..size);
        for space in [SPACE, SEEN, KEY] {
            let kept = self.registry().noted(REALM, space, b"").unwrap();
            forged.note(space, kept.map(|octets| String::from_utf8(octets).unwrap()));
        }
        forged
    }
}

#[test]
fn a_copy_without_its_keys_is_proven_by_the_key_that_stands_beside_the_checkpoint() {
    let mut copy = Database::of(9);
    copy.sign(SPACE);
    let proof = copy.verify(&Verify::default()).unwrap();
    assert_eq!((proof.signed, proof.signed_entries, proof.key), (true, 9, Whose::File));

    let key = Some(copy.vkey());
    let proof = copy.verify(&Verify { key, ..Verify::default() }).unwrap();
    assert_eq!((proof.signed, proof.key), (true, Whose::Named));

    // As a Muster left it that did not tell its key yet.
    copy.note(KEY, None);
    assert!(copy.breaks(&Verify::default()).contains("no key is at hand"));
}

#[test]
fn a_rewritten_database_breaks_at_its_own_checkpoint_with_and_without_a_key() {
    let mut honest = Database::of(9);
    honest.sign(SPACE);
    let mut forged = honest.forged();
    let unsigned = Verify { unsigned: true, ..Verify::default() };
    assert!(forged.breaks(&Verify::default()).contains("the checkpoint has the root"));
    forged.note(KEY, None);
    assert!(forged.breaks(&Verify::default()).contains("the checkpoint has the root"));
    assert!(forged.breaks(&unsigned).contains("the checkpoint has the root"));

    // What is rewritten behind an older checkpoint's back is found there, too.
    forged.grow(9..12);
    assert!(forged.breaks(&unsigned).contains("the checkpoint has the root"));
    forged.note(SPACE, None);
    forged.grow(12..13);
    assert!(forged.breaks(&Verify::default()).contains("no checkpoint is there"));
}

#[test]
fn the_checkpoint_that_witnesses_saw_is_met_as_well() {
    let mut honest = Database::of(9);
    honest.sign(SEEN);
    let mut forged = honest.forged();
    forged.key = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
    forged.grow(9..10);
    forged.sign(SPACE);
    assert!(forged.breaks(&Verify::default()).contains("the checkpoint has the root"));
}

#[test]
fn entries_behind_the_last_checkpoint_are_not_proven_until_somebody_signs_them() {
    let mut killed = Database::of(9);
    killed.sign(SPACE);
    killed.grow(9..12);
    let told = killed.breaks(&Verify::default());
    assert!(told.contains("of 12 entries, 9 are signed"), "{told}");
    let proof = killed.verify(&Verify { unsigned: true, ..Verify::default() }).unwrap();
    assert_eq!((proof.signed, proof.signed_entries), (false, 9));

    killed.sign(SPACE);
    assert!(killed.verify(&Verify::default()).unwrap().signed);
}

#[test]
fn a_database_that_was_cut_is_betrayed_by_its_checkpoint() {
    let mut whole = Database::of(9);
    whole.sign(SPACE);
    let mut cut = Database::of(5);
    let kept = whole.registry().noted(REALM, SPACE, b"").unwrap().unwrap();
    cut.note(SPACE, Some(String::from_utf8(kept).unwrap()));
    assert!(cut.breaks(&Verify::default()).contains("it has 5 entries"));
}

#[test]
fn what_stands_beside_an_entry_and_says_otherwise_is_found() {
    let at = |secs: u64| (secs * 1000).to_be_bytes()[2..].to_vec();
    let mut whole = Database::of(3);
    whole.sign(SPACE);
    let entry = whole.registry().entries(REALM, 1, 1).unwrap().remove(0).entry;
    let leaf = ledger::tree::leaf_hash(&entry).to_vec();
    for (from, to, said) in [
        (at(1_790_000_000), at(1_790_100_000), "entry 0: its moment"),
        (leaf, vec![0; 32], "entry 1: it does not hash to its stored leaf hash"),
    ] {
        let mut changed = Database::of(3);
        changed.sign(SPACE);
        changed.registry.take().unwrap().close();
        let mut octets = std::fs::read(changed.path()).unwrap();
        for place in 0..octets.len() - from.len() {
            if octets[place..].starts_with(&from) {
                octets[place..place + from.len()].copy_from_slice(&to);
            }
        }
        std::fs::write(changed.path(), octets).unwrap();
        let told = changed.breaks(&Verify { unsigned: true, ..Verify::default() });
        assert!(told.contains(said), "{told}");
    }
}
