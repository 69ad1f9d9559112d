//! What becomes of authorities with time: a retiring one retires on its date, and the key of one
//! that signs nothing any more is destroyed once its last certificate has ended. And what everybody
//! may fetch of them.
//!
//! What happens if we crash *here*?
//! 1. Before the commit that retires: the next look does it.
//! 2. After a key was destroyed and before the entry that tells of it: the authority is not marked
//!    yet, so the next look destroys what is not there and writes the entry.

use crate::house::{House, RealmState};
use crate::operator::Workshop;
use crate::public::{Kind, PublicFile, PublicView};
use identity::UnixTime;
use identity::authority::{Authority, AuthorityState, Role};
use ledger::{Class, Payload};
use registry::{Change, CommitError, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often dates are looked at without a reason: they are days, and nobody counts the minutes.
const LOOK: Duration = Duration::from_secs(3600);

/// Looks now, whenever an authority `changed`, and on schedule. Ends with its task.
pub async fn keep(house: Arc<House>, hands: Arc<dyn Workshop>, changed: Arc<Notify>) {
    loop {
        settle(&house, &hands).await;
        // Time out and notice mean the same: look again.
        let _either = tokio::time::timeout(next_look(&house), changed.notified()).await;
    }
}

/// Until the next date, and an hour at the most.
fn next_look(house: &House) -> Duration {
    let now = house.clock.now();
    let realms = house.realms();
    let dates = realms.iter().flat_map(|r| &r.authorities).filter_map(retires);
    let left = dates.map(|at| Duration::from_secs(at.secs_since(now).saturating_add(1)));
    left.min().unwrap_or(LOOK).min(LOOK)
}

fn retires(authority: &Authority) -> Option<UnixTime> {
    authority.retires.filter(|_| authority.state == AuthorityState::Retiring)
}

/// Retires what has reached its date, and destroys the keys that sign nothing any more.
pub async fn settle(house: &House, hands: &Arc<dyn Workshop>) {
    let _in_turn = house.settling.lock().await;
    for realm in house.realms() {
        let mut changed = false;
        for authority in &realm.authorities {
            match settle_one(house, &realm, authority, hands).await {
                Ok(did) => changed |= did,
                Err(why) => {
                    tracing::error!(realm = %realm.name(), authority = %authority.id, "{why}");
                }
            }
        }
        if changed {
            if let Err(error) = house.reload(realm.name()) {
                tracing::error!(realm = %realm.name(), "not read again: {error}");
            }
            hands.authorities_changed();
        }
    }
}

/// Whether something was done.
async fn settle_one(
    house: &House,
    realm: &RealmState,
    authority: &Authority,
    hands: &Arc<dyn Workshop>,
) -> Result<bool, String> {
    let now = house.clock.now();
    if retires(authority).is_some_and(|at| at <= now) {
        return retire(house, realm, authority).await.map(|()| true);
    }
    let over = matches!(authority.state, AuthorityState::Retired | AuthorityState::Barred);
    if !over || authority.wiped.is_some() || !signs_what_ends(authority.role) {
        return Ok(false);
    }
    let (registry, key, id) = (house.registry.clone(), realm.key, authority.id);
    let last = tokio::task::spawn_blocking(move || registry.last_end(key, &id));
    let last = last.await.map_err(|e| e.to_string())?.map_err(read)?;
    if last.is_some_and(|end| end > now) {
        return Ok(false);
    }
    wipe(house, realm, authority, hands).await.map(|()| true)
}

/// What birth authorities sign never ends, and the root's key is not here.
const fn signs_what_ends(role: Role) -> bool {
    matches!(role, Role::Operations | Role::Service)
}

async fn retire(house: &House, realm: &RealmState, authority: &Authority) -> Result<(), String> {
    let (registry, key, now) = (house.registry.clone(), realm.key, house.clock.now());
    let counted = tokio::task::spawn_blocking(move || registry.leaves_by_issuer(key, now)).await;
    let counted = counted.map_err(|e| e.to_string())?.map_err(read)?;
    let left = counted.get(&authority.id).copied().unwrap_or_default();
    let payload = Payload::new("authority.retired")
        .with("authority", authority.id.octets().as_slice())
        .with("role", authority.role.as_str())
        .with("leaves", left);
    let change = Change::AuthorityState {
        id: authority.id,
        was: Some(AuthorityState::Retiring),
        state: AuthorityState::Retired,
        retires: authority.retires,
        barred: None,
    };
    house.commit(realm.key, change, Class::Authority, payload).await.map_err(written)?;
    tracing::info!(realm = %realm.name(), authority = %authority.id, left, "retired");
    Ok(())
}

async fn wipe(
    house: &House,
    realm: &RealmState,
    authority: &Authority,
    hands: &Arc<dyn Workshop>,
) -> Result<(), String> {
    let (keeper, role, id) = (hands.clone(), authority.role, authority.id);
    let destroyed = tokio::task::spawn_blocking(move || keeper.destroy_key(role, &id));
    let destroyed = destroyed.await.map_err(|e| e.to_string())??;
    house.drop_signer(&authority.id);
    let payload = Payload::new("authority.wiped")
        .with("authority", authority.id.octets().as_slice())
        .with("role", authority.role.as_str())
        .with("destroyed", destroyed);
    let change = Change::AuthorityWiped { id: authority.id, at: house.clock.now() };
    house.commit(realm.key, change, Class::Authority, payload).await.map_err(written)?;
    if !destroyed {
        tracing::warn!(authority = %authority.id,
            "its key comes from a systemd credential: take that away");
    }
    Ok(())
}

fn read(error: ReadError) -> String {
    format!("the registry cannot be read: {error}")
}

fn written(error: CommitError) -> String {
    format!("not written, and tried again: {error}")
}

/// Shows the certificates of all authorities, and takes away the lists of those that are barred:
/// a verifier that finds none is warned, one that finds an old one is not.
pub fn show(house: &House, view: &PublicView) {
    for realm in house.realms() {
        for authority in &realm.authorities {
            let path = format!("/ca/{}/{}.cer", realm.name(), authority.id);
            let certificate = &authority.certificate;
            let (der, at) = (certificate.der().to_vec(), certificate.not_before());
            view.show(&path, PublicFile::new(Kind::Certificate, der, at));
            if authority.state == AuthorityState::Barred && authority.role != Role::Root {
                view.hide(&format!("/crl/{}/{}", realm.name(), authority.id));
            }
        }
    }
}
