//! Bad input at the device port: each gets the right status, a sentence, a count, and a trace.

use crate::world::pki::{Foreign, Key, Maker, Request, Shows, extension, names, usages};
use crate::world::{About, DAY_S, World, simpleenroll};
use bytes::Bytes;
use const_oid::db::{rfc4519, rfc5280};
use http_body_util::Full;
use identity::text::base64;
use identity::{RuleId, Signer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::name::GeneralName;

const ENROLL: &str = "/.well-known/est/simpleenroll";

fn post(body: impl Into<Bytes>, headers: &[(&str, &[u8])]) -> hyper::Request<Full<Bytes>> {
    let mut request = hyper::Request::post(ENROLL).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, hyper::header::HeaderValue::from_bytes(value).unwrap());
    }
    request.body(Full::new(body.into())).unwrap()
}

const PKCS10: (&str, &[u8]) = ("content-type", b"application/pkcs10");

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_each_by_its_name() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let csr = Key::new().csr("");
    let half = base64(csr.get(..csr.len() / 2).unwrap());
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END", base64(&csr));
    let nested = base64(&[[0x30, 0x80].repeat(6000), vec![0; 100]].concat());
    let typed = [PKCS10];
    for (request, status, name) in [
        (post(half, &typed), 400, "csr-der"),
        (post(base64(b"hello"), &typed), 400, "csr-der"),
        (post(nested, &typed), 400, "csr-der"),
        (post(pem, &typed), 400, "body-base64"),
        (post(csr.clone(), &typed), 400, "body-base64"),
        (post("", &typed), 400, "body-empty"),
        (post("A".repeat(30_000), &typed), 413, "body-too-large"),
        (post(base64(&csr), &[]), 415, "content-type"),
        (post(base64(&csr), &[("content-type", b"text/html")]), 415, "content-type"),
        (post(base64(&csr), &[("content-type", b"application/pkcs10\xff")]), 415, "content-type"),
        (post(base64(&csr), &[PKCS10, ("content-encoding", b"gzip")]), 400, "content-encoding"),
        (post(base64(&csr), &[PKCS10, PKCS10]), 400, "content-type-twice"),
    ] {
        let heard = world.dial(Some(&device.birth)).await.send(request).await;
        world.refused(&heard, status, (name, About::Device(&device.id))).await;
    }
    let heard = world.dial(None).await.send(post("\u{1}", &typed)).await;
    world.refused(&heard, 400, ("body-base64", About::Stranger)).await;
    world.end().await;
}

#[tokio::test]
async fn base64_with_line_breaks_and_without_is_a_request() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let text = base64(&key.csr(""));
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
    for body in [lines.join("\r\n"), lines.join("\n") + "\n", text.clone()] {
        world.dial(Some(&device.birth)).await.send(post(body, &[PKCS10])).await.leaf(&key);
    }
    world.end().await;
}

/// What comes back for these octets, sent as they are.
async fn raw(world: &World, shows: Option<&Shows>, octets: &[u8]) -> String {
    let mut stream = world.caller(shows).stream().await.unwrap();
    stream.write_all(octets).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    // A server that hangs up in the midst has said all that it wanted to.
    let _ended = stream.read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn an_announced_length_is_refused_before_it_is_read() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let head = format!("POST {ENROLL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n");
    let heard = raw(
        &world,
        Some(&device.birth),
        format!("{head}Content-Length: 99999999\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(heard.starts_with("HTTP/1.1 413 "), "{heard}");
    assert_eq!(world.last_entry().get("rule").unwrap().as_text(), Some("body-too-large"));
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_not_framed_as_it_says_is_refused_and_told() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let head = format!("POST {ENROLL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n");
    let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n");

    let heard = raw(&world, Some(&device.birth), broken.as_bytes()).await;

    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
    let entry = world.last_entry();
    assert_eq!(entry.get("rule").unwrap().as_text(), Some("body-broken"));
    assert_eq!(entry.get("device").unwrap().as_text(), Some(device.id.as_str()));
    world.end().await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_and_closed_and_the_next_one_is_served() {
    let mut world = World::new().await;
    let many = "x: y\r\n".repeat(100);
    let long = "y".repeat(20_000);
    for (octets, status) in [
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "400"),
        (b"\x16\x03\x01 nonsense\r\n\r\n".to_vec(), "400"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
                .to_vec(),
            "400",
        ),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").into_bytes(), "431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nlong: {long}\r\n\r\n").into_bytes(), "431"),
    ] {
        let heard = raw(&world, None, &octets).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
    }
    let cut = format!("POST {ENROLL} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    raw(&world, None, cut.as_bytes()).await;
    world.enrolled("pump-7").await;
    world.end().await;
}

/// A SubjectPublicKeyInfo of RSA with a modulus of 1024 bits.
fn rsa_1024() -> Vec<u8> {
    let hex = "30819f300d06092a864886f70d010101050003818d0030818902818100";
    let mut spki = identity::text::from_hex(hex).unwrap();
    spki.extend([0xc1; 128]);
    spki.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    spki
}

#[tokio::test]
async fn keys_that_are_weak_or_none_are_refused() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (key, other) = (Key::new(), Key::new());
    let good = key.signer().public().spki().to_vec();
    let mut off_curve = good.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let mut p521 = good.clone();
    // secp256r1 is 1.2.840.10045.3.1.7; its last arc but one makes another curve.
    let at = p521.windows(3).position(|w| w == [3, 1, 7]).unwrap();
    p521[at + 2] = 1;
    for (spki, name) in [
        (rsa_1024(), "key-rsa-bits"),
        (off_curve, "key-invalid"),
        (p521, "key-curve"),
        (other.signer().public().spki().to_vec(), "csr-signature"),
    ] {
        let csr = Request::default().with_key(&spki, &key);
        let heard = world.say(Some(&device.birth), simpleenroll(&csr)).await;
        world.refused(&heard, 400, (name, About::Device(&device.id))).await;
    }
    world.end().await;
}

#[tokio::test]
async fn names_and_extensions_that_a_request_asks_for_are_ignored() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let dns = GeneralName::DnsName(der::asn1::Ia5String::new("bank.example").unwrap());
    let authority = BasicConstraints { ca: true, path_len_constraint: None };
    let csr = Request {
        subject: &[(rfc4519::CN, "root"), (rfc4519::O, "Somebody Else")],
        extensions: vec![
            names(vec![dns]),
            usages(&[rfc5280::ID_KP_SERVER_AUTH]),
            extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &authority),
        ],
        challenge: None,
    }
    .signed(&key);

    let leaf = world.say(Some(&device.birth), simpleenroll(&csr)).await.leaf(&key);

    let certificate = leaf.certificate();
    assert_eq!(certificate.common_name(), Some(device.id.clone()));
    assert!(!certificate.subject().to_string().contains("Somebody"));
    assert_eq!(certificate.alternative_names().len(), 1);
    assert_eq!(certificate.authority(), None);
    assert!(!certificate.usages().unwrap().contains(&rfc5280::ID_KP_SERVER_AUTH));
    world.end().await;
}

#[tokio::test]
async fn a_makers_certificate_counts_within_its_dates_and_its_usages() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let now = world.now();
    let of = |from, to, extensions| {
        let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
        maker.unit_from(&Foreign { subject: &subject, from, to, extensions })
    };
    let (before, after) = (now.minus_secs(DAY_S), now.plus_secs(DAY_S));
    let authority = BasicConstraints { ca: true, path_len_constraint: None };
    for (unit, rule) in [
        (of(before, now.minus_secs(60), vec![]), RuleId::EXPIRED),
        (of(now.plus_secs(60), after, vec![]), RuleId::NOT_YET_VALID),
        (of(before, after, vec![usages(&[rfc5280::ID_KP_SERVER_AUTH])]), RuleId::WRONG_USAGE),
        (
            of(before, after, vec![extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &authority)]),
            RuleId::WRONG_USAGE,
        ),
    ] {
        let heard = world.join(&unit, &Key::new()).await;
        world.denied(&heard, &rule, About::Stranger).await;
    }
    let critical = x509_cert::ext::Extension {
        critical: true,
        ..extension(const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.7"), true, &7u8)
    };
    let heard = world.join(&of(before, after, vec![critical]), &Key::new()).await;
    world.refused(&heard, 400, ("critical-extension", About::Stranger)).await;
    let key = Key::new();
    world
        .join(&of(before, after, vec![usages(&[rfc5280::ID_KP_CLIENT_AUTH])]), &key)
        .await
        .leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_device_of_another_home_is_a_stranger() {
    let mut world = World::new().await;
    let mut other = World::new().await;
    let (device, leaf) = other.enrolled("pump-7").await;

    for shown in [&device.birth, &leaf] {
        let heard = world.join(shown, &Key::new()).await;
        world.denied(&heard, &RuleId::UNKNOWN_ISSUER, About::Stranger).await;
    }
    world.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_certificate_that_claims_to_be_ours_and_is_not_is_a_strangers() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let subject = [(rfc4519::CN, device.id.as_str())];
    let foreign = Foreign {
        subject: &subject,
        from: world.now().minus_secs(60),
        to: world.now().plus_secs(DAY_S),
        extensions: vec![],
    };
    let forged = Shows::new(foreign.signed(&key, None), &key);

    let heard = world.join(&forged, &Key::new()).await;

    world.denied(&heard, &RuleId::UNKNOWN_ISSUER, About::Stranger).await;
    world.end().await;
}

/// A certificate for `device` that names a client, from an authority whose key was stolen.
fn minted(world: &World, role: &str, device: &str) -> Shows {
    let by = world.stolen_authority(role);
    let (key, subject) = (Key::new(), [(rfc4519::CN, device)]);
    let urn = der::asn1::Ia5String::new(&format!("urn:uuid:{device}")).unwrap();
    let san = names(vec![GeneralName::UniformResourceIdentifier(urn)]);
    let (from, to) = (world.now().minus_secs(60), world.now().plus_secs(DAY_S));
    let foreign = Foreign { subject: &subject, from, to, extensions: vec![san] };
    Shows::new(foreign.signed_as(&[0x41; 16], &key, Some(&by)), &key)
}

#[tokio::test]
async fn what_our_own_key_signed_behind_the_registry_is_unknown() {
    let mut world = World::new().await;
    let (device, _) = world.enrolled("pump-7").await;
    for role in ["birth", "operations"] {
        let heard = world.join(&minted(&world, role, &device.id), &Key::new()).await;
        world.denied(&heard, &RuleId::UNKNOWN_CERTIFICATE, About::Device(&device.id)).await;
    }
    world.end().await;
}

#[tokio::test]
async fn what_the_service_authority_signed_is_no_devices() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let heard = world.join(&minted(&world, "service", &device.id), &Key::new()).await;
    world.denied(&heard, &RuleId::WRONG_USAGE, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn when_the_clock_goes_backwards_a_leaf_is_not_valid_yet_and_the_ledger_holds() {
    let mut world = World::new().await;
    world.later(10 * DAY_S);
    let (device, leaf) = world.enrolled("pump-7").await;
    let token = world.token(json!({"uses": 5})).await;

    world.earlier(9 * DAY_S);
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::NOT_YET_VALID, About::Device(&device.id)).await;
    let key = Key::new();
    world.join_by(&token, &key, "t-1").await.leaf(&key);

    world.later(9 * DAY_S);
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_made_up_certificate_does_not_use_a_leaf_that_its_key_was_not_made_for() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.contact(&leaf).await;
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);
    let subject = [(rfc4519::CN, device.id.as_str())];
    let now = world.now();
    let foreign =
        Foreign { subject: &subject, from: now, to: now.plus_secs(DAY_S), extensions: vec![] };
    let serial = next.certificate().serial().unwrap();
    let forged = Shows::new(foreign.signed_as(serial.octets(), &leaf.key, None), &leaf.key);

    world.contact(&forged).await;

    let certificates = world.get(&format!("/api/v1/devices/{}/certificates", device.id)).await;
    let of_next = certificates["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["serial"] == serial.to_string());
    assert_eq!(of_next.unwrap()["used"], json!(null), "nobody has proved the new key");
    world.end().await;
}
