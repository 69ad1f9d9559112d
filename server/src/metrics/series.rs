//! What is counted, in memory: counters and gauges by their labels, and one histogram.

use super::page::written;
use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Series that one family may have. Doors and rules are few; past this somebody makes them up, and
/// the surplus is counted in one series without labels.
pub(super) const SERIES_MAX: usize = 2048;
/// Upper bounds of the commit histogram in microseconds: an idle commit is one fsync (0.1 to 10
/// ms), a p99 above 50 ms breaks the promise that we make for enrollments.
pub(super) const COMMIT_BOUNDS_US: [u64; 11] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// Counters of one family, by their labels as they are written.
#[derive(Default)]
pub(super) struct Counters(RwLock<HashMap<String, AtomicU64>>);

impl Counters {
    pub(super) fn add(&self, labels: &[(&str, &str)]) {
        self.add_many(labels, 1);
    }

    pub(super) fn add_many(&self, labels: &[(&str, &str)], more: u64) {
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

    pub(super) fn rows(&self) -> Vec<(String, i64)> {
        let Ok(series) = self.0.read() else { return Vec::new() };
        let value = |v: &AtomicU64| i64::try_from(v.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        series.iter().map(|(k, v)| (k.clone(), value(v))).collect()
    }
}

/// Gauges of one family, by their labels as they are written.
#[derive(Default)]
pub(super) struct Gauges(RwLock<HashMap<String, AtomicI64>>);

impl Gauges {
    pub(super) fn change(&self, labels: &[(&str, &str)], to: impl Fn(i64) -> i64) {
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

    /// Forgets what begins with `labels` and has more, but for what stands in `kept`.
    pub(super) fn forget(&self, labels: &[(&str, &str)], kept: &[[(&str, &str); 2]]) {
        let begins = format!("{},", written(labels));
        let kept: Vec<String> = kept.iter().map(|labels| written(labels)).collect();
        if let Ok(mut series) = self.0.write() {
            series.retain(|key, _| !key.starts_with(&begins) || kept.contains(key));
        }
    }

    pub(super) fn rows(&self) -> Vec<(String, i64)> {
        let Ok(series) = self.0.read() else { return Vec::new() };
        series.iter().map(|(k, v)| (k.clone(), v.load(Ordering::Relaxed))).collect()
    }
}

#[derive(Default)]
pub(super) struct Histogram {
    pub(super) buckets: [AtomicU64; COMMIT_BOUNDS_US.len()],
    pub(super) count: AtomicU64,
    pub(super) sum_us: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let fits = COMMIT_BOUNDS_US.iter().zip(&self.buckets).find(|(bound, _)| us <= **bound);
        if let Some((_, bucket)) = fits {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}
