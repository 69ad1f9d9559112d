//! A log as somebody outside watches it: bundle after bundle of entries is hashed into a tree and
//! held against the tiles, until the tree is the one that the checkpoint was signed over.
//!
//! The machine says what to fetch ([`Monitor::next`]) and takes what came ([`Monitor::take`]);
//! where it comes from is the host's business. It can stop at any bundle and go on later
//! ([`Monitor::encode`]); memory does not grow with the log.

use crate::entry::Entry;
use crate::tile::{Level, TilePath, WIDTH_MAX, unbundle};
use crate::tree::{Frontier, Head, leaf_hash};
use crate::verify::{Break, What};
use crate::{Checkpoint, Hash};
use identity::Defect;

/// The watcher of one log. It stands at a multiple of 256 entries, but at the very end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    frontier: Frontier,
    /// Of each level from 1 on, the hashes of the tile that is being filled.
    levels: Vec<Vec<Hash>>,
    /// What the first so many entries are known to hash to, from checkpoints of earlier; the
    /// largest first.
    earlier: Vec<Head>,
}

/// What has to be fetched for the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The entries.
    pub bundle: TilePath,
    /// Their leaf hashes.
    pub tile: TilePath,
}

/// A tile above the leaves that must be as it was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Which.
    pub path: TilePath,
    /// What it must have in it.
    pub octets: Vec<u8>,
}

impl Monitor {
    /// A watcher that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { frontier: Frontier::new(), levels: Vec::new(), earlier: Vec::new() }
    }

    /// Demands that the log goes through each of `earlier` on its way: then it only grew since.
    /// Those that lie behind are not looked at: who must know begins anew.
    #[must_use]
    pub fn through(mut self, earlier: impl IntoIterator<Item = Head>) -> Self {
        let size = self.size();
        self.earlier = earlier.into_iter().filter(|head| head.size >= size).collect();
        self.earlier.sort_by_key(|head| std::cmp::Reverse(head.size));
        self
    }

    /// How many entries were seen.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// What to fetch next for a log of `size` entries; `None` where all is seen.
    #[must_use]
    pub fn next(&self, size: u64) -> Option<Wanted> {
        Self::at(self.size() / u64::from(WIDTH_MAX), size).filter(|_| self.size() < size)
    }

    /// Bundle and tile number `index` of a log of `size` entries.
    #[must_use]
    pub fn at(index: u64, size: u64) -> Option<Wanted> {
        let left = size.checked_sub(index.checked_mul(WIDTH_MAX.into())?)?;
        let width = u16::try_from(left.min(WIDTH_MAX.into())).ok().filter(|width| *width > 0)?;
        let tile = |level| TilePath { level, index, width };
        Some(Wanted { bundle: tile(Level::Entries), tile: tile(Level::Hashes(0)) })
    }

    /// Takes what was wanted, and gives the tiles above that became full.
    ///
    /// # Errors
    /// The [`Break`], at the entry that is not what it was.
    pub fn take(
        &mut self,
        wanted: Wanted,
        bundle: &[u8],
        tile: &[u8],
    ) -> Result<Vec<Above>, Break> {
        let first = self.size();
        let entries = unbundle(bundle).map_err(|d| Break { index: first, what: What::Entry(d) })?;
        let (hashes, rest) = tile.as_chunks::<32>();
        let width = usize::from(wanted.tile.width);
        if entries.len() != width || hashes.len() != width || !rest.is_empty() {
            let sentence = format!("a bundle or tile of {width} was asked for, and another came");
            let defect = Defect::new("tile-width", sentence);
            return Err(Break { index: first, what: What::Entry(defect) });
        }
        let mut above = Vec::new();
        for (entry, hash) in entries.iter().zip(hashes) {
            self.one(entry, hash, &mut above)?;
        }
        Ok(above)
    }

    fn one(&mut self, entry: &[u8], hash: &Hash, above: &mut Vec<Above>) -> Result<(), Break> {
        self.meet()?;
        let index = self.size();
        let broken = |what| Err(Break { index, what });
        match Entry::decode(entry) {
            // A class of a newer Muster is no break of the log: the octets are hashed all the same.
            Err(defect) if defect.name == "entry-class" => {}
            Err(defect) => return broken(What::Entry(defect)),
            Ok(entry) if entry.index != index => return broken(What::Order { said: entry.index }),
            Ok(_) => {}
        }
        let leaf = leaf_hash(entry);
        if leaf != *hash {
            return broken(What::Leaf);
        }
        for subtree in self.frontier.append(leaf) {
            let place = usize::from(subtree.level) - 1;
            if self.levels.len() <= place {
                self.levels.push(Vec::new());
            }
            let Some(filling) = self.levels.get_mut(place) else { continue };
            filling.push(subtree.hash);
            if filling.len() == usize::from(WIDTH_MAX) {
                let index = subtree.index / u64::from(WIDTH_MAX);
                let path =
                    TilePath { level: Level::Hashes(subtree.level), index, width: WIDTH_MAX };
                above.push(Above { path, octets: filling.concat() });
                filling.clear();
            }
        }
        Ok(())
    }

    /// Holds what was seen against the checkpoints of earlier that have that size.
    fn meet(&mut self) -> Result<(), Break> {
        while let Some(earlier) = self.earlier.pop_if(|e| e.size == self.frontier.size()) {
            let found = self.frontier.root();
            if earlier.root != found {
                let what = What::Root { said: earlier.root, found };
                return Err(Break { index: 0, what });
            }
        }
        Ok(())
    }

    /// All of it was seen: holds it against the checkpoint, and gives the tiles above that are not
    /// full.
    ///
    /// # Errors
    /// The [`Break`].
    pub fn finish(&mut self, against: &Checkpoint) -> Result<Vec<Above>, Break> {
        self.meet()?;
        let head = self.frontier.head();
        if let Some(earlier) = self.earlier.first() {
            let what = What::Size { said: earlier.size, found: head.size };
            return Err(Break { index: head.size, what });
        }
        if head.size != against.size {
            let what = What::Size { said: against.size, found: head.size };
            return Err(Break { index: head.size, what });
        }
        if head.root != against.root {
            let what = What::Root { said: against.root, found: head.root };
            return Err(Break { index: 0, what });
        }
        let filling = self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        let above = filling.filter_map(|(place, hashes)| {
            let level = u8::try_from(place + 1).ok()?;
            let index = head.size >> (8 * (u32::from(level) + 1));
            let width = u16::try_from(hashes.len()).ok()?;
            let path = TilePath { level: Level::Hashes(level), index, width };
            Some(Above { path, octets: hashes.concat() })
        });
        Ok(above.collect())
    }

    /// What to keep to go on from here later: the edge, then the hashes of each level behind their
    /// count. `None` in the midst of a bundle, where the log had its end.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        if !self.size().is_multiple_of(WIDTH_MAX.into()) {
            return None;
        }
        let edge = self.frontier.encode();
        let mut octets = u32::try_from(edge.len()).ok()?.to_be_bytes().to_vec();
        octets.extend(edge);
        for hashes in &self.levels {
            octets.extend(u16::try_from(hashes.len()).ok()?.to_be_bytes());
            octets.extend(hashes.concat());
        }
        Some(octets)
    }

    /// Reads what [`Monitor::encode`] made.
    ///
    /// # Errors
    /// A [`Defect`] where it is something else.
    pub fn decode(octets: &[u8]) -> Result<Self, Defect> {
        let broken = || Defect::new("monitor", "the state is not one that was kept here");
        let (length, rest) = octets.split_first_chunk().ok_or_else(broken)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| broken())?;
        let (edge, mut rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        let frontier = Frontier::decode(edge)?;
        let mut levels = Vec::new();
        while !rest.is_empty() {
            let (count, behind) = rest.split_first_chunk().ok_or_else(broken)?;
            let octets = 32 * usize::from(u16::from_be_bytes(*count));
            let (hashes, behind) = behind.split_at_checked(octets).ok_or_else(broken)?;
            levels.push(hashes.as_chunks().0.to_vec());
            rest = behind;
        }
        let monitor = Self { frontier, levels, earlier: Vec::new() };
        let counted = monitor.levels.iter().enumerate().all(|(place, hashes): (usize, &Vec<_>)| {
            let shift = u32::try_from(8 * (place + 1)).unwrap_or(63).min(63);
            hashes.len() as u64 == (monitor.size() >> shift) % u64::from(WIDTH_MAX)
        });
        let whole = monitor.size().is_multiple_of(WIDTH_MAX.into());
        if counted && whole { Ok(monitor) } else { Err(broken()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::bundle;
    use crate::tree::Hashes;
    use crate::{Class, Origin};
    use identity::UnixTime;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Log {
        entries: Vec<Vec<u8>>,
        hashes: HashMap<(u8, u64), Hash>,
        frontier: Frontier,
    }

    impl Hashes for Log {
        fn leaf(&self, index: u64) -> Option<Hash> {
            self.hashes.get(&(0, index)).copied()
        }

        fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
            self.hashes.get(&(level, index)).copied()
        }
    }

    impl Log {
        fn of(size: u64) -> Self {
            let mut log = Self::default();
            (0..size).for_each(|i| log.append(i, 1));
            log
        }

        fn append(&mut self, index: u64, digest: u8) {
            let at = UnixTime::from_secs(1_790_000_000);
            let entry = Entry::new(index, at, Class::Join, [digest; 32]).encode();
            self.hashes.insert((0, index), leaf_hash(&entry));
            for done in self.frontier.append(leaf_hash(&entry)) {
                self.hashes.insert((done.level, done.index), done.hash);
            }
            self.entries.push(entry);
        }

        fn checkpoint(&self) -> Checkpoint {
            let Head { size, root } = self.frontier.head();
            Checkpoint { origin: Origin::new(&[1; 16], 1), size, root }
        }

        fn watch(&self, monitor: &mut Monitor) -> Result<(), Break> {
            let checkpoint = self.checkpoint();
            let held = |above: Vec<Above>| {
                assert!(above.iter().all(|a| a.path.hashes(self) == Some(a.octets.clone())));
                assert!(above.iter().all(|a| a.path.is_within(checkpoint.size)));
            };
            while let Some(wanted) = monitor.next(checkpoint.size) {
                let from = usize::try_from(wanted.bundle.index * 256).unwrap();
                let to = from + usize::from(wanted.bundle.width);
                let octets = bundle(&self.entries[from..to]).unwrap();
                held(monitor.take(wanted, &octets, &wanted.tile.hashes(self).unwrap())?);
            }
            held(monitor.finish(&checkpoint)?);
            Ok(())
        }
    }

    #[test]
    fn a_log_of_any_size_is_seen_whole_and_every_tile_above_is_known() {
        for size in [0, 1, 255, 256, 257, 65_535, 65_536, 66_000] {
            let mut monitor = Monitor::new();
            Log::of(size).watch(&mut monitor).unwrap();
            assert_eq!(monitor.size(), size);
        }
    }

    #[test]
    fn a_watcher_goes_on_where_it_stopped_and_the_log_must_go_through_what_was_seen() {
        let mut log = Log::of(700);
        let seen = log.checkpoint().head();
        let mut monitor = Monitor::new();
        let wanted = monitor.next(700).unwrap();
        let octets = bundle(&log.entries[..256]).unwrap();
        monitor.take(wanted, &octets, &wanted.tile.hashes(&log).unwrap()).unwrap();
        let kept = Monitor::decode(&monitor.encode().unwrap()).unwrap();
        assert_eq!(kept, monitor);

        (700..900).for_each(|i| log.append(i, 1));
        log.watch(&mut kept.clone().through([seen])).unwrap();

        let mut fork = Log::of(600);
        (600..900).for_each(|i| fork.append(i, 2));
        let broken = fork.watch(&mut kept.clone().through([seen])).unwrap_err();
        assert!(matches!(broken.what, What::Root { .. }), "{broken}");
        let cut = Log::of(600);
        let broken = cut.watch(&mut kept.through([seen])).unwrap_err();
        assert!(matches!(broken.what, What::Size { said: 700, .. }), "{broken}");
    }

    #[test]
    fn a_changed_entry_is_named() {
        let mut log = Log::of(300);
        log.entries[270] =
            Entry::decode(&log.entries[270]).map(|e| Entry { hours: 1, ..e }).unwrap().encode();
        let broken = log.watch(&mut Monitor::new()).unwrap_err();
        assert_eq!(broken, Break { index: 270, what: What::Leaf });
    }

    #[test]
    fn a_state_that_was_changed_is_refused() {
        let mut monitor = Monitor::new();
        let log = Log::of(512);
        log.watch(&mut monitor).unwrap();
        let kept = monitor.encode().unwrap();
        for at in [0, 3, 11, kept.len() - 65] {
            let mut other = kept.clone();
            other[at] ^= 0x10;
            assert!(Monitor::decode(&other).is_err(), "{at}");
        }
        assert!(Monitor::decode(&[]).is_err());
    }
}
