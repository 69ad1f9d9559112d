//! A page in Prometheus' text form: families, rows, and how labels are written.

use super::series::{COMMIT_BOUNDS_US, Counters, Gauges, Histogram};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A page of figures in the making.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// Opens a family.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One figure of the family that was opened last.
    pub(crate) fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl Into<f64>) {
        self.line(name, &written(labels), value.into());
    }

    /// The page as text.
    pub(crate) fn text(self) -> String {
        self.0
    }

    pub(super) fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    #[expect(clippy::cast_precision_loss, reason = "a count past 2^53 is not reached")]
    pub(super) fn count(&mut self, name: &str, labels: &str, count: &AtomicU64) {
        self.line(name, labels, count.load(Ordering::Relaxed) as f64);
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, realm: &str, counters: &Counters) {
        self.family(name, "counter", help);
        self.rows(name, realm, counters.rows());
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, realm: &str, gauges: &Gauges) {
        self.family(name, "gauge", help);
        self.rows(name, realm, gauges.rows());
    }

    /// A viewer belongs to one realm and sees no other realm's figures.
    pub(super) fn rows(&mut self, name: &str, realm: &str, mut rows: Vec<(String, i64)>) {
        let own = written(&[("realm", realm)]);
        let nobody = written(&[("realm", "")]);
        rows.retain(|(k, _)| {
            !k.starts_with("realm=") || k.starts_with(&own) || k.starts_with(&nobody)
        });
        rows.sort();
        for (labels, value) in rows {
            #[expect(clippy::cast_precision_loss, reason = "a count past 2^53 is not reached")]
            self.line(name, &labels, value as f64);
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut below = 0_u64;
        for (bound, bucket) in COMMIT_BOUNDS_US.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let bound = Duration::from_micros(*bound).as_secs_f64();
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let count = histogram.count.load(Ordering::Relaxed);
        let sum = Duration::from_micros(histogram.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}");
    }
}

/// `a="x",b="y"`, values escaped as the text form demands.
pub(super) fn written(labels: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(64);
    for (i, (name, value)) in labels.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}
