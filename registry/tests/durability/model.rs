//! A simple model of what a registry holds, and random histories that are taken in both.

use crate::world::{REALM, World, born, credential, device, id, key, now};
use identity::credential::{Reason, Serial};
use identity::device::Standing;
use proptest::prelude::*;
use registry::{Change, Clash, Fate, Seen};
use std::collections::BTreeMap;

/// One step of a history, about one of a few devices.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Born(u32),
    Leafed { n: u32, stale: bool, same_key: bool },
    Used(u32),
    Stood { n: u32, to: usize, fate: usize },
    Revoked { n: u32, compromise: bool },
    Replaced(u32),
    Nothing,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let n = 1..5_u32;
    prop_oneof![
        2 => n.clone().prop_map(Step::Born),
        6 => (n.clone(), prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(n, stale, same_key)| Step::Leafed { n, stale, same_key }),
        3 => n.clone().prop_map(Step::Used),
        2 => (n.clone(), 0..5_usize, 0..4_usize)
            .prop_map(|(n, to, fate)| Step::Stood { n, to, fate }),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, compromise)| Step::Revoked { n, compromise }),
        1 => n.prop_map(Step::Replaced),
        1 => Just(Step::Nothing),
    ]
}

/// A credential as the model has it.
#[derive(Clone, Debug)]
struct Held {
    serial: Serial,
    generation: u32,
    key: (u32, u32),
    used: bool,
    spent: bool,
    revoked: Option<Reason>,
}

/// A device as the model has it; the birth certificates come first.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    version: u64,
    standing: Standing,
    generation: u32,
    held: Vec<Held>,
    compromised: Vec<(u32, u32)>,
}

impl Model {
    fn revoke(&mut self, at: usize, reason: Reason) {
        let held = &mut self.held[at];
        if reason == Reason::KeyCompromise {
            self.compromised.push(held.key);
        }
        let weaker = match held.revoked {
            None | Some(Reason::CertificateHold) => true,
            Some(_) => reason == Reason::KeyCompromise,
        };
        if weaker {
            held.revoked = Some(reason);
        }
    }

    /// The newest of a key is the last issued of the highest generation.
    fn newest(&self, key: (u32, u32)) -> &Held {
        self.held.iter().filter(|h| h.key == key).max_by_key(|h| h.generation).unwrap()
    }
}

const STANDINGS: [Standing; 5] = [
    Standing::Born,
    Standing::Enrolled,
    Standing::Quarantined,
    Standing::Suspended,
    Standing::Retired,
];
const FATES: [Fate; 4] =
    [Fate::Hold, Fate::Unhold, Fate::Revoke(Reason::CessationOfOperation), Fate::Keep];

/// Takes a step in the registry and in the model, and holds them against each other.
pub(crate) fn take(world: &World, models: &mut BTreeMap<u32, Model>, step: &Step, nth: u32) {
    match *step {
        Step::Nothing => drop(world.commit(Change::Nothing).unwrap()),
        Step::Born(n) if models.contains_key(&n) => {
            let again = born(device(n), None, credential(n, 0, nth));
            assert_eq!(world.clash(again), Clash::Exists);
        }
        Step::Born(n) => {
            let birth = world.birth(n);
            let held = Held {
                serial: birth.serial,
                generation: 0,
                key: (n, 0),
                used: false,
                spent: false,
                revoked: None,
            };
            let (version, standing, generation) = (1, Standing::Born, 0);
            let (held, compromised) = (vec![held], vec![]);
            models.insert(n, Model { version, standing, generation, held, compromised });
        }
        Step::Leafed { n, stale, same_key } => {
            if let Some(model) = models.get_mut(&n) {
                leaf(world, model, (n, nth), stale, same_key);
            }
        }
        Step::Used(n) => {
            if let Some(model) = models.get_mut(&n) {
                let last = model.held.last_mut().unwrap();
                let used_before = std::mem::replace(&mut last.used, true);
                let (serial, generation) = (last.serial, last.generation);
                let earlier = |h: &&mut Held| h.generation > 0 && h.generation < generation;
                model.held.iter_mut().filter(earlier).for_each(|h| h.spent = true);
                let change = Change::Used { serial, at: now(), earlier_end: now().plus_secs(9) };
                match used_before {
                    true => assert_eq!(world.clash(change), Clash::Exists),
                    false => drop(world.commit(change).unwrap()),
                }
            }
        }
        Step::Stood { n, to, fate } => {
            if let Some(model) = models.get_mut(&n) {
                stand(world, model, n, (STANDINGS[to], FATES[fate]));
            }
        }
        Step::Revoked { n, compromise } => {
            if let Some(model) = models.get_mut(&n) {
                revoke(world, model, compromise);
            }
        }
        Step::Replaced(n) => {
            if let Some(model) = models.get_mut(&n) {
                replace(world, model, (n, nth));
            }
        }
    }
}

fn leaf(world: &World, model: &mut Model, (n, nth): (u32, u32), stale: bool, same_key: bool) {
    let last = model.held.last().unwrap().clone();
    let mut leaf = credential(n, model.generation + 1, nth);
    // A birth certificate's key may also get leaves.
    let key_of = if same_key { last.key } else { (n, 1000 + nth) };
    leaf.spki = key(key_of.0, key_of.1);
    let mut change = world.leafed(n, leaf.clone());
    if let (Change::Leafed { expected, .. }, true) = (&mut change, stale) {
        *expected = Some(model.version + 7);
        assert_eq!(world.clash(change), Clash::DeviceVersion);
        return;
    }
    if model.compromised.contains(&key_of) {
        assert_eq!(world.clash(change), Clash::KeyKnown);
        return;
    }
    world.commit(change).unwrap();
    model.version += 1;
    model.generation += 1;
    model.standing = Standing::Enrolled;
    model.held.push(Held {
        serial: leaf.serial,
        generation: leaf.generation,
        key: key_of,
        used: false,
        spent: false,
        revoked: None,
    });
}

fn stand(world: &World, model: &mut Model, n: u32, (to, fate): (Standing, Fate)) {
    let expected = model.version;
    world.commit(Change::Stood { device: id(n), expected, to, credentials: fate }).unwrap();
    model.version += 1;
    model.standing = to;
    for at in 0..model.held.len() {
        let is_leaf = model.held[at].generation > 0;
        match fate {
            Fate::Hold if is_leaf && model.held[at].revoked.is_none() => {
                model.revoke(at, Reason::CertificateHold);
            }
            Fate::Revoke(reason) if is_leaf || to == Standing::Retired => model.revoke(at, reason),
            Fate::Unhold if model.held[at].revoked == Some(Reason::CertificateHold) => {
                model.held[at].revoked = None;
            }
            _ => {}
        }
    }
}

fn revoke(world: &World, model: &mut Model, compromise: bool) {
    let named = model.held.last().unwrap().clone();
    let reason = if compromise { Reason::KeyCompromise } else { Reason::Superseded };
    world.commit(Change::Revoked { serials: vec![named.serial], reason }).unwrap();
    for at in 0..model.held.len() {
        let held = &model.held[at];
        let with_it = held.key == named.key && (compromise || held.generation > 0);
        if held.serial == named.serial || with_it {
            model.revoke(at, reason);
        }
    }
}

/// Rework: another birth certificate takes the place of all before it.
fn replace(world: &World, model: &mut Model, (n, nth): (u32, u32)) {
    let mut birth = credential(n, 0, nth + 1);
    birth.spki = key(n, 5000 + nth);
    let births = || model.held.iter().enumerate().filter(|(_, h)| h.generation == 0);
    let replaces = births().map(|(_, h)| h.serial).collect();
    let old: Vec<usize> = births().map(|(at, _)| at).collect();
    let mut row = world.device(n);
    row.mark = Some("rework".into());
    let credential = birth.clone();
    let expected = Some(model.version);
    world.commit(Change::Born { device: row, expected, credential, replaces }).unwrap();
    model.version += 1;
    old.iter().for_each(|at| model.revoke(*at, Reason::Superseded));
    let held = Held {
        serial: birth.serial,
        generation: 0,
        key: (n, 5000 + nth),
        used: false,
        spent: false,
        revoked: None,
    };
    model.held.insert(old.len(), held);
}

/// Everything that the model says is what rows and roll say; what the roll says, to be compared
/// with another one.
pub(crate) fn compare(world: &World, models: &BTreeMap<u32, Model>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (n, model) in models {
        let row = world.device(*n);
        assert_eq!((row.version, row.standing), (model.version, model.standing));
        assert_eq!(row.generation, model.generation);
        for held in &model.held {
            let stored = world.registry.credential(REALM, &held.serial).unwrap().unwrap();
            assert_eq!(stored.revoked.map(|r| r.reason), held.revoked);
            assert_eq!((stored.used.is_some(), stored.spent.is_some()), (held.used, held.spent));
            let newest = model.newest(held.key);
            let known = world.seen(&key(held.key.0, held.key.1));
            assert_eq!((known.device, known.standing), (id(*n), model.standing));
            assert_eq!(known.newest, registry::roll::fingerprint(&newest.serial));
            assert_eq!(known.device_generation, model.generation);
            assert_eq!(
                (known.used, known.spent.is_some(), known.revoked, known.compromised),
                (
                    newest.used,
                    newest.spent,
                    newest.revoked.is_some(),
                    model.compromised.contains(&held.key)
                )
            );
            seen.push(known);
        }
    }
    seen
}
