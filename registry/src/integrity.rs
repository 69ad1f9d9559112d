//! The long look: whether the whole file holds together.

use crate::change::about;
use crate::read::Reader;
use crate::realm::Realm;
use crate::rows::moment;
use crate::{ReadError, Registry};
use identity::text::rfc3339;
use identity::{DeviceId, UnixTime};
use ledger::note::{Checkpoint, Origin};
use ledger::tree::Head;
use ledger::verify::{Row, Verifier};
use ledger::{Entry, Payload};
use std::fmt;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The file itself, as SQLite tells it.
    File(String),
    /// A ledger.
    Ledger {
        /// Of which realm.
        realm: String,
        /// Where and what.
        what: String,
    },
    /// Rows that point to nothing.
    Rows {
        /// What they are.
        what: &'static str,
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what) => write!(f, "the file: {what}"),
            Self::Ledger { realm, what } => write!(f, "the ledger of realm `{realm}`: {what}"),
            Self::Rows { what, count } => write!(f, "{count} {what}"),
        }
    }
}

/// What must not be there, and how it is counted.
const ORPHANS: &[(&str, &str)] = &[
    (
        "credentials without a device",
        "SELECT COUNT(*) FROM credential WHERE NOT EXISTS (SELECT 1 FROM device \
         WHERE device.realm = credential.realm AND device.id = credential.device)",
    ),
    (
        "credentials without a certificate",
        "SELECT COUNT(*) FROM credential WHERE NOT EXISTS (SELECT 1 FROM certificate \
         WHERE certificate.realm = credential.realm AND certificate.serial = credential.serial)",
    ),
    (
        "devices without a credential",
        "SELECT COUNT(*) FROM device WHERE NOT EXISTS (SELECT 1 FROM credential \
         WHERE credential.realm = device.realm AND credential.device = device.id)",
    ),
    (
        "memberships without a device",
        "SELECT COUNT(*) FROM membership WHERE NOT EXISTS (SELECT 1 FROM device \
         WHERE device.realm = membership.realm AND device.id = membership.device)",
    ),
];

/// A hundred findings say enough.
const FINDINGS_MAX: i64 = 100;

impl Registry {
    /// Looks at everything: SQLite's own check of the file, every entry of every ledger hashed
    /// again against its tiles and its head, and rows that point to nothing. Takes seconds for a
    /// million devices and holds up nobody but one reader. Each look reads the state of a moment of
    /// its own: while a moment is read, the write-ahead log only grows. [`Registry::close`] ends it.
    /// Empty is good.
    ///
    /// # Errors
    /// [`ReadError::Storage`] where the look could not be finished.
    pub fn check_integrity(&self) -> Result<Vec<Finding>, ReadError> {
        let mut findings = self.pool().look(file)?;
        for (what, sql) in ORPHANS {
            let count = |db: &Reader<'_>| db.first(sql, [], |row| crate::rows::uint(row, 0));
            let count = self.pool().look(count)?.unwrap_or_default();
            if count > 0 {
                findings.push(Finding::Rows { what, count });
            }
        }
        for realm in self.realms() {
            if let Some(what) = self.check_ledger(&realm)? {
                findings.push(Finding::Ledger { realm: realm.name.to_string(), what });
            }
        }
        Ok(findings)
    }

    /// Every entry of one ledger hashed again against its tiles and its head, and what is stored
    /// beside it held against it. What breaks, `None` where it holds.
    ///
    /// # Errors
    /// [`ReadError::Storage`] where the look could not be finished.
    pub fn check_ledger(&self, realm: &Realm) -> Result<Option<String>, ReadError> {
        self.pool().look(|db| chain(db, realm))
    }
}

fn file(db: &Reader<'_>) -> Result<Vec<Finding>, ReadError> {
    let sql = format!("PRAGMA integrity_check({FINDINGS_MAX})");
    let told: Vec<String> = db.all(&sql, [], |row| row.get(0))?;
    Ok(told.into_iter().filter(|line| line != "ok").map(Finding::File).collect())
}

/// What breaks in a ledger, `None` where it holds.
fn chain(db: &Reader<'_>, realm: &Realm) -> Result<Option<String>, ReadError> {
    let head = db
        .first("SELECT size, root FROM realm WHERE realm = ?1", [realm.key.0], |row| {
            Ok(Head { size: crate::rows::uint(row, 0)?, root: row.get(1)? })
        })?
        .ok_or(ReadError::Damaged("realm"))?;
    let stored = crate::read::StoredHashes::new(db, realm.key);
    let mut verifier = Verifier::new();
    let sql = "SELECT entry, payload, salt, at, device FROM entry \
        WHERE realm = ?1 ORDER BY number";
    let broken = db.each(sql, [realm.key.0], |row| {
        let salt: Option<[u8; 32]> = row.get(2)?;
        let entry: Vec<u8> = row.get(0)?;
        let payload: Option<Vec<u8>> = row.get(1)?;
        let beside = Beside { at: moment(row, 3)?, device: row.get(4)? };
        let row = Row { entry: &entry, payload: payload.as_deref(), salt: salt.as_ref() };
        Ok(match verifier.feed(&row, &stored) {
            Ok(held) => beside.contradicts(&held, payload.as_deref()),
            Err(broken) => Some(broken.to_string()),
        })
    })?;
    if broken.is_some() {
        return Ok(broken);
    }
    let Some(origin) = Origin::parse(&realm.origin) else {
        return Ok(Some(format!("its origin `{}` is none", realm.origin)));
    };
    let against = Checkpoint { origin, size: head.size, root: head.root };
    Ok(verifier.finish(&against).err().map(|broken| broken.to_string()))
}

/// What stands beside an entry so that it is found. No hash is over it, and people read it all the
/// same: so it has to say what the entry says.
struct Beside {
    at: UnixTime,
    device: Option<Vec<u8>>,
}

impl Beside {
    fn contradicts(&self, entry: &Entry, payload: Option<&[u8]>) -> Option<String> {
        let index = entry.index;
        if self.at.hours() != entry.hours {
            let hour = UnixTime::from_secs(entry.hours.saturating_mul(3600));
            return Some(format!(
                "entry {index}: its moment is stored as {}, and it is of the hour from {} on",
                rfc3339(self.at),
                rfc3339(hour)
            ));
        }
        // What was erased names nobody any more.
        let device = about(&Payload::decode(payload?).ok()?);
        let told = device.as_ref().map(DeviceId::octets).map(<[u8; 16]>::as_slice);
        (told != self.device.as_deref())
            .then(|| format!("entry {index}: it is stored under another device than it names"))
    }
}
