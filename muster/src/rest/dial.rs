//! Opening connections: TCP, TLS against the one root, HTTP/1.1.

use super::Lost;
use super::answer::Answer;
use crate::failure::{Failure, Outcome};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use identity::Certificate;
use identity::text::rfc3339;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection and its handshake: three round trips around the world take one second.
const DIAL_WAIT: Duration = Duration::from_secs(10);

/// Host and port of `https://HOST[:PORT]`, where it is that.
pub(crate) fn place(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("https"))?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    ServerName::try_from(host.as_str()).ok()?;
    let port = uri.port_u16().unwrap_or(9443);
    Some((host, port))
}

/// Where to, and whom to believe there.
pub(super) struct Dialer {
    tls: TlsConnector,
    host: String,
    port: u16,
    name: ServerName<'static>,
    /// Somebody listened once: then nobody listening is a restart, and passes.
    reached: AtomicBool,
}

impl Dialer {
    /// Reads `https://HOST[:PORT]`.
    pub(super) fn new(url: &str, root: &Certificate) -> Outcome<Self> {
        let (host, port) = place(url).ok_or_else(|| {
            Failure::new(format!("`{url}` in the operator credential is no `https://HOST:PORT`"))
                .next("correct its `url`")
        })?;
        let name = ServerName::try_from(host.clone()).map_err(Failure::new)?;
        let tls = TlsConnector::from(Arc::new(config(root)?));
        Ok(Self { tls, host, port, name, reached: AtomicBool::new(false) })
    }

    /// The host as it stands in an address.
    pub(super) fn host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// What stands in the `Host` header.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.port)
    }

    /// Opens one connection.
    pub(super) async fn dial(&self) -> Result<Lane, Lost> {
        match tokio::time::timeout(DIAL_WAIT, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(Lost::again(self.slow())),
        }
    }

    async fn open(&self) -> Result<Lane, Lost> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| self.unreached(&e))?;
        self.reached.store(true, Ordering::Relaxed);
        let _ = tcp.set_nodelay(true);
        let tls =
            self.tls.connect(self.name.clone(), tcp).await.map_err(|e| self.distrusted(&e))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(|e| Lost::again(self.broken(&e)))?;
        tokio::spawn(async move {
            // What breaks here is told to the one who waits for the answer.
            let _ = connection.await;
        });
        Ok(Lane(sender))
    }

    fn unreached(&self, error: &io::Error) -> Lost {
        let what = format!("cannot reach `{}`: {error}", self.authority());
        let failure = Failure::new(what)
            .next("start it with `muster serve`, or correct `url` in the operator credential");
        // Nobody listens: that is no lost answer, and a person should know at once.
        let nobody = error.kind() == io::ErrorKind::ConnectionRefused;
        Lost { again: !nobody || self.reached.load(Ordering::Relaxed), failure }
    }

    fn distrusted(&self, error: &io::Error) -> Lost {
        let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(reason)) = tls else {
            return Lost::again(self.unshaken(error));
        };
        if let Some(why) = misdated(reason) {
            return Lost::for_good(self.out_of_time(&why));
        }
        let what = format!("`{}` is not the server that this credential is for", self.authority());
        let why = match reason {
            // Their own words are for programmers.
            // Another key under the same name is another root, too.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is of another root".to_owned()
            }
            CertificateError::Other(_) => "its certificate cannot be used".to_owned(),
            reason => reason.to_string(),
        };
        Lost::for_good(Failure::new(format!("{what}: {why}")).next(
            "use the credential of this server (its HOME/operator.toml), and a name that stands \
             in its certificate (`muster serve --name`); `server_root` in it for one of your own",
        ))
    }

    /// Either clock may be wrong, and nothing that was shown tells which.
    fn out_of_time(&self, why: &str) -> Failure {
        Failure::new(format!("the certificate of `{}` {why}", self.authority())).next(
            "set the clock of this machine, or of the server, whichever is wrong; where both are \
             right the server's authority has ended: docs/jobs/roll-an-authority.md, `The service \
             authority has ended`",
        )
    }

    /// The connection ended before there was a server to speak of.
    fn unshaken(&self, error: &io::Error) -> Failure {
        let what =
            format!("the connection to `{}` ended in its handshake: {error}", self.authority());
        Failure::new(what).next(
            "look whether the server still runs, then type the same again; where `[proxy] from` in \
             its muster.toml holds the address of this machine it waits for a PROXY header, also at \
             this port: name the balancers there and nobody else",
        )
    }

    /// The server says nothing.
    pub(super) fn slow(&self) -> Failure {
        Failure::new(format!("no answer from `{}` in time", self.authority()))
            .next("look at its log and its /readyz, then type the same again")
    }

    /// The connection broke.
    pub(super) fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let cause = error.source().map(|s| format!(": {s}")).unwrap_or_default();
        Failure::new(format!("the connection to `{}` broke: {error}{cause}", self.authority()))
            .next("look whether the server still runs, then type the same again")
    }
}

/// What is wrong with the dates of a certificate, where it is that: `now`, as both tell it, is what
/// this machine's clock says.
fn misdated(reason: &CertificateError) -> Option<String> {
    let shown = |at: &UnixTime| rfc3339(identity::UnixTime::from_secs(at.as_secs()));
    match reason {
        CertificateError::Expired => Some("has ended, by the clock of this machine".to_owned()),
        CertificateError::NotValidYet => {
            Some("is not good yet, by the clock of this machine".to_owned())
        }
        CertificateError::ExpiredContext { time, not_after } => Some(format!(
            "ended at {}, and the clock of this machine says {}",
            shown(not_after),
            shown(time)
        )),
        CertificateError::NotValidYetContext { time, not_before } => Some(format!(
            "is good from {} on, and the clock of this machine says {}",
            shown(not_before),
            shown(time)
        )),
        _ => None,
    }
}

/// TLS 1.3 and 1.2 against one root. The verifier checks chain, dates and the name.
fn config(root: &Certificate) -> Outcome<ClientConfig> {
    let refused = |e: &dyn std::error::Error| {
        Failure::new(format!("the root in the operator credential is not usable: {e}"))
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der().to_vec())).map_err(|e| refused(&e))?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| refused(&e))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(&e))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// One open connection, which carries one request at a time.
pub(super) struct Lane(SendRequest<Full<Bytes>>);

impl Lane {
    /// Whether it can still carry one.
    pub(super) async fn ready(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }

    /// Sends a request; its answer is still to be read, before the next one.
    pub(super) async fn open(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.send_request(request).await?)
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        Answer::read(self.open(request).await?).await
    }
}
