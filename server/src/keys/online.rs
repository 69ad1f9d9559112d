//! The keys that a running server signs with.

use super::{Keeping, KeyStore, KeyTrouble};
use crate::home::Home;
use identity::Signer;
use std::sync::Arc;

/// The keys of a running server.
pub struct Online {
    /// Of the authorities: the three of the first start, and those that were requested since.
    pub authorities: Vec<Arc<dyn Signer>>,
    /// Signs checkpoints.
    pub ledger: Arc<dyn Signer>,
    /// Which of them lie in plain files, to be announced.
    pub plain: Vec<String>,
}

/// The keys that every home begins with.
const FIRST: [&str; 3] = ["birth", "operations", "service"];

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
        let mut load = |name: &str| -> Result<Arc<dyn Signer>, KeyTrouble> {
            let loaded = store.load(name)?;
            // Also where it is not read any more: whoever reads the file has the key.
            if loaded.keeping == Keeping::Plain || store.lies_plain(name) {
                plain.push(name.to_owned());
            }
            Ok(Arc::new(loaded.key))
        };
        let mut names = Vec::new();
        for name in FIRST {
            // The one of an authority that retired is gone; that no active one lacks its key is
            // looked at where authorities are known.
            if store.has(name)? {
                names.push(name.to_owned());
            }
        }
        names.extend(store.names()?.into_iter().filter(|n| n.contains('-')));
        let authorities = names.iter().map(|n| load(n)).collect::<Result<_, _>>()?;
        let ledger = load("ledger")?;
        if encrypted && !plain.is_empty() {
            let names = plain.join(", ");
            return Err(KeyTrouble::Locked(format!(
                "`[keys] encrypted` is set, and these keys lie in plain files: {names}; encrypt each with \
                 the passphrase of the systemd credential `muster-key-passphrase` (`age --passphrase \
                 --output NAME.key.age NAME.key`) and remove the plain file, or take `encrypted` out of \
                 muster.toml"
            )));
        }
        Ok(Self { authorities, ledger, plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{NewKey, Secret, seal};
    use identity::KeyKind;

    #[test]
    fn plain_keys_are_announced_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::with(dir.path(), None).unwrap();
        for name in ["birth", "operations", "service", "ledger"] {
            store.keep(name, &NewKey::make(KeyKind::Ed25519).unwrap()).unwrap();
        }
        assert_eq!(Online::from(&store, false).unwrap().plain.len(), 4);
        let Err(KeyTrouble::Locked(said)) = Online::from(&store, true) else { panic!() };
        assert!(said.contains("age --passphrase") && said.contains("operations"), "{said}");
    }

    #[test]
    fn a_plain_key_that_a_person_encrypted_is_one_that_lies_encrypted() {
        let (dir, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let passphrase = "0123456789abcdef0123456789abcdef";
        std::fs::write(credentials.path().join("muster-key-passphrase"), passphrase).unwrap();
        let plain = KeyStore::with(dir.path(), None).unwrap();
        let store = KeyStore::with(dir.path(), Some(credentials.path().to_owned())).unwrap();
        for name in ["birth", "operations", "service", "ledger"] {
            plain.keep(name, &NewKey::make(KeyKind::P256).unwrap()).unwrap();
            let file = dir.path().join(format!("{name}.key"));
            let (pem, secret) = (std::fs::read(&file).unwrap(), Secret::new(passphrase.into()));
            let sealed = seal::with_passphrase(&pem, &secret, seal::WORK_RANDOM).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key.age")), sealed).unwrap();
        }

        assert_eq!(Online::from(&store, false).unwrap().plain.len(), 4, "the plain ones are left");
        assert!(Online::from(&store, true).is_err());
        for name in ["birth", "operations", "service", "ledger"] {
            std::fs::remove_file(dir.path().join(format!("{name}.key"))).unwrap();
        }
        assert!(Online::from(&store, true).unwrap().plain.is_empty());
    }
}
