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
async fn a_quarantined_device_is_refused_whatever_it_shows_and_released_only_to_a_new_key() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    // Many renewals, so that the first key is no longer among the newest leaves.
    let first = leaf.key.clone();
    let mut leaf = leaf;
    for _ in 0..9 {
        let key = Key::new();
        leaf = world.renew(&leaf, &key).await.leaf(&key);
    }
    let token = world.token(json!({"uses": 5, "serial": "pump-7"})).await;
    let id = device.id.as_str();

    world.quarantine(id).await;
    for heard in [
        world.join(&device.birth, &Key::new()).await,
        world.renew(&leaf, &Key::new()).await,
        world.join_by(&token, &Key::new(), "pump-7").await,
    ] {
        world.denied(&heard, &RuleId::QUARANTINED, About::Device(id)).await;
    }
    let admin = world.admin();
    let path = format!("/api/v1/devices/{id}/resume");
    let heard = world.ask_as(&admin, Method::POST, &path, Some(json!({}))).await;
    assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("quarantined")));
    assert_eq!(on_the_crl(&world, &leaf).await, Some(CrlReason::CertificateHold));

    world.release(id).await;
    assert_eq!(world.device(id).await["standing"], "enrolled");
    assert_eq!(on_the_crl(&world, &leaf).await, Some(CrlReason::Superseded));
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(id)).await;
    for old in [&leaf.key, &first] {
        let heard = world.join(&device.birth, old).await;
        world.denied(&heard, &RuleId::KEY_SPENT, About::Device(id)).await;
        let heard = world.join_by(&token, old, "pump-7").await;
        world.denied(&heard, &RuleId::KEY_SPENT, About::Device(id)).await;
    }
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_device_of_a_token_is_released_to_a_new_key_and_a_new_token() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1, "serial": "pump-7"})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "pump-7").await.leaf(&key);
    let id = leaf.certificate().device().unwrap().to_string();
    world.quarantine(&id).await;
    world.release(&id).await;

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&id)).await;
    let another = world.token(json!({"uses": 1, "serial": "pump-7"})).await;
    let heard = world.join_by(&another, &leaf.key, "pump-7").await;
    world.denied(&heard, &RuleId::KEY_SPENT, About::Device(&id)).await;
    let key = Key::new();
    let back = world.join_by(&another, &key, "pump-7").await.leaf(&key);
    assert_eq!(back.certificate().device().unwrap().to_string(), id, "it is the same device");
    world.end().await;
}

#[tokio::test]
async fn retiring_closes_the_tokens_that_name_the_device_and_no_others() {
    let mut world = World::new().await;
    let (device, _) = world.enrolled("pump-7").await;
    let own = world.token(json!({"uses": 5, "serial": "pump-7"})).await;
    let whole = world.token(json!({"uses": 5, "serial": "/P7/pump-7"})).await;
    let other = world.token(json!({"uses": 5, "serial": "pump-8"})).await;
    let open = world.token(json!({"uses": 5})).await;

    world.retire(&device.id).await;

    for (token, revoked) in [(own, true), (whole, true), (other, false), (open, false)] {
        let shown = world.get(&format!("/api/v1/tokens/{}", token.id)).await;
        assert_eq!(shown["revoked"].is_string(), revoked, "{shown}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_retired_device_is_refused_for_good() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let token = world.token(json!({"uses": 5, "serial": "pump-7"})).await;

    world.retire(&device.id).await;
    let later = Some(json!({"uses": 5, "serial": "pump-7"}));
    let later = world.ask_as(&world.admin(), Method::POST, "/api/v1/tokens", later).await;
    assert_eq!((later.status(), &later.json()["rule"]), (409, &json!("retired")));
    for heard in
        [world.join(&device.birth, &Key::new()).await, world.renew(&leaf, &Key::new()).await]
    {
        world.denied(&heard, &RuleId::RETIRED, About::Device(&device.id)).await;
    }
    let heard = world.join_by(&token, &Key::new(), "pump-7").await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Token(token.id.as_str())).await;
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
async fn a_leaf_on_hold_is_refused_until_it_is_released() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let name = format!("cert:{}", leaf.serial());
    world.revoke(&name, "certificateHold").await;
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    assert_eq!(on_the_crl(&world, &leaf).await, Some(CrlReason::CertificateHold));

    let told = world.post(&format!("/api/v1/certificates/{name}/release"), json!({})).await;
    assert_eq!(told["released"].as_array().unwrap().len(), 1, "{told}");

    assert_eq!(on_the_crl(&world, &leaf).await, None, "it disappears, there being no deltas");
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    let metrics = world.metrics().await;
    let held = r#"muster_revocations_total{realm="default",reason="certificateHold"} 1"#;
    assert!(metrics.contains(held), "{metrics}");
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
