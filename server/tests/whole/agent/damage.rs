//! What a disk may do to the state of a device, and that the device outlives it where it has
//! something to join with.

use super::{Unit, entries, private};
use crate::world::pki::{Key, Shows};
use crate::world::{DAY_S, HOUR_S, World};
use agent::keeper::Left;
use agent::plan::Step;
use agent::store::{Stay, Store};
use identity::certificate::pem;
use identity::text::from_base64;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_device_whose_leaf_or_key_is_damaged_says_so_and_joins_anew_by_itself() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let another = pem("PRIVATE KEY", Key::new().pkcs8());
    let cases = [("full.pem", ""), ("full.pem", "\0"), ("key.pem", ""), ("key.pem", &another)];
    for (file, text) in cases {
        let before = unit.leaf();
        private(&unit.state().join("current").join(file), text);

        let status = unit.status();
        assert_eq!((status.state, status.is_well()), ("damaged", false), "{file}");
        assert!(status.damage.unwrap().contains(file));
        let trouble = unit.insist(Step::Renew).await.unwrap_err().to_string();
        assert!(trouble.contains(file) && trouble.contains("`muster-agent join`"), "{trouble}");
        world.later(HOUR_S);
        unit.settle().await;

        assert_eq!(unit.status().state, "enrolled", "{file}: {:?}", unit.status());
        assert_ne!(unit.leaf().spki_hash(), before.spki_hash());
    }
    assert_eq!(entries(&world, &device.id, "join.issued"), 1 + cases.len());
    world.end().await;
}

#[tokio::test]
async fn who_has_nothing_to_join_with_is_told_what_is_damaged_and_may_leave_anyway() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    fs::remove_file(unit.path("birth.key")).unwrap();
    private(&unit.state().join("current/key.pem"), "");

    let told = unit.with_keeper(|keeper| keeper.settle()).await.unwrap_err().to_string();
    assert!(told.contains("key.pem") && told.contains("a token"), "{told}");
    let kept = unit.with_keeper(|keeper| keeper.leave(false)).await.unwrap_err().to_string();
    assert!(kept.contains("key.pem") && kept.contains("--anyway"), "{kept}");
    assert_eq!(unit.status().state, "damaged");

    let left = unit.with_keeper(|keeper| keeper.leave(true)).await.unwrap();
    assert_eq!(left, Left::Unconfirmed, "nobody was told");
    assert_eq!(unit.status().state, "left");
    assert!(fs::read_dir(unit.state().join("sets")).unwrap().next().is_none());
    world.end().await;
}

#[tokio::test]
async fn a_key_that_others_may_read_is_told_of_and_makes_no_join() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let (before, key) = (unit.leaf(), unit.state().join("current/key.pem"));
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    for _ in 0..2 {
        let told = unit.with_keeper(|keeper| keeper.settle()).await.unwrap_err().to_string();
        assert!(told.contains("key.pem") && told.contains("chmod go="), "{told}");
        world.later(HOUR_S);
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    unit.settle().await;
    assert_eq!(unit.leaf().der(), before.der());

    let pending = unit.state().join("pending.pem");
    let text = fs::read_to_string(&key).unwrap();
    private(&pending, &text);
    fs::set_permissions(&pending, Permissions::from_mode(0o640)).unwrap();
    let told = unit.insist(Step::Renew).await.unwrap_err().to_string();
    assert!(told.contains("pending.pem"), "{told}");
    assert_eq!(fs::read_to_string(&pending).unwrap(), text, "it may be an issued leaf's");
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_in_use_that_is_lost_is_damage_and_not_nothing_to_revoke() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    fs::remove_file(unit.state().join("current/full.pem")).unwrap();

    let told = unit.with_keeper(|keeper| keeper.leave(false)).await.unwrap_err().to_string();
    assert!(told.contains("full.pem") && told.contains("--anyway"), "{told}");
    assert_eq!(unit.status().state, "damaged");
    let left = unit.with_keeper(|keeper| keeper.leave(true)).await.unwrap();
    assert_eq!(left, Left::Unconfirmed);
    world.end().await;
}

#[tokio::test]
async fn what_else_of_the_state_is_damaged_is_made_anew() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    for file in ["pending.pem", "anchors.pem", "memo.json", "clock"] {
        let before = unit.leaf();
        private(&unit.state().join(file), "");
        fs::write(unit.state().join(file), [0xff, 0, 1]).unwrap();

        unit.insist(Step::Renew).await.unwrap();

        assert_eq!(unit.status().state, "enrolled", "{file}");
        assert_ne!(unit.leaf().der(), before.der());
        world.later(HOUR_S);
    }
    let kept = fs::read_to_string(unit.state().join("anchors.pem")).unwrap();
    let root = world.root();
    assert_eq!(kept, format!("# root_pin {}\n{}", root.spki_hash(), root.pem()));
    world.end().await;
}

#[tokio::test]
async fn what_the_disk_does_not_give_back_is_done_without_or_waited_for_and_never_guessed() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    // A directory in the place of a file cannot be read by anybody.
    let [clock, anchors] = ["clock", "anchors.pem"].map(|name| unit.state().join(name));
    fs::remove_file(&clock).unwrap();
    fs::create_dir(&clock).unwrap();
    unit.insist(Step::Renew).await.unwrap();

    // The configured root may be older than those that are believed.
    let aside = unit.path("anchors.pem");
    fs::rename(&anchors, &aside).unwrap();
    fs::create_dir(&anchors).unwrap();
    let told = unit.insist(Step::Renew).await.unwrap_err().to_string();
    assert!(told.contains("cannot read") && told.contains("anchors.pem"), "{told}");
    fs::remove_dir(&anchors).unwrap();
    fs::rename(&aside, &anchors).unwrap();
    unit.insist(Step::Renew).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn roots_that_were_believed_at_first_sight_are_not_believed_a_second_time() {
    let mut world = World::new().await;
    let unit = Unit::trusting_first(&mut world).await;
    unit.settle().await;
    fs::write(unit.state().join("anchors.pem"), "").unwrap();

    let trouble = unit.insist(Step::Renew).await.unwrap_err().to_string();

    assert!(trouble.contains("anchors.pem"), "{trouble}");
    assert_eq!(fs::read_to_string(unit.state().join("anchors.pem")).unwrap(), "");
    world.end().await;
}

/// Nothing of the state can be written anew from now on, as on a full disk; what is there can be
/// overwritten, renamed and taken away.
fn fill(unit: &Unit) {
    for name in ["memo.json", "clock", "pending.pem", "anchors.pem"] {
        fs::create_dir_all(unit.state().join(format!("{name}.new/room"))).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_keeps_nobody_from_leaving_and_nobody_comes_back_by_itself() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let key = unit.path("key");
    fs::hard_link(unit.state().join("current/key.pem"), &key).unwrap();
    world.later(60);
    fs::create_dir_all(unit.state().join("memo.json.new/room")).unwrap();
    fs::create_dir_all(unit.state().join("clock.new/room")).unwrap();

    let left = unit.with_keeper(|keeper| keeper.leave(false)).await.unwrap();

    assert_eq!((left, unit.status().state), (Left::Revoked, "left"));
    assert!(!unit.state().join("current").exists());
    assert!(fs::read(key).unwrap().iter().all(|octet| *octet == 0), "the key is wiped");
    for name in ["memo.json", "clock"] {
        fs::remove_dir_all(unit.state().join(format!("{name}.new"))).unwrap();
    }
    world.later(2 * HOUR_S);
    assert_eq!(unit.settle().await, Step::Stuck);
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_full_disk_ends_no_run_asks_for_nothing_and_is_waited_for_ever_longer() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    world.later(16 * DAY_S);
    fill(&unit);

    let turns = unit.with_keeper(|keeper| [keeper.turn(), keeper.turn(), keeper.turn()]).await;

    assert!(turns.iter().all(|turn| turn.trouble.as_ref().unwrap().contains("memo.json")));
    let [first, .., third] = turns.map(|turn| turn.wait_s);
    assert!((20..=40).contains(&first) && third > 2 * first, "{first} s, {third} s");
    assert_eq!(world.device(&device.id).await["generation"], 1, "what cannot be kept");

    for name in ["memo.json", "clock", "pending.pem", "anchors.pem"] {
        fs::remove_dir_all(unit.state().join(format!("{name}.new"))).unwrap();
    }
    let turn = unit.with_keeper(|keeper| keeper.turn()).await;
    assert_eq!(turn.trouble, None);
    assert_eq!(world.device(&device.id).await["generation"], 2);
    world.end().await;
}

#[tokio::test]
async fn a_leave_whose_answer_was_lost_is_said_again_and_does_not_turn_into_a_join() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    // The server has revoked, and the plug was pulled before its answer came.
    Store::lock(&unit.state()).unwrap().put_stay(Stay::Leaving).unwrap();
    let text = fs::read_to_string(unit.state().join("current/key.pem")).unwrap();
    let lines: String = text.lines().filter(|l| !l.starts_with("-----")).collect();
    let key = Key::from_pkcs8(&from_base64(lines.as_bytes()).unwrap());
    let leaf = Shows::new(unit.leaf(), &key);
    assert_eq!(world.say_own(Some(&leaf), "POST", "leave", "").await.status(), 204);
    assert_eq!((unit.status().state, unit.status().is_well()), ("leaving", false));

    assert_eq!(unit.settle().await, Step::Stuck);

    assert_eq!(unit.status().state, "left");
    assert!(!unit.state().join("current").exists());
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}
