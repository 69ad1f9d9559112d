//! The load: as many workers as a small site has devices at once, each with a device after the
//! other; beside them one who moves many at once ([`flock`]), one who rolls an authority over now
//! and then ([`roll`]), and one who makes tokens and takes them back ([`mint`]); until nobody
//! answers any more.

pub mod flock;
pub mod mint;
pub mod roll;

use super::client::{Client, Desk};
use super::unit::{Acknowledged, Step, Unit};
use crate::Failure;
use crate::dice::Dice;
use flock::Flock;
use ledger::Head;
use mint::Mint;
use roll::Roller;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Devices at once: enough to share syncs, few enough for two cores.
const DEVICES: usize = 12;
/// Steps of one device before the next: far below its allowance of an hour.
const STEPS_MAX: usize = 20;
/// How often the head of the ledger is looked at.
const LOOK: Duration = Duration::from_millis(40);

/// What was promised, by one home.
#[derive(Default)]
pub struct Book {
    /// Every certificate that was handed over.
    pub acknowledged: Vec<Acknowledged>,
    /// Every token that was handed over.
    pub tokens: Vec<String>,
    /// Heads of the ledger that everybody could see.
    pub heads: Vec<Head>,
    /// Devices that are done.
    pub done: Vec<Unit>,
    /// Flocks that were struck off.
    pub flocks: Vec<Flock>,
    /// Retries that were answered.
    pub retried: usize,
}

/// A book that several write to.
pub type Shared = Arc<Mutex<Book>>;

/// A worker, with what it is at.
pub struct Worker {
    number: usize,
    made: usize,
    at: Task,
    dice: Dice,
}

/// What a worker is at.
pub enum Task {
    /// A device.
    Unit(Box<Unit>),
    /// Devices that are moved together.
    Flock(Flock),
    /// An authority that is rolled over now and then.
    Roll(Roller),
    /// Tokens that are made and revoked.
    Mint(Mint),
}

impl Worker {
    /// A worker with a first device.
    ///
    /// # Errors
    /// Where that cannot make its key.
    pub fn new(number: usize, mut dice: Dice) -> Result<Self, Failure> {
        let at = Task::Unit(Box::new(Unit::new(format!("F{number}-0"), &mut dice)?));
        Ok(Self { number, made: 1, at, dice })
    }

    /// All that load one home.
    ///
    /// # Errors
    /// Where keys cannot be made.
    pub fn all(home: &Path, dice: &mut Dice) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> =
            (0..DEVICES).map(|number| Self::new(number, dice.split())).collect::<Result<_, _>>()?;
        let rest = [
            Task::Flock(Flock::new("flock-0".to_owned())?),
            Task::Roll(Roller::new(home.to_owned())),
            Task::Mint(Mint::default()),
        ];
        all.extend(rest.into_iter().enumerate().map(|(number, at)| Self {
            number: DEVICES + number,
            made: 1,
            at,
            dice: dice.split(),
        }));
        Ok(all)
    }

    /// What it is at.
    #[must_use]
    pub const fn task(&self) -> &Task {
        &self.at
    }

    /// Whether something is unanswered.
    #[must_use]
    pub fn waits(&self) -> bool {
        match &self.at {
            Task::Unit(unit) => unit.waits(),
            Task::Flock(flock) => flock.waits(),
            Task::Roll(roller) => roller.waits(),
            Task::Mint(mint) => mint.waits(),
        }
    }

    async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        book: &Shared,
    ) -> Result<bool, Failure> {
        let waited = self.waits();
        let answered = match &mut self.at {
            Task::Unit(unit) => {
                let had = unit.token.is_some();
                let step = unit.step(client, desk, &mut self.dice).await?;
                let Step::Answered(acknowledged) = step else { return Ok(false) };
                let mut book = lock(book);
                let token = unit.token.as_ref().filter(|_| !had);
                book.tokens.extend(token.map(|token| token.id.clone()));
                Some(acknowledged.into_iter().collect())
            }
            Task::Flock(flock) => flock.step(client, desk, &mut self.dice).await?,
            Task::Roll(roller) => roller.step(client, desk, &mut self.dice).await?.then(Vec::new),
            Task::Mint(mint) => mint.step(client, desk, &mut self.dice).await?.then(Vec::new),
        };
        let Some(answered) = answered else { return Ok(false) };
        let mut book = lock(book);
        book.acknowledged.extend(answered);
        book.retried += usize::from(waited);
        self.turn(&mut book)?;
        Ok(true)
    }

    /// Who is done makes room for the next.
    fn turn(&mut self, book: &mut Book) -> Result<(), Failure> {
        let number = self.made;
        match &mut self.at {
            Task::Unit(unit) if unit.is_over() || unit.steps >= STEPS_MAX => {
                let next = Unit::new(format!("F{}-{number}", self.number), &mut self.dice)?;
                book.done.push(std::mem::replace(&mut **unit, next));
            }
            Task::Flock(flock) if flock.is_over() => {
                let next = Flock::new(format!("flock-{number}"))?;
                book.flocks.push(std::mem::replace(flock, next));
            }
            _ => return Ok(()),
        }
        self.made += 1;
        Ok(())
    }
}

fn lock(book: &Shared) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks again for what was not answered. All of it must be granted now.
///
/// # Errors
/// What was refused.
pub async fn retry(
    workers: Vec<Worker>,
    client: &Client,
    book: &Shared,
) -> Result<Vec<Worker>, Failure> {
    each(workers, |mut worker| {
        let (client, book) = (client.clone(), book.clone());
        async move {
            let mut desk = Desk::default();
            while worker.waits() {
                if !worker.step(&client, &mut desk, &book).await? {
                    return Err(format!("no answer to a retry of worker {}", worker.number).into());
                }
            }
            Ok(worker)
        }
    })
    .await
}

/// Works until nobody answers.
///
/// # Errors
/// What was refused.
pub async fn work(
    workers: Vec<Worker>,
    client: &Client,
    book: &Shared,
) -> Result<Vec<Worker>, Failure> {
    let looking = tokio::spawn(look(client.clone(), book.clone()));
    let worked = each(workers, |mut worker| {
        let (client, book) = (client.clone(), book.clone());
        async move {
            let mut desk = Desk::default();
            while worker.step(&client, &mut desk, &book).await? {}
            Ok(worker)
        }
    })
    .await;
    looking.abort();
    worked
}

async fn each<F, W>(workers: Vec<Worker>, act: F) -> Result<Vec<Worker>, Failure>
where
    F: Fn(Worker) -> W,
    W: Future<Output = Result<Worker, Failure>> + Send + 'static,
{
    let mut acting = JoinSet::new();
    for worker in workers {
        acting.spawn(act(worker));
    }
    let mut all = Vec::new();
    while let Some(acted) = acting.join_next().await {
        all.push(acted??);
    }
    all.sort_by_key(|worker| worker.number);
    Ok(all)
}

async fn look(client: Client, book: Shared) {
    loop {
        if let Some(head) = client.checkpoint().await {
            let mut book = lock(&book);
            if book.heads.last() != Some(&head) {
                book.heads.push(head);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
