//! What every registry must do, whatever it is built on. Written against the public API alone, so
//! that a second backend can be put under it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod world;

use identity::credential::{Credential, Reason, Requester, Revocation};
use identity::device::{GroupName, Standing};
use identity::name::DeviceName;
use identity::token::TokenId;
use identity::{Serial, UnixTime};

use ledger::{Class, Payload};
use registry::roll::fingerprint;
use registry::{Change, Clash, CommitError, DeviceFilter, Draft, Fate, Operator};
use registry::{RealmKey, Role, Stretch};
use std::collections::BTreeSet;
use world::{REALM, World, born, credential, device, draft, id, issuer, key, now, realm, token};

fn group(name: &str) -> BTreeSet<GroupName> {
    GroupName::parse(name).into_iter().collect()
}

#[test]
fn a_birth_is_read_back_as_it_was_written_and_the_roll_knows_its_key() {
    let world = World::new();
    let birth = world.birth(1);

    assert_eq!(world.device(1), device(1));
    assert_eq!(world.registry.credential(REALM, &birth.serial).unwrap(), Some(birth.clone()));
    assert_eq!(world.registry.birth_of(REALM, &id(1)).unwrap(), Some(birth.clone()));
    assert_eq!(world.registry.credentials_by_key(REALM, &birth.spki).unwrap(), vec![birth.clone()]);
    let seen = world.seen(&birth.spki);
    assert_eq!((seen.device, seen.standing, seen.birth), (id(1), Standing::Born, true));
    assert_eq!(seen.newest, fingerprint(&birth.serial));
    world.audit();
}

#[test]
fn identifiers_and_uuids_are_given_once() {
    let world = World::new();
    world.birth(1);

    let mut again = device(2);
    again.identifiers = device(1).identifiers;
    assert_eq!(world.clash(born(again, None, credential(2, 0, 0))), Clash::Exists);

    let mut again = device(1);
    again.identifiers.serial = "other".into();
    assert_eq!(world.clash(born(again, None, credential(1, 0, 1))), Clash::Exists);
    assert_eq!(world.registry.counts(REALM).born, 1);
    world.audit();
}

#[test]
fn serials_of_two_makers_do_not_collide() {
    let world = World::new();
    world.birth(1);
    let mut other = device(2);
    other.identifiers.serial = "S1".into();
    other.identifiers.maker = "acme".into();
    world.commit(born(other, None, credential(2, 0, 0))).unwrap();

    let named = |name: &str| {
        let name = DeviceName::parse(name).unwrap();
        let found = world.registry.devices_named(REALM, &name).unwrap();
        found.iter().map(|d| d.id).collect::<Vec<_>>()
    };
    assert_eq!(named("serial:S1"), vec![id(1), id(2)]);
    assert_eq!(named("serial:acme/pump/S1"), vec![id(2)]);
    assert_eq!(named(&id(1).to_string()), vec![id(1)]);
    assert_eq!(named(&id(1).to_string()[..33]), vec![id(1)]);
}

#[test]
fn a_makers_certificate_brings_in_one_device_and_finds_it_again() {
    let world = World::new();
    let joins = |n: u32, maker: &str, nth: u32| {
        let mut made = device(n);
        made.identifiers.maker = maker.into();
        // The certificate of the first one is shown each time.
        let requester = Requester::key(&key(1, 0));
        let leaf = Credential { closes: true, requester, ..credential(n, 1, nth) };
        let (device, expected, supersedes, token) = (made, None, vec![], None);
        Change::Leafed { device, expected, leaf, due: None, supersedes, token }
    };
    let shown = Requester::key(&key(1, 0));
    let found = || world.registry.device_by_idevid(REALM, &shown).unwrap().map(|d| d.id);
    assert_eq!(found(), None);

    world.commit(joins(1, "acme", 0)).unwrap();

    assert_eq!(found(), Some(id(1)));
    assert_eq!(world.clash(joins(2, "bolt", 1)), Clash::KeyKnown);
    assert_eq!(world.registry.device_by_idevid(RealmKey(2), &shown).unwrap(), None);
    // A birth certificate of ours is found by its key in the roll.
    world.commit(joins(3, "", 2)).unwrap();
    assert_eq!(found(), Some(id(1)));
    world.audit();
}

#[test]
fn devices_without_a_serial_number_do_not_collide() {
    let world = World::new();
    for n in 1..=2 {
        let mut unnamed = device(n);
        unnamed.identifiers.serial = String::new();
        world.commit(born(unnamed, None, credential(n, 0, 0))).unwrap();
    }
    assert_eq!(world.registry.counts(REALM).born, 2);
}

#[test]
fn a_key_is_one_devices_also_within_one_batch() {
    let world = World::new();
    world.birth(1);
    let mut thief = credential(2, 0, 0);
    thief.spki = key(1, 0);
    assert_eq!(world.clash(born(device(2), None, thief.clone())), Clash::KeyKnown);

    thief.spki = key(3, 0);
    let both = Change::Batch(vec![
        born(device(3), None, credential(3, 0, 0)),
        born(device(2), None, thief),
    ]);
    assert_eq!(world.clash(both), Clash::KeyKnown);
    assert_eq!(world.registry.roll().len(), 1);
    assert!(world.registry.device(REALM, &id(3)).unwrap().is_none());
    // The discarded half has left nothing behind, so it may come again.
    world.birth(3);
    world.audit();
}

#[test]
fn a_serial_number_is_given_once() {
    let world = World::new();
    let first = world.birth(1);
    let mut second = credential(2, 0, 0);
    second.serial = first.serial;
    assert_eq!(world.clash(born(device(2), None, second)), Clash::SerialKnown);
}

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

#[test]
fn suspension_holds_the_leaves_and_resuming_lifts_the_hold() {
    let world = World::new();
    let birth = world.birth(1);
    let leaf = world.enroll(1, 1);
    let stood =
        |expected, to, credentials| Change::Stood { device: id(1), expected, to, credentials };
    world.commit(stood(2, Standing::Suspended, Fate::Hold)).unwrap();

    assert_eq!(world.device(1).standing, Standing::Suspended);
    assert!(world.seen(&leaf.spki).revoked);
    assert!(!world.seen(&birth.spki).revoked);
    assert_eq!(world.seen(&birth.spki).standing, Standing::Suspended);
    assert_eq!(world.take_cuts()[0].keys.len(), 2);
    assert_eq!(world.registry.revoked(REALM, &issuer(), Some(1)).unwrap().len(), 1);
    assert_eq!(world.registry.revoked(REALM, &issuer(), Some(2)).unwrap().len(), 0);

    assert_eq!(world.clash(stood(2, Standing::Enrolled, Fate::Unhold)), Clash::DeviceVersion);
    world.commit(stood(3, Standing::Enrolled, Fate::Unhold)).unwrap();
    assert!(!world.seen(&leaf.spki).revoked);
    assert_eq!(world.registry.revoked(REALM, &issuer(), None).unwrap(), vec![]);
    assert_eq!(world.take_cuts(), vec![]);
    world.audit();
}

#[test]
fn whoever_makes_crls_hears_of_a_hold_and_of_its_end_and_of_nothing_else() {
    let world = World::new();
    let (told, heard) = std::sync::mpsc::channel();
    world.registry.on_revocation(Box::new(move || told.send(()).unwrap()));
    let stood =
        |expected, to, credentials| Change::Stood { device: id(1), expected, to, credentials };

    world.birth(1);
    world.enroll(1, 1);
    assert_eq!(heard.try_iter().count(), 0);
    world.commit(stood(2, Standing::Suspended, Fate::Hold)).unwrap();
    assert_eq!(heard.try_iter().count(), 1);
    world.commit(stood(3, Standing::Enrolled, Fate::Unhold)).unwrap();
    assert_eq!(heard.try_iter().count(), 1);
}

#[test]
fn a_final_reason_keeps_the_moment_of_the_hold_and_cannot_be_lifted() {
    let world = World::new();
    world.birth(1);
    let leaf = world.enroll(1, 1);
    let later = |change, secs| {
        world.registry.commit_wait(REALM, change, draft(now().plus_secs(secs))).unwrap();
    };
    let stood =
        |expected, to, credentials| Change::Stood { device: id(1), expected, to, credentials };
    later(stood(2, Standing::Quarantined, Fate::Hold), 10);
    later(stood(3, Standing::Enrolled, Fate::Revoke(Reason::Superseded)), 20);
    later(stood(4, Standing::Enrolled, Fate::Unhold), 30);

    let stored = world.registry.credential(REALM, &leaf.serial).unwrap().unwrap();
    let at = now().plus_secs(10);
    assert_eq!(stored.revoked, Some(Revocation { at, reason: Reason::Superseded }));
}

#[test]
fn retirement_takes_the_birth_certificate_too() {
    let world = World::new();
    let birth = world.birth(1);
    world.enroll(1, 1);
    let fate = Fate::Revoke(Reason::CessationOfOperation);
    let to = Standing::Retired;
    world.commit(Change::Stood { device: id(1), expected: 2, to, credentials: fate }).unwrap();

    assert!(world.seen(&birth.spki).revoked);
    assert_eq!(world.registry.revoked(REALM, &issuer(), None).unwrap().len(), 2);
    assert_eq!(world.registry.counts(REALM).retired, 1);
}

#[test]
fn revoking_a_leaf_revokes_every_leaf_of_its_key_and_no_other() {
    let world = World::new();
    let birth = world.birth(1);
    let first = world.enroll(1, 1);
    let mut same_key = credential(1, 2, 0);
    same_key.spki = first.spki;
    world.commit(world.leafed(1, same_key.clone())).unwrap();
    let other = world.enroll(1, 3);
    let reason = Reason::PrivilegeWithdrawn;
    world.commit(Change::Revoked { serials: vec![first.serial], reason }).unwrap();

    let revoked =
        |serial| world.registry.credential(REALM, &serial).unwrap().unwrap().revoked.is_some();
    assert!(revoked(first.serial) && revoked(same_key.serial));
    assert!(!revoked(other.serial) && !revoked(birth.serial));
    assert_eq!(world.take_cuts()[0].keys, vec![first.spki]);
    assert_eq!(
        world.clash(Change::Revoked { serials: vec![credential(8, 1, 0).serial], reason }),
        Clash::Missing
    );
}

#[test]
fn a_compromised_key_never_enrolls_again_not_even_for_its_own_device() {
    let world = World::new();
    world.birth(1);
    let leaf = world.enroll(1, 1);
    let revoke = |reason| Change::Revoked { serials: vec![leaf.serial], reason };
    world.commit(revoke(Reason::Superseded)).unwrap();
    world.commit(revoke(Reason::KeyCompromise)).unwrap();

    let stored = world.registry.credential(REALM, &leaf.serial).unwrap().unwrap();
    assert_eq!(stored.revoked.unwrap().reason, Reason::KeyCompromise);
    assert!(world.seen(&leaf.spki).compromised);
    let mut again = credential(1, 2, 0);
    again.spki = leaf.spki;
    assert_eq!(world.clash(world.leafed(1, again)), Clash::KeyKnown);
}

#[test]
fn groups_are_found_and_paged() {
    let world = World::new();
    (1..=5).for_each(|n| drop(world.birth(n)));
    for n in [1, 3, 5] {
        let (device, groups) = (id(n), group("plant-7"));
        world.commit(Change::Grouped { device, expected: 1, groups }).unwrap();
    }
    let filter = DeviceFilter { group: GroupName::parse("plant-7"), ..DeviceFilter::default() };
    let page = |after, limit| {
        let found = world.registry.devices(REALM, &filter, after, limit).unwrap();
        found.iter().map(|d| d.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), vec![id(1), id(3)]);
    assert_eq!(page(Some(id(3)), 2), vec![id(5)]);

    world.commit(Change::Grouped { device: id(3), expected: 2, groups: group("x") }).unwrap();
    assert_eq!(page(None, 9), vec![id(1), id(5)]);
    let born = DeviceFilter { standing: Some(Standing::Born), ..DeviceFilter::default() };
    assert_eq!(world.registry.devices(REALM, &born, Some(id(2)), 9).unwrap().len(), 3);
    world.audit();
}

#[test]
fn a_mark_stays_on_the_device() {
    let world = World::new();
    world.birth(1);
    let mark = "a second birth for serial S1".to_owned();
    world.commit(Change::Marked { device: id(1), mark: mark.clone() }).unwrap();
    assert_eq!((world.device(1).mark, world.device(1).version), (Some(mark.clone()), 2));
    assert_eq!(world.clash(Change::Marked { device: id(2), mark }), Clash::Missing);
}

#[test]
fn the_entry_of_a_clone_is_found_by_its_device_and_by_its_moment() {
    let world = World::new();
    world.birth(1);
    world.birth(2);
    assert_eq!(world.registry.caught(REALM, &id(1)).unwrap(), None);
    let caught = || Change::Caught { device: id(1), mark: "two hold it".to_owned() };

    world.commit(caught()).unwrap();
    let told = world.commit(caught()).unwrap();

    let found = world.registry.caught(REALM, &id(1)).unwrap().unwrap();
    assert_eq!(found.index, told.index, "the last one");
    assert_eq!(world.registry.caught(REALM, &id(2)).unwrap(), None);
    assert_eq!(
        (world.device(1).mark.as_deref(), world.device(1).version),
        (Some("two hold it"), 3)
    );
    let since = |secs| world.registry.caught_since(REALM, now().minus_secs(secs)).unwrap().len();
    assert_eq!((since(1), since(0)), (1, 0), "a device counts once, and what was before does not");
    let missing = Change::Caught { device: id(3), mark: String::new() };
    assert_eq!(world.clash(missing), Clash::Missing);
    world.audit();
}

#[test]
fn leaves_past_their_renewal_are_counted_by_model_and_group() {
    let world = World::new();
    world.birth(1);
    world.enroll(1, 1);
    let overdue = |secs| world.registry.overdue(REALM, now().plus_secs(secs)).unwrap();
    assert_eq!(overdue(499).len(), 0);
    let found = overdue(501);
    assert_eq!(
        (found[0].model.as_str(), found[0].group.as_ref(), found[0].count),
        ("pump", None, 1)
    );
}

#[test]
fn the_history_of_a_device_and_the_issuance_of_a_certificate_are_found() {
    let world = World::new();
    let about = |n: u32| {
        let payload = Payload::new("test").with("device", id(n).to_string());
        Draft::new(Class::Birth, &payload, [6; 32], now())
    };
    let issue = |n: u32| {
        let change = born(device(n), None, credential(n, 0, 0));
        world.registry.commit_wait(REALM, change, about(n)).unwrap().index
    };
    let (first, second) = (issue(1), issue(2));
    let refused = world.registry.commit_wait(REALM, Change::Nothing, about(1)).unwrap().index;

    let history = |n: u32, from: u64| {
        let (device, to) = (Some(id(n)), u64::MAX);
        let stretch = Stretch { device, from, to, backwards: false };
        let rows = world.registry.entries_in(REALM, &stretch, 10).unwrap();
        rows.iter().map(|row| row.index).collect::<Vec<_>>()
    };
    let issuance = |n: u32| world.registry.issuance(REALM, &credential(n, 0, 0).serial).unwrap();
    assert_eq!(history(1, 0), [first, refused]);
    assert_eq!(history(1, first + 1), [refused]);
    assert_eq!(history(2, 0), [second]);
    assert!(history(3, 0).is_empty());
    assert_eq!((issuance(1), issuance(2), issuance(3)), (Some(first), Some(second), None));
    world.audit();
}

#[test]
fn a_stretch_of_the_ledger_is_found_by_time_and_read_from_either_end() {
    let world = World::new();
    for n in 1..=6 {
        let draft = Draft::new(Class::Use, &Payload::new("test"), [6; 32], now().plus_secs(n * 60));
        world.registry.commit_wait(REALM, Change::Nothing, draft).unwrap();
    }
    let since = |secs: u64| world.registry.entry_since(REALM, now().plus_secs(secs)).unwrap();
    let read = |from: u64, to: u64, backwards: bool| {
        let stretch = Stretch { device: None, from, to, backwards };
        let rows = world.registry.entries_in(REALM, &stretch, 3).unwrap();
        rows.iter().map(|row| row.index).collect::<Vec<_>>()
    };

    assert_eq!((since(0), since(60), since(61), since(361)), (0, 1, 2, 7));
    assert_eq!(read(2, u64::MAX, false), [2, 3, 4]);
    assert_eq!(read(2, u64::MAX, true), [6, 5, 4]);
    assert_eq!(read(2, 4, true), [3, 2]);
    world.audit();
}

#[test]
fn an_entry_without_a_change_is_written_and_a_note_makes_none() {
    let world = World::new();
    assert_eq!(world.commit(Change::Nothing).unwrap().index, 1);
    world.registry.note_wait(REALM, "crl", b"number", Some(vec![7])).unwrap();
    assert_eq!(world.registry.head(REALM).unwrap().size, 2);
    assert_eq!(world.registry.noted(REALM, "crl", b"number").unwrap(), Some(vec![7]));
    world.registry.note_wait(REALM, "crl", b"number", Some(vec![8])).unwrap();
    assert_eq!(
        world.registry.noted_all(REALM, "crl").unwrap().values().collect::<Vec<_>>(),
        [&[8]]
    );
    world.registry.note_wait(REALM, "crl", b"number", None).unwrap();
    assert_eq!(world.registry.noted(REALM, "crl", b"number").unwrap(), None);
}

#[test]
fn the_last_admin_stays_also_where_two_go_at_once_and_a_name_is_given_once() {
    let world = World::new();
    let operator = |name: &str, id: &str, role| {
        let id = TokenId::parse(id).unwrap();
        Change::OperatorSet(Operator { name: name.into(), role, digest: [4; 32], made: now(), id })
    };
    let (ada, kim) = ("aaaaaaaaaaaaaaaa", "kkkkkkkkkkkkkkkk");
    world.commit(operator("ada", ada, Role::Admin)).unwrap();
    world.commit(operator("kim", kim, Role::Admin)).unwrap();
    assert_eq!(world.clash(operator("kim", "xxxxxxxxxxxxxxxx", Role::Viewer)), Clash::Exists);
    assert_eq!(world.clash(operator("eve", kim, Role::Viewer)), Clash::Exists);

    let gone = |name: &str| Change::OperatorRemoved(name.to_owned());
    assert_eq!(world.clash(Change::Batch(vec![gone("ada"), gone("kim")])), Clash::LastAdmin);
    world.commit(gone("ada")).unwrap();
    assert_eq!(world.clash(gone("kim")), Clash::LastAdmin);
    assert_eq!(world.clash(gone("ada")), Clash::Missing);

    world.commit(operator("eve", ada, Role::Admin)).unwrap();
    world.commit(gone("kim")).unwrap();
    world.audit();
}

#[test]
fn realms_do_not_see_each_other() {
    let world = World::new();
    world.birth(1);
    let other = RealmKey(2);
    let unfounded = world.registry.commit_wait(other, Change::Nothing, draft(now()));
    assert_eq!(unfounded, Err(CommitError::Conflict(Clash::Missing)));
    let change = Change::Found(realm(other, "plant"));
    assert_eq!(world.registry.commit_wait(other, change, draft(now())).unwrap().index, 0);
    let again = Change::Found(realm(other, "plant"));
    let refused = world.registry.commit_wait(other, again, draft(now()));
    assert_eq!(refused, Err(CommitError::Conflict(Clash::Exists)));

    let mut same = credential(1, 0, 0);
    same.der = vec![1];
    let change = born(device(1), None, same);
    world.registry.commit_wait(other, change, draft(now())).unwrap();
    assert_eq!(world.registry.head(other).unwrap().size, 2);
    assert_eq!(world.registry.roll().len(), 2);
    assert_eq!(world.registry.realms().len(), 2);
    world.audit();
}

#[test]
fn tiles_and_bundles_are_there_as_far_as_the_tree_has_grown() {
    let world = World::new();
    (1..300).for_each(|_| _ = world.commit(Change::Nothing).unwrap());
    let tile = |level, index, width| world.registry.tile(REALM, level, index, width).unwrap();

    let full = tile(0, 0, 256).unwrap();
    assert_eq!(full.len(), 256 * 32);
    assert_eq!(tile(0, 1, 44).unwrap().len(), 44 * 32);
    assert_eq!(tile(0, 1, 45), None);
    assert_eq!(tile(0, 0, 0), None);
    assert_eq!(tile(0, u64::MAX, 256), None);
    assert_eq!(tile(1, 0, 1).unwrap().len(), 32);
    let bundle = world.registry.bundle(REALM, 0, 256).unwrap().unwrap();
    for (entry, leaf) in ledger::tile::unbundle(&bundle).unwrap().iter().zip(full.chunks(32)) {
        assert_eq!(ledger::tree::leaf_hash(entry), leaf);
    }
    let proven = world
        .registry
        .hashes(REALM, |head, stored| {
            let proof = ledger::tree::inclusion(head.size, 7, stored).unwrap();
            let leaf = full[7 * 32..8 * 32].try_into().unwrap();
            (head, proof, leaf)
        })
        .unwrap();
    let (head, proof, leaf) = proven;
    assert!(ledger::tree::verify_inclusion(&head, 7, &leaf, &proof));
    world.audit();
}

#[test]
fn words_of_new_entries_come_after_the_roll_and_before_the_answers() {
    let world = World::new();
    let (told, heard) = std::sync::mpsc::channel();
    let answered = told.clone();
    world.registry.on_entry(Box::new(move |_, size| told.send(format!("size {size}")).unwrap()));
    let answer = Box::new(move |_| answered.send("answer".to_owned()).unwrap());
    world.registry.commit(REALM, Change::Nothing, draft(now()), answer);
    assert_eq!(heard.recv().unwrap(), "size 2");
    assert_eq!(heard.recv().unwrap(), "answer");
}

#[test]
fn a_closed_registry_says_so_and_still_answers_questions() {
    let world = World::new();
    world.birth(1);
    world.registry.close();
    assert_eq!(world.commit(Change::Nothing), Err(CommitError::Closed));
    assert_eq!(world.device(1), device(1));
}

#[test]
fn a_revocation_lists_what_a_crl_needs() {
    let world = World::new();
    world.birth(1);
    let leaf = world.enroll(1, 1);
    let reason = Reason::KeyCompromise;
    world.commit(Change::Revoked { serials: vec![leaf.serial], reason }).unwrap();
    let rows = world.registry.revoked(REALM, &issuer(), Some(leaf.shard)).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].serial, rows[0].not_after), (leaf.serial, leaf.not_after));
    assert_eq!(rows[0].revocation, Revocation { at: UnixTime::from_secs(1_800_000_000), reason });
}
