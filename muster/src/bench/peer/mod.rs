//! Other people's servers, started for a comparison on the same machine in the same run: found on
//! the `PATH`, set up in a temporary directory, and ended by their process id.
//!
//! [`bao`] is OpenBao with everything that its PKI needs, [`openssl`] is the responder that comes
//! with OpenSSL.

pub(super) mod bao;
mod http;
pub(super) mod openssl;

use super::account;
use super::asker::{Load, Target};
use super::measure::{Line, Taken};
use crate::failure::{Failure, Outcome};
use ca::Addresses;
use ca::authority::{self, Order, ServerName};
use identity::authority::Role;
use identity::certificate::pem;
use identity::{Certificate, Csr, KeyError, KeyKind, RealmName, Signer};
use server::keys::NewKey;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// A process of ours; it ends when this is dropped.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says goes to `log`.
    fn start(command: &mut Command, log: PathBuf) -> Outcome<Self> {
        let file = std::fs::File::create(&log).map_err(|e| Failure::file("write", &log, &e))?;
        let other = file.try_clone().map_err(|e| Failure::file("write", &log, &e))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let child = child.map_err(|e| {
            let program = command.get_program().to_string_lossy().into_owned();
            Failure::new(format!("cannot start `{program}`: {e}"))
        })?;
        Ok(Self { child, log })
    }

    /// Seconds of processor time.
    pub(super) fn cpu_s(&self) -> f64 {
        account::cpu_s(self.child.id())
    }

    /// Memory in MiB.
    pub(super) fn rss_mib(&self) -> f64 {
        account::rss_mib(self.child.id())
    }

    /// What it said so far.
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails where it has ended, with what it said last.
    fn still_runs(&mut self) -> Outcome {
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        let said = self.said();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(Failure::new(format!("a peer ended at its start: {status}: {}", last.join(" | "))))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is ours and holds nothing that anybody needs; both fail only where it has ended
        // already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Loads a peer, and what that took of its processor.
///
/// # Errors
/// Where nobody got an answer.
pub(super) async fn measured(
    name: String,
    target: &Target,
    load: Load,
    peer: &Process,
) -> Outcome<Line> {
    let ready = target.ready(load).await?;
    let (began, before) = (Instant::now(), peer.cpu_s());
    let (latencies, failed) = ready.go().await?;
    let (wall, cpu_s) = (began.elapsed(), peer.cpu_s() - before);
    if latencies.count() == 0 {
        return Err(Failure::new(format!("nobody got an answer: {name}")));
    }
    Ok(Line::new(name, latencies, &Taken { wall, cpu_s, rss_mib: peer.rss_mib(), failed }))
}

/// Name and number of a version.
pub(super) fn short(version: &str) -> String {
    version.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The program `name`: what was said, else the first of that name on the `PATH`.
pub(super) fn find(said: Option<&Path>, name: &str) -> Option<PathBuf> {
    if let Some(said) = said {
        return said.is_file().then(|| said.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What a program says of its version, one line.
fn version(program: &Path, ask: &str) -> String {
    let said = Command::new(program).arg(ask).stdin(Stdio::null()).output();
    let text = said.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// A port that is free at this moment.
fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = listener.and_then(|l| l.local_addr()).map(|a| a.port());
    port.map_err(|e| Failure::new(format!("no free port: {e}")))
}

/// An authority for a peer, made on the spot: a root that signs what the peer needs.
struct Paper {
    root: Certificate,
    key: Arc<dyn Signer>,
    pkcs8: Vec<u8>,
}

impl Paper {
    fn make() -> Result<Self, KeyError> {
        let made = NewKey::make(KeyKind::P256)?;
        let key = Arc::new(made.signer()?);
        let root = server::clock::outside(|o| authority::root("Muster bench", key.as_ref(), o))?;
        Ok(Self { root, key, pkcs8: made.dangerous_pkcs8().to_vec() })
    }

    /// A server certificate for loopback with its chain, and its key, both in PEM.
    fn server(&self) -> Outcome<(String, String)> {
        let wrong = |e: KeyError| Failure::new(format!("no certificate for a peer: {e}"));
        let addresses = Addresses { public_url: None, realm: RealmName::default_realm() };
        let service =
            Arc::new(NewKey::make(KeyKind::P256).and_then(|k| k.signer()).map_err(wrong)?);
        let csr = authority::request("Muster bench service", service.as_ref()).map_err(wrong)?;
        let csr = Csr::parse(&csr).map_err(|d| Failure::new(d.sentence))?;
        let order = Order { csr: &csr, role: Role::Service, addresses: &addresses };
        let signed =
            server::clock::outside(|o| authority::sign(&self.root, self.key.as_ref(), order, o));
        let signed = signed.map_err(|r| Failure::new(format!("no authority for a peer: {r:?}")))?;
        let issuer = ca::Issuer::new(signed.clone(), service, addresses, 1).map_err(wrong)?;
        let key = NewKey::make(KeyKind::P256).map_err(wrong)?;
        let public = key.signer().map_err(wrong)?;
        let names =
            [ServerName::Dns("localhost".into()), ServerName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        let leaf =
            server::clock::outside(|o| authority::server(&issuer, public.public(), &names, o));
        let chain = format!("{}{}", leaf.map_err(wrong)?.pem(), signed.pem());
        Ok((chain, pem("PRIVATE KEY", key.dangerous_pkcs8())))
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|e| Failure::file("write", path, &e))
}
