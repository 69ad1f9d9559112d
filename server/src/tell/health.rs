//! How the receivers of events are, for whoever asks: what went wrong last, until it goes well.

use registry::RealmKey;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// What went wrong last, by sink.
#[derive(Default)]
pub struct Sinks(RwLock<BTreeMap<(RealmKey, String), String>>);

impl Sinks {
    /// The sink took an entry.
    pub(super) fn well(&self, realm: RealmKey, sink: &str) {
        let key = (realm, sink.to_owned());
        let ill = self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&key);
        if ill {
            self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }

    /// The sink did not take an entry.
    pub(super) fn ill(&self, realm: RealmKey, sink: &str, why: &str) {
        let mut ill = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ill.insert((realm, sink.to_owned()), why.to_owned());
    }

    /// What told the sink ended by itself; what it said before stays.
    pub(super) fn ended(&self, realm: RealmKey, sink: &str) {
        let mut ill = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let why = || "telling it failed within the server, and is begun again".to_owned();
        ill.entry((realm, sink.to_owned())).or_insert_with(why);
    }

    /// What went wrong last; `None` while it goes well.
    #[must_use]
    pub fn trouble(&self, realm: RealmKey, sink: &str) -> Option<String> {
        let ill = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ill.get(&(realm, sink.to_owned())).cloned()
    }
}
