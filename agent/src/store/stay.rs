//! Whether the device stays, kept where no room is needed to change it.

use super::{Locked, Store, disk};
use crate::Trouble;

/// Whether the device stays. It is the name of an empty file that is always there, since a rename
/// needs no room: a full disk keeps nobody from leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Nobody has said that it leaves.
    Here,
    /// It leaves; whether the server has revoked its leaf is not known yet.
    Leaving,
    /// It has left; it joins again only when somebody says so.
    Left,
}

impl Stay {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Leaving => "leaving",
            Self::Left => "left",
        }
    }
}

impl Store {
    /// Whether the device stays.
    #[must_use]
    pub fn stay(&self) -> Stay {
        self.kept_stay().unwrap_or(Stay::Here)
    }

    pub(super) fn kept_stay(&self) -> Option<Stay> {
        let is_there = |stay: &Stay| self.root.join(stay.as_str()).exists();
        [Stay::Left, Stay::Leaving, Stay::Here].into_iter().find(is_there)
    }
}

impl Locked {
    /// Notes whether the device stays.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn put_stay(&self, stay: Stay) -> Result<(), Trouble> {
        let path = self.root.join(stay.as_str());
        match self.kept_stay() {
            Some(kept) if kept == stay => {}
            Some(kept) => return disk::rename(&self.root.join(kept.as_str()), &path),
            None => disk::write_new(&path, b"")?,
        }
        disk::sync(&self.root)
    }
}
