//! What remains of an erased device: that its identifiers were here before, so that nobody is born
//! under them again.
//!
//! Its maker, model and serial number are kept as a digest that only the realm can make: the SHA-256
//! of a signature over them with the ledger's key, which is Ed25519 and so signs the same always.
//! Whoever has the database and not that key cannot try serial numbers against it.

use crate::house::{House, RealmState};
use identity::key::sha256;
use identity::{Identifiers, KeyError};
use registry::ReadError;

/// Says what is signed, so that the signature means nothing elsewhere; a checkpoint is text.
const FRONT: &[u8] = b"muster/erased/v1\0";

/// What a digest is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Maker, model and serial number.
    All,
    /// The serial number alone, as a token may name it.
    Serial,
}

impl House {
    /// The digest of these identifiers.
    ///
    /// # Errors
    /// Where the ledger's key does not sign.
    pub fn erasure_digest(
        &self,
        realm: &RealmState,
        said: &Identifiers,
        over: Over,
    ) -> Result<[u8; 32], KeyError> {
        let (kind, parts) = match over {
            Over::All => (b'a', vec![&said.maker, &said.model, &said.serial]),
            Over::Serial => (b's', vec![&said.serial]),
        };
        let mut message = FRONT.to_vec();
        message.extend_from_slice(&realm.realm.id);
        message.push(kind);
        for part in parts {
            // Each with its length, so that no two lists of parts read alike.
            message.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            message.extend_from_slice(part.as_bytes());
        }
        Ok(sha256(&[&self.ledger_key.sign(&message)?]))
    }

    /// Whether a device with these identifiers was erased. To be asked where none is known, and
    /// after that was found.
    ///
    /// # Errors
    /// Where the registry cannot be read.
    pub fn was_erased(
        &self,
        realm: &RealmState,
        said: &Identifiers,
        over: Over,
    ) -> Result<bool, ReadError> {
        if said.serial.is_empty() {
            return Ok(false);
        }
        let mut unsigned = false;
        let digest = || {
            self.erasure_digest(realm, said, over).unwrap_or_else(|_| {
                unsigned = true;
                [0; 32]
            })
        };
        let found = self.registry.was_erased(realm.key, digest)?;
        match unsigned {
            true => Err(ReadError::Storage("the ledger's key does not sign".to_owned())),
            false => Ok(found),
        }
    }
}
