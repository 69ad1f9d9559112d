//! What a device holds: a private key, and a certificate for it.

use crate::Failure;
use agent::Identity;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use enroll::request::{self, Wish};
use identity::key::SoftwareKey;
use identity::{Certificate, Serial, Signer, SpkiHash};
use std::sync::Arc;

/// A private key, as it is shown in a handshake and as it signs.
pub struct Key {
    pub(crate) pkcs8: Vec<u8>,
    signer: SoftwareKey,
}

impl Key {
    pub(crate) fn make() -> Result<Arc<Self>, Failure> {
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new())?.as_ref().to_vec();
        let signer = SoftwareKey::from_pkcs8(&pkcs8).map_err(|e| e.to_string())?;
        Ok(Arc::new(Self { pkcs8, signer }))
    }

    pub(crate) fn request(&self, serial_number: Option<&str>) -> Result<Vec<u8>, Failure> {
        Ok(request::make(&self.signer, &Wish { serial_number, ..Wish::default() })?)
    }

    /// What signs with it.
    pub(crate) const fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    pub(crate) fn hash(&self) -> SpkiHash {
        self.signer.public().hash()
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) key: Arc<Key>,
    pub(crate) certificate: Certificate,
}

impl Held {
    pub(crate) fn identity(&self) -> Identity {
        Identity::new(std::slice::from_ref(&self.certificate), &self.key.pkcs8)
    }

    pub(crate) fn serial(&self) -> Option<Serial> {
        self.certificate.serial()
    }
}
