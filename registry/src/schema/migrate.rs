//! How a file is brought to the newest schema, one version after the other.
//!
//! A migration is one SQL text, sometimes with a step that only we can take, and one number in
//! `user_version`, all in one transaction. What was released is frozen; the tests below hold it to
//! its digest, and open a file of each earlier version.

use crate::change::about;
use crate::fault::OpenError;
use ledger::payload::Value;
use ledger::{Class, Payload};
use rusqlite::{Connection, Transaction};

/// One step from a version to the next.
struct Migration {
    sql: &'static str,
    /// What SQL alone cannot say, run behind it.
    then: Option<fn(&Transaction<'_>) -> rusqlite::Result<()>>,
}

/// Every migration, the first from nothing to version 1. Append-only.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("0001.sql"), then: None },
    Migration { sql: include_str!("0002.sql"), then: Some(link_entries) },
];

/// Marks the file as ours (`MSTR`), so that another program's database is not taken for an empty
/// registry.
const APPLICATION_ID: u32 = 0x4d53_5452;

/// Whether a file that begins so is another program's database: one with tables that is not marked
/// as ours. The mark stands in the header, and behind that the root of the schema begins with its
/// kind, of which 13 is a leaf, and has the count of its rows at 103 (SQLite's file format, §1.3 and
/// §1.6). Tables and mark of ours came with one commit, so a first page has both or neither.
pub(super) fn is_foreign(front: &[u8]) -> bool {
    let marked = front.get(68..72) == Some(&APPLICATION_ID.to_be_bytes());
    let empty = front.get(100) == Some(&13) && front.get(103..105) == Some(&[0, 0]);
    front.starts_with(b"SQLite format 3\0") && !marked && !empty
}

/// Brings the file to the newest version, from whichever it is of.
///
/// # Errors
/// [`OpenError::Foreign`] and [`OpenError::Newer`], which change nothing; [`OpenError::Storage`],
/// which leaves the version that was reached.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    let number = |db: &Connection, pragma| {
        db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    };
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found = number(db, "user_version")?;
    let ours = number(db, "application_id")? == APPLICATION_ID;
    let tables: i64 = db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if !ours && (found != 0 || tables != 0) {
        return Err(OpenError::Foreign);
    }
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, migration) in (1_u32..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let step = db.transaction()?;
        step.execute_batch(migration.sql)?;
        if let Some(then) = migration.then {
            then(&step)?;
        }
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", version)?;
        step.commit()?;
    }
    Ok(())
}

/// Version 2 knows which device an entry is about, and which entry issued a credential. Both stand
/// in the payloads already; one that was erased or cannot be read tells neither.
fn link_entries(step: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut entries = step.prepare("SELECT realm, number, entry, payload FROM entry")?;
    let mut of_device =
        step.prepare("UPDATE entry SET device = ?3 WHERE realm = ?1 AND number = ?2")?;
    let mut of_credential =
        step.prepare("UPDATE credential SET entry = ?3 WHERE realm = ?1 AND serial = ?2")?;
    let mut rows = entries.query([])?;
    while let Some(row) = rows.next()? {
        let (realm, number): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (entry, payload): (Vec<u8>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
        let Some(payload) = payload.and_then(|octets| Payload::decode(&octets).ok()) else {
            continue;
        };
        if let Some(device) = about(&payload) {
            of_device.execute((realm, number, device.octets()))?;
        }
        let class = ledger::Entry::decode(&entry).ok().map(|entry| entry.class);
        let issues = matches!(class, Some(Class::Birth | Class::Join | Class::Renewal));
        let serial = payload.get("serial").filter(|_| issues).and_then(Value::as_bytes);
        if let Some(serial) = serial {
            of_credential.execute((realm, serial, number))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
