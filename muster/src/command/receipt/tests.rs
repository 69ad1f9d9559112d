//! Receipts as files.

use super::*;
use identity::{KeyKind, Signer};
use ledger::tree::leaf_hash;
use ledger::{Checkpoint, Class, Entry, Frontier, Origin, digest, note};
use server::keys::NewKey;

struct Scene {
    dir: tempfile::TempDir,
    key: VerifierKey,
}

/// A log of one entry, and its receipt in a file.
fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let signer = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
    let origin = Origin::new(&[1; 16], 1);
    let payload = Payload::new("join.issued").with("device", "0190\u{1b}[2J").encode();
    let salt = [7; 32];
    let at = UnixTime::from_secs(1_790_000_000);
    let entry = Entry::new(0, at, Class::Join, digest(&salt, &payload)).encode();
    let mut frontier = Frontier::new();
    frontier.append(leaf_hash(&entry));
    let checkpoint = Checkpoint { origin: origin.clone(), size: 1, root: frontier.root() };
    let receipt = ledger::Receipt {
        entry,
        content: Some((salt, payload)),
        index: 0,
        proof: Vec::new(),
        note: note::sign(&checkpoint, &signer).unwrap(),
    };
    std::fs::write(dir.path().join("x.tlog-proof"), receipt.encode()).unwrap();
    Scene { dir, key: VerifierKey::new(&origin, signer.public()).unwrap() }
}

impl Scene {
    fn typed(&self) -> Verify {
        Verify {
            file: self.dir.path().join("x.tlog-proof"),
            key: self.key.to_string(),
            witnesses: Witnesses::default(),
            cert: None,
        }
    }
}

#[test]
fn a_receipt_says_what_it_proves() {
    let scene = scene();
    let said = check(&scene.typed()).unwrap();
    assert_eq!((said.entry, said.class, said.checkpoint_size), (0, "join", 1));
    assert_eq!(said.hour, "2026-09-21T14:00:00Z");
    let text = sheet(&said, Paint::decide(crate::output::Color::Never, false));
    assert!(text.contains("entry               0 of 1") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_receipt_that_was_changed_or_is_of_another_key_is_refused_with_the_reason() {
    let scene = scene();
    let other = Scene { key: self::scene().key, ..scene };
    let refused = check(&other.typed()).unwrap_err();
    assert!(refused.what().contains("not signed by any known key"), "{}", refused.what());

    let scene = self::scene();
    let path = scene.dir.path().join("x.tlog-proof");
    let text = std::fs::read_to_string(&path).unwrap().replace("index 0", "index 1");
    std::fs::write(&path, text).unwrap();
    let refused = check(&scene.typed()).unwrap_err();
    assert!(refused.what().contains("holds entry 0"), "{}", refused.what());
}

fn witness() -> VerifierKey {
    let signer = NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap();
    VerifierKey::cosigner(&Origin::parse("w.example").unwrap(), signer.public()).unwrap()
}

#[test]
fn a_demanded_witness_that_did_not_sign_is_missed() {
    let scene = scene();
    let cosigner = witness();
    let demanding = |quorum| {
        let witnesses = Witnesses { witness: vec![cosigner.to_string()], quorum };
        check(&Verify { witnesses, ..scene.typed() })
    };
    let refused = demanding(None).unwrap_err();
    assert!(refused.what().contains("0 of the known witnesses"), "{}", refused.what());
    assert!(demanding(Some(0)).is_ok());
    let refused = demanding(Some(2)).unwrap_err();
    assert!(refused.what().contains("--quorum 2 is more than the 1"), "{}", refused.what());
}

#[test]
fn keys_of_logs_and_of_witnesses_are_not_mixed_up() {
    let scene = scene();
    let cosigner = witness();
    let (log, witness) = (scene.key.to_string(), cosigner.to_string());
    assert!(log_key(&log).is_ok() && witness_key(&witness).is_ok());
    assert!(log_key(&witness).is_err() && witness_key(&log).is_err());
    let path = scene.dir.path().join("ledger.vkey");
    std::fs::write(&path, format!("{log}\n")).unwrap();
    assert_eq!(log_key(path.to_str().unwrap()).unwrap(), scene.key);
}

#[test]
fn a_key_is_typed_or_in_a_file_and_a_file_that_is_not_there_is_told_as_that() {
    let scene = scene();
    let typed = scene.key.to_string();
    for name in ["log.vkey", "log+2.vkey"] {
        let file = scene.dir.path().join(name);
        std::fs::write(&file, format!("{typed}\n")).unwrap();
        assert_eq!(log_key(file.to_str().unwrap()).unwrap().to_string(), typed, "{name}");
    }
    assert_eq!(log_key(&typed).unwrap().to_string(), typed);

    let said = |text: &str| log_key(text).unwrap_err().what().to_owned();
    let absent = scene.dir.path().join("none.vkey");
    assert!(said(absent.to_str().unwrap()).starts_with("cannot read `"), "{absent:?}");
    assert!(said("log.example+00000000+AAAA").contains("is no verifier key"));
    let receipt = scene.dir.path().join("x.tlog-proof");
    assert!(said(receipt.to_str().unwrap()).contains("is no verifier key"));
}
