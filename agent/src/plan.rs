//! What the next step is, and when: decided from what is there and what time it is, and from
//! nothing else.

#[cfg(test)]
mod tests;

use enroll::est::client::RETRY_AFTER_MAX_S;
use identity::UnixTime;

/// A leaf is renewed at the latest at half its life. A fleet that was switched on together would
/// come together, so each leaf is spread over the tenth before.
const RENEW_LATEST_PERCENT: u64 = 50;
const RENEW_SPREAD_PERCENT: u64 = 10;

/// A leaf begins some minutes before it is made, for whoever has a clock that is slow. Of a leaf of
/// days that is nothing; of one of minutes it would be the first half of its life.
const BACKDATED_S: u64 = 300;
/// What counts as a leaf of minutes.
const SHORT_S: u64 = 3600;

/// The first wait after no answer came; each further one is twice as long.
const RETRY_FIRST_S: u64 = 30;
/// The longest wait after no answer came: a server that was away for a day is met again within
/// hours.
const RETRY_LONGEST_S: u64 = 6 * 3600;
/// The first wait after the server judged who we are and said no: somebody has to act, which takes
/// an hour at best.
const REFUSED_FIRST_S: u64 = 3600;
/// The longest wait after a refusal: a device that was let in again is back within a day.
const REFUSED_LONGEST_S: u64 = 86_400;
/// Doublings after which a wait grows no more, whatever its bound.
const DOUBLINGS_MAX: u32 = 16;

/// How long the server is not asked at most. Who was struck off and let in again meanwhile learns it
/// from nobody else, and a device a day is a contact a second for a fleet of 86,400; the last quarter
/// spreads them.
const CHECK_S: u64 = 86_400;

/// How long a step sleeps at most before the clock is looked at again: somebody may have set it,
/// and a machine that slept does not count the time.
pub const NAP_S: u64 = 900;

/// The life of a leaf, as much of it as decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// `notBefore`.
    pub begins: UnixTime,
    /// `notAfter`.
    pub ends: UnixTime,
    /// What spreads renewals: two octets of the leaf's fingerprint, the same at every start.
    pub spread: u16,
}

impl Life {
    /// When it is renewed.
    #[must_use]
    pub const fn renewal(&self) -> UnixTime {
        let whole_s = self.ends.secs_since(self.begins);
        let backdated_s = if whole_s <= BACKDATED_S {
            // It would be due at its end, or later.
            whole_s / 2
        } else if whole_s <= SHORT_S {
            BACKDATED_S
        } else {
            0
        };
        let begins = self.begins.plus_secs(backdated_s);
        let life_s = self.ends.secs_since(begins);
        let early_s = life_s * RENEW_SPREAD_PERCENT / 100 * self.spread as u64 / 65_536;
        begins.plus_secs((life_s * RENEW_LATEST_PERCENT / 100).saturating_sub(early_s))
    }
}

/// The leaf that is in use, as much of it as decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its life.
    pub life: Life,
    /// Whether the server has accepted it once.
    pub has_worked: bool,
    /// Whether its programs were told of it.
    pub is_announced: bool,
    /// Whether what the device has to report was accepted.
    pub is_reported: bool,
    /// When the server last answered.
    pub answered: Option<UnixTime>,
}

impl Held {
    /// When the leaf is shown to the server again, at the latest.
    fn check(&self, now: UnixTime) -> UnixTime {
        let early_s = CHECK_S / 4 * u64::from(self.life.spread) / 65_536;
        // An answer that is still to come was noted under a clock that has been set back since.
        let answered = self.answered.filter(|at| *at <= now).unwrap_or_default();
        answered.plus_secs(CHECK_S - early_s)
    }
}

/// What is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The leaf in use.
    pub held: Option<Held>,
    /// Whether there is something that a join can show: a birth certificate, a maker's, a token.
    pub can_join: bool,
    /// Whether it was told to leave, and does not know whether the server has heard it.
    pub is_leaving: bool,
    /// The last tries that came to nothing.
    pub failed: Failed,
}

/// The last tries that came to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// How many, one after the other.
    pub times: u32,
    /// Whether the last renewal was turned away by a judgement of who we are.
    pub is_turned_away: bool,
    /// Not before this moment, as it was noted; whether it is waited for is another question.
    pub until: Option<UnixTime>,
}

impl Failed {
    /// Not before this moment; `None` where nothing is waited for any more.
    #[must_use]
    pub fn until(&self, now: UnixTime) -> Option<UnixTime> {
        let longest_s = REFUSED_LONGEST_S.max(RETRY_AFTER_MAX_S);
        self.until.filter(|until| is_waited_for(*until, longest_s + longest_s / 4, now))
    }
}

/// Whether a wait of at most `longest_s` that was noted to end at `until` goes on. One that would be
/// longer was noted under a clock that has been set back since, for instance by years, after a start
/// without a network; nobody knows how much of it is left, so it is over.
#[must_use]
pub fn is_waited_for(until: UnixTime, longest_s: u64, now: UnixTime) -> bool {
    now < until && until <= now.plus_secs(longest_s)
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get a first leaf, or a new one from nothing but what a join can show.
    Join,
    /// Get a leaf after a leaf.
    Renew,
    /// Show the server the leaf, so that it has worked once, and say what the device has to report.
    Report,
    /// Tell the programs that use the leaf.
    Announce,
    /// Tell the server once more that the device leaves, and wipe what was got.
    Leave,
    /// Nothing until then.
    Wait(UnixTime),
    /// Nothing that could be done.
    Stuck,
}

/// The next step.
#[must_use]
pub fn next(view: &View, now: UnixTime) -> Step {
    let step = wanted(view, now);
    match (step, view.failed.until(now)) {
        // Programs are told whether the server answers or not.
        (Step::Announce | Step::Wait(_) | Step::Stuck, _) => step,
        (Step::Leave, Some(until)) => Step::Wait(until),
        (_, Some(until)) => match view.held {
            Some(held) if held.has_worked && !held.is_announced => Step::Announce,
            _ => Step::Wait(until),
        },
        _ => step,
    }
}

fn wanted(view: &View, now: UnixTime) -> Step {
    if view.is_leaving {
        return Step::Leave;
    }
    let Some(held) = view.held else {
        return if view.can_join { Step::Join } else { Step::Stuck };
    };
    let has_ended = held.life.ends < now;
    if view.can_join && (has_ended || view.failed.is_turned_away) {
        return Step::Join;
    }
    if has_ended {
        // A server may renew a leaf for some time after its end where its device has nothing else.
        return Step::Renew;
    }
    if !held.has_worked {
        return Step::Report;
    }
    if !held.is_announced {
        return Step::Announce;
    }
    if held.life.renewal() <= now {
        return Step::Renew;
    }
    let check = held.check(now);
    if held.is_reported && check > now {
        Step::Wait(held.life.renewal().min(check))
    } else {
        Step::Report
    }
}

/// When to try again after `times` tries that came to nothing. `chance` spreads a fleet that lost
/// its server together: the wait is between three and five quarters of what it would be.
#[must_use]
pub fn retry(
    times: u32,
    is_turned_away: bool,
    after_s: Option<u64>,
    chance: u16,
    now: UnixTime,
) -> UnixTime {
    let (first, longest) = if is_turned_away {
        (REFUSED_FIRST_S, REFUSED_LONGEST_S)
    } else {
        (RETRY_FIRST_S, RETRY_LONGEST_S)
    };
    let doublings = times.saturating_sub(1).min(DOUBLINGS_MAX);
    let wait_s = first.saturating_mul(1 << doublings).min(longest);
    let spread_s = wait_s * 3 / 4 + wait_s / 2 * u64::from(chance) / 65_536;
    // What the server says is a least wait, spread upwards only.
    let said_s = after_s.map_or(0, |s| s + s / 4 * u64::from(chance) / 65_536);
    now.plus_secs(spread_s.max(said_s))
}
