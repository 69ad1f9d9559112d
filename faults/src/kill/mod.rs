//! A server that is killed at any moment, under load and at its very first start.
//!
//! A [`server`] runs on a home of its own. The [`load`] is devices and an operator, who write down
//! in a book what they were promised. Then `SIGKILL`, and [`check`] holds what is left against the
//! book. The same home is started again, what was not answered is asked for again, and so on;
//! [`founding`] does the same to homes that are not there yet.

pub mod check;
pub mod client;
pub mod founding;
pub mod key;
pub mod load;
pub mod server;
pub mod unit;

use crate::Failure;
use crate::dice::Dice;
use api::path;
use check::Found;
use check::shown::Owed;
use client::{Client, Desk, Miss};
use identity::Standing;
use load::{Book, Shared, Task, Worker};
use serde_json::json;
use server::Server;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Kills of one home: what was written grows, and every check reads all of it.
const KILLS_OF_A_HOME: usize = 12;
/// The longest load before a kill.
const LOAD_MAX_MS: usize = 700;
/// The longest start before one that is not even waited for is killed.
const START_MAX_MS: usize = 120;

/// A home, and what it has promised.
pub struct Site {
    binary: PathBuf,
    // Goes last: the server must have ended before its home goes.
    place: TempDir,
    book: Shared,
    workers: Vec<Worker>,
    /// What everybody must hear after the next start.
    owed: Owed,
    heard: usize,
    kills: usize,
}

/// What one round found.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// What was there in the end.
    pub found: Found,
    /// Certificates that had been handed over.
    pub acknowledged: usize,
    /// Requests that were not answered.
    pub unanswered: usize,
    /// Unanswered requests that were granted afterwards, so far.
    pub retried: usize,
    /// What was answered besides certificates, so far.
    pub done: Done,
}

/// What was answered, and had to be there after each kill.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Certificates that were revoked for good.
    pub revoked: usize,
    /// Devices that were retired.
    pub retired: usize,
    /// Devices that were erased.
    pub erased: usize,
    /// Clones that were caught.
    pub caught: usize,
    /// Flocks that were moved to their end.
    pub flocks: usize,
    /// Authorities that were rolled over.
    pub rolled: usize,
    /// Tokens that were revoked.
    pub tokens: usize,
    /// Certificates of which lists and responder told the truth after a start.
    pub heard: usize,
}

impl Site {
    /// An empty home for `binary` to serve.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn new(binary: &Path, dice: &mut Dice) -> Result<Self, Failure> {
        let place = tempfile::Builder::new().prefix("muster-faults-").tempdir()?;
        Ok(Self {
            binary: binary.to_owned(),
            workers: Worker::all(&place.path().join("home"), dice)?,
            place,
            book: Shared::default(),
            owed: Owed::default(),
            heard: 0,
            kills: 0,
        })
    }

    /// Whether it has been killed often enough.
    #[must_use]
    pub const fn is_worn(&self) -> bool {
        self.kills >= KILLS_OF_A_HOME
    }

    fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// Starts the server, asks again for what was not answered, loads it, kills it, and looks.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn round(&mut self, dice: &mut Dice) -> Result<Round, Failure> {
        let home = self.home();
        if self.kills > 0 && dice.once_in(4) {
            // A start that is killed too: coming back must not need to come to its end.
            let server = Server::launch(&self.binary, &home)?;
            tokio::time::sleep(Duration::from_millis(dice.below(START_MAX_MS) as u64)).await;
            server.kill()?;
        }
        let mut server = Server::launch(&self.binary, &home)?;
        let client = Client::new(&home, server.ready().await?)?;
        match self.kills {
            0 => many_clones(&client).await?,
            _ => self.heard += self.owed.hold(&client).await?,
        }
        let workers = std::mem::take(&mut self.workers);
        let workers = load::retry(workers, &client, &self.book).await?;
        if let Err(Miss::Refused(status, why)) = client.ready().await {
            return Err(format!("not ready after a kill: {status} {why}").into());
        }
        let working = load::work(workers, &client, &self.book);
        let killing = async {
            tokio::time::sleep(Duration::from_millis(20 + dice.below(LOAD_MAX_MS) as u64)).await;
            server.kill()
        };
        let (worked, killed) = tokio::join!(working, killing);
        killed?;
        self.workers = worked?;
        self.kills += 1;
        self.look(&home, dice)
    }

    fn look(&mut self, home: &Path, dice: &mut Dice) -> Result<Round, Failure> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, owed) = check::check(home, &book, &self.workers, dice)?;
        self.owed = owed;
        Ok(Round {
            found,
            acknowledged: book.acknowledged.len(),
            unanswered: self.workers.iter().filter(|worker| worker.waits()).count(),
            retried: book.retried,
            done: self.done(&book),
        })
    }

    fn done(&self, book: &Book) -> Done {
        let mut done = Done { flocks: book.flocks.len(), heard: self.heard, ..Done::default() };
        let at = self.workers.iter().filter_map(|worker| match worker.task() {
            Task::Unit(unit) => Some(&**unit),
            Task::Flock(_) | Task::Roll(_) | Task::Mint(_) => None,
        });
        for unit in book.done.iter().chain(at) {
            done.revoked += unit.ended.len();
            done.retired += usize::from(unit.standing == Standing::Retired);
            done.erased += usize::from(unit.erased);
            done.caught += unit.caught;
        }
        for worker in &self.workers {
            match worker.task() {
                Task::Roll(roller) => done.rolled += roller.installed.len(),
                Task::Mint(mint) => done.tokens += mint.revoked().count(),
                Task::Unit(_) | Task::Flock(_) => {}
            }
        }
        done
    }

    /// Leaves the home where it is, for somebody to look at.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.place.keep()
    }
}

/// More devices are copied here within minutes than anywhere within an hour.
async fn many_clones(client: &Client) -> Result<(), Failure> {
    let setting = json!({ "key": "clone_quarantines_per_hour", "value": "10000" });
    let set = client.put(&mut Desk::default(), path::SETTINGS, &setting).await;
    set.map(drop).map_err(|miss| format!("a setting was refused: {miss:?}").into())
}

/// An empty book.
#[must_use]
pub fn book() -> Shared {
    Arc::new(Mutex::new(Book::default()))
}
