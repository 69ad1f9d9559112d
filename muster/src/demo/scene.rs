//! What happens in the demo, scene by scene. Each checks what it claims, the refusals too. What a
//! thief tries stands in [`super::thief`], how an authority is rolled over in [`super::roll`].

use super::unit::Unit;
use crate::credential::OperatorFile;
use crate::rest::Rest;
use agent::{CallError, Dialer, Exchange, Heard};
use api::birth::{BirthBatch, BirthOutcome, BirthResults};
use api::{HeadView, path};
use enroll::est::{Reply, client};
use identity::key::sha256;
use identity::text::counted;
use identity::{Certificate, RuleId};
use indicatif::ProgressBar;
use ledger::{Receipt, Trust, VerifierKey};
use serde::Serialize;
use server::{Running, ServeOptions};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::task::JoinSet;

/// Devices that act at once: enough to share every fsync, few enough for two cores.
const AT_ONCE: usize = 32;
/// Units in one request of the station.
const BATCH: usize = 64;
/// One device of so many is switched on late: it joins while the authority is rolled over.
const LATE_ONE_IN: usize = 10;

/// What a scene plays on.
pub(crate) struct Stage {
    running: Running,
    pub(super) rest: Rest,
    pub(super) dialer: Dialer,
    pub(super) units: Vec<Unit>,
    devices: usize,
    /// The root's key is in it.
    pub(super) home: PathBuf,
    /// The live progress.
    pub(super) bar: ProgressBar,
}

/// What a scene comes to: how many took part, and one sentence.
pub(super) type Told = Result<(u64, String), CallError>;
type Played<'a> = Pin<Box<dyn Future<Output = Told> + 'a>>;

/// A scene: its name, and what plays it. It tells how many took part, and one sentence.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) play: for<'a> fn(&'a mut Stage) -> Played<'a>,
}

/// Every scene, in order.
pub(crate) const ALL: [Scene; 12] = [
    Scene { name: "births", play: |stage| Box::pin(stage.births()) },
    Scene { name: "joins", play: |stage| Box::pin(stage.joins()) },
    Scene { name: "renewals", play: |stage| Box::pin(stage.renewals()) },
    Scene { name: "roll", play: |stage| Box::pin(stage.roll()) },
    Scene { name: "rotation", play: |stage| Box::pin(stage.rotation()) },
    Scene { name: "suspension", play: |stage| Box::pin(stage.suspension()) },
    Scene { name: "forgery", play: |stage| Box::pin(stage.forgery()) },
    Scene { name: "replay", play: |stage| Box::pin(stage.replay()) },
    Scene { name: "clone", play: |stage| Box::pin(stage.clone()) },
    Scene { name: "theft", play: |stage| Box::pin(stage.theft()) },
    Scene { name: "ledger", play: |stage| Box::pin(stage.ledger()) },
    Scene { name: "proof", play: |stage| Box::pin(stage.proof()) },
];

impl Stage {
    /// A server in `home`, and an operator before it.
    pub(crate) async fn open(
        home: &Path,
        devices: usize,
        bar: ProgressBar,
    ) -> Result<Self, CallError> {
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
            home: home.to_owned(),
            bar,
        })
    }

    /// Stops the server.
    pub(crate) async fn close(self) {
        self.running.stop().await;
    }

    async fn births(&mut self) -> Told {
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
            counted(
                self.devices as u64,
                "birth certificate, for a key that never left its device",
                "birth certificates, each for a key that never left its device",
            ),
        ))
    }

    async fn joins(&mut self) -> Told {
        let late = self.devices / LATE_ONE_IN;
        let newcomers = self.units.split_off(self.devices - late);
        each(&mut self.units, &self.dialer, |mut unit, dialer| async move {
            unit.join(&dialer).await?;
            Ok(unit)
        })
        .await?;
        let came = self.units.len() as u64;
        self.units.extend(newcomers);
        let later = match late {
            0 => String::new(),
            late => format!("; {late} wait"),
        };
        let told = counted(came, "device came in by itself", "devices came in by themselves");
        Ok((came, format!("{told} over EST{later}")))
    }

    async fn renewals(&mut self) -> Told {
        let newcomers = self.units.split_off(self.devices - self.devices / LATE_ONE_IN);
        each(&mut self.units, &self.dialer, |mut unit, dialer| async move {
            unit.renew(&dialer, false).await?;
            Ok(unit)
        })
        .await?;
        let renewed = self.units.len() as u64;
        self.units.extend(newcomers);
        let (one, many) =
            ("leaf renewed, long before its end", "leaves renewed, long before their end");
        Ok((renewed, counted(renewed, one, many)))
    }

    async fn rotation(&mut self) -> Told {
        let dialer = self.dialer.clone();
        let unit = self.units.first_mut().ok_or("no unit")?;
        unit.renew(&dialer, true).await?;
        unit.renew(&dialer, false).await?;
        Ok((1, "a device took a new key, and works with it".to_owned()))
    }

    async fn suspension(&mut self) -> Told {
        let unit = self.units.last().ok_or("no unit")?;
        let name = format!("serial:{}", unit.serial);
        self.stand(path::DEVICE_SUSPEND, &name, Some("demo")).await?;
        let sentence = denied(&unit.try_renewal(&self.dialer).await?, &RuleId::SUSPENDED)?;
        self.stand(path::DEVICE_RESUME, &name, None).await?;
        accepted(&unit.try_renewal(&self.dialer).await?)?;
        Ok((1, format!("refused while suspended (“{sentence}”), served when resumed")))
    }

    pub(super) async fn stand(
        &self,
        at: &str,
        name: &str,
        reason: Option<&str>,
    ) -> Result<(), CallError> {
        let body = api::device::StandingRequest { reason: reason.map(str::to_owned) };
        self.post(&path::fill(at, &[name]), &body).await
    }

    /// Has an operator do one thing.
    pub(super) async fn post(&self, at: &str, body: &impl Serialize) -> Result<(), CallError> {
        let done: Result<serde_json::Value, _> = self.rest.post(at, body).await;
        done.map(drop).map_err(|f| f.what().to_owned().into())
    }

    /// Has an operator put one thing in its place.
    pub(super) async fn put(&self, at: &str, body: &impl Serialize) -> Result<(), CallError> {
        let done: Result<serde_json::Value, _> = self.rest.put(at, body).await;
        done.map(drop).map_err(|f| f.what().to_owned().into())
    }

    async fn ledger(&mut self) -> Told {
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
            format!(
                "{} entries re-computed: they make the root that its key signed",
                verified.size
            ),
        ))
    }

    /// What an outsider does with a receipt: it holds the ledger's key and trusts nobody else.
    async fn proof(&mut self) -> Told {
        let unit = self.units.first().ok_or("no unit")?;
        let leaf = unit.leaf.as_ref().and_then(|held| held.chain.first()).ok_or("no leaf")?;
        let name = format!("cert:{}", leaf.serial().ok_or("no serial number")?);
        let head: HeadView = self.rest.get(path::HEAD).await.map_err(|f| f.what().to_owned())?;
        let key = head.verifier.ok_or("the ledger has no key")?;
        let key = VerifierKey::parse(&key).map_err(|d| d.sentence.into_owned())?;
        let asked = self.rest.text(path::fill(path::CERTIFICATE_RECEIPT, &[&name])).await;
        let text = asked.map_err(|f| f.what().to_owned())?;
        let trust = Trust { keys: &[key], quorum: 0 };
        let check = |text: &str| Receipt::decode(text).and_then(|receipt| receipt.verify(&trust));
        let proven = check(&text).map_err(|d| d.sentence.into_owned())?;
        if !proven.issued(&sha256(&[leaf.der()])) {
            return Err("the receipt is of another certificate".into());
        }
        // One letter of what it says, and it holds no more.
        let longest = text.lines().max_by_key(|line| line.len()).unwrap_or_default();
        let forged = text.replacen(longest, &forged(longest), 1);
        if check(&forged).is_ok() {
            return Err("a forged receipt holds".into());
        }
        let octets = text.len();
        Ok((
            1,
            format!("a receipt of {octets} octets proves a device's leaf to an outsider, offline"),
        ))
    }
}

/// Lets every unit do one thing, many at once.
pub(super) async fn each<F, D>(
    units: &mut Vec<Unit>,
    dialer: &Dialer,
    act: F,
) -> Result<(), CallError>
where
    F: Fn(Unit, Dialer) -> D,
    D: Future<Output = Result<Unit, CallError>> + Send + 'static,
{
    let mut done = Vec::with_capacity(units.len());
    let mut waiting = std::mem::take(units).into_iter();
    let mut acting = JoinSet::new();
    for unit in waiting.by_ref().take(AT_ONCE) {
        acting.spawn(act(unit, dialer.clone()));
    }
    while let Some(acted) = acting.join_next().await {
        done.push(acted??);
        if let Some(unit) = waiting.next() {
            acting.spawn(act(unit, dialer.clone()));
        }
    }
    done.sort_by(|a, b| a.serial.cmp(&b.serial));
    *units = done;
    Ok(())
}

/// A line of base64 with another letter in its middle.
fn forged(line: &str) -> String {
    let middle = line.len() / 2;
    let other = |(at, c): (usize, char)| match c {
        _ if at != middle => c,
        'A' => 'B',
        _ => 'A',
    };
    line.char_indices().map(other).collect()
}

/// The sentence of a refusal with that status and for that reason; anything else is an error.
pub(super) fn refused(heard: &Heard, wanted: u16, why: &str) -> Result<String, CallError> {
    let reply = client::read_cacerts(&heard.incoming()).map_err(|d| d.sentence.into_owned())?;
    match reply {
        Reply::Refused { status, sentence, .. } if status == wanted && sentence.contains(why) => {
            Ok(sentence)
        }
        Reply::Refused { status, sentence, .. } => {
            Err(format!("{status} and not {wanted}, or not because {why}: {sentence}").into())
        }
        _ => Err(format!("it was served, where {wanted} was due, because {why}").into()),
    }
}

/// As [`refused`], by that rule and no other.
pub(super) fn denied(heard: &Heard, rule: &RuleId) -> Result<String, CallError> {
    refused(heard, 403, &rule.sentence())
}

pub(super) fn accepted(heard: &Heard) -> Result<(), CallError> {
    match client::read_cacerts(&heard.incoming()).map_err(|d| d.sentence.into_owned())? {
        Reply::Done(_) => Ok(()),
        Reply::Later { .. } => Err("it was put off".into()),
        Reply::Refused { status, sentence, .. } => Err(format!("{status}: {sentence}").into()),
    }
}
