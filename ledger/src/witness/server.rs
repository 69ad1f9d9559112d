//! A witness's half: may this checkpoint be cosigned.

use super::wire::AddCheckpoint;
use crate::note::cosign::cosign;
use crate::note::{self, Checkpoint, Origin, VerifierKey};
use crate::tree::{Head, empty_root, verify_consistency};
use identity::{Defect, KeyError, Signer, UnixTime};

/// Why a checkpoint is not cosigned, each with the status that C2SP tlog-witness wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 400: it is no request, or goes backwards within itself.
    Malformed(Defect),
    /// 404: no log of this origin is known here.
    UnknownLog,
    /// 403: no key that is known for the origin signed it.
    Unsigned(Defect),
    /// 409: the request begins at another size than the one seen last, which is this.
    Behind(u64),
    /// 409: another tree of the same size was seen, which has this size: a fork.
    Fork(u64),
    /// 422: the proof does not lead from the tree seen last to this one: a fork, or a mistake.
    Inconsistent,
}

impl Refused {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::UnknownLog => 404,
            Self::Unsigned(_) => 403,
            Self::Behind(_) | Self::Fork(_) => 409,
            Self::Inconsistent => 422,
        }
    }

    /// What to tell people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Malformed(defect) | Self::Unsigned(defect) => defect.to_string(),
            Self::UnknownLog => "this witness knows no log of this origin".to_owned(),
            Self::Behind(size) => format!("the tree that was seen last has {size} entries"),
            Self::Fork(size) => format!("another tree of {size} entries was seen: this is a fork"),
            Self::Inconsistent => {
                "the proof does not lead from the tree that was seen last to this one".to_owned()
            }
        }
    }

    /// Whether it may be the proof that a log forked, which somebody should look at.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        matches!(self, Self::Fork(_) | Self::Inconsistent)
    }
}

/// A checkpoint that may be cosigned, once it is remembered. Only [`judge`] makes one.
#[derive(Clone, Debug)]
pub struct Accepted {
    text: String,
    checkpoint: Checkpoint,
    grew: bool,
}

/// What was seen of a log that was never seen.
#[must_use]
pub fn nothing() -> Head {
    Head { size: 0, root: empty_root() }
}

/// Says whether a checkpoint may be cosigned by a witness that saw `last` of its log, or
/// [`nothing`]; `keys` are those that count for its origin.
///
/// # Errors
/// [`Refused`].
pub fn judge(
    request: &AddCheckpoint,
    keys: &[VerifierKey],
    last: &Head,
) -> Result<Accepted, Refused> {
    let opened = note::open_of(&request.note, keys).map_err(|defect| match defect.name {
        "note-form" | "checkpoint-form" => Refused::Malformed(defect),
        _ => Refused::Unsigned(defect),
    })?;
    let new = opened.checkpoint.head();
    if request.old > new.size {
        let sentence = "the old size is larger than the new one";
        return Err(Refused::Malformed(Defect::new("add-checkpoint-size", sentence)));
    }
    if request.old != last.size {
        return Err(Refused::Behind(last.size));
    }
    if new.size == last.size && new.root != last.root {
        return Err(Refused::Fork(last.size));
    }
    if !verify_consistency(last, &new, &request.proof) {
        return Err(Refused::Inconsistent);
    }
    let grew = new.size > last.size;
    Ok(Accepted { text: opened.text.to_owned(), checkpoint: opened.checkpoint, grew })
}

impl Accepted {
    /// What to remember: it must be durable before [`Accepted::cosign`] leaves the witness.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether it says more than what was remembered already.
    #[must_use]
    pub const fn grew(&self) -> bool {
        self.grew
    }

    /// The signature line that is the answer.
    ///
    /// # Errors
    /// [`KeyError`] where the key does not sign.
    pub fn cosign(
        &self,
        name: &Origin,
        signer: &dyn Signer,
        at: UnixTime,
    ) -> Result<String, KeyError> {
        cosign(&self.text, name, signer, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::sign;
    use crate::tree::{Frontier, Hashes, consistency};
    use crate::witness::client::{Heard, hear};
    use crate::world::{key, origin};
    use crate::{Hash, witness::wire};

    const AT: UnixTime = UnixTime::from_secs(1_790_000_000);

    fn keys() -> Vec<VerifierKey> {
        VerifierKey::new(&origin(), key(1).public()).into_iter().collect()
    }

    /// A log of up to 200 leaves; with another `branch` it is another log from entry 5 on.
    struct Log(Vec<Hash>);

    impl Log {
        fn new(branch: u8) -> Self {
            Self((0..200_u8).map(|i| [if i < 5 { i } else { i ^ branch }; 32]).collect())
        }

        fn head(&self, size: u64) -> Head {
            let mut frontier = Frontier::new();
            self.0.iter().take(size as usize).for_each(|leaf| drop(frontier.append(*leaf)));
            frontier.head()
        }

        fn add(&self, old: u64, size: u64, seed: u8) -> AddCheckpoint {
            let root = self.head(size).root;
            let note = sign(&Checkpoint { origin: origin(), size, root }, &key(seed)).unwrap();
            AddCheckpoint { old, proof: consistency(old, size, self).unwrap(), note }
        }
    }

    impl Hashes for Log {
        fn leaf(&self, index: u64) -> Option<Hash> {
            self.0.get(index as usize).copied()
        }

        fn subtree(&self, _: u8, _: u64) -> Option<Hash> {
            None
        }
    }

    #[test]
    fn a_log_that_only_grows_is_cosigned_and_the_log_believes_it() {
        let log = Log::new(0);
        let mut last = nothing();
        for (old, new) in [(0, 3), (3, 3), (3, 7), (7, 8), (8, 200)] {
            let add = log.add(old, new, 1);
            assert_eq!(AddCheckpoint::decode(&add.encode()), Ok(add.clone()));
            let accepted = judge(&add, &keys(), &last).unwrap();
            assert_eq!(accepted.grew(), new > old);
            last = accepted.checkpoint().head();
            let name = Origin::parse("w.example").unwrap();
            let line = accepted.cosign(&name, &key(2), AT).unwrap();
            let witness = VerifierKey::cosigner(&name, key(2).public()).unwrap();
            let heard = hear(200, &line, &add.note, &witness);
            assert_eq!(heard, Heard::Cosigned { line, at: AT });
        }
    }

    #[test]
    fn a_fork_is_refused_whatever_it_shows() {
        let (log, fork) = (Log::new(0), Log::new(0x80));
        let last = log.head(50);
        assert_eq!(judge(&fork.add(50, 50, 1), &keys(), &last).unwrap_err(), Refused::Fork(50));
        let refused = judge(&fork.add(50, 60, 1), &keys(), &last).unwrap_err();
        assert_eq!((refused.status(), refused.is_alarming()), (422, true));
        // From where they still agree: that is not where the witness stands.
        let refused = judge(&fork.add(5, 60, 1), &keys(), &last).unwrap_err();
        assert_eq!(refused, Refused::Behind(50));
        assert_eq!(judge(&log.add(0, 60, 1), &keys(), &last).unwrap_err().status(), 409);
    }

    #[test]
    fn who_is_not_the_log_and_what_makes_no_sense_is_refused() {
        let log = Log::new(0);
        let judged = |add: AddCheckpoint| judge(&add, &keys(), &nothing()).unwrap_err().status();
        assert_eq!(judged(log.add(0, 7, 3)), 403);
        assert_eq!(judged(AddCheckpoint { old: 8, ..log.add(0, 7, 1) }), 400);
        assert_eq!(judged(AddCheckpoint { note: "x".to_owned(), ..log.add(0, 7, 1) }), 400);
        // An empty log has one root only.
        let note = sign(&Checkpoint { origin: origin(), size: 0, root: [1; 32] }, &key(1)).unwrap();
        assert_eq!(judged(AddCheckpoint { old: 0, proof: Vec::new(), note }), 409);
        // Nothing is proven of an empty tree, and so nothing may be shown.
        assert_eq!(judged(AddCheckpoint { proof: vec![[0; 32]], ..log.add(0, 7, 1) }), 422);
    }

    #[test]
    fn a_request_has_one_form() {
        let text = Log::new(0).add(3, 7, 1).encode();
        for (from, to) in [("old 3", "old 03"), ("old 3", "Old 3"), ("old 3\n", "old 3\nAAAA\n")] {
            assert!(AddCheckpoint::decode(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
        let line = "A".repeat(43) + "=\n";
        let many = format!("old 3\n{}\nnote", line.repeat(64));
        assert!(AddCheckpoint::decode(&many).is_err());
        assert_eq!(wire::read_size(&wire::size_body(17)), Some(17));
        assert_eq!(wire::read_size("17"), None);
        assert_eq!(wire::read_size("017\n"), None);
    }

    #[test]
    fn the_same_text_is_a_proof_between_two_checkpoints() {
        let (log, fork) = (Log::new(0), Log::new(0x80));
        let Head { size, root } = log.head(50);
        let from = Checkpoint { origin: origin(), size, root };
        assert_eq!(log.add(50, 60, 1).verify(&from, &keys()).unwrap().size, 60);
        let because = |add: AddCheckpoint| add.verify(&from, &keys()).unwrap_err().name;
        assert_eq!(because(fork.add(50, 60, 1)), "consistency-proof");
        assert_eq!(because(fork.add(50, 50, 1)), "consistency-proof");
        assert_eq!(because(log.add(49, 60, 1)), "consistency-size");
        assert_eq!(because(log.add(50, 60, 3)), "note-unsigned");
        let elsewhere = Checkpoint { origin: Origin::new(&[1; 16], 1), ..from.clone() };
        let moved = log.add(50, 60, 1).verify(&elsewhere, &keys());
        assert_eq!(moved.unwrap_err().name, "consistency-origin");
    }
}
