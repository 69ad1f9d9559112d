//! What an outsider can check without trusting us: receipts, and that the ledger only grew.

use crate::world::pki::{Key, Shows};
use crate::world::{About, World, simpleenroll};
use hyper::Method;
use identity::RuleId;
use identity::key::sha256;
use ledger::witness::AddCheckpoint;
use ledger::{Checkpoint, Proven, Receipt, Trust, VerifierKey};

async fn publish(world: &World) {
    let running = world.running();
    server::checkpoint::sign_all(running.house(), running.view()).await;
}

async fn key(world: &mut World) -> VerifierKey {
    let head = world.get("/api/v1/head").await;
    VerifierKey::parse(head["verifier"].as_str().unwrap()).unwrap()
}

/// The receipt at `path`, believed with nothing but the ledger's key.
async fn receipt(world: &mut World, path: &str) -> (Receipt, Proven) {
    let admin = world.admin();
    let heard = world.ask_as(&admin, Method::GET, path, None).await;
    assert_eq!(heard.status(), 200, "{path}: {}", heard.text());
    assert_eq!(heard.header("content-type"), Some("text/plain; charset=utf-8"));
    let receipt = Receipt::decode(heard.text()).unwrap();
    let keys = [key(world).await];
    let proven = receipt.verify(&Trust { keys: &keys, quorum: 0 }).unwrap();
    (receipt, proven)
}

fn hash(shown: &Shows) -> [u8; 32] {
    sha256(&[shown.certificate().der()])
}

#[tokio::test]
async fn the_receipt_of_a_device_is_that_of_its_current_leaf() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let path = format!("/api/v1/devices/{}/receipt", device.id);

    let (_, first) = receipt(&mut world, &path).await;
    let key = Key::new();
    let second = world.renew(&leaf, &key).await.leaf(&key);
    let (_, renewed) = receipt(&mut world, &path).await;

    assert!(first.issued(&hash(&leaf)) && !first.issued(&hash(&second)));
    assert!(renewed.issued(&hash(&second)) && !renewed.issued(&hash(&leaf)));
    let said = renewed.payload().unwrap();
    assert_eq!(said.get("device").unwrap().as_text(), Some(device.id.as_str()));
    assert_eq!(said.verb(), "renew.issued");
    world.end().await;
}

#[tokio::test]
async fn every_certificate_has_a_receipt_of_its_own_and_a_born_device_has_that_of_its_birth() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (_, of_device) = receipt(&mut world, "/api/v1/devices/serial%3Apump-7/receipt").await;
    assert!(of_device.issued(&hash(&device.birth)));
    let key = Key::new();
    let leaf = world.join(&device.birth, &key).await.leaf(&key);
    for shown in [&device.birth, &leaf] {
        let path = format!("/api/v1/certificates/cert:{}/receipt", shown.serial());
        let (_, proven) = receipt(&mut world, &path).await;
        assert!(proven.issued(&hash(shown)));
    }
    world.end().await;
}

#[tokio::test]
async fn a_receipt_is_under_the_published_checkpoint_where_that_covers_it_and_else_a_fresh_one() {
    let mut world = World::new().await;
    let (device, _) = world.enrolled("pump-7").await;
    publish(&world).await;
    let shown = world.public().await.get("/ledger/default/checkpoint", &[]).await;
    let path = format!("/api/v1/devices/{}/receipt", device.id);
    let (published, _) = receipt(&mut world, &path).await;
    assert_eq!(published.note, shown.text());

    let (later, _) = world.enrolled("pump-8").await;
    let (_, fresh) = receipt(&mut world, &format!("/api/v1/devices/{}/receipt", later.id)).await;
    assert!(fresh.checkpoint().size > fresh.entry().index);
    world.end().await;
}

#[tokio::test]
async fn what_is_not_there_has_no_receipt_and_a_station_gets_those_of_its_own_births_only() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let admin = world.admin();
    for path in [
        "/api/v1/devices/serial%3Anobody/receipt",
        "/api/v1/certificates/cert:00112233445566778899aabbccddeeff/receipt",
        "/api/v1/consistency?from=99999",
        "/api/v1/consistency?from=1&to=99999",
    ] {
        let heard = world.ask_as(&admin, Method::GET, path, None).await;
        assert_eq!(heard.status(), 404, "{path}: {}", heard.text());
    }
    let heard = world.ask_as(&admin, Method::GET, "/api/v1/consistency?from=2&to=1", None).await;
    assert_eq!(heard.status(), 400, "{}", heard.text());
    let made = world
        .post("/api/v1/operators", serde_json::json!({"name": "line", "role": "station"}))
        .await;
    let station = made["token"].as_str().unwrap().to_owned();
    let of = |serial| format!("/api/v1/certificates/cert:{serial}/receipt");
    let of_device = format!("/api/v1/devices/{}/receipt", device.id);
    for path in [of_device, of(leaf.serial()), of(device.birth.serial())] {
        assert_eq!(world.ask_as(&station, Method::GET, &path, None).await.status(), 403, "{path}");
    }
    let key_of_unit = Key::new();
    let unit = serde_json::json!({
        "csr": identity::text::base64(&key_of_unit.csr("")), "serial": "pump-8", "model": "P7",
    });
    let batch = serde_json::json!({"births": [unit]});
    let sent = world.ask_as(&station, Method::POST, "/api/v1/births", Some(batch)).await;
    let sent: serde_json::Value = serde_json::from_str(sent.text()).unwrap();
    let own = crate::world::birth_of(&sent["results"][0], &key_of_unit);
    let path = format!("{}?witnessed=true", of(own.serial()));
    let heard = world.ask_as(&station, Method::GET, &path, None).await;
    let told = Receipt::decode(heard.text()).unwrap();
    let keys = [key(&mut world).await];
    let proven = told.verify(&Trust { keys: &keys, quorum: 0 }).unwrap();
    assert!(proven.issued(&hash(&own)));
    world.end().await;
}

#[tokio::test]
async fn the_ledger_proves_that_it_only_grew_between_any_two_sizes() {
    let mut world = World::new().await;
    world.enrolled("pump-7").await;
    let keys = [key(&mut world).await];
    let head = world.get("/api/v1/head").await;
    let early = ledger::note::open(head["checkpoint"].as_str().unwrap(), &keys).unwrap();
    world.enrolled("pump-8").await;
    world.enrolled("pump-9").await;

    let grown = |view: serde_json::Value| AddCheckpoint {
        old: view["from"].as_u64().unwrap(),
        proof: view["proof"].as_array().unwrap().iter().map(octets).collect(),
        note: view["checkpoint"].as_str().unwrap().to_owned(),
    };
    let path = format!("/api/v1/consistency?from={}", early.size);
    let to_now = grown(world.get(&path).await);
    let now = to_now.verify(&early, &keys).unwrap();
    assert!(now.size > early.size);
    let path = format!("/api/v1/consistency?from={}&to={}", early.size, early.size + 1);
    let to_next = grown(world.get(&path).await);
    assert_eq!(to_next.verify(&early, &keys).unwrap().size, early.size + 1);
    let other = Checkpoint { root: [0; 32], ..early };
    assert!(to_now.verify(&other, &keys).is_err());
    world.end().await;
}

fn octets(text: &serde_json::Value) -> ledger::Hash {
    let octets = identity::text::from_base64(text.as_str().unwrap().as_bytes()).unwrap();
    octets.try_into().unwrap()
}

#[tokio::test]
async fn a_door_can_demand_the_receipt_of_the_birth_certificate() {
    let mut world = World::new().await;
    let (device, other) = (world.born("pump-7").await, world.born("pump-8").await);
    world.put("/api/v1/doors/birth", serde_json::json!({"kind": "birth", "receipt": "own"})).await;
    let admin = world.admin();
    let mut receipts = Vec::new();
    for born in [&device, &other] {
        let path = format!("/api/v1/certificates/cert:{}/receipt", born.birth.serial());
        let heard = world.ask_as(&admin, Method::GET, &path, None).await;
        receipts.push(identity::text::base64(heard.body()));
    }
    let key = Key::new();
    let say = |receipt: Option<&String>| {
        let mut out = simpleenroll(&key.csr(""));
        out.headers.extend(receipt.map(|r| ("Muster-Receipt", r.clone())));
        out
    };
    for shown in [None, receipts.get(1)] {
        let heard = world.say(Some(&device.birth), say(shown)).await;
        world.denied(&heard, &RuleId::RECEIPT, About::Device(&device.id)).await;
    }
    let leaf = world.say(Some(&device.birth), say(receipts.first())).await.leaf(&key);

    // Who is in renews without one.
    let next = Key::new();
    world.renew(&leaf, &next).await.leaf(&next);
    for (name, said) in [
        ("acme", serde_json::json!({"kind": "token", "receipt": "own"})),
        ("birth", serde_json::json!({"kind": "birth", "receipt": "x"})),
    ] {
        let path = format!("/api/v1/doors/{name}");
        let heard = world.ask_as(&admin, Method::PUT, &path, Some(said)).await;
        assert_eq!(heard.status(), 400, "{}", heard.text());
    }
    world.end().await;
}
