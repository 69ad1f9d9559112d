use super::*;
use crate::{Class, Hash, Origin};
use identity::UnixTime;
use proptest::prelude::*;
use std::collections::HashMap;

struct Stored {
    entry: Vec<u8>,
    payload: Option<Vec<u8>>,
    salt: Option<[u8; 32]>,
}

/// A ledger as a registry has it.
#[derive(Default)]
struct Ledger {
    rows: Vec<Stored>,
    frontier: Frontier,
    leaves: Vec<Hash>,
    subtrees: HashMap<(u8, u64), Hash>,
}

impl Ledger {
    fn of(count: u64) -> Self {
        let mut ledger = Self::default();
        for index in 0..count {
            let payload = Payload::new("join.granted").with("serial", index).encode();
            let salt = [u8::try_from(index % 251).unwrap(); 32];
            let at = UnixTime::from_secs(1_790_000_000 + index);
            let entry = Entry::new(index, at, Class::Join, digest(&salt, &payload)).encode();
            ledger.leaves.push(leaf_hash(&entry));
            for done in ledger.frontier.append(leaf_hash(&entry)) {
                ledger.subtrees.insert((done.level, done.index), done.hash);
            }
            ledger.rows.push(Stored { entry, payload: Some(payload), salt: Some(salt) });
        }
        ledger
    }

    fn checkpoint(&self) -> Checkpoint {
        let Head { size, root } = self.frontier.head();
        Checkpoint { origin: Origin::new(&[1; 16], 1), size, root }
    }

    fn verify(&self, stored: &impl Hashes) -> Result<Verifier, Break> {
        let mut verifier = Verifier::new();
        for Stored { entry, payload, salt } in &self.rows {
            let row = Row { entry, payload: payload.as_deref(), salt: salt.as_ref() };
            verifier.feed(&row, stored)?;
        }
        verifier.agrees(&self.checkpoint())?;
        Ok(verifier)
    }
}

impl Hashes for Ledger {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves.get(usize::try_from(index).ok()?).copied()
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.subtrees.get(&(level, index)).copied()
    }
}

/// Only the hashes above the leaves.
struct Upper<'a>(&'a Ledger);

impl Hashes for Upper<'_> {
    fn leaf(&self, _: u64) -> Option<Hash> {
        None
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.0.subtree(level, index)
    }
}

fn flip(octets: &mut [u8], bit: prop::sample::Index) {
    let bit = bit.index(octets.len() * 8);
    octets[bit / 8] ^= 1 << (bit % 8);
}

#[test]
fn an_honest_ledger_holds_with_and_without_stored_hashes() {
    let ledger = Ledger::of(600);
    assert_eq!(ledger.verify(&ledger).unwrap().head(), ledger.checkpoint().head());
    assert_eq!(ledger.verify(&()).unwrap().size(), 600);
    assert!(Ledger::of(0).verify(&()).is_ok());
}

#[test]
fn erased_payloads_are_counted_and_the_proof_still_holds() {
    let mut ledger = Ledger::of(20);
    (ledger.rows[7].payload, ledger.rows[7].salt) = (None, None);
    assert_eq!(ledger.verify(&ledger).unwrap().erased(), 1);
    ledger.rows[9].salt = None;
    let half = Break { index: 9, what: What::Half };
    assert_eq!(ledger.verify(&ledger).unwrap_err(), half);
}

proptest! {
    #[test]
    fn every_flipped_bit_of_a_row_is_found_at_its_number(
        at in 0..20_usize,
        part in 0..3_u8,
        bit in any::<prop::sample::Index>(),
    ) {
        let mut ledger = Ledger::of(20);
        let row = &mut ledger.rows[at];
        match part {
            0 => flip(&mut row.entry, bit),
            1 => flip(row.payload.as_mut().unwrap(), bit),
            _ => flip(row.salt.as_mut().unwrap(), bit),
        }
        let broken = ledger.verify(&ledger).map(|v| v.size()).unwrap_err();
        prop_assert_eq!(broken.index, at as u64, "{}", broken);
        // The root alone finds it too, and never names an entry behind it.
        let broken = ledger.verify(&()).map(|v| v.size()).unwrap_err();
        prop_assert!(broken.index <= at as u64, "{}", broken);
    }

    #[test]
    fn every_flipped_bit_of_a_stored_hash_is_found(
        at in 0..20_usize,
        bit in any::<prop::sample::Index>(),
    ) {
        let mut ledger = Ledger::of(20);
        flip(&mut ledger.leaves[at], bit);
        let expected = Break { index: at as u64, what: What::Leaf };
        prop_assert_eq!(ledger.verify(&ledger).map(|v| v.size()), Err(expected));
    }
}

/// Changes the class of entry `at` so that it is still a sound entry.
fn forge(ledger: &mut Ledger, at: usize) {
    let entry = Entry::decode(&ledger.rows[at].entry).unwrap();
    ledger.rows[at].entry = Entry { class: Class::Birth, ..entry }.encode();
}

#[test]
fn a_forged_entry_is_narrowed_down_as_far_as_the_stored_hashes_allow() {
    let mut ledger = Ledger::of(600);
    forge(&mut ledger, 300);
    let found = |stored| ledger.verify(stored).unwrap_err();
    assert_eq!(found(&ledger), Break { index: 300, what: What::Leaf });

    let within = ledger.verify(&Upper(&ledger)).unwrap_err();
    assert_eq!(within, Break { index: 256, what: What::Subtree { level: 1, last: 511 } });

    let somewhere = ledger.verify(&()).unwrap_err();
    assert!(matches!(somewhere, Break { index: 0, what: What::Root { .. } }));
}

#[test]
fn what_an_earlier_checkpoint_proved_is_not_doubted_again() {
    let (mut ledger, earlier) = (Ledger::of(100), Ledger::of(60).checkpoint());
    forge(&mut ledger, 80);
    let mut verifier = Verifier::new();
    for (index, Stored { entry, payload, salt }) in ledger.rows.iter().enumerate() {
        if index == 60 {
            verifier.agrees(&earlier).unwrap();
        }
        let row = Row { entry, payload: payload.as_deref(), salt: salt.as_ref() };
        verifier.feed(&row, &()).unwrap();
    }
    let broken = verifier.finish(&ledger.checkpoint()).unwrap_err();
    assert_eq!(broken.index, 60);
    assert!(matches!(broken.what, What::Root { .. }));
}

#[test]
fn rows_that_are_missing_doubled_or_swapped_are_found() {
    let mut missing = Ledger::of(20);
    missing.rows.remove(5);
    let at = |index, said| Break { index, what: What::Order { said } };
    assert_eq!(missing.verify(&()).unwrap_err(), at(5, 6));

    let mut swapped = Ledger::of(20);
    swapped.rows.swap(5, 9);
    assert_eq!(swapped.verify(&()).unwrap_err(), at(5, 9));

    let mut short = Ledger::of(20);
    short.rows.pop();
    let what = What::Size { said: 20, found: 19 };
    assert_eq!(short.verify(&()).unwrap_err(), Break { index: 19, what });
}

#[test]
fn a_payload_that_nobody_can_read_is_found_although_its_digest_holds() {
    let mut verifier = Verifier::new();
    let (salt, payload) = ([1; 32], b"not CBOR");
    let entry = Entry { index: 0, hours: 0, class: Class::Use, digest: digest(&salt, payload) };
    let row = Row { entry: &entry.encode(), payload: Some(payload), salt: Some(&salt) };
    let broken = verifier.feed(&row, &()).unwrap_err();
    assert!(matches!(broken, Break { index: 0, what: What::Payload(_) }));
    assert_eq!(verifier.size(), 0);
}

#[test]
fn a_checkpoint_that_cannot_be_believed_breaks_too() {
    let ledger = Ledger::of(3);
    let broken = ledger.verify(&()).unwrap().finish_signed("nothing", &[]).unwrap_err();
    assert!(matches!(broken, Break { index: 3, what: What::Checkpoint(_) }));
    assert_eq!(broken.to_string(), "checkpoint: the note has no signatures");
}
