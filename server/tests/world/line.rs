//! A connection to one of the ports, and what is heard over it: status, headers, body.

use super::pki::{Key, Shows};
use bytes::Bytes;
use enroll::est::client::{self, Incoming, Outgoing, Reply};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use identity::Certificate;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// An open connection.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    exporter: Option<[u8; 32]>,
}

/// How somebody comes.
pub(crate) struct Caller<'a> {
    pub(crate) port: u16,
    pub(crate) root: &'a Certificate,
    pub(crate) shows: Option<&'a Shows>,
    pub(crate) version: &'static SupportedProtocolVersion,
    /// What a balancer says before anything else.
    pub(crate) preface: &'a [u8],
}

impl Caller<'_> {
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.der().to_vec())).unwrap();
        // One small group: a handshake per request is most of what these tests do.
        let groups = vec![aws_lc_rs::kx_group::X25519];
        let provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => builder.with_no_client_auth(),
            Some(shows) => {
                let chain =
                    shows.chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
                let key = PrivatePkcs8KeyDer::from(shows.key.pkcs8().to_vec());
                let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from(key)).unwrap();
                // As they are: what a certificate says is for the server to find odd.
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }

    pub(crate) async fn stream(
        &self,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut tcp = tcp(self.port).await?;
        tcp.write_all(self.preface).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.config()).connect(name, tcp).await
    }

    pub(crate) async fn dial(&self) -> Line {
        let stream = self.stream().await.unwrap();
        let session = stream.get_ref().1;
        let exporter = session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).ok();
        let exporter = exporter.filter(|_| self.version == &rustls::version::TLS13);
        Line { exporter, ..Line::over(stream).await }
    }
}

async fn tcp(port: u16) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Line {
    /// A connection without TLS.
    pub(crate) async fn plain(port: u16) -> Self {
        Self::plain_after(port, &[]).await
    }

    /// The same, behind what a balancer says first.
    pub(crate) async fn plain_after(port: u16, preface: &[u8]) -> Self {
        let mut tcp = tcp(port).await.unwrap();
        tcp.write_all(preface).await.unwrap();
        Self::over(tcp).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self { sender, exporter: None }
    }

    /// What binds a request to this connection.
    pub(crate) fn exporter(&self) -> [u8; 32] {
        self.exporter.unwrap()
    }

    /// Whether the server still listens.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Heard {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Heard> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Heard(Response::from_parts(head, body)))
    }

    pub(crate) async fn say(&mut self, say: Outgoing) -> Heard {
        self.send(request(&say)).await
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Heard {
        let mut request = Request::get(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }
}

/// What `enroll` wants to say, as HTTP.
pub(crate) fn request(say: &Outgoing) -> Request<Full<Bytes>> {
    let mut request =
        Request::builder().method(say.method).uri(&say.path).header("host", "localhost");
    for (name, value) in &say.headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(Bytes::from(say.body.clone()))).unwrap()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Heard(Response<Bytes>);

impl Heard {
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.0.body()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body()).unwrap()
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming {
            status: self.status(),
            content_type: self.header("content-type"),
            retry_after: self.header("retry-after"),
            body: self.body(),
        }
    }

    /// The leaf that was issued to `key`.
    #[track_caller]
    pub(crate) fn leaf(&self, key: &Key) -> Shows {
        use identity::Signer;
        match client::read_leaf(&self.incoming(), key.signer().public()).unwrap() {
            Reply::Done(leaf) => Shows::new(leaf, key),
            other => panic!("a leaf was expected: {other:?}"),
        }
    }
}
