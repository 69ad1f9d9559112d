//! The whole ledger, computed again: what was stored is fed in row by row, and either everything
//! holds or a [`Break`] says at which entry what does not.
//!
//! An entry whose octets changed is found at its own number where leaf hashes are at hand (the
//! tiles, as [`Hashes`]); a changed payload or salt always is. Without leaf hashes only the root
//! can tell, and the break then names the first entry that nothing has proven. Memory does not grow
//! with the ledger. Rows whose payload was erased are counted, and their proof still holds.

use crate::entry::{Entry, digest};
use crate::note::{self, Checkpoint, VerifierKey};
use crate::payload::Payload;
use crate::tree::{Frontier, Hashes, Head, Subtree, leaf_hash};
use identity::Defect;
use identity::text::hex;
use std::fmt;

/// One row of the ledger as it was stored or exported.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The octets of the entry.
    pub entry: &'a [u8],
    /// Those of its payload; `None` where it was erased.
    pub payload: Option<&'a [u8]>,
    /// Its salt; erased together with the payload.
    pub salt: Option<&'a [u8; 32]>,
}

/// Where the ledger breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The number of the entry, or of the first that it can be.
    pub index: u64,
    /// What does not hold.
    pub what: What,
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The octets of the entry are not one.
    Entry(Defect),
    /// The entry has another number than its place.
    Order {
        /// The number that it has.
        said: u64,
    },
    /// The entry does not hash to its stored leaf hash: one of the two was changed.
    Leaf,
    /// The entries of a full subtree do not hash to its stored hash: one of them, or it, was
    /// changed.
    Subtree {
        /// The level of the subtree.
        level: u8,
        /// The last entry in it.
        last: u64,
    },
    /// Payload and salt do not hash to the digest of the entry: one of them was changed.
    Digest,
    /// There is a payload without salt, or a salt without payload.
    Half,
    /// The payload has the right digest and cannot be read.
    Payload(Defect),
    /// The checkpoint is about a log of another size.
    Size {
        /// How many entries it names.
        said: u64,
        /// How many there are.
        found: u64,
    },
    /// The entries do not hash to the root of the checkpoint.
    Root {
        /// The root that it names.
        said: crate::Hash,
        /// The root over the entries.
        found: crate::Hash,
    },
    /// The checkpoint itself cannot be believed.
    Checkpoint(Defect),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match &self.what {
            What::Entry(defect) => write!(f, "entry {index}: {defect}"),
            What::Order { said } => write!(f, "entry {index}: it says that it is entry {said}"),
            What::Leaf => write!(f, "entry {index}: it does not hash to its stored leaf hash"),
            What::Subtree { level, last } => {
                write!(f, "entries {index} to {last}: their stored hash at level {level} differs")
            }
            What::Digest => {
                write!(f, "entry {index}: payload and salt do not hash to its digest")
            }
            What::Half => write!(f, "entry {index}: only one of payload and salt is there"),
            What::Payload(defect) => write!(f, "entry {index}: {defect}"),
            What::Size { said, found } => {
                write!(f, "entry {index}: the checkpoint has {said} entries, the ledger {found}")
            }
            What::Root { said, found } => write!(
                f,
                "from entry {index} on: the checkpoint has the root {}, the entries {}",
                hex(said),
                hex(found)
            ),
            What::Checkpoint(defect) => write!(f, "checkpoint: {defect}"),
        }
    }
}

impl std::error::Error for Break {}

/// The ledger so far, computed again.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    frontier: Frontier,
    /// Up to here a stored subtree or a checkpoint agreed.
    proven: u64,
    erased: u64,
}

impl Verifier {
    /// A verifier that waits for entry 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { frontier: Frontier::new(), proven: 0, erased: 0 }
    }

    /// How many rows held so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// How many of them had no payload any more.
    #[must_use]
    pub const fn erased(&self) -> u64 {
        self.erased
    }

    /// Size and root so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.frontier.head()
    }

    /// Takes the next row. `stored` has the hashes of the tiles as far as they are at hand; `&()`
    /// has none. Returns the entry, which is now known to hold.
    ///
    /// # Errors
    /// The [`Break`]: the end of this verifier, since what comes behind it proves nothing.
    pub fn feed(&mut self, row: &Row<'_>, stored: &impl Hashes) -> Result<Entry, Break> {
        let index = self.size();
        let leaf = leaf_hash(row.entry);
        let held = check(index, row).and_then(|entry| {
            let agrees = stored.leaf(index).is_none_or(|stored| stored == leaf);
            if agrees { Ok(entry) } else { Err(What::Leaf) }
        });
        let entry = held.map_err(|what| Break { index, what })?;
        for subtree in self.frontier.append(leaf) {
            let span = 1 << (8 * u32::from(subtree.level));
            self.compare(&subtree, span, stored)?;
        }
        self.erased += u64::from(row.payload.is_none());
        Ok(entry)
    }

    fn compare(&mut self, ours: &Subtree, span: u64, stored: &impl Hashes) -> Result<(), Break> {
        let (first, last) = (ours.index * span, ours.index * span + (span - 1));
        match stored.subtree(ours.level, ours.index) {
            None => Ok(()),
            Some(hash) if hash == ours.hash => {
                if first <= self.proven {
                    self.proven = last + 1;
                }
                Ok(())
            }
            Some(_) => {
                let index = self.proven.max(first).min(last);
                Err(Break { index, what: What::Subtree { level: ours.level, last } })
            }
        }
    }

    /// Holds the rows so far against a checkpoint of exactly this size; call it again at the next.
    ///
    /// # Errors
    /// The [`Break`].
    pub fn agrees(&mut self, against: &Checkpoint) -> Result<Head, Break> {
        let head = self.head();
        if against.size != head.size {
            let what = What::Size { said: against.size, found: head.size };
            return Err(Break { index: against.size.min(head.size), what });
        }
        if against.root != head.root {
            let what = What::Root { said: against.root, found: head.root };
            return Err(Break { index: self.proven, what });
        }
        self.proven = head.size;
        Ok(head)
    }

    /// All rows are in: holds them against the checkpoint of the whole ledger.
    ///
    /// # Errors
    /// The [`Break`].
    pub fn finish(mut self, against: &Checkpoint) -> Result<Head, Break> {
        self.agrees(against)
    }

    /// The same with a checkpoint that first has to be believed, as a signed note.
    ///
    /// # Errors
    /// The [`Break`].
    pub fn finish_signed(self, note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, Break> {
        let opened = note::open(note, keys);
        let against = opened
            .map_err(|defect| Break { index: self.size(), what: What::Checkpoint(defect) })?;
        self.finish(&against).map(|_| against)
    }
}

/// What one row says of itself.
fn check(index: u64, row: &Row<'_>) -> Result<Entry, What> {
    let entry = Entry::decode(row.entry).map_err(What::Entry)?;
    if entry.index != index {
        return Err(What::Order { said: entry.index });
    }
    match (row.payload, row.salt) {
        (None, None) => Ok(entry),
        (Some(payload), Some(salt)) => {
            if digest(salt, payload) != entry.digest {
                return Err(What::Digest);
            }
            Payload::decode(payload).map_err(What::Payload)?;
            Ok(entry)
        }
        _ => Err(What::Half),
    }
}

#[cfg(test)]
mod tests;
