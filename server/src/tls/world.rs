//! A test's own PKI, and a client that believes everything.

use super::service::{Service, names};
use crate::caller::Anybody;
use crate::clock;
use crate::home::config::{Config, ServeOptions, Settings};
use crate::keys::NewKey;
use ca::authority::{self, Order};
use ca::{Addresses, Issuer};
use identity::authority::Role;
use identity::key::SoftwareKey;
use identity::{Certificate, Csr, KeyKind, RealmName};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// A root and a service authority of `kind`, with its key and where lists of it would be.
pub(crate) fn authority_of(kind: KeyKind) -> (Certificate, SoftwareKey, Addresses) {
    let root_key = NewKey::make(kind).unwrap().signer().unwrap();
    let root =
        clock::outside(|o| authority::root("Muster root 0011223344aa", &root_key, o)).unwrap();
    let key = NewKey::make(kind).unwrap().signer().unwrap();
    let csr = authority::request("Muster service 0011223344aa", &key).unwrap();
    let addresses = Addresses {
        public_url: Some("http://muster.example:8080".into()),
        realm: RealmName::default_realm(),
    };
    let csr = Csr::parse(&csr).unwrap();
    let order = Order { csr: &csr, role: Role::Service, addresses: &addresses };
    let certificate = clock::outside(|o| authority::sign(&root, &root_key, order, o)).unwrap();
    (certificate, key, addresses)
}

/// The same at work.
pub(crate) fn service(kind: KeyKind) -> Service {
    let (certificate, key, addresses) = authority_of(kind);
    let issuer = Issuer::new(certificate, Arc::new(key), addresses, 1).unwrap();
    let options = ServeOptions { names: vec!["muster.example".into()], ..Default::default() };
    Service::new(issuer, names(&Settings::from(Config::default(), &options).unwrap()))
}

/// A certificate that nobody here knows, with its key.
pub(crate) fn stranger(kind: KeyKind) -> (Certificate, NewKey) {
    let key = NewKey::make(kind).unwrap();
    let signer = key.signer().unwrap();
    let certificate = clock::outside(|o| authority::root("Stranger", &signer, o)).unwrap();
    (certificate, key)
}

/// How a client comes.
pub(crate) struct Client {
    pub(crate) group: &'static dyn SupportedKxGroup,
    pub(crate) version: &'static SupportedProtocolVersion,
    pub(crate) shows: Option<(Certificate, NewKey)>,
}

impl Client {
    pub(crate) fn config(&self) -> ClientConfig {
        self.config_above(&[])
    }

    /// Showing this behind its own certificate, whatever it is.
    pub(crate) fn config_above(&self, above: &[&[u8]]) -> ClientConfig {
        let provider =
            CryptoProvider { kx_groups: vec![self.group], ..aws_lc_rs::default_provider() };
        let provider = Arc::new(provider);
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[self.version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        let Some((certificate, key)) = &self.shows else { return config.with_no_client_auth() };
        let shown = [&[certificate.der()], above].concat();
        let chain = shown.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let key = PrivatePkcs8KeyDer::from(key.dangerous_pkcs8().to_vec());
        config.with_client_auth_cert(chain, PrivateKeyDer::from(key)).unwrap()
    }
}
