//! Where a device may go from where it stands, and what becomes of its certificates on the way: one
//! table, whoever moves it (an operator, or what watches for clones).

use identity::{Device, Reason, RuleId, Standing};
use ledger::Payload;
use registry::{Change, Fate};

/// What is done to a device's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Put aside by an operator, until it is resumed.
    Suspend,
    /// A suspension ends, and its leaves are good again.
    Resume,
    /// Put aside because its identity is in doubt, until it is released.
    Quarantine,
    /// A quarantine ends, and with it every key that the device had.
    Release,
    /// Struck off for good.
    Retire,
}

/// A move that was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the device shall stand.
    pub to: Standing,
    /// What becomes of its certificates.
    pub fate: Fate,
    /// What the entry says was done.
    pub verb: &'static str,
}

impl Move {
    /// Every one of them.
    pub const ALL: &'static [Self] =
        &[Self::Suspend, Self::Resume, Self::Quarantine, Self::Release, Self::Retire];

    /// The verb of its entry.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Suspend => "device.suspended",
            Self::Resume => "device.resumed",
            Self::Quarantine => "device.quarantined",
            Self::Release => "device.released",
            Self::Retire => "device.retired",
        }
    }

    /// The step that this is for a device; `None` where it stands there already, and nothing is to
    /// be done.
    ///
    /// # Errors
    /// The rule that keeps the device where it is.
    pub const fn of(self, device: &Device) -> Result<Option<Step>, RuleId> {
        let before = if device.enrolled.is_some() { Standing::Enrolled } else { Standing::Born };
        self.from(device.standing, before)
    }

    /// The table. `before` is where the device stands when nothing is held against it.
    const fn from(self, from: Standing, before: Standing) -> Result<Option<Step>, RuleId> {
        use Standing::{Born, Enrolled, Quarantined, Retired, Suspended};
        let (to, fate) = match (self, from) {
            (Self::Suspend, Born | Enrolled) => (Suspended, Fate::Hold),
            (Self::Resume, Suspended) => (before, Fate::Unhold),
            // A suspended device may turn out to be copied: from then on it needs a new key.
            (Self::Quarantine, Born | Enrolled | Suspended) => (Quarantined, Fate::Hold),
            // Its keys may be in two hands: none of them comes back.
            (Self::Release, Quarantined) => (before, Fate::Revoke(Reason::Superseded)),
            (Self::Retire, Born | Enrolled | Quarantined | Suspended) => {
                (Retired, Fate::Revoke(Reason::CessationOfOperation))
            }
            (Self::Suspend, Suspended)
            | (Self::Resume | Self::Release, Born | Enrolled)
            | (Self::Quarantine, Quarantined)
            | (Self::Retire, Retired) => return Ok(None),
            // `resume` would lift a suspension, and with it the demand for a new key.
            (Self::Suspend | Self::Resume, Quarantined) => return Err(RuleId::QUARANTINED),
            (Self::Release, Suspended) => return Err(RuleId::SUSPENDED),
            (Self::Suspend | Self::Resume | Self::Quarantine | Self::Release, Retired) => {
                return Err(RuleId::RETIRED);
            }
        };
        Ok(Some(Step { to, fate, verb: self.verb() }))
    }
}

impl Step {
    /// The change of that device, decided on the version that it has.
    #[must_use]
    pub const fn change(self, device: &Device) -> Change {
        Change::Stood {
            device: device.id,
            expected: device.version,
            to: self.to,
            credentials: self.fate,
        }
    }

    /// What the entry says of the step, behind who did it.
    #[must_use]
    pub fn told(self, device: &Device, payload: Payload, reason: Option<&str>) -> Payload {
        payload
            .with("device", device.id.to_string())
            .with("was", device.standing.as_str())
            .with("standing", self.to.as_str())
            .with_some("reason", reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Born, Enrolled, Quarantined, Retired, Suspended};

    /// Where each move leads from each standing of a device that has joined: a standing, `stays`,
    /// or the rule that refuses. Columns as in [`Move::ALL`].
    const TABLE: [(Standing, [&str; 5]); 5] = [
        (Born, ["suspended", "stays", "quarantined", "stays", "retired"]),
        (Enrolled, ["suspended", "stays", "quarantined", "stays", "retired"]),
        (Quarantined, ["!quarantined", "!quarantined", "stays", "enrolled", "retired"]),
        (Suspended, ["stays", "enrolled", "quarantined", "!suspended", "retired"]),
        (Retired, ["!retired", "!retired", "!retired", "!retired", "stays"]),
    ];

    #[test]
    fn every_move_from_every_standing_leads_where_the_table_says() {
        assert_eq!(TABLE.map(|(from, _)| from), *Standing::ALL, "every standing once, in order");
        for (from, row) in TABLE {
            for (wanted, expected) in Move::ALL.iter().zip(row) {
                let said = match wanted.from(from, Enrolled) {
                    Ok(Some(step)) => step.to.as_str().to_owned(),
                    Ok(None) => "stays".to_owned(),
                    Err(rule) => format!("!{rule}"),
                };
                assert_eq!(said, expected, "{wanted:?} from {from}");
            }
        }
    }

    #[test]
    fn a_device_that_never_joined_comes_back_as_born() {
        for (wanted, from) in [(Move::Resume, Suspended), (Move::Release, Quarantined)] {
            assert_eq!(wanted.from(from, Born).unwrap().unwrap().to, Born);
        }
    }

    #[test]
    fn only_a_step_back_into_good_standing_gives_certificates_back_and_a_release_gives_none() {
        for (from, _) in TABLE {
            for wanted in Move::ALL {
                let Ok(Some(step)) = wanted.from(from, Enrolled) else { continue };
                let fate = match wanted {
                    Move::Suspend | Move::Quarantine => Fate::Hold,
                    Move::Resume => Fate::Unhold,
                    Move::Release => Fate::Revoke(Reason::Superseded),
                    Move::Retire => Fate::Revoke(Reason::CessationOfOperation),
                };
                assert_eq!(step.fate, fate, "{wanted:?} from {from}");
                assert_eq!(step.verb, wanted.verb());
            }
        }
    }
}
