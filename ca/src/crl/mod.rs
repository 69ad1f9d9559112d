//! Certificate revocation lists (RFC 5280 §5): one per shard, whose address certificates name and
//! which the list repeats in a critical extension, and a complete one for whoever wants all.

#[cfg(test)]
mod tests;

use crate::wire::shape::{Extensions, full_name};
use crate::wire::{algorithm, seal, time, tlv, unencodable};
use const_oid::AssociatedOid;
use const_oid::db::rfc5280;
use der::asn1::UintRef;
use der::{Decode, Encode, Tag, TagNumber};
use identity::{Certificate, KeyError, Reason, SerialNumber, Signer, UnixTime};
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::pkix::CrlNumber;

/// What a list lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that the issuer signed.
    Complete,
    /// One shard, which certificates name by this address.
    Shard {
        /// The address, as it stands in the certificates.
        url: String,
    },
}

/// A certificate that is not good any more, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Which; authorities may have been signed elsewhere, with a number of another form than ours.
    pub serial: SerialNumber,
    /// Since when.
    pub at: UnixTime,
    /// Why.
    pub reason: Reason,
}

/// An entry of a list as it was read, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The content of its serial number, of any form.
    pub serial: Vec<u8>,
    /// Since when.
    pub at: UnixTime,
    /// Why; unspecified too where no reason of ours is said.
    pub reason: Reason,
}

/// A list to be signed.
#[derive(Clone, Debug)]
pub struct Crl {
    /// Grows with every list of the same issuer and scope.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one will be there at the latest.
    pub next_update: UnixTime,
    /// What it lists.
    pub scope: Scope,
    /// The certificates, in any order.
    pub entries: Vec<Revoked>,
}

/// Signs a list; the DER. The entries come out in the order of their serial numbers.
///
/// # Errors
/// The key's own; [`KeyError::Signature`] where it is not the issuer's.
pub fn sign(issuer: &Certificate, key: &dyn Signer, mut crl: Crl) -> Result<Vec<u8>, KeyError> {
    if key.public() != issuer.key() {
        return Err(KeyError::Signature);
    }
    crl.entries.sort_unstable_by_key(|e| e.serial);
    let algorithm = algorithm(key.public().kind()).map_err(unencodable)?;
    let body = body(issuer, &algorithm, &crl).map_err(unencodable)?;
    seal(&body, &algorithm, key)
}

/// The number of a list, whoever signed it; `None` where it has none, or one that no list of ours
/// reaches.
#[must_use]
pub fn number(list: &[u8]) -> Option<u64> {
    let list: CertificateList = CertificateList::from_der(list).ok()?;
    let all = list.tbs_cert_list.crl_extensions?;
    let found = all.iter().find(|e| e.extn_id == CrlNumber::OID)?;
    let CrlNumber(number) = CrlNumber::from_der(found.extn_value.as_bytes()).ok()?;
    number
        .as_bytes()
        .iter()
        .try_fold(0_u64, |sum, octet| sum.checked_mul(256)?.checked_add(u64::from(*octet)))
}

/// The entries of a list, whoever signed it; `None` where it is none.
#[must_use]
pub fn entries(list: &[u8]) -> Option<Vec<Listed>> {
    let list: CertificateList = CertificateList::from_der(list).ok()?;
    let rows = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
    let read = |row: RevokedCert| Listed {
        serial: row.serial_number.as_bytes().to_vec(),
        at: UnixTime::from_secs(row.revocation_date.to_unix_duration().as_secs()),
        reason: reason(&row).unwrap_or(Reason::Unspecified),
    };
    Some(rows.into_iter().map(read).collect())
}

fn reason(row: &RevokedCert) -> Option<Reason> {
    let all = row.crl_entry_extensions.as_ref()?;
    let found = all.iter().find(|e| e.extn_id == rfc5280::ID_CE_CRL_REASONS)?;
    let [_, _, code] = found.extn_value.as_bytes() else { return None };
    Reason::ALL.iter().copied().find(|reason| reason.code() == *code)
}

/// The number of the next list after those with the numbers in `before`: the second of its making,
/// so that nobody has to remember the last one, unless a list of this second or of a faster clock
/// has it already.
#[must_use]
pub fn next_number(now: UnixTime, before: Option<u64>) -> u64 {
    before.map_or(0, |number| number.saturating_add(1)).max(now.secs())
}

/// TBSCertList, version 2.
fn body(issuer: &Certificate, algorithm: &[u8], crl: &Crl) -> der::Result<Vec<u8>> {
    let mut entries = Vec::with_capacity(crl.entries.len() * 64);
    for entry in &crl.entries {
        entries.extend_from_slice(&entry_der(entry)?);
    }
    // An empty list has no SEQUENCE at all (RFC 5280 §5.1.2.6).
    let entries = if entries.is_empty() { entries } else { tlv(Tag::Sequence, &[&entries])? };
    let tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    let extensions = tlv(tag, &[&extensions(issuer, crl)?.sequence()?])?;
    let version: &[u8] = &[2, 1, 1];
    let (issuer, this, next) = (
        issuer.subject().to_der()?,
        time(crl.this_update)?.to_der()?,
        time(crl.next_update)?.to_der()?,
    );
    tlv(Tag::Sequence, &[version, algorithm, &issuer, &this, &next, &entries, &extensions])
}

fn extensions(issuer: &Certificate, crl: &Crl) -> der::Result<Extensions> {
    let id = issuer.subject_key_id().unwrap_or_else(|| issuer.key().key_id());
    let mut extensions = Extensions::default();
    extensions.authority_key(&id)?;
    extensions.add(rfc5280::ID_CE_CRL_NUMBER, false, &crl.number.to_der()?)?;
    if let Scope::Shard { url } = &crl.scope {
        let point = tlv(Tag::Sequence, &[&full_name(url)?])?;
        extensions.add(rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT, true, &point)?;
    }
    Ok(extensions)
}

fn entry_der(entry: &Revoked) -> der::Result<Vec<u8>> {
    let serial = UintRef::new(entry.serial.octets())?.to_der()?;
    let at = time(entry.at)?.to_der()?;
    let mut extensions = Extensions::default();
    if entry.reason != Reason::Unspecified {
        extensions.add(rfc5280::ID_CE_CRL_REASONS, false, &[0x0a, 1, entry.reason.code()])?;
        return tlv(Tag::Sequence, &[&serial, &at, &extensions.sequence()?]);
    }
    tlv(Tag::Sequence, &[&serial, &at])
}
