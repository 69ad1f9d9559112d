//! The ledger as static resources: C2SP tlog-tiles, which any witness and monitor can read.
//!
//! A tile has up to 256 hashes of one level, one behind the other; an entry bundle has the entries
//! of a tile of level 0, each behind its length. A full one never changes, and a partial one of a
//! given width neither, so both may be cached for ever. Paths here are relative to
//! `/ledger/{realm}/`.

use crate::Hashes;
use identity::Defect;
use std::fmt;

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH_MAX: u16 = 256;
/// The highest level that a tile can have here: C2SP allows 63, but a hash of level 8 would span
/// 2^64 leaves, more than an index can count.
pub const LEVEL_MAX: u8 = 7;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    /// Hashes of which level, or entries.
    pub level: Level,
    /// Its place in its level.
    pub index: u64,
    /// How many hashes or entries it has: 256, or fewer for a partial one.
    pub width: u16,
}

/// What a tile has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Hashes: of leaves at level 0, of full tiles of the level below at others.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl TilePath {
    /// Reads a path, `tile/0/x001/067` or `tile/entries/000.p/17`; `None` for any other text, also
    /// for another spelling of the same tile.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let level = match level {
            "entries" => Level::Entries,
            digits => Level::Hashes(digits.parse().ok().filter(|level| *level <= LEVEL_MAX)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok()?),
            None => (rest, WIDTH_MAX),
        };
        let tile = Self { level, index: parse_index(index)?, width };
        // One tile has one address: anything that would be written in another way is not one.
        (tile.is_sound() && tile.to_string() == path).then_some(tile)
    }

    /// Whether the tree of `size` leaves has all of it.
    #[must_use]
    pub fn is_within(&self, size: u64) -> bool {
        let level = if let Level::Hashes(level) = self.level { level } else { 0 };
        let there = size >> (8 * u32::from(level.min(LEVEL_MAX)));
        let end = self.index.checked_mul(WIDTH_MAX.into());
        end.and_then(|from| from.checked_add(self.width.into())).is_some_and(|end| end <= there)
    }

    /// The octets of this tile out of stored hashes; `None` where one is missing, or for a bundle.
    #[must_use]
    pub fn hashes(&self, stored: &impl Hashes) -> Option<Vec<u8>> {
        let Level::Hashes(level) = self.level else { return None };
        let from = self.index.checked_mul(WIDTH_MAX.into())?;
        let one = |i| if level == 0 { stored.leaf(i) } else { stored.subtree(level, i) };
        let mut octets = Vec::with_capacity(32 * usize::from(self.width));
        for offset in 0..u64::from(self.width) {
            octets.extend(one(from.checked_add(offset)?)?);
        }
        Some(octets)
    }

    fn is_sound(&self) -> bool {
        (1..=WIDTH_MAX).contains(&self.width)
    }
}

fn parse_index(text: &str) -> Option<u64> {
    let mut index: u64 = 0;
    // 20 digits hold every index; 7 groups hold 20 digits.
    for group in text.splitn(8, '/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
            Level::Entries => f.write_str("tile/entries/")?,
        }
        let mut power = 1_000_000_000_000_000_000;
        while power >= 1000 {
            if self.index >= power {
                write!(f, "x{:03}/", self.index / power % 1000)?;
            }
            power /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < WIDTH_MAX { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// An entry bundle: each entry behind its length in 16 bits, big-endian. `None` where an entry has
/// more than 65,535 octets, which none that [`crate::Entry`] writes has.
#[must_use]
pub fn bundle<E: AsRef<[u8]>>(entries: &[E]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(entries.len() * 64);
    for entry in entries {
        octets.extend(u16::try_from(entry.as_ref().len()).ok()?.to_be_bytes());
        octets.extend(entry.as_ref());
    }
    Some(octets)
}

/// The entries of a bundle.
///
/// # Errors
/// A [`Defect`] where a length reaches beyond the end, or there are more than 256.
pub fn unbundle(octets: &[u8]) -> Result<Vec<&[u8]>, Defect> {
    let mut entries = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let one = rest.split_first_chunk().and_then(|(length, behind)| {
            behind.split_at_checked(u16::from_be_bytes(*length).into())
        });
        let Some((entry, behind)) = one else {
            let sentence = format!("the bundle ends within entry {} of it", entries.len());
            return Err(Defect::new("bundle-cut", sentence));
        };
        if entries.len() == usize::from(WIDTH_MAX) {
            let sentence = format!("a bundle has at most {WIDTH_MAX} entries");
            return Err(Defect::new("bundle-too-long", sentence));
        }
        entries.push(entry);
        rest = behind;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths() -> impl Strategy<Value = TilePath> {
        let level = prop_oneof![(0..=LEVEL_MAX).prop_map(Level::Hashes), Just(Level::Entries)];
        let index = prop_oneof![0..3000_u64, any::<u64>()];
        (level, index, 1..=WIDTH_MAX).prop_map(|(level, index, width)| TilePath {
            level,
            index,
            width,
        })
    }

    proptest! {
        #[test]
        fn a_path_reads_back_as_it_was_written(tile in paths()) {
            prop_assert_eq!(TilePath::parse(&tile.to_string()), Some(tile));
        }

        #[test]
        fn what_is_read_at_all_has_one_spelling(
            path in "tile/(entries|[0-9]{1,2})/[x0-9/]{3,12}(\\.p/[0-9]{1,3})?",
        ) {
            if let Some(tile) = TilePath::parse(&path) {
                prop_assert_eq!(tile.to_string(), path);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(path in ".*") {
            prop_assert!(TilePath::parse(&path).is_none_or(|tile| tile.to_string() == path));
        }

        #[test]
        fn a_bundle_reads_back_as_it_was_written(
            entries in prop::collection::vec(any::<Vec<u8>>(), 0..=256),
        ) {
            let octets = bundle(&entries).unwrap();
            prop_assert_eq!(unbundle(&octets), Ok(entries.iter().map(Vec::as_slice).collect()));
        }

        #[test]
        fn any_octets_are_read_without_a_panic(octets in any::<Vec<u8>>()) {
            if let Ok(entries) = unbundle(&octets) {
                prop_assert_eq!(bundle(&entries), Some(octets));
            }
        }
    }

    #[test]
    fn paths_are_spelled_as_c2sp_says() {
        let full = |level, index| TilePath { level, index, width: 256 };
        assert_eq!(full(Level::Hashes(0), 1_234_067).to_string(), "tile/0/x001/x234/067");
        assert_eq!(full(Level::Entries, 0).to_string(), "tile/entries/000");
        let partial = TilePath { level: Level::Hashes(1), index: 1, width: 17 };
        assert_eq!(TilePath::parse("tile/1/001.p/17"), Some(partial));
        for refused in [
            "tile/0/0",
            "tile/00/000",
            "tile/8/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/017",
            "tile/0/000.p/+7",
            "tile/0/+00",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert_eq!(TilePath::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn the_tree_of_70_000_has_the_tiles_that_c2sp_counts() {
        let last = |path| TilePath::parse(path).unwrap().is_within(70_000);
        assert!(last("tile/0/272") && last("tile/0/273.p/112") && last("tile/entries/273.p/112"));
        assert!(!last("tile/0/273.p/113") && !last("tile/0/273") && !last("tile/0/274.p/1"));
        assert!(last("tile/1/000") && last("tile/1/001.p/17") && !last("tile/1/001.p/18"));
        assert!(last("tile/2/000.p/1") && !last("tile/2/000.p/2") && !last("tile/3/000.p/1"));
        let far = TilePath { level: Level::Hashes(7), index: u64::MAX, width: 256 };
        assert!(!far.is_within(u64::MAX));
    }

    #[test]
    fn a_bundle_that_is_cut_or_too_long_is_refused() {
        assert_eq!(unbundle(&[0]).unwrap_err().name, "bundle-cut");
        assert_eq!(unbundle(&[0, 2, 1]).unwrap_err().name, "bundle-cut");
        assert_eq!(unbundle(&[0; 514]).unwrap_err().name, "bundle-too-long");
        assert_eq!(bundle(&[vec![0; 65_536]]), None);
    }
}
