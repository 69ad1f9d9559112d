//! All that the core may know of the world outside. A host hands it in, a test makes it up; then a
//! year passes in a test, and a bad day can be replayed.

use crate::credential::Serial;
use crate::device::DeviceId;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 9999-12-31T23:59:59Z, which RFC 5280 §4.1.2.5 gives to certificates without a well-defined
    /// end.
    pub const NEVER_ENDS: Self = Self(253_402_300_799_000);

    /// A moment from milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A moment from seconds since 1970.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// Whole hours since 1970, rounded down: all that a public ledger entry tells of time.
    #[must_use]
    pub const fn hours(self) -> u64 {
        self.0 / 3_600_000
    }

    /// This moment moved `secs` later; stops at the end of the year 9999.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        let sum = self.0.saturating_add(secs.saturating_mul(1000));
        if sum > Self::NEVER_ENDS.0 { Self::NEVER_ENDS } else { Self(sum) }
    }

    /// This moment moved `secs` earlier; stops at 1970.
    #[must_use]
    pub const fn minus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs.saturating_mul(1000)))
    }

    /// Whole seconds from `earlier` to this moment, 0 where it is not earlier.
    #[must_use]
    pub const fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// A source of chance. A host gives the system's; a test gives a counted one.
pub trait Dice {
    /// Fills `bytes` with unpredictable octets.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// All that the core may know of the world outside.
pub struct Outside<'a> {
    /// The moment of the decision.
    pub now: UnixTime,
    /// Where chance comes from.
    pub dice: &'a mut dyn Dice,
}

impl Outside<'_> {
    /// `N` fresh random octets.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.dice.fill(&mut bytes);
        bytes
    }

    /// A new certificate serial number: 48 bits of time in front, 80 random bits behind.
    pub fn serial(&mut self) -> Serial {
        Serial::new(self.now, self.random())
    }

    /// A new device UUID (RFC 9562 version 7).
    pub fn device_id(&mut self) -> DeviceId {
        DeviceId::new(self.now, self.random())
    }
}
