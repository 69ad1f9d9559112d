//! Sinks: receivers outside of the house that are told of entries as they come.

use crate::ledger::Severity;
use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// How a sink is reached.
    SinkKind {
        /// A signed POST for each entry (Standard Webhooks), answered by 2xx.
        Webhook = "webhook",
        /// Lines of RFC 5424 over TLS (RFC 5425), which nobody answers.
        Syslog = "syslog",
    }
}

words! {
    /// How an entry is written.
    SinkFormat {
        /// The JSON of `/api/v1/entries`.
        Json = "json",
        /// ArcSight's Common Event Format.
        Cef = "cef",
    }
}

/// A sink as it shall be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkRequest {
    /// How it is reached.
    pub kind: SinkKind,
    /// Where: `https://HOST[:PORT]/PATH` of a webhook, `tls://HOST[:PORT]` of a syslog receiver;
    /// `http://` and `tcp://` for a relay on the server's own machine.
    #[schema(min_length = 1, max_length = 2000)]
    pub url: String,
    /// How an entry is written; JSON where it is absent.
    #[serde(default)]
    pub format: Option<SinkFormat>,
    /// The mildest events that it is told of; `notice` where it is absent.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Fronts of verbs that it is told of; all where it is absent.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub verbs: Vec<String>,
    /// The certificates, in PEM, that its server's certificate has to lead to; those that the
    /// system trusts where it is absent.
    #[serde(default)]
    pub anchors: Option<String>,
    /// The number of the first entry that it is told of; a new sink begins with what comes, and a
    /// changed one goes on, where it is absent.
    #[serde(default)]
    pub from: Option<u64>,
}

/// A sink that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub kind: SinkKind,
    /// Where: the whole address for an admin, and scheme, host and port for everybody else, since
    /// path and query may hold what lets a sender in.
    pub url: String,
    /// The first 32 hexadecimal digits of the SHA-256 of the whole address.
    pub url_digest: String,
    /// How an entry is written.
    pub format: SinkFormat,
    /// The mildest events that it is told of.
    pub severity: Severity,
    /// Fronts of verbs that it is told of; empty is all of them.
    pub verbs: Vec<String>,
    /// Whether it has trust anchors of its own.
    pub anchored: bool,
    /// When it was made or changed.
    pub made: String,
    /// The number of the next entry that it is told of, which may be up to a second behind.
    pub next: u64,
    /// Entries that came and that it was not told of yet.
    pub behind: u64,
    /// Dead letters: entries that it did not take.
    pub dead: u64,
    /// What went wrong last; `null` while it goes well.
    pub trouble: Option<String>,
}

/// A sink that was made or changed: the only time that its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SinkMade {
    /// The sink.
    pub sink: SinkView,
    /// What its messages are signed with, as Standard Webhooks writes it (`whsec_` and base64);
    /// `null` for a sink without signatures, and for a changed one, which keeps its secret.
    pub secret: Option<String>,
}

impl std::fmt::Debug for SinkMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SinkMade({}, ..)", self.sink.name)
    }
}

/// An entry that a sink did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The number of the entry.
    pub index: u64,
    /// When it was given up.
    pub at: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the receiver said last.
    pub why: String,
}

/// What became of an attempt to tell dead letters once more, or of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinkTold {
    /// Entries that arrived.
    pub delivered: u64,
    /// Entries that are still dead letters.
    pub left: u64,
    /// What the receiver said last, where one did not arrive.
    pub trouble: Option<String>,
}

/// How many dead letters were given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinkDropped {
    /// Entries that are dead letters no more; they stay in the ledger.
    pub dropped: u64,
}
