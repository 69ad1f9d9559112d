//! Computing the ledger again, from a server, from exports, or from a stopped home's database.
//!
//! That entries agree with each other proves nothing: whoever can rewrite one can compute all of
//! them again. What holds is what a checkpoint says that the ledger's key signed; the rest is "not
//! proven", which is a failure. A checkpoint is met also where no key is at hand to believe it:
//! where it contradicts the entries, one of the two was changed.

mod database;

use super::{Verify, entries, proven, rows};
use crate::command::receipt::log_key;
use crate::command::words::moment;
use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::rest::Rest;
use crate::session::Session;
use api::path::HEAD;
use api::{EntryRow, HeadView};
use identity::text::{counted, from_base64, hex};
use ledger::verify::What;
use ledger::{Break, Checkpoint, Entry, Row, Verifier, VerifierKey, note};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A line has a payload of 16 KiB, base64, and some more.
const LINE_OCTETS_MAX: u64 = 64 * 1024;
/// What is now known of a ledger.
#[derive(Debug, Serialize)]
pub(crate) struct Proof {
    pub(super) origin: Option<String>,
    pub(crate) size: u64,
    pub(super) root: String,
    pub(super) erased: u64,
    /// Whether a checkpoint signed by the ledger's key says the same of all entries.
    pub(super) signed: bool,
    /// How many entries, from the first on, such a checkpoint is about.
    pub(super) signed_entries: u64,
    /// Whose word it is that this is the ledger's key.
    pub(super) key: Whose,
}

/// Where the key came from that the checkpoints are believed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Whose {
    /// Somebody kept it and named it.
    Named,
    /// It lies in the home, or the server itself says so.
    Own,
    /// It stands in the file that it is to prove.
    File,
    /// There is none.
    Nobody,
}

/// A ledger that is being computed, and what it is held against.
struct Course {
    verifier: Verifier,
    /// Checkpoints, the smallest first: each is met on the way.
    to_meet: Vec<ToMeet>,
    met: usize,
    signed_entries: u64,
    keys: Vec<VerifierKey>,
    key: Whose,
}

/// A checkpoint, and whether a key says that the ledger's own key signed it.
struct ToMeet {
    checkpoint: Checkpoint,
    believed: bool,
}

/// What comes with a ledger: where it says that it ends, its key, and whatever was signed.
#[derive(Default)]
struct With {
    head: Option<HeadView>,
    key: Option<Whose>,
    /// Other notes, each about as many entries or fewer.
    notes: Vec<String>,
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
            database::proofs(typed, path)?
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
    let with = With { head: Some(head.clone()), key: Some(Whose::Own), ..With::default() };
    let mut course = Course::new(typed, &with)?;
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
    course.end(typed, &with)
}

fn from_export(typed: &Verify, path: &Path) -> Outcome<Proof> {
    let with = With { head: last_line(path)?, key: Some(Whose::File), ..With::default() };
    let mut course = Course::new(typed, &with)?;
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
    course.end(typed, &with)
}

impl Course {
    /// A key that somebody kept goes before the one that came with the ledger.
    fn new(typed: &Verify, with: &With) -> Outcome<Self> {
        let shown = with.head.as_ref().and_then(|head| head.verifier.as_deref());
        let (said, key) = match (typed.key.as_deref(), shown) {
            (Some(named), _) => (Some(named), Whose::Named),
            (None, Some(shown)) => (Some(shown), with.key.unwrap_or(Whose::File)),
            (None, None) => (None, Whose::Nobody),
        };
        let keys = said.map(log_key).transpose()?.into_iter().collect::<Vec<_>>();
        let mut to_meet = Vec::new();
        for path in &typed.checkpoint {
            to_meet.push(ToMeet { checkpoint: kept(path, &keys)?, believed: true });
        }
        let head = with.head.as_ref().and_then(|head| head.checkpoint.as_ref());
        // What cannot be read is told at the end: a break before it says more.
        let notes = head.into_iter().chain(&with.notes).filter_map(|n| note::unbelieved(n).ok());
        to_meet.extend(notes.map(|checkpoint| ToMeet { checkpoint, believed: false }));
        to_meet.sort_by_key(|next| next.checkpoint.size);
        let verifier = Verifier::new();
        Ok(Self { verifier, to_meet, met: 0, signed_entries: 0, keys, key })
    }

    fn feed_written(&mut self, written: &EntryRow) -> Outcome {
        let index = self.verifier.size();
        let wrong = |what: &str| Failure::new(format!("the ledger breaks: entry {index}: {what}"));
        let octets =
            |text: &String| from_base64(text.as_bytes()).ok_or_else(|| wrong("it is not base64"));
        let entry = octets(&written.entry)?;
        let payload = written.payload.as_ref().map(octets).transpose()?;
        let salt = written.salt.as_ref().map(octets).transpose()?;
        let salt: Option<[u8; 32]> = match salt {
            Some(salt) => Some(salt.try_into().map_err(|_| wrong("its salt has not 32 octets"))?),
            None => None,
        };
        let row = Row { entry: &entry, payload: payload.as_deref(), salt: salt.as_ref() };
        let held = self.feed(&row)?;
        // People read the moment, and no hash is over it.
        let hour = |text: &String| moment(text).map(|at| at.hours());
        match written.at.as_ref().filter(|at| hour(at) != Some(held.hours)) {
            Some(at) => Err(wrong(&format!("its moment {at} is not in its hour")).next(NEXT)),
            None => Ok(()),
        }
    }

    fn feed(&mut self, row: &Row<'_>) -> Outcome<Entry> {
        self.meet()?;
        self.verifier.feed(row, &()).map_err(|b| broken(&b))
    }

    /// Holds the entries so far against the checkpoints that are about exactly so many.
    fn meet(&mut self) -> Outcome {
        let size = self.verifier.size();
        while let Some(next) = self.to_meet.get(self.met).filter(|n| n.checkpoint.size == size) {
            self.verifier.agrees(&next.checkpoint).map_err(|b| broken(&b))?;
            self.signed_entries = if next.believed { size } else { self.signed_entries };
            self.met += 1;
        }
        Ok(())
    }

    fn end(mut self, typed: &Verify, with: &With) -> Outcome<Proof> {
        self.meet()?;
        let found = self.verifier.head();
        if let Some(beyond) = self.to_meet.get(self.met) {
            return Err(Failure::new(format!(
                "the ledger breaks: it has {}, and a checkpoint from earlier has {}",
                entries(found.size),
                beyond.checkpoint.size
            ))
            .next(NEXT));
        }
        let root = hex(&found.root);
        let head = with.head.as_ref();
        if let Some(head) = head.filter(|h| h.size != found.size || h.root != root) {
            return Err(Failure::new(format!(
                "the ledger breaks: it says {} with root {}, and it has {} with root {root}",
                entries(head.size),
                head.root,
                found.size
            ))
            .next(NEXT));
        }
        let notes = head.and_then(|h| h.checkpoint.as_ref()).into_iter().chain(&with.notes);
        for signed in notes {
            self.believe(signed)?;
        }
        let proof = Proof {
            origin: head.map(|h| h.origin.clone()),
            size: found.size,
            root,
            erased: self.verifier.erased(),
            signed: self.signed_entries == found.size,
            signed_entries: self.signed_entries,
            key: self.key,
        };
        if found.size > 0 && (proof.signed || typed.unsigned) {
            return Ok(proof);
        }
        Err(unproven(&proof, head))
    }

    /// A note that came with the ledger, and that the entries agree with.
    fn believe(&mut self, signed: &str) -> Outcome {
        let size = self.verifier.size();
        let wrong = |defect| broken(&Break { index: size, what: What::Checkpoint(defect) });
        note::unbelieved(signed).map_err(wrong)?;
        if !self.keys.is_empty() {
            let opened = note::open(signed, &self.keys).map_err(wrong)?;
            self.signed_entries = self.signed_entries.max(opened.size);
        }
        Ok(())
    }
}

/// Why the ledger is not proven although nothing in it breaks, and what to do about it.
fn unproven(proof: &Proof, head: Option<&HeadView>) -> Failure {
    let (size, signed) = (proof.size, proof.signed_entries);
    let noted = head.is_some_and(|head| head.checkpoint.is_some());
    let (missing, next) = match head {
        _ if size == 0 => ("there is no entry".to_owned(), NEXT_WHOLE),
        _ if signed > 0 => {
            let what = format!("no signed checkpoint is about the last {}", size - signed);
            (what, NEXT_LATER)
        }
        None => ("the checkpoint of its last line is missing".to_owned(), NEXT_WHOLE),
        Some(_) if noted => {
            let what = "its checkpoint says the same, and no key is at hand to believe it by";
            (what.to_owned(), NEXT_KEY)
        }
        Some(_) => ("no checkpoint is there to hold it against".to_owned(), NEXT_LATER),
    };
    let (all, signed) = (entries(size), counted(signed, "is signed", "are signed"));
    let what = format!("the ledger is not proven: of {all}, {signed}: {missing}");
    Failure::new(what).next(next)
}

const NEXT_WHOLE: &str = "export it again (`muster ledger export`), or name a checkpoint of all of \
                          it with --checkpoint and the ledger's key with --key";
const NEXT_KEY: &str = "name the ledger's key with --key (`muster ledger head --json | jq -r \
                        .verifier` printed it), or say --unsigned to see only whether it agrees \
                        with itself";
const NEXT_LATER: &str = "a server that was killed signs what it had committed when it starts \
                          again: start and stop it, or export again; or say --unsigned to see only \
                          whether the ledger agrees with itself";
const NEXT: &str = "keep this database and its log as they are, and hold a back-up and older \
                    checkpoints against it: somebody changed it, or a disk did";

fn broken(at: &Break) -> Failure {
    Failure::new(format!("the ledger breaks: {at}")).next(NEXT)
}

/// A checkpoint that somebody kept.
fn kept(path: &Path, keys: &[VerifierKey]) -> Outcome<Checkpoint> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    if keys.is_empty() {
        let what = format!("`{}` cannot be believed without the ledger's key", path.display());
        return Err(Failure::new(what).next(NEXT_KEY));
    }
    note::open(&text, keys).map_err(|d| Failure::new(format!("`{}`: {d}", path.display())))
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
