//! What a thief tries in the demo, and what comes of it: forgery, replay, a copied key, a stolen
//! device.

use super::scene::{Stage, Told, accepted, denied, refused};
use super::unit::{self, Unit};
use agent::{CallError, Heard, Line};
use api::{Reason, RevocationRequest, SettingRequest, path};
use enroll::est::client;
use identity::ask::Want;
use identity::{KeyKind, RealmName, RuleId};
use server::keys::NewKey;
use std::time::{Duration, Instant};

/// A session that is not cut within this time was not cut.
const CUT_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether it was.
const LOOK: Duration = Duration::from_micros(200);

impl Stage {
    /// A request whose signature is of another key than the one it names, and nobody at all.
    pub(super) async fn forgery(&mut self) -> Told {
        let unit = self.units.first().ok_or("no unit")?;
        let mut csr = unit::request(&NewKey::make(KeyKind::P256)?, None)?;
        if let Some(last) = csr.last_mut() {
            *last ^= 1;
        }
        let say = client::enroll(&RealmName::default_realm(), Want::Join, &csr, None);
        let heard = unit.say(&self.dialer, say).await?;
        let sentence = refused(&heard, 400, "not signed by its own key")?;
        let say = unit::ask(Want::Join, &NewKey::make(KeyKind::P256)?)?;
        let nobody = self.dialer.call(None, say).await?;
        refused(&nobody, 401, &RuleId::NO_CREDENTIAL.sentence())?;
        Ok((2, format!("a forged request is refused (“{sentence}”), and so is nobody")))
    }

    /// A request that another device captured.
    pub(super) async fn replay(&mut self) -> Told {
        let [first, second, ..] = self.units.as_slice() else {
            return Err("two units are needed".into());
        };
        let held = first.leaf.as_ref().ok_or("it has not joined yet")?;
        let captured = unit::ask(Want::Join, &held.key)?;
        let heard = second.say(&self.dialer, captured).await?;
        let sentence = denied(&heard, &RuleId::KEY_OF_ANOTHER)?;
        Ok((1, format!("a request that another device captured is refused (“{sentence}”)")))
    }

    /// A key that was copied once. Its device goes on to the next key, and the copy gives itself
    /// away when it knocks. In the field that takes the overlap; here the overlap is none.
    pub(super) async fn clone(&mut self) -> Told {
        let overlap = |value: Option<&str>| SettingRequest {
            key: "overlap_s".to_owned(),
            group: None,
            value: value.map(str::to_owned),
        };
        self.put(path::SETTINGS, &overlap(Some("0"))).await?;
        let dialer = self.dialer.clone();
        let unit = self.units.first_mut().ok_or("no unit")?;
        let name = format!("serial:{}", unit.serial);
        let copied = unit.copy()?;
        unit.renew(&dialer, true).await?;
        accepted(&unit.try_renewal(&dialer).await?)?;
        let sentence = denied(&copied.try_renewal(&dialer).await?, &RuleId::QUARANTINED)?;
        // Which of the two is the thief nobody can tell from outside: both are out.
        let unit = self.units.first().ok_or("no unit")?;
        denied(&unit.try_renewal(&dialer).await?, &RuleId::QUARANTINED)?;
        self.put(path::SETTINGS, &overlap(None)).await?;
        self.stand(path::DEVICE_RELEASE, &name, Some("demo")).await?;
        denied(&copied.try_renewal(&dialer).await?, &RuleId::SPENT)?;
        let unit = self.units.first_mut().ok_or("no unit")?;
        unit.join(&dialer).await?;
        accepted(&unit.try_renewal(&dialer).await?)?;
        Ok((
            1,
            format!(
                "a copied key gave itself away (“{sentence}”): both holders quarantined, the device \
                 back with a new key, the copy out for good"
            ),
        ))
    }

    /// A device that was stolen with a session open. Its key is revoked: the session ends, and
    /// whatever it shows is refused.
    pub(super) async fn theft(&mut self) -> Told {
        let unit = self.units.last().ok_or("no unit")?;
        let (mut line, certificate) = unit.open(&self.dialer).await?;
        accepted(&unit.ask_on(&mut line).await?)?;
        let began = Instant::now();
        let request = RevocationRequest { reason: Reason::KeyCompromise };
        self.post(&path::fill(path::CERTIFICATE_REVOKE, &[&certificate]), &request).await?;
        let cut = ended(&line, began).await?;
        let heard: Heard = unit.try_renewal(&self.dialer).await?;
        let sentence = denied(&heard, &RuleId::KEY_COMPROMISED)?;
        Ok((
            1,
            format!(
                "its open session was gone {:.0} ms after the order, and it is refused (“{sentence}”)",
                cut.as_secs_f64() * 1e3
            ),
        ))
    }
}

/// Waits for the end of a session; how long after `began` it came.
async fn ended(line: &Line, began: Instant) -> Result<Duration, CallError> {
    while line.is_open() {
        if began.elapsed() > CUT_WAIT {
            return Err("the session of a revoked key stayed open".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(began.elapsed())
}

impl Unit {
    /// What somebody has who copied the flash of this device just now.
    fn copy(&self) -> Result<Self, CallError> {
        let held = self.leaf.as_ref().ok_or("it has not joined yet")?;
        Ok(Self { serial: self.serial.clone(), birth: self.birth.twin(), leaf: Some(held.twin()) })
    }
}
