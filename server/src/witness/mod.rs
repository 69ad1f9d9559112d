//! Witnesses: others who see that a ledger only grows, and who sign that they saw it (C2SP
//! tlog-witness). [`ask`] shows our checkpoints to those that an operator named; [`serve`] is one
//! for another log. What is said between the two stands in `ledger::witness`.
//!
//! With witnesses a rewritten past cannot be shown to anybody who demands their cosignatures, since
//! none of them signs two trees of one size.

pub mod ask;
pub mod serve;

use ledger::VerifierKey;

/// What the settings of witnesses begin with; the rest is the name.
pub const SETTING: &str = "witness:";
/// Witnesses of one realm: each is asked once a second while the ledger grows.
pub const WITNESSES_MAX: usize = 16;
/// The octets that an address may have: with the key it is one setting.
pub const URL_OCTETS_MAX: usize = 1024;

/// A witness that an operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What the operator calls it.
    pub name: String,
    /// Its submission prefix, to which `/add-checkpoint` is added.
    pub url: String,
    /// What it signs with.
    pub key: VerifierKey,
}

impl Named {
    /// How it is stored: the value of the setting [`SETTING`]`NAME`.
    #[must_use]
    pub fn value(&self) -> String {
        format!("{} {}", self.key, self.url)
    }

    /// Reads it out of a setting; `None` where it is another setting.
    #[must_use]
    pub fn read(key: &str, value: &str) -> Option<Self> {
        let name = key.strip_prefix(SETTING)?.to_owned();
        let (vkey, url) = value.split_once(' ')?;
        let key = VerifierKey::parse(vkey).ok().filter(VerifierKey::is_cosigner)?;
        Some(Self { name, url: url.to_owned(), key })
    }
}

/// Whether `name` can be a witness's: letters, digits and `-_.`, 1 to 32 of them.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=32).contains(&name.len()) && name.chars().all(fit)
}
