//! Figures about what the process does, in Prometheus' text form. Counting costs a short look-up
//! and an atomic addition; text is made only when somebody reads `/metrics`.
//!
//! A label is a realm or a word out of a short list, never a device and never an address: a fleet
//! of a million must not make a million series. What stands in the registry (devices by standing,
//! leaves past their renewal) is asked for at each reading by `operator::figures`.

use crate::listen::Tally;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Series that one family may have. Doors and rules are few; past this somebody makes them up, and
/// the surplus is counted in one series without labels.
const SERIES_MAX: usize = 2048;
/// Upper bounds of the commit histogram in microseconds: an idle commit is one fsync (0.1 to 10
/// ms), a p99 above 50 ms breaks the promise that we make for enrollments.
const COMMIT_BOUNDS_US: [u64; 11] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// All that the process counts.
#[derive(Default)]
pub struct Metrics {
    enrollments: Counters,
    refusals: Counters,
    signals: Counters,
    births: Counters,
    revocations: Counters,
    requests: Counters,
    ocsp: Counters,
    tellings: Counters,
    listeners: Mutex<BTreeMap<&'static str, Arc<Tally>>>,
    published: Gauges,
    witness_lag: Gauges,
    witness_seen: Gauges,
    commits: Histogram,
}

impl Metrics {
    /// A device asked for a leaf: `op` is `join` or `renew`, `result` is `issued`, `again` or
    /// `refused`.
    pub fn enrollment(&self, realm: &str, op: &str, result: &str) {
        self.enrollments.add(&[("realm", realm), ("op", op), ("result", result)]);
    }

    /// Somebody was turned away by `rule` (or a defect of that name); `door` is `none` where
    /// none was reached.
    pub fn refusal(&self, realm: &str, door: &str, rule: &str) {
        self.refusals.add(&[("realm", realm), ("door", door), ("rule", rule)]);
    }

    /// Something says that an identity is misused; the names are `identity::Signal`'s.
    pub fn signal(&self, realm: &str, signal: &str) {
        self.signals.add(&[("realm", realm), ("signal", signal)]);
    }

    /// A station asked for a birth: `result` is `issued`, `again` or `refused`.
    pub fn birth(&self, realm: &str, result: &str) {
        self.births.add(&[("realm", realm), ("result", result)]);
    }

    /// The OCSP responder answered: `result` is `answered` (what everybody gets), `signed` (for one
    /// asker) or why not.
    pub fn ocsp(&self, realm: &str, result: &str) {
        self.ocsp.add(&[("realm", realm), ("result", result)]);
    }

    /// Certificates were revoked or put on hold, for `reason` (RFC 5280).
    pub fn revoked(&self, realm: &str, reason: &str, count: u64) {
        self.revocations.add_many(&[("realm", realm), ("reason", reason)], count);
    }

    /// The operators' interface answered.
    pub fn request(&self, realm: &str, method: &str, status: u16) {
        self.requests.add(&[("realm", realm), ("method", method), ("status", &status.to_string())]);
    }

    /// A receiver of events was told an entry: `result` is `delivered`, `failed` or `dead`.
    pub fn told(&self, realm: &str, sink: &str, result: &str) {
        self.tellings.add(&[("realm", realm), ("sink", sink), ("result", result)]);
    }

    /// Where the connections of `listener` are counted.
    #[must_use]
    pub fn listener(&self, listener: &'static str) -> Arc<Tally> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(listeners.entry(listener).or_default())
    }

    /// A commit was durable after `took`.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took);
    }

    /// The newest CRL of the realm was published at `secs` since 1970.
    pub fn crl_published(&self, realm: &str, secs: u64) {
        let secs = i64::try_from(secs).unwrap_or(i64::MAX);
        self.published.change(&[("realm", realm)], |_| secs);
    }

    /// A witness was shown a ledger of `size` entries; what it cosigned last had so many, at so many
    /// seconds since 1970.
    pub fn witnessed(&self, realm: &str, witness: &str, size: u64, cosigned: Option<(u64, u64)>) {
        let labels = [("realm", realm), ("witness", witness)];
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let lag = size.saturating_sub(cosigned.map_or(0, |(size, _)| size));
        self.witness_lag.change(&labels, |_| number(lag));
        self.witness_seen.change(&labels, |_| number(cosigned.map_or(0, |(_, at)| at)));
    }

    /// Writes what was counted for `realm`, and what belongs to none.
    pub(crate) fn write(&self, realm: &str, page: &mut Page) {
        page.counters("muster_enrollments_total", "Leaves asked for.", realm, &self.enrollments);
        page.counters("muster_refusals_total", "Requests turned away.", realm, &self.refusals);
        page.counters(
            "muster_signals_total",
            "Signs that an identity is misused.",
            realm,
            &self.signals,
        );
        page.counters("muster_births_total", "Births asked for.", realm, &self.births);
        page.counters(
            "muster_revocations_total",
            "Certificates revoked or put on hold.",
            realm,
            &self.revocations,
        );
        page.counters(
            "muster_operator_requests_total",
            "Requests to the operators' interface.",
            realm,
            &self.requests,
        );
        page.counters("muster_ocsp_answers_total", "OCSP answers.", realm, &self.ocsp);
        page.counters(
            "muster_sink_deliveries_total",
            "Attempts to tell a receiver of an event.",
            realm,
            &self.tellings,
        );
        self.write_listeners(page);
        page.gauges(
            "muster_crl_published_timestamp_seconds",
            "When the newest CRL was published.",
            realm,
            &self.published,
        );
        page.gauges(
            "muster_witness_lag_entries",
            "Entries that a witness has not cosigned.",
            realm,
            &self.witness_lag,
        );
        page.gauges(
            "muster_witness_cosigned_timestamp_seconds",
            "When a witness cosigned last, by its clock; 0 where it never did.",
            realm,
            &self.witness_seen,
        );
        page.histogram("muster_commit_seconds", "Durable commits.", &self.commits);
    }
}

impl Metrics {
    /// Connections belong to no realm: who has shown nothing yet is in none.
    fn write_listeners(&self, page: &mut Page) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        page.family("muster_connections", "gauge", "Open connections.");
        for (listener, tally) in listeners.iter() {
            let labels = written(&[("listener", listener)]);
            page.count("muster_connections", &labels, &tally.open);
        }
        page.family("muster_connections_total", "counter", "Connections that were accepted.");
        for (listener, tally) in listeners.iter() {
            let labels = written(&[("listener", listener)]);
            page.count("muster_connections_total", &labels, &tally.accepted);
        }
        page.family("muster_connections_lost_total", "counter", "Connections that we ended.");
        for (listener, tally) in listeners.iter() {
            let why = [
                ("unshaken", &tally.unshaken),
                ("malformed", &tally.malformed),
                ("evicted", &tally.evicted),
                ("cut", &tally.cut),
            ];
            for (why, count) in why {
                let labels = written(&[("listener", listener), ("why", why)]);
                page.count("muster_connections_lost_total", &labels, count);
            }
        }
    }
}

/// Counters of one family, by their labels as they are written.
#[derive(Default)]
struct Counters(RwLock<HashMap<String, AtomicU64>>);

impl Counters {
    fn add(&self, labels: &[(&str, &str)]) {
        self.add_many(labels, 1);
    }

    fn add_many(&self, labels: &[(&str, &str)], more: u64) {
        let key = written(labels);
        if let Ok(series) = self.0.read()
            && let Some(count) = series.get(&key)
        {
            count.fetch_add(more, Ordering::Relaxed);
            return;
        }
        if let Ok(mut series) = self.0.write() {
            let key = if series.len() < SERIES_MAX { key } else { String::new() };
            series.entry(key).or_default().fetch_add(more, Ordering::Relaxed);
        }
    }

    fn rows(&self) -> Vec<(String, i64)> {
        let Ok(series) = self.0.read() else { return Vec::new() };
        let value = |v: &AtomicU64| i64::try_from(v.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        series.iter().map(|(k, v)| (k.clone(), value(v))).collect()
    }
}

/// Gauges of one family, by their labels as they are written.
#[derive(Default)]
struct Gauges(RwLock<HashMap<String, AtomicI64>>);

impl Gauges {
    fn change(&self, labels: &[(&str, &str)], to: impl Fn(i64) -> i64) {
        let key = written(labels);
        let step = |gauge: &AtomicI64| {
            // The closure always answers, so the update cannot fail.
            let _ =
                gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| Some(to(value)));
        };
        if let Ok(series) = self.0.read()
            && let Some(gauge) = series.get(&key)
        {
            step(gauge);
            return;
        }
        if let Ok(mut series) = self.0.write()
            && (series.len() < SERIES_MAX || series.contains_key(&key))
        {
            step(series.entry(key).or_default());
        }
    }

    fn rows(&self) -> Vec<(String, i64)> {
        let Ok(series) = self.0.read() else { return Vec::new() };
        series.iter().map(|(k, v)| (k.clone(), v.load(Ordering::Relaxed))).collect()
    }
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; COMMIT_BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let fits = COMMIT_BOUNDS_US.iter().zip(&self.buckets).find(|(bound, _)| us <= **bound);
        if let Some((_, bucket)) = fits {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

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

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    #[expect(clippy::cast_precision_loss, reason = "a count past 2^53 is not reached")]
    fn count(&mut self, name: &str, labels: &str, count: &AtomicU64) {
        self.line(name, labels, count.load(Ordering::Relaxed) as f64);
    }

    fn counters(&mut self, name: &str, help: &str, realm: &str, counters: &Counters) {
        self.family(name, "counter", help);
        self.rows(name, realm, counters.rows());
    }

    fn gauges(&mut self, name: &str, help: &str, realm: &str, gauges: &Gauges) {
        self.family(name, "gauge", help);
        self.rows(name, realm, gauges.rows());
    }

    /// A viewer belongs to one realm and sees no other realm's figures.
    fn rows(&mut self, name: &str, realm: &str, mut rows: Vec<(String, i64)>) {
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

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
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
fn written(labels: &[(&str, &str)]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(metrics: &Metrics, realm: &str) -> String {
        let mut page = Page::default();
        metrics.write(realm, &mut page);
        page.text()
    }

    #[test]
    fn what_was_counted_is_read() {
        let metrics = Metrics::default();
        metrics.enrollment("default", "join", "issued");
        metrics.enrollment("default", "join", "issued");
        let tally = metrics.listener("device");
        tally.open.fetch_add(1, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&tally, &metrics.listener("device")));

        let text = page(&metrics, "default");

        let joins = r#"muster_enrollments_total{realm="default",op="join",result="issued"} 2"#;
        assert!(text.contains(joins), "{text}");
        assert!(text.contains(r#"muster_connections{listener="device"} 1"#), "{text}");
    }

    #[test]
    fn a_viewer_sees_no_other_realm() {
        let metrics = Metrics::default();
        metrics.birth("plant-7", "issued");
        assert!(page(&metrics, "plant-7").contains("plant-7"));
        assert!(!page(&metrics, "plant").contains("plant-7"));
    }

    #[test]
    fn a_histogram_counts_upwards() {
        let metrics = Metrics::default();
        metrics.committed(Duration::from_micros(900));
        metrics.committed(Duration::from_secs(60));
        let text = page(&metrics, "default");
        assert!(text.contains("muster_commit_seconds_bucket{le=\"0.0005\"} 0\n"), "{text}");
        assert!(text.contains("muster_commit_seconds_bucket{le=\"0.001\"} 1\n"), "{text}");
        assert!(text.contains("muster_commit_seconds_bucket{le=\"5\"} 1\n"), "{text}");
        assert!(text.contains("muster_commit_seconds_bucket{le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("muster_commit_seconds_count 2\n"), "{text}");
    }

    #[test]
    fn made_up_labels_do_not_grow_without_bound() {
        let metrics = Metrics::default();
        for i in 0..SERIES_MAX + 100 {
            metrics.refusal("default", "", &i.to_string());
        }
        assert_eq!(metrics.refusals.rows().len(), SERIES_MAX + 1);
        assert!(page(&metrics, "default").contains("muster_refusals_total 100\n"));
    }

    #[test]
    fn a_label_value_cannot_break_the_line() {
        assert_eq!(written(&[("a", "x\"\n\\")]), r#"a="x\"\n\\""#);
    }
}
