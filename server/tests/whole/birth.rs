//! Births: a unit is born once, and whatever comes a second time is either the same or an alarm.

use crate::world::pki::Key;
use crate::world::{About, DAY_S, World, birth_of};
use identity::RuleId;
use serde_json::json;

#[tokio::test]
async fn a_birth_gives_a_certificate_that_names_the_unit_and_never_ends() {
    let mut world = World::new().await;

    let device = world.born("pump-7").await;

    let certificate = device.birth.certificate();
    assert_eq!(certificate.device().unwrap().to_string(), device.id);
    assert_eq!(certificate.subject_serial_number().as_deref(), Some("pump-7"));
    assert_eq!(certificate.not_after(), identity::UnixTime::NEVER_ENDS);
    assert_eq!(world.device(&device.id).await["standing"], "born");
    world.end().await;
}

#[tokio::test]
async fn a_birth_that_comes_again_gets_the_same_certificate_and_is_no_alarm() {
    let mut world = World::new().await;
    let key = Key::new();
    let first = world.birth(&key, json!({"serial": "pump-7"})).await;
    let entries = world.entries().len();

    let again = world.birth(&key, json!({"serial": "pump-7"})).await;

    assert_eq!(again["outcome"], "again");
    assert_eq!(again["certificate"], first["certificate"]);
    assert_eq!(world.entries().len(), entries, "nothing new is written");
    assert_eq!(world.device("serial:pump-7").await["mark"], json!(null));
    world.end().await;
}

#[tokio::test]
async fn a_birth_that_comes_again_with_more_is_refused_and_says_what_is_recorded_and_what_came() {
    let mut world = World::new().await;
    let key = Key::new();
    let (imei, mac) = ("490154203237518", "02:00:5e:00:53:01");
    let first = json!({"serial": "pump-7", "mac": [mac], "meta": {"line": "3"}});
    let first = world.birth(&key, first).await;
    let id = first["device"].as_str().unwrap();

    let more = json!({"serial": "pump-7", "mac": [mac], "imei": imei});
    let told = world.birth(&key, more.clone()).await;

    assert_eq!((&told["outcome"], &told["rule"]), (&json!("refused"), &json!("birth-differs")));
    let reason = told["reason"].as_str().unwrap();
    let unit = format!("serial `pump-7`, model `P7`, mac `{mac}`");
    let both = format!("recorded: {unit}; came: {unit}, imei `{imei}`");
    assert!(reason.contains("--replace") && reason.ends_with(&both), "{reason}");
    world.birth_denied(&RuleId::BIRTH_DIFFERS, About::Device(id)).await;
    assert_eq!(world.device(id).await["imei"], json!(null));
    assert_eq!(world.device(id).await["mark"], json!(null), "it is no second unit");
    let fewer = world.birth(&key, json!({"serial": "pump-7", "meta": {"line": "4"}})).await;
    assert_eq!(fewer["certificate"], first["certificate"], "fewer are fine, and labels are none");
    let other = json!({"serial": "pump-7", "mac": ["02:00:5e:00:53:02"]});
    assert_eq!(world.birth(&key, other).await["rule"], "key-born-twice");
    world.birth_denied(&RuleId::KEY_BORN_TWICE, About::Device(id)).await;

    let mut rework = more;
    rework["replace"] = json!("radio added");
    let told = world.birth(&key, rework.clone()).await;
    assert_eq!((&told["outcome"], &told["device"]), (&json!("issued"), &json!(id)));
    assert_eq!(world.last_entry().get("replace").unwrap().as_text(), Some("radio added"));
    let device = world.device(id).await;
    assert_eq!((&device["imei"], &device["mark"]), (&json!(imei), &json!(null)));
    let leaf = Key::new();
    let heard = world.join(&birth_of(&first, &key), &leaf).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(id)).await;
    world.join(&birth_of(&told, &key), &leaf).await.leaf(&leaf);
    let again = world.birth(&key, rework).await;
    assert_eq!((&again["outcome"], &again["certificate"]), (&json!("again"), &told["certificate"]));
    world.end().await;
}

#[tokio::test]
async fn what_is_bound_at_birth_stands_in_the_ledger_and_what_rework_takes_away_as_well() {
    let mut world = World::new().await;
    let said = json!({
        "serial": "pump-7", "mac": ["02:00:5E:00:53:01", "02-00-5e-00-53-02"],
        "imei": "490154203237518", "meta": {"line": "3", "shift": "b"},
    });
    world.birth(&Key::new(), said).await;
    let entry = world.last_entry();
    let text = |member: &str| entry.get(member).and_then(|v| v.as_text().map(str::to_owned));
    assert_eq!(text("mac").as_deref(), Some("02:00:5e:00:53:01 02:00:5e:00:53:02"));
    assert_eq!(text("imei").as_deref(), Some("490154203237518"));
    assert_eq!(entry.get("before"), None);
    let meta = entry.get("meta").cloned();
    assert_eq!(meta, Some(map([("line", "3"), ("shift", "b")])));

    let said = json!({"serial": "pump-7", "imei": "490154203237518", "replace": "no radio"});
    world.birth(&Key::new(), said).await;
    let entry = world.last_entry();
    assert_eq!((entry.get("mac"), entry.get("meta")), (None, None));
    let Some(ledger::Value::Map(before)) = entry.get("before") else { panic!("{entry:?}") };
    assert_eq!(
        before.get("mac").and_then(|v| v.as_text()),
        Some("02:00:5e:00:53:01 02:00:5e:00:53:02")
    );
    assert_eq!((before.get("meta"), before.get("imei")), (meta.as_ref(), None));
    world.end().await;
}

fn map<const N: usize>(members: [(&str, &str); N]) -> ledger::Value {
    ledger::Value::Map(members.into_iter().collect())
}

#[tokio::test]
async fn a_second_birth_with_another_key_is_refused_and_marked() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;

    let told = world.birth(&Key::new(), json!({"serial": "pump-7"})).await;

    assert_eq!((&told["outcome"], &told["rule"]), (&json!("refused"), &json!("second-birth")));
    world.birth_denied(&RuleId::SECOND_BIRTH, About::Device(&device.id)).await;
    let mark = world.device(&device.id).await["mark"].to_string();
    assert!(mark.contains("another key"), "{mark}");
    world.end().await;
}

#[tokio::test]
async fn second_births_without_end_are_not_entries_without_end() {
    let mut world = World::new().await;
    world.born("pump-7").await;
    let before = world.entries().len();
    for _ in 0..30 {
        let told = world.birth(&Key::new(), json!({"serial": "pump-7"})).await;
        assert_eq!(told["rule"], "second-birth");
    }
    assert_eq!(world.entries().len() - before, 12);
    world.end().await;
}

#[tokio::test]
async fn rework_replaces_the_birth_certificate_where_it_says_why() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    world.birth(&Key::new(), json!({"serial": "pump-7"})).await;
    let key = Key::new();

    let told = world.birth(&key, json!({"serial": "pump-7", "replace": "board exchanged"})).await;

    assert_eq!((&told["outcome"], &told["device"]), (&json!("issued"), &json!(device.id)));
    let entry = world.last_entry();
    assert_eq!(entry.get("replace").unwrap().as_text(), Some("board exchanged"));
    assert_eq!(world.device(&device.id).await["mark"], json!(null), "the mark is answered");
    let leaf = Key::new();
    let heard = world.join(&device.birth, &leaf).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.join(&birth_of(&told, &key), &leaf).await.leaf(&leaf);
    world.end().await;
}

#[tokio::test]
async fn rework_without_a_reason_is_a_second_birth() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;

    let told = world.birth(&Key::new(), json!({"serial": "pump-7", "replace": " "})).await;

    assert_eq!(told["rule"], "second-birth");
    world.birth_denied(&RuleId::SECOND_BIRTH, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_key_is_born_once() {
    let mut world = World::new().await;
    let key = Key::new();
    let first = world.birth(&key, json!({"serial": "pump-7"})).await;
    let (id, other) = (first["device"].as_str().unwrap(), world.born("pump-9").await);

    for serial in ["pump-8", "pump-9"] {
        let told = world.birth(&key, json!({ "serial": serial })).await;
        assert_eq!(told["rule"], "key-born-twice");
        world.birth_denied(&RuleId::KEY_BORN_TWICE, About::Device(id)).await;
    }

    assert!(world.device(id).await["mark"].is_string(), "the owner of the key is marked");
    assert!(world.device(&other.id).await["mark"].is_null(), "and nobody else");
    let none = world.get("/api/v1/devices?serial=pump-8").await;
    assert_eq!(none["items"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn the_key_of_a_leaf_is_not_born() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;

    let told = world.birth(&leaf.key, json!({"serial": "pump-8"})).await;

    assert_eq!(told["rule"], "key-born-twice");
    world.birth_denied(&RuleId::KEY_BORN_TWICE, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn the_key_of_a_leaf_is_not_born_either_where_its_device_never_was() {
    let mut world = World::new().await;
    let (token, key) = (world.token(json!({})).await, Key::new());
    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let id = leaf.certificate().device().unwrap().to_string();

    let told = world.birth(&key, json!({"serial": "pump-8"})).await;

    assert_eq!(told["rule"], "key-born-twice", "{told}");
    world.birth_denied(&RuleId::KEY_BORN_TWICE, About::Device(&id)).await;
    world.end().await;
}

#[tokio::test]
async fn the_key_that_rework_replaced_gets_no_certificate_of_another_key() {
    let mut world = World::new().await;
    let (old, new) = (Key::new(), Key::new());
    let first = world.birth(&old, json!({"serial": "pump-7"})).await;
    world.birth(&new, json!({"serial": "pump-7", "replace": "board exchanged"})).await;

    let told = world.birth(&old, json!({"serial": "pump-7"})).await;

    assert_eq!(told["rule"], "revoked", "{told}");
    let id = first["device"].as_str().unwrap();
    world.birth_denied(&RuleId::REVOKED, About::Device(id)).await;
    world.end().await;
}

#[tokio::test]
async fn rework_counts_also_where_the_clock_went_backwards() {
    let mut world = World::new().await;
    world.later(10 * DAY_S);
    let device = world.born("pump-7").await;
    world.earlier(9 * DAY_S);
    let key = Key::new();
    let said = json!({"serial": "pump-7", "replace": "board exchanged"});
    let birth = birth_of(&world.birth(&key, said).await, &key);

    let again = world.birth(&key, json!({"serial": "pump-7"})).await;
    assert_eq!(again["outcome"], "again", "{again}");
    let leaf_key = Key::new();
    let leaf = world.join(&birth, &leaf_key).await.leaf(&leaf_key);
    world.later(31 * DAY_S);
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::EXPIRED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn the_same_serial_number_of_another_model_is_another_unit() {
    let mut world = World::new().await;
    let first = world.born("7").await;

    let told = world.birth(&Key::new(), json!({"serial": "7", "model": "P8"})).await;

    assert_eq!(told["outcome"], "issued");
    assert_ne!(told["device"], json!(first.id));
    world.end().await;
}

#[tokio::test]
async fn malformed_identifiers_and_requests_are_refused_one_by_one() {
    let mut world = World::new().await;
    let long = "7".repeat(65);
    for (said, rule) in [
        (json!({"serial": "pump\u{1}"}), "identifiers"),
        (json!({"serial": "pömp"}), "serial"),
        (json!({"serial": ""}), "serial"),
        (json!({"serial": "p", "mac": ["not a mac"]}), "identifiers"),
        (json!({"serial": "p", "imei": "12"}), "identifiers"),
        (json!({"serial": long}), "identifiers"),
        (json!({"serial": "p", "replace": "x".repeat(257)}), "replace"),
        (json!({"serial": "p", "csr": "AAAA"}), "csr-der"),
        (json!({"serial": "p", "csr": "\u{fc}"}), "csr-base64"),
        (json!({"serial": "p", "csr": "-----BEGIN X-----"}), "csr-pem"),
    ] {
        let told = world.birth(&Key::new(), said.clone()).await;
        assert_eq!(
            (&told["outcome"], &told["rule"]),
            (&json!("refused"), &json!(rule)),
            "{said} {told}"
        );
        world.birth_refused(rule, About::Sender("admin")).await;
    }
    let spares = world.birth(&Key::new(), json!({"serial": "p"})).await;
    assert_eq!(spares["outcome"], "issued", "the others are spared");
    world.end().await;
}

#[tokio::test]
async fn a_request_that_claims_another_serial_number_is_another_units() {
    let mut world = World::new().await;
    let key = Key::new();
    let csr = identity::text::base64(&key.csr("pump-8"));

    let told = world.birth(&key, json!({"serial": "pump-7", "csr": csr})).await;

    assert_eq!(told["rule"], "other-unit");
    world.birth_denied(&RuleId::OTHER_UNIT, About::Sender("admin")).await;
    assert!(world.entries().iter().all(|e| e.verb() != "strangers.refused"), "it is no stranger");
    world.end().await;
}

#[tokio::test]
async fn a_suspended_unit_is_not_born_again_and_a_compromised_key_never() {
    let mut world = World::new().await;
    let key = Key::new();
    let told = world.birth(&key, json!({"serial": "pump-7"})).await;
    let id = told["device"].as_str().unwrap().to_owned();

    world.suspend(&id).await;
    let told = world.birth(&key, json!({"serial": "pump-7"})).await;
    assert_eq!(told["rule"], "suspended");
    world.birth_denied(&RuleId::SUSPENDED, About::Device(&id)).await;
    let told = world.birth(&Key::new(), json!({"serial": "pump-7", "replace": "lost"})).await;
    assert_eq!(told["rule"], "suspended");
    world.birth_denied(&RuleId::SUSPENDED, About::Device(&id)).await;

    world.resume(&id).await;
    world
        .revoke(&format!("spki:{}", identity::Signer::public(key.signer()).hash()), "keyCompromise")
        .await;
    let told = world.birth(&key, json!({"serial": "pump-7"})).await;
    assert_eq!(told["rule"], "key-compromised");
    world.birth_denied(&RuleId::KEY_COMPROMISED, About::Device(&id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_station_may_do_births_and_nothing_else() {
    let mut world = World::new().await;
    let made = world.post("/api/v1/operators", json!({"name": "line-1", "role": "station"})).await;
    let token = made["token"].as_str().or(made["bearer"].as_str()).unwrap().to_owned();
    let unit = json!({"csr": identity::text::base64(&Key::new().csr("")), "serial": "pump-7"});

    let body = json!({ "births": [unit] });
    let born = world.ask_as(&token, hyper::Method::POST, "/api/v1/births", Some(body)).await;
    assert_eq!(born.json()["results"][0]["outcome"], "issued");
    assert_eq!(world.last_entry().get("by").unwrap().as_text(), Some("line-1"));

    let (joined, _) = world.enrolled("pump-8").await;
    let csr = identity::text::base64(&Key::new().csr(""));
    let unit = json!({"csr": csr, "serial": "pump-8", "model": "P7", "replace": "board exchanged"});
    let body = json!({ "births": [unit] });
    let told = world.ask_as(&token, hyper::Method::POST, "/api/v1/births", Some(body)).await;
    assert_eq!(told.json()["results"][0]["rule"], "second-birth", "it is no way to a joined unit");
    world.birth_denied(&RuleId::SECOND_BIRTH, About::Device(&joined.id)).await;

    for (method, path) in
        [("GET", "/api/v1/devices"), ("POST", "/api/v1/tokens"), ("GET", "/metrics")]
    {
        let method = hyper::Method::from_bytes(method.as_bytes()).unwrap();
        let body = (method == hyper::Method::POST).then(|| json!({}));
        let heard = world.ask_as(&token, method, path, body).await;
        assert_eq!(heard.status(), 403, "{path}");
    }
    world.end().await;
}
