//! A certificate, parsed once, with the questions that we ask of one. Whether to believe it is
//! `ca`'s to say.

mod restriction;

use crate::ask::Defect;
use crate::authority::KeyId;
use crate::credential::{Serial, SerialNumber};
use crate::device::DeviceId;
use crate::key::{KeyError, PublicKey, Scheme, SpkiHash, sha256};
use crate::outside::UnixTime;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::OctetStringRef;
use der::{Decode, Encode, Header, Reader, SliceReader};
use restriction::{Constraints, Purposes};
use std::fmt;
use std::sync::Arc;
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Time;

/// Certificates of devices have 0.5 to 2 KiB; makers' with policies and addresses some more.
pub const CERTIFICATE_OCTETS_MAX: usize = 16 * 1024;

/// A parsed certificate. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    x509: x509_cert::Certificate,
    key: PublicKey,
}

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// A [`Defect`] where it is too large, not DER, not X.509, or its key is not fit.
    pub fn parse(der: &[u8]) -> Result<Self, Defect> {
        if der.len() > CERTIFICATE_OCTETS_MAX {
            let sentence = format!(
                "a certificate has at most {CERTIFICATE_OCTETS_MAX} octets, not {}",
                der.len()
            );
            return Err(Defect::new("certificate-too-large", sentence));
        }
        let broken = |e: der::Error| {
            Defect::new("certificate-der", format!("the certificate is not DER: {e}"))
        };
        let x509 = x509_cert::Certificate::from_der(der).map_err(broken)?;
        if x509.signature_algorithm() != x509.tbs_certificate().signature() {
            return Err(Defect::new(
                "certificate-der",
                "the two signature algorithms of the certificate differ",
            ));
        }
        let key = PublicKey::parse(
            &x509.tbs_certificate().subject_public_key_info().to_der().map_err(broken)?,
        )?;
        restriction::check(&x509)?;
        let tbs = signed_part(der).map_err(broken)?.to_vec();
        Ok(Self(Arc::new(Inner { der: der.to_vec(), tbs, x509, key })))
    }

    /// Reads the certificates of a PEM text, at most `count_max`, in their order.
    ///
    /// # Errors
    /// A [`Defect`] where there are none or too many, or one does not parse.
    pub fn parse_pem(pem: &str, count_max: usize) -> Result<Vec<Self>, Defect> {
        let mut found = Vec::new();
        let mut rest = pem;
        while let Some(start) = rest.find("-----BEGIN CERTIFICATE-----") {
            let tail = rest.get(start..).unwrap_or_default();
            let marker = "-----END CERTIFICATE-----";
            let end = tail
                .find(marker)
                .ok_or_else(|| Defect::new("pem", "a PEM certificate does not end"))?;
            let (one, after) = tail.split_at(end + marker.len());
            let body: String = one.lines().filter(|l| !l.starts_with("-----")).collect();
            let der = crate::text::from_base64(body.as_bytes())
                .ok_or_else(|| Defect::new("pem", "a PEM certificate is not base64"))?;
            found.push(Self::parse(&der)?);
            if found.len() > count_max {
                return Err(Defect::new("pem", format!("more than {count_max} certificates")));
            }
            rest = after;
        }
        if found.is_empty() {
            Err(Defect::new("pem", "no PEM certificate found"))
        } else {
            Ok(found)
        }
    }

    /// The certificate in DER, as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate in PEM, 64 characters a line.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.0.der)
    }

    /// The SHA-256 of the whole certificate.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&[&self.0.der])
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.0.key
    }

    /// The SHA-256 of its SPKI.
    #[must_use]
    pub fn spki_hash(&self) -> SpkiHash {
        self.0.key.hash()
    }

    /// The serial number, where it has the form of ours.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        Serial::from_octets(self.0.x509.tbs_certificate().serial_number().as_bytes())
    }

    /// The serial number, whoever signed it; `None` where it is no whole number from 0 on of at most
    /// 20 octets.
    #[must_use]
    pub fn number(&self) -> Option<SerialNumber> {
        SerialNumber::from_integer(self.0.x509.tbs_certificate().serial_number().as_bytes())
    }

    /// When it was made, as certificates of one name are ordered: serial numbers of ours begin with
    /// their moment, and two of a second differ there.
    #[must_use]
    pub fn made(&self) -> (UnixTime, Option<Serial>) {
        (self.not_before(), self.serial())
    }

    /// The parsed structure, for what has no question of its own here.
    #[must_use]
    pub fn x509(&self) -> &x509_cert::Certificate {
        &self.0.x509
    }

    /// `notBefore`.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        unix(self.0.x509.tbs_certificate().validity().not_before)
    }

    /// `notAfter`.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        unix(self.0.x509.tbs_certificate().validity().not_after)
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &Name {
        self.0.x509.tbs_certificate().subject()
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        self.0.x509.tbs_certificate().issuer()
    }

    /// The subject key identifier, where it has the form of ours.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<KeyId> {
        let (_, skid) = self.extension::<SubjectKeyIdentifier>()?;
        KeyId::from_octets(skid.0.as_bytes())
    }

    /// The key identifier of the issuer, where it is named in the form of ours.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<KeyId> {
        let (_, akid) = self.extension::<AuthorityKeyIdentifier>()?;
        KeyId::from_octets(akid.key_identifier?.as_bytes())
    }

    /// Whether it may sign certificates: `cA`, and `keyCertSign` where key usage is said. The path
    /// length, if any, and 255 for any beyond.
    #[must_use]
    pub fn authority(&self) -> Option<Option<u8>> {
        let (_, basic) = self.extension::<Constraints<'_>>()?;
        let signs = self.extension::<KeyUsage>().is_none_or(|(_, usage)| usage.key_cert_sign());
        (basic.ca && signs).then_some(basic.path_length())
    }

    /// The extended key usages; `None` where the extension is absent, which allows every use. Those
    /// that are too large for an [`ObjectIdentifier`] are not among them.
    #[must_use]
    pub fn usages(&self) -> Option<Vec<ObjectIdentifier>> {
        self.extension::<Purposes>().map(|(_, purposes)| purposes.0)
    }

    /// The names of the SAN, empty where there is none.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<GeneralName> {
        self.extension::<SubjectAltName>().map(|(_, names)| names.0).unwrap_or_default()
    }

    /// The device's UUID, from the `urn:uuid:` name of the SAN.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.alternative_names().iter().find_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => {
                DeviceId::parse(uri.as_str().strip_prefix("urn:uuid:")?)
            }
            _ => None,
        })
    }

    /// The subject's serialNumber (2.5.4.5).
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<String> {
        attribute(self.subject(), rfc4519::SERIAL_NUMBER)
    }

    /// The subject's common name.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        attribute(self.subject(), rfc4519::CN)
    }

    /// The HardwareModuleName of the SAN (RFC 4108 §5).
    #[must_use]
    pub fn hardware_module(&self) -> Option<HardwareModuleName> {
        hardware_module(&self.alternative_names())
    }

    /// Checks that `issuer`'s key signed this certificate and that the names match. Dates, usages
    /// and constraints are not looked at.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it does not hold.
    pub fn signed_by(&self, issuer: &Self) -> Result<(), KeyError> {
        if self.issuer() != issuer.subject() {
            return Err(KeyError::Signature);
        }
        let scheme = Scheme::named(self.0.x509.signature_algorithm().oid, issuer.key().kind())
            .map_err(|_| KeyError::Signature)?;
        let signature = self.0.x509.signature().as_bytes().ok_or(KeyError::Signature)?;
        issuer.key().verify(scheme, &self.0.tbs, signature)
    }

    /// Every critical extension that is not in `known`.
    #[must_use]
    pub fn unknown_critical(&self, known: &[ObjectIdentifier]) -> Vec<ObjectIdentifier> {
        let extensions =
            self.0.x509.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
        extensions
            .iter()
            .filter(|e| e.critical && !known.contains(&e.extn_id))
            .map(|e| e.extn_id)
            .collect()
    }

    fn extension<'a, T: Decode<'a> + const_oid::AssociatedOid>(&'a self) -> Option<(bool, T)> {
        self.0.x509.tbs_certificate().get_extension::<T>().ok().flatten()
    }
}

/// The certificate in DER.
impl AsRef<[u8]> for Certificate {
    fn as_ref(&self) -> &[u8] {
        self.der()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject(), self.spki_hash())
    }
}

/// What the signature of a certificate or a request is over: its first element, as it came. It was
/// decoded before, so that nothing is left to check.
pub(crate) fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    Header::decode(&mut reader)?;
    reader.tlv_bytes()
}

/// The first value of an attribute as text, whichever string type it has.
#[must_use]
pub fn attribute(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    let found = name.iter().find(|a| a.oid == oid)?;
    let text = std::str::from_utf8(found.value.value()).ok()?;
    Some(text.to_owned())
}

/// The HardwareModuleName among `names`.
#[must_use]
pub fn hardware_module(names: &[GeneralName]) -> Option<HardwareModuleName> {
    names.iter().find_map(|name| match name {
        GeneralName::OtherName(other) => HardwareModuleName::from_other_name(other).ok().flatten(),
        _ => None,
    })
}

/// A hwSerialNum as people write it: its text where it is printable, else lower-case hex.
#[must_use]
pub fn hardware_serial(octets: &OctetStringRef) -> String {
    match std::str::from_utf8(octets.as_bytes()) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => {
            text.to_owned()
        }
        _ => crate::text::hex(octets.as_bytes()),
    }
}

/// PEM (RFC 7468) with 64 characters a line.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = crate::text::base64(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn unix(time: Time) -> UnixTime {
    UnixTime::from_secs(time.to_unix_duration().as_secs())
}
