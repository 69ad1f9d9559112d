//! An authority that gives way to its successor now and then, as `muster ca roll operations
//! --root-key` does it: a request, the root's signature, an installation.

use crate::Failure;
use crate::dice::Dice;
use crate::kill::client::{Client, Desk, Miss, Operator};
use api::path;
use ca::Addresses;
use ca::authority::{self, Order};
use identity::authority::{KeyId, Role};
use identity::key::SoftwareKey;
use identity::{Certificate, Csr, RealmName};
use serde_json::{Value, json};
use server::clock;
use server::keys::root::passphrase_file;
use server::keys::{Unlock, unlock_root};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rolls of one home: each leaves an authority behind that devices are told of, and they are told
/// of 24 at most.
const ROLLS_MAX: usize = 8;
/// Between two looks at the authorities.
const REST: Duration = Duration::from_millis(30);

/// Who rolls authorities over.
pub struct Roller {
    home: PathBuf,
    root: Option<(Certificate, SoftwareKey)>,
    stage: Stage,
    /// The authorities that were installed for sure, each after the one before.
    pub installed: Vec<KeyId>,
}

enum Stage {
    Resting,
    Asking { once: String },
    Installing { id: KeyId, body: Value, once: String },
}

impl Roller {
    /// One for the authorities of `home`.
    #[must_use]
    pub const fn new(home: PathBuf) -> Self {
        Self { home, root: None, stage: Stage::Resting, installed: Vec::new() }
    }

    /// Whether something is unanswered.
    #[must_use]
    pub const fn waits(&self) -> bool {
        !matches!(self.stage, Stage::Resting)
    }

    /// Goes a step on; `false` without an answer.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn step(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<bool, Failure> {
        match self.take(client, desk, dice).await {
            Ok(next) => {
                if let (Stage::Installing { id, .. }, Stage::Resting) = (&self.stage, &next) {
                    self.installed.push(*id);
                }
                self.stage = next;
                Ok(true)
            }
            Err(miss) => miss.unanswered("a roll of an authority").map(|()| false),
        }
    }

    async fn take(
        &mut self,
        client: &Client,
        desk: &mut Desk,
        dice: &mut Dice,
    ) -> Result<Stage, Miss> {
        match &self.stage {
            Stage::Resting => {
                tokio::time::sleep(REST).await;
                let _alive = client.get(desk, path::AUTHORITIES.to_owned()).await?;
                let rolls = self.installed.len() < ROLLS_MAX && dice.once_in(12);
                let once = format!("{:016x}", dice.draw());
                Ok(if rolls { Stage::Asking { once } } else { Stage::Resting })
            }
            Stage::Asking { once } => {
                let made = request(client, desk, once).await?;
                let once = format!("{:016x}", dice.draw());
                self.sign(&made, once).map_err(|e| Miss::Refused(0, e.to_string()))
            }
            Stage::Installing { body, once, .. } => {
                client.post(desk, path::AUTHORITIES.to_owned(), body, once).await?;
                Ok(Stage::Resting)
            }
        }
    }

    /// What the root does, which is not on the server.
    fn sign(&mut self, made: &Value, once: String) -> Result<Stage, Failure> {
        if self.root.is_none() {
            self.root = Some(root(&self.home)?);
        }
        let (certificate, key) = self.root.as_ref().ok_or("no root")?;
        let csr = Csr::parse_pem(made["csr"].as_str().unwrap_or_default())
            .map_err(|d| d.sentence.to_string())?;
        let addresses = Addresses { public_url: None, realm: RealmName::default_realm() };
        let order = Order { csr: &csr, role: Role::Operations, addresses: &addresses };
        let signed = clock::outside(|outside| authority::sign(certificate, key, order, outside));
        let signed = signed.map_err(|e| e.to_string())?;
        let id = signed.subject_key_id().ok_or("an authority without a key identifier")?;
        let body = json!({ "certificate": signed.pem(), "role": "operations" });
        Ok(Stage::Installing { id, body, once })
    }
}

/// The open request, where there is one: whoever lost the answer goes on with it.
async fn request(client: &Client, desk: &mut Desk, once: &str) -> Result<Value, Miss> {
    let open = client.get(desk, path::AUTHORITY_REQUESTS.to_owned()).await?;
    if let Some(found) = open.pointer("/items/0") {
        return Ok(found.clone());
    }
    let body = json!({ "role": "operations", "in_overlap": true });
    client.post(desk, path::AUTHORITY_REQUESTS.to_owned(), &body, once).await
}

fn root(home: &Path) -> Result<(Certificate, SoftwareKey), Failure> {
    let operator = Operator::read(home)?.ok_or("the home has no operator.toml")?;
    let offline = home.join("offline");
    let secret = passphrase_file(&offline.join("root.passphrase"))?;
    let key = unlock_root(&offline.join("root.key.age"), &Unlock::Passphrase(&secret))?;
    Ok((operator.root()?, key))
}
