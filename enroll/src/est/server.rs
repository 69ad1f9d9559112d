//! The server's half: a request in, an [`Action`] out.

use super::wire::{self, CHAIN_MAX, Operation, Place, certs_only, csrattrs::CsrAttrs, multipart};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;
use identity::ask::{Cause, Defect, KeySource, Shown, Want};
use identity::profile::Profile;
use identity::token::ShownToken;
use identity::{Ask, Certificate, Csr, RealmName, Refusal, RuleId};
use std::net::IpAddr;

/// One request, as the host read it from the connection. `Content-Encoding` and the like are the
/// host's to refuse.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Muster-Receipt`: the receipt of the certificate shown, a whole C2SP tlog-proof in base64.
    pub receipt: Option<&'a str>,
    /// The body, of which one octet more than [`wire::BODY_OCTETS_MAX`] is enough.
    pub body: &'a [u8],
    /// What the handshake proved: the certificates shown, the holder's first.
    pub chain: Vec<Certificate>,
    /// The `tls-exporter` value of the connection (RFC 9266); `None` below TLS 1.3.
    pub exporter: Option<[u8; 32]>,
    /// Where it came from.
    pub from: IpAddr,
}

/// What the host has to do next.
#[derive(Debug)]
pub enum Action {
    /// Send this.
    Answer(Answer),
    /// Send [`cacerts`] of this realm; open to all.
    CaCerts(RealmName),
    /// Send [`csrattrs`] of the profile that fits.
    CsrAttrs {
        /// The realm.
        realm: RealmName,
        /// What was shown, if anything.
        shown: Shown,
    },
    /// Have this judged, and send [`enrolled`], [`enrolled_with_key`] or [`refuse`].
    Judge {
        /// The realm.
        realm: RealmName,
        /// The wish.
        ask: Box<Ask>,
    },
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, without `Content-Length` and `Connection`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection ends with it: who was turned away may not try a second thing on it.
    pub close: bool,
    /// Why, for the record, where it is a refusal.
    pub refusal: Option<Refusal>,
}

/// Hears a request. Every refusal of bytes is an answer already.
#[must_use]
pub fn hear(request: Request<'_>) -> Action {
    let Some(place) = Place::parse(request.path) else {
        return malformed(
            "path",
            "nothing is here: see RFC 7030 section 3.2.2 for the paths of EST",
        );
    };
    if place.operation == Operation::FullCmc {
        return malformed("fullcmc", "full CMC is not spoken here: use `simpleenroll`");
    }
    if !place.operation.allows(request.method) {
        return wrong_method(place.operation);
    }
    // `cacerts` is open to all, whatever they show.
    if request.chain.len() > CHAIN_MAX && place.operation != Operation::CaCerts {
        return malformed("chain-too-long", "a chain has at most 6 certificates: show fewer");
    }
    let (want, key) = match place.operation {
        Operation::CaCerts => return Action::CaCerts(place.realm),
        Operation::CsrAttrs => {
            return Action::CsrAttrs { realm: place.realm, shown: shown(request) };
        }
        Operation::SimpleReenroll => (Want::Renew, KeySource::Device),
        Operation::ServerKeyGen => (Want::Join, KeySource::Server),
        Operation::SimpleEnroll | Operation::FullCmc => (Want::Join, KeySource::Device),
    };
    match ask(request, want, key) {
        Ok(ask) => Action::Judge { realm: place.realm, ask: Box::new(ask) },
        Err(refusal) => Action::Answer(refuse(&refusal)),
    }
}

fn malformed(name: &'static str, sentence: &'static str) -> Action {
    Action::Answer(refuse(&Refusal::Malformed(Defect::new(name, sentence))))
}

fn wrong_method(operation: Operation) -> Action {
    let methods = operation.methods();
    let sentence = format!("`{}` is for {methods} only", operation.as_str());
    let mut answer = refuse(&Refusal::Malformed(Defect::new("method", sentence)));
    answer.headers.push(("Allow", methods.to_owned()));
    Action::Answer(answer)
}

fn ask(request: Request<'_>, want: Want, key: KeySource) -> Result<Ask, Refusal> {
    if !request.content_type.is_some_and(|said| wire::is_media(said, wire::PKCS10)) {
        let sentence = "the Content-Type of a request is `application/pkcs10`: say so";
        return Err(Refusal::Malformed(Defect::new("content-type", sentence)));
    }
    if unreadable_token(&request) {
        return Err(Refusal::Denied(RuleId::TOKEN_REFUSED));
    }
    let csr = wire::read_request(request.body).map_err(Refusal::Malformed)?;
    if key == KeySource::Server {
        key_not_encrypted(&csr)?;
    }
    let binding = wire::binding(&csr, request.exporter.as_ref());
    Ok(Ask { want, key, csr, binding, from: request.from, shown: shown(request) })
}

/// Somebody with nothing else to show means an `Authorization` to be a token; beside a certificate
/// it may be noise.
fn unreadable_token(request: &Request<'_>) -> bool {
    request.chain.is_empty() && request.authorization.is_some() && token(request).is_none()
}

fn token(request: &Request<'_>) -> Option<ShownToken> {
    request.authorization.and_then(wire::read_authorization)
}

fn shown(request: Request<'_>) -> Shown {
    let receipt = request.receipt.and_then(wire::read_receipt);
    Shown { token: token(&request), chain: request.chain, receipt }
}

/// id-aa-decryptKeyID (RFC 7030 §4.4.1.1) and id-aa-asymmDecryptKeyID (§4.4.1.2).
const KEY_ENCRYPTION: [ObjectIdentifier; 2] =
    [rfc5911::ID_AA_DECRYPT_KEY_ID, ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.54")];

/// RFC 7030 §4.4.1 demands an error where the encryption that a request asks for cannot be given.
fn key_not_encrypted(csr: &Csr) -> Result<(), Refusal> {
    if KEY_ENCRYPTION.into_iter().all(|oid| csr.attribute_value(oid).is_none()) {
        return Ok(());
    }
    let sentence = "the key travels under TLS only, and is not encrypted once more: \
        ask without DecryptKeyIdentifier and AsymmetricDecryptKeyIdentifier";
    Err(Refusal::Malformed(Defect::new("key-encryption", sentence)))
}

/// The answer that carries a leaf (in DER), and the leaf alone.
#[must_use]
pub fn enrolled(leaf: &impl AsRef<[u8]>) -> Answer {
    certificates(&[leaf])
}

/// The answer that carries the authorities of a realm, each after the one it signed.
#[must_use]
pub fn cacerts(chain: &[Certificate]) -> Answer {
    certificates(chain)
}

fn certificates(found: &[impl AsRef<[u8]>]) -> Answer {
    match certs_only::write(found) {
        Ok(pkcs7) => base64_answer(wire::CERTS_ONLY.to_owned(), wire::write_body(&pkcs7)),
        Err(_) => too_large(),
    }
}

/// The answer that carries a private key made here, and its leaf (in DER). The host keeps nothing
/// of it once it is sent.
#[must_use]
pub fn enrolled_with_key(leaf: &impl AsRef<[u8]>, pkcs8: &[u8]) -> Answer {
    match certs_only::write(&[leaf]) {
        Ok(pkcs7) => ok(multipart::content_type(), multipart::write(pkcs8, &pkcs7)),
        Err(_) => too_large(),
    }
}

/// The answer that says what a request should have; `binding` is the door's demand.
#[must_use]
pub fn csrattrs(profile: &Profile, binding: bool) -> Answer {
    let wanted = CsrAttrs { binding, ..CsrAttrs::of(profile) };
    match wanted.write() {
        Ok(der) => base64_answer(wire::CSRATTRS.to_owned(), wire::write_body(&der)),
        Err(_) => too_large(),
    }
}

/// RFC 8951 §3 wants `Content-Transfer-Encoding` ignored; some clients still refuse an answer
/// without it.
fn base64_answer(content_type: String, body: Vec<u8>) -> Answer {
    let mut answer = ok(content_type, body);
    answer.headers.push(("Content-Transfer-Encoding", "base64".to_owned()));
    answer
}

fn ok(content_type: String, body: Vec<u8>) -> Answer {
    let headers = vec![("Content-Type", content_type)];
    Answer { status: 200, headers, body, close: false, refusal: None }
}

fn too_large() -> Answer {
    refuse(&Refusal::Outage(Cause("the answer is larger than DER can say".into())))
}

/// A device that was too fast waits a minute: its limit refills within.
pub const RETRY_AFTER_RATE_S: u32 = 60;
/// A fault of ours is a restart, or a disk that somebody has to look at: half a minute keeps a
/// fleet from storming.
pub const RETRY_AFTER_OUTAGE_S: u32 = 30;

/// The answer that turns somebody away: a sentence that says whose move is next.
#[must_use]
pub fn refuse(refusal: &Refusal) -> Answer {
    let status = status(refusal);
    let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    match status {
        401 => headers.push(("WWW-Authenticate", "Basic realm=\"muster\"".to_owned())),
        429 => headers.push(("Retry-After", RETRY_AFTER_RATE_S.to_string())),
        503 => headers.push(("Retry-After", RETRY_AFTER_OUTAGE_S.to_string())),
        _ => {}
    }
    let body = format!("{refusal}\n").into_bytes();
    let close = matches!(status, 401 | 403);
    Answer { status, headers, body, close, refusal: Some(refusal.clone()) }
}

/// The one place where a refusal becomes a status code.
fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::Malformed(defect) => match defect.name {
            "path" => 404,
            "method" => 405,
            "body-too-large" | "csr-too-large" => 413,
            "content-type" => 415,
            "fullcmc" => 501,
            _ => 400,
        },
        Refusal::Denied(rule) => match rule {
            rule if [RuleId::NO_CREDENTIAL, RuleId::TOKEN_REFUSED].contains(rule) => 401,
            rule if *rule == RuleId::RATE => 429,
            // No fault of the device's: it may come again unchanged, once there is one.
            rule if *rule == RuleId::NO_AUTHORITY => 503,
            _ => 403,
        },
        Refusal::Outage(_) => 503,
    }
}
