//! A witness that restarts, whose disk fails, and that is shown forks.

use super::*;
use identity::key::SoftwareKey;
use ledger::tree::{Frontier, Hashes, consistency};
use ledger::witness::client::{Heard, hear};
use ledger::{Checkpoint, Hash};
use std::fs;

struct Log {
    key: SoftwareKey,
    leaves: Vec<Hash>,
}

impl Hashes for Log {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves.get(usize::try_from(index).ok()?).copied()
    }

    fn subtree(&self, _: u8, _: u64) -> Option<Hash> {
        None
    }
}

fn origin() -> Origin {
    Origin::new(&[1; 16], 1)
}

impl Log {
    fn new() -> Self {
        let key = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
        Self { key, leaves: (0..100_u8).map(|i| [i; 32]).collect() }
    }

    /// The same log with another past, signed with the same key.
    fn fork(mut self) -> Self {
        self.leaves[3] = [0xff; 32];
        self
    }

    fn vkey(&self) -> VerifierKey {
        VerifierKey::new(&origin(), self.key.public()).unwrap()
    }

    fn add(&self, old: u64, size: u64) -> AddCheckpoint {
        let mut frontier = Frontier::new();
        for leaf in self.leaves.iter().take(usize::try_from(size).unwrap()) {
            frontier.append(*leaf);
        }
        let checkpoint = Checkpoint { origin: origin(), size, root: frontier.root() };
        let note = note::sign(&checkpoint, &self.key).unwrap();
        AddCheckpoint { old, proof: consistency(old, size, self).unwrap(), note }
    }

    fn witness(&self, dir: &Path) -> Result<Witness, String> {
        Witness::open(dir, Some("w.example"), [(origin(), self.vkey())])
    }
}

fn cosigned(witness: &Witness, add: &AddCheckpoint) -> bool {
    let said = witness.add(&add.encode());
    let key = witness.key().unwrap();
    matches!(hear(said.status, &said.body, &add.note, &key), Heard::Cosigned { .. })
}

#[test]
fn a_witness_that_was_killed_remembers_what_it_cosigned_and_signs_no_fork_of_it() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let first = log.witness(dir.path()).unwrap();
    assert!(cosigned(&first, &log.add(0, 7)) && cosigned(&first, &log.add(7, 50)));
    let key = first.key();
    // As `kill -9` does it: nothing is said goodbye to.
    drop(first);

    let again = log.witness(dir.path()).unwrap();
    assert_eq!(again.key(), key);
    let said = again.add(&log.add(0, 60).encode());
    assert_eq!((said.status, said.media, said.body.as_str()), (409, SIZE_TYPE, "50\n"));
    let fork = log.fork();
    assert_eq!(again.add(&fork.add(50, 50).encode()).status, 409);
    assert_eq!(again.add(&fork.add(50, 60).encode()).status, 422);
    assert_eq!(fs::read_dir(dir.path().join("alarms")).unwrap().count(), 2);
}

#[test]
fn whoever_shows_a_checkpoint_with_false_proofs_fills_no_place_of_a_fork() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let witness = log.witness(dir.path()).unwrap();
    assert!(cosigned(&witness, &log.add(0, 2)));
    let kept = || fs::read_dir(dir.path().join("alarms")).unwrap().count();
    for false_proof in 0..3_u8 {
        let add = AddCheckpoint { proof: vec![[false_proof; 32]], ..log.add(2, 7) };
        assert_eq!(witness.add(&add.encode()).status, 422);
        assert_eq!(kept(), 1);
    }
    for size in 8..8 + ALARMS_MAX as u64 {
        let add = AddCheckpoint { proof: Vec::new(), ..log.add(2, size) };
        assert_eq!(witness.add(&add.encode()).status, 422);
    }
    assert_eq!(kept(), ALARMS_MAX);

    assert!(cosigned(&witness, &log.add(2, 50)));
    assert_eq!(witness.add(&log.fork().add(50, 50).encode()).status, 409);
    assert_eq!(kept(), ALARMS_MAX + 1);
}

#[test]
fn what_cannot_be_written_is_not_cosigned() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let witness = log.witness(dir.path()).unwrap();
    assert!(cosigned(&witness, &log.add(0, 7)));
    fs::remove_dir_all(dir.path().join("logs")).unwrap();
    let said = witness.add(&log.add(7, 50).encode());
    assert_eq!(said.status, 503);
    // The same tree once more needs no memory of anything new.
    assert!(cosigned(&witness, &log.add(7, 7)));
}

#[test]
fn a_state_that_cannot_be_read_is_no_new_beginning() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    assert!(cosigned(&log.witness(dir.path()).unwrap(), &log.add(0, 7)));
    let path = place(dir.path(), &origin());
    fs::write(&path, "").unwrap();
    assert!(log.witness(dir.path()).err().unwrap().contains("back-up"));
    fs::remove_dir_all(dir.path().join("keys")).unwrap();
    assert!(log.witness(dir.path()).err().unwrap().contains("no key"));
}

#[test]
fn two_processes_do_not_share_a_state_and_a_name_stays() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let first = log.witness(dir.path()).unwrap();
    assert!(log.witness(dir.path()).err().unwrap().contains("another witness"));
    drop(first);
    let renamed = Witness::open(dir.path(), Some("other.example"), [(origin(), log.vkey())]);
    assert!(renamed.err().unwrap().contains("`w.example`"));
    assert!(Witness::open(dir.path(), None, []).is_ok());
}

#[test]
fn a_log_that_is_not_known_and_a_text_that_is_no_request_are_refused() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let witness = Witness::open(dir.path(), None, []).unwrap();
    assert_eq!(witness.add(&log.add(0, 7).encode()).status, 404);
    assert_eq!(witness.add("old 0\n").status, 400);
}

#[test]
fn two_that_ask_at_once_are_judged_one_after_the_other() {
    let (dir, log) = (tempfile::tempdir().unwrap(), Log::new());
    let witness = log.witness(dir.path()).unwrap();
    assert!(cosigned(&witness, &log.add(0, 7)));
    let (one, other) = (log.add(7, 50).encode(), log.fork().add(7, 60).encode());
    let said: Vec<u16> = std::thread::scope(|scope| {
        let both = [&one, &other].map(|body| scope.spawn(|| witness.add(body).status));
        both.map(|said| said.join().unwrap()).into()
    });
    assert!(said.contains(&200) && said.iter().any(|s| matches!(s, 409 | 422)), "{said:?}");
}
