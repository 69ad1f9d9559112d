//! Signs the ledger's head: after durable commits, at most once a second, and once at a start for
//! what a crash left committed and unsigned.

use crate::house::{House, RealmState};
use crate::public::{Kind, PublicFile, PublicView};
use ledger::Origin;
use ledger::note::{self, Checkpoint};
use registry::{ReadError, Realm};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Where the signed checkpoint of a realm is kept among the notes of the registry.
pub const SPACE: &str = "checkpoint";

/// Between two checkpoints: who waits for a receipt waits a second at most, and a busy ledger is
/// not signed for every commit.
const PAUSE: Duration = Duration::from_secs(1);

/// Signs again whenever `changed` says that a ledger grew. Ends with its task.
pub async fn keep(house: Arc<House>, view: Arc<PublicView>, changed: Arc<Notify>) {
    loop {
        sign_all(&house, &view).await;
        tokio::time::sleep(PAUSE).await;
        changed.notified().await;
    }
}

/// Signs the head of every realm that grew since it was last signed, and shows it.
pub async fn sign_all(house: &House, view: &PublicView) {
    for realm in house.realms() {
        match signed(house, &realm.realm) {
            Ok((text, stored)) => {
                let path = format!("/ledger/{}/checkpoint", realm.name());
                let octets = text.clone().into_bytes();
                view.show(&path, PublicFile::new(Kind::Checkpoint, octets, house.clock.now()));
                if stored {
                    continue;
                }
                let (answer, answered) = oneshot::channel();
                let tell = move |result| drop(answer.send(result));
                house.registry.note(realm.key, SPACE, b"", Some(text.into_bytes()), Box::new(tell));
                if let Ok(Err(error)) = answered.await {
                    tracing::error!(realm = %realm.name(), "the checkpoint could not be stored: {error}");
                }
            }
            Err(error) => {
                tracing::error!(realm = %realm.name(), "the checkpoint could not be made: {error}")
            }
        }
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
    let noted = house.registry.noted(realm.key, SPACE, b"")?;
    let text = noted.and_then(|octets| String::from_utf8(octets).ok());
    Ok(text.and_then(|text| Some((note::unbelieved(&text).ok()?, text))))
}

/// The signed head, and whether it is stored already.
fn signed(house: &House, realm: &Realm) -> Result<(String, bool), String> {
    let head = house.registry.head(realm.key).map_err(|e| e.to_string())?;
    let origin = Origin::parse(&realm.origin).ok_or("the realm's origin cannot be read")?;
    let checkpoint = Checkpoint { origin, size: head.size, root: head.root };
    let stored = house.registry.noted(realm.key, SPACE, b"").map_err(|e| e.to_string())?;
    let stored = stored.and_then(|s| String::from_utf8(s).ok());
    if let Some(text) = stored.filter(|s| s.starts_with(&checkpoint.text())) {
        return Ok((text, true));
    }
    let text = note::sign(&checkpoint, house.ledger_key.as_ref()).map_err(|e| e.to_string())?;
    Ok((text, false))
}
