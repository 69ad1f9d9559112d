//! The questions that can be asked. Each is answered from one moment, the last commit before it
//! began, and none holds up the writer. They block while they read: an asynchronous host asks from
//! a thread that may.
//!
//! Lists are paged by key: the caller names the last one that it saw, so that what comes and goes
//! in between neither repeats nor hides another row.

mod credentials;
mod devices;
mod erased;
mod ledger;
mod rules;

pub use ::ledger::tree::Head;
pub use credentials::{RevokedRow, StatusRow};
pub use devices::{DeviceFilter, Overdue};
pub use ledger::{EntryRow, StoredHashes, Stretch};
pub use rules::Noted;

use crate::fault::{OpenError, ReadError};
use crate::schema::{self, Place};
use rusqlite::{Connection, InterruptHandle, Params, Row};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Rows that one answer may have, whatever was asked for: it bounds what a request can make us
/// hold.
pub const ROWS_MAX: usize = 1000;

/// A limit as SQL takes it.
fn rows_max(asked: usize) -> i64 {
    i64::try_from(asked.min(ROWS_MAX)).unwrap_or_default()
}

/// The connections that read.
pub(crate) struct Pool {
    idle: Mutex<Idle>,
    returned: Condvar,
    looks: Mutex<Looks>,
}

/// Looks that take long, and whether they shall end: nobody waits for them at a stop.
#[derive(Default)]
struct Looks {
    over: bool,
    under_way: Vec<(u64, InterruptHandle)>,
    begun: u64,
}

/// Connections that nobody reads with, and how many wait for one. Waking nobody is a system call
/// too, so it is counted whether there is somebody.
struct Idle {
    connections: Vec<Connection>,
    waiting: usize,
}

/// A connection on loan; it goes back also where the borrower panics.
struct Loan<'p> {
    pool: &'p Pool,
    db: Option<Connection>,
}

impl Loan<'_> {
    fn connection(&self) -> Result<&Connection, ReadError> {
        self.db.as_ref().ok_or_else(|| ReadError::Storage("no connection".to_owned()))
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.connections.push(db);
            let somebody_waits = idle.waiting > 0;
            drop(idle);
            if somebody_waits {
                self.pool.returned.notify_one();
            }
        }
    }
}

impl Pool {
    pub(crate) fn open(place: &Place, readers: usize) -> Result<Self, OpenError> {
        let connections =
            (0..readers).map(|_| schema::open_reader(place)).collect::<Result<_, _>>()?;
        let idle = Mutex::new(Idle { connections, waiting: 0 });
        Ok(Self { idle, returned: Condvar::new(), looks: Mutex::default() })
    }

    /// As [`Pool::read`], for what takes long: it ends with an error once [`Pool::end_looks`] was
    /// called.
    pub(crate) fn look<T>(
        &self,
        ask: impl FnOnce(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.read(|db| {
            let number = self.begin_look(db.0)?;
            let answer = ask(db);
            self.looks().under_way.retain(|(of, _)| *of != number);
            answer
        })
    }

    fn begin_look(&self, db: &Connection) -> Result<u64, ReadError> {
        let mut looks = self.looks();
        if looks.over {
            return Err(ReadError::Storage("the registry is closed".to_owned()));
        }
        looks.begun += 1;
        let number = looks.begun;
        looks.under_way.push((number, db.get_interrupt_handle()));
        Ok(number)
    }

    /// Ends the looks that are under way, and lets none begin.
    pub(crate) fn end_looks(&self) {
        let mut looks = self.looks();
        looks.over = true;
        looks.under_way.iter().for_each(|(_, handle)| handle.interrupt());
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks within one transaction, so that all of the answer is from one moment.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let loan = self.loan();
        let db = loan.connection()?;
        let moment = db.unchecked_transaction()?;
        let answer = ask(&Reader(db))?;
        moment.finish()?;
        Ok(answer)
    }

    /// Asks what one statement answers. A statement sees one moment by itself, and a transaction
    /// around it would cost more than it.
    pub(crate) fn once<T>(
        &self,
        ask: impl FnOnce(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let loan = self.loan();
        ask(&Reader(loan.connection()?))
    }

    fn loan(&self) -> Loan<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(db) = idle.connections.pop() {
                return Loan { pool: self, db: Some(db) };
            }
            idle.waiting += 1;
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
            idle.waiting -= 1;
        }
    }
}

/// A connection at one moment.
pub(crate) struct Reader<'d>(&'d Connection);

impl Reader<'_> {
    /// The first row.
    pub(crate) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        Ok(rows.next()?.map(read).transpose()?)
    }

    /// Every row.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Every row, one after the other, none of them kept; `Some` ends it early.
    pub(crate) fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>, ReadError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if let Some(end) = read(row)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    #[test]
    fn a_look_without_an_end_ends_with_the_looks_and_other_reads_go_on() {
        let place = Place::Memory("a-look-without-an-end".to_owned());
        let _kept = place.connect().unwrap();
        let pool = Arc::new(Pool::open(&place, 2).unwrap());
        let (began, begun) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let looking = Arc::clone(&pool);
        std::thread::spawn(move || {
            // One row, and then none for ever: who has seen it knows that the statement runs.
            let endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) \
                SELECT i FROM n WHERE i = 0";
            let seen = |_: &Row<'_>| {
                began.send(()).unwrap();
                Ok(None::<()>)
            };
            ended.send(looking.look(|db| db.each(endless, (), seen))).unwrap();
        });
        begun.recv().unwrap();

        pool.end_looks();

        let answer = end.recv_timeout(Duration::from_secs(60)).expect("nothing ended the look");
        assert!(matches!(answer, Err(ReadError::Storage(_))), "{answer:?}");
        let one = |db: &Reader<'_>| db.first("SELECT 1", (), |row| row.get::<_, i64>(0));
        assert!(pool.look(one).is_err(), "none begins any more");
        assert_eq!(pool.read(one).unwrap(), Some(1));
    }
}
