//! The body of a request, with an end in size and in time.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::fmt;
use std::time::Duration;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than allowed (413).
    TooLarge,
    /// It did not come in time (408).
    TooSlow,
    /// It ended too early, or was not framed as it should be (400).
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body of the request is too large",
            Self::TooSlow => "the body of the request did not come in time",
            Self::Broken => "the body of the request is not whole",
        })
    }
}

impl std::error::Error for BodyError {}

/// Reads a whole body of at most `octets_max` octets within `time`.
///
/// # Errors Which of the two ended first, or that the body is broken. The connection cannot be used
/// further then: answer with `Connection: close`.
pub async fn read_body<B>(body: B, octets_max: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    // A length that was announced is refused before a single octet is read.
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |octets| octets > octets_max) {
        return Err(BodyError::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let read = read_frames(body, octets_max);
    tokio::time::timeout(time, read).await.unwrap_or(Err(BodyError::TooSlow))
}

/// Most bodies come in one piece, which is passed on as it is.
async fn read_frames<B>(mut body: B, octets_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if first.len() + more.len() + piece.len() > octets_max {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() {
            first = piece;
        } else {
            more.extend_from_slice(&piece);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    const SOON: Duration = Duration::from_secs(60);

    /// A chunked body; one without pieces never comes to its end.
    struct Pieces(VecDeque<&'static [u8]>, bool);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
                None if self.1 => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn pieces(of: &[&'static [u8]]) -> Pieces {
        Pieces(of.iter().copied().collect(), true)
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit() {
        let whole = http_body_util::Full::new(Bytes::from_static(b"12345678"));
        assert_eq!(read_body(whole.clone(), 8, SOON).await.unwrap(), "12345678");
        assert_eq!(read_body(whole, 7, SOON).await, Err(BodyError::TooLarge));
        let chunked = pieces(&[b"123", b"45", b"678"]);
        assert_eq!(read_body(chunked, 8, SOON).await.unwrap(), "12345678");
        let chunked = pieces(&[b"123", b"45", b"678"]);
        assert_eq!(read_body(chunked, 7, SOON).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = Pieces(VecDeque::new(), false);
        assert_eq!(read_body(never, 8, Duration::from_millis(1)).await, Err(BodyError::TooSlow));
    }
}
