//! From the tree back to text, which reads as the same tree.

use super::{Comparison, Expr, Literal, Place, Selector, parse};
use std::fmt;

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(parts) => join(f, parts, " || ", |_| false),
            Self::All(parts) => join(f, parts, " && ", |part| matches!(part, Self::Any(_))),
            Self::Not(inner) => match **inner {
                Self::Any(_) | Self::All(_) | Self::Compare { .. } | Self::In { .. } => {
                    write!(f, "!({inner})")
                }
                _ => write!(f, "!{inner}"),
            },
            Self::Compare { member, by, to } => {
                let sign = Comparison::ALL.iter().find(|(one, _)| one == by).map_or("", |(_, s)| s);
                write!(f, "{} {sign} {to}", Name(member))
            }
            Self::In { member, list } => {
                write!(f, "{} in [", Name(member))?;
                join(f, list, ", ", |_| false)?;
                f.write_str("]")
            }
            Self::Has { member, place, part } => {
                let name = Place::ALL.iter().find(|(one, _)| one == place).map_or("", |(_, n)| n);
                write!(f, "{}.{name}({})", Name(member), Quoted(part))
            }
            Self::There(member) => write!(f, "has({})", Name(member)),
            Self::Flag(member) => Name(member).fmt(f),
            Self::Constant(yes) => yes.fmt(f),
        }
    }
}

fn join<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    parts: &[T],
    between: &str,
    in_parentheses: fn(&T) -> bool,
) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        if in_parentheses(part) { write!(f, "({part})")? } else { part.fmt(f)? }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Bool(yes) => yes.fmt(f),
        }
    }
}

/// A text literal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match parse::ESCAPES.iter().find(|(_, meant)| *meant == c && c != '\'') {
                Some((letter, _)) => write!(f, "\\{letter}")?,
                None => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// The name of a member, its key in brackets where it is not a plain name.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('.') {
            Some((front, key)) if !key.split('.').all(parse::is_plain) => {
                write!(f, "{front}[{}]", Quoted(key))
            }
            _ => f.write_str(self.0),
        }
    }
}
