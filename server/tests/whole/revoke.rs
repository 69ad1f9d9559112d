//! An authority is barred: at once, for good, and with a sentence for every device below it.

use super::roll::{active, anchors, issuer, refused, request, roll, sign_by, standing, verbs};
use crate::world::pki::Key;
use crate::world::{About, DAY_S, HOUR_S, World, birth_of, default_realm};
use ca::crl::{Crl, Revoked, Scope};
use hyper::Method;
use identity::authority::{Authority, AuthorityState, Role};
use identity::credential::{Reason, Revocation};
use identity::{Certificate, Credential, DeviceId, Identifiers, RuleId, Serial};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, Draft};
use serde_json::{Value, json};
use server::public::{Kind, PublicFile};

pub(crate) async fn bar(world: &mut World, id: &str, reason: &str) -> Value {
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
    assert_eq!(
        (heard.status(), heard.header("retry-after")),
        (503, Some("30")),
        "an outage of ours"
    );
    world.denied(&heard, &RuleId::NO_AUTHORITY, About::Device(&device.id)).await;
    assert_eq!(world.public().await.get(&list, &[]).await.status(), 404, "its list is taken away");
    // One that was made meanwhile is shown behind it.
    let late = PublicFile::new(Kind::Crl, vec![0x30, 0], world.now());
    world.running().view().show(&list, late);
    server::crl::publish_all(world.running().house(), world.running().view()).await;
    assert_eq!(world.public().await.get(&list, &[]).await.status(), 404, "and none is signed");
    assert!(anchors(&world).await.iter().all(|c| c.subject_key_id().unwrap().to_string() != id));

    let entries = world.entries().len();
    let again = bar(&mut world, &id, "keyCompromise").await;
    assert_eq!(again["barred"], done["barred"]);
    let path = format!("/api/v1/authorities/{id}/revoke");
    let lesser = refused(&mut world, Method::POST, &path, json!({"reason": "superseded"})).await;
    assert_eq!(lesser, (409, "barred".to_owned()), "the graver word stays");
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
    let done = world.running().house().births(&before, vec![Ok(unit)], station).await;

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

/// A list of the root with these entries; what the server says to it.
async fn list(world: &mut World, number: u64, entries: Vec<Revoked>) -> (u16, String) {
    let root = active(world, "root").await;
    let list = Crl {
        number,
        this_update: world.now(),
        next_update: world.now().plus_secs(DAY_S),
        scope: Scope::Complete,
        entries,
    };
    let der = ca::crl::sign(world.root(), &world.root_key(), list).unwrap();
    let body = json!({ "crl": identity::certificate::pem("X509 CRL", &der) });
    let path = format!("/api/v1/authorities/{root}/crl");
    let admin = world.admin();
    let heard = world.ask_as(&admin, Method::PUT, &path, Some(body)).await;
    let rule = heard.json()["rule"].as_str().unwrap_or_default().to_owned();
    (heard.status(), rule)
}

/// What `/readyz` says of those whom the root's list does not name, once it warns or does not; it
/// looks once a second.
async fn unheard(world: &mut World, warns: bool) -> String {
    loop {
        let heard = world.ask_as(&world.admin(), Method::GET, "/readyz", None).await;
        let checks = heard.json()["checks"].clone();
        let check = checks.as_array().unwrap().iter().find(|c| c["name"] == "root-crl").cloned();
        let told = check.unwrap()["detail"].as_str().unwrap().to_owned();
        if told.starts_with("warning") == warns {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_list_of_the_root_names_each_authority_that_is_barred_and_all_that_the_one_before_named()
{
    let mut world = World::new().await;
    let old = active(&mut world, "operations").await;
    roll(&mut world, "operations", json!({})).await;
    let row = world.get(&format!("/api/v1/authorities/{old}")).await;
    let barred = Certificate::parse_pem(row["pem"].as_str().unwrap(), 1).unwrap().remove(0);
    unheard(&mut world, false).await;
    bar(&mut world, &old, "keyCompromise").await;
    let told = unheard(&mut world, true).await;
    assert!(told.starts_with("warning: barred") && told.contains(&old), "{told}");
    let (now, of) = (world.now(), |serial: Serial, at| Revoked {
        serial: serial.into(),
        at,
        reason: Reason::KeyCompromise,
    });

    let number = now.secs() + 10;
    let told = list(&mut world, number, Vec::new()).await;
    assert_eq!(told, (409, "crl-leaves-out".to_owned()));
    assert_eq!(verbs(&world, "crl.installed").await, 0, "nothing was installed");
    let (named, other) = (barred.serial().unwrap(), Serial::new(now, [9; 10]));
    let both = vec![of(named, now), of(other, now)];
    assert_eq!(list(&mut world, number + 1, both).await.0, 200);
    unheard(&mut world, false).await;

    let told = list(&mut world, number + 2, vec![of(named, now)]).await;
    assert_eq!(told, (409, "crl-leaves-out".to_owned()), "what the shown one names, stays");
    let told = list(&mut world, number + 2, vec![of(other, now)]).await;
    assert_eq!(told, (409, "crl-leaves-out".to_owned()));
    assert_eq!(list(&mut world, number + 2, vec![of(named, now), of(other, now)]).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_reason_that_was_not_said_is_said_later_and_a_stolen_key_is_told_after_all() {
    let mut world = World::new().await;
    let id = active(&mut world, "operations").await;
    let path = format!("/api/v1/authorities/{id}");
    let admin = world.admin();
    let body = Some(json!({"state": "barred"}));
    let first = world.ask_as(&admin, Method::PATCH, &path, body.clone()).await.json();
    assert_eq!(first["barred"]["reason"], "unspecified");
    world.later(HOUR_S);

    for reason in ["superseded", "keyCompromise"] {
        let done = bar(&mut world, &id, reason).await;
        assert_eq!(done["barred"]["reason"], reason);
        assert_eq!(done["barred"]["at"], first["barred"]["at"], "it is barred since then");
        let told = world.entries();
        let entry = told.iter().rfind(|e| e.verb() == "authority.revoked").unwrap();
        let told = |key: &str| entry.get(key).unwrap().as_text().unwrap().to_owned();
        assert_eq!((told("was"), told("reason")), ("barred".to_owned(), reason.to_owned()));
    }
    let again = world.ask_as(&admin, Method::PATCH, &path, body).await;
    let told = verbs(&world, "authority.revoked").await;
    assert_eq!((again.status(), told), (200, 3), "nothing new was said");
    world.restart().await;
    assert_eq!(standing(&mut world, &id).await["barred"]["reason"], "keyCompromise");
    world.end().await;
}
