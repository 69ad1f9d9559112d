//! `muster bench`: figures of this machine, the client on it too. The server is a process of its
//! own, and what it paid comes from the kernel's accounting of that process.
//!
//! [`enroll`] measures fresh and kept-alive enrollment, [`birth`] a production run, [`start`] the
//! start on an empty and on a full home, [`ledger`] the ledger alone. [`field`] prepares what a run needs before the clock
//! starts: keys and requests are pre-made.

mod birth;
mod enroll;
mod field;
mod ledger;
mod measure;
mod start;
mod subject;

use crate::failure::Outcome;
use crate::session::Session;
use crate::table::Table;
use clap::Subcommand;
use measure::Line;
use serde::Serialize;

/// Measures this machine: enrollment, births, starts, the ledger.
///
/// A server is started in a temporary home, loaded from this process over loopback, and ended.
/// Requests and keys are made before the clock starts; there is no TLS resumption; the ledger and
/// its fsync are included. CPU is the server process's, from the kernel's accounting.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    Enroll(enroll::Enroll),
    Birth(birth::Birth),
    Start(start::Start),
    Ledger(ledger::Ledger),
}

#[derive(Serialize)]
struct Report {
    machine: String,
    version: &'static str,
    lines: Vec<Line>,
}

/// Runs a bench and prints its figures.
pub(crate) async fn run(bench: Bench, session: &Session) -> Outcome {
    let lines = match bench {
        Bench::Enroll(enroll) => enroll::run(&enroll).await?,
        Bench::Birth(birth) => birth::run(&birth).await?,
        Bench::Start(start) => start::run(&start).await?,
        Bench::Ledger(typed) => ledger::run(&typed)?,
    };
    let report = Report { machine: machine(), version: env!("CARGO_PKG_VERSION"), lines };
    session.show(&report, |report, paint| {
        let mut table = Table::new(&[
            "RUN", "COUNT", "FAILED", "RATE/S", "CPU µs", "P50 ms", "P99 ms", "RSS MiB",
        ]);
        for line in &report.lines {
            table.row([
                line.name.clone(),
                line.count.to_string(),
                line.failed.to_string(),
                format!("{:.0}", line.rate),
                format!("{:.0}", line.cpu_us),
                format!("{:.2}", line.p50_ms),
                format!("{:.2}", line.p99_ms),
                format!("{:.1}", line.rss_mib),
            ]);
        }
        format!("{}\n\n{}", report.machine, table.print(paint))
    })
}

/// The processor, how many of it, and the kernel.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} × {}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}
