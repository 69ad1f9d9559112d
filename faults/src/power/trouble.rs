//! The same on a disk that is full, does not write, or does not sync, for a while.
//!
//! Every refusal must be a clear one, nothing of what was refused may be seen, and when the trouble
//! is over the registry goes on as if nothing had been. A killed process and a cut, at any moment
//! of it, leave what was called durable and whole changes only.

use super::cuts::{self, Look, Seen};
use super::kinds::Job;
use super::reference::{Reference, scratch};
use super::series::Series;
use super::{Answer, ask};
use crate::Failure;
use crate::audit;
use crate::dice::Dice;
use crate::disk::image::{Disk, Image};
use crate::disk::tape::{Event, Name};
use crate::disk::trouble::Trouble;
use crate::disk::vfs;
use registry::{CommitError, OpenError, Options, Registry};
use std::path::Path;

/// What came of one trouble.
#[derive(Debug, Default)]
pub struct Told {
    /// Opening was refused.
    pub unopened: usize,
    /// Changes were refused.
    pub refused: usize,
    /// Kills and starts in the middle of it.
    pub restarts: usize,
    /// What the cuts found.
    pub seen: Seen,
}

/// Lets a history of about `count` jobs happen while the disk makes trouble.
///
/// # Errors
/// What did not hold.
pub fn suffer(trouble: Trouble, mut dice: Dice, count: usize) -> Result<Told, Failure> {
    let mut place = scratch()?;
    let empty = Image::from([(Name::Db, Vec::new())]);
    vfs::watch(place.path(), &empty)?;
    vfs::set_trouble(Some(trouble));
    let mut told = Told::default();
    let mut reference = Reference::new()?;
    let mut registry = open(place.path(), &mut told)?;
    let mut series = Series::new(dice.split())?;
    let mut done = 0;
    // Also until it is over: what comes afterwards has to succeed.
    while done < count || (vfs::trouble().is_some_and(|t| t.lasts > 0) && done < 3 * count) {
        let jobs = if done > 10 && dice.once_in(6) {
            series.burst(&registry, 8)?
        } else {
            vec![series.next(&registry)?]
        };
        done += jobs.len();
        let answers = ask(&registry, &jobs)?;
        let refused = weigh(&registry, &mut reference, (&jobs, &answers), place.path())?;
        told.refused += refused;
        if refused > 0 && dice.once_in(4) {
            told.restarts += 1;
            let next = scratch()?;
            vfs::restart(next.path())?;
            registry = open(next.path(), &mut told)?;
            place = next;
            // Whoever reads sees it from now on, so it counts as told.
            let said = audit::digest(&place.path().join("muster.db"))?;
            (0..reference.settle(said)?).for_each(|_| vfs::told());
        }
    }
    vfs::set_trouble(None);
    let last = [series.next(&registry)?];
    let answers = ask(&registry, &last)?;
    if weigh(&registry, &mut reference, (&last, &answers), place.path())? > 0 {
        return Err(format!("the trouble is over, and still {:?}", answers.first()).into());
    }
    let tape = finish(place.path(), registry, &reference)?;
    let look = Look { every: false, samples: 1, dice };
    told.seen = cuts::explore(Disk::new(&empty), &tape, reference.states(), look)?;
    Ok(told)
}

/// Opens it; while that is refused, clearly, again.
fn open(place: &Path, told: &mut Told) -> Result<Registry, Failure> {
    for _ in 0..200 {
        match Registry::open(&place.join("muster.db"), Options::default()) {
            Ok(registry) => return Ok(registry),
            Err(OpenError::Storage(_)) => told.unopened += 1,
            Err(other) => return Err(format!("a full disk is taken for this: {other}").into()),
        }
    }
    Err("it never opens".into())
}

/// Follows what was done, and looks at what was refused: how many there were.
fn weigh(
    registry: &Registry,
    reference: &mut Reference,
    (jobs, answers): (&[Job], &[Answer]),
    place: &Path,
) -> Result<usize, Failure> {
    let (mut refused, mut count) = (Vec::new(), 0);
    for (job, answer) in jobs.iter().zip(answers) {
        match answer {
            Ok(index) => {
                reference.suppose(&std::mem::take(&mut refused))?;
                reference.follow(job, *index)?;
            }
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Storage(_)) => {
                refused.push(job.clone());
                count += 1;
            }
            Err(other) => return Err(format!("{:?} was refused as {other}", job.kind).into()),
        }
    }
    reference.suppose(&refused)?;
    if count == 0 {
        return Ok(0);
    }
    // Reads go on, and see nothing of it.
    if audit::digest(&place.join("muster.db"))? != reference.said() {
        return Err("something of a refused change is seen".into());
    }
    audit::sound(registry)?;
    let scratch = scratch()?;
    let killed = vfs::lift(place)?;
    cuts::holds(scratch.path(), &killed, reference.count(), reference.states())
        .map_err(|e| format!("killed after a refusal: {e}"))?;
    Ok(count)
}

/// Closes the registry, opens the file again, and holds both rolls against each other.
fn finish(place: &Path, registry: Registry, reference: &Reference) -> Result<Vec<Event>, Failure> {
    let tape = vfs::take_tape();
    audit::sound(&registry)?;
    registry.close();
    let again = audit::open_sound(&place.join("muster.db"))?;
    if audit::digest(&place.join("muster.db"))? != reference.said() {
        return Err("after a restart it says something else".into());
    }
    for realm in again.realms() {
        audit::same_roll(&registry, &again, realm.key)?;
    }
    Ok(tape)
}
