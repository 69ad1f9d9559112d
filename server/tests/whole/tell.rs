//! Receivers of events: what they are told, in which order, and what becomes of what they do not
//! take.

use crate::world::World;
use crate::world::pki::{Foreign, Key, Shows, names, usages};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use identity::UnixTime;
use identity::text::{base64, from_base64};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use x509_cert::ext::pkix::name::GeneralName;

/// Nothing that is told takes so long; a test that waits in vain says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook somewhere: it answers as it is told to, and hands over what it heard.
struct Receiver {
    url: String,
    heard: UnboundedReceiver<Request<Bytes>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let (sender, heard) = unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let queue = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, queue) = (sender.clone(), queue.clone());
                let service =
                    service_fn(move |request| answer(request, sender.clone(), queue.clone()));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, heard, answers }
    }

    fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    async fn next(&mut self) -> (Request<Bytes>, Value) {
        let request = within(self.heard.recv()).await;
        let body = serde_json::from_slice(request.body()).unwrap();
        (request, body)
    }

    async fn next_verb(&mut self) -> String {
        self.next().await.1["verb"].as_str().unwrap().to_owned()
    }
}

/// What was told, in time.
async fn within<T>(told: impl Future<Output = Option<T>>) -> T {
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Some(told)) => told,
        _ => panic!("nothing was told within {PATIENCE:?}"),
    }
}

async fn answer(
    request: Request<Incoming>,
    sender: UnboundedSender<Request<Bytes>>,
    queue: Arc<Mutex<VecDeque<u16>>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = queue.lock().unwrap().pop_front().unwrap_or(200);
    sender.send(Request::from_parts(head, body)).unwrap();
    Ok(Response::builder().status(status).body(Full::from("as I was told")).unwrap())
}

#[tokio::test]
async fn a_webhook_hears_what_it_wants_in_order_and_signed() {
    let mut world = World::new().await;
    let mut receiver = Receiver::new().await;
    let said = json!({"kind": "webhook", "url": receiver.url, "severity": "warning"});
    let made = world.put("/api/v1/sinks/pager", said).await;
    let secret = made["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
    let secret = from_base64(secret.as_bytes()).unwrap();
    let device = world.born("pump-7").await;

    world.suspend(&device.id).await;
    world.resume(&device.id).await;
    world.retire(&device.id).await;

    let (request, first) = receiver.next().await;
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(first["verb"], "device.suspended");
    assert_eq!(first["payload"]["device"], json!(device.id));
    assert_eq!(header("webhook-id"), format!("msg_default_{}", first["index"]));
    let signed = [
        header("webhook-id").as_bytes(),
        b".",
        header("webhook-timestamp").as_bytes(),
        b".",
        request.body(),
    ]
    .concat();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let mac = aws_lc_rs::hmac::sign(&key, &signed);
    assert_eq!(header("webhook-signature"), format!("v1,{}", base64(mac.as_ref())));
    assert_eq!(receiver.next_verb().await, "device.retired");

    let listed = world.get("/api/v1/sinks").await;
    assert_eq!(listed["items"][0]["name"], "pager");
    assert_eq!(listed["items"][0]["secret"], Value::Null);
    world.end().await;
}

#[tokio::test]
async fn a_receiver_that_is_away_is_told_when_it_is_back_also_after_a_restart() {
    let mut world = World::new().await;
    let mut receiver = Receiver::new().await;
    receiver.will_answer(&[503]);
    let said = json!({"kind": "webhook", "url": receiver.url, "verbs": ["group."],
        "severity": "info"});
    world.put("/api/v1/sinks/lake", said).await;
    let device = world.born("pump-7").await;

    world.put(&format!("/api/v1/devices/{}/groups/north", device.id), json!({})).await;
    let (first, again) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.1, again.1);
    assert_eq!(first.0.headers()["webhook-id"], again.0.headers()["webhook-id"]);

    world.restart().await;
    world.delete(&format!("/api/v1/devices/{}/groups/north", device.id)).await;
    // The one before may come once more, never none.
    let mut verb = receiver.next_verb().await;
    if verb == "group.added" {
        verb = receiver.next_verb().await;
    }
    assert_eq!(verb, "group.removed");
    world.end().await;
}

#[tokio::test]
async fn what_a_receiver_refuses_is_a_dead_letter_and_told_once_more_on_demand() {
    let mut world = World::new().await;
    let mut receiver = Receiver::new().await;
    receiver.will_answer(&[400, 400, 400]);
    let said = json!({"kind": "webhook", "url": receiver.url, "verbs": ["device."]});
    world.put("/api/v1/sinks/pager", said).await;
    let device = world.born("pump-7").await;

    world.suspend(&device.id).await;
    world.resume(&device.id).await;

    for _ in 0..3 {
        assert_eq!(receiver.next_verb().await, "device.suspended");
    }
    assert_eq!(receiver.next_verb().await, "device.resumed");
    let dead = world.get("/api/v1/sinks/pager/dead").await;
    assert_eq!(dead["items"][0]["attempts"], 3);
    // It is spoken to in the clear, on this machine: its words are not for the admin.
    assert_eq!(dead["items"][0]["why"], "400 Bad Request");

    receiver.will_answer(&[500]);
    let told = world.post("/api/v1/sinks/pager/retry", json!({})).await;
    assert_eq!((&told["delivered"], &told["left"]), (&json!(0), &json!(1)));
    let told = world.post("/api/v1/sinks/pager/retry", json!({})).await;
    assert_eq!((&told["delivered"], &told["left"]), (&json!(1), &json!(0)));
    assert_eq!(world.get("/api/v1/sinks/pager/dead").await["items"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn a_receiver_that_exists_is_told_again_from_the_number_that_is_said() {
    let mut world = World::new().await;
    let mut receiver = Receiver::new().await;
    let mut said = json!({"kind": "webhook", "url": receiver.url, "verbs": ["device."]});
    world.put("/api/v1/sinks/lake", said.clone()).await;
    let device = world.born("pump-7").await;
    world.suspend(&device.id).await;
    let (_, first) = receiver.next().await;

    said["from"] = first["index"].clone();
    let made = world.put("/api/v1/sinks/lake", said.clone()).await;
    assert_eq!((&made["sink"]["next"], &made["secret"]), (&first["index"], &Value::Null));
    assert_eq!(receiver.next().await.1, first);

    // Without a number a changed sink goes on.
    said["from"] = Value::Null;
    said["severity"] = json!("info");
    world.put("/api/v1/sinks/lake", said).await;
    world.resume(&device.id).await;
    let mut verb = receiver.next_verb().await;
    if verb == "device.suspended" {
        verb = receiver.next_verb().await;
    }
    assert_eq!(verb, "device.resumed");
    world.end().await;
}

#[tokio::test]
async fn a_receiver_that_cannot_be_told_is_shown_as_ill_and_well_once_it_can() {
    let mut world = World::new().await;
    let mut receiver = Receiver::new().await;
    let sink = registry::Sink {
        name: "lake".to_owned(),
        kind: registry::SinkKind::Webhook,
        url: "none".to_owned(),
        format: registry::SinkFormat::Json,
        least: ledger::Severity::Info,
        verbs: Vec::new(),
        anchors: None,
        secret: [0; 32],
        made: world.now(),
        begins: 0,
        telling: [0; 8],
    };
    world.rule(registry::Change::SinkSet(sink), "sink.set").await;

    let ill = async {
        loop {
            let shown = world.get("/api/v1/sinks/lake").await;
            if let Some(trouble) = shown["trouble"].as_str() {
                return Some(trouble.to_owned());
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(within(ill).await.contains("https://HOST"));

    let said = json!({"kind": "webhook", "url": receiver.url, "severity": "info"});
    world.put("/api/v1/sinks/lake", said).await;
    assert_eq!(receiver.next().await.1["index"], 0);
    world.end().await;
}

#[tokio::test]
async fn a_siem_gets_lines_over_tls_and_nobody_else_does() {
    let mut world = World::new().await;
    let (anchor, mut lines) = siem().await;
    let url = format!("tls://localhost:{}", lines.port);
    let said = json!({"kind": "syslog", "url": url, "format": "cef", "severity": "warning"});
    let mut trusted = said.clone();
    trusted["anchors"] = json!(anchor);
    world.put("/api/v1/sinks/siem", trusted).await;
    // An anchor of somebody else: the receiver cannot be who it says.
    let mut other = said;
    other["anchors"] = json!(siem().await.0);
    world.put("/api/v1/sinks/other", other).await;
    let device = world.born("pump-7").await;

    world.suspend(&device.id).await;

    let line = within(lines.heard.recv()).await;
    assert!(line.starts_with("<108>1 "), "{line}");
    assert!(line.contains("CEF:0|Muster|Muster|"), "{line}");
    assert!(line.contains(&format!("deviceExternalId={}", device.id)), "{line}");
    let told = world.post("/api/v1/sinks/other/test", json!({})).await;
    assert!(told["trouble"].as_str().unwrap().contains("certificate"), "{told}");
    assert!(lines.heard.try_recv().is_err());
    world.end().await;
}

#[tokio::test]
async fn only_an_admin_says_who_is_told_and_nobody_is_told_in_the_clear() {
    let mut world = World::new().await;
    let made = world.post("/api/v1/operators", json!({"name": "bo", "role": "operator"})).await;
    let token = made["token"].as_str().unwrap().to_owned();
    let said = json!({"kind": "webhook", "url": "https://127.0.0.1:9/"});

    let heard = world.ask_as(&token, Method::PUT, "/api/v1/sinks/x", Some(said.clone())).await;
    assert_eq!(heard.status(), 403);

    let admin = world.admin();
    for (url, part) in [("http://siem.example/", "in the clear"), ("siem", "https://HOST")] {
        let mut said = said.clone();
        said["url"] = json!(url);
        let heard = world.ask_as(&admin, Method::PUT, "/api/v1/sinks/x", Some(said)).await;
        assert_eq!(heard.status(), 400);
        assert!(heard.text().contains(part), "{}", heard.text());
    }
    world.put("/api/v1/sinks/x", said).await;
    world.delete("/api/v1/sinks/x").await;
    let heard = world.ask_as(&admin, Method::GET, "/api/v1/sinks/x", None).await;
    assert_eq!(heard.status(), 404);
    world.end().await;
}

#[tokio::test]
async fn what_an_address_holds_behind_its_host_is_for_admins_only() {
    let mut world = World::new().await;
    let url = "https://127.0.0.1:9/services/T0KEN?key=T0KEN";
    let said = json!({"kind": "webhook", "url": url});
    world.put("/api/v1/sinks/x", said).await;
    let made = world.post("/api/v1/operators", json!({"name": "vi", "role": "viewer"})).await;
    let token = made["token"].as_str().unwrap().to_owned();

    for path in ["/api/v1/sinks", "/api/v1/sinks/x", "/api/v1/entries"] {
        let seen = world.ask_as(&token, Method::GET, path, None).await;
        assert_eq!(seen.status(), 200);
        assert!(seen.text().contains("\"https://127.0.0.1:9\""), "{path}: {}", seen.text());
        assert!(!seen.text().contains("T0KEN"), "{path}: {}", seen.text());
    }
    assert_eq!(world.get("/api/v1/sinks/x").await["url"], url);
    world.end().await;
}

/// A syslog receiver behind TLS.
struct Lines {
    port: u16,
    heard: UnboundedReceiver<String>,
}

/// Starts one; its own certificate in PEM, and what it hears.
async fn siem() -> (String, Lines) {
    let key = Key::new();
    let host = GeneralName::DnsName(der::asn1::Ia5String::new("localhost").unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let own = Foreign {
        subject: &[(const_oid::db::rfc4519::CN, "siem")],
        from: UnixTime::from_secs(now - 3600),
        to: UnixTime::from_secs(now + 86_400),
        extensions: vec![names(vec![host]), usages(&[const_oid::db::rfc5280::ID_KP_SERVER_AUTH])],
    };
    let shows = Shows::new(own.signed(&key, None), &key);
    let chain = vec![CertificateDer::from(shows.certificate().der().to_vec())];
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust us ends the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(read_frames(stream, sender.clone()));
            }
        }
    });
    (shows.certificate().pem(), Lines { port, heard })
}

/// Reads counted frames (RFC 5425 §4.3).
async fn read_frames(mut stream: impl AsyncRead + Unpin, sender: UnboundedSender<String>) {
    loop {
        let mut length = 0_usize;
        loop {
            match stream.read_u8().await {
                Ok(b' ') => break,
                Ok(digit) => length = length * 10 + usize::from(digit - b'0'),
                Err(_) => return,
            }
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await.unwrap();
        sender.send(String::from_utf8(frame).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn who_did_what_when_to_which_device_is_found_from_either_end() {
    let mut world = World::new().await;
    let (one, two) = (world.born("pump-7").await, world.born("pump-8").await);
    world.suspend(&one.id).await;
    let before = world.get("/api/v1/entries?limit=1&backwards=true").await;
    world.later(7200);
    world.suspend(&two.id).await;
    world.resume(&one.id).await;

    let mut verbs = async |query: &str| {
        let page = world.get(&format!("/api/v1/entries?{query}")).await;
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|e| e["verb"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_one = verbs(&format!("device={}", one.id)).await;
    assert_eq!(of_one, ["birth.issued", "device.suspended", "device.resumed"]);
    assert_eq!(verbs("device=serial:pump-8&backwards=true&limit=1").await, ["device.suspended"]);
    assert_eq!(verbs("verb=device.&severity=warning").await, ["device.suspended"; 2]);
    assert_eq!(verbs("by=nobody").await, [""; 0]);
    let at = before["items"][0]["at"].as_str().unwrap();
    let later = verbs(&format!("since={at}&verb=device.")).await;
    assert_eq!(later, ["device.suspended", "device.suspended", "device.resumed"]);
    assert_eq!(verbs(&format!("until={at}&verb=device.")).await, [""; 0]);
    let admin = world.admin();
    let heard = world.ask_as(&admin, Method::GET, "/api/v1/entries?since=monday", None).await;
    assert_eq!(heard.status(), 400);
    world.end().await;
}
