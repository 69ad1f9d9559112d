//! Starts: on an empty home, and on a full one after a power cut.

use super::field::Field;
use super::measure::Line;
use super::{birth, measure::Taken};
use crate::failure::Outcome;
use clap::Args;

/// Starts on an empty home and on a full one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster bench start --devices 100000")]
pub(crate) struct Start {
    /// Devices in the full home.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    devices: usize,
}

pub(super) async fn run(start: &Start) -> Outcome<Vec<Line>> {
    let field = Field::open().await?;
    let empty = line("start on an empty home".to_owned(), &field);
    birth::fill(&field, start.devices).await?;
    // The server is killed: what is measured is the start after a power cut.
    let field = field.restart().await?;
    Ok(vec![empty, line(format!("start with {} devices, after SIGKILL", start.devices), &field)])
}

/// The start that this server had.
pub(super) fn line(name: String, field: &Field) -> Line {
    let wall = field.subject.ready;
    let taken =
        Taken { wall, cpu_s: field.subject.cpu_s(), rss_mib: field.subject.rss_mib(), failed: 0 };
    let ms = wall.as_secs_f64() * 1000.0;
    Line { p50_ms: ms, p99_ms: ms, ..Line::counted(name, 1, &taken) }
}
