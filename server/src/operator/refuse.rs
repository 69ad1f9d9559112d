//! Why the operators' interface says no, and the one place where a status code is chosen.
//!
//! A handler answers [`Refused`]; the response carries it as an extension, and [`finish`] writes
//! the `problem+json` (RFC 9457) with the path that was asked for. So every refusal, whoever made
//! it, has the same members, and each is counted.

use api::Problem;
use api::page::LIMIT_MAX;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::RuleId;
use registry::{Clash, CommitError, ReadError, Role};

/// Why a request is refused, sorted by whose move is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No bearer credential was shown.
    NoCredential,
    /// The one that was shown is unknown, or its secret is wrong.
    BadCredential,
    /// The credential's role may not do this.
    Role { has: Role, needs: &'static str },
    /// There is no such address.
    NoSuchPath,
    /// The address does not take this method.
    NoSuchMethod,
    /// There is no such row.
    Missing { what: &'static str, name: String },
    /// The name fits several devices.
    Ambiguous { name: String, candidates: Vec<String> },
    /// The body, a parameter or a header is not what the contract says.
    Malformed(String),
    /// The body is of another media type.
    MediaType,
    /// The body is too large.
    TooLarge { octets_max: usize },
    /// The row has changed since the caller read it.
    Stale { tag: Option<String> },
    /// What was asked for does not fit what is there.
    Conflict(String),
    /// A rule of the house says no.
    Rule { rule: &'static str, sentence: String },
    /// The idempotency key was used for another request.
    KeyReused,
    /// The first request with this idempotency key is still under way.
    KeyBusy,
    /// Too many wrong credentials came from this address.
    TooOften,
    /// The credential has more idempotency keys than are remembered.
    TooManyKeys,
    /// Too many of something at once.
    Busy(&'static str),
    /// The realm's witnesses have not cosigned it yet; when it is worth asking again.
    Unwitnessed { sentence: String, after_s: u64 },
    /// Ours: the caller may retry unchanged.
    Outage(&'static str),
}

/// How a kind of refusal is told, the same for each occurrence.
#[derive(Clone, Copy)]
struct Told {
    status: StatusCode,
    rule: &'static str,
    title: &'static str,
    next: &'static str,
}

/// One table: constant, status, stable name, title, and what to do next.
macro_rules! told {
    ($($constant:ident = $status:ident, $rule:literal, $title:literal, $next:literal;)+) => {
        $(const $constant: Told = Told {
            status: StatusCode::$status,
            rule: $rule,
            title: $title,
            next: $next,
        };)+
    };
}

told! {
    NO_CREDENTIAL = UNAUTHORIZED, "no-credential", "no credential",
        "send `Authorization: Bearer ID.SECRET` with the token of an operator";
    BAD_CREDENTIAL = UNAUTHORIZED, "bad-credential", "unknown credential",
        "check the token, or ask an admin for a new one with `muster operator add`";
    ROLE = FORBIDDEN, "role", "the role does not allow it",
        "ask an admin to do it, or for a credential with that role";
    NO_SUCH_PATH = NOT_FOUND, "no-such-path", "no such address",
        "read /api/v1/openapi.json for every address";
    NO_SUCH_METHOD = METHOD_NOT_ALLOWED, "no-such-method", "the address does not take this method",
        "use one of the methods in the `Allow` header";
    MISSING = NOT_FOUND, "missing", "not found",
        "check the name against the list of them";
    AMBIGUOUS = CONFLICT, "ambiguous", "the name fits several devices",
        "name one of the candidates by its UUID";
    MALFORMED = BAD_REQUEST, "malformed", "the request is malformed",
        "correct the request: `muster VERB --help` or /api/v1/openapi.json says what is expected";
    MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "media-type", "the body is not JSON",
        "send the body with `Content-Type: application/json`";
    TOO_LARGE = PAYLOAD_TOO_LARGE, "too-large", "the body is too large",
        "send less at once";
    STALE = PRECONDITION_FAILED, "stale", "changed since it was read",
        "read it again, look at what changed, and try again with the new ETag";
    CONFLICT = CONFLICT, "conflict", "it does not fit what is there",
        "read it again and decide anew";
    RULE = CONFLICT, "rule", "a rule says no",
        "the same will be refused again until that has changed";
    KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency-key-reused",
        "the idempotency key belongs to another request",
        "use a new key for a new request";
    KEY_BUSY = CONFLICT, "idempotency-key-busy",
        "the first request with this idempotency key is under way",
        "wait for its answer, or try again in a second";
    TOO_OFTEN = TOO_MANY_REQUESTS, "rate", "too many requests",
        "wait some seconds; a right credential is let in again as soon as others stop guessing";
    TOO_MANY_KEYS = TOO_MANY_REQUESTS, "idempotency-keys", "too many idempotency keys",
        "send the request without a key, or wait until the first of them are 24 hours old";
    UNWITNESSED = SERVICE_UNAVAILABLE, "unwitnessed", "not cosigned by witnesses yet",
        "ask again in a moment; where it stays so, `muster ledger witness list` shows an operator \
         which witness does not cosign, and why";
    BUSY = SERVICE_UNAVAILABLE, "busy", "too much at once",
        "try again in a few seconds";
    OUTAGE = SERVICE_UNAVAILABLE, "outage", "the server cannot do it now",
        "try again unchanged; /readyz and the server's log say what is out of order";
}

impl Refused {
    /// A device stays where it stands.
    pub(crate) fn standing(rule: &RuleId) -> Self {
        let (rule, sentence) = match rule {
            r if *r == RuleId::RETIRED => ("retired", "the device is retired for good"),
            r if *r == RuleId::QUARANTINED => (
                "quarantined",
                "the device is quarantined: it is held already, and is let in again by a release, \
                 with a new key only",
            ),
            r if *r == RuleId::SUSPENDED => (
                "suspended",
                "the device is suspended and not quarantined: resume it, or quarantine it first",
            ),
            _ => ("rule", "the device stays where it stands"),
        };
        Self::Rule { rule, sentence: sentence.to_owned() }
    }

    const fn told(&self) -> Told {
        match self {
            Self::NoCredential => NO_CREDENTIAL,
            Self::BadCredential => BAD_CREDENTIAL,
            Self::Role { .. } => ROLE,
            Self::NoSuchPath => NO_SUCH_PATH,
            Self::NoSuchMethod => NO_SUCH_METHOD,
            Self::Missing { .. } => MISSING,
            Self::Ambiguous { .. } => AMBIGUOUS,
            Self::Malformed(_) => MALFORMED,
            Self::MediaType => MEDIA_TYPE,
            Self::TooLarge { .. } => TOO_LARGE,
            Self::Stale { .. } => STALE,
            Self::Conflict(_) => CONFLICT,
            Self::Rule { rule, .. } => Told { rule, next: next_of(rule), ..RULE },
            Self::KeyReused => KEY_REUSED,
            Self::KeyBusy => KEY_BUSY,
            Self::TooOften => TOO_OFTEN,
            Self::TooManyKeys => TOO_MANY_KEYS,
            Self::Busy(_) => BUSY,
            Self::Unwitnessed { .. } => UNWITNESSED,
            Self::Outage(_) => OUTAGE,
        }
    }

    /// In how many seconds the same may be asked again, where waiting helps.
    const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::KeyBusy => Some(1),
            Self::Unwitnessed { after_s, .. } => Some(*after_s),
            Self::TooOften | Self::Busy(_) | Self::Outage(_) => Some(5),
            // What is 24 hours old goes once an hour.
            Self::TooManyKeys => Some(3600),
            _ => None,
        }
    }

    /// Whether it is not for what was asked, but for how the server is: the same may be asked again.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Outage(_))
    }

    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NoCredential => "the request carries no bearer token".to_owned(),
            Self::BadCredential => "the bearer token is unknown, or was taken away".to_owned(),
            Self::Role { has, needs } => {
                format!("this needs the role {needs}, and the credential has `{has}`")
            }
            Self::NoSuchPath => "nothing is served here".to_owned(),
            Self::NoSuchMethod => "something is served here, but not for this method".to_owned(),
            Self::Missing { what, name } => format!("there is no {what} `{}`", short(name)),
            Self::Ambiguous { name, candidates } => {
                let more = if candidates.len() >= 10 { " or more" } else { "" };
                format!("`{}` fits {}{more} devices", short(name), candidates.len())
            }
            Self::Malformed(sentence) | Self::Conflict(sentence) => sentence.clone(),
            Self::Rule { sentence, .. } | Self::Unwitnessed { sentence, .. } => sentence.clone(),
            Self::MediaType => "the body must be JSON in UTF-8, and not compressed".to_owned(),
            Self::TooLarge { octets_max } => format!("a body here has at most {octets_max} octets"),
            Self::Stale { tag: Some(tag) } => format!("its ETag is {tag} now"),
            Self::Stale { tag: None } => "it does not exist".to_owned(),
            Self::KeyReused => {
                "this `Idempotency-Key` came within 24 hours with another request".to_owned()
            }
            Self::KeyBusy => "this `Idempotency-Key` came a moment ago".to_owned(),
            Self::TooOften => "too many wrong credentials came from this address".to_owned(),
            Self::TooManyKeys => format!(
                "this credential has sent {} idempotency keys within 24 hours, or ones whose \
                 answers fill {} MiB",
                super::once::KEYS_MAX,
                super::once::ANSWERS_OCTETS_MAX / (1024 * 1024)
            ),
            Self::Busy(what) | Self::Outage(what) => (*what).to_owned(),
        }
    }

    /// The status and the name of the rule, for the record.
    pub(crate) fn rule(&self) -> &'static str {
        self.told().rule
    }

    fn problem(&self, instance: &str) -> Problem {
        let Told { status, rule, title, next } = self.told();
        let candidates = match self {
            Self::Ambiguous { candidates, .. } => candidates.clone(),
            _ => Vec::new(),
        };
        Problem {
            kind: format!("{}{rule}", api::problem::TYPE_PREFIX),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail(),
            instance: instance.to_owned(),
            rule: rule.to_owned(),
            next: next.to_owned(),
            candidates,
        }
    }
}

/// What to do next where a rule says no. Some of what rules name never changes.
const fn next_of(rule: &str) -> &'static str {
    match rule.as_bytes() {
        b"retired" | b"anchor" => "nothing undoes that: leave it so, and go on with another one",
        b"revoked" => "nothing undoes a revocation: let the device have another certificate",
        b"root" => "a root is rolled over with `muster ca roll root`, where its key is",
        b"barred" => "nothing undoes that: make another one with `muster ca roll ROLE`",
        _ => RULE.next,
    }
}

/// What somebody sent comes back shortened: a problem is for reading.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.told().status.into_response();
        let headers = response.headers_mut();
        if self.told().status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"muster\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(after_s) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, after_s.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a refusal, now that the path is known, and gives the rule that said no.
pub(crate) fn finish(mut response: Response, path: &str) -> (Response, Option<&'static str>) {
    let Some(refused) = response.extensions_mut().remove::<Refused>() else {
        return (response, None);
    };
    let problem = refused.problem(&short(path));
    // A problem is made of text and a number, which JSON always holds.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let media = HeaderValue::from_static(api::problem::MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media);
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    (response, Some(refused.rule()))
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        tracing::error!("operator: {error}");
        Self::Outage("the registry cannot be read")
    }
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(clash) => Self::from(clash),
            CommitError::Busy => Self::Busy("more changes are waiting than can be written"),
            CommitError::Storage(cause) => {
                tracing::error!("operator: the registry cannot be written: {cause}");
                Self::Outage("the registry cannot be written")
            }
            CommitError::Closed => Self::Outage("the registry is closed: the server stops"),
        }
    }
}

impl From<Clash> for Refused {
    fn from(clash: Clash) -> Self {
        match clash {
            Clash::LastAdmin => {
                let sentence = "it is the last admin: add another one first".to_owned();
                Self::Rule { rule: "last-admin", sentence }
            }
            Clash::LastSigner(role) => Self::Rule {
                rule: "last-active",
                sentence: format!(
                    "it is the only {role} authority that signs: give it a successor first, \
                     `muster ca roll {role}`"
                ),
            },
            Clash::RequestGone => Self::Rule {
                rule: "request-gone",
                sentence: "its request was answered or given up meanwhile: `muster ca list` shows \
                           what came of it, `muster ca roll ROLE` begins anew"
                    .to_owned(),
            },
            Clash::SecondDoor => Self::Rule {
                rule: "second-door",
                sentence: "a birth certificate and a token name no door, so there is one door for \
                           each: change the one that `muster door list` shows, with \
                           `muster door add NAME --replace`, or close it and remove it first"
                    .to_owned(),
            },
            other => Self::Conflict(other.to_string()),
        }
    }
}

/// A limit that is out of its bounds.
pub(crate) fn limit_out_of_bounds() -> Refused {
    Refused::Malformed(format!("`limit` is a whole number from 1 to {LIMIT_MAX}"))
}
