//! Signs that an identity is misused, each of them certain in what it says: no habit is learned and
//! no threshold guessed. One table has their stable names, how much they weigh, and what to do.
//!
//! Some are refusals seen from the operator's side ([`Signal::of_rule`]); the others are told by a
//! completed handshake, which `ca::contact` judges. Metrics (`muster_signals_total`) and entries
//! (`signal`, `severity`) use the same names.

use crate::ask::RuleId;
use crate::device::words;

/// How grave something is for the one who watches, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The daily life of a fleet.
    Info,
    /// Somebody changed what holds, or what is rare.
    Notice,
    /// Something was refused or taken away: look when you have time.
    Warning,
    /// An identity is in doubt, or an authority ended: look now.
    Critical,
}

words!(Severity {
    Info = "info",
    Notice = "notice",
    Warning = "warning",
    Critical = "critical",
});

impl Severity {
    /// The number of syslog (RFC 5424 §6.2.1): 1 is an alert, 6 is informational.
    #[must_use]
    pub const fn syslog(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Notice => 5,
            Self::Warning => 4,
            Self::Critical => 1,
        }
    }

    /// The number of ArcSight's Common Event Format, from 0 to 10.
    #[must_use]
    pub const fn cef(self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Notice => 4,
            Self::Warning => 7,
            Self::Critical => 10,
        }
    }
}

/// What a realm wants done where two parties hold one identity, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Response {
    /// Told and marked; the spent leaf is refused, and nothing else changes.
    Alarm,
    /// Also the key of the one who showed the spent leaf goes on hold; the present holder goes on.
    HoldNewcomer,
    /// The device is quarantined: both are cut, and only a release with a new key lets it in again.
    Quarantine,
}

words!(Response {
    Alarm = "alarm",
    HoldNewcomer = "hold-newcomer",
    Quarantine = "quarantine",
});

/// One table: variant, stable name, severity, what it says, what to do.
macro_rules! signals {
    ($($variant:ident = $name:literal, $severity:ident, $sentence:literal, $next:literal;)+) => {
        /// A sign that an identity is misused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Signal {
            $(#[doc = $sentence] $variant,)+
        }

        impl Signal {
            /// Every signal.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// How much it weighs.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// What it says: lower case, no final period.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence),+ }
            }

            /// What to do about it: lower case, no final period.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Self::$variant => $next),+ }
            }
        }
    };
}

signals! {
    Clone = "clone", Critical,
        "two parties hold one identity: a leaf completed a handshake after it was spent, while its \
         successor is in use",
        "find both holders in `muster device show` and follow docs/jobs/cloned-device.md";
    CloneCapped = "clone-capped", Critical,
        "two parties hold one identity, and nobody was set aside, because as many devices were \
         within the hour as the realm allows",
        "see whether somebody plays old keys, then quarantine by hand or raise \
         `clone_quarantines_per_hour`";
    CompromisedKey = "compromised-key", Critical,
        "a key that was revoked as compromised completed a handshake",
        "the thief is at this address, or the device was not given a new key";
    RevokedKey = "revoked-key", Warning,
        "a key whose certificates are all revoked or on hold completed a handshake",
        "if the device is yours, join it again with a new key; else it was copied before it was \
         revoked";
    SpentKey = "spent-key", Notice,
        "a leaf was spent while its handshake was under way",
        "nothing, unless it comes again: then several programs of the device use old leaves";
    KeyOfTwo = "key-of-two", Critical,
        "one key was brought by two devices",
        "find out where the second one has it from: an image with a key in it, or a copied unit";
    Contradiction = "contradiction", Warning,
        "the physical identifiers contradict the birth record",
        "compare both in `muster device show`: a part was exchanged, or the birth key sits in \
         another unit";
    SerialOfTwo = "serial-of-two", Warning,
        "one serial number was asked for by two keys",
        "ask the maker which unit has it; close the door if it cannot say";
    SecondBirth = "second-birth", Warning,
        "a serial number was to be born again with another key",
        "ask the station: rework is repeated with `--replace` and a reason, anything else is a \
         second unit";
    TokenReuse = "token-reuse", Warning,
        "a join token was shown again after its last use or its end, or for another device than \
         it names",
        "see who has it: `muster token list` tells who made it";
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Signal {
    /// The signal that a refusal is, where it is one.
    #[must_use]
    pub fn of_rule(rule: &RuleId) -> Option<Self> {
        let told = [
            (RuleId::KEY_COMPROMISED, Self::CompromisedKey),
            (RuleId::KEY_OF_ANOTHER, Self::KeyOfTwo),
            (RuleId::KEY_BORN_TWICE, Self::KeyOfTwo),
            (RuleId::CONTRADICTION, Self::Contradiction),
            (RuleId::SECOND_BIRTH, Self::SecondBirth),
            (RuleId::TOKEN_OTHER_SERIAL, Self::TokenReuse),
        ];
        told.into_iter().find_map(|(known, signal)| (known == *rule).then_some(signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_signal_has_a_name_of_its_own_and_says_what_to_do() {
        let names: BTreeSet<&str> = Signal::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(names.len(), Signal::ALL.len());
        for signal in Signal::ALL {
            for said in [signal.sentence(), signal.next()] {
                assert!(said.len() > 20 && !said.ends_with('.'), "{signal}: {said}");
                assert!(said.starts_with(char::is_lowercase), "{signal}: {said}");
            }
        }
    }

    #[test]
    fn the_mildest_response_is_the_least() {
        assert_eq!(Response::ALL.iter().min(), Some(&Response::Alarm));
        assert_eq!(Response::ALL.iter().max(), Some(&Response::Quarantine));
    }
}
