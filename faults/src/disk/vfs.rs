//! What SQLite writes through: its own access to files, and a recorder before it.
//!
//! [`install`] makes this the default of the whole process, so that the registry is tested as it
//! is. Only the files of one directory are recorded, see [`watch`]; all others pass.
//!
//! SQLite's interface to files is a table of C functions, so this module is `unsafe`, and the only
//! one that is. Every function here is called by SQLite alone, with what its documentation of
//! `sqlite3_vfs` and `sqlite3_io_methods` promises: a file that [`open`] made and that is not
//! closed yet, buffers as long as said, names that end with a zero. That is the reason for every
//! block below that names no other.

use super::image::Image;
use super::tape::{Event, FileNo, Name};
use super::trouble::{Kind, Trouble};
use crate::Failure;
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
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

/// A file as SQLite holds it; behind it in the same memory lies the one of its own.
#[repr(C)]
struct Watched {
    base: ffi::sqlite3_file,
    /// Its number, or [`OTHER`].
    number: FileNo,
    /// When it was opened.
    epoch: u32,
}

/// A file that is not recorded.
const OTHER: FileNo = FileNo::MAX;

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // 2 has the shared memory of the log, and not the memory-mapped reading of 3.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn under_vfs() -> *mut ffi::sqlite3_vfs {
    UNDER.get().map_or(ptr::null_mut(), |at| *at as *mut ffi::sqlite3_vfs)
}

/// SQLite's own file behind ours.
unsafe fn under(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `install` asked for as many octets more.
    unsafe { file.cast::<u8>().add(size_of::<Watched>()).cast() }
}

unsafe fn number(file: *mut ffi::sqlite3_file) -> FileNo {
    // SAFETY: see the module.
    let (number, epoch) = unsafe {
        let file = file.cast::<Watched>();
        ((*file).number, (*file).epoch)
    };
    if number != OTHER && epoch == recorder().epoch { number } else { OTHER }
}

/// Calls the method of the same name of SQLite's own file.
macro_rules! pass {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let under = under($file);
        match (*(*under).pMethods).$method {
            Some(method) => method(under $(, $argument)*),
            None => ffi::SQLITE_IOERR,
        }
    }};
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: see the module; the memory has room for both files.
    unsafe {
        let vfs = under_vfs();
        let Some(open) = (*vfs).xOpen else { return ffi::SQLITE_CANTOPEN };
        let rc = open(vfs, name, under(file), flags, out);
        let methods: *const ffi::sqlite3_io_methods =
            if (*under(file)).pMethods.is_null() { ptr::null() } else { &METHODS };
        let (number, epoch) = if rc == ffi::SQLITE_OK && !name.is_null() {
            opened(CStr::from_ptr(name))
        } else {
            (OTHER, 0)
        };
        let base = ffi::sqlite3_file { pMethods: methods };
        file.cast::<Watched>().write(Watched { base, number, epoch });
        rc
    }
}

fn opened(path: &CStr) -> (FileNo, u32) {
    let mut recorder = recorder();
    let epoch = recorder.epoch;
    let Some(name) = recorder.name(path) else { return (OTHER, epoch) };
    if let Some(number) = recorder.names.get(&name).copied() {
        if name == Name::Wal && std::mem::take(&mut recorder.log_left) {
            recorder.log_again(number);
        }
        return (number, epoch);
    }
    let number = recorder.next;
    recorder.next += 1;
    recorder.names.insert(name, number);
    recorder.tape.push(Event::Made { name, file: number });
    (number, epoch)
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: see the module.
    unsafe {
        let vfs = under_vfs();
        let Some(delete) = (*vfs).xDelete else { return ffi::SQLITE_IOERR_DELETE };
        let rc = delete(vfs, name, sync_dir);
        if rc == ffi::SQLITE_OK {
            let mut recorder = recorder();
            if let Some(name) = recorder.name(CStr::from_ptr(name)) {
                recorder.names.remove(&name);
                recorder.tape.push(Event::Deleted { name, synced: sync_dir != 0 });
            }
        }
        rc
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xClose) }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xRead, to, count, at) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see the module.
    unsafe {
        let number = number(file);
        if number == OTHER {
            return pass!(file, xWrite, from, count, at);
        }
        let mut recorder = recorder();
        if recorder.strikes(Kind::Broken) {
            return ffi::SQLITE_IOERR_WRITE;
        }
        let mut size = 0;
        let grows = pass!(file, xFileSize, &mut size) == ffi::SQLITE_OK
            && at + ffi::sqlite3_int64::from(count) > size;
        let full = grows && recorder.strikes(Kind::Full);
        let count = if full { count / 2 } else { count };
        let rc = pass!(file, xWrite, from, count, at);
        if rc == ffi::SQLITE_OK {
            let octets = std::slice::from_raw_parts(from.cast::<u8>(), count as usize).to_vec();
            recorder.tape.push(Event::Wrote { file: number, at: at as u64, octets });
        }
        if full { ffi::SQLITE_FULL } else { rc }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, to: ffi::sqlite3_int64) -> c_int {
    // SAFETY: see the module.
    unsafe {
        let number = number(file);
        if number == OTHER {
            return pass!(file, xTruncate, to);
        }
        let mut recorder = recorder();
        if recorder.strikes(Kind::Broken) {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        let rc = pass!(file, xTruncate, to);
        if rc == ffi::SQLITE_OK {
            recorder.tape.push(Event::Cut { file: number, to: to as u64 });
        }
        rc
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see the module.
    unsafe {
        let number = number(file);
        if number == OTHER {
            return pass!(file, xSync, flags);
        }
        let mut recorder = recorder();
        let struck = recorder.strikes(Kind::Unsynced);
        let rc = if struck { ffi::SQLITE_IOERR_FSYNC } else { pass!(file, xSync, flags) };
        recorder.tape.push(Event::Synced { file: number, held: rc == ffi::SQLITE_OK });
        rc
    }
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xCheckReservedLock, held) }
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    what: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xFileControl, what, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xDeviceCharacteristics) }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    // SAFETY: see the module; a failure gives no memory.
    unsafe {
        if number(file) != OTHER && extend != 0 {
            // The index of the log lies on the same disk: a region that is not there yet needs
            // room.
            let rc = pass!(file, xShmMap, region, size, 0, to);
            if rc != ffi::SQLITE_OK || !(*to).is_null() {
                return rc;
            }
            if recorder().strikes(Kind::Full) {
                return ffi::SQLITE_IOERR_SHMSIZE;
            }
        }
        pass!(file, xShmMap, region, size, extend, to)
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xShmLock, offset, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: see the module.
    unsafe {
        let under = under(file);
        if let Some(barrier) = (*(*under).pMethods).xShmBarrier {
            barrier(under);
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see the module.
    unsafe { pass!(file, xShmUnmap, delete) }
}
