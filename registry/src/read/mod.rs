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
pub use credentials::RevokedRow;
pub use devices::{DeviceFilter, Overdue};
pub use ledger::{EntryRow, StoredHashes, Stretch};

use crate::fault::{OpenError, ReadError};
use crate::schema::{self, Place};
use rusqlite::{Connection, Params, Row};
use std::sync::{Condvar, Mutex, PoisonError};

/// Rows that one answer may have, whatever was asked for: it bounds what a request can make us
/// hold.
pub const ROWS_MAX: usize = 1000;

/// A limit as SQL takes it.
fn rows_max(asked: usize) -> i64 {
    i64::try_from(asked.min(ROWS_MAX)).unwrap_or_default()
}

/// The connections that read.
pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

/// A connection on loan; it goes back also where the borrower panics.
struct Loan<'p> {
    pool: &'p Pool,
    db: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            self.pool.returned.notify_one();
        }
    }
}

impl Pool {
    pub(crate) fn open(place: &Place, readers: usize) -> Result<Self, OpenError> {
        let idle = (0..readers).map(|_| schema::open_reader(place)).collect::<Result<_, _>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    /// Asks within one transaction, so that all of the answer is from one moment.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let loan = self.loan();
        let Some(db) = loan.db.as_ref() else {
            return Err(ReadError::Storage("no connection".to_owned()));
        };
        let moment = db.unchecked_transaction()?;
        let answer = ask(&Reader(db))?;
        moment.finish()?;
        Ok(answer)
    }

    fn loan(&self) -> Loan<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(db) = idle.pop() {
                return Loan { pool: self, db: Some(db) };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
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
