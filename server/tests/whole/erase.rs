//! Erasing: what is destroyed, what stays, and that the proof holds.

use crate::world::World;
use crate::world::pki::{Key, Maker};
use hyper::Method;
use identity::RuleId;
use serde_json::json;

const SERIAL: &str = "unmistakable-7";

/// Whether the files of the database hold these octets anywhere.
fn holds(world: &World, text: &str) -> bool {
    ["muster.db", "muster.db-wal"].iter().any(|name| {
        let octets = std::fs::read(world.home().join(name)).unwrap_or_default();
        octets.windows(text.len()).any(|w| w == text.as_bytes())
    })
}

#[tokio::test]
async fn an_erased_device_is_gone_from_the_files_and_its_proof_is_not() {
    let mut world = World::new().await;
    let key = Key::new();
    let said =
        json!({"serial": SERIAL, "mac": ["00:11:22:33:44:55"], "meta": {"site": "northern-7"}});
    let told = world.birth(&key, said).await;
    let birth = crate::world::birth_of(&told, &key);
    let id = told["device"].as_str().unwrap().to_owned();
    let key = Key::new();
    let leaf = world.join(&birth, &key).await.leaf(&key);
    world.contact(&leaf).await;
    let token = world.token(json!({"serial": SERIAL})).await;
    world.born("another").await;
    // What only has its name somewhere stays told.
    let door = json!({"kind": "token", "open": true, "group": [token.id.as_str()]});
    world.put("/api/v1/doors/token", door).await;
    let admin = world.admin();
    let path = format!("/api/v1/devices/{id}/erase");
    let early = world.ask_as(&admin, Method::POST, &path, None).await;
    assert_eq!((early.status(), &early.json()["rule"]), (409, &json!("not-retired")));
    world.retire(&id).await;
    assert!(holds(&world, SERIAL) && holds(&world, "northern-7"));

    let done = world.post(&path, json!({})).await;

    assert_eq!((&done["already"], &done["device"]), (&json!(false), &json!(id)));
    assert!(done["remains"][0].as_str().unwrap().contains("back-ups"), "{done}");
    assert!(done["remains"][4].as_str().unwrap().contains("public keys"), "{done}");
    for gone in [SERIAL, "northern-7", "00:11:22:33:44:55"] {
        assert!(!holds(&world, gone), "`{gone}` is still in a file");
    }
    let shown = world.device(&id).await;
    assert_eq!((&shown["serial"], &shown["standing"]), (&json!(""), &json!("retired")));
    let spent = world.get(&format!("/api/v1/tokens/{}", token.id)).await;
    assert_eq!(spent["serial"], json!(null));
    let told = world.entries();
    assert!(told.iter().any(|entry| entry.verb() == "door.set"), "the door is told of");
    let again = world.post(&path, json!({})).await;
    assert_eq!((&again["already"], &again["erased"]), (&json!(true), &done["erased"]));
    // The audit computes the whole ledger again, the erased entries among the others.
    world.end().await;
}

#[tokio::test]
async fn nobody_comes_in_under_the_identifiers_of_an_erased_device() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let (unit, key) = (maker.unit("S1"), Key::new());
    let leaf = world.join(&unit, &key).await.leaf(&key);
    let made = leaf.certificate().device().unwrap().to_string();
    let born = world.born(SERIAL).await;
    for id in [&made, &born.id] {
        world.retire(id).await;
        world.post(&format!("/api/v1/devices/{id}/erase"), json!({})).await;
    }
    world.restart().await;

    let told = world.birth(&Key::new(), json!({"serial": SERIAL})).await;
    assert_eq!(told["rule"], "retired", "{told}");
    world.birth_denied(&RuleId::RETIRED, crate::world::About::Sender("admin")).await;
    let token = world.token(json!({"serial": SERIAL})).await;
    let stranger = crate::world::About::Stranger;
    let heard = world.join_by(&token, &Key::new(), SERIAL).await;
    world.denied(&heard, &RuleId::RETIRED, stranger).await;
    // Its maker's certificate is known by its key, which tells nothing of what was erased.
    let heard = world.join(&unit, &Key::new()).await;
    world.denied(&heard, &RuleId::RETIRED, crate::world::About::Device(&made)).await;
    let other = world.birth(&Key::new(), json!({"serial": SERIAL, "model": "P8"})).await;
    assert_eq!(other["outcome"], "issued", "another model is another unit: {other}");
    let heard = world.join(&born.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::RETIRED, crate::world::About::Device(&born.id)).await;
    world.end().await;
}
