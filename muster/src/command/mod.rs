//! What a person types: one tree of nouns and verbs, one file per noun.
//!
//! [`Typed`] is the tree's root. The doc comments below and beside are the manual: clap prints them
//! with `--help`, and [`tree`] adds to each verb what holds for all of them.

mod birth;
pub(crate) mod ca;
mod cert;
mod completion;
mod device;
mod door;
pub(crate) mod ledger;
mod man;
mod operator;
mod profile;
mod realm;
mod receipt;
pub(crate) mod root;
mod serve;
mod sink;
mod sure;
mod token;
mod witness;
mod words;

use crate::failure::{Failure, Outcome};
use crate::session::{Everywhere, Session};
use clap::{ArgMatches, ColorChoice, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;

/// Identities for fleets of devices: from birth at the production line to the last renewal.
///
/// `muster serve` on an empty directory makes a complete, safe system and runs it. All other verbs
/// ask a running one over REST, with the operator credential that they find by `--as FILE`, in the
/// home of a typed `--home DIR`, by `$MUSTER_OPERATOR`, or as `HOME/operator.toml`. What others
/// check without us works without a server (`receipt verify`, `ledger verify FILES` or `--url`), and
/// so does what the root's key signs (`ca sign`, `ca crl`).
///
/// HOME is `--home DIR`, or `$MUSTER_HOME`, or `/var/lib/muster` where there is one that you may
/// read, or `./muster-home`.
#[derive(Debug, Parser)]
#[command(name = "muster", version, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Example:\n  muster serve --home ./muster-home\n  muster device list")]
pub(crate) struct Typed {
    /// Options that every verb takes.
    #[command(flatten)]
    pub(crate) everywhere: Everywhere,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    Serve(serve::Serve),
    Birth(birth::Birth),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Device(device::Device),
    #[command(subcommand)]
    Cert(cert::Cert),
    #[command(subcommand)]
    Ca(ca::Ca),
    #[command(subcommand)]
    Door(door::Door),
    #[command(subcommand)]
    Profile(profile::Profile),
    #[command(subcommand)]
    Realm(realm::Realm),
    #[command(subcommand)]
    Operator(operator::Operator),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    #[command(subcommand)]
    Witness(witness::Witness),
    #[command(subcommand)]
    Sink(sink::Sink),
    Completion(completion::Completion),
    Man(man::Man),
    Demo(crate::demo::Demo),
    #[command(subcommand)]
    Bench(crate::bench::Bench),
}

/// Reads the command line; wrong usage ends the process with exit code 2.
pub(crate) fn parse() -> Typed {
    let matches = tree().color(help_color()).get_matches();
    Typed::read(&matches).unwrap_or_else(|e| e.exit())
}

impl Typed {
    fn read(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = Self::from_arg_matches(matches)?;
        Ok(Self { everywhere: typed.everywhere.prefer_typed(matches), ..typed })
    }

    /// Does what was typed.
    pub(crate) fn run(self) -> Outcome {
        let session = self.everywhere.open();
        match self.noun {
            // These two bring their own runtime, or need none.
            Noun::Serve(serve) => serve::run(serve, &session),
            Noun::Completion(completion) => completion::run(&completion),
            Noun::Man(man) => man::run(&man),
            Noun::Receipt(receipt) => receipt::run(&receipt, &session),
            Noun::Witness(witness) => witness::run(&witness, &session),
            Noun::Demo(demo) => many()?.block_on(crate::demo::run(demo, &session)),
            Noun::Bench(bench) => many()?.block_on(crate::bench::run(bench, &session)),
            noun => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Failure::new(format!("cannot start: {e}")))?
                .block_on(ask(noun, &session)),
        }
    }
}

/// A runtime for verbs that play many devices at once.
fn many() -> Outcome<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Failure::new(format!("cannot start: {e}")))
}

async fn ask(noun: Noun, session: &Session) -> Outcome {
    match noun {
        Noun::Birth(birth) => birth::run(birth, session).await,
        Noun::Token(token) => token::run(token, session).await,
        Noun::Device(device) => device::run(device, session).await,
        Noun::Cert(cert) => cert::run(cert, session).await,
        Noun::Ca(ca) => ca::run(ca, session).await,
        Noun::Door(door) => door::run(door, session).await,
        Noun::Profile(profile) => profile::run(profile, session).await,
        Noun::Realm(realm) => realm::run(realm, session).await,
        Noun::Operator(operator) => operator::run(operator, session).await,
        Noun::Ledger(ledger) => ledger::run(ledger, session).await,
        Noun::Sink(sink) => sink::run(sink, session).await,
        Noun::Serve(_)
        | Noun::Completion(_)
        | Noun::Man(_)
        | Noun::Receipt(_)
        | Noun::Witness(_)
        | Noun::Demo(_)
        | Noun::Bench(_) => Ok(()),
    }
}

/// What holds for every verb, at the end of its help.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused or failed; the reason and what to do next are on stderr
  2  wrong usage";

/// The tree, each verb's help complete.
pub(crate) fn tree() -> Command {
    complete(Typed::command())
}

fn complete(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let example = command.get_after_help().map(ToString::to_string);
    let whole = [example, Some(EXIT_CODES.to_owned())].into_iter().flatten();
    let command = command.after_help(whole.collect::<Vec<_>>().join("\n\n"));
    names.into_iter().fold(command, |c, name| c.mut_subcommand(name, complete))
}

/// clap decides on colours before it has parsed `--color`.
fn help_color() -> ColorChoice {
    // A name of a file need not be UTF-8; clap refuses other words that are not.
    let args: Vec<OsString> = std::env::args_os().collect();
    let behind = args.iter().position(|a| a == "--color").and_then(|i| args.get(i + 1)?.to_str());
    let inside = args.iter().find_map(|a| a.to_str()?.strip_prefix("--color="));
    match behind.or(inside) {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
        let path = format!("{path} {}", command.get_name());
        let mut verbs = command.get_subcommands().peekable();
        if verbs.peek().is_none() {
            found.push((path.trim().to_owned(), command.clone()));
        }
        verbs.for_each(|verb| leaves(verb, &path, found));
    }

    fn all() -> Vec<(String, Command)> {
        let mut found = Vec::new();
        leaves(&tree(), "", &mut found);
        found
    }

    /// The lines of the example of a verb that begin with `muster`.
    fn examples(verb: &Command) -> Vec<String> {
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let whole = help.replace("\\\n", " ");
        let lines = whole.lines().map(str::trim).filter(|l| l.starts_with("muster "));
        lines.map(str::to_owned).collect()
    }

    /// The words of a line as a shell would split them, up to a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars().chain([' ']) {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, ' ') if !word.is_empty() => words.push(std::mem::take(&mut word)),
                (None, ' ') => {}
                (_, c) => word.push(c),
            }
        }
        let end = words.iter().position(|w| w == ">" || w == "|").unwrap_or(words.len());
        words.truncate(end);
        words
    }

    /// A typed line in a shell where `$MUSTER_OPERATOR` says `elsewhere.toml`.
    fn typed(line: &str) -> Typed {
        let tree = tree().mut_arg("credential", |arg| {
            // No test may set a variable of its process, so it is read from another that is always
            // set, and what it says does not matter.
            arg.env("PATH")
        });
        Typed::read(&tree.try_get_matches_from(words(line)).unwrap()).unwrap()
    }

    #[test]
    fn a_home_that_is_typed_goes_before_a_credential_of_the_environment() {
        let at_home = |line| typed(line).everywhere.open().is_at_home();
        assert!(!at_home("muster device list"));
        assert!(at_home("muster device list --home other"));
        assert!(at_home("muster --home other device list"));
        assert!(!at_home("muster --home other device list --as mine.toml"));
    }

    #[test]
    fn the_tree_holds_together() {
        tree().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_does_shows_an_example_and_its_exit_codes() {
        for (path, verb) in all() {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() > 10, "`{path}` does not say what it does");
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`{path}` has no example");
            assert!(help.contains("Exit codes"), "`{path}` has no exit codes");
            for arg in verb.get_arguments().filter(|a| a.get_id() != "help") {
                assert!(arg.get_help().is_some(), "`{path}`: {} is not told", arg.get_id());
            }
        }
    }

    #[test]
    fn every_example_can_be_typed() {
        for (path, verb) in all() {
            let lines = examples(&verb);
            assert!(lines.iter().any(|l| l.starts_with(&path)), "`{path}`: no example of itself");
            for line in lines {
                let parsed = tree().try_get_matches_from(words(&line));
                assert!(parsed.is_ok(), "`{line}`: {}", parsed.err().unwrap());
            }
        }
    }
}
