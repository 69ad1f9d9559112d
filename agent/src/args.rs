//! What was typed.

use crate::Trouble;
use crate::config::Typed;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

/// A verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Get a first leaf.
    Join,
    /// Keep the device enrolled.
    Run,
    /// Get a new leaf now.
    Renew,
    /// Say how it stands.
    Status,
    /// Leave for good.
    Leave,
}

/// What was typed.
#[derive(Clone, Debug)]
pub struct Args {
    /// The verb.
    pub verb: Verb,
    /// What stands beside the configuration.
    pub typed: Typed,
    /// For programs.
    pub json: bool,
    /// Join although there is a leaf; leave although the server is not reached.
    pub anyway: bool,
    /// Leave with the birth certificate's key too.
    pub birth_too: bool,
}

/// What to do about it.
#[derive(Clone, Debug)]
pub enum Wish {
    /// This.
    Do(Box<Args>),
    /// Show a text.
    Show(&'static str),
}

/// Reads what was typed, without the name of the program.
///
/// # Errors
/// [`Trouble::Usage`] where it is not understood.
pub fn read(typed: impl IntoIterator<Item = OsString>) -> Result<Wish, Trouble> {
    let wrong = |e: lexopt::Error| Trouble::Usage(format!("{e}: see `muster-agent --help`"));
    let mut parser = lexopt::Parser::from_args(typed);
    let (mut verb, mut typed) = (None, Typed::default());
    let (mut json, mut anyway, mut birth_too, mut help) = (false, false, false, false);
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            Short('h') | Long("help") => help = true,
            Short('V') | Long("version") => return Ok(Wish::Show(VERSION)),
            Long("json") => json = true,
            Long("anyway") => anyway = true,
            Long("birth-too") => birth_too = true,
            Long("trust-first") => typed.trust_first = true,
            Long(name) => {
                let name = name.to_owned();
                let value = || parser.value().and_then(ValueExt::string);
                option(&mut typed, &name, value).map_err(wrong)?;
            }
            Value(word) if verb.is_none() => verb = Some(read_verb(&word)?),
            other => return Err(wrong(other.unexpected())),
        }
    }
    match verb {
        Some(verb) if help => Ok(Wish::Show(help_of(verb))),
        Some(verb) => {
            let args = Args { verb, typed, json, anyway, birth_too };
            args.fitting().map(|args| Wish::Do(Box::new(args)))
        }
        None if help => Ok(Wish::Show(HELP)),
        None => Err(Trouble::Usage(format!("say what to do\n\n{HELP}"))),
    }
}

impl Args {
    /// Refuses a word that this verb would not heed.
    fn fitting(self) -> Result<Self, Trouble> {
        let odd = [
            ("--json", self.json && self.verb != Verb::Status),
            ("--anyway", self.anyway && !matches!(self.verb, Verb::Join | Verb::Leave)),
            ("--birth-too", self.birth_too && self.verb != Verb::Leave),
        ];
        match odd.into_iter().find(|(_, is_odd)| *is_odd) {
            None => Ok(self),
            Some((word, _)) => Err(Trouble::Usage(format!(
                "`{word}` says nothing here: see what the verb takes with `--help` behind it"
            ))),
        }
    }
}

fn option(
    typed: &mut Typed,
    name: &str,
    mut value: impl FnMut() -> Result<String, lexopt::Error>,
) -> Result<(), lexopt::Error> {
    match name {
        "config" => typed.config = Some(PathBuf::from(value()?)),
        "state" => typed.state = Some(PathBuf::from(value()?)),
        "url" => typed.url = Some(value()?),
        "root-pin" => typed.root_pin = Some(value()?),
        "token-file" => typed.token = Some(PathBuf::from(value()?)),
        "serial" => typed.serial = Some(value()?),
        "on-renew" => typed.on_renew = Some(value()?),
        _ => return Err(Long(name).unexpected()),
    }
    Ok(())
}

fn read_verb(word: &OsString) -> Result<Verb, Trouble> {
    match word.to_str() {
        Some("join") => Ok(Verb::Join),
        Some("run") => Ok(Verb::Run),
        Some("renew") => Ok(Verb::Renew),
        Some("status") => Ok(Verb::Status),
        Some("leave") => Ok(Verb::Leave),
        _ => Err(Trouble::Usage(format!(
            "`{}` is no verb: join, run, renew, status or leave",
            word.to_string_lossy()
        ))),
    }
}

const VERSION: &str = concat!("muster-agent ", env!("CARGO_PKG_VERSION"), "\n");

const HELP: &str = "\
Keeps this device enrolled: joins, renews its certificate in time and with a new key, and never
loses the only one that works.

Usage: muster-agent VERB [OPTIONS]

Verbs:
  join    Get the first certificate, with a birth certificate, a maker's or a token
  run     Join where needed, and renew for as long as the process lives
  renew   Renew now
  status  Say how it stands
  leave   Have the certificate revoked and wipe its key

Options for all verbs:
  --config FILE  [default: /etc/muster-agent/muster-agent.toml]
  --state DIR    [default: /var/lib/muster-agent]
  -h, --help     This; behind a verb, what it takes
  -V, --version

Exit codes: 0 done, 1 it did not come about, 2 something typed or configured is wrong.

Example:
  muster-agent join && muster-agent status
";

const fn help_of(verb: Verb) -> &'static str {
    match verb {
        Verb::Join => JOIN,
        Verb::Run => RUN,
        Verb::Renew => RENEW,
        Verb::Status => STATUS,
        Verb::Leave => LEAVE,
    }
}

const JOIN: &str = "\
Gets the first certificate. Shown is birth.pem with birth.key from beside the configuration (or
what `birth` and `birth_key` name: a maker's certificate as well), or else a join token. A device
that has a certificate keeps it, unless --anyway is said.

Usage: muster-agent join [OPTIONS]

Options:
  --url URL          The server, https://HOST:PORT
  --root-pin HEX     SHA-256 of the root's public key, as `muster realm show` has it
  --token-file FILE  A file with a join token, ID.SECRET, that only its owner may read
  --serial S         The serial number that the request claims
  --trust-first      Believe the first root that is met and pin it; only for a network that you
                     trust, and only with a token
  --on-renew CMD     Run this when the files have changed
  --anyway           Join although there is a certificate
  --config FILE  --state DIR

Example:
  muster-agent join --url https://muster.example:8443 --root-pin 4f..a1 --token-file token
";

const RUN: &str = "\
Joins where needed and renews for as long as the process lives. Stop it with any signal, or pull
the plug: it goes on where it was.

Usage: muster-agent run [OPTIONS]

Options:
  --on-renew CMD  Run this when the files have changed; it finds them in $MUSTER_CURRENT
  --url URL  --root-pin HEX  --token-file FILE  --serial S  --trust-first
  --config FILE  --state DIR

Example:
  muster-agent run --on-renew 'systemctl reload mosquitto'
";

const RENEW: &str = "\
Renews now, with a new key. The running agent notices.

Usage: muster-agent renew [OPTIONS]

Options:
  --on-renew CMD  Run this when the files have changed
  --config FILE  --state DIR

Example:
  muster-agent renew
";

const STATUS: &str = "\
Says how it stands: the certificate, when it is renewed, and what went wrong last. The exit code is
1 where this device is not enrolled, or something waits for a person.

Usage: muster-agent status [--json] [--config FILE] [--state DIR]

Example:
  muster-agent status --json
";

const LEAVE: &str = "\
Leaves: the server revokes the certificate (cessation of operation), and its key is wiped. The birth
certificate stays, so that `join` brings the device back. Where the answer of the server is lost,
the device is `leaving`, and `run` or another `leave` asks again.

Usage: muster-agent leave [OPTIONS]

Options:
  --anyway     Wipe also where the server is not reached
  --birth-too  Wipe the birth certificate's key too: this device never comes back with it
  --config FILE  --state DIR

Example:
  muster-agent leave
";

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Wish, Trouble> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_verb_is_read_with_its_options_in_any_order() {
        let Ok(Wish::Do(args)) = typed("--state /s join --url=https://a --token-file t") else {
            panic!("it is a wish")
        };
        assert_eq!(args.verb, Verb::Join);
        assert_eq!(args.typed.url.as_deref(), Some("https://a"));
        assert_eq!(args.typed.state, Some(PathBuf::from("/s")));
    }

    #[test]
    fn what_is_not_understood_is_told_and_ends_with_code_2() {
        let odd = ["renew --json", "run --anyway", "join --birth-too"];
        let not = ["", "fly", "join --colour red", "join extra", "join --url"];
        for line in odd.into_iter().chain(not) {
            let trouble = typed(line).unwrap_err();
            assert_eq!(trouble.exit_code(), 2, "{line}");
        }
        for line in ["status --json", "join --anyway", "leave --anyway --birth-too"] {
            assert!(typed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn every_verb_has_a_help_with_an_example() {
        for verb in ["join", "run", "renew", "status", "leave"] {
            let Ok(Wish::Show(text)) = typed(&format!("{verb} --help")) else { panic!("{verb}") };
            assert!(text.contains("Example:") && text.contains(&format!("muster-agent {verb}")));
            assert!(text.lines().all(|l| l.len() <= 100));
        }
    }
}
