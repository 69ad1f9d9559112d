//! The birth desk: requests of a station to durable birth certificates, many at a time.
//!
//! Each unit stands alone: one that is refused spares the rest. The commits of a batch are all
//! queued before the first is waited for, so that they share their fsync.

use crate::clock::SystemDice;
use crate::erasure::Over;
use crate::house::{House, RealmState};
use crate::record::{Refused, printed};
use ca::birth::{self, BirthAsk, BirthFacts, BirthJudgement, Born};
use identity::ask::Cause;
use identity::authority::{Authority, AuthorityState, KeyId};
use identity::credential::{Credential, Requester};
use identity::{Csr, Defect, Device, DeviceId, Identifiers, Outside, Refusal, RuleId, Serial};
use ledger::{Class, Map, Payload, Value};
use registry::{Change, CommitError, Committed, ReadError};
use std::fmt;
use std::net::IpAddr;

/// How often a unit is decided anew because another birth crossed it.
const DECISIONS_MAX: usize = 4;

/// Why a unit has another birth certificate for the same key.
const ISSUER_BARRED: &str = "the authority that signed the one before is barred";

/// One unit, as a station presents it.
pub struct Unit {
    /// The request in PEM, or DER in base64.
    pub csr: String,
    /// The physical identifiers, as said.
    pub identifiers: Identifiers,
    /// Why a second birth with another key is right, where it is (rework).
    pub replace: Option<String>,
}

/// A unit's birth certificate.
#[derive(Debug)]
pub struct Birth {
    /// Whose it is.
    pub device: DeviceId,
    /// The certificate, in DER.
    pub certificate: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// The key of the authority that signed it.
    pub issuer: KeyId,
    /// Whether it was there already: the same key and identifiers came before.
    pub again: bool,
}

/// Why a unit has no birth certificate.
#[derive(Debug)]
pub struct NotBorn {
    /// The refusal.
    pub refusal: Refusal,
    /// What is recorded and what came, where the unit proved a key that is known.
    pub compared: Option<String>,
}

impl fmt::Display for NotBorn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refusal, compared } = self;
        match compared {
            Some(compared) => write!(f, "{refusal}; {compared}"),
            None => refusal.fmt(f),
        }
    }
}

/// Who presents units, and from where.
#[derive(Clone, Copy)]
pub struct Station<'a> {
    /// The name of the operator credential.
    pub name: &'a str,
    /// The address that it calls from.
    pub from: IpAddr,
    /// Whether its word replaces the birth certificate of a unit that has joined, too.
    pub replaces_joined: bool,
}

/// A unit between its decision and its commit.
enum Step<'a> {
    Done(Result<Birth, Denied>),
    Committing { ask: Box<BirthAsk>, born: Box<Birth>, commit: CommitWait<'a> },
}

/// A refusal, and the device that it is about where there is one.
struct Denied {
    refusal: Refusal,
    about: Option<DeviceId>,
    compared: Option<String>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, about: None, compared: None }
    }
}

enum Decided {
    Again(Box<Credential>),
    /// With what was bound before, of a device that comes again.
    Born(Box<Born>, Option<Identifiers>),
}

type CommitWait<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send + 'a>>;

impl House {
    /// Carries each unit to a durable birth certificate or a refusal, in the order of `units`; what
    /// could not be read as one is refused with the others.
    pub async fn births(
        &self,
        realm: &RealmState,
        units: Vec<Result<Unit, Defect>>,
        station: Station<'_>,
    ) -> Vec<Result<Birth, NotBorn>> {
        let mut steps = Vec::with_capacity(units.len());
        for unit in units {
            steps.push(match unit.and_then(|unit| read(unit, station)) {
                Ok(ask) => self.begin(realm, Box::new(ask), station),
                Err(defect) => Step::Done(Err(Refusal::Malformed(defect).into())),
            });
            // Signing is work: between two units others of this worker get their turn.
            tokio::task::yield_now().await;
        }
        let mut results = Vec::with_capacity(steps.len());
        for step in steps {
            let result = self.finish(realm, step, station).await;
            let word = match &result {
                Ok(birth) if birth.again => "again",
                Ok(_) => "issued",
                Err(_) => "refused",
            };
            self.metrics.birth(realm.name().as_str(), word);
            results.push(result);
        }
        results
    }

    /// Decides on one unit and queues its commit.
    fn begin<'a>(
        &'a self,
        realm: &RealmState,
        ask: Box<BirthAsk>,
        station: Station<'_>,
    ) -> Step<'a> {
        match self.decide_birth(realm, &ask) {
            Err(denied) => Step::Done(Err(denied)),
            Ok(Decided::Again(credential)) => Step::Done(Ok(birth_of(&credential, true))),
            Ok(Decided::Born(born, before)) => {
                let payload = payload(&ask, &born, before.as_ref(), station);
                let birth = Box::new(birth_of(&born.credential, false));
                let commit = self.queue(realm.key, change(*born), Class::Birth, payload);
                Step::Committing { ask, born: birth, commit: Box::pin(commit) }
            }
        }
    }

    /// Waits for the commit of a unit; decides anew where another birth crossed it.
    async fn finish(
        &self,
        realm: &RealmState,
        mut step: Step<'_>,
        station: Station<'_>,
    ) -> Result<Birth, NotBorn> {
        let mut newer = None;
        for _ in 0..DECISIONS_MAX {
            let realm = newer.as_deref().unwrap_or(realm);
            let (ask, born, commit) = match step {
                Step::Done(result) => {
                    return match result {
                        Ok(birth) => Ok(birth),
                        Err(denied) => Err(self.record_birth(realm, denied, station).await),
                    };
                }
                Step::Committing { ask, born, commit } => (ask, born, commit),
            };
            step = match commit.await {
                Ok(_) => return Ok(*born),
                Err(CommitError::Conflict(clash)) => {
                    let now = self.newer_after(clash, realm);
                    let begun = self.begin(now.as_deref().unwrap_or(realm), ask, station);
                    newer = now.or(newer);
                    begun
                }
                Err(CommitError::Busy | CommitError::Storage(_) | CommitError::Closed) => {
                    Step::Done(Err(outage("the registry cannot write: try again later").into()))
                }
            };
        }
        let refusal = outage("births of this unit cross each other: try again");
        Err(self.record_birth(realm, refusal.into(), station).await)
    }

    fn decide_birth(&self, realm: &RealmState, ask: &BirthAsk) -> Result<Decided, Denied> {
        let now = self.clock.now();
        let facts = self.birth_facts(realm, ask, now).map_err(|error| {
            tracing::error!("the registry cannot be read: {error}");
            outage("the registry cannot be read: try again later")
        })?;
        // A key that was seen before is its device's affair, whatever serial number it comes with.
        let by_key = facts.by_key.as_ref().map(|(d, _)| d.id);
        let known = by_key.or(facts.by_serial.as_ref().map(|(d, _)| d.id));
        if known.is_none() {
            let erased = self.was_erased(realm, &ask.identifiers, Over::All);
            if erased.map_err(|_| outage("the registry cannot be read: try again later"))? {
                return Err(Refusal::Denied(RuleId::RETIRED).into());
            }
        }
        let recorded = facts.by_key.as_ref().map(|(device, _)| device.identifiers.told());
        let same =
            facts.by_key.as_ref().map(|(d, _)| d).or(facts.by_serial.as_ref().map(|(d, _)| d));
        let before = same.map(|device| device.identifiers.clone());
        let judged = birth::judge(ask, facts, &realm.settings.rules(None));
        match judged.map_err(|refusal| denied(refusal, known, recorded, ask))? {
            BirthJudgement::Again(credential) => Ok(Decided::Again(credential)),
            BirthJudgement::Grant(approved) => {
                let issuer = realm.birth.as_ref().ok_or(Refusal::Denied(RuleId::NO_AUTHORITY))?;
                let born = issuer
                    .issue_birth(*approved, &mut Outside { now, dice: &mut SystemDice })
                    .map_err(|_| outage("the birth authority did not sign"))?;
                Ok(Decided::Born(Box::new(born), before))
            }
        }
    }

    /// The roll knows every key, so that only a key that comes again costs a read.
    fn birth_facts(
        &self,
        realm: &RealmState,
        ask: &BirthAsk,
        now: identity::UnixTime,
    ) -> Result<BirthFacts, ReadError> {
        let seen = self.registry.roll().lookup(realm.key, &ask.csr.key().hash());
        let by_key = match &seen {
            Some(seen) => {
                let of_key = self.registry.credentials_by_key(realm.key, &ask.csr.key().hash())?;
                // What replaced a revoked one may have been issued in the same millisecond, so that
                // their serial numbers do not say which is newer.
                let counts = of_key.into_iter().min_by_key(|c| c.revoked.is_some());
                self.registry.device(realm.key, &seen.device)?.zip(counts)
            }
            None => None,
        };
        let i = &ask.identifiers;
        let same = self.registry.device_by_serial(realm.key, &i.maker, &i.model, &i.serial)?;
        Ok(BirthFacts {
            issuer_barred: by_key.as_ref().is_some_and(|(_, c)| is_barred(realm, &c.issuer)),
            by_key,
            by_serial: self.born(realm, same)?,
            key_compromised: seen.is_some_and(|s| s.compromised),
            fresh: Outside { now, dice: &mut SystemDice }.device_id(),
        })
    }

    fn born(
        &self,
        realm: &RealmState,
        device: Option<Device>,
    ) -> Result<Option<(Device, Option<Credential>)>, ReadError> {
        let Some(device) = device else { return Ok(None) };
        let birth = self.registry.birth_of(realm.key, &device.id)?;
        Ok(Some((device, birth)))
    }

    async fn record_birth(
        &self,
        realm: &RealmState,
        denied: Denied,
        station: Station<'_>,
    ) -> NotBorn {
        let Denied { refusal, about, compared } = denied;
        let marks = matches!(&refusal, Refusal::Denied(r) if *r == RuleId::SECOND_BIRTH || *r == RuleId::KEY_BORN_TWICE);
        let mark = about.filter(|_| marks);
        let sentence = format!("a birth by `{}` was refused: {refusal}", station.name);
        let refused = Refused {
            want: "birth",
            door: None,
            device: about,
            refusal: &refusal,
            from: station.from,
            by: Some(station.name),
            token: None,
            mark: mark.map(|device| (device, sentence)),
        };
        self.refused(realm, refused).await;
        NotBorn { refusal, compared }
    }
}

/// A refusal about a device; where identifiers are why, with both for a person to compare. Who asks
/// has proven the key that is recorded with them.
fn denied(
    refusal: Refusal,
    about: Option<DeviceId>,
    recorded: Option<String>,
    ask: &BirthAsk,
) -> Denied {
    let differs = [RuleId::KEY_BORN_TWICE, RuleId::BIRTH_DIFFERS].map(Refusal::Denied);
    let recorded = recorded.filter(|_| differs.contains(&refusal));
    let compared = recorded.map(|r| format!("recorded: {r}; came: {}", ask.identifiers.told()));
    Denied { refusal, about, compared }
}

fn read(unit: Unit, station: Station<'_>) -> Result<BirthAsk, Defect> {
    let csr = if unit.csr.trim_start().starts_with("-----") {
        Csr::parse_pem(&unit.csr)?
    } else {
        let der = identity::text::from_base64(unit.csr.as_bytes())
            .ok_or_else(|| Defect::new("csr-base64", "the request is neither PEM nor base64"))?;
        Csr::parse(&der)?
    };
    let identifiers =
        unit.identifiers.check().map_err(|sentence| Defect::new("identifiers", sentence))?;
    Ok(BirthAsk {
        csr,
        identifiers,
        replace: unit.replace,
        replaces_joined: station.replaces_joined,
        requester: Requester::operator(station.name),
    })
}

fn birth_of(credential: &Credential, again: bool) -> Birth {
    let Credential { device, serial, issuer, .. } = *credential;
    Birth { device, certificate: credential.der.clone(), serial, issuer, again }
}

fn is_barred(realm: &RealmState, issuer: &KeyId) -> bool {
    let barred = |a: &Authority| a.id == *issuer && a.state == AuthorityState::Barred;
    realm.authorities.iter().any(barred)
}

fn change(born: Born) -> Change {
    Change::Born {
        device: born.device,
        expected: born.expected,
        credential: born.credential,
        replaces: born.replaces,
    }
}

fn payload(
    ask: &BirthAsk,
    born: &Born,
    before: Option<&Identifiers>,
    station: Station<'_>,
) -> Payload {
    let bound = &born.device.identifiers;
    let payload = Payload::new("birth.issued")
        .with("device", born.device.id.to_string())
        .with("serial", born.credential.serial.octets().to_vec())
        .with("spki", born.credential.spki.octets().to_vec())
        .with("issuer", born.credential.issuer.octets().to_vec())
        .with("certificate", identity::key::sha256(&[&born.credential.der]).to_vec())
        .with("model", bound.model.as_str())
        .with("serial_number", bound.serial.as_str())
        .with("by", station.name)
        .with("from", station.from.to_string());
    let now = said_of(bound);
    // Rework overwrites the row: what it takes away stands here.
    let mut gone = before.map(said_of).unwrap_or_default();
    gone.retain(|member| !now.contains(member));
    let gone = (!gone.is_empty()).then(|| gone.into_iter().collect::<Map>());
    let members = now.into_iter().fold(payload, |payload, (key, value)| payload.with(key, value));
    let payload = members.with_some("before", gone);
    match &ask.replace {
        Some(reason) => payload.with("replace", reason.as_str()),
        // Nobody said so: the same unit came again, and what it had was signed by a barred authority.
        None if !born.replaces.is_empty() => payload.with("replace", ISSUER_BARRED),
        None => payload,
    }
}

/// All that is bound at birth beside model and serial number, labels too.
fn said_of(identifiers: &Identifiers) -> Vec<(&'static str, Value)> {
    let mut said = printed(identifiers);
    let labels = (!identifiers.meta.is_empty()).then(|| identifiers.meta.iter().collect::<Map>());
    said.extend(labels.map(|labels| ("meta", Value::Map(labels))));
    said
}

fn outage(sentence: &'static str) -> Refusal {
    Refusal::Outage(Cause(sentence.into()))
}
