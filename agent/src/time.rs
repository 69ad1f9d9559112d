//! What time it is, on a device whose clock may start in 1970.
//!
//! A moment is never believed that lies before the *floor*: when this program was built, or a moment
//! that a server which chains to the pinned root has said, and that servers have since gone beyond
//! by a day, while a day was counted here, too. Where the system's clock is behind what a server said last, time goes on from there.
//! Where a server's certificate is not valid at the
//! moment that we believe, its chain is checked without dates, its `Date` is read, and the chain is
//! checked once more at that moment ([`crate::line`] does it): then time goes on from there.
//!
//! The word of one day makes no floor, since nothing ever takes a floor back: a server whose own clock
//! was years ahead for an hour would lock out everybody who asked it. So two moments, however far from
//! each other, that are said within one counted day make none; and a restart begins to count anew, so
//! a device that never runs for a day keeps the floor that it has.
//!
//! Said plainly: who holds the key of a server certificate that has ended can keep a device at the
//! floor, and no earlier. A server whose clock stays ahead for more than a day raises it.

use identity::UnixTime;

/// When this program was built, in seconds since 1970.
const BUILT: &str = env!("MUSTER_AGENT_BUILT");

/// A system clock that is further ahead of a server's than this is not believed: half a day is more
/// than any wrong time zone.
const AHEAD_MAX_S: u64 = 43_200;

/// How much later a server has to say it is, and how long we have to have counted, before what one
/// said becomes the floor: whoever runs a
/// server with a wrong clock hears of it within a day.
const SETTLED_S: u64 = 86_400;

/// The moment before which nothing can be.
#[must_use]
pub fn built() -> UnixTime {
    UnixTime::from_secs(BUILT.parse().unwrap_or_default())
}

/// What the two clocks of a machine say: the one that people set, and the one that only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The system's clock.
    pub system: UnixTime,
    /// Milliseconds since some moment, never backwards.
    pub counted_ms: u64,
}

/// Where the clocks are read.
pub type Clocks = Box<dyn Fn() -> Reading + Send>;

/// What servers have said, as it is kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The last moment that a server said.
    pub told: UnixTime,
    /// The moment before which nothing can be.
    pub floor: UnixTime,
    /// What becomes the floor once a server says a moment that is a day later.
    pub next: UnixTime,
}

impl Kept {
    /// Reads what [`Self::text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().map(|word| word.parse().ok());
        let mut moment = || words.next().flatten().map(UnixTime::from_secs);
        Some(Self { told: moment()?, floor: moment()?, next: moment()? })
    }

    /// Three moments, in seconds since 1970.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {} {}\n", self.told.secs(), self.floor.secs(), self.next.secs())
    }
}

/// Time as this device believes it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    kept: Kept,
    told_at_ms: u64,
    /// When `next` was said, or, after a restart, when we began to count.
    next_at_ms: u64,
    is_ahead: bool,
    /// A system clock that is further ahead than this is not believed.
    ahead_max_s: u64,
}

impl Clock {
    /// A clock that begins at the last moment that a server said, or at the build.
    #[must_use]
    pub fn new(kept: Option<Kept>, reading: Reading) -> Self {
        let built = Kept { told: built(), floor: built(), next: built() };
        let kept = kept.map_or(built, |kept| {
            let floor = kept.floor.max(built.floor);
            Kept { told: kept.told.max(floor), floor, next: kept.next.max(floor) }
        });
        let at_ms = reading.counted_ms;
        let (told_at_ms, next_at_ms) = (at_ms, at_ms);
        Self { kept, told_at_ms, next_at_ms, is_ahead: false, ahead_max_s: AHEAD_MAX_S }
    }

    /// The moment now.
    #[must_use]
    pub fn now(&self, reading: Reading) -> UnixTime {
        let passed = reading.counted_ms.saturating_sub(self.told_at_ms);
        let counted = UnixTime::from_millis(self.kept.told.millis().saturating_add(passed));
        if self.is_ahead { counted } else { counted.max(reading.system) }
    }

    /// The moment before which nothing can be.
    #[must_use]
    pub const fn floor(&self) -> UnixTime {
        self.kept.floor
    }

    /// What a restart has to know.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// A trusted server said what time it is. A moment before the floor is not believed; one that is
    /// earlier than what was said before takes that back.
    pub fn told(&mut self, date: UnixTime, reading: Reading) {
        let Kept { floor, next, .. } = self.kept;
        if date < floor {
            return;
        }
        let counted_ms = reading.counted_ms.saturating_sub(self.next_at_ms);
        let is_settled =
            date >= next.plus_secs(SETTLED_S) && counted_ms >= SETTLED_S.saturating_mul(1000);
        let floor = if is_settled { next } else { floor };
        if is_settled || date < next {
            self.next_at_ms = reading.counted_ms;
        }
        let next = if is_settled { date } else { next.min(date) };
        self.kept = Kept { told: date, floor, next };
        self.is_ahead = reading.system > date.plus_secs(self.ahead_max_s);
        self.told_at_ms = reading.counted_ms;
    }

    /// By the system's clock something has ended that is good by a server's: that clock is ahead, by
    /// little, and nothing of it is believed any more where a server says less.
    pub fn doubt_system(&mut self) {
        self.ahead_max_s = 0;
        self.is_ahead = true;
    }
}

/// Seconds of an HTTP `Date` in the form that RFC 9110 §5.6.7 has every server send:
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn read_http_date(text: &str) -> Option<UnixTime> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let year: u64 = words.next()?.parse().ok()?;
    let clock = words.next()?;
    if words.next()? != "GMT" || words.next().is_some() {
        return None;
    }
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? as u64 + 1;
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let fits = (1970..=9999).contains(&year)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    fits.then(|| {
        let days = days_before(year, month) + day - 1;
        UnixTime::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second)
    })
}

/// Days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let leaps = |y: u64| y / 4 - y / 100 + y / 400;
    let this = u64::from(is_leap && month > 2);
    let at = usize::try_from(month - 1).unwrap_or_default();
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
        + BEFORE.get(at).copied().unwrap_or_default()
        + this
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(system_s: u64, counted_s: u64) -> Reading {
        Reading { system: UnixTime::from_secs(system_s), counted_ms: counted_s * 1000 }
    }

    #[test]
    fn a_clock_that_starts_in_1970_goes_on_from_the_build() {
        let clock = Clock::new(None, reading(7, 0));
        assert_eq!(clock.now(reading(67, 60)), built().plus_secs(60));
    }

    fn kept(at: UnixTime) -> Option<Kept> {
        Some(Kept { told: at, floor: at, next: at })
    }

    #[test]
    fn a_kept_moment_is_a_floor_and_a_right_clock_is_believed() {
        let told = built().plus_secs(1000);
        let clock = Clock::new(kept(told), reading(0, 0));
        assert_eq!(clock.now(reading(0, 5)), told.plus_secs(5));
        let right = told.plus_secs(90_000);
        assert_eq!(clock.now(Reading { system: right, counted_ms: 0 }), right);
    }

    #[test]
    fn time_never_goes_back_behind_the_floor_whoever_says_so() {
        let floor = built().plus_secs(1000);
        let mut clock = Clock::new(kept(floor), reading(0, 0));
        clock.told(built().plus_secs(10), reading(0, 1));
        assert_eq!((clock.floor(), clock.now(reading(0, 1))), (floor, floor.plus_secs(1)));
        clock.told(built().plus_secs(5000), reading(0, 1));
        assert_eq!(clock.now(reading(0, 2)), built().plus_secs(5001));
        assert_eq!(clock.floor(), floor, "the word of one day makes no floor");
    }

    #[test]
    fn what_was_said_becomes_the_floor_once_a_server_has_gone_beyond_it_by_a_day() {
        let (first, nearly) = (built().plus_secs(1000), built().plus_secs(999 + SETTLED_S));
        let mut clock = Clock::new(kept(built()), reading(0, 0));
        for told in [built(), first, nearly] {
            clock.told(told, reading(0, SETTLED_S));
            assert_eq!(clock.floor(), built());
        }
        // Also over a restart, which begins to count anew.
        let mut clock = Clock::new(Kept::parse(&clock.kept().text()), reading(0, 0));
        assert_eq!(clock.now(reading(0, 0)), nearly);
        clock.told(first.plus_secs(SETTLED_S), reading(0, 0));
        clock.told(first.plus_secs(2 * SETTLED_S), reading(0, SETTLED_S - 1));
        assert_eq!(clock.floor(), built());
        clock.told(first.plus_secs(2 * SETTLED_S), reading(0, SETTLED_S));
        assert_eq!(clock.floor(), nearly);
    }

    #[test]
    fn a_leap_of_years_is_taken_back_by_the_next_word_unless_it_was_said_for_more_than_a_day() {
        let (now, far) = (built().plus_secs(10 * 86_400), built().plus_secs(400 * 86_400));
        let mut clock = Clock::new(kept(now), reading(0, 0));
        let (day, later) = (reading(0, SETTLED_S), reading(0, 2 * SETTLED_S));
        for told in [far, far.plus_secs(3600)] {
            clock.told(told, day);
            assert_eq!(clock.now(day), told);
        }
        let mut restarted = Clock::new(Kept::parse(&clock.kept().text()), reading(0, 0));
        restarted.told(now.plus_secs(7200), reading(0, 0));
        assert_eq!(restarted.now(reading(0, 0)), now.plus_secs(7200));

        // Two days that are said within seconds are the word of one.
        let (mut hasty, soon) = (clock, reading(0, SETTLED_S + 5));
        hasty.told(far.plus_secs(2 * SETTLED_S), soon);
        hasty.told(now.plus_secs(7200), soon);
        assert_eq!(hasty.now(soon), now.plus_secs(7200));

        clock.told(far.plus_secs(SETTLED_S), later);
        clock.told(now.plus_secs(7200), later);
        assert_eq!(clock.now(later), far.plus_secs(SETTLED_S));
        for text in ["", "x", "7", "7 8", "7 x 9"] {
            assert_eq!(Kept::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_of_the_server_is_not_believed_until_it_was_set() {
        let told = built().plus_secs(5000);
        let ahead = Reading { system: told.plus_secs(400 * 86_400), counted_ms: 0 };
        let mut clock = Clock::new(None, ahead);
        clock.told(told, ahead);
        assert_eq!(clock.now(ahead), told);
        let right = Reading { system: told.plus_secs(60), counted_ms: 60_000 };
        clock.told(told.plus_secs(60), right);
        assert_eq!(clock.now(Reading { counted_ms: 61_000, ..right }), told.plus_secs(61));
    }

    #[test]
    fn a_clock_that_is_some_hours_ahead_is_believed_until_something_shows_that_it_is_wrong() {
        let told = built().plus_secs(5000);
        let ahead = |s: u64| Reading { system: told.plus_secs(8 * 3600 + s), counted_ms: s * 1000 };
        let mut clock = Clock::new(None, ahead(0));
        clock.told(told, ahead(0));
        assert_eq!(clock.now(ahead(1)), told.plus_secs(8 * 3600 + 1));

        clock.doubt_system();
        assert_eq!(clock.now(ahead(2)), told.plus_secs(2));
        clock.told(told.plus_secs(60), ahead(60));
        assert_eq!(clock.now(ahead(61)), told.plus_secs(61), "also after the next word");
    }

    #[test]
    fn dates_are_read_as_servers_write_them() {
        let at = read_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(at.secs(), 784_111_777);
        let leap = read_http_date("Thu, 29 Feb 2024 23:59:59 GMT").unwrap();
        assert_eq!(leap.secs(), 1_709_251_199);
        for wrong in ["", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT", "x, 1 2"] {
            assert_eq!(read_http_date(wrong), None, "{wrong}");
        }
    }
}
