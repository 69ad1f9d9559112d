//! Who is at the other end of a connection, as far as the handshake says. Possession of the key is
//! proved; chain, dates and standing are judged on every request, by others.

use super::sessions::{Session, Sessions};
use super::strangers::Line;
use crate::limits::CHAIN_MAX;
use crate::tls::Print;
use identity::{Certificate, Defect};
use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConnection};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The version of TLS that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A connection, as every request that comes over it sees it.
#[derive(Debug)]
pub struct Connection {
    /// The address of the other end, behind a trusted balancer the one that it named.
    pub peer: IpAddr,
    /// The client's own certificate, whose key signed the handshake.
    pub holder: Option<Certificate>,
    /// Why it could not be read; then `holder` is `None`.
    defect: Option<Defect>,
    /// What else it showed, in DER, not read yet: only makers' doors want to know.
    above: Vec<CertificateDer<'static>>,
    /// The `tls-exporter` channel binding (RFC 9266), with TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
    /// The version of TLS; `None` on the public port.
    pub version: Option<TlsVersion>,
    /// What the ClientHello looked like; `None` on the public port.
    pub print: Option<Print>,
    began: Instant,
    /// Whether all of the last request came.
    heard: AtomicBool,
    line: Line,
    session: Option<Session>,
}

impl Connection {
    pub(super) fn plain(line: Line, began: Instant) -> Self {
        let peer = line.peer();
        Self {
            peer,
            holder: None,
            defect: None,
            above: Vec::new(),
            exporter: None,
            version: None,
            print: None,
            began,
            heard: AtomicBool::new(false),
            line,
            session: None,
        }
    }

    pub(super) fn tls(
        line: Line,
        session: &ServerConnection,
        (print, began): (Print, Instant),
        open: &Arc<Sessions>,
    ) -> Self {
        let mut shown = session.peer_certificates().unwrap_or_default().iter().take(CHAIN_MAX);
        let (holder, defect) = match shown.next().map(|der| Certificate::parse(der)) {
            Some(Err(defect)) => (None, Some(defect)),
            read => (read.and_then(Result::ok), None),
        };
        let above = shown.cloned().collect();
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        };
        let exporter = (version == TlsVersion::Tls13)
            .then(|| session.export_keying_material([0; 32], EXPORTER_LABEL, Some(&[])).ok())
            .flatten();
        let session = holder.as_ref().map(|shown| open.enter(shown.spki_hash()));
        let (version, print) = (Some(version), Some(print));
        let plain = Self::plain(line, began);
        Self { holder, defect, above, exporter, version, print, session, ..plain }
    }

    /// All that the client showed, its own certificate first.
    ///
    /// # Errors
    /// Why one of them could not be read.
    pub fn chain(&self) -> Result<Vec<Certificate>, Defect> {
        if let Some(defect) = &self.defect {
            return Err(defect.clone());
        }
        let above = self.above.iter().map(|der| Certificate::parse(der));
        self.holder.iter().cloned().map(Ok).chain(above).collect()
    }

    /// How long ago the connection was accepted, before its handshake.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says that this client is no stranger: its credential was found valid. The limits of its
    /// address no longer bind it.
    pub fn prove(&self) {
        self.line.prove();
    }

    /// Whether somebody said so.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.line.is_proven()
    }

    /// Says whether all of the request came, so that what is left is ours to do: a stop waits for it,
    /// since it may lead to a leaf and cost a token.
    pub fn hear(&self, all: bool) {
        self.heard.store(all, Ordering::Relaxed);
    }

    pub(super) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Takes one request from the allowance of the strangers of this address; `false` where it is
    /// used up. To be asked only for requests that showed no valid credential.
    #[must_use]
    pub fn stranger_may_ask(&self) -> bool {
        self.line.may_ask(std::time::Instant::now())
    }

    /// Gives back what [`stranger_may_ask`](Self::stranger_may_ask) took: the request led to a
    /// leaf, so that its sender was no stranger after all. A site may bring in as many new devices
    /// as it has.
    pub fn stranger_came_in(&self) {
        self.line.give_back();
    }

    /// Ends the connection at once, in the midst of whatever it does.
    pub fn cut(&self) {
        self.line.cut();
    }

    pub(super) fn was_evicted(&self) -> bool {
        self.line.was_evicted() || self.session.as_ref().is_some_and(Session::is_crowded)
    }

    /// Waits until the key that the client proved ends, which one without a key never does.
    pub(super) async fn until_ended(&self) {
        match &self.session {
            Some(session) => session.until_ended().await,
            None => std::future::pending().await,
        }
    }

    /// Whether it ended already; that is said once.
    pub(super) fn has_ended(&self) -> bool {
        let ended = pin!(self.until_ended());
        ended.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub(super) async fn until_cut(self: Arc<Self>) {
        self.line.until_cut().await;
    }
}
