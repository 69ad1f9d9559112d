//! Operators: who may use this interface, and for what.

use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// What a credential may do. Each of `viewer`, `operator`, `admin` may also do what the one
    /// before may; a `station` may only send births.
    Role {
        /// Sees everything but secrets, changes nothing.
        Viewer = "viewer",
        /// Sends births and gets their receipts, and nothing else.
        Station = "station",
        /// Changes devices, certificates and tokens; sends births.
        Operator = "operator",
        /// Changes doors, profiles, settings, authorities and operators.
        Admin = "admin",
    }
}

/// A credential that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Whose it is; stands in the ledger as `by`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The public half of the credential.
    pub id: String,
    /// When it was made.
    pub made: String,
}

/// A credential to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorRequest {
    /// Whose it is: 1 to 64 of letters, digits and `-_.@`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// A new credential: the only time that its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct OperatorMade {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The public half.
    pub id: String,
    /// For HTTP Bearer: `id.secret`.
    pub token: String,
}

impl std::fmt::Debug for OperatorMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorMade({}, ..)", self.name)
    }
}
