//! Computing the ledger again, from a server, from exports, or from a stopped home's database.

use super::{Verify, entries, proven, rows};
use crate::command::receipt::log_key;
use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::rest::Rest;
use crate::session::Session;
use api::path::HEAD;
use api::{EntryRow, HeadView};
use identity::Signer;
use identity::text::{from_base64, hex};
use ledger::{Break, Checkpoint, Origin, Row, Verifier, VerifierKey};
use registry::{Options, Registry};
use serde::Serialize;
use server::checkpoint::SPACE;
use server::keys::KeyStore;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A line has a payload of 16 KiB, base64, and some more.
const LINE_OCTETS_MAX: u64 = 64 * 1024;
/// Entries that are read from a database at once.
const ROWS: usize = 1000;

/// What is now known of a ledger.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    pub(super) origin: Option<String>,
    pub(crate) size: u64,
    pub(super) root: String,
    pub(super) erased: u64,
    /// Whether a checkpoint signed by the ledger's key says the same.
    pub(super) signed: bool,
}

/// A ledger that is being computed, and what it is held against.
struct Course {
    verifier: Verifier,
    /// Checkpoints from earlier, the largest first: each is met on the way.
    earlier: Vec<Checkpoint>,
    met: usize,
}

/// Computes the ledger of a server again, believing only the key that comes with it.
pub(crate) async fn over_rest(rest: &Rest) -> Outcome<Proof> {
    from_server(&Verify::default(), rest).await
}

/// Does what was typed.
pub(super) async fn run(typed: &Verify, session: &Session) -> Outcome {
    let mut proofs = Vec::new();
    if typed.files.is_empty() {
        proofs.push(from_server(typed, &session.rest()?).await?);
    }
    for path in &typed.files {
        let found = if is_database(path)? {
            from_database(typed, path)?
        } else {
            vec![from_export(typed, path)?]
        };
        proofs.extend(found);
    }
    session.show(&proofs, |proofs, paint| {
        proofs.iter().map(|p| proven(p, paint)).collect::<Vec<_>>().join("\n")
    })
}

async fn from_server(typed: &Verify, rest: &Rest) -> Outcome<Proof> {
    let head: HeadView = rest.get(HEAD).await?;
    let mut course = Course::new(typed, head.verifier.as_deref())?;
    let bar = progress::bar(Some(head.size), "entries");
    while course.verifier.size() < head.size {
        let page = rows(rest, course.verifier.size()).await?;
        if page.is_empty() {
            break;
        }
        let left = head.size - course.verifier.size();
        for row in page.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            course.feed_written(row)?;
        }
        bar.set_position(course.verifier.size());
    }
    bar.finish_and_clear();
    course.end(typed, Some(&head))
}

fn from_export(typed: &Verify, path: &Path) -> Outcome<Proof> {
    let head = last_line(path)?;
    let mut course = Course::new(typed, head.as_ref().and_then(|h| h.verifier.as_deref()))?;
    let mut number = 0;
    each_line(path, |line| {
        number += 1;
        match serde_json::from_str::<EntryRow>(line) {
            Ok(row) => course.feed_written(&row),
            // The export's last line.
            Err(_) if serde_json::from_str::<HeadView>(line).is_ok() => Ok(()),
            Err(e) => Err(Failure::new(format!("`{}` line {number}: {e}", path.display()))),
        }
    })?;
    course.end(typed, head.as_ref())
}

fn from_database(typed: &Verify, path: &Path) -> Outcome<Vec<Proof>> {
    if let Some(home) = path.parent() {
        crate::home::refuse_running(home)?;
    }
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("`{}`: {e}", path.display()));
    let registry =
        Registry::open(path, Options { readers: 1, queue: 1 }).map_err(|e| failed(&e))?;
    let mut proofs = Vec::new();
    for realm in registry.realms() {
        let mut course = Course::new(typed, kept_key(path, &realm.origin).as_deref())?;
        loop {
            let from = course.verifier.size();
            let page = registry.entries(realm.key, from, ROWS).map_err(|e| failed(&e))?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                course.feed(&Row {
                    entry: &row.entry,
                    payload: row.payload.as_deref(),
                    salt: row.salt.as_ref(),
                })?;
            }
        }
        let head = registry.head(realm.key).map_err(|e| failed(&e))?;
        let note = registry.noted(realm.key, SPACE, b"").map_err(|e| failed(&e))?;
        let note = note.and_then(|n| String::from_utf8(n).ok());
        // After a crash it may be about fewer entries than there are; the next start signs again.
        let whole = |note: &String| note.lines().nth(1) == Some(head.size.to_string().as_str());
        let head = HeadView {
            origin: realm.origin.clone(),
            size: head.size,
            root: hex(&head.root),
            checkpoint: note.filter(whole),
            verifier: kept_key(path, &realm.origin),
        };
        proofs.push(course.end(typed, Some(&head))?);
    }
    registry.close();
    Ok(proofs)
}

/// The public half of the key that lies in the home of this database, where it can be read.
fn kept_key(database: &Path, origin: &str) -> Option<String> {
    let keys = database.parent()?.join("keys");
    let loaded = KeyStore::open(&keys).ok()?.load("ledger").ok()?;
    VerifierKey::new(&Origin::parse(origin)?, loaded.key.public()).map(|key| key.to_string())
}

impl Course {
    /// `shown` is the key that came with the ledger; a key that somebody kept goes before it.
    fn new(typed: &Verify, shown: Option<&str>) -> Outcome<Self> {
        let mut earlier = Vec::new();
        for path in &typed.checkpoint {
            let note =
                std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
            let opened = ledger::note::open(&note, &keys(typed, shown)?);
            let failed = |d| Failure::new(format!("`{}`: {d}", path.display()));
            earlier.push(opened.map_err(failed)?);
        }
        earlier.sort_by_key(|checkpoint| checkpoint.size);
        Ok(Self { verifier: Verifier::new(), earlier, met: 0 })
    }

    fn feed_written(&mut self, row: &EntryRow) -> Outcome {
        let index = self.verifier.size();
        let wrong = |what| Failure::new(format!("the ledger breaks: entry {index}: {what}"));
        let octets =
            |text: &String| from_base64(text.as_bytes()).ok_or_else(|| wrong("it is not base64"));
        let entry = octets(&row.entry)?;
        let payload = row.payload.as_ref().map(octets).transpose()?;
        let salt = row.salt.as_ref().map(octets).transpose()?;
        let salt: Option<[u8; 32]> = match salt {
            Some(salt) => Some(salt.try_into().map_err(|_| wrong("its salt has not 32 octets"))?),
            None => None,
        };
        self.feed(&Row { entry: &entry, payload: payload.as_deref(), salt: salt.as_ref() })
    }

    fn feed(&mut self, row: &Row<'_>) -> Outcome {
        self.meet()?;
        self.verifier.feed(row, &()).map_err(|b| broken(&b))?;
        Ok(())
    }

    /// Holds the entries so far against the checkpoints that are about exactly so many.
    fn meet(&mut self) -> Outcome {
        while let Some(next) = self.earlier.get(self.met).filter(|c| c.size == self.verifier.size())
        {
            self.verifier.agrees(next).map_err(|b| broken(&b))?;
            self.met += 1;
        }
        Ok(())
    }

    fn end(mut self, typed: &Verify, head: Option<&HeadView>) -> Outcome<Proof> {
        self.meet()?;
        if let Some(beyond) = self.earlier.get(self.met) {
            return Err(Failure::new(format!(
                "the ledger breaks: it has {}, and a checkpoint from earlier has {}",
                entries(self.verifier.size()),
                beyond.size
            ))
            .next(NEXT));
        }
        let found = self.verifier.head();
        let root = hex(&found.root);
        if let Some(head) = head.filter(|h| h.size != found.size || h.root != root) {
            return Err(Failure::new(format!(
                "the ledger breaks: it says {} with root {}, and it has {} with root {root}",
                entries(head.size),
                head.root,
                found.size
            ))
            .next(NEXT));
        }
        let note = head.and_then(|h| h.checkpoint.as_deref());
        let keys = keys(typed, head.and_then(|h| h.verifier.as_deref()))?;
        let signed = match note.filter(|_| !keys.is_empty()) {
            Some(note) => {
                self.verifier.clone().finish_signed(note, &keys).map_err(|b| broken(&b))?;
                true
            }
            None => self.met > 0,
        };
        let (size, erased) = (found.size, self.verifier.erased());
        Ok(Proof { origin: head.map(|h| h.origin.clone()), size, root, erased, signed })
    }
}

const NEXT: &str = "keep this database and its log as they are, and hold a back-up and older \
                    checkpoints against it: somebody changed it, or a disk did";

fn broken(at: &Break) -> Failure {
    Failure::new(format!("the ledger breaks: {at}")).next(NEXT)
}

fn keys(typed: &Verify, shown: Option<&str>) -> Outcome<Vec<VerifierKey>> {
    let Some(said) = typed.key.as_deref().or(shown) else { return Ok(Vec::new()) };
    Ok(vec![log_key(said)?])
}

fn last_line(path: &Path) -> Outcome<Option<HeadView>> {
    let mut last = String::new();
    each_line(path, |line| {
        line.clone_into(&mut last);
        Ok(())
    })?;
    Ok(serde_json::from_str(&last).ok())
}

fn each_line(path: &Path, mut take: impl FnMut(&str) -> Outcome) -> Outcome {
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = String::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_OCTETS_MAX).read_line(&mut line).map_err(failed)?;
        match read {
            0 => return Ok(()),
            _ if line.trim().is_empty() => {}
            _ => take(line.trim_end())?,
        }
    }
}

fn is_database(path: &Path) -> Outcome<bool> {
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let mut front = Vec::new();
    File::open(path).map_err(failed)?.take(16).read_to_end(&mut front).map_err(failed)?;
    Ok(front == b"SQLite format 3\0")
}

#[cfg(test)]
mod tests;
