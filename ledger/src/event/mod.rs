//! The events: what an entry's verb means to the people who watch a fleet.
//!
//! Each verb that a payload may have stands once in the table of [`EVENTS`], with a number that
//! never changes, how grave it is, what its members say, and what to do. Everything that is told
//! outward is told from here: the members of the REST interface, the lines of a SIEM, and
//! `docs/events.md`, which [`document`] writes.

mod table;

pub use table::{EVENTS, FIELDS};

pub use identity::Severity;

use crate::{Class, Payload, Value};
use identity::Signal;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: the class's hundred and a number within. Never given to another event.
    pub id: u16,
    /// The verb in the payload.
    pub verb: &'static str,
    /// The class of its entry.
    pub class: Class,
    /// How grave it is, where its entry carries no signal: see [`gravity`].
    pub severity: Severity,
    /// What happened, in one sentence.
    pub meaning: &'static str,
    /// The members that its payload may have beside the verb; [`FIELDS`] says what each means.
    pub fields: &'static [&'static str],
    /// What the one who watches does; empty where there is nothing to do.
    pub todo: &'static str,
}

impl Event {
    /// The event with this verb; `None` for a verb of a newer Muster.
    #[must_use]
    pub fn of(verb: &str) -> Option<&'static Self> {
        EVENTS.iter().find(|event| event.verb == verb)
    }
}

/// How grave an entry with this payload is: as grave as the signal that it carries, else as its
/// event; `None` for a verb of a newer Muster without one.
///
/// The member `severity` alone says nothing: a receiver's entry has the one that it wants.
#[must_use]
pub fn gravity(payload: &Payload) -> Option<Severity> {
    let text = |name: &str| payload.get(name).and_then(Value::as_text);
    let signal = text("signal").and_then(|_| text("severity")).and_then(Severity::parse);
    signal.or_else(|| Event::of(payload.verb()).map(|event| event.severity))
}

/// What a member means; `None` where no event has one of this name.
#[must_use]
pub fn field(name: &str) -> Option<&'static str> {
    FIELDS.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

/// `docs/events.md`, whole.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Events\n\n\
         Every entry of the ledger is an event. This page is written from the types \
         (`ledger/src/event/table.rs`), so it is\nwhat the binary tells: to `muster ledger tail`, to \
         `/api/v1/events`, and to the receivers of `muster sink`.\n\n\
         The number is stable; so are verbs and the names of members. A later release may add \
         events and members.\n\n\
         | severity | syslog | CEF | meaning |\n|---|---|---|---|\n\
         | info | 6 | 1 | the daily life of a fleet |\n\
         | notice | 5 | 4 | somebody changed what holds, or what is rare |\n\
         | warning | 4 | 7 | something was refused or taken away: look when you have time |\n\
         | critical | 1 | 10 | an identity is in doubt, or an authority ended: look now |\n\n\
         An entry that carries a signal (member `signal`) is as grave as the signal, whatever its \
         event: its member `severity`\nsays how grave, and `--severity`, receivers, syslog and CEF \
         go by it.\n",
    );
    for class in Class::ALL {
        let mut of_class = EVENTS.iter().filter(|event| event.class == *class).peekable();
        if of_class.peek().is_some() {
            text.push_str(&format!("\n## Class {}, `{class}`\n", class.number()));
        }
        for event in of_class {
            text.push_str(&format!(
                "\n### {} `{}` ({})\n\n{}\n",
                event.id, event.verb, event.severity, event.meaning
            ));
            if !event.fields.is_empty() {
                let names: Vec<String> =
                    event.fields.iter().map(|name| format!("`{name}`")).collect();
                text.push_str(&format!("\nMembers: {}.\n", names.join(", ")));
            }
            if !event.todo.is_empty() {
                text.push_str(&format!("\nTo do: {}\n", event.todo));
            }
        }
    }
    text.push_str(
        "\n## Signals\n\nSigns that an identity is misused, as the members `signal` and `severity` \
         tell them and\n`muster_signals_total` counts them.\n\n\
         | signal | severity | what it says | what to do |\n|---|---|---|---|\n",
    );
    for signal in Signal::ALL {
        let (severity, said, next) = (signal.severity(), signal.sentence(), signal.next());
        text.push_str(&format!("| `{signal}` | {severity} | {said} | {next} |\n"));
    }
    text.push_str("\n## Members\n\n| member | what it says |\n|---|---|\n");
    for (name, meaning) in FIELDS {
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_verbs_are_given_once_and_numbers_begin_with_the_class() {
        for (place, event) in EVENTS.iter().enumerate() {
            assert_eq!(event.id / 100, u16::from(event.class.number()), "{}", event.verb);
            for other in &EVENTS[place + 1..] {
                assert!(event.id != other.id && event.verb != other.verb, "{}", other.verb);
            }
        }
    }

    #[test]
    fn every_member_is_explained_and_no_explanation_is_idle() {
        for event in EVENTS {
            for name in event.fields {
                assert!(field(name).is_some(), "`{name}` of `{}` is not explained", event.verb);
            }
        }
        for (name, _) in FIELDS {
            let used = EVENTS.iter().any(|event| event.fields.contains(name));
            assert!(used, "no event has a member `{name}`");
        }
    }

    #[test]
    fn what_is_grave_says_what_to_do() {
        for event in EVENTS.iter().filter(|event| event.severity >= Severity::Warning) {
            assert!(!event.todo.is_empty(), "{}", event.verb);
        }
    }

    #[test]
    fn an_entry_with_a_signal_is_as_grave_as_the_signal() {
        let denied = Payload::new("join.denied");
        assert_eq!(gravity(&denied), Some(Severity::Warning));
        let signal = |name: &str, grave: &str| {
            Payload::new("key.knocked").with("signal", name).with("severity", grave)
        };
        assert_eq!(gravity(&signal("compromised-key", "critical")), Some(Severity::Critical));
        assert_eq!(gravity(&signal("spent-key", "notice")), Some(Severity::Notice));
        assert_eq!(gravity(&signal("of-tomorrow", "dire")), Some(Severity::Warning));
        let sink = Payload::new("sink.set").with("severity", "critical");
        assert_eq!(gravity(&sink), Event::of("sink.set").map(|event| event.severity));
        assert_eq!(gravity(&Payload::new("of.tomorrow")), None);
    }

    #[test]
    fn severities_are_read_as_they_are_written() {
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Some(*severity));
        }
        assert_eq!(Severity::parse("CRITICAL"), None);
    }
}
