//! Whom the agent believes: the pinned root from the first contact on, its successor once the old
//! one leads to it, and nobody whom a server merely names.

use super::Unit;
use crate::world::pki::{Foreign, Key, Maker, Shows, extension, names};
use crate::world::{DAY_S, World};
use crate::{roll, root};
use agent::Trouble;
use agent::plan::Step;
use agent::store::Store;
use const_oid::db::{rfc4519, rfc5280};
use der::asn1::Ia5String;
use enroll::est::client::{followed, successor};
use enroll::est::wire::{CERTS_ONLY, certs_only, write_body};
use hyper::Method;
use identity::certificate::pem;
use identity::{Certificate, UnixTime};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::name::GeneralName;

impl Unit {
    /// With a token and no root: it believes the first one that it meets.
    pub(super) async fn trusting_first(world: &mut World) -> Self {
        let token = world.token(json!({"uses": 1})).await;
        let more = "token = \"token\"\ntrust_first = true\nserial = \"old-1\"";
        let unit = Self::with(world, more);
        unit.vouch(&token);
        unit
    }

    /// Whom it believes.
    fn anchors(&self) -> Vec<Certificate> {
        Store::at(&self.state()).anchors().unwrap()
    }

    /// Those that programs find in a file of the set in use.
    fn current(&self, name: &str) -> Vec<Certificate> {
        let text = fs::read_to_string(self.state().join("current").join(name)).unwrap();
        Certificate::parse_pem(&text, 8).unwrap()
    }

    /// From now on it calls another port.
    fn call(&self, world: &World, port: u16) {
        let path = self.path("muster-agent.toml");
        let text = fs::read_to_string(&path).unwrap();
        let before = world.running().ports().device.unwrap().to_string();
        fs::write(path, text.replace(&before, &port.to_string())).unwrap();
    }
}

fn same(found: &[Certificate], wanted: &[&Certificate]) -> bool {
    found.iter().map(Certificate::der).eq(wanted.iter().map(|c| c.der()))
}

/// A self-made authority, signed by itself or by another.
fn authority(name: &str, key: &Key, by: Option<&Shows>, days: (u64, u64)) -> Certificate {
    with_path(None, name, (key, by), days)
}

/// The same, with so many authorities below it at most.
fn with_path(
    path_len_constraint: Option<u8>,
    name: &str,
    (key, by): (&Key, Option<&Shows>),
    (from, to): (u64, u64),
) -> Certificate {
    let constraints = BasicConstraints { ca: true, path_len_constraint };
    let extensions = vec![extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &constraints)];
    let (from, to) = (UnixTime::from_secs(from), UnixTime::from_secs(to));
    Foreign { subject: &[(rfc4519::CN, name)], from, to, extensions }.signed(key, by)
}

#[tokio::test]
async fn only_a_server_under_the_pinned_root_is_asked_for_anything() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let other = Unit::with(&world, &format!("root_pin = \"{}\"", "ab".repeat(32)));
    other.give(&device.birth);
    let trouble = other.insist(Step::Join).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");

    // Another realm's root, whole: its pin cannot lead to our server either.
    let foreign = Unit::with(&world, "");
    foreign.give(&device.birth);
    let maker = Maker::new("ACME", world.now());
    fs::write(foreign.path("root.pem"), maker.root.certificate().pem()).unwrap();
    let trouble = foreign.insist(Step::Join).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");

    let unpinned = Unit::with(&world, "");
    unpinned.give(&device.birth);
    let trouble = unpinned.insist(Step::Join).await.unwrap_err();
    assert_eq!(trouble.exit_code(), 2, "{trouble}");
    assert_eq!(world.device(&device.id).await["standing"], "born");
    world.end().await;
}

#[tokio::test]
async fn a_token_may_trust_the_first_root_where_somebody_says_so_and_holds_to_it() {
    let mut world = World::new().await;
    let unit = Unit::trusting_first(&mut world).await;

    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    let kept = fs::read_to_string(unit.state().join("anchors.pem")).unwrap();
    assert_eq!(kept, format!("# root_pin none\n{}", world.root().pem()));

    // Who is told the pin later finds the root anew, and one that has another is believed no more.
    let toml = fs::read_to_string(unit.path("muster-agent.toml")).unwrap();
    fs::write(
        unit.path("muster-agent.toml"),
        format!("root_pin = \"{}\"\n{toml}", "ab".repeat(32)),
    )
    .unwrap();
    let trouble = unit.insist(Step::Renew).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");

    // Without a token there is nothing that the trust would be for.
    let device = world.born("pump-7").await;
    let born = Unit::with(&world, "trust_first = true");
    born.give(&device.birth);
    let trouble = born.insist(Step::Join).await.unwrap_err();
    assert_eq!(trouble.exit_code(), 2, "{trouble}");
    world.end().await;
}

#[tokio::test]
async fn leaves_move_over_to_the_next_operations_authority_and_the_old_one_may_retire() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let old = roll::active(&mut world, "operations").await;
    assert_eq!(roll::ids(&unit.current("chain.pem")), [old.as_str()]);

    let new = roll::roll(&mut world, "operations", json!({"overlap_s": 30 * DAY_S})).await;
    world.later(16 * DAY_S);
    unit.settle().await;

    assert_eq!(roll::ids(&unit.current("chain.pem")), [new]);
    unit.leaf().signed_by(&unit.current("chain.pem")[0]).unwrap();
    world.later(15 * DAY_S);
    world.running().settle_authorities().await;
    assert_eq!(roll::standing(&mut world, &old).await["state"], "retired");
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    assert!(same(&unit.anchors(), &[world.root()]));
    world.end().await;
}

#[tokio::test]
async fn a_new_root_is_believed_once_the_old_one_leads_to_it_and_alone_when_that_has_retired() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (unit, asleep) = (Unit::born(&world, &device, ""), world.born("pump-8").await);
    let asleep = Unit::born(&world, &asleep, "");
    unit.settle().await;
    asleep.settle().await;
    let old = world.root().clone();
    let old_id = roll::active(&mut world, "root").await;
    let key = world.root_key();
    let (made, new_key) = root::next_root(&mut world, &key).await;
    let said = root::bundle(&world, &made, &new_key);
    world.post(root::ROOT, said).await;

    unit.insist(Step::Renew).await.unwrap();

    assert!(same(&unit.anchors(), &[&made.root, &old]), "both, the newest first");
    assert!(same(&unit.current("root.pem"), &[&made.root, &old]), "and programs as well");

    let path = format!("/api/v1/authorities/{old_id}");
    let admin = world.admin();
    let retired = Some(json!({"state": "retired"}));
    let heard = world.ask_as(&admin, Method::PATCH, &path, retired).await;
    assert_eq!(heard.status(), 200, "{}", heard.text());
    world.believe(&made.root);
    assert!(!root::reaches(&world, &old).await, "only the new chain is shown");
    unit.insist(Step::Renew).await.unwrap();
    assert!(same(&unit.anchors(), &[&made.root]));
    assert!(same(&unit.current("root.pem"), &[&made.root]));
    unit.current("chain.pem")[0].signed_by(&made.root).unwrap();

    // What is lost of the last tries says nothing of another root, though the configuration names
    // the old one by its pin.
    for lost in ["", "\0", "{}"] {
        fs::write(unit.state().join("memo.json"), lost).unwrap();
        unit.insist(Step::Renew).await.unwrap();
        assert!(same(&unit.anchors(), &[&made.root]));
    }
    // Nor does a list of an agent that did not write its pin beside it.
    let anchors = unit.state().join("anchors.pem");
    for pin in ["", "# root\n"] {
        fs::write(&anchors, format!("{pin}{}", made.root.pem())).unwrap();
        unit.insist(Step::Renew).await.unwrap();
        assert!(same(&unit.anchors(), &[&made.root]));
    }

    // Who slept meanwhile is led by nobody: it believes no stranger, and keeps what it has.
    let leaf = asleep.leaf();
    let trouble = asleep.insist(Step::Renew).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");
    assert!(same(&asleep.anchors(), &[&old]));
    assert_eq!(asleep.leaf().der(), leaf.der());
    world.end().await;
}

/// A server with a certificate of the realm's, as whoever stole the service authority has it. It
/// tells what it wants, and answers each request for a leaf with this one.
fn impostor(world: &World, told: &[&Certificate], leaf: &Certificate) -> u16 {
    let service = world.stolen_authority("service");
    let key = Key::new();
    let localhost = names(vec![GeneralName::DnsName(Ia5String::new("localhost").unwrap())]);
    let (from, to) = (world.now().minus_secs(DAY_S), world.now().plus_secs(DAY_S));
    let subject = [(rfc4519::CN, "localhost")];
    let own = Foreign { subject: &subject, from, to, extensions: vec![localhost] };
    let own = own.signed(&key, Some(&service));
    let chain = [&own, service.certificate()].map(|c| CertificateDer::from(c.der().to_vec()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.to_vec(), key)
        .unwrap();
    let config = Arc::new(config);
    let [told, leaf] = [told, &[leaf]].map(|c| write_body(&certs_only::write(c).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(session, tcp.unwrap());
            while let Some(head) = hear(&mut tls) {
                let body = if head.starts_with("GET") { &told } else { &leaf };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {CERTS_ONLY}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let said = [head.as_bytes(), body].concat();
                if tls.write_all(&said).and_then(|()| tls.flush()).is_err() {
                    break;
                }
            }
        }
    });
    port
}

/// The head of a request, whose body is read and forgotten.
fn hear(from: &mut impl Read) -> Option<String> {
    let (mut head, mut octet) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut octet).ok()?;
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
    from.read_exact(&mut body).ok()?;
    Some(head)
}

#[tokio::test]
async fn a_forged_root_that_the_old_one_did_not_sign_is_not_believed_whoever_tells_it() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let (old, before) = (world.root().clone(), unit.leaf());
    let days = (world.now().secs(), world.now().secs() + 9 * DAY_S);
    assert!(old.not_before().secs() < days.0, "what is older than the root would not be followed");
    let (forged_key, middle_key) = (Key::new(), Key::new());
    let forged = authority("forged root", &forged_key, None, days);
    // It has the old one's name as its issuer, and not its signature.
    let posing = Shows::new(old.clone(), &forged_key);
    let cross = authority("forged root", &forged_key, Some(&posing), days);
    let signer = Shows::new(forged.clone(), &forged_key);
    let middle = authority("forged operations", &middle_key, Some(&signer), days);
    let middle = Shows::new(middle, &middle_key);
    let operations = world.stolen_authority("operations");
    // Whoever stole an authority's key: the root has signed that key, and not as a root's.
    let stolen = ["operations", "birth", "service"].map(|role| world.stolen_authority(role));
    let own = stolen.each_ref().map(|by| {
        let name = by.certificate().common_name().unwrap();
        let own = authority(&name, &by.key, None, days);
        assert_eq!(own.subject(), by.certificate().subject());
        own
    });
    let mut told = vec![&old, &forged, &cross, middle.certificate()];
    told.extend(stolen.iter().map(Shows::certificate).chain(&own));
    let (from, to) = (UnixTime::from_secs(days.0), UnixTime::from_secs(days.1));
    let subject = [(rfc4519::CN, "pump")];

    for (by, is_taken) in [(&middle, false), (&operations, true)] {
        // The agent goes on with a key of which the impostor has a certificate ready.
        let key = Key::new();
        let store = Store::lock(&unit.state()).unwrap();
        store.put_pending(pem("PRIVATE KEY", key.pkcs8()).as_bytes()).unwrap();
        drop(store);
        let leaf = Foreign { subject: &subject, from, to, extensions: Vec::new() };
        let leaf = leaf.signed(&key, Some(by));
        let port = impostor(&world, &told, &leaf);
        unit.call(&world, port);

        let got = unit.insist(Step::Renew).await;

        assert!(same(&unit.anchors(), &[&old]), "the forged root is nobody's");
        assert!(same(&unit.current("root.pem"), &[&old]));
        if is_taken {
            // What a stolen authority signs is good until it is barred; it leads to no root.
            assert_eq!(unit.leaf().der(), leaf.der(), "{got:?}");
        } else {
            assert!(matches!(got, Err(Trouble::Untrusted(_))), "{got:?}");
            assert_eq!(unit.leaf().der(), before.der());
        }
        let text = fs::read_to_string(unit.path("muster-agent.toml")).unwrap();
        let real = world.running().ports().device.unwrap();
        let text = text.replace(&port.to_string(), &real.to_string());
        fs::write(unit.path("muster-agent.toml"), text).unwrap();
    }
    world.end().await;
}

#[test]
fn an_authority_below_leads_to_no_root_whatever_its_key_signs() {
    let [root_key, key] = [Key::new(), Key::new()];
    let root = Shows::new(authority("root", &root_key, None, (100, 900)), &root_key);
    let old = root.certificate().clone();
    let follows = |told: &[&Certificate]| {
        let told: Vec<_> = told.iter().map(|c| (*c).clone()).collect();
        let now = UnixTime::from_secs(400);
        assert_eq!(
            successor(&old, &told, now).is_some(),
            followed(std::slice::from_ref(&old), &told, now).len() == 2,
            "operators and devices believe the same"
        );
        successor(&old, &told, now).is_some()
    };
    let below = |path, name| with_path(path, name, (&key, Some(&root)), (200, 900));
    let alone = |path, name| with_path(path, name, (&key, None), (200, 900));

    assert!(follows(&[&old, &below(None, "root"), &alone(None, "root")]));
    assert!(!follows(&[&old, &below(Some(0), "operations"), &alone(None, "operations")]));
    assert!(!follows(&[&old, &below(Some(0), "root"), &alone(None, "root")]), "not as a root");
    assert!(!follows(&[&old, &below(None, "root"), &alone(Some(0), "root")]), "no root itself");
    assert!(!follows(&[&old, &below(None, "other"), &alone(None, "other")]), "another name");
}

#[test]
fn an_older_root_is_not_believed_again_though_the_newer_one_leads_to_it() {
    let [first, second] = [Key::new(), Key::new()];
    let a = authority("root", &first, None, (100, 900));
    let b = Shows::new(authority("root", &second, None, (200, 900)), &second);
    let a_by_b = authority("root", &first, Some(&b), (200, 900));
    let b = b.certificate();
    let shown = [b, &a, &a_by_b].map(Clone::clone);
    let now = UnixTime::from_secs(400);

    assert!(same(&followed(std::slice::from_ref(b), &shown, now), &[b]));
    assert!(same(&followed(&[b.clone(), a.clone()], &shown, now), &[b, &a]), "while it is told");
    assert!(same(&followed(&[b.clone(), a.clone()], &shown[..1], now), &[b]), "and then no more");
}

#[test]
fn roots_are_followed_one_by_one_and_no_newer_one_is_forgotten_for_an_older() {
    let [first, second, third] = [Key::new(), Key::new(), Key::new()];
    let a = Shows::new(authority("root", &first, None, (100, 900)), &first);
    let b = Shows::new(authority("root", &second, None, (200, 900)), &second);
    let c = authority("root", &third, None, (300, 900));
    let b_by_a = authority("root", &second, Some(&a), (200, 500));
    let c_by_b = authority("root", &third, Some(&b), (300, 900));
    let (a, b) = (a.certificate().clone(), b.certificate().clone());
    let shown = [&a, &b, &c, &b_by_a, &c_by_b].map(Clone::clone);
    let at = UnixTime::from_secs;
    let from_a = |told: &[Certificate], now| followed(std::slice::from_ref(&a), told, at(now));

    assert!(same(&from_a(&shown, 400), &[&c, &b, &a]), "also who slept through two of them");
    assert!(same(&from_a(&shown, 600), &[&a]), "a link has an end");
    assert!(same(&from_a(&shown, 250), &[&b, &a]), "and a root a beginning");
    assert!(same(&from_a(&shown[1..], 400), &[&c, &b]), "one that is told no longer goes");
    assert!(same(&from_a(&[c.clone(), c_by_b.clone()], 400), &[&a]), "a missing link");
    assert!(same(&from_a(&[], 400), &[&a]), "nothing told is nothing learned");
    // Who poses as a server of the old root cannot take the new one away.
    let both = [b.clone(), a.clone()];
    assert!(same(&followed(&both, std::slice::from_ref(&a), at(400)), &[&b, &a]));
}
