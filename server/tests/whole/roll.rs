//! An authority gives way to its successor without loss: the overlap, and the retirement behind it. What it
//! takes to install one is told in [`super::install`].

use crate::world::line::{Caller, Heard};
use crate::world::pki::{Key, Shows};
use crate::world::{About, DAY_S, World, default_realm, simplereenroll};
use ca::authority::{self, Order};
use enroll::est::client::{self, Reply};
use hyper::Method;
use identity::authority::{AuthorityState, KeyId, Role};
use identity::key::SoftwareKey;
use identity::{Certificate, Csr, Outside, RuleId};
use serde_json::{Value, json};
use server::clock::SystemDice;

/// The root signs a request, somewhere else.
pub(crate) fn sign_by(world: &World, key: &SoftwareKey, role: &str, csr: &str) -> String {
    let csr = Csr::parse_pem(csr).unwrap();
    let public_url = Some("http://muster.example:8080".to_owned());
    let addresses = ca::Addresses { public_url, realm: default_realm() };
    let role = Role::parse(role).unwrap();
    let order = Order { csr: &csr, role, addresses: &addresses };
    // The world's clock stood still while the first ones were made.
    let now = world.now().max(server::clock::now());
    let outside = &mut Outside { now, dice: &mut SystemDice };
    authority::sign(world.root(), key, order, outside).unwrap().pem()
}

pub(crate) async fn request(world: &mut World, role: &str) -> Value {
    world.post("/api/v1/authorities/requests", json!({ "role": role })).await
}

/// Rolls an authority over, with what else is said at the installation; the new one's id.
pub(crate) async fn roll(world: &mut World, role: &str, more: Value) -> String {
    let made = request(world, role).await;
    let key = world.root_key();
    let certificate = sign_by(world, &key, role, made["csr"].as_str().unwrap());
    let mut said = json!({ "certificate": certificate, "role": role });
    said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let done = world.post("/api/v1/authorities", said).await;
    assert_eq!(done["id"], made["id"]);
    assert_eq!(done["state"], "active");
    done["id"].as_str().unwrap().to_owned()
}

/// How an authority stands.
pub(crate) async fn standing(world: &mut World, id: &str) -> Value {
    world.get(&format!("/api/v1/authorities/{id}")).await
}

/// The id of the active authority of a role.
pub(crate) async fn active(world: &mut World, role: &str) -> String {
    let all = world.get("/api/v1/authorities").await;
    let mut rows = all["items"].as_array().unwrap().iter();
    let found = rows.find(|a| a["role"] == role && a["state"] == "active").unwrap();
    found["id"].as_str().unwrap().to_owned()
}

/// What a device is told to trust.
pub(crate) async fn anchors(world: &World) -> Vec<Certificate> {
    let heard = world.say(None, client::cacerts(&default_realm())).await;
    match client::read_cacerts(&heard.incoming()).unwrap() {
        Reply::Done(found) => found,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ids(certificates: &[Certificate]) -> Vec<String> {
    certificates.iter().map(|c| c.subject_key_id().unwrap().to_string()).collect()
}

pub(crate) fn issuer(leaf: &Shows) -> String {
    leaf.certificate().authority_key_id().unwrap().to_string()
}

pub(crate) async fn refused(
    world: &mut World,
    method: Method,
    path: &str,
    body: Value,
) -> (u16, String) {
    let admin = world.admin();
    let heard = world.ask_as(&admin, method, path, Some(body)).await;
    let rule = heard.json()["rule"].as_str().unwrap_or_default().to_owned();
    assert!(heard.json()["detail"].as_str().unwrap().len() > 10);
    (heard.status(), rule)
}

pub(crate) async fn verbs(world: &World, verb: &str) -> usize {
    world.entries().iter().filter(|e| e.verb() == verb).count()
}

/// A certificate as everybody fetches it, verified from the root down.
async fn fetched(world: &World, id: &str) -> Certificate {
    let heard = world.public().await.get(&format!("/ca/default/{id}.cer"), &[]).await;
    assert_eq!(heard.status(), 200, "{id}");
    let found = Certificate::parse(heard.body()).unwrap();
    found.signed_by(world.root()).unwrap();
    found
}

async fn lists(world: &World, id: &str) -> u16 {
    server::crl::publish_all(world.running().house(), world.running().view()).await;
    world.public().await.get(&format!("/crl/default/{id}.crl"), &[]).await.status()
}

#[tokio::test]
async fn leaves_move_over_at_their_renewal_and_the_old_authority_retires_on_its_date() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let (_, late) = world.enrolled("pump-8").await;
    let old = active(&mut world, "operations").await;
    assert_eq!(issuer(&leaf), old);

    let new = roll(&mut world, "operations", json!({})).await;

    let stands = standing(&mut world, &old).await;
    assert_eq!((stands["state"].as_str(), stands["leaves"].as_u64()), (Some("retiring"), Some(2)));
    assert!(stands["retires"].is_string());
    let trusted = ids(&anchors(&world).await);
    assert_eq!(trusted[..2], [new.clone(), old.clone()], "the newest first");
    assert_eq!((lists(&world, &old).await, lists(&world, &new).await), (200, 200));
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);
    assert_eq!(issuer(&next), new);
    next.certificate().signed_by(&fetched(&world, &new).await).unwrap();
    let count = format!(
        "muster_authority_leaves{{realm=\"default\",issuer=\"{old}\",state=\"retiring\"}} 1"
    );
    let admin = world.admin();
    let page = world.ask_as(&admin, Method::GET, "/metrics", None).await;
    assert!(page.text().contains(&count), "{}", page.text());

    world.later(29 * DAY_S);
    let key = Key::new();
    assert_eq!(issuer(&world.renew(&late, &key).await.leaf(&key)), new, "late, and in time");
    world.later(32 * DAY_S);
    world.running().settle_authorities().await;
    let stands = standing(&mut world, &old).await;
    assert_eq!(stands["state"], "retired");
    world.running().settle_authorities().await;
    let stands = standing(&mut world, &old).await;
    assert!(stands["wiped"].is_string(), "{stands}");
    assert!(!world.keys().join("operations.key").exists());
    assert!(!ids(&anchors(&world).await).contains(&old));
    assert_eq!(verbs(&world, "authority.retired").await, 1);
    assert_eq!(verbs(&world, "authority.wiped").await, 1);

    world.restart().await;
    let (_, leaf) = world.enrolled("pump-9").await;
    assert_eq!(issuer(&leaf), new);
    world.end().await;
}

#[tokio::test]
async fn after_the_overlap_a_leaf_of_the_old_authority_opens_no_door_and_the_birth_certificate_does()
 {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let old = active(&mut world, "operations").await;
    let new = roll(&mut world, "operations", json!({"overlap_s": 3600})).await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);

    world.later(3601);
    world.running().settle_authorities().await;

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_RETIRED, About::Device(&device.id)).await;
    let stands = standing(&mut world, &old).await;
    assert!(stands["wiped"].is_null(), "it signs its list until the last leaf of it ends");
    assert_eq!(lists(&world, &old).await, 200);
    let key = Key::new();
    assert_eq!(issuer(&world.join(&device.birth, &key).await.leaf(&key)), new);
    let path = format!("/api/v1/authorities/{old}");
    let back = refused(&mut world, Method::PATCH, &path, json!({"state": "active"})).await;
    assert_eq!(back, (409, "retired".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn the_date_is_a_setting_or_said_and_a_retiring_authority_is_taken_back() {
    let mut world = World::new().await;
    world.set("authority_overlap_s", "7200").await;
    let old = active(&mut world, "operations").await;
    let new = roll(&mut world, "operations", json!({})).await;
    let path = format!("/api/v1/authorities/{old}");
    let patch = async |world: &mut World, body: Value| {
        let admin = world.admin();
        world.ask_as(&admin, Method::PATCH, &path, Some(body)).await.json()
    };
    let until = identity::text::rfc3339(world.now().plus_secs(7200));
    assert_eq!(standing(&mut world, &old).await["retires"], until);
    let until = identity::text::rfc3339(world.now().plus_secs(60));
    let said = patch(&mut world, json!({"state": "retiring", "overlap_s": 60})).await;
    assert_eq!(said["retires"], until);

    let back = patch(&mut world, json!({"state": "active"})).await;
    assert!(back["state"] == "active" && back["retires"].is_null());

    let (_, leaf) = world.enrolled("pump-7").await;
    assert_eq!(issuer(&leaf), new, "the newest signs");
    world.end().await;
}

#[tokio::test]
async fn births_come_from_the_new_birth_authority_and_the_old_one_is_an_anchor_for_good() {
    let mut world = World::new().await;
    let before = world.born("pump-7").await;
    let old = active(&mut world, "birth").await;

    let new = roll(&mut world, "birth", json!({})).await;

    let after = world.born("pump-8").await;
    assert_eq!(issuer(&after.birth), new);
    assert_eq!(after.birth.chain[1].subject_key_id().unwrap().to_string(), new);
    world.later(3650 * DAY_S);
    world.running().settle_authorities().await;
    let stands = standing(&mut world, &old).await;
    assert!(stands["state"] == "retiring" && stands["retires"].is_null(), "{stands}");
    assert!(ids(&anchors(&world).await).contains(&old));
    for device in [&before, &after] {
        let key = Key::new();
        world.join(&device.birth, &key).await.leaf(&key);
    }
    let path = format!("/api/v1/authorities/{old}");
    let told = refused(&mut world, Method::PATCH, &path, json!({"state": "retired"})).await;
    assert_eq!(told, (409, "anchor".to_owned()));
    world.end().await;
}

/// Who signed the certificate that the server shows.
async fn shown_by(world: &World) -> KeyId {
    let stream = world.caller(None).stream().await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    Certificate::parse(&chain[0]).unwrap().authority_key_id().unwrap()
}

#[tokio::test]
async fn the_servers_certificate_follows_its_authority_at_once() {
    let mut world = World::new().await;
    let old = active(&mut world, "service").await;
    assert_eq!(shown_by(&world).await.to_string(), old);

    let new = roll(&mut world, "service", json!({})).await;

    assert_eq!(shown_by(&world).await.to_string(), new);
    world.later(91 * DAY_S);
    world.running().settle_authorities().await;
    world.running().settle_authorities().await;
    assert!(standing(&mut world, &old).await["wiped"].is_string());
    assert!(!world.keys().join("service.key").exists());
    world.restart().await;
    assert_eq!(shown_by(&world).await.to_string(), new);
    world.end().await;
}

#[tokio::test]
async fn the_only_authority_of_its_role_does_not_step_down() {
    let mut world = World::new().await;
    let id = active(&mut world, "operations").await;
    for state in ["retiring", "retired"] {
        let path = format!("/api/v1/authorities/{id}");
        let told = refused(&mut world, Method::PATCH, &path, json!({"state": state})).await;
        assert_eq!(told, (409, "last-active".to_owned()));
    }
    world.end().await;
}

#[tokio::test]
async fn of_two_admins_who_retire_the_last_two_service_authorities_at_once_one_is_refused() {
    let mut world = World::new().await;
    let old = active(&mut world, "service").await;
    let new = roll(&mut world, "service", json!({})).await;
    let path = |id: &str| format!("/api/v1/authorities/{id}");
    let admin = world.admin();
    let back = Some(json!({"state": "active"}));
    world.ask_as(&admin, Method::PATCH, &path(&old), back).await;

    let (one, two) = (path(&old), path(&new));
    let retire = || Some(json!({"state": "retired"}));
    let heard =
        world.ask_both((Method::PATCH, &one, retire()), (Method::PATCH, &two, retire())).await;

    let lost = if heard[0].status() == 200 { &heard[1] } else { &heard[0] };
    assert_eq!((lost.status(), &lost.json()["rule"]), (409, &json!("last-active")));
    assert!(lost.json()["detail"].as_str().unwrap().contains("muster ca roll service"));
    let left = active(&mut world, "service").await;
    assert!([&old, &new].contains(&&left));
    assert_eq!(verbs(&world, "authority.changed").await, 2, "one came back, one retired");

    // Decided while both still signed, and committed after the other: however close they come.
    let realm = world.running().house().realm(&default_realm()).unwrap();
    let last = realm.authorities.iter().find(|a| a.id.to_string() == left).unwrap();
    let change = registry::Change::AuthorityState {
        id: last.id,
        was: Some(AuthorityState::Active),
        state: AuthorityState::Barred,
        retires: None,
        barred: None,
    };
    let payload = ledger::Payload::new("authority.revoked");
    let house = world.running().house();
    let late = house.commit(realm.key, change, ledger::Class::Authority, payload).await;
    let stays = registry::Clash::LastSigner(Role::Service);
    assert_eq!(late.unwrap_err(), registry::CommitError::Conflict(stays));
    world.restart().await;
    world.end().await;
}

/// A device that renews for as long as it is let.
async fn renews(port: u16, root: Certificate, mut leaf: Shows, times: usize) -> Vec<Shows> {
    let version = &rustls::version::TLS13;
    let mut all = vec![leaf.clone()];
    for _ in 0..times {
        let key = Key::new();
        let caller = Caller { port, root: &root, shows: Some(&leaf), version, preface: &[] };
        let heard: Heard = caller.dial().await.say(simplereenroll(&key.csr(""))).await;
        leaf = heard.leaf(&key);
        all.push(leaf.clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_authorities_change_no_request_of_a_fleet_is_lost() {
    let mut world = World::new().await;
    world.set("device_rate_per_hour", "1000").await;
    let port = world.running().ports().device.unwrap();
    let mut fleet = tokio::task::JoinSet::new();
    for unit in 0..8 {
        let (_, leaf) = world.enrolled(&format!("pump-{unit}")).await;
        fleet.spawn(renews(port, world.root().clone(), leaf, 12));
    }

    let mut authorities = vec![active(&mut world, "operations").await];
    for _ in 0..3 {
        let ask = json!({"role": "operations", "in_overlap": true});
        let made = world.post("/api/v1/authorities/requests", ask).await;
        let key = world.root_key();
        let pem = sign_by(&world, &key, "operations", made["csr"].as_str().unwrap());
        let install = json!({"certificate": pem, "role": "operations"});
        world.post("/api/v1/authorities", install).await;
        authorities.push(made["id"].as_str().unwrap().to_owned());
        roll(&mut world, "service", json!({"overlap_s": 0})).await;
        world.running().settle_authorities().await;
    }

    let mut certificates = Vec::new();
    for id in &authorities {
        certificates.push(fetched(&world, id).await);
    }
    let mut leaves = 0;
    while let Some(done) = fleet.join_next().await {
        for leaf in done.unwrap() {
            let signed = certificates.iter().any(|a| leaf.certificate().signed_by(a).is_ok());
            assert!(signed, "a chain up to the root");
            leaves += 1;
        }
    }
    assert_eq!(leaves, 8 * 13, "every request was answered with a leaf");
    world.end().await;
}
