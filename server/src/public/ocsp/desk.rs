//! The responder: for which authorities it speaks, who signs for each of them, and where the facts
//! come from.
//!
//! What happens if a certificate is revoked *while* somebody asks? The answer was read before or
//! after the commit, and goes to whom it was read for; but nothing that was read before is kept for
//! the next one. Read on in [`known`](super::known).

use super::Kept;
use super::known::{Fact, Known};
use crate::clock::SystemDice;
use crate::house::{House, RealmState};
use crate::keys::NewKey;
use crate::limits;
use crate::listen::network;
use crate::rate::{Rate, Rates};
use ca::ocsp::{self, Failure, Names, Question, RESPONDER_S, Responder, Status};
use identity::authority::{Authority, AuthorityState, KeyId, Role};
use identity::{Certificate, KeyError, KeyKind, Outside, RealmName, Serial, Signer, UnixTime};
use registry::StatusRow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// What is said to who asked.
pub(super) enum Said {
    /// The same as to the one before.
    Kept(Arc<Kept>),
    /// Signed for this one alone.
    Signed(Vec<u8>),
    /// Later: this address has had its share of signatures.
    Limited,
    /// Nothing.
    Failed(Failure),
}

/// Answers for every realm of a house.
pub struct Desk {
    house: Arc<House>,
    circles: RwLock<HashMap<RealmName, Arc<Circle>>>,
    known: Arc<Known>,
    reads: Arc<Semaphore>,
    /// What each address may have signed.
    shares: Rates<IpAddr>,
}

/// The authorities of a realm that answers are given for, as the realm stood.
pub(super) struct Circle {
    state: Arc<RealmState>,
    members: Vec<Arc<Member>>,
}

/// An authority, and who signs for it.
struct Member {
    names: Names,
    certificate: Certificate,
    key: Arc<dyn Signer>,
    /// Made when somebody first asks, and again when half of its life is over.
    responder: Mutex<Option<Arc<Responder>>>,
}

impl Desk {
    /// A responder for `house`, which hears of each change of a status from now on.
    #[must_use]
    pub fn new(house: Arc<House>) -> Arc<Self> {
        let known = Arc::new(Known::default());
        let told = Arc::clone(&known);
        house.registry.on_status(Box::new(move |changed| told.forget(changed)));
        let reads = Arc::new(Semaphore::new(limits::OCSP_READS_MAX));
        Arc::new(Self { house, circles: RwLock::default(), known, reads, shares: Rates::default() })
    }

    /// Answers a request that came from this address; `None` where there is no such realm.
    pub(super) async fn answer(&self, realm: &str, request: &[u8], from: IpAddr) -> Option<Said> {
        let circle = self.circle(realm)?;
        let said = self.decide(&circle, request, from).await.unwrap_or_else(Said::Failed);
        let result = match &said {
            Said::Kept(_) => "answered",
            Said::Signed(_) => "signed",
            Said::Limited => "limited",
            Said::Failed(failure) => failure.as_str(),
        };
        self.house.metrics.ocsp(realm, result);
        Some(said)
    }

    async fn decide(&self, circle: &Circle, request: &[u8], from: IpAddr) -> Result<Said, Failure> {
        let now = self.house.clock.now();
        let question = ocsp::hear(request, circle.members.iter().map(|m| &m.names))?;
        let plain = question.plain().and_then(|id| Some((id, (circle.state.key, id.serial()?))));
        if let Some((id, of)) = plain
            && let Some(kept) = self.known.answer(of, id.der, now)
        {
            return Ok(Said::Kept(kept));
        }
        if !self.may_have_signed(from, now) {
            return Ok(Said::Limited);
        }
        let ticket = self.known.ticket();
        let facts = self.facts(circle, &question).await?;
        let signed = circle
            .responder(question.issuer, now)?
            .answer(&question, &facts, now)
            .map_err(|error| silent(question.issuer, error))?;
        match plain {
            // What is not on record today may be tomorrow, and strangers can ask for anything.
            Some((id, of)) if facts != [Status::Unknown] => {
                let kept = Arc::new(Kept::new(signed, since(&facts)));
                self.known.keep(ticket, of, id.der, &kept);
                Ok(Said::Kept(kept))
            }
            _ => Ok(Said::Signed(signed.der)),
        }
    }

    /// Whether an answer is signed for this address, which has a share of them.
    fn may_have_signed(&self, from: IpAddr, now: UnixTime) -> bool {
        let rate = Rate::per_second(limits::OCSP_SIGNED_BURST, limits::OCSP_SIGNED_PER_S);
        from.to_canonical().is_loopback() || self.shares.take_of(network(from), rate, now)
    }

    /// What is known of each certificate, from memory or else from the registry.
    async fn facts(
        &self,
        circle: &Circle,
        question: &Question<'_>,
    ) -> Result<Vec<Status>, Failure> {
        let realm = circle.state.key;
        let serials: Vec<Serial> = question.asked.iter().filter_map(|id| id.serial()).collect();
        let mut facts: HashMap<Serial, Fact> = HashMap::with_capacity(serials.len());
        let mut missing = Vec::new();
        for serial in serials {
            match self.known.fact((realm, serial)) {
                Some(fact) => drop(facts.insert(serial, fact)),
                None => missing.push(serial),
            }
        }
        if !missing.is_empty() {
            let ticket = self.known.ticket();
            for (serial, fact) in self.read(circle, missing).await? {
                self.known.learn(ticket, (realm, serial), fact);
                facts.insert(serial, fact);
            }
        }
        let of = |serial: Option<Serial>| match facts.get(&serial?) {
            Some(fact) if fact.issuer == question.issuer => Some(fact.status),
            _ => None,
        };
        Ok(question.asked.iter().map(|id| of(id.serial()).unwrap_or(Status::Unknown)).collect())
    }

    /// SQL blocks, so it happens on a thread of its own, and only so many at a time. The place is
    /// the read's: who asks and hangs up gives back none.
    async fn read(
        &self,
        circle: &Circle,
        serials: Vec<Serial>,
    ) -> Result<Vec<(Serial, Fact)>, Failure> {
        let place = Arc::clone(&self.reads).acquire_owned().await;
        let (registry, realm) = (self.house.registry.clone(), circle.state.key);
        let read = tokio::task::spawn_blocking(move || {
            let _place = place;
            let rows = registry.statuses(realm, &serials)?;
            let facts = serials.into_iter().zip(rows).filter_map(|(s, row)| Some((s, fact(row?))));
            Ok::<_, registry::ReadError>(facts.collect())
        });
        match read.await {
            Ok(Ok(facts)) => Ok(facts),
            Ok(Err(error)) => {
                tracing::warn!(%error, "OCSP answers are put off");
                Err(Failure::TryLater)
            }
            Err(_ended) => Err(Failure::TryLater),
        }
    }

    /// The authorities of a realm as it stands now; made anew when the realm was read anew.
    fn circle(&self, realm: &str) -> Option<Arc<Circle>> {
        let name = RealmName::parse(realm)?;
        let state = self.house.realm(&name)?;
        let last = {
            let circles = self.circles.read().unwrap_or_else(PoisonError::into_inner);
            circles.get(&name).cloned()
        };
        match last {
            Some(last) if Arc::ptr_eq(&last.state, &state) => Some(last),
            last => {
                let circle = Arc::new(Circle::new(&self.house, state, last.as_deref()));
                let mut circles = self.circles.write().unwrap_or_else(PoisonError::into_inner);
                circles.insert(name, Arc::clone(&circle));
                Some(circle)
            }
        }
    }
}

/// When what is said came to be so, as far as that is known.
fn since(facts: &[Status]) -> Option<UnixTime> {
    facts.iter().find_map(|status| match status {
        Status::Revoked(revocation) => Some(revocation.at),
        Status::Good | Status::Unknown => None,
    })
}

fn fact(row: StatusRow) -> Fact {
    Fact { issuer: row.issuer, status: row.revoked.map_or(Status::Good, Status::Revoked) }
}

impl Circle {
    /// Who signed for an authority before goes on.
    fn new(house: &House, state: Arc<RealmState>, last: Option<&Self>) -> Self {
        let member = |authority: &Authority| {
            let known = last.and_then(|last| last.member(authority.id)).cloned();
            known.or_else(|| Member::new(house, authority))
        };
        let members = state.authorities.iter().filter(|a| answers(a)).filter_map(member).collect();
        Self { state, members }
    }

    fn member(&self, id: KeyId) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.names.id == id)
    }

    fn responder(&self, issuer: KeyId, now: UnixTime) -> Result<Arc<Responder>, Failure> {
        self.member(issuer).ok_or(Failure::Unauthorized)?.responder(now)
    }
}

/// Authorities of which the registry records every certificate. The root signs offline; the service
/// authority signs nobody's but our own, which are not on record and carry no address of ours.
fn answers(authority: &Authority) -> bool {
    matches!(authority.role, Role::Birth | Role::Operations)
        && authority.state != AuthorityState::Barred
        && authority.wiped.is_none()
}

impl Member {
    fn new(house: &House, authority: &Authority) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            names: Names::of(&authority.certificate).ok()?,
            certificate: authority.certificate.clone(),
            key: house.signer(&authority.id)?,
            responder: Mutex::default(),
        }))
    }

    fn responder(&self, now: UnixTime) -> Result<Arc<Responder>, Failure> {
        let ends = self.certificate.not_after();
        if ends <= now {
            // Nothing that it signed is good any more.
            return Err(Failure::Unauthorized);
        }
        let mut held = self.responder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(responder) = held.as_ref().filter(|r| is_young(r.certificate(), ends, now)) {
            return Ok(Arc::clone(responder));
        }
        let made = self.certify(now).map_err(|error| silent(self.names.id, error))?;
        *held = Some(Arc::clone(&made));
        Ok(made)
    }

    /// A key that is never stored, as the server's own; P-256 whatever the authority has, since
    /// every client verifies it and it signs fastest.
    fn certify(&self, now: UnixTime) -> Result<Arc<Responder>, KeyError> {
        let key = NewKey::make(KeyKind::P256)?.signer()?;
        let mut outside = Outside { now, dice: &mut SystemDice };
        let authority = (&self.certificate, &*self.key);
        Ok(Arc::new(Responder::certified(authority, Arc::new(key), &mut outside)?))
    }
}

/// Not yet in the second half of its life, and not from the future; where its authority ends with
/// it, a new one would live no longer.
fn is_young(responder: &Certificate, authority_ends: UnixTime, now: UnixTime) -> bool {
    let left = responder.not_after().secs_since(now);
    let last = responder.not_after() == authority_ends && left > 0;
    responder.not_before() <= now && (left > RESPONDER_S / 2 || last)
}

fn silent(issuer: KeyId, error: KeyError) -> Failure {
    tracing::error!(%issuer, %error, "no OCSP answer");
    Failure::Internal
}
