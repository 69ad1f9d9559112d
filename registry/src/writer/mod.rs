//! The writer: the one thread that writes, and the only thread below the hosts.
//!
//! It takes what has queued up, at most [`BATCH_MAX`] changes, and writes it as one durable
//! transaction: under load dozens share an fsync, idle it costs one. Where several came while it
//! was writing, it lets a little more queue up first, see [`Pace`]. The order is always: durable
//! commit, roll, cuts, word of new entries, answers. If we crash before the commit, nobody has seen
//! anything of the batch; if we crash after it, the roll is rebuilt from what was committed and a
//! requester asks again.
//!
//! Read on in [`batch`] for what happens within a transaction, and in [`apply`] for what each
//! change means.

mod apply;
mod authorities;
mod batch;
mod credentials;
mod devices;
mod erase;
mod log;
mod rules;
mod told;

use crate::change::{Change, CommitError, Committed, Draft, Told};
use crate::realm::RealmKey;
use crate::roll::Turn;
use crate::shared::Shared;
use batch::{Batch, Pending, Stop};
use ledger::tree::Frontier;
pub(crate) use log::Log;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Changes in one transaction. More would not save a noticeable share of an fsync, and the first
/// would wait longer.
const BATCH_MAX: usize = 512;

/// How long the emptying of the log waits for readers of an older state, and everybody for it: a
/// read takes milliseconds.
const SCRUB: Duration = Duration::from_millis(500);

/// What waits for the writer.
pub(crate) enum Job {
    /// A change of identity and its entry.
    Commit(Box<Commit>),
    /// Bookkeeping without an entry.
    Note(Box<Note>),
    /// Empty the log.
    Scrub(Answer<()>),
    /// Finish what came before, and end.
    Stop,
}

/// A change of identity that waits.
pub(crate) struct Commit {
    pub(crate) realm: RealmKey,
    pub(crate) change: Change,
    pub(crate) draft: Draft,
    pub(crate) answer: Answer<Committed>,
}

/// A note that waits.
pub(crate) struct Note {
    pub(crate) realm: RealmKey,
    pub(crate) space: String,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) answer: Answer<()>,
}

impl Job {
    /// Answers without having done anything.
    pub(crate) fn refuse(self, why: CommitError) {
        tell(self, Err(why));
    }
}

/// Whom to tell. It is told [`CommitError::Closed`] if nobody ever gets around to it.
pub(crate) struct Answer<T>(Option<Told<T>>);

impl<T> Answer<T> {
    pub(crate) fn new(told: Told<T>) -> Self {
        Self(Some(told))
    }

    pub(crate) fn tell(mut self, result: Result<T, CommitError>) {
        if let Some(told) = self.0.take() {
            told(result);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told(Err(CommitError::Closed));
        }
    }
}

/// Changes in a batch from which on the writer waits for more: fewer are a handful of requesters,
/// each of which waits for its own answer before it asks again, and would only wait longer.
const CROWD: usize = 4;
/// The longest wait for more: a tenth of what an enrollment may take (p99 50 ms), also where the
/// disk is slow.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// How long to let changes queue up before they are written: nothing where few come, and else as
/// long as the last batch took, so that no answer takes more than twice as long, and half of the
/// commits, with their pages, syncs and wake-ups, are not made at all.
#[derive(Default)]
struct Pace {
    pause: Option<Duration>,
}

impl Pace {
    fn pause(&self) -> Option<Duration> {
        self.pause
    }

    fn wrote(&mut self, count: usize, took: Duration) {
        // A full batch has a queue behind it that needs no time to grow.
        let crowd = (CROWD..BATCH_MAX).contains(&count);
        self.pause = crowd.then(|| took.min(PAUSE_MAX));
    }
}

/// What became of one job: the number of its entry, where it has one.
type Verdict = Result<Option<u64>, CommitError>;

pub(crate) struct Writer {
    db: Connection,
    ledgers: BTreeMap<RealmKey, Frontier>,
    shared: Arc<Shared>,
    log: Log,
}

impl Writer {
    pub(crate) fn new(
        (db, log): (Connection, Log),
        ledgers: BTreeMap<RealmKey, Frontier>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { db, ledgers, shared, log }
    }

    /// Serves until told to stop or until nobody can ask any more.
    pub(crate) fn run(mut self, queue: &Receiver<Job>) {
        let mut pace = Pace::default();
        while let Ok(first) = queue.recv() {
            // Asleep and not at the queue: each that comes would wake it there.
            if let Some(pause) = pace.pause() {
                std::thread::sleep(pause);
            }
            let mut jobs = vec![first];
            jobs.extend(queue.try_iter().take(BATCH_MAX - 1));
            let stop = jobs.iter().any(|job| matches!(job, Job::Stop));
            let (count, began) = (jobs.len(), Instant::now());
            self.settle(jobs);
            pace.wrote(count, began.elapsed());
            self.log.look(&self.db);
            if stop {
                break;
            }
        }
        self.log.end();
        // The file is left without a log behind it; if that fails, the next start reads the log.
        let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Writes the jobs as one, and answers them. One that the schema forbids, which is our mistake,
    /// would take the others with it: then each is written alone.
    fn settle(&mut self, jobs: Vec<Job>) {
        match self.write(&jobs) {
            Ok((verdicts, pending)) => {
                self.publish(pending);
                for (job, verdict) in jobs.into_iter().zip(verdicts) {
                    let scrubs = matches!(job, Job::Scrub(_));
                    tell(job, if scrubs { self.scrub() } else { verdict });
                }
            }
            Err(error) if jobs.len() > 1 && is_of_one(&error) => {
                jobs.into_iter().for_each(|job| self.settle(vec![job]));
            }
            Err(error) => {
                let failed = CommitError::Storage(error.to_string());
                jobs.into_iter().for_each(|job| tell(job, Err(failed.clone())));
            }
        }
    }

    /// One transaction. On an error nothing of it is left, in the file or in memory.
    ///
    /// It takes the writer's lock at its beginning, where SQLite waits for who holds it. Readers do,
    /// for a moment, where they find the head of the log half written; behind a read it would say at
    /// once that the file is busy.
    fn write(&self, jobs: &[Job]) -> rusqlite::Result<(Vec<Verdict>, Pending)> {
        let transaction = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        let mut batch = Batch::new(&self.db, &self.shared.roll, &self.ledgers);
        let mut verdicts = Vec::with_capacity(jobs.len());
        for job in jobs {
            verdicts.push(match batch.take(job) {
                Ok(index) => Ok(index),
                Err(Stop::Clash(clash)) => Err(CommitError::Conflict(clash)),
                Err(Stop::Sql(error)) => return Err(error),
            });
        }
        let pending = batch.finish()?;
        transaction.commit()?;
        Ok((verdicts, pending))
    }

    /// Carries the whole log into the file and cuts it to nothing.
    pub(super) fn scrub(&mut self) -> Verdict {
        self.log.wait();
        let storage = |e: rusqlite::Error| CommitError::Storage(e.to_string());
        self.db.busy_timeout(SCRUB).map_err(storage)?;
        let said = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.db.busy_timeout(crate::schema::BUSY).map_err(storage)?;
        match said.map_err(storage)? {
            0_i64 => Ok(None),
            _ => Err(CommitError::Busy),
        }
    }

    /// What became durable becomes visible.
    fn publish(&mut self, pending: Pending) {
        let Pending { turns, cuts, founded, ledgers, revoked, touched_token, .. } = pending;
        if touched_token {
            self.shared.tokens.forget();
        }
        self.shared.roll.turn(&turns);
        self.shared.founded(founded);
        self.shared.cut(&cuts);
        let changed: Vec<_> = turns
            .iter()
            .filter_map(|turn| match turn {
                Turn::Revoked(which, _) => Some((which.realm, which.serial)),
                _ => None,
            })
            .collect();
        if !changed.is_empty() {
            self.shared.revoked(&changed);
        }
        self.shared.counted(&revoked);
        for (realm, frontier) in ledgers {
            self.shared.grown(realm, frontier.size());
            self.ledgers.insert(realm, frontier);
        }
    }
}

fn tell(job: Job, verdict: Verdict) {
    match job {
        Job::Commit(commit) => {
            let committed = |index: Option<u64>| Committed { index: index.unwrap_or_default() };
            commit.answer.tell(verdict.map(committed));
        }
        Job::Note(note) => note.answer.tell(verdict.map(|_| ())),
        Job::Scrub(answer) => answer.tell(verdict.map(|_| ())),
        Job::Stop => {}
    }
}

/// Whether the error lies in one change and not in the file.
fn is_of_one(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch
        ),
        // A row that cannot be read, or a parameter that cannot be bound.
        None => true,
    }
}

#[cfg(test)]
mod tests;
