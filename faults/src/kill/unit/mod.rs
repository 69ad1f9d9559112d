//! One device: what it holds, what it asks for, and what it asked for without an answer.

mod asked;

use super::client::{self, Client, Desk, Miss};
use super::key::{Held, Key};
use crate::Failure;
use crate::dice::Dice;
use api::{DeviceMove, path};
use asked::Asked;
use enroll::est::client as est;
use identity::ask::Want;
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{Certificate, RealmName, Reason, Serial, SpkiHash, Standing};
use serde_json::{Value, json};
use std::sync::Arc;

/// How often a copy knocks until somebody is set aside for it.
const KNOCKS_MAX: usize = 20;

/// A certificate that was handed over, and so must never be lost.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// The key that it is for, where that has no other certificate.
    pub only_of: Option<SpkiHash>,
}

/// A join token that was handed over.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its public half.
    pub id: String,
    secret: String,
}

/// What became of one step.
pub enum Step {
    /// There was an answer.
    Answered(Option<Acknowledged>),
    /// There was none; the next step asks again.
    Unanswered,
}

/// A device.
pub struct Unit {
    /// Its serial number.
    pub serial: String,
    birth_key: Arc<Key>,
    birth: Option<Held>,
    leaf: Option<Held>,
    /// Whether it comes in by a token and not by a birth certificate.
    by_token: bool,
    /// The token that it has.
    pub token: Option<Token>,
    asked: Option<Asked>,
    /// Its leaf before it joined once more: spent, once the new one is used.
    copy: Option<Held>,
    /// Where it stands, as far as that was answered.
    pub standing: Standing,
    /// Whether its leaf is on hold by itself.
    held: bool,
    /// Certificates that were revoked for good, and why.
    pub ended: Vec<(Serial, Reason)>,
    /// Whether what is known of it was destroyed.
    pub erased: bool,
    /// Clones that were caught.
    pub caught: usize,
    /// Whether nothing is left that may be asked for.
    over: bool,
    /// Keys that it kept over a renewal, asked for at least.
    pub kept: Vec<SpkiHash>,
    /// Steps that were answered.
    pub steps: usize,
}

impl Unit {
    /// A device that nobody knows.
    ///
    /// # Errors
    /// Where it cannot make its key.
    pub fn new(serial: String, dice: &mut Dice) -> Result<Self, Failure> {
        Ok(Self {
            serial,
            birth_key: Key::make()?,
            birth: None,
            leaf: None,
            by_token: dice.once_in(4),
            token: None,
            asked: None,
            copy: None,
            standing: Standing::Born,
            held: false,
            ended: Vec::new(),
            erased: false,
            caught: 0,
            over: false,
            kept: Vec::new(),
            steps: 0,
        })
    }

    /// Whether something is unanswered.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it will ask for nothing more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Where it may stand instead, since that was asked for without an answer.
    #[must_use]
    pub fn may_stand(&self) -> Option<Standing> {
        self.asked.as_ref()?.leads_to()
    }

    /// Whether its erasure was asked for without an answer.
    #[must_use]
    pub const fn may_be_erased(&self) -> bool {
        matches!(self.asked, Some(Asked::Erase(_)))
    }

    /// Its leaf, and whether that is on hold by itself.
    #[must_use]
    pub fn leaf(&self) -> Option<(Serial, bool)> {
        Some((self.leaf.as_ref()?.serial()?, self.held))
    }

    /// The device, as its leaf or its birth certificate names it.
    #[must_use]
    pub fn device(&self) -> Option<identity::DeviceId> {
        self.leaf.as_ref().or(self.birth.as_ref())?.certificate.device()
    }

    /// Asks for the next thing, or for the same again.
    ///
    /// # Errors
    /// Where it is refused: all that is asked for here must be granted.
    pub async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<Step, Failure> {
        let again = self.asked.is_some();
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => self.wish(dice)?,
        };
        let answer = self.ask(&asked, client, desk).await;
        match answer {
            Ok(acknowledged) => {
                self.steps += 1;
                Ok(Step::Answered(acknowledged))
            }
            Err(miss) => {
                let which = if again { "the retry of " } else { "" };
                miss.unanswered(&format!("{which}{} of {}", asked.name(), self.serial))?;
                self.asked = Some(asked);
                Ok(Step::Unanswered)
            }
        }
    }

    fn wish(&mut self, dice: &mut Dice) -> Result<Asked, Failure> {
        let once = format!("{:016x}", dice.draw());
        let moved = |wanted| Ok(Asked::stand(wanted, once.clone()));
        match self.standing {
            Standing::Retired => return Ok(Asked::Erase(once)),
            Standing::Quarantined => return moved(DeviceMove::Release),
            // Only with a birth certificate does it come back from a quarantine.
            Standing::Suspended if !self.by_token && dice.once_in(6) => {
                return moved(DeviceMove::Quarantine);
            }
            Standing::Suspended => return moved(DeviceMove::Resume),
            Standing::Born | Standing::Enrolled => {}
        }
        Ok(match (&self.birth, &self.token, &self.leaf) {
            (None, None, None) if self.by_token => Asked::Token(once),
            (None, None, None) => {
                let csr = self.birth_key.request(Some(&self.serial))?;
                Asked::Birth { csr: identity::text::base64(&csr) }
            }
            (_, _, None) => self.join()?,
            (_, _, Some(leaf)) if self.held => {
                Asked::Unhold { serial: leaf.serial().ok_or("no serial")?, once }
            }
            _ if self.copy.is_some() => Asked::Knock,
            (_, _, Some(leaf)) => self.live(&leaf.clone(), dice, once)?,
        })
    }

    fn join(&self) -> Result<Asked, Failure> {
        let key = Key::make()?;
        let csr = key.request(self.by_token.then_some(&self.serial))?;
        Ok(Asked::Leaf { key, csr, want: Want::Join, fresh: true })
    }

    /// What may happen to an enrolled device: it renews mostly.
    fn live(&mut self, leaf: &Held, dice: &mut Dice, once: String) -> Result<Asked, Failure> {
        let serial = leaf.serial().ok_or("no serial")?;
        Ok(match dice.below(20) {
            0 | 1 => Asked::stand(DeviceMove::Suspend, once),
            2 | 3 => Asked::Revoke { serial, reason: Reason::CertificateHold, once },
            4 => Asked::stand(DeviceMove::Retire, once),
            5 if !self.by_token => Asked::stand(DeviceMove::Quarantine, once),
            6 if !self.by_token => {
                let reasons =
                    [Reason::KeyCompromise, Reason::Superseded, Reason::AffiliationChanged];
                Asked::Revoke { serial, reason: reasons[dice.below(reasons.len())], once }
            }
            7 | 8 if !self.by_token => self.join()?,
            _ => {
                let fresh = !dice.once_in(3);
                let key = if fresh { Key::make()? } else { leaf.key.clone() };
                self.kept.extend((!fresh).then(|| key.hash()));
                Asked::Leaf { csr: key.request(None)?, key, want: Want::Renew, fresh }
            }
        })
    }

    async fn ask(
        &mut self,
        asked: &Asked,
        client: &Client,
        desk: &mut Desk,
    ) -> Result<Option<Acknowledged>, Miss> {
        match asked {
            Asked::Birth { csr } => self.be_born(csr, client, desk).await.map(Some),
            Asked::Token(once) => {
                let body = json!({ "uses": 1, "ttl_s": 86_400 });
                let made = client.post(desk, path::TOKENS.to_owned(), &body, once).await?;
                let (id, secret) = (text(&made, "id")?, text(&made, "secret")?);
                self.token = Some(Token { id, secret });
                Ok(None)
            }
            Asked::Leaf { key, csr, want, fresh } => {
                self.be_leafed((key, csr), (*want, *fresh), client).await.map(Some)
            }
            Asked::Stand { wanted, to, once } => {
                let at = path::fill(asked::address(*wanted), &[&self.name()]);
                client.post(desk, at, &json!({ "reason": "faults" }), once).await?;
                self.stands(*wanted, *to);
                Ok(None)
            }
            Asked::Revoke { serial, reason, once } => {
                let at = path::fill(path::CERTIFICATE_REVOKE, &[&format!("cert:{serial}")]);
                client.post(desk, at, &json!({ "reason": reason.as_str() }), once).await?;
                self.revoked(*serial, *reason);
                Ok(None)
            }
            Asked::Unhold { serial, once } => {
                let at = path::fill(path::CERTIFICATE_RELEASE, &[&format!("cert:{serial}")]);
                client.post(desk, at, &json!({}), once).await?;
                self.held = false;
                Ok(None)
            }
            Asked::Knock => {
                self.knock(client, desk).await?;
                (self.standing, self.copy) = (Standing::Quarantined, None);
                self.caught += 1;
                Ok(None)
            }
            Asked::Erase(once) => {
                let at = path::fill(path::DEVICE_ERASE, &[&self.name()]);
                client.post(desk, at, &json!({}), once).await?;
                (self.erased, self.over) = (true, true);
                Ok(None)
            }
        }
    }

    /// A leaf, by what the unit was born with or by the leaf that it has.
    async fn be_leafed(
        &mut self,
        (key, csr): (&Arc<Key>, &[u8]),
        (want, fresh): (Want, bool),
        client: &Client,
    ) -> Result<Acknowledged, Miss> {
        if let (Want::Join, Some(leaf)) = (want, &self.leaf) {
            // A leaf that nobody used is revoked at once, and a copy of it proves nothing.
            let contact = est::cacerts(&RealmName::default_realm());
            client.say(Some(&leaf.identity()), contact).await?;
        }
        let say = est::enroll(&RealmName::default_realm(), want, csr, self.shown().as_ref());
        let who = match want {
            Want::Join => self.birth.as_ref(),
            Want::Renew => self.leaf.as_ref(),
        };
        let heard = client.say(who.map(Held::identity).as_ref(), say).await?;
        let certificate = client::leaf(&heard)?;
        let acknowledged = acknowledged(&certificate, fresh.then(|| key.hash()))?;
        let before = self.leaf.replace(Held { key: key.clone(), certificate });
        if want == Want::Join {
            self.standing = Standing::Enrolled;
            self.copy = before;
        }
        Ok(acknowledged)
    }

    fn name(&self) -> String {
        self.device().map(|id| id.to_string()).unwrap_or_default()
    }

    /// It was moved, and its leaves went with it.
    fn stands(&mut self, wanted: DeviceMove, to: Standing) {
        self.standing = to;
        let reason = match wanted {
            DeviceMove::Release => Reason::Superseded,
            DeviceMove::Retire => Reason::CessationOfOperation,
            _ => return,
        };
        self.copy = None;
        self.ended.extend(self.leaf.as_ref().and_then(Held::serial).map(|leaf| (leaf, reason)));
        if wanted == DeviceMove::Release {
            self.leaf = None;
        }
        // Every other one that is retired is erased, too; a token's join would be told no more.
        self.over = to == Standing::Retired && (self.by_token || self.steps.is_multiple_of(2));
    }

    fn revoked(&mut self, serial: Serial, reason: Reason) {
        if reason == Reason::CertificateHold {
            self.held = true;
            return;
        }
        self.ended.push((serial, reason));
        (self.leaf, self.copy) = (None, None);
    }

    /// The device uses its new leaf, and then somebody comes with the one before.
    async fn knock(&self, client: &Client, desk: &mut Desk) -> Result<(), Miss> {
        let (Some(leaf), Some(copy)) = (&self.leaf, &self.copy) else { return Ok(()) };
        let contact = || est::cacerts(&RealmName::default_realm());
        for _ in 0..KNOCKS_MAX {
            let at = path::fill(path::DEVICE, &[&self.name()]);
            if client.get(desk, at).await?.get("standing") == Some(&json!("quarantined")) {
                return Ok(());
            }
            client.say(Some(&leaf.identity()), contact()).await?;
            // Who is cut hears no answer.
            let _cut = client.say(Some(&copy.identity()), contact()).await;
        }
        Err(ours("a spent leaf shook hands, and nobody was set aside"))
    }

    /// The token, for a first join; afterwards the leaf is enough.
    fn shown(&self) -> Option<ShownToken> {
        let token = self.token.as_ref().filter(|_| self.leaf.is_none())?;
        let (id, secret) = (TokenId::parse(&token.id)?, TokenSecret::parse(&token.secret)?);
        Some(ShownToken { id, secret })
    }

    async fn be_born(
        &mut self,
        csr: &str,
        client: &Client,
        desk: &mut Desk,
    ) -> Result<Acknowledged, Miss> {
        let body = json!({ "births": [{ "csr": csr, "serial": self.serial, "model": "faults" }] });
        let once = format!("birth-{}", self.serial);
        let answer = client.post(desk, path::BIRTHS.to_owned(), &body, &once).await?;
        let result = answer.pointer("/results/0").cloned().unwrap_or_default();
        let Some(pem) = result.get("certificate").and_then(Value::as_str) else {
            return Err(Miss::Refused(200, result.to_string()));
        };
        let chain = Certificate::parse_pem(pem, 4).map_err(|d| ours(d.sentence))?;
        let certificate = chain.into_iter().next().ok_or_else(|| ours("no certificate"))?;
        let acknowledged = acknowledged(&certificate, Some(self.birth_key.hash()))?;
        self.birth = Some(Held { key: self.birth_key.clone(), certificate });
        Ok(acknowledged)
    }
}

pub(super) fn acknowledged(
    of: &Certificate,
    only_of: Option<SpkiHash>,
) -> Result<Acknowledged, Miss> {
    let serial = of.serial().ok_or_else(|| ours("a certificate with a foreign serial number"))?;
    Ok(Acknowledged { serial, fingerprint: of.fingerprint(), only_of })
}

pub(super) fn text(value: &Value, name: &str) -> Result<String, Miss> {
    let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| ours(format!("an answer without `{name}`")))
}

pub(super) fn ours(why: impl ToString) -> Miss {
    Miss::Refused(0, why.to_string())
}
