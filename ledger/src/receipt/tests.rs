use super::*;
use crate::note::{Origin, cosign};
use crate::tree::{Frontier, Hashes, inclusion};
use crate::world::{key, origin};
use crate::{Class, Subtree};
use identity::{Signer, UnixTime};
use proptest::prelude::*;

const AT: UnixTime = UnixTime::from_secs(1_790_000_000);

fn log() -> VerifierKey {
    VerifierKey::new(&origin(), key(1).public()).unwrap()
}

fn witness() -> VerifierKey {
    VerifierKey::cosigner(&Origin::parse("w.example").unwrap(), key(2).public()).unwrap()
}

fn payload(index: u64) -> Vec<u8> {
    Payload::new("join.issued").with("certificate", &[7; 32]).with("number", index).encode()
}

struct Leaves(Vec<Hash>, Vec<Subtree>);

impl Hashes for Leaves {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.0.get(usize::try_from(index).ok()?).copied()
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.1.iter().find(|s| (s.level, s.index) == (level, index)).map(|s| s.hash)
    }
}

fn entry(index: u64) -> Vec<u8> {
    Entry::new(index, AT, Class::Join, digest(&[9; 32], &payload(index))).encode()
}

/// The receipt of one entry in a log of `size`.
fn receipt(size: u64, index: u64) -> Receipt {
    let (mut frontier, mut leaves) = (Frontier::new(), Leaves(Vec::new(), Vec::new()));
    for i in 0..size {
        let leaf = leaf_hash(&entry(i));
        leaves.0.push(leaf);
        leaves.1.extend(frontier.append(leaf));
    }
    let checkpoint = Checkpoint { origin: origin(), size, root: frontier.root() };
    Receipt {
        entry: entry(index),
        content: Some(([9; 32], payload(index))),
        index,
        proof: inclusion(size, index, &leaves).unwrap(),
        note: note::sign(&checkpoint, &key(1)).unwrap(),
    }
}

fn trust(keys: &[VerifierKey]) -> Trust<'_> {
    Trust { keys, quorum: 0 }
}

#[test]
fn a_receipt_proves_its_entry_and_the_certificate_that_it_is_about() {
    let receipt = receipt(300, 42);
    let read = Receipt::decode(&receipt.encode()).unwrap();
    assert_eq!(read, receipt);
    let proven = read.verify(&trust(&[log()])).unwrap();
    assert_eq!((proven.entry().index, proven.checkpoint().size), (42, 300));
    assert!(proven.issued(&[7; 32]) && !proven.issued(&[8; 32]));
}

#[test]
fn the_receipt_of_a_log_with_one_entry_has_no_hashes() {
    let alone = receipt(1, 0);
    assert!(alone.proof.is_empty());
    let read = Receipt::decode(&alone.encode()).unwrap();
    assert!(read.verify(&trust(&[log()])).is_ok());
}

#[test]
fn an_erased_entry_is_proven_and_says_nothing_of_a_certificate() {
    let erased = Receipt { content: None, ..receipt(300, 42) };
    let read = Receipt::decode(&erased.encode()).unwrap();
    let proven = read.verify(&trust(&[log()])).unwrap();
    assert!(proven.payload().is_none() && !proven.issued(&[7; 32]));
}

#[test]
fn what_was_exchanged_is_named() {
    let good = receipt(300, 42);
    let because = |receipt: Receipt| receipt.verify(&trust(&[log()])).unwrap_err().name;
    let other = receipt(300, 43);
    assert_eq!(because(Receipt { entry: other.entry.clone(), ..good.clone() }), "receipt-index");
    assert_eq!(because(Receipt { content: other.content, ..good.clone() }), "receipt-digest");
    assert_eq!(because(Receipt { proof: other.proof, ..good.clone() }), "receipt-proof");
    let shorter = receipt(299, 42);
    assert_eq!(because(Receipt { note: shorter.note, ..good.clone() }), "receipt-proof");
    let stranger = [VerifierKey::new(&origin(), key(3).public()).unwrap()];
    assert_eq!(good.verify(&trust(&stranger)).unwrap_err().name, "note-unsigned");
}

#[test]
fn a_quorum_of_witnesses_is_counted_by_their_cosignatures() {
    let mut receipt = receipt(300, 42);
    let keys = [log(), witness()];
    let demanding = Trust { keys: &keys, quorum: 1 };
    assert_eq!(receipt.verify(&demanding).unwrap_err().name, "receipt-quorum");
    let text = receipt.note.split("\n\n").next().unwrap().to_owned() + "\n";
    receipt.note += &cosign::cosign(&text, witness().name(), &key(2), AT).unwrap();
    let proven = receipt.verify(&demanding).unwrap();
    assert_eq!(proven.cosigned()[0].at, AT);
}

#[test]
fn a_receipt_has_one_spelling() {
    let text = receipt(300, 42).encode();
    for (from, to) in [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
        ("extra ", "extra  "),
        ("index 42", "index 042"),
        ("index 42", "index -42"),
        ("index 42\n", ""),
        ("index 42\n", "index 42\nAAAA\n"),
    ] {
        assert!(Receipt::decode(&text.replacen(from, to, 1)).is_err(), "{from}");
    }
    let (front, _) = text.split_once("extra").unwrap();
    let (_, behind) = text.split_once("index").unwrap();
    assert!(Receipt::decode(&format!("{front}index{behind}")).is_err(), "without extra data");
    let many = "A".repeat(43) + "=\n";
    let long = text.replacen("index 42\n", &format!("index 42\n{}", many.repeat(65)), 1);
    assert!(Receipt::decode(&long).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_flipped_bit_is_believed(at in any::<u16>()) {
        let mut octets = receipt(20, 7).encode().into_bytes();
        let bit = usize::from(at) % (octets.len() * 8);
        octets[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = std::str::from_utf8(&octets) {
            let believed = Receipt::decode(text).and_then(|r| r.verify(&trust(&[log()])));
            prop_assert!(believed.is_err(), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".*", front in any::<bool>()) {
        let text = if front { format!("{FRONT}\nextra {text}\n\n") } else { text };
        prop_assert!(Receipt::decode(&text).is_err());
    }
}
