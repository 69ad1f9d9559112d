//! The rungs of the ladder: each says what is now known, or which rule said no.

use super::{Facts, Rules};
use crate::recognize::Recognized;
use identity::ask::{Binding, KeySource, Want};
use identity::credential::CredentialKind;
use identity::door::{Door, DoorKind};
use identity::name::DeviceName;
use identity::token::Token;
use identity::{
    Ask, Credential, Device, Identifiers, Refusal, RuleId, Serial, SpkiHash, Standing, UnixTime,
};
use ledger::{Proven, Receipt, Trust, VerifierKey};

/// One ask with all that is known about it.
pub(super) struct Case<'a> {
    pub(super) ask: &'a Ask,
    pub(super) recognized: &'a Recognized,
    pub(super) facts: &'a Facts<'a>,
    pub(super) rules: &'a Rules,
    pub(super) now: UnixTime,
}

/// What was shown, with its record.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Birth(&'a Credential),
    Leaf(&'a Credential),
    Maker(&'a Identifiers),
    Token(&'a Token),
}

/// What the device is doing, whichever operation it called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Join,
    Renew,
}

fn denied<T>(rule: RuleId) -> Result<T, Refusal> {
    Err(Refusal::Denied(rule))
}

impl<'a> Case<'a> {
    /// The record of what was shown. A token's secret is compared first of all: who does not know
    /// it learns nothing.
    pub(super) fn source(&self) -> Result<Source<'a>, Refusal> {
        match self.recognized {
            Recognized::Birth { serial, spki, .. } => {
                self.record(CredentialKind::Birth, serial, spki).map(Source::Birth)
            }
            Recognized::Leaf { serial, spki, .. } => {
                self.record(CredentialKind::Leaf, serial, spki).map(Source::Leaf)
            }
            Recognized::Maker { identifiers, .. } => Ok(Source::Maker(identifiers)),
            Recognized::Token { id, digest } => match &self.facts.token {
                Some(t) if t.id == *id && t.digest == *digest && t.revoked.is_none() => {
                    Ok(Source::Token(t))
                }
                _ => denied(RuleId::TOKEN_REFUSED),
            },
        }
    }

    /// A certificate that our authority signed but the registry does not have was not issued by
    /// this realm.
    fn record(
        &self,
        kind: CredentialKind,
        serial: &Serial,
        spki: &SpkiHash,
    ) -> Result<&'a Credential, Refusal> {
        let (Some(record), Some(device)) = (&self.facts.shown, &self.facts.device) else {
            return denied(RuleId::UNKNOWN_CERTIFICATE);
        };
        let named = match self.recognized {
            Recognized::Birth { device, .. } | Recognized::Leaf { device, .. } => Some(device),
            Recognized::Maker { .. } | Recognized::Token { .. } => None,
        };
        let same = record.kind == kind && record.serial == *serial && record.spki == *spki;
        let whose = record.device == device.id && named == Some(&device.id);
        if same && whose { Ok(record) } else { denied(RuleId::UNKNOWN_CERTIFICATE) }
    }

    /// The device, in good standing; `None` where there is none yet, and never was.
    pub(super) fn standing(&self) -> Result<Option<&'a Device>, Refusal> {
        match &self.facts.device {
            Some(device) => good_standing(device).map(Some),
            None if self.facts.erased => denied(RuleId::RETIRED),
            None => Ok(None),
        }
    }

    /// The key that the leaf shall have, fit for it; `None` where the host makes one, and the CSR's
    /// says nothing (RFC 7030 §4.4.1).
    pub(super) fn key(&self) -> Result<Option<SpkiHash>, Refusal> {
        let (key, known) = (self.ask.csr.key(), &self.facts.key);
        if self.ask.key == KeySource::Server {
            let allowed = self.facts.profile.server_key;
            return if allowed { Ok(None) } else { denied(RuleId::SERVER_KEY) };
        }
        if known.compromised {
            return denied(RuleId::KEY_COMPROMISED);
        }
        if known.device.is_some() && known.device != self.facts.device.as_ref().map(|d| d.id) {
            return denied(RuleId::KEY_OF_ANOTHER);
        }
        if known.is_birth || self.birth_key() == Some(&key.hash()) {
            return denied(RuleId::KEY_OF_BIRTH);
        }
        if self.is_worn(&key.hash()) {
            let shown = |spki: &SpkiHash| *spki == key.hash();
            let of_shown = matches!(self.recognized, Recognized::Leaf { spki, .. } if shown(spki));
            return denied(if of_shown { RuleId::SPENT } else { RuleId::KEY_SPENT });
        }
        if !self.facts.profile.keys.contains(&key.kind()) {
            return denied(RuleId::KEY_KIND);
        }
        Ok(Some(key.hash()))
    }

    fn birth_key(&self) -> Option<&SpkiHash> {
        match self.recognized {
            Recognized::Birth { spki, .. } | Recognized::Maker { spki, .. } => Some(spki),
            Recognized::Leaf { .. } | Recognized::Token { .. } => None,
        }
    }

    /// Whether every leaf of this key is spent or was revoked for good. A release from quarantine
    /// revokes them all, and the device comes back only with a new key; a back-up older than the
    /// overlap comes back the same way.
    fn is_worn(&self, key: &SpkiHash) -> bool {
        let mut of_key = self.facts.leaves.iter().filter(|l| l.spki == *key).peekable();
        self.facts.key.worn || of_key.peek().is_some() && of_key.all(|l| l.is_worn(self.now))
    }

    /// Whether this is a join or a renewal, by what was shown and not by what was called: a live
    /// leaf renews, a birth certificate joins.
    pub(super) fn way(&self, source: &Source<'_>) -> Result<Way, Refusal> {
        match source {
            Source::Birth(record) if record.revoked.is_some() => denied(RuleId::REVOKED),
            Source::Leaf(record) => self.renewable(record),
            Source::Token(_) if self.ask.want == Want::Renew => denied(RuleId::NOT_ENROLLED),
            Source::Birth(_) | Source::Maker(_) | Source::Token(_) => Ok(Way::Join),
        }
    }

    /// A leaf renews while it is live; after its end only its device's last one does, where the
    /// device has no birth certificate to join again with, and only within the grace.
    fn renewable(&self, leaf: &Credential) -> Result<Way, Refusal> {
        if leaf.revoked.is_some() {
            return denied(RuleId::REVOKED);
        }
        if leaf.spent.is_some_and(|s| s <= self.now) {
            return denied(RuleId::SPENT);
        }
        if self.now <= leaf.not_after {
            return Ok(Way::Renew);
        }
        let lifetime_s = leaf.not_after.secs_since(leaf.issued);
        let grace_s = self.rules.renew_grace_s.unwrap_or(lifetime_s);
        let late = self.now > leaf.not_after.plus_secs(grace_s);
        if self.facts.has_birth || late {
            return denied(RuleId::EXPIRED);
        }
        if leaf.spent.is_some() { denied(RuleId::SPENT) } else { Ok(Way::Renew) }
    }

    /// The door that is come in by. Closing one turns away whoever would come in, and nobody who is
    /// in: that is what standing is for.
    pub(super) fn door(&self, way: Way) -> Result<Option<&'a Door>, Refusal> {
        let door = self.facts.door;
        if way == Way::Join && !door.is_some_and(|d| d.open && self.fits(d)) {
            return denied(RuleId::DOOR_CLOSED);
        }
        // What the door demanded, and the profile that it gave, went with it: nothing else may be
        // put in its place by chance.
        if door.is_none() && self.facts.device.as_ref().is_some_and(|d| d.door.is_some()) {
            return denied(RuleId::DOOR_REMOVED);
        }
        if let Some(key) = door.filter(|_| way == Way::Join).and_then(|d| d.receipt.as_deref()) {
            self.receipted(key)?;
        }
        if door.is_some_and(|d| d.binding) && self.ask.binding != Binding::Held {
            return denied(RuleId::BINDING);
        }
        Ok(door)
    }

    /// The proof that the ledger with this key issued the certificate that was shown: what a thief of
    /// an authority's key cannot show for what was signed elsewhere.
    fn receipted(&self, key: &str) -> Result<Proven, Refusal> {
        let refused = || Refusal::Denied(RuleId::RECEIPT);
        let shown = &self.ask.shown;
        let (Some(holder), Some(text)) = (shown.chain.first(), &shown.receipt) else {
            return Err(refused());
        };
        let keys = [VerifierKey::parse(key).map_err(|_| refused())?];
        let receipt = Receipt::decode(text).map_err(|_| refused())?;
        let proven = receipt.verify(&Trust { keys: &keys, quorum: 0 }).map_err(|_| refused())?;
        let issued = proven.issued(&identity::key::sha256(&[holder.der()]));
        if issued { Ok(proven) } else { Err(refused()) }
    }

    fn fits(&self, door: &Door) -> bool {
        match (self.recognized, &door.kind) {
            (Recognized::Birth { .. }, DoorKind::Birth)
            | (Recognized::Token { .. }, DoorKind::Token) => true,
            (Recognized::Maker { door: name, .. }, DoorKind::Maker(_)) => *name == door.name,
            _ => false,
        }
    }

    /// The physical identifiers that the device has or shall have, contradicted by nothing that was
    /// shown or claimed.
    pub(super) fn identifiers(
        &self,
        source: &Source<'_>,
        device: Option<&Device>,
    ) -> Result<Identifiers, Refusal> {
        let claimed = self.ask.csr.claims().check().map_err(unreadable)?;
        let shown = match source {
            // Maker and model are the door's word for its devices and not the certificate's: a
            // device that is known by its key keeps those that it came with.
            Source::Maker(identifiers) => match device {
                Some(_) => Identifiers { model: String::new(), ..(*identifiers).clone() },
                None => (*identifiers).clone(),
            },
            Source::Token(token) => self.vouched(token, device, &claimed)?,
            Source::Birth(_) | Source::Leaf(_) => Identifiers::default(),
        };
        let bound = device.map_or(&shown, |d| &d.identifiers);
        if [&shown, &claimed].into_iter().any(|said| bound.contradiction(said).is_some())
            || shown.contradiction(&claimed).is_some()
        {
            return denied(RuleId::CONTRADICTION);
        }
        Ok(bound.clone())
    }

    /// What a token vouches for. With a serial number it is for that device alone, which may exist;
    /// without one it makes a device and never attaches to one, unless it is the one that it has
    /// just made, answering a retry.
    fn vouched(
        &self,
        token: &Token,
        device: Option<&Device>,
        claimed: &Identifiers,
    ) -> Result<Identifiers, Refusal> {
        let Some(serial) = &token.serial else {
            let made_here = self.unused_answer().is_some();
            if device.is_some_and(|d| self.is_of_another(d, claimed)) {
                return denied(RuleId::KEY_OF_ANOTHER);
            }
            return match device {
                Some(_) if !made_here => denied(RuleId::TOKEN_OTHER_SERIAL),
                _ => Ok(claimed.clone()),
            };
        };
        if self.facts.namesakes && device.is_none() {
            return denied(RuleId::TOKEN_AMBIGUOUS);
        }
        let (of, named) = named(serial);
        let other_claim = !claimed.serial.is_empty() && claimed.serial != named.serial;
        let other_device = device.map(|d| &d.identifiers).is_some_and(|i| {
            let elsewhere = of && (&i.maker, &i.model) != (&named.maker, &named.model);
            i.serial != named.serial || elsewhere
        });
        if other_claim || other_device {
            return denied(RuleId::TOKEN_OTHER_SERIAL);
        }
        Ok(named)
    }

    /// Whether the CSR's key is this device's, and the CSR names another one.
    fn is_of_another(&self, device: &Device, claimed: &Identifiers) -> bool {
        let names_another =
            !claimed.serial.is_empty() && claimed.serial != device.identifiers.serial;
        self.facts.key.device == Some(device.id) && names_another
    }

    /// The certificate that a lost answer carried: same requester, same key, unused, still good,
    /// within the hour.
    pub(super) fn answered(&self) -> Option<&'a Credential> {
        let leaf = self.unused_answer()?;
        let recent = self.now.secs_since(leaf.issued) <= self.rules.retry_s;
        (recent && leaf.is_live(self.now)).then_some(leaf)
    }

    /// The newest leaf that this requester got for this key and has not used. A key that the host
    /// made is gone with its answer, so there is none.
    fn unused_answer(&self) -> Option<&'a Credential> {
        if self.ask.key == KeySource::Server {
            return None;
        }
        let (requester, key) = (self.recognized.requester(), self.ask.csr.key().hash());
        self.facts
            .leaves
            .iter()
            .filter(|l| l.requester == requester && l.spki == key && l.used.is_none())
            .max_by_key(|l| l.generation)
    }

    /// The token of which one use is spent by this grant.
    pub(super) fn token_left<'t>(&self, source: &Source<'t>) -> Result<Option<&'t Token>, Refusal> {
        match source {
            Source::Token(t) if t.uses_left > 0 && self.now <= t.ends => Ok(Some(t)),
            Source::Token(_) => denied(RuleId::TOKEN_REFUSED),
            _ => Ok(None),
        }
    }
}

/// A device that may have certificates.
pub(crate) fn good_standing(device: &Device) -> Result<&Device, Refusal> {
    match device.standing {
        Standing::Born | Standing::Enrolled => Ok(device),
        Standing::Quarantined => denied(RuleId::QUARANTINED),
        Standing::Suspended => denied(RuleId::SUSPENDED),
        Standing::Retired => denied(RuleId::RETIRED),
    }
}

/// Identifiers that break their bounds are the sender's to mend.
pub(crate) fn unreadable(sentence: String) -> Refusal {
    Refusal::Malformed(identity::Defect::new("identifiers", sentence))
}

/// `S` or `MAKER/MODEL/S`, and whether maker and model were said.
fn named(serial: &str) -> (bool, Identifiers) {
    match DeviceName::parse(&format!("serial:{serial}")) {
        Some(DeviceName::Serial { of: Some((maker, model)), serial }) => {
            (true, Identifiers { maker, model, serial, ..Identifiers::default() })
        }
        _ => (false, Identifiers { serial: serial.to_owned(), ..Identifiers::default() }),
    }
}
