//! What Muster remembers: the only SQL, the one writer thread, and the roll.
//!
//! There is one way to write an identity, [`Registry::commit`]: a [`Change`] with its preconditions
//! and the [`Draft`] of the entry that tells of it become durable in one transaction, or neither
//! does; so the tables cannot say anything that the ledger does not. Many changes share one
//! transaction and one fsync. The order is always: durable commit, [`Roll`], [`Cut`], answers.
//!
//! Authentication asks the [`Roll`] and never SQL; everything else is read through a pool of
//! connections that see the last commit and never hold up the writer. Read on in [`change`] for
//! what may be written, in [`roll`] for the hot path, and in [`mod@read`] for the questions.

pub mod change;
mod fault;
mod integrity;
pub mod read;
mod realm;
pub mod roll;
mod rows;
mod schema;
mod shared;
mod sink;
mod tokens;
mod writer;

pub use change::{Change, Clash, CommitError, Committed, Cut, Draft, Erasure, Fate, Report, Told};
pub use fault::{OpenError, ReadError};
pub use integrity::Finding;
pub use read::{DeviceFilter, EntryRow, Head, Noted, Overdue, RevokedRow, StatusRow, Stretch};
pub use realm::{Operator, Realm, RealmKey, Role};
pub use roll::{Counts, Roll, Seen};
pub use sink::{Sink, SinkFormat, SinkKind};

use identity::credential::Reason;
use read::Pool;
use rusqlite::Connection;
use schema::Place;
pub use shared::OnStatus;
use shared::Shared;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use writer::{Answer, Commit, Job, Log, Note, Writer};

/// How a registry is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections that read at the same time, at least 1; a read that finds none free waits.
    pub readers: usize,
    /// Changes that may wait for the writer, at least 1; one more is answered
    /// [`CommitError::Busy`].
    pub queue: usize,
}

impl Default for Options {
    /// 4 readers, as many as small machines have cores; 8192 changes, about a second's work of the
    /// writer.
    fn default() -> Self {
        Self { readers: 4, queue: 8192 }
    }
}

/// The registry. A clone is another handle to the same one; the last handle dropped closes it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    queue: SyncSender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
    pool: Pool,
    /// Held while open, for its lock.
    keeper: Mutex<Option<Connection>>,
}

impl Registry {
    /// Opens the registry in the file at `path`, makes it where there is none, brings it to the
    /// newest schema, checks that each ledger's head goes with its tree, and fills the roll. A
    /// million devices take about two seconds.
    ///
    /// # Errors
    /// [`OpenError`], each with a sentence that says what to do. Nothing was changed then, except
    /// that an older schema may have been brought to a newer one.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(&Place::File(path.to_owned()), options)
    }

    /// A registry that lives in memory and ends with its last handle: for tests.
    ///
    /// # Errors
    /// [`OpenError::Storage`] where there is not even that.
    pub fn open_memory() -> Result<Self, OpenError> {
        /// Numbers the registries of this process, so that each has a name of its own.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::start(&Place::Memory(format!("muster-registry-{number}")), Options::default())
    }

    fn start(place: &Place, options: Options) -> Result<Self, OpenError> {
        let keeper = schema::keep_out_others(place)?;
        let db = schema::open_writer(place)?;
        let (realms, ledgers) = schema::load_ledgers(&db)?;
        let roll = schema::load_roll(place, &db)?;
        let has_erased = schema::has_erased(&db)?;
        let shared = Arc::new(Shared::new(roll, realms, has_erased));
        let pool = Pool::open(place, options.readers.max(1))?;
        let (queue, jobs) = sync_channel(options.queue.max(1));
        let writer = spawn(Writer::new((db, Log::of(place)?), ledgers, Arc::clone(&shared)), jobs)?;
        let (writer, keeper) = (Mutex::new(Some(writer)), Mutex::new(keeper));
        Ok(Self(Arc::new(Inner { queue, writer, shared, pool, keeper })))
    }

    /// Writes a change and the entry that tells of it, or neither. Never blocks: `answer` is called
    /// once, from the writer's thread after the change is durable, or from this one when it cannot
    /// even wait; it should only pass the word on, since all other changes wait for it.
    ///
    /// [`CommitError::Conflict`] is the caller's: decide anew. [`CommitError::Busy`] is the
    /// requester's: later again. [`CommitError::Storage`] is the operator's.
    pub fn commit(&self, realm: RealmKey, change: Change, draft: Draft, answer: Told<Committed>) {
        let answer = Answer::new(answer);
        self.0.foretell(&change);
        self.0.offer(Job::Commit(Box::new(Commit { realm, change, draft, answer })));
    }

    /// Writes a change and waits until it is durable. Waits also where [`Registry::commit`] would
    /// say `Busy`. Not from a callback of this registry, which would wait for itself.
    ///
    /// # Errors
    /// As [`Registry::commit`], except for [`CommitError::Busy`].
    pub fn commit_wait(
        &self,
        realm: RealmKey,
        change: Change,
        draft: Draft,
    ) -> Result<Committed, CommitError> {
        self.0.foretell(&change);
        self.0.wait(|answer| Job::Commit(Box::new(Commit { realm, change, draft, answer })))
    }

    /// Sets (`Some`) or takes away (`None`) a note: bookkeeping that names no identity and makes no
    /// entry. Written in order with the changes, by the same writer. `answer` as in
    /// [`Registry::commit`].
    #[expect(clippy::too_many_arguments, reason = "realm, space and key are one address")]
    pub fn note(
        &self,
        realm: RealmKey,
        space: &str,
        key: &[u8],
        value: Option<Vec<u8>>,
        answer: Told<()>,
    ) {
        let (space, key, answer) = (space.to_owned(), key.to_owned(), Answer::new(answer));
        self.0.offer(Job::Note(Box::new(Note { realm, space, key, value, answer })));
    }

    /// Sets or takes away a note and waits until that is durable.
    ///
    /// # Errors
    /// As [`Registry::commit_wait`].
    pub fn note_wait(
        &self,
        realm: RealmKey,
        space: &str,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), CommitError> {
        let (space, key) = (space.to_owned(), key.to_owned());
        self.0.wait(|answer| Job::Note(Box::new(Note { realm, space, key, value, answer })))
    }

    /// Empties the write-ahead log into the file, which overwrites there what was deleted, and waits
    /// until it is empty.
    ///
    /// # Errors
    /// [`CommitError::Busy`] where somebody still reads an older state; as
    /// [`Registry::commit_wait`] otherwise.
    pub fn scrub_wait(&self) -> Result<(), CommitError> {
        self.0.wait(Job::Scrub)
    }

    /// Adds one to be told of every [`Cut`], from the writer's thread, after the roll knows and
    /// before the answers.
    pub fn on_cut(&self, told: Box<dyn Fn(&Cut) + Send + Sync>) {
        self.0.shared.on_cut(told);
    }

    /// Adds one to be told when what CRLs must say has changed: something was revoked, put on
    /// hold, or is good again (which no [`Cut`] tells); once for each commit, as
    /// [`Registry::on_cut`] is.
    pub fn on_revocation(&self, told: Box<dyn Fn() + Send + Sync>) {
        self.0.shared.on_revocation(told);
    }

    /// Adds one to be told of which certificates the status has changed: revoked, on hold, good
    /// again, or revoked for another reason; once for each commit, as [`Registry::on_cut`] is.
    pub fn on_status(&self, told: OnStatus) {
        self.0.shared.on_status(told);
    }

    /// Adds one to be told how many credentials a commit revoked or put on hold, by realm and
    /// reason, as [`Registry::on_cut`] is.
    pub fn on_revoked(&self, told: Box<dyn Fn(RealmKey, Reason, u64) + Send + Sync>) {
        self.0.shared.on_revoked(told);
    }

    /// Adds one to be told the new size of a ledger, once for each commit that grew it, as
    /// [`Registry::on_cut`] is.
    pub fn on_entry(&self, told: Box<dyn Fn(RealmKey, u64) + Send + Sync>) {
        self.0.shared.on_entry(told);
    }

    /// The roll, for the hot path.
    #[must_use]
    pub fn roll(&self) -> &Roll {
        &self.0.shared.roll
    }

    /// Every realm, from memory.
    #[must_use]
    pub fn realms(&self) -> Vec<Realm> {
        self.0.shared.realms()
    }

    /// Finishes what has queued up and ends the writer; later changes are answered
    /// [`CommitError::Closed`]. Reads go on working until the last handle is gone, but for
    /// [`Registry::check_integrity`], which ends. Called from the writer's own thread it does not
    /// wait.
    pub fn close(&self) {
        self.0.close();
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("keys", &self.roll().len()).finish_non_exhaustive()
    }
}

fn spawn(writer: Writer, jobs: Receiver<Job>) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name("registry-writer".to_owned())
        .spawn(move || writer.run(&jobs))
        .map_err(|e| OpenError::Storage(e.to_string()))
}

impl Inner {
    /// From an erasure on, identifiers that nobody has may have been somebody's. Known before it is
    /// written, so that nobody looks in between.
    fn foretell(&self, change: &Change) {
        if matches!(change, Change::Erased(_)) {
            self.shared.will_erase();
        }
    }

    fn offer(&self, job: Job) {
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => job.refuse(CommitError::Busy),
            Err(TrySendError::Disconnected(job)) => job.refuse(CommitError::Closed),
        }
    }

    fn wait<T: Send + 'static>(
        &self,
        job: impl FnOnce(Answer<T>) -> Job,
    ) -> Result<T, CommitError> {
        let (told, heard) = channel();
        let answer = Answer::new(Box::new(move |result| {
            // Whoever waited is gone only with its whole thread.
            let _ = told.send(result);
        }));
        self.queue.send(job(answer)).map_err(|_| CommitError::Closed)?;
        heard.recv().unwrap_or(Err(CommitError::Closed))
    }

    fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        // Else the emptying of the log waits for them.
        self.pool.end_looks();
        // An error says that the writer has ended already.
        let _ = self.queue.send(Job::Stop);
        // A callback that holds the last handle closes from the writer's own thread, which cannot
        // wait for itself.
        if writer.thread().id() != std::thread::current().id() {
            let _ = writer.join();
        }
        drop(self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
