//! The root's key: by path, opened here, and never sent anywhere.

use crate::credential::OperatorFile;
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use clap::Args;
use identity::certificate::pem;
use identity::key::SoftwareKey;
use identity::{Certificate, Signer};
use server::keys::root::{passphrase_file, wants_identity};
use server::keys::{Secret, Unlock, unlock_root};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Where the root's key is, and what opens it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "The root")]
pub(super) struct RootArgs {
    /// The root's key, encrypted with age [default: HOME/offline/root.key.age].
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// A file with its passphrase [default: a root.passphrase beside the key, else it is asked].
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    passphrase_file: Option<PathBuf>,
    /// The age identity that the key is encrypted to.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The root's certificate, PEM [default: the one in the operator credential].
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<PathBuf>,
}

/// The root, ready to sign.
pub(crate) struct Root {
    pub(super) certificate: Certificate,
    pub(super) key: SoftwareKey,
}

impl Root {
    /// The root as a first start left it in its home: the key, and what opens it beside it.
    pub(crate) fn at_home(home: &Path, certificate: Certificate) -> Outcome<Self> {
        RootArgs::default().pair(certificate, &in_home(home))
    }
}

fn in_home(home: &Path) -> PathBuf {
    home.join("offline").join("root.key.age")
}

impl RootArgs {
    /// Whether the key was named, and not left to be found in the home.
    pub(super) fn is_named(&self) -> bool {
        self.root_key.is_some()
    }

    /// Finds certificate and key, opens the key, and checks that they are a pair.
    pub(super) fn open(&self, session: &Session) -> Outcome<Root> {
        let certificate = self.certificate(session)?;
        let path = self.root_key.clone().unwrap_or_else(|| in_home(&session.home));
        if !path.exists() {
            return Err(Failure::new(format!("no root key at `{}`", path.display())).next(
                "bring the medium that it was carried away on, and name it with --root-key",
            ));
        }
        self.pair(certificate, &path)
    }

    fn pair(&self, certificate: Certificate, path: &Path) -> Outcome<Root> {
        let key = self.unlock(path)?;
        if key.public() != certificate.key() {
            return Err(Failure::new(format!("`{}` is not the key of this root", path.display()))
                .next("name the certificate of the root that it belongs to: --root-certificate"));
        }
        Ok(Root { certificate, key })
    }

    fn certificate(&self, session: &Session) -> Outcome<Certificate> {
        match &self.root_certificate {
            Some(path) => one_certificate(path),
            None => session.credential().map(|OperatorFile { root, .. }| root).map_err(|f| {
                Failure::new(f.what()).next("name the root's certificate with --root-certificate")
            }),
        }
    }

    fn unlock(&self, path: &Path) -> Outcome<SoftwareKey> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::new(e.to_string())
                .next("name what opens it: --passphrase-file FILE or --identity FILE")
        };
        if let Some(identity) = &self.identity {
            return unlock_root(path, &Unlock::Identity(identity)).map_err(|e| failed(&e));
        }
        let beside = Some(path.with_file_name("root.passphrase")).filter(|p| p.exists());
        let secret = match self.passphrase_file.clone().or(beside) {
            Some(file) => passphrase_file(&file).map_err(|e| failed(&e))?,
            None if wants_identity(path).map_err(|e| failed(&e))? => {
                let what = format!("`{}` is encrypted to an age recipient", path.display());
                return Err(
                    Failure::new(what).next("name the identity that opens it: --identity FILE")
                );
            }
            None => ask("Passphrase of the root's key: ")?,
        };
        unlock_root(path, &Unlock::Passphrase(&secret)).map_err(|e| failed(&e))
    }
}

/// Reads a file of PEM, or of DER, which becomes PEM of this kind: other tools write either, and so
/// do we.
pub(super) fn pem_of(path: &Path, kind: &str) -> Outcome<String> {
    let octets = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    match (String::from_utf8(octets), DER_SEQUENCE) {
        (Ok(text), der) if !text.as_bytes().starts_with(&[der]) => Ok(text),
        (Ok(der), _) => Ok(pem(kind, der.as_bytes())),
        (Err(binary), der) if binary.as_bytes().starts_with(&[der]) => {
            Ok(pem(kind, binary.as_bytes()))
        }
        (Err(_), _) => {
            let what = format!("`{}` is neither PEM nor DER", path.display());
            Err(Failure::new(what).next(format!("name a file that has a {kind}")))
        }
    }
}

/// What certificates, requests and lists begin with in DER, and no PEM does.
const DER_SEQUENCE: u8 = 0x30;

/// Asks for a passphrase on the terminal.
pub(super) fn ask(prompt: &str) -> Outcome<Secret> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("a passphrase is needed and there is no terminal to ask on")
            .next("type it on a terminal, or name a file instead; see --help"));
    }
    let typed = rpassword::prompt_password(prompt)
        .map_err(|e| Failure::new(format!("the passphrase cannot be read: {e}")))?;
    Ok(Secret::new(typed))
}

/// Reads a file that has one certificate, PEM or DER.
pub(super) fn one_certificate(path: &Path) -> Outcome<Certificate> {
    let pem = pem_of(path, "CERTIFICATE")?;
    let wrong = |what: &str| Failure::new(format!("`{}`: {what}", path.display()));
    let mut found = Certificate::parse_pem(&pem, 1).map_err(|d| wrong(&d.sentence))?;
    found.pop().ok_or_else(|| wrong("no certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_pem_and_in_der_and_anything_else_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.crl");
        let read = |octets: &[u8]| {
            std::fs::write(&path, octets).unwrap();
            pem_of(&path, "X509 CRL").map_err(|f| f.what().to_owned())
        };
        let text = pem("X509 CRL", &[0x30, 0x82, 0xff]);
        assert_eq!(read(text.as_bytes()).unwrap(), text);
        assert_eq!(read(&[0x30, 0x82, 0xff]).unwrap(), text);
        assert_eq!(read(&[0x30, 0x00]).unwrap(), pem("X509 CRL", &[0x30, 0x00]));
        assert!(read(&[0xff, 0x00]).unwrap_err().contains("neither PEM nor DER"));
        assert!(pem_of(dir.path(), "X509 CRL").is_err());
    }
}
