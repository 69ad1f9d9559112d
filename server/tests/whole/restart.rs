//! A restart: what was acknowledged is there, and one home has one process.

use crate::world::pki::{Foreign, Key, Maker};
use crate::world::{About, DAY_S, World};
use const_oid::db::rfc4519;
use hyper::Method;
use identity::{RuleId, UnixTime};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

#[tokio::test]
async fn after_a_restart_everything_stands_as_it_stood() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let (_, good) = world.enrolled("pump-7").await;
    let (held, held_leaf) = world.enrolled("pump-8").await;
    let (bad, bad_leaf) = world.enrolled("pump-9").await;
    let token = world.token(json!({"uses": 2})).await;
    let (lost_key, token_key) = (Key::new(), Key::new());
    let lost = world.renew(&good, &lost_key).await.leaf(&lost_key);
    world.join_by(&token, &token_key, "t-1").await.leaf(&token_key);
    world.suspend(&held.id).await;
    world.revoke(&format!("cert:{}", bad_leaf.serial()), "keyCompromise").await;
    let entries = world.entries().len();

    world.restart().await;

    assert!(world.entries().len() >= entries);
    let again = world.renew(&good, &lost_key).await.leaf(&lost_key);
    assert_eq!(again.serial(), lost.serial(), "a lost answer is found again");
    let heard = world.renew(&held_leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&held.id)).await;
    let heard = world.join(&bad.birth, &bad_leaf.key).await;
    world.denied(&heard, &RuleId::KEY_COMPROMISED, About::Device(&bad.id)).await;
    let key = Key::new();
    world.join_by(&token, &key, "t-2").await.leaf(&key);
    let heard = world.join_by(&token, &Key::new(), "t-3").await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Token(token.id.as_str())).await;
    let key = Key::new();
    world.join(&maker.unit("S1"), &key).await.leaf(&key);
    world.resume(&held.id).await;
    let key = Key::new();
    world.renew(&held_leaf, &key).await.leaf(&key);
    world.end().await;
}

/// What `/readyz` says of one of its checks.
async fn readiness(world: &mut World, name: &str) -> (u16, Value) {
    let heard = world.ask_as(&world.admin(), Method::GET, "/readyz", None).await;
    let said = heard.json();
    let checks = said["checks"].as_array().unwrap();
    (heard.status(), checks.iter().find(|check| check["name"] == name).unwrap().clone())
}

/// What `/readyz` says of the whole database, once it was looked at.
async fn integrity(world: &mut World) -> (u16, Value) {
    loop {
        let (status, check) = readiness(world, "integrity").await;
        if !check["detail"].as_str().unwrap().contains("under way") {
            return (status, check);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_byte_that_was_changed_in_the_database_makes_the_server_unready_and_says_where() {
    let mut world = World::new().await;
    let (device, _) = world.enrolled("pump-7").await;
    world.suspend(&device.id).await;
    let (status, check) = integrity(&mut world).await;
    assert_eq!((status, &check["ok"]), (200, &json!(true)), "{check}");

    // In a payload, so that neither the file nor the head of the ledger shows it at the start.
    world.restart_with(b"device.suspended", b"device.suspendet").await;
    let (status, check) = integrity(&mut world).await;
    let detail = check["detail"].as_str().unwrap();
    assert_eq!((status, &check["ok"]), (503, &json!(false)));
    assert!(detail.contains("ledger") && detail.contains("restore a back-up"), "{detail}");
    let stranger = world.ask_as("", Method::GET, "/healthz", None).await;
    assert_eq!(stranger.status(), 200, "it lives all the same");

    world.restart_with(b"device.suspendet", b"device.suspended").await;
    assert_eq!(integrity(&mut world).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_head_that_contradicts_what_was_signed_before_is_not_signed_and_a_start_is_refused() {
    let mut world = World::new().await;
    world.enrolled("pump-7").await;
    let head = world.ask_as(&world.admin(), Method::GET, api::path::HEAD, None).await.json();
    let root = head["checkpoint"].as_str().unwrap().lines().nth(2).unwrap().to_owned();
    let front = if root.starts_with('A') { "B" } else { "A" };
    let other = front.to_owned() + &root[1..];

    // As somebody leaves it who rewrites the entries and not the checkpoint, seen from its side.
    let running = world.running();
    server::checkpoint::sign_all(running.house(), running.view()).await;
    let registry = running.house().registry.clone();
    let (realm, space) = (registry.realms()[0].key, server::checkpoint::SPACE);
    let signed = String::from_utf8(registry.noted(realm, space, b"").unwrap().unwrap()).unwrap();
    let note = |text: String| registry.note_wait(realm, space, b"", Some(text.into())).unwrap();
    note(signed.replace(&root, &other));
    let heard = world.ask_as(&world.admin(), Method::GET, api::path::HEAD, None).await;
    assert_eq!(heard.status(), 503, "{}", heard.text());
    note(signed);
    drop(registry);

    let refused = world.refused_start_with(root.as_bytes(), other.as_bytes()).await;
    assert!(refused.contains("the ledger of realm `default`"), "{refused}");
    assert!(refused.contains("restore a back-up"), "{refused}");
    world.restart_with(other.as_bytes(), root.as_bytes()).await;
    let again = world.ask_as(&world.admin(), Method::GET, api::path::HEAD, None).await.json();
    assert_eq!(again["root"], head["root"]);
    world.end().await;
}

#[tokio::test]
async fn the_first_use_of_a_leaf_is_remembered() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);
    world.contact(&next).await;

    world.restart().await;
    world.later(86_401);

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::QUARANTINED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn refusals_that_nobody_has_summed_up_yet_are_summed_up_at_the_stop() {
    let mut world = World::new().await;
    assert_eq!(
        world.say(None, crate::world::simpleenroll(&Key::new().csr(""))).await.status(),
        401
    );

    world.restart().await;

    assert_eq!(world.last_entry().verb(), "strangers.refused");
    world.end().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_home_is_refused() {
    let mut world = World::new().await;
    let Err(refused) = world.second_start().await else { panic!("two servers have one home") };
    assert!(refused.to_string().contains("another"), "{refused}");
    world.enrolled("pump-7").await;
    world.end().await;
}

#[tokio::test]
async fn a_start_with_a_clock_behind_the_ledger_is_warned_of_and_turns_nobody_away_who_is_well() {
    let mut world = World::new().await;
    let (device, shows) = world.enrolled("pump-7").await;
    let (status, check) = readiness(&mut world, "clock").await;
    assert_eq!((status, &check["ok"]), (200, &json!(true)));
    assert_eq!(check["detail"], "the clock is not behind the ledger");
    let (_, check) = readiness(&mut world, "connections").await;
    assert_eq!(check["detail"], "every listener accepts connections");

    // Two days on, something is decided; then the clock is right again.
    world.later(2 * DAY_S);
    world.suspend(&device.id).await;
    world.resume(&device.id).await;
    world.earlier(2 * DAY_S);
    world.restart().await;

    let (status, check) = readiness(&mut world, "clock").await;
    let detail = check["detail"].as_str().unwrap();
    assert_eq!((status, &check["ok"]), (200, &json!(true)));
    assert!(detail.starts_with("warning: the clock says"), "{detail}");
    let key = Key::new();
    world.renew(&shows, &key).await.leaf(&key);
    world.end().await;
}

/// A certificate of somebody's own for the operator port, and its key, as files.
fn own_files(dir: &Path, name: &str, now: UnixTime) -> String {
    let key = Key::new();
    let foreign = Foreign {
        subject: &[(rfc4519::CN, name)],
        from: now.minus_secs(60),
        to: now.plus_secs(DAY_S),
        extensions: Vec::new(),
    };
    let path = |end: &str| dir.join(format!("{name}.{end}"));
    std::fs::write(path("pem"), foreign.signed(&key, None).pem()).unwrap();
    std::fs::write(path("key"), identity::certificate::pem("PRIVATE KEY", key.pkcs8())).unwrap();
    let (certificate, key) = (path("pem"), path("key"));
    format!("[operator]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

#[tokio::test]
async fn what_could_not_be_read_again_is_told_as_a_failure_and_new_paths_are_taken() {
    let (dir, now) = (TempDir::new().unwrap(), server::clock::now());
    let (first, second) =
        (own_files(dir.path(), "first", now), own_files(dir.path(), "second", now));
    let world = World::with_config(&first).await;
    let toml = world.home().join("muster.toml");
    let again = |text: &str| {
        std::fs::write(&toml, text).unwrap();
        world.running().reload()
    };

    assert!(again(&first));
    std::fs::remove_file(dir.path().join("first.pem")).unwrap();
    assert!(!again(&first), "its file is gone");
    assert!(again(&second), "and other files are named");
    assert!(!again("names = 7"), "the file is no longer read");
    assert!(again(&second), "what was taken is kept");
    assert!(!again(&second.replace("second.key", "nothing.key")));
    assert!(!again("[operator]\nkey = \"k\""));
    assert!(!again(""), "a certificate that goes needs a new start");
    world.end().await;

    let world = World::new().await;
    let toml = world.home().join("muster.toml");
    assert!(world.running().reload());
    std::fs::write(&toml, &second).unwrap();
    assert!(!world.running().reload(), "a certificate that comes needs a new start");
    world.end().await;
}
