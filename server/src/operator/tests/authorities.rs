//! Authorities: asked for, installed, barred, and the lists that were signed offline.

use super::world::{REALM, World, p256};
use api::path::{AUTHORITIES, AUTHORITY, AUTHORITY_CRL, AUTHORITY_REQUESTS, fill};
use axum::http::StatusCode;
use identity::authority::Role;
use serde_json::{Value, json};

/// The first of them in PEM, as a trust anchor is given.
pub(super) async fn anchor(world: &World) -> Value {
    let all = world.get("viewer", AUTHORITIES).await.json();
    all["items"][0]["pem"].clone()
}

#[tokio::test]
async fn an_authority_is_barred_for_good_and_a_root_is_not_touched_here() {
    let world = World::new();
    let all = world.get("viewer", AUTHORITIES).await.json();
    let of = |role: &str| {
        let all = all["items"].as_array().unwrap();
        let found = all.iter().find(|a| a["role"] == role).unwrap();
        fill(AUTHORITY, &[found["id"].as_str().unwrap()])
    };
    let set = async |role: &str, state: &str| {
        world.send("admin", "PATCH", &of(role), json!({ "state": state })).await.json()
    };
    assert_eq!(set("root", "barred").await["rule"], "root");
    assert_eq!(set("birth", "barred").await["state"], "barred");
    assert!(world.house.realms().remove(0).birth.is_none());
    assert_eq!(set("birth", "active").await["rule"], "barred");
    let ready = world.get("", api::path::READYZ).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// The same certificate with another subject key identifier, as somebody else's tool gives one.
fn with_other_key_id(pem: &str, root: &identity::key::SoftwareKey) -> String {
    use identity::{Certificate, Signer};
    let given = Certificate::parse_pem(pem, 1).unwrap().remove(0);
    let mut der = given.der().to_vec();
    let id = given.subject_key_id().unwrap();
    let at = der.windows(20).position(|octets| octets == id.octets()).unwrap();
    der[at] ^= 1;
    let length = 4 + usize::from(u16::from_be_bytes([der[6], der[7]]));
    let body = &der[4..4 + length];
    let signature = root.sign(body).unwrap();
    let front = [3, u8::try_from(signature.len() + 1).unwrap(), 0];
    let all = [body, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &front, &signature];
    let all = all.concat();
    let length = u16::try_from(all.len()).unwrap().to_be_bytes();
    let der = [&[0x30, 0x82], length.as_slice(), &all].concat();
    Certificate::parse(&der).unwrap().pem()
}

#[tokio::test]
async fn an_authority_is_installed_only_if_the_root_signed_it() {
    let world = World::new();
    let next = std::sync::Arc::new(p256());
    let made = identity::authority::AuthorityRequest {
        id: identity::Signer::public(&*next).key_id(),
        role: Role::Operations,
        csr: ca::authority::request("Next", &*next).unwrap(),
        made: world.house.clock.now(),
    };
    let asked = registry::Change::AuthorityRequested(made);
    let payload = ledger::Payload::new("authority.requested");
    world.house.commit(REALM, asked, ledger::Class::Authority, payload).await.unwrap();
    let order_for = |made: &identity::key::SoftwareKey,
                     root: &identity::Certificate,
                     key: &identity::key::SoftwareKey| {
        let request = ca::authority::request("Next", made).unwrap();
        let csr = identity::Csr::parse(&request).unwrap();
        let addresses =
            ca::Addresses { public_url: None, realm: identity::RealmName::default_realm() };
        let role = identity::authority::Role::Operations;
        let order = ca::authority::Order { csr: &csr, role, addresses: &addresses };
        crate::clock::outside(|o| ca::authority::sign(root, key, order, o)).unwrap().pem()
    };
    let order = |root: &identity::Certificate, key: &identity::key::SoftwareKey| {
        order_for(&next, root, key)
    };
    let pem = anchor(&world).await;
    let root = identity::Certificate::parse_pem(pem.as_str().unwrap(), 1).unwrap().remove(0);
    let stranger_key = p256();
    let stranger = crate::clock::outside(|o| ca::authority::root("Other", &stranger_key, o));
    let install = |certificate: String| {
        let body = json!({"certificate": certificate, "role": "operations"});
        world.send("admin", "POST", AUTHORITIES, body)
    };

    let good = order(&root, &world.root_key);
    let renamed = with_other_key_id(&good, &world.root_key);
    assert_eq!(install(renamed).await.json()["rule"], "other-key-id");
    let made = install(good.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(install(good).await.status, StatusCode::OK, "installed already");
    let others = order_for(&p256(), &root, &world.root_key);
    assert_eq!(install(others).await.json()["rule"], "other-request");
    let again = order(&root, &world.root_key);
    assert_eq!(install(again).await.status, StatusCode::CONFLICT, "another certificate of it");
    let foreign = order(&stranger.unwrap(), &stranger_key);
    assert_eq!(install(foreign).await.json()["rule"], "not-signed-by-root");
    assert_eq!(install(root.pem()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(install("none".to_owned()).await.status, StatusCode::BAD_REQUEST);
}

/// A workshop without files: it remembers what it was given.
#[derive(Default)]
struct Bench(std::sync::Mutex<Vec<u8>>);

impl crate::operator::Workshop for Bench {
    fn new_authority(
        &self,
        _: &crate::house::RealmState,
        role: identity::authority::Role,
        _: identity::KeyKind,
    ) -> Result<(identity::authority::KeyId, Vec<u8>), String> {
        let key = p256();
        let request = ca::authority::request(role.as_str(), &key).map_err(|e| e.to_string())?;
        Ok((identity::Signer::public(&key).key_id(), request))
    }

    fn crl(
        &self,
        _: &crate::house::RealmState,
        _: &identity::authority::Authority,
    ) -> Option<Vec<u8>> {
        Some(self.0.lock().unwrap().clone()).filter(|der| !der.is_empty())
    }

    fn keep_key(
        &self,
        _: identity::authority::Role,
        _: &identity::authority::KeyId,
    ) -> Result<(), String> {
        Ok(())
    }

    fn destroy_key(
        &self,
        _: identity::authority::Role,
        _: &identity::authority::KeyId,
    ) -> Result<bool, String> {
        Ok(true)
    }

    fn authorities_changed(&self) {}

    fn publish_crl(
        &self,
        _: &crate::house::RealmState,
        _: &identity::authority::Authority,
        der: &[u8],
    ) -> Result<(), String> {
        *self.0.lock().unwrap() = der.to_vec();
        Ok(())
    }
}

#[tokio::test]
async fn a_new_authority_is_asked_for_and_the_roots_list_is_published_if_the_root_signed_it() {
    let mut world = World::new();
    let refused = world.send("admin", "POST", AUTHORITY_REQUESTS, json!({"role": "birth"})).await;
    assert_eq!(refused.json()["rule"], "home", "without a home there is no key");
    let bench = std::sync::Arc::new(Bench::default());
    let fittings =
        crate::operator::Fittings { workshop: Some(bench.clone()), ..Default::default() };
    world.router = crate::operator::router_with(world.house.clone(), fittings);

    let made = world.send("admin", "POST", AUTHORITY_REQUESTS, json!({"role": "birth"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let csr = identity::Csr::parse_pem(made.json()["csr"].as_str().unwrap()).unwrap();
    assert_eq!(made.json()["id"], csr.key().key_id().to_string());
    let root_wish = json!({"role": "root"});
    let refused = world.send("admin", "POST", AUTHORITY_REQUESTS, root_wish).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);

    let realm = world.house.realms().remove(0);
    let root = realm.authorities.iter().find(|a| a.role == Role::Root).unwrap();
    let list = |number| ca::crl::Crl {
        number,
        this_update: world.house.clock.now(),
        next_update: world.house.clock.now().plus_secs(number),
        scope: ca::crl::Scope::Complete,
        entries: Vec::new(),
    };
    let sign = |number| ca::crl::sign(&root.certificate, &*world.root_key, list(number)).unwrap();
    let path = fill(AUTHORITY_CRL, &[&root.id.to_string()]);
    let put = async |der: &[u8]| {
        let crl = identity::certificate::pem("X509 CRL", der);
        world.send("admin", "PUT", &path, json!({ "crl": crl })).await
    };
    let good = sign(86_400);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(put(&forged).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(put(&sign(0)).await.status, StatusCode::BAD_REQUEST, "it has ended");
    assert_eq!(put(b"").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(put(&good).await.status, StatusCode::OK);
    assert_eq!(*bench.0.lock().unwrap(), good);
    assert_eq!(world.last_entry().await["verb"], "crl.installed");

    // Signed before the one that is shown: it may leave out what was revoked since.
    let old = put(&sign(255)).await;
    assert_eq!((old.status, &old.json()["rule"]), (StatusCode::CONFLICT, &json!("old-crl")));
    assert_eq!(*bench.0.lock().unwrap(), good);
    assert_eq!(put(&good).await.status, StatusCode::OK, "the same one may come again");
    let newer = sign(86_401);
    assert_eq!(put(&newer).await.status, StatusCode::OK);
    assert_eq!(*bench.0.lock().unwrap(), newer);
}
