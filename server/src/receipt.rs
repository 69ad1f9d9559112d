//! Receipts and proofs of growth, made from what the registry stores and what was published.

use crate::checkpoint;
use crate::house::{House, RealmState};
use ledger::note::{self, Checkpoint};
use ledger::tree::{NoProof, consistency, inclusion};
use ledger::witness::AddCheckpoint;
use ledger::{Head, Origin, Receipt};
use registry::ReadError;
use std::fmt;

/// Why there is no proof.
#[derive(Debug)]
pub enum Unproven {
    /// The registry cannot be read.
    Read(ReadError),
    /// The ledger has no such entry, or was never that large.
    Beyond,
    /// Ours: what must be there is not, or the key does not sign.
    Broken(String),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Beyond => f.write_str("the ledger has no such entry"),
            Self::Broken(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for Unproven {}

impl From<ReadError> for Unproven {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<NoProof> for Unproven {
    fn from(why: NoProof) -> Self {
        match why {
            NoProof::OutOfRange => Self::Beyond,
            missing @ NoProof::Missing { .. } => Self::Broken(missing.to_string()),
        }
    }
}

/// The receipt of entry `index`: under the checkpoint that is published where that covers it, for
/// witnesses may have seen it; else under a fresh one.
///
/// # Errors
/// [`Unproven`].
pub fn receipt(house: &House, realm: &RealmState, index: u64) -> Result<Receipt, Unproven> {
    let rows = house.registry.entries(realm.key, index, 1)?;
    let row = rows.into_iter().find(|row| row.index == index).ok_or(Unproven::Beyond)?;
    let shown = checkpoint::published(house, realm)?;
    let shown = shown.filter(|(checkpoint, _)| checkpoint.size > index);
    let (checkpoint, note) = match shown {
        Some(shown) => shown,
        None => fresh(house, realm, house.registry.head(realm.key)?)?,
    };
    let proof = house
        .registry
        .hashes(realm.key, |_, stored| inclusion(checkpoint.size, index, stored))??;
    Ok(Receipt { entry: row.entry, content: row.salt.zip(row.payload), index, proof, note })
}

/// Whether as many witnesses cosigned its checkpoint as the realm waits for; always where it has
/// none.
#[must_use]
pub fn is_witnessed(receipt: &Receipt, realm: &RealmState) -> bool {
    // Below the text and a blank line a note has a line for each signature, ours first.
    let lines = receipt.note.lines().filter(|line| line.starts_with("— ")).count();
    realm.settings.witnesses().is_empty() || lines > realm.settings.witness_quorum()
}

/// The proof that the ledger only grew since it had `from` entries, up to `to` or to its end, under
/// a fresh checkpoint of that size.
///
/// # Errors
/// [`Unproven`].
pub fn growth(
    house: &House,
    realm: &RealmState,
    from: u64,
    to: Option<u64>,
) -> Result<AddCheckpoint, Unproven> {
    let (head, proof) = house.registry.hashes(realm.key, |head, stored| {
        let to = to.unwrap_or(head.size);
        if to > head.size {
            return Err(NoProof::OutOfRange);
        }
        let root = if to == head.size { head.root } else { ledger::tree::root(to, stored)? };
        Ok((Head { size: to, root }, consistency(from, to, stored)?))
    })??;
    let (_, note) = fresh(house, realm, head)?;
    Ok(AddCheckpoint { old: from, proof, note })
}

/// A checkpoint of ours that was signed just now.
fn fresh(house: &House, realm: &RealmState, head: Head) -> Result<(Checkpoint, String), Unproven> {
    let unreadable = || Unproven::Broken("the realm's origin cannot be read".to_owned());
    let origin = Origin::parse(&realm.realm.origin).ok_or_else(unreadable)?;
    let checkpoint = Checkpoint { origin, size: head.size, root: head.root };
    let note = note::sign(&checkpoint, house.ledger_key.as_ref());
    let note = note.map_err(|e| Unproven::Broken(format!("the ledger key does not sign: {e}")))?;
    Ok((checkpoint, note))
}
