//! What devices were given, and who signed it.

use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// Birth certificate or leaf.
    CertificateKind {
        /// The birth certificate (IEEE 802.1AR IDevID).
        Birth = "birth",
        /// The short-lived leaf (LDevID).
        Leaf = "leaf",
    }
}

words! {
    /// Why a certificate was revoked (RFC 5280 §5.3.1).
    Reason {
        /// Nobody said why.
        Unspecified = "unspecified",
        /// Somebody else has, or may have, the private key.
        KeyCompromise = "keyCompromise",
        /// Its issuer's key is not trusted any more.
        CaCompromise = "cACompromise",
        /// The device changed its owner or its name.
        AffiliationChanged = "affiliationChanged",
        /// A newer certificate took its place.
        Superseded = "superseded",
        /// The device was retired.
        CessationOfOperation = "cessationOfOperation",
        /// On hold while the device is suspended or quarantined.
        CertificateHold = "certificateHold",
        /// The right to hold it was withdrawn.
        PrivilegeWithdrawn = "privilegeWithdrawn",
    }
}

words! {
    /// A kind of key.
    KeyKind {
        /// ECDSA on NIST P-256.
        P256 = "p256",
        /// ECDSA on NIST P-384.
        P384 = "p384",
        /// Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// RSA, 2048 to 4096 bits.
        Rsa = "rsa",
    }
}

words! {
    /// What a certificate is good for, at the moment of the answer.
    CertificateState {
        /// A birth certificate, which is shown at each join.
        Good = "good",
        /// A leaf that no handshake completed with yet.
        Unused = "unused",
        /// A leaf in use.
        Used = "used",
        /// A leaf whose successor is in use, and that is good until `spent`.
        Overlap = "overlap",
        /// A leaf whose successor is in use, and whose overlap is over: whoever shows it is a
        /// second holder of the identity.
        Spent = "spent",
        /// Past its end.
        Ended = "ended",
        /// On hold, which can be lifted.
        Held = "held",
        /// Revoked for good.
        Revoked = "revoked",
    }
}

/// A certificate that a device was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Serial number.
    pub serial: String,
    /// Birth certificate or leaf.
    pub kind: CertificateKind,
    /// The device's UUID.
    pub device: String,
    /// The authority that signed it.
    pub issuer: String,
    /// The order of leaves, from 1; 0 for a birth certificate.
    pub generation: u32,
    /// SHA-256 of its public key (SubjectPublicKeyInfo).
    pub spki: String,
    /// When it was issued.
    pub issued: String,
    /// When it ends.
    pub not_after: String,
    /// When a handshake with it first completed.
    pub used: Option<String>,
    /// Its state at the moment of the answer.
    pub state: CertificateState,
    /// From when on it is spent, its successor being in use; until then the overlap lasts.
    pub spent: Option<String>,
    /// Whether, when and why it was revoked or put on hold.
    pub revoked: Option<RevocationView>,
    /// The certificate itself; `null` in lists.
    pub pem: Option<String>,
}

/// When and why a certificate was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevocationView {
    /// When.
    pub at: String,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate is revoked. `certificateHold` can be lifted again; every other reason is final.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// Why; `keyCompromise` also keeps the key out for good.
    pub reason: Reason,
}

/// What came off hold: every leaf of the same key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseResult {
    /// The certificates, newest first.
    pub released: Vec<CertificateView>,
}

/// What was revoked: every certificate of the same key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RevocationResult {
    /// The certificates, newest first.
    pub revoked: Vec<CertificateView>,
}

words! {
    /// What an authority signs.
    AuthorityRole {
        /// Authorities, offline.
        Root = "root",
        /// Birth certificates.
        Birth = "birth",
        /// Leaves.
        Operations = "operations",
        /// Server certificates of Muster itself.
        Service = "service",
    }
}

words! {
    /// Whether an authority signs.
    AuthorityState {
        /// Signs.
        Active = "active",
        /// Signs no more certificates, but its CRLs; what it signed is still good.
        Retiring = "retiring",
        /// The overlap with its successor is over: a leaf of it opens no door.
        Retired = "retired",
        /// Barred at once: nothing that it signed is good.
        Barred = "barred",
    }
}

/// An authority of the realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// Its subject key identifier; how public addresses name an issuer.
    pub id: String,
    /// What it signs.
    pub role: AuthorityRole,
    /// Whether it signs.
    pub state: AuthorityState,
    /// Its name.
    pub subject: String,
    /// From when on it is good.
    pub not_before: String,
    /// When it ends.
    pub not_after: String,
    /// Its certificate.
    pub pem: String,
    /// The kind of its key.
    pub key_kind: KeyKind,
    /// When a retiring one retires; `null` where it has no date.
    #[serde(default)]
    pub retires: Option<String>,
    /// Since when a barred one is barred, and why.
    #[serde(default)]
    pub barred: Option<RevocationView>,
    /// When its private key was destroyed.
    #[serde(default)]
    pub wiped: Option<String>,
    /// While authorities change: the devices whose newest leaf is live and was signed by it.
    #[serde(default)]
    pub leaves: Option<u64>,
    /// Its certificates of older roots, in PEM; a revocation names them too.
    #[serde(default)]
    pub earlier: Vec<String>,
    /// Of a root: the number of its list that is shown. The next one's has to be greater.
    #[serde(default)]
    pub crl_number: Option<u64>,
}

/// For what a new authority's key is made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityRequest {
    /// What it shall sign; not `root`.
    pub role: AuthorityRole,
    /// The kind of its key, `p256` where nothing is said; not `rsa`.
    #[serde(default)]
    pub key_kind: Option<KeyKind>,
    /// Also while the one before is still in its overlap.
    #[serde(default)]
    pub in_overlap: bool,
}

/// The request of a new authority, to be signed by the root where the root is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthorityCsr {
    /// The subject key identifier that it will have.
    pub id: String,
    /// What it shall sign.
    pub role: AuthorityRole,
    /// The request (PKCS#10) in PEM.
    pub csr: String,
    /// When it was made.
    #[serde(default)]
    pub made: String,
}

/// An authority's certificate, signed by the root.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityInstall {
    /// The certificate in PEM.
    pub certificate: String,
    /// What it signs.
    pub role: AuthorityRole,
    /// For how many seconds its predecessor still counts; where nothing is said, until the last
    /// leaf of it has ended. A birth authority counts for good.
    #[serde(default)]
    pub overlap_s: Option<u64>,
}

/// A root that follows the one that counts, made where the two keys are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RootRoll {
    /// The new root in PEM, signed by itself.
    pub root: String,
    /// The new root's key, signed by the old one, in PEM.
    pub new_with_old: String,
    /// The old root's key, signed by the new one, in PEM.
    pub old_with_new: String,
    /// The authorities that count, each with its key and name, signed by the new root, in PEM.
    #[schema(max_items = 64)]
    pub authorities: Vec<String>,
    /// The new root's CRL in PEM.
    pub crl: String,
    /// For how many seconds the old root still counts; where nothing is said, until somebody
    /// retires it.
    #[serde(default)]
    pub overlap_s: Option<u64>,
}

/// The roots that count, for whoever believes one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RootsView {
    /// The roots in PEM, the one that signs first.
    pub roots: Vec<String>,
    /// What leads from one to the other, in PEM.
    pub crosses: Vec<String>,
}

/// How an authority shall stand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityStateRequest {
    /// Signs, signs no more, retired now, or barred at once.
    pub state: AuthorityState,
    /// For how many seconds a retiring one still counts.
    #[serde(default)]
    pub overlap_s: Option<u64>,
}

/// Why an authority is barred, at once and for good.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityRevocation {
    /// Why; not `certificateHold`.
    pub reason: Reason,
}

/// A CRL that was signed offline.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CrlInstall {
    /// The CRL in PEM (`X509 CRL`) or base64 of the DER.
    pub crl: String,
}
