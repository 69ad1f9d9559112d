//! May this birth certificate exist.

use crate::issuer::Issuer;
use crate::judge::Rules;
use identity::credential::Requester;
use identity::{Credential, Csr, Device, DeviceId, Identifiers, KeyError, Outside, Refusal, Serial};

/// A wish for a birth certificate, from a station or an operator.
#[derive(Debug)]
pub struct BirthAsk {
    /// The request, possession proven.
    pub csr: Csr,
    /// What the factory says of the unit.
    pub identifiers: Identifiers,
    /// Why a second birth of the same serial number is right: rework.
    pub replace: Option<String>,
    /// Who asks.
    pub requester: Requester,
}

/// What the registry knows about a birth.
#[derive(Clone, Debug)]
pub struct BirthFacts {
    /// The device that the CSR's key is known for, and the newest certificate of that key.
    pub by_key: Option<(Device, Credential)>,
    /// The device with this model and serial number, and its birth certificate; one that joined by token has none.
    pub by_serial: Option<(Device, Option<Credential>)>,
    /// Whether the key was revoked as compromised.
    pub key_compromised: bool,
    /// A UUID for a device that does not exist yet.
    pub fresh: DeviceId,
}

/// What [`judge`] says where it does not refuse.
#[derive(Clone, Debug)]
pub enum BirthJudgement {
    /// A repeated birth: the same certificate once more, and nothing to commit.
    Again(Box<Credential>),
    /// A birth certificate may be made.
    Grant(Box<ApprovedBirth>),
}

/// A birth certificate that may exist. Only [`judge`] makes one.
#[derive(Clone, Debug)]
pub struct ApprovedBirth {
    device: Device,
}

/// A birth certificate, and the row of its device as both shall be committed.
#[derive(Clone, Debug)]
pub struct Born {
    /// The device as it shall be.
    pub device: Device,
    /// The version that was decided on; `None` for a new device.
    pub expected: Option<u64>,
    /// The birth certificate.
    pub credential: Credential,
    /// Birth certificates that it takes the place of.
    pub replaces: Vec<Serial>,
}

/// Says whether a birth certificate may exist.
///
/// # Errors
/// Why not, and whose move is next.
pub fn judge(ask: &BirthAsk, facts: BirthFacts, rules: &Rules) -> Result<BirthJudgement, Refusal> {
    todo!()
}

impl Issuer {
    /// Signs what was approved.
    ///
    /// # Errors
    /// The key's own.
    pub fn issue_birth(
        &self,
        approved: ApprovedBirth,
        outside: &mut Outside<'_>,
    ) -> Result<Born, KeyError> {
        todo!()
    }
}
