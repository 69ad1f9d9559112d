//! Being a witness for other logs.

use super::receipt::log_key;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use clap::{Args, Subcommand};
use ledger::{Origin, VerifierKey};
use serde::Serialize;
use server::listen::{self, Gate, Limits, Stopper};
use server::witness::serve as host;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Witness the ledgers of others: see that each only grows, and sign that you saw it.
///
/// It speaks C2SP tlog-witness, for any log that does: a Muster of somebody else, or another. It
/// needs no home, only a directory with its key and what it saw last.
#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    Serve(Serve),
    Key(Key),
}

/// Run a witness.
///
/// DIR holds its key and, for each log, the last checkpoint that it saw, written and synced before
/// a cosignature leaves: a witness never signs two pasts, not even across `kill -9`. Do not restore
/// DIR from a back-up that is older than its last answer; make a new witness instead. It speaks
/// plain HTTP, for everything in it is signed: put a proxy in front for https.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster witness serve --state /var/lib/muster-witness --listen 0.0.0.0:8090 \\
    --name audit.example/witness --log ledger.vkey
  muster witness key --state /var/lib/muster-witness > audit.vkey")]
pub(crate) struct Serve {
    /// Where its key is and what it saw; made at the first start.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The key of a log to witness, a C2SP verifier key or a file with it, and `@ORIGIN` where its
    /// checkpoints begin with another name than the key's; may be said again.
    #[arg(long, value_name = "VKEY[@ORIGIN]", required = true)]
    log: Vec<String>,
    /// What it is called in its cosignatures, for good [default: a name out of its key].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Print the key of a witness, which its logs and whoever demands its cosignatures need.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster witness key --state /var/lib/muster-witness > audit.vkey")]
pub(crate) struct Key {
    /// Where its key is; made where there is none.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// What it is called in its cosignatures, for good [default: a name out of its key].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Ready {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
}

/// Does what was typed.
pub(super) fn run(typed: &Witness, session: &Session) -> Outcome {
    match typed {
        Witness::Key(Key { state, name }) => {
            let key = key_of(&host::Witness::key_in(state, name.as_deref()).map_err(failed)?)?;
            session.show(&Ready { key, listen: None }, |ready, _| ready.key.clone())
        }
        Witness::Serve(serve) => self::serve(serve, session),
    }
}

fn failed(why: String) -> Failure {
    Failure::new(why).next("see `muster witness serve --help`")
}

fn key_of(key: &Option<VerifierKey>) -> Outcome<String> {
    let key = key.as_ref().map(ToString::to_string);
    key.ok_or_else(|| Failure::new("the witness's key is not Ed25519"))
}

/// `VKEY` or `VKEY@ORIGIN`; base64 has no `@`, and a file's name is taken whole first.
fn log(said: &str) -> Outcome<(Origin, VerifierKey)> {
    if let Ok(key) = log_key(said) {
        return Ok((key.name().clone(), key));
    }
    if let Some((front, origin)) = said.rsplit_once('@')
        && let (Ok(key), Some(origin)) = (log_key(front), Origin::of_log(origin))
    {
        return Ok((origin, key));
    }
    log_key(said).map(|key| (key.name().clone(), key))
}

fn serve(typed: &Serve, session: &Session) -> Outcome {
    let logs = typed.log.iter().map(|said| log(said)).collect::<Outcome<Vec<_>>>()?;
    let witness = host::Witness::open(&typed.state, typed.name.as_deref(), logs).map_err(failed)?;
    let _begun = server::log::begin(None, &server::home::config::Log::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("cannot start: {e}")))?;
    runtime.block_on(until_stopped(Arc::new(witness), typed, session))
}

async fn until_stopped(witness: Arc<host::Witness>, typed: &Serve, session: &Session) -> Outcome {
    let bound = listen::bind(&[typed.listen]);
    let (listener, port) = bound.map_err(|e| Failure::new(e).next("choose another --listen"))?;
    let mut listen = typed.listen;
    listen.set_port(port);
    let ready = Ready { key: key_of(&witness.key())?, listen: Some(listen) };
    match session.json {
        true => output::json(&ready)?,
        false => output::text(&format!("witness {}\nlistens at http://{listen}", ready.key))?,
    }
    let (stopper, stop) = Stopper::new();
    let gate = Gate::plain(Limits::PUBLIC, stop);
    let answer = move |_, request| host::answer(witness.clone(), request);
    let serving = tokio::spawn(listen::serve(listener, gate, answer));
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stopper.stop();
    serving.await.map_err(Failure::new)
}
