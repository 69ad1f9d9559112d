//! Doors that demand the receipt of what is shown.

use super::scene::Scene;
use super::*;

/// A log of one entry that says that `certificate` was issued, and its receipt.
fn receipt_of(certificate: &[u8], seed: u8) -> (String, String) {
    use ledger::tree::leaf_hash;
    use ledger::{Checkpoint, Class, Entry, Frontier, Origin, Payload, Receipt, VerifierKey};
    let signer = key_of(KeyKind::Ed25519, seed);
    let origin = Origin::new(&[1; 16], 1);
    let hash = identity::key::sha256(&[certificate]);
    let payload = Payload::new("birth.issued").with("certificate", &hash).encode();
    let digest = ledger::digest(&[7; 32], &payload);
    let entry = Entry::new(0, UnixTime::from_secs(0), Class::Birth, digest).encode();
    let mut frontier = Frontier::new();
    frontier.append(leaf_hash(&entry));
    let checkpoint = Checkpoint { origin: origin.clone(), size: 1, root: frontier.root() };
    let receipt = Receipt {
        entry,
        content: Some(([7; 32], payload)),
        index: 0,
        proof: Vec::new(),
        note: ledger::note::sign(&checkpoint, &*signer).unwrap(),
    };
    let key = VerifierKey::new(&origin, signer.public()).unwrap().to_string();
    (key, receipt.encode())
}

#[test]
fn a_door_that_demands_a_receipt_lets_in_who_shows_that_of_its_own_certificate() {
    let mut scene = Scene::born();
    let certificate = Certificate::parse(&scene.shown.as_ref().unwrap().der).unwrap();
    let (ledger, good) = receipt_of(certificate.der(), 1);
    let (_, of_another) = receipt_of(b"another certificate", 1);
    let (_, of_another_ledger) = receipt_of(certificate.der(), 2);
    scene.door().receipt = Some(ledger);
    let shows = |receipt: Option<&String>| identity::ask::Shown {
        chain: vec![certificate.clone()],
        receipt: receipt.cloned(),
        ..identity::ask::Shown::default()
    };
    for refused in [None, Some(&of_another), Some(&of_another_ledger), Some(&"x".to_owned())] {
        scene.shows = shows(refused);
        assert_eq!(scene.refused(), RuleId::RECEIPT);
    }
    scene.shows = shows(Some(&good));
    assert!(scene.judge().is_ok());
}
