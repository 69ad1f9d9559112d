//! The order of things for one sink: entries in the order of the ledger, each until it arrived or
//! was given up, and the number of the next one durable behind it.

use super::gravity;
use super::letters::{self, DEAD_MAX, Letter};
use super::reach::{Reach, Trouble};
use crate::house::{House, RealmState};
use crate::operator::shown;
use api::EntryView;
use registry::{EntryRow, Sink};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Entries that are read at once.
const BATCH: usize = 64;
/// How often the number of the next entry is made durable at most: a crash repeats no more than
/// what a second told.
const NOTE: Duration = Duration::from_secs(1);
/// The first rest after a failure; it doubles, up to the longest one.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// An entry that the receiver refuses is tried so often: it may have been in the middle of a
/// change.
const REFUSALS_MAX: u32 = 3;
/// An entry that does not arrive for so long is given up; those behind it wait meanwhile.
const GIVE_UP: Duration = Duration::from_secs(86_400);

/// Tells `sink` all that comes. Ends with its task, or at once where the sink cannot be told.
pub(super) async fn run(
    house: Arc<House>,
    realm: Arc<RealmState>,
    sink: Sink,
    mut tide: watch::Receiver<()>,
) {
    let mut reach = match Reach::new(realm.name().as_str(), &sink) {
        Ok(reach) => reach,
        Err(why) => {
            tracing::error!(sink = sink.name, "this receiver cannot be told: {why}");
            house.sinks.ill(realm.key, &sink.name, &why);
            return;
        }
    };
    let work = Work { house, realm, sink };
    let mut next = work.begin().await;
    let (mut noted, mut noted_at) = (next, Instant::now());
    loop {
        tide.borrow_and_update();
        let rows = work.read(next).await;
        for row in &rows {
            let entry = shown(row);
            if wants(&work.sink, &entry) {
                work.tell(&mut reach, &entry).await;
            }
            next = row.index + 1;
            if noted_at.elapsed() >= NOTE {
                work.note(next).await;
                (noted, noted_at) = (next, Instant::now());
            }
        }
        if rows.is_empty() {
            if noted != next {
                work.note(next).await;
                (noted, noted_at) = (next, Instant::now());
            }
            // Whoever holds the other end ends this task first.
            let _either = tokio::time::timeout(REST_MAX, tide.changed()).await;
        }
    }
}

/// Whether a sink is told of this entry.
fn wants(sink: &Sink, entry: &EntryView) -> bool {
    let verb = entry.verb.as_deref().unwrap_or_default();
    let grave = gravity(entry);
    let named = sink.verbs.is_empty() || sink.verbs.iter().any(|front| verb.starts_with(front));
    grave >= sink.least && named
}

/// Whether a sink can be told at all: its address and its trust anchors can be used.
///
/// # Errors
/// A sentence for the operator.
pub fn check(sink: &Sink) -> Result<(), String> {
    Reach::new("", sink).map(drop)
}

/// Tells one entry once, to see what the receiver says.
///
/// # Errors
/// [`Trouble`], with the receiver's words.
pub async fn try_once(realm: &str, sink: &Sink, entry: &EntryView) -> Result<(), Trouble> {
    let mut reach = Reach::new(realm, sink).map_err(Trouble::Refused)?;
    reach.tell(entry).await
}

struct Work {
    house: Arc<House>,
    realm: Arc<RealmState>,
    sink: Sink,
}

impl Work {
    /// Where it goes on. A number that cannot be read is not a lost one: it is read again, since
    /// without it everything would be told once more.
    async fn begin(&self) -> u64 {
        loop {
            let (registry, realm) = (self.house.registry.clone(), self.realm.key);
            let sink = self.sink.clone();
            let read = tokio::task::spawn_blocking(move || letters::next(&registry, realm, &sink));
            match read.await {
                Ok(Ok(next)) => return next,
                Ok(Err(error)) => {
                    let why = format!("how far it was told cannot be read: {error}");
                    tracing::error!(sink = self.sink.name, "{why}");
                    self.house.sinks.ill(realm, &self.sink.name, &why);
                }
                Err(_) => {}
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn read(&self, next: u64) -> Vec<EntryRow> {
        let (registry, realm) = (self.house.registry.clone(), self.realm.key);
        let read = tokio::task::spawn_blocking(move || registry.entries(realm, next, BATCH)).await;
        match read {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::error!(sink = self.sink.name, "the ledger cannot be read: {error}");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    async fn note(&self, next: u64) {
        let (registry, realm) = (self.house.registry.clone(), self.realm.key);
        let sink = self.sink.clone();
        let noted =
            tokio::task::spawn_blocking(move || letters::set_next(&registry, realm, &sink, next));
        if let Ok(Err(error)) = noted.await {
            // It is told again after a restart, as was promised.
            tracing::warn!(sink = self.sink.name, "how far it was told is not durable: {error}");
        }
    }

    /// Tells one entry until it arrived or was given up.
    async fn tell(&self, reach: &mut Reach, entry: &EntryView) {
        let (realm, sink) = (self.realm.name().as_str(), self.sink.name.as_str());
        let (began, mut rest) = (Instant::now(), REST);
        let (mut attempts, mut refusals) = (0_u32, 0_u32);
        loop {
            attempts += 1;
            let trouble = match reach.tell(entry).await {
                Ok(()) => {
                    self.house.metrics.told(realm, sink, "delivered");
                    self.house.sinks.well(self.realm.key, sink);
                    return;
                }
                Err(trouble) => trouble,
            };
            self.house.metrics.told(realm, sink, "failed");
            self.house.sinks.ill(self.realm.key, sink, trouble.sentence());
            tracing::warn!(sink, entry = entry.index, attempts, "not told: {}", trouble.sentence());
            refusals += u32::from(matches!(trouble, Trouble::Refused(_)));
            let over = refusals >= REFUSALS_MAX || began.elapsed() >= GIVE_UP;
            if over && self.give_up(entry, attempts, &trouble).await {
                self.house.metrics.told(realm, sink, "dead");
                return;
            }
            let asked = match trouble {
                Trouble::Again(_, Some(secs)) => Duration::from_secs(secs),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(rest.max(asked)).await;
            rest = (rest * 2).min(REST_MAX);
        }
    }

    /// Puts it on the list of dead letters; whether there was room, and it is durable.
    async fn give_up(&self, entry: &EntryView, attempts: u32, trouble: &Trouble) -> bool {
        let (registry, realm) = (self.house.registry.clone(), self.realm.key);
        let (name, number) = (self.sink.name.clone(), entry.index);
        let why = trouble.sentence().to_owned();
        let letter = Letter::new(self.house.clock.now(), attempts, why);
        let kept = tokio::task::spawn_blocking(move || {
            let dead = letters::dead(&registry, realm, &name).map_err(|e| e.to_string())?;
            if dead.len() >= DEAD_MAX {
                return Err(format!("its {DEAD_MAX} dead letters are full: `muster sink dead`"));
            }
            let letter = (number, Some(&letter));
            letters::set_dead(&registry, realm, &name, letter).map_err(|e| e.to_string())
        });
        match kept.await {
            Ok(Ok(())) => true,
            Ok(Err(why)) => {
                self.house.sinks.ill(self.realm.key, &self.sink.name, &why);
                tracing::error!(sink = self.sink.name, entry = number, "it waits: {why}");
                false
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::UnixTime;
    use ledger::{Event, Severity};
    use registry::{SinkFormat, SinkKind};

    fn entry(verb: &str) -> EntryView {
        EntryView {
            index: 0,
            hours: 0,
            at: None,
            class: String::new(),
            digest: String::new(),
            verb: Some(verb.to_owned()),
            event: None,
            severity: Event::of(verb).and_then(|event| event.severity.as_str().parse().ok()),
            payload: None,
            damaged: false,
        }
    }

    #[test]
    fn a_sink_is_told_of_what_is_grave_enough_and_named() {
        let mut sink = Sink {
            name: "siem".to_owned(),
            kind: SinkKind::Webhook,
            url: String::new(),
            format: SinkFormat::Json,
            least: Severity::Warning,
            verbs: Vec::new(),
            anchors: None,
            secret: [0; 32],
            made: UnixTime::default(),
            begins: 0,
            telling: [0; 8],
        };
        assert!(wants(&sink, &entry("device.suspended")));
        assert!(!wants(&sink, &entry("join.issued")));
        assert!(!wants(&sink, &entry("of.tomorrow")));
        let signal = EntryView { severity: Some(api::Severity::Critical), ..entry("key.knocked") };
        sink.least = Severity::Critical;
        assert!(wants(&sink, &signal) && !wants(&sink, &entry("key.knocked")));
        sink.least = Severity::Warning;
        sink.verbs = vec!["certificate.".to_owned()];
        assert!(wants(&sink, &entry("certificate.revoked")));
        assert!(!wants(&sink, &entry("device.suspended")));
    }
}
