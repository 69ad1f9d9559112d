//! What is done to many devices at once.

use crate::device::Standing;
use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Devices that one request names: a page, as of a list.
pub const NAMED_MAX: usize = 1000;
/// Devices that may be moved when nobody says how many: a slip in a selector then costs a morning
/// and not a fleet.
pub const AT_MOST_DEFAULT: u64 = 100;

words! {
    /// What is done to each of them.
    DeviceMove {
        /// Leaves on hold, until it is resumed.
        Suspend = "suspend",
        /// A suspension ends.
        Resume = "resume",
        /// Leaves on hold, until it is released.
        Quarantine = "quarantine",
        /// A quarantine ends; it joins again with a new key.
        Release = "release",
        /// Struck off for good; needs the role `admin`.
        Retire = "retire",
        /// Into a group.
        GroupAdd = "group-add",
        /// Out of a group.
        GroupRemove = "group-remove",
    }
}

/// What shall be done, and to which devices: those for which `where` holds, or those in `devices`.
///
/// Many are done in pages. The first request, without `after`, counts all that are selected, and is
/// refused where there are more than `at_most`. Each answer says with which `after` and `frozen` the
/// next request goes on. A device is one entry of the ledger; one that is there already is counted
/// and left alone, so that the whole may be begun again after a break.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovesRequest {
    /// What is done to each.
    #[serde(rename = "move")]
    pub wanted: DeviceMove,
    /// The group, of `group-add` and `group-remove`.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub group: Option<String>,
    /// A CEL expression over the members of a device; instead of `devices`.
    #[serde(default, rename = "where")]
    pub selector: Option<String>,
    /// Names of devices; instead of `where`.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub devices: Option<Vec<String>>,
    /// For the ledger; at most 256 characters.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub reason: Option<String>,
    /// Only counts, and shows ten of them.
    #[serde(default)]
    pub dry_run: bool,
    /// How many devices may be selected, on all pages together.
    #[serde(default = "at_most_default")]
    #[schema(minimum = 1, maximum = 100_000_000, default = 100)]
    pub at_most: u64,
    /// Devices that came later than this are left alone: the moment of the first request.
    #[serde(default)]
    pub frozen: Option<String>,
    /// Where to go on, as the answer before gave it as `next`.
    #[serde(default)]
    pub after: Option<String>,
}

const fn at_most_default() -> u64 {
    AT_MOST_DEFAULT
}

/// What was done in one page; of a dry run, what would be done in all.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MovesResult {
    /// How many are selected in all; in the first answer and of a dry run only.
    pub selected: Option<u64>,
    /// How many were moved, or would be.
    pub moved: u64,
    /// How many are there already.
    pub already: u64,
    /// How many were refused, or would be.
    pub refused: u64,
    /// Which were refused, and why; of a dry run the first ten.
    pub failures: Vec<MoveFailure>,
    /// Of a dry run, the first ten that are selected.
    pub sample: Vec<MoveSample>,
    /// What to send as `frozen` from now on.
    pub frozen: String,
    /// What to send as `after` to go on; `null` where nothing is left.
    pub next: Option<String>,
}

/// A device that stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveFailure {
    /// Its UUID, or the name that was given where it names no device.
    pub device: String,
    /// The rule that said no.
    pub rule: String,
    /// Why.
    pub reason: String,
}

/// A device that is selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveSample {
    /// Its UUID.
    pub id: String,
    /// Whose serial number it is.
    pub maker: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Where it stands.
    pub standing: Standing,
}
