//! An authority at work.

use crate::address::Addresses;
use crate::judge::Approved;
use identity::authority::KeyId;
use identity::token::TokenId;
use identity::{Certificate, Credential, Device, KeyError, Outside, PublicKey, Serial, Signer, UnixTime};
use std::sync::Arc;

/// A leaf, and the row of its device as both shall be committed.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The device as it shall be.
    pub device: Device,
    /// The version that was decided on; `None` for a new device.
    pub expected: Option<u64>,
    /// The leaf.
    pub leaf: Credential,
    /// Whether earlier leaves end at its first use (a join), or after the overlap (a renewal).
    pub closes: bool,
    /// Unused leaves that it takes the place of.
    pub supersedes: Vec<Serial>,
    /// The token that it spends one use of.
    pub token: Option<TokenId>,
}

/// An authority with its key.
pub struct Issuer {
    certificate: Certificate,
    key: Arc<dyn Signer>,
    addresses: Addresses,
    shards: u16,
}

impl Issuer {
    /// An authority that signs.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where `key` is not the one of `certificate`.
    pub fn new(
        certificate: Certificate,
        key: Arc<dyn Signer>,
        addresses: Addresses,
        shards: u16,
    ) -> Result<Self, KeyError> {
        todo!()
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its subject key identifier.
    #[must_use]
    pub fn id(&self) -> KeyId {
        todo!()
    }

    /// Signs what was approved.
    ///
    /// # Errors
    /// The key's own; [`KeyError::Signature`] where `key` is not the one whose possession was proven.
    pub fn issue(
        &self,
        approved: Approved,
        key: &PublicKey,
        outside: &mut Outside<'_>,
    ) -> Result<Granted, KeyError> {
        todo!()
    }
}
