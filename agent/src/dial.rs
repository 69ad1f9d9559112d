//! The far end of a device's wire: a TLS connection to the device port, with a
//! certificate or without one, that carries what `enroll`'s client machine says.

use bytes::Bytes;
use enroll::est::{Incoming, Outgoing};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use identity::Certificate;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use zeroize::Zeroize;

/// What a device shows in a handshake.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    pkcs8: Vec<u8>,
}

impl Identity {
    /// A certificate chain, the device's own first, and the private key in PKCS#8.
    #[must_use]
    pub fn new(chain: &[Certificate], pkcs8: &[u8]) -> Self {
        let chain = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
        Self { chain, pkcs8: pkcs8.to_vec() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates, ..)", self.chain.len())
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

/// Which key exchange a caller offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// X25519, as small devices do.
    X25519,
    /// X25519MLKEM768, safe against a later quantum computer.
    Hybrid,
}

/// Dials the device port of a server on this machine.
#[derive(Clone, Debug)]
pub struct Dialer {
    at: SocketAddr,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// Why a call did not get an answer.
pub type CallError = Box<dyn std::error::Error + Send + Sync>;

impl Dialer {
    /// A dialer that trusts one root.
    ///
    /// # Errors
    /// Where the root cannot be a trust anchor.
    pub fn new(port: u16, root: &Certificate, exchange: Exchange) -> Result<Self, CallError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(root.der().to_vec()))?;
        let group: &'static dyn SupportedKxGroup = match exchange {
            Exchange::X25519 => aws_lc_rs::kx_group::X25519,
            Exchange::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        };
        let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { at, roots: Arc::new(roots), provider: Arc::new(provider) })
    }

    /// What a handshake as `who` (or as nobody) is configured by. Worth keeping where many calls
    /// follow.
    ///
    /// # Errors
    /// Where the key is not one that TLS can use, or does not belong to the certificate.
    pub fn config(&self, who: Option<&Identity>) -> Result<Arc<ClientConfig>, CallError> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone());
        let mut config = match who {
            None => builder.with_no_client_auth(),
            Some(who) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(who.pkcs8.clone()));
                builder.with_client_auth_cert(who.chain.clone(), key)?
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Opens a line.
    ///
    /// # Errors
    /// Where nobody listens, or the handshake fails.
    pub async fn dial(&self, config: Arc<ClientConfig>) -> Result<Line, CallError> {
        self.dial_from(config, Ipv4Addr::UNSPECIFIED).await
    }

    /// Opens a line from one of this machine's own addresses; the unspecified one leaves the
    /// choice to the system.
    ///
    /// # Errors
    /// Where the address is not this machine's; and as [`Dialer::dial`].
    pub async fn dial_from(
        &self,
        config: Arc<ClientConfig>,
        from: Ipv4Addr,
    ) -> Result<Line, CallError> {
        let socket = TcpSocket::new_v4()?;
        if !from.is_unspecified() {
            socket.bind(SocketAddr::from((from, 0)))?;
        }
        let tcp = socket.connect(self.at).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        // A line that breaks shows at the next call; there is nobody else to tell.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Line { sender })
    }

    /// Opens a line as `who`, says one thing and hangs up.
    ///
    /// # Errors
    /// Where no answer came; a refusal is an answer.
    pub async fn call(&self, who: Option<&Identity>, say: Outgoing) -> Result<Heard, CallError> {
        let config = self.config(who)?;
        self.dial(config).await?.say(say).await
    }
}

/// An open line.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub struct Heard {
    status: u16,
    content_type: Option<String>,
    retry_after: Option<String>,
    body: Bytes,
}

impl Heard {
    /// For the client machine to read.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming {
            status: self.status,
            content_type: self.content_type.as_deref(),
            retry_after: self.retry_after.as_deref(),
            body: &self.body,
        }
    }
}

impl Line {
    /// Whether the other end has not closed it yet, as far as is known here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Says one thing and hears the answer.
    ///
    /// # Errors
    /// Where no answer came; a refusal is an answer.
    pub async fn say(&mut self, say: Outgoing) -> Result<Heard, CallError> {
        let mut request =
            hyper::Request::builder().method(say.method).uri(say.path).header("host", "localhost");
        for (name, value) in &say.headers {
            request = request.header(*name, value);
        }
        self.sender.ready().await?;
        let answer =
            self.sender.send_request(request.body(Full::new(Bytes::from(say.body)))?).await?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (status, content_type, retry_after) =
            (answer.status().as_u16(), header("content-type"), header("retry-after"));
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Heard { status, content_type, retry_after, body })
    }
}
