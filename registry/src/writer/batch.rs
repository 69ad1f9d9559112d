//! One transaction: jobs go in one after the other, each is checked against what the file and the
//! jobs before it say, and leaves its rows, its entry, and in [`Pending`] what memory shall learn
//! once all of it is durable.

use super::{Job, Note};
use crate::change::{Change, Clash, Cut, Draft};
use crate::realm::{Realm, RealmKey};
use crate::roll::{Roll, Turn};
use crate::rows::{int, millis, moment};
use identity::SpkiHash;
use identity::UnixTime;
use identity::credential::Reason;
use identity::device::DeviceId;
use ledger::tree::{Frontier, leaf_hash};
use rusqlite::{Connection, Params};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Why a change is not written.
pub(super) enum Stop {
    /// A precondition does not hold; the others of the batch go on.
    Clash(Clash),
    /// The file fails; the whole batch fails with it.
    Sql(rusqlite::Error),
}

impl From<Clash> for Stop {
    fn from(clash: Clash) -> Self {
        Self::Clash(clash)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// A change was checked and written, or not begun.
pub(super) type Step = Result<(), Stop>;

/// Where and when a change happens, and which entry will tell of it.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) realm: RealmKey,
    pub(super) at: UnixTime,
    pub(super) entry: u64,
}

/// What memory learns after the commit.
#[derive(Clone, Default)]
pub(super) struct Pending {
    pub(super) turns: Vec<Turn>,
    pub(super) cuts: Vec<Cut>,
    /// How many credentials were revoked or put on hold, and why.
    pub(super) revoked: BTreeMap<(RealmKey, Reason), u64>,
    pub(super) founded: Vec<Realm>,
    /// Whether a token was used up, revoked or erased.
    pub(super) touched_token: bool,
    /// The edges of the trees that grew.
    pub(super) ledgers: BTreeMap<RealmKey, Frontier>,
    /// When the last entry of this batch was decided.
    last: BTreeMap<RealmKey, UnixTime>,
    /// Keys that the roll does not know yet.
    keys: HashMap<(RealmKey, SpkiHash), DeviceId>,
    compromised: HashSet<(RealmKey, SpkiHash)>,
}

pub(super) struct Batch<'a> {
    db: &'a Connection,
    roll: &'a Roll,
    ledgers: &'a BTreeMap<RealmKey, Frontier>,
    pub(super) pending: Pending,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        db: &'a Connection,
        roll: &'a Roll,
        ledgers: &'a BTreeMap<RealmKey, Frontier>,
    ) -> Self {
        Self { db, roll, ledgers, pending: Pending::default() }
    }

    /// Writes one job; the number of its entry, where it has one.
    pub(super) fn take(&mut self, job: &Job) -> Result<Option<u64>, Stop> {
        match job {
            Job::Commit(commit) => {
                let entry = self.size(commit.realm);
                let scene = Scene { realm: commit.realm, at: commit.draft.at, entry };
                if !self.knows(scene.realm) && !founds(&commit.change, scene.realm) {
                    return Err(Clash::Missing.into());
                }
                self.apply(scene, &commit.change)?;
                Ok(Some(self.append(scene.realm, &commit.draft)?))
            }
            Job::Note(note) => {
                self.note(note)?;
                Ok(None)
            }
            Job::Scrub(_) | Job::Stop => Ok(None),
        }
    }

    /// Writes the heads of the trees that grew. If we crash before the commit, entries and heads
    /// vanish together.
    pub(super) fn finish(self) -> rusqlite::Result<Pending> {
        for (realm, frontier) in &self.pending.ledgers {
            self.run(
                "UPDATE realm SET size = ?2, root = ?3, frontier = ?4 WHERE realm = ?1",
                (realm.0, int(frontier.size()), frontier.root(), frontier.encode()),
            )?;
        }
        Ok(self.pending)
    }

    /// All of `changes` or none of them.
    pub(super) fn apply_all(&mut self, scene: Scene, changes: &[Change]) -> Step {
        let before = self.pending.clone();
        self.db.execute_batch("SAVEPOINT several")?;
        for change in changes {
            if let Err(stop) = self.apply(scene, change) {
                // Where the file fails the whole transaction goes, and SQLite may have ended it
                // already: what is told is why.
                if matches!(stop, Stop::Clash(_)) {
                    self.db.execute_batch("ROLLBACK TO several; RELEASE several")?;
                }
                self.pending = before;
                return Err(stop);
            }
        }
        self.db.execute_batch("RELEASE several")?;
        Ok(())
    }

    pub(super) fn found(&mut self, realm: &Realm) -> Step {
        let taken = "SELECT 1 FROM realm WHERE realm = ?1 OR name = ?2 OR id = ?3";
        if self.exists(taken, (realm.key.0, realm.name.as_str(), realm.id))? {
            return Err(Clash::Exists.into());
        }
        let empty = Frontier::new();
        self.run(
            "INSERT INTO realm (realm, name, id, origin, founded, size, root, frontier) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
            (
                realm.key.0,
                realm.name.as_str(),
                realm.id,
                &realm.origin,
                millis(realm.founded),
                empty.root(),
                empty.encode(),
            ),
        )?;
        self.pending.ledgers.insert(realm.key, empty);
        self.pending.founded.push(realm.clone());
        Ok(())
    }

    /// Whose key it is, as far as the roll and this batch know.
    pub(super) fn owner_of(&self, realm: RealmKey, key: &SpkiHash) -> Option<DeviceId> {
        let fresh = self.pending.keys.get(&(realm, *key)).copied();
        fresh.or_else(|| self.roll.lookup(realm, key).map(|seen| seen.device))
    }

    pub(super) fn is_compromised(&self, realm: RealmKey, key: &SpkiHash) -> bool {
        self.pending.compromised.contains(&(realm, *key))
            || self.roll.lookup(realm, key).is_some_and(|seen| seen.compromised)
    }

    pub(super) fn own(&mut self, realm: RealmKey, key: SpkiHash, device: DeviceId) {
        self.pending.keys.insert((realm, key), device);
    }

    /// Marks a key for good.
    pub(super) fn compromise(&mut self, scene: Scene, key: SpkiHash) -> rusqlite::Result<()> {
        self.run(
            "INSERT INTO compromised (realm, spki, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (scene.realm.0, key.octets(), millis(scene.at)),
        )?;
        self.pending.compromised.insert((scene.realm, key));
        self.pending.turns.push(Turn::Compromised { realm: scene.realm, spki: key });
        Ok(())
    }

    /// Executes a statement, prepared once; the count of rows that it changed.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.db.prepare_cached(sql)?.execute(params)
    }

    /// Whether the query has a row.
    pub(super) fn exists(&self, sql: &str, params: impl Params) -> rusqlite::Result<bool> {
        self.db.prepare_cached(sql)?.exists(params)
    }

    /// The first row of a query.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// All rows of a query.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.db.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    fn knows(&self, realm: RealmKey) -> bool {
        self.ledgers.contains_key(&realm) || self.pending.ledgers.contains_key(&realm)
    }

    /// The entries of a ledger so far, this batch's among them: the number of the next one.
    fn size(&self, realm: RealmKey) -> u64 {
        let edge = self.pending.ledgers.get(&realm).or_else(|| self.ledgers.get(&realm));
        edge.map_or(0, Frontier::size)
    }

    fn append(&mut self, realm: RealmKey, draft: &Draft) -> Result<u64, Stop> {
        if !self.pending.ledgers.contains_key(&realm) {
            let edge = self.ledgers.get(&realm).ok_or(Clash::Missing)?;
            self.pending.ledgers.insert(realm, edge.clone());
        }
        let index = self.size(realm);
        let at = self.not_before_the_last(realm, index, draft.at)?;
        let edge = self.pending.ledgers.get_mut(&realm).ok_or(Clash::Missing)?;
        let digest = ledger::digest(&draft.salt, &draft.payload);
        let entry = ledger::Entry::new(index, at, draft.class, digest).encode();
        let leaf = leaf_hash(&entry);
        let completed = edge.append(leaf);
        self.pending.last.insert(realm, at);
        self.run(
            "INSERT INTO entry (realm, number, at, entry, leaf, payload, salt, device) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            (
                realm.0,
                int(index),
                millis(at),
                entry,
                leaf,
                &draft.payload,
                draft.salt,
                draft.device.map(|device| *device.octets()),
            ),
        )?;
        for subtree in completed {
            self.run(
                "INSERT INTO subtree (realm, level, number, hash) VALUES (?1, ?2, ?3, ?4)",
                (realm.0, subtree.level, int(subtree.index), subtree.hash),
            )?;
        }
        Ok(index)
    }

    /// When an entry was decided, as the ledger tells it: a clock that was set back does not turn
    /// the order of entries around.
    fn not_before_the_last(
        &self,
        realm: RealmKey,
        index: u64,
        at: UnixTime,
    ) -> rusqlite::Result<UnixTime> {
        if let Some(last) = self.pending.last.get(&realm) {
            return Ok(at.max(*last));
        }
        let Some(last) = index.checked_sub(1) else { return Ok(at) };
        let sql = "SELECT at FROM entry WHERE realm = ?1 AND number = ?2";
        let last = self.first(sql, (realm.0, int(last)), |row| moment(row, 0))?;
        Ok(last.map_or(at, |last| last.max(at)))
    }

    fn note(&self, note: &Note) -> Step {
        let key = (note.realm.0, &note.space, &note.key);
        if !self.knows(note.realm) {
            return Err(Clash::Missing.into());
        }
        match &note.value {
            Some(value) => self.run(
                "INSERT INTO note (realm, space, name, value) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (realm, space, name) DO UPDATE SET value = excluded.value",
                (key.0, key.1, key.2, value),
            )?,
            None => {
                self.run("DELETE FROM note WHERE realm = ?1 AND space = ?2 AND name = ?3", key)?
            }
        };
        Ok(())
    }
}

/// Whether the change begins by founding the realm.
fn founds(change: &Change, realm: RealmKey) -> bool {
    match change {
        Change::Found(found) => found.key == realm,
        Change::Batch(changes) => changes.first().is_some_and(|first| founds(first, realm)),
        _ => false,
    }
}
