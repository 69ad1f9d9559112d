//! What must survive a pulled plug, in one directory:
//!
//! | path | what |
//! |---|---|
//! | `current` | a link to the set in use; it is exchanged in one step |
//! | `sets/N/` | `cert.pem`, `key.pem`, `chain.pem`, `full.pem` (both), `root.pem`; and what became of it |
//! | `pending.pem` | the key of a request that is under way |
//! | `anchors.pem` | whom we trust, and the pin under which they were found |
//! | `clock` | what servers said of the time: the last moment, the floor, and what may become it |
//! | `here`, `leaving` or `left` | whether the device stays: an empty file that only changes its name |
//! | `memo.json` | the last tries, for `status` and for the wait between them |
//!
//! The order is always: the new key is durable before its request goes out; the answer is durable
//! in a set of its own before `current` points to it; the set before stays until the new one has
//! worked once. So at every moment there is a set that works, and an answer that was lost is asked
//! for again with the same key, for which a server gives the same certificate.
//!
//! Whoever acts holds the lock; `status` only reads.

mod anchors;
mod disk;
mod set;
mod stay;
#[cfg(test)]
mod tests;

pub use set::{Mark, NewSet, Set};
pub use stay::Stay;

use crate::Trouble;
use crate::status::Memo;
use crate::time::Kept;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The state of a device, open for reading.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

/// The right to change it, which one process has at a time.
#[derive(Debug)]
pub struct Locked {
    store: Store,
    _lock: File,
}

impl std::ops::Deref for Locked {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Reads a private key file that others may not read.
///
/// # Errors
/// Where it is not there, or others may.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let missing = || Trouble::Damaged(format!("`{}` is not there", path.display()));
    let bytes = disk::read(path)?.ok_or_else(missing)?;
    disk::is_private(path)?;
    Ok(Zeroizing::new(bytes))
}

/// Overwrites and takes away a private key file.
///
/// # Errors
/// Where the disk does not take it.
pub fn wipe_secret(path: &Path) -> Result<(), Trouble> {
    disk::wipe(path)
}

/// Reads a file that anybody may read; `None` where there is none.
///
/// # Errors
/// What the system said.
pub fn read_text(path: &Path) -> Result<Option<String>, Trouble> {
    let Some(bytes) = disk::read(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Trouble::Damaged(format!("`{}` is not text", path.display())))
}

/// Takes away a set that has no name any more, or not yet: its key first.
fn wipe_dir(path: &Path) -> Result<(), Trouble> {
    disk::wipe(&path.join("key.pem"))?;
    disk::remove_dir(path)
}

impl Store {
    /// The state at `root`, for looking.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The state at `root`, for changing: waits until nobody else changes it, and brings what a
    /// crash left half done to its end.
    ///
    /// # Errors
    /// Where it cannot be made, or others could change it.
    pub fn lock(root: &Path) -> Result<Locked, Trouble> {
        disk::private_dir(root)?;
        disk::private_dir(&root.join("sets"))?;
        let path = root.join("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| Trouble::file("lock", &path, &e))?;
        let locked = Locked { store: Self::at(root), _lock: lock };
        locked.recover()?;
        if locked.kept_stay().is_none() {
            // Where there is no room for it now there may be when it is wanted.
            drop(locked.put_stay(Stay::Here));
        }
        Ok(locked)
    }

    /// The path that programs use.
    #[must_use]
    pub fn current_path(&self) -> PathBuf {
        self.root.join("current")
    }

    fn sets(&self) -> PathBuf {
        self.root.join("sets")
    }

    /// The set in use.
    ///
    /// # Errors
    /// Where it cannot be read, or is lost although it is in use.
    pub fn current(&self) -> Result<Option<Set>, Trouble> {
        let Some(number) = self.current_number() else { return Ok(None) };
        let found = Set::read(&self.sets(), number)?;
        if found.is_some() {
            return Ok(found);
        }
        // Who only looks may have met the moment at which one set makes room for another.
        if self.current_number() != Some(number) {
            return self.current();
        }
        let lost = self.sets().join(number.to_string()).join("full.pem");
        Err(Trouble::Damaged(format!("`{}` is not there", lost.display())))
    }

    /// The set before the one in use, while that has not worked.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn previous(&self) -> Result<Option<Set>, Trouble> {
        let Some(current) = self.current_number() else { return Ok(None) };
        let before = self.numbers()?.into_iter().filter(|n| *n < current).max();
        before.map_or(Ok(None), |n| Set::read(&self.sets(), n))
    }

    fn current_number(&self) -> Option<u64> {
        let target = fs::read_link(self.current_path()).ok()?;
        target.strip_prefix("sets").ok()?.to_str()?.parse().ok()
    }

    /// The numbers of the sets that have their name, and so are whole.
    fn numbers(&self) -> Result<Vec<u64>, Trouble> {
        let dir = self.sets();
        let found = match fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found.map_err(|e| Trouble::file("read", &dir, &e))?,
        };
        Ok(found.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// The key of a request that is under way.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn pending(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let path = self.root.join("pending.pem");
        let is_there = path.try_exists().map_err(|e| Trouble::file("read", &path, &e))?;
        if is_there { read_secret(&path).map(Some) } else { Ok(None) }
    }

    /// What servers said of the time.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn clock(&self) -> Result<Option<Kept>, Trouble> {
        let bytes = disk::read_spare(&self.root.join("clock"))?.unwrap_or_default();
        Ok(Kept::parse(&String::from_utf8(bytes).unwrap_or_default()))
    }

    /// What became of the last tries.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn memo(&self) -> Result<Memo, Trouble> {
        let bytes = disk::read_spare(&self.root.join("memo.json"))?;
        // A memo that cannot be read is worth nothing: without it the next try comes at once.
        Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default())
    }
}

impl Locked {
    /// A crash may have left a whole set that nothing points to yet, pieces without a name, and what
    /// a device that leaves had not wiped yet.
    fn recover(&self) -> Result<(), Trouble> {
        if self.stay() == Stay::Left {
            self.wipe()?;
        }
        let newest = self.numbers()?.into_iter().max();
        if let Some(newest) = newest.filter(|n| self.current_number().is_none_or(|c| c < *n)) {
            self.point_to(newest)?;
        }
        let found =
            fs::read_dir(self.sets()).map_err(|e| Trouble::file("read", &self.sets(), &e))?;
        for entry in found.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().ends_with(".new") {
                wipe_dir(&entry.path())?;
            }
        }
        Ok(())
    }

    fn point_to(&self, number: u64) -> Result<(), Trouble> {
        disk::point(&self.current_path(), &Path::new("sets").join(number.to_string()))
    }

    /// Makes a new key durable, before its request goes out.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn put_pending(&self, pem: &[u8]) -> Result<(), Trouble> {
        disk::replace(&self.root.join("pending.pem"), pem)
    }

    /// Forgets the key of a request that was refused for good, or of a device that leaves.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn drop_pending(&self) -> Result<(), Trouble> {
        let path = self.root.join("pending.pem");
        // A crash may have left one that has not got its name yet.
        disk::wipe(&disk::beside(&path))?;
        disk::wipe(&path)
    }

    /// Makes an answer durable and puts it to use. The set before stays.
    ///
    /// # Errors
    /// Where the disk does not take it; then the set before is in use as ever.
    pub fn install(&self, new: &NewSet<'_>) -> Result<(), Trouble> {
        let number = self.numbers()?.into_iter().max().unwrap_or_default() + 1;
        new.write(&self.sets(), number)?;
        self.point_to(number)?;
        // The key is in the set now.
        disk::remove(&self.root.join("pending.pem"))?;
        disk::sync(&self.root)
    }

    /// Notes what became of the set in use. Once it has worked, those before it go.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn mark(&self, mark: Mark, said: &str) -> Result<(), Trouble> {
        let Some(current) = self.current_number() else { return Ok(()) };
        disk::replace(&self.sets().join(current.to_string()).join(mark.as_str()), said.as_bytes())?;
        if mark == Mark::Worked {
            for number in self.numbers()?.into_iter().filter(|n| *n < current) {
                self.wipe_set(number)?;
            }
        }
        Ok(())
    }

    /// The set in use was turned away: the one before it is used again. Says whether there was one.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn fall_back(&self) -> Result<bool, Trouble> {
        let (Some(current), Some(previous)) = (self.current_number(), self.previous()?) else {
            return Ok(false);
        };
        self.point_to(previous.number)?;
        self.wipe_set(current)?;
        Ok(true)
    }

    fn wipe_set(&self, number: u64) -> Result<(), Trouble> {
        let dir = self.sets().join(number.to_string());
        // Without its name it is no set any more, whatever a crash leaves of it.
        let gone = disk::beside(&dir);
        wipe_dir(&gone)?;
        disk::rename(&dir, &gone)?;
        wipe_dir(&gone)
    }

    /// Takes away every leaf and key that was got. What the device was born with is not here.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn wipe(&self) -> Result<(), Trouble> {
        disk::remove(&self.current_path())?;
        disk::sync(&self.root)?;
        for number in self.numbers()? {
            self.wipe_set(number)?;
        }
        self.drop_pending()
    }

    /// Keeps what servers said of the time.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn put_clock(&self, clock: Kept) -> Result<(), Trouble> {
        if self.clock()? == Some(clock) {
            return Ok(());
        }
        disk::replace(&self.root.join("clock"), clock.text().as_bytes())
    }

    /// Keeps what became of the last tries.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn put_memo(&self, memo: &Memo) -> Result<(), Trouble> {
        let text = serde_json::to_vec_pretty(memo)
            .map_err(|e| Trouble::Own(format!("the memo cannot be written: {e}")))?;
        disk::replace(&self.root.join("memo.json"), &text)
    }
}
