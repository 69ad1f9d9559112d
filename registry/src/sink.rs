//! Sinks: who is told of entries as they come, beside the ledger's own readers.

use identity::UnixTime;
use identity::key::sha256;
use identity::text::hex;
use ledger::Severity;
use std::fmt;

/// A receiver outside of the house.
#[derive(Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its name, unique in the realm.
    pub name: String,
    /// How it is reached.
    pub kind: SinkKind,
    /// Where: `https://…` of a webhook, `tls://HOST:PORT` of a syslog receiver.
    pub url: String,
    /// How an entry is written.
    pub format: SinkFormat,
    /// The mildest events that it is told of.
    pub least: Severity,
    /// Fronts of verbs that it is told of; none is all of them.
    pub verbs: Vec<String>,
    /// The certificates that its server's certificate has to lead to, in PEM; without them those
    /// that the system trusts.
    pub anchors: Option<String>,
    /// What a webhook is signed with. It has to be kept as it is: who reads the database can forge
    /// messages to this one receiver.
    pub secret: [u8; 32],
    /// When it was made.
    pub made: UnixTime,
    /// The number of the first entry that it is told of.
    pub begins: u64,
    /// Which telling this is: another one begins anew at `begins`, and how far the one before came
    /// is nobody's.
    pub telling: [u8; 8],
}

impl Sink {
    /// Scheme, host and port of its address: services put what lets a sender in into path and
    /// query.
    #[must_use]
    pub fn origin(&self) -> &str {
        let from = self.url.find("://").map_or(0, |at| at + 3);
        let rest = self.url.get(from..).unwrap_or_default();
        let to = rest.find(['/', '?', '#']).map_or(self.url.len(), |at| from + at);
        self.url.get(..to).unwrap_or_default()
    }

    /// The first half of the digits of the SHA-256 of its whole address: a change shows.
    #[must_use]
    pub fn url_digest(&self) -> String {
        let mut digits = hex(&sha256(&[self.url.as_bytes()]));
        digits.truncate(32);
        digits
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({}, {})", self.name, self.origin())
    }
}

/// The words of a small enum, as they are stored and shown.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant),+
        }

        impl $name {
            /// The word that is shown, stored and sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word; `None` for any other.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// How a sink is reached.
    SinkKind {
        /// A signed POST for each entry, answered by 2xx.
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
