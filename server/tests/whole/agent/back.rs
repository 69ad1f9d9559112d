//! How a device comes back: by the leaf that it has where its way in is closed or its token spent,
//! and with a clock that says that its leaf has ended.

use super::{Unit, carry, entries};
use crate::world::{DAY_S, HOUR_S, World};
use agent::plan::Step;
use identity::{RuleId, UnixTime};
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A unit that joined with a token, which is spent and was left where it was.
async fn adopted(world: &mut World) -> Unit {
    let token = world.token(json!({"uses": 1, "serial": "old-1"})).await;
    let unit = Unit::bare(world, "token = \"token\"\nserial = \"old-1\"");
    unit.vouch(&token);
    unit.settle().await;
    unit
}

#[tokio::test]
async fn a_device_that_was_released_from_quarantine_joins_anew_with_a_new_key() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    world.post(&format!("/api/v1/devices/{}/quarantine", device.id), json!({})).await;
    assert!(unit.insist(Step::Renew).await.unwrap_err().is_turned_away());
    world.post(&format!("/api/v1/devices/{}/release", device.id), json!({})).await;

    world.later(2 * HOUR_S);
    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled");
    assert_ne!(unit.leaf().spki_hash(), before.spki_hash());
    assert_eq!(entries(&world, &device.id, "join.issued"), 2);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_ended_while_the_device_was_off_is_joined_again() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    world.later(60 * DAY_S);
    assert_eq!(unit.status().state, "ended");

    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled");
    assert_eq!(entries(&world, &device.id, "join.issued"), 2);
    world.end().await;
}

#[tokio::test]
async fn a_device_whose_token_is_spent_comes_back_by_its_leaf_once_it_is_resumed() {
    let mut world = World::new().await;
    let unit = adopted(&mut world).await;
    world.suspend("serial:old-1").await;
    for _ in 0..3 {
        world.later(DAY_S + DAY_S / 4);
        unit.settle().await;
        let status = unit.status();
        assert_eq!(status.state, "refused");
        let trouble = status.trouble.unwrap();
        assert!(trouble.contains(&*RuleId::SUSPENDED.sentence()), "not of the token: {trouble}");
    }
    let before = unit.leaf();

    world.resume("serial:old-1").await;
    world.later(DAY_S + DAY_S / 4);
    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    assert_ne!(unit.leaf().spki_hash(), before.spki_hash());
    world.end().await;
}

#[tokio::test]
async fn a_device_whose_token_is_spent_renews_within_the_grace_and_no_later() {
    let mut world = World::new().await;
    world.set("renew_grace_s", "86400").await;
    let unit = adopted(&mut world).await;
    world.later(30 * DAY_S + HOUR_S);
    assert_eq!(unit.status().state, "ended");
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());

    world.later(32 * DAY_S);
    unit.settle().await;
    let status = unit.status();
    assert_eq!(status.state, "refused");
    assert!(status.trouble.unwrap().contains(&*RuleId::TOKEN_REFUSED.sentence()));
    world.end().await;
}

#[tokio::test]
async fn a_closed_door_keeps_nobody_out_who_was_resumed_and_has_a_leaf() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    world.suspend(&device.id).await;
    assert!(unit.insist(Step::Renew).await.unwrap_err().is_turned_away());
    world.post("/api/v1/doors/birth/close", json!({})).await;
    world.resume(&device.id).await;

    world.later(2 * HOUR_S);
    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    assert_eq!(entries(&world, &device.id, "renew.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_the_server_says_is_revoked_is_not_shown_again_where_the_door_is_closed() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    world.quarantine(&device.id).await;
    assert!(unit.insist(Step::Renew).await.unwrap_err().is_turned_away());
    world.post("/api/v1/doors/birth/close", json!({})).await;
    world.release(&device.id).await;

    let mut denied = Vec::new();
    for _ in 0..3 {
        world.later(DAY_S + DAY_S / 4);
        unit.settle().await;
        denied.push(["renew.denied", "join.denied"].map(|v| entries(&world, &device.id, v)));
        assert!(unit.status().trouble.unwrap().contains(&*RuleId::DOOR_CLOSED.sentence()));
    }
    assert_eq!(denied.iter().map(|d| d[0]).collect::<Vec<_>>(), [2, 2, 2], "once, and never again");
    assert!(denied[2][1] > denied[0][1], "and it goes on asking: {denied:?}");

    world.post("/api/v1/doors/birth/open", json!({})).await;
    world.later(DAY_S + DAY_S / 4);
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    world.end().await;
}

#[tokio::test]
async fn a_restored_state_whose_leaf_has_ended_shows_it_to_nobody_where_there_is_a_birth_certificate()
 {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let image = unit.path("image");
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    copy(&unit.state(), &image);
    world.later(16 * DAY_S);
    unit.settle().await;
    world.later(15 * DAY_S);
    unit.settle().await;
    assert_eq!(world.device(&device.id).await["generation"], 3);
    fs::remove_dir_all(unit.state()).unwrap();
    copy(&image, &unit.state());
    world.post("/api/v1/doors/birth/close", json!({})).await;

    world.later(DAY_S);
    unit.settle().await;

    assert_eq!(unit.status().state, "refused");
    assert_eq!(world.device(&device.id).await["standing"], "enrolled", "it is no clone");
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_is_ahead_at_a_start_gives_no_good_leaf_up() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    let far = UnixTime::from_secs(world.now().secs() + 400 * DAY_S);
    let unit = Unit { system: Some(far), ..unit };

    assert!(matches!(unit.settle().await, Step::Wait(_)));

    assert_eq!(unit.leaf().der(), before.der());
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_is_some_hours_ahead_joins_once_for_a_leaf_of_hours_and_not_for_ever() {
    let mut world = World::new().await;
    world.put("/api/v1/profiles/standard", json!({"lifetime_s": 4 * HOUR_S})).await;
    let device = world.born("pump-7").await;
    let ahead = UnixTime::from_secs(world.now().secs() + 8 * HOUR_S);
    let unit = Unit { system: Some(ahead), ..Unit::born(&world, &device, "") };

    assert!(matches!(unit.settle().await, Step::Wait(_)));

    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_is_ahead_gives_no_good_leaf_up_where_the_network_comes_later() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    unit.go_through(port);
    let mut keeper = unit.keeper_whose(|now| now.plus_secs(400 * DAY_S));
    let clock = Arc::clone(&unit.clock);

    let tries = move || {
        let mut waits = Vec::new();
        for _ in 0..3 {
            let Step::Wait(until) = keeper.settle().unwrap() else { panic!("it waits") };
            waits.push(until.secs_since(keeper.now()));
            clock.fetch_add(120_000, Ordering::Relaxed);
        }
        let gate = TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::spawn(move || gate.incoming().for_each(|tcp| carry(tcp.unwrap())));
        clock.fetch_add(120_000, Ordering::Relaxed);
        assert!(matches!(keeper.settle().unwrap(), Step::Wait(_)));
        waits
    };
    let waits = tokio::task::spawn_blocking(tries).await.unwrap();

    assert!((20..=40).contains(&waits[0]) && waits[2] > 2 * waits[0], "{waits:?}");
    assert_eq!(unit.status().trouble, None);
    assert_eq!(unit.leaf().der(), before.der());
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_is_some_hours_ahead_gives_no_leaf_of_hours_up_at_any_start_nor_at_a_join() {
    let mut world = World::new().await;
    world.put("/api/v1/profiles/standard", json!({"lifetime_s": 4 * HOUR_S})).await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    let ahead = UnixTime::from_secs(world.now().secs() + 8 * HOUR_S);
    let unit = Unit { system: Some(ahead), ..unit };

    for _ in 0..3 {
        assert!(matches!(unit.settle().await, Step::Wait(_)));
        unit.with_keeper(|keeper| keeper.come_in(false)).await.unwrap();
    }
    assert_eq!(unit.leaf().der(), before.der());
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);

    unit.with_keeper(|keeper| keeper.come_in(true)).await.unwrap();
    assert_ne!(unit.leaf().der(), before.der(), "who insists is heard");
    world.later(5 * HOUR_S);
    unit.with_keeper(|keeper| keeper.come_in(false)).await.unwrap();
    assert_eq!(entries(&world, &device.id, "join.issued"), 3, "and a leaf that ended is another");
    world.end().await;
}

#[tokio::test]
async fn a_leaf_of_minutes_is_renewed_once_in_its_half_life() {
    let mut world = World::new().await;
    world.put("/api/v1/profiles/standard", json!({"lifetime_s": 300})).await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    let Step::Wait(until) = unit.settle().await else { panic!("it waits") };
    assert!((100..=150).contains(&until.secs_since(world.now())));
    assert_eq!(entries(&world, &device.id, "renew.issued"), 0);

    world.later(151);
    unit.settle().await;

    assert_eq!(entries(&world, &device.id, "renew.issued"), 1);
    assert_eq!(entries(&world, &device.id, "join.issued"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_has_ended_when_it_comes_is_told_of_and_asked_for_ever_more_seldom() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    // The server's clock is behind what it said for a day: behind the floor of the device.
    world.later(40 * DAY_S);
    let store = agent::store::Store::lock(&unit.state()).unwrap();
    let kept = store.clock().unwrap().unwrap();
    store.put_clock(agent::time::Kept { floor: world.now(), told: world.now(), ..kept }).unwrap();
    drop(store);
    world.earlier(40 * DAY_S);

    let Step::Wait(until) = unit.settle().await else { panic!("it waits") };

    assert!(until.secs_since(world.now()) > 20, "{:?}", unit.status());
    assert!(unit.status().trouble.unwrap().contains("one of the two clocks is wrong"));
    assert!(entries(&world, &device.id, "join.issued") <= 2);
    world.end().await;
}
