//! That a ledger only grew between two checkpoints.

use super::entries;
use crate::command::receipt::log_key;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Query, Rest};
use crate::session::Session;
use api::path::{CONSISTENCY, HEAD};
use api::{GrowthView, HeadView};
use clap::Args;
use identity::Defect;
use identity::text::{from_base64, hex};
use ledger::witness::AddCheckpoint;
use ledger::witness::wire::REQUEST_OCTETS_MAX;
use ledger::{Checkpoint, VerifierKey};
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Prove that the ledger only grew since a checkpoint from earlier.
///
/// The server makes the proof (RFC 6962 §2.1.2), and it is checked here: a few hashes, however long
/// the ledger is. --out keeps it; --proof checks one that was kept, without a server. The file has
/// the form of a request to a witness (C2SP tlog-witness): old size, hashes, the later checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger consistency --from last-year.txt
  muster ledger consistency --from last-year.txt --to last-week.txt --out grown.txt
  muster ledger consistency --from last-year.txt --proof grown.txt --key ledger.vkey")]
pub(crate) struct Consistency {
    /// The earlier checkpoint.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The later checkpoint [default: the ledger as it is now].
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    to: Option<PathBuf>,
    /// A proof that was kept; no server is asked.
    #[arg(long, value_name = "FILE", requires = "key")]
    proof: Option<PathBuf>,
    /// Where to keep the proof.
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    out: Option<PathBuf>,
    /// The ledger's key, a C2SP verifier key or a file with it [default: the one that comes with the
    /// ledger].
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Grown {
    origin: String,
    from: u64,
    to: u64,
    root: String,
}

pub(super) async fn run(typed: &Consistency, session: &Session) -> Outcome {
    let from = read(&typed.from)?;
    let (key, proof) = match (&typed.proof, &typed.key) {
        (Some(path), Some(key)) => {
            let proof = AddCheckpoint::decode(&read(path)?);
            (log_key(key)?, proof.map_err(|d| of_file(path, &d))?)
        }
        _ => made(typed, &from, &session.rest()?).await?,
    };
    let keys = [key];
    let from = ledger::note::open(&from, &keys).map_err(|d| of_file(&typed.from, &d))?;
    let to = proof.verify(&from, &keys).map_err(|defect| broken(&defect))?;
    if let Some(path) = &typed.out {
        std::fs::write(path, proof.encode()).map_err(|e| Failure::file("write", path, &e))?;
    }
    session.show(&grown(&from, &to), sheet)
}

/// What the server proves, and the key that counts.
async fn made(
    typed: &Consistency,
    from: &str,
    rest: &Rest,
) -> Outcome<(VerifierKey, AddCheckpoint)> {
    let key = match &typed.key {
        Some(key) => log_key(key)?,
        None => {
            let head: HeadView = rest.get(HEAD).await?;
            log_key(&head.verifier.unwrap_or_default())?
        }
    };
    let size = |note: &str, path: &Path| {
        ledger::note::unbelieved(note).map(|c| c.size).map_err(|d| of_file(path, &d))
    };
    let old = size(from, &typed.from)?;
    let to = match &typed.to {
        None => None,
        Some(path) => {
            let note = read(path)?;
            let size = size(&note, path)?;
            Some((note, size))
        }
    };
    let query =
        Query::default().with("from", Some(old)).with("to", to.as_ref().map(|(_, size)| *size));
    let view: GrowthView = rest.get(query.on(CONSISTENCY)).await?;
    let hash = |text: &String| from_base64(text.as_bytes())?.try_into().ok();
    let proof: Option<Vec<ledger::Hash>> = view.proof.iter().map(hash).collect();
    let proof = proof.ok_or_else(|| Failure::new("the server's proof is not made of hashes"))?;
    let note = to.map_or(view.checkpoint, |(note, _)| note);
    Ok((key, AddCheckpoint { old, proof, note }))
}

fn read(path: &Path) -> Outcome<String> {
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(REQUEST_OCTETS_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn of_file(path: &Path, defect: &Defect) -> Failure {
    Failure::new(format!("`{}`: {defect}", path.display()))
}

fn broken(defect: &Defect) -> Failure {
    Failure::new(format!("the ledger did not only grow: {defect}")).next(
        "keep both checkpoints: if the key signed both, they prove that the ledger was rewritten",
    )
}

fn grown(from: &Checkpoint, to: &Checkpoint) -> Grown {
    Grown { origin: to.origin.to_string(), from: from.size, to: to.size, root: hex(&to.root) }
}

fn sheet(grown: &Grown, paint: Paint) -> String {
    format!(
        "{} from {} to {}\nroot {}",
        paint.good("the ledger only grew:"),
        grown.from,
        entries(grown.to),
        grown.root
    )
}
