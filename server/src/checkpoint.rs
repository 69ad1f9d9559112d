//! Signs the ledger's head: after durable commits, at most once a second, and once at a start for what a crash left
//! committed and unsigned.

use crate::house::House;
use ledger::note::{self, Checkpoint};
use registry::{ReadError, Realm};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Where the signed checkpoint of a realm is kept among the notes of the registry.
pub const SPACE: &str = "checkpoint";

/// Between two checkpoints: who waits for a receipt waits a second at most, and a busy ledger is not signed for every
/// commit.
const PAUSE: Duration = Duration::from_secs(1);

/// Signs again whenever `changed` says that a ledger grew. Ends with its task.
pub async fn keep(house: Arc<House>, changed: Arc<Notify>) {
    loop {
        sign_all(&house).await;
        tokio::time::sleep(PAUSE).await;
        changed.notified().await;
    }
}

/// Signs the head of every realm that grew since it was last signed.
pub async fn sign_all(house: &House) {
    for realm in house.realms() {
        match signed(house, &realm.realm) {
            Ok(Some(text)) => {
                let (answer, answered) = oneshot::channel();
                let tell = move |result| drop(answer.send(result));
                house.registry.note(realm.key, SPACE, b"", Some(text.into_bytes()), Box::new(tell));
                if let Ok(Err(error)) = answered.await {
                    tracing::error!(realm = %realm.name(), "the checkpoint could not be stored: {error}");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(realm = %realm.name(), "the checkpoint could not be made: {error}"),
        }
    }
}

/// The signed head, where it is not signed yet.
fn signed(house: &House, realm: &Realm) -> Result<Option<String>, ReadError> {
    let head = house.registry.head(realm.key)?;
    let checkpoint = Checkpoint { origin: realm.origin.clone(), size: head.size, root: head.root };
    let text = checkpoint.text();
    let stored = house.registry.noted(realm.key, SPACE, b"")?;
    if stored.is_some_and(|s| s.starts_with(text.as_bytes())) {
        return Ok(None);
    }
    match note::sign(&checkpoint, house.ledger_key.as_ref(), &realm.origin) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            tracing::error!(realm = %realm.name, "the ledger key did not sign: {error}");
            Ok(None)
        }
    }
}
