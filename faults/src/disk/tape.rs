//! What was asked of the disk, in order, with what the registry answered in between.

/// One of the files that the registry lives in. The index of the log (`-shm`) is memory that
/// happens to have a name: SQLite makes it anew at the first opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `muster.db`.
    Db,
    /// `muster.db-wal`.
    Wal,
    /// `muster.db-journal`, before there is a log.
    Journal,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Db, Self::Wal, Self::Journal];

    /// As it lies in the directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Db => "muster.db",
            Self::Wal => "muster.db-wal",
            Self::Journal => "muster.db-journal",
        }
    }
}

/// A file apart from its name: a deleted log and the next one are two.
pub type FileNo = u32;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file came to be under a name.
    Made {
        /// Its name.
        name: Name,
        /// Which.
        file: FileNo,
    },
    /// Octets were written; in the page cache, and nowhere else yet.
    Wrote {
        /// To which file.
        file: FileNo,
        /// From where on.
        at: u64,
        /// What.
        octets: Vec<u8>,
    },
    /// A file was cut or grown.
    Cut {
        /// Which.
        file: FileNo,
        /// How long it is now.
        to: u64,
    },
    /// All that was written to a file is durable; or may be lost for good where the sync failed,
    /// since the kernel then forgets that the pages were dirty.
    Synced {
        /// Which file.
        file: FileNo,
        /// Whether it held.
        held: bool,
    },
    /// A name went.
    Deleted {
        /// Which.
        name: Name,
        /// Whether the directory was synced with it.
        synced: bool,
    },
    /// The registry said of so many changes that they are durable.
    Told(usize),
}
