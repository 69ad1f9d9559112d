//! HTTP/1.1 as far as a device needs it (RFC 9112): one request, one answer, each within limits.

use crate::time::read_http_date;
use enroll::est::{Incoming, Outgoing};
use identity::UnixTime;
use std::io::{Error, ErrorKind, Read, Result, Write};

/// Status line and headers of an answer. Ours have 300 octets; a server behind a large balancer
/// some more.
const HEAD_OCTETS_MAX: usize = 16 * 1024;
/// Header fields of an answer.
const HEADERS_MAX: usize = 64;
/// The line in front of a chunk: a number, and extensions that nobody sends.
const CHUNK_HEAD_OCTETS_MAX: usize = 1024;
/// The body of an answer: what `enroll` reads at most, which is a list of authorities in base64.
const BODY_OCTETS_MAX: usize = 128 * 1024;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `Date`.
    pub date: Option<UnixTime>,
    /// Whether the server hangs up now.
    pub is_last: bool,
    /// The body.
    pub body: Vec<u8>,
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

/// Says one thing and hears the answer.
pub(super) fn say<S: Read + Write>(stream: &mut S, host: &str, say: &Outgoing) -> Result<Heard> {
    let mut request = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", say.method, say.path);
    for (name, value) in &say.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if say.method != "GET" {
        request.push_str(&format!("Content-Length: {}\r\n", say.body.len()));
    }
    request.push_str("User-Agent: muster-agent\r\n\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(&say.body);
    stream.write_all(&bytes)?;
    stream.flush()?;
    hear(stream)
}

/// Reads one answer.
///
/// # Errors
/// Where it is not HTTP, breaks off, or is larger than anything that is meant for a device.
pub fn hear(stream: &mut impl Read) -> Result<Heard> {
    let mut bytes = Vec::new();
    let head = loop {
        match read_head(&bytes)? {
            // An answer that only says to go on comes before the real one.
            Some(head) if (100..200).contains(&head.heard.status) => {
                bytes.drain(..head.octets);
            }
            Some(head) => break head,
            None if bytes.len() > HEAD_OCTETS_MAX => return Err(endless()),
            None => more(stream, &mut bytes)?,
        }
    };
    let rest = bytes.split_off(head.octets);
    let mut body = Body { stream, bytes: rest };
    let mut heard = head.heard;
    heard.body = match head.length {
        _ if matches!(heard.status, 204 | 304) => Vec::new(),
        Length::Octets(octets) => body.octets(octets)?,
        Length::Chunks => body.chunks()?,
        Length::UntilEnd => {
            heard.is_last = true;
            body.until_end()?
        }
    };
    Ok(heard)
}

/// Reads the head of an answer and not an octet more; its status.
///
/// # Errors
/// As [`hear`].
pub(super) fn hear_head(stream: &mut impl Read) -> Result<u16> {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    loop {
        stream.read_exact(&mut one)?;
        bytes.extend_from_slice(&one);
        // Only a line break can end it: no need to look in between.
        if one == *b"\n"
            && let Some(head) = read_head(&bytes)?
        {
            return Ok(head.heard.status);
        }
        if bytes.len() > HEAD_OCTETS_MAX {
            return Err(endless());
        }
    }
}

struct Head {
    heard: Heard,
    octets: usize,
    length: Length,
}

enum Length {
    Octets(usize),
    Chunks,
    UntilEnd,
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let octets = match answer.parse(bytes).map_err(|e| wrong(&format!("it is not HTTP: {e}")))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(octets) if octets > HEAD_OCTETS_MAX => return Err(endless()),
        httparse::Status::Complete(octets) => octets,
    };
    let field = |name: &str| {
        let found = answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::to_owned)
    };
    let has = |name: &str, word: &str| field(name).is_some_and(|v| v.eq_ignore_ascii_case(word));
    let length = match field("content-length") {
        _ if has("transfer-encoding", "chunked") => Length::Chunks,
        Some(text) => Length::Octets(text.trim().parse().map_err(|_| wrong("its length is odd"))?),
        None => Length::UntilEnd,
    };
    let heard = Heard {
        status: answer.code.unwrap_or_default(),
        content_type: field("content-type"),
        retry_after: field("retry-after"),
        date: field("date").as_deref().and_then(read_http_date),
        is_last: has("connection", "close") || answer.version == Some(0),
        body: Vec::new(),
    };
    Ok(Some(Head { heard, octets, length }))
}

/// The rest of a stream, of which some was read already.
struct Body<'a, S> {
    stream: &'a mut S,
    bytes: Vec<u8>,
}

impl<S: Read> Body<'_, S> {
    fn octets(&mut self, octets: usize) -> Result<Vec<u8>> {
        if octets > BODY_OCTETS_MAX {
            return Err(wrong("it is larger than anything for a device"));
        }
        while self.bytes.len() < octets {
            more(self.stream, &mut self.bytes)?;
        }
        let rest = self.bytes.split_off(octets);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size()?;
            if body.len() + size > BODY_OCTETS_MAX {
                return Err(wrong("it is larger than anything for a device"));
            }
            body.extend(self.octets(size)?);
            if size == 0 {
                return Ok(body);
            }
            // The line break behind the chunk.
            self.octets(2)?;
        }
    }

    fn chunk_size(&mut self) -> Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.bytes) {
                Ok(httparse::Status::Complete((octets, size)))
                    if octets <= CHUNK_HEAD_OCTETS_MAX =>
                {
                    self.octets(octets)?;
                    return usize::try_from(size).map_err(|_| wrong("a chunk is too large"));
                }
                Ok(httparse::Status::Partial) if self.bytes.len() < CHUNK_HEAD_OCTETS_MAX => {
                    more(self.stream, &mut self.bytes)?;
                }
                _ => return Err(wrong("a chunk is odd")),
            }
        }
    }

    fn until_end(&mut self) -> Result<Vec<u8>> {
        loop {
            match more(self.stream, &mut self.bytes) {
                Ok(()) if self.bytes.len() > BODY_OCTETS_MAX => {
                    return Err(wrong("it is larger than anything for a device"));
                }
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.bytes));
                }
                Err(e) => return Err(e),
            }
        }
    }
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Result<()> {
    let mut piece = [0; 2048];
    let count = stream.read(&mut piece)?;
    if count == 0 {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the answer breaks off"));
    }
    bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(())
}

fn endless() -> Error {
    wrong("the headers do not end")
}

fn wrong(sentence: &str) -> Error {
    Error::new(ErrorKind::InvalidData, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives one octet at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn heard(text: &str) -> Result<Heard> {
        let whole = hear(&mut text.as_bytes());
        let drip = hear(&mut Drip(text.as_bytes()));
        assert_eq!(whole.as_ref().ok(), drip.as_ref().ok());
        whole
    }

    #[test]
    fn an_answer_is_read_with_a_length_in_chunks_and_to_the_end() {
        let plain = "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nab";
        let read = heard(plain).unwrap();
        assert_eq!((read.status, read.retry_after.as_deref()), (503, Some("7")));
        assert_eq!((read.body.as_slice(), read.is_last), (&b"ab"[..], false));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n";
        assert_eq!(heard(chunked).unwrap().body, b"abc");
        let open = heard("HTTP/1.0 200 OK\r\n\r\nabc").unwrap();
        assert_eq!((open.body.as_slice(), open.is_last), (&b"abc"[..], true));
        assert_eq!(heard("HTTP/1.1 204 No\r\n\r\n").unwrap().body, b"");
        let after = "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(heard(after).unwrap().body, b"x");
    }

    #[test]
    fn what_is_too_large_breaks_off_or_is_not_http_is_no_answer() {
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_OCTETS_MAX + 1);
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(2 * HEAD_OCTETS_MAX));
        let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n";
        let long = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;{}\r\n\r\n",
            "y".repeat(CHUNK_HEAD_OCTETS_MAX)
        );
        let wide = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(HEAD_OCTETS_MAX));
        let broken = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        for wrong in
            [large.as_str(), &endless, &long, &wide, chunk, broken, "SSH-2.0-x\r\n\r\n", ""]
        {
            assert!(heard(wrong).is_err(), "{wrong:.60}");
        }
    }
}
