//! Encryption of key files with age, and the one question that it asks: how guessable is the
//! passphrase?

use super::Secret;
use age::scrypt;
use std::fmt;
use zeroize::Zeroizing;

/// Scrypt work (log2 of N) for a passphrase that a person chose: half a second and 128 MiB a guess.
pub(super) const WORK_TYPED: u8 = 17;
/// Scrypt work for a passphrase of at least 160 random bits: one that cannot be guessed needs no
/// slow guesses, and a first start has a second in all.
pub(super) const WORK_RANDOM: u8 = 10;
/// The most that a file may ask of us before its passphrase is even tried: 4 s and 1 GiB.
const WORK_MAX: u8 = 20;

/// That a file cannot be opened. Says nothing about the passphrase.
#[derive(Debug)]
pub(super) struct Shut(String);

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Encrypts with a passphrase.
pub(super) fn with_passphrase(plain: &[u8], secret: &Secret, work: u8) -> Result<Vec<u8>, Shut> {
    // `Recipient::new` measures the machine for a work factor of its own; that costs up to a tenth
    // of a second.
    let mut recipient = scrypt::Recipient::new(secret.for_age());
    recipient.set_work_factor(work);
    age::encrypt(&recipient, plain).map_err(|e| Shut(e.to_string()))
}

/// Encrypts to an age recipient (`age1…`).
pub(super) fn to_recipient(plain: &[u8], recipient: &str) -> Result<Vec<u8>, Shut> {
    age::encrypt(&self::recipient(recipient)?, plain).map_err(|e| Shut(e.to_string()))
}

/// Reads an age recipient (`age1…`).
pub(super) fn recipient(text: &str) -> Result<age::x25519::Recipient, Shut> {
    let read = text.trim().parse();
    read.map_err(|e| Shut(format!("`{text}` is no age recipient (age1…): {e}")))
}

/// Whether only an identity opens it; `false` also where it is no file of age's.
pub(super) fn wants_identity(sealed: &[u8]) -> bool {
    age::Decryptor::new(sealed).is_ok_and(|file| !file.is_scrypt())
}

/// Decrypts with a passphrase.
pub(super) fn open(sealed: &[u8], secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let mut identity = scrypt::Identity::new(secret.for_age());
    identity.set_max_work_factor(WORK_MAX);
    age::decrypt(&identity, sealed).map(Zeroizing::new).map_err(|e| Shut(e.to_string()))
}

/// Decrypts with the identities of an age identity file (`AGE-SECRET-KEY-1…`).
pub(super) fn open_with_identities(
    sealed: &[u8],
    identities: &str,
) -> Result<Zeroizing<Vec<u8>>, Shut> {
    let lines = identities.lines().map(str::trim);
    let mut why = Shut("the identity file has no AGE-SECRET-KEY-1… line".to_owned());
    for line in lines.filter(|l| !l.is_empty() && !l.starts_with('#')) {
        // The reader's own error could quote the line.
        let identity: age::x25519::Identity = line
            .parse()
            .map_err(|_| Shut("the identity file has a line that is no identity".to_owned()))?;
        match age::decrypt(&identity, sealed) {
            Ok(plain) => return Ok(Zeroizing::new(plain)),
            Err(e) => why = Shut(e.to_string()),
        }
    }
    Err(why)
}
