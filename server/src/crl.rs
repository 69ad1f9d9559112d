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
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The number of the newest CRL of an authority, among the notes of the registry.
const SPACE: &str = "crl-number";

/// Which entries of an authority's lists are gone, and since when the others are listed, among the
/// notes of the registry.
const LISTED: &str = "crl-listed";

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

/// When lists are made again of which one could not be: a disk that is full stays so for a while,
/// and a key that cannot sign for longer, so that each further time waits twice as long.
const AGAIN: Duration = Duration::from_secs(10);

/// Publishes on every `changed` and on schedule, behind the lists that a start made. Ends with its
/// task.
pub async fn keep(house: Arc<House>, view: Arc<PublicView>, changed: Arc<Notify>) {
    let (mut rest, mut wait, mut again) = (GATHER, SCHEDULE, AGAIN);
    loop {
        // Time out and notice mean the same: make them anew.
        let _either = tokio::time::timeout(wait, changed.notified()).await;
        tokio::time::sleep(rest).await;
        let began = Instant::now();
        let all = publish_all(&house, &view).await;
        (wait, again) = if all { (SCHEDULE, AGAIN) } else { (again, (again * 2).min(SCHEDULE)) };
        rest = GATHER.max(began.elapsed() * REST).min(REST_MAX);
    }
}

/// Publishes the CRLs of every realm; `false` where one of them could not be made. Signing is work,
/// so it has a thread of its own.
pub async fn publish_all(house: &Arc<House>, view: &Arc<PublicView>) -> bool {
    let (house, view) = (house.clone(), view.clone());
    let done = tokio::task::spawn_blocking(move || {
        let _in_turn = house.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        publish_realms(&house, &view, &house.realms())
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!("CRLs were not made: {error}");
        false
    })
}

fn publish_realms(house: &House, view: &PublicView, realms: &[Arc<RealmState>]) -> bool {
    let mut all = true;
    for realm in realms {
        let whole = publish_realm(house, view, realm);
        if whole {
            house.metrics.crl_published(realm.name().as_str(), house.clock.now().secs());
        }
        all &= whole;
    }
    // An authority that was barred while its list was under way had none to take away yet.
    crate::authorities::show(house, view);
    all
}

/// Whether every list of the realm was made.
fn publish_realm(house: &House, view: &PublicView, realm: &RealmState) -> bool {
    let mut whole = true;
    for authority in &realm.authorities {
        let Some(key) = house.signer(&authority.id) else { continue };
        let signs = matches!(authority.role, Role::Birth | Role::Operations | Role::Service);
        if !signs || authority.state == AuthorityState::Barred {
            continue;
        }
        if let Err(error) = publish(house, view, realm, authority, key.as_ref()) {
            tracing::error!(realm = %realm.name(), issuer = %authority.id, "no CRL: {error}");
            whole = false;
        }
    }
    whole
}

/// Makes and shows every list of one authority.
fn publish(
    house: &House,
    view: &PublicView,
    realm: &RealmState,
    authority: &Authority,
    key: &dyn Signer,
) -> Result<(), Unpublished> {
    let now = house.clock.now();
    let listed = Listed::read(house, realm, authority)?.at(now);
    let ended = listed.left_out(now);
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
        let stays = revoked.into_iter().filter(|row| row.not_after >= ended);
        let entries = stays.map(|row| Revoked {
            serial: row.serial.into(),
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
    listed.shown(now).keep(house, realm, authority)
}

/// What has been listed for how long. An entry may leave only after a scheduled list that was made
/// past the end of its certificate has named it (RFC 5280 §3.3): whoever fetched the last list
/// before that end would otherwise never see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listed {
    /// What ended before this is on no list any more.
    gone: UnixTime,
    /// What ended before this, and is not gone, has been listed since then.
    since: UnixTime,
}

impl Listed {
    fn read(house: &House, realm: &RealmState, authority: &Authority) -> Result<Self, Unpublished> {
        let stored = house.registry.noted(realm.key, LISTED, authority.id.octets())?;
        let Some(octets) = stored.and_then(|s| <[u8; 16]>::try_from(s).ok()) else {
            return Ok(Self::default());
        };
        let both = u128::from_be_bytes(octets);
        let moment =
            |millis: u128| UnixTime::from_millis(u64::try_from(millis).unwrap_or_default());
        Ok(Self { gone: moment(both >> 64), since: moment(both & u128::from(u64::MAX)) })
    }

    /// What of it counts at `now`. A clock that was ahead left moments that are still to come, and by
    /// those nothing may leave: everything is named once more, which harms nobody.
    fn at(self, now: UnixTime) -> Self {
        if self.since > now { Self::default() } else { self }
    }

    /// A list stands for as long as the schedule has it before what it named may leave: lists that
    /// follow each other within a second, after revocations, count as one.
    fn is_due(self, now: UnixTime) -> bool {
        now >= self.since.plus_secs(SCHEDULE.as_secs())
    }

    /// What a list that is made now leaves out: what ended before this.
    fn left_out(self, now: UnixTime) -> UnixTime {
        if self.is_due(now) { self.since } else { self.gone }
    }

    /// What is so once that list is shown.
    fn shown(self, now: UnixTime) -> Self {
        if self.is_due(now) { Self { gone: self.since, since: now } } else { self }
    }

    /// Durable only behind the list: if we crash in between, the next list names once more what
    /// this one had left out, which harms nobody.
    fn keep(
        self,
        house: &House,
        realm: &RealmState,
        authority: &Authority,
    ) -> Result<(), Unpublished> {
        if self == Self::read(house, realm, authority)? {
            return Ok(());
        }
        let both = u128::from(self.gone.millis()) << 64 | u128::from(self.since.millis());
        let value = both.to_be_bytes().to_vec();
        Ok(house.registry.note_wait(realm.key, LISTED, authority.id.octets(), Some(value))?)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::world::World;
    use identity::{PublicKey, RealmName};
    use ledger::{Class, Payload};
    use registry::Change;

    #[test]
    fn an_entry_leaves_only_after_a_list_made_past_its_end_has_stood_for_a_schedule() {
        let at = |secs: u64| UnixTime::from_secs(1_800_000_000 + secs);
        let hour = SCHEDULE.as_secs();
        let mut listed = Listed::default().shown(at(0));
        let ends = at(10);
        // On every list up to the one that is a schedule younger than the first past its end.
        let made = [0, 5, 11, hour - 1, hour, hour + 5, 2 * hour - 1].map(at);
        for moment in made {
            assert!(ends >= listed.left_out(moment), "still listed at {moment:?}");
            listed = listed.shown(moment);
        }
        assert!(ends < listed.left_out(at(2 * hour)), "and then no more");
        listed = listed.shown(at(2 * hour));
        assert!(ends < listed.left_out(at(2 * hour + 1)), "for good");
    }

    #[test]
    fn after_a_long_stop_what_ended_meanwhile_is_named_once_more() {
        let at = |secs: u64| UnixTime::from_secs(1_800_000_000 + secs);
        let listed = Listed::default().shown(at(0));
        let (ends, back) = (at(1000), at(1_000_000));
        assert!(ends >= listed.left_out(back));
        let listed = listed.shown(back);
        assert!(ends >= listed.left_out(back.plus_secs(1)));
        assert!(ends < listed.left_out(back.plus_secs(SCHEDULE.as_secs())));
    }

    #[test]
    fn a_clock_that_was_ahead_takes_nothing_off_the_lists_that_has_not_ended() {
        let at = |secs: u64| UnixTime::from_secs(1_800_000_000 + secs);
        let (hour, ahead) = (SCHEDULE.as_secs(), 365 * 86_400);
        let listed = Listed::default().shown(at(0)).shown(at(ahead)).shown(at(ahead + hour));
        let ends = at(30 * 86_400);

        let mut listed = listed.at(at(hour));
        for moment in [hour, 2 * hour, 3 * hour].map(at) {
            assert!(ends >= listed.at(moment).left_out(moment), "still listed at {moment:?}");
            listed = listed.shown(moment);
        }
        assert!(at(10) < listed.left_out(at(4 * hour)), "and what has ended leaves as ever");
    }

    /// The operations authority of a house.
    fn operations(realm: &RealmState) -> Authority {
        realm.authorities.iter().find(|a| a.role == Role::Operations).unwrap().clone()
    }

    #[tokio::test]
    async fn a_list_that_was_under_way_when_its_authority_was_barred_is_not_shown() {
        let world = World::new();
        let house = &world.house;
        let view = PublicView::new(house.registry.clone(), []);
        let stale = house.realm(&RealmName::default_realm()).unwrap();
        let Authority { id, .. } = operations(&stale);
        let list = format!("/crl/default/{id}.crl");
        assert!(publish_realms(house, &view, &house.realms()) && view.shown(&list).is_some());
        let change = Change::AuthorityState {
            id,
            was: Some(AuthorityState::Active),
            state: AuthorityState::Barred,
            retires: None,
            barred: None,
        };
        let payload = Payload::new("authority.revoked");
        house.commit(stale.key, change, Class::Authority, payload).await.unwrap();
        house.reload(stale.name()).unwrap();

        publish_realms(house, &view, &[stale]);

        assert!(view.shown(&list).is_none());
    }

    /// A key whose token was pulled out.
    struct Gone(PublicKey);

    impl Signer for Gone {
        fn public(&self) -> &PublicKey {
            &self.0
        }

        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
            Err(KeyError::Signing)
        }
    }

    #[test]
    fn a_list_that_could_not_be_made_is_told_and_counts_as_none() {
        let world = World::new();
        let house = &world.house;
        let view = PublicView::new(house.registry.clone(), []);
        let realm = house.realm(&RealmName::default_realm()).unwrap();
        let id = operations(&realm).id;
        let key = house.signer(&id).unwrap();
        let published = || {
            let mut page = crate::metrics::Page::default();
            house.metrics.write("default", &mut page);
            page.text().contains("muster_crl_published_timestamp_seconds{realm=\"default\"}")
        };

        house.add_signer(Arc::new(Gone(key.public().clone())));
        assert!(!publish_realms(house, &view, &house.realms()));
        assert!(view.shown(&format!("/crl/default/{id}.crl")).is_none() && !published());

        house.add_signer(key);
        assert!(publish_realms(house, &view, &house.realms()));
        assert!(view.shown(&format!("/crl/default/{id}.crl")).is_some() && published());
    }
}
