//! Bytes of OCSP (RFC 6960 §4): requests read, responses made; and for whoever asks, requests made
//! and responses read. What is not understood is malformed, and what it means is `mod.rs`'s.

mod heard;
#[cfg(test)]
mod tests;

pub use heard::{Heard, RESPONSE_OCTETS_MAX, Response, Single};

use super::{Names, Status};
use crate::wire::shape::Extensions;
use crate::wire::{Encoded, tlv, unencodable};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc6960};
use der::asn1::{AnyRef, GeneralizedTime, OctetStringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use identity::credential::Revocation;
use identity::{KeyError, Reason, Serial, Signer, UnixTime};
use std::time::Duration;

/// A request for one certificate has some 80 octets, with a nonce 120; this has room for all that
/// [`REQUESTS_MAX`] certificates and a name may need.
pub const REQUEST_OCTETS_MAX: usize = 4096;

/// Certificates that one request may ask about: a chain and some neighbours. Each is a row that is
/// read.
pub const REQUESTS_MAX: usize = 16;

/// The longest nonce that a request may have (RFC 9654 §2.1).
pub const NONCE_OCTETS_MAX: usize = 128;

/// The longest nonce that is given back: what every responder must (RFC 9654 §2.1). Longer ones are
/// answered without, which the RFC allows.
pub const NONCE_ECHOED_MAX: usize = 32;

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<der::Error> for Malformed {
    fn from(_: der::Error) -> Self {
        Self
    }
}

/// The digest by which a CertID names its issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which most clients send.
    Sha1,
    /// SHA-256.
    Sha256,
    /// Another: nobody here is named so.
    Other,
}

/// Names a certificate: its issuer by two digests, and its serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertId<'a> {
    /// The whole CertID in DER; an answer repeats it octet by octet.
    pub der: &'a [u8],
    /// Which digest.
    pub digest: Digest,
    /// The digest of the issuer's name.
    pub name: &'a [u8],
    /// The digest of the issuer's key.
    pub key: &'a [u8],
    /// The serial number without zeros in front.
    number: &'a [u8],
}

impl<'a> CertId<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = SliceReader::new(der)?;
        let id = reader.sequence(|r| {
            let digest = r.sequence(digest)?;
            let name = octets(r)?;
            let key = octets(r)?;
            let number = AnyRef::decode(r)?;
            if number.tag() != Tag::Integer || number.value().is_empty() {
                return Err(Malformed);
            }
            let zeros = number.value().iter().take_while(|o| **o == 0).count();
            let number = number.value().get(zeros..).unwrap_or_default();
            Ok(Self { der, digest, name, key, number })
        })?;
        reader.finish()?;
        Ok(id)
    }

    /// The serial number, where it may be one of ours.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        let mut octets = [0; 16];
        let start = octets.len().checked_sub(self.number.len())?;
        octets.get_mut(start..)?.copy_from_slice(self.number);
        Serial::from_octets(&octets)
    }
}

/// An AlgorithmIdentifier of a digest, whose parameters are absent or NULL.
fn digest(r: &mut SliceReader<'_>) -> Result<Digest, Malformed> {
    let oid = ObjectIdentifier::decode(r)?;
    if !r.is_finished() {
        der::asn1::Null::decode(r)?;
    }
    Ok(match oid {
        rfc5912::ID_SHA_1 => Digest::Sha1,
        rfc5912::ID_SHA_256 => Digest::Sha256,
        _ => Digest::Other,
    })
}

fn octets<'a>(r: &mut SliceReader<'a>) -> Result<&'a [u8], Malformed> {
    Ok(<&OctetStringRef>::decode(r)?.as_bytes())
}

/// What somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The certificates, at least one.
    pub asked: Vec<CertId<'a>>,
    /// The nonce, 1 to [`NONCE_OCTETS_MAX`] octets.
    pub nonce: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads an OCSPRequest. Who asks (`requestorName`, a signature) is not looked at: everybody
    /// gets the same answer.
    ///
    /// # Errors
    /// [`Malformed`], also for what is too much and for a critical extension that we do not know.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        if der.len() > REQUEST_OCTETS_MAX {
            return Err(Malformed);
        }
        let mut reader = SliceReader::new(der)?;
        let request = reader.sequence(|r| {
            let request = r.sequence(body)?;
            let _signature = field(r, 0)?;
            Ok::<_, Malformed>(request)
        })?;
        reader.finish()?;
        Ok(request)
    }
}

/// TBSRequest.
fn body<'a>(r: &mut SliceReader<'a>) -> Result<Request<'a>, Malformed> {
    if field(r, 0)?.is_some_and(|version| version != [2, 1, 0]) {
        return Err(Malformed);
    }
    let _who = field(r, 1)?;
    let asked = r.sequence(|list| {
        let mut asked = Vec::with_capacity(1);
        while !list.is_finished() {
            if asked.len() == REQUESTS_MAX {
                return Err(Malformed);
            }
            asked.push(list.sequence(one)?);
        }
        Ok(asked)
    })?;
    let nonce = field(r, 2)?.map_or(Ok(None), extensions)?;
    if asked.is_empty() { Err(Malformed) } else { Ok(Request { asked, nonce }) }
}

/// Request, of which the extensions tell nothing that we heed.
fn one<'a>(r: &mut SliceReader<'a>) -> Result<CertId<'a>, Malformed> {
    let id = CertId::parse(r.tlv_bytes()?)?;
    let _ignored = field(r, 0)?.map_or(Ok(None), extensions)?;
    Ok(id)
}

/// The content of an explicitly tagged field, where it is there.
fn field<'a>(r: &mut SliceReader<'a>, number: u8) -> Result<Option<&'a [u8]>, Malformed> {
    if r.peek_byte() != Some(0xa0 | number) {
        return Ok(None);
    }
    Ok(Some(AnyRef::decode(r)?.value()))
}

/// The nonce among extensions. Others are left alone, unless they are critical.
fn extensions(der: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = SliceReader::new(der)?;
    let nonce = reader.sequence(|list| {
        let mut nonce = None;
        while !list.is_finished() {
            let (oid, critical, value) = list.sequence(extension)?;
            if oid == rfc6960::ID_PKIX_OCSP_NONCE {
                let octets = <&OctetStringRef>::from_der(value)?.as_bytes();
                let fits = (1..=NONCE_OCTETS_MAX).contains(&octets.len());
                if !fits || nonce.replace(octets).is_some() {
                    return Err(Malformed);
                }
            } else if critical {
                return Err(Malformed);
            }
        }
        Ok(nonce)
    })?;
    reader.finish()?;
    Ok(nonce)
}

fn extension<'a>(r: &mut SliceReader<'a>) -> Result<(ObjectIdentifier, bool, &'a [u8]), Malformed> {
    let oid = ObjectIdentifier::decode(r)?;
    let critical = r.peek_byte() == Some(1) && bool::decode(r)?;
    Ok((oid, critical, octets(r)?))
}

/// A request about certificates of one issuer; a nonce has 1 to [`NONCE_OCTETS_MAX`] octets.
///
/// # Errors
/// [`KeyError::Signing`] where it cannot be encoded.
pub fn request(ids: &[Vec<u8>], nonce: Option<&[u8]>) -> Result<Vec<u8>, KeyError> {
    let encode = || -> Encoded {
        let mut list = Vec::new();
        for id in ids {
            list.extend_from_slice(&tlv(Tag::Sequence, &[id])?);
        }
        let list = tlv(Tag::Sequence, &[&list])?;
        let tail = nonce.map_or(Ok(Vec::new()), |nonce| nonce_field(2, nonce))?;
        tlv(Tag::Sequence, &[&tlv(Tag::Sequence, &[&list, &tail])?])
    };
    encode().map_err(unencodable)
}

/// The CertID of a certificate.
///
/// # Errors
/// [`KeyError::Signing`] where it cannot be encoded.
pub fn cert_id(digest: Digest, issuer: &Names, serial: &Serial) -> Result<Vec<u8>, KeyError> {
    cert_id_of(digest, issuer, serial.octets())
}

/// As [`cert_id`], with a serial number that need not be of our form.
///
/// # Errors
/// As [`cert_id`].
pub fn cert_id_of(digest: Digest, issuer: &Names, number: &[u8]) -> Result<Vec<u8>, KeyError> {
    let encode = || -> Encoded {
        let (oid, (name, key)) = match digest {
            Digest::Sha256 => (rfc5912::ID_SHA_256, issuer.sha256()),
            Digest::Sha1 | Digest::Other => (rfc5912::ID_SHA_1, issuer.sha1()),
        };
        let algorithm = tlv(Tag::Sequence, &[&oid.to_der()?, &[5, 0]])?;
        let (name, key) = (tlv(Tag::OctetString, &[name])?, tlv(Tag::OctetString, &[key])?);
        let number = der::asn1::UintRef::new(number)?.to_der()?;
        tlv(Tag::Sequence, &[&algorithm, &name, &key, &number])
    };
    encode().map_err(unencodable)
}

/// Extensions of one nonce, in the field with this number.
fn nonce_field(number: u32, nonce: &[u8]) -> Encoded {
    let mut extensions = Extensions::default();
    let value = tlv(Tag::OctetString, &[nonce])?;
    extensions.add(rfc6960::ID_PKIX_OCSP_NONCE, false, &value)?;
    explicit(number, &extensions.sequence()?)
}

fn explicit(number: u32, content: &[u8]) -> Encoded {
    tlv(Tag::ContextSpecific { constructed: true, number: TagNumber(number) }, &[content])
}

/// What a response says, before it is signed.
pub(super) struct Answer<'a> {
    /// The SHA-1 of the responder's key.
    pub(super) responder: &'a [u8; 20],
    pub(super) now: UnixTime,
    pub(super) next_update: UnixTime,
    pub(super) singles: &'a [(CertId<'a>, Status)],
    pub(super) nonce: Option<&'a [u8]>,
}

impl Answer<'_> {
    /// ResponseData.
    pub(super) fn body(&self) -> Encoded {
        let now = moment(self.now)?;
        let next = explicit(0, &moment(self.next_update)?)?;
        let mut singles = Vec::with_capacity(self.singles.len() * 160);
        for (id, status) in self.singles {
            let single = tlv(Tag::Sequence, &[id.der, &status_der(*status)?, &now, &next])?;
            singles.extend_from_slice(&single);
        }
        let singles = tlv(Tag::Sequence, &[&singles])?;
        let responder = explicit(2, &tlv(Tag::OctetString, &[self.responder])?)?;
        let nonce = self.nonce.map_or(Ok(Vec::new()), |nonce| nonce_field(1, nonce))?;
        tlv(Tag::Sequence, &[&responder, &now, &singles, &nonce])
    }
}

/// CertStatus.
fn status_der(status: Status) -> Encoded {
    match status {
        Status::Good => Ok(vec![0x80, 0]),
        Status::Unknown => Ok(vec![0x82, 0]),
        Status::Revoked(Revocation { at, reason }) => {
            // A reason that nobody gave is left out, as in CRLs.
            let said = match reason {
                Reason::Unspecified => Vec::new(),
                _ => explicit(0, &[0x0a, 1, reason.code()])?,
            };
            explicit(1, &[moment(at)?, said].concat())
        }
    }
}

/// Whole seconds; from 10000 on there is nothing.
fn moment(time: UnixTime) -> Encoded {
    GeneralizedTime::from_unix_duration(Duration::from_secs(time.secs()))?.to_der()
}

/// A successful OCSPResponse around a BasicOCSPResponse.
pub(super) fn response(
    body: &[u8],
    algorithm: &[u8],
    certificate: &[u8],
    key: &dyn Signer,
) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(body)?;
    let encode = || -> Encoded {
        let signature = tlv(Tag::BitString, &[&[0], &signature])?;
        let certificates = explicit(0, &tlv(Tag::Sequence, &[certificate])?)?;
        let basic = tlv(Tag::Sequence, &[body, algorithm, &signature, &certificates])?;
        let octets = tlv(Tag::OctetString, &[&basic])?;
        let oid = rfc6960::ID_PKIX_OCSP_BASIC.to_der()?;
        let octets = explicit(0, &tlv(Tag::Sequence, &[&oid, &octets])?)?;
        tlv(Tag::Sequence, &[&[0x0a, 1, 0], &octets])
    };
    encode().map_err(unencodable)
}
