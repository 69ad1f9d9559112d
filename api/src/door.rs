//! Doors, and the shape of the leaves that they give.

use crate::certificate::KeyKind;
use crate::device::Assurance;
use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// What must be shown at a door.
    DoorKind {
        /// The device's own birth certificate.
        Birth = "birth",
        /// A maker's IDevID.
        Maker = "maker",
        /// A join token.
        Token = "token",
    }
}

words! {
    /// Where in a maker's certificate the serial number of the device stands.
    SerialPlace {
        /// The subject's serialNumber, where IEEE 802.1AR puts it.
        Subject = "subject",
        /// A part of the subject's common name.
        CommonName = "common-name",
        /// The HardwareModuleName of the SAN (RFC 4108).
        HardwareModuleName = "hardware-module-name",
        /// The serialNumber of a directoryName in the SAN, where TPM makers put it.
        DirectoryName = "directory-name",
    }
}

/// How a maker's certificates are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Maker {
    /// The maker's roots or issuing authorities, in PEM one after the other.
    pub anchors: String,
    /// Where the serial number stands.
    #[serde(default = "subject")]
    #[schema(default = "subject")]
    pub place: SerialPlace,
    /// For `common-name`: the text around the serial number, `*` where it stands.
    #[serde(default = "star")]
    #[schema(default = "*", max_length = 128)]
    pub pattern: String,
    /// The model that all of them are, empty where the maker does not say.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub model: String,
    /// Serial numbers that may come in; `null` lets all of the maker's in.
    #[serde(default)]
    pub allow: Option<Vec<String>>,
}

const fn subject() -> SerialPlace {
    SerialPlace::Subject
}

fn star() -> String {
    "*".to_owned()
}

/// A door of the realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorView {
    /// Its name; of a maker door also the `maker` of its devices.
    pub name: String,
    /// What must be shown.
    pub kind: DoorKind,
    /// A closed door refuses everybody.
    pub open: bool,
    /// Groups that its devices get when they first join.
    pub group: Vec<String>,
    /// The certificate profile of its leaves.
    pub profile: String,
    /// What an identity that came in here is worth at most.
    pub assurance: Assurance,
    /// Whether the request must be bound to its TLS connection (RFC 9266).
    pub binding: bool,
    /// The key of the ledger whose receipt of the shown certificate is demanded to join, as a C2SP
    /// verifier key.
    #[serde(default)]
    pub receipt: Option<String>,
    /// Of a maker door: how its certificates are read.
    pub maker: Option<Maker>,
}

/// A door as it shall be; its name stands in the path.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorRequest {
    /// What must be shown.
    pub kind: DoorKind,
    /// Whether it is open.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub open: bool,
    /// Groups that its devices get when they first join.
    #[serde(default)]
    pub group: Vec<String>,
    /// The certificate profile of its leaves.
    #[serde(default = "standard")]
    #[schema(default = "standard")]
    pub profile: String,
    /// What an identity is worth at most; `certified` by default, `token` at a token door.
    #[serde(default)]
    pub assurance: Option<Assurance>,
    /// Whether the request must be bound to its TLS connection (RFC 9266).
    #[serde(default)]
    pub binding: bool,
    /// Demand, to join, the receipt of the certificate that is shown: `own` for the realm's own
    /// ledger (a birth door), or the C2SP verifier key of the maker's. Not of token doors.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub receipt: Option<String>,
    /// Of a maker door, and only there: how its certificates are read.
    #[serde(default)]
    pub maker: Option<Maker>,
}

const fn yes() -> bool {
    true
}

fn standard() -> String {
    "standard".to_owned()
}

/// A certificate profile: the shape of the leaves that a door gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// How long a leaf is good, in seconds.
    pub lifetime_s: u64,
    /// Keys that a leaf may have.
    pub keys: Vec<KeyKind>,
    /// The organization (O) in the subject.
    pub organization: Option<String>,
    /// Further extended key usages as dotted OIDs; clientAuth is always there.
    pub usages: Vec<String>,
    /// Whether the server may make the device's key.
    pub server_key: bool,
}

/// A profile as it shall be; its name stands in the path.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    /// How long a leaf is good, in seconds: 5 minutes to 5 years.
    #[serde(default = "month")]
    #[schema(minimum = 300, maximum = 158_112_000, default = 2_592_000)]
    pub lifetime_s: u64,
    /// Keys that a leaf may have; all where nothing is said.
    #[serde(default = "all_keys")]
    #[schema(min_items = 1)]
    pub keys: Vec<KeyKind>,
    /// The organization (O) in the subject.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub organization: Option<String>,
    /// Further extended key usages as dotted OIDs; serverAuth is refused.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub usages: Vec<String>,
    /// Whether the server may make the device's key, which lowers its assurance.
    #[serde(default)]
    pub server_key: bool,
}

const fn month() -> u64 {
    30 * 86_400
}

fn all_keys() -> Vec<KeyKind> {
    KeyKind::ALL.to_vec()
}
