//! Enrollment: over a fresh mutually authenticated connection each, closed loop and open loop; and
//! over kept-alive connections, where a gateway enrolls devices by a token.

use super::field::{self, Field, Newborn, wrong};
use super::measure::{Latencies, Line};
use crate::failure::{Failure, Outcome};
use agent::{CallError, Dialer, Exchange, Heard};
use api::path;
use api::token::{TokenMade, TokenRequest};
use clap::{Args, ValueEnum};
use enroll::est::{Outgoing, Reply, client};
use identity::token::{ShownToken, TokenId, TokenSecret};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Enrollment over fresh and over kept-alive connections.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster bench enroll --seconds 10 --json")]
pub(crate) struct Enroll {
    /// Seconds that each run lasts.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Clients of the closed loop over fresh connections.
    #[arg(long, value_name = "N", default_value_t = 16)]
    clients: usize,
    /// Connections of the kept-alive run.
    #[arg(long, value_name = "N", default_value_t = 256)]
    lines: usize,
    /// Arrivals a second in the open loop.
    #[arg(long, value_name = "N", default_value_t = 700)]
    rate: u64,
    /// Only these runs.
    #[arg(long, value_name = "RUN", value_enum)]
    only: Vec<Run>,
    /// Devices that are born beforehand and do nothing: how full the registry is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    devices: usize,
}

impl Enroll {
    /// Runs of `seconds` each, as they are where nothing else is said.
    pub(super) const fn of(seconds: u64) -> Self {
        Self { seconds, clients: 16, lines: 256, rate: 700, only: Vec::new(), devices: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Run {
    /// Fresh connections, X25519, closed loop.
    Fresh,
    /// Fresh connections, X25519MLKEM768, closed loop.
    Hybrid,
    /// Fresh connections, X25519, open loop at `--rate`.
    Open,
    /// Kept-alive connections, closed loop.
    Kept,
}

const ALL: [Run; 4] = [Run::Fresh, Run::Hybrid, Run::Open, Run::Kept];

/// More arrivals a second than the server answers: what a run prepares for at most.
const FRESH_RATE_MAX: u64 = 2500;
/// The same over kept-alive connections.
const KEPT_RATE_MAX: u64 = 12_000;

pub(super) async fn run(enroll: &Enroll) -> Outcome<Vec<Line>> {
    let field = Field::open().await?;
    super::birth::fill(&field, enroll.devices).await?;
    let runs = if enroll.only.is_empty() { ALL.to_vec() } else { enroll.only.clone() };
    let mut lines = Vec::new();
    let mut next = enroll.devices;
    for run in runs {
        lines.push(one(&field, enroll, run, &mut next).await?);
    }
    Ok(lines)
}

/// One run; `next` is the number of the next device that is born for one.
pub(super) async fn one(
    field: &Field,
    enroll: &Enroll,
    run: Run,
    next: &mut usize,
) -> Outcome<Line> {
    let wanted = match run {
        Run::Fresh | Run::Hybrid => enroll.seconds * FRESH_RATE_MAX,
        Run::Open => enroll.seconds * enroll.rate,
        Run::Kept => enroll.seconds * KEPT_RATE_MAX,
    } as usize;
    if run == Run::Kept {
        return kept(field, enroll, wanted).await;
    }
    let born = field::newborns(field, *next, wanted).await?;
    *next += wanted;
    fresh(field, enroll, run, born).await
}

async fn fresh(field: &Field, enroll: &Enroll, run: Run, born: Vec<Newborn>) -> Outcome<Line> {
    let exchange = if run == Run::Hybrid { Exchange::Hybrid } else { Exchange::X25519 };
    let dialer = field.dialer(exchange)?;
    let prepared: Vec<Prepared> = born
        .into_iter()
        .map(|n| Ok(Prepared { config: dialer.config(Some(&n.identity))?, join: n.join }))
        .collect::<Result<_, CallError>>()
        .map_err(wrong)?;
    match run {
        Run::Open => open_loop(field, enroll, dialer, prepared).await,
        _ => closed_loop(field, enroll, run, dialer, prepared).await,
    }
}

struct Prepared {
    config: Arc<rustls::ClientConfig>,
    join: Outgoing,
}

async fn closed_loop(
    field: &Field,
    enroll: &Enroll,
    run: Run,
    dialer: Dialer,
    prepared: Vec<Prepared>,
) -> Outcome<Line> {
    let waiting = Arc::new(std::sync::Mutex::new(prepared));
    let (failed, clock) = (Arc::new(AtomicU64::new(0)), field.start_clock());
    let until = Duration::from_secs(enroll.seconds);
    let mut workers = JoinSet::new();
    for _ in 0..enroll.clients {
        let (waiting, dialer, failed) = (waiting.clone(), dialer.clone(), failed.clone());
        let began = Instant::now();
        workers.spawn(async move {
            let mut latencies = Latencies::default();
            while began.elapsed() < until {
                let Some(one) = pop(&waiting) else { break };
                let at = Instant::now();
                count(call(&dialer, one).await, at, &mut latencies, &failed);
            }
            latencies
        });
    }
    let latencies = gather(workers).await?;
    let taken = field.stop_clock(&clock, failed.load(Ordering::Relaxed));
    let name = if run == Run::Hybrid { "fresh, X25519MLKEM768" } else { "fresh, X25519" };
    Ok(Line::new(format!("{name}, {} clients", enroll.clients), latencies, &taken))
}

async fn open_loop(
    field: &Field,
    enroll: &Enroll,
    dialer: Dialer,
    prepared: Vec<Prepared>,
) -> Outcome<Line> {
    let failed = Arc::new(AtomicU64::new(0));
    let (clock, began) = (field.start_clock(), tokio::time::Instant::now());
    let mut calls = JoinSet::new();
    for (number, one) in prepared.into_iter().enumerate() {
        // The latency counts from when it was due: a server that stalls pays for those that had to
        // wait.
        let due = began + Duration::from_secs_f64(number as f64 / enroll.rate as f64);
        let (dialer, failed) = (dialer.clone(), failed.clone());
        calls.spawn(async move {
            tokio::time::sleep_until(due).await;
            let mut latencies = Latencies::default();
            count(call(&dialer, one).await, due.into_std(), &mut latencies, &failed);
            latencies
        });
    }
    let latencies = gather(calls).await?;
    let taken = field.stop_clock(&clock, failed.load(Ordering::Relaxed));
    Ok(Line::new(format!("fresh, X25519, open loop at {}/s", enroll.rate), latencies, &taken))
}

async fn kept(field: &Field, enroll: &Enroll, wanted: usize) -> Outcome<Line> {
    let token = token(field, wanted).await?;
    let joins: Vec<Outgoing> =
        (0..wanted).map(|_| field::join(Some(&token))).collect::<Result<_, _>>().map_err(wrong)?;
    let dialer = field.dialer(Exchange::X25519)?;
    let config = dialer.config(None).map_err(wrong)?;
    let mut open = Vec::with_capacity(enroll.lines);
    for number in 0..enroll.lines {
        // Each is a gateway at an address of its own, as in the field: strangers that come from
        // one address share an allowance until they have proven themselves.
        let from = Ipv4Addr::new(127, 1, (number >> 8) as u8, number as u8);
        open.push(dialer.dial_from(config.clone(), from).await.map_err(wrong)?);
    }
    let waiting = Arc::new(std::sync::Mutex::new(joins));
    for line in &mut open {
        let join = pop(&waiting).ok_or_else(|| Failure::new("too few requests were prepared"))?;
        line.say(join).await.map_err(wrong)?;
    }
    let (failed, clock) = (Arc::new(AtomicU64::new(0)), field.start_clock());
    let until = Duration::from_secs(enroll.seconds);
    let mut workers = JoinSet::new();
    for mut line in open {
        let (waiting, failed, began) = (waiting.clone(), failed.clone(), Instant::now());
        workers.spawn(async move {
            let mut latencies = Latencies::default();
            while began.elapsed() < until {
                let Some(join) = pop(&waiting) else { break };
                let at = Instant::now();
                count(line.say(join).await, at, &mut latencies, &failed);
            }
            latencies
        });
    }
    let latencies = gather(workers).await?;
    let taken = field.stop_clock(&clock, failed.load(Ordering::Relaxed));
    Ok(Line::new(format!("kept alive, token, {} lines", enroll.lines), latencies, &taken))
}

async fn token(field: &Field, uses: usize) -> Outcome<ShownToken> {
    let uses = u32::try_from(uses).map_err(wrong)?;
    let request = TokenRequest { uses, ..TokenRequest::default() };
    let made: TokenMade = field.rest.post(path::TOKENS, &request).await?;
    let shown = TokenId::parse(&made.id).zip(TokenSecret::parse(&made.secret));
    let (id, secret) = shown.ok_or_else(|| Failure::new("the token cannot be read"))?;
    Ok(ShownToken { id, secret })
}

fn pop<T>(waiting: &std::sync::Mutex<Vec<T>>) -> Option<T> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
}

async fn call(dialer: &Dialer, one: Prepared) -> Result<Heard, CallError> {
    dialer.dial(one.config).await?.say(one.join).await
}

/// Counts a leaf that came as one operation, and all else as a failure.
fn count(
    heard: Result<Heard, CallError>,
    at: Instant,
    latencies: &mut Latencies,
    failed: &AtomicU64,
) {
    let took = at.elapsed();
    let leaf = heard.as_ref().ok().and_then(|h| client::read_cacerts(&h.incoming()).ok());
    if matches!(leaf, Some(Reply::Done(_))) {
        latencies.add(took);
    } else {
        failed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn gather(mut workers: JoinSet<Latencies>) -> Outcome<Latencies> {
    let mut all = Latencies::default();
    while let Some(done) = workers.join_next().await {
        all.merge(done.map_err(wrong)?);
    }
    Ok(all)
}
