//! A join token: somebody vouches once (or N times) for a device that has nothing else to show.

use crate::device::GroupName;
use crate::key::sha256;
use crate::outside::{Outside, UnixTime};
use crate::text::base64url;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroize;

/// The public half of a token: 16 base64url characters (96 random bits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(String);

impl TokenId {
    /// Reads an id; `None` where it is not 16 base64url characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16 && is_base64url(text)).then(|| Self(text.to_owned()))
    }

    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret half of a token: 43 base64url characters (256 random bits). Shown once; only its
/// SHA-256 is stored.
pub struct TokenSecret(String);

impl TokenSecret {
    /// Reads a secret; `None` where it is not 43 base64url characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 43 && is_base64url(text)).then(|| Self(text.to_owned()))
    }

    /// What is stored of it. A plain hash is enough for 256 random bits: nothing shorter than the
    /// secret finds it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.0.as_bytes()])
    }

    /// The secret itself, to be shown once to the one who asked for it.
    #[must_use]
    pub fn dangerous_reveal(&self) -> &str {
        &self.0
    }
}

impl Drop for TokenSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// A new id and secret. An id that began with a hyphen would be an option where somebody types it.
#[must_use]
pub fn mint(outside: &mut Outside<'_>) -> (TokenId, TokenSecret) {
    let mut octets = outside.random::<12>();
    if let [first, ..] = &mut octets
        && *first >> 2 == HYPHEN
    {
        *first = 0;
    }
    (TokenId(base64url(&octets)), TokenSecret(base64url(&outside.random::<32>())))
}

/// The six bits that base64url writes as `-` (RFC 4648 §5).
const HYPHEN: u8 = 62;

/// A token as somebody shows it: HTTP Basic `id:secret` or Bearer `id.secret`.
#[derive(Debug)]
pub struct ShownToken {
    /// Which token.
    pub id: TokenId,
    /// The proof.
    pub secret: TokenSecret,
}

/// A token as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which token.
    pub id: TokenId,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Joins that are left.
    pub uses_left: u32,
    /// Joins that it was made for.
    pub uses: u32,
    /// When it was made.
    pub made: UnixTime,
    /// When it ends.
    pub ends: UnixTime,
    /// Groups that its devices get.
    pub groups: BTreeSet<GroupName>,
    /// The one device (by serial number, perhaps with maker and model) that may use it. Without one
    /// it never attaches to a device that exists.
    pub serial: Option<String>,
    /// When it was revoked.
    pub revoked: Option<UnixTime>,
    /// Who made it.
    pub by: String,
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(u8);
    impl crate::outside::Dice for Counted {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.iter_mut().for_each(|b| {
                self.0 = self.0.wrapping_add(1);
                *b = self.0;
            });
        }
    }

    #[test]
    fn no_id_that_is_minted_looks_like_an_option() {
        for before in 0..=255 {
            let mut dice = Counted(before);
            let (id, _) = mint(&mut Outside { now: UnixTime::default(), dice: &mut dice });
            assert!(!id.as_str().starts_with('-'), "{id}");
        }
        assert!(TokenId::parse("-0abcdefghijklmn").is_some(), "one that was made earlier is read");
    }

    #[test]
    fn a_minted_token_reads_back_and_is_shy() {
        let (id, secret) = mint(&mut Outside { now: UnixTime::default(), dice: &mut Counted(0) });
        assert_eq!(TokenId::parse(id.as_str()), Some(id));
        let read = TokenSecret::parse(secret.dangerous_reveal()).unwrap();
        assert_eq!(read.digest(), secret.digest());
        assert_eq!(format!("{secret:?}"), "TokenSecret(..)");
    }
}
