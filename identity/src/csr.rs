//! A certification request (PKCS#10, RFC 2986). Parsing one proves possession: a [`Csr`] whose
//! signature does not hold cannot be made.

use crate::ask::Defect;
use crate::certificate::{attribute, hardware_module, hardware_serial, signed_part};
use crate::device::Identifiers;
use crate::key::{PublicKey, Scheme};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5912};
use der::asn1::{Any, OctetStringRef};
use der::{Decode, Encode, Tag, Tagged};
use std::fmt;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::request::{CertReq, ExtensionReq};

/// A request with an RSA key of 4096 bits and a full set of extensions has about 2 KiB;
/// post-quantum ones will have some 8 KiB.
pub const CSR_OCTETS_MAX: usize = 16 * 1024;

/// challengePassword of RFC 2985 §5.4.1.
const CHALLENGE_PASSWORD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");

/// A request, possession of its key proven.
pub struct Csr {
    der: Vec<u8>,
    request: CertReq,
    key: PublicKey,
}

impl Csr {
    /// Reads a request in DER and checks its signature.
    ///
    /// # Errors
    /// A [`Defect`] for the one who sent it: too large, not DER, an unfit key, or no possession.
    pub fn parse(der: &[u8]) -> Result<Self, Defect> {
        if der.len() > CSR_OCTETS_MAX {
            let sentence =
                format!("a request has at most {CSR_OCTETS_MAX} octets, not {}", der.len());
            return Err(Defect::new("csr-too-large", sentence));
        }
        let broken = |e: der::Error| {
            Defect::new("csr-der", format!("the request is not a PKCS#10 in DER: {e}"))
        };
        let request = CertReq::from_der(der).map_err(broken)?;
        let key = PublicKey::parse(&request.info.public_key.to_der().map_err(broken)?)?;
        let scheme = Scheme::named(request.algorithm.oid, key.kind())?;
        let signature = request.signature.as_bytes().unwrap_or_default();
        key.verify(scheme, signed_part(der).map_err(broken)?, signature).map_err(|_| {
            Defect::new("csr-signature", "the request is not signed by its own key")
        })?;
        Ok(Self { der: der.to_vec(), request, key })
    }

    /// Reads a request in PEM (`CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`).
    ///
    /// # Errors
    /// As [`Csr::parse`].
    pub fn parse_pem(pem: &str) -> Result<Self, Defect> {
        let missing = || Defect::new("csr-pem", "no PEM certificate request found");
        let is_edge = |line: &&str, edge: &str| {
            line.starts_with(edge) && line.ends_with("CERTIFICATE REQUEST-----")
        };
        // Tools write parameters, or the request as text, before it.
        let mut lines = pem.lines().map(str::trim).skip_while(|l| !is_edge(l, "-----BEGIN "));
        lines.next().ok_or_else(missing)?;
        let body: String = lines.take_while(|l| !is_edge(l, "-----END ")).collect();
        let der = crate::text::from_base64(body.as_bytes())
            .ok_or_else(|| Defect::new("csr-pem", "the PEM certificate request is not base64"))?;
        Self::parse(&der)
    }

    /// The request in DER, as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key whose possession is proven.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The parsed structure.
    #[must_use]
    pub fn request(&self) -> &CertReq {
        &self.request
    }

    /// The identifiers that the request names: subject serialNumber and HardwareModuleName. They
    /// are claims, good for finding contradictions.
    #[must_use]
    pub fn claims(&self) -> Identifiers {
        let subject = attribute(&self.request.info.subject, rfc4519::SERIAL_NUMBER);
        let module = || {
            let octets = hardware_module(&self.alternative_names().0)?.hw_serial_num;
            Some(hardware_serial(OctetStringRef::new(octets.as_bytes()).ok()?))
        };
        Identifiers {
            serial: subject.or_else(module).unwrap_or_default(),
            ..Identifiers::default()
        }
    }

    /// The challenge password as text, where there is one (RFC 7030 §3.5 carries the channel
    /// binding there).
    #[must_use]
    pub fn challenge_password(&self) -> Option<String> {
        let value = self.attribute_value(CHALLENGE_PASSWORD)?;
        String::from_utf8(value.value().to_vec()).ok()
    }

    /// The first value of a request attribute.
    #[must_use]
    pub fn attribute_value(&self, oid: ObjectIdentifier) -> Option<&Any> {
        self.request.info.attributes.iter().find(|a| a.oid == oid)?.values.iter().next()
    }

    fn alternative_names(&self) -> SubjectAltName {
        self.requested::<SubjectAltName>().unwrap_or_else(|| SubjectAltName(Vec::new()))
    }

    fn requested<T: const_oid::AssociatedOid + for<'a> Decode<'a, Error = der::Error>>(
        &self,
    ) -> Option<T> {
        let value = self.attribute_value(rfc5912::ID_EXTENSION_REQ)?;
        if value.tag() != Tag::Sequence {
            return None;
        }
        let asked = ExtensionReq::from_der(&value.to_der().ok()?).ok()?;
        let found = asked.0.iter().find(|e| e.extn_id == T::OID)?;
        T::from_der(found.extn_value.as_bytes()).ok()
    }
}

impl fmt::Debug for Csr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Csr({:?})", self.key)
    }
}
