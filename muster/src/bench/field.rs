//! What a run needs before the clock starts: a server, an operator before it, and devices with keys
//! and requests.

use super::measure::Taken;
use super::subject::Subject;
use crate::credential::OperatorFile;
use crate::failure::{Failure, Outcome};
use crate::rest::Rest;
use agent::{CallError, Dialer, Exchange, Identity};
use api::birth::{BirthBatch, BirthRequest, BirthResults};
use api::path;
use enroll::est::client::{self, Outgoing};
use enroll::request::{self, Wish};
use identity::ask::Want;
use identity::token::ShownToken;
use identity::{Certificate, KeyKind, RealmName};
use server::keys::NewKey;

use std::time::Instant;
use tempfile::TempDir;

/// Units in one request of the station.
pub(super) const BATCH: usize = 256;

/// A server in a temporary home, and an operator before it.
pub(super) struct Field {
    pub(super) subject: Subject,
    pub(super) rest: Rest,
    root: Certificate,
    // Goes last: the server must have ended before its home goes.
    home: TempDir,
}

impl Field {
    /// A fresh server.
    pub(super) async fn open() -> Outcome<Self> {
        let home = tempfile::Builder::new()
            .prefix("muster-bench-")
            .tempdir()
            .map_err(|e| Failure::new(format!("no temporary home: {e}")))?;
        let subject = Subject::start(&home.path().join("home")).await?;
        let credential = OperatorFile::find(None, &home.path().join("home"))?;
        let rest = Rest::new(&credential)?;
        Ok(Self { subject, rest, root: credential.root, home })
    }

    /// Ends the server as a power cut would, and starts it again in the same home.
    pub(super) async fn restart(self) -> Outcome<Self> {
        let Self { subject, home, .. } = self;
        drop(subject);
        let subject = Subject::start(&home.path().join("home")).await?;
        let credential = OperatorFile::find(None, &home.path().join("home"))?;
        let rest = Rest::new(&credential)?;
        Ok(Self { subject, rest, root: credential.root, home })
    }

    /// Dials its device port.
    pub(super) fn dialer(&self, exchange: Exchange) -> Outcome<Dialer> {
        Dialer::new(self.subject.device_port()?, &self.root, exchange).map_err(wrong)
    }

    /// Starts the clock.
    pub(super) fn start_clock(&self) -> Clock {
        Clock { wall: Instant::now(), cpu_s: self.subject.cpu_s() }
    }

    /// Stops it.
    pub(super) fn stop_clock(&self, clock: &Clock, failed: u64) -> Taken {
        let wall = clock.wall.elapsed();
        let cpu_s = self.subject.cpu_s() - clock.cpu_s;
        Taken { wall, cpu_s, rss_mib: self.subject.rss_mib(), failed }
    }
}

/// When a run began, and what the server had taken by then.
pub(super) struct Clock {
    wall: Instant,
    cpu_s: f64,
}

/// A device that was born, with the request for its first leaf ready to be sent.
pub(super) struct Newborn {
    pub(super) identity: Identity,
    pub(super) join: Outgoing,
}

/// Lets `count` devices be born, numbered from `from`, and makes their requests.
pub(super) async fn newborns(field: &Field, from: usize, count: usize) -> Outcome<Vec<Newborn>> {
    let mut born = Vec::with_capacity(count);
    let mut at = from;
    while born.len() < count {
        let size = BATCH.min(count - born.len());
        let keys: Vec<NewKey> = (0..size)
            .map(|_| NewKey::make(KeyKind::P256))
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        let births = keys
            .iter()
            .enumerate()
            .map(|(i, key)| birth_request(key, at + i))
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let answer: BirthResults = field.rest.post(path::BIRTHS, &BirthBatch { births }).await?;
        for (key, result) in keys.iter().zip(answer.results) {
            let pem = result
                .certificate
                .ok_or_else(|| unborn(result.reason.unwrap_or_default(), field))?;
            let chain = Certificate::parse_pem(&pem, 4).map_err(|d| Failure::new(d.sentence))?;
            let identity = Identity::new(&chain, key.dangerous_pkcs8());
            born.push(Newborn { identity, join: join(None).map_err(wrong)? });
        }
        at += size;
    }
    Ok(born)
}

fn unborn(reason: String, field: &Field) -> Failure {
    Failure::new(format!("no birth: {reason}; the server said: {}", field.subject.said()))
}

/// One unit of a production run.
pub(super) fn birth_request(key: &NewKey, number: usize) -> Result<BirthRequest, CallError> {
    let serial = format!("B{number:09}");
    let csr =
        request::make(&key.signer()?, &Wish { serial_number: Some(&serial), ..Wish::default() })?;
    Ok(BirthRequest {
        csr: identity::text::base64(&csr),
        serial,
        model: "bench".to_owned(),
        mac: vec![format!(
            "02:00:{:02x}:{:02x}:{:02x}:{:02x}",
            number >> 24 & 255,
            number >> 16 & 255,
            number >> 8 & 255,
            number & 255
        )],
        ..BirthRequest::default()
    })
}

/// A request for a leaf with a key of its own.
pub(super) fn join(token: Option<&ShownToken>) -> Result<Outgoing, CallError> {
    let key = NewKey::make(KeyKind::P256)?;
    let csr = request::make(&key.signer()?, &Wish::default())?;
    Ok(client::enroll(&RealmName::default_realm(), Want::Join, &csr, token))
}

/// What went wrong on the device's side.
pub(super) fn wrong(error: impl ToString) -> Failure {
    Failure::new(error.to_string())
}
