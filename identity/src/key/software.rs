//! A private key in memory: where there is no hardware, and in every test.

use super::{KeyError, KeyKind, PublicKey, Signer, spki_der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use std::fmt;

/// A private key in memory. Made from PKCS#8; it cannot be taken out again.
pub struct SoftwareKey {
    public: PublicKey,
    pair: Pair,
}

enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl SoftwareKey {
    /// Reads a PKCS#8 private key (version 1 or 2): P-256, P-384 or Ed25519.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] where it is none of these.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let ecdsa = [
            (KeyKind::P256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            (KeyKind::P384, &ECDSA_P384_SHA384_ASN1_SIGNING),
        ];
        for (kind, algorithm) in ecdsa {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8) {
                let public = public(kind, pair.public_key().as_ref())?;
                return Ok(Self { public, pair: Pair::Ecdsa(Box::new(pair)) });
            }
        }
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError::Unreadable)?;
        Ok(Self {
            public: public(KeyKind::Ed25519, pair.public_key().as_ref())?,
            pair: Pair::Ed25519(pair),
        })
    }
}

fn public(kind: KeyKind, raw: &[u8]) -> Result<PublicKey, KeyError> {
    let spki = spki_der(kind, raw).map_err(|_| KeyError::Unreadable)?;
    PublicKey::parse(&spki).map_err(|_| KeyError::Unreadable)
}

impl Signer for SoftwareKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            // ECDSA demands chance for its nonce; only here may the system's be named.
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| KeyError::Signing),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({:?}, ..)", self.public)
    }
}
