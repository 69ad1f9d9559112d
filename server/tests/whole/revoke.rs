//! An authority is barred: at once, for good, and with a sentence for every device below it.

use super::roll::{active, anchors, issuer, request, roll, sign_by, standing, verbs};
use crate::world::pki::Key;
use crate::world::{About, World, birth_of, default_realm};
use hyper::Method;
use identity::authority::{Authority, AuthorityState, Role};
use identity::credential::{Reason, Revocation};
use identity::{Certificate, Credential, DeviceId, Identifiers, RuleId, Serial};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, Draft};
use serde_json::{Value, json};

async fn bar(world: &mut World, id: &str, reason: &str) -> Value {
    world.post(&format!("/api/v1/authorities/{id}/revoke"), json!({ "reason": reason })).await
}

#[tokio::test]
async fn a_barred_operations_authority_signs_nothing_and_nothing_of_it_is_accepted() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let id = active(&mut world, "operations").await;
    server::crl::publish_all(world.running().house(), world.running().view()).await;
    let list = format!("/crl/default/{id}.crl");
    assert_eq!(world.public().await.get(&list, &[]).await.status(), 200);

    let done = bar(&mut world, &id, "keyCompromise").await;

    assert_eq!(
        (done["state"].as_str(), done["barred"]["reason"].as_str()),
        (Some("barred"), Some("keyCompromise"))
    );
    let entry = world.last_entry();
    assert_eq!(entry.verb(), "authority.revoked");
    assert_eq!(entry.get("reason").unwrap().as_text(), Some("keyCompromise"));
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_BARRED, About::Device(&device.id)).await;
    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::NO_AUTHORITY, About::Device(&device.id)).await;
    assert_eq!(world.public().await.get(&list, &[]).await.status(), 404, "its list is taken away");
    server::crl::publish_all(world.running().house(), world.running().view()).await;
    assert_eq!(world.public().await.get(&list, &[]).await.status(), 404, "and none is signed");
    assert!(anchors(&world).await.iter().all(|c| c.subject_key_id().unwrap().to_string() != id));

    let entries = world.entries().len();
    let again = bar(&mut world, &id, "superseded").await;
    assert_eq!(again["barred"]["reason"], "keyCompromise", "the first word stays");
    assert_eq!(world.entries().len(), entries);
    world.restart().await;
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_BARRED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn below_a_barred_authority_a_device_joins_again_with_its_birth_certificate() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let lost = world.join(&device.birth, &key).await.leaf(&key);
    let old = active(&mut world, "operations").await;
    bar(&mut world, &old, "cACompromise").await;

    let new = roll(&mut world, "operations", json!({})).await;

    let back = world.join(&device.birth, &key).await.leaf(&key);
    assert_ne!(back.serial(), lost.serial(), "a retry is not answered with a leaf that is barred");
    assert_eq!(back.certificate().authority_key_id().unwrap().to_string(), new);
    let heard = world.renew(&lost, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_BARRED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn below_a_barred_birth_authority_a_birth_certificate_opens_no_door_and_a_good_leaf_does() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let old = active(&mut world, "birth").await;
    roll(&mut world, "birth", json!({})).await;
    bar(&mut world, &old, "keyCompromise").await;

    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_BARRED, About::Device(&device.id)).await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.born("pump-8").await;
    world.end().await;
}

#[tokio::test]
async fn a_unit_below_a_barred_birth_authority_is_born_anew_when_it_comes_again() {
    let mut world = World::new().await;
    let (key, said) = (Key::new(), json!({"serial": "pump-7"}));
    let first = world.birth(&key, said.clone()).await;
    let id = first["device"].as_str().unwrap().to_owned();
    let leaf = Key::new();
    world.join(&birth_of(&first, &key), &leaf).await.leaf(&leaf);
    let old = active(&mut world, "birth").await;
    let new = roll(&mut world, "birth", json!({})).await;
    assert_eq!(world.birth(&key, said.clone()).await["outcome"], "again", "it retires, and counts");
    bar(&mut world, &old, "keyCompromise").await;

    let told = world.birth(&key, said.clone()).await;

    assert_eq!((&told["outcome"], &told["device"]), (&json!("issued"), &json!(id)));
    let entry = world.last_entry();
    assert_eq!(entry.verb(), "birth.issued");
    assert!(entry.get("replace").unwrap().as_text().unwrap().contains("barred"));
    assert_eq!(world.device(&id).await["mark"], json!(null), "it is no alarm");
    let born = birth_of(&told, &key);
    assert_eq!(born.certificate().authority_key_id().unwrap().to_string(), new);
    let leaf = Key::new();
    world.join(&born, &leaf).await.leaf(&leaf);
    let again = world.birth(&key, said).await;
    assert_eq!(again["outcome"], "again", "{again}");
    assert_eq!(again["certificate_serial"], told["certificate_serial"]);
    let other = world.birth(&key, json!({"serial": "pump-8"})).await;
    assert_eq!(other["rule"], "key-born-twice");
    world.end().await;
}

#[tokio::test]
async fn what_was_under_way_while_its_authority_was_barred_is_judged_again() {
    let mut world = World::new().await;
    let before = world.running().house().realm(&default_realm()).unwrap();
    let old = active(&mut world, "birth").await;
    let new = roll(&mut world, "birth", json!({})).await;
    bar(&mut world, &old, "keyCompromise").await;

    let unit = server::births::Unit {
        csr: identity::text::base64(&Key::new().csr("")),
        identifiers: Identifiers { serial: "pump-7".into(), ..Identifiers::default() },
        replace: None,
    };
    let from = std::net::IpAddr::from([127, 0, 0, 1]);
    let station = server::births::Station { name: "line", from, replaces_joined: false };
    let done = world.running().house().births(&before, vec![unit], station).await;

    let born = done.into_iter().next().unwrap().unwrap();
    assert_eq!(born.issuer.to_string(), new, "and nothing of the barred one was left behind");
    assert_eq!(verbs(&world, "birth.issued").await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_is_asked_for_while_its_authority_is_barred_is_issued_anew_below_the_new_one() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let house = world.running().house().clone();
    let stale = house.realm(&default_realm()).unwrap();
    let old = active(&mut world, "operations").await;
    let made = request(&mut world, "operations").await;
    let csr = made["csr"].as_str().unwrap();
    let certificate = sign_by(&world, &world.root_key(), "operations", csr);
    let certificate = Certificate::parse_pem(&certificate, 1).unwrap().remove(0);
    let new = certificate.subject_key_id().unwrap();
    let barred = stale.authorities.iter().find(|a| a.id.to_string() == old).unwrap();

    // Both in one commit that the house has not read yet: it judges and signs as before, and hears
    // of it where the leaf would become durable.
    let change = Change::Batch(vec![
        Change::Authority(Authority::active(new, Role::Operations, certificate)),
        Change::AuthorityState {
            id: barred.id,
            was: Some(AuthorityState::Active),
            state: AuthorityState::Barred,
            retires: None,
            barred: Some(Revocation { at: world.now(), reason: Reason::KeyCompromise }),
        },
    ]);
    let payload = Payload::new("authority.revoked");
    house.commit(stale.key, change, Class::Authority, payload).await.unwrap();
    let unread = house.realm(&default_realm()).unwrap();
    assert_eq!(unread.operations.as_ref().unwrap().id().to_string(), old);

    let key = Key::new();
    let leaf = world.join(&device.birth, &key).await.leaf(&key);

    assert_eq!(issuer(&leaf), new.to_string());
    let issued = world.entries();
    let issued: Vec<_> = issued.iter().filter(|e| e.verb() == "join.issued").collect();
    assert_eq!(issued.len(), 1, "what the barred one signed left nothing behind");
    assert_eq!(issued[0].get("issuer").unwrap().as_bytes(), Some(new.octets().as_slice()));
    let id = DeviceId::parse(&device.id).unwrap();
    let held = house.registry.credentials_of(stale.key, &id, 9).unwrap();
    assert!(held.iter().all(|held| held.issuer != barred.id), "neither a row");
    drop(house);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_was_signed_before_its_authority_was_barred_is_not_written_after() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let old = active(&mut world, "operations").await;
    roll(&mut world, "operations", json!({})).await;
    let house = world.running().house().clone();
    let realm = house.realm(&default_realm()).unwrap().key;
    let id = DeviceId::parse(&device.id).unwrap();
    let held = house.registry.credentials_by_key(realm, &leaf.certificate().spki_hash()).unwrap();
    let now = world.now();
    let before = house.registry.device(realm, &id).unwrap().unwrap();
    let signed = Change::Leafed {
        expected: Some(before.version),
        device: before,
        leaf: Credential { serial: Serial::new(now, [7; 10]), ..held[0].clone() },
        due: None,
        supersedes: vec![],
        token: None,
    };
    bar(&mut world, &old, "keyCompromise").await;

    let payload = Payload::new("renew.issued").with("device", device.id.as_str());
    let draft = Draft::new(Class::Renewal, &payload, [7; 32], now);
    let late = house.registry.commit_wait(realm, signed, draft);

    assert_eq!(late, Err(CommitError::Conflict(Clash::AuthorityState)));
    drop(house);
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_barred_is_refused_with_what_to_do_first() {
    let mut world = World::new().await;
    let admin = world.admin();
    let root = active(&mut world, "root").await;
    let service = active(&mut world, "service").await;
    let operations = active(&mut world, "operations").await;
    for (id, reason, status, rule) in [
        (&root, "keyCompromise", 409, "root"),
        (&service, "keyCompromise", 409, "last-active"),
        (&operations, "certificateHold", 400, "malformed"),
        (&"00".repeat(20), "keyCompromise", 404, "missing"),
    ] {
        let path = format!("/api/v1/authorities/{id}/revoke");
        let body = Some(json!({ "reason": reason }));
        let heard = world.ask_as(&admin, Method::POST, &path, body).await;
        assert_eq!((heard.status(), heard.json()["rule"].as_str()), (status, Some(rule)));
    }
    let number = standing(&mut world, &root).await["crl_number"].as_u64();
    assert!(number.unwrap() > 0, "whoever signs the root's next list finds the number of this one");
    roll(&mut world, "service", json!({})).await;
    bar(&mut world, &service, "keyCompromise").await;
    assert_eq!(standing(&mut world, &service).await["state"], "barred");
    world.restart().await;
    world.enrolled("pump-7").await;
    world.end().await;
}
