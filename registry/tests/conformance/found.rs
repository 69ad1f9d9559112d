//! What is looked for: groups, marks, histories, stretches of the ledger, counts.

use crate::world::{REALM, World, born, credential, device, id, now};
use identity::device::{GroupName, Standing};
use ledger::{Class, Payload};
use registry::{Change, Clash, DeviceFilter, Draft, Stretch};
use std::collections::BTreeSet;

fn group(name: &str) -> BTreeSet<GroupName> {
    GroupName::parse(name).into_iter().collect()
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
fn a_mark_is_taken_away_only_by_who_has_seen_it() {
    let world = World::new();
    world.birth(1);
    let mark = |text: &str| Change::Marked { device: id(1), mark: text.to_owned() };
    world.commit(mark("a second birth")).unwrap();
    world.commit(mark("another model")).unwrap();
    let unmark = |expected| Change::Unmarked { device: id(1), expected };
    assert_eq!(world.clash(unmark(2)), Clash::DeviceVersion, "what came since stays");
    assert_eq!(world.device(1).mark.as_deref(), Some("another model"));

    world.commit(unmark(3)).unwrap();
    assert_eq!((world.device(1).mark, world.device(1).version), (None, 4));
    let missing = Change::Unmarked { device: id(2), expected: 1 };
    assert_eq!(world.clash(missing), Clash::Missing);
    world.audit();
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
