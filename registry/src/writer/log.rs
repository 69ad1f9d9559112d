//! The write-ahead log's way into the file.
//!
//! In a large fleet nearly every page of a full log belongs elsewhere in the file, and carrying them
//! over takes some tenths of a second. The writer would stand still for it, and with it everybody
//! who waits for an answer. So a thread of its own carries the long part over while the writer goes
//! on, as often as it takes until what came meanwhile is short, and the writer carries that rest
//! between two commits. Behind that SQLite begins the log anew. Both are passive checkpoints:
//! neither waits for a reader. Where the disk is too slow for the load, the writer waits at twice a
//! full log, and carries all of it.

use crate::schema::{LOG_PAGES, Place};
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

/// The part of a full log that the writer carries over itself: some milliseconds.
const REST: i64 = 16;
/// Full logs at which the writer waits until it is carried over, rather than let it grow.
const LOGS_MAX: i64 = 2;

/// Who carries the log over, and when.
pub(crate) struct Log {
    /// Pages from which on the log is full.
    full: i64,
    /// Pages at which it is looked at again: more than `full` where a reader of an old state keeps
    /// the log from beginning anew, so that not every commit tries.
    at: i64,
    /// Pages that were carried over when the last round began.
    begun: i64,
    carrier: Option<Carrier>,
}

/// The thread that carries.
struct Carrier {
    begin: Sender<()>,
    done: Receiver<()>,
    busy: bool,
    thread: JoinHandle<()>,
}

/// How a round of the carrier stands.
#[derive(PartialEq, Eq)]
enum Round {
    None,
    Running,
    Ended,
}

/// How far a log has come, in pages.
struct Extent {
    written: i64,
    carried: i64,
}

impl Log {
    /// The log of the file at `place`. What has no file has none.
    pub(crate) fn of(place: &Place) -> rusqlite::Result<Self> {
        Self::with(place, LOG_PAGES)
    }

    pub(super) fn with(place: &Place, full: i64) -> rusqlite::Result<Self> {
        let carrier = match place {
            Place::File(_) => Carrier::spawn(place.connect()?),
            Place::Memory(_) => None,
        };
        Ok(Self { full, at: full, begun: 0, carrier })
    }

    /// After a commit: sees to it that a full log gets into the file. A failure is left to the next
    /// look: what was not carried over is still in the log.
    pub(super) fn look(&mut self, db: &Connection) {
        let Some(carrier) = &mut self.carrier else { return };
        let Ok(extent) = extent(db) else { return };
        let over = extent.written >= self.full * LOGS_MAX && extent.written >= self.at;
        if over {
            carrier.wait();
        }
        let due = match carrier.round() {
            Round::Running => false,
            Round::None => extent.written >= self.at,
            // A round that came no further has met a reader of an old state.
            Round::Ended => extent.carried > self.begun || extent.written >= self.at,
        };
        let rest = self.full / REST;
        if extent.written < self.full {
            self.at = self.full;
        } else if due {
            if extent.written - extent.carried > rest && !over {
                carrier.begin();
                self.begun = extent.carried;
            } else {
                let _next_time = carry(db);
            }
            self.at = extent.written + rest;
        }
    }

    /// Waits until nobody but the caller carries.
    pub(super) fn wait(&mut self) {
        if let Some(carrier) = &mut self.carrier {
            carrier.wait();
        }
    }

    /// Ends the thread.
    pub(super) fn end(&mut self) {
        if let Some(Carrier { begin, thread, .. }) = self.carrier.take() {
            drop(begin);
            // It has nothing to say, and its panic has been told.
            let _ended = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end();
    }
}

impl Carrier {
    /// Without a thread SQLite carries the log over by itself, later and in one piece.
    fn spawn(db: Connection) -> Option<Self> {
        let (begin, begun) = channel::<()>();
        let (ended, done) = channel();
        let carry = move || {
            while begun.recv().is_ok() {
                let _next_time = carry(&db);
                if ended.send(()).is_err() {
                    break;
                }
            }
        };
        let named = std::thread::Builder::new().name("registry-log".to_owned());
        let thread = named.spawn(carry).ok()?;
        Some(Self { begin, done, busy: false, thread })
    }

    fn begin(&mut self) {
        self.busy = self.begin.send(()).is_ok();
    }

    /// How the last round stands; that it has ended is said once.
    fn round(&mut self) -> Round {
        match std::mem::take(&mut self.busy).then(|| self.done.try_recv()) {
            None => Round::None,
            Some(Err(TryRecvError::Empty)) => {
                self.busy = true;
                Round::Running
            }
            // Also where the thread is gone, which SQLite's own limit makes up for.
            Some(_) => Round::Ended,
        }
    }

    fn wait(&mut self) {
        if std::mem::take(&mut self.busy) {
            // An error says that the thread has ended, and carries nothing.
            let _ended = self.done.recv();
        }
    }
}

/// What nobody reads any more goes into the file, and is durable there.
fn carry(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}

fn extent(db: &Connection) -> rusqlite::Result<Extent> {
    db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| Ok(Extent { written: row.get(1)?, carried: row.get(2)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// Pages of a log that is full soon.
    const FULL: i64 = 64;

    fn opened() -> (tempfile::TempDir, Place, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("muster.db"));
        let db = schema::open_writer(&place).unwrap();
        db.execute_batch("CREATE TABLE tried (octets BLOB)").unwrap();
        (folder, place, db)
    }

    /// A commit of some two pages.
    fn write(db: &Connection) {
        db.execute("INSERT INTO tried VALUES (zeroblob(5000))", []).unwrap();
    }

    #[test]
    fn a_log_that_is_looked_at_begins_anew_and_one_that_is_not_grows() {
        let (_folder, place, db) = opened();
        let mut log = Log::with(&place, FULL).unwrap();
        let mut longest = 0;
        for _ in 0..FULL * 8 {
            write(&db);
            log.look(&db);
            log.wait();
            longest = longest.max(extent(&db).unwrap().written);
        }
        assert!(longest < FULL * 2, "the log had {longest} pages");
        (0..FULL * 2).for_each(|_| write(&db));
        assert!(extent(&db).unwrap().written > FULL * 2);
    }

    /// Nobody waits for the carrier here, as under load. What bounds the log is a full one, what
    /// comes while that is carried over, and the writer's patience.
    #[test]
    fn a_log_begins_anew_under_a_load_that_never_pauses() {
        let (_folder, place, db) = opened();
        let mut log = Log::with(&place, FULL).unwrap();
        let mut longest = 0;
        let mut anew = 0;
        let mut before = 0;
        for _ in 0..FULL * 24 {
            write(&db);
            log.look(&db);
            let written = extent(&db).unwrap().written;
            anew += i32::from(written < before);
            (before, longest) = (written, longest.max(written));
        }
        assert!(longest <= FULL * (LOGS_MAX + 1), "the log had {longest} pages");
        assert!(anew > 3, "the log began anew {anew} times");
    }

    #[test]
    fn a_reader_of_an_old_state_keeps_the_log_and_loses_nothing() {
        let (_folder, place, db) = opened();
        let mut log = Log::with(&place, FULL).unwrap();
        write(&db);
        let reader = schema::open_reader(&place).unwrap();
        let moment = reader.unchecked_transaction().unwrap();
        let count = |db: &Connection| -> i64 {
            db.query_row("SELECT COUNT(*) FROM tried", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(&reader), 1);
        for _ in 0..FULL {
            write(&db);
            log.look(&db);
        }
        assert_eq!(count(&reader), 1);
        moment.finish().unwrap();
        assert_eq!(count(&reader), 1 + FULL);
        log.wait();
        let left = extent(&db).unwrap();
        assert!(left.carried <= left.written);
        for _ in 0..FULL {
            write(&db);
            log.look(&db);
            log.wait();
        }
        assert!(extent(&db).unwrap().written < FULL * 2);
    }

    #[test]
    fn what_lives_in_memory_has_no_log() {
        let place = Place::Memory("no-log".into());
        let db = schema::open_writer(&place).unwrap();
        let mut log = Log::of(&place).unwrap();
        log.look(&db);
        log.wait();
        assert!(log.carrier.is_none());
    }
}
