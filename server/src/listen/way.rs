//! How far the requests of a connection have come, which says how long a stop waits for it. A stop
//! that is planned is fast: nobody holds it up who has not sent a request.

use super::{Connection, Stop};
use crate::limits;
use hyper::Response;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Marks an answer without an end, such as a stream of events: a stop does not wait for whoever
/// hears it.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// No request came.
const SILENT: u8 = 0;
/// The header of a request came, and its body may still be on its way.
const ASKS: u8 = 1;
/// It is answered, and what is left is to send the answer.
const ANSWERED: u8 = 2;
/// It is answered by what has no end.
const LISTENS: u8 = 3;

/// The last request of one connection.
#[derive(Debug)]
pub(super) struct Way {
    far: AtomicU8,
    came: Notify,
    fell: bool,
}

impl Way {
    /// `fell` says that the key of the connection ended with its own handshake, as a clone's does.
    pub(super) fn new(fell: bool) -> Self {
        Self { far: AtomicU8::new(SILENT), came: Notify::new(), fell }
    }

    pub(super) fn asks(&self) {
        self.far.store(ASKS, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Waits until the key of the connection ends. Whoever ended it by coming may still ask once,
    /// to hear why it is refused: its request may be on its way.
    pub(super) async fn until_ended(&self, connection: &Connection) {
        if self.fell {
            // Whether it came or not: the connection ends.
            let _came = timeout(limits::CUT_DRAIN, self.came.notified()).await;
        } else {
            connection.until_ended().await;
        }
    }

    pub(super) fn is_answered<B>(&self, answer: &Response<B>) {
        let endless = answer.extensions().get::<Endless>().is_some();
        self.far.store(if endless { LISTENS } else { ANSWERED }, Ordering::Relaxed);
    }

    /// Waits until a stop has waited long enough for this connection: for no half of a header at
    /// all, for a stranger's body that is not all here and the end of a stream a moment, for
    /// everything else until it ends or [`limits::DRAIN`] is over.
    pub(super) async fn until_worn(&self, mut stop: Stop, connection: &Connection) {
        stop.asked().await;
        if self.far() == SILENT {
            return;
        }
        tokio::time::sleep(limits::CUT_DRAIN).await;
        match self.far() {
            LISTENS => {}
            ASKS if !connection.is_proven() && !connection.is_heard() => {}
            _ => tokio::time::sleep(limits::DRAIN - limits::CUT_DRAIN).await,
        }
    }

    fn far(&self) -> u8 {
        self.far.load(Ordering::Relaxed)
    }
}
