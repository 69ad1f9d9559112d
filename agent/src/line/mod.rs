//! One connection to the server: through a proxy or not, TLS with the pinned root, one request
//! after another. Blocking, with a limit on every wait.
//!
//! [`trust`] says whom to believe, [`http`] writes and reads messages, [`proxy`] goes around a wall.

pub mod http;
pub mod proxy;
pub mod trust;

use crate::Trouble;
use crate::credential::Credential;
use enroll::est::Outgoing;
use http::Heard;
use proxy::Proxy;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use std::fmt;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trust::Judge;

/// How long one address may take to answer; a server with three addresses is given up after half a
/// minute.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the other side may say nothing: longer than the server lets a slow disk take.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a handshake, and each answer, a proxy's too, may take in all: whoever sends an octet now and then is
/// never silent, and would keep the agent for months. A list of authorities crosses a line of
/// 9,600 bit/s in half a minute.
const ANSWER: Duration = Duration::from_secs(120);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Where a server is: `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name or an address.
    pub host: String,
    /// The port; 8443 where none is said.
    pub port: u16,
    /// Its addresses, where they were said along with the name; else the system is asked.
    pub addresses: Vec<IpAddr>,
}

impl Place {
    /// Reads an address.
    ///
    /// # Errors
    /// Where it is not of the form above.
    pub fn parse(url: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble::Usage(format!("`{url}` is no https://HOST:PORT"));
        let rest = url.trim().strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = split_port(rest, 8443).ok_or_else(wrong)?;
        let place = Self { host, port, addresses: Vec::new() };
        place.name().map_err(|_| wrong())?;
        Ok(place)
    }

    fn name(&self) -> Result<ServerName<'static>, Trouble> {
        ServerName::try_from(self.host.clone())
            .map_err(|_| Trouble::Usage(format!("`{}` is no name of a server", self.host)))
    }

    /// As it stands in `Host` and in a CONNECT.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

/// `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
fn split_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Some(default), |p| p.parse().ok())?;
    (!host.is_empty() && !host.contains(['/', '@', '?', '#'])).then(|| (host.to_owned(), port))
}

/// A TCP connection that is given up at a moment, however little is missing.
#[derive(Debug)]
struct Timed {
    tcp: TcpStream,
    until: Instant,
}

impl Timed {
    fn new(tcp: TcpStream) -> Self {
        Self { tcp, until: Instant::now() + ANSWER }
    }

    /// Begins to wait for the next answer.
    fn begin(&mut self) {
        self.until = Instant::now() + ANSWER;
    }

    fn left(&self) -> std::io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        let over = || Error::new(ErrorKind::TimedOut, "it takes too long");
        if left.is_zero() { Err(over()) } else { Ok(left.min(SILENCE)) }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.left()?))?;
        self.tcp.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.left()?))?;
        self.tcp.write(from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.tcp.flush()
    }
}

/// An open connection.
pub struct Line {
    tls: StreamOwned<ClientConnection, Timed>,
    host: String,
}

impl Line {
    /// Opens one, as `who` or as nobody; the handshake is complete and the server is judged.
    ///
    /// # Errors
    /// [`Trouble::NoAnswer`] where nobody answers, [`Trouble::Untrusted`] where the judge does not
    /// believe who does.
    pub fn open(
        place: &Place,
        proxy: Option<&Proxy>,
        judge: &Arc<Judge>,
        who: Option<&Credential>,
    ) -> Result<Self, Trouble> {
        let mut timed = match proxy.filter(|p| !p.is_spared(&place.host)) {
            Some(proxy) => proxy.dial(place)?,
            None => Timed::new(dial(&place.host, place.port, &place.addresses)?),
        };
        let session = ClientConnection::new(config(judge, who)?, place.name()?)
            .map_err(|e| Trouble::Own(format!("no TLS: {e}")))?;
        timed.begin();
        let mut tls = StreamOwned::new(session, timed);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).map_err(|e| handshake_failed(place, &e))?;
        }
        Ok(Self { tls, host: place.authority() })
    }

    /// What binds a request to this connection (RFC 9266); nothing below TLS 1.3.
    #[must_use]
    pub fn exporter(&self) -> Option<[u8; 32]> {
        if self.tls.conn.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        self.tls.conn.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).ok()
    }

    /// Says one thing and hears the answer.
    ///
    /// # Errors
    /// [`Trouble::NoAnswer`] where none came; a refusal is an answer.
    pub fn say(&mut self, say: &Outgoing) -> Result<Heard, Trouble> {
        self.tls.sock.begin();
        http::say(&mut self.tls, &self.host, say)
            .map_err(|e| Trouble::NoAnswer(format!("`{}` did not answer: {e}", self.host)))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.host)
    }
}

fn handshake_failed(place: &Place, error: &std::io::Error) -> Trouble {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(why @ rustls::Error::InvalidCertificate(_)) => {
            Trouble::Untrusted(format!("`{place}` is not believed: {}", trust::words(why)))
        }
        _ => Trouble::NoAnswer(format!("no TLS connection to `{place}`: {error}")),
    }
}

fn config(judge: &Arc<Judge>, who: Option<&Credential>) -> Result<Arc<ClientConfig>, Trouble> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Trouble::Own(format!("no TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(judge) as _);
    let mut config = match who {
        None => builder.with_no_client_auth(),
        Some(who) => {
            let shown = SingleCertAndKey::from(who.certified());
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The one provider of cryptography.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Opens a TCP connection to the first address that takes it.
fn dial(host: &str, port: u16, known: &[IpAddr]) -> Result<TcpStream, Trouble> {
    let failed =
        |e: &dyn fmt::Display| Trouble::NoAnswer(format!("no connection to `{host}`: {e}"));
    let mut last = failed(&"the name has no address");
    let mut places: Vec<_> = known.iter().map(|ip| SocketAddr::from((*ip, port))).collect();
    if places.is_empty() {
        places.extend((host, port).to_socket_addrs().map_err(|e| failed(&e))?);
    }
    for at in places.into_iter().take(ADDRESSES_MAX) {
        let open = || {
            let tcp = TcpStream::connect_timeout(&at, CONNECT)?;
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(SILENCE))?;
            tcp.set_write_timeout(Some(SILENCE))?;
            Ok::<_, std::io::Error>(tcp)
        };
        match open() {
            Ok(tcp) => return Ok(tcp),
            Err(e) => last = failed(&format!("{at}: {e}")),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_never_silent_and_never_done_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.write_all(b"ab").unwrap();
        let mut timed = Timed::new(tcp);
        let mut octet = [0; 1];
        timed.read_exact(&mut octet).unwrap();
        timed.until = Instant::now();
        let over = timed.read_exact(&mut octet).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::TimedOut);
        assert_eq!(timed.write(&octet).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_place_is_a_host_and_a_port_and_nothing_else() {
        let place = |url| Place::parse(url).map(|p| (p.host, p.port));
        assert_eq!(place("https://a.example"), Ok(("a.example".into(), 8443)));
        assert_eq!(place("https://a.example:1/"), Ok(("a.example".into(), 1)));
        assert_eq!(place("https://[::1]:9"), Ok(("::1".into(), 9)));
        assert_eq!(place("https://10.0.0.1"), Ok(("10.0.0.1".into(), 8443)));
        for wrong in
            ["http://a", "a.example", "https://", "https://a/b", "https://u@a", "https://a:x"]
        {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Place::parse("https://[::1]:9").unwrap().authority(), "[::1]:9");
    }
}
