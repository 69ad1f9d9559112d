//! Requests (PKCS#10, RFC 2986) as a device makes them: a subject that names it, the key that asks,
//! and what binds the request to its connection.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5912};
use der::asn1::{Any, AnyRef, BitString, OctetString, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Decode, Encode};
use identity::key::{KeyError, Signer, algorithm};
use std::fmt;
use x509_cert::attr::{Attribute, AttributeTypeAndValue};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// challengePassword of RFC 2985 §5.4.1.
const CHALLENGE_PASSWORD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");

/// What a request says beside its key. The server takes names from its registry; these only have to
/// agree with it.
#[derive(Clone, Debug, Default)]
pub struct Wish<'a> {
    /// The subject's common name.
    pub common_name: Option<&'a str>,
    /// The subject's serialNumber (2.5.4.5), a PrintableString.
    pub serial_number: Option<&'a str>,
    /// The challenge password, from [`crate::est::wire::challenge_password`].
    pub challenge_password: Option<&'a str>,
    /// The HardwareModuleName that the SAN shall have (RFC 4108 §5).
    pub hardware_module: Option<HardwareModuleName>,
}

/// Why a request could not be made.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The key did not sign.
    Key(KeyError),
    /// A value has characters that its ASN.1 type cannot carry: `serial_number` beyond
    /// PrintableString.
    Value(der::Error),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Value(error) => write!(f, "the request cannot carry a value: {error}"),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<KeyError> for RequestError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<der::Error> for RequestError {
    fn from(error: der::Error) -> Self {
        Self::Value(error)
    }
}

/// CertificationRequestInfo of RFC 2986 §4.1.
#[derive(der::Sequence)]
struct Body<'a> {
    version: u8,
    subject: Vec<SetOfVec<AttributeTypeAndValue>>,
    key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<Attribute>,
}

/// CertificationRequest of RFC 2986 §4.2.
#[derive(der::Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Makes a request in DER, signed by the key that it asks for.
///
/// # Errors
/// A [`RequestError`] where the key does not sign or a value does not fit.
pub fn make(signer: &dyn Signer, wish: &Wish<'_>) -> Result<Vec<u8>, RequestError> {
    let key = AnyRef::from_der(signer.public().spki())?;
    let body = Body { version: 0, subject: subject(wish)?, key, attributes: attributes(wish)? };
    let body = body.to_der()?;
    let signature = BitString::from_bytes(&signer.sign(&body)?)?;
    let algorithm = algorithm(signer.public().kind());
    Ok(Signed { body: AnyRef::from_der(&body)?, algorithm, signature }.to_der()?)
}

fn subject(wish: &Wish<'_>) -> der::Result<Vec<SetOfVec<AttributeTypeAndValue>>> {
    let mut found = Vec::new();
    if let Some(text) = wish.common_name {
        let value = Any::encode_from(&Utf8StringRef::new(text)?)?;
        found.push(SetOfVec::try_from([AttributeTypeAndValue { oid: rfc4519::CN, value }])?);
    }
    if let Some(text) = wish.serial_number {
        let value = Any::encode_from(&PrintableStringRef::new(text)?)?;
        let oid = rfc4519::SERIAL_NUMBER;
        found.push(SetOfVec::try_from([AttributeTypeAndValue { oid, value }])?);
    }
    Ok(found)
}

fn attributes(wish: &Wish<'_>) -> der::Result<SetOfVec<Attribute>> {
    let mut found = SetOfVec::new();
    if let Some(password) = wish.challenge_password {
        let value = Any::encode_from(&Utf8StringRef::new(password)?)?;
        let values = SetOfVec::try_from([value])?;
        found.insert(Attribute { oid: CHALLENGE_PASSWORD, values })?;
    }
    if let Some(module) = &wish.hardware_module {
        let names = SubjectAltName(vec![GeneralName::OtherName(module.try_into()?)]);
        let extension = Extension {
            extn_id: rfc5912::ID_CE_SUBJECT_ALT_NAME,
            critical: false,
            extn_value: OctetString::new(names.to_der()?)?,
        };
        let values = SetOfVec::try_from([Any::encode_from(&vec![extension])?])?;
        found.insert(Attribute { oid: rfc5912::ID_EXTENSION_REQ, values })?;
    }
    Ok(found)
}
