//! Leaves and tokens: what a join writes, what it spends, and what a decision on old facts is worth.

use crate::world::{REALM, World, born, credential, device, draft, id, key, now, token};
use identity::Serial;
use identity::credential::{Reason, Revocation};
use identity::device::Standing;
use registry::{Change, Clash, CommitError};
use std::collections::BTreeSet;

#[test]
fn a_decision_on_old_facts_is_discarded() {
    let world = World::new();
    world.birth(1);
    let first = world.leafed(1, credential(1, 1, 0));
    let second = world.leafed(1, credential(1, 1, 1));
    world.commit(first).unwrap();
    assert_eq!(world.clash(second), Clash::DeviceVersion);

    let mut nobody = device(9);
    nobody.version = 2;
    assert_eq!(world.clash(born(nobody, Some(1), credential(9, 0, 0))), Clash::Missing);
}

#[test]
fn a_join_enrolls_and_counts_generations() {
    let world = World::new();
    world.birth(1);
    let leaf = world.enroll(1, 1);

    let row = world.device(1);
    assert_eq!((row.standing, row.version, row.generation), (Standing::Enrolled, 2, 1));
    let birth_key = world.seen(&key(1, 0));
    assert_eq!((birth_key.standing, birth_key.device_generation), (Standing::Enrolled, 1));
    assert_eq!(world.seen(&leaf.spki).generation, 1);
    assert_eq!((world.registry.counts(REALM).born, world.registry.counts(REALM).enrolled), (0, 1));
    world.audit();
}

#[test]
fn a_token_is_spent_by_its_last_use() {
    let world = World::new();
    world.commit(Change::TokenMade(token(1))).unwrap();
    assert_eq!(world.clash(Change::TokenMade(token(1))), Clash::Exists);
    let join = |n| Change::Leafed {
        device: device(n),
        expected: None,
        leaf: credential(n, 1, 0),
        due: None,
        supersedes: vec![],
        token: Some(token(1).id),
    };
    world.commit(join(1)).unwrap();

    assert_eq!(world.registry.token(REALM, &token(1).id).unwrap().unwrap().uses_left, 0);
    assert_eq!(world.clash(join(2)), Clash::TokenSpent);
    assert!(world.registry.device(REALM, &id(2)).unwrap().is_none());
    world.audit();
}

#[test]
fn a_token_that_ended_or_was_revoked_has_no_use_left() {
    let world = World::new();
    world.commit(Change::TokenMade(token(5))).unwrap();
    let join = || Change::Leafed {
        device: device(1),
        expected: None,
        leaf: credential(1, 1, 0),
        due: None,
        supersedes: vec![],
        token: Some(token(5).id),
    };
    let late = draft(now().plus_secs(3601));
    let refused = world.registry.commit_wait(REALM, join(), late).unwrap_err();
    assert_eq!(refused, CommitError::Conflict(Clash::TokenSpent));

    world.commit(Change::TokenRevoked { id: token(5).id, at: now() }).unwrap();
    assert_eq!(world.clash(join()), Clash::TokenSpent);
    assert_eq!(world.registry.tokens(REALM, None, 10).unwrap().len(), 1);
}

#[test]
fn the_first_use_of_a_successor_ends_its_predecessors() {
    let world = World::new();
    world.birth(1);
    let first = world.enroll(1, 1);
    let second = world.enroll(1, 2);
    let overlap_end = now().plus_secs(86_400);
    let first_use = Change::Used { serial: second.serial, at: now(), earlier_end: overlap_end };
    world.commit(first_use.clone()).unwrap();
    assert_eq!(world.clash(first_use), Clash::Exists, "a first use is one entry");

    let stored = world.registry.credential(REALM, &first.serial).unwrap().unwrap();
    assert_eq!((stored.used, stored.spent), (None, Some(overlap_end)));
    assert_eq!(world.seen(&first.spki).spent, Some(overlap_end));
    assert!(world.seen(&second.spki).used);
    assert_eq!(world.seen(&second.spki).spent, None);
    assert_eq!(world.seen(&key(1, 0)).spent, None);
    assert_eq!(world.take_cuts(), vec![]);

    // A join closes at once, and sessions of the earlier keys end.
    let third = world.enroll(1, 3);
    let closing = Change::Used { serial: third.serial, at: now(), earlier_end: now() };
    world.commit(closing).unwrap();
    assert_eq!(
        world.take_cuts()[0].keys.iter().collect::<BTreeSet<_>>(),
        [&first.spki, &second.spki].into()
    );
    world.audit();
}

#[test]
fn a_superseded_leaf_is_revoked_and_cut() {
    let world = World::new();
    world.birth(1);
    let first = world.enroll(1, 1);
    let mut change = world.leafed(1, credential(1, 2, 0));
    if let Change::Leafed { supersedes, .. } = &mut change {
        supersedes.push(first.serial);
    }
    world.commit(change).unwrap();

    let stored = world.registry.credential(REALM, &first.serial).unwrap().unwrap();
    assert_eq!(stored.revoked, Some(Revocation { at: now(), reason: Reason::Superseded }));
    assert!(world.seen(&first.spki).revoked);
    assert_eq!(world.take_cuts()[0].keys, vec![first.spki]);

    let mut change = world.leafed(1, credential(1, 3, 0));
    if let Change::Leafed { supersedes, .. } = &mut change {
        supersedes.push(Serial::from_octets(&[0; 16]).unwrap());
    }
    assert_eq!(world.clash(change), Clash::Missing);
}
