//! Asking others over HTTP: witnesses, and ledgers that are watched.
//!
//! What comes back is believed by the signatures in it and never because of the channel that it
//! came through. So `http://` will do, and behind `https://` any certificate does: a stranger in
//! between can keep us from hearing, and nothing else.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request with its answer; who takes longer is asked again later.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// One place that is asked, with the connections to it that lie idle.
pub struct Caller {
    tls: Option<TlsConnector>,
    host: String,
    port: u16,
    /// The path that every request's begins with.
    prefix: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// What was answered.
#[derive(Debug)]
pub struct Said {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

impl Caller {
    /// Reads `http://HOST[:PORT][/PREFIX]`, or the same with `https`; `None` for anything else.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let (tls, usual) = match uri.scheme_str()? {
            "http" => (None, 80),
            "https" => (Some(connector()?), 443),
            _ => return None,
        };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let plain = uri.query().is_none() && !host.is_empty();
        let port = uri.port_u16().unwrap_or(usual);
        plain.then_some(Self { tls, host, port, prefix, idle: Mutex::default() })
    }

    /// Fetches `path`, of at most `octets_max`.
    ///
    /// # Errors
    /// Where nobody answered in time, or not in full.
    pub async fn get(&self, path: &str, octets_max: usize) -> io::Result<Said> {
        self.ask(Method::GET, path, Bytes::new(), octets_max).await
    }

    /// Sends text to `path`, and reads an answer of at most `octets_max`.
    ///
    /// # Errors
    /// As [`Caller::get`].
    pub async fn post(&self, path: &str, body: String, octets_max: usize) -> io::Result<Said> {
        self.ask(Method::POST, path, Bytes::from(body), octets_max).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        octets_max: usize,
    ) -> io::Result<Said> {
        let asked = self.once(method, path, body, octets_max);
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(ANSWER_WAIT, asked).await.map_err(|_| late())?
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        octets_max: usize,
    ) -> io::Result<Said> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, self.authority())
            .header(USER_AGENT, concat!("muster/", env!("CARGO_PKG_VERSION")));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8");
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let mut lane = self.lane().await?;
        let response = lane.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        let whole = Limited::new(response.into_body(), octets_max).collect().await;
        let body = whole.map_err(io::Error::other)?.to_bytes();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        Ok(Said { status, body })
    }

    async fn lane(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        while let Some(mut lane) = self.take() {
            // It may have been closed while it lay idle.
            if lane.ready().await.is_ok() {
                return Ok(lane);
            }
        }
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let _ = tcp.set_nodelay(true);
        match &self.tls {
            None => shake(TokioIo::new(tcp)).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                shake(TokioIo::new(tls.connect(name, tcp).await?)).await
            }
        }
    }

    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn authority(&self) -> String {
        let bare = !self.host.contains(':');
        let host = if bare { self.host.clone() } else { format!("[{}]", self.host) };
        format!("{host}:{}", self.port)
    }
}

async fn shake<T>(io: T) -> io::Result<SendRequest<Full<Bytes>>>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // What breaks here is told to the one who waits for the answer.
        let _ = connection.await;
    });
    Ok(sender)
}

fn connector() -> Option<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
}

/// Takes every certificate: whoever answers is believed by what they signed.
#[derive(Debug)]
pub(crate) struct Anybody(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_query() {
        let caller = Caller::parse("http://[::1]:8080/ledger/default/").unwrap();
        assert_eq!(
            (caller.authority().as_str(), caller.prefix.as_str()),
            ("[::1]:8080", "/ledger/default")
        );
        assert_eq!(Caller::parse("https://w.example").unwrap().port, 443);
        for refused in ["", "w.example", "ftp://w.example", "http:///x", "http://w.example/?a=b"] {
            assert!(Caller::parse(refused).is_none(), "{refused}");
        }
    }
}
