//! What stands above: the root, the authorities that it signs, and server certificates.

use crate::address::Addresses;
use crate::issuer::Issuer;
use identity::authority::{Authority, Role};
use identity::{Certificate, Csr, KeyError, Outside, PublicKey, Refusal, Signer};
use std::net::IpAddr;

/// A self-signed root.
///
/// # Errors
/// The key's own.
pub fn root(
    name: &str,
    key: &dyn Signer,
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    todo!()
}

/// An authority's request for its certificate, in DER.
///
/// # Errors
/// The key's own.
pub fn request(name: &str, key: &dyn Signer) -> Result<Vec<u8>, KeyError> {
    todo!()
}

/// What the root is asked to sign.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The authority's request.
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
    todo!()
}

/// Believes a certificate to be the one of an authority of this realm.
///
/// # Errors
/// Why it is not.
pub fn admit(
    certificate: Certificate,
    role: Role,
    root: &Certificate,
) -> Result<Authority, Refusal> {
    todo!()
}

/// A name of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// A server certificate.
///
/// # Errors
/// The key's own.
pub fn server(
    issuer: &Issuer,
    key: &PublicKey,
    names: &[ServerName],
    outside: &mut Outside<'_>,
) -> Result<Certificate, KeyError> {
    todo!()
}
