//! One device of the demo: what it holds, and the three things that it can do by itself.

use agent::{CallError, Dialer, Heard, Identity, Line};
use api::birth::BirthRequest;
use enroll::est::Reply;
use enroll::est::client::{self, Outgoing};
use enroll::request::{self, Wish};
use identity::ask::Want;
use identity::{Certificate, KeyKind, RealmName, Signer};
use server::keys::NewKey;
use std::sync::Arc;

/// A key, its request, and what was issued for it.
pub(crate) struct Held {
    pub(crate) key: Arc<NewKey>,
    pub(crate) chain: Vec<Certificate>,
}

impl Held {
    /// The same once more, in another hand.
    pub(super) fn twin(&self) -> Self {
        Self { key: self.key.clone(), chain: self.chain.clone() }
    }

    fn identity(&self) -> Identity {
        Identity::new(&self.chain, self.key.dangerous_pkcs8())
    }
}

/// A device.
pub(crate) struct Unit {
    /// Its serial number.
    pub(crate) serial: String,
    /// The birth key and, once born, the birth certificate with its issuer.
    pub(crate) birth: Held,
    /// The key and certificate that it works with.
    pub(crate) leaf: Option<Held>,
}

impl Unit {
    /// A unit on the line: it makes its key, and nobody else ever sees it.
    pub(crate) fn make(number: usize) -> Result<Self, CallError> {
        let birth = Held { key: make()?, chain: Vec::new() };
        Ok(Self { serial: format!("D{number:06}"), birth, leaf: None })
    }

    /// What the station sends for it.
    pub(crate) fn birth_request(&self) -> Result<BirthRequest, CallError> {
        let csr = request(&self.birth.key, Some(&self.serial))?;
        Ok(BirthRequest {
            csr: identity::text::base64(&csr),
            serial: self.serial.clone(),
            model: "demo".to_owned(),
            ..BirthRequest::default()
        })
    }

    /// Joins: shows the birth certificate, gets its first leaf for a key made just now.
    pub(crate) async fn join(&mut self, dialer: &Dialer) -> Result<(), CallError> {
        let key = make()?;
        let say = ask(Want::Join, &key)?;
        let heard = dialer.call(Some(&self.birth.identity()), say).await?;
        self.leaf = Some(take(key, &heard)?);
        Ok(())
    }

    /// Renews: shows the leaf, gets its successor, for a new key or for the same.
    pub(crate) async fn renew(&mut self, dialer: &Dialer, rotate: bool) -> Result<(), CallError> {
        let held = self.leaf.as_ref().ok_or("it has not joined yet")?;
        let key = if rotate { make()? } else { held.key.clone() };
        let heard = dialer.call(Some(&held.identity()), ask(Want::Renew, &key)?).await?;
        let new = take(key, &heard)?;
        if new.chain.iter().map(Certificate::der).eq(held.chain.iter().map(Certificate::der)) {
            return Err("the same leaf came once more".into());
        }
        self.leaf = Some(new);
        Ok(())
    }

    /// Shows the leaf and asks for a renewal; gives back whatever the server says.
    pub(crate) async fn try_renewal(&self, dialer: &Dialer) -> Result<Heard, CallError> {
        let held = self.leaf.as_ref().ok_or("it has not joined yet")?;
        dialer.call(Some(&held.identity()), ask(Want::Renew, &held.key)?).await
    }

    /// The authority that signed the leaf.
    pub(super) fn issuer(&self) -> Option<String> {
        let leaf = self.leaf.as_ref()?.chain.first()?;
        leaf.authority_key_id().map(|id| id.to_string())
    }

    /// Opens a session with the leaf, and names the leaf as operators do.
    pub(crate) async fn open(&self, dialer: &Dialer) -> Result<(Line, String), CallError> {
        let held = self.leaf.as_ref().ok_or("it has not joined yet")?;
        let line = dialer.dial(dialer.config(Some(&held.identity()))?).await?;
        let serial = held.chain.first().and_then(Certificate::serial).ok_or("no serial number")?;
        Ok((line, format!("cert:{serial}")))
    }

    /// Asks for a renewal in a session that is open.
    pub(crate) async fn ask_on(&self, line: &mut Line) -> Result<Heard, CallError> {
        let held = self.leaf.as_ref().ok_or("it has not joined yet")?;
        line.say(ask(Want::Renew, &held.key)?).await
    }

    /// Shows this device's birth certificate and says something that is not its own.
    pub(crate) async fn say(&self, dialer: &Dialer, say: Outgoing) -> Result<Heard, CallError> {
        dialer.call(Some(&self.birth.identity()), say).await
    }
}

/// The wish for a leaf for `key`.
pub(crate) fn ask(want: Want, key: &NewKey) -> Result<Outgoing, CallError> {
    Ok(client::enroll(&RealmName::default_realm(), want, &request(key, None)?, None))
}

/// A request signed by `key`.
pub(crate) fn request(key: &NewKey, serial: Option<&str>) -> Result<Vec<u8>, CallError> {
    Ok(request::make(&key.signer()?, &Wish { serial_number: serial, ..Wish::default() })?)
}

fn take(key: Arc<NewKey>, heard: &Heard) -> Result<Held, CallError> {
    let public = key.signer()?.public().clone();
    match client::read_leaf(&heard.incoming(), &public).map_err(|d| d.sentence.into_owned())? {
        Reply::Done(leaf) => Ok(Held { key, chain: vec![leaf] }),
        Reply::Later { .. } => Err("the server wants it to wait".into()),
        Reply::Refused { status, sentence, .. } => Err(format!("{status}: {sentence}").into()),
    }
}

fn make() -> Result<Arc<NewKey>, CallError> {
    Ok(Arc::new(NewKey::make(KeyKind::P256)?))
}
