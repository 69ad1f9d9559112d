//! A production run: births in batches, some requests in flight, and what the server needs in
//! memory afterwards.

use super::field::{self, BATCH, Field, wrong};
use super::measure::{Latencies, Line};
use crate::failure::{Failure, Outcome};
use crate::progress;
use api::birth::{BirthBatch, BirthResults};
use api::path;
use clap::Args;
use identity::KeyKind;
use server::keys::NewKey;
use std::time::{Duration, Instant};

/// A production run in batches.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster bench birth --units 50000 --json")]
pub(crate) struct Birth {
    /// Units that are measured.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    units: usize,
    /// Devices that are born beforehand, not measured: how full the registry is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    devices: usize,
}

/// Units whose requests are made before the clock starts, and go while it runs. More would be
/// memory of ours.
const ROUND: usize = 20_480;
/// Requests in flight, as `muster birth --batch` has them.
const IN_FLIGHT: usize = 4;

pub(super) async fn run(birth: &Birth) -> Outcome<Vec<Line>> {
    let field = Field::open().await?;
    fill(&field, birth.devices).await?;
    let line = measured(&field, birth.devices, birth.units).await?;
    Ok(vec![line])
}

/// Lets `count` devices be born without measuring.
pub(super) async fn fill(field: &Field, count: usize) -> Outcome {
    if count > 0 {
        measured(field, 0, count).await?;
    }
    Ok(())
}

/// Lets `units` devices be born, numbered from `from`.
pub(super) async fn measured(field: &Field, from: usize, units: usize) -> Outcome<Line> {
    let bar = progress::bar(Some(units as u64), "births");
    let (mut wall, mut cpu_s, mut latencies) = (Duration::ZERO, 0.0, Latencies::default());
    let mut done = 0;
    while done < units {
        let batches = prepare(from + done, ROUND.min(units - done))?;
        let count: usize = batches.iter().map(|b| b.births.len()).sum();
        let clock = field.start_clock();
        latencies.merge(send(field, batches).await?);
        let taken = field.stop_clock(&clock, 0);
        (wall, cpu_s, done) = (wall + taken.wall, cpu_s + taken.cpu_s, done + count);
        bar.set_position(done as u64);
    }
    bar.finish_and_clear();
    let taken = super::measure::Taken { wall, cpu_s, rss_mib: field.subject.rss_mib(), failed: 0 };
    let per_batch = Line::new("", latencies, &taken);
    let name = format!("births after {from}, {BATCH} a request");
    let line = Line::counted(name, units as u64, &taken);
    Ok(Line { p50_ms: per_batch.p50_ms, p99_ms: per_batch.p99_ms, ..line })
}

fn prepare(from: usize, count: usize) -> Outcome<Vec<BirthBatch>> {
    let requests = (from..from + count)
        .map(|number| field::birth_request(&NewKey::make(KeyKind::P256)?, number))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    Ok(requests.chunks(BATCH).map(|births| BirthBatch { births: births.to_vec() }).collect())
}

async fn send(field: &Field, batches: Vec<BirthBatch>) -> Outcome<Latencies> {
    let waiting = std::sync::Mutex::new(batches);
    let lane = || async {
        let mut latencies = Latencies::default();
        loop {
            let next = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
            let Some(batch) = next else { return Ok::<_, Failure>(latencies) };
            let at = Instant::now();
            let answer: BirthResults = field.rest.post(path::BIRTHS, &batch).await?;
            latencies.add(at.elapsed());
            if let Some(refused) = answer.results.iter().find(|r| r.certificate.is_none()) {
                return Err(Failure::new(format!("a birth was refused: {:?}", refused.reason)));
            }
        }
    };
    const { assert!(IN_FLIGHT == 4) };
    let (a, b, c, d) = tokio::join!(lane(), lane(), lane(), lane());
    let mut all = Latencies::default();
    for one in [a, b, c, d] {
        all.merge(one?);
    }
    Ok(all)
}
