//! What a witness adds to a checkpoint (C2SP tlog-cosignature): that at this time this was the
//! largest tree that it had seen of this log, and that the log had only grown until then. A witness
//! signs no two trees of one size, so whoever demands its cosignature cannot be shown another past
//! than everybody else.
//!
//! Cosignatures are made with Ed25519 and read of both kinds, Ed25519 and ML-DSA-44.

use super::{Checkpoint, DASH, Origin, VerifierKey};
use identity::text::base64;
use identity::{KeyError, Signer, UnixTime};

/// A cosignature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness, by the name that it signs under.
    pub witness: Origin,
    /// When it saw the checkpoint, by its own clock.
    pub at: UnixTime,
}

/// Signature lines of one answer that are looked at: a witness has a key or two.
const LINES_MAX: usize = 16;

/// What is signed: two lines of our own in front keep it from meaning anything else.
pub(super) fn message(text: &str, at_s: u64) -> String {
    format!("cosignature/v1\ntime {at_s}\n{text}")
}

/// What is signed with ML-DSA-44: `cosigned_message`, whose label keeps it from meaning anything
/// else. A checkpoint is the subtree that begins at the first entry.
pub(super) fn subtree_message(cosigner: &str, at_s: u64, checkpoint: &Checkpoint) -> Vec<u8> {
    // No name is longer than its length can say.
    let name = |name: &str| {
        let octets = name.as_bytes();
        [&[u8::try_from(octets.len()).unwrap_or_default()], octets].concat()
    };
    [
        b"subtree/v1\n\0".as_slice(),
        &name(cosigner),
        &at_s.to_be_bytes(),
        &name(checkpoint.origin.as_str()),
        &0_u64.to_be_bytes(),
        &checkpoint.size.to_be_bytes(),
        &checkpoint.root,
    ]
    .concat()
}

/// The seconds since 1970 in front of a signature.
pub(super) fn timestamp(octets: &[u8]) -> Option<(u64, &[u8])> {
    let (at, signature) = octets.split_first_chunk()?;
    let at = u64::from_be_bytes(*at);
    i64::try_from(at).is_ok().then_some((at, signature))
}

/// The signature line, with its newline, by which `name` says that it saw the checkpoint whose text
/// this is.
///
/// # Errors
/// [`KeyError::Unreadable`] where the key is not Ed25519, and [`KeyError::Signing`] where it did
/// not sign.
pub fn cosign(
    text: &str,
    name: &Origin,
    signer: &dyn Signer,
    at: UnixTime,
) -> Result<String, KeyError> {
    let key = VerifierKey::cosigner(name, signer.public()).ok_or(KeyError::Unreadable)?;
    let signature = signer.sign(message(text, at.secs()).as_bytes())?;
    let blob = [key.id.as_slice(), &at.secs().to_be_bytes(), &signature].concat();
    Ok(format!("{DASH}{name} {}\n", base64(&blob)))
}

/// Looks through what a witness answered for a line of `key` that holds for the checkpoint with
/// this text; lines of other keys are not for us (C2SP tlog-witness).
#[must_use]
pub fn believe(text: &str, answer: &str, key: &VerifierKey) -> Option<(String, UnixTime)> {
    answer.lines().take(LINES_MAX).find_map(|line| {
        let (name, id, signature) = super::signature_line(line)?;
        let ours = name == key.name && id == key.id;
        let at = key.check(text, &signature).filter(|_| ours)??;
        Some((format!("{line}\n"), at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{self, Checkpoint, open_whole, sign};
    use crate::world::{key, origin};

    const AT: UnixTime = UnixTime::from_secs(1_790_000_000);

    fn witness(name: &str, seed: u8) -> VerifierKey {
        VerifierKey::cosigner(&Origin::parse(name).unwrap(), key(seed).public()).unwrap()
    }

    fn log() -> VerifierKey {
        VerifierKey::new(&origin(), key(1).public()).unwrap()
    }

    fn signed() -> String {
        let checkpoint = Checkpoint { origin: origin(), size: 70_000, root: [3; 32] };
        sign(&checkpoint, &key(1)).unwrap()
    }

    fn cosigned(note: &str, name: &str, seed: u8) -> String {
        let (text, _) = note::split(note).unwrap();
        let name = Origin::parse(name).unwrap();
        format!("{note}{}", cosign(text, &name, &key(seed), AT).unwrap())
    }

    #[test]
    fn a_cosignature_is_counted_with_its_time_beside_the_logs_own_signature() {
        let note = cosigned(&signed(), "witness.example/w1", 2);
        let opened = open_whole(&note, &[log(), witness("witness.example/w1", 2)]).unwrap();
        let name = Origin::parse("witness.example/w1").unwrap();
        assert_eq!(opened.cosigned, [Cosigned { witness: name, at: AT }]);
        assert!(open_whole(&note, &[log()]).unwrap().cosigned.is_empty());
    }

    #[test]
    fn a_cosignature_alone_is_not_the_logs_word_even_under_its_name() {
        let text = note::split(&signed()).unwrap().0.to_owned();
        let alone = format!("{text}\n{}", cosign(&text, &origin(), &key(1), AT).unwrap());
        let keys = [log(), witness(origin().as_str(), 1)];
        assert_eq!(open_whole(&alone, &keys).unwrap_err().name, "note-unsigned");
    }

    #[test]
    fn one_key_under_two_names_is_one_witness() {
        let note = cosigned(&cosigned(&signed(), "a.example", 2), "b.example", 2);
        let keys = [log(), witness("a.example", 2), witness("b.example", 2)];
        assert_eq!(open_whole(&note, &keys).unwrap().cosigned.len(), 1);
    }

    #[test]
    fn a_cosignature_of_another_tree_or_time_is_false() {
        let other = Checkpoint { origin: origin(), size: 70_001, root: [3; 32] };
        let name = Origin::parse("w.example").unwrap();
        let line = cosign(&other.text(), &name, &key(2), AT).unwrap();
        let note = format!("{}{line}", signed());
        let keys = [log(), witness("w.example", 2)];
        assert_eq!(open_whole(&note, &keys).unwrap_err().name, "note-signature");
        assert_eq!(believe(&other.text(), &line, &keys[1]), Some((line.clone(), AT)));
        assert_eq!(believe(note::split(&signed()).unwrap().0, &line, &keys[1]), None);
        assert_eq!(believe(&other.text(), &line, &witness("w.example", 3)), None);
    }

    #[test]
    fn the_key_of_a_witness_reads_back_and_is_not_the_key_of_a_log() {
        let written = witness("w.example", 2).to_string();
        assert_eq!(VerifierKey::parse(&written), Ok(witness("w.example", 2)));
        assert!(witness("w.example", 2).is_cosigner() && !log().is_cosigner());
    }

    /// A post-quantum witness, made of its seed: key and signature line for a checkpoint.
    fn post_quantum(name: &str, checkpoint: &Checkpoint) -> (VerifierKey, String) {
        use aws_lc_rs::signature::{KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[4; 32]).unwrap();
        let material = [&[6], pair.public_key().as_ref()].concat();
        let id = identity::key::sha256(&[name.as_bytes(), b"\n", &material]);
        let vkey = format!("{name}+{}+{}", identity::text::hex(&id[..4]), base64(&material));
        // By hand, as C2SP tlog-cosignature has it: 12 octets of label, names with their lengths.
        let mut message = b"subtree/v1\n\0".to_vec();
        message.push(u8::try_from(name.len()).unwrap());
        message.extend(name.as_bytes());
        message.extend(AT.secs().to_be_bytes());
        message.push(u8::try_from(checkpoint.origin.as_str().len()).unwrap());
        message.extend(checkpoint.origin.as_str().as_bytes());
        message.extend([0; 8]);
        message.extend(checkpoint.size.to_be_bytes());
        message.extend(checkpoint.root);
        let mut signature = vec![0; 2420];
        pair.sign(&message, &mut signature).unwrap();
        let blob = [&id[..4], &AT.secs().to_be_bytes(), &signature].concat();
        (VerifierKey::parse(&vkey).unwrap(), format!("{DASH}{name} {}\n", base64(&blob)))
    }

    #[test]
    fn a_post_quantum_cosignature_counts_and_one_of_another_tree_is_false() {
        let checkpoint = Checkpoint { origin: origin(), size: 70_000, root: [3; 32] };
        let (key, line) = post_quantum("pq.example/w", &checkpoint);
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key.clone()));
        assert!(key.is_cosigner());
        let note = format!("{}{line}", signed());
        let opened = open_whole(&note, &[log(), key.clone()]).unwrap();
        let name = Origin::parse("pq.example/w").unwrap();
        assert_eq!(opened.cosigned, [Cosigned { witness: name, at: AT }]);
        assert_eq!(believe(&checkpoint.text(), &line, &key), Some((line.clone(), AT)));
        for other in [
            Checkpoint { size: 70_001, ..checkpoint.clone() },
            Checkpoint { root: [4; 32], ..checkpoint.clone() },
            Checkpoint { origin: Origin::new(&[1; 16], 1), ..checkpoint.clone() },
        ] {
            assert_eq!(believe(&other.text(), &line, &key), None);
        }
        // Its key is not that of a log, and under another name it is another key.
        let moved = key.to_string().replacen("pq.example/w", "pq.example/v", 1);
        assert_eq!(VerifierKey::parse(&moved).unwrap_err().name, "vkey-id");
    }

    #[test]
    fn a_witness_with_two_keys_is_one_witness() {
        let checkpoint = Checkpoint { origin: origin(), size: 70_000, root: [3; 32] };
        let (key, line) = post_quantum("w.example", &checkpoint);
        let note = format!("{}{line}", cosigned(&signed(), "w.example", 2));
        let keys = [log(), witness("w.example", 2), key];
        assert_eq!(open_whole(&note, &keys).unwrap().cosigned.len(), 1);
    }

    /// The line that stands as the example in C2SP tlog-cosignature has this form.
    #[test]
    fn a_signature_blob_is_key_id_time_and_64_octets() {
        let note = cosigned(&signed(), "w.example", 2);
        let (_, _, signature) = note::signature_line(note.lines().last().unwrap()).unwrap();
        assert_eq!(timestamp(&signature).unwrap().0, AT.secs());
        assert_eq!(signature.len(), 72);
        assert_eq!(timestamp(&[0xff; 72]), None);
    }
}
