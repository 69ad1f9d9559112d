//! Keys: the public side, the trait behind which private ones hide, and the software key.
//!
//! One provider does all the cryptography (aws-lc-rs). [`PublicKey`] is checked when it is made: a
//! known kind, long enough, a point on its curve; a signature check never has to ask again.

mod post_quantum;
mod scheme;
mod software;

pub use post_quantum::MlDsa44;
pub use scheme::Scheme;
pub use software::SoftwareKey;

use crate::ask::Defect;
use crate::authority::KeyId;
use crate::device::words;
use crate::text::shown_in_hex;
use aws_lc_rs::{digest, signature};
use const_oid::db::{rfc5912, rfc8410};
use der::Encode;
use scheme::any_scheme;
use std::fmt;
use std::sync::Arc;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| hash.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// SHA-1, where a format names something by it: an OCSP CertID names an issuer so, and a response
/// its responder (RFC 6960 §4.1.1, §4.2.1). It is no signature's digest, and nobody gains by a
/// collision among names that we made.
#[must_use]
pub fn sha1_of_a_name(octets: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref());
    out
}

/// The SHA-256 of a SubjectPublicKeyInfo in DER: how the roll, the ledger and people name a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpkiHash([u8; 32]);

impl SpkiHash {
    /// The hash of a whole SubjectPublicKeyInfo.
    #[must_use]
    pub fn of(spki_der: &[u8]) -> Self {
        Self(sha256(&[spki_der]))
    }

    /// A stored hash.
    #[must_use]
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The 32 octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

shown_in_hex!(SpkiHash);

/// The kinds of key that may have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA, 2048 to 4096 bits.
    Rsa,
}

words!(KeyKind { P256 = "p256", P384 = "p384", Ed25519 = "ed25519", Rsa = "rsa" });

/// RSA moduli shorter than this are within reach of well-funded attackers (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;
/// Longer RSA moduli cost a verification more time than a stranger should be able to ask for.
const RSA_BITS_MAX: usize = 4096;
/// The SPKI of an RSA key of 4096 bits has about 550 octets.
const SPKI_OCTETS_MAX: usize = 1024;

/// A public key that is fit to be certified.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    raw: Vec<u8>,
    hash: SpkiHash,
    /// As the provider has it after its own checks, so that they are made once.
    checked: Arc<signature::ParsedPublicKey>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER and checks the key: kind, length, point on its curve.
    ///
    /// # Errors
    /// A [`Defect`] for the one who sent the key.
    pub fn parse(spki: &[u8]) -> Result<Self, Defect> {
        if spki.len() > SPKI_OCTETS_MAX {
            return Err(Defect::new(
                "key-too-large",
                format!("a public key has at most {SPKI_OCTETS_MAX} octets"),
            ));
        }
        let info = SubjectPublicKeyInfoRef::try_from(spki)
            .map_err(|e| Defect::new("key-der", format!("the public key is not DER: {e}")))?;
        let raw = info.subject_public_key.as_bytes().unwrap_or_default().to_vec();
        let kind = kind_of(&info)?;
        if kind == KeyKind::Rsa {
            check_rsa(&raw)?;
        }
        check_form(kind, &raw, spki)?;
        let checked = signature::ParsedPublicKey::new(any_scheme(kind).verifier(), &raw);
        let checked = checked.map_err(|_| {
            Defect::new("key-invalid", format!("the {kind} public key is not valid"))
        })?;
        let (hash, checked) = (SpkiHash::of(spki), Arc::new(checked));
        Ok(Self { kind, spki: spki.to_vec(), raw, hash, checked })
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub const fn hash(&self) -> SpkiHash {
        self.hash
    }

    /// The subject key identifier that its certificates carry (RFC 7093 §2 method 1).
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let digest = sha256(&[&self.raw]);
        KeyId::from_octets(digest.get(..20).unwrap_or_default())
            .unwrap_or_else(|| unreachable!("20 of 32 octets"))
    }

    /// The bits of the key itself: a point, or an RSAPublicKey.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it does not hold, or where `scheme` is not for this kind of
    /// key.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        if scheme.kind() != self.kind {
            return Err(KeyError::Signature);
        }
        let held = if scheme == any_scheme(self.kind) {
            self.checked.verify_sig(message, signature)
        } else {
            signature::UnparsedPublicKey::new(scheme.verifier(), &self.raw)
                .verify(message, signature)
        };
        held.map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind, self.hash)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

fn kind_of(info: &SubjectPublicKeyInfoRef<'_>) -> Result<KeyKind, Defect> {
    match info.algorithm.oid {
        rfc5912::ID_EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
            Ok(rfc5912::SECP_256_R_1) => Ok(KeyKind::P256),
            Ok(rfc5912::SECP_384_R_1) => Ok(KeyKind::P384),
            _ => Err(Defect::new("key-curve", "only the curves P-256 and P-384 are accepted")),
        },
        rfc8410::ID_ED_25519 => Ok(KeyKind::Ed25519),
        rfc5912::RSA_ENCRYPTION => Ok(KeyKind::Rsa),
        other => {
            Err(Defect::new("key-kind", format!("keys of algorithm {other} are not accepted")))
        }
    }
}

/// The bounds on RSA keys; an odd exponent of at least 65537 is what every current generator makes
/// (FIPS 186-5).
fn check_rsa(raw: &[u8]) -> Result<(), Defect> {
    let key = RsaPublicKey::try_from(raw)
        .map_err(|e| Defect::new("key-der", format!("the RSA key is not DER: {e}")))?;
    let bits = key.modulus.as_bytes().len() * 8;
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        let sentence = format!("an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, not {bits}");
        return Err(Defect::new("key-rsa-bits", sentence));
    }
    let exponent = key.exponent.as_bytes();
    if exponent.len() < 3 || exponent.last().is_none_or(|low| low % 2 == 0) {
        return Err(Defect::new("key-rsa-exponent", "an RSA exponent is odd and at least 65537"));
    }
    Ok(())
}

/// A key is known again by the hash of its encoding, so it has one: parameters as RFC 3279 §2.3.1,
/// RFC 5480 §2.1.1 and RFC 8410 §3 demand them, and a point that is not compressed. The provider
/// takes others too, even a whole SubjectPublicKeyInfo in the place of the key with anything behind
/// it: with one of those a key that was revoked would come back as one that nobody has seen.
fn check_form(kind: KeyKind, raw: &[u8], spki: &[u8]) -> Result<(), Defect> {
    let plain = match kind {
        KeyKind::P256 => raw.len() == 65 && raw.first() == Some(&4),
        KeyKind::P384 => raw.len() == 97 && raw.first() == Some(&4),
        KeyKind::Ed25519 => raw.len() == 32,
        KeyKind::Rsa => true,
    };
    if plain && spki_der(kind, raw).is_ok_and(|written| written == spki) {
        return Ok(());
    }
    let sentence = match kind {
        KeyKind::P256 | KeyKind::P384 => {
            "the public key is not in its plain form: send the point uncompressed, and name the \
             curve by its OID"
        }
        KeyKind::Ed25519 => {
            "the public key is not in its plain form: send 32 octets without parameters"
        }
        KeyKind::Rsa => "the public key is not in its plain form: the parameters of RSA are NULL",
    };
    Err(Defect::new("key-form", sentence))
}

/// RSAPublicKey of RFC 8017 appendix A.1.1.
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: der::asn1::UintRef<'a>,
    exponent: der::asn1::UintRef<'a>,
}

impl<'a> TryFrom<&'a [u8]> for RsaPublicKey<'a> {
    type Error = der::Error;

    fn try_from(bytes: &'a [u8]) -> Result<Self, der::Error> {
        der::Decode::from_der(bytes)
    }
}

/// What can go wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A signature does not hold, or is of another kind than the key.
    Signature,
    /// The private key did not sign: a hardware token that is gone, or a fault of the provider.
    Signing,
    /// The stored private key cannot be read or is of a kind that does not sign here.
    Unreadable,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "the signature does not hold",
            Self::Signing => "the private key did not sign",
            Self::Unreadable => "the private key cannot be read",
        })
    }
}

impl std::error::Error for KeyError {}

/// A private key that signs, wherever it is: an encrypted file now, a hardware token or a cloud
/// service later.
pub trait Signer: Send + Sync {
    /// The public side.
    fn public(&self) -> &PublicKey;

    /// Signs `message` with the scheme of the key's kind (its own curve's SHA-2; RSA with SHA-256).
    ///
    /// # Errors
    /// [`KeyError::Signing`] where the key did not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// The algorithm identifier of what a [`Signer`] with a key of `kind` signs.
#[must_use]
pub fn algorithm(kind: KeyKind) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match kind {
        KeyKind::P256 => (rfc5912::ECDSA_WITH_SHA_256, None),
        KeyKind::P384 => (rfc5912::ECDSA_WITH_SHA_384, None),
        KeyKind::Ed25519 => (rfc8410::ID_ED_25519, None),
        KeyKind::Rsa => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(der::asn1::Null.into())),
    };
    AlgorithmIdentifierOwned { oid, parameters }
}

/// The DER of a SubjectPublicKeyInfo from a kind and the bits of the key.
fn spki_der(kind: KeyKind, raw: &[u8]) -> Result<Vec<u8>, der::Error> {
    let (oid, parameters) = match kind {
        KeyKind::P256 => (rfc5912::ID_EC_PUBLIC_KEY, Some((&rfc5912::SECP_256_R_1).into())),
        KeyKind::P384 => (rfc5912::ID_EC_PUBLIC_KEY, Some((&rfc5912::SECP_384_R_1).into())),
        KeyKind::Ed25519 => (rfc8410::ID_ED_25519, None),
        KeyKind::Rsa => (rfc5912::RSA_ENCRYPTION, Some(der::asn1::Null.into())),
    };
    let algorithm =
        x509_cert::spki::AlgorithmIdentifier::<der::asn1::AnyRef<'_>> { oid, parameters };
    let subject_public_key = der::asn1::BitStringRef::from_bytes(raw)?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der()
}

#[cfg(test)]
mod tests;
