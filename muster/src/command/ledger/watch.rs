//! A ledger as it is seen from outside, over its public port: what a monitor does.

use super::{Verify, entries};
use crate::command::receipt::Seen;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Paint};
use crate::progress;
use crate::session::Session;
use bytes::Bytes;
use identity::Defect;
use identity::text::{base64, from_base64, hex};
use ledger::monitor::{Above, Wanted};
use ledger::note::NOTE_OCTETS_MAX;
use ledger::tile::TilePath;
use ledger::{Checkpoint, Head, Monitor, Trust, VerifierKey};
use serde::{Deserialize, Serialize};
use server::caller::Caller;
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Bundles under way at once: enough that a far server is not waited for, few enough for a small
/// one.
const AHEAD: usize = 8;
/// 256 entries with their lengths, of which ours have 60 octets: room for forms that come later.
const TILE_OCTETS_MAX: usize = 256 * 1024;
/// Bundles between two savings of the state: 65,536 entries, a second or two.
const SAVE_EVERY: u64 = 256;

/// What is kept between two runs.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The checkpoint that was verified last, as it was signed.
    checkpoint: Option<String>,
    /// Where the tree stands, base64; it may be ahead of the checkpoint.
    tree: String,
}

/// What is now known.
#[derive(Debug, Serialize)]
struct Watched {
    origin: String,
    size: u64,
    root: String,
    /// How many entries were fetched and hashed in this run.
    hashed: u64,
    /// The size of the ledger that it is known to have grown from.
    grown_from: Option<u64>,
    /// Which of the witnesses that were named saw the checkpoint.
    witnesses: Vec<Seen>,
}

pub(super) async fn run(typed: &Verify, url: &str, session: &Session) -> Outcome {
    let (keys, quorum) = typed.witnesses.beside(typed.key.as_deref().unwrap_or_default())?;
    let trust = Trust { keys: &keys, quorum };
    session.show(&watch(typed, url, &trust).await?, sheet)
}

async fn watch(typed: &Verify, url: &str, trust: &Trust<'_>) -> Outcome<Watched> {
    let caller = Caller::parse(url)
        .ok_or_else(|| Failure::usage(format!("`{url}` is no http://HOST:PORT/ledger/REALM")))?;
    let mut course = Course::begin(typed, trust.keys)?;
    let caller = Arc::new(caller);
    let note = fetch(&caller, "/checkpoint", NOTE_OCTETS_MAX).await?;
    let note = String::from_utf8(note.to_vec()).unwrap_or_default();
    let opened = trust.open(&note).map_err(|defect| unbelieved(url, &defect))?;
    let (checkpoint, witnesses) = (opened.checkpoint, Seen::all(&opened.cosigned));
    let watched = course.watch(&caller, &checkpoint).await;
    if watched.is_err() {
        course.witness_against(&note);
    }
    let watched = Watched { witnesses, ..watched? };
    course.last = Some(note);
    course.save()?;
    Ok(watched)
}

fn unbelieved(url: &str, defect: &Defect) -> Failure {
    let next = match defect.name {
        "receipt-quorum" => {
            "do not rely on it until they have: ask again in a minute, then ask the witnesses what \
             they saw last"
        }
        _ => "check --key, and that the address is that of the realm",
    };
    Failure::new(format!("the checkpoint at `{url}` cannot be believed: {defect}")).next(next)
}

/// One run.
struct Course<'a> {
    monitor: Monitor,
    /// The checkpoint that was verified last.
    last: Option<String>,
    grown_from: Option<u64>,
    state: Option<&'a Path>,
    /// What to keep: the last state in which it can be kept.
    tree: Vec<u8>,
}

impl<'a> Course<'a> {
    fn begin(typed: &'a Verify, keys: &[VerifierKey]) -> Outcome<Self> {
        let state = typed.state.as_deref();
        let (mut monitor, last) = match state.filter(|path| path.exists()) {
            Some(path) => kept(path)?,
            None => (Monitor::new(), None),
        };
        let mut earlier: Vec<Head> = Vec::new();
        for path in &typed.checkpoint {
            let note =
                std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
            let opened = ledger::note::open(&note, keys);
            let opened = opened.map_err(|d| Failure::new(format!("`{}`: {d}", path.display())))?;
            earlier.push(opened.head());
        }
        if earlier.iter().any(|head| head.size < monitor.size()) {
            // It lies behind what was seen: only the whole way goes through it.
            monitor = Monitor::new();
        }
        if let (Some(note), Some(path)) = (&last, state) {
            let opened = ledger::note::open(note, keys);
            let failed = |d| {
                Failure::new(format!("`{}`: {d}", path.display()))
                    .next("take the state of this ledger, or another file")
            };
            earlier.push(opened.map_err(failed)?.head());
        }
        let grown_from = earlier.iter().map(|head| head.size).max();
        let tree = monitor.encode().unwrap_or_default();
        let monitor = monitor.through(earlier);
        Ok(Self { monitor, last, grown_from, state, tree })
    }

    async fn watch(&mut self, caller: &Arc<Caller>, to: &Checkpoint) -> Outcome<Watched> {
        let bar = progress::bar(Some(to.size), "entries");
        let began = self.monitor.size();
        bar.set_position(began);
        let mut ahead: VecDeque<Fetching> = VecDeque::new();
        let mut next = began / 256;
        while let Some(wanted) = self.monitor.next(to.size) {
            while let Some(later) = Monitor::at(next, to.size).filter(|_| ahead.len() < AHEAD) {
                ahead.push_back(Fetching::begin(caller, later));
                next += 1;
            }
            let Some(fetched) = ahead.pop_front() else { break };
            let (bundle, tile) = fetched.end().await?;
            let above = self.monitor.take(wanted, &bundle, &tile).map_err(|b| broken(&b))?;
            compare(caller, &above).await?;
            bar.set_position(self.monitor.size());
            self.keep_up()?;
        }
        let above = self.monitor.finish(to).map_err(|b| broken(&b))?;
        compare(caller, &above).await?;
        bar.finish_and_clear();
        Ok(Watched {
            origin: to.origin.to_string(),
            size: to.size,
            root: hex(&to.root),
            hashed: to.size.saturating_sub(began),
            grown_from: self.grown_from,
            witnesses: Vec::new(),
        })
    }

    fn keep_up(&mut self) -> Outcome {
        let Some(tree) = self.monitor.encode() else { return Ok(()) };
        self.tree = tree;
        if (self.monitor.size() / 256).is_multiple_of(SAVE_EVERY) { self.save() } else { Ok(()) }
    }

    /// Written aside and moved in, so that there is always a whole one.
    fn save(&self) -> Outcome {
        let Some(path) = self.state else { return Ok(()) };
        let failed = |e: std::io::Error| Failure::file("write", path, &e);
        let kept = Kept { checkpoint: self.last.clone(), tree: base64(&self.tree) };
        let text = serde_json::to_vec(&kept).map_err(Failure::new)?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// A checkpoint that the key signed and that contradicts what was seen is evidence: it is kept.
    fn witness_against(&self, note: &str) {
        if let Some(state) = self.state {
            let mut path = state.as_os_str().to_owned();
            path.push(".broken");
            if std::fs::write(&path, note).is_ok() {
                output::aside(&format!("the checkpoint is kept as `{}`", path.display()));
            }
        }
    }
}

fn kept(path: &Path) -> Outcome<(Monitor, Option<String>)> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    let broken = |what: &dyn std::fmt::Display| {
        Failure::new(format!("`{}` is no state of a watch: {what}", path.display()))
            .next("name another file, and the ledger is watched from its beginning")
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|e| broken(&e))?;
    let tree = from_base64(kept.tree.as_bytes()).ok_or_else(|| broken(&"it is not base64"))?;
    let monitor = Monitor::decode(&tree).map_err(|d| broken(&d))?;
    Ok((monitor, kept.checkpoint))
}

/// A bundle and its tile, under way.
struct Fetching(JoinHandle<Outcome<Bytes>>, JoinHandle<Outcome<Bytes>>);

impl Fetching {
    fn begin(caller: &Arc<Caller>, wanted: Wanted) -> Self {
        let one = |path: TilePath| {
            let caller = Arc::clone(caller);
            tokio::spawn(async move { tile(&caller, &path).await })
        };
        Self(one(wanted.bundle), one(wanted.tile))
    }

    async fn end(self) -> Outcome<(Bytes, Bytes)> {
        let lost = |_| Failure::new("a request was lost");
        Ok((self.0.await.map_err(lost)??, self.1.await.map_err(lost)??))
    }
}

async fn tile(caller: &Caller, path: &TilePath) -> Outcome<Bytes> {
    fetch(caller, &format!("/{path}"), TILE_OCTETS_MAX).await
}

async fn fetch(caller: &Caller, path: &str, most: usize) -> Outcome<Bytes> {
    let said = caller.get(path, most).await;
    let said = said.map_err(|e| {
        Failure::new(format!("`{path}` was not fetched: {e}"))
            .next("look whether the public port answers, then type the same again")
    })?;
    match said.status {
        200 => Ok(said.body),
        other => Err(Failure::new(format!("`{path}` is answered {other}")).next(
            "check the address: it ends in /ledger/REALM; a log must serve every tile that its \
             checkpoint needs",
        )),
    }
}

async fn compare(caller: &Caller, above: &[Above]) -> Outcome {
    for Above { path, octets } in above {
        if tile(caller, path).await? != octets {
            return Err(Failure::new(format!(
                "the ledger breaks: `{path}` is not what its entries hash to"
            ))
            .next(NEXT));
        }
    }
    Ok(())
}

const NEXT: &str = "keep your checkpoints and this one: if the key signed all of them, they prove \
                    that the ledger was rewritten";

fn broken(at: &ledger::Break) -> Failure {
    Failure::new(format!("the ledger breaks: {at}")).next(NEXT)
}

fn sheet(watched: &Watched, paint: Paint) -> String {
    let grown = watched
        .grown_from
        .map_or_else(String::new, |from| format!("\nit only grew since it had {}", entries(from)));
    let seen = match watched.witnesses.is_empty() {
        true => String::new(),
        false => format!("\nseen by {}", Seen::sentence(&watched.witnesses)),
    };
    format!(
        "{} {} of {}, {} hashed now\nroot {}, signed by the ledger's key{seen}{grown}",
        paint.good("the ledger holds:"),
        entries(watched.size),
        watched.origin,
        watched.hashed,
        watched.root
    )
}

#[cfg(test)]
mod tests;
