//! What a device asks for, and why it may be turned away. An [`Ask`] goes from a door to a
//! decision: `enroll` makes it from bytes, `ca` judges it, and neither knows the other.

use crate::certificate::Certificate;
use crate::csr::Csr;
use crate::token::ShownToken;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// A wish for a leaf, possession of its key already proven by the CSR's signature.
#[derive(Debug)]
pub struct Ask {
    /// Join or renew.
    pub want: Want,
    /// Whose key the leaf shall have.
    pub key: KeySource,
    /// The request. Of its names only identifiers are read, and only to look for contradictions.
    pub csr: Csr,
    /// What was shown.
    pub shown: Shown,
    /// Whether the CSR is bound to this TLS connection.
    pub binding: Binding,
    /// Where it came from, for the record.
    pub from: IpAddr,
}

/// Join or renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The first leaf, or a new one from nothing but the birth certificate (EST `simpleenroll`).
    Join,
    /// A leaf after a leaf (EST `simplereenroll`).
    Renew,
}

impl Want {
    /// The front of the verb in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Renew => "renew",
        }
    }
}

/// Whose key the leaf shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The one that signed the CSR.
    Device,
    /// One that the host makes and hands over (EST `serverkeygen`).
    Server,
}

/// What somebody showed. A handshake proves that they hold the key of `chain`'s first certificate,
/// and nothing else.
#[derive(Debug, Default)]
pub struct Shown {
    /// The certificates of the TLS handshake, the holder's first; empty where none was shown.
    pub chain: Vec<Certificate>,
    /// A join token.
    pub token: Option<ShownToken>,
    /// The receipt of the certificate's issuance, a C2SP tlog-proof; nothing of it is believed yet.
    pub receipt: Option<String>,
}

/// Whether a CSR is bound to the TLS connection that carries it (RFC 7030 §3.5 with RFC 9266
/// `tls-exporter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The CSR carries no challenge password.
    Absent,
    /// It carries the connection's exporter value.
    Held,
    /// It carries another value: an old client's `tls-unique`, or a CSR replayed from another
    /// connection.
    Other,
}

/// Why a device is turned away, sorted by whose move is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device's: these bytes will fail again.
    Malformed(Defect),
    /// The operator's: a rule said no, and this is its name.
    Denied(RuleId),
    /// Ours: the device may retry unchanged.
    Outage(Cause),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(defect) => defect.fmt(f),
            Self::Denied(rule) => f.write_str(&rule.sentence()),
            Self::Outage(cause) => cause.fmt(f),
        }
    }
}

/// What is wrong with the bytes: a stable name for metrics and entries, and a sentence for the one
/// who sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Lower case with dashes, `csr-signature`.
    pub name: &'static str,
    /// Lower case, no final period.
    pub sentence: Cow<'static, str>,
}

impl Defect {
    /// A defect.
    #[must_use]
    pub fn new(name: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { name, sentence: sentence.into() }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// What of ours is out of order, as a sentence without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub Cow<'static, str>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a rule that said no.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Cow<'static, str>);

/// One table for the built-in rules: constant, stable name, and the sentence that says who must
/// act.
macro_rules! rules {
    ($($constant:ident = $name:literal, $sentence:literal;)+) => {
        impl RuleId {
            $(#[doc = $sentence] pub const $constant: Self = Self(Cow::Borrowed($name));)+

            /// Why, and who must act: lower case, no final period.
            #[must_use]
            pub fn sentence(&self) -> Cow<'static, str> {
                match self.0.as_ref() {
                    $($name => Cow::Borrowed($sentence),)+
                    other => {
                        Cow::Owned(format!("rule `{other}` said no: ask the operator of this realm"))
                    }
                }
            }

            /// Every built-in rule.
            pub const ALL: &'static [Self] = &[$(Self::$constant),+];
        }
    };
}

rules! {
    NO_CREDENTIAL = "no-credential",
        "nothing was shown that names a device: show a birth certificate, a maker's certificate \
         or a join token";
    UNKNOWN_ISSUER = "unknown-issuer",
        "the certificate shown does not chain to this realm or to an open maker door: ask the \
         operator to add its maker";
    NOT_YET_VALID = "not-yet-valid",
        "the certificate shown is not valid yet: check the clock of the device";
    EXPIRED = "expired",
        "the certificate shown has ended: join again with the birth certificate, or ask the \
         operator for a token";
    WRONG_USAGE = "wrong-usage",
        "the certificate shown is not for clients: use the device's own birth certificate or leaf";
    UNKNOWN_CERTIFICATE = "unknown-certificate",
        "the certificate shown is not in this realm's records: ask the operator";
    REVOKED = "revoked",
        "the certificate shown was revoked: ask the operator of this realm";
    AUTHORITY_BARRED = "authority-barred",
        "the authority that signed the certificate shown was barred: join again with the birth \
         certificate, or ask the operator of this realm";
    AUTHORITY_RETIRED = "authority-retired",
        "the authority that signed the leaf shown has retired: join again with the birth \
         certificate, or ask the operator for a token";
    SPENT = "spent",
        "the leaf shown was replaced by a newer one that is in use: use the newer one, or join \
         again with a new key";
    DOOR_CLOSED = "door-closed",
        "this way in is closed: ask the operator to open the door";
    DOOR_REMOVED = "door-removed",
        "the door by which this device came in was removed, and its demands with it: ask the \
         operator to set one of that name again";
    NOT_ALLOWED = "not-allowed",
        "the serial number is not on the allow-list of this maker's door: ask the operator to \
         add it";
    NO_SERIAL = "no-serial",
        "the maker's certificate has no serial number where the door looks for it: ask the \
         operator to check the door";
    SUSPENDED = "suspended",
        "this device is suspended: ask the operator to resume it";
    QUARANTINED = "quarantined",
        "this device is quarantined: ask the operator to release it";
    RETIRED = "retired",
        "this device is retired for good: it cannot come back under this identity";
    TOKEN_REFUSED = "token-refused",
        "the join token is unknown, spent, ended or revoked: ask the operator for a new one";
    TOKEN_OTHER_SERIAL = "token-other-serial",
        "the join token is not for this device: ask the operator for one that names its serial \
         number";
    TOKEN_AMBIGUOUS = "token-ambiguous",
        "several devices have the serial number that the join token names: ask the operator for \
         one that names maker and model too";
    KEY_COMPROMISED = "key-compromised",
        "this key was revoked as compromised: make a new key";
    KEY_OF_ANOTHER = "key-of-another",
        "this key belongs to another device: make a new key";
    KEY_OF_BIRTH = "key-of-birth",
        "a leaf needs a key of its own, not the one of the birth certificate: make a new key";
    KEY_SPENT = "key-spent",
        "this key was used up: every leaf of it is spent or revoked, so make a new key";
    KEY_KIND = "key-kind",
        "the profile does not allow this kind of key: use another, or ask the operator to \
         change the profile";
    BINDING = "binding",
        "this door demands a CSR that carries the tls-exporter value of its own connection (RFC \
         9266): sign a new one";
    RECEIPT = "receipt",
        "this door demands the receipt of the certificate shown, as base64 in the header \
         Muster-Receipt, and none came that proves its issuance: ask whoever made the device for \
         its .tlog-proof";
    CONTRADICTION = "contradiction",
        "the identifiers contradict the birth record: ask the operator, who sees both in \
         `muster device show`";
    OTHER_UNIT = "other-unit",
        "the CSR names another serial number than the station says: send the CSR of this unit";
    SECOND_BIRTH = "second-birth",
        "this serial number was born with another key: ask the operator, who may repeat it with \
         `--replace`";
    KEY_BORN_TWICE = "key-born-twice",
        "this key was born with other identifiers: each unit needs a key of its own";
    BIRTH_DIFFERS = "birth-differs",
        "this unit was born without some of these identifiers, and identifiers are bound at birth: \
         send it as it was born, or, where it was reworked, repeat it with `--replace` and a reason";
    SERVER_KEY = "server-key",
        "the profile does not let the server make keys: make the key on the device, or ask the \
         operator to allow it";
    NOT_ENROLLED = "not-enrolled",
        "this is for devices that are in: join first, and show the leaf";
    RATE = "rate",
        "too many requests from this device, or from strangers at its address: wait and try again";
    NO_AUTHORITY = "no-authority",
        "the realm has no active authority for this, and its operator has to install one: try again \
         later";
}

impl RuleId {
    /// A rule of the realm's own.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Cow::Owned(name.to_owned()))
    }

    /// Its stable name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
