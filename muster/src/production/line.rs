//! The run itself: batches out, answers in, a few in flight so that neither side waits.

use super::{Parcel, Results, Unit, Units};
use crate::failure::{Failure, Outcome};
use crate::rest::Rest;
use api::path::BIRTHS;
use api::{BirthBatch, BirthOutcome, BirthResult, BirthResults};
use identity::text::hex;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Units of one request: a lost answer costs the server a twentieth of a second of work.
const BATCH_UNITS: usize = 256;
/// Octets of one request: well below what a server takes, also with large requests in it.
const BATCH_OCTETS: usize = 512 * 1024;
/// Requests under way: one that the server works on, one that it reads, and their answers coming
/// back; more only queue there.
const IN_FLIGHT: usize = 4;

/// A line of `results.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The unit's line in the run.
    pub(crate) line: u64,
    /// Its serial number.
    pub(crate) serial: String,
    /// Its model.
    pub(crate) model: String,
    /// What became of it.
    pub(crate) outcome: BirthOutcome,
    /// The device's UUID.
    pub(crate) device: Option<String>,
    /// The certificate's serial number.
    pub(crate) certificate_serial: Option<String>,
    /// The chain in PEM, without the root.
    pub(crate) certificate: Option<String>,
    /// The rule that refused.
    pub(crate) rule: Option<String>,
    /// Why it was refused and who must act.
    pub(crate) reason: Option<String>,
    /// SHA-256 over the realm and the request: the same unit has the same, in every run.
    pub(crate) request: String,
}

/// What became of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Units in the file.
    pub(crate) units: u64,
    /// That had their line before.
    pub(crate) skipped: u64,
    /// That got a new certificate.
    pub(crate) issued: u64,
    /// That got the certificate that they had.
    pub(crate) again: u64,
    /// That were refused.
    pub(crate) refused: u64,
}

impl Summary {
    /// Every unit that was counted before has its line.
    fn whole(self) -> Outcome<Self> {
        let told = self.skipped + self.issued + self.again + self.refused;
        if told == self.units {
            return Ok(self);
        }
        let what = format!("{} units were counted, and {told} have a line", self.units);
        Err(Failure::new(format!("{what}: the file changed while it was read"))
            .next("type the same again: those that have their certificate keep it"))
    }
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) rest: Arc<Rest>,
    pub(crate) parcel: Parcel,
    pub(crate) results: Results,
    pub(crate) bar: ProgressBar,
}

impl Run {
    /// Sends every unit that has no line yet.
    pub(crate) async fn send(mut self, mut units: Units, mut summary: Summary) -> Outcome<Summary> {
        let mut flying: JoinSet<Outcome<Vec<Line>>> = JoinSet::new();
        let mut asked = HashSet::new();
        let mut first_failure = None;
        let mut more = true;
        loop {
            while more && first_failure.is_none() && flying.len() < IN_FLIGHT {
                let batch = self.batch(&mut units, &mut asked)?;
                more = !batch.is_empty();
                if more {
                    let (rest, parcel) = (Arc::clone(&self.rest), self.parcel.clone());
                    flying.spawn(async move { births(&rest, parcel, batch).await });
                }
            }
            // After a failure what is under way still gets its lines; nothing new goes out.
            let Some(landed) = flying.join_next().await else { break };
            match landed.map_err(Failure::new).and_then(|lines| self.settle(lines?, &mut summary)) {
                Ok(()) => {}
                Err(failure) => first_failure = first_failure.or(Some(failure)),
            }
        }
        self.bar.finish_and_clear();
        match first_failure {
            Some(failure) => Err(failure),
            None => summary.whole(),
        }
    }

    fn batch(&self, units: &mut Units, asked: &mut HashSet<super::Digest>) -> Outcome<Vec<Unit>> {
        let (mut batch, mut octets) = (Vec::new(), 0);
        while batch.len() < BATCH_UNITS && octets < BATCH_OCTETS {
            let Some(unit) = units.next()? else { break };
            if !self.results.done.has(&unit.digest) && asked.insert(unit.digest) {
                octets += unit.request.csr.len();
                batch.push(unit);
            }
        }
        Ok(batch)
    }

    fn settle(&mut self, lines: Vec<Line>, summary: &mut Summary) -> Outcome {
        self.results.append(&lines)?;
        for line in &lines {
            match line.outcome {
                BirthOutcome::Issued => summary.issued += 1,
                BirthOutcome::Again => summary.again += 1,
                BirthOutcome::Refused => summary.refused += 1,
            }
        }
        self.bar.inc(u64::try_from(lines.len()).unwrap_or_default());
        Ok(())
    }
}

/// Asks for a batch and writes the files of those that were born; their lines are still to be
/// written.
async fn births(rest: &Rest, parcel: Parcel, batch: Vec<Unit>) -> Outcome<Vec<Line>> {
    let mut waiting = vec![batch];
    let mut lines = Vec::new();
    while let Some(batch) = waiting.pop() {
        let request =
            BirthBatch { births: batch.iter().map(|unit| unit.request.clone()).collect() };
        match rest.post::<_, BirthResults>(BIRTHS, &request).await {
            Ok(answer) => lines.extend(pair(batch, answer.results)?),
            // One unit can spoil the whole request; halving finds it, and the others are born.
            Err(failure) if failure.is_malformed() && batch.len() > 1 => {
                let (front, back) = batch.split_at(batch.len() / 2);
                waiting.extend([back.to_vec(), front.to_vec()]);
            }
            Err(failure) if failure.is_malformed() => {
                lines.extend(batch.into_iter().map(|unit| refused(unit, &failure)));
            }
            Err(failure) => return Err(failure),
        }
    }
    let written = move || {
        for line in &lines {
            if let Some(chain) = &line.certificate {
                parcel.put(&line.serial, chain)?;
            }
        }
        Ok(lines)
    };
    tokio::task::spawn_blocking(written).await.map_err(Failure::new)?
}

fn pair(batch: Vec<Unit>, results: Vec<BirthResult>) -> Outcome<Vec<Line>> {
    let in_order = results.iter().zip(0..).all(|(result, index)| result.index == index);
    if batch.len() != results.len() || !in_order {
        return Err(Failure::new("the server's answer does not fit the batch that was sent")
            .next("use the `muster` of the server's version (`muster --version`)"));
    }
    Ok(batch.into_iter().zip(results).map(|(unit, result)| answered(unit, result)).collect())
}

fn answered(unit: Unit, result: BirthResult) -> Line {
    let mut line = Line::of(unit);
    line.outcome = result.outcome;
    line.device = result.device;
    line.certificate_serial = result.certificate_serial;
    line.certificate = result.certificate;
    line.rule = result.rule;
    line.reason = result.reason;
    line
}

fn refused(unit: Unit, failure: &Failure) -> Line {
    let reason = Some(failure.what().to_owned());
    Line { rule: Some("malformed".to_owned()), reason, ..Line::of(unit) }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            line: 0,
            serial: String::new(),
            model: String::new(),
            outcome: BirthOutcome::Refused,
            device: None,
            certificate_serial: None,
            certificate: None,
            rule: None,
            reason: None,
            request: String::new(),
        }
    }
}

impl Line {
    fn of(unit: Unit) -> Self {
        let Unit { line, digest, request } = unit;
        let (serial, model) = (request.serial, request.model);
        Self { line, serial, model, request: hex(&digest), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
