//! What the responder knows without asking: the status of certificates, and answers that are signed
//! already. A change of status takes both away before the change is acknowledged.
//!
//! Two halves, young and old: what is looked at goes to the young one, and when that is full it
//! becomes the old one, which is dropped. So what is asked for stays, and the memory has a bound.
//!
//! What was read while something changed may be older than the change. So a reader takes a ticket
//! first, and what it brings is kept only if nothing changed since.

use super::Kept;
use ca::ocsp::Status;
use identity::authority::KeyId;
use identity::{Serial, UnixTime};
use registry::RealmKey;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Certificates in one half. One takes some 1.6 KiB with its answer, so that both halves end at
/// some 26 MiB.
const KNOWN_MAX: usize = 8192;

/// Answers of one certificate: clients name it by SHA-1 or SHA-256, each with or without
/// parameters.
const SPELLINGS_MAX: usize = 4;

/// What the registry says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) issuer: KeyId,
    pub(super) status: Status,
}

/// How many changes a reader had seen when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Default)]
pub(super) struct Known(RwLock<Halves>);

#[derive(Default)]
struct Halves {
    changes: u64,
    young: HashMap<(RealmKey, Serial), Entry>,
    old: HashMap<(RealmKey, Serial), Entry>,
}

struct Entry {
    fact: Fact,
    /// By the CertID that was asked with.
    answers: Vec<(Box<[u8]>, Arc<Kept>)>,
}

impl Known {
    /// To be taken before something is read.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.read().changes)
    }

    /// What is known of a certificate.
    pub(super) fn fact(&self, of: (RealmKey, Serial)) -> Option<Fact> {
        self.find(of, |entry| Some(entry.fact))
    }

    /// The answer to a CertID, where there is one that is fresh.
    pub(super) fn answer(
        &self,
        of: (RealmKey, Serial),
        id: &[u8],
        now: UnixTime,
    ) -> Option<Arc<Kept>> {
        self.find(of, |entry| {
            let (_, kept) = entry.answers.iter().find(|(asked, _)| **asked == *id)?;
            kept.is_fresh(now).then(|| Arc::clone(kept))
        })
    }

    /// Keeps what was read.
    pub(super) fn learn(&self, ticket: Ticket, of: (RealmKey, Serial), fact: Fact) {
        let mut halves = self.write();
        if halves.changes == ticket.0 {
            halves.make_room();
            halves.young.entry(of).or_insert(Entry { fact, answers: Vec::new() });
        }
    }

    /// Keeps what was signed.
    pub(super) fn keep(&self, ticket: Ticket, of: (RealmKey, Serial), id: &[u8], kept: &Arc<Kept>) {
        let mut halves = self.write();
        if halves.changes != ticket.0 {
            return;
        }
        let Some(entry) = halves.young.get_mut(&of) else { return };
        entry.answers.retain(|(asked, _)| **asked != *id);
        entry.answers.truncate(SPELLINGS_MAX - 1);
        entry.answers.insert(0, (id.into(), Arc::clone(kept)));
    }

    /// These have another status now.
    pub(super) fn forget(&self, changed: &[(RealmKey, Serial)]) {
        let mut halves = self.write();
        halves.changes += 1;
        for of in changed {
            halves.young.remove(of);
            halves.old.remove(of);
        }
    }

    fn find<T>(&self, of: (RealmKey, Serial), ask: impl Fn(&Entry) -> Option<T>) -> Option<T> {
        let halves = self.read();
        if let Some(entry) = halves.young.get(&of) {
            return ask(entry);
        }
        if !halves.old.contains_key(&of) {
            return None;
        }
        drop(halves);
        let mut halves = self.write();
        let entry = halves.old.remove(&of)?;
        let found = ask(&entry);
        halves.make_room();
        halves.young.insert(of, entry);
        found
    }

    fn read(&self) -> RwLockReadGuard<'_, Halves> {
        // A panic of another thread leaves whole entries.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Halves> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn make_room(&mut self) {
        if self.young.len() >= KNOWN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca::ocsp::Signed;

    const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);

    fn of(number: usize) -> (RealmKey, Serial) {
        let mut chance = [0; 10];
        chance[..8].copy_from_slice(&number.to_be_bytes());
        (RealmKey(1), Serial::new(NOW, chance))
    }

    fn good() -> Fact {
        Fact { issuer: KeyId::from_octets(&[7; 20]).unwrap(), status: Status::Good }
    }

    fn kept() -> Arc<Kept> {
        let next_update = NOW.plus_secs(3600);
        Arc::new(Kept::new(Signed { der: vec![7; 1000], this_update: NOW, next_update }, None))
    }

    fn taught(known: &Known, number: usize) {
        let ticket = known.ticket();
        known.learn(ticket, of(number), good());
        known.keep(ticket, of(number), b"id", &kept());
    }

    #[test]
    fn a_change_takes_the_answer_and_what_was_known_away() {
        let known = Known::default();
        taught(&known, 1);
        taught(&known, 2);
        assert!(known.answer(of(1), b"id", NOW).is_some());
        assert!(known.answer(of(1), b"other spelling", NOW).is_none());

        known.forget(&[of(1)]);

        assert!(known.answer(of(1), b"id", NOW).is_none() && known.fact(of(1)).is_none());
        assert!(known.answer(of(2), b"id", NOW).is_some(), "others stay");
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let known = Known::default();
        let ticket = known.ticket();
        known.forget(&[of(1)]);
        known.learn(ticket, of(1), good());
        known.keep(ticket, of(1), b"id", &kept());
        assert_eq!(known.fact(of(1)), None);

        let ticket = known.ticket();
        known.learn(ticket, of(1), good());
        known.forget(&[of(1)]);
        known.keep(ticket, of(1), b"id", &kept());
        assert!(known.answer(of(1), b"id", NOW).is_none());
    }

    #[test]
    fn an_answer_is_given_for_half_of_its_life() {
        let known = Known::default();
        taught(&known, 1);
        assert!(known.answer(of(1), b"id", NOW.plus_secs(1799)).is_some());
        assert!(known.answer(of(1), b"id", NOW.plus_secs(1800)).is_none());
        assert!(known.answer(of(1), b"id", NOW.minus_secs(1)).is_none(), "nor from the future");
    }

    #[test]
    fn the_memory_has_a_bound_and_what_is_asked_for_stays() {
        let known = Known::default();
        for number in 0..3 * KNOWN_MAX {
            taught(&known, number);
            assert!(known.answer(of(0), b"id", NOW).is_some(), "asked for at {number}");
        }
        let halves = known.read();
        assert!(halves.young.len() <= KNOWN_MAX && halves.old.len() <= KNOWN_MAX);
    }

    #[test]
    fn a_certificate_has_few_spellings() {
        let known = Known::default();
        known.learn(known.ticket(), of(1), good());
        for spelling in 0..10 {
            known.keep(known.ticket(), of(1), &[spelling], &kept());
        }
        let found = (0..10).filter(|s| known.answer(of(1), &[*s], NOW).is_some()).count();
        assert_eq!(found, SPELLINGS_MAX);
    }
}
