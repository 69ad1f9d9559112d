//! What one command line carries to its verb: options that hold everywhere, and the way to a
//! server.

use crate::credential::OperatorFile;
use crate::failure::Outcome;
use crate::home;
use crate::output::{self, Color, Paint};
use crate::rest::Rest;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueHint};
use serde::Serialize;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Options that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Everywhere {
    /// Print one JSON value instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// The operator credential to use [default: HOME/operator.toml; what `--home` names goes before
    /// the variable].
    #[arg(long = "as", value_name = "FILE", value_hint = ValueHint::FilePath, global = true, env = "MUSTER_OPERATOR")]
    #[arg(hide_env_values = true)]
    credential: Option<OsString>,
    /// The home of the server [default: /var/lib/muster where readable, else ./muster-home].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    #[arg(env = "MUSTER_HOME", hide_env_values = true)]
    home: Option<OsString>,
    /// When to use colours: auto (on a terminal, unless NO_COLOR is set), always, never.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", global = true)]
    #[arg(hide_possible_values = true)]
    color: Color,
}

impl Everywhere {
    /// Colours of stderr, where failures are told.
    pub(crate) fn paint_errors(&self) -> Paint {
        Paint::decide(self.color, std::io::stderr().is_terminal())
    }

    /// What was typed goes before what the environment says: `--home DIR` names a server, and a
    /// credential of another one that a shell still has in `$MUSTER_OPERATOR` must not answer for it.
    pub(crate) fn prefer_typed(mut self, typed: &ArgMatches) -> Self {
        let from = |id| typed.value_source(id);
        if from("home") == Some(ValueSource::CommandLine)
            && from("credential") == Some(ValueSource::EnvVariable)
        {
            self.credential = None;
        }
        self
    }

    /// Resolves what was left out.
    pub(crate) fn open(&self) -> Session {
        Session {
            json: self.json,
            credential: said(self.credential.as_ref()),
            home: home::find(said(self.home.as_ref())),
            paint: Paint::decide(self.color, std::io::stdout().is_terminal()),
        }
    }
}

/// A variable that is set to nothing says nothing.
fn said(path: Option<&OsString>) -> Option<PathBuf> {
    path.filter(|p| !p.is_empty()).map(PathBuf::from)
}

/// One run of one verb.
pub(crate) struct Session {
    /// Whether the answer is one JSON value.
    pub(crate) json: bool,
    /// The home, which may not exist.
    pub(crate) home: PathBuf,
    /// Colours of stdout.
    pub(crate) paint: Paint,
    credential: Option<PathBuf>,
}

impl Session {
    /// The credential of this run.
    pub(crate) fn credential(&self) -> Outcome<OperatorFile> {
        OperatorFile::find(self.credential.as_deref(), &self.home)
    }

    /// Where the credential of this run is.
    pub(crate) fn credential_path(&self) -> PathBuf {
        OperatorFile::path(self.credential.as_deref(), &self.home)
    }

    /// A client with the credential of this run.
    pub(crate) fn rest(&self) -> Outcome<Rest> {
        Rest::new(&self.credential()?)
    }

    /// Whether the credential is the one in the home, so that the server is on this machine.
    pub(crate) fn is_at_home(&self) -> bool {
        self.credential.is_none()
    }

    /// Prints a value as JSON, or as `words` puts it for a person.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        value: &T,
        words: impl FnOnce(&T, Paint) -> String,
    ) -> Outcome {
        if self.json { output::json(value) } else { output::text(&words(value, self.paint)) }
    }

    /// Says something that is not the answer: on stderr, and so never in a pipe.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json || std::io::stderr().is_terminal() {
            output::aside(text);
        }
    }
}
