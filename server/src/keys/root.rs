//! The root's private key: made at the first start by the part of the process that is not the
//! server, encrypted at once, and carried away. What needs it later (`muster ca sign`, the root's
//! CRL) takes it by path.

use super::seal::{self, WORK_RANDOM, WORK_TYPED};
use super::{KeyTrouble, NewKey, Secret};
use crate::home::file::{self, Mode};
use identity::key::SoftwareKey;
use std::path::Path;

/// How the root's key is encrypted.
#[derive(Debug)]
pub enum Lock<'a> {
    /// To an age recipient: only the holder of its identity opens it.
    Recipient(&'a str),
    /// With a passphrase that a person typed.
    Typed(&'a Secret),
    /// With a random passphrase that is put into a file beside it, until somebody carries both
    /// away.
    Random,
}

/// What opens the root's key.
#[derive(Debug)]
pub enum Unlock<'a> {
    /// Its passphrase.
    Passphrase(&'a Secret),
    /// An age identity file.
    Identity(&'a Path),
}

/// Writes `root.key.age`, and with [`Lock::Random`] `root.passphrase`, into `offline`.
///
/// # Errors
/// Where the recipient is none, or the files cannot be written.
pub fn lock(key: &NewKey, lock: &Lock<'_>, offline: &Path) -> Result<(), KeyTrouble> {
    let plain = key.dangerous_pkcs8();
    let sealed = match lock {
        Lock::Recipient(recipient) => seal::to_recipient(plain, recipient),
        Lock::Typed(secret) => seal::with_passphrase(plain, secret, WORK_TYPED),
        Lock::Random => {
            let secret = Secret::random();
            let mut line = zeroize::Zeroizing::new(secret.dangerous_reveal().to_owned());
            line.push('\n');
            file::write(&offline.join("root.passphrase"), line.as_bytes(), Mode::Sealed)?;
            seal::with_passphrase(plain, &secret, WORK_RANDOM)
        }
    };
    let sealed = sealed
        .map_err(|e| KeyTrouble::Locked(format!("the root's key cannot be encrypted: {e}")))?;
    Ok(file::write(&offline.join("root.key.age"), &sealed, Mode::Sealed)?)
}

/// Opens the root's key.
///
/// # Errors
/// Where the file cannot be read, or `by` does not open it.
pub fn unlock_root(path: &Path, by: &Unlock<'_>) -> Result<SoftwareKey, KeyTrouble> {
    let sealed = file::read(path)?;
    let plain = match by {
        Unlock::Passphrase(secret) => seal::open(&sealed, secret),
        Unlock::Identity(identity) => {
            seal::open_with_identities(&sealed, &file::read_text(identity)?)
        }
    };
    let plain = plain
        .map_err(|e| KeyTrouble::Locked(format!("`{}` does not open: {e}", path.display())))?;
    Ok(SoftwareKey::from_pkcs8(&plain)?)
}

/// Reads an age recipient, and keeps it as it was typed.
///
/// # Errors
/// A sentence where it is none.
pub fn recipient(text: &str) -> Result<String, String> {
    seal::recipient(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// Whether the root's key is encrypted to a recipient, so that no passphrase opens it.
///
/// # Errors
/// Where the file cannot be read.
pub fn wants_identity(path: &Path) -> Result<bool, KeyTrouble> {
    Ok(seal::wants_identity(&file::read(path)?))
}

/// Reads a passphrase file; the line break at its end does not belong to it.
///
/// # Errors
/// Where the file cannot be read.
pub fn passphrase_file(path: &Path) -> Result<Secret, KeyTrouble> {
    let text = file::read_text(path)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;
    use identity::{KeyKind, Signer};

    #[test]
    fn the_random_passphrase_opens_the_root_and_no_other_does() {
        let dir = tempfile::tempdir().unwrap();
        let key = NewKey::make(KeyKind::P256).unwrap();

        lock(&key, &Lock::Random, dir.path()).unwrap();

        let secret = passphrase_file(&dir.path().join("root.passphrase")).unwrap();
        let path = dir.path().join("root.key.age");
        assert!(!wants_identity(&path).unwrap());
        let opened = unlock_root(&path, &Unlock::Passphrase(&secret)).unwrap();
        assert_eq!(opened.public(), key.signer().unwrap().public());
        let other = Secret::random();
        let refused = unlock_root(&path, &Unlock::Passphrase(&other)).unwrap_err().to_string();
        assert!(!refused.contains(other.dangerous_reveal()), "{refused}");
    }

    #[test]
    fn a_recipient_leaves_no_passphrase_behind() {
        let dir = tempfile::tempdir().unwrap();
        let key = NewKey::make(KeyKind::Ed25519).unwrap();
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();

        lock(&key, &Lock::Recipient(&recipient), dir.path()).unwrap();

        assert!(!dir.path().join("root.passphrase").exists());
        assert!(wants_identity(&dir.path().join("root.key.age")).unwrap());
        let file = dir.path().join("me.txt");
        let line = identity.to_string();
        std::fs::write(&file, format!("# mine\n{}\n", line.expose_secret())).unwrap();
        let opened = unlock_root(&dir.path().join("root.key.age"), &Unlock::Identity(&file));
        assert_eq!(opened.unwrap().public(), key.signer().unwrap().public());
    }

    #[test]
    fn a_typed_passphrase_opens_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let key = NewKey::make(KeyKind::P384).unwrap();
        let secret = Secret::new("correct horse".into());

        lock(&key, &Lock::Typed(&secret), dir.path()).unwrap();

        let opened =
            unlock_root(&dir.path().join("root.key.age"), &Unlock::Passphrase(&secret)).unwrap();
        assert_eq!(opened.public(), key.signer().unwrap().public());
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = NewKey::make(KeyKind::P256).unwrap();
        assert!(lock(&key, &Lock::Recipient("age1nonsense"), dir.path()).is_err());
        assert!(!dir.path().join("root.key.age").exists());
    }
}
