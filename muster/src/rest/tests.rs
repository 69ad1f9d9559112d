//! The client against a server of its own, over real TLS on loopback.

use super::*;
use api::{BirthBatch, BirthOutcome, BirthResult, BirthResults};
use ca::authority::{self, Order, ServerName};
use ca::{Addresses, Issuer};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use identity::authority::Role;
use identity::{Certificate, Csr, KeyKind, Outside, RealmName, Signer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use server::clock;
use server::keys::NewKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// What the server does with one request; `None` closes the connection without an answer.
type Answerer = dyn Fn(&Told) -> Option<(u16, String)> + Send + Sync;

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its number on this server, from 0.
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Bytes,
}

/// A server, and the credential for it.
pub(crate) struct Peer {
    pub(crate) file: OperatorFile,
    pub(crate) told: Arc<Mutex<Vec<Told>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

struct Pki {
    root: Certificate,
    chain: Vec<Certificate>,
    key: NewKey,
}

fn pki() -> Pki {
    pki_of(clock::now())
}

/// All of whose certificates were made at that moment.
fn pki_of(then: identity::UnixTime) -> Pki {
    let [root_key, service_key, key] = [0; 3].map(|_| NewKey::make(KeyKind::P256).unwrap());
    let signer = root_key.signer().unwrap();
    let service = service_key.signer().unwrap();
    let addresses = Addresses { public_url: None, realm: RealmName::default_realm() };
    let outside = &mut Outside { now: then, dice: &mut clock::SystemDice };
    let root = authority::root("root", &signer, outside).unwrap();
    let csr = Csr::parse(&authority::request("service", &service).unwrap()).unwrap();
    let order = Order { csr: &csr, role: Role::Service, addresses: &addresses };
    let issued = authority::sign(&root, &signer, order, outside).unwrap();
    let issuer = Issuer::new(issued.clone(), Arc::new(service), addresses.clone(), 1).unwrap();
    let names = [ServerName::Dns("localhost".to_owned())];
    let public = key.signer().unwrap().public().clone();
    let leaf = authority::server(&issuer, &public, &names, outside).unwrap();
    Pki { root, chain: vec![leaf, issued], key }
}

impl Peer {
    /// A server that answers as `answer` says.
    pub(crate) async fn start(
        answer: impl Fn(&Told) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(pki(), answer)
    }

    fn start_with(
        pki: Pki,
        answer: impl Fn(&Told) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Self {
        let Pki { root, chain, key } = pki;
        let chain = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
        let key = PrivatePkcs8KeyDer::from(key.dangerous_pkcs8().to_vec());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (log, count) = (Arc::clone(&told), Arc::clone(&connections));
        tokio::spawn(listen(listener, acceptor, Arc::new(answer), log, count));
        let file = OperatorFile {
            url: format!("https://localhost:{port}"),
            root,
            server_root: None,
            token: Zeroizing::new("id.secret".to_owned()),
            realm: "default".to_owned(),
        };
        Self { file, told, connections }
    }

    pub(crate) fn rest(&self) -> Rest {
        Rest::new(&self.file).unwrap()
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: Arc<Answerer>,
    told: Arc<Mutex<Vec<Told>>>,
    connections: Arc<AtomicUsize>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (answer, told) = (Arc::clone(&answer), Arc::clone(&told));
        let Ok(tls) = acceptor.accept(tcp).await else { continue };
        connections.fetch_add(1, Ordering::Relaxed);
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, told) = (Arc::clone(&answer), Arc::clone(&told));
            async move { respond(request, &*answer, &told).await }
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(tls), service));
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: &Answerer,
    told: &Mutex<Vec<Told>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let key = request.headers().get("idempotency-key").map(|k| k.to_str().unwrap().to_owned());
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let one = {
        let mut told = told.lock().unwrap();
        let one = Told { number: told.len(), path, key, body };
        told.push(one.clone());
        one
    };
    let (status, text) = answer(&one).ok_or_else(|| std::io::Error::other("pulled plug"))?;
    let response = Response::builder().status(status).header("retry-after", "0");
    Ok(response.body(Full::new(Bytes::from(text))).unwrap())
}

/// Answers a batch as the server would; serial numbers that begin with `no` are refused.
pub(crate) fn born(told: &Told) -> String {
    let batch: BirthBatch = serde_json::from_slice(&told.body).unwrap();
    let results = batch.births.iter().zip(0..).map(|(birth, index)| {
        let refused = birth.serial.starts_with("no");
        BirthResult {
            index,
            outcome: if refused { BirthOutcome::Refused } else { BirthOutcome::Issued },
            device: None,
            certificate: (!refused).then(|| format!("chain of {}\n", birth.serial)),
            certificate_serial: None,
            rule: refused.then(|| "no".to_owned()),
            reason: refused.then(|| "said no".to_owned()),
        }
    });
    serde_json::to_string(&BirthResults { results: results.collect() }).unwrap()
}

#[tokio::test]
async fn the_client_believes_its_own_root_and_no_other() {
    let peer = Peer::start(|_| Some((200, "7".to_owned()))).await;
    assert_eq!(peer.rest().get::<u32>("/x").await.unwrap(), 7);

    let theirs = peer.file.root.clone();
    let stranger = OperatorFile { root: pki().root, ..peer.file };
    let refused = Rest::new(&stranger).unwrap().get::<u32>("/x").await.unwrap_err();
    assert!(refused.what().contains("is not the server"), "{}", refused.what());

    let with_own = OperatorFile { server_root: Some(theirs), ..stranger };
    let rest = Rest::new(&with_own).unwrap();
    assert_eq!(rest.get::<u32>("/x").await.unwrap(), 7, "the port's own root is believed");
    assert_eq!(rest.root_pin, with_own.root_pin(), "and units still get the realm's");

    let url = with_own.url.replace("localhost", "127.0.0.1");
    let misnamed = OperatorFile { url, ..with_own };
    assert!(Rest::new(&misnamed).unwrap().get::<u32>("/x").await.is_err());
}

#[tokio::test]
async fn requests_in_a_row_share_one_connection() {
    let peer = Peer::start(|_| Some((200, "null".to_owned()))).await;
    let rest = peer.rest();
    for _ in 0..5 {
        rest.get::<()>("/x").await.unwrap();
    }
    assert_eq!(peer.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_name() {
    let peer = Peer::start(|told| match told.number {
        0 => None,
        1 => Some((503, String::new())),
        _ => Some((200, "null".to_owned())),
    })
    .await;
    peer.rest().post::<_, ()>("/x", "body").await.unwrap();

    let told = peer.told();
    assert_eq!(told.len(), 3);
    assert!(told[0].key.is_some() && told.iter().all(|t| t.key == told[0].key));
    assert!(told.iter().all(|t| t.path == "/x" && t.body == told[0].body));
}

#[tokio::test]
async fn who_is_told_when_to_come_again_comes_again() {
    let peer = Peer::start(|told| match told.number {
        0 => None,
        // The first one, whose answer was lost, is still under way.
        1 => Some((409, String::new())),
        _ => Some((200, "null".to_owned())),
    })
    .await;
    peer.rest().post::<_, ()>("/x", "body").await.unwrap();
    assert_eq!(peer.told().len(), 3);

    let call = Call::new(Method::PUT, "/x").keyed();
    peer.rest().send(call).await.unwrap();
    assert!(peer.told()[3].key.is_some());
}

#[test]
fn only_the_waits_use_up_the_patience_and_not_what_the_requests_take() {
    let waits = |asked_s: Option<u64>| {
        let (mut patience, asked) = (Patience::default(), asked_s.map(Duration::from_secs));
        std::iter::from_fn(|| patience.wait(asked)).collect::<Vec<_>>()
    };
    assert_eq!(waits(Some(5)), [Duration::from_secs(5); 4]);
    assert_eq!(waits(Some(21)), []);
    assert_eq!(waits(Some(u64::MAX)), []);
    let doubled = |tries: u32| (1..=tries).map(|n| RETRY_WAIT * 2_u32.pow(n)).collect::<Vec<_>>();
    assert_eq!(waits(Some(0)), doubled(6));
    assert_eq!(waits(None), doubled(TRIES - 1));
}

#[tokio::test]
async fn a_refusal_is_told_once_and_not_repeated() {
    let problem = r#"{"type":"t","title":"no","status":403,"detail":"a viewer may not",
        "instance":"/x","rule":"role","next":"ask an admin"}"#;
    let peer = Peer::start(move |_| Some((403, problem.to_owned()))).await;
    let refused = peer.rest().delete("/x").await.unwrap_err();
    assert_eq!(refused.what(), "a viewer may not");
    assert!(refused.is_forbidden());
    assert_eq!(peer.told().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_told_at_once() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let peer = Peer::start(|_| None).await;
    let file = OperatorFile { url: format!("https://localhost:{port}"), ..peer.file };
    let refused = Rest::new(&file).unwrap().get::<()>("/x").await.unwrap_err();
    assert!(refused.what().contains("cannot reach"), "{}", refused.what());
}

#[tokio::test]
async fn a_wrong_clock_is_named_and_not_taken_for_a_wrong_server() {
    let (now, year_s) = (clock::now(), 400 * 86_400);
    let past = identity::UnixTime::from_secs(now.secs() - year_s);
    for (then, why) in [(past, "ended at"), (now.plus_secs(year_s), "is good from")] {
        let peer = Peer::start_with(pki_of(then), |_| Some((200, "7".to_owned())));
        let refused = peer.rest().get::<u32>("/x").await.unwrap_err();
        assert!(refused.what().contains(why), "{}", refused.what());
        assert!(refused.what().contains("the clock of this machine says"), "{}", refused.what());
    }
}

#[tokio::test]
async fn who_is_cut_off_in_the_handshake_hears_of_balancers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            drop(tcp);
        }
    });
    let peer = Peer::start(|_| None).await;
    let file = OperatorFile { url: format!("https://localhost:{port}"), ..peer.file };
    let refused = Rest::new(&file).unwrap().get::<()>("/x").await.unwrap_err();
    assert!(format!("{refused:?}").contains("[proxy] from"), "{refused:?}");
}

#[tokio::test]
async fn the_credential_in_the_home_reaches_a_server_that_listens_on_one_address_only() {
    let home = tempfile::tempdir().unwrap();
    let places = ["device", "operator", "public"].map(|port| format!("{port} = \"127.0.0.2:0\"\n"));
    std::fs::write(home.path().join("muster.toml"), format!("[listen]\n{}", places.concat()))
        .unwrap();
    let options = server::ServeOptions { home: home.path().to_owned(), ..Default::default() };
    let running = server::start(options).await.unwrap();

    let file = OperatorFile::find(None, home.path()).unwrap();
    assert!(file.url.starts_with("https://127.0.0.2:"), "{}", file.url);
    let realm: api::RealmView = Rest::new(&file).unwrap().get(api::path::REALM).await.unwrap();
    assert_eq!(realm.name, file.realm);

    let devices = format!("https://127.0.0.2:{}", running.ports().device.unwrap());
    let elsewhere = Rest::new(&OperatorFile { url: devices, ..file }).unwrap();
    let refused = elsewhere.get::<api::RealmView>(api::path::REALM).await.unwrap_err();
    assert!(refused.what().contains("is not the server"), "devices are not told that address");
    running.stop().await;
}

#[test]
fn a_new_credential_may_name_the_server_as_its_holder_reaches_it() {
    let made = "[0-9].[0-9]";
    let pki = pki();
    let mine = OperatorFile {
        url: "https://localhost:9443".to_owned(),
        root: pki.root,
        server_root: None,
        token: Zeroizing::new("id.secret".to_owned()),
        realm: "default".to_owned(),
    };
    let as_mine = mine.for_holder(None, made).unwrap();
    assert_eq!((as_mine.url.as_str(), as_mine.token.as_str()), ("https://localhost:9443", made));
    let named = mine.for_holder(Some("https://muster.example:9443"), made).unwrap();
    assert_eq!(named.url, "https://muster.example:9443");
    for wrong in ["http://muster.example", "muster.example", "https://a\"b"] {
        assert!(mine.for_holder(Some(wrong), made).is_err(), "{wrong}");
    }
}
