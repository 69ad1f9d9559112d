//! Publishes the CRLs of every authority whose key is here: soon after a credential ended or came
//! back, and on a schedule before the last ones end. The root's comes from `HOME/offline`, signed
//! by hand.

use crate::house::{House, RealmState, SHARDS};
use crate::public::{Kind, PublicFile, PublicView};
use ca::crl::{self, Crl, Revoked, Scope};
use identity::authority::{Authority, AuthorityState, Role};
use identity::{Signer, UnixTime};
use registry::ReadError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The number of the newest CRL of an authority, among the notes of the registry.
const SPACE: &str = "crl-number";

/// How long a CRL is good: a verifier without a network survives a weekend, and no longer.
const GOOD_S: u64 = 3 * 86_400;

/// How often CRLs are made anew without a reason: a verifier's cache is at most an hour behind.
const SCHEDULE: Duration = Duration::from_secs(3600);

/// After a revocation others usually follow (a suspension of a group): they share a CRL.
const GATHER: Duration = Duration::from_millis(200);

/// Publishes now, on every `changed`, and on schedule. Ends with its task.
pub async fn keep(house: Arc<House>, view: Arc<PublicView>, changed: Arc<Notify>) {
    loop {
        publish_all(&house, &view).await;
        // Time out and notice mean the same: make them anew.
        let _either = tokio::time::timeout(SCHEDULE, changed.notified()).await;
        tokio::time::sleep(GATHER).await;
    }
}

/// Publishes the CRLs of every realm.
pub async fn publish_all(house: &House, view: &PublicView) {
    for realm in house.realms() {
        for authority in &realm.authorities {
            let Some(key) = house.signer(&authority.id) else { continue };
            let signs = matches!(authority.role, Role::Birth | Role::Operations | Role::Service);
            if !signs || authority.state == AuthorityState::Barred {
                continue;
            }
            match publish(house, view, &realm, authority, key.as_ref()).await {
                Ok(at) => house.metrics.crl_published(realm.name().as_str(), at.secs()),
                Err(error) => {
                    tracing::error!(realm = %realm.name(), issuer = %authority.id, "no CRL was made: {error}");
                }
            }
        }
    }
}

async fn publish(
    house: &House,
    view: &PublicView,
    realm: &RealmState,
    authority: &Authority,
    key: &dyn Signer,
) -> Result<UnixTime, ReadError> {
    let now = house.clock.now();
    let number = next_number(house, realm, authority).await?;
    let mut files = vec![(None, Scope::Complete)];
    for shard in 0..SHARDS {
        // Without a public address no certificate names a shard, and none is published.
        if let Some(url) = house.addresses(realm).shard(&authority.id, shard) {
            files.push((Some(shard), Scope::Shard { url }));
        }
    }
    for (shard, scope) in files {
        let revoked = house.registry.revoked(realm.key, &authority.id, shard)?;
        let entries = revoked
            .into_iter()
            .map(|row| Revoked {
                serial: row.serial,
                at: row.revocation.at,
                reason: row.revocation.reason,
            })
            .collect();
        let next_update = now.plus_secs(GOOD_S);
        let crl = Crl { number, this_update: now, next_update, scope, entries };
        match crl::sign(&authority.certificate, key, crl) {
            Ok(der) => {
                let shard = shard.map(|s| format!("/{s}")).unwrap_or_default();
                let path = format!("/crl/{}/{}{shard}.crl", realm.name(), authority.id);
                view.show(&path, PublicFile::new(Kind::Crl, der, now));
            }
            Err(error) => tracing::error!(issuer = %authority.id, "a CRL was not signed: {error}"),
        }
    }
    Ok(now)
}

/// A number that was never used before, durable before a CRL carries it (RFC 5280 §5.2.3: it only
/// grows).
async fn next_number(
    house: &House,
    realm: &RealmState,
    authority: &Authority,
) -> Result<u64, ReadError> {
    let key = authority.id.octets();
    let stored = house.registry.noted(realm.key, SPACE, key)?;
    let last = stored.and_then(|s| s.try_into().ok()).map_or(0, u64::from_be_bytes);
    let number = last + 1;
    let (answer, answered) = oneshot::channel();
    let tell = move |result| drop(answer.send(result));
    let value = number.to_be_bytes().to_vec();
    house.registry.note(realm.key, SPACE, key, Some(value), Box::new(tell));
    if let Ok(Err(error)) = answered.await {
        tracing::error!(issuer = %authority.id, "the number of a CRL could not be stored: {error}");
    }
    Ok(number)
}
