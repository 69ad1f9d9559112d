//! The ledger: what happened, and the proof that nobody changed it since.

mod consistency;
mod prove;
mod tail;
pub(crate) mod verify;
mod watch;
mod witness;

use crate::command::receipt::Witnesses;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Query, Rest};
use crate::session::Session;
use api::path::{HEAD, ROWS};
use api::{EntryRow, HeadView, Page};
use clap::{Args, Subcommand};
use identity::text::counted;
use std::io::Write;
use std::path::PathBuf;
use verify::Whose;

/// The ledger: read it, export it, prove what is in it, compute it again.
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    Tail(tail::Tail),
    Head(Head),
    Export(Export),
    Prove(prove::Prove),
    Verify(Verify),
    Consistency(consistency::Consistency),
    #[command(subcommand)]
    Witness(witness::Witness),
}

/// Print a fresh checkpoint: origin, size, root and signature; with --json, the ledger's key too.
///
/// Keep it where the server's host cannot reach: `ledger verify --checkpoint` holds the ledger
/// against it later.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger head > last-year.txt
  muster ledger head --json | jq -r .verifier > ledger.vkey")]
pub(crate) struct Head {}

/// Print the whole ledger with payloads and salts as JSON lines, its checkpoint last.
///
/// The file tells everything about the fleet: keep it as you keep the database.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ledger export > ledger.jsonl")]
pub(crate) struct Export {}

/// Compute the whole ledger again, and say exactly where it breaks.
///
/// Without FILES, entries, payloads and salts come from the server and everything is computed
/// here: the digest of each entry, the tree over all of them, and the signature of the checkpoint.
/// FILES are exports (`muster ledger export`), or the database of a stopped home (HOME/muster.db);
/// they need no server. The ledger's key is the one you name with --key, else that of the home, else
/// the one that stands in the file itself.
///
/// "The ledger holds" is said of entries that a checkpoint signed by that key is about. Where some
/// are about none, because the file was cut, its checkpoint or key is missing, or a server was
/// killed before it signed, the exit code is 1 and the answer says what is missing; with --unsigned
/// you are told whether such a ledger at least agrees with itself.
///
/// With --url it is watched from outside, as anybody may: the checkpoint, every entry and every tile
/// are fetched from the public port, hashed, and held against the signature. Entries tell nothing
/// of a fleet, and so digests cannot be looked into. With --state the next run goes on where this one
/// ended, and proves that the ledger only grew since. With --witness the checkpoint must carry the
/// cosignatures of those keys, too: then it is the ledger that they are shown, and not one made for
/// you.
///
/// Who keeps a checkpoint from earlier, or the ledger's key from elsewhere, names them: then not
/// even the server's own host can have changed what stands before.
#[derive(Debug, Default, Args)]
#[command(after_help = "Example:
  muster ledger verify
  muster ledger verify ledger.jsonl --checkpoint last-year.txt --key ledger.vkey
  muster ledger verify --url http://muster.example:8080/ledger/default \\
    --key ledger.vkey --state watched.json --witness witness-a.vkey,witness-b.vkey --quorum 1")]
pub(crate) struct Verify {
    /// Exports or databases [default: the ledger of the server].
    files: Vec<PathBuf>,
    /// A checkpoint kept from earlier: the ledger must still contain it; may be said again.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The ledger's key, a C2SP verifier key or a file with it [default: the one that comes with
    /// the ledger].
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Do not fail where nothing signed holds the entries, or the last of them; then they prove
    /// nothing but that they agree with each other.
    #[arg(long, conflicts_with = "url")]
    unsigned: bool,
    /// The ledger's public address, `http://HOST:8080/ledger/REALM`; needs --key.
    #[arg(long, value_name = "URL", conflicts_with = "files", requires = "key")]
    url: Option<String>,
    /// Where to keep what was seen, to go on from there.
    #[arg(long, value_name = "FILE", requires = "url")]
    state: Option<PathBuf>,
    #[command(flatten)]
    witnesses: Witnesses,
}

/// Does what was typed.
pub(super) async fn run(typed: Ledger, session: &Session) -> Outcome {
    match typed {
        Ledger::Tail(typed) => tail::run(&typed, &session.rest()?, session).await,
        Ledger::Head(Head {}) => head(&session.rest()?, session).await,
        Ledger::Export(Export {}) => export(&session.rest()?).await,
        Ledger::Prove(prove) => prove::run(&prove, &session.rest()?, session).await,
        Ledger::Verify(verify) => match &verify.url {
            Some(url) => watch::run(&verify, url, session).await,
            None if !verify.witnesses.witness.is_empty() => Err(Failure::usage(
                "--witness is about the public checkpoint: say --url http://HOST:8080/ledger/REALM \
                 and --key, too",
            )),
            None => verify::run(&verify, session).await,
        },
        Ledger::Consistency(typed) => consistency::run(&typed, session).await,
        Ledger::Witness(typed) => witness::run(&typed, &session.rest()?, session).await,
    }
}

async fn head(rest: &Rest, session: &Session) -> Outcome {
    let head: HeadView = rest.get(HEAD).await?;
    session.show(&head, |head, _| checkpoint(head))
}

/// The checkpoint as it is signed, or what stands in for it where the key does not sign.
fn checkpoint(head: &HeadView) -> String {
    let unsigned = || format!("{}\n{}\n{} (not signed)", head.origin, head.size, head.root);
    head.checkpoint.as_deref().map_or_else(unsigned, |signed| signed.trim_end().to_owned())
}

/// Rows for a verifier from number `from` on: one page.
async fn rows(rest: &Rest, from: u64) -> Outcome<Vec<EntryRow>> {
    let query = Query::default().with("from", Some(from));
    let page: Page<EntryRow> = rest.page(ROWS, &query, u32::MAX, None).await?;
    Ok(page.items)
}

async fn export(rest: &Rest) -> Outcome {
    let head: HeadView = rest.get(HEAD).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut put = |value: serde_json::Result<String>| -> Outcome {
        let text = value.map_err(Failure::new)?;
        Ok(writeln!(out, "{text}")?)
    };
    let mut from = 0;
    while from < head.size {
        let page = rows(rest, from).await?;
        if page.is_empty() {
            break;
        }
        for row in page.iter().filter(|row| row.index < head.size) {
            put(serde_json::to_string(row))?;
        }
        from = page.last().map_or(head.size, |row| row.index + 1);
    }
    put(serde_json::to_string(&head))?;
    Ok(out.flush()?)
}

/// A number of entries, as people read it.
fn entries(count: u64) -> String {
    counted(count, "entry", "entries")
}

/// What a proof says, for a person.
fn proven(proof: &verify::Proof, paint: Paint) -> String {
    let erased = match proof.erased {
        0 => String::new(),
        n => {
            let (one, many) =
                ("of them with its payload erased", "of them with their payload erased");
            format!(", {}", counted(n, one, many))
        }
    };
    let held = match (proof.signed, proof.key) {
        (true, Whose::File) => {
            "signed by the key that stands beside it (--key holds it against the one you kept)"
                .to_owned()
        }
        (true, _) => "signed by the ledger's key".to_owned(),
        (false, _) => format!(
            "not proven: {} by the ledger's key",
            counted(proof.signed_entries, "of them is signed", "of them are signed")
        ),
    };
    let said = match proof.signed {
        true => paint.good("the ledger holds:"),
        false => paint.strong("the ledger agrees with itself:"),
    };
    format!("{said} {}{erased}\nroot {}, {held}", entries(proof.size), proof.root)
}
