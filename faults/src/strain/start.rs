//! A start on a full home after `SIGKILL`, as `muster bench start` makes and measures it.

use super::Plan;
use crate::Failure;
use std::process::Command;

/// A power cut must not cost more, with a hundred thousand devices.
const START_MS_MAX: f64 = 2000.0;

/// Runs it.
///
/// # Errors
/// Where the start takes longer, or does not come to its end.
pub fn run(plan: &Plan) -> Result<String, Failure> {
    let devices = plan.devices.to_string();
    let ran = Command::new(&plan.binary)
        .args(["bench", "start", "--json", "--devices", &devices])
        .output()?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    let row = told["lines"].as_array().and_then(|lines| lines.last());
    let row = row.ok_or("bench start told nothing")?;
    let (ms, rss) = (row["p50_ms"].as_f64(), row["rss_mib"].as_f64());
    let (ms, rss) = (ms.ok_or("no time")?, rss.unwrap_or_default());
    if ms > START_MS_MAX {
        return Err(format!("a start with {devices} devices took {ms:.0} ms").into());
    }
    Ok(format!("start with {devices} devices, after SIGKILL: {ms:.0} ms, {rss:.0} MiB"))
}
