//! Births and names: what is read back, what is given once, and to whom.

use crate::world::{REALM, World, born, credential, device, id, key};
use identity::credential::{Credential, Requester};
use identity::device::Standing;
use identity::name::DeviceName;
use registry::roll::fingerprint;
use registry::{Change, Clash, RealmKey};

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
