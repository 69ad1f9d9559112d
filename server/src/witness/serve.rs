//! A witness for other logs: it remembers the largest tree that it saw of each and cosigns what grew
//! from it.
//!
//! Its one promise is that it never signs two pasts. So what it accepts is written, synced and
//! moved into its place before the cosignature is even made; a state that cannot be read ends the
//! start, for to begin anew would be to forget; and a lock keeps a second process away.

use crate::clock;
use crate::home::file::{self, Mode};
use crate::keys::{KeyStore, NewKey};
use crate::limits;
use crate::listen::read_body;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use identity::text::hex;
use identity::{KeyKind, Signer};
use ledger::note::{self, NOTE_OCTETS_MAX};
use ledger::witness::AddCheckpoint;
use ledger::witness::server::{Refused, judge, nothing};
use ledger::witness::wire::{REQUEST_OCTETS_MAX, SIZE_TYPE, size_body};
use ledger::{Head, Origin, VerifierKey};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The key's name in its directory.
const KEY: &str = "witness";
/// Logs of one witness: each has one small file, and the files are read at the start.
pub const LOGS_MAX: usize = 1024;
/// Requests of each kind that are kept because they prove a fork, or may; more of the same proves no
/// more.
pub const ALARMS_MAX: usize = 64;

/// A witness, with its state in a directory of its own.
pub struct Witness {
    dir: PathBuf,
    name: Origin,
    signer: Box<dyn Signer>,
    /// Keys that count, by the origin of the log.
    logs: BTreeMap<Origin, Vec<VerifierKey>>,
    /// What was seen last. Held while one request is judged, written and signed.
    seen: Mutex<BTreeMap<Origin, Head>>,
    _lock: File,
}

/// An answer before it is HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub media: &'static str,
    /// The body.
    pub body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Witness {
    /// Opens the witness in `dir`; the first time its key is made there, and it takes the name, or
    /// one out of its key. `logs` are those that it cosigns for.
    ///
    /// # Errors
    /// A sentence for the one who runs it.
    pub fn open(
        dir: &Path,
        name: Option<&str>,
        logs: impl IntoIterator<Item = (Origin, VerifierKey)>,
    ) -> Result<Self, String> {
        let said = |e: &dyn Display| e.to_string();
        file::make_dir(&dir.join("logs")).map_err(|e| said(&e))?;
        let lock = lock(dir)?;
        let signer = signer(dir)?;
        let name = own_name(dir, name, &*signer)?;
        let mut by_origin: BTreeMap<Origin, Vec<VerifierKey>> = BTreeMap::new();
        for (origin, key) in logs {
            by_origin.entry(origin).or_default().push(key);
        }
        if by_origin.len() > LOGS_MAX {
            return Err(format!("one witness cosigns for at most {LOGS_MAX} logs"));
        }
        let mut seen = BTreeMap::new();
        for origin in by_origin.keys() {
            seen.insert(origin.clone(), remembered(dir, origin)?);
        }
        let dir = dir.to_owned();
        Ok(Self { dir, name, signer, logs: by_origin, seen: Mutex::new(seen), _lock: lock })
    }

    /// What others verify its cosignatures with; `None` where its key is not Ed25519.
    #[must_use]
    pub fn key(&self) -> Option<VerifierKey> {
        VerifierKey::cosigner(&self.name, self.signer.public())
    }

    /// The key of the witness in `dir`, made where there is none; it may be running.
    ///
    /// # Errors
    /// As [`Witness::open`].
    pub fn key_in(dir: &Path, name: Option<&str>) -> Result<Option<VerifierKey>, String> {
        file::make_dir(dir).map_err(|e| e.to_string())?;
        let signer = signer(dir)?;
        Ok(VerifierKey::cosigner(&own_name(dir, name, &*signer)?, signer.public()))
    }

    /// Answers `add-checkpoint`. It writes a file and waits for the disk.
    #[must_use]
    pub fn add(&self, body: &str) -> Said {
        let request = match AddCheckpoint::decode(body) {
            Ok(request) => request,
            Err(defect) => return refuse(&Refused::Malformed(defect)),
        };
        let origin = match note::unbelieved(&request.note) {
            Ok(checkpoint) => checkpoint.origin,
            Err(defect) => return refuse(&Refused::Malformed(defect)),
        };
        let Some(keys) = self.logs.get(&origin) else { return refuse(&Refused::UnknownLog) };
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.get(&origin).copied().unwrap_or_else(nothing);
        let accepted = match judge(&request, keys, &last) {
            Ok(accepted) => accepted,
            Err(refused) => {
                if refused.is_alarming() {
                    self.alarm(&origin, &request, &refused);
                }
                return refuse(&refused);
            }
        };
        if accepted.grew() {
            // If we crash before this line, nothing was seen and nothing was said; behind it, the
            // log asks again and gets the same cosignature with another time.
            let path = place(&self.dir, &origin);
            if let Err(error) = file::write(&path, request.note.as_bytes(), Mode::Private) {
                tracing::error!(%origin, "what was seen cannot be written: {error}");
                return outage();
            }
            all.insert(origin.clone(), accepted.checkpoint().head());
        }
        match accepted.cosign(&self.name, &*self.signer, clock::now()) {
            Ok(line) => {
                tracing::debug!(%origin, size = accepted.checkpoint().size, "cosigned");
                Said { status: 200, media: TEXT, body: line }
            }
            Err(error) => {
                tracing::error!("the witness's key does not sign: {error}");
                outage()
            }
        }
    }

    /// A fork that a log signed is evidence: the request is kept beside the state.
    ///
    /// Everybody can show the checkpoint of a moment ago with a proof that proves nothing, so each
    /// checkpoint is kept once, and what is a fork by itself has its own places.
    fn alarm(&self, origin: &Origin, request: &AddCheckpoint, refused: &Refused) {
        let (dir, kind) = (self.dir.join("alarms"), kind(refused));
        let signed = note::unbelieved(&request.note).map(|checkpoint| checkpoint.text());
        let digest = identity::key::sha256(&[signed.unwrap_or_default().as_bytes()]);
        let path = dir.join(format!("{kind}-{}.txt", hex(digest.get(..16).unwrap_or_default())));
        let names = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let kept = names.filter(|e| e.file_name().to_string_lossy().starts_with(kind)).count();
        if kept >= ALARMS_MAX || path.exists() {
            tracing::debug!(%origin, "{}, as before", refused.sentence());
            return;
        }
        tracing::warn!(%origin, "{}: the request is kept in alarms/", refused.sentence());
        let body = request.encode();
        let written =
            file::make_dir(&dir).and_then(|()| file::write(&path, body.as_bytes(), Mode::Private));
        if let Err(error) = written {
            tracing::error!("the request cannot be kept: {error}");
        }
    }
}

/// The front of the name under which a request is kept.
const fn kind(refused: &Refused) -> &'static str {
    match refused {
        Refused::Fork(_) => "fork",
        _ => "inconsistent",
    }
}

fn refuse(refused: &Refused) -> Said {
    let (media, body) = match refused {
        Refused::Behind(size) | Refused::Fork(size) => (SIZE_TYPE, size_body(*size)),
        other => (TEXT, format!("{}\n", other.sentence())),
    };
    Said { status: refused.status(), media, body }
}

fn outage() -> Said {
    Said { status: 503, media: TEXT, body: "the witness cannot remember now\n".to_owned() }
}

/// Where the last checkpoint of a log is kept, as it was signed.
fn place(dir: &Path, origin: &Origin) -> PathBuf {
    dir.join("logs").join(hex(&identity::key::sha256(&[origin.as_str().as_bytes()])))
}

/// What was seen of a log. A file that is there and says nothing is no beginning.
fn remembered(dir: &Path, origin: &Origin) -> Result<Head, String> {
    let path = place(dir, origin);
    let failed = |what: &dyn Display| format!("`{}`: {what}", path.display());
    let file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(nothing()),
        other => other.map_err(|e| failed(&e))?,
    };
    let mut text = String::new();
    let read = file.take(NOTE_OCTETS_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|e| failed(&e))?;
    let checkpoint = note::unbelieved(&text).map_err(|d| {
        failed(&format!("{d}: bring it back from a back-up that is not older than its last answer"))
    })?;
    if checkpoint.origin == *origin {
        Ok(checkpoint.head())
    } else {
        Err(failed(&format!("it is about `{}`", checkpoint.origin)))
    }
}

fn lock(dir: &Path) -> Result<File, String> {
    let path = dir.join("lock");
    let failed = |what: &dyn Display| format!("`{}`: {what}", path.display());
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(failed(&"another witness runs here: two with one state would forget")),
    }
}

fn signer(dir: &Path) -> Result<Box<dyn Signer>, String> {
    let keys = dir.join("keys");
    file::make_dir(&keys).map_err(|e| e.to_string())?;
    let store = KeyStore::open(&keys).map_err(|e| e.to_string())?;
    let known = store.names().map_err(|e| e.to_string())?.iter().any(|name| name == KEY);
    let delivered = store.delivered(KEY).map_err(|e| e.to_string())?.is_some();
    if !known && !delivered {
        if std::fs::read_dir(dir.join("logs")).is_ok_and(|mut d| d.next().is_some()) {
            return Err(format!(
                "`{}` has no key and has seen logs: bring the key back from the back-up",
                keys.display()
            ));
        }
        let made = NewKey::make(KeyKind::Ed25519).map_err(|e| e.to_string())?;
        store.keep(KEY, &made).map_err(|e| e.to_string())?;
    }
    let loaded = store.load(KEY).map_err(|e| e.to_string())?.key;
    if loaded.public().kind() == KeyKind::Ed25519 {
        Ok(Box::new(loaded))
    } else {
        Err(format!("the key of a witness is Ed25519, and `{}` has another", keys.display()))
    }
}

/// The name that it signs under. It is part of its key for everybody else, and stays as it is.
fn own_name(dir: &Path, name: Option<&str>, signer: &dyn Signer) -> Result<Origin, String> {
    let path = dir.join("name");
    let kept = match path.exists() {
        true => Some(file::read_text(&path).map_err(|e| e.to_string())?.trim().to_owned()),
        false => None,
    };
    let short = hex(signer.public().hash().octets()).get(..16).unwrap_or_default().to_owned();
    let wanted = match (kept.as_deref(), name) {
        (Some(kept), Some(name)) if kept != name => {
            return Err(format!("this witness is called `{kept}`, and others know it so"));
        }
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => format!("{short}.witness.muster.invalid"),
    };
    let parsed = Origin::parse(&wanted)
        .ok_or_else(|| format!("`{wanted}` is no name: no blanks and no `+` stand in one"))?;
    if kept.is_none() {
        file::write(&path, format!("{wanted}\n").as_bytes(), Mode::Public)
            .map_err(|e| e.to_string())?;
    }
    Ok(parsed)
}

/// Answers one request; hand it to [`crate::listen::serve`].
pub async fn answer(witness: Arc<Witness>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if head.uri.path() != "/add-checkpoint" {
        return write(&Said { status: 404, media: TEXT, body: "nothing is here\n".to_owned() });
    }
    if head.method != Method::POST {
        return write(&Said {
            status: 405,
            media: TEXT,
            body: "only POST is answered\n".to_owned(),
        });
    }
    let body = match read_body(body, REQUEST_OCTETS_MAX, limits::BODY).await {
        Ok(body) => body,
        Err(e) => return write(&Said { status: 413, media: TEXT, body: format!("{e}\n") }),
    };
    let Ok(text) = String::from_utf8(body.to_vec()) else {
        return write(&Said { status: 400, media: TEXT, body: "it is not text\n".to_owned() });
    };
    let said = tokio::task::spawn_blocking(move || witness.add(&text)).await;
    write(&said.unwrap_or_else(|_| outage()))
}

fn write(said: &Said) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(said.body.clone())));
    *answer.status_mut() =
        StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(said.media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests;
