//! What is kept of a sink's deliveries, as notes of the registry: the number of the next entry, and
//! the dead letters, which are numbers too, since the ledger has the entries themselves.

use identity::UnixTime;
use registry::{CommitError, ReadError, RealmKey, Registry, Sink};
use serde::{Deserialize, Serialize};

/// Where the number of the next entry is kept: a space for each sink, and in it a note for each
/// telling, so that a worker that is not over yet does not note over where another one begins.
const NEXT: &str = "sink-next";
/// Where dead letters are kept: a space for each sink.
const DEAD: &str = "sink-dead";

/// Dead letters of one sink. Beyond them delivery stands still rather than lose one: a receiver
/// that refuses ten thousand events is out of order, and somebody has to look.
pub const DEAD_MAX: usize = 10_000;

/// Why an entry did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// When it was given up, in milliseconds since 1970.
    pub at: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What the receiver said last.
    pub why: String,
}

impl Letter {
    /// A letter that is given up now.
    #[must_use]
    pub fn new(now: UnixTime, attempts: u32, why: String) -> Self {
        Self { at: now.millis(), attempts, why }
    }
}

fn space(sink: &str) -> String {
    format!("{DEAD}/{sink}")
}

fn told(sink: &str) -> String {
    format!("{NEXT}/{sink}")
}

/// The number of the next entry that a sink is told.
///
/// # Errors
/// [`ReadError`].
pub fn next(registry: &Registry, realm: RealmKey, sink: &Sink) -> Result<u64, ReadError> {
    let noted = registry.noted(realm, &told(&sink.name), &sink.telling)?;
    let noted = noted.and_then(|octets| octets.try_into().ok()).map(u64::from_be_bytes);
    Ok(noted.unwrap_or(sink.begins))
}

/// Notes the number of the next entry. Blocks until it is durable.
///
/// # Errors
/// [`CommitError`].
pub fn set_next(
    registry: &Registry,
    realm: RealmKey,
    sink: &Sink,
    number: u64,
) -> Result<(), CommitError> {
    let octets = number.to_be_bytes().to_vec();
    registry.note_wait(realm, &told(&sink.name), &sink.telling, Some(octets))
}

/// Forgets how far the tellings before this one came. Blocks until it is durable.
///
/// # Errors
/// [`CommitError`].
pub fn forget_before(registry: &Registry, realm: RealmKey, sink: &Sink) -> Result<(), CommitError> {
    clear(registry, realm, &told(&sink.name), |telling| telling != sink.telling)
}

/// The dead letters of a sink, by the number of their entry.
///
/// # Errors
/// [`ReadError`].
pub fn dead(
    registry: &Registry,
    realm: RealmKey,
    sink: &str,
) -> Result<Vec<(u64, Letter)>, ReadError> {
    let noted = registry.noted_all(realm, &space(sink))?;
    let read = noted.into_iter().filter_map(|(number, letter)| {
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some((number, serde_json::from_slice(&letter).ok()?))
    });
    Ok(read.collect())
}

/// Puts an entry on the list, or takes it off. Blocks until it is durable.
///
/// # Errors
/// [`CommitError`].
pub fn set_dead(
    registry: &Registry,
    realm: RealmKey,
    sink: &str,
    (number, letter): (u64, Option<&Letter>),
) -> Result<(), CommitError> {
    let octets = letter.map(|letter| serde_json::to_vec(letter).unwrap_or_default());
    registry.note_wait(realm, &space(sink), &number.to_be_bytes(), octets)
}

/// Forgets everything about a sink. Blocks until it is durable.
///
/// # Errors
/// [`CommitError`].
pub fn forget(registry: &Registry, realm: RealmKey, sink: &str) -> Result<(), CommitError> {
    clear(registry, realm, &told(sink), |_| true)?;
    clear(registry, realm, &space(sink), |_| true)
}

fn clear(
    registry: &Registry,
    realm: RealmKey,
    space: &str,
    goes: impl Fn(&[u8]) -> bool,
) -> Result<(), CommitError> {
    let noted =
        registry.noted_all(realm, space).map_err(|e| CommitError::Storage(e.to_string()))?;
    let keys = noted.into_keys();
    keys.filter(|key| goes(key)).try_for_each(|key| registry.note_wait(realm, space, &key, None))
}
