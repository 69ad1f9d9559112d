//! One device: what it holds, what it asks for, and what it asked for without an answer.

use super::client::{self, Client, Desk, Miss};
use crate::Failure;
use crate::dice::Dice;
use agent::Identity;
use api::path;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use enroll::est::client as est;
use enroll::request::{self, Wish};
use identity::ask::Want;
use identity::key::SoftwareKey;
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{Certificate, RealmName, Serial, Signer, SpkiHash};
use serde_json::{Value, json};
use std::sync::Arc;

/// A private key, as it is shown in a handshake and as it signs.
pub struct Key {
    pub(crate) pkcs8: Vec<u8>,
    signer: SoftwareKey,
}

impl Key {
    pub(crate) fn make() -> Result<Arc<Self>, Failure> {
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new())?.as_ref().to_vec();
        let signer = SoftwareKey::from_pkcs8(&pkcs8).map_err(|e| e.to_string())?;
        Ok(Arc::new(Self { pkcs8, signer }))
    }

    pub(crate) fn request(&self, serial_number: Option<&str>) -> Result<Vec<u8>, Failure> {
        Ok(request::make(&self.signer, &Wish { serial_number, ..Wish::default() })?)
    }

    /// What signs with it.
    pub(crate) const fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    fn hash(&self) -> SpkiHash {
        self.signer.public().hash()
    }
}

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

/// What a device, or an operator for it, asks for. It is asked for again, as it was, until there
/// is an answer.
enum Asked {
    Birth { csr: String },
    Token(String),
    Leaf { key: Arc<Key>, csr: Vec<u8>, want: Want, fresh: bool },
    Stand { suspend: bool, once: String },
}

struct Held {
    key: Arc<Key>,
    certificate: Certificate,
}

impl Held {
    fn identity(&self) -> Identity {
        Identity::new(std::slice::from_ref(&self.certificate), &self.key.pkcs8)
    }
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
    /// Whether it is suspended, as far as that was answered.
    pub suspended: bool,
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
            suspended: false,
            kept: Vec::new(),
            steps: 0,
        })
    }

    /// Whether something is unanswered.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether its standing was asked to change, without an answer.
    #[must_use]
    pub const fn unsure(&self) -> bool {
        matches!(self.asked, Some(Asked::Stand { .. }))
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
            Err(Miss::Gone) => {
                self.asked = Some(asked);
                Ok(Step::Unanswered)
            }
            Err(Miss::Refused(status, why)) => {
                let which = if again { "the retry of an unanswered request" } else { "a request" };
                let (serial, what) = (&self.serial, asked.name());
                Err(format!("{which} was refused: {what} of {serial}: {status} {why}").into())
            }
        }
    }

    fn wish(&mut self, dice: &mut Dice) -> Result<Asked, Failure> {
        let once = format!("{:016x}", dice.draw());
        Ok(match (&self.birth, &self.token, &self.leaf) {
            (None, None, None) if self.by_token => Asked::Token(once),
            (None, None, None) => {
                let csr = self.birth_key.request(Some(&self.serial))?;
                Asked::Birth { csr: identity::text::base64(&csr) }
            }
            (_, _, None) => {
                let key = Key::make()?;
                let csr = key.request(self.by_token.then_some(&self.serial))?;
                Asked::Leaf { key, csr, want: Want::Join, fresh: true }
            }
            _ if self.suspended => Asked::Stand { suspend: false, once },
            _ if dice.once_in(5) => Asked::Stand { suspend: true, once },
            (_, _, Some(held)) => {
                let fresh = !dice.once_in(3);
                let key = if fresh { Key::make()? } else { held.key.clone() };
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
                let say =
                    est::enroll(&RealmName::default_realm(), *want, csr, self.shown().as_ref());
                let who = match want {
                    Want::Join => self.birth.as_ref(),
                    Want::Renew => self.leaf.as_ref(),
                };
                let heard = client.say(who.map(Held::identity).as_ref(), say).await?;
                let certificate = client::leaf(&heard)?;
                let acknowledged = acknowledged(&certificate, fresh.then(|| key.hash()))?;
                self.leaf = Some(Held { key: key.clone(), certificate });
                Ok(Some(acknowledged))
            }
            Asked::Stand { suspend, once } => {
                let at = if *suspend { path::DEVICE_SUSPEND } else { path::DEVICE_RESUME };
                let name = self.device().map(|id| id.to_string()).unwrap_or_default();
                let at = path::fill(at, &[&name]);
                client.post(desk, at, &json!({ "reason": "faults" }), once).await?;
                self.suspended = *suspend;
                Ok(None)
            }
        }
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

impl Asked {
    const fn name(&self) -> &'static str {
        match self {
            Self::Birth { .. } => "the birth",
            Self::Token(_) => "a token",
            Self::Leaf { want: Want::Join, .. } => "the join",
            Self::Leaf { want: Want::Renew, .. } => "a renewal",
            Self::Stand { suspend: true, .. } => "a suspension",
            Self::Stand { suspend: false, .. } => "a resumption",
        }
    }
}

fn acknowledged(of: &Certificate, only_of: Option<SpkiHash>) -> Result<Acknowledged, Miss> {
    let serial = of.serial().ok_or_else(|| ours("a certificate with a foreign serial number"))?;
    Ok(Acknowledged { serial, fingerprint: of.fingerprint(), only_of })
}

fn text(value: &Value, name: &str) -> Result<String, Miss> {
    let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| ours(format!("an answer without `{name}`")))
}

fn ours(why: impl ToString) -> Miss {
    Miss::Refused(0, why.to_string())
}
