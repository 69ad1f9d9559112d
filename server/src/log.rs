//! Structured logs on standard error: for people where a terminal is, else one JSON object a line.
//! What is logged names devices, certificates and reasons; secrets have no `Display` and cannot be.

use serde::Deserialize;
use std::io::{IsTerminal, stderr};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::fmt;

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What somebody must look at.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Every step.
    Trace,
}

/// For whom it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// People where standard error is a terminal, else machines.
    #[default]
    Auto,
    /// A line that people read.
    Human,
    /// JSON lines.
    Json,
}

impl Format {
    /// Whether people read it: then what is not an event may stand between the lines, too.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        self == Self::Human || (self == Self::Auto && stderr().is_terminal())
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Begins to log, for the whole process.
///
/// # Errors
/// Where somebody else has begun already, as two servers of one test do; their log then has both.
pub fn begin(level: Level, format: Format) -> Result<(), SetGlobalDefaultError> {
    let terminal = stderr().is_terminal();
    let people = format.is_for_people();
    let base = fmt().with_max_level(LevelFilter::from(level)).with_writer(stderr);
    if people {
        let human = base.with_ansi(terminal).with_target(false).compact().finish();
        tracing::subscriber::set_global_default(human)
    } else {
        let json = base.json().flatten_event(true).with_current_span(false).with_span_list(false);
        tracing::subscriber::set_global_default(json.finish())
    }
}
