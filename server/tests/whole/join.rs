//! Joining: by birth certificate, by a maker's, by token; and everything that does not lead in.

use crate::world::pki::{Key, Maker, Request, directory_name, hardware_module, names};
use crate::world::{About, DAY_S, World, default_realm, simpleenroll};
use const_oid::db::rfc4519;
use enroll::est::client;
use hyper::Method;
use identity::ask::Want;
use identity::{KeyKind, RuleId};
use registry::Change;
use serde_json::json;

const CLIENT: &str = "1.3.6.1.5.5.7.3.2";

#[tokio::test]
async fn a_birth_certificate_leads_in_and_the_leaf_names_the_device() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();

    let leaf = world.join(&device.birth, &key).await.leaf(&key);

    let certificate = leaf.certificate();
    assert_eq!(certificate.common_name(), Some(device.id.clone()));
    assert_eq!(certificate.device().unwrap().to_string(), device.id);
    assert_eq!(certificate.alternative_names().len(), 1, "no DNS name and no address");
    let usages: Vec<String> =
        certificate.usages().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(usages, [CLIENT]);
    assert_eq!(certificate.not_after().secs_since(world.now()).div_ceil(DAY_S), 30);
    let view = world.device(&device.id).await;
    assert_eq!((&view["standing"], &view["generation"]), (&json!("enrolled"), &json!(1)));
    let entry = world.last_entry();
    assert_eq!(entry.verb(), "join.issued");
    assert_eq!(entry.get("door").unwrap().as_text(), Some("birth"));
    world.end().await;
}

#[tokio::test]
async fn every_kind_of_key_joins() {
    let mut world = World::new().await;
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let device = world.born(&format!("pump-{kind}")).await;
        let key = Key::of(kind);
        let leaf = world.join(&device.birth, &key).await.leaf(&key);
        let next = Key::of(kind);
        world.renew(&leaf, &next).await.leaf(&next);
    }
    world.end().await;
}

#[tokio::test]
async fn a_leaf_needs_a_key_of_its_own() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (_, other) = world.enrolled("pump-8").await;

    let heard = world.join(&device.birth, &device.birth.key).await;
    world.denied(&heard, &RuleId::KEY_OF_BIRTH, About::Device(&device.id)).await;

    let heard = world.join(&device.birth, &other.key).await;
    world.denied(&heard, &RuleId::KEY_OF_ANOTHER, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn identifiers_that_contradict_the_birth_record_are_refused_and_marked() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();

    let heard = world.say(Some(&device.birth), simpleenroll(&key.csr("pump-8"))).await;
    world.denied(&heard, &RuleId::CONTRADICTION, About::Device(&device.id)).await;
    let mark = world.device(&device.id).await["mark"].to_string();
    assert!(mark.contains("pump-8"), "{mark}");

    world.say(Some(&device.birth), simpleenroll(&key.csr("pump-7"))).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn who_shows_nothing_is_told_what_to_show() {
    let mut world = World::new().await;
    let heard = world.say(None, simpleenroll(&Key::new().csr("pump-7"))).await;
    assert!(heard.header("www-authenticate").is_some());
    world.denied(&heard, &RuleId::NO_CREDENTIAL, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_makers_unit_joins_and_comes_back_as_the_same_device() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let (unit, key, next) = (maker.unit("S1"), Key::new(), Key::new());

    let leaf = world.join(&unit, &key).await.leaf(&key);
    let again = world.join(&unit, &next).await.leaf(&next);

    let id = leaf.certificate().device().unwrap().to_string();
    assert_eq!(again.certificate().device().unwrap().to_string(), id);
    let view = world.device("serial:acme/M1/S1").await;
    assert_eq!((&view["id"], &view["assurance"]), (&json!(id), &json!("certified")));
    let heard = world.join(&unit, &unit.key).await;
    world.denied(&heard, &RuleId::KEY_OF_BIRTH, About::Device(&id)).await;
    let heard = world.say(Some(&unit), simpleenroll(&Key::new().csr("S2"))).await;
    world.denied(&heard, &RuleId::CONTRADICTION, About::Device(&id)).await;
    assert!(world.device(&id).await["mark"].is_string());
    world.end().await;
}

#[tokio::test]
async fn a_chain_that_lacks_its_authority_leads_nowhere_unless_that_is_the_anchor() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let mut unit = maker.unit("S1");
    unit.chain.truncate(1);
    let key = Key::new();

    let heard = world.join(&unit, &key).await;
    world.denied(&heard, &RuleId::UNKNOWN_ISSUER, About::Stranger).await;

    let anchors = maker.middle.certificate().pem();
    world.maker_door("acme", &maker, json!({ "anchors": anchors })).await;
    world.join(&unit, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_serial_number_is_read_where_the_door_says() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    let common_name = [(rfc4519::CN, "ACME-S1.devices")];
    for (place, unit, stranger) in [
        ("subject", maker.unit("S1"), maker.unit_named(&common_name, vec![])),
        (
            "common-name",
            maker.unit_named(&common_name, vec![]),
            maker.unit_named(&[(rfc4519::CN, "S1")], vec![]),
        ),
        (
            "hardware-module-name",
            maker.unit_named(&common_name, vec![names(vec![hardware_module("S1")])]),
            maker.unit("S1"),
        ),
        (
            "directory-name",
            maker.unit_named(&common_name, vec![names(vec![directory_name("S1")])]),
            maker.unit("S1"),
        ),
    ] {
        let pattern = if place == "common-name" { "ACME-*.devices" } else { "*" };
        world.maker_door(place, &maker, json!({"place": place, "pattern": pattern})).await;
        let key = Key::new();

        world.join(&unit, &key).await.leaf(&key);
        assert_eq!(world.device(&format!("serial:{place}//S1")).await["serial"], "S1");
        let heard = world.join(&stranger, &Key::new()).await;
        world.denied(&heard, &RuleId::NO_SERIAL, About::Stranger).await;
        world.post(&format!("/api/v1/doors/{place}/close"), json!({})).await;
    }
    world.end().await;
}

#[tokio::test]
async fn an_allow_list_lets_in_whom_it_names() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"allow": ["S1"]})).await;
    let key = Key::new();

    world.join(&maker.unit("S1"), &key).await.leaf(&key);
    let heard = world.join(&maker.unit("S2"), &Key::new()).await;

    world.denied(&heard, &RuleId::NOT_ALLOWED, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_closed_door_turns_away_who_would_come_in_and_nobody_who_is_in() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let (unit, key) = (maker.unit("S1"), Key::new());
    let leaf = world.join(&unit, &key).await.leaf(&key);
    let device = world.born("pump-7").await;

    for door in ["acme", "birth"] {
        world.post(&format!("/api/v1/doors/{door}/close"), json!({})).await;
    }
    let heard = world.join(&maker.unit("S2"), &Key::new()).await;
    world.denied(&heard, &RuleId::DOOR_CLOSED, About::Stranger).await;
    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::DOOR_CLOSED, About::Device(&device.id)).await;
    let next = Key::new();
    world.renew(&leaf, &next).await.leaf(&next);

    world.post("/api/v1/doors/birth/open", json!({})).await;
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn serial_numbers_of_two_makers_never_collide() {
    let mut world = World::new().await;
    let (acme, bolt) = (Maker::new("ACME", world.now()), Maker::new("Bolt", world.now()));
    world.maker_door("acme", &acme, json!({})).await;
    world.maker_door("bolt", &bolt, json!({})).await;
    let born = world.born("S1").await;

    let mut ids = vec![born.id];
    for maker in [&acme, &bolt] {
        let key = Key::new();
        let leaf = world.join(&maker.unit("S1"), &key).await.leaf(&key);
        ids.push(leaf.certificate().device().unwrap().to_string());
    }

    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    world.end().await;
}

#[tokio::test]
async fn a_makers_device_keeps_its_standing_whatever_its_door_is_called() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let (good, away) = (maker.unit("S1"), maker.unit("S2"));
    let mut ids = Vec::new();
    for unit in [&good, &away] {
        let key = Key::new();
        let leaf = world.join(unit, &key).await.leaf(&key);
        ids.push(leaf.certificate().device().unwrap().to_string());
    }
    world.retire(&ids[1]).await;

    world.post("/api/v1/doors/acme/close", json!({})).await;
    world.maker_door("bolt", &maker, json!({"model": "M2"})).await;
    let heard = world.join(&away, &Key::new()).await;
    world.denied(&heard, &RuleId::RETIRED, About::Device(&ids[1])).await;
    let key = Key::new();
    let leaf = world.join(&good, &key).await.leaf(&key);

    assert_eq!(leaf.certificate().device().unwrap().to_string(), ids[0]);
    let view = world.device(&ids[0]).await;
    assert_eq!((&view["maker"], &view["model"]), (&json!("acme"), &json!("M1")));
    assert_eq!(world.get("/api/v1/devices").await["items"].as_array().unwrap().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_door_with_devices_keeps_their_model_and_is_not_removed() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let (unit, key) = (maker.unit("S1"), Key::new());
    let leaf = world.join(&unit, &key).await.leaf(&key);
    let id = leaf.certificate().device().unwrap().to_string();
    let said = |model: &str| json!({"anchors": maker.root.certificate().pem(), "model": model});
    let door = |model: &str| Some(json!({"kind": "maker", "maker": said(model)}));
    let admin = world.admin();
    let path = "/api/v1/doors/acme";

    let heard = world.ask_as(&admin, Method::PUT, path, door("M2")).await;
    assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("door-has-devices")));
    let heard = world.ask_as(&admin, Method::DELETE, path, None).await;
    assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("door-has-devices")));
    let next = Key::new();
    world.renew(&leaf, &next).await.leaf(&next);

    world.put(path, door("M1").unwrap()).await;
    world.retire(&id).await;
    world.delete(path).await;
    world.end().await;
}

#[tokio::test]
async fn a_renewal_waits_for_the_door_that_it_belongs_to() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let realm = world.running().house().realm(&default_realm()).unwrap();
    let birth = realm.door("birth").unwrap().clone();
    world.rule(Change::DoorRemoved("birth".to_owned()), "door.removed").await;

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::DOOR_REMOVED, About::Device(&device.id)).await;

    world.rule(Change::DoorSet(birth), "door.set").await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_token_for_a_serial_number_of_several_devices_names_one_of_them() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let device = world.born("S/1").await;
    let early = world.token(json!({"serial": "S/1"})).await;
    let key = Key::new();
    world.join(&maker.unit("S/1"), &key).await.leaf(&key);

    let admin = world.admin();
    let asked = Some(json!({"serial": "S/1"}));
    let heard = world.ask_as(&admin, Method::POST, "/api/v1/tokens", asked).await;
    assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("token-ambiguous")));
    let detail = heard.json()["detail"].to_string();
    assert!(detail.contains("`acme/M1/S/1`") && detail.contains("`/P7/S/1`"), "{detail}");
    let heard = world.join_by(&early, &Key::new(), "S/1").await;
    world.denied(&heard, &RuleId::TOKEN_AMBIGUOUS, About::Stranger).await;

    let token = world.token(json!({"serial": "/P7/S/1"})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "S/1").await.leaf(&key);
    assert_eq!(leaf.certificate().device().unwrap().to_string(), device.id);
    world.end().await;
}

#[tokio::test]
async fn a_token_leads_in_as_basic_and_as_bearer() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 2, "group": ["lab"]})).await;
    let key = Key::new();

    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let bearer = format!("Bearer {}.{}", token.id, token.secret.dangerous_reveal());
    let other = Key::new();
    let mut say = simpleenroll(&other.csr("t-2"));
    say.headers.push(("Authorization", bearer));
    world.say(None, say).await.leaf(&other);

    let view = world.device(&leaf.certificate().device().unwrap().to_string()).await;
    assert_eq!((&view["assurance"], &view["group"]), (&json!("token"), &json!(["lab"])));
    assert_eq!(world.last_entry().get("token").unwrap().as_text(), Some(token.id.as_str()));
    world.end().await;
}

#[tokio::test]
async fn a_token_ends_with_its_uses_its_time_and_its_revocation() {
    let mut world = World::new().await;
    let spent = world.token(json!({"uses": 1})).await;
    let key = Key::new();
    world.join_by(&spent, &key, "t-1").await.leaf(&key);
    let ended = world.token(json!({"uses": 5, "ttl_s": 60})).await;
    let revoked = world.token(json!({"uses": 5})).await;
    world.delete(&format!("/api/v1/tokens/{}", revoked.id)).await;
    let mut wrong = world.token(json!({})).await;
    wrong.secret = world.token(json!({})).await.secret;

    world.later(61);
    for token in [&spent, &ended, &revoked, &wrong] {
        let heard = world.join_by(token, &Key::new(), "t-9").await;
        world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
    }
    let mut say = simpleenroll(&Key::new().csr(""));
    say.headers.push(("Authorization", "Basic nonsense".to_owned()));
    let heard = world.say(None, say).await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_spent_token_answers_only_for_the_key_that_spent_it() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let entries = world.entries().len();

    let again = world.join_by(&token, &key, "t-1").await.leaf(&key);
    assert_eq!(again.serial(), leaf.serial());
    assert_eq!(world.entries().len(), entries);

    let heard = world.join_by(&token, &Key::new(), "").await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
    let heard = world.join_by(&token, &Key::new(), "t-1").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_token_for_a_serial_number_is_for_that_device_alone() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let token = world.token(json!({"uses": 3, "serial": "pump-7"})).await;

    let heard = world.join_by(&token, &Key::new(), "pump-8").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&device.id)).await;

    let key = Key::new();
    let leaf = world.join_by(&token, &key, "pump-7").await.leaf(&key);
    assert_eq!(leaf.certificate().device().unwrap().to_string(), device.id);
    world.end().await;
}

#[tokio::test]
async fn a_token_without_a_serial_number_never_attaches_to_a_device() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (enrolled, leaf) = world.enrolled("pump-8").await;
    let token = world.token(json!({"uses": 5})).await;

    for serial in ["pump-7", "pump-8"] {
        let heard = world.join_by(&token, &Key::new(), serial).await;
        world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Stranger).await;
    }
    let heard = world.join_by(&token, &leaf.key, "").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&enrolled.id)).await;
    assert_eq!(world.device(&device.id).await["standing"], "born");
    assert_eq!(world.get("/api/v1/devices").await["items"].as_array().unwrap().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_token_does_not_renew() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 5})).await;
    let say = client::enroll(&default_realm(), Want::Renew, &Key::new().csr("t-1"), Some(&token));
    let heard = world.say(None, say).await;
    world.denied(&heard, &RuleId::NOT_ENROLLED, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_door_gives_its_groups_once_and_operators_keep_the_last_word() {
    let mut world = World::new().await;
    world.put("/api/v1/doors/birth", json!({"kind": "birth", "group": ["north"]})).await;
    let (device, _) = world.enrolled("pump-7").await;
    assert_eq!(world.device(&device.id).await["group"], json!(["north"]));

    world.delete(&format!("/api/v1/devices/{}/groups/north", device.id)).await;
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);

    assert_eq!(world.device(&device.id).await["group"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn where_the_realm_names_its_hardware_a_birth_and_a_join_name_the_module() {
    let mut world = World::new().await;
    world.set("hw_type", "1.3.6.1.4.1.99999.1").await;
    let device = world.born("pump-7").await;
    let module = device.birth.certificate().hardware_module().unwrap();
    assert_eq!(module.hw_serial_num.as_bytes(), b"pump-7");
    let key = Key::new();
    let named = |serial: &str| {
        let extensions = vec![names(vec![hardware_module(serial)])];
        simpleenroll(&Request { extensions, ..Request::default() }.signed(&key))
    };

    let heard = world.say(Some(&device.birth), named("pump-8")).await;
    world.denied(&heard, &RuleId::CONTRADICTION, About::Device(&device.id)).await;
    world.say(Some(&device.birth), named("pump-7")).await.leaf(&key);
    world.end().await;
}
