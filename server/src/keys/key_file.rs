//! One file with a private key that is not encrypted: read, guarded, and destroyed.

use super::KeyTrouble;
use crate::home::HomeError;
use crate::home::file;
use identity::key::SoftwareKey;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// How PEM names a key in PKCS#8 (RFC 7468 §10).
pub(super) const LABEL: &str = "PRIVATE KEY";

/// Zeros over the whole file, durable before it is removed.
pub(super) fn overwrite(path: &Path) -> std::io::Result<()> {
    let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or_default();
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

/// PKCS#8 as PEM or as DER, whichever somebody put there.
pub(super) fn parse(path: &Path) -> Result<SoftwareKey, KeyTrouble> {
    let bytes = file::read(path)?;
    let unreadable = || {
        let path = path.display();
        KeyTrouble::Locked(format!("`{path}` is no PKCS#8 key of P-256, P-384 or Ed25519"))
    };
    of_octets(&bytes).ok_or_else(unreadable)
}

/// A key in PEM or DER.
pub(super) fn of_octets(bytes: &[u8]) -> Option<SoftwareKey> {
    SoftwareKey::from_pkcs8(&dangerous_der(bytes)?).ok()
}

/// The DER of a private key in PEM or DER.
fn dangerous_der(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if bytes.first() == Some(&0x30) {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {LABEL}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {LABEL}-----"))?;
    identity::text::from_base64(body.as_bytes()).map(Zeroizing::new)
}

pub(super) fn refuse_open_to_others(path: &Path) -> Result<(), KeyTrouble> {
    let found = fs::metadata(path).map_err(|e| HomeError::io("read", path, e))?;
    if found.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(KeyTrouble::Locked(format!("`{path}` is open to others: chmod 600 it, or replace the key")))
}
