//! Everything that a running server has: the registry, the clock, the online keys, and per realm
//! what every decision needs at hand (authorities, doors, profiles, settings), read anew after each
//! change of one of them.

use crate::clock::{Clock, SystemDice};
use crate::contacts::Contacts;
use crate::metrics::Metrics;
use crate::rate::Rates;
use crate::record::Strangers;
use crate::settings::Settings;
use crate::tell::health::Sinks;
use crate::witness::ask::Witnessing;
use crate::writing::Writing;
use ca::{Addresses, Issuer};
use identity::authority::{Authority, AuthorityState, KeyId, Role};
use identity::door::Door;
use identity::profile::Profile;
use identity::{Certificate, Outside, RealmName, Serial, Signer, UnixTime};
use ledger::{Class, Payload};
use registry::{
    Change, Clash, CommitError, Committed, Draft, ReadError, Realm, RealmKey, Registry,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::oneshot;

/// CRL shards of an issuer. A shard is what a device with little memory fetches to check one peer:
/// at a million leaves of which one in a hundred is revoked, a sixteenth is 25 KiB.
pub const SHARDS: u16 = 16;

/// A server certificate ends after 90 days (`ca`), and with it what the older service authority
/// signed.
const SERVICE_OVERLAP_S: u64 = 90 * 86_400;

/// Requests that were under way when an authority was rolled over are signed by the old one, and
/// clocks differ: an hour is more than both.
const OVERLAP_MORE_S: u64 = 3600;

/// The private keys that the server holds, by the key identifier of their certificates.
pub type Keyring = BTreeMap<KeyId, Arc<dyn Signer>>;

/// Everything that a running server has.
pub struct House {
    /// The only memory.
    pub registry: Registry,
    /// Where time comes from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the registry can be written.
    pub writing: Arc<Writing>,
    /// Who was in contact, and who was set aside for it.
    pub contacts: Contacts,
    /// How often each device asks.
    pub rates: Rates,
    /// Refusals of those who proved nothing.
    pub strangers: Strangers,
    /// How the receivers of events are.
    pub sinks: Sinks,
    /// Signs checkpoints.
    pub ledger_key: Arc<dyn Signer>,
    /// What is known of the ledger's witnesses.
    pub witnessing: Witnessing,
    public_url: Option<String>,
    keyring: RwLock<Keyring>,
    realms: RwLock<BTreeMap<RealmName, Arc<RealmState>>>,
    /// Held while dates of authorities are looked at, so that what is due is done once.
    pub settling: tokio::sync::Mutex<()>,
    /// Held while lists are made, so that none takes a number twice, or the place of a newer one.
    pub publishing: Mutex<()>,
    /// Held while a realm is read anew, so that of two changes that cross the later one is seen.
    reading: Mutex<()>,
}

/// What a start brings along.
pub struct Furniture {
    /// The opened registry.
    pub registry: Registry,
    /// Where time comes from.
    pub clock: Clock,
    /// The online keys of the authorities.
    pub keyring: Keyring,
    /// Signs checkpoints.
    pub ledger_key: Arc<dyn Signer>,
    /// Where the public port is reached from outside; `None` leaves addresses out of certificates.
    pub public_url: Option<String>,
}

/// One realm, as it stood when it was last read.
pub struct RealmState {
    /// How its rows are keyed.
    pub key: RealmKey,
    /// Its row.
    pub realm: Realm,
    /// Every authority, also those that do not sign any more.
    pub authorities: Vec<Authority>,
    /// Signs births; `None` while no active birth authority has its key here.
    pub birth: Option<Issuer>,
    /// Signs leaves; `None` while no active operations authority has its key here.
    pub operations: Option<Issuer>,
    /// Certificates by which one root leads to another.
    pub crosses: Vec<Certificate>,
    /// Its doors.
    pub doors: Vec<Door>,
    /// Its certificate profiles.
    pub profiles: Vec<Profile>,
    /// Its settings.
    pub settings: Settings,
    /// The profile of doors whose own is gone.
    pub standard: Profile,
}

impl RealmState {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RealmName {
        &self.realm.name
    }

    /// The door of that name.
    #[must_use]
    pub fn door(&self, name: &str) -> Option<&Door> {
        self.doors.iter().find(|d| d.name == name)
    }

    /// The profile of that name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.name == name)
    }

    /// What a device must trust: the authorities that still count, those of a role from the newest
    /// to the oldest; while two roots are believed what leads from the one to the other; then the
    /// roots (RFC 7030 §4.1.3: OldWithOld, OldWithNew, NewWithOld).
    #[must_use]
    pub fn device_anchors(&self) -> Vec<Certificate> {
        let roles = [Role::Operations, Role::Birth, Role::Service];
        let mut all: Vec<_> = roles.into_iter().flat_map(|role| self.counting(role)).collect();
        // OpenSSL climbs to the first issuer that fits, and at a root that it does not believe it
        // is at an end: what leads from the newest root to an older one stands before.
        let bridges = self.bridges();
        let back = self.live_crosses().filter(|c| bridges.iter().all(|b| b.der() != c.der()));
        let back: Vec<_> = back.collect();
        all.extend(bridges);
        all.extend(self.counting(Role::Root));
        all.extend(back);
        all
    }

    /// The roots that count, the one that signs first, and what leads from one to the other.
    #[must_use]
    pub fn roots(&self) -> (Vec<Certificate>, Vec<Certificate>) {
        (self.counting(Role::Root), self.live_crosses().collect())
    }

    /// The certificates of the authorities of a role that count, the newest first.
    fn counting(&self, role: Role) -> Vec<Certificate> {
        let mut of: Vec<&Authority> =
            self.authorities.iter().filter(|a| a.role == role && a.counts()).collect();
        of.sort_by_key(|a| (a.state, std::cmp::Reverse(age(a))));
        of.into_iter().map(|a| a.certificate.clone()).collect()
    }

    /// The certificates by which one root that counts leads to another.
    fn live_crosses(&self) -> impl Iterator<Item = Certificate> {
        let counts = |id: Option<KeyId>| {
            self.authorities.iter().any(|a| a.role == Role::Root && a.counts() && Some(a.id) == id)
        };
        let live = |c: &&Certificate| counts(c.subject_key_id()) && counts(c.authority_key_id());
        self.crosses.iter().filter(live).cloned().collect::<Vec<_>>().into_iter()
    }

    /// What our own servers send behind their authority, for clients that know an older root only.
    #[must_use]
    pub fn bridges(&self) -> Vec<Certificate> {
        let newest = |c: &Certificate| {
            let id = c.subject_key_id();
            let active = |a: &Authority| {
                a.role == Role::Root && a.state == AuthorityState::Active && Some(a.id) == id
            };
            self.authorities.iter().any(active)
        };
        self.live_crosses().filter(newest).collect()
    }

    /// For how long what an older authority signed is still good where nobody says otherwise: until
    /// the last leaf of it has ended, and its grace too.
    #[must_use]
    pub fn overlap_s(&self, role: Role) -> u64 {
        if role == Role::Service {
            return SERVICE_OVERLAP_S;
        }
        if let Some(set) = self.settings.authority_overlap_s() {
            return set;
        }
        let profiles = self.profiles.iter().chain([&self.standard]);
        let lifetime_s = profiles.map(|p| p.lifetime_s).max().unwrap_or_default();
        let grace_s = self.settings.longest_grace_s(lifetime_s);
        lifetime_s.saturating_add(grace_s).saturating_add(OVERLAP_MORE_S)
    }
}

/// Orders authorities from the oldest to the newest: serial numbers begin with their moment, and
/// two of a second differ there.
fn age(authority: &Authority) -> (UnixTime, Option<Serial>) {
    (authority.certificate.not_before(), authority.certificate.serial())
}

impl House {
    /// Furnishes a house and reads every realm.
    ///
    /// # Errors
    /// [`ReadError`] where the registry cannot be read.
    pub fn new(furniture: Furniture) -> Result<Arc<Self>, ReadError> {
        let house = Self {
            registry: furniture.registry,
            clock: furniture.clock,
            metrics: Arc::default(),
            writing: Arc::default(),
            contacts: Contacts::default(),
            rates: Rates::default(),
            strangers: Strangers::default(),
            sinks: Sinks::default(),
            ledger_key: furniture.ledger_key,
            witnessing: Witnessing::default(),
            public_url: furniture.public_url,
            keyring: RwLock::new(furniture.keyring),
            realms: RwLock::default(),
            settling: tokio::sync::Mutex::default(),
            publishing: Mutex::default(),
            reading: Mutex::default(),
        };
        for realm in house.registry.realms() {
            house.reload(&realm.name)?;
            house.contacts.recall(&house.registry, realm.key, house.clock.now())?;
        }
        Ok(Arc::new(house))
    }

    /// The realm of that name.
    #[must_use]
    pub fn realm(&self, name: &RealmName) -> Option<Arc<RealmState>> {
        self.realms.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every realm.
    #[must_use]
    pub fn realms(&self) -> Vec<Arc<RealmState>> {
        self.realms.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Reads a realm anew, after its authorities, doors, profiles or settings changed. Requests
    /// under way keep what they began with.
    ///
    /// # Errors
    /// [`ReadError`] where the registry cannot be read; the realm then stays as it was.
    pub fn reload(&self, name: &RealmName) -> Result<(), ReadError> {
        let _in_turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(realm) = self.registry.realms().into_iter().find(|r| r.name == *name) else {
            return Ok(());
        };
        let state = self.read_realm(realm)?;
        let mut realms = self.realms.write().unwrap_or_else(PoisonError::into_inner);
        realms.insert(name.clone(), Arc::new(state));
        Ok(())
    }

    /// What a request goes on with whose commit clashed with `clash`: the realm as it stands now
    /// where an authority of it has changed, nothing else where the facts of a device have.
    pub(crate) fn newer_after(&self, clash: Clash, realm: &RealmState) -> Option<Arc<RealmState>> {
        if clash != Clash::AuthorityState {
            return None;
        }
        if let Err(error) = self.reload(realm.name()) {
            tracing::error!(realm = %realm.name(), "not read again: {error}");
        }
        self.realm(realm.name())
    }

    fn read_realm(&self, realm: Realm) -> Result<RealmState, ReadError> {
        let authorities = self.registry.authorities(realm.key)?;
        let settings = Settings::read(&self.registry.settings(realm.key)?);
        let issuer = |role| self.issuer(&authorities, role, &realm.name);
        Ok(RealmState {
            key: realm.key,
            birth: issuer(Role::Birth),
            operations: issuer(Role::Operations),
            crosses: self.registry.crosses(realm.key)?,
            doors: self.registry.doors(realm.key)?,
            profiles: self.registry.profiles(realm.key)?,
            settings,
            standard: Profile::standard(),
            authorities,
            realm,
        })
    }

    /// The newest active authority of a role whose key is here.
    fn issuer(&self, authorities: &[Authority], role: Role, realm: &RealmName) -> Option<Issuer> {
        let signs = |a: &&Authority| a.role == role && a.state == AuthorityState::Active;
        let mut fit: Vec<&Authority> = authorities.iter().filter(signs).collect();
        fit.sort_by_key(|a| age(a));
        let (authority, key) = fit.iter().rev().find_map(|a| Some((a, self.signer(&a.id)?)))?;
        let addresses = self.addresses_of(realm);
        Issuer::new(authority.certificate.clone(), key, addresses, SHARDS).ok()
    }

    /// The service authority that signs our own server certificates: the newest active one whose
    /// key is here.
    #[must_use]
    pub fn service(&self, realm: &RealmState) -> Option<Issuer> {
        self.issuer(&realm.authorities, Role::Service, realm.name())
    }

    /// The private key of an authority, where it is online here.
    #[must_use]
    pub fn signer(&self, id: &KeyId) -> Option<Arc<dyn Signer>> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Takes in the key of an authority that is to come.
    pub fn add_signer(&self, key: Arc<dyn Signer>) {
        let id = key.public().key_id();
        self.keyring.write().unwrap_or_else(PoisonError::into_inner).insert(id, key);
    }

    /// Lets go of the key of an authority that signs no more.
    pub fn drop_signer(&self, id: &KeyId) {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Where the public port is reached from outside; `None` leaves addresses out of certificates.
    #[must_use]
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// The public addresses of a realm, as its certificates carry them.
    #[must_use]
    pub fn addresses(&self, realm: &RealmState) -> Addresses {
        self.addresses_of(realm.name())
    }

    fn addresses_of(&self, realm: &RealmName) -> Addresses {
        Addresses { public_url: self.public_url.clone(), realm: realm.clone() }
    }

    /// Commits a change with its entry and waits until both are durable.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] where a precondition does not hold any more: decide again on fresh
    /// facts. Others are ours, and the caller may retry.
    pub async fn commit(
        &self,
        realm: RealmKey,
        change: Change,
        class: Class,
        payload: Payload,
    ) -> Result<Committed, CommitError> {
        self.queue(realm, change, class, payload).await
    }

    /// Queues a change with its entry now, and gives what waits until both are durable. Many that
    /// are queued before the first is waited for share their fsync.
    pub fn queue(
        &self,
        realm: RealmKey,
        change: Change,
        class: Class,
        payload: Payload,
    ) -> impl Future<Output = Result<Committed, CommitError>> + Send + use<> {
        let now = self.clock.now();
        let salt = Outside { now, dice: &mut SystemDice }.random();
        let draft = Draft::new(class, &payload, salt, now);
        let (answer, answered) = oneshot::channel();
        let (metrics, writing) = (self.metrics.clone(), self.writing.clone());
        let queued = Instant::now();
        let tell = move |result: Result<Committed, CommitError>| {
            writing.went(&result);
            if result.is_ok() {
                metrics.committed(queued.elapsed());
            }
            // The one who asked may be gone; the commit stands all the same.
            let _gone = answer.send(result);
        };
        self.registry.commit(realm, change, draft, Box::new(tell));
        async move { answered.await.unwrap_or(Err(CommitError::Closed)) }
    }
}
