//! A realm is one owner's trust domain: its own root, authorities, ledger and operators.

use std::fmt;

/// The name of a realm: 1 to 32 of `a-z 0-9 -`, beginning with a letter, and never the name of an
/// EST operation, since both stand at the same place of a path (`/.well-known/est/{realm}/{op}`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(String);

/// EST operations of RFC 7030 §3.2.2 and RFC 8295, which no realm may be named like.
const OPERATIONS: [&str; 11] = [
    "cacerts",
    "simpleenroll",
    "simplereenroll",
    "fullcmc",
    "serverkeygen",
    "csrattrs",
    "crls",
    "symmetrickeys",
    "firmware",
    "tamp",
    "eecerts",
];

impl RealmName {
    /// The realm that small users have.
    #[must_use]
    pub fn default_realm() -> Self {
        Self("default".to_owned())
    }

    /// Reads a name; `None` where it breaks the rule above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shape = (1..=32).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        (shape && !OPERATIONS.contains(&text)).then(|| Self(text.to_owned()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_never_named_like_an_operation() {
        assert!(RealmName::parse("plant-7").is_some());
        for refused in ["cacerts", "simpleenroll", "", "Plant", "7up", "a/b", &"x".repeat(33)] {
            assert!(RealmName::parse(refused).is_none(), "{refused}");
        }
    }
}
