//! What SQLite calls: a table of C functions, each of which notes what is asked and hands it on to
//! SQLite's own access to files. The reason for every block that is `unsafe` is in [`super`].

use super::super::tape::{Event, FileNo, Name};
use super::super::trouble::Kind;
use super::{UNDER, recorder};
use rusqlite::ffi;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;

/// A file as SQLite holds it; behind it in the same memory lies the one of its own.
#[repr(C)]
pub(super) struct Watched {
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
    // SAFETY: see `super`.
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

pub(super) unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: see `super`; the memory has room for both files.
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

pub(super) unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: see `super`.
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
    // SAFETY: see `super`.
    unsafe { pass!(file, xClose) }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xRead, to, count, at) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see `super`.
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
    // SAFETY: see `super`.
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
    // SAFETY: see `super`.
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
    // SAFETY: see `super`.
    unsafe { pass!(file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xCheckReservedLock, held) }
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    what: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xFileControl, what, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xDeviceCharacteristics) }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    // SAFETY: see `super`; a failure gives no memory.
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
    // SAFETY: see `super`.
    unsafe { pass!(file, xShmLock, offset, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: see `super`.
    unsafe {
        let under = under(file);
        if let Some(barrier) = (*(*under).pMethods).xShmBarrier {
            barrier(under);
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see `super`.
    unsafe { pass!(file, xShmUnmap, delete) }
}
