//! Responses, as whoever asked reads them.

use super::{CertId, Malformed, Status, extensions, field, octets};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc6960;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use identity::credential::Revocation;
use identity::key::Scheme;
use identity::{Certificate, KeyError, Reason, UnixTime};

/// The longest response that is read: sixteen answers and a certificate with an RSA key.
pub const RESPONSE_OCTETS_MAX: usize = 16 * 1024;

/// What a responder said of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    /// The CertID in DER.
    pub id: Vec<u8>,
    /// What it is.
    pub status: Status,
    /// From when on.
    pub this_update: UnixTime,
    /// Until when at most.
    pub next_update: Option<UnixTime>,
}

/// A response, as whoever asked reads it.
#[derive(Clone, Debug)]
pub struct Response {
    /// Of each certificate.
    pub singles: Vec<Single>,
    /// The nonce that came back.
    pub nonce: Option<Vec<u8>>,
    /// Who signed; absent where the certificate was left out, as RFC 6960 §4.2.1 allows: then it
    /// can only be the issuer.
    pub responder: Option<Certificate>,
    body: Vec<u8>,
    algorithm: ObjectIdentifier,
    signature: Vec<u8>,
}

/// A response that is read: an answer, or the number of the OCSPResponseStatus that says why not.
pub type Heard = Result<Response, u8>;

impl Response {
    /// Reads an OCSPResponse.
    ///
    /// # Errors
    /// [`Malformed`] where it is none, or none of the basic kind.
    pub fn parse(der: &[u8]) -> Result<Heard, Malformed> {
        if der.len() > RESPONSE_OCTETS_MAX {
            return Err(Malformed);
        }
        let mut reader = SliceReader::new(der)?;
        let (status, octets) = reader.sequence(|r| {
            let status = AnyRef::decode(r)?;
            match (status.tag(), status.value()) {
                (Tag::Enumerated, [status]) => Ok((*status, field(r, 0)?)),
                _ => Err(Malformed),
            }
        })?;
        reader.finish()?;
        match (status, octets) {
            (0, Some(octets)) => Ok(Ok(basic(octets)?)),
            (0, None) => Err(Malformed),
            (failure, _) => Ok(Err(failure)),
        }
    }

    /// Checks that `issuer` signed this, or a responder that it named.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it does not hold.
    pub fn verify(&self, issuer: &Certificate) -> Result<(), KeyError> {
        let responder = self.responder.as_ref().unwrap_or(issuer);
        if responder.der() != issuer.der() {
            responder.signed_by(issuer)?;
            let delegated = responder.usages().unwrap_or_default();
            if !delegated.contains(&crate::wire::shape::ANSWERS) {
                return Err(KeyError::Signature);
            }
        }
        let key = responder.key();
        let scheme = Scheme::named(self.algorithm, key.kind()).map_err(|_| KeyError::Signature)?;
        key.verify(scheme, &self.body, &self.signature)
    }
}

/// ResponseBytes, and the BasicOCSPResponse in them.
fn basic(bytes: &[u8]) -> Result<Response, Malformed> {
    let mut reader = SliceReader::new(bytes)?;
    let inner = reader.sequence(|r| {
        if ObjectIdentifier::decode(r)? != rfc6960::ID_PKIX_OCSP_BASIC {
            return Err(Malformed);
        }
        octets(r)
    })?;
    reader.finish()?;
    let mut reader = SliceReader::new(inner)?;
    let read = reader.sequence(|r| {
        let body = r.tlv_bytes()?;
        let algorithm = r.sequence(|r| {
            let oid = ObjectIdentifier::decode(r)?;
            let _parameters = (!r.is_finished()).then(|| r.tlv_bytes()).transpose()?;
            Ok::<_, Malformed>(oid)
        })?;
        let signature = BitStringRef::decode(r)?;
        let signature = signature.as_bytes().ok_or(Malformed)?.to_vec();
        let responder = field(r, 0)?.map(first).transpose()?;
        let (singles, nonce) = said(body)?;
        Ok::<_, Malformed>(Response {
            singles,
            nonce,
            responder,
            body: body.to_vec(),
            algorithm,
            signature,
        })
    })?;
    reader.finish()?;
    Ok(read)
}

/// The first certificate of a list of them.
fn first(list: &[u8]) -> Result<Certificate, Malformed> {
    let mut reader = SliceReader::new(list)?;
    let first = reader.sequence(|r| {
        let first = r.tlv_bytes()?;
        while !r.is_finished() {
            r.tlv_bytes()?;
        }
        Ok::<_, Malformed>(first)
    })?;
    Certificate::parse(first).map_err(|_| Malformed)
}

/// ResponseData.
fn said(body: &[u8]) -> Result<(Vec<Single>, Option<Vec<u8>>), Malformed> {
    let mut reader = SliceReader::new(body)?;
    let read = reader.sequence(|r| {
        let _version = field(r, 0)?;
        let (by_name, by_key) = (field(r, 1)?, field(r, 2)?);
        if by_name.is_some() == by_key.is_some() {
            return Err(Malformed);
        }
        GeneralizedTime::decode(r)?;
        let singles = r.sequence(|list| {
            let mut singles = Vec::new();
            while !list.is_finished() {
                singles.push(list.sequence(single)?);
            }
            Ok::<_, Malformed>(singles)
        })?;
        let nonce = field(r, 1)?.map_or(Ok(None), extensions)?;
        Ok((singles, nonce.map(<[u8]>::to_vec)))
    })?;
    reader.finish()?;
    Ok(read)
}

fn single(r: &mut SliceReader<'_>) -> Result<Single, Malformed> {
    let id = r.tlv_bytes()?;
    CertId::parse(id)?;
    let status = match (r.peek_byte(), AnyRef::decode(r)?.value()) {
        (Some(0x80), []) => Status::Good,
        (Some(0x82), []) => Status::Unknown,
        (Some(0xa1), revoked) => Status::Revoked(revocation(revoked)?),
        _ => return Err(Malformed),
    };
    let this_update = read_moment(r)?;
    let next_update = field(r, 0)?.map(|next| read_moment(&mut SliceReader::new(next)?));
    let _extensions = field(r, 1)?.map_or(Ok(None), extensions)?;
    Ok(Single { id: id.to_vec(), status, this_update, next_update: next_update.transpose()? })
}

/// RevokedInfo.
fn revocation(der: &[u8]) -> Result<Revocation, Malformed> {
    let mut reader = SliceReader::new(der)?;
    let at = read_moment(&mut reader)?;
    let reason = match field(&mut reader, 0)? {
        None => Reason::Unspecified,
        Some([0x0a, 1, code]) => reason(*code).ok_or(Malformed)?,
        Some(_) => return Err(Malformed),
    };
    reader.finish()?;
    Ok(Revocation { at, reason })
}

fn reason(code: u8) -> Option<Reason> {
    let all = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::CaCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::CertificateHold,
        Reason::PrivilegeWithdrawn,
    ];
    all.into_iter().find(|reason| reason.code() == code)
}

fn read_moment(r: &mut SliceReader<'_>) -> Result<UnixTime, Malformed> {
    Ok(UnixTime::from_secs(GeneralizedTime::decode(r)?.to_unix_duration().as_secs()))
}
