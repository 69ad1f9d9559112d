//! What a witness adds to a checkpoint (C2SP tlog-cosignature, Ed25519): that at this time this was
//! the largest tree that it had seen of this log, and that the log had only grown until then. A
//! witness signs no two trees of one size, so whoever demands its cosignature cannot be shown
//! another past than everybody else.

use super::{DASH, Origin, VerifierKey};
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
        let at = super::check(key, text, &signature).filter(|_| ours)??;
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
