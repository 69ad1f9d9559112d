//! The body of a certificate (RFC 5280 §4.1) and its extensions.

use super::{Encoded, name, time, tlv};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc4519, rfc5280};
use der::asn1::{AnyRef, Ia5String, OctetString, UintRef};
use der::{Decode, Encode, Sequence, Tag};
use identity::authority::KeyId;
use identity::{DeviceId, PublicKey, Serial, UnixTime};
use x509_cert::ext::pkix::name::{
    DistributionPointName, GeneralName, HardwareModuleName, OtherName,
};
use x509_cert::time::Time;

/// digitalSignature: bit 0.
pub(crate) const SIGNS: [u8; 4] = [3, 2, 7, 0x80];
/// keyCertSign and cRLSign: bits 5 and 6.
pub(crate) const CERTIFIES: [u8; 4] = [3, 2, 1, 0x06];
/// digitalSignature, keyCertSign and cRLSign: an authority that shall answer OCSP with its own key.
pub(crate) const CERTIFIES_AND_ANSWERS: [u8; 4] = [3, 2, 1, 0x86];

/// TBSCertificate, with what is already encoded carried as it is.
#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: UintRef<'a>,
    algorithm: AnyRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    key: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: AnyRef<'a>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

/// A certificate before it is signed.
pub(crate) struct Shape<'a> {
    pub(crate) serial: Serial,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// A Name in DER.
    pub(crate) subject: &'a [u8],
    pub(crate) key: &'a PublicKey,
    pub(crate) extensions: &'a Extensions,
}

impl Shape<'_> {
    /// The TBSCertificate of an issuer (its Name in DER) that signs with `algorithm`.
    pub(crate) fn body(&self, issuer: &[u8], algorithm: &[u8]) -> Encoded {
        let serial = self.serial.octets();
        Tbs {
            version: 2,
            serial: UintRef::new(serial)?,
            algorithm: AnyRef::from_der(algorithm)?,
            issuer: AnyRef::from_der(issuer)?,
            validity: Validity {
                not_before: time(self.not_before)?,
                not_after: time(self.not_after)?,
            },
            subject: AnyRef::from_der(self.subject)?,
            key: AnyRef::from_der(self.key.spki())?,
            extensions: AnyRef::new(Tag::Sequence, &self.extensions.0)?,
        }
        .to_der()
    }
}

/// Extensions in DER, one behind the other.
#[derive(Clone, Default)]
pub(crate) struct Extensions(Vec<u8>);

impl Extensions {
    /// The encoded SEQUENCE OF.
    pub(crate) fn sequence(&self) -> Encoded {
        tlv(Tag::Sequence, &[&self.0])
    }

    /// One more, its value in DER.
    pub(crate) fn add(
        &mut self,
        oid: ObjectIdentifier,
        critical: bool,
        value: &[u8],
    ) -> der::Result<()> {
        // DEFAULT FALSE is left out (X.690 §11.5).
        let mark: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
        let parts = [&oid.to_der()?, mark, &tlv(Tag::OctetString, &[value])?];
        self.0.extend_from_slice(&tlv(Tag::Sequence, &parts)?);
        Ok(())
    }

    pub(crate) fn key_usage(&mut self, bits: [u8; 4]) -> der::Result<()> {
        self.add(rfc5280::ID_CE_KEY_USAGE, true, &bits)
    }

    /// `cA`, with a path length where there is one.
    pub(crate) fn authority(&mut self, path_length: Option<u8>) -> der::Result<()> {
        let length = path_length.map(|n| n.to_der()).transpose()?.unwrap_or_default();
        let value = tlv(Tag::Sequence, &[&[1, 1, 0xff], &length])?;
        self.add(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &value)
    }

    pub(crate) fn usages(&mut self, oids: &[ObjectIdentifier]) -> der::Result<()> {
        self.add(rfc5280::ID_CE_EXT_KEY_USAGE, false, &oids.to_vec().to_der()?)
    }

    pub(crate) fn subject_key(&mut self, id: &KeyId) -> der::Result<()> {
        let value = tlv(Tag::OctetString, &[id.octets()])?;
        self.add(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &value)
    }

    pub(crate) fn authority_key(&mut self, id: &KeyId) -> der::Result<()> {
        let field = [&[0x80, 20], id.octets().as_slice()].concat();
        let value = tlv(Tag::Sequence, &[&field])?;
        self.add(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &value)
    }

    pub(crate) fn alternative_names(
        &mut self,
        names: &Vec<GeneralName>,
        critical: bool,
    ) -> der::Result<()> {
        self.add(rfc5280::ID_CE_SUBJECT_ALT_NAME, critical, &names.to_der()?)
    }

    /// Where the CRL is that lists this certificate.
    pub(crate) fn crl(&mut self, url: &str) -> der::Result<()> {
        let [open, inner] = [Tag::Sequence, Tag::Sequence];
        let value = tlv(open, &[&tlv(inner, &[&full_name(url)?])?])?;
        self.add(rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS, false, &value)
    }

    /// Where the issuer's certificate is, and who answers for it.
    pub(crate) fn access(
        &mut self,
        certificate: Option<&str>,
        ocsp: Option<&str>,
    ) -> der::Result<()> {
        let places = [(rfc5280::ID_AD_OCSP, ocsp), (rfc5280::ID_AD_CA_ISSUERS, certificate)];
        let mut value = Vec::new();
        for (method, place) in places {
            let Some(url) = place else { continue };
            value.extend_from_slice(&tlv(
                Tag::Sequence,
                &[&method.to_der()?, &uri(url)?.to_der()?],
            )?);
        }
        if value.is_empty() {
            return Ok(());
        }
        self.add(rfc5280::ID_PE_AUTHORITY_INFO_ACCESS, false, &tlv(Tag::Sequence, &[&value])?)
    }
}

/// distributionPoint `[0]` with a fullName `[0]` of one URI: the same in a certificate and in a
/// CRL, where a verifier compares the two octet by octet.
pub(crate) fn full_name(url: &str) -> Encoded {
    let name = DistributionPointName::FullName(vec![uri(url)?]).to_der()?;
    let tag = Tag::ContextSpecific { constructed: true, number: der::TagNumber(0) };
    tlv(tag, &[&name])
}

/// A URI; not ASCII, not encoded.
pub(crate) fn uri(text: &str) -> der::Result<GeneralName> {
    Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(text)?))
}

/// `urn:uuid:` and the UUID (RFC 9562 §4).
pub(crate) fn urn(device: &DeviceId) -> der::Result<GeneralName> {
    uri(&format!("urn:uuid:{device}"))
}

/// The HardwareModuleName of RFC 4108 §5.
pub(crate) fn hardware_module(hw_type: ObjectIdentifier, serial: &str) -> der::Result<GeneralName> {
    let module =
        HardwareModuleName { hw_type, hw_serial_num: OctetString::new(serial.as_bytes())? };
    Ok(GeneralName::OtherName(OtherName::try_from(&module)?))
}

/// The subject of a leaf: the organization where there is one, and the bare UUID as common name.
pub(crate) fn leaf_subject(organization: Option<&str>, device: &DeviceId) -> Encoded {
    let id = device.to_string();
    match organization {
        Some(o) => name(&[(rfc4519::O, o), (rfc4519::CN, &id)]),
        None => name(&[(rfc4519::CN, &id)]),
    }
}

/// id-kp-clientAuth.
pub(crate) const CLIENT: ObjectIdentifier = rfc5280::ID_KP_CLIENT_AUTH;
/// id-kp-OCSPSigning.
pub(crate) const ANSWERS: ObjectIdentifier = rfc5280::ID_KP_OCSP_SIGNING;
/// id-kp-serverAuth.
pub(crate) const SERVER: ObjectIdentifier = rfc5280::ID_KP_SERVER_AUTH;
/// anyExtendedKeyUsage.
pub(crate) const ANY_USE: ObjectIdentifier = rfc5280::ANY_EXTENDED_KEY_USAGE;
