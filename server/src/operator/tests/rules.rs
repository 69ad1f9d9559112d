//! Doors, profiles, settings and tokens.

use super::authorities::anchor;
use super::world::{Call, World};
use api::path::{DOOR, DOOR_CLOSE, PROFILE, SETTINGS, TOKEN, TOKENS, fill};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_shows_its_secret_once_and_is_revoked() {
    let world = World::new();
    let made = world.send("operator", "POST", TOKENS, json!({"uses": 3, "group": ["north"]})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let json = made.json();
    let (id, secret) = (json["id"].as_str().unwrap(), json["secret"].as_str().unwrap());
    assert_eq!((id.len(), secret.len()), (16, 43));
    assert_eq!(json["basic"], format!("{id}:{secret}"));
    assert_eq!(json["bearer"], format!("{id}.{secret}"));
    assert_eq!(made.header("location"), fill(TOKEN, &[id]));

    let listed = world.get("viewer", TOKENS).await;
    assert!(!listed.text.contains(secret));
    assert_eq!(listed.json()["items"][0]["live"], true);
    let revoke = Call { role: "operator", ..Call::default() };
    let gone = world.call("DELETE", &fill(TOKEN, &[id]), revoke).await.json();
    assert_eq!(gone["live"], false);
    let entries = world.get("viewer", api::path::ENTRIES).await;
    assert!(!entries.text.contains(secret));
}

#[tokio::test]
async fn a_token_outside_its_bounds_is_refused() {
    let world = World::new();
    for wrong in [
        json!({"uses": 0}),
        json!({"uses": 100_001}),
        json!({"ttl_s": 0}),
        json!({"ttl_s": 40_000_000}),
        json!({"serial": ""}),
        json!({"serial": "a\u{0}b"}),
        json!({"group": ["a b"]}),
        json!({"colour": "red"}),
        json!({"uses": "1"}),
        json!([]),
    ] {
        let reply = world.send("operator", "POST", TOKENS, wrong.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_maker_door_is_made_closed_and_removed_and_the_house_knows_at_once() {
    let world = World::new();
    let path = fill(DOOR, &["acme"]);
    let maker =
        json!({"anchors": anchor(&world).await, "place": "common-name", "pattern": "ACME-*"});
    let wish = json!({"kind": "maker", "maker": maker, "group": ["bought"]});
    let made = world.send("admin", "PUT", &path, wish).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert_eq!(made.json()["assurance"], "certified");
    let realm = world.house.realms().remove(0);
    assert!(realm.door("acme").unwrap().open);

    let close = fill(DOOR_CLOSE, &["acme"]);
    let closed = world.call("POST", &close, Call { role: "admin", ..Call::default() }).await;
    assert_eq!(closed.json()["open"], false);
    assert!(!world.house.realms().remove(0).door("acme").unwrap().open);
    assert_eq!(world.last_entry().await["verb"], "door.closed");

    let removed = world.call("DELETE", &path, Call { role: "admin", ..Call::default() }).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(world.get("viewer", &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_door_that_promises_too_much_or_makes_no_sense_is_refused() {
    let world = World::new();
    let pem = anchor(&world).await;
    for (wrong, status) in [
        (json!({"kind": "token", "assurance": "certified"}), 400),
        (json!({"kind": "birth", "assurance": "measured"}), 400),
        (json!({"kind": "maker"}), 400),
        (json!({"kind": "token", "maker": {"anchors": pem}}), 400),
        (json!({"kind": "maker", "maker": {"anchors": "none"}}), 400),
        (json!({"kind": "maker", "maker": {"anchors": pem, "pattern": "a*b*"}}), 400),
        (json!({"kind": "maker", "maker": {"anchors": pem, "pattern": "a*"}}), 400),
        (json!({"kind": "token", "profile": "none"}), 404),
        (json!({"kind": "window"}), 400),
    ] {
        let reply = world.send("admin", "PUT", &fill(DOOR, &["d"]), wrong.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{wrong}: {}", reply.text);
    }
    let reply = world.send("admin", "PUT", &fill(DOOR, &["a b"]), json!({"kind": "token"})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_rule_that_was_decided_on_an_old_state_is_not_written() {
    let world = World::new();
    let (door, profile) = (fill(DOOR, &["birth"]), fill(PROFILE, &["standard"]));
    let close = fill(DOOR_CLOSE, &["birth"]);
    let setting = |secs: &str| json!({"key": "overlap_s", "value": secs});
    let birth = |binding: bool| json!({"kind": "birth", "binding": binding});
    for (shown, method, path, wish, other) in [
        (&door, "PUT", &door, birth(true), birth(false)),
        (&profile, "PUT", &profile, json!({"lifetime_s": 3600}), json!({"lifetime_s": 7200})),
        (&SETTINGS.to_owned(), "PUT", &SETTINGS.to_owned(), setting("60"), setting("90")),
        (&door, "POST", &close, json!({}), json!({})),
    ] {
        let tag = world.get("viewer", shown).await.header("etag").to_owned();
        assert_eq!(tag.len(), 34, "{shown}: {tag}");
        let write = async |tag: &str, body: &Value| {
            let headers = [("if-match", tag)];
            let body = Some(body.to_string());
            world.call(method, path, Call { role: "admin", headers: &headers, body }).await
        };
        for wrong in ["\"77\"", &format!("W/{tag}")] {
            let refused = write(wrong, &wish).await;
            assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{path}");
            assert_eq!(refused.json()["rule"], "stale");
        }
        let written = write(&tag, &wish).await;
        assert_eq!(written.status, StatusCode::OK, "{path}: {}", written.text);
        let next = world.get("viewer", shown).await.header("etag").to_owned();
        assert_eq!((written.header("etag"), next == tag), (next.as_str(), false), "{path}");
        assert_eq!(write(&tag, &other).await.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(write(&format!("\"77\", {next}"), &other).await.status, StatusCode::OK);
    }
    let headers = [("if-match", "*")];
    let body = Some(json!({"kind": "token"}).to_string());
    let missing = Call { role: "admin", headers: &headers, body };
    let refused = world.call("PUT", &fill(DOOR, &["none"]), missing).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "there is none to match");
}

#[tokio::test]
async fn there_is_one_door_for_births_and_one_for_tokens() {
    let world = World::new();
    for kind in ["birth", "token"] {
        let own = fill(DOOR, &[kind]);
        let second = fill(DOOR, &[&format!("a-{kind}")]);
        let wish = json!({"kind": kind, "binding": true});
        let refused = world.send("admin", "PUT", &second, wish.clone()).await;
        let rule = refused.json()["rule"].clone();
        assert_eq!((refused.status, rule), (StatusCode::CONFLICT, json!("second-door")));
        assert_eq!(world.get("viewer", &second).await.status, StatusCode::NOT_FOUND);

        let changed = world.send("admin", "PUT", &own, wish.clone()).await;
        assert_eq!(changed.status, StatusCode::OK, "the one may be changed: {}", changed.text);
        let gone = world.call("DELETE", &own, Call { role: "admin", ..Call::default() }).await;
        assert_eq!(gone.status, StatusCode::OK);
        let renamed = world.send("admin", "PUT", &second, wish).await;
        assert_eq!(renamed.status, StatusCode::OK, "another takes its place: {}", renamed.text);
    }
    let other = json!({"kind": "token"});
    let refused = world.send("admin", "PUT", &fill(DOOR, &["a-birth"]), other).await;
    assert_eq!(refused.json()["rule"], "second-door", "a door that becomes another kind");
}

#[tokio::test]
async fn a_profile_is_set_and_never_certifies_a_server() {
    let world = World::new();
    let path = fill(PROFILE, &["short"]);
    let wish = json!({"lifetime_s": 3600, "keys": ["p256"], "organization": "ACME"});
    let made = world.send("admin", "PUT", &path, wish).await;
    assert_eq!(made.json()["lifetime_s"], 3600, "{}", made.text);
    assert!(world.house.realms().remove(0).profile("short").is_some());
    for wrong in [
        json!({"lifetime_s": 10}),
        json!({"keys": []}),
        json!({"organization": ""}),
        json!({"usages": ["1.3.6.1.5.5.7.3.1"]}),
        json!({"usages": ["2.5.29.37.0"]}),
        json!({"usages": ["serverAuth"]}),
        json!({"usages": vec!["1.2.3"; 9]}),
    ] {
        let reply = world.send("admin", "PUT", &path, wrong.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_setting_is_set_for_a_group_and_taken_back() {
    let world = World::new();
    let set = |body| world.send("admin", "PUT", SETTINGS, body);
    let stored = set(json!({"key": "overlap_s", "group": "north", "value": "60"})).await;
    let one = json!([{"key": "overlap_s", "group": "north", "value": "60"}]);
    assert_eq!(stored.json()["items"], one, "{}", stored.text);
    assert_eq!(world.get("viewer", api::path::REALM).await.json()["settings"], one);
    let taken = set(json!({"key": "overlap_s", "group": "north"})).await;
    assert_eq!(taken.json()["items"], json!([]));
    for wrong in [
        json!({"key": "nothing", "value": "1"}),
        json!({"key": "nothing"}),
        json!({"key": "overlap_s", "value": "long"}),
        json!({"key": "hw_type", "group": "north", "value": "1.2.3"}),
    ] {
        assert_eq!(set(wrong.clone()).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}
