//! A history to be interrupted: every kind of change once, then any of them in any order.

mod house;

use super::kinds::Kind::*;
use super::kinds::{Job, Kind, SCRIPT, Task, drawn, kinds_of};
use super::made::{device, founded, id, issuer, key, moment, serial};
use crate::Failure;
use crate::dice::Dice;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use identity::credential::Requester;
use identity::key::{SoftwareKey, sha256};
use identity::profile::Profile;
use identity::token::TokenId;
use identity::{
    Certificate, Credential, CredentialKind, GroupName, Outside, Reason, SpkiHash, Standing,
};
use ledger::{Class, Payload};
use registry::{Change, Draft, Erasure, Fate, RealmKey, Registry, Report};
use std::collections::BTreeSet;

/// The realm in which most of it happens.
pub const REALM: RealmKey = RealmKey(1);

/// The history, as far as it was asked for.
pub struct Series {
    dice: Dice,
    /// Jobs so far: the clock, and what makes names unique.
    count: u64,
    units: u64,
    tokens: Vec<TokenId>,
    root: Certificate,
    /// Octets of each certificate and payload: much makes the log full with few syncs.
    pub octets: usize,
}

impl Series {
    /// A history from nothing on.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new(mut dice: Dice) -> Result<Self, Failure> {
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new())?;
        let key = SoftwareKey::from_pkcs8(pkcs8.as_ref()).map_err(|e| e.to_string())?;
        let mut outside = Outside { now: moment(0), dice: &mut dice };
        let root =
            ca::authority::root("Muster root", &key, &mut outside).map_err(|e| e.to_string())?;
        Ok(Self { dice, count: 0, units: 0, tokens: Vec::new(), root, octets: 600 })
    }

    /// The next job, decided on what `registry` says now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn next(&mut self, registry: &Registry) -> Result<Job, Failure> {
        let script = SCRIPT.get(self.count as usize).copied();
        let kind = script.unwrap_or_else(|| drawn(&mut self.dice));
        self.job(kind, registry)
    }

    /// Whether each kind had its turn: a burst before that would take the place of some.
    #[must_use]
    pub const fn had_each(&self) -> bool {
        self.count as usize >= SCRIPT.len()
    }

    /// Jobs that do not know of each other, so that they can wait for the writer together.
    ///
    /// # Errors
    /// Where the registry cannot be read.
    pub fn burst(&mut self, registry: &Registry, size: usize) -> Result<Vec<Job>, Failure> {
        let known = self.units;
        let mut jobs = Vec::new();
        for at in 0..size as u64 {
            jobs.push(match at {
                at if at % 2 == 0 && at < known && self.good(registry, at)? => {
                    let change = self.leafed(registry, at, None)?;
                    self.wrap(Leafed, change)
                }
                at if at % 7 == 1 => self.job(Noted, registry)?,
                at if at % 7 == 3 => self.job(Nothing, registry)?,
                _ => self.job(Born, registry)?,
            });
        }
        Ok(jobs)
    }

    fn job(&mut self, kind: Kind, registry: &Registry) -> Result<Job, Failure> {
        if matches!(kind, Noted | Unnoted) {
            self.count += 1;
            let value = (kind == Noted).then(|| vec![7; self.octets.min(4096)]);
            let key = vec![self.dice.below(3) as u8];
            return Ok(Job { realm: REALM, kind, what: Task::Note(key, value) });
        }
        if kind == Found && !registry.realms().is_empty() {
            let realm = RealmKey(2 + self.count as u16);
            let mut job = self.wrap(kind, Change::Found(founded(realm)));
            job.realm = realm;
            return Ok(job);
        }
        let change = self.change(kind, registry)?;
        match kinds_of(&change).contains(&kind) {
            true => Ok(self.wrap(kind, change)),
            false => Err(format!("{kind:?} tries {change:?}").into()),
        }
    }

    fn wrap(&mut self, kind: Kind, change: Change) -> Job {
        self.count += 1;
        let payload = Payload::new("faults.change")
            .with("number", self.count)
            .with("more", vec![7; self.octets.min(12_000)]);
        let salt = sha256(&[&self.count.to_be_bytes()]);
        let class = if kind == Found { Class::Realm } else { Class::Birth };
        let draft = Draft::new(class, &payload, salt, moment(self.count));
        Job { realm: REALM, kind, what: Task::Change(Box::new(change), draft) }
    }

    fn change(&mut self, kind: Kind, registry: &Registry) -> Result<Change, Failure> {
        let n = self.unit(registry)?;
        let count = self.count;
        let name = |what: &str| format!("{what}-{}", count % 4);
        // In the script the one that was set just before.
        let before = |what: &str| format!("{what}-{}", count.wrapping_sub(1) % 4);
        Ok(match kind {
            Found => Change::Found(founded(REALM)),
            AuthorityMade | AuthorityRetiring | AuthorityBarred | AuthorityAsked
            | AuthorityDropped | AuthorityCertified | AuthorityWiped | Crossed => {
                self.of_authority(kind)?
            }
            Born => self.born(),
            Reborn => self.reborn(registry, n)?,
            Leafed => self.leafed(registry, n, None)?,
            LeafedByToken => {
                let token = self.some_token();
                self.leafed(registry, n, token)?
            }
            Used => self.used(registry, n)?,
            Held | Unheld | Kept | Retired => self.moved(kind, registry, n)?,
            RevokedForNow => revoked(registry, n, Reason::CertificateHold)?,
            Released => self.released(registry)?,
            Erased => self.erased(registry)?,
            Reported => self.reported(n),
            Caught => Change::Caught { device: id(n), mark: format!("two hold {count}") },
            SinkSet => Change::SinkSet(self.sink(name("sink"))),
            SinkRemoved => Change::SinkRemoved(before("sink")),
            Revoked => revoked(registry, n, Reason::Superseded)?,
            Compromised => revoked(registry, n, Reason::KeyCompromise)?,
            Grouped => self.grouped(registry, n)?,
            Marked => Change::Marked { device: id(n), mark: format!("mark {count}") },
            Unmarked => Change::Unmarked { device: id(n), expected: version(registry, n)? },
            TokenMade => Change::TokenMade(self.token()?),
            TokenRevoked => {
                let id = self.some_token().map_or_else(|| self.new_token_id(), Ok)?;
                Change::TokenRevoked { id, at: moment(count) }
            }
            DoorSet => Change::DoorSet(self.door(name("door"))),
            DoorRemoved => Change::DoorRemoved(before("door")),
            ProfileSet => {
                Change::ProfileSet(Profile { name: name("profile"), ..Profile::standard() })
            }
            SettingSet => setting(Some(format!("{count}"))),
            SettingUnset => setting(None),
            OperatorSet => Change::OperatorSet(self.operator()?),
            OperatorRemoved => Change::OperatorRemoved("kim".to_owned()),
            Batch => Change::Batch(vec![self.born(), self.born(), setting(Some("9".to_owned()))]),
            BatchThatClashes => self.batch_that_clashes(),
            Nothing | Noted | Unnoted => Change::Nothing,
        })
    }

    /// A device that stands otherwise.
    fn moved(&mut self, kind: Kind, registry: &Registry, n: u64) -> Result<Change, Failure> {
        let (whom, to, fate) = match kind {
            Held => (n, Standing::Suspended, Fate::Hold),
            Unheld => {
                let aside = self.set_aside(registry)?.unwrap_or(n);
                (aside, Standing::Enrolled, Fate::Unhold)
            }
            Kept => (n, Standing::Quarantined, Fate::Keep),
            _ => (n, Standing::Retired, Fate::Revoke(Reason::CessationOfOperation)),
        };
        let expected = version(registry, whom)?;
        Ok(Change::Stood { device: id(whom), expected, to, credentials: fate })
    }

    fn some_token(&mut self) -> Option<TokenId> {
        self.tokens.get(self.dice.below(self.tokens.len())).cloned()
    }

    fn batch_that_clashes(&mut self) -> Change {
        let missing = Change::Marked { device: id(u64::MAX), mark: String::new() };
        let born = self.born();
        // It goes with the other.
        self.units -= 1;
        Change::Batch(vec![born, missing])
    }

    fn reported(&self, n: u64) -> Change {
        let firmware = Some(format!("1.{}", self.count));
        let identifiers = device(n).identifiers;
        let report = Report { at: moment(self.count), firmware, identifiers };
        Change::Reported { device: id(n), report }
    }

    /// The first certificate that is on hold by itself.
    fn released(&self, registry: &Registry) -> Result<Change, Failure> {
        let on_hold =
            |c: &Credential| c.revoked.is_some_and(|r| r.reason == Reason::CertificateHold);
        let mut serials = Vec::new();
        for n in 0..self.units {
            if serials.is_empty() && self.good(registry, n)? {
                let held = registry.credentials_of(REALM, &id(n), 100)?;
                serials.extend(held.into_iter().find(on_hold).map(|c| c.serial));
            }
        }
        Ok(Change::Released { serials })
    }

    /// The first device that is retired, or the first of all, which is then left as it is: as the
    /// host has it, only a retired one is erased.
    fn erased(&self, registry: &Registry) -> Result<Change, Failure> {
        let mut erased = Erasure {
            device: id(0),
            expected: u64::MAX,
            entries: vec![self.count / 2],
            tokens: self.tokens.first().cloned().into_iter().collect(),
            digests: vec![sha256(&[b"erased", &self.count.to_be_bytes()])],
        };
        for n in 0..self.units {
            let Some(device) = registry.device(REALM, &id(n))? else { continue };
            let before = registry.erased_at(REALM, &device.id)?;
            if device.standing == Standing::Retired && before.is_none() {
                (erased.device, erased.expected) = (device.id, device.version);
                break;
            }
        }
        Ok(Change::Erased(erased))
    }

    /// A device that is there; one in good standing where the dice find one.
    fn unit(&mut self, registry: &Registry) -> Result<u64, Failure> {
        let mut n = 0;
        for _ in 0..4 {
            n = self.dice.below(self.units as usize) as u64;
            if self.good(registry, n)? {
                break;
            }
        }
        Ok(n)
    }

    /// The first device that is not in good standing and can be again.
    fn set_aside(&self, registry: &Registry) -> Result<Option<u64>, Failure> {
        for n in 0..self.units {
            let standing = registry.device(REALM, &id(n))?.map(|device| device.standing);
            if standing.is_some_and(|s| !s.is_good() && s != Standing::Retired) {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    fn good(&self, registry: &Registry, n: u64) -> Result<bool, Failure> {
        Ok(registry.device(REALM, &id(n))?.is_some_and(|device| device.standing.is_good()))
    }

    fn born(&mut self) -> Change {
        let n = self.units;
        self.units += 1;
        let credential = self.credential(n, 0, key(n, 0));
        Change::Born { device: device(n), expected: None, credential, replaces: vec![] }
    }

    fn reborn(&mut self, registry: &Registry, n: u64) -> Result<Change, Failure> {
        let mut device = registry.device(REALM, &id(n))?.unwrap_or_else(|| device(n));
        let expected = Some(device.version);
        device.version += 1;
        let replaces = registry.birth_of(REALM, &id(n))?.into_iter().map(|c| c.serial).collect();
        let credential = self.credential(n, 0, key(n, 1_000_000 + self.count as u32));
        Ok(Change::Born { device, expected, credential, replaces })
    }

    fn leafed(
        &mut self,
        registry: &Registry,
        n: u64,
        token: Option<TokenId>,
    ) -> Result<Change, Failure> {
        let mut device = registry.device(REALM, &id(n))?.unwrap_or_else(|| device(n));
        let expected = Some(device.version);
        let newest = registry.credentials_of(REALM, &id(n), 1)?.into_iter().next();
        device.version += 1;
        device.generation += 1;
        device.standing = Standing::Enrolled;
        device.enrolled = device.enrolled.or(Some(moment(self.count)));
        device.groups = groups(&mut self.dice);
        let newest = newest.filter(|c| c.kind == CredentialKind::Leaf);
        let spki = match &newest {
            Some(leaf) if self.dice.once_in(3) => leaf.spki,
            _ => key(n, device.generation),
        };
        let supersedes =
            newest.filter(|_| self.dice.once_in(3)).map(|leaf| leaf.serial).into_iter().collect();
        let leaf = self.credential(n, device.generation, spki);
        Ok(Change::Leafed { device, expected, leaf, due: None, supersedes, token })
    }

    fn used(&mut self, registry: &Registry, n: u64) -> Result<Change, Failure> {
        let newest = registry.credentials_of(REALM, &id(n), 1)?.into_iter().next();
        let serial = newest.map_or_else(|| serial(0, u64::MAX), |leaf| leaf.serial);
        let at = moment(self.count);
        Ok(Change::Used { serial, at, earlier_end: at.plus_secs(self.dice.below(3) as u64) })
    }

    fn grouped(&mut self, registry: &Registry, n: u64) -> Result<Change, Failure> {
        let expected = version(registry, n)?;
        Ok(Change::Grouped { device: id(n), expected, groups: groups(&mut self.dice) })
    }

    fn credential(&mut self, n: u64, generation: u32, spki: SpkiHash) -> Credential {
        Credential {
            serial: serial(self.count, self.dice.draw()),
            kind: if generation == 0 { CredentialKind::Birth } else { CredentialKind::Leaf },
            device: id(n),
            issuer: issuer(),
            generation,
            spki,
            requester: Requester::key(&key(n, 0)),
            closes: self.dice.once_in(2),
            shard: (n % 4) as u16,
            issued: moment(self.count),
            not_after: moment(self.count).plus_secs(100_000),
            used: None,
            spent: None,
            revoked: None,
            der: vec![0x30; self.octets],
        }
    }
}

fn revoked(registry: &Registry, n: u64, reason: Reason) -> Result<Change, Failure> {
    let held = registry.credentials_of(REALM, &id(n), 2)?;
    let serials = held.into_iter().map(|credential| credential.serial).collect();
    Ok(Change::Revoked { serials, reason })
}

fn version(registry: &Registry, n: u64) -> Result<u64, Failure> {
    Ok(registry.device(REALM, &id(n))?.map_or(0, |device| device.version))
}

fn setting(value: Option<String>) -> Change {
    Change::SettingSet { key: "overlap_s".to_owned(), group: GroupName::parse("north"), value }
}

fn groups(dice: &mut Dice) -> BTreeSet<GroupName> {
    let names = ["north", "south", "pumps"].into_iter().filter(|_| dice.once_in(2));
    names.filter_map(GroupName::parse).collect()
}
