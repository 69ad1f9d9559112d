//! Who asks a responder: as thin as can be, since it shares the machine with what is measured.
//! Requests are made beforehand, octet by octet, and of an answer the status is read. Each asker
//! has its own connection, and asks about one certificate after the other.

use super::field::wrong;
use super::measure::Latencies;
use crate::failure::{Failure, Outcome};
use ca::ocsp::Status;
use ca::ocsp::wire::Response;
use identity::Certificate;
use identity::text::base64;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Each question as the body of a POST.
pub(super) fn posts(questions: &[Vec<u8>], path: &str, keep: bool) -> Vec<Vec<u8>> {
    // A client without keep-alive speaks as `openssl ocsp` does.
    let version = if keep { "1.1" } else { "1.0" };
    let post = |question: &Vec<u8>| {
        let head = format!(
            "POST {path} HTTP/{version}\r\nHost: localhost\r\n\
             Content-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n",
            question.len()
        );
        [head.as_bytes(), question].concat()
    };
    questions.iter().map(post).collect()
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
    /// Whole HTTP requests.
    pub(super) asked: Arc<Vec<Vec<u8>>>,
    /// Who must have signed the answers.
    pub(super) issuer: Certificate,
}

/// How long, and by how many.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) time: Duration,
    pub(super) askers: usize,
    /// Whether a connection is used again.
    pub(super) keep: bool,
}

impl Target {
    async fn dial(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Asks about each certificate once, and looks at the answers as a relying party does.
    pub(super) async fn warm_up(&self, keep: bool) -> Outcome {
        let mut line = Buffered::new(self.dial().await.map_err(wrong)?);
        for (number, asked) in self.asked.iter().enumerate() {
            let answer = line.exchange(asked).await.map_err(wrong)?;
            let heard = Response::parse(answer).map_err(|_| Failure::new("no OCSP answer"))?;
            let heard =
                heard.map_err(|code| Failure::new(format!("an answer failed with {code}")))?;
            if number == 0 {
                heard.verify(&self.issuer).map_err(wrong)?;
            }
            if heard.singles.iter().any(|single| single.status != Status::Good) {
                return Err(Failure::new("a certificate is not good that should be"));
            }
            if !keep {
                line = Buffered::new(self.dial().await.map_err(wrong)?);
            }
        }
        Ok(())
    }

    /// Asks; what the askers waited, and how many of them failed.
    pub(super) async fn load(&self, load: Load) -> Outcome<(Latencies, u64)> {
        let failed = Arc::new(AtomicU64::new(0));
        let until = Instant::now() + load.time;
        let mut askers = JoinSet::new();
        for number in 0..load.askers {
            let (target, failed) = (self.clone(), failed.clone());
            let start = number * target.asked.len() / load.askers;
            askers.spawn(async move {
                let mut latencies = Latencies::default();
                if let Err(_gone) = target.ask(start, until, load.keep, &mut latencies).await {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                latencies
            });
        }
        let mut all = Latencies::default();
        while let Some(done) = askers.join_next().await {
            all.merge(done.map_err(wrong)?);
        }
        Ok((all, failed.load(Ordering::Relaxed)))
    }

    async fn ask(
        &self,
        start: usize,
        until: Instant,
        keep: bool,
        latencies: &mut Latencies,
    ) -> std::io::Result<()> {
        let mut open = None;
        for asked in self.asked.iter().cycle().skip(start) {
            let at = Instant::now();
            if at >= until {
                break;
            }
            let mut line = match open.take() {
                Some(line) => line,
                None => Buffered::new(self.dial().await?),
            };
            // SEQUENCE, its length in three octets, and the status `successful`.
            if line.exchange(asked).await?.get(4..7) != Some(&[0x0a, 1, 0]) {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            latencies.add(at.elapsed());
            open = keep.then_some(line);
        }
        Ok(())
    }
}

/// A connection, and what came over it last.
struct Buffered {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Buffered {
    fn new(stream: TcpStream) -> Self {
        Self { stream, heard: Vec::with_capacity(4096) }
    }

    /// Writes a request and reads the body of the answer: as long as it says, else to the end.
    async fn exchange(&mut self, asked: &[u8]) -> std::io::Result<&[u8]> {
        self.stream.write_all(asked).await?;
        self.heard.clear();
        loop {
            let read = self.stream.read_buf(&mut self.heard).await?;
            if let Some(body) = body_of(&self.heard, read == 0) {
                return Ok(self.heard.get(body..).unwrap_or_default());
            }
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Where the body of a complete answer begins.
fn body_of(heard: &[u8], ended: bool) -> Option<usize> {
    let head = heard.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(heard.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = head + 4;
    let complete = length.map_or(ended, |length| heard.len() >= body + length);
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
    }
}
