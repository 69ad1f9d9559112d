//! The host's clock and dice: the only places of the server that read time and chance from the
//! system.

use identity::{Dice, Outside, UnixTime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The moment now. A clock before 1970 reads as 1970: certificates then are not yet valid, and say
/// so.
#[must_use]
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where a house takes its time from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Milliseconds since 1970 that somebody sets: then a year passes in a test.
    Set(Arc<AtomicU64>),
}

impl Clock {
    /// The moment.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        match self {
            Self::System => now(),
            Self::Set(millis) => UnixTime::from_millis(millis.load(Ordering::Relaxed)),
        }
    }
}

/// The system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDice;

impl Dice for SystemDice {
    fn fill(&mut self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Nothing that needs chance may go on without it: a predictable key is worse than a
            // stopped server.
            std::process::abort();
        }
    }
}

/// Calls `act` with the world outside as it is now.
pub fn outside<T>(act: impl FnOnce(&mut Outside<'_>) -> T) -> T {
    act(&mut Outside { now: now(), dice: &mut SystemDice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_this_century_and_the_dice_differ() {
        assert!(now().secs() > 1_700_000_000);
        let [a, b] = outside(|o| [o.random::<32>(), o.random::<32>()]);
        assert_ne!(a, b);
    }
}
