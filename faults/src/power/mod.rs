//! The registry on a disk that is watched: [`record`] lets a [`series`] happen, [`cuts`] cuts the
//! power at its every sync, and [`trouble`] repeats it on a disk that is full or does not sync.

pub mod cuts;
pub mod kinds;
mod made;
pub mod reference;
pub mod series;
pub mod trouble;

use crate::Failure;
use crate::dice::Dice;
use crate::disk::image::Image;
use crate::disk::tape::{Event, Name};
use crate::disk::vfs;
use kinds::{Job, Kind, Task};
use reference::{Reference, State};
use registry::{CommitError, Options, Registry};
use series::Series;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Nothing here takes so long: who waits longer waits for an answer that will never come.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What was recorded.
pub struct Recorded {
    /// What the disk was asked for, from an empty file on.
    pub tape: Vec<Event>,
    /// What the registry said after each change, by how many there had been.
    pub states: Vec<State>,
    /// How often each kind of change was made.
    pub kinds: BTreeMap<Kind, usize>,
}

/// What became of one job.
pub type Answer = Result<Option<u64>, CommitError>;

/// Hands jobs to the writer all at once, and waits for every answer. Those that are durable are
/// noted on the tape at the moment of their answer.
///
/// # Errors
/// Where an answer does not come.
pub fn ask(registry: &Registry, jobs: &[Job]) -> Result<Vec<Answer>, Failure> {
    let (told, heard) = channel();
    for (number, job) in jobs.iter().enumerate() {
        offer(registry, job.clone(), number, told.clone());
    }
    drop(told);
    let mut answers: Vec<Option<Answer>> = jobs.iter().map(|_| None).collect();
    for _ in jobs {
        let (number, answer) = heard.recv_timeout(ANSWER_MAX).map_err(|_| "no answer came")?;
        answers[number] = Some(answer);
    }
    Ok(answers.into_iter().flatten().collect())
}

fn offer(registry: &Registry, job: Job, number: usize, told: Sender<(usize, Answer)>) {
    match job.what {
        Task::Change(change, draft) => {
            let answer = move |result: Result<registry::Committed, _>| {
                note(&result);
                let _ = told.send((number, result.map(|done| Some(done.index))));
            };
            registry.commit(job.realm, *change, draft, Box::new(answer));
        }
        Task::Note(key, value) => {
            let answer = move |result: Result<(), _>| {
                note(&result);
                let _ = told.send((number, result.map(|()| None)));
            };
            registry.note(job.realm, "faults", &key, value, Box::new(answer));
        }
    }
}

fn note<T>(result: &Result<T, CommitError>) {
    if result.is_ok() {
        vfs::told();
    }
}

/// Lets a history of `count` jobs happen in `place`, with two restarts in between, and then fat
/// ones until the log is carried into the file.
///
/// # Errors
/// Where anything is refused that should not be.
pub fn record(place: &Path, mut dice: Dice, count: usize) -> Result<Recorded, Failure> {
    vfs::watch(place, &Image::from([(Name::Db, Vec::new())]))?;
    let path = place.join(Name::Db.as_str());
    let mut series = Series::new(dice.split())?;
    let mut reference = Reference::new()?;
    let mut kinds = BTreeMap::new();
    for part in 0..3 {
        let registry = Registry::open(&path, Options::default())?;
        if part == 2 {
            series.octets = 12_000;
        }
        let mut done = 0;
        while done < count / 3 && (part < 2 || !carried_over(place)) {
            let jobs = if part == 2 {
                series.burst(&registry, 48)?
            } else if series.had_each() && dice.once_in(5) {
                let size = 2 + dice.below(30);
                series.burst(&registry, size)?
            } else {
                vec![series.next(&registry)?]
            };
            done += jobs.len();
            for (job, answer) in jobs.iter().zip(ask(&registry, &jobs)?) {
                follow(&mut reference, job, &answer)?;
                if answer.is_ok() == (job.kind != Kind::BatchThatClashes) {
                    *kinds.entry(job.kind).or_default() += 1;
                }
            }
        }
        registry.close();
    }
    Ok(Recorded { tape: vfs::take_tape(), states: reference.into_states(), kinds })
}

/// Whether the log was carried over: it began anew, so that the file has grown.
fn carried_over(place: &Path) -> bool {
    let size = |name: Name| place.join(name.as_str()).metadata().map_or(0, |file| file.len());
    size(Name::Db) > 8 << 20
}

/// What was answered happens in the reference too, or clashes there too.
fn follow(reference: &mut Reference, job: &Job, answer: &Answer) -> Result<(), Failure> {
    match answer {
        Ok(index) => reference.follow(job, *index),
        Err(CommitError::Conflict(_)) => Ok(()),
        Err(other) => Err(format!("{:?} was refused: {other}", job.kind).into()),
    }
}
