//! What a killed server left behind, held against what it had promised.

pub mod shown;
mod standing;

use super::load::flock::Flock;
use super::load::roll::Roller;
use super::load::{Book, Task, Worker};
use super::unit::Unit;
use crate::Failure;
use crate::audit;
use crate::dice::Dice;
use crate::disk::vfs;
use crate::power::reference::scratch;
use identity::key::sha256;
use identity::token::TokenId;
use identity::{Credential, DeviceId, Serial, SpkiHash};
use ledger::{Payload, Row, Value, Verifier};
use registry::{RealmKey, Registry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The realm of a new home.
const REALM: RealmKey = RealmKey(1);

/// What there was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Devices.
    pub devices: usize,
    /// Certificates.
    pub certificates: usize,
    /// Entries.
    pub entries: u64,
}

/// Opens a copy of what is in `home`, so that the server itself finds it as it was left.
///
/// # Errors
/// What does not hold.
pub fn check(
    home: &Path,
    book: &Book,
    workers: &[Worker],
    dice: &mut Dice,
) -> Result<(Found, shown::Owed), Failure> {
    let place = scratch()?;
    vfs::lay(place.path(), &vfs::lift(home)?)?;
    let registry = audit::open_sound(&place.path().join("muster.db"))?;
    let credentials = audit::credentials(&registry, REALM)?;
    let told = ledger(&registry, book)?;
    let erased = erased(&registry)?;
    // Of what was erased, numbers and dates are left.
    let (gone, left): (Vec<_>, Vec<_>) =
        credentials.iter().cloned().partition(|c| erased.contains(&c.device));
    same_serials(&left, &told)?;
    acknowledged(&left, &gone, book)?;
    once(&left, book, workers)?;
    standing::look(&registry, &credentials, (book, workers))?;
    tokens(&registry, book, &told)?;
    taken_back(&registry, workers, &told)?;
    let found = Found {
        devices: audit::devices(&registry, REALM)?.len(),
        certificates: credentials.len(),
        entries: registry.head(REALM)?.size,
    };
    Ok((found, shown::Owed::note(&registry, &credentials, dice)?))
}

fn erased(registry: &Registry) -> Result<BTreeSet<DeviceId>, Failure> {
    let mut erased = BTreeSet::new();
    for device in audit::devices(registry, REALM)? {
        if registry.erased_at(REALM, &device.id)?.is_some() {
            erased.insert(device.id);
        }
    }
    Ok(erased)
}

/// What the ledger tells of certificates and tokens.
#[derive(Default)]
struct Told {
    serials: BTreeSet<Serial>,
    tokens: BTreeMap<String, u32>,
    /// How often a token's revocation is told.
    ended: BTreeMap<String, u32>,
}

/// Computes the ledger again, past every head that was ever shown.
fn ledger(registry: &Registry, book: &Book) -> Result<Told, Failure> {
    let heads: HashMap<u64, [u8; 32]> = book.heads.iter().map(|h| (h.size, h.root)).collect();
    let shown = book.heads.iter().map(|head| head.size).max().unwrap_or_default();
    let mut told = Told::default();
    let mut verifier = Verifier::new();
    loop {
        let rows = registry.entries(REALM, verifier.size(), usize::MAX)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let payload = row.payload.as_deref();
            let fed = Row { entry: &row.entry, payload, salt: row.salt.as_ref() };
            verifier.feed(&fed, &()).map_err(|e| e.to_string())?;
            let head = verifier.head();
            if heads.get(&head.size).is_some_and(|root| *root != head.root) {
                return Err(format!("the head over {} entries is another now", head.size).into());
            }
            payload.map_or(Ok(()), |payload| told.read(payload))?;
        }
    }
    if verifier.head() != registry.head(REALM)? {
        return Err("the head does not go with the entries".into());
    }
    if verifier.size() < shown {
        let size = verifier.size();
        return Err(format!("{size} entries, and a head over {shown} was shown").into());
    }
    Ok(told)
}

impl Told {
    fn read(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let payload = Payload::decode(payload).map_err(|d| d.sentence.into_owned())?;
        let token = payload.get("token").and_then(Value::as_text);
        if payload.verb() == "token.revoked" {
            let token = token.ok_or("an entry of a revoked token without its id")?;
            *self.ended.entry(token.to_owned()).or_default() += 1;
        }
        if !payload.verb().ends_with(".issued") {
            return Ok(());
        }
        let serial = payload.get("serial").and_then(Value::as_bytes).and_then(Serial::from_octets);
        let serial = serial.ok_or("an entry of a certificate without its serial number")?;
        if !self.serials.insert(serial) {
            return Err(format!("two entries tell of certificate {serial}").into());
        }
        if let Some(token) = token {
            *self.tokens.entry(token.to_owned()).or_default() += 1;
        }
        Ok(())
    }
}

/// The tables say nothing that the ledger does not, and the other way round.
fn same_serials(credentials: &[Credential], told: &Told) -> Result<(), Failure> {
    let stored: BTreeSet<Serial> = credentials.iter().map(|c| c.serial).collect();
    match stored.symmetric_difference(&told.serials).next() {
        None => Ok(()),
        Some(serial) if stored.contains(serial) => {
            Err(format!("certificate {serial} is there without an entry").into())
        }
        Some(serial) => Err(format!("certificate {serial} has an entry and is not there").into()),
    }
}

fn acknowledged(
    credentials: &[Credential],
    gone: &[Credential],
    book: &Book,
) -> Result<(), Failure> {
    let gone: BTreeSet<Serial> = gone.iter().map(|c| c.serial).collect();
    let stored: HashMap<Serial, [u8; 32]> =
        credentials.iter().map(|c| (c.serial, sha256(&[&c.der]))).collect();
    for promised in &book.acknowledged {
        let serial = promised.serial;
        match stored.get(&serial) {
            None if gone.contains(&serial) => {}
            None => return Err(format!("certificate {serial} was handed over and is lost").into()),
            Some(print) if *print != promised.fingerprint => {
                return Err(format!("certificate {serial} is another than was handed over").into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A retry gets the certificate that was lost, and not a second one.
fn once(credentials: &[Credential], book: &Book, workers: &[Worker]) -> Result<(), Failure> {
    let mut of_key: HashMap<SpkiHash, u32> = HashMap::new();
    for credential in credentials {
        *of_key.entry(credential.spki).or_default() += 1;
    }
    // A key that was kept at a renewal has more than one by right.
    let mut kept: BTreeSet<[u8; 32]> = BTreeSet::new();
    for unit in units(book, workers) {
        kept.extend(unit.kept.iter().map(|key| *key.octets()));
    }
    // Only of those that are left: an erased one is not asked for again.
    let left: BTreeSet<Serial> = credentials.iter().map(|c| c.serial).collect();
    let only = book.acknowledged.iter().filter(|a| left.contains(&a.serial));
    let only = only.filter_map(|a| a.only_of);
    match only.filter(|key| !kept.contains(key.octets())).find(|key| of_key.get(key) != Some(&1)) {
        None => Ok(()),
        Some(key) => Err(format!("key {key} has {:?} certificates", of_key.get(&key)).into()),
    }
}

fn tokens(registry: &Registry, book: &Book, told: &Told) -> Result<(), Failure> {
    for id in &book.tokens {
        let parsed = TokenId::parse(id).ok_or("a token without an id")?;
        let token = registry.token(REALM, &parsed)?;
        let token = token.ok_or_else(|| format!("token {id} was handed over and is lost"))?;
        let spent = token.uses - token.uses_left;
        let joined = told.tokens.get(id).copied().unwrap_or_default();
        if spent != joined {
            return Err(format!("token {id} is spent {spent} times for {joined} joins").into());
        }
    }
    Ok(())
}

/// What was revoked stays so, and is told of once; what nobody asked to revoke is as it was made.
fn taken_back(registry: &Registry, workers: &[Worker], told: &Told) -> Result<(), Failure> {
    let mints = workers.iter().filter_map(|worker| match worker.task() {
        Task::Mint(mint) => Some(mint),
        Task::Unit(_) | Task::Flock(_) | Task::Roll(_) => None,
    });
    for mint in mints {
        for (id, revoked) in
            mint.revoked().map(|id| (id, true)).chain(mint.live().map(|id| (id, false)))
        {
            let parsed = TokenId::parse(id).ok_or("a token without an id")?;
            let token = registry.token(REALM, &parsed)?;
            let token = token.ok_or_else(|| format!("token {id} was handed over and is lost"))?;
            let ends = told.ended.get(id).copied().unwrap_or_default();
            if (token.revoked.is_some(), ends) != (revoked, u32::from(revoked)) {
                let at = token.revoked;
                let what = format!("revoked {at:?} and told {ends} times, and answered: {revoked}");
                return Err(format!("token {id} is {what}").into());
            }
        }
    }
    Ok(())
}

fn units<'a>(book: &'a Book, workers: &'a [Worker]) -> impl Iterator<Item = &'a Unit> {
    let at = workers.iter().filter_map(|worker| match worker.task() {
        Task::Unit(unit) => Some(&**unit),
        Task::Flock(_) | Task::Roll(_) | Task::Mint(_) => None,
    });
    book.done.iter().chain(at)
}

fn flocks<'a>(book: &'a Book, workers: &'a [Worker]) -> impl Iterator<Item = &'a Flock> {
    let at = workers.iter().filter_map(|worker| match worker.task() {
        Task::Flock(flock) => Some(flock),
        Task::Unit(_) | Task::Roll(_) | Task::Mint(_) => None,
    });
    book.flocks.iter().chain(at)
}

fn rollers(workers: &[Worker]) -> impl Iterator<Item = &Roller> {
    workers.iter().filter_map(|worker| match worker.task() {
        Task::Roll(roller) => Some(roller),
        Task::Unit(_) | Task::Flock(_) | Task::Mint(_) => None,
    })
}
