//! Several devices that are born and moved together, as an operator does with many.

use crate::Failure;
use crate::dice::Dice;
use crate::kill::client::{Client, Desk, Miss};
use crate::kill::key::Key;
use crate::kill::unit::{Acknowledged, acknowledged, ours};
use api::{DeviceMove, path};
use identity::{Certificate, DeviceId, GroupName, Standing};
use serde_json::{Value, json};
use std::sync::Arc;

/// Devices of a flock: a page of commits that share a sync, and little to check.
pub const SIZE: usize = 8;

/// What becomes of it, in order, and where its devices stand then: none of them ever joins.
const LIFE: [(DeviceMove, Standing); 6] = [
    (DeviceMove::GroupAdd, Standing::Born),
    (DeviceMove::Suspend, Standing::Suspended),
    (DeviceMove::Resume, Standing::Born),
    (DeviceMove::Quarantine, Standing::Quarantined),
    (DeviceMove::Release, Standing::Born),
    (DeviceMove::Retire, Standing::Retired),
];

/// Devices that are moved together.
pub struct Flock {
    name: String,
    keys: Vec<Arc<Key>>,
    /// Its devices, once they are born.
    pub devices: Vec<DeviceId>,
    /// Moves that were answered.
    moved: usize,
    asked: Option<(Value, String)>,
}

impl Flock {
    /// A flock that nobody knows.
    ///
    /// # Errors
    /// Where its keys cannot be made.
    pub fn new(name: String) -> Result<Self, Failure> {
        let keys = (0..SIZE).map(|_| Key::make()).collect::<Result<_, _>>()?;
        Ok(Self { name, keys, devices: Vec::new(), moved: 0, asked: None })
    }

    /// Its group, once all of its devices are in it for sure.
    #[must_use]
    pub fn group(&self) -> Option<GroupName> {
        GroupName::parse(&self.name).filter(|_| self.moved > 0)
    }

    /// Where each of its devices may stand.
    #[must_use]
    pub fn may_stand(&self) -> Vec<Standing> {
        let now = self.moved.checked_sub(1).map_or(Standing::Born, |last| LIFE[last].1);
        let next = LIFE.get(self.moved).filter(|_| self.waits()).map(|(_, to)| *to);
        [now].into_iter().chain(next).collect()
    }

    /// Whether something is unanswered.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it was struck off.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.moved == LIFE.len()
    }

    /// Asks for the next thing, or for the same again; `None` without an answer.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<Option<Vec<Acknowledged>>, Failure> {
        let again = self.asked.is_some();
        let (body, once) = match self.asked.take() {
            Some(asked) => asked,
            None => (self.wish(dice)?, format!("{:016x}", dice.draw())),
        };
        let born = !self.devices.is_empty();
        let at = if born { path::DEVICE_MOVES } else { path::BIRTHS };
        let answer = client.post(desk, at.to_owned(), &body, &once).await;
        let read = answer.and_then(|told| match born {
            false => self.bear(&told),
            true => self.count(&told).map(|()| Vec::new()),
        });
        match read {
            Ok(acknowledged) => Ok(Some(acknowledged)),
            Err(miss) => {
                let which = if again { "the retry of" } else { "a move of" };
                miss.unanswered(&format!("{which} {} ({body})", self.name))?;
                self.asked = Some((body, once));
                Ok(None)
            }
        }
    }

    fn wish(&self, dice: &mut Dice) -> Result<Value, Failure> {
        if self.devices.is_empty() {
            let births = self.keys.iter().enumerate().map(|(number, key)| {
                let serial = format!("{}-{number}", self.name);
                let csr = identity::text::base64(&key.request(Some(&serial))?);
                Ok(json!({ "csr": csr, "serial": serial, "model": "faults" }))
            });
            return Ok(json!({ "births": births.collect::<Result<Vec<_>, Failure>>()? }));
        }
        let wanted = LIFE[self.moved].0;
        let mut body = json!({ "move": wanted.as_str(), "reason": "faults" });
        if wanted == DeviceMove::GroupAdd {
            body["group"] = json!(self.name);
        }
        if wanted == DeviceMove::GroupAdd || dice.once_in(2) {
            let names: Vec<String> = self.devices.iter().map(ToString::to_string).collect();
            body["devices"] = json!(names);
        } else {
            body["where"] = json!(format!("group == \"{}\"", self.name));
        }
        Ok(body)
    }

    fn bear(&mut self, told: &Value) -> Result<Vec<Acknowledged>, Miss> {
        let mut all = Vec::new();
        for (number, key) in self.keys.iter().enumerate() {
            let pem = told.pointer(&format!("/results/{number}/certificate"));
            let pem = pem.and_then(Value::as_str).ok_or_else(|| ours(told))?;
            let chain = Certificate::parse_pem(pem, 4).map_err(|d| ours(d.sentence))?;
            let certificate = chain.first().ok_or_else(|| ours("no certificate"))?;
            let device = certificate.device().ok_or_else(|| ours("a birth without a device"))?;
            all.push(acknowledged(certificate, Some(key.hash()))?);
            self.devices.push(device);
        }
        Ok(all)
    }

    /// All of them are there now, and none was refused.
    fn count(&mut self, told: &Value) -> Result<(), Miss> {
        let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or_default();
        if number("moved") + number("already") != SIZE as u64 || number("refused") != 0 {
            return Err(ours(told));
        }
        self.moved += 1;
        Ok(())
    }
}
