//! Private keys as they lie in a home, and how a process gets at them. The root's is another
//! matter: see [`root`](self::root), it is never on the server's way.
//!
//! An online key comes from the first of these that is there:
//! 1. the systemd credential `muster-NAME-key` (PKCS#8 in DER or PEM),
//! 2. `keys/NAME.key.age`, encrypted with the passphrase of the systemd credential
//!    `muster-key-passphrase`,
//! 3. `keys/NAME.key`, PKCS#8 in PEM with mode 0600, which is announced as plain.

mod key_file;
mod online;
pub mod root;
mod seal;
mod secret;
mod store;

pub use online::Online;
pub use root::{Unlock, unlock_root};
pub use secret::Secret;
pub use store::{Keeping, KeyStore, Loaded};

use crate::home::HomeError;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use identity::key::SoftwareKey;
use identity::{KeyError, KeyKind};
use std::fmt;
use zeroize::Zeroizing;

/// What can go wrong with a stored key.
#[derive(Debug)]
pub enum KeyTrouble {
    /// The file cannot be read or written.
    Home(HomeError),
    /// The key itself does not work.
    Key(KeyError),
    /// The passphrase or identity does not open the file, or there is none; the sentence says which
    /// file.
    Locked(String),
}

impl fmt::Display for KeyTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
            Self::Locked(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for KeyTrouble {}

impl From<HomeError> for KeyTrouble {
    fn from(e: HomeError) -> Self {
        Self::Home(e)
    }
}

impl From<KeyError> for KeyTrouble {
    fn from(e: KeyError) -> Self {
        Self::Key(e)
    }
}

/// A new private key, not yet anywhere.
pub struct NewKey {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl NewKey {
    /// Makes a key of `kind` with the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for RSA, which signs nothing here, or where the provider fails.
    pub fn make(kind: KeyKind) -> Result<Self, KeyError> {
        let pkcs8 = match kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            // Version 1 of PKCS#8: OpenSSL and Go do not read the version 2 that Ed25519 could
            // have.
            KeyKind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Unreadable)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair);
                Zeroizing::new(der.map_err(|_| KeyError::Unreadable)?.as_ref().to_vec())
            }
            KeyKind::Rsa => return Err(KeyError::Unreadable),
        };
        Ok(Self { pkcs8 })
    }

    /// The key, ready to sign.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] where the provider fails.
    pub fn signer(&self) -> Result<SoftwareKey, KeyError> {
        SoftwareKey::from_pkcs8(&self.pkcs8)
    }

    /// The private key itself, PKCS#8 in DER: to be stored, or given to the device that it was made
    /// for.
    #[must_use]
    pub fn dangerous_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(..)")
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| KeyError::Unreadable)?;
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::Unreadable)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Signer;
    use identity::key::Scheme;

    #[test]
    fn every_kind_of_authority_key_signs() {
        for (kind, scheme) in [
            (KeyKind::P256, Scheme::P256Sha256),
            (KeyKind::P384, Scheme::P384Sha384),
            (KeyKind::Ed25519, Scheme::Ed25519),
        ] {
            let key = NewKey::make(kind).unwrap().signer().unwrap();
            let signature = key.sign(b"here").unwrap();
            assert!(key.public().verify(scheme, b"here", &signature).is_ok(), "{kind}");
        }
        assert!(NewKey::make(KeyKind::Rsa).is_err());
    }
}
