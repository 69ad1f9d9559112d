//! The ledger: as people read it, as a verifier computes it again, and its head.

use crate::word::words;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

words! {
    /// How grave an event is, the mildest first.
    Severity {
        /// The daily life of a fleet.
        Info = "info",
        /// Somebody changed what holds, or what is rare.
        Notice = "notice",
        /// Something was refused or taken away: look when you have time.
        Warning = "warning",
        /// An identity is in doubt, or an authority ended: look now.
        Critical = "critical",
    }
}

/// An entry as people read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// Its number, from 0.
    pub index: u64,
    /// Whole hours since 1970, all that the public entry tells of time.
    pub hours: u64,
    /// When, as the realm's own record has it.
    pub at: Option<String>,
    /// The class, all that the public entry tells of what happened.
    pub class: String,
    /// The digest over salt and payload.
    pub digest: String,
    /// What happened; `null` where the payload was erased.
    pub verb: Option<String>,
    /// The number of the event, which never changes; `null` where the payload was erased.
    pub event: Option<u16>,
    /// How grave it is; `null` where the payload was erased.
    pub severity: Option<Severity>,
    /// The payload as JSON, octets in hex; `null` where it was erased.
    pub payload: Option<serde_json::Value>,
    /// That the payload is there and cannot be read: `ledger verify` says more. Then it is `null`
    /// here, as one that was erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

/// An entry as a verifier computes it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryRow {
    /// Its number, from 0.
    pub index: u64,
    /// The public entry: base64 of its CBOR.
    pub entry: String,
    /// Base64 of the payload's CBOR; `null` where it was erased.
    pub payload: Option<String>,
    /// Base64 of the salt; `null` where it was erased.
    pub salt: Option<String>,
    /// When it was decided, as lists of entries tell it. No digest is over it, but the entry has the
    /// hour that it must be in.
    #[serde(default)]
    pub at: Option<String>,
}

/// That the ledger only grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrowthView {
    /// The size of the earlier ledger.
    pub from: u64,
    /// The consistency proof (RFC 6962 §2.1.2), each hash in base64.
    pub proof: Vec<String>,
    /// The later ledger: its checkpoint, signed just now.
    pub checkpoint: String,
}

/// A witness of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WitnessView {
    /// What the operator calls it.
    pub name: String,
    /// Its submission prefix (C2SP tlog-witness).
    pub url: String,
    /// What it signs with, as a C2SP verifier key.
    pub key: String,
    /// The size that it cosigned last; `null` where it has not since this server began.
    pub cosigned_size: Option<u64>,
    /// When it did, by its own clock.
    pub cosigned_at: Option<String>,
    /// How many entries it has not seen.
    pub lag: Option<u64>,
    /// Why it does not cosign; `null` where it does.
    pub trouble: Option<String>,
}

/// A witness as it shall be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessRequest {
    /// Its submission prefix, `http://` or `https://`.
    #[schema(max_length = 1024)]
    pub url: String,
    /// What it signs with, as a C2SP verifier key.
    pub key: String,
}

/// Where the ledger stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeadView {
    /// Its origin, the first line of its checkpoints.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of its tree, hex.
    pub root: String,
    /// The newest signed checkpoint (C2SP tlog-checkpoint), which may be up to a second behind.
    pub checkpoint: Option<String>,
    /// The key that signs checkpoints, as a C2SP verifier key.
    pub verifier: Option<String>,
}
