//! `strain`: a server without file descriptors, with slow guests and with many, with a clock that
//! jumps, and on a full home. Exit code 0 only if all held.

use clap::{Parser, ValueEnum};
use faults::Failure;
use faults::strain::{Plan, clock, descriptors, idle, slow, start};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// A server that has little, or much to bear.
#[derive(Debug, Parser)]
struct Typed {
    /// This part alone; all of them where none is named.
    #[arg(long, value_name = "PART")]
    only: Vec<What>,
    /// A tenth of what the papers promise.
    #[arg(long)]
    tenth: bool,
    /// The server.
    #[arg(long, env = "MUSTER_BINARY", default_value = "target/release/muster")]
    binary: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// It starts on a full home.
    Start,
    /// Many connections say nothing.
    Idle,
    /// Guests are slow on purpose.
    Slow,
    /// No file descriptors are left.
    Descriptors,
    /// The clock jumps by a year.
    Clock,
}

fn main() -> ExitCode {
    let typed = Typed::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&typed)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("strain: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(typed: &Typed) -> Result<(), Failure> {
    let all = What::value_variants();
    let wanted = if typed.only.is_empty() { all } else { &typed.only };
    let (idle, slow, devices) = if typed.tenth { (1000, 8, 10_000) } else { (10_000, 80, 100_000) };
    let plan = Plan { binary: typed.binary.clone(), idle, slow, devices };
    for what in wanted {
        let began = Instant::now();
        let told = match what {
            What::Start => start::run(&plan),
            What::Idle => idle::run(&plan).await,
            What::Slow => slow::run(&plan).await,
            What::Descriptors => descriptors::run(&plan).await,
            What::Clock => clock::run(&plan).await,
        };
        let told = told.map_err(|why| format!("{what:?}: {why}"))?;
        println!("{told} ({:.0} s)", began.elapsed().as_secs_f64());
    }
    Ok(())
}
