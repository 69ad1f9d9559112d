//! A log's side: our checkpoint is shown to each witness that an operator named, with the proof that
//! it grew from the one that the witness saw last. Who does not answer is asked again, at longer
//! and longer intervals.

use super::Named;
use crate::caller::Caller;
use crate::house::{House, RealmState};
use identity::UnixTime;
use identity::text::counted;
use ledger::Checkpoint;
use ledger::tree::consistency;
use ledger::witness::client::{Heard, hear};
use ledger::witness::wire::ANSWER_OCTETS_MAX;
use ledger::witness::{AddCheckpoint, server::nothing};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a checkpoint waits for its witnesses: who is slower is left out, and asked again.
const ROUND: Duration = Duration::from_secs(4);
/// Questions to one witness in one round: one to learn where it stands, one more in case another of
/// ours was faster.
const QUESTIONS_MAX: u32 = 3;
/// The wait after a failure, doubled with each further one.
const BACKOFF: Duration = Duration::from_secs(2);
/// The longest wait: a witness that comes back is heard within five minutes.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// What is known of the witnesses of all realms.
#[derive(Default)]
pub struct Witnessing(Mutex<BTreeMap<(String, String), Seen>>);

/// One witness as we know it.
#[derive(Clone)]
struct Seen {
    named: Named,
    caller: Option<Arc<Caller>>,
    /// The size that it saw last, as far as we know.
    size: u64,
    /// What it cosigned last, and when.
    cosigned: Option<(u64, UnixTime)>,
    failures: u32,
    again: Option<Instant>,
    trouble: Option<String>,
}

/// How a witness is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The size that it cosigned last, and when it did.
    pub cosigned: Option<(u64, UnixTime)>,
    /// Why it does not cosign.
    pub trouble: Option<String>,
}

impl Witnessing {
    /// How a witness is doing, since this process began.
    #[must_use]
    pub fn state(&self, realm: &str, name: &str) -> State {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.get(&(realm.to_owned(), name.to_owned()));
        seen.map_or_else(State::default, |s| State {
            cosigned: s.cosigned,
            trouble: s.trouble.clone(),
        })
    }

    /// The witness, where it may be asked now; one whose address or key was changed begins anew.
    fn take(&self, realm: &str, named: &Named) -> Option<Seen> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (realm.to_owned(), named.name.clone());
        let seen = match all.get(&key) {
            Some(seen) if seen.named == *named => seen.clone(),
            _ => Seen {
                named: named.clone(),
                caller: Caller::parse(&named.url).map(Arc::new),
                size: 0,
                cosigned: None,
                failures: 0,
                again: None,
                trouble: None,
            },
        };
        let now = seen.again.is_none_or(|at| at <= Instant::now());
        now.then(|| {
            all.insert(key, seen.clone());
            seen
        })
    }

    fn keep(&self, realm: &str, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((realm.to_owned(), seen.named.name.clone()), seen);
    }
}

impl Seen {
    fn went(&mut self, size: u64, at: UnixTime) {
        (self.size, self.cosigned) = (size, Some((size, at)));
        (self.failures, self.again, self.trouble) = (0, None, None);
    }

    fn failed(&mut self, why: String) {
        let wait = BACKOFF * 2_u32.saturating_pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.again = Some(Instant::now() + wait.min(BACKOFF_MAX));
        self.trouble = Some(why);
    }
}

/// Shows a checkpoint of ours, whose signed note this is, to those of `missing` that may be asked
/// now; gives the lines of those that cosigned in time.
pub async fn ask_all(
    house: &Arc<House>,
    realm: &Arc<RealmState>,
    missing: &[Named],
    checkpoint: &Checkpoint,
    note: &str,
) -> Vec<String> {
    let mut asked = JoinSet::new();
    for named in missing {
        let name = realm.name().as_str();
        let Some(seen) = house.witnessing.take(name, named) else { continue };
        let (house, realm) = (Arc::clone(house), Arc::clone(realm));
        let (checkpoint, note) = (checkpoint.clone(), note.to_owned());
        asked.spawn(async move {
            let mut seen = seen;
            let one = one(&house, &realm, &mut seen, &checkpoint, &note);
            let late = || Err("it did not answer in time".to_owned());
            let heard = tokio::time::timeout(ROUND, one).await.unwrap_or_else(|_| late());
            told(&house, &realm, seen, checkpoint.size, heard)
        });
    }
    let mut lines = Vec::new();
    while let Some(one) = asked.join_next().await {
        lines.extend(one.ok().flatten());
    }
    lines
}

/// Remembers how it went, counts it, and gives the line.
fn told(
    house: &House,
    realm: &RealmState,
    mut seen: Seen,
    size: u64,
    heard: Result<(String, UnixTime), String>,
) -> Option<String> {
    let (name, witness) = (realm.name().as_str(), seen.named.name.clone());
    let line = match heard {
        Ok((line, at)) => {
            if seen.failures > 0 {
                tracing::info!(realm = name, witness, "the witness cosigns again");
            }
            seen.went(size, at);
            Some(line)
        }
        Err(why) => {
            if seen.failures == 0 {
                tracing::warn!(realm = name, witness, "the witness does not cosign: {why}");
            }
            seen.failed(why);
            None
        }
    };
    let cosigned = seen.cosigned.map(|(size, at)| (size, at.secs()));
    house.metrics.witnessed(name, &witness, size, cosigned);
    house.witnessing.keep(name, seen);
    line
}

async fn one(
    house: &Arc<House>,
    realm: &RealmState,
    seen: &mut Seen,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<(String, UnixTime), String> {
    let caller = seen.caller.clone().ok_or("its address cannot be read")?;
    for _ in 0..QUESTIONS_MAX {
        let request = AddCheckpoint {
            old: seen.size,
            proof: proof(house, realm, seen.size, checkpoint.size).await?,
            note: note.to_owned(),
        };
        let said = caller.post("/add-checkpoint", request.encode(), ANSWER_OCTETS_MAX).await;
        let said = said.map_err(|e| format!("it cannot be reached: {e}"))?;
        let body = String::from_utf8_lossy(&said.body);
        match hear(said.status, &body, note, &seen.named.key) {
            Heard::Cosigned { line, at } => return Ok((line, at)),
            Heard::Behind(size) if size == seen.size => {
                return Err(format!(
                    "it saw another tree of {}: the ledger forked",
                    counted(size, "entry", "entries")
                ));
            }
            Heard::Behind(size) if size > checkpoint.size => {
                return Err(format!(
                    "it saw {} and we have {}: was a back-up restored?",
                    counted(size, "entry", "entries"),
                    checkpoint.size
                ));
            }
            Heard::Behind(size) => seen.size = size,
            Heard::No(why) => return Err(why),
        }
    }
    Err("it says each time that it stands elsewhere".to_owned())
}

async fn proof(
    house: &Arc<House>,
    realm: &RealmState,
    old: u64,
    new: u64,
) -> Result<Vec<ledger::Hash>, String> {
    if old == nothing().size {
        return Ok(Vec::new());
    }
    let (house, key) = (Arc::clone(house), realm.key);
    let made = tokio::task::spawn_blocking(move || {
        house.registry.hashes(key, |_, stored| consistency(old, new, stored))
    });
    let made = made.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    made.map_err(|e| e.to_string())
}
