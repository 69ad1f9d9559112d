//! Exports that hold, and exports that do not.

use super::*;
use identity::text::base64;
use identity::{KeyKind, Signer, UnixTime};
use ledger::{Class, Entry, Origin, Payload, digest};
use server::keys::NewKey;
use std::path::PathBuf;

struct Export {
    dir: tempfile::TempDir,
    rows: Vec<EntryRow>,
    head: HeadView,
}

fn row(index: u64) -> EntryRow {
    let payload = Payload::new("test.happened").with("number", index).encode();
    let salt = [7; 32];
    let hours = UnixTime::from_secs(1_790_000_000).hours();
    let entry = Entry { index, hours, class: Class::Use, digest: digest(&salt, &payload) };
    EntryRow {
        index,
        entry: base64(&entry.encode()),
        payload: Some(base64(&payload)),
        salt: Some(base64(&salt)),
        at: Some("2026-09-21T14:13:20Z".to_owned()),
    }
}

impl Export {
    /// A ledger of `size` entries with a signed checkpoint.
    fn of(size: u64) -> Self {
        let rows: Vec<EntryRow> = (0..size).map(row).collect();
        let mut verifier = Verifier::new();
        for row in &rows {
            let entry = from_base64(row.entry.as_bytes()).unwrap();
            verifier.feed(&Row { entry: &entry, payload: None, salt: None }, &()).unwrap();
        }
        let found = verifier.head();
        let key = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
        let origin = Origin::new(&[1; 16], 1);
        let seen = Checkpoint { origin: origin.clone(), size: found.size, root: found.root };
        let head = HeadView {
            origin: origin.as_str().to_owned(),
            size,
            root: hex(&found.root),
            checkpoint: Some(note::sign(&seen, &key).unwrap()),
            verifier: VerifierKey::new(&origin, key.public()).map(|v| v.to_string()),
        };
        Self { dir: tempfile::tempdir().unwrap(), rows, head }
    }

    fn path(&self) -> PathBuf {
        let mut text: String =
            self.rows.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        text.push_str(&serde_json::to_string(&self.head).unwrap());
        let path = self.dir.path().join("ledger.jsonl");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn verify(&self, checkpoint: Vec<PathBuf>) -> Outcome<Proof> {
        let path = self.path();
        from_export(&Verify { files: vec![path.clone()], checkpoint, ..Verify::default() }, &path)
    }

    fn unsigned(&self) -> Outcome<Proof> {
        let path = self.path();
        let files = vec![path.clone()];
        from_export(&Verify { files, unsigned: true, ..Verify::default() }, &path)
    }

    fn breaks(&self) -> String {
        self.verify(Vec::new()).unwrap_err().what().to_owned()
    }
}

#[test]
fn an_export_holds_and_its_checkpoint_is_believed() {
    let proof = Export::of(300).verify(Vec::new()).unwrap();
    assert_eq!((proof.size, proof.signed, proof.erased), (300, true, 0));
}

#[test]
fn a_changed_octet_is_found_at_its_entry() {
    let mut export = Export::of(20);
    export.rows[7].payload = row(8).payload;
    assert!(export.breaks().contains("entry 7: payload and salt"), "{}", export.breaks());
}

#[test]
fn an_entry_that_was_taken_out_or_put_in_is_found() {
    let mut export = Export::of(20);
    export.rows.remove(7);
    assert!(export.breaks().contains("entry 7"), "{}", export.breaks());

    let mut export = Export::of(20);
    export.rows.push(row(20));
    assert!(export.breaks().contains("20 entries"), "{}", export.breaks());
}

#[test]
fn a_whole_ledger_that_was_forged_again_breaks_at_a_checkpoint_from_earlier() {
    let honest = Export::of(10);
    let kept = honest.dir.path().join("checkpoint.txt");
    std::fs::write(&kept, honest.head.checkpoint.as_ref().unwrap()).unwrap();
    let key = honest.head.verifier.clone();

    let mut grown = Export::of(25);
    grown.head.verifier.clone_from(&key);
    assert!(grown.verify(vec![kept.clone()]).is_err(), "another key signed what came after");
    grown.head.checkpoint = None;
    let later = grown.verify(vec![kept.clone()]).unwrap_err();
    assert!(later.what().contains("of 25 entries, 10 are signed"), "{}", later.what());

    let mut forged = Export::of(10);
    forged.rows[3] = EntryRow { payload: None, salt: None, at: None, ..row(3) };
    let other = Entry { index: 3, hours: 1, class: Class::Use, digest: [0; 32] };
    forged.rows[3].entry = base64(&other.encode());
    forged.head = HeadView { verifier: key, checkpoint: None, ..forged.head };
    let path = forged.path();
    let typed = Verify { checkpoint: vec![kept], ..Verify::default() };
    let broken = from_export(&typed, &path).unwrap_err();
    assert!(broken.what().contains("the checkpoint has the root"), "{}", broken.what());
}

#[test]
fn what_head_prints_is_a_checkpoint_that_verify_takes() {
    let early = Export::of(10);
    let kept = early.dir.path().join("kept.txt");
    std::fs::write(&kept, super::super::checkpoint(&early.head) + "\n").unwrap();

    assert!(early.verify(vec![kept]).unwrap().signed);
}

#[test]
fn what_nobody_signed_is_not_proven() {
    let mut export = Export::of(20);
    export.head.checkpoint = None;
    let told = export.breaks();
    assert!(told.contains("not proven: of 20 entries, 0 are signed: no checkpoint"), "{told}");
    let proof = export.unsigned().unwrap();
    assert_eq!((proof.size, proof.signed, proof.signed_entries), (20, false, 0));

    let mut export = Export::of(20);
    export.head.verifier = None;
    assert!(export.breaks().contains("no key is at hand"), "{}", export.breaks());
    assert!(!export.unsigned().unwrap().signed);
}

#[test]
fn a_cut_or_empty_export_is_not_proven_whatever_key_is_named() {
    let export = Export::of(20);
    let path = export.path();
    let text = std::fs::read_to_string(&path).unwrap();
    let cut = |lines: usize| text.lines().take(lines).map(|l| l.to_owned() + "\n").collect();
    for (kept, said) in [(20, "the checkpoint of its last line is missing"), (0, "no entry")] {
        let kept: String = cut(kept);
        std::fs::write(&path, kept).unwrap();
        for key in [None, export.head.verifier.clone()] {
            let told = from_export(&Verify { key, ..Verify::default() }, &path).unwrap_err();
            assert!(told.what().contains(said), "{}", told.what());
        }
    }
    let typed = Verify { unsigned: true, ..Verify::default() };
    assert!(from_export(&typed, &path).is_err(), "an empty file agrees with nothing");
}

#[test]
fn a_checkpoint_that_contradicts_is_met_also_where_no_key_is_at_hand() {
    let mut forged = Export::of(10);
    let other = Entry { index: 3, hours: 1, class: Class::Use, digest: [0; 32] };
    forged.rows[3] = EntryRow { payload: None, salt: None, at: None, ..row(3) };
    forged.rows[3].entry = base64(&other.encode());
    forged.head.verifier = None;

    let told = forged.unsigned().unwrap_err();

    assert!(told.what().contains("the checkpoint has the root"), "{}", told.what());
}

#[test]
fn a_key_that_did_not_sign_proves_nothing() {
    let export = Export::of(10);
    let key = Export::of(10).head.verifier;
    let told = from_export(&Verify { key, ..Verify::default() }, &export.path()).unwrap_err();
    assert!(told.what().contains("checkpoint: "), "{}", told.what());
}

#[test]
fn a_moment_outside_the_hour_of_its_entry_is_found() {
    let mut export = Export::of(10);
    export.rows[4].at = Some("2026-09-22T14:13:20Z".to_owned());
    assert!(export.breaks().contains("entry 4: its moment"), "{}", export.breaks());
    // An export of a Muster that did not tell moments.
    export.rows.iter_mut().for_each(|row| row.at = None);
    assert!(export.verify(Vec::new()).unwrap().signed);
}

mod database;
