//! The shape of a leaf: profiles, keys that the server makes, what a request is bound to, and what
//! clients are told beforehand.

use crate::world::pki::{Key, Request};
use crate::world::{About, DAY_S, World, default_realm, simpleenroll};
use enroll::est::client::{self, Reply};
use enroll::est::wire;
use hyper::Method;
use identity::{KeyKind, RuleId, Signer};
use serde_json::json;

/// id-kp-emailProtection, as good as any.
const EXTRA: &str = "1.3.6.1.5.5.7.3.4";
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";

/// A world whose birth door gives leaves of this profile.
async fn world_of(profile: serde_json::Value) -> World {
    let mut world = World::new().await;
    world.put("/api/v1/profiles/own", profile).await;
    world.put("/api/v1/doors/birth", json!({"kind": "birth", "profile": "own"})).await;
    world
}

#[tokio::test]
async fn a_profile_shapes_the_leaf() {
    let mut world = world_of(
        json!({"lifetime_s": DAY_S, "organization": "ACME", "usages": [EXTRA], "keys": ["p384"]}),
    )
    .await;
    let device = world.born("pump-7").await;

    let heard = world.join(&device.birth, &Key::new()).await;
    world.denied(&heard, &RuleId::KEY_KIND, About::Device(&device.id)).await;

    let key = Key::of(KeyKind::P384);
    let leaf = world.join(&device.birth, &key).await.leaf(&key);
    let certificate = leaf.certificate();
    assert_eq!(certificate.not_after().secs(), world.now().secs() + DAY_S);
    let usages: Vec<String> =
        certificate.usages().unwrap().iter().map(ToString::to_string).collect();
    assert!(usages.contains(&EXTRA.to_owned()) && usages.len() == 2, "{usages:?}");
    assert!(certificate.subject().to_string().contains("O=ACME"));

    world.later(DAY_S + 1);
    let heard = world.renew(&leaf, &Key::of(KeyKind::P384)).await;
    world.denied(&heard, &RuleId::EXPIRED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn no_profile_makes_a_device_a_server() {
    let mut world = World::new().await;
    let admin = world.admin();
    let body = Some(json!({ "usages": [SERVER_AUTH] }));
    let heard = world.ask_as(&admin, Method::PUT, "/api/v1/profiles/own", body).await;
    assert_eq!(heard.status(), 400, "{}", heard.text());
    world.end().await;
}

#[tokio::test]
async fn the_server_makes_a_key_where_the_profile_lets_it() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let say = || client::serverkeygen(&default_realm(), &Key::new().csr(""), None);

    let heard = world.say(Some(&device.birth), say()).await;
    world.denied(&heard, &RuleId::SERVER_KEY, About::Device(&device.id)).await;

    world.put("/api/v1/profiles/own", json!({"server_key": true})).await;
    world.put("/api/v1/doors/birth", json!({"kind": "birth", "profile": "own"})).await;
    let heard = world.say(Some(&device.birth), say()).await;
    let Reply::Done((key, leaf)) = client::read_key_and_leaf(&heard.incoming()).unwrap() else {
        panic!("{}", heard.text());
    };
    let key = Key::from_pkcs8(key.dangerous_reveal());
    assert_eq!(key.signer().public(), leaf.key());
    assert_eq!(
        world.device(&device.id).await["assurance"],
        "token",
        "somebody else has seen the key"
    );

    let retry = world.say(Some(&device.birth), say()).await;
    let Reply::Done((_, second)) = client::read_key_and_leaf(&retry.incoming()).unwrap() else {
        panic!("{}", retry.text());
    };
    assert_ne!(second.serial(), leaf.serial(), "no private key is kept, so a retry supersedes");
    let lost = crate::world::pki::Shows::new(leaf, &key);
    let heard = world.renew(&lost, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_door_may_demand_that_a_request_is_bound_to_its_connection() {
    let mut world = World::new().await;
    world.put("/api/v1/doors/birth", json!({"kind": "birth", "binding": true})).await;
    let device = world.born("pump-7").await;
    let bound = |exporter: [u8; 32], key: &Key| {
        let password = wire::challenge_password(&exporter);
        simpleenroll(&Request { challenge: Some(&password), ..Request::default() }.signed(key))
    };
    let key = Key::new();

    let heard = world.join(&device.birth, &key).await;
    world.denied(&heard, &RuleId::BINDING, About::Device(&device.id)).await;

    let other = world.dial(Some(&device.birth)).await.exporter();
    let heard = world.say(Some(&device.birth), bound(other, &key)).await;
    world.denied(&heard, &RuleId::BINDING, About::Device(&device.id)).await;

    let mut old = world.caller(Some(&device.birth));
    old.version = &rustls::version::TLS12;
    let heard = old.dial().await.say(bound(other, &key)).await;
    world.denied(&heard, &RuleId::BINDING, About::Device(&device.id)).await;

    let mut line = world.dial(Some(&device.birth)).await;
    let say = bound(line.exporter(), &key);
    line.say(say).await.leaf(&key);
    assert_eq!(world.last_entry().get("binding").unwrap().as_text(), Some("held"));
    world.end().await;
}

#[tokio::test]
async fn a_binding_that_nobody_demands_is_recorded() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let csr = Request { challenge: Some("an old tls-unique"), ..Request::default() }.signed(&key);

    world.say(Some(&device.birth), simpleenroll(&csr)).await.leaf(&key);

    assert_eq!(world.last_entry().get("binding").unwrap().as_text(), Some("other"));
    world.end().await;
}

#[tokio::test]
async fn tls_1_2_is_good_enough_where_nothing_is_bound() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let mut old = world.caller(Some(&device.birth));
    old.version = &rustls::version::TLS12;
    old.dial().await.say(simpleenroll(&key.csr(""))).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn who_asks_beforehand_is_told_what_the_own_door_wants() {
    let mut world = world_of(json!({"keys": ["p384"], "usages": [EXTRA]})).await;
    let device = world.born("pump-7").await;
    let key = Key::of(KeyKind::P384);
    let leaf = world.join(&device.birth, &key).await.leaf(&key);
    world
        .put("/api/v1/doors/birth", json!({"kind": "birth", "profile": "own", "binding": true}))
        .await;

    for shown in [&device.birth, &leaf] {
        let heard = world.say(Some(shown), client::csrattrs(&default_realm())).await;
        let Reply::Done(wanted) = client::read_csrattrs(&heard.incoming()).unwrap() else {
            panic!("{}", heard.text());
        };
        assert_eq!(wanted.key, Some(KeyKind::P384));
        assert!(wanted.usages.iter().any(|u| u.to_string() == EXTRA));
        assert!(wanted.binding, "the door demands a binding, and says so");
    }
    let heard = world.say(None, client::csrattrs(&default_realm())).await;
    let Reply::Done(wanted) = client::read_csrattrs(&heard.incoming()).unwrap() else {
        panic!("{}", heard.text());
    };
    assert_eq!((wanted.key, wanted.binding), (None, false), "a stranger is told the standard");
    world.end().await;
}

#[tokio::test]
async fn the_authorities_are_open_to_all_and_lead_to_the_root() {
    let world = World::new().await;

    let heard = world.say(None, client::cacerts(&default_realm())).await;
    let Reply::Done(found) = client::read_cacerts(&heard.incoming()).unwrap() else {
        panic!("{}", heard.text());
    };

    assert!(found.iter().any(|c| c.der() == world.root().der()));
    assert!(found.iter().all(|c| c.signed_by(world.root()).is_ok()));
    let base64 = std::str::from_utf8(heard.body()).unwrap();
    assert!(!base64.contains('\n'), "one unbroken run");
    world.end().await;
}

#[tokio::test]
async fn a_realm_may_stand_in_the_path() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let mut say = simpleenroll(&key.csr(""));
    say.path = "/.well-known/est/default/simpleenroll".to_owned();
    world.say(Some(&device.birth), say).await.leaf(&key);

    let mut line = world.dial(None).await;
    let heard = line.get("/.well-known/est/elsewhere/cacerts", &[]).await;
    assert!(heard.text().contains("no realm `elsewhere`"));
    world.refused(&heard, 404, ("path", About::Stranger)).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_not_spoken_is_said_so() {
    let mut world = World::new().await;
    let mut say = simpleenroll(&Key::new().csr(""));
    say.path = "/.well-known/est/fullcmc".to_owned();
    let heard = world.say(None, say).await;
    world.refused(&heard, 501, ("fullcmc", About::Stranger)).await;

    let mut line = world.dial(None).await;
    let heard = line.get("/.well-known/est/simpleenroll", &[]).await;
    assert_eq!(heard.header("allow"), Some("POST"));
    world.refused(&heard, 405, ("method", About::Stranger)).await;
    let heard = line.get("/.well-known/est/nothing", &[]).await;
    world.refused(&heard, 404, ("path", About::Stranger)).await;
    let heard = line.get("/", &[]).await;
    world.refused(&heard, 404, ("path", About::Stranger)).await;
    world.end().await;
}
