//! Publishes the CRLs of every authority whose key is here: soon after a credential ended or came
//! back, and on a schedule before the last ones end. The root's comes from `HOME/offline`, signed
//! by hand.

use crate::house::{House, RealmState, SHARDS};
use crate::public::{Kind, PublicFile, PublicView};
use ca::crl::{self, Crl, Revoked, Scope};
use identity::authority::{Authority, AuthorityState, Role};
use identity::{KeyError, Signer, UnixTime};
use registry::{CommitError, ReadError};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The number of the newest CRL of an authority, among the notes of the registry.
const SPACE: &str = "crl-number";

/// How long a CRL is good: a verifier without a network survives a weekend, and no longer.
const GOOD_S: u64 = 3 * 86_400;

/// How often CRLs are made anew without a reason: a verifier's cache is at most an hour behind.
const SCHEDULE: Duration = Duration::from_secs(3600);

/// After a revocation others usually follow (a suspension of a group): they share a CRL.
const GATHER: Duration = Duration::from_millis(200);

/// Between two builds at least so many times as long as the last one took: a fleet that changes all
/// the time pays a tenth of a processor for its lists, and no more.
const REST: u32 = 10;

/// However long a build takes, a verifier hears of a revocation within five seconds.
const REST_MAX: Duration = Duration::from_secs(3);

/// Publishes now, on every `changed`, and on schedule. Ends with its task.
pub async fn keep(house: Arc<House>, view: Arc<PublicView>, changed: Arc<Notify>) {
    loop {
        let began = Instant::now();
        publish_all(&house, &view).await;
        let rest = GATHER.max(began.elapsed() * REST).min(REST_MAX);
        // Time out and notice mean the same: make them anew.
        let _either = tokio::time::timeout(SCHEDULE, changed.notified()).await;
        tokio::time::sleep(rest).await;
    }
}

/// Publishes the CRLs of every realm. Signing is work, so it has a thread of its own.
pub async fn publish_all(house: &Arc<House>, view: &Arc<PublicView>) {
    let (house, view) = (house.clone(), view.clone());
    let done = tokio::task::spawn_blocking(move || {
        for realm in house.realms() {
            publish_realm(&house, &view, &realm);
        }
    });
    if let Err(error) = done.await {
        tracing::error!("CRLs were not made: {error}");
    }
}

fn publish_realm(house: &House, view: &PublicView, realm: &RealmState) {
    for authority in &realm.authorities {
        let Some(key) = house.signer(&authority.id) else { continue };
        let signs = matches!(authority.role, Role::Birth | Role::Operations | Role::Service);
        if !signs || authority.state == AuthorityState::Barred {
            continue;
        }
        match publish(house, view, realm, authority, key.as_ref()) {
            Ok(at) => house.metrics.crl_published(realm.name().as_str(), at.secs()),
            Err(error) => {
                tracing::error!(realm = %realm.name(), issuer = %authority.id, "no CRL: {error}");
            }
        }
    }
}

/// Makes and shows every list of one authority.
fn publish(
    house: &House,
    view: &PublicView,
    realm: &RealmState,
    authority: &Authority,
    key: &dyn Signer,
) -> Result<UnixTime, Unpublished> {
    let now = house.clock.now();
    let number = next_number(house, realm, authority)?;
    let mut files = vec![(None, Scope::Complete)];
    for shard in 0..SHARDS {
        // Without a public address no certificate names a shard, and none is published.
        if let Some(url) = house.addresses(realm).shard(&authority.id, shard) {
            files.push((Some(shard), Scope::Shard { url }));
        }
    }
    for (shard, scope) in files {
        let revoked = house.registry.revoked(realm.key, &authority.id, shard)?;
        let entries = revoked.into_iter().map(|row| Revoked {
            serial: row.serial,
            at: row.revocation.at,
            reason: row.revocation.reason,
        });
        let (next_update, entries) = (now.plus_secs(GOOD_S), entries.collect());
        let list = Crl { number, this_update: now, next_update, scope, entries };
        let der = crl::sign(&authority.certificate, key, list)?;
        let shard = shard.map(|s| format!("/{s}")).unwrap_or_default();
        let path = format!("/crl/{}/{}{shard}.crl", realm.name(), authority.id);
        view.show(&path, PublicFile::new(Kind::Crl, der, now));
    }
    Ok(now)
}

/// A number that was never used before, durable before a CRL carries it (RFC 5280 §5.2.3: it only
/// grows).
fn next_number(
    house: &House,
    realm: &RealmState,
    authority: &Authority,
) -> Result<u64, Unpublished> {
    let key = authority.id.octets();
    let stored = house.registry.noted(realm.key, SPACE, key)?;
    let last = stored.and_then(|s| s.try_into().ok()).map_or(0, u64::from_be_bytes);
    let value = (last + 1).to_be_bytes().to_vec();
    house.registry.note_wait(realm.key, SPACE, key, Some(value))?;
    Ok(last + 1)
}

/// Why a list stays as it was.
#[derive(Debug)]
enum Unpublished {
    /// What was revoked cannot be read.
    Read(ReadError),
    /// Its number cannot be stored, and a number is never used twice.
    Number(CommitError),
    /// The authority's key did not sign.
    Key(KeyError),
}

impl fmt::Display for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::Number(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
        }
    }
}

impl From<ReadError> for Unpublished {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<CommitError> for Unpublished {
    fn from(error: CommitError) -> Self {
        Self::Number(error)
    }
}

impl From<KeyError> for Unpublished {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
