//! What happens in the demo, scene by scene. Each checks what it claims, the refusals too.

use super::unit::{self, Unit};
use crate::credential::OperatorFile;
use crate::rest::Rest;
use agent::{CallError, Dialer, Exchange, Heard};
use api::birth::{BirthBatch, BirthOutcome, BirthResults};
use api::path;
use enroll::est::{Reply, client};
use identity::ask::Want;
use identity::{Certificate, KeyKind, RealmName};
use server::keys::NewKey;
use server::{Running, ServeOptions};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use tokio::task::JoinSet;

/// Devices that act at once: enough to share every fsync, few enough for two cores.
const AT_ONCE: usize = 32;
/// Units in one request of the station.
const BATCH: usize = 64;

/// What a scene plays on.
pub(crate) struct Stage {
    running: Running,
    rest: Rest,
    dialer: Dialer,
    units: Vec<Unit>,
    devices: usize,
}

type Played<'a> = Pin<Box<dyn Future<Output = Result<(u64, String), CallError>> + 'a>>;

/// A scene: its name, and what plays it. It tells how many took part, and one sentence.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) play: for<'a> fn(&'a mut Stage) -> Played<'a>,
}

/// Every scene, in order.
pub(crate) const ALL: [Scene; 8] = [
    Scene { name: "births", play: |stage| Box::pin(stage.births()) },
    Scene { name: "joins", play: |stage| Box::pin(stage.joins()) },
    Scene { name: "renewals", play: |stage| Box::pin(stage.renewals()) },
    Scene { name: "rotation", play: |stage| Box::pin(stage.rotation()) },
    Scene { name: "suspension", play: |stage| Box::pin(stage.suspension()) },
    Scene { name: "forgery", play: |stage| Box::pin(stage.forgery()) },
    Scene { name: "replay", play: |stage| Box::pin(stage.replay()) },
    Scene { name: "ledger", play: |stage| Box::pin(stage.ledger()) },
];

impl Stage {
    /// A server in `home`, and an operator before it.
    pub(crate) async fn open(home: &Path, devices: usize) -> Result<Self, CallError> {
        let options =
            ServeOptions { home: home.to_owned(), any_port: true, ..ServeOptions::default() };
        let running = server::start(options).await?;
        let credential = OperatorFile::find(None, home).map_err(|f| f.what().to_owned())?;
        let root = credential.root.clone();
        let port = running.ports().device.ok_or("no device port")?;
        Ok(Self {
            rest: Rest::new(&credential).map_err(|f| f.what().to_owned())?,
            dialer: Dialer::new(port, &root, Exchange::Hybrid)?,
            running,
            units: Vec::new(),
            devices,
        })
    }

    /// Stops the server.
    pub(crate) async fn close(self) {
        self.running.stop().await;
    }

    async fn births(&mut self) -> Result<(u64, String), CallError> {
        let mut units = (0..self.devices).map(Unit::make).collect::<Result<Vec<_>, _>>()?;
        for batch in units.chunks_mut(BATCH) {
            let births = batch.iter().map(Unit::birth_request).collect::<Result<_, _>>()?;
            let sent = self.rest.post(path::BIRTHS, &BirthBatch { births }).await;
            let answer: BirthResults = sent.map_err(|f| f.what().to_owned())?;
            for (unit, result) in batch.iter_mut().zip(answer.results) {
                if result.outcome != BirthOutcome::Issued {
                    return Err(format!("{} was not born: {:?}", unit.serial, result.reason).into());
                }
                let pem = result.certificate.unwrap_or_default();
                unit.birth.chain =
                    Certificate::parse_pem(&pem, 4).map_err(|d| d.sentence.into_owned())?;
            }
        }
        self.units = units;
        Ok((
            self.devices as u64,
            format!(
                "{} birth certificates, each for a key that never left its device",
                self.devices
            ),
        ))
    }

    /// Lets every unit do one thing, many at once.
    async fn each<F, D>(&mut self, act: F) -> Result<(), CallError>
    where
        F: Fn(Unit, Dialer) -> D,
        D: Future<Output = Result<Unit, CallError>> + Send + 'static,
    {
        let mut waiting = std::mem::take(&mut self.units).into_iter();
        let mut acting = JoinSet::new();
        let mut done = Vec::with_capacity(self.devices);
        for unit in waiting.by_ref().take(AT_ONCE) {
            acting.spawn(act(unit, self.dialer.clone()));
        }
        while let Some(acted) = acting.join_next().await {
            done.push(acted??);
            if let Some(unit) = waiting.next() {
                acting.spawn(act(unit, self.dialer.clone()));
            }
        }
        done.sort_by(|a, b| a.serial.cmp(&b.serial));
        self.units = done;
        Ok(())
    }

    async fn joins(&mut self) -> Result<(u64, String), CallError> {
        self.each(|mut unit, dialer| async move {
            unit.join(&dialer).await?;
            Ok(unit)
        })
        .await?;
        Ok((
            self.devices as u64,
            format!("{} devices came in by themselves over EST", self.devices),
        ))
    }

    async fn renewals(&mut self) -> Result<(u64, String), CallError> {
        self.each(|mut unit, dialer| async move {
            unit.renew(&dialer, false).await?;
            Ok(unit)
        })
        .await?;
        Ok((self.devices as u64, format!("{} leaves renewed, long before their end", self.devices)))
    }

    async fn rotation(&mut self) -> Result<(u64, String), CallError> {
        let dialer = self.dialer.clone();
        let unit = self.units.first_mut().ok_or("no unit")?;
        unit.renew(&dialer, true).await?;
        unit.renew(&dialer, false).await?;
        Ok((1, "a device took a new key, and works with it".to_owned()))
    }

    async fn suspension(&mut self) -> Result<(u64, String), CallError> {
        let unit = self.units.last().ok_or("no unit")?;
        let name = format!("serial:{}", unit.serial);
        self.stand(path::DEVICE_SUSPEND, &name, Some("demo")).await?;
        let sentence = refused(&unit.try_renewal(&self.dialer).await?, 403)?;
        self.stand(path::DEVICE_RESUME, &name, None).await?;
        accepted(&unit.try_renewal(&self.dialer).await?)?;
        Ok((1, format!("refused while suspended (“{sentence}”), served when resumed")))
    }

    async fn stand(&self, at: &str, name: &str, reason: Option<&str>) -> Result<(), CallError> {
        let body = api::device::StandingRequest { reason: reason.map(str::to_owned) };
        let done: Result<serde_json::Value, _> =
            self.rest.post(path::fill(at, &[name]), &body).await;
        done.map(drop).map_err(|f| f.what().to_owned().into())
    }

    async fn forgery(&mut self) -> Result<(u64, String), CallError> {
        let unit = self.units.first().ok_or("no unit")?;
        // A request whose signature is of another key than the one it names.
        let mut csr = unit::request(&NewKey::make(KeyKind::P256)?, None)?;
        if let Some(last) = csr.last_mut() {
            *last ^= 1;
        }
        let say = client::enroll(&RealmName::default_realm(), Want::Join, &csr, None);
        let heard = unit.say(&self.dialer, say).await?;
        let sentence = refused(&heard, 400)?;
        // Nobody at all, with a well-made request.
        let say = unit::ask(Want::Join, &NewKey::make(KeyKind::P256)?)?;
        refused(&self.dialer.call(None, say).await?, 401)?;
        Ok((2, format!("a forged request is refused (“{sentence}”), and so is nobody")))
    }

    async fn replay(&mut self) -> Result<(u64, String), CallError> {
        let [first, second, ..] = self.units.as_slice() else {
            return Err("two units are needed".into());
        };
        let held = first.leaf.as_ref().ok_or("it has not joined yet")?;
        let captured = unit::ask(Want::Join, &held.key)?;
        let sentence = refused(&second.say(&self.dialer, captured).await?, 403)?;
        Ok((1, format!("a request that another device captured is refused (“{sentence}”)")))
    }

    async fn ledger(&mut self) -> Result<(u64, String), CallError> {
        let verified = crate::command::ledger::verify::over_rest(&self.rest)
            .await
            .map_err(|f| f.what().to_owned())?;
        // Births, joins, renewals and first uses of every device stand in it, and the two of the
        // suspension.
        let least = self.devices as u64 * 3;
        if verified.size < least {
            return Err(format!(
                "{} entries where at least {least} things happened",
                verified.size
            )
            .into());
        }
        Ok((
            verified.size,
            format!("{} entries re-computed: what the tables say is what happened", verified.size),
        ))
    }
}

/// The sentence of a refusal with that status; anything else is an error.
fn refused(heard: &Heard, wanted: u16) -> Result<String, CallError> {
    let reply = client::read_cacerts(&heard.incoming()).map_err(|d| d.sentence.into_owned())?;
    match reply {
        Reply::Refused { status, sentence, .. } if status == wanted => Ok(sentence),
        Reply::Refused { status, sentence, .. } => {
            Err(format!("{status} and not {wanted}: {sentence}").into())
        }
        _ => Err(format!("it was served, where {wanted} was due").into()),
    }
}

fn accepted(heard: &Heard) -> Result<(), CallError> {
    match client::read_cacerts(&heard.incoming()).map_err(|d| d.sentence.into_owned())? {
        Reply::Done(_) => Ok(()),
        Reply::Later { .. } => Err("it was put off".into()),
        Reply::Refused { status, sentence, .. } => Err(format!("{status}: {sentence}").into()),
    }
}
