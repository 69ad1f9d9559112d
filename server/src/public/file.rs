//! Something that lies ready to be fetched.

use super::date::http_date;
use bytes::Bytes;
use hyper::header::HeaderValue;
use identity::UnixTime;
use identity::key::sha256;
use identity::text::hex;

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CRL in DER (RFC 2585 §4.2).
    Crl,
    /// A certificate in DER (RFC 2585 §4.1).
    Certificate,
    /// A checkpoint, a signed note.
    Checkpoint,
}

impl Kind {
    pub(super) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Crl => "application/pkix-crl",
            Self::Certificate => "application/pkix-cert",
            Self::Checkpoint => "text/plain; charset=utf-8",
        })
    }

    /// How long a cache may keep it without asking. A CRL changes when somebody is struck off, and
    /// everybody should know within a minute; a certificate never does; a checkpoint every second.
    pub(super) const fn keep(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Crl => "public, max-age=60",
            Self::Certificate => "public, max-age=86400",
            Self::Checkpoint => "public, max-age=1",
        })
    }
}

/// A public file with what caches ask about it.
#[derive(Clone, Debug)]
pub struct PublicFile {
    pub(super) kind: Kind,
    pub(super) octets: Bytes,
    pub(super) etag: String,
    pub(super) modified: String,
    /// Whether another file was shown under the same date: dates have seconds, and lists of a fleet
    /// that changes come closer together.
    pub(super) dated_twice: bool,
}

impl PublicFile {
    /// A file that was made at `modified`.
    #[must_use]
    pub fn new(kind: Kind, octets: Vec<u8>, modified: UnixTime) -> Self {
        let digest = sha256(&[&octets]);
        let etag = format!("\"{}\"", hex(digest.get(..16).unwrap_or_default()));
        let modified = http_date(modified);
        Self { kind, octets: octets.into(), etag, modified, dated_twice: false }
    }

    /// The same in the place of `before`.
    pub(super) fn instead_of(mut self, before: &Self) -> Self {
        let same = self.octets == before.octets;
        self.dated_twice = self.modified == before.modified && (!same || before.dated_twice);
        self
    }

    /// The date by which somebody may say which file they have.
    pub(super) fn date(&self) -> Option<&str> {
        (!self.dated_twice).then_some(self.modified.as_str())
    }

    /// The file itself.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}
