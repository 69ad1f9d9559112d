//! `replay`: cuts the power before every sync of a recorded history, then repeats it on a disk that
//! is full, does not write or does not sync. Exit code 0 only if all held.

use clap::Parser;
use faults::Failure;
use faults::dice::Dice;
use faults::disk::image::{Disk, Image};
use faults::disk::tape::Name;
use faults::disk::trouble::{Kind, Trouble};
use faults::disk::vfs;
use faults::power::cuts::{Look, Seen, explore};
use faults::power::reference::scratch;
use faults::power::{Recorded, kinds, record, trouble};
use std::process::ExitCode;
use std::time::Instant;

/// Power cuts and failing disks, on a recording of what the registry writes and syncs.
#[derive(Debug, Parser)]
struct Typed {
    /// The same seed, the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes of the recorded history.
    #[arg(long, default_value_t = 360)]
    changes: usize,
    /// Prefixes, and as many subsets, of what was not synced at each cut.
    #[arg(long, default_value_t = 4)]
    samples: usize,
    /// Every prefix, which takes minutes.
    #[arg(long)]
    every: bool,
    /// Troubles of each kind.
    #[arg(long, default_value_t = 6)]
    troubles: u64,
}

fn main() -> ExitCode {
    match run(&Typed::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("replay: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(typed: &Typed) -> Result<(), Failure> {
    let began = Instant::now();
    vfs::install()?;
    let mut dice = Dice::new(typed.seed);
    let place = scratch()?;
    let recorded = record(place.path(), dice.split(), typed.changes)?;
    complete(&recorded)?;
    println!(
        "recorded: {} changes of {} kinds, {} events of the disk",
        recorded.states.len() - 1,
        recorded.kinds.len(),
        recorded.tape.len()
    );
    cut(typed, &recorded, &mut dice)?;
    blind(&recorded, &mut dice)?;
    for kind in Kind::ALL {
        suffer(kind, typed, &mut dice)?;
    }
    println!("all held, in {:.0} s (seed {})", began.elapsed().as_secs_f64(), typed.seed);
    Ok(())
}

/// Every kind of change must have been made, or nothing was said about it.
fn complete(recorded: &Recorded) -> Result<(), Failure> {
    match kinds::KINDS.iter().find(|(kind, _)| !recorded.kinds.contains_key(kind)) {
        None => Ok(()),
        Some((kind, _)) => Err(format!("{kind:?} never happened as it should").into()),
    }
}

fn empty() -> Disk {
    Disk::new(&Image::from([(Name::Db, Vec::new())]))
}

fn cut(typed: &Typed, recorded: &Recorded, dice: &mut Dice) -> Result<(), Failure> {
    let look = Look { every: typed.every, samples: typed.samples, dice: dice.split() };
    let seen = explore(empty(), &recorded.tape, &recorded.states, look)?;
    println!("power cuts: {} moments, {} disks opened", seen.cuts, seen.images);
    broken(&seen)
}

/// A registry that forgot to sync its log must be found out, or this program proves nothing.
fn blind(recorded: &Recorded, dice: &mut Dice) -> Result<(), Failure> {
    let look = Look { every: false, samples: 0, dice: dice.split() };
    let part = recorded.tape.len().min(3000);
    let seen =
        explore(empty().without_log_syncs(), &recorded.tape[..part], &recorded.states, look)?;
    if seen.broken.is_empty() {
        return Err("a registry without syncs of its log was not found out".into());
    }
    println!(
        "without syncs of the log: {} of {} disks broken, as it must be",
        seen.broken.len(),
        seen.images
    );
    Ok(())
}

fn suffer(kind: Kind, typed: &Typed, dice: &mut Dice) -> Result<(), Failure> {
    let (mut unopened, mut refused, mut restarts, mut images) = (0, 0, 0, 0);
    for number in 0..typed.troubles {
        // Close together at first, where the file is made, and then further on.
        let far = if kind == Kind::Unsynced { 3 } else { 40 };
        let after = number * number * far / 10 + dice.below(far as usize) as u64;
        let lasts = [1, 2, 7, 30][dice.below(4)];
        let made = Trouble { kind, after, lasts };
        let told = trouble::suffer(made, dice.split(), 60).map_err(|e| format!("{made:?}: {e}"))?;
        broken(&told.seen).map_err(|e| format!("{made:?}: {e}"))?;
        unopened += told.unopened;
        refused += told.refused;
        restarts += told.restarts;
        images += told.seen.images;
    }
    println!(
        "{kind:?}: {} troubles, {unopened} openings and {refused} changes refused, \
         {restarts} kills, {images} disks opened",
        typed.troubles
    );
    Ok(())
}

fn broken(seen: &Seen) -> Result<(), Failure> {
    let Some(first) = seen.broken.first() else { return Ok(()) };
    for broken in seen.broken.iter().take(20) {
        eprintln!("  {broken}");
    }
    Err(format!("{} of {} disks broken, the first: {first}", seen.broken.len(), seen.images).into())
}
