//! Keys, requests and certificates of everybody's making: makers, strangers, and devices that ask
//! for too much. All of it is made on the spot, so nothing here is checked in with a date.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5280, rfc5912};
use der::asn1::{Any, AnyRef, BitString, OctetString, SetOfVec, UintRef, Utf8StringRef};
use der::{Decode, Encode};
use identity::key::{SoftwareKey, algorithm};
use identity::{Certificate, KeyKind, Signer, UnixTime};
use server::keys::NewKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use x509_cert::attr::{Attribute, AttributeTypeAndValue};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName, OtherName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

/// A private key of a test.
#[derive(Clone)]
pub(crate) struct Key {
    pkcs8: Arc<Vec<u8>>,
    signer: Arc<SoftwareKey>,
}

impl Key {
    pub(crate) fn new() -> Self {
        Self::of(KeyKind::P256)
    }

    pub(crate) fn of(kind: KeyKind) -> Self {
        Self::from_pkcs8(NewKey::make(kind).unwrap().dangerous_pkcs8())
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Self {
        let signer = SoftwareKey::from_pkcs8(pkcs8).unwrap();
        Self { pkcs8: Arc::new(pkcs8.to_vec()), signer: Arc::new(signer) }
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    /// A request that claims this serial number, none where it is empty.
    pub(crate) fn csr(&self, serial: &str) -> Vec<u8> {
        let said = [(rfc4519::SERIAL_NUMBER, serial)];
        Request { subject: if serial.is_empty() { &[] } else { &said }, ..Request::default() }
            .signed(self)
    }
}

/// A certificate chain with the key of its first certificate: what somebody shows in a handshake.
#[derive(Clone)]
pub(crate) struct Shows {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) key: Key,
}

impl Shows {
    pub(crate) fn new(certificate: Certificate, key: &Key) -> Self {
        Self { chain: vec![certificate], key: key.clone() }
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The serial number in hex, as operators name it.
    pub(crate) fn serial(&self) -> String {
        self.certificate().serial().unwrap().to_string()
    }
}

type Names<'a> = &'a [(ObjectIdentifier, &'a str)];
type Rdns = Vec<SetOfVec<AttributeTypeAndValue>>;

fn rdns(names: Names<'_>) -> Rdns {
    let one = |(oid, text): &(ObjectIdentifier, &str)| {
        let value = Any::encode_from(&Utf8StringRef::new(text).unwrap()).unwrap();
        SetOfVec::try_from([AttributeTypeAndValue { oid: *oid, value }]).unwrap()
    };
    names.iter().map(one).collect()
}

/// An extension with this value.
pub(crate) fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Extension {
    let extn_value = OctetString::new(value.to_der().unwrap()).unwrap();
    Extension { extn_id: oid, critical, extn_value }
}

/// The extended key usages of a certificate.
pub(crate) fn usages(oids: &[ObjectIdentifier]) -> Extension {
    extension(rfc5280::ID_CE_EXT_KEY_USAGE, false, &ExtendedKeyUsage(oids.to_vec()))
}

/// A SAN with these names.
pub(crate) fn names(found: Vec<GeneralName>) -> Extension {
    extension(rfc5280::ID_CE_SUBJECT_ALT_NAME, false, &SubjectAltName(found))
}

/// A HardwareModuleName with this serial number.
pub(crate) fn hardware_module(serial: &str) -> GeneralName {
    let hw_serial_num = OctetString::new(serial.as_bytes()).unwrap();
    let hw_type = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1");
    GeneralName::OtherName(
        OtherName::try_from(&HardwareModuleName { hw_type, hw_serial_num }).unwrap(),
    )
}

/// A directoryName with this serial number.
pub(crate) fn directory_name(serial: &str) -> GeneralName {
    let name = rdns(&[(rfc4519::SERIAL_NUMBER, serial)]).to_der().unwrap();
    GeneralName::DirectoryName(Name::from_der(&name).unwrap())
}

#[derive(der::Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

fn sealed(body: &[u8], key: &Key) -> Vec<u8> {
    let signature = BitString::from_bytes(&key.signer().sign(body).unwrap()).unwrap();
    let algorithm = algorithm(key.signer().public().kind());
    Signed { body: AnyRef::from_der(body).unwrap(), algorithm, signature }.to_der().unwrap()
}

/// A request (PKCS#10) as somebody may make it.
#[derive(Default)]
pub(crate) struct Request<'a> {
    pub(crate) subject: Names<'a>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) challenge: Option<&'a str>,
}

#[derive(der::Sequence)]
struct RequestBody<'a> {
    version: u8,
    subject: Rdns,
    key: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<Attribute>,
}

impl Request<'_> {
    pub(crate) fn signed(&self, key: &Key) -> Vec<u8> {
        self.with_key(key.signer().public().spki(), key)
    }

    /// A request for one key, signed by another: no proof of possession.
    pub(crate) fn with_key(&self, spki: &[u8], by: &Key) -> Vec<u8> {
        let mut attributes = SetOfVec::new();
        if let Some(text) = self.challenge {
            let value = Any::encode_from(&Utf8StringRef::new(text).unwrap()).unwrap();
            let oid = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");
            attributes
                .insert(Attribute { oid, values: SetOfVec::try_from([value]).unwrap() })
                .unwrap();
        }
        if !self.extensions.is_empty() {
            let value = Any::encode_from(&self.extensions).unwrap();
            let values = SetOfVec::try_from([value]).unwrap();
            attributes.insert(Attribute { oid: rfc5912::ID_EXTENSION_REQ, values }).unwrap();
        }
        let key = AnyRef::from_der(spki).unwrap();
        let body = RequestBody { version: 0, subject: rdns(self.subject), key, attributes };
        sealed(&body.to_der().unwrap(), by)
    }
}

/// A certificate of somebody else's making.
pub(crate) struct Foreign<'a> {
    pub(crate) subject: Names<'a>,
    pub(crate) from: UnixTime,
    pub(crate) to: UnixTime,
    pub(crate) extensions: Vec<Extension>,
}

#[derive(der::Sequence)]
struct CertificateBody<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true")]
    version: u8,
    serial: UintRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Rdns,
    key: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", constructed = "true")]
    extensions: Vec<Extension>,
}

static SERIALS: AtomicU64 = AtomicU64::new(1);

fn time(at: UnixTime) -> Time {
    Time::try_from(std::time::UNIX_EPOCH + Duration::from_secs(at.secs())).unwrap()
}

impl Foreign<'_> {
    /// Signed by `by`, or by itself.
    pub(crate) fn signed(&self, key: &Key, by: Option<&Shows>) -> Certificate {
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.signed_as(&serial, key, by)
    }

    /// With a serial number that may be somebody else's.
    pub(crate) fn signed_as(&self, serial: &[u8], key: &Key, by: Option<&Shows>) -> Certificate {
        let subject = rdns(self.subject);
        let own = Name::from_der(&subject.to_der().unwrap()).unwrap();
        let signer = by.map_or(key, |by| &by.key);
        let mut extensions = self.extensions.clone();
        extensions.push(extension(
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER,
            false,
            &SubjectKeyIdentifier(OctetString::new(id_of(key)).unwrap()),
        ));
        let issuer = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(id_of(signer)).unwrap()),
            ..AuthorityKeyIdentifier::default()
        };
        extensions.push(extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &issuer));
        let body = CertificateBody {
            version: 2,
            serial: UintRef::new(serial).unwrap(),
            algorithm: algorithm(signer.signer().public().kind()),
            issuer: by.map_or(own, |by| by.certificate().subject().clone()),
            validity: Validity::new(time(self.from), time(self.to)),
            subject,
            key: AnyRef::from_der(key.signer().public().spki()).unwrap(),
            extensions,
        };
        Certificate::parse(&sealed(&body.to_der().unwrap(), signer)).unwrap()
    }
}

fn id_of(key: &Key) -> Vec<u8> {
    key.signer().public().key_id().octets().to_vec()
}

/// Somebody who makes devices: a root, and an authority below it.
pub(crate) struct Maker {
    pub(crate) root: Shows,
    pub(crate) middle: Shows,
    from: UnixTime,
}

impl Maker {
    pub(crate) fn new(name: &str, now: UnixTime) -> Self {
        let from = now.minus_secs(86_400);
        let authority = |called: &str, by: Option<&Shows>| {
            let constraints = BasicConstraints { ca: true, path_len_constraint: None };
            let constraints = extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &constraints);
            let subject = [(rfc4519::CN, called)];
            let to = from.plus_secs(3650 * 86_400);
            let foreign = Foreign { subject: &subject, from, to, extensions: vec![constraints] };
            let key = Key::new();
            let certificate = foreign.signed(&key, by);
            Shows::new(certificate, &key)
        };
        let root = authority(&format!("{name} root"), None);
        let middle = authority(&format!("{name} devices"), Some(&root));
        Self { root, middle, from }
    }

    /// A unit with its serial number in the subject.
    pub(crate) fn unit(&self, serial: &str) -> Shows {
        self.unit_named(&[(rfc4519::SERIAL_NUMBER, serial)], Vec::new())
    }

    /// A unit with these names and extensions. The chain has the authority between.
    pub(crate) fn unit_named(&self, subject: Names<'_>, extensions: Vec<Extension>) -> Shows {
        let foreign =
            Foreign { subject, from: self.from, to: self.from.plus_secs(365 * 86_400), extensions };
        self.unit_from(&foreign)
    }

    pub(crate) fn unit_from(&self, foreign: &Foreign<'_>) -> Shows {
        let key = Key::new();
        let certificate = foreign.signed(&key, Some(&self.middle));
        Shows { chain: vec![certificate, self.middle.certificate().clone()], key }
    }
}
