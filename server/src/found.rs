//! The first start: an empty home becomes a complete and safe system, or stays empty.
//!
//! This runs in the command line's part of the process, before there is a server: the root's
//! private key is made, signs three authorities and a CRL, is encrypted and forgotten. The server
//! never sees it.
//!
//! What happens if we crash *here*?
//! 1. While `HOME/.founding` is being filled: nothing in it has been seen by anybody. The next
//!    start throws it away, root key and all, and founds again.
//! 2. At the rename of `.founding` to `.founded`, after everything in it was synced: that is the
//!    commit. Either name is there, never both halves.
//! 3. While the pieces are moved from `.founded` to their places: each move is one rename, and the
//!    next start goes on with those that are left. Nothing is made anew, so no key that somebody
//!    may have copied is ever replaced.
//! 4. A home that has keys but neither database nor `.founded` was damaged by somebody else: it is
//!    refused, since founding it again would replace keys that devices out there trust. So is one
//!    whose database has lost its content: SQLite would take an empty file for a new database.

mod make;

use crate::home::config::{ServeOptions, Settings};
use crate::home::{self, Home, HomeError, file};
use crate::keys::{KeyTrouble, root};
use identity::{Certificate, KeyError, Refusal};
use registry::{CommitError, OpenError};
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Why a home could not be founded.
#[derive(Debug)]
pub enum FoundError {
    /// A file.
    Home(HomeError),
    /// A key.
    Key(KeyTrouble),
    /// The root refused to sign what we made: a defect of ours.
    Refused(Refusal),
    /// The database could not be made.
    Open(OpenError),
    /// The first entry could not be written.
    Commit(CommitError),
}

impl fmt::Display for FoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
            Self::Refused(e) => e.fmt(f),
            Self::Open(e) => e.fmt(f),
            Self::Commit(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for FoundError {}

impl From<HomeError> for FoundError {
    fn from(e: HomeError) -> Self {
        Self::Home(e)
    }
}

impl From<KeyTrouble> for FoundError {
    fn from(e: KeyTrouble) -> Self {
        Self::Key(e)
    }
}

impl From<KeyError> for FoundError {
    fn from(e: KeyError) -> Self {
        Self::Key(e.into())
    }
}

impl From<Refusal> for FoundError {
    fn from(e: Refusal) -> Self {
        Self::Refused(e)
    }
}

impl From<OpenError> for FoundError {
    fn from(e: OpenError) -> Self {
        Self::Open(e)
    }
}

impl From<CommitError> for FoundError {
    fn from(e: CommitError) -> Self {
        Self::Commit(e)
    }
}

/// What was made, for the one who prints what to do next.
#[derive(Debug)]
pub struct Founded {
    /// The root.
    pub root: Certificate,
    /// Whether the root's passphrase lies in a file beside its key.
    pub passphrase_beside: bool,
}

/// Founds the home where it is empty; `None` where it was founded before. The lock is asked for as
/// a proof that nobody else does the same.
///
/// # Errors
/// [`FoundError`]; the home is then as empty as it was.
pub fn ensure(
    home: &Home,
    _ours: &home::Lock,
    settings: &Settings,
    options: &ServeOptions,
) -> Result<Option<Founded>, FoundError> {
    let (building, built) = (home.root().join(".founding"), home.root().join(".founded"));
    if built.exists() {
        move_in(home.root(), &built)?;
    }
    if home.database().exists() {
        refuse_unless_database(&home.database())?;
        return Ok(None);
    }
    remove_dir(&building)?;
    refuse_unless_empty(home)?;
    let lock = root_lock(options);
    let founded = make::make(&building, home, settings, &lock)?;
    sync_tree(&building)?;
    fs::rename(&building, &built).map_err(|e| HomeError::io("rename", &building, e))?;
    file::sync_dir(home.root())?;
    move_in(home.root(), &built)?;
    Ok(Some(Founded { root: founded, passphrase_beside: matches!(lock, root::Lock::Random) }))
}

/// Whether a home was founded, though its pieces may still have to be moved to their places.
#[must_use]
pub fn is_founded(home: &Path) -> bool {
    home.join("muster.db").exists() || home.join(".founded").exists()
}

/// Refuses a directory that is somebody else's before anything is made in it; [`ensure`] looks again
/// when nobody else can be at the same.
///
/// # Errors
/// A sentence that names what is in it.
pub fn refuse_foreign(home: &Home) -> Result<(), HomeError> {
    match refuse_unless_empty(home) {
        Err(foreign) if !is_founded(home.root()) && !home.run().exists() => Err(foreign),
        _ => Ok(()),
    }
}

/// A recipient goes before a passphrase that was typed.
fn root_lock(options: &ServeOptions) -> root::Lock<'_> {
    match (&options.root_recipient, &options.root_passphrase) {
        (Some(recipient), _) => root::Lock::Recipient(recipient),
        (None, Some(secret)) => root::Lock::Typed(secret),
        (None, None) => root::Lock::Random,
    }
}

/// Moves every piece to its place. Can be interrupted and gone on with.
fn move_in(root: &Path, built: &Path) -> Result<(), HomeError> {
    for path in children(built)? {
        let Some(name) = path.file_name() else { continue };
        fs::rename(&path, root.join(name)).map_err(|e| HomeError::io("move", &path, e))?;
    }
    file::sync_dir(root)?;
    fs::remove_dir(built).map_err(|e| HomeError::io("remove", built, e))
}

/// What every file of SQLite begins with, and has before a home is moved in.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Looks before SQLite does, which would write into a file that is empty.
fn refuse_unless_database(path: &Path) -> Result<(), HomeError> {
    let mut begin = Vec::new();
    let file = fs::File::open(path).map_err(|e| HomeError::io("open", path, e))?;
    let size = file.metadata().map_err(|e| HomeError::io("read", path, e))?.len();
    file.take(SQLITE.len() as u64)
        .read_to_end(&mut begin)
        .map_err(|e| HomeError::io("read", path, e))?;
    if begin == SQLITE {
        return Ok(());
    }
    Err(HomeError::Wrong(format!(
        "`{}` is no database ({size} octets that do not begin as SQLite's do): it was left as it is; \
         put it aside and bring it back from a back-up, with the `muster.db-wal` of that back-up if \
         it has one",
        path.display()
    )))
}

/// Names that may be in a directory that is empty otherwise.
const HARMLESS: [&str; 3] = ["muster.toml", "run", "lost+found"];

fn refuse_unless_empty(home: &Home) -> Result<(), HomeError> {
    let foreign = children(home.root())?.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default();
        // An empty directory is where somebody mounts or delivers something, and can be moved over.
        !HARMLESS.iter().any(|harmless| name == *harmless)
            && children(path).map_or(true, |inside| !inside.is_empty())
    });
    let Some(foreign) = foreign else { return Ok(()) };
    let (root, foreign) = (home.root().display(), foreign.display());
    Err(HomeError::Wrong(format!(
        "`{root}` has no muster.db but is not empty (`{foreign}`): bring its database back, or \
         give an empty directory; a new root would lock out every device that trusts the old one"
    )))
}

fn children(dir: &Path) -> Result<Vec<PathBuf>, HomeError> {
    let entries = fs::read_dir(dir).map_err(|e| HomeError::io("list", dir, e))?;
    entries
        .map(|entry| entry.map(|e| e.path()).map_err(|e| HomeError::io("list", dir, e)))
        .collect()
}

fn remove_dir(path: &Path) -> Result<(), HomeError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(HomeError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Files were synced as they were written; this makes their names durable, and what the database
/// closed with.
fn sync_tree(path: &Path) -> Result<(), HomeError> {
    if path.is_dir() {
        for child in children(path)? {
            sync_tree(&child)?;
        }
    }
    file::sync_dir(path)
}

#[cfg(test)]
mod tests;
