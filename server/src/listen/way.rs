//! How far the requests of a connection have come, which says how long a stop waits for it. A stop
//! that is planned is fast: nobody holds it up who has not sent a request.

use super::{Connection, Stop};
use crate::limits;
use hyper::Response;
use std::sync::atomic::{AtomicU8, Ordering};

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
#[derive(Debug, Default)]
pub(super) struct Way(AtomicU8);

impl Way {
    pub(super) fn asks(&self) {
        self.0.store(ASKS, Ordering::Relaxed);
    }

    pub(super) fn is_answered<B>(&self, answer: &Response<B>) {
        let endless = answer.extensions().get::<Endless>().is_some();
        self.0.store(if endless { LISTENS } else { ANSWERED }, Ordering::Relaxed);
    }

    /// Waits until a stop has waited long enough for this connection: for no half of a header at
    /// all, for a stranger's body and the end of a stream a moment, for everything else until it
    /// ends or [`limits::DRAIN`] is over.
    pub(super) async fn until_worn(&self, mut stop: Stop, connection: &Connection) {
        stop.asked().await;
        if self.far() == SILENT {
            return;
        }
        tokio::time::sleep(limits::CUT_DRAIN).await;
        match self.far() {
            LISTENS => {}
            ASKS if !connection.is_proven() => {}
            _ => tokio::time::sleep(limits::DRAIN - limits::CUT_DRAIN).await,
        }
    }

    fn far(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
