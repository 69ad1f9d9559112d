//! What the writer's thread and those who ask have in common: the roll, the list of realms, and who
//! wants to be told.

use crate::change::Cut;
use crate::realm::{Realm, RealmKey};
use crate::roll::Roll;
use crate::tokens::Tokens;
use identity::credential::{Reason, Serial};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

type OnCut = Box<dyn Fn(&Cut) + Send + Sync>;
type OnRevocation = Box<dyn Fn() + Send + Sync>;
/// Who is told of which certificates the status has changed.
pub type OnStatus = Box<dyn Fn(&[(RealmKey, Serial)]) + Send + Sync>;
type OnRevoked = Box<dyn Fn(RealmKey, Reason, u64) + Send + Sync>;
type OnEntry = Box<dyn Fn(RealmKey, u64) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) roll: Roll,
    pub(crate) tokens: Tokens,
    has_erased: AtomicBool,
    realms: RwLock<Vec<Realm>>,
    on_cut: RwLock<Vec<OnCut>>,
    on_revocation: RwLock<Vec<OnRevocation>>,
    on_status: RwLock<Vec<OnStatus>>,
    on_revoked: RwLock<Vec<OnRevoked>>,
    on_entry: RwLock<Vec<OnEntry>>,
}

impl Shared {
    pub(crate) fn new(roll: Roll, realms: Vec<Realm>, has_erased: bool) -> Self {
        Self {
            roll,
            tokens: Tokens::default(),
            has_erased: AtomicBool::new(has_erased),
            realms: RwLock::new(realms),
            on_cut: RwLock::default(),
            on_revocation: RwLock::default(),
            on_status: RwLock::default(),
            on_revoked: RwLock::default(),
            on_entry: RwLock::default(),
        }
    }

    /// Whether something was ever erased, or is about to be.
    pub(crate) fn has_erased(&self) -> bool {
        self.has_erased.load(Ordering::Acquire)
    }

    pub(crate) fn will_erase(&self) {
        self.has_erased.store(true, Ordering::Release);
    }

    pub(crate) fn realms(&self) -> Vec<Realm> {
        self.realms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn founded(&self, realms: Vec<Realm>) {
        if !realms.is_empty() {
            self.realms.write().unwrap_or_else(PoisonError::into_inner).extend(realms);
        }
    }

    pub(crate) fn on_cut(&self, told: OnCut) {
        self.on_cut.write().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn on_revocation(&self, told: OnRevocation) {
        self.on_revocation.write().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn on_status(&self, told: OnStatus) {
        self.on_status.write().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn on_revoked(&self, told: OnRevoked) {
        self.on_revoked.write().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn on_entry(&self, told: OnEntry) {
        self.on_entry.write().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    pub(crate) fn cut(&self, cuts: &[Cut]) {
        let listeners = self.on_cut.read().unwrap_or_else(PoisonError::into_inner);
        cuts.iter().for_each(|cut| listeners.iter().for_each(|told| told(cut)));
    }

    pub(crate) fn revoked(&self, which: &[(RealmKey, Serial)]) {
        let listeners = self.on_status.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|told| told(which));
        let listeners = self.on_revocation.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|told| told());
    }

    pub(crate) fn counted(&self, revoked: &BTreeMap<(RealmKey, Reason), u64>) {
        let listeners = self.on_revoked.read().unwrap_or_else(PoisonError::into_inner);
        for ((realm, reason), count) in revoked {
            listeners.iter().for_each(|told| told(*realm, *reason, *count));
        }
    }

    pub(crate) fn grown(&self, realm: RealmKey, size: u64) {
        let listeners = self.on_entry.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|told| told(realm, size));
    }
}
