//! `operator.toml`: what a verb needs to speak to a server. Where it is, the pin of its root, and
//! the token.

use super::{HomeError, file};
use identity::Certificate;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// An operator's credential file (mode 0600).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorFile {
    /// The operator port, `https://localhost:9443`.
    pub url: String,
    /// SHA-256 of the root's SPKI, lower-case hex.
    pub root_pin: String,
    /// The root itself in PEM: the server never sends it.
    pub root: String,
    /// Where the operator port has a certificate of the owner's: the root of that, in PEM. Written
    /// by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_root: Option<String>,
    /// The realm that the token is good for.
    pub realm: String,
    /// The bearer token, `id.secret`.
    pub token: String,
}

impl OperatorFile {
    /// Reads one.
    ///
    /// # Errors
    /// What the system said, or what is wrong in the file.
    pub fn read(path: &Path) -> Result<Self, HomeError> {
        let text = file::read_text(path)?;
        // The error of the reader quotes the line, which could be the one with the token.
        toml::from_str(&text).map_err(|e| {
            HomeError::Wrong(format!("`{}` is no operator file: {}", path.display(), e.message()))
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, path: &Path) -> Result<(), HomeError> {
        let text = toml::to_string(self).map(Zeroizing::new).map_err(|e| {
            HomeError::Wrong(format!("`{}` cannot be written: {e}", path.display()))
        })?;
        file::write(path, text.as_bytes(), file::Mode::Private)
    }

    /// Points the file at `url`, where it names another: a server with free ports calls this at
    /// each start.
    ///
    /// # Errors What the system said; [`HomeError::is_absent`] where the file was moved elsewhere,
    /// which is fine.
    pub fn point(path: &Path, url: &str) -> Result<(), HomeError> {
        let mut found = Self::read(path)?;
        if found.url == url {
            return Ok(());
        }
        url.clone_into(&mut found.url);
        found.write(path)
    }

    /// Has the file believe `root`, where it believes one of the `older` ones (by their pins).
    ///
    /// # Errors
    /// As [`Self::point`].
    pub fn believe(path: &Path, older: &[String], root: &Certificate) -> Result<(), HomeError> {
        let mut found = Self::read(path)?;
        if !older.contains(&found.root_pin) {
            return Ok(());
        }
        found.root_pin = root.spki_hash().to_string();
        found.root = root.pem();
        found.write(path)
    }
}

impl Drop for OperatorFile {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl fmt::Debug for OperatorFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorFile")
            .field("url", &self.url)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_address_keeps_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.toml");
        let first = OperatorFile {
            url: "https://localhost:9443".into(),
            root_pin: "00".repeat(32),
            root: "-----BEGIN CERTIFICATE-----\n".into(),
            server_root: Some("-----BEGIN".into()),
            realm: "default".into(),
            token: "id.secret".into(),
        };
        first.write(&path).unwrap();

        OperatorFile::point(&path, "https://localhost:39443").unwrap();

        let read = OperatorFile::read(&path).unwrap();
        assert_eq!(
            (read.url.as_str(), read.token.as_str()),
            ("https://localhost:39443", "id.secret")
        );
        assert_eq!(read.server_root.as_deref(), Some("-----BEGIN"), "what was added stays");
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn a_broken_file_does_not_show_its_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.toml");
        std::fs::write(&path, "token = \"id.secret\nurl = 3").unwrap();
        let said = OperatorFile::read(&path).unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
    }
}
