//! Who asks a responder or another's issuer: as thin as can be, since it shares the machine with
//! what is measured. Requests are made beforehand, octet by octet, and of an answer hardly more than
//! the status is read. Each asker has its own connection, and asks one thing after the other.

use super::field::wrong;
use super::measure::Latencies;
use crate::failure::{Failure, Outcome};
use identity::text::base64;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// An answer that takes longer is none: a peer that hangs must not hold us.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A POST, octet by octet; `headers` end each with a line break.
pub(super) fn post(path: &str, headers: &str, body: &[u8], keep: bool) -> Vec<u8> {
    // A client without keep-alive speaks as `openssl ocsp` does.
    let version = if keep { "1.1" } else { "1.0" };
    let head = format!(
        "POST {path} HTTP/{version}\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Each question as the body of a POST.
pub(super) fn posts(questions: &[Vec<u8>], path: &str, keep: bool) -> Vec<Vec<u8>> {
    let headers = "Content-Type: application/ocsp-request\r\n";
    questions.iter().map(|question| post(path, headers, question, keep)).collect()
}

/// Each question in the path of a GET.
pub(super) fn gets(questions: &[Vec<u8>], path: &str) -> Vec<Vec<u8>> {
    let get = |question: &Vec<u8>| {
        let text = base64(question).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("GET {path}/{text} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
    };
    questions.iter().map(get).collect()
}

/// Whom to ask, and what, ready to be written.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) port: u16,
    /// Of a TLS listener.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whole HTTP requests.
    pub(super) asked: Arc<Vec<Vec<u8>>>,
    /// Whether the body of an answer says that it was done.
    pub(super) done: fn(&[u8]) -> bool,
}

/// How long, and by how many.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) time: Duration,
    pub(super) askers: usize,
    /// Whether a connection is used again.
    pub(super) keep: bool,
    /// Requests at most.
    pub(super) at_most: u64,
}

/// Askers whose connections are open, where they are kept.
pub(super) struct Ready {
    target: Target,
    load: Load,
    lines: Vec<Option<Buffered>>,
}

impl Target {
    async fn dial(&self) -> io::Result<Buffered> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Buffered::new(stream)) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        Ok(Buffered::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }

    /// Asks each question once, and lets the answers be looked at.
    pub(super) async fn warm_up(
        &self,
        keep: bool,
        mut look: impl FnMut(&[u8]) -> Outcome,
    ) -> Outcome {
        let mut open = None;
        for asked in self.asked.iter() {
            // Never dialled in advance: `openssl ocsp` waits for ever on a line that says nothing.
            let mut line = match open.take() {
                Some(line) => line,
                None => self.dial().await.map_err(wrong)?,
            };
            let answer = tokio::time::timeout(ANSWER_MAX, line.exchange(asked)).await;
            look(answer.map_err(|_| silent())?.map_err(wrong)?)?;
            open = keep.then_some(line);
        }
        Ok(())
    }

    /// Opens the connections that are kept, and asks once over each.
    pub(super) async fn ready(&self, load: Load) -> Outcome<Ready> {
        let mut lines = Vec::with_capacity(load.askers);
        for number in 0..load.askers {
            let asked = self.asked.get(number % self.asked.len().max(1)).filter(|_| load.keep);
            lines.push(match asked {
                None => None,
                Some(asked) => {
                    let mut line = self.dial().await.map_err(wrong)?;
                    let answer = tokio::time::timeout(ANSWER_MAX, line.exchange(asked)).await;
                    answer.map_err(|_| silent())?.map_err(wrong)?;
                    Some(line)
                }
            });
        }
        Ok(Ready { target: self.clone(), load, lines })
    }
}

fn silent() -> Failure {
    Failure::new(format!("no answer within {} seconds", ANSWER_MAX.as_secs()))
}

impl Ready {
    /// Asks; what the askers waited, and how many of them failed.
    pub(super) async fn go(self) -> Outcome<(Latencies, u64)> {
        let Self { target, load, lines } = self;
        let until = Instant::now() + load.time;
        let (failed, left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(load.at_most)));
        let mut askers = JoinSet::new();
        for (number, open) in lines.into_iter().enumerate() {
            let (failed, left) = (failed.clone(), left.clone());
            let start = number * target.asked.len() / load.askers;
            let asker = Asker { target: target.clone(), keep: load.keep, until, left };
            askers.spawn(async move {
                let mut latencies = Latencies::default();
                let asking = asker.ask(open, start, &mut latencies);
                let heard = tokio::time::timeout(load.time + ANSWER_MAX, asking).await;
                failed.fetch_add(u64::from(!matches!(heard, Ok(Ok(())))), Ordering::Relaxed);
                latencies
            });
        }
        let mut all = Latencies::default();
        while let Some(done) = askers.join_next().await {
            all.merge(done.map_err(wrong)?);
        }
        Ok((all, failed.load(Ordering::Relaxed)))
    }
}

struct Asker {
    target: Target,
    keep: bool,
    until: Instant,
    /// What all of them may still ask.
    left: Arc<AtomicU64>,
}

impl Asker {
    async fn ask(
        &self,
        mut open: Option<Buffered>,
        start: usize,
        latencies: &mut Latencies,
    ) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(1);
        for asked in self.target.asked.iter().cycle().skip(start) {
            let at = Instant::now();
            let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            if at >= self.until || taken.is_err() {
                break;
            }
            let mut line = match open.take() {
                Some(line) => line,
                None => self.target.dial().await?,
            };
            if !(self.target.done)(line.exchange(asked).await?) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            latencies.add(at.elapsed());
            open = self.keep.then_some(line);
        }
        Ok(())
    }
}

/// TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection, and what came over it last.
struct Buffered {
    stream: Box<dyn Wire>,
    heard: Vec<u8>,
}

impl Buffered {
    fn new(stream: impl Wire + 'static) -> Self {
        Self { stream: Box::new(stream), heard: Vec::with_capacity(8192) }
    }

    /// Writes a request and reads the body of the answer: as long as it says, else to the end.
    async fn exchange(&mut self, asked: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(asked).await?;
        self.stream.flush().await?;
        self.heard.clear();
        loop {
            let read = self.stream.read_buf(&mut self.heard).await?;
            if let Some(body) = body_of(&self.heard, read == 0) {
                return match self.heard.get(9..12) {
                    Some(b"200") => Ok(self.heard.get(body..).unwrap_or_default()),
                    _ => Err(io::Error::other(refusal(&self.heard))),
                };
            }
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// What was answered instead, in short.
fn refusal(heard: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(heard).chars().take(300).collect();
    format!("the answer was `{}`", text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Where the body of a complete answer begins.
fn body_of(heard: &[u8], ended: bool) -> Option<usize> {
    let head = heard.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(heard.get(..head)?).ok()?;
    let header = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let body = head + 4;
    let complete = match header("content-length").map(str::parse::<usize>) {
        Some(length) => heard.len() >= body + length.ok()?,
        None if header("transfer-encoding").is_some() => heard.ends_with(b"\r\n0\r\n\r\n"),
        None => ended,
    };
    (text.starts_with("HTTP/1") && complete).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_its_body_is() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabc";
        assert_eq!(body_of(whole, false), Some(whole.len() - 3));
        assert_eq!(body_of(&whole[..whole.len() - 1], false), None);
        let open = b"HTTP/1.0 200 OK\r\n\r\nabc";
        assert_eq!((body_of(open, false), body_of(open, true)), (None, Some(open.len() - 3)));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (part, all) = (format!("{head}3\r\nabc\r\n"), format!("{head}3\r\nabc\r\n0\r\n\r\n"));
        assert_eq!(body_of(part.as_bytes(), false), None);
        assert_eq!(body_of(all.as_bytes(), false), Some(head.len()));
    }

    #[test]
    fn a_refusal_tells_what_was_said() {
        let heard = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nno way";
        assert!(refusal(heard).contains("403 Forbidden content-length: 6 no way"));
    }
}
