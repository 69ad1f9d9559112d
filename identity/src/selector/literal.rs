//! Whether a question makes sense: a date that no calendar has, or a word that nothing is called,
//! would quietly pick nobody or everybody.

use super::{Comparison, Expr, Literal};
use crate::ask::Defect;
use crate::credential::{CredentialKind, CredentialState, Reason};
use crate::device::{Assurance, Standing};

/// What a member is compared with.
enum Kind {
    Text,
    /// A text without capital letters, as digits and MAC addresses are kept.
    Small,
    /// A text that is never empty where a device has it.
    Rare,
    /// Both of these.
    SmallAndRare,
    Number,
    YesNo,
    Moment,
    /// One of these words.
    Word(Vec<&'static str>),
    /// One of these words, which have an order of their own.
    Rank(Vec<&'static str>),
}

/// `None` is a member of a leaf that no leaf has.
fn kind(member: &str) -> Option<Kind> {
    macro_rules! words {
        ($of:ty) => {
            <$of>::ALL.iter().map(|word| word.as_str()).collect()
        };
    }
    Some(match member {
        "standing" => Kind::Word(words!(Standing)),
        "assurance" => Kind::Rank(words!(Assurance)),
        "leaf.kind" => Kind::Word(words!(CredentialKind)),
        "leaf.state" => Kind::Word(words!(CredentialState)),
        "leaf.revoked.reason" => Kind::Word(words!(Reason)),
        "born" | "enrolled" | "leaf.issued" | "leaf.not_after" | "leaf.used" | "leaf.spent"
        | "leaf.revoked.at" => Kind::Moment,
        "generation" | "version" | "leaf.generation" => Kind::Number,
        "weak_detection" | "leaf.revoked" => Kind::YesNo,
        "id" | "mac" | "leaf.serial" | "leaf.device" | "leaf.issuer" | "leaf.spki" => Kind::Small,
        "imei" | "mark" | "door" => Kind::Rare,
        "ek_digest" => Kind::SmallAndRare,
        other if other.starts_with("leaf.") => return None,
        _ => Kind::Text,
    })
}

fn wrong<T>(sentence: String) -> Result<T, Defect> {
    Err(Defect::new("selector-literal", sentence))
}

/// Refuses the first question of `expr` that has no sense.
pub(super) fn check(expr: &Expr) -> Result<(), Defect> {
    match expr {
        Expr::Any(parts) | Expr::All(parts) => parts.iter().try_for_each(check),
        Expr::Not(inner) => check(inner),
        Expr::Compare { member, by, to } => compares(member, *by, to),
        Expr::In { member, list } => {
            list.iter().try_for_each(|to| compares(member, Comparison::Equal, to))
        }
        Expr::Has { member, part, .. } => match kind(member) {
            None => no_leaf_has(member),
            Some(Kind::Number | Kind::YesNo) => wrong(format!("`{member}` is not a text")),
            Some(Kind::Small | Kind::SmallAndRare) => is_small(member, part),
            _ => Ok(()),
        },
        Expr::Flag(member) => match kind(member) {
            None => no_leaf_has(member),
            Some(Kind::YesNo) => Ok(()),
            Some(_) => wrong(format!(
                "`{member}` is not true or false: compare it, or ask `has({member})`"
            )),
        },
        Expr::There(member) => kind(member).map_or_else(|| no_leaf_has(member), |_| Ok(())),
        Expr::Constant(_) => Ok(()),
    }
}

/// A question for what no leaf has would pick nobody, and its opposite everybody.
fn no_leaf_has(member: &str) -> Result<(), Defect> {
    wrong(format!(
        "there is no member `{member}`: those of a leaf are leaf.serial, leaf.kind, leaf.device, \
         leaf.issuer, leaf.generation, leaf.spki, leaf.issued, leaf.not_after, leaf.used, \
         leaf.state, leaf.spent, leaf.revoked, leaf.revoked.at and leaf.revoked.reason"
    ))
}

fn compares(member: &str, by: Comparison, to: &Literal) -> Result<(), Defect> {
    let has = format!("whether there is one is asked with `has({member})` or `!has({member})`");
    match (kind(member), to) {
        (None, _) => no_leaf_has(member),
        (Some(Kind::Number), Literal::Number(_))
        | (Some(Kind::YesNo), Literal::Bool(_))
        | (Some(Kind::Text), Literal::Text(_)) => Ok(()),
        (Some(Kind::Number), _) => wrong(format!("`{member}` is a number, without quotes")),
        (Some(Kind::YesNo), _) => wrong(format!("`{member}` is `true` or `false`")),
        (Some(Kind::Rare | Kind::SmallAndRare), Literal::Text(text)) if text.is_empty() => {
            wrong(format!("`{member}` is never empty: {has}"))
        }
        (Some(Kind::Small | Kind::SmallAndRare), Literal::Text(text)) => is_small(member, text),
        (Some(Kind::Rare), Literal::Text(_)) => Ok(()),
        (Some(Kind::Moment), Literal::Text(text)) if is_front(text) => {
            meets_front(member, by, text)
        }
        (Some(Kind::Moment), to) => wrong(format!(
            "`{member}` is a moment, and {to} is none: write the front of a time in UTC, as \
             \"2026-05\", \"2026-05-01\" or \"2026-05-01T08:00:00Z\"; {has}"
        )),
        (Some(Kind::Word(_)), _) if !matches!(by, Comparison::Equal | Comparison::Unequal) => {
            wrong(format!("`{member}` has no order: compare it by `==`, `!=` or `in`"))
        }
        (Some(Kind::Word(all) | Kind::Rank(all)), to) => match to {
            Literal::Text(text) if all.contains(&text.as_str()) => Ok(()),
            _ => wrong(format!("`{member}` is never {to}: it is one of {}", all.join(", "))),
        },
        (Some(Kind::Text | Kind::Small | Kind::Rare | Kind::SmallAndRare), to) => {
            wrong(format!("`{member}` is a text, and {to} is none: write it in quotes"))
        }
    }
}

/// A text with a capital letter is never among texts that have none.
fn is_small(member: &str, text: &str) -> Result<(), Defect> {
    if !text.contains(|c: char| c.is_ascii_uppercase()) {
        return Ok(());
    }
    let small = Literal::Text(text.to_ascii_lowercase());
    wrong(format!("`{member}` has no capital letters: write {small}"))
}

/// A moment is a second, and equals nothing that is longer.
fn meets_front(member: &str, by: Comparison, front: &str) -> Result<(), Defect> {
    let whole = front.len() == WHOLE.len();
    if whole || !matches!(by, Comparison::Equal | Comparison::Unequal) {
        return Ok(());
    }
    wrong(format!(
        "`{member}` is a second, and \"{front}\" is more than one: ask for what lies between, as \
         `{member} >= \"2026-05-01\" && {member} < \"2026-05-02\"`"
    ))
}

/// A time in UTC, each digit a zero.
const WHOLE: &str = "0000-00-00T00:00:00Z";

/// Whether a text is the front of an RFC 3339 time in UTC, up to a whole part of it.
fn is_front(text: &str) -> bool {
    let fits = |(c, as_in): (char, char)| {
        if as_in == '0' { c.is_ascii_digit() } else { c == as_in }
    };
    if ![4, 7, 10, 13, 16, 19, 20].contains(&text.len())
        || !text.chars().zip(WHOLE.chars()).all(fits)
    {
        return false;
    }
    // What is not said is as its least.
    let part = |from: usize, to: usize, least: u32| {
        text.get(from..to).and_then(|part| part.parse().ok()).unwrap_or(least)
    };
    let (year, month, day) = (part(0, 4, 0), part(5, 7, 1), part(8, 10, 1));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let time = part(11, 13, 0) <= 23 && part(14, 16, 0) <= 59 && part(17, 19, 0) <= 60;
    (1..=days).contains(&day) && time
}

#[cfg(test)]
mod tests {
    use super::is_front;

    #[test]
    fn a_date_is_one_that_a_calendar_has() {
        for front in ["2026", "2026-05", "2024-02-29", "2026-05-01T08", "2026-05-01T23:59:60Z"] {
            assert!(is_front(front), "{front}");
        }
        for none in [
            "",
            "x",
            "202",
            "2026-",
            "2026-5",
            "2026-13",
            "2026-13-01",
            "2026-02-29",
            "2026-04-31",
            "2026-00",
            "2026-05-00",
            "2026-05-01T24",
            "2026-05-01 08:00",
            "2026-05-01T08:60",
            "2026-05-01T08:00:00+02:00",
            "20é6",
        ] {
            assert!(!is_front(none), "{none}");
        }
    }
}
