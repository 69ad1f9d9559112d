//! The ways to sign that are accepted, and what they are called in X.509.

use super::KeyKind;
use crate::ask::Defect;
use aws_lc_rs::signature;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};

/// A way to sign that we accept in requests and in makers' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// ecdsa-with-SHA256 on P-256.
    P256Sha256,
    /// ecdsa-with-SHA384 on P-256.
    P256Sha384,
    /// ecdsa-with-SHA256 on P-384.
    P384Sha256,
    /// ecdsa-with-SHA384 on P-384.
    P384Sha384,
    /// Ed25519.
    Ed25519,
    /// sha256WithRSAEncryption.
    RsaSha256,
    /// sha384WithRSAEncryption.
    RsaSha384,
    /// sha512WithRSAEncryption.
    RsaSha512,
}

impl Scheme {
    /// The scheme that an algorithm identifier names for a key of `kind`.
    ///
    /// # Errors
    /// A [`Defect`] where it is unknown, too weak (SHA-1, MD5) or for another kind of key.
    pub fn named(oid: ObjectIdentifier, kind: KeyKind) -> Result<Self, Defect> {
        match (oid, kind) {
            (rfc5912::ECDSA_WITH_SHA_256, KeyKind::P256) => Ok(Self::P256Sha256),
            (rfc5912::ECDSA_WITH_SHA_384, KeyKind::P256) => Ok(Self::P256Sha384),
            (rfc5912::ECDSA_WITH_SHA_256, KeyKind::P384) => Ok(Self::P384Sha256),
            (rfc5912::ECDSA_WITH_SHA_384, KeyKind::P384) => Ok(Self::P384Sha384),
            (rfc8410::ID_ED_25519, KeyKind::Ed25519) => Ok(Self::Ed25519),
            (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, KeyKind::Rsa) => Ok(Self::RsaSha256),
            (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, KeyKind::Rsa) => Ok(Self::RsaSha384),
            (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, KeyKind::Rsa) => Ok(Self::RsaSha512),
            _ => {
                let sentence =
                    format!("signature algorithm {oid} is not accepted for a {kind} key");
                Err(Defect::new("signature-algorithm", sentence))
            }
        }
    }

    pub(super) const fn kind(self) -> KeyKind {
        match self {
            Self::P256Sha256 | Self::P256Sha384 => KeyKind::P256,
            Self::P384Sha256 | Self::P384Sha384 => KeyKind::P384,
            Self::Ed25519 => KeyKind::Ed25519,
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 => KeyKind::Rsa,
        }
    }

    pub(super) fn verifier(self) -> &'static dyn signature::VerificationAlgorithm {
        match self {
            Self::P256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
            Self::P384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
            Self::P384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::Ed25519 => &signature::ED25519,
            Self::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

/// The one with which the provider checks a key of `kind` when it is read.
pub(super) const fn any_scheme(kind: KeyKind) -> Scheme {
    match kind {
        KeyKind::P256 => Scheme::P256Sha256,
        KeyKind::P384 => Scheme::P384Sha384,
        KeyKind::Ed25519 => Scheme::Ed25519,
        KeyKind::Rsa => Scheme::RsaSha256,
    }
}
