//! What a disk may do to the state of a device, and that the device outlives it where it has
//! something to join with.

use super::{Unit, entries, private};
use crate::world::pki::Key;
use crate::world::{HOUR_S, World};
use agent::plan::Step;
use identity::certificate::pem;
use serde_json::json;
use std::fs;

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

    assert!(!unit.with_keeper(|keeper| keeper.leave(true)).await.unwrap(), "nobody was told");
    assert_eq!(unit.status().state, "left");
    assert!(fs::read_dir(unit.state().join("sets")).unwrap().next().is_none());
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
        fs::write(unit.state().join(file), [0xff, 0, 1]).unwrap();

        unit.insist(Step::Renew).await.unwrap();

        assert_eq!(unit.status().state, "enrolled", "{file}");
        assert_ne!(unit.leaf().der(), before.der());
        world.later(HOUR_S);
    }
    let kept = fs::read_to_string(unit.state().join("anchors.pem")).unwrap();
    assert_eq!(kept, world.root().pem());
    world.end().await;
}

#[tokio::test]
async fn roots_that_were_believed_at_first_sight_are_not_believed_a_second_time() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let text = format!("{}.{}\n", token.id, token.secret.dangerous_reveal());
    let unit = Unit::with(&world, "token = \"token\"\ntrust_first = true\nserial = \"old-1\"");
    private(&unit.path("token"), &text);
    unit.settle().await;
    fs::write(unit.state().join("anchors.pem"), "").unwrap();

    let trouble = unit.insist(Step::Renew).await.unwrap_err().to_string();

    assert!(trouble.contains("anchors.pem"), "{trouble}");
    assert_eq!(fs::read_to_string(unit.state().join("anchors.pem")).unwrap(), "");
    world.end().await;
}
