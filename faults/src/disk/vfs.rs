//! What SQLite writes through: its own access to files, and a recorder before it.
//!
//! [`install`] makes this the default of the whole process, so that the registry is tested as it
//! is. Only the files of one directory are recorded, see [`watch`]; all others pass.
//!
//! SQLite's interface to files is a table of C functions ([`calls`]), so this module is `unsafe`, and
//! the only one that is. Every function here is called by SQLite alone, with what its documentation of
//! `sqlite3_vfs` and `sqlite3_io_methods` promises: a file that [`open`] made and that is not
//! closed yet, buffers as long as said, names that end with a zero. That is the reason for every
//! block below that names no other.

mod calls;

use super::image::Image;
use super::tape::{Event, FileNo, Name};
use super::trouble::{Kind, Trouble};
use crate::Failure;
use calls::{Watched, delete, open};
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_int};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

static RECORDER: Mutex<Recorder> = Mutex::new(Recorder::new());

/// The address of SQLite's own access to files.
static UNDER: OnceLock<usize> = OnceLock::new();

/// When a log that a kill left was last written, as its file says.
const LONG_AGO: SystemTime = SystemTime::UNIX_EPOCH;

struct Recorder {
    place: Option<PathBuf>,
    tape: Vec<Event>,
    names: BTreeMap<Name, FileNo>,
    next: FileNo,
    /// Files that were opened before the last `watch` or `restart` are not recorded any more.
    epoch: u32,
    /// Whether a log was left by a kill, and SQLite has not opened it since.
    log_left: bool,
    told: usize,
    trouble: Option<Trouble>,
}

impl Recorder {
    const fn new() -> Self {
        Self {
            place: None,
            tape: Vec::new(),
            names: BTreeMap::new(),
            next: 0,
            epoch: 0,
            log_left: false,
            told: 0,
            trouble: None,
        }
    }

    fn name(&self, path: &CStr) -> Option<Name> {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        if path.parent() != self.place.as_deref() {
            return None;
        }
        Name::ALL.into_iter().find(|name| path.file_name() == Some(OsStr::new(name.as_str())))
    }

    fn begin_anew(&mut self) -> Vec<Event> {
        let new = Self { epoch: self.epoch + 1, ..Self::new() };
        std::mem::replace(self, new).tape
    }

    /// The registry writes a log that it finds again, and not through SQLite: the time of the file
    /// tells that it did. That it also synced it is taken on trust.
    fn log_again(&mut self, file: FileNo) {
        let path = self.place.as_ref().map(|place| place.join(Name::Wal.as_str()));
        let Some(path) = path else { return };
        let changed = path.metadata().and_then(|found| found.modified());
        if changed.is_ok_and(|at| at != LONG_AGO)
            && let Ok(octets) = std::fs::read(path)
        {
            self.tape.push(Event::Wrote { file, at: 0, octets });
            self.tape.push(Event::Synced { file, held: true });
        }
    }

    fn strikes(&mut self, kind: Kind) -> bool {
        self.trouble.as_mut().is_some_and(|trouble| trouble.strikes(kind))
    }
}

fn recorder() -> MutexGuard<'static, Recorder> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the recorder before SQLite's own access to files, for the whole process, once.
///
/// # Errors
/// Where SQLite does not take it.
pub fn install() -> Result<(), Failure> {
    if UNDER.get().is_some() {
        return Ok(());
    }
    // SAFETY: null asks for the default, and SQLite never frees it.
    let under = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if under.is_null() {
        return Err("SQLite has no access to files".into());
    }
    let _first = UNDER.set(under as usize);
    // SAFETY: what was found is whole, and a copy of it goes on pointing to its own functions.
    let mut ours = unsafe { *under };
    ours.szOsFile += size_of::<Watched>() as c_int;
    ours.pNext = ptr::null_mut();
    ours.zName = c"recorder".as_ptr();
    ours.xOpen = Some(open);
    ours.xDelete = Some(delete);
    // SAFETY: leaked, so it stays where it is for as long as the process.
    let rc = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
    if rc == ffi::SQLITE_OK { Ok(()) } else { Err(format!("SQLite says {rc}").into()) }
}

/// Lays the files of `image` into the directory at `place` and records what becomes of them from
/// now on, until the next call.
///
/// # Errors
/// Where they cannot be written.
pub fn watch(place: &Path, image: &Image) -> Result<(), Failure> {
    let place = place.canonicalize()?;
    lay(&place, image)?;
    let mut recorder = recorder();
    recorder.begin_anew();
    recorder.place = Some(place);
    recorder.names = image.keys().map(|name| (*name, *name as FileNo)).collect();
    recorder.next = Name::ALL.len() as FileNo;
    Ok(())
}

/// Writes the files of an image, and takes away what else there was of them.
///
/// # Errors
/// Where that fails.
pub fn lay(place: &Path, image: &Image) -> Result<(), Failure> {
    for name in Name::ALL {
        let path = place.join(name.as_str());
        match image.get(&name) {
            Some(octets) => std::fs::write(&path, octets)?,
            None if path.exists() => std::fs::remove_file(&path)?,
            None => {}
        }
    }
    Ok(())
}

/// The files as they are now: what a killed process would leave.
///
/// # Errors
/// Where they cannot be read.
pub fn lift(place: &Path) -> Result<Image, Failure> {
    let mut image = Image::new();
    for name in Name::ALL {
        let path = place.join(name.as_str());
        if path.exists() {
            image.insert(name, std::fs::read(path)?);
        }
    }
    Ok(image)
}

/// Goes on in the directory `to` with the files as they are now: for the disk it is the same one.
/// What still has them open in the old directory is a process that was killed.
///
/// # Errors
/// Where they cannot be copied.
pub fn restart(to: &Path) -> Result<(), Failure> {
    let to = to.canonicalize()?;
    let mut recorder = recorder();
    let from = recorder.place.take().ok_or("nothing is watched")?;
    lay(&to, &lift(&from)?)?;
    let log = to.join(Name::Wal.as_str());
    recorder.log_left = log.exists();
    if recorder.log_left {
        std::fs::File::options().write(true).open(log)?.set_modified(LONG_AGO)?;
    }
    recorder.place = Some(to);
    recorder.epoch += 1;
    Ok(())
}

/// Ends the recording, and any trouble, and gives the tape.
#[must_use]
pub fn take_tape() -> Vec<Event> {
    recorder().begin_anew()
}

/// Notes that the registry called one more change durable.
pub fn told() {
    let mut recorder = recorder();
    recorder.told += 1;
    let event = Event::Told(recorder.told);
    recorder.tape.push(event);
}

/// Makes trouble, or ends it.
pub fn set_trouble(trouble: Option<Trouble>) {
    recorder().trouble = trouble;
}

/// Whether trouble that was made has struck, and whether more is to come.
#[must_use]
pub fn trouble() -> Option<Trouble> {
    recorder().trouble
}
