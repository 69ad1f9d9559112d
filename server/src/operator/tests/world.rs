//! A house in memory with one operator of each role, and a caller.

use crate::clock::Clock;
use crate::house::{Furniture, House};
use crate::operator::{Peer, router};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use ca::Addresses;
use ca::authority::{self, Order};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use identity::authority::{Authority, Role};
use identity::door::{Door, DoorKind};
use identity::key::SoftwareKey;
use identity::profile::Profile;
use identity::token::{TokenId, mint};
use identity::{Assurance, Csr, Dice, Outside, RealmName, Signer, UnixTime};
use ledger::{Class, Origin, Payload};
use registry::{Change, Draft, Operator, Realm, RealmKey, Registry};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const REALM: RealmKey = RealmKey(1);
const START: u64 = 1_790_000_000_000;

/// Chance that a test can repeat.
pub(super) struct Counted(pub(super) u64);

impl Dice for Counted {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let octets = self.0.to_be_bytes();
            chunk.iter_mut().zip(octets).for_each(|(b, o)| *b = o);
        }
    }
}

pub(crate) fn p256() -> SoftwareKey {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    SoftwareKey::from_pkcs8(key.to_pkcs8v1().unwrap().as_ref()).unwrap()
}

fn ed25519() -> SoftwareKey {
    let key = Ed25519KeyPair::generate().unwrap();
    SoftwareKey::from_pkcs8(key.to_pkcs8().unwrap().as_ref()).unwrap()
}

/// The request of a unit at the line, PEM.
pub(crate) fn csr(key: &SoftwareKey, serial: &str) -> String {
    let wish = enroll::request::Wish { serial_number: Some(serial), ..Default::default() };
    let der = enroll::request::make(key, &wish).unwrap();
    identity::certificate::pem("CERTIFICATE REQUEST", &der)
}

pub(crate) struct World {
    pub(crate) house: Arc<House>,
    pub(super) router: Router,
    pub(super) root_key: Arc<SoftwareKey>,
    pub(crate) time: Arc<AtomicU64>,
    tokens: BTreeMap<&'static str, String>,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// What is sent.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) role: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Option<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let time = Arc::new(AtomicU64::new(START));
        let mut dice = Counted(1);
        let registry = Registry::open_memory().unwrap();
        let root_key = Arc::new(p256());
        let (keyring, mut changes) = found(&mut dice, &root_key);
        let mut tokens = BTreeMap::new();
        for role in registry::Role::ALL {
            let now = UnixTime::from_millis(START);
            let (id, secret) = mint(&mut Outside { now, dice: &mut dice });
            tokens.insert(role.as_str(), format!("{id}.{}", secret.dangerous_reveal()));
            changes.push(Change::OperatorSet(operator(*role, id, secret.digest())));
        }
        let payload = Payload::new("realm.founded");
        let at = UnixTime::from_millis(START);
        let draft = Draft::new(Class::Realm, &payload, [7; 32], at);
        registry.commit_wait(REALM, Change::Batch(changes), draft).unwrap();
        let house = House::new(Furniture {
            registry,
            clock: Clock::Set(Arc::clone(&time)),
            keyring,
            ledger_key: Arc::new(ed25519()),
            public_url: None,
        })
        .unwrap();
        Self { router: router(Arc::clone(&house)), house, root_key, time, tokens }
    }

    /// The same house behind an interface that begins anew.
    pub(super) fn reopened(self) -> Self {
        Self { router: router(Arc::clone(&self.house)), ..self }
    }

    pub(super) fn later(&self, secs: u64) {
        self.time.fetch_add(secs * 1000, Ordering::Relaxed);
    }

    pub(super) async fn call(&self, method: &str, path: &str, call: Call<'_>) -> Reply {
        let response = self.open(method, path, call).await;
        let (parts, body) = response.into_parts();
        let octets = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(octets.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, text }
    }

    /// The response with its body still to come.
    pub(super) async fn open(
        &self,
        method: &str,
        path: &str,
        call: Call<'_>,
    ) -> axum::response::Response {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        request = request.uri(path).extension(Peer { addr: [192, 0, 2, 7].into() });
        if let Some(token) = self.tokens.get(call.role) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let json = call.body.is_some();
        if json && !call.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let body = call.body.map_or_else(Body::empty, Body::from);
        let service = TowerToHyperService::new(self.router.clone());
        service.call(request.body(body).unwrap()).await.unwrap()
    }

    /// The response to a body that comes bit by bit.
    pub(super) async fn call_slowly(
        &self,
        role: &str,
        method: &str,
        path: &str,
        body: tokio::sync::mpsc::Receiver<bytes::Bytes>,
    ) -> axum::response::Response {
        let token = self.tokens.get(role).unwrap();
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .extension(Peer { addr: [192, 0, 2, 7].into() })
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let body = Body::new(crate::operator::events::Stream(body));
        let service = TowerToHyperService::new(self.router.clone());
        service.call(request.body(body).unwrap()).await.unwrap()
    }

    pub(super) async fn get(&self, role: &str, path: &str) -> Reply {
        self.call("GET", path, Call { role, ..Call::default() }).await
    }

    pub(super) async fn send(&self, role: &str, method: &str, path: &str, body: Value) -> Reply {
        let body = Some(body.to_string());
        self.call(method, path, Call { role, body, ..Call::default() }).await
    }

    /// A device that was born through the interface; its UUID.
    pub(super) async fn birth(&self, serial: &str) -> String {
        let unit =
            serde_json::json!({"csr": csr(&p256(), serial), "serial": serial, "model": "P7"});
        let batch = serde_json::json!({"births": [unit]});
        let reply = self.send("station", "POST", api::path::BIRTHS, batch).await;
        let result = reply.json()["results"][0].clone();
        assert_eq!(result["outcome"], "issued", "{}", reply.text);
        result["device"].as_str().unwrap().to_owned()
    }

    /// The newest entry, as the interface shows it.
    pub(super) async fn last_entry(&self) -> Value {
        let size = self.get("viewer", api::path::HEAD).await.json()["size"].as_u64().unwrap();
        self.get("viewer", &format!("{}/{}", api::path::ENTRIES, size - 1)).await.json()
    }
}

fn operator(role: registry::Role, id: TokenId, digest: [u8; 32]) -> Operator {
    let made = UnixTime::from_millis(START);
    Operator { name: format!("the-{role}"), role, digest, made, id }
}

fn found(dice: &mut Counted, root_key: &SoftwareKey) -> (crate::house::Keyring, Vec<Change>) {
    let now = UnixTime::from_millis(START);
    let mut outside = Outside { now, dice };
    let id = *outside.device_id().octets();
    let realm = Realm {
        key: REALM,
        name: RealmName::default_realm(),
        id,
        origin: Origin::new(&id, 1).as_str().to_owned(),
        founded: now,
    };
    let addresses = Addresses { public_url: None, realm: realm.name.clone() };
    let root = authority::root("Root", root_key, &mut outside).unwrap();
    let mut changes = vec![Change::Found(realm)];
    let mut keyring = crate::house::Keyring::new();
    let active = |role, certificate: identity::Certificate| {
        let id = certificate.subject_key_id().unwrap();
        Change::Authority(Authority::active(id, role, certificate))
    };
    for role in [Role::Birth, Role::Operations] {
        let key = p256();
        let csr = Csr::parse(&authority::request(role.as_str(), &key).unwrap()).unwrap();
        let order = Order { csr: &csr, role, addresses: &addresses };
        let signed = authority::sign(&root, root_key, order, &mut outside).unwrap();
        keyring.insert(signed.subject_key_id().unwrap(), Arc::new(key) as Arc<dyn Signer>);
        changes.push(active(role, signed));
    }
    changes.push(active(Role::Root, root));
    changes.push(Change::ProfileSet(Profile::standard()));
    for (name, kind) in [("birth", DoorKind::Birth), ("token", DoorKind::Token)] {
        changes.push(Change::DoorSet(Door {
            name: name.to_owned(),
            kind,
            open: true,
            groups: [].into(),
            profile: "standard".to_owned(),
            assurance: Assurance::Token,
            binding: false,
            receipt: None,
        }));
    }
    (keyring, changes)
}
