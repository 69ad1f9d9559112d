//! The ledger: what happened, and the proof that nobody changed it since.

mod consistency;
mod prove;
pub(crate) mod verify;
mod watch;
mod witness;

use crate::failure::Outcome;
use crate::output::{self, Paint, plain};
use crate::rest::{Query, Rest};
use crate::session::Session;
use api::path::{ENTRIES, HEAD, ROWS};
use api::{EntryRow, EntryView, HeadView, Page};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The ledger: read it, export it, prove what is in it, compute it again.
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    Tail(Tail),
    Head(Head),
    Export(Export),
    Prove(prove::Prove),
    Verify(Verify),
    Consistency(consistency::Consistency),
    #[command(subcommand)]
    Witness(witness::Witness),
}

/// Show the newest entries; with --follow, those that come too.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger tail
  muster ledger tail --lines 100 --follow --json | jq .verb")]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: u64,
    /// Go on with what comes, until interrupted; with --json, one value a line.
    #[arg(short, long)]
    follow: bool,
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
/// they need no server.
///
/// With --url it is watched from outside, as anybody may: the checkpoint, every entry and every tile
/// are fetched from the public port, hashed, and held against the signature. Entries tell nothing
/// of a fleet, and so digests cannot be looked into. With --state the next run goes on where this one
/// ended, and proves that the ledger only grew since.
///
/// Who keeps a checkpoint from earlier, or the ledger's key from elsewhere, names them: then not
/// even the server's own host can have changed what stands before.
#[derive(Debug, Default, Args)]
#[command(after_help = "Example:
  muster ledger verify
  muster ledger verify ledger.jsonl --checkpoint last-year.txt --key ledger.vkey
  muster ledger verify --url http://muster.example:8080/ledger/default \\
    --key ledger.vkey --state watched.json")]
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
    /// The ledger's public address, `http://HOST:8080/ledger/REALM`; needs --key.
    #[arg(long, value_name = "URL", conflicts_with = "files", requires = "key")]
    url: Option<String>,
    /// Where to keep what was seen, to go on from there.
    #[arg(long, value_name = "FILE", requires = "url")]
    state: Option<PathBuf>,
}

/// Does what was typed.
pub(super) async fn run(typed: Ledger, session: &Session) -> Outcome {
    match typed {
        Ledger::Tail(tail) => self::tail(&tail, &session.rest()?, session).await,
        Ledger::Head(Head {}) => head(&session.rest()?, session).await,
        Ledger::Export(Export {}) => export(&session.rest()?).await,
        Ledger::Prove(prove) => prove::run(&prove, &session.rest()?, session).await,
        Ledger::Verify(verify) => match &verify.url {
            Some(url) => watch::run(&verify, url, session).await,
            None => verify::run(&verify, session).await,
        },
        Ledger::Consistency(typed) => consistency::run(&typed, session).await,
        Ledger::Witness(typed) => witness::run(&typed, &session.rest()?, session).await,
    }
}

async fn tail(typed: &Tail, rest: &Rest, session: &Session) -> Outcome {
    let head: HeadView = rest.get(HEAD).await?;
    let from = head.size.saturating_sub(typed.lines);
    let rows = stretch(rest, from).await?;
    if !typed.follow {
        return session.show(&rows, |rows, _| lines(rows));
    }
    // With `--lines 0` the last entry is known all the same: a ledger is never empty.
    let last = rows.last().map_or(head.size.saturating_sub(1), |row| row.index);
    rows.iter().try_for_each(|row| told(row, session))?;
    follow(rest, last, session).await
}

/// Tells what comes behind entry `last`, until interrupted. A stream ends with a restart of the
/// server, or where its reader was too slow; the next one goes on where it was.
async fn follow(rest: &Rest, mut last: u64, session: &Session) -> Outcome {
    loop {
        let mut events = rest.events(last).await?;
        while let Some(row) = events.next::<EntryView>().await? {
            last = row.index;
            told(&row, session)?;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The wait before the next stream: a server that restarts needs as long.
const AGAIN: Duration = Duration::from_secs(1);

/// One entry that came by itself: a line for a person, or one JSON value.
fn told(row: &EntryView, session: &Session) -> Outcome {
    if !session.json {
        return output::text(&line(row));
    }
    output::text(&serde_json::to_string(row).map_err(crate::failure::Failure::new)?)
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

/// All entries from number `from` on.
async fn stretch(rest: &Rest, from: u64) -> Outcome<Vec<EntryView>> {
    let mut rows: Vec<EntryView> = Vec::new();
    loop {
        let next = rows.last().map_or(from, |row| row.index + 1);
        let query = Query::default().with("from", Some(next));
        let page: Page<EntryView> = rest.page(ENTRIES, &query, u32::MAX, None).await?;
        let more = page.next.is_some() && !page.items.is_empty();
        rows.extend(page.items);
        if !more {
            return Ok(rows);
        }
    }
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
        let text = value.map_err(crate::failure::Failure::new)?;
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

fn lines(rows: &[EntryView]) -> String {
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

/// Members that stand elsewhere for people; `--json` has them.
const UNTOLD: [&str; 5] = ["verb", "device", "certificate", "issuer", "spki"];
/// Hex digits of the shortest digest, an authority's key identifier; nobody reads them all.
const DIGEST_DIGITS: usize = 40;

/// An entry in one line: whom it is about comes first, then what is said of them.
fn line(row: &EntryView) -> String {
    let at = row.at.clone().unwrap_or_else(|| format!("hour {}", row.hours));
    let verb = row.verb.as_deref().unwrap_or("(erased)");
    let mut text = format!("{:>6}  {at}  {verb:<19}", row.index);
    if let Some(serde_json::Value::Object(members)) = &row.payload {
        let whom = members.iter().filter(|(key, _)| *key == "device");
        let rest = members.iter().filter(|(key, _)| !UNTOLD.contains(&key.as_str()));
        for (key, value) in whom.chain(rest) {
            text.push_str(&format!(" {key}={}", word(key, value)));
        }
    }
    plain(text.trim_end())
}

fn is_digest(text: &str) -> bool {
    text.len() >= DIGEST_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A value for a person: moments as moments, digests by their first digits, and what has blanks in
/// quotes.
fn word(key: &str, value: &serde_json::Value) -> String {
    let moment = value.as_i64().filter(|_| key == "ends").map(jiff::Timestamp::from_second);
    match (moment, value.as_str()) {
        (Some(Ok(at)), _) => at.to_string(),
        (_, Some(text)) if is_digest(text) => text.chars().take(12).chain(['…']).collect(),
        (_, Some(text)) if text.contains(' ') => format!("\"{text}\""),
        (_, Some(text)) => text.to_owned(),
        (_, None) => value.to_string(),
    }
}

/// What a proof says, for a person.
fn proven(proof: &verify::Proof, paint: Paint) -> String {
    let erased = match proof.erased {
        0 => String::new(),
        n => format!(", {n} of them with their payload erased"),
    };
    let signed = match proof.signed {
        true => "signed by the ledger's key",
        false => "no checkpoint was there to hold it against",
    };
    format!(
        "{} {} entries{erased}\nroot {}, {signed}",
        paint.good("the ledger holds:"),
        proof.size,
        proof.root
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_in_one_line_names_the_device_first_and_no_digest() {
        let row = EntryView {
            index: 7,
            hours: 0,
            at: Some("2026-11-22T17:44:56Z".to_owned()),
            class: "join".to_owned(),
            digest: String::new(),
            verb: Some("join.issued".to_owned()),
            event: None,
            severity: None,
            payload: Some(serde_json::json!({
                "authority": "ab".repeat(20), "by": "ada", "device": "0190", "ends": 0, "reason": "two words", "spki": "00".repeat(32),
                "verb": "join.issued",
            })),
        };
        let said = "device=0190 authority=abababababab… by=ada ends=1970-01-01T00:00:00Z reason=\"two words\"";
        assert_eq!(line(&row), format!("     7  2026-11-22T17:44:56Z  join.issued         {said}"));
    }
}
