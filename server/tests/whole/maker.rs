//! Joining with a maker's certificate: which door, which serial number, which device.

use crate::world::pki::{Key, Maker, directory_name, hardware_module, names};
use crate::world::{About, World, default_realm, simpleenroll};
use const_oid::db::rfc4519;
use hyper::Method;
use identity::RuleId;
use registry::Change;
use serde_json::json;

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
    assert_eq!(world.device(&id).await["door"], "acme");
    let listed = world.get("/api/v1/devices?where=door%20%3D%3D%20%22acme%22").await;
    assert_eq!(listed["items"][0]["id"], json!(id), "and it is said which");
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
