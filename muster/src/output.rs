//! What a verb prints: one JSON value with `--json`, else words and tables; colour only where it is
//! wanted.

use crate::failure::{Failure, Outcome};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a file or a pipe.
    Always,
    /// Not at all.
    Never,
}

/// Whether to colour, decided once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Decides for a stream that is, or is not, a terminal.
    pub(crate) fn decide(color: Color, terminal: bool) -> Self {
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !asked_not_to,
        })
    }

    /// Something that went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Something to see first.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Something that went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Prints one JSON value: indented for a person at a terminal, in one line for a program.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Outcome {
    let mut out = std::io::stdout().lock();
    let written = if out.is_terminal() {
        serde_json::to_writer_pretty(&mut out, value)
    } else {
        serde_json::to_writer(&mut out, value)
    };
    written.map_err(|e| Failure::from(std::io::Error::from(e)))?;
    Ok(writeln!(out)?)
}

/// Prints text as it is, ending in exactly one line break; nothing where it is empty.
pub(crate) fn text(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    if !text.is_empty() {
        writeln!(out, "{}", text.trim_end_matches('\n'))?;
    }
    Ok(out.flush()?)
}

/// Says something on stderr, in a line of its own. Where that cannot be written, nobody else is there
/// to be told: the exit code still says how it went.
pub(crate) fn aside(text: &str) {
    let _unheard = writeln!(std::io::stderr().lock(), "{text}");
}

/// What may stand in a terminal: control characters of a name that somebody else chose could move
/// the cursor or recolour the screen.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        assert_eq!(Paint::decide(Color::Never, true).bad("x"), "x");
        assert_eq!(Paint::decide(Color::Auto, false).bad("x"), "x");
        assert_eq!(Paint::decide(Color::Always, false).strong("x"), "\u{1b}[1mx\u{1b}[0m");
    }

    #[test]
    fn a_serial_number_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
