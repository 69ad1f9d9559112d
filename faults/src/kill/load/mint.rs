//! Join tokens that are made and taken back: a token that was revoked opens nothing any more, also
//! after the server was killed.

use crate::Failure;
use crate::dice::Dice;
use crate::kill::client::{self, Client, Desk, Miss};
use crate::kill::key::Key;
use crate::kill::unit::{ours, text};
use api::path;
use enroll::est::client as est;
use identity::RealmName;
use identity::ask::Want;
use identity::token::{ShownToken, TokenId, TokenSecret};
use serde_json::json;
use std::time::Duration;

/// Tokens that wait to be revoked; more only make the book longer.
const LIVE_MAX: usize = 4;
/// Between two steps: who shows a wrong token is a stranger, and strangers of one address share four
/// requests a second, which the devices that join by token need too.
const REST: Duration = Duration::from_millis(40);

/// A token that was handed over.
struct Token {
    id: String,
    secret: String,
}

/// Who makes tokens and takes them back.
#[derive(Default)]
pub struct Mint {
    live: Vec<Token>,
    revoked: Vec<Token>,
    asked: Option<Asked>,
}

/// What has no answer yet.
enum Asked {
    Make {
        once: String,
    },
    /// The end of the newest live one.
    Revoke,
}

impl Mint {
    /// Whether something is unanswered.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Tokens whose revocation was answered.
    pub fn revoked(&self) -> impl Iterator<Item = &str> {
        self.revoked.iter().map(|token| token.id.as_str())
    }

    /// Tokens that nobody asked to revoke.
    pub fn live(&self) -> impl Iterator<Item = &str> {
        let asked = usize::from(matches!(self.asked, Some(Asked::Revoke)));
        self.live.iter().rev().skip(asked).map(|token| token.id.as_str())
    }

    /// Goes a step on; `false` without an answer.
    ///
    /// # Errors
    /// Where what must be granted is refused, or a revoked token opens a door.
    pub async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<bool, Failure> {
        match self.take(client, desk, dice).await {
            Ok(()) => Ok(true),
            Err(miss) => miss.unanswered("a token, or its end,").map(|()| false),
        }
    }

    async fn take(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<(), Miss> {
        tokio::time::sleep(REST).await;
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None if !self.revoked.is_empty() && dice.once_in(8) => {
                return knock(&self.revoked[dice.below(self.revoked.len())], client).await;
            }
            None => {
                let full = self.live.len() >= LIVE_MAX;
                match full || !self.live.is_empty() && dice.once_in(2) {
                    true => Asked::Revoke,
                    false => Asked::Make { once: format!("{:016x}", dice.draw()) },
                }
            }
        };
        let done = self.ask(&asked, client, desk).await;
        // Who had no answer asks for the same again.
        self.asked = done.is_err().then_some(asked);
        done
    }

    async fn ask(&mut self, asked: &Asked, client: &Client, desk: &mut Desk) -> Result<(), Miss> {
        match asked {
            Asked::Make { once } => {
                let body = json!({ "uses": 1, "ttl_s": 86_400 });
                let made = client.post(desk, path::TOKENS.to_owned(), &body, once).await?;
                self.live.push(Token { id: text(&made, "id")?, secret: text(&made, "secret")? });
            }
            Asked::Revoke => {
                let Some(token) = self.live.last() else { return Ok(()) };
                client.delete(desk, path::fill(path::TOKEN, &[&token.id])).await?;
                self.revoked.extend(self.live.pop());
            }
        }
        Ok(())
    }
}

/// Somebody comes with a revoked token, and is refused.
async fn knock(token: &Token, client: &Client) -> Result<(), Miss> {
    let id = TokenId::parse(&token.id).ok_or_else(|| ours("a token without an id"))?;
    let secret =
        TokenSecret::parse(&token.secret).ok_or_else(|| ours("a token without a secret"))?;
    let csr = Key::make().and_then(|key| key.request(Some("nobody"))).map_err(ours)?;
    let shown = ShownToken { id, secret };
    let say = est::enroll(&RealmName::default_realm(), Want::Join, &csr, Some(&shown));
    let heard = client.say(None, say).await?;
    match client::leaf(&heard) {
        Err(Miss::Refused(401 | 403 | 429, _)) => Ok(()),
        Err(miss) => Err(miss),
        Ok(_) => Err(ours(format!("token {} is revoked and opened a door", token.id))),
    }
}
