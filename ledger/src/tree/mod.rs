//! The Merkle tree of RFC 6962 §2.1, of which only the right edge is ever in memory.
//!
//! A [`Frontier`] is what an appender needs: the roots of the full subtrees that the log's size is
//! made of, at most 64. It hands out each subtree that becomes full at the height of a tile
//! ([`crate::tile`]); whoever stores those and the leaf hashes can answer as [`Hashes`], and with
//! that make any proof ([`inclusion`], [`consistency`]). A leaf or subtree, once there, never
//! changes.

mod proof;

pub use proof::{NoProof, consistency, inclusion, root, verify_consistency, verify_inclusion};

use crate::Hash;
use identity::Defect;
use identity::key::sha256;

/// The hash of a leaf. The front octet keeps a leaf from passing for a node (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of a node above two others.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of the empty tree: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// A tree as one can talk about it: how many leaves, and the root over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The count of leaves.
    pub size: u64,
    /// The hash over them all.
    pub root: Hash,
}

/// A full subtree at the height of a tile: the hash over the leaves from `index * 256^level` on,
/// `256^level` of them. It is a member of a tile and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// From 1 on.
    pub level: u8,
    /// Its place among those of its level.
    pub index: u64,
    /// The hash over its leaves.
    pub hash: Hash,
}

/// A tile is eight levels of the tree high (C2SP tlog-tiles).
const TILE_HEIGHT: u32 = 8;
/// No log is larger: at a million entries a second it would take two thousand years, and every
/// shift below stays within 64 bits.
const SIZE_MAX: u64 = 1 << 56;

/// The right edge of a tree: all that an append needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One full subtree for each bit that is set in `size`, the largest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of an empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The count of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, and returns the subtrees that it completes, the smallest first: none for
    /// 255 leaves of 256, and then nothing is allocated.
    pub fn append(&mut self, leaf: Hash) -> Vec<Subtree> {
        let mut completed = Vec::new();
        let mut hash = leaf;
        // Each low bit that is set is a full subtree as large as the one at hand.
        for height in 1..=self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            if height.is_multiple_of(TILE_HEIGHT) {
                let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
                completed.push(Subtree { level, index: self.size >> height, hash });
            }
        }
        self.peaks.push(hash);
        self.size += 1;
        completed
    }

    /// The hash over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let up = |right: Hash, left: &Hash| node_hash(left, &right);
        let mut peaks = self.peaks.iter().rev();
        peaks.next().map_or_else(empty_root, |smallest| peaks.fold(*smallest, up))
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root() }
    }

    /// The octets to store: the size, big-endian, and the peaks.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(8 + 32 * self.peaks.len());
        octets.extend(self.size.to_be_bytes());
        self.peaks.iter().for_each(|peak| octets.extend(peak));
        octets
    }

    /// Reads what [`Frontier::encode`] made.
    ///
    /// # Errors
    /// A [`Defect`] where the count of peaks does not go with the size.
    pub fn decode(octets: &[u8]) -> Result<Self, Defect> {
        let broken = || {
            Defect::new("frontier", "a frontier has one hash for each bit that is set in its size")
        };
        let (size, peaks) = octets.split_first_chunk().ok_or_else(broken)?;
        let size = u64::from_be_bytes(*size);
        let (peaks, rest) = peaks.as_chunks();
        if size > SIZE_MAX || !rest.is_empty() || peaks.len() != size.count_ones() as usize {
            return Err(broken());
        }
        Ok(Self { size, peaks: peaks.to_vec() })
    }
}

/// Where stored hashes come from. `None` says that it is not there.
pub trait Hashes {
    /// The hash of the leaf at `index`.
    fn leaf(&self, index: u64) -> Option<Hash>;

    /// The hash over the `256^level` leaves from `index * 256^level` on; `level` is at least 1.
    fn subtree(&self, level: u8, index: u64) -> Option<Hash>;
}

/// No hashes at all.
impl Hashes for () {
    fn leaf(&self, _: u64) -> Option<Hash> {
        None
    }

    fn subtree(&self, _: u8, _: u64) -> Option<Hash> {
        None
    }
}

#[cfg(test)]
mod tests;
