//! ML-DSA-44 (FIPS 204): what post-quantum witnesses of a ledger sign with (C2SP tlog-cosignature).
//! It is not among the [`KeyKind`](super::KeyKind)s: no certificate has such a key here.

use super::KeyError;
use crate::ask::Defect;
use aws_lc_rs::signature::{ML_DSA_44, ParsedPublicKey};
use std::fmt;
use std::sync::Arc;

/// The octets of a public key (FIPS 204 §4, table 2).
const PUBLIC_OCTETS: usize = 1312;

/// A public key that only verifies.
#[derive(Clone)]
pub struct MlDsa44 {
    raw: Vec<u8>,
    /// As the provider has it after its own checks, so that they are made once.
    checked: Arc<ParsedPublicKey>,
}

impl MlDsa44 {
    /// Reads the 1312 octets of a public key (FIPS 204 algorithm 22).
    ///
    /// # Errors
    /// A [`Defect`] for the one who gave the key.
    pub fn parse(raw: &[u8]) -> Result<Self, Defect> {
        let broken = || {
            let sentence = format!("an ML-DSA-44 public key has {PUBLIC_OCTETS} octets");
            Defect::new("key-invalid", sentence)
        };
        if raw.len() != PUBLIC_OCTETS {
            return Err(broken());
        }
        let checked = ParsedPublicKey::new(&ML_DSA_44, raw).map_err(|_| broken())?;
        Ok(Self { raw: raw.to_vec(), checked: Arc::new(checked) })
    }

    /// The key itself, 1312 octets.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Checks `signature` over `message`, with an empty context (FIPS 204 algorithm 3).
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it does not hold.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.checked.verify_sig(message, signature).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for MlDsa44 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsa44(..)")
    }
}

impl PartialEq for MlDsa44 {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for MlDsa44 {}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};

    #[test]
    fn a_signature_holds_for_its_message_and_key_alone() {
        let pair = |seed: u8| PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[seed; 32]).unwrap();
        let mut signature = vec![0; 2420];
        assert_eq!(pair(1).sign(b"seen", &mut signature).unwrap(), 2420);
        let key = MlDsa44::parse(pair(1).public_key().as_ref()).unwrap();
        assert_eq!(key.verify(b"seen", &signature), Ok(()));
        assert_eq!(key.verify(b"Seen", &signature), Err(KeyError::Signature));
        assert_eq!(key.verify(b"seen", &signature[1..]), Err(KeyError::Signature));
        let other = MlDsa44::parse(pair(2).public_key().as_ref()).unwrap();
        assert_eq!(other.verify(b"seen", &signature), Err(KeyError::Signature));
        assert!(other != key && key == key.clone());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for octets in [0, 32, 1311, 1313, 1952] {
            assert_eq!(MlDsa44::parse(&vec![1; octets]).unwrap_err().name, "key-invalid");
        }
    }
}
