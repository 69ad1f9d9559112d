//! A device that is well, and all that it was ever given.

use crate::Failure;
use crate::kill::client::{Client, Desk};
use crate::kill::key::{Held, Key};
use agent::{Heard, Line};
use api::path;
use enroll::est::{Reply, client as est};
use identity::ask::Want;
use identity::{Certificate, RealmName, Signer};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A device.
pub(super) struct Device {
    birth: Held,
    leaf: Held,
    given: Vec<Certificate>,
}

impl Device {
    /// One that was born and has joined.
    pub(super) async fn joined(client: &Client, serial: &str) -> Result<Self, Failure> {
        let key = Key::make()?;
        let csr = identity::text::base64(&key.request(None)?);
        let births = json!({"births": [{"csr": csr, "serial": serial, "model": "P7"}]});
        let mut desk = Desk::default();
        let told = client.post(&mut desk, path::BIRTHS.to_owned(), &births, serial);
        let told = told.await.map_err(|miss| format!("a birth was refused: {miss:?}"))?;
        let pem = told["results"][0]["certificate"].as_str().unwrap_or_default();
        let mut chain = Certificate::parse_pem(pem, 4).map_err(|d| d.sentence.to_string())?;
        if chain.is_empty() {
            return Err(format!("no birth certificate: {told}").into());
        }
        let birth = Held { key, certificate: chain.remove(0) };
        let given = vec![birth.certificate.clone()];
        let mut device = Self { leaf: birth.clone(), birth, given };
        device.join(client).await?;
        Ok(device)
    }

    /// Every certificate that was handed over to it.
    pub(super) fn given(&self) -> impl Iterator<Item = &Certificate> {
        self.given.iter()
    }

    /// Its leaf, as it shows it.
    pub(super) fn identity(&self) -> agent::Identity {
        self.leaf.identity()
    }

    pub(super) async fn join(&mut self, client: &Client) -> Result<(), Failure> {
        let who = self.birth.clone();
        self.ask(client, &who, Want::Join).await
    }

    /// A renewal with a new key, and how long it took.
    pub(super) async fn renew(&mut self, client: &Client) -> Result<Duration, Failure> {
        let (who, began) = (self.leaf.clone(), Instant::now());
        self.ask(client, &who, Want::Renew).await?;
        Ok(began.elapsed())
    }

    /// A renewal over a line that is open.
    pub(super) async fn renew_on(&mut self, line: &mut Line) -> Result<(), Failure> {
        let key = Key::make()?;
        let heard = line.say(say(&key, Want::Renew)?).await?;
        self.granted(&heard, key)
    }

    async fn ask(&mut self, client: &Client, who: &Held, want: Want) -> Result<(), Failure> {
        let key = Key::make()?;
        let heard = client.say(Some(&who.identity()), say(&key, want)?).await;
        let heard = heard.map_err(|_| format!("nobody answers a {}", named(want)))?;
        self.granted(&heard, key)
    }

    fn granted(&mut self, heard: &Heard, key: Arc<Key>) -> Result<(), Failure> {
        match est::read_leaf(&heard.incoming(), key.signer().public()) {
            Ok(Reply::Done(certificate)) => {
                self.given.push(certificate.clone());
                self.leaf = Held { key, certificate };
                Ok(())
            }
            other => Err(format!("a leaf was expected: {other:?}").into()),
        }
    }

    /// When its leaf begins and ends, in seconds since 1970.
    pub(super) fn life(&self) -> (u64, u64) {
        let leaf = &self.leaf.certificate;
        (leaf.not_before().secs(), leaf.not_after().secs())
    }
}

fn say(key: &Key, want: Want) -> Result<enroll::est::Outgoing, Failure> {
    Ok(est::enroll(&RealmName::default_realm(), want, &key.request(None)?, None))
}

const fn named(want: Want) -> &'static str {
    match want {
        Want::Join => "join",
        Want::Renew => "renewal",
    }
}
