//! What stands above: the root, the authorities that it signs, and the certificates of Muster's own
//! servers.
//!
//! The root signs offline, from a request, and each authority has one role and signs no further
//! authority. The root, the birth authority and birth certificates never end: a verifier rejects a
//! birth certificate whose issuer has ended.

mod succession;
#[cfg(test)]
mod tests;

pub use succession::{Heir, Succession, succeed};

use crate::address::Addresses;
use crate::issuer::{BACKDATE_S, Issuer};
use crate::wire::shape::{CERTIFIES, CERTIFIES_AND_ANSWERS, Extensions, SERVER, SIGNS, Shape};
use crate::wire::{algorithm, name, seal, unencodable};
use const_oid::db::rfc4519;
use der::Encode;
use der::asn1::{Ia5String, OctetString};
use identity::ask::Cause;
use identity::authority::{Authority, Role};
use identity::certificate::attribute;
use identity::{Certificate, Csr, Defect, KeyError, Outside, PublicKey, Refusal, Signer, UnixTime};
use std::net::IpAddr;
use x509_cert::ext::pkix::name::GeneralName;

/// Ten years, for authorities that can be followed by another without touching a device.
const AUTHORITY_S: u64 = 10 * 366 * 86_400;
/// 90 days, for a certificate that the host renews by itself.
const SERVER_S: u64 = 90 * 86_400;
/// X.520's bound on a common name (`ub-common-name`, RFC 5280 appendix A).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// A self-signed root.
///
/// # Errors
/// The key's own.
pub fn root(
    name: &str,
    key: &dyn Signer,
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    self_signed(&subject(name).map_err(unencodable)?, key, outside)
}

/// A self-signed root with this Name in DER.
fn self_signed(
    subject: &[u8],
    key: &dyn Signer,
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    let encode = || -> der::Result<_> {
        let mut extensions = Extensions::default();
        extensions.authority(None)?;
        extensions.key_usage(CERTIFIES)?;
        extensions.subject_key(&key.public().key_id())?;
        extensions.authority_key(&key.public().key_id())?;
        Ok((algorithm(key.public().kind())?, extensions))
    };
    let (algorithm, extensions) = encode().map_err(unencodable)?;
    let shape = Shape {
        serial: outside.serial(),
        not_before: outside.now.minus_secs(BACKDATE_S),
        not_after: UnixTime::NEVER_ENDS,
        subject,
        key: key.public(),
        extensions: &extensions,
    };
    let body = shape.body(subject, &algorithm).map_err(unencodable)?;
    reread(&seal(&body, &algorithm, key)?)
}

/// An authority's request for its certificate, in DER.
///
/// # Errors
/// The key's own.
pub fn request(name: &str, key: &dyn Signer) -> Result<Vec<u8>, KeyError> {
    crate::wire::request(&subject(name).map_err(unencodable)?, key)
}

/// How long a certificate of an authority of this role lasts at most; `None` is for good.
#[must_use]
pub const fn lasts_s(role: Role) -> Option<u64> {
    match role {
        Role::Birth | Role::Root => None,
        Role::Operations | Role::Service => Some(AUTHORITY_S + BACKDATE_S),
    }
}

/// The role that a request was made for, as its common name tells; `None` where it tells none.
#[must_use]
pub fn asked_role(csr: &Csr) -> Option<Role> {
    let name = attribute(&csr.request().info.subject, rfc4519::CN)?;
    let mut words = name.split(' ');
    words.next().filter(|word| *word == "Muster")?;
    words.next().and_then(Role::parse)
}

/// What the root is asked to sign.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The authority's request. Of its names only the common name is taken.
    pub csr: &'a Csr,
    /// What it shall sign.
    pub role: Role,
    /// Where the root's CRL and certificate are.
    pub addresses: &'a Addresses,
}

/// Signs an authority's request with the root.
///
/// # Errors
/// A refusal where the order makes no sense, an outage where the key did not sign.
pub fn sign(
    root: &Certificate,
    key: &dyn Signer,
    order: Order<'_>,
    outside: &mut Outside<'_>,
) -> Result<Certificate, Refusal> {
    if order.role == Role::Root {
        return Err(defect("authority-role", "a root signs itself and is signed by nobody else"));
    }
    if key.public() != root.key() {
        return Err(defect("root-key", "this is not the key of the root certificate"));
    }
    if order.csr.key() == root.key() {
        return Err(defect("authority-key", "an authority has a key of its own, not the root's"));
    }
    signed(root, key, order, outside)
        .map_err(|e| Refusal::Outage(Cause(format!("the root did not sign: {e}").into())))
}

fn signed(
    root: &Certificate,
    key: &dyn Signer,
    order: Order<'_>,
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    let called = attribute(&order.csr.request().info.subject, rfc4519::CN)
        .filter(|cn| (1..=COMMON_NAME_CHARS_MAX).contains(&cn.chars().count()));
    let called = called.unwrap_or_else(|| format!("Muster {} authority", order.role));
    let until = match order.role {
        Role::Birth | Role::Root => UnixTime::NEVER_ENDS,
        Role::Operations | Role::Service => outside.now.plus_secs(AUTHORITY_S),
    };
    let below = Below {
        subject: &subject(&called).map_err(unencodable)?,
        key: order.csr.key(),
        role: order.role,
        until,
    };
    certify((root, key), &below, order.addresses, outside)
}

/// Whom a root certifies.
struct Below<'a> {
    /// A Name in DER.
    subject: &'a [u8],
    key: &'a PublicKey,
    /// What it signs; a root has any number of authorities below it, another has none.
    role: Role,
    until: UnixTime,
}

/// A root's certificate for another key.
fn certify(
    (root, key): (&Certificate, &dyn Signer),
    below: &Below<'_>,
    addresses: &Addresses,
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    let encode = || -> der::Result<_> {
        let extensions = authority_extensions(root, below, addresses)?;
        Ok((algorithm(key.public().kind())?, root.subject().to_der()?, extensions))
    };
    let (algorithm, issuer, extensions) = encode().map_err(unencodable)?;
    let shape = Shape {
        serial: outside.serial(),
        not_before: outside.now.minus_secs(BACKDATE_S).max(root.not_before()),
        not_after: below.until.min(root.not_after()),
        subject: below.subject,
        key: below.key,
        extensions: &extensions,
    };
    let body = shape.body(&issuer, &algorithm).map_err(unencodable)?;
    reread(&seal(&body, &algorithm, key)?)
}

/// No OCSP address: the root signs offline, and answers nobody.
fn authority_extensions(
    root: &Certificate,
    below: &Below<'_>,
    addresses: &Addresses,
) -> der::Result<Extensions> {
    let above = root.subject_key_id().unwrap_or_else(|| root.key().key_id());
    let mut extensions = Extensions::default();
    extensions.authority((below.role != Role::Root).then_some(0))?;
    extensions.key_usage(match below.role {
        Role::Birth | Role::Operations => CERTIFIES_AND_ANSWERS,
        Role::Root | Role::Service => CERTIFIES,
    })?;
    extensions.subject_key(&below.key.key_id())?;
    extensions.authority_key(&above)?;
    extensions.access(addresses.certificate(&above).as_deref(), None)?;
    if let Some(url) = addresses.complete(&above) {
        extensions.crl(&url)?;
    }
    Ok(extensions)
}

/// Believes a certificate to be the one of an authority of this realm. Whether the key at hand is
/// its, [`Issuer::new`] says.
///
/// # Errors
/// Why it is not.
pub fn admit(
    certificate: Certificate,
    role: Role,
    root: &Certificate,
) -> Result<Authority, Refusal> {
    if certificate.signed_by(root).is_err() {
        return Err(defect(
            "authority-issuer",
            "this certificate is not signed by the realm's root",
        ));
    }
    if certificate.authority().is_none() {
        return Err(defect("authority-usage", "this certificate may not sign others"));
    }
    let id = certificate.subject_key_id();
    let id = id.ok_or_else(|| {
        defect("authority-key-id", "this certificate has no subject key identifier of 20 octets")
    })?;
    Ok(Authority::active(id, role, certificate))
}

/// A name of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name, in ASCII.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl ServerName {
    /// The names of servers that a certificate has, in its order.
    #[must_use]
    pub fn all_of(certificate: &Certificate) -> Vec<Self> {
        certificate.alternative_names().iter().filter_map(Self::read).collect()
    }

    fn read(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(dns) => Some(Self::Dns(dns.as_str().to_ascii_lowercase())),
            GeneralName::IpAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
                let v6 = || <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from);
                v4.or_else(|_| v6()).ok().map(Self::Ip)
            }
            _ => None,
        }
    }

    fn general(&self) -> der::Result<GeneralName> {
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(Ia5String::new(name)?),
            Self::Ip(IpAddr::V4(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
            Self::Ip(IpAddr::V6(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
        })
    }
}

/// A server certificate, signed by the service authority. It carries no addresses: devices with 4
/// KiB for a handshake read it, and it is replaced before anybody would look it up.
///
/// # Errors
/// The key's own; [`KeyError::Signing`] where a DNS name is not ASCII or there is no name at all.
pub fn server(
    issuer: &Issuer,
    key: &PublicKey,
    names: &[ServerName],
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    if names.is_empty() {
        return Err(KeyError::Signing);
    }
    let common = names.iter().find_map(|n| match n {
        ServerName::Dns(dns) if dns.len() <= COMMON_NAME_CHARS_MAX => Some(dns.as_str()),
        _ => None,
    });
    let encode = || -> der::Result<_> {
        let named: Vec<_> = names.iter().map(ServerName::general).collect::<Result<_, _>>()?;
        let mut extensions = Extensions::default();
        extensions.key_usage(SIGNS)?;
        extensions.usages(&[SERVER])?;
        extensions.subject_key(&key.key_id())?;
        extensions.authority_key(&issuer.id())?;
        // Where the subject is empty the SAN stands in for it, and is critical (RFC 5280 §4.2.1.6).
        extensions.alternative_names(&named, common.is_none())?;
        let subject = common.map_or_else(|| name(&[]), subject)?;
        Ok((subject, extensions))
    };
    let (subject, extensions) = encode().map_err(unencodable)?;
    let shape = Shape {
        serial: outside.serial(),
        not_before: issuer.begin(outside.now),
        not_after: outside.now.plus_secs(SERVER_S).min(issuer.certificate().not_after()),
        subject: &subject,
        key,
        extensions: &extensions,
    };
    reread(&issuer.sign(&shape)?)
}

fn subject(common_name: &str) -> der::Result<Vec<u8>> {
    name(&[(rfc4519::CN, common_name)])
}

fn defect(name: &'static str, sentence: &'static str) -> Refusal {
    Refusal::Malformed(Defect::new(name, sentence))
}

/// What we just signed, as everybody else will read it.
fn reread(der: &[u8]) -> Result<Certificate, KeyError> {
    Certificate::parse(der).map_err(|_| KeyError::Signing)
}
