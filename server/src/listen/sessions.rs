//! Open connections by the key that their client proved, so that what the registry ends is ended on
//! the wire too.
//!
//! The registry tells of every [`Cut`](registry::Cut) after the commit and before the answer to
//! whoever asked for it; [`Sessions::end`] then tells each connection under one of its keys. A
//! connection between two requests closes at once; a request in flight is answered first, since it
//! is judged by the roll, which knows already, and its answer is a refusal that says why.
//!
//! A key has some connections at once, and the oldest makes room for the newest: whoever has proved
//! something is no stranger and gives up its place to nobody else, so one device could hold them all.
//!
//! A connection that showed no certificate (a join by token) is under no key: it has no rights of
//! its own, and each request over it is judged by what it brings.

use crate::limits::CONNECTIONS_PER_KEY_MAX;
use identity::SpkiHash;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The open connections of a listener, by key.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SpkiHash, Vec<Arc<End>>>>);

/// The end of one connection.
#[derive(Debug, Default)]
struct End {
    told: Notify,
    /// Whether it makes room for another of its key.
    crowded: AtomicBool,
}

/// A connection among them; leaves them when dropped.
pub(super) struct Session {
    sessions: Arc<Sessions>,
    key: SpkiHash,
    end: Arc<End>,
}

impl Sessions {
    /// Ends the connections under these keys; how many there were. Called from the registry's
    /// writer, so it only passes the word on.
    pub fn end(&self, keys: &[SpkiHash]) -> usize {
        let table = self.lock();
        let mut told = 0;
        for session in keys.iter().filter_map(|key| table.get(key)).flatten() {
            session.told.notify_one();
            told += 1;
        }
        told
    }

    /// Connections that are open under some key.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    pub(super) fn enter(self: &Arc<Self>, key: SpkiHash) -> Session {
        let end = Arc::new(End::default());
        let mut table = self.lock();
        let open = table.entry(key).or_default();
        if open.len() >= CONNECTIONS_PER_KEY_MAX {
            let oldest = open.remove(0);
            oldest.crowded.store(true, Ordering::Relaxed);
            oldest.told.notify_one();
        }
        open.push(Arc::clone(&end));
        Session { sessions: Arc::clone(self), key, end }
    }

    fn leave(&self, key: &SpkiHash, end: &Arc<End>) {
        let mut table = self.lock();
        if let Some(open) = table.get_mut(key) {
            open.retain(|one| !Arc::ptr_eq(one, end));
            if open.is_empty() {
                table.remove(key);
            }
        }
    }

    /// A panic of another thread leaves a table that is whole: each change of it is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<SpkiHash, Vec<Arc<End>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) async fn until_ended(&self) {
        self.end.told.notified().await;
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.end.crowded.load(Ordering::Relaxed)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.leave(&self.key, &self.end);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SpkiHash {
        SpkiHash::from_octets([number; 32])
    }

    #[tokio::test]
    async fn every_connection_of_a_key_is_told_and_no_other() {
        let sessions = Arc::new(Sessions::default());
        let (one, two, other) =
            (sessions.enter(key(1)), sessions.enter(key(1)), sessions.enter(key(2)));
        assert_eq!(sessions.end(&[key(1), key(3)]), 2);
        one.until_ended().await;
        two.until_ended().await;
        let waits = tokio::time::timeout(std::time::Duration::ZERO, other.until_ended()).await;
        assert!(waits.is_err());
    }

    #[tokio::test]
    async fn beyond_its_bound_the_oldest_connection_of_a_key_makes_room() {
        let sessions = Arc::new(Sessions::default());
        let mut open: Vec<Session> =
            (0..CONNECTIONS_PER_KEY_MAX).map(|_| sessions.enter(key(1))).collect();
        let other = sessions.enter(key(2));
        let ended = |open: &[Session]| open.iter().filter(|one| one.is_crowded()).count();
        assert_eq!(ended(&open), 0);

        open.push(sessions.enter(key(1)));
        open.push(sessions.enter(key(1)));

        assert!(open[0].is_crowded() && open[1].is_crowded() && !other.is_crowded());
        assert_eq!(ended(&open), 2);
        open[0].until_ended().await;
        open[1].until_ended().await;
        assert_eq!(sessions.count(), CONNECTIONS_PER_KEY_MAX + 1);
        drop(open);
        assert_eq!(sessions.count(), 1);
    }

    #[test]
    fn a_connection_that_ended_is_forgotten() {
        let sessions = Arc::new(Sessions::default());
        let one = sessions.enter(key(1));
        let two = sessions.enter(key(1));
        drop(one);
        assert_eq!(sessions.count(), 1);
        drop(two);
        assert!(sessions.lock().is_empty());
        assert_eq!(sessions.end(&[key(1)]), 0);
    }
}
