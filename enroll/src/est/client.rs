//! The device's half: makes a request, and reads the answer to it. Used by the agent, the demo and
//! the bench.
//!
//! Each operation is a pair: [`cacerts`] and [`read_cacerts`], [`csrattrs`] and [`read_csrattrs`],
//! [`enroll`] and [`read_leaf`], [`serverkeygen`] and [`read_key_and_leaf`]. What was read is
//! believed only as far as the connection is: check the chain before use.

mod roots;

pub use roots::{followed, successor};

use super::wire::certs_only::{self, CERTS_ONLY_OCTETS_MAX};
use super::wire::csrattrs::{CSRATTRS_OCTETS_MAX, CsrAttrs};
use super::wire::multipart::{self, PrivateKey};
use super::wire::{self, Operation, Place};
use identity::ask::{Defect, Want};
use identity::key::{PublicKey, Signer, SoftwareKey};
use identity::token::ShownToken;
use identity::{Certificate, RealmName};

/// A request to be sent. The host adds `Host` and `Content-Length`.
#[derive(Debug)]
pub struct Outgoing {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The headers. A join token may be among them: not for logs.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// The same request, showing the receipt (C2SP tlog-proof) of the certificate of the connection:
    /// for doors that demand it. Others do not look.
    #[must_use]
    pub fn with_receipt(mut self, receipt: &str) -> Self {
        self.headers.push((wire::RECEIPT, wire::write_receipt(receipt)));
        self
    }
}

/// An answer as the host read it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// Here it is.
    Done(T),
    /// Accepted, but somebody has to decide first (202, RFC 7030 §4.2.3): send the same request
    /// again, then.
    Later {
        /// How long to wait.
        after_s: u64,
    },
    /// No.
    Refused {
        /// The status code.
        status: u16,
        /// Why, as the server says it.
        sentence: String,
        /// How long to wait before the same request may fare better, where the server says so.
        after_s: Option<u64>,
    },
}

/// How long to wait after a 202 that does not say: five minutes are what a person needs to look.
const LATER_DEFAULT_S: u64 = 300;
/// The longest wait that we believe: who says more has a clock or a unit wrong, and a leaf would
/// end meanwhile.
pub const RETRY_AFTER_MAX_S: u64 = 7 * 86_400;
/// A refusal is a sentence; more of it would be somebody's HTML.
const SENTENCE_CHARS_MAX: usize = 500;

/// Asks for the authorities of a realm.
#[must_use]
pub fn cacerts(realm: &RealmName) -> Outgoing {
    get(realm, Operation::CaCerts)
}

/// Asks what a request should have.
#[must_use]
pub fn csrattrs(realm: &RealmName) -> Outgoing {
    get(realm, Operation::CsrAttrs)
}

/// Asks for a leaf with `csr` (PKCS#10 in DER, from [`crate::request::make`]).
#[must_use]
pub fn enroll(realm: &RealmName, want: Want, csr: &[u8], token: Option<&ShownToken>) -> Outgoing {
    let operation = match want {
        Want::Join => Operation::SimpleEnroll,
        Want::Renew => Operation::SimpleReenroll,
    };
    post(realm, operation, csr, token)
}

/// Asks for a key and its leaf. `csr` names the device, signed by a key that is good for nothing
/// else.
#[must_use]
pub fn serverkeygen(realm: &RealmName, csr: &[u8], token: Option<&ShownToken>) -> Outgoing {
    post(realm, Operation::ServerKeyGen, csr, token)
}

fn get(realm: &RealmName, operation: Operation) -> Outgoing {
    let path = Place { realm: realm.clone(), operation }.path();
    Outgoing { method: "GET", path, headers: Vec::new(), body: Vec::new() }
}

fn post(
    realm: &RealmName,
    operation: Operation,
    csr: &[u8],
    token: Option<&ShownToken>,
) -> Outgoing {
    // RFC 8951 §3 has receivers ignore the transfer encoding; servers from before it want to see
    // it.
    let mut headers = vec![
        ("Content-Type", wire::PKCS10.to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ];
    if let Some(token) = token {
        headers.push(("Authorization", wire::dangerous_authorization(token)));
    }
    let path = Place { realm: realm.clone(), operation }.path();
    Outgoing { method: "POST", path, headers, body: wire::write_body(csr) }
}

/// Reads the authorities of a realm.
///
/// # Errors
/// A [`Defect`] of the server: the answer is not what RFC 7030 §4.1.3 has.
pub fn read_cacerts(incoming: &Incoming<'_>) -> Result<Reply<Vec<Certificate>>, Defect> {
    read(incoming, certificates)
}

/// Reads what a request should have; a server without wishes says so with 204 or 404.
///
/// # Errors
/// A [`Defect`] of the server: the answer is not what RFC 7030 §4.5.2 has.
pub fn read_csrattrs(incoming: &Incoming<'_>) -> Result<Reply<CsrAttrs>, Defect> {
    if matches!(incoming.status, 204 | 404) {
        return Ok(Reply::Done(CsrAttrs::default()));
    }
    read(incoming, |incoming| {
        expect(incoming, wire::CSRATTRS)?;
        CsrAttrs::read(&wire::read_body(incoming.body, body_octets_max(CSRATTRS_OCTETS_MAX))?)
    })
}

/// Reads the leaf that was issued to `key`. Servers that send its chain along are understood.
///
/// # Errors
/// A [`Defect`] of the server: the answer is not what RFC 7030 §4.2.3 has, or no certificate in it
/// is for `key`.
pub fn read_leaf(incoming: &Incoming<'_>, key: &PublicKey) -> Result<Reply<Certificate>, Defect> {
    read(incoming, |incoming| {
        let found = certificates(incoming)?;
        found.into_iter().find(|c| c.key() == key).ok_or_else(|| {
            Defect::new("answer-key", "no certificate in the answer is for the key that asked")
        })
    })
}

/// Reads a key that the server made, and its leaf.
///
/// # Errors
/// A [`Defect`] of the server: the answer is not what RFC 7030 §4.4.2 has, or the two do not belong
/// together.
pub fn read_key_and_leaf(
    incoming: &Incoming<'_>,
) -> Result<Reply<(PrivateKey, Certificate)>, Defect> {
    read(incoming, |incoming| {
        let content_type = incoming.content_type.unwrap_or_default();
        let (key, certificates) = multipart::read(content_type, incoming.body)?;
        let leaf = leaf_of(&key, certificates).ok_or_else(|| {
            Defect::new("answer-key", "no certificate in the answer is for the key beside it")
        })?;
        Ok((key, leaf))
    })
}

/// The certificate of `key`. Of a kind that cannot be read here (RSA), the first one is taken:
/// servers put it there.
fn leaf_of(key: &PrivateKey, certificates: Vec<Certificate>) -> Option<Certificate> {
    let public = SoftwareKey::from_pkcs8(key.dangerous_reveal()).map(|k| k.public().clone());
    certificates
        .into_iter()
        .find(|c| public.as_ref().is_ok_and(|p| p == c.key()) || public.is_err())
}

fn certificates(incoming: &Incoming<'_>) -> Result<Vec<Certificate>, Defect> {
    expect(incoming, wire::CERTS_ONLY)?;
    certs_only::read(&wire::read_body(incoming.body, body_octets_max(CERTS_ONLY_OCTETS_MAX))?)
}

/// What `octets` of DER may have in base64 with line breaks.
const fn body_octets_max(octets: usize) -> usize {
    octets / 8 * 11
}

fn expect(incoming: &Incoming<'_>, media: &str) -> Result<(), Defect> {
    if incoming.content_type.is_some_and(|said| wire::is_media(said, media)) {
        return Ok(());
    }
    let said = incoming.content_type.unwrap_or("nothing");
    Err(Defect::new("content-type", format!("the answer is `{said}`, not `{media}`")))
}

/// The part that all answers share: what the status says, before the body is looked at.
fn read<T>(
    incoming: &Incoming<'_>,
    body: impl FnOnce(&Incoming<'_>) -> Result<T, Defect>,
) -> Result<Reply<T>, Defect> {
    let after_s = incoming.retry_after.and_then(retry_after);
    match incoming.status {
        200 => body(incoming).map(Reply::Done),
        202 => Ok(Reply::Later { after_s: after_s.unwrap_or(LATER_DEFAULT_S) }),
        _ => Ok(refused(incoming)),
    }
}

/// What an answer says that is a no.
pub(crate) fn refused<T>(incoming: &Incoming<'_>) -> Reply<T> {
    let after_s = incoming.retry_after.and_then(retry_after);
    Reply::Refused { status: incoming.status, sentence: sentence(incoming.body), after_s }
}

/// Seconds of a `Retry-After`. The form with a date needs a clock, which a device may not have: it
/// counts as absent.
fn retry_after(value: &str) -> Option<u64> {
    value.trim().parse().ok().map(|secs: u64| secs.min(RETRY_AFTER_MAX_S))
}

/// The first line, without what a terminal would obey.
fn sentence(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(4096)).unwrap_or_default());
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(SENTENCE_CHARS_MAX).collect()
}
