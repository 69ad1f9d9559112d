//! The same history on a disk without trouble: it says what must be there.

use super::kinds::{Job, Task};
use crate::Failure;
use crate::audit::{self, Digest};
use crate::disk::vfs;
use registry::{Options, Registry};
use tempfile::TempDir;

/// What a registry says after so many changes.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// How many.
    pub after: usize,
    /// What it says.
    pub said: Digest,
}

/// A registry beside the one under test.
pub struct Reference {
    place: TempDir,
    registry: Registry,
    count: usize,
    said: Digest,
    states: Vec<State>,
    /// What may have happened although it was refused, and what would be said then.
    doubtful: Vec<(Digest, Vec<Job>)>,
}

/// A directory for something that is gone in a moment: in memory, where the system has that.
///
/// # Errors
/// Where there is no room.
pub fn scratch() -> Result<TempDir, Failure> {
    let memory = std::path::Path::new("/dev/shm");
    let prefix = "muster-faults-";
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(memory);
    Ok(made.or_else(|_| tempfile::Builder::new().prefix(prefix).tempdir())?)
}

impl Reference {
    /// An empty one.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new() -> Result<Self, Failure> {
        let place = scratch()?;
        let registry = Registry::open(&place.path().join("muster.db"), Options::default())?;
        let mut new = Self {
            place,
            registry,
            count: 0,
            said: [0; 32],
            states: Vec::new(),
            doubtful: Vec::new(),
        };
        new.remember()?;
        Ok(new)
    }

    /// Does what was done; the entry must have the same number.
    ///
    /// # Errors
    /// Where it has not, or where it is refused here.
    pub fn follow(&mut self, job: &Job, index: Option<u64>) -> Result<(), Failure> {
        let here = repeat(&self.registry, job)?;
        if here != index {
            return Err(format!("{:?} is entry {index:?} and not {here:?}", job.kind).into());
        }
        let (count, before) = (self.count, self.said);
        self.count += 1;
        self.remember()?;
        if self.said == before {
            // It took away what was not there, so nothing was written, and what was in question
            // before still is.
            let same = self.states.iter_mut().filter(|state| state.after == count);
            same.for_each(|state| state.after += 1);
        } else {
            self.doubtful.clear();
        }
        Ok(())
    }

    /// The registry was killed, started again and says this: what was in question is decided.
    /// How many changes have happened after all, and count from now on.
    ///
    /// # Errors
    /// Where it says something else than it may.
    pub fn settle(&mut self, said: Digest) -> Result<usize, Failure> {
        if said == self.said {
            self.doubtful.clear();
            return Ok(0);
        }
        let doubtful = std::mem::take(&mut self.doubtful);
        let happened = doubtful.into_iter().find(|(would, _)| *would == said);
        let (_, jobs) = happened.ok_or("after a kill it says what it never said")?;
        for job in &jobs {
            repeat(&self.registry, job)?;
            self.count += 1;
            self.remember()?;
        }
        Ok(jobs.len())
    }

    /// What there would be if these had happened too, one after the other. A change that was
    /// refused because a sync failed may be there after a cut all the same, whole.
    ///
    /// # Errors
    /// Where that cannot be tried.
    pub fn suppose(&mut self, jobs: &[Job]) -> Result<(), Failure> {
        let image = vfs::lift(self.place.path())?;
        // The writer may have tried them apart, and only its last try is in question.
        for from in 0..jobs.len() {
            let place = scratch()?;
            vfs::lay(place.path(), &image)?;
            let path = place.path().join("muster.db");
            let registry = Registry::open(&path, Options::default())?;
            let mut done = Vec::new();
            for job in &jobs[from..] {
                if repeat(&registry, job).is_ok() {
                    done.push(job.clone());
                    let said = audit::digest(&path)?;
                    self.states.push(State { after: self.count, said });
                    self.doubtful.push((said, done.clone()));
                }
            }
        }
        Ok(())
    }

    /// What it says now.
    #[must_use]
    pub const fn said(&self) -> Digest {
        self.said
    }

    /// How many changes there were.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// All that may be there.
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// All that may be there, at the end.
    #[must_use]
    pub fn into_states(self) -> Vec<State> {
        self.states
    }

    fn remember(&mut self) -> Result<(), Failure> {
        let said = audit::digest(&self.place.path().join("muster.db"))?;
        self.states.push(State { after: self.count, said });
        self.said = said;
        Ok(())
    }
}

fn repeat(registry: &Registry, job: &Job) -> Result<Option<u64>, Failure> {
    match &job.what {
        Task::Change(change, draft) => {
            let done = registry.commit_wait(job.realm, (**change).clone(), draft.clone());
            Ok(Some(done.map_err(|e| format!("{:?}: {e}", job.kind))?.index))
        }
        Task::Note(key, value) => {
            registry.note_wait(job.realm, "faults", key, value.clone())?;
            Ok(None)
        }
    }
}
