//! An authority at work: it signs what was approved and asks nothing any more.
//!
//! What is the same in all that an issuer signs (its name, its key identifier, its addresses) is
//! encoded once, when it is made; a leaf costs its own few fields and the signature.

#[cfg(test)]
mod tests;

use crate::address::Addresses;
use crate::judge::Approved;
use crate::wire::shape::{CLIENT, Extensions, SIGNS, Shape, leaf_subject, urn};
use crate::wire::{algorithm, seal, unencodable};
use const_oid::ObjectIdentifier;
use der::Encode;
use identity::authority::KeyId;
use identity::credential::{CredentialKind, Requester};
use identity::token::TokenId;
use identity::{
    Certificate, Credential, Device, KeyError, Outside, PublicKey, Serial, Signer, UnixTime,
};
use std::sync::Arc;
use x509_cert::ext::pkix::name::GeneralName;

/// How much earlier than now a certificate begins: clocks of devices are a few minutes off.
pub const BACKDATE_S: u64 = 300;

/// A leaf, and the row of its device, as both shall be committed.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The device as it shall be.
    pub device: Device,
    /// The version that was decided on; `None` for a new device.
    pub expected: Option<u64>,
    /// The leaf.
    pub leaf: Credential,
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
    id: KeyId,
    name: Vec<u8>,
    algorithm: Vec<u8>,
    /// Key usage, authority key identifier and addresses: what every device certificate of this
    /// issuer begins with.
    common: Extensions,
}

impl Issuer {
    /// An authority that signs. Its CRL has `shards` parts (0 means 1), fixed for each certificate
    /// when it is signed.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where `key` is not the one of `certificate`; [`KeyError::Signing`]
    /// where an address has a character that no URI has.
    pub fn new(
        certificate: Certificate,
        key: Arc<dyn Signer>,
        addresses: Addresses,
        shards: u16,
    ) -> Result<Self, KeyError> {
        if key.public() != certificate.key() {
            return Err(KeyError::Signature);
        }
        let id = certificate.subject_key_id().unwrap_or_else(|| key.public().key_id());
        let name = certificate.subject().to_der().map_err(unencodable)?;
        let algorithm = algorithm(key.public().kind()).map_err(unencodable)?;
        let common = common(&id, &addresses).map_err(unencodable)?;
        let shards = shards.max(1);
        Ok(Self { certificate, key, addresses, shards, id, name, algorithm, common })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its subject key identifier.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Its key, to sign CRLs with.
    #[must_use]
    pub fn key(&self) -> &dyn Signer {
        &*self.key
    }

    /// The addresses that its certificates carry.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Signs what was approved.
    ///
    /// # Errors
    /// The key's own; [`KeyError::Signature`] where `key` is not the one whose possession was
    /// proven.
    pub fn issue(
        &self,
        approved: Approved,
        key: &PublicKey,
        outside: &mut Outside<'_>,
    ) -> Result<Granted, KeyError> {
        if approved.key.is_some_and(|proven| proven != key.hash()) {
            return Err(KeyError::Signature);
        }
        let subject = leaf_subject(approved.organization.as_deref(), &approved.device.id);
        let mut usages = vec![CLIENT];
        usages.extend_from_slice(&approved.usages);
        let wanted = Wanted {
            kind: CredentialKind::Leaf,
            device: &approved.device,
            requester: approved.requester,
            key,
            subject: subject.map_err(unencodable)?,
            names: vec![urn(&approved.device.id).map_err(unencodable)?],
            usages,
            not_after: outside.now.plus_secs(approved.lifetime_s),
            closes: approved.closes,
        };
        let leaf = self.credential(wanted, outside)?;
        let Approved { device, expected, supersedes, token, .. } = approved;
        Ok(Granted { device, expected, leaf, supersedes, token })
    }

    /// Signs a certificate for a device and makes its record.
    pub(crate) fn credential(
        &self,
        wanted: Wanted<'_>,
        outside: &mut Outside<'_>,
    ) -> Result<Credential, KeyError> {
        let (serial, now) = (outside.serial(), outside.now);
        let shard = self.shard(&serial);
        let extensions = self.extensions(&wanted, shard).map_err(unencodable)?;
        let shape = Shape {
            serial,
            not_before: self.begin(now),
            not_after: wanted.not_after.min(self.certificate.not_after()),
            subject: &wanted.subject,
            key: wanted.key,
            extensions: &extensions,
        };
        let leaf = wanted.kind == CredentialKind::Leaf;
        Ok(Credential {
            serial,
            kind: wanted.kind,
            device: wanted.device.id,
            issuer: self.id,
            generation: if leaf { wanted.device.generation } else { 0 },
            spki: wanted.key.hash(),
            requester: wanted.requester,
            closes: wanted.closes,
            shard,
            issued: now,
            not_after: UnixTime::from_secs(shape.not_after.secs()),
            used: None,
            spent: None,
            revoked: None,
            der: self.sign(&shape)?,
        })
    }

    /// Signs any certificate.
    pub(crate) fn sign(&self, shape: &Shape<'_>) -> Result<Vec<u8>, KeyError> {
        let body = shape.body(&self.name, &self.algorithm).map_err(unencodable)?;
        seal(&body, &self.algorithm, &*self.key)
    }

    /// A little before now, but not before the issuer began.
    pub(crate) fn begin(&self, now: UnixTime) -> UnixTime {
        now.minus_secs(BACKDATE_S).max(self.certificate.not_before())
    }

    fn extensions(&self, wanted: &Wanted<'_>, shard: u16) -> der::Result<Extensions> {
        let mut extensions = self.common.clone();
        extensions.subject_key(&wanted.key.key_id())?;
        extensions.alternative_names(&wanted.names, false)?;
        if !wanted.usages.is_empty() {
            extensions.usages(&wanted.usages)?;
        }
        if let Some(url) = self.addresses.shard(&self.id, shard) {
            extensions.crl(&url)?;
        }
        Ok(extensions)
    }

    /// The last two random octets decide, so that shards fill evenly.
    fn shard(&self, serial: &Serial) -> u16 {
        let [.., high, low] = *serial.octets();
        u16::from_be_bytes([high, low]) % self.shards
    }
}

/// A certificate for a device, everything decided.
pub(crate) struct Wanted<'a> {
    pub(crate) kind: CredentialKind,
    pub(crate) device: &'a Device,
    pub(crate) requester: Requester,
    pub(crate) key: &'a PublicKey,
    /// A Name in DER.
    pub(crate) subject: Vec<u8>,
    pub(crate) names: Vec<GeneralName>,
    /// Empty leaves the extension out.
    pub(crate) usages: Vec<ObjectIdentifier>,
    pub(crate) not_after: UnixTime,
    /// Whether its first use ends the device's earlier leaves at once.
    pub(crate) closes: bool,
}

fn common(id: &KeyId, addresses: &Addresses) -> der::Result<Extensions> {
    let mut extensions = Extensions::default();
    extensions.key_usage(SIGNS)?;
    extensions.authority_key(id)?;
    extensions.access(addresses.certificate(id).as_deref(), addresses.ocsp().as_deref())?;
    Ok(extensions)
}
