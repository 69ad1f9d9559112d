//! The four keys that a running server signs with.

use super::{Keeping, KeyStore, KeyTrouble};
use crate::home::Home;
use identity::Signer;
use std::sync::Arc;

/// The keys of a running server.
pub struct Online {
    /// Signs birth certificates.
    pub birth: Arc<dyn Signer>,
    /// Signs leaves.
    pub operations: Arc<dyn Signer>,
    /// Signs server certificates.
    pub service: Arc<dyn Signer>,
    /// Signs checkpoints.
    pub ledger: Arc<dyn Signer>,
    /// Which of them lie in plain files, to be announced.
    pub plain: Vec<&'static str>,
}

impl Online {
    /// Loads the keys of a home. With `encrypted` plain files are refused.
    ///
    /// # Errors
    /// Where a key is missing, does not open, or is plain against the rule.
    pub fn load(home: &Home, encrypted: bool) -> Result<Self, KeyTrouble> {
        Self::from(&KeyStore::open(&home.keys())?, encrypted)
    }

    /// Loads the keys of a store.
    ///
    /// # Errors
    /// As [`Online::load`].
    pub fn from(store: &KeyStore, encrypted: bool) -> Result<Self, KeyTrouble> {
        let mut plain = Vec::new();
        let mut load = |name: &'static str| -> Result<Arc<dyn Signer>, KeyTrouble> {
            let loaded = store.load(name)?;
            if loaded.keeping == Keeping::Plain {
                plain.push(name);
            }
            Ok(Arc::new(loaded.key))
        };
        let (birth, operations) = (load("birth")?, load("operations")?);
        let (service, ledger) = (load("service")?, load("ledger")?);
        if encrypted && !plain.is_empty() {
            let names = plain.join(", ");
            return Err(KeyTrouble::Locked(format!(
                "`[keys] encrypted` is set, and these keys lie in plain files: {names}"
            )));
        }
        Ok(Self { birth, operations, service, ledger, plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::NewKey;
    use identity::KeyKind;

    #[test]
    fn plain_keys_are_announced_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::with(dir.path(), None).unwrap();
        for name in ["birth", "operations", "service", "ledger"] {
            store.keep(name, &NewKey::make(KeyKind::Ed25519).unwrap()).unwrap();
        }
        assert_eq!(Online::from(&store, false).unwrap().plain.len(), 4);
        assert!(matches!(Online::from(&store, true), Err(KeyTrouble::Locked(_))));
    }
}
