//! OpenBao's rows of issuing: filled, and loaded at each level.

use super::report::{Row, Run, Who};
use crate::bench::asker::{Load, Target};
use crate::bench::peer::bao::Bao;
use crate::bench::peer::{measured, short};
use crate::failure::{Failure, Outcome};
use std::time::Duration;

/// CSRs that are made beforehand, each with a key of its own, and sent in turn.
const CSRS: usize = 2000;
/// Lines of the kept-alive run and callers of the other: as many as ours.
const LINES: usize = 256;
const CALLERS: usize = 16;
/// Who fill it: enough that its log is synced for many at once.
const FILLERS: usize = 64;
/// A filling that takes longer is given up.
const FILL_MAX: Duration = Duration::from_secs(300);

/// Issuing with so many certificates stored: kept alive, and over fresh connections.
pub(super) async fn issuing(levels: &[u64], seconds: u64, bao: &Bao) -> Outcome<Vec<Row>> {
    let target = bao.signing(CSRS).await?;
    let mut rows = Vec::new();
    // The one that was looked at.
    let mut stored = 1;
    for level in levels {
        stored += fill(&target, level.saturating_sub(stored)).await?;
        for (run, askers, keep) in
            [(Run::IssueKept, LINES, true), (Run::IssueFresh, CALLERS, false)]
        {
            let load = Load { time: Duration::from_secs(seconds), askers, keep, at_most: u64::MAX };
            let how = if keep { "kept alive" } else { "fresh TLS" };
            let name = format!("{}, {how}, {askers} clients", short(&bao.version));
            let line = measured(name, &target, load, bao.process()).await?;
            // Each kept line asked once beforehand.
            let before = stored + if keep { askers as u64 } else { 0 };
            stored = before + line.count;
            rows.push(Row::new(run, Who::Openbao, line).stored(before));
        }
    }
    Ok(rows)
}

/// Has `wanted` more certificates stored; how many are.
async fn fill(target: &Target, wanted: u64) -> Outcome<u64> {
    if wanted == 0 {
        return Ok(0);
    }
    let load = Load { time: FILL_MAX, askers: FILLERS, keep: true, at_most: wanted };
    let (latencies, failed) = target.ready(load).await?.go().await?;
    let done = latencies.count() as u64;
    match done == wanted && failed == 0 {
        true => Ok(done + FILLERS as u64),
        false => Err(Failure::new(format!(
            "OpenBao stored {done} of {wanted} certificates within {} seconds, and {failed} of \
             its clients failed",
            FILL_MAX.as_secs()
        ))
        .next("ask for fewer with `--peer-stored`")),
    }
}
