//! How the roll is filled at a start: all credentials and all devices are read once, each in the
//! order of its primary key.
//!
//! Two threads read, this one fills; they end with the load. The file does not change meanwhile,
//! since the writer has not begun, so three connections see the same.

use super::{Place, open_reader};
use crate::realm::RealmKey;
use crate::roll::{Issued, Roll, Turn, Which};
use crate::rows;
use identity::SpkiHash;
use identity::credential::CredentialKind;
use identity::device::{DeviceId, Standing};
use rusqlite::{Connection, Result, Row};
use std::sync::mpsc::{channel, sync_channel};
use std::thread::ScopedJoinHandle;

/// Rows handed over at a time: enough that handing over costs nothing.
const ROWS: usize = 4 * 1024;
/// Portions of credentials that may wait to be filled in: a reader that is ahead takes some 4 MiB.
const PORTIONS: usize = 8;

const CREDENTIALS: &str = "SELECT realm, serial, spki, device, kind, generation, used, spent, \
    revoked FROM credential ORDER BY realm, serial";
const DEVICES: &str = "SELECT realm, id, standing, generation FROM device ORDER BY realm, id";
const COMPROMISED: &str = "SELECT realm, spki FROM compromised";

/// Where a device stands. Small, since those of a whole fleet wait until all keys are in: a million
/// are 24 MiB, for the second of a start.
struct Stands {
    realm: RealmKey,
    device: DeviceId,
    standing: Standing,
    generation: u32,
}

/// Fills a roll from the file at `place`, to which `db` is a connection.
pub(crate) fn load_roll(place: &Place, db: &Connection) -> Result<Roll> {
    // Every key has a credential, so that the tables never have to grow on the way.
    let most: i64 = db.query_row("SELECT COUNT(*) FROM credential", [], |row| row.get(0))?;
    let roll = Roll::with_room(usize::try_from(most).unwrap_or_default());
    let (one, other) = (open_reader(place)?, open_reader(place)?);
    std::thread::scope(|scope| {
        let (issued, credentials) = sync_channel(PORTIONS);
        let (stood, devices) = channel();
        let issuing = scope
            .spawn(move || read(&one, CREDENTIALS, credential, |some| issued.send(some).is_ok()));
        let standing =
            scope.spawn(move || read(&other, DEVICES, device, |some| stood.send(some).is_ok()));
        credentials.iter().for_each(|some: Vec<Turn>| roll.turn(&some));
        ended(issuing)?;
        devices.iter().for_each(|some: Vec<Stands>| {
            roll.turn(&some.iter().map(Stands::turn).collect::<Vec<_>>());
        });
        ended(standing)
    })?;
    let marked = |some: Vec<Turn>| {
        roll.turn(&some);
        true
    };
    read(db, COMPROMISED, compromised, marked)?;
    roll.fit();
    Ok(roll)
}

/// What a thread came to; its panic is ours.
fn ended(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads all rows of a query and hands them over in portions, until nobody takes them any more.
fn read<T>(
    db: &Connection,
    sql: &str,
    row: impl Fn(&Row<'_>, &mut Vec<T>) -> Result<()>,
    hand_over: impl Fn(Vec<T>) -> bool,
) -> Result<()> {
    let mut statement = db.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut some = Vec::with_capacity(ROWS);
    while let Some(next) = found.next()? {
        row(next, &mut some)?;
        if some.len() >= ROWS && !hand_over(std::mem::replace(&mut some, Vec::with_capacity(ROWS)))
        {
            return Ok(());
        }
    }
    hand_over(some);
    Ok(())
}

/// Standing and generation of the device follow with the devices.
fn credential(row: &Row<'_>, turns: &mut Vec<Turn>) -> Result<()> {
    let which = Which {
        realm: RealmKey(row.get(0)?),
        serial: rows::serial(row, 1, "credential")?,
        spki: SpkiHash::from_octets(row.get(2)?),
    };
    let revoked = rows::maybe_moment(row, 8)?.is_some();
    turns.push(Turn::Issued(Issued {
        which,
        device: rows::device_id(row, 3, "credential")?,
        standing: Standing::Born,
        device_generation: 0,
        kind: rows::word(row, 4, "credential", CredentialKind::parse)?,
        generation: row.get(5)?,
        revoked,
    }));
    if rows::maybe_moment(row, 6)?.is_some() {
        turns.push(Turn::Used(which));
    }
    if let Some(spent) = rows::maybe_moment(row, 7)? {
        turns.push(Turn::Spent(which, spent));
    }
    if revoked {
        turns.push(Turn::Revoked(which, true));
    }
    Ok(())
}

fn device(row: &Row<'_>, devices: &mut Vec<Stands>) -> Result<()> {
    devices.push(Stands {
        realm: RealmKey(row.get(0)?),
        device: rows::device_id(row, 1, "device")?,
        standing: rows::word(row, 2, "device", Standing::parse)?,
        generation: row.get(3)?,
    });
    Ok(())
}

fn compromised(row: &Row<'_>, turns: &mut Vec<Turn>) -> Result<()> {
    let spki = SpkiHash::from_octets(row.get(1)?);
    turns.push(Turn::Compromised { realm: RealmKey(row.get(0)?), spki });
    Ok(())
}

impl Stands {
    fn turn(&self) -> Turn {
        let Self { realm, device, standing, generation } = *self;
        Turn::Device { realm, device, standing, generation }
    }
}
