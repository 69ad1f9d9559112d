//! The operator's credential: a file that says where Muster is, whom to believe there, and who
//! asks.
//!
//! ```toml
//! url = "https://muster.example:9443"
//! root_pin = "…64 hex digits…"      # SHA-256 of the root's public key (SPKI)
//! root = """-----BEGIN CERTIFICATE-----…"""
//! token = "ID.SECRET"
//! realm = "default"
//! ```
//!
//! The server never sends its root, so the file carries it, or a `root.pem` lies beside the file;
//! the pin says that it is the right one. Where the operator port has a certificate of the owner's,
//! `server_root` has the root of that one; devices still believe `root`.

use crate::failure::{Failure, Outcome};
use identity::Certificate;
use identity::text::array_from_hex;
use serde::Deserialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A credential, read and checked.
pub(crate) struct OperatorFile {
    /// Where the REST interface is.
    pub(crate) url: String,
    /// The root of the realm, which units get, and of the server certificate that Muster makes.
    pub(crate) root: Certificate,
    /// The root of the operator port's certificate, where that is another.
    pub(crate) server_root: Option<Certificate>,
    /// What proves the operator: `id.secret`.
    pub(crate) token: Zeroizing<String>,
    /// The realm that the credential is for.
    pub(crate) realm: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    root_pin: String,
    root: Option<String>,
    server_root: Option<String>,
    token: String,
    realm: String,
}

/// A credential has a certificate and five lines; more is another file.
const FILE_OCTETS_MAX: u64 = 64 * 1024;

impl OperatorFile {
    /// Reads the credential that was named, else the one of `home`.
    pub(crate) fn find(named: Option<&Path>, home: &Path) -> Outcome<Self> {
        let path = Self::path(named, home);
        if !path.exists() {
            let what = format!("no operator credential at `{}`", path.display());
            return Err(Failure::new(what).next(
                "name one with --as FILE or $MUSTER_OPERATOR, or the server's home with --home DIR",
            ));
        }
        Self::read(&path)
    }

    /// Where the credential is that was named, else the one of `home`.
    pub(crate) fn path(named: Option<&Path>, home: &Path) -> PathBuf {
        named.map_or_else(|| home.join("operator.toml"), PathBuf::from)
    }

    /// The same credential, believing another root.
    pub(crate) fn believing(self, root: Certificate) -> Self {
        Self { root, ..self }
    }

    /// Writes it over the file that it was read from, whole or not at all.
    pub(crate) fn rewrite(&self, path: &Path) -> Outcome {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // One that a crash has left is of nobody.
        let _ = std::fs::remove_file(&beside);
        self.write_new(&beside)?;
        std::fs::rename(&beside, path).map_err(|e| Failure::file("write", path, &e))
    }

    fn read(path: &Path) -> Outcome<Self> {
        let stat = std::fs::metadata(path).map_err(|e| Failure::file("read", path, &e))?;
        refuse_open(path, &stat)?;
        if stat.len() > FILE_OCTETS_MAX {
            return Err(Failure::new(format!("`{}` is no operator credential", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
        let text = Zeroizing::new(text);
        let beside = path.with_file_name("root.pem");
        Self::parse(&text, || std::fs::read_to_string(beside).ok())
            .map_err(|f| Failure::new(format!("`{}`: {}", path.display(), f.what())).next(NEXT))
    }

    fn parse(text: &str, beside: impl FnOnce() -> Option<String>) -> Outcome<Self> {
        // The reason of a TOML error quotes the line, and that line may be the token's.
        let written: Written =
            toml::from_str(text).map_err(|e| Failure::new(e.message().to_owned()))?;
        let pin: [u8; 32] = array_from_hex(&written.root_pin)
            .ok_or_else(|| Failure::new("root_pin is not 64 hex digits"))?;
        let pem = written.root.or_else(beside).ok_or_else(|| {
            Failure::new("it pins a root but does not carry it (`root`), and no root.pem is beside")
        })?;
        let root = one("root", &pem)?;
        let server_root = written.server_root.map(|pem| one("server_root", &pem)).transpose()?;
        if root.spki_hash().octets() != &pin {
            return Err(Failure::new("root_pin is not the pin of the root in it"));
        }
        let Written { url, token, realm, .. } = written;
        Ok(Self { url, root, server_root, token: Zeroizing::new(token), realm })
    }

    /// The same root with another's token, and with the server's address as that one reaches it.
    pub(crate) fn for_holder(&self, url: Option<&str>, token: &str) -> Outcome<Self> {
        let url = url.unwrap_or(&self.url);
        if crate::rest::place(url).is_none() {
            return Err(Failure::new(format!("`{url}` is no address of a server"))
                .next("say `--url https://NAME:9443`"));
        }
        Ok(Self {
            url: url.to_owned(),
            realm: self.realm.clone(),
            root: self.root.clone(),
            server_root: self.server_root.clone(),
            token: Zeroizing::new(token.to_owned()),
        })
    }

    /// Writes it into a file that does not exist yet and that only its owner may read.
    fn write_new(&self, path: &Path) -> Outcome {
        self.put(NewFile::make(path)?)
    }

    /// Writes it into a file that was made for it.
    pub(crate) fn put(&self, file: NewFile) -> Outcome {
        let Self { url, token, realm, .. } = self;
        let (pin, pem, token) = (self.root_pin(), self.root.pem(), token.as_str());
        // None of these has a quote or a backslash, which TOML would want escaped.
        let server_root = self.server_root.as_ref().map(|root| {
            let pem = root.pem();
            format!("server_root = \"\"\"\n{pem}\"\"\"\n")
        });
        let server_root = server_root.unwrap_or_default();
        let text = Zeroizing::new(format!(
            "url = \"{url}\"\nroot_pin = \"{pin}\"\nrealm = \"{realm}\"\ntoken = \"{token}\"\n\
             root = \"\"\"\n{pem}\"\"\"\n{server_root}"
        ));
        file.fill(text.as_bytes())
    }

    /// The pin of the root, as `root_pin` has it.
    pub(crate) fn root_pin(&self) -> String {
        identity::text::hex(self.root.spki_hash().octets())
    }
}

/// An empty file that only its owner may read, made before there is the secret that goes into it:
/// one that could not be written down would be lost. It is gone again unless it was filled.
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    filled: bool,
}

impl NewFile {
    /// Makes it where nothing is yet.
    pub(crate) fn make(path: &Path) -> Outcome<Self> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|e| Failure::file("write", path, &e))?;
        Ok(Self { path: path.to_owned(), file, filled: false })
    }

    fn fill(mut self, octets: &[u8]) -> Outcome {
        let written = self.file.write_all(octets).and_then(|()| self.file.sync_all());
        written.map_err(|e| Failure::file("write", &self.path, &e))?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.filled {
            // Where it cannot be removed, an empty file stays, which is no credential.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn one(member: &str, pem: &str) -> Outcome<Certificate> {
    Certificate::parse_pem(pem, 1)
        .map_err(|d| Failure::new(format!("{member}: {}", d.sentence)))?
        .pop()
        .ok_or_else(|| Failure::new(format!("{member}: no certificate")))
}

const NEXT: &str = "take the file that `muster serve` or `muster operator add` wrote";

#[cfg(unix)]
fn refuse_open(path: &Path, stat: &std::fs::Metadata) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    if stat.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` holds a secret and others may read it", path.display()))
        .next(format!("chmod 600 {}, and replace the token if others did", path.display())))
}

#[cfg(not(unix))]
fn refuse_open(_: &Path, _: &std::fs::Metadata) -> Outcome {
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const PIN: &str = "00";

    fn reason(text: &str) -> String {
        OperatorFile::parse(text, || None).err().map(|f| f.what().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_pin_that_is_no_pin_and_a_pin_without_its_root_are_refused() {
        let file = |pin: &str| {
            format!("url='https://a:1'\nroot_pin='{pin}'\ntoken='a.b'\nrealm='default'")
        };
        assert!(reason(&file(PIN)).contains("64 hex"));
        assert!(reason(&file(&"0".repeat(64))).contains("does not carry it"));
    }

    #[test]
    fn an_error_never_repeats_the_token() {
        let text = "url='https://a:1'\nroot_pin='x'\ntoken=secret.secret\nrealm='default'";
        assert!(!reason(text).contains("secret.secret"));
        let text = "url='https://a:1'\nroot_pin='x'\ntokn='secret.secret'\nrealm='default'";
        assert!(!reason(text).contains("secret.secret"));
    }

    #[test]
    fn a_file_that_is_not_filled_is_gone_again_and_none_is_made_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.toml");
        let made = NewFile::make(&path).unwrap();
        assert!(path.exists() && NewFile::make(&path).is_err());
        drop(made);
        assert!(!path.exists());
        NewFile::make(&path).unwrap().fill(b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert!(NewFile::make(&dir.path().join("no/such.toml")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_credential_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.toml");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let failure = OperatorFile::find(Some(&path), dir.path()).err().unwrap();
        assert!(failure.what().contains("others may read"));
    }
}
