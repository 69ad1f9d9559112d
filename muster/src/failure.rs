//! Why a verb did not do what it was asked, and what the person can do next.
//!
//! Everything that goes wrong in a verb ends as a [`Failure`]: it is printed once, on stderr, and
//! gives the exit code.

use crate::output::{Paint, aside};
use hyper::StatusCode;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// What a verb comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// A verb that was refused or failed (exit code 1), or was used wrongly (2).
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    next: Option<String>,
    kind: Kind,
    status: Option<StatusCode>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    /// Whoever read our output has gone (`muster device list | head`): nothing failed.
    NoReader,
}

impl Failure {
    /// Refused or failed; `what` is lower case, without a final period.
    pub(crate) fn new(what: impl Display) -> Self {
        Self { what: what.to_string(), next: None, kind: Kind::Failed, status: None }
    }

    /// Wrong usage that the command line's own rules cannot see.
    pub(crate) fn usage(what: impl Display) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what) }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(format!("cannot {doing} `{}`: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => failure.next("check the path"),
            io::ErrorKind::IsADirectory => failure.next("name a file in it"),
            io::ErrorKind::InvalidData => {
                failure.next("it is not text: look whether it is the file that is meant")
            }
            io::ErrorKind::PermissionDenied => {
                failure.next("run as the user whose file it is, or name another with an option")
            }
            io::ErrorKind::StorageFull => failure.next("make room, then type the same again"),
            _ => failure,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Display) -> Self {
        self.next = Some(next.to_string());
        self
    }

    /// Remembers the status that the server answered with.
    #[must_use]
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the server cannot make sense of what was sent; the same will fail again.
    pub(crate) fn is_malformed(&self) -> bool {
        self.status.is_some_and(|s| matches!(s.as_u16(), 400 | 413 | 422))
    }

    /// Whether the credential is good, but not for this.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.status == Some(StatusCode::FORBIDDEN)
    }

    /// The reason, as one sentence.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The next step, where there is one.
    #[cfg(test)]
    pub(crate) fn advice(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Prints the reason and the next step on stderr, and gives the exit code.
    pub(crate) fn report(&self, paint: Paint) -> ExitCode {
        if self.kind == Kind::NoReader {
            return ExitCode::SUCCESS;
        }
        aside(&format!("{} {}", paint.bad("error:"), self.what));
        if let Some(next) = &self.next {
            aside(&format!("{} {next}", paint.strong("next:")));
        }
        ExitCode::from(if self.kind == Kind::Usage { 2 } else { 1 })
    }
}

/// Only our own output is written with `?` on a bare `io::Error`; files say which one it was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        let kind = if gone { Kind::NoReader } else { Kind::Failed };
        Self { kind, ..Self::new(format!("cannot write the output: {error}")) }
    }
}
