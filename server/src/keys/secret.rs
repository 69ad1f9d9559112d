//! A passphrase.

use age::secrecy::SecretString;
use std::fmt;
use zeroize::Zeroizing;

/// A passphrase: wiped when dropped, and silent in every log.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A passphrase as somebody gave it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A passphrase that nobody can guess: 256 random bits as 43 base64url characters.
    #[must_use]
    pub fn random() -> Self {
        let bytes = Zeroizing::new(crate::clock::outside(|outside| outside.random::<32>()));
        Self::new(identity::text::base64url(bytes.as_slice()))
    }

    /// The passphrase itself.
    #[must_use]
    pub fn dangerous_reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn for_age(&self) -> SecretString {
        SecretString::from(self.0.as_str())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
