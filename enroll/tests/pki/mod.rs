//! Keys and certificates for tests, made on the spot: nothing here is checked in with a date.

use const_oid::ObjectIdentifier;
use der::Encode;
use der::asn1::{Any, AnyRef, BitString, SetOfVec, UtcTime, Utf8StringRef};
use identity::key::{Signer, SoftwareKey, algorithm};
use identity::{Certificate, Csr};
use std::time::Duration;
use x509_cert::attr::{Attribute, AttributeTypeAndValue};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// PKCS#8 of an Ed25519 key, up to its 32 octets.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An Ed25519 key in PKCS#8; `seed` tells it from others.
pub(crate) fn pkcs8(seed: u8) -> Vec<u8> {
    [&ED25519[..], &[seed; 32]].concat()
}

/// A key; `seed` tells it from others.
pub(crate) fn key(seed: u8) -> SoftwareKey {
    SoftwareKey::from_pkcs8(&pkcs8(seed)).unwrap()
}

#[derive(der::Sequence)]
struct Validity {
    not_before: UtcTime,
    not_after: UtcTime,
}

type Name = Vec<SetOfVec<AttributeTypeAndValue>>;

#[derive(der::Sequence)]
struct Body<'a> {
    serial: u64,
    algorithm: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    key: AnyRef<'a>,
}

#[derive(der::Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

fn name(common_name: &str) -> Name {
    let value = Any::encode_from(&Utf8StringRef::new(common_name).unwrap()).unwrap();
    let oid = ObjectIdentifier::new_unwrap("2.5.4.3");
    vec![SetOfVec::try_from([AttributeTypeAndValue { oid, value }]).unwrap()]
}

/// A version 1 certificate for `spki`, signed by `issuer`.
pub(crate) fn certificate(spki: &[u8], common_name: &str, issuer: &dyn Signer) -> Certificate {
    let moment = |secs| UtcTime::from_unix_duration(Duration::from_secs(secs)).unwrap();
    let body = Body {
        serial: u64::from(spki[spki.len() - 1]) + 1,
        algorithm: algorithm(issuer.public().kind()),
        issuer: name("issuer"),
        validity: Validity { not_before: moment(0), not_after: moment(2_000_000_000) },
        subject: name(common_name),
        key: AnyRef::try_from(spki).unwrap(),
    };
    Certificate::parse(&signed(&body.to_der().unwrap(), issuer)).unwrap()
}

/// A request with one more attribute than it had, signed again.
pub(crate) fn with_attribute(csr: &[u8], oid: &str, value: Any, signer: &dyn Signer) -> Vec<u8> {
    let mut body = Csr::parse(csr).unwrap().request().info.clone();
    let oid = ObjectIdentifier::new_unwrap(oid);
    body.attributes
        .insert(Attribute { oid, values: SetOfVec::try_from([value]).unwrap() })
        .unwrap();
    signed(&body.to_der().unwrap(), signer)
}

fn signed(body: &[u8], signer: &dyn Signer) -> Vec<u8> {
    let signature = BitString::from_bytes(&signer.sign(body).unwrap()).unwrap();
    let algorithm = algorithm(signer.public().kind());
    Signed { body: AnyRef::try_from(body).unwrap(), algorithm, signature }.to_der().unwrap()
}
