//! Serving: options here, the server in its own crate.

use super::words::word;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use api::KeyKind;
use clap::{Args, ValueEnum};
use server::home::{ServeOptions, config};
use server::keys::Secret;
use server::log::Level;

/// Run the server; on an empty home, make a complete and safe system first.
///
/// The first start makes a realm named `default`, its root, its birth, operations and service
/// authorities, its ledger and an operator credential (HOME/operator.toml), in under a second. It
/// then listens for devices (8443), operators (9443) and everybody (8080, CRLs and the like); the
/// real ports stand in HOME/run/ports.json as soon as it is ready.
///
/// Without --name it listens on loopback only. With it, it listens on all interfaces, and the name
/// is in its server certificate. HOME/muster.toml says the same for good, and `[listen]` in it sets
/// the ports.
///
/// The root's key is not needed to run. It is made at the first start, encrypted to
/// --root-recipient or to a passphrase that you type, or else to a random one that lies beside it
/// in HOME/offline/: carry both away.
///
/// SIGTERM stops it gracefully. SIGHUP reads again the operator port's own certificate and where it
/// is, the level of the log and the balancers that are believed, and logs whether all of it could be
/// read; what else changes in muster.toml needs a new start.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster serve --home ./muster-home
  muster serve --home /var/lib/muster --name muster.example \\
      --public-url http://muster.example:8080")]
pub(crate) struct Serve {
    /// A DNS name or address of this server; may be said again.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Vec<String>,
    /// Where devices and verifiers fetch CRLs: stands in certificates [default: http://NAME:8080].
    #[arg(long, value_name = "URL", value_parser = url)]
    public_url: Option<String>,
    /// Listen on free loopback ports, whatever they are; see HOME/run/ports.json.
    #[arg(long)]
    any_port: bool,
    /// At the first start: encrypt the root's key to this age recipient.
    #[arg(long, value_name = "AGE1…", conflicts_with = "root_passphrase_prompt")]
    #[arg(value_parser = server::keys::root::recipient)]
    root_recipient: Option<String>,
    /// At the first start: ask for the passphrase of the root's key.
    #[arg(long)]
    root_passphrase_prompt: bool,
    /// At the first start: the kind of the authorities' keys [default: p256].
    #[arg(long, value_name = "KIND", value_parser = word!(KeyKind, except KeyKind::Rsa))]
    key_kind: Option<KeyKind>,
    /// How much is logged, on standard error [default: what muster.toml says, else info].
    #[arg(long, value_name = "LEVEL", value_enum)]
    log: Option<LevelWord>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LevelWord {
    /// What somebody must look at.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
    /// Every step.
    Trace,
}

impl LevelWord {
    const fn level(self) -> Level {
        match self {
            Self::Error => Level::Error,
            Self::Warn => Level::Warn,
            Self::Info => Level::Info,
            Self::Debug => Level::Debug,
            Self::Trace => Level::Trace,
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    config::name(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

fn url(text: &str) -> Result<String, String> {
    config::public_url(text).map_err(|e| e.to_string())
}

/// Runs the server until it is told to stop.
pub(super) fn run(typed: Serve, session: &Session) -> Outcome {
    let level = typed.log.map(LevelWord::level);
    start(options(typed, session)?, level, session)
}

fn options(typed: Serve, session: &Session) -> Outcome<ServeOptions> {
    tell_late(&typed, session)?;
    let root_passphrase = match typed.root_passphrase_prompt {
        true => Some(new_passphrase(super::root::ask)?),
        false => None,
    };
    let key_kind = typed.key_kind.and_then(|kind| identity::KeyKind::parse(kind.as_str()));
    Ok(ServeOptions {
        home: session.home.clone(),
        names: typed.name,
        public_url: typed.public_url,
        any_port: typed.any_port,
        root_recipient: typed.root_recipient,
        root_passphrase,
        key_kind,
    })
}

/// What makes the root says nothing to a root that is made, and whoever types it believes otherwise.
/// A person who is there is told so before a passphrase is asked for; a service, whose command has
/// the option at each start, is warned and starts.
fn tell_late(typed: &Serve, session: &Session) -> Outcome {
    if !server::found::is_founded(&session.home) {
        return Ok(());
    }
    let what = |option: &str| {
        format!(
            "`{option}` is only for the first start, and `{}` has had it",
            session.home.display()
        )
    };
    let next = "root and authorities stay as they were made; other ones: muster ca roll";
    if typed.root_passphrase_prompt {
        let failure = Failure::usage(what("--root-passphrase-prompt"));
        return Err(failure.next(format!("leave it out: {next}")));
    }
    let said = [
        ("--root-recipient", typed.root_recipient.is_some()),
        ("--key-kind", typed.key_kind.is_some()),
    ];
    for (option, _) in said.into_iter().filter(|(_, is)| *is) {
        output::aside(&format!("warning: {}: {next}", what(option)));
    }
    Ok(())
}

/// Characters of a passphrase that a person chooses, at least: with half a second a guess, twelve of
/// anything but a known phrase outlast whoever found the medium.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// How often it is asked for: a terminal that hears nobody must not be asked for ever.
const PASSPHRASE_ASKED: usize = 3;

fn new_passphrase(mut ask: impl FnMut(&str) -> Outcome<Secret>) -> Outcome<Secret> {
    let mut wrong = String::new();
    for _ in 0..PASSPHRASE_ASKED {
        let first = ask(&format!("{wrong}New passphrase of the root's key: "))?;
        if first.dangerous_reveal().chars().count() < PASSPHRASE_CHARS_MIN {
            wrong = format!("At least {PASSPHRASE_CHARS_MIN} characters. ");
            continue;
        }
        let second = ask("The same again: ")?;
        if first.dangerous_reveal() == second.dangerous_reveal() {
            return Ok(first);
        }
        "The two differ. ".clone_into(&mut wrong);
    }
    Err(Failure::new("no passphrase for the root's key").next(format!(
        "type one of at least {PASSPHRASE_CHARS_MIN} characters twice, or leave \
         --root-passphrase-prompt out: a random one is made"
    )))
}

/// Runs the server: the one place where the binary hands over to it.
fn start(options: ServeOptions, level: Option<Level>, session: &Session) -> Outcome {
    let config = server::serve::log_of(&options).map_err(Failure::new)?;
    // Somebody else logs already where two servers live in one process, which this one does not.
    let _begun = server::log::begin(level, &config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}")))?;
    let home = options.home.clone();
    runtime.block_on(async {
        let running = server::start(options).await.map_err(|e| Failure::new(e.to_string()))?;
        match config.format.is_for_people() {
            true => session.remark(&guide(&running, &home)),
            false => log_ready(&running, &home),
        }
        server::serve::until_stopped(running).await.map_err(|e| Failure::new(e.to_string()))
    })
}

/// The same for a machine, which reads one JSON object a line.
fn log_ready(running: &server::Running, home: &std::path::Path) {
    let (news, ports) = (running.news(), running.ports());
    tracing::info!(home = %home.display(), version = env!("CARGO_PKG_VERSION"),
        device = ports.device, operator = ports.operator, public = ports.public, "ready");
    if news.public_url.is_none() {
        tracing::warn!("no public_url: certificates carry no addresses of CRL and OCSP");
    }
    if !news.plain_keys.is_empty() {
        tracing::warn!(keys = news.plain_keys.join(" "), "online keys lie in plain files");
    }
    for left in &news.left_behind {
        tracing::warn!(file = %left.display(), "carry the root away from this machine");
    }
}

/// What a person should know and do next.
fn guide(running: &server::Running, home: &std::path::Path) -> String {
    let (news, ports) = (running.news(), running.ports());
    let port = |p: Option<u16>| p.map_or_else(|| "-".to_owned(), |p| p.to_string());
    let home = home.display();
    let near = || format!("https://localhost:{}", port(ports.operator));
    let mut out = format!(
        "muster {} serves {home}\n  devices    https://localhost:{}/.well-known/est\n  \
         operators  {}/api/v1\n  everybody  http://localhost:{}/\n",
        env!("CARGO_PKG_VERSION"),
        port(ports.device),
        news.operator_url.clone().unwrap_or_else(near),
        port(ports.public),
    );
    if news.public_url.is_none() {
        out.push_str(
            "No --public-url: certificates carry no addresses of CRL and OCSP. Say it before the \
             first birth.\n",
        );
    }
    if !news.plain_keys.is_empty() {
        out.push_str(&format!("Keys in plain files (mode 0600): {}\n", news.plain_keys.join(", ")));
    }
    if !news.left_behind.is_empty() {
        out.push_str(match news.left_behind.len() {
            1 => "Carry the root away from this machine:\n",
            _ => "Carry the root away from this machine, the files to different places:\n",
        });
        news.left_behind.iter().for_each(|p| out.push_str(&format!("  {}\n", p.display())));
    }
    if news.founded {
        out.push_str(&format!(
            "Next, in another terminal:\n  muster --home {home} birth --csr unit.csr --serial S1   \
             a birth certificate\n  muster --home {home} token new                          \
             a device without one\n  muster --home {home} device list                        \
             who is there\n"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of it where these are typed, and how often somebody was asked.
    fn typed(lines: &[&str]) -> (Option<String>, usize) {
        let mut left = lines.iter();
        let asked = new_passphrase(|_| {
            let line = left.next().ok_or_else(|| Failure::new("nothing more is typed"))?;
            Ok(Secret::new((*line).to_owned()))
        });
        let left = left.count();
        (asked.ok().map(|s| s.dangerous_reveal().to_owned()), lines.len() - left)
    }

    #[test]
    fn a_passphrase_that_can_be_guessed_is_asked_for_again_and_never_taken() {
        let good = "twelve chars";
        assert_eq!(typed(&[good, good]), (Some(good.to_owned()), 2));
        assert_eq!(typed(&["", "eleven char", good, good]), (Some(good.to_owned()), 4));
        assert_eq!(typed(&[good, "another one!", good, good]), (Some(good.to_owned()), 4));
        assert_eq!(typed(&["", "", "", good, good]), (None, 3));
    }
}
