//! The server's own certificate: what it shows now, and how that is exchanged while it runs.

use crate::home::HomeError;
use crate::home::file;
use crate::keys::NewKey;
use ca::authority::ServerName;
use identity::{Certificate, UnixTime};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Why a server certificate cannot be served.
#[derive(Debug)]
pub enum ServedError {
    /// A file cannot be read.
    Home(HomeError),
    /// Certificate and key do not fit, or cannot be used.
    Unfit(String),
}

impl fmt::Display for ServedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(e) => e.fmt(f),
            Self::Unfit(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for ServedError {}

impl From<HomeError> for ServedError {
    fn from(e: HomeError) -> Self {
        Self::Home(e)
    }
}

/// A chain with its key, and from when until when it is good.
#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    not_before: UnixTime,
    not_after: UnixTime,
}

/// The certificate that is served. Handshakes take the one of their moment; an exchange disturbs
/// none.
#[derive(Debug)]
pub struct Served(RwLock<Current>);

impl Served {
    /// Serves `chain` (the leaf, its authority, no root) with `key`.
    ///
    /// # Errors
    /// [`ServedError::Unfit`] where they do not fit.
    pub fn new(chain: &[Certificate], key: &NewKey) -> Result<Self, ServedError> {
        let key = PrivatePkcs8KeyDer::from(key.dangerous_pkcs8());
        current(chain, &PrivateKeyDer::from(key)).map(|current| Self(RwLock::new(current)))
    }

    /// Serves another chain from now on.
    ///
    /// # Errors
    /// [`ServedError::Unfit`] where they do not fit; the last one is served on then.
    pub fn exchange(&self, chain: &[Certificate], key: &NewKey) -> Result<(), ServedError> {
        let key = PrivatePkcs8KeyDer::from(key.dangerous_pkcs8());
        self.put(current(chain, &PrivateKeyDer::from(key))?);
        Ok(())
    }

    /// Reads the files of [`own`] again.
    ///
    /// # Errors
    /// Where they cannot be used; the last one is served on then.
    pub fn exchange_own(&self, certificate: &Path, key: &Path) -> Result<(), ServedError> {
        self.put(read_own(certificate, key)?);
        Ok(())
    }

    /// The names of servers that what is served has.
    #[must_use]
    pub fn names(&self) -> Vec<ServerName> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let leaf = current.certified.cert.first().and_then(|der| Certificate::parse(der).ok());
        leaf.as_ref().map(ServerName::all_of).unwrap_or_default()
    }

    /// When what is served begins.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        self.0.read().unwrap_or_else(PoisonError::into_inner).not_before
    }

    /// When what is served ends.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.0.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    fn put(&self, current: Current) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = current;
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.certified))
    }
}

/// Serves somebody's own certificate (PEM files, the leaf first).
///
/// # Errors
/// Where the files cannot be read, or do not fit.
pub fn own(certificate: &Path, key: &Path) -> Result<Served, ServedError> {
    read_own(certificate, key).map(|current| Served(RwLock::new(current)))
}

/// Longer chains than this are a bundle of roots by mistake.
const OWN_CHAIN_MAX: usize = 8;

fn read_own(certificate: &Path, key: &Path) -> Result<Current, ServedError> {
    let unfit = |path: &Path, why: String| {
        ServedError::Unfit(format!("`{}` cannot be served: {why}", path.display()))
    };
    let chain = Certificate::parse_pem(&file::read_text(certificate)?, OWN_CHAIN_MAX)
        .map_err(|e| unfit(certificate, e.to_string()))?;
    let pem = file::read(key)?;
    if others_may_read(key) {
        tracing::warn!(file = %key.display(), "everybody on this machine may read the operator \
            port's key: take that away with `chmod o-rwx`, and exchange the key");
    }
    let key_der = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| unfit(key, "it has no private key in PEM".to_owned()))?;
    current(&chain, &key_der).map_err(|e| unfit(certificate, e.to_string()))
}

/// Whether more than its owner and a group may read or change a file. A group of those who may is
/// usual for keys that other tools renew.
fn others_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|stat| stat.permissions().mode() & 0o007 != 0)
}

fn current(chain: &[Certificate], key: &PrivateKeyDer<'_>) -> Result<Current, ServedError> {
    let unfit = |e: rustls::Error| ServedError::Unfit(e.to_string());
    let leaf = chain.first().ok_or_else(|| ServedError::Unfit("the chain is empty".to_owned()))?;
    let signing = any_supported_type(key).map_err(unfit)?;
    let ders = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
    let certified = CertifiedKey::new(ders, signing);
    certified.keys_match().map_err(unfit)?;
    let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
    Ok(Current { certified: Arc::new(certified), not_before, not_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_everybody_may_read_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.pem");
        std::fs::write(&key, "").unwrap();
        for (mode, found) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(others_may_read(&key), found, "{mode:o}");
        }
    }
}
