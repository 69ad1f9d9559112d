//! May this birth certificate exist. A unit is born once: the same key with the same identifiers
//! gets the same certificate again, from anywhere and without alarm, and where the authority that
//! signed it was barred meanwhile a new one of the authority that signs now; another key for the
//! same serial number, or another serial number for the same key, is a second birth. Identifiers
//! are bound at birth: fewer in a repeat are fine, one that was not said then is refused and never
//! dropped in silence. Rework says so, with a reason.

#[cfg(test)]
mod tests;

use crate::issuer::Issuer;
use crate::issuer::Wanted;
use crate::judge::{Rules, good_standing, unreadable};
use crate::wire::shape::{hardware_module, urn};
use crate::wire::{is_printable, name, unencodable};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use identity::credential::{CredentialKind, Requester};
use identity::{
    Assurance, Credential, Csr, Defect, Device, DeviceId, Identifiers, KeyError, Outside,
    PublicKey, Refusal, RuleId, Serial, Standing, UnixTime,
};

/// A wish for a birth certificate, from a station or an operator.
#[derive(Debug)]
pub struct BirthAsk {
    /// The request, possession proven.
    pub csr: Csr,
    /// What the factory says of the unit.
    pub identifiers: Identifiers,
    /// Why a second birth of the same serial number is right: rework.
    pub replace: Option<String>,
    /// Whether that counts for a unit that has joined, too: an operator's word does, a station's
    /// does not, or a stolen station could become any device in the field.
    pub replaces_joined: bool,
    /// Who asks.
    pub requester: Requester,
}

/// What the registry knows about a birth.
#[derive(Clone, Debug)]
pub struct BirthFacts {
    /// The device that the CSR's key is known for, and the newest certificate of that key, of those
    /// that were not revoked where there is one.
    pub by_key: Option<(Device, Credential)>,
    /// The device with this model and serial number, and its birth certificate; one that joined by
    /// token has none.
    pub by_serial: Option<(Device, Option<Credential>)>,
    /// Whether the key was revoked as compromised.
    pub key_compromised: bool,
    /// Whether the authority that signed that certificate is barred.
    pub issuer_barred: bool,
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
    expected: Option<u64>,
    key: PublicKey,
    requester: Requester,
    replaces: Vec<Serial>,
    hw_type: Option<ObjectIdentifier>,
    organization: Option<String>,
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
    let identifiers = ask.identifiers.clone().check().map_err(unreadable)?;
    check_serial(&identifiers)?;
    if facts.key_compromised {
        return denied(RuleId::KEY_COMPROMISED);
    }
    if identifiers.contradiction(&ask.csr.claims()).is_some() {
        return denied(RuleId::OTHER_UNIT);
    }
    let (expected, device, replaces) = match (facts.by_key, facts.by_serial) {
        (Some((device, credential)), _) => match repeated(ask, &identifiers, &device, &credential)?
        {
            Repeat::Same if !facts.issuer_barred => {
                return Ok(BirthJudgement::Again(Box::new(credential)));
            }
            Repeat::Same => (Some(device.version), device, vec![credential.serial]),
            Repeat::Rework => {
                (Some(device.version), reworked(&device, identifiers), vec![credential.serial])
            }
        },
        (None, Some((device, old))) => {
            let replaces = replaced(ask, good_standing(&device)?, old.as_ref())?;
            (Some(device.version), reworked(&device, identifiers), replaces)
        }
        (None, None) => (None, unborn(facts.fresh, identifiers), Vec::new()),
    };
    Ok(BirthJudgement::Grant(Box::new(ApprovedBirth {
        expected,
        device: Device { version: device.version.saturating_add(1), ..device },
        key: ask.csr.key().clone(),
        requester: ask.requester,
        replaces,
        hw_type: rules.hw_type,
        organization: rules.organization.clone().filter(|o| !o.is_empty()),
    })))
}

/// IEEE 802.1AR §8.6 wants the serial number in the subject, and X.520 lets it be a PrintableString
/// of at most 64.
fn check_serial(identifiers: &Identifiers) -> Result<(), Refusal> {
    let sentence = if identifiers.serial.is_empty() {
        "a birth needs a serial number".to_owned()
    } else if !is_printable(&identifiers.serial) {
        let serial = &identifiers.serial;
        format!(
            "the serial number `{serial}` may have letters, digits, spaces and '()+,-./:=? only"
        )
    } else {
        return Ok(());
    };
    Err(Refusal::Malformed(Defect::new("serial", sentence)))
}

/// How a key comes again.
enum Repeat {
    /// With the identifiers of its birth, or fewer.
    Same,
    /// With others, for a reason.
    Rework,
}

/// The key was seen before. Only the birth of the same unit is no alarm.
fn repeated(
    ask: &BirthAsk,
    identifiers: &Identifiers,
    device: &Device,
    credential: &Credential,
) -> Result<Repeat, Refusal> {
    let known = &device.identifiers;
    let same_unit = (&known.model, &known.serial) == (&identifiers.model, &identifiers.serial);
    if credential.kind != CredentialKind::Birth || !same_unit {
        return denied(RuleId::KEY_BORN_TWICE);
    }
    let differs = match (known.contradiction(identifiers), known.addition(identifiers)) {
        (Some(_), _) => Some(RuleId::KEY_BORN_TWICE),
        (None, Some(_)) => Some(RuleId::BIRTH_DIFFERS),
        (None, None) => None,
    };
    let repeat = match differs {
        Some(rule) if !may_rework(ask, device) => return denied(rule),
        Some(_) => Repeat::Rework,
        None => Repeat::Same,
    };
    good_standing(device)?;
    if credential.revoked.is_some() {
        return denied(RuleId::REVOKED);
    }
    Ok(repeat)
}

/// The serial number was seen before, with another key. Rework replaces the birth certificate.
fn replaced(
    ask: &BirthAsk,
    device: &Device,
    old: Option<&Credential>,
) -> Result<Vec<Serial>, Refusal> {
    if !may_rework(ask, device) {
        return denied(RuleId::SECOND_BIRTH);
    }
    Ok(old.filter(|c| c.revoked.is_none()).map(|c| c.serial).into_iter().collect())
}

/// Rework has a reason; of a unit that has joined it counts only where more than a station asks.
fn may_rework(ask: &BirthAsk, device: &Device) -> bool {
    let has_reason = ask.replace.as_ref().is_some_and(|reason| !reason.trim().is_empty());
    has_reason && (device.enrolled.is_none() || ask.replaces_joined)
}

/// A unit after rework: what is said of it now counts whole, and its mark is answered.
fn reworked(device: &Device, identifiers: Identifiers) -> Device {
    Device { assurance: Assurance::Certified, mark: None, identifiers, ..device.clone() }
}

/// A device before its birth. Its moment is that of the signature.
fn unborn(id: DeviceId, identifiers: Identifiers) -> Device {
    Device {
        id,
        standing: Standing::Born,
        assurance: Assurance::Certified,
        identifiers,
        groups: Default::default(),
        version: 0,
        generation: 0,
        born: UnixTime::default(),
        enrolled: None,
        door: None,
        mark: None,
    }
}

fn denied<T>(rule: RuleId) -> Result<T, Refusal> {
    Err(Refusal::Denied(rule))
}

impl Issuer {
    /// Signs what was approved: an IEEE 802.1AR IDevID that ends with its issuer, which is never.
    ///
    /// # Errors
    /// The key's own.
    pub fn issue_birth(
        &self,
        approved: ApprovedBirth,
        outside: &mut Outside<'_>,
    ) -> Result<Born, KeyError> {
        let wanted = approved.wanted().map_err(unencodable)?;
        let credential = self.credential(wanted, outside)?;
        let ApprovedBirth { mut device, expected, replaces, .. } = approved;
        if expected.is_none() {
            device.born = outside.now;
        }
        Ok(Born { device, expected, credential, replaces })
    }
}

impl ApprovedBirth {
    /// The device as it shall be, but for the moment of its birth.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// No extended key usage: IEEE 802.1AR §8.10 leaves an IDevID open to every protocol.
    fn wanted(&self) -> der::Result<Wanted<'_>> {
        let serial = &self.device.identifiers.serial;
        let mut names = vec![urn(&self.device.id)?];
        if let Some(hw_type) = self.hw_type {
            names.push(hardware_module(hw_type, serial)?);
        }
        Ok(Wanted {
            kind: CredentialKind::Birth,
            device: &self.device,
            requester: self.requester,
            key: &self.key,
            subject: self.subject()?,
            names,
            usages: Vec::new(),
            not_after: UnixTime::NEVER_ENDS,
            closes: false,
        })
    }

    /// Organization, model and serial number: with the model, no two devices of a realm share a
    /// subject.
    fn subject(&self) -> der::Result<Vec<u8>> {
        let Identifiers { model, serial, .. } = &self.device.identifiers;
        let parts = [
            (rfc4519::O, self.organization.as_deref().unwrap_or_default()),
            (rfc4519::OU, model),
            (rfc4519::SERIAL_NUMBER, serial),
        ];
        let said: Vec<_> = parts.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        name(&said)
    }
}
