//! What a registry says, and whether all of it holds together.

use crate::Failure;
use identity::key::sha256;
use identity::{Credential, Device};
use registry::{DeviceFilter, Options, RealmKey, Registry};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// A digest of every row of every table: two registries with the same one say the same.
pub type Digest = [u8; 32];

/// The digest of what is committed in the file at `path`, which may be open elsewhere in this
/// process.
///
/// # Errors
/// Where the file cannot be read.
pub fn digest(path: &Path) -> Result<Digest, Failure> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> =
        db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut said = Vec::new();
    for table in tables {
        said.extend(table.as_bytes());
        let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                write_value(&mut said, row.get_ref(column)?);
            }
        }
    }
    Ok(sha256(&[&said]))
}

fn write_value(said: &mut Vec<u8>, value: ValueRef<'_>) {
    let (kind, octets): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => (1, &number.to_be_bytes()),
        ValueRef::Real(number) => (2, &number.to_be_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(octets) => (4, octets),
    };
    said.push(kind);
    said.extend((octets.len() as u64).to_be_bytes());
    said.extend(octets);
}

/// Opens a registry as a server does, and looks at everything in it.
///
/// # Errors
/// Where it does not open, or the first thing that does not hold.
pub fn open_sound(path: &Path) -> Result<Registry, Failure> {
    // Few readers: each image is opened once.
    let options = Options { readers: 1, ..Options::default() };
    let registry = Registry::open(path, options).map_err(|e| format!("does not open: {e}"))?;
    sound(&registry)?;
    Ok(registry)
}

/// Looks at everything in an open registry.
///
/// # Errors
/// The first thing that does not hold.
pub fn sound(registry: &Registry) -> Result<(), Failure> {
    match registry.check_integrity()?.first() {
        None => Ok(()),
        Some(finding) => Err(format!("does not hold: {finding}").into()),
    }
}

/// Every credential of a realm.
///
/// # Errors
/// Where they cannot be read.
pub fn credentials(registry: &Registry, realm: RealmKey) -> Result<Vec<Credential>, Failure> {
    let mut all: Vec<Credential> = Vec::new();
    loop {
        let page = registry.credentials(realm, all.last().map(|c| c.serial), usize::MAX)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Every device of a realm.
///
/// # Errors
/// Where they cannot be read.
pub fn devices(registry: &Registry, realm: RealmKey) -> Result<Vec<Device>, Failure> {
    let mut all: Vec<Device> = Vec::new();
    let filter = DeviceFilter::default();
    loop {
        let page = registry.devices(realm, &filter, all.last().map(|d| d.id), usize::MAX)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Holds what two registries know by heart against each other: `one` as it grew, `other` as it was
/// read from the file.
///
/// # Errors
/// The first key of which they say something else.
pub fn same_roll(one: &Registry, other: &Registry, realm: RealmKey) -> Result<(), Failure> {
    for credential in credentials(other, realm)? {
        let grown = one.roll().lookup(realm, &credential.spki);
        let read = other.roll().lookup(realm, &credential.spki);
        if grown != read {
            let serial = credential.serial;
            return Err(format!("the roll says {grown:?} of {serial}, the file {read:?}").into());
        }
    }
    if one.roll().len() == other.roll().len() {
        Ok(())
    } else {
        Err(format!("{} keys in the roll, {} in the file", one.roll().len(), other.roll().len())
            .into())
    }
}
