//! How often each proven device may ask: a bucket per device, so that one device that loops harms
//! nobody else, and a whole site behind one address is not one suspect.

use identity::{DeviceId, UnixTime};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Buckets that are kept. Full buckets are as good as none and are dropped first; a fleet of which
/// more than this many devices renew within one refill time has other limits to meet.
const BUCKETS_MAX: usize = 200_000;

/// A bucket per device.
#[derive(Default)]
pub struct Rates {
    buckets: Mutex<HashMap<DeviceId, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: UnixTime,
}

impl Bucket {
    fn refilled(self, per_hour: u32, now: UnixTime) -> f64 {
        let hours = now.millis().saturating_sub(self.filled.millis()) as f64 / 3_600_000.0;
        (self.tokens + hours * f64::from(per_hour)).min(f64::from(per_hour))
    }
}

impl Rates {
    /// Takes one from the bucket of `device`, which holds `per_hour` and refills in an hour;
    /// `false` where it is empty. A clock that goes backwards fills nothing and empties nothing.
    pub fn take(&self, device: DeviceId, per_hour: u32, now: UnixTime) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&device) {
            buckets.retain(|_, b| b.refilled(per_hour, now) < f64::from(per_hour));
            if buckets.len() >= BUCKETS_MAX {
                buckets.clear();
            }
        }
        let fresh = Bucket { tokens: f64::from(per_hour), filled: now };
        let bucket = buckets.entry(device).or_insert(fresh);
        let tokens = bucket.refilled(per_hour, now);
        let filled = bucket.filled.max(now);
        let enough = tokens >= 1.0;
        *bucket = Bucket { tokens: if enough { tokens - 1.0 } else { tokens }, filled };
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
}
