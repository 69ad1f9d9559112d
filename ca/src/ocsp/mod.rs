//! OCSP (RFC 6960, in the lightweight profile of RFC 5019, with the nonces of RFC 9654): a relying
//! party asks whether a certificate still counts, and gets a signed answer.
//!
//! Who speaks first: the relying party, with the issuer's name and key as digests and a serial
//! number. [`hear`] says whose certificates are meant; the host gathers what the registry knows of
//! each as a [`Status`]; [`Responder::answer`] signs it. A responder's key is not the authority's:
//! the authority certifies one for a few days ([`Responder::certified`]), which needs no check of
//! its own (`id-pkix-ocsp-nocheck`), since it ends before anybody would look it up.
//!
//! One response has one signer, and a responder may only speak of certificates of the authority
//! that named it (RFC 6960 §4.2.2.2). So a request that asks about several issuers at once is
//! `unauthorized`, as is one about an issuer that is not ours, is barred, or signs offline (the
//! root, whose CRL says it). Read on in [`wire`] for the bytes.

#[cfg(test)]
mod tests;
pub mod wire;

use crate::issuer::BACKDATE_S;
use crate::wire::shape::{ANSWERS, Extensions, SIGNS, Shape};
use crate::wire::{algorithm, name, seal, unencodable};
use const_oid::db::{rfc4519, rfc6960};
use der::Encode;
use identity::authority::KeyId;
use identity::credential::Revocation;
use identity::key::{sha1_of_a_name, sha256};
use identity::{Certificate, KeyError, Outside, Signer, UnixTime};
use std::sync::Arc;
use wire::{CertId, Digest, Malformed, Request};

/// How long an answer is good (`nextUpdate`): a relying party that keeps answers for as long as it
/// may is an hour behind at most.
pub const GOOD_S: u64 = 3600;

/// How long the certificate of a responder is good. Nobody checks whether it was revoked, so it is
/// short; and it outlives every answer by far.
pub const RESPONDER_S: u64 = 7 * 86_400;

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Issued, and neither revoked nor on hold.
    Good,
    /// Revoked, or on hold (`certificateHold`).
    Revoked(Revocation),
    /// This issuer has no such certificate on record.
    Unknown,
}

/// Why there is no answer: an OCSPResponse without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request's: it cannot be read.
    Malformed,
    /// Ours: the responder's key did not sign.
    Internal,
    /// Ours: the registry cannot be read at this moment.
    TryLater,
    /// The request's: we do not answer for this issuer (RFC 5019 §2.2.3).
    Unauthorized,
}

impl Failure {
    /// The OCSPResponse that says so.
    #[must_use]
    pub const fn octets(self) -> &'static [u8] {
        match self {
            Self::Malformed => &[0x30, 3, 0x0a, 1, 1],
            Self::Internal => &[0x30, 3, 0x0a, 1, 2],
            Self::TryLater => &[0x30, 3, 0x0a, 1, 3],
            Self::Unauthorized => &[0x30, 3, 0x0a, 1, 6],
        }
    }

    /// The word for it, in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Internal => "internal_error",
            Self::TryLater => "try_later",
            Self::Unauthorized => "unauthorized",
        }
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What an issuer is called in requests: the digests of its name and of its key.
#[derive(Clone, Debug)]
pub struct Names {
    /// Which authority.
    pub id: KeyId,
    sha1: ([u8; 20], [u8; 20]),
    sha256: ([u8; 32], [u8; 32]),
}

impl Names {
    /// The names of an authority.
    ///
    /// # Errors
    /// [`KeyError::Signing`] where its name cannot be encoded.
    pub fn of(issuer: &Certificate) -> Result<Self, KeyError> {
        let name = issuer.subject().to_der().map_err(unencodable)?;
        let key = issuer.key().raw();
        Ok(Self {
            id: issuer.subject_key_id().unwrap_or_else(|| issuer.key().key_id()),
            sha1: (sha1_of_a_name(&name), sha1_of_a_name(key)),
            sha256: (sha256(&[&name]), sha256(&[key])),
        })
    }

    fn are_in(&self, id: &CertId<'_>) -> bool {
        let (name, key) = match id.digest {
            Digest::Sha1 => self.sha1(),
            Digest::Sha256 => self.sha256(),
            Digest::Other => return false,
        };
        id.name == name && id.key == key
    }

    fn sha1(&self) -> (&[u8], &[u8]) {
        (&self.sha1.0, &self.sha1.1)
    }

    fn sha256(&self) -> (&[u8], &[u8]) {
        (&self.sha256.0, &self.sha256.1)
    }
}

/// What was asked, about certificates of one issuer.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Which of the issuers.
    pub issuer: KeyId,
    /// The certificates, at least one.
    pub asked: Vec<CertId<'a>>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Question<'a> {
    /// The one certificate of a question that everybody gets the same answer to: no nonce, and no
    /// other certificate.
    #[must_use]
    pub fn plain(&self) -> Option<&CertId<'a>> {
        match (self.asked.as_slice(), self.nonce) {
            ([one], None) => Some(one),
            _ => None,
        }
    }
}

/// Reads a request, and says which of `issuers` it is about.
///
/// # Errors
/// [`Failure::Malformed`]; [`Failure::Unauthorized`] where it is about none of them or about
/// several.
pub fn hear<'a, 'n>(
    request: &'a [u8],
    issuers: impl IntoIterator<Item = &'n Names>,
) -> Result<Question<'a>, Failure> {
    let Request { asked, nonce } = Request::parse(request)?;
    let about = |names: &&Names| asked.iter().all(|id| names.are_in(id));
    let issuer = issuers.into_iter().find(about).ok_or(Failure::Unauthorized)?.id;
    // Responders that do not give a long nonce back answer without one (RFC 9654 §2.1).
    let nonce = nonce.filter(|nonce| nonce.len() <= wire::NONCE_ECHOED_MAX);
    Ok(Question { issuer, asked, nonce })
}

/// A signed answer.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The OCSPResponse.
    pub der: Vec<u8>,
    /// When it was made: `producedAt` and `thisUpdate`.
    pub this_update: UnixTime,
    /// Until when it is good.
    pub next_update: UnixTime,
}

/// Who signs answers for an authority.
pub struct Responder {
    certificate: Certificate,
    key: Arc<dyn Signer>,
    name: [u8; 20],
    algorithm: Vec<u8>,
}

impl Responder {
    /// Lets an authority name `key` its responder, for [`RESPONDER_S`].
    ///
    /// # Errors
    /// The authority's key's own; [`KeyError::Signature`] where it is not the authority's.
    pub fn certified(
        (authority, signer): (&Certificate, &dyn Signer),
        key: Arc<dyn Signer>,
        outside: &mut Outside<'_>,
    ) -> Result<Self, KeyError> {
        if signer.public() != authority.key() {
            return Err(KeyError::Signature);
        }
        let id = authority.subject_key_id().unwrap_or_else(|| authority.key().key_id());
        let encode = || -> der::Result<_> {
            let mut extensions = Extensions::default();
            extensions.key_usage(SIGNS)?;
            extensions.usages(&[ANSWERS])?;
            extensions.add(rfc6960::ID_PKIX_OCSP_NOCHECK, false, &[5, 0])?;
            extensions.subject_key(&key.public().key_id())?;
            extensions.authority_key(&id)?;
            let subject = name(&[(rfc4519::CN, "Muster OCSP responder")])?;
            let issuer = authority.subject().to_der()?;
            Ok((extensions, subject, issuer, algorithm(signer.public().kind())?))
        };
        let (extensions, subject, issuer, signing) = encode().map_err(unencodable)?;
        let shape = Shape {
            serial: outside.serial(),
            not_before: outside.now.minus_secs(BACKDATE_S).max(authority.not_before()),
            not_after: outside.now.plus_secs(RESPONDER_S).min(authority.not_after()),
            subject: &subject,
            key: key.public(),
            extensions: &extensions,
        };
        let body = shape.body(&issuer, &signing).map_err(unencodable)?;
        let der = seal(&body, &signing, signer)?;
        let certificate = Certificate::parse(&der).map_err(|_| KeyError::Signing)?;
        let (name, kind) = (sha1_of_a_name(key.public().raw()), key.public().kind());
        Ok(Self { certificate, key, name, algorithm: algorithm(kind).map_err(unencodable)? })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs what is known of the certificates that were asked about, in their order. No answer is
    /// good for longer than the responder itself.
    ///
    /// # Errors
    /// The key's own.
    pub fn answer(
        &self,
        question: &Question<'_>,
        facts: &[Status],
        now: UnixTime,
    ) -> Result<Signed, KeyError> {
        let facts = facts.iter().copied().chain(std::iter::repeat(Status::Unknown));
        let singles: Vec<_> = question.asked.iter().copied().zip(facts).collect();
        let next_update = now.plus_secs(GOOD_S).min(self.certificate.not_after());
        let answer = wire::Answer {
            responder: &self.name,
            now,
            next_update,
            singles: &singles,
            nonce: question.nonce,
        };
        let body = answer.body().map_err(unencodable)?;
        let der = wire::response(&body, &self.algorithm, self.certificate.der(), &*self.key)?;
        Ok(Signed { der, this_update: now, next_update })
    }
}
