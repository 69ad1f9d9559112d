//! Meaning to bytes: the DER that certificates, requests and CRLs are made of. Nothing is read
//! here; what comes from outside is read by `identity`.
//!
//! What stays the same for an issuer is encoded once and carried as bytes; [`shape`] puts
//! certificates together.

pub(crate) mod shape;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::{AnyRef, BitStringRef};
use der::{DateTime, Decode, Encode, Header, Length, Sequence, Tag};
use identity::{KeyError, KeyKind, Signer, UnixTime};
use std::time::Duration;
use x509_cert::time::Time;

/// What encoding can fail of: a text that its type does not allow, or a length beyond DER's.
pub(crate) type Encoded = der::Result<Vec<u8>>;

/// Our own shapes encode where their texts were checked; if one does not, nothing was signed.
pub(crate) fn unencodable(_: der::Error) -> KeyError {
    KeyError::Signing
}

/// One tag, one length, and the parts behind each other.
pub(crate) fn tlv(tag: Tag, parts: &[&[u8]]) -> Encoded {
    let octets = parts.iter().map(|p| p.len()).sum::<usize>();
    let mut out = Vec::with_capacity(octets + 8);
    Header::new(tag, Length::try_from(octets)?).encode(&mut out)?;
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(out)
}

/// A moment as RFC 5280 §4.1.2.5 writes it: UTCTime through 2049, GeneralizedTime from 2050 on.
pub(crate) fn time(moment: UnixTime) -> der::Result<Time> {
    Ok(Time::from(DateTime::from_unix_duration(Duration::from_secs(moment.secs()))?))
}

/// A distinguished name of one attribute per RDN, in the order given.
pub(crate) fn name(attributes: &[(ObjectIdentifier, &str)]) -> Encoded {
    let mut rdns = Vec::with_capacity(128);
    for (oid, text) in attributes {
        // X.520 gives serialNumber and country no other choice; for the rest RFC 5280 §4.1.2.4
        // prefers UTF8String.
        let printable = [rfc4519::SERIAL_NUMBER, rfc4519::C].contains(oid);
        let tag = if printable { Tag::PrintableString } else { Tag::Utf8String };
        let attribute = tlv(Tag::Sequence, &[&oid.to_der()?, &tlv(tag, &[text.as_bytes()])?])?;
        rdns.extend_from_slice(&tlv(Tag::Set, &[&attribute])?);
    }
    tlv(Tag::Sequence, &[&rdns])
}

/// Whether PrintableString (X.680 §41.4) has all of its characters.
pub(crate) fn is_printable(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&c))
}

/// The AlgorithmIdentifier of what a key of `kind` signs.
pub(crate) fn algorithm(kind: KeyKind) -> Encoded {
    identity::key::algorithm(kind).to_der()
}

/// What certificates, requests and CRLs have in common: a body, and the signature over it.
#[derive(Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// Signs `body`.
pub(crate) fn seal(body: &[u8], algorithm: &[u8], key: &dyn Signer) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(body)?;
    let signed = || {
        Signed {
            body: AnyRef::from_der(body)?,
            algorithm: AnyRef::from_der(algorithm)?,
            signature: BitStringRef::from_bytes(&signature)?,
        }
        .to_der()
    };
    signed().map_err(unencodable)
}

/// A certification request (RFC 2986) without attributes.
pub(crate) fn request(subject: &[u8], key: &dyn Signer) -> Result<Vec<u8>, KeyError> {
    let encode = || -> der::Result<(Vec<u8>, Vec<u8>)> {
        let parts: [&[u8]; 4] = [&[2, 1, 0], subject, key.public().spki(), &[0xa0, 0]];
        Ok((tlv(Tag::Sequence, &parts)?, algorithm(key.public().kind())?))
    };
    let (body, algorithm) = encode().map_err(unencodable)?;
    seal(&body, &algorithm, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_2050_on_a_time_has_four_digits_of_year() {
        let last = UnixTime::from_secs(2_524_607_999);
        assert!(matches!(time(last).unwrap(), Time::UtcTime(_)));
        assert!(matches!(time(last.plus_secs(1)).unwrap(), Time::GeneralTime(_)));
        let never = time(UnixTime::NEVER_ENDS).unwrap().to_der().unwrap();
        assert_eq!(never.get(2..), Some(b"99991231235959Z".as_slice()));
    }

    #[test]
    fn a_serial_number_is_a_printable_string_and_a_common_name_is_utf8() {
        let both = name(&[(rfc4519::SERIAL_NUMBER, "S1"), (rfc4519::CN, "pump")]).unwrap();
        assert!(both.windows(4).any(|w| w == [0x13, 2, b'S', b'1']));
        assert!(both.windows(3).any(|w| w == [0x0c, 4, b'p']));
        assert!(is_printable("P7-S/1") && !is_printable("P7_1") && !is_printable("Pümp"));
    }
}
