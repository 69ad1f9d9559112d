use super::*;
use crate::tile::TilePath;
use identity::text::hex;
use proptest::prelude::*;
use std::collections::HashMap;

/// RFC 6962 §2.1 to the letter: recursive, over all leaves, with nothing kept.
mod naive {
    use super::{Hash, leaf_hash, node_hash, sha256};

    fn split(count: usize) -> usize {
        let mut k = 1;
        while k * 2 < count {
            k *= 2;
        }
        k
    }

    pub(super) fn root(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [one] => leaf_hash(one),
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
        if leaves.len() < 2 {
            return Vec::new();
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) =
            if m < k { (path(m, left), root(right)) } else { (path(m - k, right), root(left)) };
        proof.push(sibling);
        proof
    }

    pub(super) fn subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = if m <= k {
            (subproof(m, left, whole), root(right))
        } else {
            (subproof(m - k, right, false), root(left))
        };
        proof.push(sibling);
        proof
    }
}

/// A log that keeps what a registry keeps: leaf hashes and completed subtrees.
#[derive(Default)]
struct Log {
    entries: Vec<Vec<u8>>,
    frontier: Frontier,
    heads: Vec<Head>,
    leaves: Vec<Hash>,
    subtrees: HashMap<(u8, u64), Hash>,
}

impl Log {
    fn of(count: u64) -> Self {
        let mut log = Self { heads: vec![Frontier::new().head()], ..Self::default() };
        (0..count).for_each(|i| log.append(i.to_string().into_bytes()));
        log
    }

    fn append(&mut self, entry: Vec<u8>) {
        let leaf = leaf_hash(&entry);
        for done in self.frontier.append(leaf) {
            assert_eq!(self.subtrees.insert((done.level, done.index), done.hash), None);
        }
        self.leaves.push(leaf);
        self.entries.push(entry);
        self.heads.push(self.frontier.head());
    }
}

impl Hashes for Log {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves.get(usize::try_from(index).ok()?).copied()
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.subtrees.get(&(level, index)).copied()
    }
}

#[test]
fn the_empty_tree_has_the_hash_of_nothing() {
    let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(&Frontier::new().root()), expected);
}

/// The eight leaves that the test suites of Certificate Transparency share, and their roots.
#[test]
fn the_roots_that_certificate_transparency_knows() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    for (leaf, root) in leaves.iter().zip(roots) {
        assert_eq!(frontier.append(leaf_hash(leaf)), []);
        assert_eq!(hex(&frontier.root()), root);
    }
}

#[test]
fn every_size_up_to_600_has_the_root_of_the_rfc() {
    let log = Log::of(600);
    for (size, head) in log.heads.iter().enumerate() {
        assert_eq!(head.root, naive::root(&log.entries[..size]), "{size}");
    }
}

#[test]
fn subtrees_complete_at_the_heights_of_tiles_and_are_those_of_the_rfc() {
    let log = Log::of(66_000);
    assert_eq!(log.subtrees.len(), 66_000 / 256 + 1);
    for index in [0, 1, 255, 256] {
        let from = index as usize * 256;
        let expected = naive::root(&log.entries[from..from + 256]);
        assert_eq!(log.subtree(1, index), Some(expected), "{index}");
    }
    assert_eq!(log.subtree(2, 0), Some(naive::root(&log.entries[..65_536])));
}

#[test]
fn a_tile_is_the_stored_hashes_one_behind_the_other() {
    let log = Log::of(70_000);
    let tile = |path| TilePath::parse(path).unwrap().hashes(&log);
    assert_eq!(tile("tile/0/273.p/112"), Some(log.leaves[273 * 256..].concat()));
    assert_eq!(tile("tile/2/000.p/1"), Some(log.subtree(2, 0).unwrap().to_vec()));
    // The root over a full tile is the hash in the tile above it (C2SP tlog-tiles, Merkle Tree).
    let below = tile("tile/0/x001/000");
    assert_eq!(below, None, "a tile beyond the end");
    let mut edge = Frontier::new();
    let below = tile("tile/0/007").unwrap();
    below.as_chunks().0.iter().for_each(|leaf| drop(edge.append(*leaf)));
    assert_eq!(Some(edge.root()), log.subtree(1, 7));
    assert_eq!(tile("tile/entries/000"), None);
}

/// Every place in trees of up to 40, and in those around the width of a tile; else every 61st.
const fn stride(size: u64) -> usize {
    if size <= 40 || matches!(size, 255..=257 | 512..=513 | 600) { 1 } else { 61 }
}

#[test]
fn every_inclusion_proof_up_to_600_is_that_of_the_rfc_and_holds() {
    let log = Log::of(600);
    for size in 1..=600_u64 {
        let head = log.heads[size as usize];
        for index in (0..size).step_by(stride(size)) {
            let proof = inclusion(size, index, &log).unwrap();
            let leaf = log.leaves[index as usize];
            assert!(verify_inclusion(&head, index, &leaf, &proof), "{index} of {size}");
            if index.is_multiple_of(7) {
                let entries = &log.entries[..size as usize];
                assert_eq!(proof, naive::path(index as usize, entries), "{index} of {size}");
            }
        }
    }
}

#[test]
fn every_consistency_proof_up_to_600_is_that_of_the_rfc_and_holds() {
    let log = Log::of(600);
    for new in 0..=600_u64 {
        for old in (0..=new).step_by(stride(new)) {
            let proof = consistency(old, new, &log).unwrap();
            let (past, now) = (log.heads[old as usize], log.heads[new as usize]);
            assert!(verify_consistency(&past, &now, &proof), "{old} to {new}");
            if old > 0 && old.is_multiple_of(7) {
                let entries = &log.entries[..new as usize];
                assert_eq!(proof, naive::subproof(old as usize, entries, true), "{old} to {new}");
            }
        }
    }
}

#[test]
fn proofs_out_of_range_or_with_hashes_missing_are_refused() {
    let log = Log::of(600);
    assert_eq!(inclusion(600, 600, &log), Err(NoProof::OutOfRange));
    assert_eq!(inclusion(0, 0, &log), Err(NoProof::OutOfRange));
    assert_eq!(consistency(2, 1, &log), Err(NoProof::OutOfRange));
    let missing = NoProof::Missing { level: 0, index: 600 };
    assert_eq!(inclusion(601, 5, &log), Err(missing));
    // The first turn on the way down is at leaf 512.
    assert_eq!(inclusion(600, 5, &()), Err(NoProof::Missing { level: 0, index: 512 }));
}

/// One log for all the properties below: making it takes longer than they do.
fn large() -> &'static Log {
    thread_local! {
        static LOG: &'static Log = Box::leak(Box::new(Log::of(70_000)));
    }
    LOG.with(|log| *log)
}

proptest! {
    #[test]
    fn large_trees_have_proofs_that_hold(
        sizes in (1..=70_000_u64, 1..=70_000_u64),
        index in any::<prop::sample::Index>(),
    ) {
        let log = large();
        let (old, new) = (sizes.0.min(sizes.1), sizes.0.max(sizes.1));
        let (past, now) = (log.heads[old as usize], log.heads[new as usize]);
        let proof = consistency(old, new, log).unwrap();
        prop_assert!(verify_consistency(&past, &now, &proof));
        let index = index.index(new as usize) as u64;
        let proof = inclusion(new, index, log).unwrap();
        prop_assert!(verify_inclusion(&now, index, &log.leaves[index as usize], &proof));
    }

    #[test]
    fn a_proof_with_a_flipped_bit_does_not_hold(
        sizes in (1..600_u64, 1..600_u64),
        index in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let log = large();
        let (old, new) = (sizes.0.min(sizes.1), sizes.0.max(sizes.1));
        let (past, now) = (log.heads[old as usize], log.heads[new as usize]);
        let flip = |proof: &mut Vec<Hash>| {
            let bit = bit.index(proof.len() * 256);
            proof[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
        };
        let mut proof = consistency(old, new, log).unwrap();
        if !proof.is_empty() {
            flip(&mut proof);
            prop_assert!(!verify_consistency(&past, &now, &proof));
        }
        let index = index.index(new as usize) as u64;
        let mut proof = inclusion(new, index, log).unwrap();
        if !proof.is_empty() {
            flip(&mut proof);
            prop_assert!(!verify_inclusion(&now, index, &log.leaves[index as usize], &proof));
        }
    }

    #[test]
    fn a_proof_of_another_length_place_or_size_does_not_hold(
        size in 2..600_u64,
        old in any::<prop::sample::Index>(),
        index in any::<prop::sample::Index>(),
    ) {
        let log = large();
        let head = log.heads[size as usize];
        let index = index.index(size as usize) as u64;
        let leaf = log.leaves[index as usize];
        let proof = inclusion(size, index, log).unwrap();
        let longer = [proof.clone(), vec![leaf]].concat();
        prop_assert!(!verify_inclusion(&head, index, &leaf, &longer));
        prop_assert!(!verify_inclusion(&head, index, &leaf, &proof[1..]));
        prop_assert!(!verify_inclusion(&head, (index + 1) % size, &leaf, &proof));
        let old = 1 + old.index(size as usize - 1) as u64;
        let past = log.heads[old as usize];
        let proof = consistency(old, size, log).unwrap();
        let longer = [proof.clone(), vec![leaf]].concat();
        prop_assert!(!verify_consistency(&past, &head, &longer));
        prop_assert!(!verify_consistency(&past, &head, &proof[1..]));
        let other = Head { size: old, root: leaf_hash(b"other") };
        prop_assert!(!verify_consistency(&other, &head, &proof));
        prop_assert!(!verify_consistency(&head, &past, &proof));
    }

    #[test]
    fn a_frontier_reads_back_as_it_was_written(size in 0..600_u64) {
        let frontier = Log::of(size).frontier;
        prop_assert_eq!(Frontier::decode(&frontier.encode()), Ok(frontier));
    }

    #[test]
    fn any_octets_are_read_without_a_panic(octets in any::<Vec<u8>>()) {
        if let Ok(mut frontier) = Frontier::decode(&octets) {
            prop_assert_eq!(frontier.encode(), octets);
            frontier.append([0; 32]);
        }
    }
}

#[test]
fn a_frontier_with_too_few_peaks_or_an_absurd_size_is_refused() {
    let octets = Log::of(7).frontier.encode();
    assert!(Frontier::decode(&octets[..octets.len() - 32]).is_err());
    assert!(Frontier::decode(&octets[..octets.len() - 1]).is_err());
    assert!(Frontier::decode(&[octets.as_slice(), &[0; 32]].concat()).is_err());
    let absurd = [u64::MAX.to_be_bytes().as_slice(), &[0; 64 * 32]].concat();
    assert!(Frontier::decode(&absurd).is_err());
}

#[test]
fn against_the_empty_past_only_the_empty_proof_and_root_hold() {
    let log = Log::of(3);
    let (empty, three) = (log.heads[0], log.heads[3]);
    assert!(verify_consistency(&empty, &three, &[]));
    assert!(verify_consistency(&empty, &empty, &[]));
    assert!(!verify_consistency(&empty, &three, &[log.leaves[0]]));
    assert!(!verify_consistency(&Head { size: 0, root: [0; 32] }, &three, &[]));
    assert!(!verify_consistency(&three, &empty, &[]));
}
