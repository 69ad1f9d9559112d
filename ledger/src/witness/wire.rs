//! What a log sends to a witness: `add-checkpoint`.

use crate::Hash;
use crate::note::{self, Checkpoint, NOTE_OCTETS_MAX, VerifierKey};
use crate::tree::verify_consistency;
use crate::wire::{hashes, number};
use identity::Defect;
use identity::text::base64;

/// Hashes that a consistency proof may have (C2SP tlog-witness, add-checkpoint).
pub const PROOF_LINES_MAX: usize = 63;
/// The octets that a request may have: a note, 63 hashes, and the line with the old size.
pub const REQUEST_OCTETS_MAX: usize = NOTE_OCTETS_MAX + 4096;
/// Octets of an answer that are read: a few signature lines, or one number.
pub const ANSWER_OCTETS_MAX: usize = 16 * 1024;
/// What a conflict is answered as.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// That a log only grew: from `old` entries to those of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the earlier tree.
    pub old: u64,
    /// The consistency proof between the two.
    pub proof: Vec<Hash>,
    /// The later checkpoint with its signatures.
    pub note: String,
}

impl AddCheckpoint {
    /// The text of it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&base64(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }

    /// Reads it; nothing of it is believed yet.
    ///
    /// # Errors
    /// A [`Defect`] where it has another form.
    pub fn decode(text: &str) -> Result<Self, Defect> {
        let broken = |what: &'static str| Defect::new("add-checkpoint-form", what);
        if text.len() > REQUEST_OCTETS_MAX {
            return Err(broken("it is too large"));
        }
        let (head, note) =
            text.split_once("\n\n").ok_or_else(|| broken("there is no checkpoint in it"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| number(line.strip_prefix("old ")?));
        let old = old.ok_or_else(|| broken("the first line is not `old` and a plain number"))?;
        let proof = hashes(lines, PROOF_LINES_MAX)
            .ok_or_else(|| broken("the proof is not at most 63 lines of 32 octets in base64"))?;
        Ok(Self { old, proof, note: note.to_owned() })
    }

    /// Believes that the log of `from` is the beginning of the one in the note.
    ///
    /// # Errors
    /// A [`Defect`]: of the note; `consistency-origin` where they are two logs; `consistency-size`
    /// where it is about another size than `from` has; `consistency-proof` where it does not hold.
    pub fn verify(&self, from: &Checkpoint, keys: &[VerifierKey]) -> Result<Checkpoint, Defect> {
        let to = note::open(&self.note, keys)?;
        if to.origin != from.origin {
            let sentence =
                format!("one checkpoint is of `{}`, the other of `{}`", from.origin, to.origin);
            return Err(Defect::new("consistency-origin", sentence));
        }
        if self.old != from.size {
            let sentence = format!(
                "the proof begins at {} entries, the checkpoint at {}",
                self.old, from.size
            );
            return Err(Defect::new("consistency-size", sentence));
        }
        if to.size < from.size || !verify_consistency(&from.head(), &to.head(), &self.proof) {
            let sentence = format!(
                "the log of {} entries is not the beginning of that of {}: one of them is another \
                 past",
                from.size, to.size
            );
            return Err(Defect::new("consistency-proof", sentence));
        }
        Ok(to)
    }
}

/// The body of a conflict: the size that the witness knows.
#[must_use]
pub fn size_body(size: u64) -> String {
    format!("{size}\n")
}

/// Reads the body of a conflict.
#[must_use]
pub fn read_size(body: &str) -> Option<u64> {
    number(body.strip_suffix('\n')?)
}
