//! Questions about the ledger: its head, its entries, its tiles, and the hashes for any proof.

use super::{Reader, rows_max};
use crate::realm::RealmKey;
use crate::rows::{int, millis, moment, uint};
use crate::{ReadError, Registry};
use identity::UnixTime;
use identity::credential::Serial;
use identity::device::DeviceId;
use ledger::Hash;
use ledger::tree::{Hashes, Head};
use rusqlite::Row;
use std::cell::RefCell;
use std::collections::HashMap;

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its number.
    pub index: u64,
    /// When it was decided, to the millisecond; the entry itself tells the hour.
    pub at: UnixTime,
    /// The octets that were hashed into the tree.
    pub entry: Vec<u8>,
    /// What happened; `None` where it was erased.
    pub payload: Option<Vec<u8>>,
    /// The salt of its digest; erased with the payload.
    pub salt: Option<[u8; 32]>,
}

/// A stretch of the ledger that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Entries about this device only.
    pub device: Option<DeviceId>,
    /// The number that it begins with.
    pub from: u64,
    /// The number before which it ends.
    pub to: u64,
    /// Whether the newest comes first.
    pub backwards: bool,
}

/// Members of a whole tile (C2SP tlog-tiles).
const TILE: u64 = 256;

impl Registry {
    /// How long the ledger is, and its root. An unknown realm has an empty one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn head(&self, realm: RealmKey) -> Result<Head, ReadError> {
        self.pool().read(|db| head(db, realm))
    }

    /// Entries from number `from` on; at most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(
        &self,
        realm: RealmKey,
        from: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, ReadError> {
        let sql = "SELECT number, at, entry, payload, salt FROM entry \
            WHERE realm = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
        self.pool().read(|db| db.all(sql, (realm.0, int(from), rows_max(limit)), entry_row))
    }

    /// Entries of a stretch; at most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries_in(
        &self,
        realm: RealmKey,
        stretch: &Stretch,
        limit: usize,
    ) -> Result<Vec<EntryRow>, ReadError> {
        let order = if stretch.backwards { "DESC" } else { "ASC" };
        let device = if stretch.device.is_some() { "AND device = ?5 " } else { "" };
        let sql = format!(
            "SELECT number, at, entry, payload, salt FROM entry \
             WHERE realm = ?1 AND number >= ?2 AND number < ?3 {device}\
             ORDER BY number {order} LIMIT ?4"
        );
        let (from, to) = (int(stretch.from), int(stretch.to));
        let (realm, limit) = (realm.0, rows_max(limit));
        self.pool().read(|db| match &stretch.device {
            Some(device) => db.all(&sql, (realm, from, to, limit, *device.octets()), entry_row),
            None => db.all(&sql, (realm, from, to, limit), entry_row),
        })
    }

    /// The number of the first entry that was decided at `at` or later; the size of the ledger
    /// where there is none. Found by halving: no entry is told to be older than the one before it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entry_since(&self, realm: RealmKey, at: UnixTime) -> Result<u64, ReadError> {
        let sql = "SELECT at FROM entry WHERE realm = ?1 AND number = ?2";
        self.pool().read(|db| {
            let (mut low, mut high) = (0, head(db, realm)?.size);
            while low < high {
                let middle = low + (high - low) / 2;
                let decided = db.first(sql, (realm.0, int(middle)), |row| moment(row, 0))?;
                if decided.is_some_and(|decided| decided < at) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        })
    }

    /// Entries about one device, from number `from` on; at most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries_about(
        &self,
        realm: RealmKey,
        device: &DeviceId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, ReadError> {
        let (device, to) = (Some(*device), u64::MAX);
        self.entries_in(realm, &Stretch { device, from, to, backwards: false }, limit)
    }

    /// The entry that tells of the last time that two parties were found to hold the identity of a
    /// device; `None` where they never were.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn caught(
        &self,
        realm: RealmKey,
        device: &DeviceId,
    ) -> Result<Option<EntryRow>, ReadError> {
        let sql = "SELECT number, at, entry, payload, salt FROM entry \
            WHERE realm = ?1 AND number = (SELECT caught FROM device \
            WHERE device.realm = ?1 AND device.id = ?2)";
        self.pool().read(|db| db.first(sql, (realm.0, device.octets()), entry_row))
    }

    /// As [`Registry::caught`], of every device of which that was after `since`; at most
    /// [`super::ROWS_MAX`], the newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn caught_since(
        &self,
        realm: RealmKey,
        since: UnixTime,
    ) -> Result<Vec<EntryRow>, ReadError> {
        let sql = "SELECT entry.number, entry.at, entry.entry, entry.payload, entry.salt \
            FROM device JOIN entry ON entry.realm = device.realm AND entry.number = device.caught \
            WHERE device.realm = ?1 AND device.caught IS NOT NULL AND entry.at > ?2 \
            ORDER BY device.caught DESC LIMIT ?3";
        let asked = (realm.0, millis(since), rows_max(super::ROWS_MAX));
        self.pool().read(|db| db.all(sql, asked, entry_row))
    }

    /// The number of the entry that tells of the issuance of a certificate; `None` for a
    /// certificate that is not known.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn issuance(&self, realm: RealmKey, serial: &Serial) -> Result<Option<u64>, ReadError> {
        let sql = "SELECT entry FROM credential WHERE realm = ?1 AND serial = ?2 \
            AND entry IS NOT NULL";
        self.pool().read(|db| db.first(sql, (realm.0, serial.octets()), |row| uint(row, 0)))
    }

    /// A tile: `width` hashes of 32 octets (1 to 256), of leaves at level 0, of subtrees above.
    /// `None` where the tree has not grown so far.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tile(
        &self,
        realm: RealmKey,
        level: u8,
        index: u64,
        width: u16,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(range) = Range::of(index, width) else { return Ok(None) };
        let found = self.pool().read(|db| range.hashes(db, realm, level))?;
        Ok(range.is_filled(&found).then(|| found.concat()))
    }

    /// An entry bundle: `width` entries (1 to 256), each behind its length. `None` where the tree
    /// has not grown so far.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn bundle(
        &self,
        realm: RealmKey,
        index: u64,
        width: u16,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(range) = Range::of(index, width) else { return Ok(None) };
        let sql = "SELECT entry FROM entry WHERE realm = ?1 AND number BETWEEN ?2 AND ?3 \
            ORDER BY number";
        let found: Vec<Vec<u8>> =
            self.pool().read(|db| range.read(db, sql, (realm.0, range.from, range.to)))?;
        Ok(range.is_filled(&found).then(|| ledger::tile::bundle(&found)).flatten())
    }

    /// Hands the stored hashes of a ledger to `ask`, all of one moment, for
    /// `ledger::tree::inclusion` and `ledger::tree::consistency`. A hash that cannot be read is one
    /// that is not there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn hashes<T>(
        &self,
        realm: RealmKey,
        ask: impl FnOnce(Head, &StoredHashes<'_, '_>) -> T,
    ) -> Result<T, ReadError> {
        self.pool().read(|db| Ok(ask(head(db, realm)?, &StoredHashes::new(db, realm))))
    }
}

fn entry_row(row: &Row<'_>) -> rusqlite::Result<EntryRow> {
    Ok(EntryRow {
        index: uint(row, 0)?,
        at: moment(row, 1)?,
        entry: row.get(2)?,
        payload: row.get(3)?,
        salt: row.get(4)?,
    })
}

fn head(db: &Reader<'_>, realm: RealmKey) -> Result<Head, ReadError> {
    let found = db.first("SELECT size, root FROM realm WHERE realm = ?1", [realm.0], |row| {
        Ok(Head { size: uint(row, 0)?, root: row.get(1)? })
    })?;
    Ok(found.unwrap_or_else(|| Head { size: 0, root: ledger::tree::empty_root() }))
}

/// The numbers of a tile's members.
#[derive(Clone, Copy)]
struct Range {
    from: i64,
    to: i64,
    width: usize,
}

impl Range {
    fn of(index: u64, width: u16) -> Option<Self> {
        if !(1..=TILE).contains(&u64::from(width)) {
            return None;
        }
        let from = i64::try_from(index.checked_mul(TILE)?).ok()?;
        let to = from.checked_add(i64::from(width) - 1)?;
        Some(Self { from, to, width: width.into() })
    }

    fn read<T: rusqlite::types::FromSql>(
        self,
        db: &Reader<'_>,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<T>, ReadError> {
        db.all(sql, params, |row| row.get(0))
    }

    /// Hashes of leaves at level 0, of subtrees above.
    fn hashes(self, db: &Reader<'_>, realm: RealmKey, level: u8) -> Result<Vec<Hash>, ReadError> {
        match level {
            0 => self.read(
                db,
                "SELECT leaf FROM entry WHERE realm = ?1 AND number BETWEEN ?2 AND ?3 \
                 ORDER BY number",
                (realm.0, self.from, self.to),
            ),
            level => self.read(
                db,
                "SELECT hash FROM subtree WHERE realm = ?1 AND number BETWEEN ?2 AND ?3 \
                 AND level = ?4 ORDER BY number",
                (realm.0, self.from, self.to, level),
            ),
        }
    }

    fn is_filled<T>(self, found: &[T]) -> bool {
        found.len() == self.width
    }
}

/// The stored hashes of one ledger at one moment, read a tile at a time: a proof looks at most
/// members of the few tiles that it comes through.
pub struct StoredHashes<'r, 'd> {
    db: &'r Reader<'d>,
    realm: RealmKey,
    /// By level and number.
    tiles: RefCell<HashMap<(u8, u64), Vec<Hash>>>,
}

/// Tiles that are kept at hand, 8 KiB each: a proof comes through three of a level.
const TILES_MAX: usize = 32;

impl<'r, 'd> StoredHashes<'r, 'd> {
    pub(crate) fn new(db: &'r Reader<'d>, realm: RealmKey) -> Self {
        Self { db, realm, tiles: RefCell::default() }
    }

    fn member(&self, level: u8, index: u64) -> Option<Hash> {
        let (tile, place) = (index / TILE, usize::try_from(index % TILE).ok()?);
        let mut tiles = self.tiles.borrow_mut();
        if let Some(found) = tiles.get(&(level, tile)) {
            return found.get(place).copied();
        }
        let read = self.read(level, tile).ok()?;
        if tiles.len() == TILES_MAX {
            tiles.clear();
        }
        let found = read.get(place).copied();
        tiles.insert((level, tile), read);
        found
    }

    /// As much of a tile as there is.
    fn read(&self, level: u8, tile: u64) -> Result<Vec<Hash>, ReadError> {
        let Some(range) = Range::of(tile, 256) else { return Ok(Vec::new()) };
        range.hashes(self.db, self.realm, level)
    }
}

impl Hashes for StoredHashes<'_, '_> {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.member(0, index)
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.member(level, index)
    }
}
