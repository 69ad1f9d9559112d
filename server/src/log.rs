//! Structured logs on standard error: for people where a terminal is, else one JSON object a line.
//! What is logged names devices, certificates and reasons; secrets have no `Display` and cannot be.

use crate::home::config::Log;
use serde::Deserialize;
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

/// How much is said by the process's log, where we began it.
static SAID: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

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

/// Begins to log, for the whole process: as much as was typed, else what the file says.
///
/// # Errors
/// Where somebody else has begun already, as two servers of one test do; their log then has both.
pub fn begin(typed: Option<Level>, file: &Log) -> Result<(), TryInitError> {
    let (terminal, format) = (stderr().is_terminal(), file.format);
    let level = typed.unwrap_or(file.level);
    let (filter, said) = reload::Layer::new(LevelFilter::from(level));
    let log = tracing_subscriber::registry().with(filter);
    // What cannot be written is lost: a full disk behind a redirection must not end the server.
    let lines = fmt::layer().with_writer(stderr).log_internal_errors(false);
    if format.is_for_people() {
        log.with(lines.with_ansi(terminal).with_target(false).compact()).try_init()?;
    } else {
        let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        log.with(json).try_init()?;
    }
    // What was typed goes before the file, also before what stands in it later.
    if typed.is_none() {
        // Nobody else has begun, so nobody else has set it.
        let _first = SAID.set(said);
    }
    Ok(())
}

/// Says more or less from now on; nothing changes where the log is somebody else's.
pub fn say(level: Level) {
    let changed = SAID.get().map(|said| said.reload(LevelFilter::from(level)));
    if let Some(Err(error)) = changed {
        tracing::error!("the level of the log was not changed: {error}");
    }
}
