//! Figures about what the process does, in Prometheus' text form. Counting costs a short look-up
//! and an atomic addition; text is made only when somebody reads `/metrics`.
//!
//! A label is a realm or a word out of a short list, never a device and never an address: a fleet
//! of a million must not make a million series. What stands in the registry (devices by standing,
//! leaves past their renewal) is asked for at each reading by `operator::figures`. Read on in
//! `series` for how it is kept, and in `page` for how it is written.

mod page;
mod series;

pub(crate) use page::Page;

use crate::listen::Tally;
use page::written;
use series::{Counters, Gauges, Histogram};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    /// asker), `limited` (its address had its share) or why not.
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

    /// The listeners at which nobody new gets in.
    pub fn stuck(&self) -> Vec<&'static str> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = |tally: &Tally| tally.stuck.load(Ordering::Relaxed);
        listeners.iter().filter(|(_, tally)| stuck(tally)).map(|(name, _)| *name).collect()
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

    /// These are the witnesses of the realm: of those that it had, nothing is told any more.
    pub fn witnesses<'w>(&self, realm: &str, names: impl Iterator<Item = &'w str>) {
        let of = ("realm", realm);
        let kept: Vec<_> = names.map(|name| [of, ("witness", name)]).collect();
        self.witness_lag.forget(&[of], &kept);
        self.witness_seen.forget(&[of], &kept);
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

#[cfg(test)]
mod tests {
    use super::series::SERIES_MAX;
    use super::*;

    fn page(metrics: &Metrics, realm: &str) -> String {
        let mut page = Page::default();
        metrics.write(realm, &mut page);
        page.text()
    }

    #[test]
    fn a_witness_that_was_removed_is_not_told_of() {
        let metrics = Metrics::default();
        for (realm, witness) in [("default", "one"), ("default", "two"), ("other", "one")] {
            metrics.witnessed(realm, witness, 9, None);
        }

        metrics.witnesses("default", ["two"].into_iter());

        let lag = |realm, witness| {
            let row =
                format!("muster_witness_lag_entries{{realm=\"{realm}\",witness=\"{witness}\"}} 9");
            page(&metrics, realm).contains(&row)
        };
        assert!(!lag("default", "one") && lag("default", "two") && lag("other", "one"));
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
    fn the_listener_at_which_nobody_gets_in_is_named() {
        let metrics = Metrics::default();
        let (_public, tally) = (metrics.listener("public"), metrics.listener("device"));
        assert!(metrics.stuck().is_empty());
        tally.stuck.store(true, Ordering::Relaxed);
        assert_eq!(metrics.stuck(), ["device"]);
        tally.stuck.store(false, Ordering::Relaxed);
        assert!(metrics.stuck().is_empty());
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
