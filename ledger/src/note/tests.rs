use super::*;
use crate::world::{key, origin};
use identity::key::SoftwareKey;
use proptest::prelude::*;

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: origin(), size: 70_000, root: [3; 32] }
}

fn known(seed: u8) -> VerifierKey {
    VerifierKey::new(&origin(), key(seed).public()).unwrap()
}

#[test]
fn an_origin_is_the_realm_and_the_number_of_its_log() {
    let expected = "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a.muster.invalid/ledger/1";
    assert_eq!(origin().as_str(), expected);
    assert_eq!(Origin::parse(expected), Some(origin()));
    for refused in ["", "a b", "a+b", "a\u{a0}b", "a\n", &"x".repeat(256)] {
        assert_eq!(Origin::parse(refused), None, "{refused:?}");
    }
}

#[test]
fn a_checkpoint_reads_back_as_it_was_signed() {
    let note = sign(&checkpoint(), &key(1)).unwrap();
    assert_eq!(open(&note, &[known(2), known(1)]), Ok(checkpoint()));
}

#[test]
fn a_checkpoint_needs_a_known_key_under_the_name_of_its_origin() {
    let note = sign(&checkpoint(), &key(1)).unwrap();
    assert_eq!(open(&note, &[]).unwrap_err().name, "note-unsigned");
    assert_eq!(open(&note, &[known(2)]).unwrap_err().name, "note-unsigned");
    // A witness that is known signed alone.
    let witness = Origin::parse("witness.example").unwrap();
    let cosigner = VerifierKey::new(&witness, key(3).public()).unwrap();
    let text = checkpoint().text();
    let blob = base64(&[&cosigner.id, &*key(3).sign(text.as_bytes()).unwrap()].concat());
    let alone = format!("{text}\n{DASH}{witness} {blob}\n");
    assert_eq!(open(&alone, std::slice::from_ref(&cosigner)).unwrap_err().name, "note-unsigned");
    // With the log's own signature, before or behind it, both count.
    let both = format!("{note}{DASH}{witness} {blob}\n");
    assert_eq!(open(&both, &[cosigner, known(1)]), Ok(checkpoint()));
    assert_eq!(open(&both, &[known(1)]), Ok(checkpoint()));
}

#[test]
fn one_false_signature_of_a_known_key_spoils_the_note() {
    let note = sign(&checkpoint(), &key(1)).unwrap();
    let blob = base64(&[known(2).id.as_slice(), &[0; 64]].concat());
    let spoiled = format!("{note}{DASH}{} {blob}\n", origin());
    assert_eq!(open(&spoiled, &[known(1), known(2)]).unwrap_err().name, "note-signature");
    assert_eq!(open(&spoiled, &[known(1)]), Ok(checkpoint()));
}

/// As that of Go's checksum database, whose key is called `sum.golang.org`.
#[test]
fn a_log_may_be_called_otherwise_than_its_key_and_with_blanks() {
    let text = format!("go.sum database tree\n7\n{}\n", base64(&[3; 32]));
    let name = Origin::parse("sum.example").unwrap();
    let keys = [VerifierKey::new(&name, key(1).public()).unwrap()];
    let blob = base64(&[&keys[0].id, &*key(1).sign(text.as_bytes()).unwrap()].concat());
    let note = format!("{text}\n{DASH}{name} {blob}\n");
    let opened = open_of(&note, &keys).unwrap();
    assert_eq!(Some(opened.checkpoint.origin), Origin::of_log("go.sum database tree"));
    assert_eq!(open(&note, &keys).unwrap_err().name, "note-unsigned", "another's word for it");
    for refused in ["", "a\u{7f}", &"x".repeat(256)] {
        assert_eq!(Origin::of_log(refused), None, "{refused:?}");
    }
}

#[test]
fn a_note_has_a_number_of_signatures_that_is_worth_checking() {
    let note = sign(&checkpoint(), &key(1)).unwrap();
    let line = note.lines().last().unwrap().to_owned() + "\n";
    let with = |count: usize| note.clone() + &line.repeat(count - 1);
    assert_eq!(open(&with(SIGNATURES_MAX), &[known(1)]), Ok(checkpoint()));
    let many = open(&with(SIGNATURES_MAX + 1), &[known(1)]).unwrap_err();
    assert_eq!(many.name, "note-form");
}

#[test]
fn only_ed25519_signs_checkpoints() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let p256 = SoftwareKey::from_pkcs8(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    assert_eq!(sign(&checkpoint(), &p256), Err(KeyError::Unreadable));
    assert_eq!(VerifierKey::new(&origin(), p256.public()), None);
}

/// The example of Go's `golang.org/x/mod/sumdb/note`, which other implementations test with too.
#[test]
fn a_note_of_another_implementation_opens() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZ\
                SNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let keys = [VerifierKey::parse(vkey).unwrap()];
    let (text, signed) = open_note(note, &keys).unwrap();
    assert!(text.ends_with("problem is.\n"));
    assert_eq!(signed[0].key, &keys[0]);
    assert_eq!(keys[0].to_string(), vkey);
}

#[test]
fn a_verifier_key_reads_back_as_it_was_written_and_another_id_is_refused() {
    let written = known(1).to_string();
    assert_eq!(VerifierKey::parse(&written), Ok(known(1)));
    let other = VerifierKey::new(&Origin::new(&[1; 16], 1), key(1).public()).unwrap().to_string();
    let (front, rest) = written.split_once('+').unwrap();
    let (_, foreign) = other.split_once('+').unwrap();
    let mixed = VerifierKey::parse(&format!("{front}+{foreign}"));
    assert_eq!(mixed.unwrap_err().name, "vkey-id");
    assert!(VerifierKey::parse(rest).is_err());
    // Another kind of key: only the octet in front of it differs.
    assert!(VerifierKey::parse("a+00000000+AgAA").is_err());
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let text = checkpoint().text();
    assert_eq!(Checkpoint::parse(&text), Ok(checkpoint()));
    assert_eq!(Checkpoint::parse(&format!("{text}more\n")), Ok(checkpoint()));
    for (from, to) in [("70000", "070000"), ("70000", "+70000"), ("70000", ""), ("Aw", " Aw")] {
        assert!(Checkpoint::parse(&text.replacen(from, to, 1)).is_err(), "{from} {to}");
    }
    assert!(Checkpoint::parse(&format!("{text}\nmore\n")).is_err());
    assert!(Checkpoint::parse(&format!("\n{text}")).is_err());
}

proptest! {
    #[test]
    fn every_flipped_bit_of_a_signed_checkpoint_is_found(at in any::<u16>()) {
        let note = sign(&checkpoint(), &key(1)).unwrap();
        let mut octets = note.clone().into_bytes();
        let bit = usize::from(at) % (octets.len() * 8);
        octets[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = std::str::from_utf8(&octets) {
            prop_assert!(open(text, &[known(1)]).is_err(), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".*", front in any::<bool>()) {
        let text = if front { format!("{}\n\u{2014} {text}\n", checkpoint().text()) } else { text };
        prop_assert!(open(&text, &[known(1)]).is_err());
        let _ = VerifierKey::parse(&text);
    }
}
