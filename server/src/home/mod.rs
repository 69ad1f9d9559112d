//! A home: the one directory that a server has. Where things lie in it, who may read them, and that
//! only one process has it at a time. Read on in [`config`] for `muster.toml`, in [`crate::found`]
//! for how an empty home is filled.
//!
//! ```text
//! HOME/muster.toml       what the process needs; may be absent
//! HOME/muster.db         everything else (with -wal and -shm beside it while it runs)
//! HOME/keys/             birth, operations, service, ledger
//! HOME/offline/          the root's key, passphrase and CRL: the first two are to be carried away
//! HOME/operator.toml     the first operator's credential (0600)
//! HOME/run/              lock, ports.json
//! ```

mod cidr;
pub mod config;
pub mod file;
pub mod near;
pub mod operator;
pub mod ports;

pub use cidr::Cidr;
pub use config::{Config, ServeOptions, Settings};
pub use operator::OperatorFile;
pub use ports::Ports;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What can be wrong with a home.
#[derive(Debug)]
pub enum HomeError {
    /// The system said no.
    Io {
        /// What we were about to do.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process has this home.
    Taken(PathBuf),
    /// A file is larger than any of its kind.
    TooLarge(PathBuf),
    /// A file is not UTF-8.
    NotText(PathBuf),
    /// A file does not say what it should; the sentence names the place.
    Wrong(String),
}

impl HomeError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Whether the file simply is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => {
                write!(f, "cannot {doing} `{}`: {source}", path.display())
            }
            Self::Taken(path) => write!(
                f,
                "another muster process runs on `{}`: stop it first, or give this one another \
                 --home",
                path.display()
            ),
            Self::TooLarge(path) => write!(f, "`{}` is too large to be ours", path.display()),
            Self::NotText(path) => write!(f, "`{}` is not UTF-8 text", path.display()),
            Self::Wrong(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for HomeError {}

/// A home, by its directory.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

/// That this process, and no other, has the home. Ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Home {
    /// The home at `root`; the directory is made where it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        file::make_dir(root)?;
        let root = root.canonicalize().map_err(|e| HomeError::io("find", root, e))?;
        Ok(Self { root })
    }

    /// Takes the home for this process. A kernel lock and not a file with a number in it: nothing
    /// is left behind by a process that was killed.
    ///
    /// # Errors
    /// [`HomeError::Taken`] where another process has it.
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.run().join("lock");
        file::make_dir(&self.run())?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| HomeError::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::Taken(self.root.clone())),
            Err(TryLockError::Error(e)) => Err(HomeError::io("lock", &path, e)),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `muster.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("muster.toml")
    }

    /// `muster.db`.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("muster.db")
    }

    /// `keys/`.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// `offline/`.
    #[must_use]
    pub fn offline(&self) -> PathBuf {
        self.root.join("offline")
    }

    /// `operator.toml`.
    #[must_use]
    pub fn operator(&self) -> PathBuf {
        self.root.join("operator.toml")
    }

    /// `run/`.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// `run/ports.json`.
    #[must_use]
    pub fn ports(&self) -> PathBuf {
        self.run().join("ports.json")
    }

    /// What of the root still lies here and should be carried away: `readyz` and `serve` warn until
    /// it is empty.
    #[must_use]
    pub fn left_behind(&self) -> Vec<PathBuf> {
        ["root.key.age", "root.passphrase"]
            .iter()
            .map(|name| self.offline().join(name))
            .filter(|path| path.exists())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_on_the_same_home_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let first = home.lock().unwrap();

        let refused = home.lock().unwrap_err();
        assert!(matches!(refused, HomeError::Taken(_)), "{refused}");

        drop(first);
        assert!(home.lock().is_ok());
    }
}
