//! What is on the disk is what memory says: random histories against a simple model, then the same
//! after a restart; and files that must not be opened.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod model;
#[path = "../world/mod.rs"]
mod world;

use identity::Serial;
use model::{compare, step, take};
use proptest::prelude::*;
use registry::roll::fingerprint;
use registry::{Change, CommitError, Options, Registry};
use rusqlite::Connection;
use std::collections::BTreeMap;
use world::{REALM, World, credential, device, draft, now};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_roll_and_ledger_tell_the_same_story_also_after_a_restart(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("muster.db");
        let mut models = BTreeMap::new();
        let world = World::at(&path);
        for (nth, step) in (1..).zip(&steps) {
            take(&world, &mut models, step, nth);
        }
        let before = compare(&world, &models);
        let counts = world.registry.counts(REALM);
        world.audit();
        let head = world.registry.head(REALM).unwrap();
        drop(world);

        let world = World::at(&path);
        prop_assert_eq!(compare(&world, &models), before);
        prop_assert_eq!(world.registry.counts(REALM), counts);
        prop_assert_eq!(world.registry.head(REALM).unwrap(), head);
        world.audit();
    }
}

#[test]
fn a_second_opener_is_refused_until_the_first_has_closed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("muster.db");
    let world = World::at(&path);
    let refused = Registry::open(&path, Options::default()).unwrap_err();
    assert_eq!(refused, registry::OpenError::Locked);
    world.registry.close();
    drop(Registry::open(&path, Options::default()).unwrap());
}

/// Rework has the same key certified again, and in between the clock is set back by an hour.
#[test]
fn of_two_births_of_a_key_the_one_that_counts_is_the_newest_also_where_a_start_finds_it_first() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("muster.db");
    let world = World::at(&path);
    let first = world.birth(1);
    let mut again = credential(1, 0, 1);
    again.serial = Serial::new(now().minus_secs(3600), [3; 10]);
    assert!(again.serial < first.serial);
    let mut reworked = device(1);
    reworked.version += 1;
    let (expected, replaces) = (Some(1), vec![first.serial]);
    world
        .commit(Change::Born { device: reworked, expected, credential: again.clone(), replaces })
        .unwrap();
    let seen = world.seen(&first.spki);
    assert_eq!((seen.newest, seen.revoked), (fingerprint(&again.serial), false));
    drop(world);

    let world = World::at(&path);
    assert_eq!(world.seen(&first.spki), seen);
    world.audit();
}

#[test]
fn a_newer_schema_and_a_foreign_file_are_refused_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("muster.db");
    drop(World::at(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Registry::open(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, registry::OpenError::Newer { found: 99, .. }), "{refused}");

    let other = home.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let before = std::fs::read(&other).unwrap();
    let refused = Registry::open(&other, Options::default()).unwrap_err();
    assert_eq!(refused, registry::OpenError::Foreign);
    assert!(std::fs::read(&other).unwrap() == before, "its journal is kept as it was");
    let text = home.path().join("text");
    std::fs::write(&text, "not a database, but long enough to be looked at".repeat(20)).unwrap();
    let refused = Registry::open(&text, Options::default()).unwrap_err();
    assert_eq!(refused, registry::OpenError::Foreign);
}

/// Changes the closed file behind the registry's back.
fn tamper(sql: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("muster.db");
    let world = World::at(&path);
    (1..300).for_each(|n| drop(world.birth(n)));
    drop(world);
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (home, path)
}

#[test]
fn a_start_sees_a_head_that_does_not_go_with_the_tree() {
    for sql in [
        "UPDATE realm SET size = size - 1",
        "UPDATE realm SET root = zeroblob(32)",
        "UPDATE realm SET frontier = X'00'",
        "DELETE FROM entry WHERE number = 299",
    ] {
        let (_home, path) = tamper(sql);
        let refused = Registry::open(&path, Options::default()).unwrap_err();
        assert!(matches!(refused, registry::OpenError::Damaged(_)), "{sql}: {refused}");
    }
}

#[test]
fn the_long_look_names_the_entry_that_was_changed_and_rows_that_point_to_nothing() {
    for (sql, told) in [
        ("UPDATE entry SET payload = X'A0' WHERE number = 7", "entry 7:"),
        (
            "UPDATE entry SET entry = (SELECT entry FROM entry WHERE number = 8) WHERE number = 7",
            "entry 7:",
        ),
        ("UPDATE entry SET leaf = zeroblob(32) WHERE number = 9", "entry 9:"),
        ("UPDATE entry SET at = at + 100000000 WHERE number = 11", "entry 11: its moment"),
        (
            "UPDATE entry SET device = zeroblob(16) WHERE number = 12",
            "entry 12: it is stored under",
        ),
        ("DELETE FROM entry WHERE number = 100", "entry 100:"),
        ("UPDATE subtree SET hash = zeroblob(32)", "entries 0 to 255"),
        ("DELETE FROM certificate WHERE realm = 1", "299 credentials without a certificate"),
        ("DELETE FROM device WHERE model = 'pump'", "299 credentials without a device"),
    ] {
        let (_home, path) = tamper(sql);
        let world = World::at(&path);
        let findings = world.registry.check_integrity().unwrap();
        assert_eq!(findings.len(), 1, "{sql}: {findings:?}");
        assert!(findings[0].to_string().contains(told), "{sql}: {}", findings[0]);
    }
}

#[test]
fn the_long_look_ends_when_the_registry_is_closed() {
    let world = World::new();
    (1..300).for_each(|n| drop(world.birth(n)));
    let (began, begun) = std::sync::mpsc::channel();
    let registry = world.registry.clone();
    let looking = std::thread::spawn(move || {
        while registry.check_integrity().is_ok() {
            began.send(()).unwrap();
        }
    });
    begun.recv().unwrap();

    world.registry.close();

    looking.join().unwrap();
    assert!(world.registry.check_integrity().is_err());
    assert_eq!(world.device(1), device(1), "other reads go on");
}

#[test]
fn a_full_queue_says_busy_and_loses_nothing_that_it_took() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("muster.db");
    drop(World::at(&path));
    let options = Options { queue: 2, ..Options::default() };
    let registry = Registry::open(&path, options).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    // The first commit holds the writer in its callback, until told to go on.
    registry.on_entry(Box::new(move |_, _| _ = wait.lock().unwrap().recv()));
    for _ in 0..10 {
        let told = told.clone();
        let answer = Box::new(move |result| told.send(result).unwrap());
        registry.commit(REALM, Change::Nothing, draft(now()), answer);
    }
    drop(go);
    let answers: Vec<_> = (0..10).map(|_| heard.recv().unwrap()).collect();
    let busy = answers.iter().filter(|a| matches!(a, Err(CommitError::Busy))).count();
    let committed = answers.iter().filter(|a| a.is_ok()).count();
    assert!(busy >= 1);
    assert_eq!(busy + committed, 10);
    assert_eq!(registry.head(REALM).unwrap().size, 1 + committed as u64);
}
