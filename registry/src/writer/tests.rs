//! What happens when the file fails in the middle.

use super::batch::Batch;
use super::{Answer, BATCH_MAX, Commit, Job, Log, Pace, Writer};
use crate::change::{Change, Clash, CommitError, Draft};
use crate::realm::{Realm, RealmKey};
use crate::schema::{self, Place};
use crate::shared::Shared;
use identity::door::{Door, DoorKind};
use identity::{RealmName, UnixTime};
use rusqlite::Connection;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const REALM: RealmKey = RealmKey(1);

fn writer(name: &str) -> Writer {
    writer_at(&Place::Memory(name.to_owned()))
}

fn writer_at(place: &Place) -> Writer {
    let db = schema::open_writer(place).unwrap();
    let roll = schema::load_roll(place, &db).unwrap();
    let log = Log::of(place).unwrap();
    let shared = Arc::new(Shared::new(roll, vec![], false));
    let mut writer = Writer::new((db, log), BTreeMap::new(), shared);
    let realm = Realm {
        key: REALM,
        name: RealmName::default_realm(),
        id: [1; 16],
        origin: "o".into(),
        founded: UnixTime::default(),
    };
    let heard = settle(&mut writer, vec![Change::Found(realm)]);
    assert_eq!(heard, vec![Ok(0)]);
    writer
}

fn job(change: Change) -> (Job, Receiver<Result<u64, CommitError>>) {
    let (told, heard) = channel();
    let payload = vec![0xa0; 4000];
    let draft = Draft {
        class: ledger::Class::Setting,
        payload,
        salt: [0; 32],
        at: UnixTime::default(),
        device: None,
    };
    let answer = Answer::new(Box::new(move |result: Result<crate::Committed, _>| {
        told.send(result.map(|committed| committed.index)).unwrap();
    }));
    (Job::Commit(Box::new(Commit { realm: REALM, change, draft, answer })), heard)
}

fn settle(writer: &mut Writer, changes: Vec<Change>) -> Vec<Result<u64, CommitError>> {
    let (jobs, heard): (Vec<_>, Vec<_>) = changes.into_iter().map(job).unzip();
    writer.settle(jobs);
    heard.into_iter().map(|heard| heard.recv().unwrap()).collect()
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn door(name: &str, open: bool) -> Door {
    Door {
        name: name.into(),
        kind: DoorKind::Token,
        open,
        groups: [].into(),
        profile: "standard".into(),
        assurance: identity::Assurance::Token,
        binding: false,
        receipt: None,
    }
}

#[test]
fn two_doors_of_a_home_of_before_may_be_changed_and_closed_and_one_of_them_opened() {
    let mut writer = writer("doors");
    let mut set = |name: &str, open| settle(&mut writer, vec![Change::DoorSet(door(name, open))]);
    let second = vec![Err(CommitError::Conflict(Clash::SecondDoor))];
    assert!(set("token", true)[0].is_ok());
    assert_eq!(set("tb", false), second);
    let doubled = "INSERT INTO door SELECT realm, 'tb', kind, open, group_names, profile, \
        assurance, binding, place, pattern, model, allow, receipt FROM door";
    writer.db.execute(doubled, []).unwrap();

    let mut set = |name: &str, open| settle(&mut writer, vec![Change::DoorSet(door(name, open))]);
    for (name, open) in [("tb", true), ("token", true), ("token", false), ("tb", false)] {
        assert!(set(name, open)[0].is_ok(), "{name}");
    }
    assert_eq!(set("third", false), second);
    assert!(set("tb", true)[0].is_ok());
    assert_eq!(set("token", true), second, "it would be chance which one decides");
    assert!(set("token", false)[0].is_ok());
}

#[test]
fn a_full_disk_discards_the_whole_batch_and_the_next_one_goes_on_where_the_last_good_one_ended() {
    let mut writer = writer("full");
    let pages: i64 = writer.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |writer: &Writer, pages: i64| {
        writer.db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&writer, pages + 3);
    let told = Arc::new(Mutex::new(Vec::new()));
    let grown = Arc::clone(&told);
    writer.shared.on_entry(Box::new(move |_, size| grown.lock().unwrap().push(size)));

    let heard = settle(&mut writer, vec![Change::Nothing; 8]);
    assert!(heard.iter().all(|answer| matches!(answer, Err(CommitError::Storage(_)))), "{heard:?}");
    assert_eq!(count(&writer.db, "entry"), 1);
    assert_eq!(*told.lock().unwrap(), Vec::<u64>::new());

    let set = |n: u32| Change::SettingSet {
        key: n.to_string(),
        group: None,
        value: Some("v".repeat(4000)),
    };
    let heard = settle(&mut writer, vec![Change::Batch((0..8).map(set).collect())]);
    assert!(
        matches!(&heard[0], Err(CommitError::Storage(why)) if why.contains("full")),
        "several at once tell why, too: {heard:?}"
    );

    limit(&writer, 1_000_000);
    let heard = settle(&mut writer, vec![Change::Nothing; 2]);
    assert_eq!(heard, vec![Ok(1), Ok(2)]);
    assert_eq!(*told.lock().unwrap(), vec![3]);
    let (_, ledgers) = schema::load_ledgers(&writer.db).unwrap();
    assert_eq!(ledgers, writer.ledgers);
}

thread_local! {
    /// Who holds the file for a moment.
    static OTHER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// A reader that finds the head of the log half written takes the writer's own lock to look again.
/// A transaction that begins with a read is then told at once that the file is busy.
#[test]
fn who_holds_the_file_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("muster.db"));
    let mut writer = writer_at(&place);
    let other = place.connect().unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    OTHER.set(Some(other));
    writer.db.busy_handler(Some(|_| OTHER.take().is_some())).unwrap();

    let heard = settle(&mut writer, vec![Change::DoorSet(door("tokens", true))]);

    assert_eq!(heard, vec![Ok(1)]);
    assert!(OTHER.take().is_none(), "nobody held the file");
}

#[test]
fn what_was_not_committed_leaves_nothing() {
    let writer = writer("dropped");
    let transaction = writer.db.unchecked_transaction().unwrap();
    let mut batch = Batch::new(&writer.db, &writer.shared.roll, &writer.ledgers);
    let (one, heard) =
        job(Change::SettingSet { key: "grace".into(), group: None, value: Some("1".into()) });
    assert!(matches!(batch.take(&one), Ok(Some(1))));
    batch.finish().unwrap();
    drop(transaction);
    drop(one);

    assert_eq!(heard.recv().unwrap(), Err(CommitError::Closed));
    assert_eq!((count(&writer.db, "entry"), count(&writer.db, "setting")), (1, 0));
    schema::load_ledgers(&writer.db).unwrap();
}

#[test]
fn a_change_that_the_schema_forbids_does_not_take_its_batch_with_it() {
    let mut writer = writer("forbidden");
    writer.db.execute_batch("CREATE UNIQUE INDEX narrow ON setting (realm, value)").unwrap();
    let set =
        |key: &str| Change::SettingSet { key: key.into(), group: None, value: Some("same".into()) };
    let heard = settle(&mut writer, vec![set("a"), set("b"), Change::Nothing]);
    assert_eq!((&heard[0], &heard[2]), (&Ok(1), &Ok(2)));
    assert!(matches!(heard[1], Err(CommitError::Storage(_))));
}

#[test]
fn a_handful_of_requesters_waits_for_nobody_and_a_crowd_as_long_as_a_batch_took() {
    let mut pace = Pace::default();
    assert_eq!(pace.pause(), None);
    for (count, took_ms, pause_ms) in
        [(1, 9, None), (3, 9, None), (4, 2, Some(2)), (8, 90, Some(5))]
    {
        pace.wrote(count, Duration::from_millis(took_ms));
        assert_eq!(pace.pause(), pause_ms.map(Duration::from_millis));
    }
    pace.wrote(BATCH_MAX, Duration::from_millis(2));
    assert_eq!(pace.pause(), None);
}
