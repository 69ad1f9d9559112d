//! A device as operators see it, and what they may do with it.

use crate::certificate::CertificateView;
use crate::word::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

words! {
    /// Where a device stands.
    Standing {
        /// Has a birth certificate, never joined.
        Born = "born",
        /// Has joined.
        Enrolled = "enrolled",
        /// Set aside automatically, or by hand; reversible.
        Quarantined = "quarantined",
        /// Set aside by an operator; reversible.
        Suspended = "suspended",
        /// Struck off for good.
        Retired = "retired",
    }
}

words! {
    /// How much an identity is worth, the least first.
    Assurance {
        /// A serial number said so.
        Claimed = "claimed",
        /// Someone vouched once.
        Token = "token",
        /// Birth certificate, software key.
        Certified = "certified",
        /// Key attested in a TPM or secure element.
        Hardware = "hardware",
        /// Hardware, and fresh evidence of what booted.
        Measured = "measured",
    }
}

/// A device. The members are also what `--where` speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Its UUID (RFC 9562 version 7).
    pub id: String,
    /// Where it stands.
    pub standing: Standing,
    /// What its identity is worth.
    pub assurance: Assurance,
    /// Whose serial number it is: empty for the realm's own births, else the name of a maker door.
    pub maker: String,
    /// Model, empty where none was said.
    pub model: String,
    /// Serial number, empty where none was said.
    pub serial: String,
    /// MAC addresses, lower case with colons.
    pub mac: Vec<String>,
    /// IMEI, 15 digits.
    pub imei: Option<String>,
    /// SHA-256 of the TPM's endorsement key.
    pub ek_digest: Option<String>,
    /// Anything else that the factory said.
    pub meta: BTreeMap<String, String>,
    /// The groups that it is in.
    pub group: Vec<String>,
    /// When it was born here, or first joined.
    pub born: String,
    /// When it first joined.
    pub enrolled: Option<String>,
    /// The door by which it last joined, and by which its renewals come back; `null` before the
    /// first join.
    #[serde(default)]
    pub door: Option<String>,
    /// The generation of its newest leaf, 0 before the first.
    pub generation: u32,
    /// The last contradiction, second birth or clone that named it, until an operator takes it away.
    pub mark: Option<String>,
    /// Counts changes of this row; also the ETag of the device.
    pub version: u64,
    /// Its newest leaf; without the PEM in a list.
    pub leaf: Option<CertificateView>,
    /// What it last said of itself; of one device only, and never in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<ReportView>,
    /// Its client keeps its key over renewals, so a copied key is found late or never.
    pub weak_detection: bool,
    /// The last time that two parties were found to hold its identity; not in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<CloneView>,
}

/// Two parties that were found to hold one identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloneView {
    /// When.
    pub at: String,
    /// The number of the entry that tells of it.
    pub entry: u64,
    /// What was done: `alarm`, `hold-newcomer` or `quarantine`.
    pub response: String,
    /// What the realm wanted done, where its bound for an hour made that an alarm.
    pub wanted: Option<String>,
    /// Who came with the leaf that is spent.
    pub newcomer: HolderView,
    /// Who uses the newest leaf; `null` where nobody does.
    pub present: Option<HolderView>,
}

/// One of two parties that hold one identity. Which of them is the device, only a person can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HolderView {
    /// The serial number of its leaf, in hex.
    pub serial: String,
    /// The generation of its leaf.
    pub generation: u64,
    /// Its newest contact at that moment.
    pub last: Option<ContactView>,
    /// The first use of its leaf.
    pub first: Option<ContactView>,
}

/// One handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContactView {
    /// The address that it came from.
    pub from: String,
    /// When.
    pub at: String,
    /// What the TLS hello looked like, 16 hex digits: the same for devices of one make.
    pub print: Option<String>,
}

/// What a device last said of itself. Nobody vouches for it; what contradicts the birth was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    /// When.
    pub at: String,
    /// The version of what it runs.
    pub firmware: Option<String>,
    /// Model, empty where none was said.
    pub model: String,
    /// Serial number, empty where none was said.
    pub serial: String,
    /// MAC addresses.
    pub mac: Vec<String>,
    /// IMEI.
    pub imei: Option<String>,
    /// SHA-256 of the TPM's endorsement key.
    pub ek_digest: Option<String>,
}

/// Why a device is suspended, resumed, quarantined, released or retired.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StandingRequest {
    /// For the ledger; at most 256 characters.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub reason: Option<String>,
}

/// Why a mark is taken off a device.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnmarkRequest {
    /// What it turned out to be, for the ledger; at most 256 characters.
    #[schema(min_length = 1, max_length = 256)]
    pub reason: String,
}

/// What was erased of a device, and what remains.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EraseResult {
    /// Its UUID, which stays and is never given again.
    pub device: String,
    /// When it was erased.
    pub erased: String,
    /// Whether that was before this request.
    pub already: bool,
    /// How many entries lost their payload and salt in this request.
    pub entries: u64,
    /// What is not erased, a sentence each.
    pub remains: Vec<String>,
}

/// A group and how many devices are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// How many devices are in it.
    pub devices: u64,
}
