//! `kill`: kills a real server under load and at its first start, and looks at what it kept.
//! Exit code 0 only if all held.

use clap::Parser;
use faults::Failure;
use faults::dice::Dice;
use faults::kill::founding::{self, FOUNDING_MAX, Stage};
use faults::kill::{Done, Round, Site};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kills of a real server, under load and at its first start.
#[derive(Debug, Parser)]
struct Typed {
    /// Kills under load; a fifth as many foundings are killed.
    #[arg(default_value_t = 25)]
    rounds: usize,
    /// Which moments and requests; the system adds its own chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server.
    #[arg(long, env = "MUSTER_BINARY", default_value = "target/release/muster")]
    binary: PathBuf,
}

fn main() -> ExitCode {
    let typed = Typed::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(&typed)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nkill: {why} (seed {})", typed.seed);
            ExitCode::FAILURE
        }
    }
}

async fn run(typed: &Typed) -> Result<(), Failure> {
    let began = Instant::now();
    let mut dice = Dice::new(typed.seed);
    foundings(typed, &mut dice).await?;
    let mut site: Option<Site> = None;
    let mut told = Told::default();
    let mut last = None;
    for round in 1..=typed.rounds {
        if site.as_ref().is_none_or(Site::is_worn) {
            told.add(last.take());
            site = Some(Site::new(&typed.binary, &mut dice)?);
        }
        let Some(mut on) = site.take() else { break };
        match on.round(&mut dice).await {
            Ok(seen) => {
                progress(&format!(
                    "kill {round} of {}: {} entries, {} certificates of {} devices; {} handed \
                     over, {} unanswered",
                    typed.rounds,
                    seen.found.entries,
                    seen.found.certificates,
                    seen.found.devices,
                    seen.acknowledged,
                    seen.unanswered
                ));
                last = Some(seen);
                site = Some(on);
            }
            Err(why) => {
                let kept = on.keep();
                return Err(format!("kill {round}: {why}; see {}", kept.display()).into());
            }
        }
    }
    told.add(last);
    done();
    println!(
        "{} kills under load, {told}; all held, in {:.0} s",
        typed.rounds,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What all homes had answered.
#[derive(Default)]
struct Told {
    acknowledged: usize,
    retried: usize,
    done: Done,
}

impl Told {
    /// Adds the last round of a home.
    fn add(&mut self, last: Option<Round>) {
        let Some(round) = last else { return };
        self.acknowledged += round.acknowledged;
        self.retried += round.retried;
        let (all, more) = (&mut self.done, round.done);
        all.revoked += more.revoked;
        all.retired += more.retired;
        all.erased += more.erased;
        all.caught += more.caught;
        all.flocks += more.flocks;
        all.rolled += more.rolled;
        all.tokens += more.tokens;
        all.heard += more.heard;
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Done { revoked, retired, erased, caught, flocks, rolled, tokens, heard } = self.done;
        write!(
            f,
            "all there: {} certificates handed over, {revoked} revoked, {retired} devices retired \
             and {erased} erased, {caught} clones caught, {flocks} flocks moved, {rolled} \
             authorities rolled over, {tokens} tokens taken back; lists and responder right of {heard}; {} unanswered requests \
             granted afterwards",
            self.acknowledged, self.retried
        )
    }
}

async fn foundings(typed: &Typed, dice: &mut Dice) -> Result<(), Failure> {
    let count = typed.rounds.div_ceil(5);
    let mut stages: BTreeMap<Stage, usize> = BTreeMap::new();
    for number in 0..count {
        // The first tenth is where it all happens: every other kill falls there.
        let within = if number % 2 == 0 { FOUNDING_MAX } else { FOUNDING_MAX / 10 };
        let wait = Duration::from_micros(dice.below(within.as_micros() as usize) as u64);
        let stage = founding::kill(&typed.binary, wait, dice).await;
        *stages
            .entry(stage.map_err(|e| format!("a founding killed after {wait:?}: {e}"))?)
            .or_default() += 1;
        progress(&format!("founding {} of {count}", number + 1));
    }
    done();
    let said: Vec<String> =
        stages.iter().map(|(stage, count)| format!("{count} {stage:?}").to_lowercase()).collect();
    println!("{count} foundings killed ({}): each home came to be", said.join(", "));
    Ok(())
}

/// One line that is written over on a terminal, and nothing elsewhere.
fn progress(line: &str) {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[K{line}");
        let _best_effort = std::io::stdout().flush();
    }
}

fn done() {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[K");
    }
}
