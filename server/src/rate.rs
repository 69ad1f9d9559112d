//! How often somebody may ask: a bucket each, so that one who loops harms nobody else. For proven
//! devices it is a bucket per device, since a whole site behind one address is not one suspect.

use identity::{DeviceId, UnixTime};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Buckets that are kept. Full buckets are as good as none and are dropped first; a fleet of which
/// more than this many devices renew within one refill time has other limits to meet.
const BUCKETS_MAX: usize = 200_000;

/// A bucket per device, or per whatever else is told apart.
pub struct Rates<K = DeviceId> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { buckets: Mutex::default() }
    }
}

/// What a bucket holds, and how fast it fills.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    burst: f64,
    per_s: f64,
}

impl Rate {
    /// So many at once, and as many in each hour.
    #[must_use]
    pub fn per_hour(count: u32) -> Self {
        Self { burst: f64::from(count), per_s: f64::from(count) / 3600.0 }
    }

    /// So many at once, and then so many a second.
    #[must_use]
    pub fn per_second(burst: u32, count: u32) -> Self {
        Self { burst: f64::from(burst), per_s: f64::from(count) }
    }
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: UnixTime,
}

impl Bucket {
    fn refilled(self, rate: Rate, now: UnixTime) -> f64 {
        let secs = now.millis().saturating_sub(self.filled.millis()) as f64 / 1000.0;
        (self.tokens + secs * rate.per_s).min(rate.burst)
    }
}

impl Rates {
    /// Takes one from the bucket of `device`, which holds `per_hour` and refills in an hour;
    /// `false` where it is empty. A clock that goes backwards fills nothing and empties nothing,
    /// and from there on the bucket fills as ever: nobody waits for a moment that it was ahead.
    pub fn take(&self, device: DeviceId, per_hour: u32, now: UnixTime) -> bool {
        self.take_of(device, Rate::per_hour(per_hour), now)
    }
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// As [`take`](Rates::take), from the bucket of `whose`.
    pub fn take_of(&self, whose: K, rate: Rate, now: UnixTime) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&whose) {
            buckets.retain(|_, b| b.refilled(rate, now) < rate.burst);
            if buckets.len() >= BUCKETS_MAX {
                buckets.clear();
            }
        }
        let fresh = Bucket { tokens: rate.burst, filled: now };
        let bucket = buckets.entry(whose).or_insert(fresh);
        let tokens = bucket.refilled(rate, now);
        let enough = tokens >= 1.0;
        *bucket = Bucket { tokens: if enough { tokens - 1.0 } else { tokens }, filled: now };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_asks_too_often_waits_and_others_do_not() {
        let rates = Rates::default();
        let start = UnixTime::from_secs(1_790_000_000);
        let (one, other) = (DeviceId::new(start, [1; 10]), DeviceId::new(start, [2; 10]));

        let granted = (0..5).filter(|_| rates.take(one, 3, start)).count();

        assert_eq!(granted, 3);
        assert!(rates.take(other, 3, start));
        assert!(
            !rates.take(one, 3, start.minus_secs(86_400)),
            "a clock that goes back refills nothing"
        );
        assert!(rates.take(one, 3, start.plus_secs(1201)), "a third of an hour refills one");
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_bucket_that_fills_no_more() {
        let rates = Rates::default();
        let start = UnixTime::from_secs(1_790_000_000);
        let one = DeviceId::new(start, [1; 10]);
        let ahead = start.plus_secs(365 * 86_400);
        assert!((0..3).all(|_| rates.take(one, 3, ahead)));

        assert!(!rates.take(one, 3, start));

        assert!(rates.take(one, 3, start.plus_secs(1201)), "a third of an hour refills one");
    }
}
