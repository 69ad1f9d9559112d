//! Tells receivers outside of the house what happens: each sink gets, in the order of the ledger,
//! the entries that it wants.
//!
//! A webhook is told at least once: the number of the next entry moves on only after it answered,
//! and is durable. A receiver that is away is tried again with growing rests; an entry that it
//! refuses for good, or does not take for a day, goes on the sink's list of dead letters, from
//! which an operator sends it again. Syslog over TLS has no answers (RFC 5425 §4.4): a line that was
//! written when the connection broke may be lost, and lines after the last durable number may come
//! twice.
//!
//! Read on in [`line`] for what a receiver reads, in `reach` for how it is reached, in `worker` for
//! the order of things, and in [`letters`] for what is kept.

pub mod health;
pub mod letters;
pub mod line;
mod reach;
mod target;
mod worker;

pub use reach::Trouble;
pub use target::{Target, TargetError};
pub use worker::{check, try_once};

use crate::house::{House, RealmState};
use crate::operator::severity_of;
use api::EntryView;
use ledger::Severity;
use registry::{RealmKey, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// How soon a sink that was made or changed is told, where nothing else happens: a person waits.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Keeps one worker for each sink. Ends with its task, and its workers with it.
pub async fn keep(house: Arc<House>) {
    let tide = Arc::new(watch::Sender::new(()));
    let rises = Arc::clone(&tide);
    house.registry.on_entry(Box::new(move |_, _| rises.send_modify(|()| ())));
    let mut working: BTreeMap<(RealmKey, String), (Sink, AbortHandle)> = BTreeMap::new();
    let mut workers = JoinSet::new();
    let mut seen = tide.subscribe();
    loop {
        seen.borrow_and_update();
        let wanted = wanted(&house);
        working.retain(|key, (sink, worker)| {
            let same = wanted.get(key).is_some_and(|(_, now)| now == sink);
            let over = worker.is_finished();
            if same && over {
                // It is begun again below: this look is its retry.
                house.sinks.ended(key.0, &key.1);
            }
            if !same {
                worker.abort();
            }
            same && !over
        });
        for (key, (realm, sink)) in wanted {
            if working.contains_key(&key) {
                continue;
            }
            let work = worker::run(house.clone(), realm, sink.clone(), tide.subscribe());
            working.insert(key, (sink, workers.spawn(work)));
        }
        while workers.try_join_next().is_some() {}
        // Time out and notice mean the same: look again.
        let _either = tokio::time::timeout(LOOK_AGAIN, seen.changed()).await;
        tokio::time::sleep(LOOK_AGAIN / 4).await;
    }
}

/// How grave an entry is. One that was erased, or that a newer Muster wrote, is as grave as a
/// notice.
fn gravity(entry: &EntryView) -> Severity {
    entry.severity.map_or(Severity::Notice, severity_of)
}

type Wanted = BTreeMap<(RealmKey, String), (Arc<RealmState>, Sink)>;

fn wanted(house: &House) -> Wanted {
    let mut wanted = Wanted::new();
    for realm in house.realms() {
        match house.registry.sinks(realm.key) {
            Ok(sinks) => wanted.extend(
                sinks.into_iter().map(|s| ((realm.key, s.name.clone()), (realm.clone(), s))),
            ),
            Err(error) => tracing::error!(realm = %realm.name(), "sinks cannot be read: {error}"),
        }
    }
    wanted
}
