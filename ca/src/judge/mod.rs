//! May this leaf exist. Every sentence about joining, renewing and coming back is decided here,
//! each by one rule.
//!
//! The order of the rungs is part of the promise: a proof that does not hold learns nothing; then
//! the standing of the device, since no credential brings a suspended, quarantined or retired one
//! back in; then the key, what was shown, the door, the identifiers; then the retry, which gets the
//! answer that was lost; and what is left is a grant. The rungs are in `rung`, and what a grant
//! says of leaf and device in `grant`.

mod grant;
mod rung;
#[cfg(test)]
mod tests;

use crate::recognize::Recognized;
use const_oid::ObjectIdentifier;
use identity::credential::Requester;
use identity::door::Door;
use identity::profile::Profile;
use identity::token::{Token, TokenId};
use identity::{Ask, Credential, Device, DeviceId, Refusal, RuleId, Serial, SpkiHash, UnixTime};
use rung::Case;
pub(crate) use rung::{good_standing, unreadable};

/// Says whether a leaf may exist.
///
/// # Errors
/// Why not, and whose move is next.
pub fn judge(
    ask: &Ask,
    recognized: &Recognized,
    facts: Facts<'_>,
    rules: &Rules,
    now: UnixTime,
) -> Result<Judgement, Refusal> {
    let case = Case { ask, recognized, facts: &facts, rules, now };
    let source = case.source()?;
    let device = case.standing()?;
    let key = case.key()?;
    let way = case.way(&source)?;
    let door = case.door(way)?;
    let identifiers = case.identifiers(&source, device)?;
    if let Some(leaf) = case.answered() {
        return Ok(Judgement::Again(Box::new(leaf.clone())));
    }
    let token = case.token_left(&source)?;
    Ok(Judgement::Grant(Box::new(case.grant(grant::Held {
        source,
        device,
        key,
        way,
        door,
        identifiers,
        token,
    }))))
}

/// A device that proved, with a live leaf, that it may speak. Only [`present`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// The device.
    pub device: &'a Device,
    /// The leaf that it showed.
    pub leaf: &'a Credential,
}

/// Whether what was shown lets a device speak of itself: its own leaf, on record, neither revoked,
/// spent nor ended, and the device in good standing.
///
/// # Errors
/// Why not, and whose move is next.
pub fn present<'a>(
    recognized: &Recognized,
    leaf: Option<&'a Credential>,
    device: Option<&'a Device>,
    now: UnixTime,
) -> Result<Present<'a>, Refusal> {
    let denied = |rule: RuleId| Err(Refusal::Denied(rule));
    let Recognized::Leaf { serial, device: named, spki } = recognized else {
        return denied(RuleId::NOT_ENROLLED);
    };
    let (Some(leaf), Some(device)) = (leaf, device) else {
        return denied(RuleId::UNKNOWN_CERTIFICATE);
    };
    let is_it = leaf.serial == *serial && leaf.spki == *spki && leaf.device == device.id;
    if !is_it || device.id != *named {
        return denied(RuleId::UNKNOWN_CERTIFICATE);
    }
    let device = good_standing(device)?;
    if leaf.revoked.is_some() {
        return denied(RuleId::REVOKED);
    }
    if leaf.spent.is_some_and(|spent| spent <= now) {
        return denied(RuleId::SPENT);
    }
    if leaf.not_after < now {
        return denied(RuleId::EXPIRED);
    }
    Ok(Present { device, leaf })
}

/// What the registry knows about the key of the CSR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The device that it is known for.
    pub device: Option<DeviceId>,
    /// Whether one of its certificates was revoked as compromised.
    pub compromised: bool,
    /// Whether a birth certificate has it.
    pub is_birth: bool,
    /// Whether it had leaves and each of them is spent or revoked for good, also those that are too
    /// old to be among [`Facts::leaves`].
    pub worn: bool,
}

/// What the registry knows about an ask, gathered by the host.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The door that is come in by: the birth door, the maker's, the token door; of a renewal the
    /// one that its device belongs to, or `None`.
    pub door: Option<&'a Door>,
    /// The profile of the leaf.
    pub profile: &'a Profile,
    /// The device that the ask resolves to: the one that the certificate names; of a maker's
    /// certificate the one that joined with its key before, whatever its door is called now, or
    /// else the one with its maker, model and serial number; of a token with a serial number
    /// the one with that, and of one without the one that the CSR's key is known for, or else the
    /// one whose serial number the CSR claims.
    pub device: Option<Device>,
    /// Whether the identifiers of a device that does not exist were those of one that was erased.
    pub erased: bool,
    /// The record of the certificate of ours that was shown.
    pub shown: Option<Credential>,
    /// Whether the device was ever given a birth certificate of ours, revoked or not.
    pub has_birth: bool,
    /// The leaves of the device: the 8 newest, and all older ones of the CSR's key and of each key
    /// that has an unused one among them.
    pub leaves: Vec<Credential>,
    /// What is known of the CSR's key.
    pub key: KeyFacts,
    /// The record of the token that was shown.
    pub token: Option<Token>,
    /// Whether several devices have the serial number that the token names; `device` is then
    /// `None`, unless the CSR's key says which.
    pub namesakes: bool,
    /// A UUID for a device that does not exist yet.
    pub fresh: DeviceId,
}

/// What the realm has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a predecessor is good after its successor was first used. The host tells it to the
    /// registry.
    pub overlap_s: u64,
    /// How long after its end a leaf may be renewed by a device without a birth certificate; `None`
    /// is the lifetime that the leaf had.
    pub renew_grace_s: Option<u64>,
    /// How long a retry gets the same certificate.
    pub retry_s: u64,
    /// The maker's hwType, with which birth certificates carry a HardwareModuleName.
    pub hw_type: Option<ObjectIdentifier>,
    /// The organization (O) in birth certificates.
    pub organization: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            overlap_s: 86_400,
            renew_grace_s: None,
            retry_s: 3600,
            hw_type: None,
            organization: None,
        }
    }
}

/// What `judge` says where it does not refuse.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// A retry: the same certificate once more, and nothing to commit.
    Again(Box<Credential>),
    /// A new leaf may be made.
    Grant(Box<Approved>),
}

/// A leaf that may exist. Only [`judge`] makes one.
#[derive(Clone, Debug)]
pub struct Approved {
    pub(crate) device: Device,
    pub(crate) expected: Option<u64>,
    pub(crate) requester: Requester,
    /// The CSR's key; `None` where the host makes one.
    pub(crate) key: Option<SpkiHash>,
    pub(crate) closes: bool,
    pub(crate) supersedes: Vec<Serial>,
    pub(crate) token: Option<TokenId>,
    pub(crate) lifetime_s: u64,
    pub(crate) organization: Option<String>,
    pub(crate) usages: Vec<ObjectIdentifier>,
}

impl Approved {
    /// The device as it shall be.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }
}
