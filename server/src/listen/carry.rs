//! One connection from its first octet to its last.

use super::farewell::Farewell;
use super::strangers::Line;
use super::{Connection, Gate, Tally, proxy};
use crate::limits;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(super) async fn carry<A, R, B>(mut stream: TcpStream, peer: SocketAddr, gate: Gate, answer: A)
where
    A: Fn(Arc<Connection>, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let _open = Open::begin(&gate.tally);
    let Ok(peer) = behind_proxy(&mut stream, peer.ip().to_canonical(), &gate).await else {
        gate.tally.unshaken.fetch_add(1, Relaxed);
        return;
    };
    let line = gate.strangers.enter(peer, gate.limits.strangers_max, Instant::now());
    let Some(config) = gate.tls.clone() else {
        return requests(stream, Arc::new(Connection::plain(line)), &gate, answer).await;
    };
    match shake(TlsAcceptor::from(config), stream, &line).await {
        Ok(stream) => {
            let connection = Arc::new(Connection::tls(line, stream.get_ref().1));
            requests(stream, connection, &gate, answer).await;
        }
        Err(error) => {
            // Anybody can cause it, as often as they like: never more than a debug line.
            tracing::debug!(%peer, %error, "no handshake");
            gate.tally.unshaken.fetch_add(1, Relaxed);
            gate.tally.evicted.fetch_add(u64::from(line.was_evicted()), Relaxed);
        }
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
    acceptor: TlsAcceptor,
    stream: TcpStream,
    line: &Line,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    tokio::select! {
        biased;
        shaken = timeout(limits::HANDSHAKE, acceptor.accept(stream)) => shaken?,
        () = line.until_cut() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn requests<S, A, R, B>(stream: S, connection: Arc<Connection>, gate: &Gate, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Arc<Connection>, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let each = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let answered = answer(Arc::clone(&each), request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER)
        .max_headers(limits::HEADERS_MAX)
        .max_header_size(limits::HEADER_OCTETS_MAX)
        .max_buf_size(limits::HEADER_OCTETS_MAX);
    let mut served = pin!(http.serve_connection(TokioIo::new(Farewell::new(stream)), service));
    let mut stop = gate.stop.clone();
    tokio::select! {
        biased;
        ended = served.as_mut() => return log_end(&gate.tally, &connection, ended),
        () = Arc::clone(&connection).until_cut() => {
            gate.tally.count_end(&connection);
            return;
        }
        () = stop.asked() => {}
        () = age(gate.limits.lifetime) => {}
    }
    // What is in flight may end; a connection between two requests ends at once.
    served.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = timeout(limits::DRAIN, served) => {
            if let Ok(ended) = ended { log_end(&gate.tally, &connection, ended); }
        }
        () = Arc::clone(&connection).until_cut() => gate.tally.count_end(&connection),
    }
}

async fn age(lifetime: Option<Duration>) {
    match lifetime {
        Some(lifetime) => tokio::time::sleep(lifetime).await,
        None => std::future::pending().await,
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
