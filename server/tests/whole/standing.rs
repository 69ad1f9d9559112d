//! Standing: what an operator takes away and gives back, whatever credential is shown.

use crate::world::pki::{Key, Maker, Shows};
use crate::world::{About, World, default_realm, simpleenroll};
use enroll::est::client;
use hyper::Method;
use identity::{RuleId, Signer};
use serde_json::json;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlReason;

#[tokio::test]
async fn a_suspended_device_is_refused_whatever_it_shows_and_let_in_when_resumed() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let token = world.token(json!({"uses": 5, "serial": "pump-7"})).await;

    world.suspend(&device.id).await;
    let shown = [
        world.join(&device.birth, &Key::new()).await,
        world.renew(&leaf, &Key::new()).await,
        world.renew(&leaf, &leaf.key).await,
        world.join_by(&token, &Key::new(), "pump-7").await,
        world
            .say(
                Some(&device.birth),
                client::serverkeygen(&default_realm(), &Key::new().csr(""), None),
            )
            .await,
    ];
    for heard in &shown {
        world.denied(heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    }

    world.resume(&device.id).await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_suspended_makers_unit_is_refused_at_its_makers_door() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let (unit, key) = (maker.unit("S1"), Key::new());
    let leaf = world.join(&unit, &key).await.leaf(&key);
    let id = leaf.certificate().device().unwrap().to_string();

    world.suspend(&id).await;

    let heard = world.join(&unit, &Key::new()).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_born_device_can_be_suspended_and_stands_born_again_after() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    world.suspend(&device.id).await;
    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;

    world.resume(&device.id).await;

    assert_eq!(world.device(&device.id).await["standing"], "born");
    world.end().await;
}

#[tokio::test]
async fn a_retired_device_is_refused_for_good() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let token = world.token(json!({"uses": 5, "serial": "pump-7"})).await;

    world.retire(&device.id).await;
    for heard in [
        world.join(&device.birth, &Key::new()).await,
        world.renew(&leaf, &Key::new()).await,
        world.join_by(&token, &Key::new(), "pump-7").await,
    ] {
        world.denied(&heard, &RuleId::RETIRED, About::Device(&device.id)).await;
    }
    let told = world.birth(&Key::new(), json!({"serial": "pump-7", "replace": "repaired"})).await;
    assert_eq!(told["rule"], "retired");
    world.birth_denied(&RuleId::RETIRED, About::Device(&device.id)).await;

    let admin = world.admin();
    let path = format!("/api/v1/devices/{}/resume", device.id);
    let heard = world.ask_as(&admin, Method::POST, &path, Some(json!({}))).await;
    assert_eq!(
        (heard.status(), &heard.json()["rule"]),
        (409, &json!("retired")),
        "{}",
        heard.text()
    );
    world.end().await;
}

#[tokio::test]
async fn a_compromised_key_never_comes_back_and_its_device_does() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let other = world.born("pump-8").await;
    let id = device.id.as_str();

    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;

    let heard = world.renew(&leaf, &leaf.key).await;
    world.denied(&heard, &RuleId::KEY_COMPROMISED, About::Device(id)).await;
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(id)).await;
    let heard = world.join(&device.birth, &leaf.key).await;
    world.denied(&heard, &RuleId::KEY_COMPROMISED, About::Device(id)).await;
    let heard = world.join(&other.birth, &leaf.key).await;
    world.denied(&heard, &RuleId::KEY_COMPROMISED, About::Device(&other.id)).await;
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_compromised_birth_certificate_leads_in_no_more() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let spki = device.birth.key.signer().public().hash();

    world.revoke(&format!("spki:{spki}"), "keyCompromise").await;

    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn revoking_a_leaf_revokes_every_leaf_of_its_key() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let second = {
        world.contact(&leaf).await;
        world.renew(&leaf, &leaf.key).await.leaf(&leaf.key)
    };

    let told = world.revoke(&format!("cert:{}", second.serial()), "privilegeWithdrawn").await;

    assert_eq!(told["revoked"].as_array().unwrap().len(), 2);
    for shown in [&leaf, &second] {
        let heard = world.renew(shown, &Key::new()).await;
        world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    }
    world.end().await;
}

/// Why the complete CRL of a certificate's issuer names it, if it does.
async fn on_the_crl(world: &World, shown: &Shows) -> Option<CrlReason> {
    server::crl::publish_all(world.running().house(), world.running().view()).await;
    let issuer = shown.certificate().authority_key_id().unwrap();
    let heard = world.public().await.get(&format!("/crl/default/{issuer}.crl"), &[]).await;
    let crl = <CertificateList as der::Decode>::from_der(heard.body()).unwrap();
    let serial = shown.certificate().serial().unwrap();
    let revoked = crl.tbs_cert_list.revoked_certificates.unwrap_or_default();
    let entry = revoked
        .iter()
        .find(|r| r.serial_number.as_bytes().ends_with(serial.octets().trim_ascii_start()))?;
    let reason = entry.crl_entry_extensions.iter().flatten().next().unwrap();
    Some(<CrlReason as der::Decode>::from_der(reason.extn_value.as_bytes()).unwrap())
}

#[tokio::test]
async fn a_suspended_devices_leaf_is_on_hold_on_the_crl_and_off_again() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    assert_eq!(on_the_crl(&world, &leaf).await, None);

    world.suspend(&device.id).await;
    assert_eq!(on_the_crl(&world, &leaf).await, Some(CrlReason::CertificateHold));
    assert_eq!(
        on_the_crl(&world, &device.birth).await,
        None,
        "the birth certificate is not on hold"
    );

    world.resume(&device.id).await;
    assert_eq!(on_the_crl(&world, &leaf).await, None);

    world.retire(&device.id).await;
    assert_eq!(on_the_crl(&world, &leaf).await, Some(CrlReason::CessationOfOperation));
    assert_eq!(on_the_crl(&world, &device.birth).await, Some(CrlReason::CessationOfOperation));
    world.end().await;
}

#[tokio::test]
async fn a_barred_authority_vouches_for_nobody() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let issuer = leaf.certificate().authority_key_id().unwrap();
    let admin = world.admin();
    let path = format!("/api/v1/authorities/{issuer}");

    let body = Some(json!({"state": "barred"}));
    let heard = world.ask_as(&admin, Method::PATCH, &path, body).await;
    assert_eq!(heard.status(), 200, "{}", heard.text());

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::AUTHORITY_BARRED, About::Device(&device.id)).await;
    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::NO_AUTHORITY, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_suspended_device_may_fetch_the_authorities() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.suspend(&device.id).await;

    let mut line = world.dial(Some(&leaf)).await;
    let heard = line.say(client::cacerts(&default_realm())).await;
    assert_eq!(heard.status(), 200);
    let heard = line.say(simpleenroll(&Key::new().csr(""))).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    assert!(!line.is_open().await);
    world.end().await;
}
