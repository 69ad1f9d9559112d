//! Bodies, methods, and writes that happen once.

use super::super::once;
use super::world::{Call, REALM, Reply, World, csr, p256};
use api::path::{BIRTHS, DEVICES, OPERATORS, TOKENS};
use axum::http::StatusCode;
use serde_json::json;

async fn make(world: &World, key: &str, body: &str) -> Reply {
    make_as("operator", world, key, body).await
}

async fn make_as(role: &str, world: &World, key: &str, body: &str) -> Reply {
    let headers = [("idempotency-key", key)];
    let body = Some(body.to_owned());
    world.call("POST", TOKENS, Call { role, headers: &headers, body }).await
}

#[tokio::test]
async fn a_keyed_write_that_comes_again_gets_its_first_answer() {
    let world = World::new();
    let first = make(&world, "k1", "{}").await;
    let again = make(&world, "k1", "{}").await;
    let other = make(&world, "k2", "{}").await;

    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_ne!(other.text, first.text);
    let listed = world.get("viewer", TOKENS).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_one_operator_and_one_day() {
    let world = World::new();
    let first = make(&world, "k1", "{}").await;
    let other = make(&world, "k1", r#"{"uses": 2}"#).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.json()["rule"], "idempotency-key-reused");

    let headers = [("idempotency-key", "k1")];
    let call = Call { role: "admin", headers: &headers, body: Some("{}".to_owned()) };
    let another = world.call("POST", TOKENS, call).await;
    assert_eq!(another.status, StatusCode::CREATED);
    assert_ne!(another.text, first.text, "another operator's key is another key");

    world.later(86_400);
    let next_day = make(&world, "k1", r#"{"uses": 2}"#).await;
    assert_eq!(next_day.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_keyed_put_shows_its_secret_again_to_who_lost_the_answer() {
    let world = World::new();
    let path = api::path::fill(api::path::SINK, &["pager"]);
    let body = json!({"kind": "webhook", "url": "https://pager.example/in"});
    let put = async |key| {
        let headers = [("idempotency-key", key)];
        let call = Call { role: "admin", headers: &headers, body: Some(body.to_string()) };
        world.call("PUT", &path, call).await.json()["secret"].clone()
    };
    let secret = put("k1").await;
    assert!(secret.is_string());
    assert_eq!(put("k1").await, secret);
    assert!(put("k2").await.is_null(), "another request, and it is there");
}

#[tokio::test]
async fn who_lost_the_credential_while_the_body_came_writes_nothing() {
    let world = World::new();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let second = json!({"name": "second", "role": "admin"});
    assert_eq!(world.send("admin", "POST", OPERATORS, second).await.status, StatusCode::CREATED);
    let slow = world.call_slowly("admin", "POST", OPERATORS, receiver);
    let gone = async {
        let own = api::path::fill(api::path::OPERATOR, &["the-admin"]);
        let call = Call { role: "admin", ..Call::default() };
        assert_eq!(world.call("DELETE", &own, call).await.status, StatusCode::OK);
        let body = json!({"name": "way-back", "role": "admin"}).to_string();
        sender.send(body.into()).await.unwrap();
        drop(sender);
    };
    let (response, ()) = tokio::join!(slow, gone);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let names = world.house.registry.operators(REALM).unwrap();
    assert!(names.iter().all(|operator| operator.name != "way-back"));
}

#[tokio::test]
async fn what_is_kept_does_not_tell_a_secret() {
    let world = World::new();
    let made = make(&world, "k1", "{}").await.json();
    let secret = made["secret"].as_str().unwrap().as_bytes();
    let kept = world.house.registry.noted_all(super::world::REALM, "idempotency").unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept.values().all(|row| !row.windows(secret.len()).any(|w| w == secret)));
}

#[tokio::test]
async fn a_refusal_is_not_kept_and_a_wrong_key_is_refused() {
    let world = World::new();
    assert_eq!(make(&world, "k1", r#"{"uses": 0}"#).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(make(&world, "k1", "{}").await.status, StatusCode::CREATED);
    for wrong in ["", "a b", &"x".repeat(256)] {
        assert_eq!(make(&world, wrong, "{}").await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn two_at_once_with_one_key_are_one_write() {
    let world = World::new();
    let (one, two) = tokio::join!(make(&world, "k1", "{}"), make(&world, "k1", "{}"));
    let statuses = [one.status.as_u16(), two.status.as_u16()];
    assert!(statuses == [201, 409] || statuses == [409, 201] || one.text == two.text);
    for busy in [&one, &two].into_iter().filter(|reply| reply.status == StatusCode::CONFLICT) {
        assert_eq!(busy.header("retry-after"), "1", "the first one's answer comes soon");
    }
    let listed = world.get("viewer", TOKENS).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_must_be_json_of_the_right_type_and_size() {
    let world = World::new();
    let call = |media: &'static str, body: &str| {
        let headers: &'static [(&str, &str)] = match media {
            "" => &[("content-type", "")],
            "text/plain" => &[("content-type", "text/plain")],
            "form" => &[("content-type", "application/x-www-form-urlencoded")],
            _ => &[("content-type", "application/json; charset=utf-8")],
        };
        Call { role: "operator", headers, body: Some(body.to_owned()) }
    };
    for media in ["", "text/plain", "form"] {
        let reply = world.call("POST", TOKENS, call(media, "{}")).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media}");
    }
    let nested = "[".repeat(100_000);
    for wrong in ["", "{", "{} {}", "nul", "{\"uses\": 1, \"uses\": 2}", "\u{feff}{}", &nested] {
        let reply = world.call("POST", TOKENS, call("json", wrong)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{:.20}", wrong);
    }
    let reply = world.call("POST", TOKENS, call("json", "{\n  \"uses\": -1}")).await;
    assert!(reply.json()["detail"].as_str().unwrap().contains("line 2 column"), "{}", reply.text);

    let large = format!("{{\"group\": [\"{}\"]}}", "x".repeat(1024 * 1024));
    let reply = world.call("POST", TOKENS, call("json", &large)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let batch = format!("{{\"births\": [{{\"csr\": \"{}\"}}]}}", "A".repeat(2 * 1024 * 1024));
    let reply = world.call("POST", BIRTHS, call("json", &batch)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "a batch may be larger");
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_method_are_told_apart() {
    let world = World::new();
    for path in ["/", "/api/v1", "/api/v1/things", "/api/v1/devices/", "/api/v2/devices"] {
        let reply = world.get("admin", path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.json()["rule"], "no-such-path");
    }
    for method in ["DELETE", "PATCH", "OPTIONS", "BREW"] {
        let reply = world.call(method, DEVICES, Call { role: "admin", ..Call::default() }).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(reply.header("allow"), "GET,HEAD");
        assert_eq!(reply.json()["rule"], "no-such-method");
    }
    let head = world.call("HEAD", DEVICES, Call { role: "viewer", ..Call::default() }).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn nothing_is_for_caches() {
    let world = World::new();
    for path in [DEVICES, "/nowhere", api::path::HEALTHZ] {
        assert_eq!(world.get("viewer", path).await.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_credential_has_so_many_keys_a_day_and_births_go_on_without() {
    let world = World::new();
    let key = [("idempotency-key", "one")];
    let token = Some(json!({}).to_string());
    let asked = |headers| Call { role: "operator", headers, body: token.clone() };
    let first = world.call("POST", TOKENS, asked(&key)).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let known = world.house.registry.noted_all(REALM, "idempotency").unwrap();
    let (slot, row) = known.into_iter().next().unwrap();

    // As many more as it may have, under its own eight octets and under those of the station.
    let station = world.get("admin", api::path::OPERATORS).await.json();
    let station = station["items"].as_array().unwrap().iter().find(|o| o["role"] == "station");
    let station = identity::key::sha256(&[station.unwrap()["id"].as_str().unwrap().as_bytes()]);
    for bearer in [&slot[..8], &station[..8]] {
        for n in 0..once::KEYS_MAX {
            let name = [bearer, &[0; 20], &n.to_be_bytes()].concat();
            let row = Some(row.clone());
            // The writer's queue takes some thousands before it says that it is busy.
            if n % 4000 == 0 {
                world.house.registry.note_wait(REALM, "idempotency", &name, row).unwrap();
            } else {
                world.house.registry.note(REALM, "idempotency", &name, row, Box::new(drop));
            }
        }
    }
    world.house.registry.note_wait(REALM, "other", b"", None).unwrap();
    let world = world.reopened();

    let next = [("idempotency-key", "two")];
    let refused = world.call("POST", TOKENS, asked(&next)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    assert_eq!(refused.json()["rule"], "idempotency-keys");
    let again = world.call("POST", TOKENS, asked(&key)).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, "true"));
    assert_eq!(world.call("POST", TOKENS, asked(&[])).await.status, StatusCode::CREATED);
    let unit = json!({"csr": csr(&p256(), "S1"), "serial": "S1", "model": "P7"});
    let body = Some(json!({"births": [unit]}).to_string());
    let born = world.call("POST", BIRTHS, Call { role: "station", headers: &next, body }).await;
    assert_eq!(born.json()["results"][0]["outcome"], "issued");

    // Nobody else has to come for the credential to be let in again.
    world.later(86_400);
    let next_day = world.call("POST", TOKENS, asked(&next)).await;
    assert_eq!(next_day.status, StatusCode::CREATED, "{}", next_day.text);
    let left = world.house.registry.noted_all(REALM, "idempotency").unwrap();
    assert_eq!(left.len(), 1, "what has ended is gone");
}

#[tokio::test]
async fn the_answers_of_one_credential_fill_so_much_and_those_of_others_are_kept() {
    let world = World::new();
    assert_eq!(make_as("operator", &world, "one", "{}").await.status, StatusCode::CREATED);
    let known = world.house.registry.noted_all(REALM, "idempotency").unwrap();
    let (slot, row) = known.into_iter().next().unwrap();
    let large =
        [row.as_slice(), &vec![0; usize::try_from(once::ANSWERS_OCTETS_MAX).unwrap()]].concat();
    let name = [&slot[..8], &[0; 24]].concat();
    world.house.registry.note_wait(REALM, "idempotency", &name, Some(large)).unwrap();
    let world = world.reopened();

    let refused = make_as("operator", &world, "two", "{}").await;
    assert_eq!(refused.json()["rule"], "idempotency-keys", "{}", refused.text);
    assert!(refused.json()["detail"].as_str().unwrap().contains("128 MiB"));
    assert_eq!(
        make_as("operator", &world, "one", "{}").await.header("idempotency-replayed"),
        "true"
    );
    assert_eq!(make_as("admin", &world, "two", "{}").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_has_ended_is_swept_in_each_realm_by_itself() {
    let world = World::new();
    let registry = &world.house.registry;
    let other = registry::RealmKey(2);
    let id = [9; 16];
    let realm = registry::Realm {
        key: other,
        name: identity::RealmName::parse("plant").unwrap(),
        id,
        origin: ledger::Origin::new(&id, 1).as_str().to_owned(),
        founded: world.house.clock.now(),
    };
    let payload = ledger::Payload::new("realm.founded");
    let now = world.house.clock.now();
    let draft = registry::Draft::new(ledger::Class::Realm, &payload, [7; 32], now);
    registry.commit_wait(other, registry::Change::Found(realm), draft).unwrap();
    let state =
        crate::operator::State::new(world.house.clone(), crate::operator::Fittings::default());
    let ended = [now.minus_secs(86_400).millis().to_be_bytes().as_slice(), &[0; 32]].concat();
    let lives = [now.minus_secs(86_399).millis().to_be_bytes().as_slice(), &[0; 32]].concat();

    for realm in [REALM, other] {
        for (name, row) in [(1, &ended), (2, &lives)] {
            registry.note_wait(realm, "idempotency", &[name; 32], Some(row.clone())).unwrap();
        }
        let of_ended = once::held(&state, &(realm, [1; 32])).await.unwrap();
        let of_lives = once::held(&state, &(realm, [2; 32])).await.unwrap();

        assert_eq!((of_ended.count, of_ended.octets), (0, 0), "{realm:?}");
        assert_eq!((of_lives.count, of_lives.octets), (1, 40), "{realm:?}");
        let left = registry.noted_all(realm, "idempotency").unwrap();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [[2; 32]]);
    }
}

#[tokio::test]
async fn one_request_counts_and_those_beside_it_wait_or_go_on_with_the_count_before() {
    let world = World::new();
    let registry = &world.house.registry;
    let state =
        crate::operator::State::new(world.house.clone(), crate::operator::Fittings::default());
    let keep = |name: u8| {
        let row = [world.house.clock.now().millis().to_be_bytes().as_slice(), &[0; 32]].concat();
        let slot = [[1; 8].as_slice(), &[name; 24]].concat();
        registry.note_wait(REALM, "idempotency", &slot, Some(row)).unwrap();
    };
    let slot = (REALM, [1; 32]);
    keep(1);

    let counting = state.flights.counting(REALM);
    let turn = counting.lock().await;
    let mut first = std::pin::pin!(once::held(&state, &slot));
    let waits = tokio::select! { biased; _ = &mut first => false, () = async {} => true };
    assert!(waits, "nothing is known yet");
    drop(turn);
    assert_eq!(first.await.unwrap().count, 1);

    world.later(3600);
    keep(2);
    let turn = counting.lock().await;
    assert_eq!(once::held(&state, &slot).await.unwrap().count, 1, "the count before");
    drop(turn);
    assert_eq!(once::held(&state, &slot).await.unwrap().count, 2, "the hour was not counted yet");
}
