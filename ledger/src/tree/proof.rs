//! Proofs: that an entry is in the log (RFC 6962 §2.1.1), and that a log has only grown (§2.1.2).
//!
//! Making one walks down the tree and notes the sibling at each turn; verifying one (RFC 9162
//! §2.1.3.2 and §2.1.4.2) folds them back up. Either takes at most 64 hashes or so.

use super::{Hash, Hashes, Head, TILE_HEIGHT, empty_root, node_hash};
use std::fmt;

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProof {
    /// The asker's: the tree of that size has no such leaf or no such past.
    OutOfRange,
    /// Ours: a hash that the log must have is not there.
    Missing {
        /// 0 for a leaf, else that of a subtree.
        level: u8,
        /// Its place in its level.
        index: u64,
    },
}

impl fmt::Display for NoProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("the log was never that large"),
            Self::Missing { level, index } => {
                write!(f, "the stored hash {index} of level {level} is missing")
            }
        }
    }
}

impl std::error::Error for NoProof {}

/// The proof that leaf `index` is in the tree of `size` leaves, the sibling of the leaf first.
///
/// # Errors
/// [`NoProof`].
pub fn inclusion(size: u64, index: u64, hashes: &impl Hashes) -> Result<Vec<Hash>, NoProof> {
    if index >= size {
        return Err(NoProof::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(range(middle, to, hashes)?);
            to = middle;
        } else {
            proof.push(range(from, middle, hashes)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old` leaves is the beginning of that of `new` ones. It is empty
/// where they are the same, and where the old one is empty.
///
/// # Errors
/// [`NoProof`].
pub fn consistency(old: u64, new: u64, hashes: &impl Hashes) -> Result<Vec<Hash>, NoProof> {
    if old > new {
        return Err(NoProof::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, new);
    // Down to the smallest subtree that ends where the old tree ends.
    while old != to && old != 0 {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range(middle, to, hashes)?);
            to = middle;
        } else {
            proof.push(range(from, middle, hashes)?);
            from = middle;
        }
    }
    // The verifier knows the old root; that subtree is it, unless something stands left of it.
    if from > 0 {
        proof.push(range(from, to, hashes)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash over the first `size` leaves.
///
/// # Errors
/// [`NoProof::Missing`].
pub fn root(size: u64, hashes: &impl Hashes) -> Result<Hash, NoProof> {
    if size == 0 { Ok(empty_root()) } else { range(0, size, hashes) }
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// The hash over the leaves `from..to`, where `from` is a multiple of the power of two that holds
/// them: every range that the walks above come to.
fn range(from: u64, to: u64, hashes: &impl Hashes) -> Result<Hash, NoProof> {
    let count = to - from;
    if count.is_power_of_two() {
        return full(count.trailing_zeros(), from, hashes);
    }
    let middle = from + split(count);
    Ok(node_hash(&range(from, middle, hashes)?, &range(middle, to, hashes)?))
}

/// The hash over the `2^height` leaves from `from` on.
fn full(height: u32, from: u64, hashes: &impl Hashes) -> Result<Hash, NoProof> {
    let index = from >> height;
    if height == 0 {
        return hashes.leaf(index).ok_or(NoProof::Missing { level: 0, index });
    }
    if height.is_multiple_of(TILE_HEIGHT) {
        let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
        return hashes.subtree(level, index).ok_or(NoProof::Missing { level, index });
    }
    let half = 1 << (height - 1);
    Ok(node_hash(&full(height - 1, from, hashes)?, &full(height - 1, from + half, hashes)?))
}

/// Whether `proof` shows that `leaf` is the hash of leaf `index` in the tree `head`.
#[must_use]
pub fn verify_inclusion(head: &Head, index: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    if index >= head.size {
        return false;
    }
    let (mut at, mut last) = (index, head.size - 1);
    let mut root = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(sibling, &root);
            // Where the right edge has no sibling, the tree skips levels.
            let skip = if at == 0 { 0 } else { at.trailing_zeros() };
            (at, last) = (at >> skip, last >> skip);
        } else {
            root = node_hash(&root, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && root == head.root
}

/// Whether `proof` shows that the tree `old` is the beginning of the tree `new`.
#[must_use]
pub fn verify_consistency(old: &Head, new: &Head, proof: &[Hash]) -> bool {
    if old.size == 0 || old.size >= new.size {
        let nothing = old.size == 0 && old.root == empty_root();
        return proof.is_empty() && (nothing || old == new);
    }
    // The walk begins at the old tree's last full subtree; where that is the whole old tree, the
    // proof leaves it out.
    let skip = old.size.trailing_zeros();
    let (mut at, mut last) = ((old.size - 1) >> skip, (new.size - 1) >> skip);
    let known = old.size.is_power_of_two().then_some(&old.root);
    let mut path = known.into_iter().chain(proof);
    let Some(first) = path.next() else { return false };
    let (mut old_root, mut new_root) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = node_hash(sibling, &old_root);
            new_root = node_hash(sibling, &new_root);
            let skip = if at == 0 { 0 } else { at.trailing_zeros() };
            (at, last) = (at >> skip, last >> skip);
        } else {
            new_root = node_hash(&new_root, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old_root == old.root && new_root == new.root
}
