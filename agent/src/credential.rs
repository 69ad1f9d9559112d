//! What a device shows in a handshake, and the keys behind it.
//!
//! A key is a [`Signer`]: one in a file today, one in a TPM or behind PKCS#11 tomorrow, found by
//! what its PEM says it is ([`open`]). What was given to the device by somebody else (a birth
//! certificate's key, a maker's) is read in whatever form rustls knows.

use crate::Trouble;
use crate::store::{self, Set, Store};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
};
use identity::key::SoftwareKey;
use identity::{Certificate, KeyKind, Signer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The longest chain that somebody may give us: a maker's has four at most.
const CHAIN_MAX: usize = 6;

/// A certificate chain and its key, as they are shown.
#[derive(Clone)]
pub struct Credential {
    chain: Vec<Certificate>,
    key: Arc<dyn SigningKey>,
}

impl Credential {
    /// A chain with a key of ours.
    #[must_use]
    pub fn held(chain: &[Certificate], key: Arc<dyn Signer>) -> Self {
        Self { chain: chain.to_vec(), key: Arc::new(Held(key)) }
    }

    /// What a set shows.
    ///
    /// # Errors
    /// Where its key is not there, cannot be used, or is another certificate's.
    pub fn of(set: &Set) -> Result<Self, Trouble> {
        let unfit = |why: &str| {
            Trouble::Damaged(format!("`{}` is damaged: {why}", set.key_path().display()))
        };
        let key = open(&set.key()?).ok_or_else(|| unfit("it has no private key that is known"))?;
        let fits = set.leaf().is_some_and(|leaf| leaf.key() == key.public());
        if fits {
            Ok(Self::held(&set.chain, key))
        } else {
            Err(unfit("it is not the key of the leaf beside it"))
        }
    }

    /// What somebody gave us: files with a chain, the device's own certificate first, and its key.
    ///
    /// # Errors
    /// Where they cannot be read, do not belong together, or others may read the key.
    pub fn given(chain: &Path, key: &Path) -> Result<Self, Trouble> {
        let unfit = |path: &Path, why: &str| Trouble::Own(format!("`{}`: {why}", path.display()));
        let text = store::read_text(chain)?.ok_or_else(|| unfit(chain, "it is not there"))?;
        let found =
            Certificate::parse_pem(&text, CHAIN_MAX).map_err(|e| unfit(chain, &e.to_string()))?;
        let pem = store::read_secret(key)?;
        let der = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| unfit(key, "it has no private key in PEM"))?;
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
            .map_err(|e| unfit(key, &e.to_string()))?;
        let credential = Self { chain: found, key: signing };
        let fits = credential.certified().keys_match();
        fits.map_err(|_| unfit(key, "it is not the key of the certificate"))?;
        Ok(credential)
    }

    /// The device's own certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.chain.first()
    }

    /// As rustls shows it.
    #[must_use]
    pub fn certified(&self) -> CertifiedKey {
        let chain = self.chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
        CertifiedKey::new(chain, Arc::clone(&self.key))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}, ..)", self.certificate())
    }
}

/// Makes a new key; what comes back is its PEM, to be made durable before it is used.
///
/// # Errors
/// Where the provider fails, or the kind is not one that leaves are asked for with.
pub fn make(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let algorithm = match kind {
        KeyKind::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyKind::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyKind::Ed25519 | KeyKind::Rsa => {
            return Err(Trouble::Usage(format!("keys are p256 or p384, not {kind}")));
        }
    };
    let failed = |_| Trouble::Own("no key could be made".to_owned());
    let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
    let der = pair.to_pkcs8v1().map_err(failed)?;
    Ok(Zeroizing::new(identity::certificate::pem("PRIVATE KEY", der.as_ref()).into_bytes()))
}

/// Opens a key of ours by what its PEM says it is; `None` where it is none that we can use.
#[must_use]
pub fn open(pem: &[u8]) -> Option<Arc<dyn Signer>> {
    match PrivateKeyDer::from_pem_slice(pem).ok()? {
        PrivateKeyDer::Pkcs8(der) => {
            Some(Arc::new(SoftwareKey::from_pkcs8(der.secret_pkcs8_der()).ok()?))
        }
        _ => None,
    }
}

/// The set in use and what it shows; `None` where there is none.
///
/// # Errors
/// [`Trouble::Damaged`] where a file is not what it was, another where it cannot be read now or
/// others may read it: the sentence names the one.
pub fn in_use(store: &Store) -> Result<Option<(Set, Credential)>, Trouble> {
    let Some(set) = store.current()? else { return Ok(None) };
    let who = Credential::of(&set)?;
    Ok(Some((set, who)))
}

/// A [`Signer`] as rustls asks it.
struct Held(Arc<dyn Signer>);

impl Held {
    fn scheme(&self) -> Option<SignatureScheme> {
        match self.0.public().kind() {
            KeyKind::P256 => Some(SignatureScheme::ECDSA_NISTP256_SHA256),
            KeyKind::P384 => Some(SignatureScheme::ECDSA_NISTP384_SHA384),
            KeyKind::Ed25519 => Some(SignatureScheme::ED25519),
            KeyKind::Rsa => None,
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?}, ..)", self.0.public())
    }
}

impl SigningKey for Held {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = self.scheme().filter(|s| offered.contains(s))?;
        Some(Box::new(Signing { key: Arc::clone(&self.0), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.public().kind() {
            KeyKind::P256 | KeyKind::P384 => SignatureAlgorithm::ECDSA,
            KeyKind::Ed25519 => SignatureAlgorithm::ED25519,
            KeyKind::Rsa => SignatureAlgorithm::RSA,
        }
    }
}

struct Signing {
    key: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signing({:?})", self.scheme)
    }
}

impl rustls::sign::Signer for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key
            .sign(message)
            .map_err(|_| rustls::Error::General("the key did not sign".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
