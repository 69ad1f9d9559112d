//! Certificate revocation lists (RFC 5280 §5).

use identity::{Certificate, KeyError, Reason, Serial, Signer, UnixTime};

/// What a list lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that the issuer signed.
    Complete,
    /// One shard, which certificates name by this address.
    Shard {
        /// The address, as it stands in the certificates.
        url: String,
    },
}

/// A certificate that is not good any more, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Which.
    pub serial: Serial,
    /// Since when.
    pub at: UnixTime,
    /// Why.
    pub reason: Reason,
}

/// A list to be signed.
#[derive(Clone, Debug)]
pub struct Crl {
    /// Grows with every list of the same issuer and scope.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one will be there at the latest.
    pub next_update: UnixTime,
    /// What it lists.
    pub scope: Scope,
    /// The certificates, in any order.
    pub entries: Vec<Revoked>,
}

/// Signs a list; the DER.
///
/// # Errors
/// The key's own.
pub fn sign(issuer: &Certificate, key: &dyn Signer, crl: Crl) -> Result<Vec<u8>, KeyError> {
    todo!()
}
