//! Port 8080: what everybody may fetch. CRLs, certificates of authorities, the ledger and its
//! checkpoint; all of it signed, all of it public, so plain HTTP is enough and caches may keep it.
//!
//! ```text
//! /crl/{realm}/{issuer}/{shard}.crl    /crl/{realm}/{issuer}.crl    /ca/{realm}/{issuer}.cer
//! /ocsp/{realm}                        the responder, by POST and by GET
//! /ledger/{realm}/checkpoint           /ledger/{realm}/tile/…
//! ```
//!
//! Most of it lies ready in a [`PublicView`] under its path; tiles are read from the registry, and
//! what [`ocsp`] answers is signed when somebody asks.

mod conditional;
pub(crate) mod date;
mod file;
pub mod ocsp;

pub use file::{Kind, PublicFile};

use crate::limits;
use crate::listen::Connection;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use identity::RealmName;
use ledger::tile::{Level, TilePath};
use registry::{RealmKey, Registry};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// An answer of the public port.
pub type Answer = Response<Full<Bytes>>;

/// What the public port shows. Who makes a new CRL puts it here; a reader has the old or the new
/// one, whole.
pub struct PublicView {
    files: RwLock<HashMap<String, Arc<PublicFile>>>,
    realms: RwLock<HashMap<RealmName, RealmKey>>,
    registry: Registry,
    reads: Arc<Semaphore>,
}

impl PublicView {
    /// A view that shows nothing yet but the ledgers of `realms`.
    #[must_use]
    pub fn new(
        registry: Registry,
        realms: impl IntoIterator<Item = (RealmName, RealmKey)>,
    ) -> Self {
        Self {
            files: RwLock::default(),
            realms: RwLock::new(realms.into_iter().collect()),
            registry,
            reads: Arc::new(Semaphore::new(limits::PUBLIC_READS_MAX)),
        }
    }

    /// Shows `file` at `path` (`/crl/default/….crl`) from now on.
    pub fn show(&self, path: &str, file: PublicFile) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let file = match files.get(path) {
            Some(before) => file.instead_of(before),
            None => file,
        };
        files.insert(path.to_owned(), Arc::new(file));
    }

    /// Shows nothing any more whose path begins with `front`.
    pub fn hide(&self, front: &str) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.retain(|path, _| !path.starts_with(front));
    }

    /// What is shown at `path`.
    #[must_use]
    pub fn shown(&self, path: &str) -> Option<Arc<PublicFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    fn realm(&self, name: &str) -> Option<RealmKey> {
        let name = RealmName::parse(name)?;
        self.realms.read().unwrap_or_else(PoisonError::into_inner).get(&name).copied()
    }
}

/// Answers a request of the public port; hand it to [`crate::listen::serve`] with a view.
pub async fn serve(view: Arc<PublicView>, request: Request<Incoming>) -> Answer {
    let (head, _) = request.into_parts();
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut refused =
            sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let mut answer = match tile_of(&view, head.uri.path()) {
        Some((realm, tile)) => read_tile(Arc::clone(&view), realm, tile).await,
        None => answer(&view, head.uri.path(), &head.headers),
    };
    if head.method == Method::HEAD {
        conditional::keep_length(&mut answer);
    }
    answer
}

/// As [`serve`], in the form that [`crate::listen::serve`] takes, with a responder beside the view.
pub fn handler(
    view: Arc<PublicView>,
    responder: Arc<ocsp::Desk>,
) -> impl Fn(Arc<Connection>, Request<Incoming>) -> ServeFuture + Clone + Send + Sync + 'static {
    move |connection, request| {
        let (view, responder) = (Arc::clone(&view), Arc::clone(&responder));
        if request.uri().path().starts_with("/ocsp/") {
            let from = connection.peer;
            return Box::pin(async move { ocsp::serve(&responder, from, request).await });
        }
        Box::pin(serve(view, request))
    }
}

/// What [`handler`] gives back.
pub type ServeFuture = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Answers from what lies ready.
#[must_use]
pub fn answer(view: &PublicView, path: &str, headers: &HeaderMap) -> Answer {
    if let Some(file) = view.shown(path) {
        return conditional::answer(&file, headers);
    }
    sentence(StatusCode::NOT_FOUND, "nothing is published at this address")
}

fn tile_of(view: &PublicView, path: &str) -> Option<(RealmKey, TilePath)> {
    let (realm, tile) = path.strip_prefix("/ledger/")?.split_once('/')?;
    Some((view.realm(realm)?, TilePath::parse(tile)?))
}

/// SQL blocks, so it happens on a thread of its own, and only so many at a time: whoever floods
/// this port waits for others that do, and the writer for nobody. The place is the read's: who asks
/// and hangs up gives back none.
async fn read_tile(view: Arc<PublicView>, realm: RealmKey, tile: TilePath) -> Answer {
    let place = Arc::clone(&view.reads).acquire_owned().await;
    let registry = view.registry.clone();
    let full = tile.width == 256;
    let read = tokio::task::spawn_blocking(move || {
        let _place = place;
        match tile.level {
            Level::Hashes(level) => registry.tile(realm, level, tile.index, tile.width),
            Level::Entries => registry.bundle(realm, tile.index, tile.width),
        }
    });
    match read.await {
        Ok(Ok(Some(octets))) => tile_answer(octets, full),
        Ok(Ok(None)) => sentence(StatusCode::NOT_FOUND, "the ledger has no such tile"),
        _ => sentence(StatusCode::INTERNAL_SERVER_ERROR, "the ledger cannot be read now"),
    }
}

/// A tile never changes; a part of one is replaced by a wider one and need not be kept long.
fn tile_answer(octets: Vec<u8>, full: bool) -> Answer {
    let keep = if full { "public, max-age=31536000, immutable" } else { "public, max-age=3600" };
    let mut answer = Response::new(Full::new(Bytes::from(octets)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    answer
}

fn sentence(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests;
