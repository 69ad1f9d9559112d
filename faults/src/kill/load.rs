//! The load: as many workers as a small site has devices at once, each with a device after the
//! other, until nobody answers any more.

use super::client::{Client, Desk};
use super::unit::{Acknowledged, Step, Unit};
use crate::Failure;
use crate::dice::Dice;
use ledger::Head;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Workers at once: enough to share syncs, few enough for two cores.
pub const WORKERS: usize = 12;
/// Steps of one device before the next: far below its allowance of an hour.
const STEPS_MAX: usize = 14;
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
    /// Retries that were answered.
    pub retried: usize,
}

/// A book that several write to.
pub type Shared = Arc<Mutex<Book>>;

/// A worker, with the device that it is at.
pub struct Worker {
    number: usize,
    made: usize,
    unit: Unit,
    dice: Dice,
}

impl Worker {
    /// A worker with a first device.
    ///
    /// # Errors
    /// Where that cannot make its key.
    pub fn new(number: usize, mut dice: Dice) -> Result<Self, Failure> {
        let unit = Unit::new(format!("F{number}-0"), &mut dice)?;
        Ok(Self { number, made: 1, unit, dice })
    }

    /// The device that it is at.
    #[must_use]
    pub const fn unit(&self) -> &Unit {
        &self.unit
    }

    async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        book: &Shared,
    ) -> Result<bool, Failure> {
        let waited = self.unit.waits();
        let had = self.unit.token.is_some();
        let step = self.unit.step(client, desk, &mut self.dice).await?;
        let Step::Answered(acknowledged) = step else { return Ok(false) };
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        book.acknowledged.extend(acknowledged);
        book.retried += usize::from(waited);
        if let Some(token) = self.unit.token.as_ref().filter(|_| !had) {
            book.tokens.push(token.id.clone());
        }
        if self.unit.steps >= STEPS_MAX {
            let serial = format!("F{}-{}", self.number, self.made);
            let next = Unit::new(serial, &mut self.dice)?;
            self.made += 1;
            book.done.push(std::mem::replace(&mut self.unit, next));
        }
        Ok(true)
    }
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
            if worker.unit.waits() && !worker.step(&client, &mut Desk::default(), &book).await? {
                return Err(format!("no answer to a retry of {}", worker.unit.serial).into());
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
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            if book.heads.last() != Some(&head) {
                book.heads.push(head);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
