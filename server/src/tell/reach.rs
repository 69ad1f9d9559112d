//! The line to one receiver: opened when it is needed, kept while it works.

use super::line::{Sender, cef, framed};
use super::target::Target;
use api::EntryView;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use identity::text::base64;
use registry::{Sink, SinkFormat, SinkKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Opening a line, and telling one entry: a receiver that takes longer is as good as away.
const WAIT: Duration = Duration::from_secs(30);
/// What is read of a receiver's answer, for the sentence of a dead letter.
const ANSWER_OCTETS_MAX: usize = 4096;
/// How long a receiver that took an entry may say so.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Characters of an answer that are kept.
const SAID_CHARS_MAX: usize = 200;
/// A receiver may ask for a longer rest than ours, up to this.
const RETRY_AFTER_MAX_S: u64 = 3600;

/// Why an entry did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The receiver may take it later; not before so many seconds, where it said so.
    Again(String, Option<u64>),
    /// The receiver refuses this entry.
    Refused(String),
}

impl Trouble {
    /// What went wrong, for people.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Again(why, _) | Self::Refused(why) => why,
        }
    }

    fn again(why: impl std::fmt::Display) -> Self {
        Self::Again(why.to_string(), None)
    }
}

/// Either end of a line; the receiver's words are only waited for on a webhook.
trait Stream: AsyncRead + AsyncWrite + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Send + Sync> Stream for T {}

enum Line {
    Webhook(SendRequest<Full<Bytes>>),
    Syslog(Pin<Box<dyn Stream>>),
}

/// A receiver, and the line to it while one is open.
pub(super) struct Reach {
    realm: String,
    sink: Sink,
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    sender: Sender,
    line: Option<Line>,
}

impl Reach {
    /// Reads where the sink is and whom to believe there. A sentence where that cannot be.
    pub(super) fn new(realm: &str, sink: &Sink) -> Result<Self, String> {
        let target = Target::parse(sink.kind, &sink.url).map_err(|e| e.to_string())?;
        let tls = match target.tls {
            false => None,
            true => {
                let name = ServerName::try_from(target.host.clone())
                    .map_err(|_| format!("`{}` is no name of a server", target.host))?;
                Some((TlsConnector::from(Arc::new(config(sink.anchors.as_deref())?)), name))
            }
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let sender = Sender { host: host.trim().to_owned(), pid: std::process::id() };
        Ok(Self { realm: realm.to_owned(), sink: sink.clone(), target, tls, sender, line: None })
    }

    /// Tells one entry.
    pub(super) async fn tell(&mut self, entry: &EntryView) -> Result<(), Trouble> {
        let told = match tokio::time::timeout(WAIT, self.told(entry)).await {
            Ok(told) => told,
            Err(_) => Err(Trouble::Again(format!("no answer within {} s", WAIT.as_secs()), None)),
        };
        if told.is_err() {
            self.line = None;
        }
        told
    }

    async fn told(&mut self, entry: &EntryView) -> Result<(), Trouble> {
        let gone = match &self.line {
            None => true,
            Some(Line::Webhook(line)) => line.is_closed(),
            Some(Line::Syslog(_)) => false,
        };
        if gone {
            self.line = Some(self.open().await?);
        }
        let text = self.written(entry);
        match &mut self.line {
            Some(Line::Webhook(line)) => {
                let request = request(&self.sink, &self.target, &self.realm, entry, text)?;
                line.ready().await.map_err(Trouble::again)?;
                let answer = line.send_request(request).await.map_err(Trouble::again)?;
                answered(answer, self.target.tls).await
            }
            Some(Line::Syslog(line)) => {
                let octets = framed(entry, &text, &self.sender);
                line.write_all(&octets).await.map_err(Trouble::again)?;
                line.flush().await.map_err(Trouble::again)
            }
            None => Err(Trouble::again("no line")),
        }
    }

    fn written(&self, entry: &EntryView) -> String {
        match self.sink.format {
            SinkFormat::Json => serde_json::to_string(entry).unwrap_or_default(),
            SinkFormat::Cef => cef(entry, &self.realm),
        }
    }

    async fn open(&self) -> Result<Line, Trouble> {
        let at = (self.target.host.as_str(), self.target.port);
        let unreached = |e: std::io::Error| {
            Trouble::Again(format!("`{}`: {}", self.target.authority(), plain(&e)), None)
        };
        let tcp = TcpStream::connect(at).await.map_err(unreached)?;
        // Lines are small and each is wanted at once.
        let _best_effort = tcp.set_nodelay(true);
        let stream: Pin<Box<dyn Stream>> = match &self.tls {
            None => Box::pin(tcp),
            Some((tls, name)) => Box::pin(tls.connect(name.clone(), tcp).await.map_err(unreached)?),
        };
        if self.sink.kind == SinkKind::Syslog {
            return Ok(Line::Syslog(stream));
        }
        let (line, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Trouble::again)?;
        tokio::spawn(async move {
            // What breaks here is told to the one who waits for the answer.
            let _told_there = connection.await;
        });
        Ok(Line::Webhook(line))
    }
}

/// An error of the line; what TLS says in words for programmers is said for people.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return "its certificate is one of an authority (CA:TRUE): give the receiver one with \
                CA:FALSE"
            .to_owned();
    }
    if text.contains("UnknownIssuer") {
        return "its certificate does not lead to a trusted one: `muster sink set --ca FILE`"
            .to_owned();
    }
    text
}

/// Trust in the sink's own anchors, or in the system's.
fn config(anchors: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match anchors {
        Some(pem) => {
            for anchor in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let anchor = anchor.map_err(|e| format!("its trust anchors: {e:?}"))?;
                roots.add(anchor).map_err(|e| format!("its trust anchors: {e}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("there is no certificate to trust: give one with `--ca`".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A message of a webhook, signed as Standard Webhooks has it: HMAC-SHA256 over `ID.TIME.BODY`. The
/// id is the same at each attempt, so a receiver knows what it had already.
fn request(
    sink: &Sink,
    target: &Target,
    realm: &str,
    entry: &EntryView,
    body: String,
) -> Result<Request<Full<Bytes>>, Trouble> {
    let id = format!("msg_{realm}_{}", entry.index);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let media = match sink.format {
        SinkFormat::Json => "application/json",
        SinkFormat::Cef => "text/plain; charset=utf-8",
    };
    Request::post(&target.path)
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, concat!("muster/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, media)
        .header("webhook-signature", signature(&sink.secret, &id, now, &body))
        .header("webhook-timestamp", now.to_string())
        .header("webhook-id", id)
        .body(Full::new(body.into()))
        .map_err(|e| Trouble::Refused(e.to_string()))
}

fn signature(secret: &[u8; 32], id: &str, now: u64, body: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let signed = aws_lc_rs::hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
    format!("v1,{}", base64(signed.as_ref()))
}

/// What the receiver says: 2xx has it; 408, 409, 425, 429 and 5xx may have it later (RFC 9110);
/// everything else refuses it. Its words are quoted where it proved who it is: a plain one is a port
/// of this machine, whose services are not the admin's to read through us.
async fn answered(
    answer: hyper::Response<hyper::body::Incoming>,
    proven: bool,
) -> Result<(), Trouble> {
    let status = answer.status();
    if status.is_success() {
        // It has the entry, however slowly it says more, which is read so that the line is kept.
        let rest = Limited::new(answer.into_body(), ANSWER_OCTETS_MAX).collect();
        let _kept_or_not = tokio::time::timeout(REST_OF_ANSWER, rest).await;
        return Ok(());
    }
    let after = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
    let after = after.and_then(|v| v.parse::<u64>().ok()).map(|s| s.min(RETRY_AFTER_MAX_S));
    let body = Limited::new(answer.into_body(), ANSWER_OCTETS_MAX).collect().await;
    let said =
        body.ok().filter(|_| proven).map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
    let said = said.unwrap_or_default();
    let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let said: String = plain.take(SAID_CHARS_MAX).collect();
    let why = format!("{status} {}", said.trim()).trim().to_owned();
    let later = status.is_server_error()
        || [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status);
    Err(if later { Trouble::Again(why, after) } else { Trouble::Refused(why) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_receiver_that_took_an_entry_has_it_also_where_its_words_never_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Sink {
            name: "slow".to_owned(),
            kind: SinkKind::Webhook,
            url: format!("http://{}/", listener.local_addr().unwrap()),
            format: SinkFormat::Json,
            least: ledger::Severity::Notice,
            verbs: Vec::new(),
            anchors: None,
            secret: [0; 32],
            made: identity::UnixTime::default(),
            begins: 0,
            telling: [0; 8],
        };
        let entry = EntryView {
            index: 0,
            hours: 0,
            at: None,
            class: String::new(),
            digest: String::new(),
            verb: None,
            event: None,
            severity: None,
            payload: None,
            damaged: false,
        };
        let answering = tokio::spawn(async move {
            let (mut line, _) = listener.accept().await.unwrap();
            let _asked = line.read(&mut [0; 4096]).await.unwrap();
            let said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
            line.write_all(said).await.unwrap();
            std::future::pending::<()>().await;
        });

        let told = Reach::new("default", &sink).unwrap().tell(&entry).await;

        assert_eq!(told, Ok(()));
        answering.abort();
    }

    #[test]
    fn a_signature_is_over_id_time_and_body() {
        let one = signature(&[7; 32], "msg_default_1", 5, "{}");
        assert!(one.starts_with("v1,") && one.len() == 3 + 44);
        assert_ne!(one, signature(&[7; 32], "msg_default_2", 5, "{}"));
        assert_ne!(one, signature(&[7; 32], "msg_default_1", 6, "{}"));
        assert_ne!(one, signature(&[7; 32], "msg_default_1", 5, "{ }"));
        assert_ne!(one, signature(&[8; 32], "msg_default_1", 5, "{}"));
    }
}
