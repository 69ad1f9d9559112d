//! Serving: options here, the server in its own crate.

use super::words::word;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::session::Session;
use crate::table::members;
use api::KeyKind;
use clap::{Args, ValueEnum};
use server::home::{Config, Home, ServeOptions};
use server::log::{self, Level};
use server::sd::{self, State};
use server::serve::{self, Running};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

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
/// SIGTERM stops it gracefully, SIGHUP reads muster.toml again.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster serve --home ./muster-home
  muster serve --home /var/lib/muster --name muster.example \\
      --public-url http://muster.example:8080")]
pub(crate) struct Serve {
    /// A DNS name or address of this server; may be said again.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Where devices and verifiers fetch CRLs: stands in certificates [default: http://NAME:8080].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Listen on free loopback ports, whatever they are; see HOME/run/ports.json.
    #[arg(long)]
    any_port: bool,
    /// At the first start: encrypt the root's key to this age recipient.
    #[arg(long, value_name = "AGE1…", conflicts_with = "root_passphrase_prompt")]
    root_recipient: Option<String>,
    /// At the first start: ask for the passphrase of the root's key.
    #[arg(long)]
    root_passphrase_prompt: bool,
    /// At the first start: the kind of the authorities' keys [default: p256].
    #[arg(long, value_name = "KIND", value_parser = word!(KeyKind))]
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

/// Runs the server until it is told to stop.
pub(super) fn run(typed: Serve, session: &Session) -> Outcome {
    let level = typed.log;
    let options = options(typed, session)?;
    let config = Home::open(&options.home).and_then(|home| Config::read(&home));
    let config = config.map_err(Failure::new)?;
    // Only another server in this process could have begun already, and then its log has both.
    let _ = log::begin(level.map_or(config.log.level, LevelWord::level), config.log.format);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}")))?
        .block_on(until_told(options, session))
}

async fn until_told(options: ServeOptions, session: &Session) -> Outcome {
    let listening = |e| Failure::new(format!("cannot listen to signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(listening)?;
    let mut int = signal(SignalKind::interrupt()).map_err(listening)?;
    let mut hup = signal(SignalKind::hangup()).map_err(listening)?;
    let home = options.home.clone();
    let running = serve::start(options).await.map_err(Failure::new)?;
    sd::notify(State::Ready("serving"));
    greet(&running, &home, session)?;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                sd::notify(State::Reloading(uptime_us()));
                running.reload();
                sd::notify(State::Ready("serving"));
            }
        }
    }
    sd::notify(State::Stopping);
    running.stop().await;
    Ok(())
}

/// Microseconds since the machine started, rounded up: systemd takes a moment for an answer to its
/// signal that is not earlier than the signal, and the file counts in hundredths of a second.
fn uptime_us() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let hundredths: String =
        text.split(' ').next().unwrap_or_default().chars().filter(|c| *c != '.').collect();
    hundredths.parse::<u64>().unwrap_or_default().saturating_add(1).saturating_mul(10_000)
}

/// Says where it listens, what to carry away, and what to type next.
fn greet(running: &Running, home: &Path, session: &Session) -> Outcome {
    let (ports, news) = (running.ports(), running.news());
    let said = serde_json::json!({
        "home": home.display().to_string(),
        "ports": ports,
        "founded": news.founded,
        "public_url": news.public_url,
        "plain_keys": news.plain_keys,
        "left_behind": news.left_behind.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
    });
    session.show(&said, |_, paint| words(running, home, paint))
}

fn words(running: &Running, home: &Path, paint: Paint) -> String {
    let (ports, news) = (running.ports(), running.news());
    let port = |port: Option<u16>| port.map(|p| p.to_string());
    let mut out = match news.founded {
        true => format!("A new Muster is in {}.\n", home.display()),
        false => format!("Muster serves {}.\n", home.display()),
    };
    out.push_str(&members(
        paint,
        [
            ("devices", port(ports.device)),
            ("operators", port(ports.operator)),
            ("everybody", port(ports.public)),
        ],
    ));
    out.push_str("\n\n");
    for path in &news.left_behind {
        out.push_str(&paint.bad("carry away: "));
        out.push_str(&format!("{}\n", path.display()));
    }
    if news.public_url.is_none() {
        out.push_str("note: without --public-url certificates say nowhere where their CRL is\n");
    }
    if !news.plain_keys.is_empty() {
        let keys = news.plain_keys.join(", ");
        out.push_str(&format!("note: these keys lie in plain files (0600): {keys}\n"));
    }
    out.push_str(&paint.strong("next: "));
    out.push_str(&format!("muster --home {} token new", home.display()));
    out
}

fn options(typed: Serve, session: &Session) -> Outcome<ServeOptions> {
    let root_passphrase = if typed.root_passphrase_prompt {
        let first = super::root::ask("New passphrase of the root's key: ")?;
        let second = super::root::ask("The same again: ")?;
        if first.dangerous_reveal() != second.dangerous_reveal() {
            return Err(Failure::new("the two passphrases differ").next("type the same again"));
        }
        Some(first)
    } else {
        None
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
