//! Entries and whoever writes them: notes, tiles, realms, operators, and the end.

use crate::world::{REALM, World, born, credential, device, draft, now, realm};
use identity::UnixTime;
use identity::token::TokenId;
use registry::{Change, Clash, CommitError, Noted, Operator, RealmKey, Role};

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
fn notes_are_counted_by_the_front_of_their_keys_and_found_by_that_of_their_values() {
    let world = World::new();
    for (key, value) in [(b"ab1", vec![0, 9, 7]), (b"ab2", vec![1, 0]), (b"cd1", vec![1, 1, 1])] {
        world.registry.note_wait(REALM, "kept", key, Some(value)).unwrap();
    }
    world.registry.note_wait(REALM, "other", b"ab3", Some(vec![0])).unwrap();

    let fronts = world.registry.noted_by_front(REALM, "kept", 2).unwrap();
    let until = |front: &[u8]| world.registry.noted_until(REALM, "kept", front).unwrap();

    let of = |count, octets| Noted { count, octets };
    let expected = [(b"ab".to_vec(), of(2, 5)), (b"cd".to_vec(), of(1, 3))];
    assert_eq!(fronts.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(until(&[1, 0]), [b"ab1", b"ab2"]);
    assert_eq!(until(&[0, 8]), Vec::<Vec<u8>>::new());
    assert_eq!(until(&[1, 1]).len(), 3);
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
fn the_time_of_the_ledger_stands_still_where_the_clock_was_set_back() {
    let world = World::new();
    let at = |secs: i64| UnixTime::from_secs(now().secs().checked_add_signed(secs).unwrap());
    let year = 365 * 86_400;
    for moment in [year, year + 5, -year, 0, year + 7] {
        let told = draft(at(moment));
        world.registry.commit_wait(REALM, Change::Nothing, told).unwrap();
    }

    let rows = world.registry.entries(REALM, 1, 10).unwrap();

    let told: Vec<UnixTime> = rows.iter().map(|row| row.at).collect();
    assert_eq!(told, [year, year + 5, year + 5, year + 5, year + 7].map(at));
    for row in &rows {
        assert_eq!(ledger::Entry::decode(&row.entry).unwrap().hours, row.at.hours());
    }
    assert_eq!(world.registry.entry_since(REALM, at(year + 6)).unwrap(), 5);
    world.audit();
}
