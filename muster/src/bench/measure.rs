//! What a run gave: how many, how fast, and what of it the server paid.

use serde::Serialize;
use std::time::Duration;

/// Latencies of one run.
#[derive(Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    /// One more.
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Takes in those of another worker.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that `share` (0 to 1) of them did not exceed, in milliseconds.
    fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.0.get(at).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
    }
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// What was measured.
    pub(super) name: String,
    /// Operations that were acknowledged.
    pub(super) count: u64,
    /// Operations that failed; a run with any is not to be quoted.
    pub(super) failed: u64,
    /// Operations a second.
    pub(super) rate: f64,
    /// Processor time of the server for one operation, in microseconds, user and system.
    pub(super) cpu_us: f64,
    /// Median latency in milliseconds.
    pub(super) p50_ms: f64,
    /// Latency that 99 in 100 did not exceed, in milliseconds.
    pub(super) p99_ms: f64,
    /// Resident memory of the server afterwards, in MiB.
    pub(super) rss_mib: f64,
}

/// What one run took.
pub(super) struct Taken {
    pub(super) wall: Duration,
    pub(super) cpu_s: f64,
    pub(super) rss_mib: f64,
    pub(super) failed: u64,
}

impl Line {
    /// The line of a run in which each latency is one operation.
    pub(super) fn new(name: impl Into<String>, mut latencies: Latencies, taken: &Taken) -> Self {
        latencies.0.sort_unstable();
        let count = latencies.count() as u64;
        Self {
            p50_ms: latencies.quantile_ms(0.5),
            p99_ms: latencies.quantile_ms(0.99),
            ..Self::counted(name, count, taken)
        }
    }

    /// The line of a run without latencies of its own.
    pub(super) fn counted(name: impl Into<String>, count: u64, taken: &Taken) -> Self {
        let per = |total: f64| if count == 0 { 0.0 } else { total / count as f64 };
        Self {
            name: name.into(),
            count,
            failed: taken.failed,
            rate: count as f64 / taken.wall.as_secs_f64().max(1e-9),
            cpu_us: per(taken.cpu_s * 1e6),
            p50_ms: 0.0,
            p99_ms: 0.0,
            rss_mib: taken.rss_mib,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_latencies() {
        let mut latencies = Latencies::default();
        (1..=100).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        let taken = Taken { wall: Duration::from_secs(2), cpu_s: 0.01, rss_mib: 1.0, failed: 0 };

        let line = Line::new("x", latencies, &taken);

        assert!((line.p50_ms - 51.0).abs() < 1.5 && (line.p99_ms - 99.0).abs() < 1.5);
        assert!((line.rate - 50.0).abs() < 1e-9 && (line.cpu_us - 100.0).abs() < 1e-6);
    }
}
