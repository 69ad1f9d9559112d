//! Trouble with the disk: when it begins, how long it lasts, and what it does.

/// What the disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is full: what would make a file longer is written by half (`ENOSPC`).
    Full,
    /// It does not write at all (`EIO`).
    Broken,
    /// It writes, but syncs fail, and what they should have written may be lost.
    Unsynced,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Full, Self::Broken, Self::Unsynced];
}

/// When the disk does it.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// What.
    pub kind: Kind,
    /// How many operations of that kind go well before.
    pub after: u64,
    /// How many fail then.
    pub lasts: u64,
}

impl Trouble {
    /// Whether the next operation of this kind fails; counts it.
    pub(super) fn strikes(&mut self, kind: Kind) -> bool {
        if kind != self.kind || self.lasts == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.lasts -= 1;
        true
    }
}
