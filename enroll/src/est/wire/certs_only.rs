//! The degenerate SignedData of PKCS#7 (RFC 5652 §5, RFC 5272 §4.1): certificates, and nobody who
//! signs.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_DATA, ID_SIGNED_DATA};
use der::asn1::AnyRef;
use der::{
    Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Length, Reader, SliceReader, Tag,
    Writer,
};
use identity::Certificate;
use identity::ask::Defect;
use identity::certificate::CERTIFICATE_OCTETS_MAX;

/// Certificates in one answer: every authority of a realm with its predecessors. Birth authorities
/// count for good, and each root that still counts brings what leads to and from it; 64 are a life
/// of yearly roll-overs, and about what the octets below hold.
pub const CERTIFICATES_MAX: usize = 64;
/// The largest answer of `cacerts`: authorities have some 700 octets each, so this is above 64
/// of them, and far below what would hurt a device's agent.
pub const CERTS_ONLY_OCTETS_MAX: usize = 4 * CERTIFICATE_OCTETS_MAX;

#[derive(der::Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

#[derive(der::Sequence)]
struct SignedData<'a> {
    version: u8,
    digest_algorithms: Bag<'a>,
    content: EncapsulatedContent<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    certificates: Option<Bag<'a>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    revocations: Option<Bag<'a>>,
    signers: Bag<'a>,
}

#[derive(der::Sequence)]
struct EncapsulatedContent<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<AnyRef<'a>>,
}

/// A SET OF whose members stay in the order of their sender, as every implementation writes
/// certificates: the issued one first, then its issuers. DER would sort them, and nobody signs
/// this.
struct Bag<'a>(&'a [u8]);

impl FixedTag for Bag<'_> {
    const TAG: Tag = Tag::Set;
}

impl<'a> DecodeValue<'a> for Bag<'a> {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        reader.read_slice(header.length()).map(Self)
    }
}

impl EncodeValue for Bag<'_> {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(self.0.len())
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.0)
    }
}

/// Certificates, each in DER, as a certs-only PKCS#7 in DER, in their order.
///
/// # Errors
/// Only where they are larger than DER can say.
pub fn write(certificates: &[impl AsRef<[u8]>]) -> der::Result<Vec<u8>> {
    let bag = certificates.iter().map(AsRef::as_ref).collect::<Vec<_>>().concat();
    let content = SignedData {
        version: 1,
        digest_algorithms: Bag(&[]),
        content: EncapsulatedContent { content_type: ID_DATA, content: None },
        certificates: Some(Bag(&bag)),
        revocations: None,
        signers: Bag(&[]),
    };
    ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der()
}

/// Reads the certificates of a PKCS#7 in DER, in their order. Who signed it is not looked at: trust
/// comes from the connection and from the chain.
///
/// # Errors
/// A [`Defect`] where it is not one, carries none or too many, or one does not parse.
pub fn read(pkcs7: &[u8]) -> Result<Vec<Certificate>, Defect> {
    if pkcs7.len() > CERTS_ONLY_OCTETS_MAX {
        let sentence = format!("a PKCS#7 has at most {CERTS_ONLY_OCTETS_MAX} octets");
        return Err(Defect::new("pkcs7-too-large", sentence));
    }
    let outer = ContentInfo::from_der(pkcs7).map_err(|e| broken(&e))?;
    if outer.content_type != ID_SIGNED_DATA {
        return Err(Defect::new("pkcs7-type", "the PKCS#7 is not a SignedData"));
    }
    let bag = outer.content.certificates.map_or(&[][..], |bag| bag.0);
    let found = members(bag)?;
    if found.is_empty() {
        return Err(Defect::new("pkcs7-empty", "the PKCS#7 carries no certificate"));
    }
    Ok(found)
}

fn members(bag: &[u8]) -> Result<Vec<Certificate>, Defect> {
    let mut found = Vec::new();
    let mut reader = SliceReader::new(bag).map_err(|e| broken(&e))?;
    while !reader.is_finished() {
        if found.len() == CERTIFICATES_MAX {
            let sentence = format!("a PKCS#7 carries at most {CERTIFICATES_MAX} certificates");
            return Err(Defect::new("pkcs7-too-many", sentence));
        }
        found.push(Certificate::parse(reader.tlv_bytes().map_err(|e| broken(&e))?)?);
    }
    Ok(found)
}

fn broken(error: &der::Error) -> Defect {
    if error.kind() == der::ErrorKind::IndefiniteLength {
        let sentence = "the PKCS#7 has an indefinite length, which is BER: only DER is read here";
        return Defect::new("pkcs7-indefinite", sentence);
    }
    Defect::new("pkcs7-der", format!("the PKCS#7 is not DER: {error}"))
}
