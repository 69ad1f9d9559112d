//! Joining by birth certificate, and what does not lead in. Makers have [`super::maker`], tokens
//! [`super::token`].

use crate::world::pki::{Key, Request, hardware_module, names};
use crate::world::{About, DAY_S, World, simpleenroll};
use identity::{KeyKind, RuleId};
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
