//! Births: a station sends what the line knows of each unit, and gets one answer for each.

use crate::word::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Births in one request: at 6,000 a second a batch is answered in a tenth of a second, and a lost
/// one costs little.
pub const BATCH_MAX: usize = 512;

/// One unit at the line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BirthRequest {
    /// The certification request (PKCS#10), PEM or base64 of the DER.
    pub csr: String,
    /// Serial number.
    #[schema(min_length = 1, max_length = 64)]
    pub serial: String,
    /// Model.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub model: String,
    /// MAC addresses.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub mac: Vec<String>,
    /// IMEI, 15 digits.
    #[serde(default)]
    pub imei: Option<String>,
    /// SHA-256 of the TPM's endorsement key, hex.
    #[serde(default)]
    pub ek_digest: Option<String>,
    /// Anything else worth keeping, at most 16 pairs.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Rework: why this serial number is born again with another key, or with identifiers that were
    /// not said at its birth. The earlier certificates are revoked.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub replace: Option<String>,
}

/// Births, up to 512, each answered on its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BirthBatch {
    /// The units.
    #[schema(min_items = 1, max_items = 512)]
    pub births: Vec<BirthRequest>,
}

words! {
    /// What became of a birth.
    BirthOutcome {
        /// A new birth certificate.
        Issued = "issued",
        /// The same key and identifiers, or more of them, were born before: the same certificate.
        Again = "again",
        /// No; `rule` and `reason` say why.
        Refused = "refused",
    }
}

/// The answer for one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BirthResult {
    /// Its place in the request, from 0.
    pub index: u32,
    /// What became of it.
    pub outcome: BirthOutcome,
    /// The device's UUID.
    pub device: Option<String>,
    /// The birth certificate and its issuers in PEM, without the root.
    pub certificate: Option<String>,
    /// The certificate's serial number in hex.
    pub certificate_serial: Option<String>,
    /// The name of the rule that refused.
    pub rule: Option<String>,
    /// Why it was refused and who must act.
    pub reason: Option<String>,
}

/// The answers, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BirthResults {
    /// One per unit.
    pub results: Vec<BirthResult>,
}
