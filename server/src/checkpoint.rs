//! Signs the ledger's head, has it seen, and shows it: after durable commits, at most once a second,
//! and once at a start for what a crash left committed and unsigned.
//!
//! Where the realm has witnesses, a checkpoint is published once enough of them have cosigned it
//! (`witness_quorum`, 1 by default); until then the one before stays. Those that are late are asked
//! on, and what they add is published with it.

mod start;

pub(crate) use start::continues;

use crate::house::{House, RealmState};
use crate::public::{Kind, PublicFile, PublicView};
use crate::witness::Named;
use crate::witness::ask::ask_all;
use ledger::note::{self, Checkpoint};
use ledger::{Origin, VerifierKey};
use registry::ReadError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Where the signed checkpoint of a realm is kept among the notes of the registry.
pub const SPACE: &str = "checkpoint";
/// Where the one that witnesses have seen is kept: what is published, where there are any.
pub const SEEN: &str = "checkpoint-seen";
/// Where the key that signs them is told: a copy of the database is verified without its keys.
pub const KEY: &str = "checkpoint-key";

/// Between two checkpoints: who waits for a receipt waits a second at most, and a busy ledger is
/// not signed for every commit.
const PAUSE: Duration = Duration::from_secs(1);
/// How often witnesses that are late are looked after while nothing happens.
const LOOK: Duration = Duration::from_secs(5);

/// Signs again whenever `changed` says that a ledger grew, and has witnesses see it. Ends with its
/// task.
pub async fn keep(house: Arc<House>, view: Arc<PublicView>, changed: Arc<Notify>) {
    loop {
        sign_all(&house, &view).await;
        witness_all(&house, &view).await;
        tokio::time::sleep(PAUSE).await;
        let _nothing_happened = tokio::time::timeout(LOOK, changed.notified()).await;
    }
}

/// Signs the head of every realm that grew since it was last signed, and shows what is published.
pub async fn sign_all(house: &House, view: &PublicView) {
    for realm in house.realms() {
        match signed(house, &realm) {
            Ok((text, stored)) => {
                if !stored {
                    stay(house, &realm).await;
                    store(house, &realm, SPACE, Some(text)).await;
                }
                tell_key(house, &realm).await;
                match published(house, &realm) {
                    Ok(Some((_, text))) => show(house, view, &realm, text),
                    Ok(None) => {}
                    Err(error) => tracing::error!("no checkpoint can be read: {error}"),
                }
            }
            Err(error) => {
                tracing::error!(realm = %realm.name(), "the checkpoint could not be made: {error}")
            }
        }
    }
}

/// Keeps the public key beside what it signed.
async fn tell_key(house: &House, realm: &RealmState) {
    let Some(origin) = Origin::parse(&realm.realm.origin) else { return };
    let key = VerifierKey::new(&origin, house.ledger_key.public()).map(|key| key.to_string());
    let told = house.registry.noted(realm.key, KEY, b"");
    if let (Some(key), Ok(told)) = (key, told)
        && told.as_deref() != Some(key.as_bytes())
    {
        store(house, realm, KEY, Some(key)).await;
    }
}

/// Where witnesses were named and none has seen anything yet, what was published until now stays so.
async fn stay(house: &House, realm: &RealmState) {
    let first = !realm.settings.witnesses().is_empty()
        && read(house, realm, SEEN).is_ok_and(|seen| seen.is_none());
    if let (true, Ok(Some((_, before)))) = (first, read(house, realm, SPACE)) {
        store(house, realm, SEEN, Some(before)).await;
    }
}

/// Asks the witnesses of every realm for what they have not cosigned yet, and publishes what enough
/// of them have.
pub async fn witness_all(house: &Arc<House>, view: &PublicView) {
    for realm in house.realms() {
        let witnesses = realm.settings.witnesses();
        let names = witnesses.iter().map(|named| named.name.as_str());
        house.metrics.witnesses(realm.name().as_str(), names);
        let done = match witnesses.is_empty() {
            true => forget(house, &realm).await,
            false => witness(house, view, &realm, &witnesses).await,
        };
        if let Err(error) = done {
            tracing::error!(realm = %realm.name(), "the checkpoint was not witnessed: {error}");
        }
    }
}

/// A realm without witnesses publishes what it signs: a checkpoint of when it had some would stay
/// for ever.
async fn forget(house: &House, realm: &RealmState) -> Result<(), String> {
    let seen = house.registry.noted(realm.key, SEEN, b"").map_err(|e| e.to_string())?;
    if seen.is_some() {
        store(house, realm, SEEN, None).await;
    }
    Ok(())
}

async fn witness(
    house: &Arc<House>,
    view: &PublicView,
    realm: &Arc<RealmState>,
    witnesses: &[Named],
) -> Result<(), String> {
    let (signed, _) = signed(house, realm)?;
    let checkpoint = note::unbelieved(&signed).map_err(|d| d.to_string())?;
    let seen = read(house, realm, SEEN).map_err(|e| e.to_string())?;
    // Of the same tree, what somebody cosigned already is kept.
    let kept = seen.filter(|(_, note)| note.starts_with(&checkpoint.text())).map(|(_, note)| note);
    let mut note = kept.clone().unwrap_or_else(|| signed.clone());
    let log = VerifierKey::new(&checkpoint.origin, house.ledger_key.public());
    let log = log.ok_or("the ledger's key is not Ed25519")?;
    let mut missing = witnesses.to_vec();
    missing.retain(|named| !has(&note, &log, named));
    let lines = ask_all(house, realm, &missing, &checkpoint, &signed).await;
    let count = witnesses.len() - missing.len() + lines.len();
    lines.iter().for_each(|line| note.push_str(line));
    let enough = count >= realm.settings.witness_quorum();
    if enough && (kept.is_none() || !lines.is_empty()) {
        store(house, realm, SEEN, Some(note.clone())).await;
        show(house, view, realm, note);
    }
    Ok(())
}

/// Whether a witness has cosigned this note.
fn has(note: &str, log: &VerifierKey, named: &Named) -> bool {
    let keys = [log.clone(), named.key.clone()];
    note::open_whole(note, &keys).is_ok_and(|opened| !opened.cosigned.is_empty())
}

fn show(house: &House, view: &PublicView, realm: &RealmState, text: String) {
    let path = format!("/ledger/{}/checkpoint", realm.name());
    if view.shown(&path).is_none_or(|file| file.octets() != text.as_bytes()) {
        let file = PublicFile::new(Kind::Checkpoint, text.into_bytes(), house.clock.now());
        view.show(&path, file);
    }
}

async fn store(house: &House, realm: &RealmState, space: &str, text: Option<String>) {
    let (answer, answered) = oneshot::channel();
    let tell = move |result| drop(answer.send(result));
    let octets = text.map(String::into_bytes);
    house.registry.note(realm.key, space, b"", octets, Box::new(tell));
    if let Ok(Err(error)) = answered.await {
        tracing::error!(realm = %realm.name(), "the checkpoint could not be stored: {error}");
    }
}

/// The checkpoint that is published, and what it says; `None` before the first.
///
/// # Errors
/// [`ReadError`] where the registry cannot be read.
pub fn published(
    house: &House,
    realm: &RealmState,
) -> Result<Option<(Checkpoint, String)>, ReadError> {
    if !realm.settings.witnesses().is_empty()
        && let Some(seen) = read(house, realm, SEEN)?
    {
        return Ok(Some(seen));
    }
    read(house, realm, SPACE)
}

fn read(
    house: &House,
    realm: &RealmState,
    space: &str,
) -> Result<Option<(Checkpoint, String)>, ReadError> {
    let noted = house.registry.noted(realm.key, space, b"")?;
    let text = noted.and_then(|octets| String::from_utf8(octets).ok());
    Ok(text.and_then(|text| Some((note::unbelieved(&text).ok()?, text))))
}

/// The head as it is now, signed.
///
/// # Errors
/// A sentence: the registry cannot be read, the key does not sign, or what was signed before says
/// otherwise.
pub fn fresh(house: &House, realm: &RealmState) -> Result<(Checkpoint, String), String> {
    let (text, _) = signed(house, realm)?;
    let checkpoint = note::unbelieved(&text).map_err(|defect| defect.to_string())?;
    Ok((checkpoint, text))
}

/// The signed head, and whether it is stored already.
fn signed(house: &House, realm: &RealmState) -> Result<(String, bool), String> {
    let before = read(house, realm, SPACE).map_err(|e| e.to_string())?;
    // Read after it: no checkpoint is stored before its entries are.
    let head = house.registry.head(realm.key).map_err(|e| e.to_string())?;
    let origin = Origin::parse(&realm.realm.origin).ok_or("the realm's origin cannot be read")?;
    let checkpoint = Checkpoint { origin, size: head.size, root: head.root };
    if let Some((before, text)) = before {
        if text.starts_with(&checkpoint.text()) {
            return Ok((text, true));
        }
        // Another signature would cover up what somebody did to the entries.
        if before.origin == checkpoint.origin && before.size >= checkpoint.size {
            return Err(format!(
                "{} entries were signed with another root: run `muster ledger verify` on the \
                 database of the stopped home",
                before.size
            ));
        }
    }
    let text = note::sign(&checkpoint, house.ledger_key.as_ref()).map_err(|e| e.to_string())?;
    Ok((text, false))
}
