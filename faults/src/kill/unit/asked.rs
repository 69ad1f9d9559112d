//! What a device, or an operator for it, asks for. It is asked for again, as it was, until there is
//! an answer.

use crate::kill::key::Key;
use api::{DeviceMove, path};
use identity::ask::Want;
use identity::{Reason, Serial, Standing};
use std::sync::Arc;

/// What was asked for.
pub(super) enum Asked {
    /// A birth certificate.
    Birth { csr: String },
    /// A join token.
    Token(String),
    /// A leaf.
    Leaf { key: Arc<Key>, csr: Vec<u8>, want: Want, fresh: bool },
    /// Another standing.
    Stand { wanted: DeviceMove, to: Standing, once: String },
    /// The end of its leaf, or a hold.
    Revoke { serial: Serial, reason: Reason, once: String },
    /// The end of a hold.
    Unhold { serial: Serial, once: String },
    /// A handshake with a copy of a leaf that is spent.
    Knock,
    /// The end of what is known of it.
    Erase(String),
}

impl Asked {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Birth { .. } => "the birth",
            Self::Token(_) => "a token",
            Self::Leaf { want: Want::Join, .. } => "the join",
            Self::Leaf { want: Want::Renew, .. } => "a renewal",
            Self::Stand { wanted, .. } => wanted.as_str(),
            Self::Revoke { reason: Reason::CertificateHold, .. } => "a hold",
            Self::Revoke { .. } => "a revocation",
            Self::Unhold { .. } => "the end of a hold",
            Self::Knock => "the clone",
            Self::Erase(_) => "the erasure",
        }
    }

    /// Where its device stands once this has happened, where that changes.
    pub(super) const fn leads_to(&self) -> Option<Standing> {
        match self {
            Self::Leaf { want: Want::Join, .. } => Some(Standing::Enrolled),
            Self::Stand { to, .. } => Some(*to),
            Self::Knock => Some(Standing::Quarantined),
            _ => None,
        }
    }

    pub(super) fn stand(wanted: DeviceMove, once: String) -> Self {
        let to = match wanted {
            DeviceMove::Suspend => Standing::Suspended,
            DeviceMove::Quarantine => Standing::Quarantined,
            DeviceMove::Retire => Standing::Retired,
            _ => Standing::Enrolled,
        };
        Self::Stand { wanted, to, once }
    }
}

/// Where a move of one device is asked for.
pub(super) const fn address(wanted: DeviceMove) -> &'static str {
    match wanted {
        DeviceMove::Suspend => path::DEVICE_SUSPEND,
        DeviceMove::Resume => path::DEVICE_RESUME,
        DeviceMove::Quarantine => path::DEVICE_QUARANTINE,
        DeviceMove::Release => path::DEVICE_RELEASE,
        DeviceMove::Retire => path::DEVICE_RETIRE,
        DeviceMove::GroupAdd | DeviceMove::GroupRemove => path::DEVICE_GROUP,
    }
}
