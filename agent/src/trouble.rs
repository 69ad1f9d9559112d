//! Why something did not come about, sorted by whose move is next.

use std::fmt;
use std::io::Write;
use std::path::Path;

/// Why a step did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The person's who typed it, or who wrote the configuration.
    Usage(String),
    /// The device's own: a file, a key, a disk.
    Own(String),
    /// The device's own, too: what a disk holds of a file is not what was written there. What the
    /// disk or the file's permissions keep from being read is [`Self::Own`].
    Damaged(String),
    /// Nobody's yet: no answer came, and it is tried again.
    NoAnswer(String),
    /// What answered is not the server that the pinned root vouches for.
    Untrusted(String),
    /// The server said no.
    Refused {
        /// The status code.
        status: u16,
        /// Why, as the server says it.
        sentence: String,
        /// How long to wait, where the server says so.
        after_s: Option<u64>,
    },
    /// The server wants somebody to decide first.
    Later {
        /// How long to wait.
        after_s: u64,
    },
}

impl Trouble {
    /// What the system said about a file.
    #[must_use]
    pub fn file(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Own(format!("cannot {verb} `{}`: {error}", path.display()))
    }

    /// Whether the server judged who we are, and said no.
    #[must_use]
    pub const fn is_turned_away(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. })
    }

    /// Whether it is what a server decided about us or about what we asked. That nobody answers, or
    /// has no time, takes nothing back of what was said before.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        matches!(self, Self::Refused { status: 400..=428 | 430..=499, .. })
    }

    /// How long the server wants us to wait.
    #[must_use]
    pub const fn after_s(&self) -> Option<u64> {
        match self {
            Self::Refused { after_s, .. } => *after_s,
            Self::Later { after_s } => Some(*after_s),
            _ => None,
        }
    }

    /// The exit code of a verb that ends with it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

/// Tells somebody who reads standard error. Where that cannot be written, nobody else is there to be
/// told, and the device stays enrolled all the same.
pub fn tell(trouble: &impl fmt::Display) {
    let _unheard = writeln!(std::io::stderr().lock(), "muster-agent: {trouble}");
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(sentence)
            | Self::Own(sentence)
            | Self::Damaged(sentence)
            | Self::NoAnswer(sentence)
            | Self::Untrusted(sentence) => f.write_str(sentence),
            Self::Refused { status, sentence, .. } if sentence.is_empty() => {
                write!(f, "the server refused with status {status} and no word why")
            }
            Self::Refused { status, sentence, .. } => {
                write!(f, "the server refused ({status}): {sentence}")
            }
            Self::Later { after_s } => {
                write!(f, "somebody has to decide first: asking again in {after_s} s")
            }
        }
    }
}

impl std::error::Error for Trouble {}
