//! Setting aside, revoking and retiring: what the rows, the roll, the cut and the lists say of it.

use crate::world::{REALM, World, credential, draft, id, issuer, now};
use identity::UnixTime;
use identity::credential::{Reason, Revocation};
use identity::device::Standing;
use registry::{Change, Clash, Fate};

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
fn resuming_lifts_what_the_suspension_held_and_nothing_that_was_held_before() {
    let world = World::new();
    world.birth(1);
    let (by_hand, other) = (world.enroll(1, 1), world.enroll(1, 2));
    let later = |change, secs| {
        world.registry.commit_wait(REALM, change, draft(now().plus_secs(secs))).unwrap();
    };
    let stood =
        |expected, to, credentials| Change::Stood { device: id(1), expected, to, credentials };
    let reason = Reason::CertificateHold;
    later(Change::Revoked { serials: vec![by_hand.serial], reason }, 5);
    later(stood(3, Standing::Suspended, Fate::Hold), 10);
    assert!(world.seen(&by_hand.spki).revoked && world.seen(&other.spki).revoked);

    // Nobody takes a hold off by hand either while the device is set aside.
    let serials = vec![by_hand.serial];
    assert_eq!(world.clash(Change::Released { serials: serials.clone() }), Clash::DeviceVersion);
    later(stood(4, Standing::Enrolled, Fate::Unhold), 20);

    assert!(world.seen(&by_hand.spki).revoked && !world.seen(&other.spki).revoked);
    later(Change::Released { serials }, 30);
    assert!(!world.seen(&by_hand.spki).revoked);
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
