//! The realm, its settings, and how the process is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The realm of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RealmView {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub id: String,
    /// The origin of its ledger.
    pub origin: String,
    /// When it was founded.
    pub founded: String,
    /// SHA-256 of its root's public key, hex: what devices and operators pin.
    pub root_pin: Option<String>,
    /// What addresses in certificates begin with; `null` where they are left out.
    pub public_url: Option<String>,
    /// Its settings.
    pub settings: Vec<SettingView>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its name.
    pub key: String,
    /// The group that it holds for; `null` for the whole realm.
    pub group: Option<String>,
    /// Its value.
    pub value: String,
}

/// A setting as it shall be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingRequest {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    pub key: String,
    /// The group that it holds for; `null` for the whole realm.
    #[serde(default)]
    pub group: Option<String>,
    /// Its value; `null` takes it back to the default.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub value: Option<String>,
}

/// The process lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always true where there is an answer.
    pub ok: bool,
    /// The version of the server.
    pub version: String,
}

/// Whether the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether every check that matters holds.
    pub ok: bool,
    /// The checks; empty where no credential was shown that may see them.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found, and what to do where it does not hold.
    pub detail: String,
}
