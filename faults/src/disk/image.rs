//! Plays a tape, and builds what a power cut at this point of it could have left.
//!
//! The model: what was synced is there. Of what was written since, any part may be there, in any
//! order, and the last write by half (`Pick`). The octets around a write stay whole, which is what
//! SQLite takes for granted too (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`). Names come and go in their
//! order, as every journaling file system has it; syncing a file makes its name durable.

use super::tape::{Event, FileNo, Name};
use crate::dice::Dice;
use std::collections::BTreeMap;

/// The files of a registry, by name.
pub type Image = BTreeMap<Name, Vec<u8>>;

/// Which of the writes that were not synced are on the disk after all.
#[derive(Clone, Debug)]
pub enum Pick {
    /// None of them.
    None,
    /// All of them.
    All,
    /// The first so many; of the one behind them half.
    First(usize),
    /// Any, as these dice fall.
    Some(Dice),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Synced,
    Waiting,
    /// A sync of it failed: later syncs do not bring it back.
    Doubtful,
}

#[derive(Clone)]
struct Op {
    number: usize,
    state: State,
    what: What,
}

#[derive(Clone)]
enum What {
    Write { at: u64, octets: Vec<u8> },
    Cut(u64),
}

#[derive(Clone, Default)]
struct File {
    settled: Vec<u8>,
    ops: Vec<Op>,
}

#[derive(Clone, Copy)]
enum Naming {
    Made(Name, FileNo),
    Gone(Name),
}

/// A disk, as far as its tape was played.
#[derive(Clone)]
pub struct Disk {
    files: BTreeMap<FileNo, File>,
    names: BTreeMap<Name, FileNo>,
    naming: Vec<Naming>,
    written: usize,
    told: usize,
    /// Whether syncs of the log count; without, this is a registry that forgot them.
    log_syncs: bool,
}

impl Disk {
    /// A disk with these files, all of it synced. They have the numbers that the recorder gives.
    #[must_use]
    pub fn new(image: &Image) -> Self {
        let mut disk = Self {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            naming: Vec::new(),
            written: 0,
            told: 0,
            log_syncs: true,
        };
        for (name, octets) in image {
            let number = *name as FileNo;
            disk.files.insert(number, File { settled: octets.clone(), ops: Vec::new() });
            disk.names.insert(*name, number);
        }
        disk
    }

    /// The same, for a registry that does not sync its log: to see that this is found.
    #[must_use]
    pub fn without_log_syncs(mut self) -> Self {
        self.log_syncs = false;
        self
    }

    /// Plays one event.
    pub fn play(&mut self, event: &Event) {
        match event {
            Event::Made { name, file } => {
                self.files.insert(*file, File::default());
                self.naming.push(Naming::Made(*name, *file));
            }
            Event::Wrote { file, at, octets } => {
                self.wait(*file, What::Write { at: *at, octets: octets.clone() });
            }
            Event::Cut { file, to } => self.wait(*file, What::Cut(*to)),
            Event::Synced { file, held } => self.sync(*file, *held),
            Event::Deleted { name, synced } => {
                self.naming.push(Naming::Gone(*name));
                if *synced {
                    self.settle_names(self.naming.len());
                }
            }
            Event::Told(count) => self.told = *count,
        }
    }

    /// How many changes the registry has called durable by now.
    #[must_use]
    pub const fn told(&self) -> usize {
        self.told
    }

    /// How many writes are not synced.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.loose().len()
    }

    /// What a power cut now could leave.
    #[must_use]
    pub fn image(&self, pick: &Pick) -> Image {
        let loose = self.loose();
        let mut keep: BTreeMap<usize, bool> = BTreeMap::new();
        let mut named = self.naming.len();
        match pick {
            Pick::None => named = 0,
            Pick::All => keep.extend(loose.iter().map(|op| (*op, true))),
            Pick::First(count) => {
                keep.extend(loose.iter().take(*count).map(|op| (*op, true)));
                keep.extend(loose.get(*count).map(|op| (*op, false)));
            }
            Pick::Some(dice) => {
                let mut dice = dice.clone();
                // Few or many: a fair coin for each would hardly ever lose just one.
                let of = 1 + dice.below(15);
                keep.extend(
                    loose.iter().filter_map(|op| (dice.below(16) < of).then_some((*op, true))),
                );
                named = dice.below(self.naming.len() + 1);
            }
        }
        let mut names = self.names.clone();
        self.naming.iter().take(named).for_each(|naming| apply_name(&mut names, *naming));
        names.iter().map(|(name, file)| (*name, self.content(*file, &keep))).collect()
    }

    fn content(&self, file: FileNo, keep: &BTreeMap<usize, bool>) -> Vec<u8> {
        let Some(file) = self.files.get(&file) else { return Vec::new() };
        let mut octets = file.settled.clone();
        for op in &file.ops {
            let whole = keep.get(&op.number).copied();
            match (op.state, whole) {
                (State::Synced, _) | (_, Some(true)) => op.what.apply(&mut octets, true),
                (_, Some(false)) => op.what.apply(&mut octets, false),
                (_, None) => {}
            }
        }
        octets
    }

    /// The numbers of all writes that may be lost, in their order over both files.
    fn loose(&self) -> Vec<usize> {
        let ops = self.files.values().flat_map(|file| &file.ops);
        let mut loose: Vec<usize> =
            ops.filter(|op| op.state != State::Synced).map(|op| op.number).collect();
        loose.sort_unstable();
        loose
    }

    fn wait(&mut self, file: FileNo, what: What) {
        self.written += 1;
        let op = Op { number: self.written, state: State::Waiting, what };
        self.files.entry(file).or_default().ops.push(op);
    }

    fn sync(&mut self, number: FileNo, held: bool) {
        let is_log = self.name_of(number) == Some(Name::Wal);
        if is_log && !self.log_syncs {
            return;
        }
        if let Some(file) = self.files.get_mut(&number) {
            let to = if held { State::Synced } else { State::Doubtful };
            file.ops
                .iter_mut()
                .filter(|op| op.state == State::Waiting)
                .for_each(|op| op.state = to);
            let settled = file.ops.iter().take_while(|op| op.state == State::Synced).count();
            file.ops.drain(..settled).for_each(|op| op.what.apply(&mut file.settled, true));
        }
        let made = |naming: &Naming| matches!(naming, Naming::Made(_, file) if *file == number);
        if let Some(at) = self.naming.iter().position(made).filter(|_| held) {
            self.settle_names(at + 1);
        }
    }

    fn name_of(&self, number: FileNo) -> Option<Name> {
        let mut names = self.names.clone();
        self.naming.iter().for_each(|naming| apply_name(&mut names, *naming));
        names.into_iter().find(|(_, file)| *file == number).map(|(name, _)| name)
    }

    fn settle_names(&mut self, count: usize) {
        for naming in self.naming.drain(..count) {
            apply_name(&mut self.names, naming);
        }
    }
}

fn apply_name(names: &mut BTreeMap<Name, FileNo>, naming: Naming) {
    match naming {
        Naming::Made(name, file) => drop(names.insert(name, file)),
        Naming::Gone(name) => drop(names.remove(&name)),
    }
}

impl What {
    fn apply(&self, to: &mut Vec<u8>, whole: bool) {
        match self {
            Self::Write { at, octets } => {
                let octets = if whole { &octets[..] } else { &octets[..octets.len() / 2] };
                let (from, end) = (*at as usize, *at as usize + octets.len());
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[from..end].copy_from_slice(octets);
            }
            Self::Cut(length) => to.resize(*length as usize, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(octets: &[u8], at: u64) -> Event {
        Event::Wrote { file: 0, at, octets: octets.to_vec() }
    }

    fn disk() -> Disk {
        let mut disk = Disk::new(&Image::from([(Name::Db, Vec::new())]));
        disk.play(&wrote(b"abcd", 0));
        disk.play(&Event::Synced { file: 0, held: true });
        disk.play(&wrote(b"XX", 0));
        disk.play(&wrote(b"YY", 4));
        disk
    }

    #[test]
    fn what_was_synced_stays_and_of_the_rest_any_part_may() {
        let disk = disk();
        let left = |pick| disk.image(&pick).remove(&Name::Db).unwrap();
        assert_eq!(left(Pick::None), b"abcd");
        assert_eq!(left(Pick::All), b"XXcdYY");
        assert_eq!(left(Pick::First(0)), b"Xbcd");
        assert_eq!(left(Pick::First(1)), b"XXcdY");
    }

    #[test]
    fn what_a_failed_sync_left_behind_is_not_brought_back_by_the_next() {
        let mut disk = disk();
        disk.play(&Event::Synced { file: 0, held: false });
        disk.play(&wrote(b"Z", 1));
        disk.play(&Event::Synced { file: 0, held: true });
        assert_eq!(disk.image(&Pick::None).remove(&Name::Db).unwrap(), b"aZcd");
        assert_eq!(disk.waiting(), 2);
    }

    #[test]
    fn a_new_file_has_no_name_before_its_first_sync() {
        let mut disk = disk();
        disk.play(&Event::Made { name: Name::Wal, file: 2 });
        disk.play(&Event::Wrote { file: 2, at: 0, octets: b"w".to_vec() });
        assert!(!disk.image(&Pick::None).contains_key(&Name::Wal));
        disk.play(&Event::Synced { file: 2, held: true });
        assert_eq!(disk.image(&Pick::None).get(&Name::Wal).unwrap(), b"w");
    }
}
