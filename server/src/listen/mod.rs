//! Sockets: accept, limit, shake hands, serve HTTP/1.1, stop in order. What is said over a
//! connection is the business of the one who hands in `answer`; who is behind it is in the
//! [`Connection`] that comes with every request.
//!
//! Order of a connection: a place among [`Limits::connections_max`], the PROXY header where a
//! balancer is trusted, a place among the strangers of its address, the TLS handshake, requests.
//! Read on in [`carry`](self::carry).

mod body;
mod carry;
mod connection;
mod farewell;
mod proxy;
mod sessions;
mod strangers;
mod way;

pub use body::{BodyError, read_body};
pub use connection::{Connection, TlsVersion};
pub use sessions::Sessions;
pub use strangers::{Strangers, network};
pub use way::Endless;

use crate::home::Cidr;
use crate::limits;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use rustls::ServerConfig;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};

/// What one listener gives to those who connect.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections that strangers of one address have at once.
    pub strangers_max: usize,
    /// How long the connection of a stranger may live, whatever it does.
    pub lifetime: Duration,
    /// How many eighths of the process's file descriptors it may take.
    pub eighths: usize,
}

impl Limits {
    /// Of the device port.
    pub const DEVICE: Self = Self {
        connections_max: limits::DEVICE_CONNECTIONS_MAX,
        strangers_max: limits::STRANGERS_PER_ADDRESS_MAX,
        lifetime: limits::STRANGER_LIFETIME,
        eighths: 4,
    };
    /// Of the operator port.
    pub const OPERATOR: Self = Self {
        connections_max: limits::OPERATOR_CONNECTIONS_MAX,
        strangers_max: limits::STRANGERS_PER_ADDRESS_MAX,
        lifetime: limits::STRANGER_LIFETIME,
        eighths: 1,
    };
    /// Of the public port, where everybody is a stranger.
    pub const PUBLIC: Self = Self {
        connections_max: limits::PUBLIC_CONNECTIONS_MAX,
        strangers_max: limits::PUBLIC_PER_ADDRESS_MAX,
        lifetime: limits::PUBLIC_LIFETIME,
        eighths: 1,
    };

    /// The same, where the process has only so many file descriptors: connections beyond them wait
    /// in the backlog, and none is accepted that we could not open a file for. The strangers of one
    /// address get a quarter at most, so that a few descriptors are not all theirs.
    #[must_use]
    pub fn within(self, descriptors: usize) -> Self {
        let share = (descriptors / 8).saturating_mul(self.eighths).max(1);
        let connections_max = self.connections_max.min(share);
        let strangers_max = self.strangers_max.min((connections_max / 4).max(1));
        Self { connections_max, strangers_max, ..self }
    }
}

/// How many file descriptors this process may have, as the kernel tells it.
#[must_use]
pub fn descriptors() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What became of the connections of a listener, for metrics.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that ended before their handshake did.
    pub unshaken: AtomicU64,
    /// Connections that ended because what came over them was not HTTP.
    pub malformed: AtomicU64,
    /// Connections that had to make room for another, of their address, of their key or of all.
    pub evicted: AtomicU64,
    /// Connections that were cut: their device was struck off, or their key ended.
    pub cut: AtomicU64,
    /// Whether the last connection that came could not be accepted: mostly for want of a file
    /// descriptor.
    pub stuck: AtomicBool,
}

/// Told of each completed handshake, before the first request of its connection is read.
pub type Met =
    Arc<dyn Fn(Arc<Connection>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A listener's door frame: everything that `serve` needs besides the socket.
#[derive(Clone)]
pub struct Gate {
    /// Its limits.
    pub limits: Limits,
    /// TLS, or plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may speak for others with a PROXY header.
    pub proxies: Proxies,
    /// Who has not proved anything yet.
    pub strangers: Arc<Strangers>,
    /// Its open connections, by the key that their client proved.
    pub sessions: Arc<Sessions>,
    /// What became of its connections.
    pub tally: Arc<Tally>,
    /// Who hears of completed handshakes.
    pub met: Option<Met>,
    /// When to stop.
    pub stop: Stop,
}

/// Networks of balancers, which may change while we listen; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<RwLock<Vec<Cidr>>>);

impl Proxies {
    /// These networks.
    #[must_use]
    pub fn new(nets: Vec<Cidr>) -> Self {
        Self(Arc::new(RwLock::new(nets)))
    }

    /// These networks and no others, for connections that come from now on.
    pub fn set(&self, nets: Vec<Cidr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = nets;
    }

    fn contain(&self, ip: IpAddr) -> bool {
        let nets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nets.iter().any(|net| net.contains(ip))
    }
}

impl Gate {
    /// A gate for plain HTTP, where everybody is a stranger and nobody is counted.
    #[must_use]
    pub fn plain(limits: Limits, stop: Stop) -> Self {
        Self {
            limits: descriptors().map_or(limits, |n| limits.within(n)),
            tls: None,
            proxies: Proxies::default(),
            strangers: Arc::default(),
            sessions: Arc::default(),
            tally: Arc::default(),
            met: None,
            stop,
        }
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.proxies.contain(ip)
    }
}

/// Says when to stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Stops all that hold its [`Stop`]. Dropping it stops them too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// A stopper and what it stops.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Stops: no new connections, requests in flight end, all other connections close.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits until it is time to stop.
    pub async fn asked(&mut self) {
        let _gone_is_stopped_too = self.0.wait_for(|stop| *stop).await;
    }
}

/// Listens at the first of `places` that works, and says at which port.
///
/// # Errors
/// What the system said of the last of them.
pub fn bind(places: &[SocketAddr]) -> io::Result<(TcpListener, u16)> {
    let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for place in places {
        match bind_one(*place) {
            Ok(listener) => {
                let port = listener.local_addr()?.port();
                return Ok((listener, port));
            }
            Err(e) => why = io::Error::new(e.kind(), format!("cannot listen at {place}: {e}")),
        }
    }
    Err(why)
}

fn bind_one(place: SocketAddr) -> io::Result<TcpListener> {
    let socket = if place.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the connections of the last run to time out.
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it, which saves a system call for each.
    socket.set_nodelay(true)?;
    socket.bind(place)?;
    socket.listen(limits::BACKLOG)
}

/// Accepts and serves until `gate.stop`, then until the last request in flight ended.
pub async fn serve<A, R, B>(listener: TcpListener, gate: Gate, answer: A)
where
    A: Fn(Arc<Connection>, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(gate.limits.connections_max));
    let mut stop = gate.stop.clone();
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.asked() => break,
            accepted = accept(&listener, &places, &gate.strangers) => accepted,
        };
        // Who went away before being accepted is no trouble of ours.
        let left = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionAborted;
        let stuck = accepted.as_ref().is_err_and(|e| !left(e));
        gate.tally.stuck.store(stuck, Ordering::Relaxed);
        match accepted {
            Ok((stream, peer, place)) => {
                tokio::spawn(carry::carry((stream, place), peer, gate.clone(), answer.clone()));
            }
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() > limits::ACCEPT_TOLD) {
                    tracing::warn!(%error, "connections cannot be accepted");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(gate.limits.connections_max).unwrap_or(u32::MAX);
    let _never_closed = places.acquire_many(all).await;
}

/// Who comes when no place is left gets that of the oldest stranger. Where nobody is one, it waits
/// with its socket open, and those behind it in the kernel's backlog, where they cost us nothing.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    strangers: &Strangers,
) -> io::Result<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let (stream, peer) = listener.accept().await?;
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Ok((stream, peer, place));
    }
    strangers.evict_oldest();
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((stream, peer, place))
}

#[cfg(test)]
mod tests;
