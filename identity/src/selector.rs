//! Which devices are meant: what stands behind `--where`, in a subset of CEL (the Common Expression
//! Language) over the members of `device list --json`.
//!
//! ```text
//! standing == "suspended" && (group == "line-3" || model.startsWith("P")) && born >= "2026-05"
//! ```
//!
//! Literals are texts, whole numbers, `true` and `false`; there are `== != < <= > >=`, `in [..]`,
//! `&& || !`, parentheses, and `startsWith`, `endsWith`, `contains`. A member that has several
//! values, as `group` has, holds where one of them does, so that `==` on it means membership. A
//! member that a device does not have equals nothing: every comparison with it is false except
//! `!=`. `has(mark)` asks whether there is one, and an empty text or list counts as none. Times are
//! RFC 3339 texts, whose order is that of time; the front of one, as `"2026-05"`, stands for its
//! beginning and equals none. `meta["hw-rev"]` is how to write a key that is not a plain name.
//!
//! [`Selector::parse`] reads one, [`Selector::check`] knows the members and what they can be compared with, [`Selector::holds`] asks
//! one device.

mod literal;
mod parse;
mod print;

use crate::ask::Defect;
use crate::device::{Assurance, Device, GroupName};
use crate::text::rfc3339;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Octets of text: more than a person types, and little enough for a query of a URL in any
/// encoding.
pub const TEXT_OCTETS_MAX: usize = 1024;
/// Parentheses and `!` within each other: reading and asking recurse, so there is an end.
pub const DEPTH_MAX: usize = 32;
/// Conditions and list members: each is looked at once for each device of a realm.
pub const TERMS_MAX: usize = 64;

/// A condition that devices meet or do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    expr: Expr,
}

/// The syntax tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// One of them holds; two at least, and none is an `Any` itself.
    Any(Vec<Expr>),
    /// All of them hold; two at least, and none is an `All` itself.
    All(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// A member compared with a literal.
    Compare {
        /// The member.
        member: String,
        /// How.
        by: Comparison,
        /// With what.
        to: Literal,
    },
    /// A member equals one of these.
    In {
        /// The member.
        member: String,
        /// These.
        list: Vec<Literal>,
    },
    /// The text of a member has a part.
    Has {
        /// The member.
        member: String,
        /// Where.
        place: Place,
        /// Which.
        part: String,
    },
    /// `has(member)`: it is there, and not empty.
    There(String),
    /// A member that is `true`.
    Flag(String),
    /// `true` or `false`.
    Constant(bool),
}

/// What a member can be compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Bool(bool),
}

/// How a member is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Comparison {
    const ALL: [(Self, &str); 6] = [
        (Self::Equal, "=="),
        (Self::Unequal, "!="),
        (Self::Below, "<"),
        (Self::AtMost, "<="),
        (Self::Above, ">"),
        (Self::AtLeast, ">="),
    ];

    fn parse(sign: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, s)| *s == sign).map(|(by, _)| *by)
    }

    /// The same with the two sides changed.
    const fn turned(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    /// Whether a member that stands in this order to the literal meets it; `None` is a member of
    /// another type.
    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Below => order == Some(Ordering::Less),
            Self::AtMost => order.is_some_and(Ordering::is_le),
            Self::Above => order == Some(Ordering::Greater),
            Self::AtLeast => order.is_some_and(Ordering::is_ge),
        }
    }
}

/// Where a text has a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `startsWith`
    Front,
    /// `endsWith`
    End,
    /// `contains`
    Anywhere,
}

impl Place {
    const ALL: [(Self, &str); 3] =
        [(Self::Front, "startsWith"), (Self::End, "endsWith"), (Self::Anywhere, "contains")];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(place, _)| *place)
    }

    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Self::Front => text.starts_with(part),
            Self::End => text.ends_with(part),
            Self::Anywhere => text.contains(part),
        }
    }
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Vec<&'a str>),
    /// An assurance: its words have an order of their own, `claimed` being the least.
    Assurance(Assurance),
}

impl Value<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(texts) => texts.is_empty(),
            Self::Number(_) | Self::Bool(_) | Self::Assurance(_) => false,
        }
    }
}

/// Somebody who has members that can be asked for.
pub trait Members {
    /// The member of that name; `None` where there is none. Below `meta`, `name` is `meta.` and
    /// the key.
    fn member(&self, name: &str) -> Option<Value<'_>>;
}

/// The members of a device, as `device list --json` names them. What ends with a dot stands for
/// all names that begin so. Those in [`LEAF_MEMBERS`] are of its leaves, and the host knows them.
pub const DEVICE_MEMBERS: [&str; 19] = [
    "id",
    "standing",
    "assurance",
    "model",
    "maker",
    "serial",
    "mac",
    "imei",
    "group",
    "born",
    "enrolled",
    "door",
    "generation",
    "ek_digest",
    "mark",
    "version",
    "weak_detection",
    "leaf.",
    "meta.",
];

/// Members of a device that only its leaves tell.
pub const LEAF_MEMBERS: [&str; 2] = ["weak_detection", "leaf."];

impl Members for Device {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        let own = |text: String| Value::Text(Cow::Owned(text));
        let text = |text| Value::Text(Cow::Borrowed(text));
        let said = &self.identifiers;
        Some(match name {
            "id" => own(self.id.to_string()),
            "standing" => text(self.standing.as_str()),
            "assurance" => Value::Assurance(self.assurance),
            "model" => text(&said.model),
            "maker" => text(&said.maker),
            "serial" => text(&said.serial),
            "mac" => Value::List(said.macs.iter().map(String::as_str).collect()),
            "imei" => text(said.imei.as_deref()?),
            "group" => Value::List(self.groups.iter().map(GroupName::as_str).collect()),
            "born" => own(rfc3339(self.born)),
            "enrolled" => own(rfc3339(self.enrolled?)),
            "door" => text(self.door.as_deref()?),
            "generation" => Value::Number(self.generation.into()),
            "ek_digest" => text(said.ek_digest.as_deref()?),
            "mark" => text(self.mark.as_deref()?),
            "version" => Value::Number(i64::try_from(self.version).unwrap_or(i64::MAX)),
            other => text(said.meta.get(other.strip_prefix("meta.")?)?),
        })
    }
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// A [`Defect`] that says at which character, and what would be right.
    pub fn parse(text: &str) -> Result<Self, Defect> {
        parse::parse(text).map(|expr| Self { expr })
    }

    /// Returns it if it names no other members than `known`, of which one that ends with a dot
    /// stands for all that begin so, and compares each with what it can be.
    ///
    /// # Errors
    /// A [`Defect`] that names the unknown member and all known ones, or the literal.
    pub fn check(self, known: &[&str]) -> Result<Self, Defect> {
        let unknown = self.expr.members().into_iter().find(|name| !is_among(name, known));
        let Some(unknown) = unknown else {
            literal::check(&self.expr)?;
            return Ok(self);
        };
        let shown: Vec<String> = known
            .iter()
            .map(|k| k.strip_suffix('.').map_or(k.to_string(), |k| format!("{k}.KEY")))
            .collect();
        let sentence =
            format!("there is no member `{unknown}`: the members are {}", shown.join(", "));
        Err(Defect::new("selector-member", sentence))
    }

    /// Whether it asks for one of these members, named as in [`Selector::check`].
    #[must_use]
    pub fn asks_for(&self, members: &[&str]) -> bool {
        self.expr.members().into_iter().any(|name| is_among(name, members))
    }

    /// Whether it holds for `whom`.
    pub fn holds(&self, whom: &impl Members) -> bool {
        self.expr.holds(whom)
    }

    /// The syntax tree.
    #[must_use]
    pub const fn expr(&self) -> &Expr {
        &self.expr
    }
}

fn is_among(name: &str, known: &[&str]) -> bool {
    known.iter().any(|k| *k == name || (k.ends_with('.') && name.starts_with(k)))
}

impl Expr {
    /// One of `parts` holds; those that are an `Any` themselves are taken apart.
    fn any(parts: Vec<Self>) -> Self {
        let flat = |part| if let Self::Any(inner) = part { inner } else { vec![part] };
        Self::one_or(parts.into_iter().flat_map(flat).collect(), Self::Any)
    }

    /// All of `parts` hold; those that are an `All` themselves are taken apart.
    fn all(parts: Vec<Self>) -> Self {
        let flat = |part| if let Self::All(inner) = part { inner } else { vec![part] };
        Self::one_or(parts.into_iter().flat_map(flat).collect(), Self::All)
    }

    fn one_or(mut parts: Vec<Self>, several: fn(Vec<Self>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                several(parts)
            }
            None => several(parts),
        }
    }

    fn members(&self) -> Vec<&str> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::members).collect(),
            Self::Not(inner) => inner.members(),
            Self::Compare { member, .. }
            | Self::In { member, .. }
            | Self::Has { member, .. }
            | Self::There(member)
            | Self::Flag(member) => vec![member],
            Self::Constant(_) => Vec::new(),
        }
    }

    fn holds(&self, whom: &impl Members) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(whom)),
            Self::All(parts) => parts.iter().all(|part| part.holds(whom)),
            Self::Not(inner) => !inner.holds(whom),
            Self::Compare { member, by, to } => meets(whom.member(member).as_ref(), *by, to),
            Self::In { member, list } => {
                let value = whom.member(member);
                list.iter().any(|to| meets(value.as_ref(), Comparison::Equal, to))
            }
            Self::Has { member, place, part } => match whom.member(member) {
                Some(Value::Text(text)) => place.holds(&text, part),
                Some(Value::List(texts)) => texts.iter().any(|text| place.holds(text, part)),
                Some(Value::Assurance(level)) => place.holds(level.as_str(), part),
                _ => false,
            },
            Self::There(member) => whom.member(member).is_some_and(|value| !value.is_empty()),
            Self::Flag(member) => whom.member(member) == Some(Value::Bool(true)),
            Self::Constant(yes) => *yes,
        }
    }
}

fn meets(value: Option<&Value<'_>>, by: Comparison, to: &Literal) -> bool {
    let order = match (value, to) {
        (Some(Value::List(_)), _) if by == Comparison::Unequal => {
            return !meets(value, Comparison::Equal, to);
        }
        (Some(Value::List(texts)), Literal::Text(to)) => {
            return texts.iter().any(|text| by.holds(Some((*text).cmp(to))));
        }
        (Some(Value::Text(text)), Literal::Text(to)) => Some(text.as_ref().cmp(to)),
        (Some(Value::Number(number)), Literal::Number(to)) => Some(number.cmp(to)),
        (Some(Value::Bool(yes)), Literal::Bool(to)) => Some(yes.cmp(to)),
        (Some(Value::Assurance(level)), Literal::Text(to)) => {
            Assurance::parse(to).map(|to| level.cmp(&to))
        }
        _ => None,
    };
    by.holds(order)
}

#[cfg(test)]
mod tests;
