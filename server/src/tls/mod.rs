//! TLS, as a proof of possession and nothing more: who holds the private key of the certificate
//! that it shows. Whether that certificate is worth anything is judged on every request, by `ca`.
//!
//! No resumption, no 0-RTT: a ticket would be a way around the roll. No list of authorities and no
//! root in the chain: the whole flight of the server stays below 2 KiB, for microcontrollers with 4
//! KiB buffers.

mod possession;
mod print;
mod served;
pub mod service;

pub use print::Print;
pub use served::{Served, ServedError, own};
pub use service::Service;

use crate::limits::DEVICE_RECORD_OCTETS_MAX;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ConfigBuilder, ServerConfig, SupportedCipherSuite, WantsVerifier};
use std::sync::Arc;

/// Key exchange in our order: the hybrid first, for whom it is not too large; P-256 for secure
/// elements.
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// TLS for devices: a client certificate is asked for and may be left out.
///
/// # Errors
/// Where the provider cannot do what we ask of it.
pub fn device(served: Arc<Served>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let verifier: Arc<dyn ClientCertVerifier> =
        Arc::new(possession::Possession::new(provider.signature_verification_algorithms));
    let config = builder(provider)?.with_client_cert_verifier(verifier);
    let mut config = config.with_cert_resolver(served);
    config.max_fragment_size = Some(DEVICE_RECORD_OCTETS_MAX);
    Ok(finish(config))
}

/// TLS for operators: no client certificates.
///
/// # Errors
/// Where the provider cannot do what we ask of it.
pub fn operator(served: Arc<Served>) -> Result<Arc<ServerConfig>, rustls::Error> {
    Ok(finish(builder(provider())?.with_no_client_auth().with_cert_resolver(served)))
}

/// Cipher suites in our order: AES-128 with SHA-256 first. Its hash is in the instruction set of
/// servers and in the hardware of microcontrollers, where SHA-384 seldom is, and nothing that we
/// protect outlives its 128 bits.
const SUITES: [SupportedCipherSuite; 7] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    // For an operator's own certificate with an RSA key, at 9443.
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: GROUPS.to_vec(),
        cipher_suites: SUITES.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}

fn builder(
    provider: CryptoProvider,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, rustls::Error> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&versions)
}

fn finish(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.ignore_client_order = true;
    // A client that offers protocols and not this one speaks to the wrong port (RFC 7301, ALPACA).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;
