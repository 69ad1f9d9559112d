//! A root gives way to the next: both are believed, each leads to the other, and in the end the old
//! one is believed no more.

use super::revoke::bar;
use super::roll::{active, anchors, ids, refused, roll, sign_by, standing};
use crate::world::line::Caller;
use crate::world::pki::Key;
use crate::world::{World, default_realm};
use ca::authority::{Heir, Succession, succeed};
use enroll::est::client::successor;
use hyper::Method;
use identity::authority::{Authority, Role};
use identity::certificate::pem;
use identity::key::SoftwareKey;
use identity::{Certificate, KeyKind, Outside, Signer, text};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, Draft};
use serde_json::{Value, json};
use server::clock::SystemDice;

pub(crate) const ROOT: &str = "/api/v1/authorities/root";

/// A new root, made where the old one's key is.
pub(crate) async fn next_root(world: &mut World, by: &SoftwareKey) -> (Succession, SoftwareKey) {
    let all = world.get("/api/v1/authorities").await;
    let mut below = Vec::new();
    for row in all["items"].as_array().unwrap() {
        let counts = row["state"] == "active" || row["state"] == "retiring";
        if row["role"] != "root" && counts {
            let found = Certificate::parse_pem(row["pem"].as_str().unwrap(), 1).unwrap().remove(0);
            below.push((Role::parse(row["role"].as_str().unwrap()).unwrap(), found));
        }
    }
    let key = server::keys::NewKey::make(KeyKind::P256).unwrap().signer().unwrap();
    let public_url = Some("http://muster.example:8080".to_owned());
    let addresses = ca::Addresses { public_url, realm: default_realm() };
    let heir = Heir {
        old: (world.root(), by),
        key: &key,
        authorities: &below,
        addresses: &addresses,
        until: None,
    };
    // The world's clock stood still while the first ones were made.
    let now = world.now().max(server::clock::now());
    let outside = &mut Outside { now, dice: &mut SystemDice };
    (succeed(&heir, outside).unwrap(), key)
}

pub(crate) fn bundle(world: &World, made: &Succession, key: &dyn Signer) -> Value {
    let list = ca::crl::Crl {
        number: 1,
        this_update: world.now(),
        next_update: world.now().plus_secs(86_400),
        scope: ca::crl::Scope::Complete,
        entries: Vec::new(),
    };
    let list = ca::crl::sign(&made.root, key, list).unwrap();
    json!({
        "root": made.root.pem(),
        "new_with_old": made.new_with_old.pem(),
        "old_with_new": made.old_with_new.pem(),
        "authorities": made.authorities.iter().map(Certificate::pem).collect::<Vec<_>>(),
        "crl": pem("X509 CRL", &list),
    })
}

/// Whether a client that believes this root, and no other, reaches the device port.
pub(crate) async fn reaches(world: &World, root: &Certificate) -> bool {
    Caller { root, ..world.caller(None) }.stream().await.is_ok()
}

#[tokio::test]
async fn both_roots_are_believed_and_each_leads_to_the_other() {
    let mut world = World::new().await;
    let (before, leaf) = world.enrolled("pump-7").await;
    let old = world.root().clone();
    let old_id = active(&mut world, "root").await;
    let key = world.root_key();
    let (made, new_key) = next_root(&mut world, &key).await;

    let said = bundle(&world, &made, &new_key);
    let done = world.post(ROOT, said.clone()).await;

    let new_id = made.root.subject_key_id().unwrap().to_string();
    assert_eq!((done["id"].as_str(), done["state"].as_str()), (Some(&*new_id), Some("active")));
    assert_eq!(standing(&mut world, &old_id).await["state"], "retiring");
    assert_eq!(world.last_entry().verb(), "root.rolled");
    let told = anchors(&world).await;
    for wanted in [&made.root, &old, &made.old_with_new, &made.new_with_old] {
        assert!(told.iter().any(|c| c.der() == wanted.der()), "RFC 7030 §4.1.3");
    }
    assert_eq!(successor(&old, &told, world.now()).unwrap().der(), made.root.der());
    assert!(successor(&made.root, &told, world.now()).is_none(), "nobody goes back");
    assert!(reaches(&world, &old).await && reaches(&world, &made.root).await);
    let file = world.credential();
    assert_eq!(file.root_pin, made.root.spki_hash().to_string());
    assert_eq!(file.root, made.root.pem());
    for id in [&old_id, &new_id] {
        let mut line = world.public().await;
        assert_eq!(line.get(&format!("/ca/default/{id}.cer"), &[]).await.status(), 200);
        assert_eq!(line.get(&format!("/crl/default/{id}.crl"), &[]).await.status(), 200);
    }

    let renewed = Key::new();
    world.renew(&leaf, &renewed).await.leaf(&renewed);
    let after = world.born("pump-8").await;
    after.birth.chain[1].signed_by(&made.root).unwrap();
    for device in [&before, &after] {
        let key = Key::new();
        world.join(&device.birth, &key).await.leaf(&key);
    }
    let entries = world.entries().len();
    let admin = world.admin();
    let again = world.ask_as(&admin, Method::POST, ROOT, Some(said)).await;
    assert_eq!((again.status(), world.entries().len()), (200, entries));
    world.restart().await;
    assert!(reaches(&world, &old).await && reaches(&world, &made.root).await);
    world.end().await;
}

#[tokio::test]
async fn once_the_old_root_has_retired_only_the_new_one_is_believed_and_births_are_good() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let old = world.root().clone();
    let old_id = active(&mut world, "root").await;
    let key = world.root_key();
    let (made, new_key) = next_root(&mut world, &key).await;
    let said = bundle(&world, &made, &new_key);
    world.post(ROOT, said).await;

    let request = world.post("/api/v1/authorities/requests", json!({"role": "operations"})).await;
    let pem = sign_by(&world, &key, "operations", request["csr"].as_str().unwrap());
    let late = json!({"certificate": pem, "role": "operations"});
    let told = refused(&mut world, Method::POST, "/api/v1/authorities", late).await;
    assert_eq!(told, (409, "older-root".to_owned()));
    // Also where the roll-over comes between the decision and its commit.
    let late = Certificate::parse_pem(&pem, 1).unwrap().remove(0);
    let id = late.subject_key_id().unwrap();
    let install = Change::Authority(Authority::active(id, Role::Operations, late));
    let draft = Draft::new(Class::Authority, &Payload::new("test"), [7; 32], world.now());
    let registry = &world.running().house().registry;
    let told = registry.commit_wait(registry.realms()[0].key, install, draft);
    assert_eq!(told, Err(CommitError::Conflict(Clash::AuthorityState)));

    let path = format!("/api/v1/authorities/{old_id}");
    let admin = world.admin();
    let body = Some(json!({"state": "retired"}));
    let heard = world.ask_as(&admin, Method::PATCH, &path, body).await;
    assert_eq!(heard.status(), 200, "{}", heard.text());

    world.believe(&made.root);
    assert!(reaches(&world, &made.root).await && !reaches(&world, &old).await);
    let told = anchors(&world).await;
    assert!(!ids(&told).contains(&old_id));
    assert!(told.iter().all(|c| c.signed_by(&old).is_err()));
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.restart().await;
    let pem = sign_by(&world, &new_key, "operations", request["csr"].as_str().unwrap());
    let install = json!({"certificate": pem, "role": "operations"});
    world.post("/api/v1/authorities", install).await;
    world.end().await;
}

#[tokio::test]
async fn a_root_that_was_stolen_is_barred_once_it_has_a_successor() {
    let mut world = World::new().await;
    let old_id = active(&mut world, "root").await;
    let path = format!("/api/v1/authorities/{old_id}/revoke");
    let body = json!({"reason": "keyCompromise"});
    let early = refused(&mut world, Method::POST, &path, body.clone()).await;
    assert_eq!(early, (409, "root".to_owned()));
    let key = world.root_key();
    let (made, new_key) = next_root(&mut world, &key).await;
    let said = bundle(&world, &made, &new_key);
    world.post(ROOT, said).await;

    let done = world.post(&path, body).await;

    assert_eq!(done["state"], "barred");
    world.believe(&made.root);
    let told = anchors(&world).await;
    assert!(!ids(&told).contains(&old_id));
    world.end().await;
}

#[tokio::test]
async fn a_root_that_the_old_one_does_not_lead_to_is_refused() {
    let mut world = World::new().await;
    roll(&mut world, "birth", json!({})).await;
    let key = world.root_key();
    let (made, new_key) = next_root(&mut world, &key).await;
    let mut stranger = World::new().await;
    let their_key = stranger.root_key();
    let (theirs, theirs_key) = next_root(&mut stranger, &their_key).await;
    stranger.end().await;

    let whole = bundle(&world, &theirs, &theirs_key);
    let told = refused(&mut world, Method::POST, ROOT, whole).await;
    assert_eq!(told, (409, "root-successor".to_owned()), "another home has another name");
    let mixed = Succession { new_with_old: theirs.new_with_old.clone(), ..made.clone() };
    let mixed = bundle(&world, &mixed, &new_key);
    let told = refused(&mut world, Method::POST, ROOT, mixed).await;
    assert_eq!(told, (409, "new-with-old".to_owned()));
    let fewer = Succession { authorities: made.authorities[1..].to_vec(), ..made.clone() };
    let fewer = bundle(&world, &fewer, &new_key);
    let told = refused(&mut world, Method::POST, ROOT, fewer).await;
    assert_eq!(told, (409, "root-left-out".to_owned()));
    let mut unlisted = bundle(&world, &made, &new_key);
    unlisted["crl"] = bundle(&world, &theirs, &theirs_key)["crl"].clone();
    let told = refused(&mut world, Method::POST, ROOT, unlisted).await;
    assert_eq!(told.0, 400, "its list is signed by it");

    for role in ["viewer", "operator", "station"] {
        let made = json!({"name": format!("a-{role}"), "role": role});
        let token = world.post("/api/v1/operators", made).await;
        let token = token["token"].as_str().unwrap().to_owned();
        let heard = world.ask_as(&token, Method::POST, ROOT, Some(json!({}))).await;
        assert_eq!(heard.status(), 403, "{role}");
        let heard = world.ask_as(&token, Method::GET, "/api/v1/roots", None).await;
        assert_eq!((heard.status(), heard.json()["roots"].as_array().unwrap().len()), (200, 1));
    }
    let said = bundle(&world, &made, &new_key);
    world.post(ROOT, said).await;
    world.end().await;
}

#[tokio::test]
async fn who_was_barred_since_the_roll_over_was_made_has_no_certificate_of_the_new_root() {
    let mut world = World::new().await;
    let old = active(&mut world, "operations").await;
    roll(&mut world, "operations", json!({})).await;
    let key = world.root_key();
    let (early, early_key) = next_root(&mut world, &key).await;
    bar(&mut world, &old, "keyCompromise").await;

    let said = bundle(&world, &early, &early_key);
    let told = refused(&mut world, Method::POST, ROOT, said).await;
    assert_eq!(told, (409, "root-below-gone".to_owned()));
    assert_eq!(standing(&mut world, &old).await["state"], "barred");
    let (made, new_key) = next_root(&mut world, &key).await;
    let said = bundle(&world, &made, &new_key);
    world.post(ROOT, said.clone()).await;

    let later = active(&mut world, "operations").await;
    bar(&mut world, &later, "keyCompromise").await;
    // Also where the bar comes between the decision and its commit.
    let id = identity::authority::KeyId::from_octets(&text::from_hex(&later).unwrap()).unwrap();
    let certified = Change::AuthorityCertified { id, certificate: made.authorities[0].clone() };
    let draft = Draft::new(Class::Authority, &Payload::new("root.rolled"), [7; 32], world.now());
    let registry = &world.running().house().registry;
    let late = registry.commit_wait(registry.realms()[0].key, certified, draft);
    assert_eq!(late, Err(CommitError::Conflict(Clash::AuthorityState)));
    let entries = world.entries().len();
    let admin = world.admin();
    let again = world.ask_as(&admin, Method::POST, ROOT, Some(said)).await;
    assert_eq!((again.status(), world.entries().len()), (200, entries), "{}", again.text());
    world.end().await;
}
