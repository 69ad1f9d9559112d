//! The database of a stopped home, or a copy of it.

use super::{Course, NEXT, Proof, Verify, Whose, With};
use crate::failure::{Failure, Outcome};
use api::HeadView;
use identity::Signer;
use identity::text::hex;
use ledger::{Origin, Row, VerifierKey};
use registry::{Options, Realm, Registry};
use server::checkpoint::{KEY, SEEN, SPACE};
use server::keys::KeyStore;
use std::fmt::Display;
use std::path::Path;

/// Entries that are read from a database at once.
const ROWS: usize = 1000;

/// Computes the ledger of each of its realms again.
pub(super) fn proofs(typed: &Verify, path: &Path) -> Outcome<Vec<Proof>> {
    if let Some(home) = path.parent() {
        crate::home::refuse_running(home)?;
    }
    let failed = |e: &dyn Display| Failure::new(format!("`{}`: {e}", path.display()));
    let options = Options { readers: 1, queue: 1 };
    let registry = Registry::open(path, options).map_err(|e| failed(&e))?;
    let mut proofs = Vec::new();
    for realm in registry.realms() {
        let with = with(&registry, &realm, path).map_err(|e| failed(&e))?;
        let mut course = Course::new(typed, &with)?;
        loop {
            let from = course.verifier.size();
            let page = registry.entries(realm.key, from, ROWS).map_err(|e| failed(&e))?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                course.feed(&Row {
                    entry: &row.entry,
                    payload: row.payload.as_deref(),
                    salt: row.salt.as_ref(),
                })?;
            }
        }
        // What stands beside the entries: the tiles, and by what they are found.
        if let Some(what) = registry.check_ledger(&realm).map_err(|e| failed(&e))? {
            return Err(Failure::new(format!("the ledger breaks: {what}")).next(NEXT));
        }
        proofs.push(course.end(typed, &with)?);
    }
    registry.close();
    Ok(proofs)
}

/// What stands in the database beside the entries.
fn with(registry: &Registry, realm: &Realm, path: &Path) -> Result<With, registry::ReadError> {
    let noted = |space: &str| {
        let octets = registry.noted(realm.key, space, b"");
        octets.map(|o| o.map(|octets| String::from_utf8_lossy(&octets).into_owned()))
    };
    let head = registry.head(realm.key)?;
    let (own, told) = (kept_key(path, &realm.origin), noted(KEY)?);
    let key = Some(if own.is_some() { Whose::Own } else { Whose::File });
    let head = HeadView {
        origin: realm.origin.clone(),
        size: head.size,
        root: hex(&head.root),
        // After a crash it is about fewer entries than there are; the next start signs again.
        checkpoint: noted(SPACE)?,
        verifier: own.or(told),
    };
    Ok(With { head: Some(head), key, notes: noted(SEEN)?.into_iter().collect() })
}

/// The public half of the key that lies in the home of this database, where it can be read.
fn kept_key(database: &Path, origin: &str) -> Option<String> {
    let keys = database.parent()?.join("keys");
    let loaded = KeyStore::open(&keys).ok()?.load("ledger").ok()?;
    VerifierKey::new(&Origin::parse(origin)?, loaded.key.public()).map(|key| key.to_string())
}
