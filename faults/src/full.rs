//! A server whose disk is full, and then has space again, as devices and operators see it.
//!
//! The server runs in this process, on real sockets, and writes through the [`vfs`], which is full
//! from a chosen moment on: what would make a file longer ends with `ENOSPC`, as a full disk has it.
//! Nothing of the server knows.

use crate::Failure;
use crate::audit;
use crate::disk::trouble::{Kind, Trouble};
use crate::disk::vfs;
use crate::kill::client::{Client, Desk, Miss};
use crate::kill::key::Key;
use crate::kill::server::Ports;
use agent::{Heard, Identity};
use api::path;
use enroll::est::{Reply, client as est};
use identity::ask::Want;
use identity::{Certificate, RealmName, Signer};
use serde_json::{Value, json};
use server::{Running, ServeOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server tries again every two seconds, and its state of health is a second old at most.
const WELL_AGAIN_MAX: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// Longer than anything lasts here.
const FOR_GOOD: u64 = u64::MAX;

/// Fills the disk under a server, looks at what it says, and gives it space again.
///
/// # Errors
/// What did not hold.
pub async fn suffer(home: &Path) -> Result<(), Failure> {
    vfs::install()?;
    start(home).await?.stop().await;
    vfs::watch(home, &vfs::lift(home)?)?;
    let running = start(home).await?;
    let client = Client::new(home, ports(&running)?)?;
    let unit = Unit::born(&client).await?;
    let leaf = unit.join(&client).await?;
    ready(&client).await?;

    vfs::set_trouble(Some(Trouble { kind: Kind::Full, after: 0, lasts: FOR_GOOD }));
    let (key, another) = (Key::make()?, Key::make()?);
    refused(&leaf.renew(&client, &key).await?, "a renewal")?;
    refused(&unit.ask(&client, &another).await?, "a join")?;
    operator_is_refused(&client).await?;
    names_the_disk(&client).await?;
    reads_go_on(&client).await?;

    vfs::set_trouble(None);
    ready(&client).await?;
    granted(&leaf.renew(&client, &key).await?, &key)?;
    running.stop().await;
    let _recorded = vfs::take_tape();
    audit::open_sound(&home.join("muster.db"))?.close();
    Ok(())
}

async fn start(home: &Path) -> Result<Running, Failure> {
    let options = ServeOptions {
        home: home.to_owned(),
        any_port: true,
        // With a passphrase the first start takes a second on purpose.
        root_recipient: Some(
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
        ),
        ..ServeOptions::default()
    };
    server::start(options).await.map_err(|e| e.to_string().into())
}

fn ports(running: &Running) -> Result<Ports, Failure> {
    let ports = running.ports();
    let all = (ports.device, ports.operator, ports.public);
    let (Some(device), Some(operator), Some(public)) = all else {
        return Err("not every port is open".into());
    };
    Ok(Ports { device, operator, public })
}

/// A device and its certificate.
struct Unit {
    key: Arc<Key>,
    certificate: Certificate,
}

impl Unit {
    async fn born(client: &Client) -> Result<Self, Failure> {
        let key = Key::make()?;
        let csr = identity::text::base64(&key.request(None)?);
        let births = json!({"births": [{"csr": csr, "serial": "U1", "model": "P7"}]});
        let told = client.post(&mut Desk::default(), path::BIRTHS.to_owned(), &births, "u1").await;
        let told = told.map_err(|miss| format!("a birth was refused: {miss:?}"))?;
        let pem = told["results"][0]["certificate"].as_str().unwrap_or_default();
        let mut chain = Certificate::parse_pem(pem, 4).map_err(|d| d.sentence.to_string())?;
        if chain.is_empty() {
            return Err(format!("no birth certificate: {told}").into());
        }
        Ok(Self { key, certificate: chain.remove(0) })
    }

    fn identity(&self) -> Identity {
        Identity::new(std::slice::from_ref(&self.certificate), &self.key.pkcs8)
    }

    async fn ask(&self, client: &Client, key: &Key) -> Result<Heard, Failure> {
        self.say(client, Want::Join, key).await
    }

    async fn renew(&self, client: &Client, key: &Key) -> Result<Heard, Failure> {
        self.say(client, Want::Renew, key).await
    }

    async fn say(&self, client: &Client, want: Want, key: &Key) -> Result<Heard, Failure> {
        let say = est::enroll(&RealmName::default_realm(), want, &key.request(None)?, None);
        let heard = client.say(Some(&self.identity()), say).await;
        heard.map_err(|miss| format!("nobody answers a device: {miss:?}").into())
    }

    async fn join(&self, client: &Client) -> Result<Self, Failure> {
        let key = Key::make()?;
        let certificate = granted(&self.ask(client, &key).await?, &key)?;
        Ok(Self { key, certificate })
    }
}

fn granted(heard: &Heard, key: &Key) -> Result<Certificate, Failure> {
    match est::read_leaf(&heard.incoming(), key.signer().public()) {
        Ok(Reply::Done(leaf)) => Ok(leaf),
        other => Err(format!("a leaf was expected: {other:?}").into()),
    }
}

/// A device is told to come again, and when.
fn refused(heard: &Heard, what: &str) -> Result<(), Failure> {
    let incoming = heard.incoming();
    match (incoming.status, incoming.retry_after) {
        (503, Some(_)) => Ok(()),
        other => Err(format!("{what} on a full disk is answered with {other:?}").into()),
    }
}

async fn operator_is_refused(client: &Client) -> Result<(), Failure> {
    let asked = client.post(&mut Desk::default(), path::TOKENS.to_owned(), &json!({}), "t").await;
    match asked {
        Err(Miss::Refused(503, _)) => Ok(()),
        other => Err(format!("a token on a full disk is answered with {other:?}").into()),
    }
}

/// Until the state of health says so, which is a second old at most.
async fn names_the_disk(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match client.ready().await {
            Err(Miss::Refused(503, said)) => return names(&said),
            other if began.elapsed() > WELL_AGAIN_MAX => {
                return Err(format!("readyz on a full disk says {other:?}").into());
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

fn names(said: &str) -> Result<(), Failure> {
    let said: Value = serde_json::from_str(said)?;
    let checks = said["checks"].as_array().cloned().unwrap_or_default();
    let bad: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
    let about = bad.first().and_then(|check| check["detail"].as_str()).unwrap_or_default();
    match bad.len() == 1 && about.contains("full") && about.contains("disk") {
        true => Ok(()),
        false => Err(format!("readyz does not name the full disk: {said}").into()),
    }
}

async fn reads_go_on(client: &Client) -> Result<(), Failure> {
    let listed = client.get(&mut Desk::default(), path::DEVICES.to_owned()).await;
    let listed = listed.map_err(|miss| format!("a list on a full disk: {miss:?}"))?;
    let anchors = client.say(None, est::cacerts(&RealmName::default_realm())).await;
    let anchors = anchors.map_err(|miss| format!("cacerts on a full disk: {miss:?}"))?;
    let one = listed["items"].as_array().is_some_and(|items| items.len() == 1);
    match one && anchors.incoming().status == 200 && client.checkpoint().await.is_some() {
        true => Ok(()),
        false => Err("reading does not go on while the disk is full".into()),
    }
}

/// Until it is ready, by itself.
async fn ready(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match client.ready().await {
            Ok(_) => return Ok(()),
            Err(miss) if began.elapsed() > WELL_AGAIN_MAX => {
                return Err(format!("the server does not become ready: {miss:?}").into());
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
