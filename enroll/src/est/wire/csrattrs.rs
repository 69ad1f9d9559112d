//! CSR attributes (RFC 9908): what a server wants to see in a request, both as the list of RFC 7030
//! §4.5.2 and as the template that newer clients read instead.

use const_oid::db::{rfc5280, rfc5912, rfc8410};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Any, AnyRef, BitString, OctetString, SequenceRef, SetOfVec};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use identity::KeyKind;
use identity::ask::Defect;
use identity::key::algorithm;
use identity::profile::Profile;
use identity::text::hex;
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// A list of a dozen attributes with a template has half a kibibyte; eight leave room for other
/// servers' extensions.
pub const CSRATTRS_OCTETS_MAX: usize = 8 * 1024;

/// challengePassword of RFC 2985 §5.4.1: where it is listed, a request has to be bound to its
/// connection.
const CHALLENGE_PASSWORD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7");
/// id-aa-certificationRequestInfoTemplate of RFC 9908 §3.4.
const TEMPLATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61");
/// id-aa-extensionReqTemplate of RFC 9908 §3.4.
const EXTENSION_TEMPLATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.62");

/// What a request should have. Every member may be silent; an unknown attribute is none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrAttrs {
    /// The kind of key, where only one will do.
    pub key: Option<KeyKind>,
    /// Extended key usages of the leaf.
    pub usages: Vec<ObjectIdentifier>,
    /// Whether the request has to be bound to its connection.
    pub binding: bool,
}

/// CertificationRequestInfoTemplate. A subject is never asked for here, and skipped where somebody
/// else asks.
#[derive(der::Sequence)]
struct Template<'a> {
    version: u8,
    subject: Option<Vec<AnyRef<'a>>>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    key: Option<KeyTemplate>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<Attribute>,
}

/// SubjectPublicKeyInfoTemplate: the key itself is there only to show the size of an RSA modulus.
#[derive(der::Sequence)]
struct KeyTemplate {
    algorithm: AlgorithmIdentifierOwned,
    key: Option<BitString>,
}

/// ExtensionTemplate, which an Extension is too.
#[derive(der::Sequence)]
struct ExtensionTemplate {
    oid: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: Option<OctetString>,
}

impl CsrAttrs {
    /// What a profile wants. A key is named only where one kind will do: RFC 9908 §3.2 has no way
    /// to offer a choice.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        let mut kinds = profile.keys.iter().copied();
        let key = kinds.next().filter(|_| kinds.next().is_none());
        let further = profile.usages.iter().filter_map(|dotted| ObjectIdentifier::new(dotted).ok());
        let mut usages = vec![rfc5280::ID_KP_CLIENT_AUTH];
        usages.extend(further.filter(|oid| *oid != rfc5280::ID_KP_CLIENT_AUTH));
        Self { key, usages, binding: false }
    }

    /// CsrAttrs in DER: the list, and the template with the same content. A template cannot ask for
    /// a challenge password, and whoever reads it must ignore the list, so there is none where one
    /// is wanted.
    ///
    /// # Errors
    /// Only where it is larger than DER can say.
    pub fn write(&self) -> der::Result<Vec<u8>> {
        let mut list = Vec::new();
        if let Some(kind) = self.key {
            key_attribute(kind)?.encode_to_vec(&mut list)?;
            algorithm(kind).oid.encode_to_vec(&mut list)?;
        }
        if !self.usages.is_empty() {
            self.extensions()?.encode_to_vec(&mut list)?;
        }
        if self.binding {
            CHALLENGE_PASSWORD.encode_to_vec(&mut list)?;
        } else if !list.is_empty() {
            self.template()?.encode_to_vec(&mut list)?;
        }
        AnyRef::new(Tag::Sequence, &list)?.to_der()
    }

    /// The extension request: extended key usages, nothing else.
    fn extensions(&self) -> der::Result<Attribute> {
        let usages = OctetString::new(ExtendedKeyUsage(self.usages.clone()).to_der()?)?;
        let oid = ExtendedKeyUsage::OID;
        let wanted = vec![ExtensionTemplate { oid, critical: false, value: Some(usages) }];
        attribute(rfc5912::ID_EXTENSION_REQ, Any::encode_from(&wanted)?)
    }

    fn template(&self) -> der::Result<Attribute> {
        let mut attributes = SetOfVec::new();
        if !self.usages.is_empty() {
            attributes.insert(self.extensions()?)?;
        }
        let key = self.key.map(|kind| KeyTemplate { algorithm: key_algorithm(kind), key: None });
        let template = Template { version: 0, subject: None, key, attributes };
        attribute(TEMPLATE, Any::encode_from(&template)?)
    }

    /// Reads CsrAttrs in DER. Where there is a template, only the template is read (RFC 9908 §4);
    /// what is not known is skipped (RFC 7030 §4.5.2).
    ///
    /// # Errors
    /// A [`Defect`] where it is too large or not DER.
    pub fn read(der: &[u8]) -> Result<Self, Defect> {
        if der.len() > CSRATTRS_OCTETS_MAX {
            let sentence = format!("CSR attributes have at most {CSRATTRS_OCTETS_MAX} octets");
            return Err(Defect::new("csrattrs-too-large", sentence));
        }
        let broken = |e: der::Error| {
            Defect::new("csrattrs-der", format!("the CSR attributes are not DER: {e}"))
        };
        let (found, later) = Self::read_list(der).map_err(broken)?;
        match later {
            Some(version) if found == Self::default() => Err(Defect::new(
                "csrattrs-version",
                format!(
                    "the template in the CSR attributes has version {version}, and there is no list \
                     beside it: version 0 (v1, RFC 9908) is understood"
                ),
            )),
            _ => Ok(found),
        }
    }

    /// What is wanted, and the version of a template that was passed over.
    fn read_list(der: &[u8]) -> der::Result<(Self, Option<String>)> {
        let (mut found, mut later) = (Self::default(), None);
        let mut reader = SliceReader::new(<&SequenceRef>::from_der(der)?.as_bytes())?;
        while !reader.is_finished() {
            let one = AnyRef::decode(&mut reader)?;
            if one.tag() == Tag::ObjectIdentifier {
                found.binding |= one.decode_as::<ObjectIdentifier>()? == CHALLENGE_PASSWORD;
                continue;
            }
            let attribute: Attribute = one.decode_as()?;
            let template = if attribute.oid == TEMPLATE { attribute.values.get(0) } else { None };
            let Some(template) = template else {
                found.read_attribute(&attribute)?;
                continue;
            };
            // Another version is an attribute that is not known, whatever stands in it.
            match version(template)? {
                v if v == [0] => {
                    let found = Self::read_template(&template.decode_as()?)?;
                    return Ok((found, None));
                }
                v => later = Some(number(&v)),
            }
        }
        Ok((found, later))
    }

    fn read_template(template: &Template<'_>) -> der::Result<Self> {
        let mut found = Self::default();
        if let Some(key) = &template.key {
            found.key = key_kind(key.algorithm.oid, key.algorithm.parameters.as_ref());
        }
        for attribute in template.attributes.iter() {
            found.read_attribute(attribute)?;
        }
        Ok(found)
    }

    fn read_attribute(&mut self, attribute: &Attribute) -> der::Result<()> {
        let value = attribute.values.get(0);
        match (attribute.oid, value) {
            (CHALLENGE_PASSWORD, _) => self.binding = true,
            // The example of RFC 7030 §4.5.2, which servers follow and RFC 9908 calls wrong, has a
            // bare object identifier here and no list of extensions: nothing that we know.
            (rfc5912::ID_EXTENSION_REQ | EXTENSION_TEMPLATE, Some(value))
                if value.tag() == Tag::Sequence =>
            {
                let wanted: Vec<ExtensionTemplate> = value.decode_as()?;
                let usages = wanted.iter().find(|e| e.oid == ExtendedKeyUsage::OID);
                if let Some(octets) = usages.and_then(|e| e.value.as_ref()) {
                    self.usages = ExtendedKeyUsage::from_der(octets.as_bytes())?.0;
                }
            }
            (rfc5912::ID_EXTENSION_REQ | EXTENSION_TEMPLATE, _) => {}
            (oid, value) => self.key = self.key.or_else(|| key_kind(oid, value)),
        }
        Ok(())
    }
}

/// The version of a template, as the content octets of its INTEGER: it stands first in it, also
/// where what follows is not known.
fn version(template: &Any) -> der::Result<Vec<u8>> {
    template.tag().assert_eq(Tag::Sequence)?;
    let first = AnyRef::decode(&mut SliceReader::new(template.value())?)?;
    first.tag().assert_eq(Tag::Integer)?;
    Ok(first.value().to_vec())
}

/// A version as people read it; one that is absurdly long in hex.
fn number(octets: &[u8]) -> String {
    match octets {
        [one @ 0..=127] => one.to_string(),
        more => format!("0x{}", hex(more.get(..8).unwrap_or(more))),
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> der::Result<Attribute> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// The algorithm of a key with its parameters, as it stands in a SubjectPublicKeyInfo.
fn key_algorithm(kind: KeyKind) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match kind {
        KeyKind::P256 => (rfc5912::ID_EC_PUBLIC_KEY, Some(Any::from(&rfc5912::SECP_256_R_1))),
        KeyKind::P384 => (rfc5912::ID_EC_PUBLIC_KEY, Some(Any::from(&rfc5912::SECP_384_R_1))),
        KeyKind::Ed25519 => (rfc8410::ID_ED_25519, None),
        KeyKind::Rsa => (rfc5912::RSA_ENCRYPTION, Some(Any::null())),
    };
    AlgorithmIdentifierOwned { oid, parameters }
}

/// The same as an attribute. Every size of RSA key that we take will do, so none is named.
fn key_attribute(kind: KeyKind) -> der::Result<Attribute> {
    let AlgorithmIdentifierOwned { oid, parameters } = key_algorithm(kind);
    let values = parameters.filter(|_| kind != KeyKind::Rsa).into_iter().collect::<Vec<_>>();
    Ok(Attribute { oid, values: SetOfVec::try_from(values)? })
}

fn key_kind(oid: ObjectIdentifier, parameter: Option<&Any>) -> Option<KeyKind> {
    let curve = || parameter?.decode_as::<ObjectIdentifier>().ok();
    match oid {
        rfc5912::ID_EC_PUBLIC_KEY => match curve()? {
            rfc5912::SECP_256_R_1 => Some(KeyKind::P256),
            rfc5912::SECP_384_R_1 => Some(KeyKind::P384),
            _ => None,
        },
        rfc8410::ID_ED_25519 => Some(KeyKind::Ed25519),
        rfc5912::RSA_ENCRYPTION => Some(KeyKind::Rsa),
        _ => None,
    }
}
