//! Writes the test vectors of `docs/ledger.md`: `cargo run -p ledger --example vectors`. A test holds
//! the document against it.

#![expect(clippy::unwrap_used, reason = "what is made here from fixed octets is always made")]

use identity::key::SoftwareKey;
use identity::text::{base64, hex};
use identity::{Signer, UnixTime};
use ledger::note::{self, cosign};
use ledger::tree::{Hashes, consistency, inclusion, leaf_hash};
use ledger::witness::AddCheckpoint;
use ledger::{
    Checkpoint, Class, Entry, Frontier, Hash, Origin, Payload, Receipt, VerifierKey, digest,
};
use std::fmt::Write;

fn main() {
    print!("{}", document());
}

/// An Ed25519 key from its seed: PKCS#8 version 1 (RFC 8410 §7).
fn key(seed: u8) -> SoftwareKey {
    let front = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    SoftwareKey::from_pkcs8(&[&front[..], &[seed; 32]].concat()).unwrap()
}

struct Leaves(Vec<Hash>);

impl Hashes for Leaves {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.0.get(usize::try_from(index).ok()?).copied()
    }

    fn subtree(&self, _: u8, _: u64) -> Option<Hash> {
        None
    }
}

const AT: u64 = 1_790_000_000;

fn payload(index: u64) -> Vec<u8> {
    Payload::new("join.issued")
        .with("device", format!("0190a5b2-7c3d-7000-8000-00000000000{index}"))
        .with("serial", &[0x10; 16])
        .with("generation", 1_u64)
        .with("certificate", &[0xc0; 32])
        .encode()
}

fn salt() -> [u8; 32] {
    std::array::from_fn(|at| u8::try_from(at).unwrap_or_default())
}

fn entry(index: u64) -> Vec<u8> {
    let digest = digest(&salt(), &payload(index));
    Entry::new(index, UnixTime::from_secs(AT), Class::Join, digest).encode()
}

fn root(leaves: &Leaves, size: usize) -> Hash {
    let mut frontier = Frontier::new();
    leaves.0.iter().take(size).for_each(|leaf| drop(frontier.append(*leaf)));
    frontier.root()
}

/// The section of the document, whole.
pub(crate) fn document() -> String {
    let origin = Origin::new(&[0x5a; 16], 1);
    let leaves = Leaves((0..5).map(|index| leaf_hash(&entry(index))).collect());
    let checkpoint = Checkpoint { origin: origin.clone(), size: 5, root: root(&leaves, 5) };
    let signed = note::sign(&checkpoint, &key(1)).unwrap();
    let witness = Origin::parse("witness.example/w1").unwrap();
    let line = cosign::cosign(&checkpoint.text(), &witness, &key(2), UnixTime::from_secs(AT));
    let note = format!("{signed}{}", line.unwrap());
    let receipt = Receipt {
        entry: entry(3),
        content: Some((salt(), payload(3))),
        index: 3,
        proof: inclusion(5, 3, &leaves).unwrap(),
        note: note.clone(),
    };
    let add = AddCheckpoint { old: 3, proof: consistency(3, 5, &leaves).unwrap(), note: signed };
    let log = VerifierKey::new(&origin, key(1).public()).unwrap();
    let cosigner = VerifierKey::cosigner(&witness, key(2).public()).unwrap();
    let mut text = String::new();
    let mut put = |name: &str, value: &str| {
        let _ = write!(text, "{name}:\n\n```text\n{}\n```\n\n", value.trim_end());
    };
    put("Payload of entry 3, CBOR in hex", &hex(&payload(3)));
    put("Salt, hex", &hex(&salt()));
    put("Digest, hex", &hex(&digest(&salt(), &payload(3))));
    put("Entry 3, CBOR in hex", &hex(&entry(3)));
    put("Its leaf hash, base64", &base64(&leaf_hash(&entry(3))));
    let roots: Vec<String> =
        (0..=5).map(|size| format!("{size} {}", base64(&root(&leaves, size)))).collect();
    put("Roots of the trees of 0 to 5 entries, base64", &roots.join("\n"));
    put("Key of the log (Ed25519, its seed is 32 octets 01)", &log.to_string());
    put("Key of the witness (Ed25519, its seed is 32 octets 02)", &cosigner.to_string());
    put("Checkpoint of 5 entries, cosigned at 1790000000", &note);
    put("Growth from 3 to 5 entries, the request to a witness", &add.encode());
    put("Receipt of entry 3", &receipt.encode());
    text
}
