//! `muster bench`: figures of this machine, the client on it too. The server is a process of its
//! own, and what it paid comes from the kernel's accounting of that process.
//!
//! [`enroll`] measures fresh and kept-alive enrollment, [`birth`] a production run, [`start`] the
//! start on an empty and on a full home, [`ledger`] the ledger alone, [`ocsp`] the responder beside
//! those of others ([`peer`]), and [`all`] everything beside them. [`field`] prepares what a run needs before the clock
//! starts: keys and requests are pre-made.

mod account;
mod all;
mod asker;
mod birth;
mod enroll;
mod field;
mod ledger;
mod measure;
mod ocsp;
mod peer;
mod start;
mod subject;

use crate::failure::{Failure, Outcome};
use crate::session::Session;
use crate::table::Table;
use clap::Subcommand;
use measure::Line;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// Measures this machine: enrollment, births, starts, the ledger, OCSP; and others' programs beside.
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
    Ocsp(ocsp::Ocsp),
    All(all::All),
}

#[derive(Serialize)]
struct Report {
    machine: String,
    version: &'static str,
    lines: Vec<Line>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    goals: Vec<Ratio>,
}

/// A figure, and what we hold ourselves to.
#[derive(Clone, Debug, Serialize)]
struct Ratio {
    /// What it is.
    name: String,
    /// What was measured.
    value: f64,
    /// What was aimed at.
    goal: f64,
    /// Whether it was reached.
    reached: bool,
}

impl Ratio {
    fn at_most(name: &str, value: f64, goal: f64) -> Self {
        Self { name: name.to_owned(), value, goal, reached: value <= goal }
    }

    fn at_least(name: &str, value: f64, goal: f64) -> Self {
        Self { name: name.to_owned(), value, goal, reached: value >= goal }
    }

    /// One line for people.
    fn told(&self) -> String {
        let verdict = if self.reached { "reached" } else { "missed" };
        format!("{}: {:.1} ({verdict}; the goal is {:.1})\n", self.name, self.value, self.goal)
    }
}

/// Runs a bench and prints its figures. Whatever was started for it is ended with it, also where
/// somebody ends it early.
pub(crate) async fn run(bench: Bench, session: &Session) -> Outcome {
    // The ledger's starts nothing, and does not look up before it is done.
    if let Bench::Ledger(typed) = &bench {
        return show(ledger::run(typed)?, Vec::new(), session);
    }
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = measure(bench, session) => done,
        _ = term.recv() => Err(Failure::new(ENDED)),
        _ = int.recv() => Err(Failure::new(ENDED)),
    }
}

const ENDED: &str = "ended early, and so was all that was started for it";

async fn measure(bench: Bench, session: &Session) -> Outcome {
    let (lines, goals) = match bench {
        Bench::Enroll(enroll) => (enroll::run(&enroll).await?, Vec::new()),
        Bench::Birth(birth) => (birth::run(&birth).await?, Vec::new()),
        Bench::Start(start) => (start::run(&start).await?, Vec::new()),
        Bench::Ledger(typed) => (ledger::run(&typed)?, Vec::new()),
        Bench::Ocsp(ocsp) => ocsp::run(&ocsp).await?,
        Bench::All(all) => return all::run(&all, session).await,
    };
    show(lines, goals, session)
}

fn show(lines: Vec<Line>, goals: Vec<Ratio>, session: &Session) -> Outcome {
    let report = Report { machine: machine(), version: env!("CARGO_PKG_VERSION"), lines, goals };
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
        let goals: String = report.goals.iter().map(Ratio::told).collect();
        let goals = if goals.is_empty() { goals } else { format!("\n{goals}") };
        format!("{}\n\n{}{goals}", report.machine, table.print(paint))
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
