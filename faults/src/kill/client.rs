//! The client: devices over EST, an operator over REST, and anybody at the public port.

use super::server::Ports;
use crate::Failure;
use agent::{Dialer, Exchange, Heard, Identity, Line};
use api::path;
use enroll::est::{Outgoing, Reply, client};
use identity::Certificate;
use identity::text::from_base64;
use ledger::Head;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer that takes longer comes from nobody: the server is killed within a second.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a request has no good answer.
#[derive(Debug)]
pub enum Miss {
    /// Nobody answered: the server is gone.
    Gone,
    /// It was refused, with a status and a sentence.
    Refused(u16, String),
}

impl Miss {
    /// For one whose every wish has to be granted: fine where nobody answered, since the same is
    /// asked for again, and where it is told to come again: everybody here is at one address, whose
    /// newcomers wait for a moment behind the clones that were refused.
    ///
    /// # Errors
    /// That `what` was refused.
    pub fn unanswered(self, what: &str) -> Result<(), Failure> {
        match self {
            Self::Gone | Self::Refused(429, _) => Ok(()),
            Self::Refused(status, why) => Err(format!("{what} was refused: {status} {why}").into()),
        }
    }
}

/// What the home says of its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The root that server certificates come from.
    pub root_pin: String,
    /// `id.secret`.
    pub token: String,
    root: String,
}

impl Operator {
    /// Reads `operator.toml` in `home`; `None` where there is none yet.
    ///
    /// # Errors
    /// Where it is there and not whole.
    pub fn read(home: &Path) -> Result<Option<Self>, Failure> {
        let path = home.join("operator.toml");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)?;
        let table: toml::Table = text.parse().map_err(|e| format!("operator.toml is torn: {e}"))?;
        let text = |name: &str| {
            let value = table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
            value.ok_or_else(|| format!("operator.toml has no `{name}`"))
        };
        Ok(Some(Self { root_pin: text("root_pin")?, token: text("token")?, root: text("root")? }))
    }

    /// The root that this operator believes.
    ///
    /// # Errors
    /// Where the file does not say.
    pub fn root(&self) -> Result<Certificate, Failure> {
        let root = Certificate::parse_pem(&self.root, 1).map_err(|d| d.sentence.to_string())?;
        Ok(root.into_iter().next().ok_or("no root in operator.toml")?)
    }
}

/// Reaches a running server.
#[derive(Clone)]
pub struct Client {
    device: Dialer,
    operator: Dialer,
    bearer: String,
    public: u16,
}

impl Client {
    /// A client of the server that runs in `home`.
    ///
    /// # Errors
    /// Where the home does not say how.
    pub fn new(home: &Path, ports: Ports) -> Result<Self, Failure> {
        let operator = Operator::read(home)?.ok_or("the home has no operator.toml")?;
        let root = operator.root()?;
        Ok(Self {
            device: Dialer::new(ports.device, &root, Exchange::X25519)?,
            operator: Dialer::new(ports.operator, &root, Exchange::X25519)?,
            bearer: format!("Bearer {}", operator.token),
            public: ports.public,
        })
    }

    /// A device says something.
    ///
    /// # Errors
    /// [`Miss::Gone`]; a refusal is an answer.
    pub async fn say(&self, who: Option<&Identity>, say: Outgoing) -> Result<Heard, Miss> {
        let heard = timeout(ANSWER_MAX, self.device.call(who, say)).await;
        heard.map_err(|_| Miss::Gone)?.map_err(|_| Miss::Gone)
    }

    /// The operator posts something; `key` makes it happen once.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn post(
        &self,
        desk: &mut Desk,
        at: String,
        body: &Value,
        key: &str,
    ) -> Result<Value, Miss> {
        let mut say = self.write("POST", at, body);
        say.headers.push(("idempotency-key", key.to_owned()));
        self.ask(desk, say).await
    }

    /// The operator says how something shall be.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn put(&self, desk: &mut Desk, at: &str, body: &Value) -> Result<Value, Miss> {
        self.ask(desk, self.write("PUT", at.to_owned(), body)).await
    }

    /// The operator takes something away.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn delete(&self, desk: &mut Desk, at: String) -> Result<Value, Miss> {
        let headers = vec![("authorization", self.bearer.clone())];
        self.ask(desk, Outgoing { method: "DELETE", path: at, headers, body: Vec::new() }).await
    }

    fn write(&self, method: &'static str, path: String, body: &Value) -> Outgoing {
        let headers = vec![
            ("authorization", self.bearer.clone()),
            ("content-type", "application/json".to_owned()),
        ];
        Outgoing { method, path, headers, body: body.to_string().into_bytes() }
    }

    /// The operator reads something.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn get(&self, desk: &mut Desk, at: String) -> Result<Value, Miss> {
        let headers = vec![("authorization", self.bearer.clone())];
        self.ask(desk, Outgoing { method: "GET", path: at, headers, body: Vec::new() }).await
    }

    async fn ask(&self, desk: &mut Desk, say: Outgoing) -> Result<Value, Miss> {
        let mut line = match desk.0.take() {
            Some(line) => line,
            None => {
                let config = self.operator.config(None).map_err(|_| Miss::Gone)?;
                let dialed = timeout(ANSWER_MAX, self.operator.dial(config)).await;
                dialed.map_err(|_| Miss::Gone)?.map_err(|_| Miss::Gone)?
            }
        };
        let heard = timeout(ANSWER_MAX, line.say(say)).await;
        let heard = heard.map_err(|_| Miss::Gone)?.map_err(|_| Miss::Gone)?;
        desk.0 = Some(line);
        let incoming = heard.incoming();
        let text = String::from_utf8_lossy(incoming.body).into_owned();
        if !(200..300).contains(&incoming.status) {
            return Err(Miss::Refused(incoming.status, text));
        }
        // Half a body of a killed server has a good status too.
        serde_json::from_str(&text).map_err(|_| Miss::Gone)
    }

    /// Opens a line of a device and keeps it.
    ///
    /// # Errors
    /// [`Miss::Gone`].
    pub async fn line(&self, who: Option<&Identity>) -> Result<Line, Miss> {
        let config = self.device.config(who).map_err(|_| Miss::Gone)?;
        let dialed = timeout(ANSWER_MAX, self.device.dial(config)).await;
        dialed.map_err(|_| Miss::Gone)?.map_err(|_| Miss::Gone)
    }

    /// Where a device dials, and everybody.
    #[must_use]
    pub const fn dialer(&self) -> &Dialer {
        &self.device
    }

    /// Whether the server says that it can serve.
    ///
    /// # Errors
    /// [`Miss::Refused`] with what is out of order.
    pub async fn ready(&self) -> Result<Value, Miss> {
        self.get(&mut Desk::default(), path::READYZ.to_owned()).await
    }

    /// The signed head of the ledger, as everybody gets it; `None` while there is none to be had.
    pub async fn checkpoint(&self) -> Option<Head> {
        let body = self.public("/ledger/default/checkpoint", None).await?;
        let body = String::from_utf8(body).ok()?;
        let (text, signatures) = body.rsplit_once("\n\n")?;
        let mut lines = text.lines().skip(1);
        let size = lines.next()?.parse().ok()?;
        let root = from_base64(lines.next()?.as_bytes())?.try_into().ok()?;
        signatures.ends_with('\n').then_some(Head { size, root })
    }

    /// What the public port says with status 200; an OCSP request is posted.
    pub async fn public(&self, at: &str, ocsp: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.public)).await.ok()?;
        let method = if ocsp.is_some() { "POST" } else { "GET" };
        let body = ocsp.unwrap_or_default();
        let ask = format!(
            "{method} {at} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        tcp.write_all(&[ask.as_bytes(), body].concat()).await.ok()?;
        let mut answer = Vec::new();
        timeout(ANSWER_MAX, tcp.read_to_end(&mut answer)).await.ok()?.ok()?;
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let body = answer.split_off(split + 4);
        answer.starts_with(b"HTTP/1.1 200").then_some(body)
    }
}

/// An open line of the operator, if there is one.
#[derive(Default)]
pub struct Desk(Option<Line>);

/// The leaf in an answer.
///
/// # Errors
/// [`Miss`].
pub fn leaf(heard: &Heard) -> Result<Certificate, Miss> {
    match client::read_cacerts(&heard.incoming()) {
        Ok(Reply::Done(mut leaf)) if leaf.len() == 1 => Ok(leaf.remove(0)),
        Ok(Reply::Done(_)) => Err(Miss::Refused(200, "not one certificate".to_owned())),
        Ok(Reply::Later { .. }) => Err(Miss::Refused(202, "later".to_owned())),
        Ok(Reply::Refused { status, sentence, .. }) => Err(Miss::Refused(status, sentence)),
        // Half a body.
        Err(_) => Err(Miss::Gone),
    }
}
