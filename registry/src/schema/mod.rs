//! The file: how it is opened, brought to the newest schema, and looked over at a start.
//!
//! A migration ([`migrate`]) is one transaction: a crash in the middle leaves the version before. A
//! file of a newer version is refused, since what it says may mean something else by now.

mod load;
mod migrate;

pub(crate) use load::load_roll;

use crate::fault::OpenError;
use crate::realm::{Realm, RealmKey};
use crate::rows;
use ledger::tree::Frontier;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The writer's pages in memory, in KiB. The edges of all appended tables fit many times; more
/// would only cache the middle of the indexes that are written at random, which the system caches
/// too.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// A reader's pages in memory, in KiB: look-ups touch a dozen.
const READER_CACHE_KIB: i64 = 2 * 1024;

/// Pages in the write-ahead log (4 KiB each) before it is carried into the file: 64 MiB. Devices
/// renew in no order, so most pages that a batch changes are hers alone; a longer log gathers more
/// changes of a page before it is written again, a shorter one is sooner read at a start.
pub(crate) const LOG_PAGES: i64 = 16 * 1024;

/// Statements that stay prepared: there are fewer.
const STATEMENTS: usize = 160;

/// Nobody else writes; only an in-memory registry's readers can be in the way, for moments.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

/// Where a registry lies.
#[derive(Clone)]
pub(crate) enum Place {
    /// A file.
    File(PathBuf),
    /// The memory of this process, under a name.
    Memory(String),
}

impl Place {
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let db = match self {
            Self::File(path) => {
                Connection::open_with_flags(path, flags - OpenFlags::SQLITE_OPEN_URI)?
            }
            Self::Memory(name) => {
                Connection::open_with_flags(format!("file:/{name}?vfs=memdb"), flags)?
            }
        };
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        // Without the guarantee a plan may depend on a bound value, and SQLite prepares such a
        // statement anew at each new value, which cost a tenth of an enrollment.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(db)
    }
}

/// The writer's connection, to a file that is ours alone and of the newest schema.
pub(crate) fn open_writer(place: &Place) -> Result<Connection, OpenError> {
    if let Place::File(path) = place {
        create_private(path)?;
        refuse_foreign(path)?;
        write_log_again(path)?;
    }
    let mut db = place.connect()?;
    if matches!(place, Place::File(_)) {
        begin_log(&db)?;
    }
    // Durable at every commit, also against a power cut.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Carried over beside the writer (`writer::log`); this is for where that could not keep up.
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES * 4)?;
    // What is deleted is overwritten, also by the renewals before an erasure: each rewrites the row
    // of its device, and would leave its old identifiers in the page.
    db.pragma_update(None, "secure_delete", true)?;
    // A log that one burst has grown is cut back when it starts over.
    db.pragma_update(None, "journal_size_limit", LOG_PAGES * 2 * 4096)?;
    migrate::migrate(&mut db)?;
    Ok(db)
}

/// Refuses somebody else's database before SQLite is asked, which would carry its log over, and
/// before we write that log again and switch how it is kept.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    let mut front = Vec::with_capacity(FRONT);
    let read = File::open(path).and_then(|file| file.take(FRONT as u64).read_to_end(&mut front));
    read.map_err(|e| OpenError::Storage(e.to_string()))?;
    if migrate::is_foreign(&front) { Err(OpenError::Foreign) } else { Ok(()) }
}

/// The header of a file, and of the root of its schema behind it.
const FRONT: usize = 108;

/// Begins the write-ahead log. SQLite says the new mode first, then writes the switch down, and
/// goes on with a rollback journal where that fails; a commit would then end with the deletion of a
/// file, which a power cut can take back. So the statement is run to its end, where the failure
/// shows.
fn begin_log(db: &Connection) -> Result<(), OpenError> {
    let mut statement = db.prepare("PRAGMA journal_mode = WAL")?;
    let said = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    if said == ["wal"] {
        return Ok(());
    }
    Err(OpenError::Storage("its write-ahead log cannot be begun".to_owned()))
}

/// Octets of the log that are written again at a time.
const AGAIN: usize = 1 << 20;

/// Writes the log that a process before us has left once more, as it reads, and syncs it.
///
/// A sync may have failed before that process ended. The kernel then keeps the pages and forgets
/// that they are not on the disk: the log reads well and would be built on, until a power cut takes
/// its middle away and with it all that was committed behind. Written again they are on the disk
/// after the next sync that holds, which is this one.
fn write_log_again(path: &Path) -> Result<(), OpenError> {
    let storage = |e: std::io::Error| OpenError::Storage(format!("its write-ahead log: {e}"));
    let mut name = path.to_owned().into_os_string();
    name.push("-wal");
    let mut log = match File::options().read(true).write(true).open(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        log => log.map_err(storage)?,
    };
    let mut octets = Vec::with_capacity(AGAIN);
    let mut at = 0;
    loop {
        octets.clear();
        log.seek(SeekFrom::Start(at)).map_err(storage)?;
        let count = (&log).take(AGAIN as u64).read_to_end(&mut octets).map_err(storage)?;
        if count == 0 {
            return log.sync_all().map_err(storage);
        }
        log.seek(SeekFrom::Start(at)).map_err(storage)?;
        log.write_all(&octets).map_err(storage)?;
        at += count as u64;
    }
}

/// A reader's connection; it cannot write.
pub(crate) fn open_reader(place: &Place) -> rusqlite::Result<Connection> {
    let db = place.connect()?;
    db.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Holds a lock beside the file for as long as the registry is open: the file itself must stay open
/// to our own readers, so its own locks cannot tell us from another process. The host's lock on its
/// home comes first; this one is for those who name the file itself.
pub(crate) fn keep_out_others(place: &Place) -> Result<Option<Connection>, OpenError> {
    let Place::File(path) = place else { return Ok(None) };
    let mut name = path.clone().into_os_string();
    name.push("-lock");
    let keeper = Connection::open(PathBuf::from(name))?;
    keeper.busy_timeout(Duration::ZERO)?;
    keeper.execute_batch("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")?;
    Ok(Some(keeper))
}

/// The registry names every device of a fleet: it is for its owner's eyes. Log and index files
/// inherit the mode.
fn create_private(path: &Path) -> Result<(), OpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|e| OpenError::Storage(e.to_string()))
}

/// The realms, and the edges of their ledgers after a quick look: head, edge and last entry say the
/// same. The long look is [`crate::Registry::check_integrity`]'s.
pub(crate) fn load_ledgers(
    db: &Connection,
) -> Result<(Vec<Realm>, BTreeMap<RealmKey, Frontier>), OpenError> {
    let sql =
        format!("SELECT {}, size, root, frontier FROM realm ORDER BY realm", rows::REALM_COLUMNS);
    let mut statement = db.prepare(&sql)?;
    let mut found = statement.query([])?;
    let (mut realms, mut ledgers) = (Vec::new(), BTreeMap::new());
    while let Some(row) = found.next()? {
        let realm = rows::realm(row)?;
        let frontier = edge(db, &realm, row)?;
        ledgers.insert(realm.key, frontier);
        realms.push(realm);
    }
    Ok((realms, ledgers))
}

fn edge(db: &Connection, realm: &Realm, row: &Row<'_>) -> Result<Frontier, OpenError> {
    let damaged =
        |what: &str| OpenError::Damaged(format!("the ledger of realm `{}`: {what}", realm.name));
    let size = rows::uint(row, 5)?;
    let root: [u8; 32] = row.get(6)?;
    let octets: Vec<u8> = row.get(7)?;
    let frontier = Frontier::decode(&octets).map_err(|_| damaged("its edge cannot be read"))?;
    if frontier.size() != size || frontier.root() != root {
        return Err(damaged("its head does not go with its tree"));
    }
    let sql = "SELECT number, entry FROM entry WHERE realm = ?1 ORDER BY number DESC LIMIT 1";
    let mut statement = db.prepare(sql)?;
    let mut last = statement.query([realm.key.0])?;
    let count = match last.next()? {
        None => 0,
        Some(row) => {
            let entry: Vec<u8> = row.get(1)?;
            let number = rows::uint(row, 0)?;
            let named = ledger::Entry::decode(&entry).map(|entry| entry.index);
            if named != Ok(number) {
                return Err(damaged("its last entry names another number"));
            }
            number + 1
        }
    };
    if count == size {
        Ok(frontier)
    } else {
        Err(damaged(&format!("it has {count} entries and a head over {size}")))
    }
}

/// Whether any device was ever erased.
pub(crate) fn has_erased(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare("SELECT 1 FROM erased")?.exists([])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_log_that_was_left_is_written_again_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (path, log) = (place.path().join("muster.db"), place.path().join("muster.db-wal"));
        // Two whole steps and a bit.
        let left: Vec<u8> = (0..2 * AGAIN + 7).map(|n| (n % 251) as u8).collect();
        std::fs::write(&log, &left).unwrap();
        File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();

        write_log_again(&path).unwrap();

        assert!(std::fs::read(&log).unwrap() == left);
        assert_ne!(log.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn where_no_log_was_left_none_is_made() {
        let place = tempfile::tempdir().unwrap();
        write_log_again(&place.path().join("muster.db")).unwrap();
        assert!(!place.path().join("muster.db-wal").exists());
    }
}
