use super::*;
use crate::tls::world::{Client, service, stranger};
use http_body_util::Full;
use identity::KeyKind;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::TLS13;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

type Seen = mpsc::UnboundedReceiver<Arc<Connection>>;

struct Server {
    port: u16,
    gate: Gate,
    stopper: Stopper,
    seen: Seen,
    /// Requests wait for a permit before they are answered.
    go: Arc<Semaphore>,
    task: JoinHandle<()>,
}

fn start(limits: Limits, tls: bool, proxies: &[Cidr]) -> Server {
    let (listener, port) = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let (stopper, stop) = Stopper::new();
    let config = tls.then(|| crate::tls::device(service(KeyKind::P256).serve().unwrap()).unwrap());
    let gate = Gate {
        limits,
        tls: config,
        proxies: Proxies::new(proxies.to_vec()),
        strangers: Arc::default(),
        sessions: Arc::default(),
        tally: Arc::default(),
        met: None,
        stop,
    };
    let (tell, seen) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(1000));
    let wait = Arc::clone(&go);
    let answer = move |connection: Arc<Connection>, _request| {
        let wait = Arc::clone(&wait);
        tell.send(connection).unwrap();
        async move {
            wait.acquire().await.unwrap().forget();
            Response::new(Full::new(Bytes::from_static(b"hello")))
        }
    };
    let task = tokio::spawn(serve(listener, gate.clone(), answer));
    Server { port, gate, stopper, seen, go, task }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port)).await.unwrap()
}

/// One answer, up to the end of its body.
async fn hear(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"hello") {
        let mut octet = [0; 512];
        match stream.read(&mut octet).await {
            Ok(0) | Err(_) => break,
            Ok(n) => text.extend_from_slice(&octet[..n]),
        }
    }
    String::from_utf8(text).unwrap()
}

/// Speaks TLS to the end of the handshake.
async fn greet(server: &Server) -> bool {
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: None };
    let connector = TlsConnector::from(Arc::new(client.config()));
    let name = "muster.example".try_into().unwrap();
    connector.connect(name, connect(server).await).await.is_ok()
}

async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) -> bool {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    true
}

#[tokio::test]
async fn a_request_sees_who_is_behind_its_connection() {
    let mut server = start(Limits::DEVICE, true, &[]);
    let shows = stranger(KeyKind::P256);
    let certificate = shows.0.clone();
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: Some(shows) };
    let connector = TlsConnector::from(Arc::new(client.config()));
    let name = "muster.example".try_into().unwrap();
    let mut stream = connector.connect(name, connect(&server).await).await.unwrap();

    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        assert!(hear(&mut stream).await.starts_with("HTTP/1.1 200"));
    }

    let seen = server.seen.recv().await.unwrap();
    assert_eq!(seen.holder.as_ref().unwrap().der(), certificate.der());
    assert_eq!(seen.version, Some(TlsVersion::Tls13));
    let exported =
        stream.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
    assert_eq!(seen.exporter, exported.ok());
    assert!(seen.peer.is_loopback());
    let again = server.seen.recv().await.unwrap();
    assert!(Arc::ptr_eq(&seen, &again));
}

#[tokio::test]
async fn the_rest_of_a_chain_is_read_where_somebody_asks_for_it() {
    let mut server = start(Limits::DEVICE, true, &[]);
    let shows = stranger(KeyKind::P256);
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: Some(shows) };
    let connector = TlsConnector::from(Arc::new(client.config_above(&[&[0x30, 0]])));
    let name = "muster.example".try_into().unwrap();
    let mut stream = connector.connect(name, connect(&server).await).await.unwrap();
    stream.write_all(GET).await.unwrap();

    let seen = server.seen.recv().await.unwrap();

    assert!(seen.holder.is_some());
    assert_eq!(seen.chain().unwrap_err().name, "certificate-der");
}

#[tokio::test]
async fn a_cut_ends_a_connection_in_the_midst_of_a_request() {
    let mut server = start(Limits::PUBLIC, false, &[]);
    server.go.forget_permits(1000);
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    let seen = server.seen.recv().await.unwrap();

    seen.cut();

    assert!(closed(stream).await);
    assert_eq!(server.gate.tally.cut.load(Relaxed), 1);
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_closes_idle_connections() {
    let mut server = start(Limits::PUBLIC, false, &[]);
    let mut idle = connect(&server).await;
    idle.write_all(GET).await.unwrap();
    hear(&mut idle).await;
    server.seen.recv().await.unwrap();
    server.go.forget_permits(1000);
    let mut busy = connect(&server).await;
    busy.write_all(GET).await.unwrap();
    server.seen.recv().await.unwrap();

    server.stopper.stop();

    assert!(closed(idle).await);
    assert!(!server.task.is_finished());
    server.go.add_permits(1);
    let answer = hear(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    server.task.await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
}

#[tokio::test]
async fn a_stop_waits_for_nobody_who_has_not_sent_a_request() {
    let mut server = start(Limits::DEVICE, true, &[]);
    // Silent before the handshake, silent after it, half a header, and half a second header.
    let _unshaken = connect(&server).await;
    let mut lines = Vec::new();
    for said in [&b""[..], b"GET / HT", GET] {
        let client = Client { group: kx_group::X25519, version: &TLS13, shows: None };
        let connector = TlsConnector::from(Arc::new(client.config()));
        let name = "muster.example".try_into().unwrap();
        let mut line = connector.connect(name, connect(&server).await).await.unwrap();
        line.write_all(said).await.unwrap();
        lines.push(line);
    }
    let asked = lines.last_mut().unwrap();
    hear(asked).await;
    server.seen.recv().await.unwrap().prove();
    asked.write_all(b"GET / HT").await.unwrap();

    let at = Instant::now();
    server.stopper.stop();
    server.task.await.unwrap();

    assert!(at.elapsed() < limits::CUT_DRAIN, "{:?}", at.elapsed());
}

#[tokio::test]
async fn a_stop_waits_a_moment_for_a_strangers_body_and_longer_for_a_devices() {
    let mut server = start(Limits::PUBLIC, false, &[]);
    server.go.forget_permits(1000);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = connect(&server).await;
        line.write_all(GET).await.unwrap();
        lines.push((line, server.seen.recv().await.unwrap()));
    }
    let (mut device, known) = lines.pop().unwrap();
    known.prove();

    let at = Instant::now();
    server.stopper.stop();

    let (stranger, _) = lines.pop().unwrap();
    assert!(closed(stranger).await);
    assert!(at.elapsed() < limits::DRAIN / 2, "{:?}", at.elapsed());
    assert!(!server.task.is_finished());
    server.go.add_permits(2);
    assert!(hear(&mut device).await.ends_with("hello"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_and_are_served_when_one_ends() {
    let limits = Limits { connections_max: 1, ..Limits::PUBLIC };
    let mut server = start(limits, false, &[]);
    let mut first = connect(&server).await;
    first.write_all(GET).await.unwrap();
    hear(&mut first).await;
    // Who has proved something gives up its place to nobody.
    server.seen.recv().await.unwrap().prove();
    let mut second = connect(&server).await;
    second.write_all(GET).await.unwrap();
    tokio::task::yield_now().await;
    assert!(server.seen.try_recv().is_err());

    drop(first);

    assert!(hear(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn where_every_place_is_taken_the_oldest_stranger_of_any_address_makes_room() {
    let limits = Limits { connections_max: 2, ..Limits::PUBLIC };
    let mut server = start(limits, false, &[]);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = connect(&server).await;
        line.write_all(GET).await.unwrap();
        hear(&mut line).await;
        lines.push(line);
    }
    server.seen.recv().await.unwrap().prove();

    let mut newest = connect(&server).await;
    newest.write_all(GET).await.unwrap();

    assert!(hear(&mut newest).await.ends_with("hello"));
    let stranger = lines.pop().unwrap();
    assert!(closed(stranger).await);
    let mut proven = lines.pop().unwrap();
    proven.write_all(GET).await.unwrap();
    assert!(hear(&mut proven).await.ends_with("hello"));
    assert_eq!(server.gate.tally.evicted.load(Relaxed), 1);
}

#[tokio::test]
async fn a_stranger_is_sent_away_after_its_time_and_a_proven_one_stays() {
    let lifetime = Duration::from_millis(200);
    let mut server = start(Limits { lifetime, ..Limits::DEVICE }, true, &[]);
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: None };
    let connector = TlsConnector::from(Arc::new(client.config()));
    let mut lines = Vec::new();
    for _ in 0..2 {
        let name = "muster.example".try_into().unwrap();
        let mut line = connector.connect(name, connect(&server).await).await.unwrap();
        line.write_all(GET).await.unwrap();
        hear(&mut line).await;
        lines.push(line);
    }
    server.seen.recv().await.unwrap().prove();

    let stranger = lines.pop().unwrap();
    assert!(closed(stranger).await);

    let mut proven = lines.pop().unwrap();
    proven.write_all(GET).await.unwrap();
    assert!(hear(&mut proven).await.ends_with("hello"));
}

#[tokio::test]
async fn the_oldest_silent_stranger_makes_room_during_its_handshake() {
    let server = start(Limits::DEVICE, true, &[]);
    let mut silent = Vec::new();
    for _ in 0..=limits::STRANGERS_PER_ADDRESS_MAX {
        silent.push(connect(&server).await);
    }
    let oldest = silent.remove(0);
    assert!(closed(oldest).await);
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: None };
    let connector = TlsConnector::from(Arc::new(client.config()));
    let name = "muster.example".try_into().unwrap();
    let mut stream = connector.connect(name, connect(&server).await).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(hear(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_trusted_balancer_speaks_for_others_and_nobody_else_does() {
    let header =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &[192, 0, 2, 7, 1, 1, 1, 1, 0, 1, 0, 2]];
    let net = Cidr::parse("127.0.0.0/8").unwrap();
    let mut trusting = start(Limits::PUBLIC, false, &[net]);
    let mut stream = connect(&trusting).await;
    stream.write_all(&header.concat()).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(hear(&mut stream).await.ends_with("hello"));
    assert_eq!(trusting.seen.recv().await.unwrap().peer.to_string(), "192.0.2.7");

    let mut without = connect(&trusting).await;
    without.write_all(GET).await.unwrap();
    assert_eq!(hear(&mut without).await, "");

    // Whoever is no longer named is believed no longer.
    trusting.gate.proxies.set(Vec::new());
    let mut direct = connect(&trusting).await;
    direct.write_all(GET).await.unwrap();
    assert!(hear(&mut direct).await.ends_with("hello"));

    let wary = start(Limits::PUBLIC, false, &[]);
    let mut stream = connect(&wary).await;
    stream.write_all(&header.concat()).await.unwrap();
    assert!(hear(&mut stream).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_header_has_an_end() {
    let server = start(Limits::PUBLIC, false, &[]);
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(17_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(limits::HEADERS_MAX + 1));
    for refused in [huge, many] {
        let mut stream = connect(&server).await;
        stream.write_all(refused.as_bytes()).await.unwrap();
        let answer = hear(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn accepted_sockets_do_not_wait_to_send() {
    let (listener, port) = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    assert!(accepted.nodelay().unwrap());
}

#[tokio::test]
async fn a_taken_port_is_named_and_the_next_place_is_tried() {
    let (held, port) = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let taken: SocketAddr = ([127, 0, 0, 1], port).into();
    let said = bind(&[taken]).unwrap_err().to_string();
    assert!(said.contains(&taken.to_string()), "{said}");
    let (_second, other) = bind(&[taken, "127.0.0.1:0".parse().unwrap()]).unwrap();
    assert_ne!(other, port);
    drop(held);
}

#[test]
fn connections_leave_descriptors_for_files() {
    assert!(descriptors().unwrap() > 0);
    assert_eq!(Limits::DEVICE.within(1024).connections_max, 512);
    assert_eq!(Limits::OPERATOR.within(1024).connections_max, 128);
    let plenty = Limits::DEVICE.within(1_048_576).connections_max;
    assert_eq!(plenty, limits::DEVICE_CONNECTIONS_MAX);
}

#[tokio::test]
async fn silent_strangers_of_one_address_never_have_every_place() {
    let limits = Limits::OPERATOR.within(64);
    let server = start(limits, true, &[]);
    let mut silent = Vec::new();
    for _ in 0..limits.connections_max {
        silent.push(connect(&server).await);
    }
    assert!(tokio::time::timeout(Duration::from_secs(5), greet(&server)).await.unwrap_or(false));
    drop(silent);
}
