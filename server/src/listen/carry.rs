//! One connection from its first octet to its last.

use super::farewell::Farewell;
use super::strangers::Line;
use super::way::Way;
use super::{Connection, Gate, Stop, Tally, proxy};
use crate::limits;
use crate::tls::Print;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Carries one connection, which keeps its place until the end. Its task is as large as the largest
/// part of its life, and most connections are idle most of the time: what happens once is boxed.
pub(super) async fn carry<A, R, B>(
    (mut stream, _place): (TcpStream, OwnedSemaphorePermit),
    peer: SocketAddr,
    gate: Gate,
    answer: A,
) where
    A: Fn(Arc<Connection>, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let _open = Open::begin(&gate.tally);
    let mut stop = gate.stop.clone();
    let named = Box::pin(behind_proxy(&mut stream, peer.ip().to_canonical(), &gate));
    let Ok(peer) = unless_stopped(&mut stop, named).await else {
        gate.tally.unshaken.fetch_add(1, Relaxed);
        return;
    };
    let began = Instant::now();
    let line = gate.strangers.enter(peer, gate.limits.strangers_max, began);
    let Some(config) = gate.tls.clone() else {
        let (connection, way) = (Connection::plain(line, began), Way::new(false));
        return requests(stream, Arc::new(connection), way, &gate, answer).await;
    };
    match unless_stopped(&mut stop, Box::pin(shake(config, stream, &line))).await {
        Ok((stream, print)) => {
            let session = stream.get_ref().1;
            let connection = Connection::tls(line, session, (print, began), &gate.sessions);
            let connection = Arc::new(connection);
            if let Some(met) = &gate.met {
                met(Arc::clone(&connection)).await;
            }
            let way = Way::new(connection.has_ended());
            requests(stream, connection, way, &gate, answer).await;
        }
        Err(error) => {
            // Anybody can cause it, as often as they like: never more than a debug line.
            tracing::debug!(%peer, %error, "no handshake");
            gate.tally.unshaken.fetch_add(1, Relaxed);
            gate.tally.evicted.fetch_add(u64::from(line.was_evicted()), Relaxed);
        }
    }
}

/// Who has asked for nothing yet is not waited for.
async fn unless_stopped<T>(
    stop: &mut Stop,
    begun: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        biased;
        () = stop.asked() => Err(io::ErrorKind::ConnectionAborted.into()),
        done = begun => done,
    }
}

async fn behind_proxy(stream: &mut TcpStream, peer: IpAddr, gate: &Gate) -> io::Result<IpAddr> {
    if !gate.trusts(peer) {
        return Ok(peer);
    }
    let named = timeout(limits::PROXY_HEADER, proxy::read(stream)).await??;
    Ok(named.map_or(peer, |ip| ip.to_canonical()))
}

async fn shake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    line: &Line,
) -> io::Result<(TlsStream<TcpStream>, Print)> {
    tokio::select! {
        biased;
        shaken = timeout(limits::HANDSHAKE, accept(config, stream)) => shaken?,
        () = line.until_cut() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// The hello is looked at on the way, which costs it no second reading.
async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Print)> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let print = Print::of(&begun.client_hello());
    Ok((begun.into_stream(config).await?, print))
}

/// Answers the requests of a connection until it ends.
fn requests<S, A, R, B>(
    stream: S,
    connection: Arc<Connection>,
    way: Way,
    gate: &Gate,
    answer: A,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Arc<Connection>, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (each, way) = (Arc::clone(&connection), Arc::new(way));
    let gone = Arc::clone(&way);
    let service = service_fn(move |request| {
        gone.asks();
        each.hear(false);
        let way = Arc::clone(&gone);
        // Boxed, since hyper keeps room for it as long as the connection lives.
        let answered = Box::pin(answer(Arc::clone(&each), request));
        async move {
            let answer = answered.await;
            way.is_answered(&answer);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER)
        .max_headers(limits::HEADERS_MAX)
        .max_header_size(limits::HEADER_OCTETS_MAX)
        .max_buf_size(limits::HEADER_OCTETS_MAX);
    let served = http.serve_connection(TokioIo::new(Farewell::new(stream)), service);
    until_the_end(Box::pin(served), connection, way, gate)
}

async fn until_the_end<S, H, B>(
    mut served: Pin<Box<http1::Connection<TokioIo<Farewell<S>>, H>>>,
    connection: Arc<Connection>,
    way: Arc<Way>,
    gate: &Gate,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: HttpService<Incoming, ResBody = B>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut stop = gate.stop.clone();
    let mut drain = limits::DRAIN;
    tokio::select! {
        biased;
        ended = served.as_mut() => return log_end(&gate.tally, &connection, ended),
        () = Arc::clone(&connection).until_cut() => {
            gate.tally.count_end(&connection);
            return;
        }
        () = way.until_ended(&connection) => {
            gate.tally.count_end(&connection);
            drain = limits::CUT_DRAIN;
        }
        () = stop.asked() => {}
        () = outstayed(&connection, gate.limits.lifetime) => {}
    }
    // What is in flight may end; a connection between two requests ends at once.
    served.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = served => log_end(&gate.tally, &connection, ended),
        () = Arc::clone(&connection).until_cut() => gate.tally.count_end(&connection),
        () = tokio::time::sleep(drain) => {}
        () = way.until_worn(stop, &connection) => {}
    }
}

/// Until somebody has been a stranger for too long, which nobody is who has proved something.
async fn outstayed(connection: &Connection, lifetime: Duration) {
    tokio::time::sleep(lifetime).await;
    if connection.is_proven() {
        std::future::pending().await
    }
}

/// What is not HTTP was answered by hyper itself, with a status and no sentence.
fn log_end(tally: &Tally, connection: &Connection, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        if error.is_parse() {
            tally.malformed.fetch_add(1, Relaxed);
        }
        tracing::debug!(peer = %connection.peer, %error, "connection ended");
    }
}

/// An open connection in the figures; dropped however it ends, also with a panic.
struct Open(Arc<Tally>);

impl Open {
    fn begin(tally: &Arc<Tally>) -> Self {
        tally.accepted.fetch_add(1, Relaxed);
        tally.open.fetch_add(1, Relaxed);
        Self(Arc::clone(tally))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Tally {
    fn count_end(&self, connection: &Connection) {
        let which = if connection.was_evicted() { &self.evicted } else { &self.cut };
        which.fetch_add(1, Relaxed);
    }
}
