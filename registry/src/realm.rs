//! Realms and their operators, as they are stored.

use identity::token::TokenId;
use identity::{RealmName, UnixTime};
use std::fmt;

/// The small number that rows of a realm are keyed by; the UUID is what the world sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmKey(pub u16);

/// A realm as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm {
    /// The key of its rows.
    pub key: RealmKey,
    /// Its name.
    pub name: RealmName,
    /// Its UUID.
    pub id: [u8; 16],
    /// The origin of its ledger's checkpoints, fixed at first start.
    pub origin: String,
    /// When it was founded.
    pub founded: UnixTime,
}

/// What an operator may do, the least first after stations, which only give births.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Looks at everything, changes nothing.
    Viewer,
    /// A factory station: births and their receipts only.
    Station,
    /// Runs the fleet.
    Operator,
    /// Runs the fleet, its authorities and its operators.
    Admin,
}

impl Role {
    /// Every one of them, in order.
    pub const ALL: &'static [Self] = &[Self::Viewer, Self::Station, Self::Operator, Self::Admin];

    /// The word that is shown, stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Station => "station",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the word; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operator's or a station's credential, shown as Bearer `id.secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name, unique in the realm.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// When it was made.
    pub made: UnixTime,
    /// The public half of the credential, unique in the realm.
    pub id: TokenId,
}
