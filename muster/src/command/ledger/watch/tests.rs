//! A ledger over plain HTTP, honest and not.

use super::*;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use identity::{KeyKind, Signer, UnixTime};
use ledger::tile::bundle;
use ledger::tree::{Hashes, leaf_hash};
use ledger::{Class, Entry, Frontier, Hash, Origin, note};
use server::keys::NewKey;
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Mutex;

#[derive(Default)]
struct Log {
    entries: Vec<Vec<u8>>,
    hashes: HashMap<(u8, u64), Hash>,
    frontier: Frontier,
}

impl Hashes for Log {
    fn leaf(&self, index: u64) -> Option<Hash> {
        self.subtree(0, index)
    }

    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.hashes.get(&(level, index)).copied()
    }
}

impl Log {
    /// Grows to `size`; entries of another `branch` are others.
    fn grow(&mut self, size: u64, branch: u8) {
        for index in self.frontier.size()..size {
            let at = UnixTime::from_secs(1_790_000_000);
            let entry = Entry::new(index, at, Class::Join, [branch; 32]).encode();
            self.hashes.insert((0, index), leaf_hash(&entry));
            for done in self.frontier.append(leaf_hash(&entry)) {
                self.hashes.insert((done.level, done.index), done.hash);
            }
            self.entries.push(entry);
        }
    }

    fn answer(&self, path: &str, key: &dyn Signer) -> Option<Vec<u8>> {
        let path = path.strip_prefix("/ledger/r/")?;
        if path == "checkpoint" {
            let Head { size, root } = self.frontier.head();
            let checkpoint = Checkpoint { origin: origin(), size, root };
            return Some(note::sign(&checkpoint, key).unwrap().into_bytes());
        }
        let tile = TilePath::parse(path).filter(|t| t.is_within(self.frontier.size()))?;
        let from = usize::try_from(tile.index * 256).unwrap();
        let to = from + usize::from(tile.width);
        tile.hashes(self).or_else(|| bundle(&self.entries[from..to]))
    }
}

fn origin() -> Origin {
    Origin::new(&[1; 16], 1)
}

/// A log behind a port.
struct Place {
    log: Arc<Mutex<Log>>,
    key: Arc<dyn Signer>,
    /// Added to each checkpoint, as witnesses do.
    lines: Arc<Mutex<String>>,
    url: String,
    dir: tempfile::TempDir,
}

impl Place {
    async fn open(size: u64) -> Self {
        let mut log = Log::default();
        log.grow(size, 1);
        let log = Arc::new(Mutex::new(log));
        let key: Arc<dyn Signer> =
            Arc::new(NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ledger/r/", listener.local_addr().unwrap());
        let lines: Arc<Mutex<String>> = Arc::default();
        let (shown, signer, added) = (Arc::clone(&log), Arc::clone(&key), Arc::clone(&lines));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, key) = (Arc::clone(&shown), Arc::clone(&signer));
                let added = Arc::clone(&added);
                let serve = service_fn(move |request: Request<Incoming>| {
                    let mut found = log.lock().unwrap().answer(request.uri().path(), &*key);
                    if request.uri().path().ends_with("/checkpoint") {
                        let lines = added.lock().unwrap().clone();
                        found = found.map(|note| [note, lines.into_bytes()].concat());
                    }
                    async move {
                        let mut answer = Response::new(Full::new(Bytes::new()));
                        match found {
                            Some(octets) => *answer.body_mut() = Full::new(octets.into()),
                            None => *answer.status_mut() = StatusCode::NOT_FOUND,
                        }
                        Ok::<_, Infallible>(answer)
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), serve));
            }
        });
        Self { log, key, lines, url, dir: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state.json")
    }

    async fn watch(&self, checkpoint: Vec<PathBuf>) -> Outcome<Watched> {
        self.watch_with(checkpoint, &[], 0).await
    }

    /// As a monitor that demands cosignatures of witnesses.
    async fn watch_with(
        &self,
        checkpoint: Vec<PathBuf>,
        witnesses: &[VerifierKey],
        quorum: usize,
    ) -> Outcome<Watched> {
        let key = VerifierKey::new(&origin(), self.key.public()).unwrap();
        let keys = [&[key], witnesses].concat();
        let typed =
            Verify { checkpoint, state: Some(self.state()), key: None, ..Verify::default() };
        watch(&typed, &self.url, &Trust { keys: &keys, quorum }).await
    }
}

#[tokio::test]
async fn a_ledger_is_seen_whole_and_the_next_run_hashes_only_what_came() {
    let place = Place::open(700).await;
    let first = place.watch(Vec::new()).await.unwrap();
    assert_eq!((first.size, first.hashed, first.grown_from), (700, 700, None));
    place.log.lock().unwrap().grow(66_000, 1);
    let second = place.watch(Vec::new()).await.unwrap();
    assert_eq!((second.size, second.grown_from), (66_000, Some(700)));
    assert_eq!(second.hashed, 66_000 - 512);
}

#[tokio::test]
async fn a_ledger_that_was_rewritten_is_found_and_its_checkpoint_kept() {
    let place = Place::open(700).await;
    place.watch(Vec::new()).await.unwrap();
    let mut forged = Log::default();
    forged.grow(600, 1);
    forged.grow(900, 2);
    *place.log.lock().unwrap() = forged;
    let broken = place.watch(Vec::new()).await.unwrap_err();
    assert!(broken.what().contains("the checkpoint has the root"), "{}", broken.what());
    assert!(place.dir.path().join("state.json.broken").exists());

    let mut shorter = Log::default();
    shorter.grow(600, 1);
    *place.log.lock().unwrap() = shorter;
    let broken = place.watch(Vec::new()).await.unwrap_err();
    assert!(broken.what().contains("700 entries"), "{}", broken.what());
}

#[tokio::test]
async fn a_checkpoint_from_before_the_state_is_still_gone_through() {
    let place = Place::open(300).await;
    let early = place.log.lock().unwrap().answer("/ledger/r/checkpoint", &*place.key).unwrap();
    let path = place.dir.path().join("early.txt");
    std::fs::write(&path, early).unwrap();
    place.log.lock().unwrap().grow(900, 1);
    place.watch(Vec::new()).await.unwrap();
    let again = place.watch(vec![path]).await.unwrap();
    assert_eq!((again.hashed, again.size), (900, 900));
}

#[tokio::test]
async fn an_entry_or_a_tile_that_is_not_what_was_signed_is_named() {
    let place = Place::open(700).await;
    place.log.lock().unwrap().hashes.insert((1, 1), [0; 32]);
    let broken = place.watch(Vec::new()).await.unwrap_err();
    assert!(broken.what().contains("tile/1/000.p/2"), "{}", broken.what());

    let place = Place::open(700).await;
    place.log.lock().unwrap().entries[270][5] ^= 1;
    let broken = place.watch(Vec::new()).await.unwrap_err();
    assert!(broken.what().contains("entry 270"), "{}", broken.what());
}

#[tokio::test]
async fn a_monitor_may_demand_that_witnesses_saw_the_checkpoint() {
    let place = Place::open(300).await;
    let signers = [1, 2].map(|_| NewKey::make(KeyKind::Ed25519).unwrap().signer().unwrap());
    let names = ["a.example/witness", "b.example/witness"].map(|n| Origin::parse(n).unwrap());
    let keys = [0, 1].map(|n| VerifierKey::cosigner(&names[n], signers[n].public()).unwrap());
    let Head { size, root } = place.log.lock().unwrap().frontier.head();
    let line = |root| {
        let text = Checkpoint { origin: origin(), size, root }.text();
        note::cosign::cosign(&text, &names[0], &signers[0], UnixTime::from_secs(1_790_000_000))
    };

    let unseen = place.watch_with(Vec::new(), &keys[..1], 1).await.unwrap_err();
    assert!(unseen.what().contains("0 of the known witnesses"), "{}", unseen.what());
    assert!(!place.state().exists(), "nothing is kept of what nobody saw");

    *place.lines.lock().unwrap() = line(root).unwrap();
    let seen = place.watch_with(Vec::new(), &keys[..1], 1).await.unwrap();
    assert_eq!((seen.size, seen.witnesses.len()), (300, 1));
    assert_eq!(place.watch_with(Vec::new(), &keys, 1).await.unwrap().witnesses.len(), 1);
    let fewer = place.watch_with(Vec::new(), &keys, 2).await.unwrap_err();
    assert!(fewer.what().contains("1 of the known witnesses"), "{}", fewer.what());

    // A cosignature of another tree is no cosignature of this one.
    *place.lines.lock().unwrap() = line([9; 32]).unwrap();
    let other = place.watch_with(Vec::new(), &keys[..1], 1).await.unwrap_err();
    assert!(other.what().contains("cannot be believed"), "{}", other.what());
}
