//! Bytes to types and back, and every limit of the conversation. The words are the RFCs'.
//!
//! Here stand paths, media types, base64 and tokens; below are [`certs_only`] (PKCS#7),
//! [`csrattrs`] (RFC 9908) and [`multipart`] (`serverkeygen`).

pub mod certs_only;
pub mod csrattrs;
pub mod multipart;

use crate::place;
use data_encoding::BASE64;
use identity::ask::{Binding, Defect};
use identity::csr::CSR_OCTETS_MAX;
use identity::text::{base64, from_base64};
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{Csr, RealmName};

/// The largest body of a request: the largest CSR, a third more for base64, and a thirty-second for
/// CR LF after every 64 characters.
pub const BODY_OCTETS_MAX: usize = CSR_OCTETS_MAX / 8 * 11;
/// The longest chain that somebody may show: a leaf, its issuer, a root and three cross
/// certificates. Each one more costs a signature check.
pub const CHAIN_MAX: usize = 6;
/// An `Authorization` of ours has 83 octets; longer ones belong to other schemes, whose tickets end
/// at 8 KiB.
const AUTHORIZATION_OCTETS_MAX: usize = 8 * 1024;

/// RFC 7030 §4.2.1.
pub const PKCS10: &str = "application/pkcs10";
/// RFC 7030 §4.1.3 and §4.2.3.
pub const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 7030 §4.5.2.
pub const CSRATTRS: &str = "application/csrattrs";

/// What all paths begin with (RFC 8615, RFC 7030 §3.2.2).
const ROOT: &str = "/.well-known/est/";

/// The operations of RFC 7030.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The certificates of the authorities (§4.1).
    CaCerts,
    /// The first leaf (§4.2).
    SimpleEnroll,
    /// A leaf after a leaf (§4.2.2).
    SimpleReenroll,
    /// Full CMC (§4.3), not spoken here.
    FullCmc,
    /// A key from the server (§4.4).
    ServerKeyGen,
    /// What a request should have (§4.5).
    CsrAttrs,
}

impl Operation {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::CaCerts,
        Self::SimpleEnroll,
        Self::SimpleReenroll,
        Self::FullCmc,
        Self::ServerKeyGen,
        Self::CsrAttrs,
    ];

    /// The last segment of its path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::FullCmc => "fullcmc",
            Self::ServerKeyGen => "serverkeygen",
            Self::CsrAttrs => "csrattrs",
        }
    }

    /// The methods that it allows, as they stand in an `Allow` header.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        match self {
            Self::CaCerts | Self::CsrAttrs => "GET, HEAD",
            Self::SimpleEnroll | Self::SimpleReenroll | Self::FullCmc | Self::ServerKeyGen => {
                "POST"
            }
        }
    }

    /// Whether it allows `method`.
    #[must_use]
    pub fn allows(self, method: &str) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method)
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The realm; `default` where the path names none.
    pub realm: RealmName,
    /// The operation.
    pub operation: Operation,
}

impl Place {
    /// Reads `/.well-known/est/{op}` and `/.well-known/est/{realm}/{op}`; `None` for any other
    /// path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (realm, name) = place::read(ROOT, path)?;
        let operation = Operation::ALL.into_iter().find(|op| op.as_str() == name)?;
        Some(Self { realm, operation })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> String {
        place::write(ROOT, &self.realm, self.operation.as_str())
    }
}

/// Whether a `Content-Type` is `wanted`, whatever its case and its parameters.
#[must_use]
pub fn is_media(content_type: &str, wanted: &str) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    essence(content_type).eq_ignore_ascii_case(&essence(wanted))
}

/// A parameter of a header value, without its quotes: `boundary` of `multipart/mixed;
/// boundary="x"`.
#[must_use]
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|one| {
        let (key, value) = one.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// DER as a body: base64 in one unbroken run, which some clients need.
#[must_use]
pub fn write_body(der: &[u8]) -> Vec<u8> {
    base64(der).into_bytes()
}

/// Reads a body of base64, with or without line breaks (RFC 8951 §3.1).
///
/// # Errors
/// A [`Defect`] where it is empty, too large or not base64; the two things that people send instead
/// are named.
pub fn read_body(body: &[u8], octets_max: usize) -> Result<Vec<u8>, Defect> {
    if body.len() > octets_max {
        let sentence = format!("a body has at most {octets_max} octets, not {}", body.len());
        return Err(Defect::new("body-too-large", sentence));
    }
    // One unbroken run, which most clients send, is decoded without a copy.
    let der =
        BASE64.decode(body).ok().or_else(|| from_base64(body)).ok_or_else(|| not_base64(body))?;
    if der.is_empty() {
        return Err(Defect::new("body-empty", "the body is empty: send base64 of DER"));
    }
    Ok(der)
}

fn not_base64(body: &[u8]) -> Defect {
    let sentence = if body.trim_ascii_start().starts_with(b"-----BEGIN") {
        "the body is PEM: send only the base64 between its first and last line"
    } else if body.starts_with(&[0x30]) && !body.is_ascii() {
        "the body is bare DER: send it in base64 (RFC 8951 section 3)"
    } else {
        "the body is not base64 (RFC 4648 section 4)"
    };
    Defect::new("body-base64", sentence)
}

/// Reads a request, with line breaks or without; its signature is checked.
/// `Content-Transfer-Encoding` is not looked at, as RFC 8951 §3 wants it.
///
/// # Errors
/// A [`Defect`] for the one who sent it.
pub fn read_request(body: &[u8]) -> Result<Csr, Defect> {
    Csr::parse(&read_body(body, BODY_OCTETS_MAX)?)
}

/// Reads the value of `Muster-Receipt`; `None` where it is not text in base64. A header has an end,
/// and so has this.
#[must_use]
pub fn read_receipt(value: &str) -> Option<String> {
    String::from_utf8(identity::text::from_base64(value.as_bytes())?).ok()
}

/// Reads an `Authorization` header: Basic `id:secret` (RFC 7617) or Bearer `id.secret` (RFC 6750);
/// `None` where it carries no join token.
#[must_use]
pub fn read_authorization(header: &str) -> Option<ShownToken> {
    if header.len() > AUTHORIZATION_OCTETS_MAX {
        return None;
    }
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let (id, secret) = rest.split_once('.')?;
        return token(id, secret);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(rest.as_bytes()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    token(id, secret)
}

fn token(id: &str, secret: &str) -> Option<ShownToken> {
    Some(ShownToken { id: TokenId::parse(id)?, secret: TokenSecret::parse(secret)? })
}

/// A token as an `Authorization` header of the scheme Basic.
#[must_use]
pub fn dangerous_authorization(token: &ShownToken) -> String {
    let pair = format!("{}:{}", token.id, token.secret.dangerous_reveal());
    format!("Basic {}", base64(pair.as_bytes()))
}

/// The challenge password that binds a request to its connection: base64 of the 32 octets that the
/// exporter of RFC 9266 gives (label `EXPORTER-Channel-Binding`, no context), in the place that RFC
/// 7030 §3.5 has for `tls-unique`.
#[must_use]
pub fn challenge_password(exporter: &[u8; 32]) -> String {
    base64(exporter)
}

/// Whether `csr` is bound to the connection with this exporter value; without one (TLS 1.2) nothing
/// can be bound.
#[must_use]
pub fn binding(csr: &Csr, exporter: Option<&[u8; 32]>) -> Binding {
    match (csr.challenge_password(), exporter) {
        (None, _) => Binding::Absent,
        (Some(said), Some(exporter)) if said == challenge_password(exporter) => Binding::Held,
        (Some(_), _) => Binding::Other,
    }
}
