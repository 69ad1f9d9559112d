//! Files of a home: written whole or not at all, and never readable for others by accident.

use super::HomeError;
use crate::limits::FILE_OCTETS_MAX;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everybody (0644): certificates, ports.
    Public,
    /// Its owner (0600): keys, tokens.
    Private,
    /// Its owner, who may not even change it (0400): what is to be carried away.
    Sealed,
}

impl Mode {
    const fn bits(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Private => 0o600,
            Self::Sealed => 0o400,
        }
    }
}

/// Makes a directory that only its owner may enter; one that exists stays as it is.
///
/// # Errors
/// What the system said.
pub fn make_dir(path: &Path) -> Result<(), HomeError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| HomeError::io("make the directory", path, e))
}

/// Writes a file whole or not at all: a crash leaves the old file or the new one, and perhaps a
/// `.new` beside it, which the next write takes away.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), HomeError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let failed = |e| HomeError::io("write", path, e);
    match fs::remove_file(beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    // `create_new` and the mode at creation: at no moment is a secret in a file that others may
    // open.
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode.bits()).open(beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(beside, path).map_err(failed)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system said.
pub fn sync_dir(path: &Path) -> Result<(), HomeError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| HomeError::io("sync", path, e))
}

/// Reads a file that is not larger than a file of a home can be; what was read is wiped when
/// dropped.
///
/// # Errors
/// What the system said, or that it is too large.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let failed = |e| HomeError::io("read", path, e);
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_OCTETS_MAX) {
        return Err(HomeError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Reads a text file like [`read`].
///
/// # Errors
/// Like [`read`], or that it is not UTF-8.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, HomeError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| HomeError::NotText(path.to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(dir.path().join("secret.new"), b"left by a crash").unwrap();

        write(&path, b"one", Mode::Sealed).unwrap();
        write(&path, b"two", Mode::Sealed).unwrap();

        assert_eq!(read(&path).unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(!dir.path().join("secret.new").exists());
    }

    #[test]
    fn a_file_of_another_kind_is_not_swallowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(FILE_OCTETS_MAX + 1).unwrap();
        assert!(matches!(read(&path), Err(HomeError::TooLarge(_))));
    }
}
