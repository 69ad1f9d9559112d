//! The online keys of a home.

use super::key_file::{self, LABEL, overwrite, parse, refuse_open_to_others};
use super::seal::{self, WORK_RANDOM};
use super::{KeyTrouble, NewKey, Secret, root::passphrase_file};
use crate::home::HomeError;
use crate::home::file::{self, Mode};
use identity::Signer;
use identity::authority::{KeyId, Role};
use identity::certificate::pem;
use identity::key::SoftwareKey;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A passphrase that opens all online keys is made by a machine for a machine. With at least this
/// many characters it is taken to be random, and scrypt need not be slow four times at each start.
const PASSPHRASE_LENGTH_MIN: usize = 32;

/// What stands before the name of a key that nobody has been told of yet.
const HALF: &str = "half.";

/// How a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In a systemd credential.
    Credential,
    /// In an encrypted file.
    Encrypted,
    /// In a file that whoever can read it has the key: to be announced.
    Plain,
}

/// A key that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The key, ready to sign.
    pub key: SoftwareKey,
    /// How it is kept.
    pub keeping: Keeping,
}

/// Where online keys lie.
#[derive(Debug)]
pub struct KeyStore {
    dir: PathBuf,
    credentials: Option<PathBuf>,
    passphrase: Option<Secret>,
}

impl KeyStore {
    /// The keys in `dir`, with the credentials that systemd passes to this process.
    ///
    /// # Errors
    /// Where the passphrase credential is there and cannot be used.
    pub fn open(dir: &Path) -> Result<Self, KeyTrouble> {
        Self::with(dir, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
    }

    /// The keys in `dir` with the credentials in a directory.
    ///
    /// # Errors
    /// Where the passphrase credential is there and cannot be used.
    pub fn with(dir: &Path, credentials: Option<PathBuf>) -> Result<Self, KeyTrouble> {
        let path = credentials.as_ref().map(|c| c.join("muster-key-passphrase"));
        let passphrase = match path.filter(|p| p.exists()) {
            Some(path) => Some(passphrase_file(&path)?),
            None => None,
        };
        if passphrase.as_ref().is_some_and(|s| s.dangerous_reveal().len() < PASSPHRASE_LENGTH_MIN) {
            return Err(KeyTrouble::Locked(format!(
                "the credential `muster-key-passphrase` has fewer than {PASSPHRASE_LENGTH_MIN} \
                 characters: make one with `head -c 32 /dev/urandom | base64`"
            )));
        }
        Ok(Self { dir: dir.to_owned(), credentials, passphrase })
    }

    /// The same credentials for keys in another directory.
    #[must_use]
    pub fn at(self, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), ..self }
    }

    /// Whether new keys would be encrypted.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.passphrase.is_some()
    }

    /// The key that systemd delivers under `muster-NAME-key`, where it does.
    ///
    /// # Errors
    /// Where it is there and is no key.
    pub fn delivered(&self, name: &str) -> Result<Option<SoftwareKey>, KeyTrouble> {
        let path = self.credentials.as_ref().map(|c| c.join(format!("muster-{name}-key")));
        path.filter(|p| p.exists()).map(|p| parse(&p)).transpose()
    }

    /// Writes a new key: encrypted where there is a passphrase, else plain.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep(&self, name: &str, key: &NewKey) -> Result<Keeping, KeyTrouble> {
        let plain = key.dangerous_pkcs8();
        let Some(secret) = &self.passphrase else {
            let text = Zeroizing::new(pem(LABEL, plain));
            file::write(&self.plain(name), text.as_bytes(), Mode::Private)?;
            return Ok(Keeping::Plain);
        };
        let sealed = seal::with_passphrase(plain, secret, WORK_RANDOM)
            .map_err(|e| KeyTrouble::Locked(format!("key `{name}` cannot be encrypted: {e}")))?;
        file::write(&self.encrypted(name), &sealed, Mode::Private)?;
        Ok(Keeping::Encrypted)
    }

    /// Writes the key of an authority whose request nobody has seen yet: [`Self::finish`] makes it
    /// one of the others, and a start destroys what was not finished.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep_half(&self, name: &str, key: &NewKey) -> Result<Keeping, KeyTrouble> {
        self.keep(&format!("{HALF}{name}"), key)
    }

    /// Makes a half-made key one of the others. One that was finished before stays as it is.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(&self, name: &str) -> Result<(), KeyTrouble> {
        let half = format!("{HALF}{name}");
        for (from, to) in
            [(self.plain(&half), self.plain(name)), (self.encrypted(&half), self.encrypted(name))]
        {
            if from.exists() {
                fs::rename(&from, &to).map_err(|e| HomeError::io("rename", &from, e))?;
            }
        }
        Ok(file::sync_dir(&self.dir)?)
    }

    /// The names of keys that were never finished.
    ///
    /// # Errors
    /// What the system said.
    pub fn halves(&self) -> Result<Vec<String>, KeyTrouble> {
        let all = self.all_names()?.into_iter();
        Ok(all.filter_map(|n| Some(n.strip_prefix(HALF)?.to_owned())).collect())
    }

    /// Destroys a key that was never finished.
    ///
    /// # Errors
    /// What the system said.
    pub fn destroy_half(&self, name: &str) -> Result<(), KeyTrouble> {
        self.destroy(&format!("{HALF}{name}"))
    }

    /// Destroys the file of a key: overwritten, synced, removed. A disk may keep old blocks all the
    /// same, and so may back-ups.
    ///
    /// # Errors
    /// What the system said.
    pub fn destroy(&self, name: &str) -> Result<(), KeyTrouble> {
        for path in [self.plain(name), self.encrypted(name)] {
            match overwrite(&path).and_then(|()| fs::remove_file(&path)) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                other => other.map_err(|e| HomeError::io("destroy", &path, e))?,
            }
        }
        Ok(file::sync_dir(&self.dir)?)
    }

    /// Whether a key of that name lies in a plain file, whether or not it is the one that is loaded.
    pub(super) fn lies_plain(&self, name: &str) -> bool {
        self.plain(name).exists()
    }

    /// Whether there is a key of that name, delivered or in a file.
    ///
    /// # Errors
    /// Where systemd delivers something else under its name.
    pub fn has(&self, name: &str) -> Result<bool, KeyTrouble> {
        let in_file = self.encrypted(name).exists() || self.plain(name).exists();
        Ok(in_file || self.delivered(name)?.is_some())
    }

    /// The name under which the key of an authority lies: those of the first start are named by
    /// their role alone.
    ///
    /// # Errors
    /// Where a key does not open.
    pub fn name_of(&self, role: Role, id: &KeyId) -> Result<Option<String>, KeyTrouble> {
        let own = format!("{role}-{id}");
        if self.has(&own)? {
            return Ok(Some(own));
        }
        let first = role.as_str().to_owned();
        let is_its = self.has(&first)? && self.load(&first)?.key.public().key_id() == *id;
        Ok(is_its.then_some(first))
    }

    /// Loads a key from the first place that has it.
    ///
    /// # Errors
    /// Where no place has it, it does not open, or others may read a plain one.
    pub fn load(&self, name: &str) -> Result<Loaded, KeyTrouble> {
        if let Some(key) = self.delivered(name)? {
            return Ok(Loaded { key, keeping: Keeping::Credential });
        }
        if self.encrypted(name).exists() {
            return Ok(Loaded { key: self.load_encrypted(name)?, keeping: Keeping::Encrypted });
        }
        let path = self.plain(name);
        refuse_open_to_others(&path)?;
        Ok(Loaded { key: parse(&path)?, keeping: Keeping::Plain })
    }

    fn load_encrypted(&self, name: &str) -> Result<SoftwareKey, KeyTrouble> {
        let path = self.encrypted(name);
        let Some(secret) = &self.passphrase else {
            return Err(KeyTrouble::Locked(format!(
                "`{}` is encrypted: run muster with the systemd credential \
                 `muster-key-passphrase` (LoadCredentialEncrypted=)",
                path.display()
            )));
        };
        let plain = seal::open(&file::read(&path)?, secret)
            .map_err(|e| KeyTrouble::Locked(format!("`{}` does not open: {e}", path.display())))?;
        // A key that a person encrypted was the PEM of a plain one.
        key_file::of_octets(&plain).ok_or_else(|| {
            KeyTrouble::Locked(format!("`{}` holds no key in PKCS#8", path.display()))
        })
    }

    /// The names of the keys that lie in files here, sorted, without those that are half-made.
    ///
    /// # Errors
    /// What the system said.
    pub fn names(&self) -> Result<Vec<String>, KeyTrouble> {
        Ok(self.all_names()?.into_iter().filter(|n| !n.starts_with(HALF)).collect())
    }

    fn all_names(&self) -> Result<Vec<String>, KeyTrouble> {
        let listed =
            std::fs::read_dir(&self.dir).map_err(|e| HomeError::io("read", &self.dir, e))?;
        let mut names: Vec<String> = listed
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| {
                let stem = file.strip_suffix(".age").unwrap_or(&file);
                Some(stem.strip_suffix(".key")?.to_owned())
            })
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn plain(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    fn encrypted(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key.age"))
    }
}

#[cfg(test)]
mod tests;
