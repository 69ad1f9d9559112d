//! The client of the operators' REST interface: HTTP/1.1 over TLS that believes the realm's root
//! and nobody else.
//!
//! One [`Rest`] keeps its connections and gives a request the next idle one, so that a production
//! run pays for a handshake once per lane. What may safely be sent twice is: reads, replacements,
//! deletions, and posts, which carry an `Idempotency-Key`. [`dial`] opens connections, [`answer`]
//! reads what comes back, [`events`] what comes by itself.

mod answer;
mod dial;
mod events;
mod page;

use crate::credential::OperatorFile;
use crate::failure::{Failure, Outcome};
use answer::Answer;
use bytes::Bytes;
pub(crate) use dial::place;
use dial::{Dialer, Lane};
use http_body_util::Full;
use hyper::header::{HeaderValue, IF_MATCH};
use hyper::{Method, Request, StatusCode, header};
pub(crate) use page::Query;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A verb waits this long for an answer: a server that is alive answers within its own 30 s.
const ANSWER_WAIT: Duration = Duration::from_secs(45);
/// Tries of one request where nobody says when to come again; the waits between them add up to some
/// 5 s, which outlives a restart of the server.
const TRIES: u32 = 5;
/// The wait before the second try is twice this, and doubles.
const RETRY_WAIT: Duration = Duration::from_millis(150);
/// How long is waited in all for a server that says when to come again (`Retry-After`): a person
/// sits there.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(20);

/// A client with its credential.
pub(crate) struct Rest {
    dialer: Dialer,
    bearer: HeaderValue,
    idle: Mutex<Vec<Lane>>,
    /// The host of the server, as devices may know it too.
    pub(crate) host: String,
    /// The realm that the credential is for.
    pub(crate) realm: String,
    /// The pin of that root.
    pub(crate) root_pin: String,
}

/// One request, which can be sent again.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Bytes,
    key: Option<String>,
    if_match: Option<String>,
}

impl Call {
    /// A request without a body; `path` begins with `/api/v1`.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let key = (method == Method::POST).then(random_key).flatten();
        Self { method, path: path.into(), body: Bytes::new(), key, if_match: None }
    }

    /// Gives it a JSON body.
    pub(crate) fn json<B: Serialize + ?Sized>(mut self, body: &B) -> Outcome<Self> {
        let encoded = serde_json::to_vec(body).map_err(Failure::new)?;
        self.body = Bytes::from(encoded);
        Ok(self)
    }

    /// Names it, so that the server does it once and gives its answer again, with a secret in it
    /// perhaps, however often it is sent; a post has a name anyway.
    pub(crate) fn keyed(mut self) -> Self {
        self.key = self.key.or_else(random_key);
        self
    }

    /// Whether it may be sent twice: a post only with a key.
    fn is_safe(&self) -> bool {
        self.key.is_some() || self.method != Method::POST
    }

    /// Only where the thing is still as it was read.
    pub(crate) fn if_match(mut self, tag: Option<String>) -> Self {
        self.if_match = tag;
        self
    }
}

impl Rest {
    /// A client; nothing is sent before the first request.
    pub(crate) fn new(file: &OperatorFile) -> Outcome<Self> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", file.token.as_str()))
            .map_err(|_| Failure::new("the token of the operator credential is not `id.secret`"))?;
        bearer.set_sensitive(true);
        let dialer = Dialer::new(&file.url, file.server_root.as_ref().unwrap_or(&file.root))?;
        Ok(Self {
            host: dialer.host(),
            dialer,
            bearer,
            idle: Mutex::new(Vec::new()),
            realm: file.realm.clone(),
            root_pin: file.root_pin(),
        })
    }

    /// Reads one thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Outcome<T> {
        self.send(Call::new(Method::GET, path)).await?.value()
    }

    /// Reads something that is text and not JSON.
    pub(crate) async fn text(&self, path: impl Into<String>) -> Outcome<String> {
        self.send(Call::new(Method::GET, path)).await?.text()
    }

    /// Reads one thing, and the tag of the state that it was read in.
    pub(crate) async fn get_tagged<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
    ) -> Outcome<(T, Option<String>)> {
        let answer = self.send(Call::new(Method::GET, path)).await?;
        let tag = answer.tag.clone();
        Ok((answer.value()?, tag))
    }

    /// Makes one thing, or does one thing to one.
    pub(crate) async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &B,
    ) -> Outcome<T> {
        self.send(Call::new(Method::POST, path).json(body)?).await?.value()
    }

    /// Puts one thing in its place.
    pub(crate) async fn put<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &B,
    ) -> Outcome<T> {
        self.send(Call::new(Method::PUT, path).json(body)?).await?.value()
    }

    /// Removes one thing.
    pub(crate) async fn delete(&self, path: impl Into<String>) -> Outcome {
        self.send(Call::new(Method::DELETE, path)).await.map(|_| ())
    }

    /// Sends a request until it is answered, or refused, or there is no use in trying again.
    pub(crate) async fn send(&self, call: Call) -> Outcome<Answer> {
        let mut patience = Patience::default();
        loop {
            let wait = match self.once(&call).await {
                Ok(answer) if call.is_safe() && answer.may_retry() => {
                    match patience.wait(answer.retry_after()) {
                        Some(wait) => wait,
                        None => return answer.or_failure(),
                    }
                }
                Ok(answer) => return answer.or_failure(),
                Err(lost) if call.is_safe() && lost.again => {
                    patience.wait(None).ok_or(lost.failure)?
                }
                Err(lost) => return Err(lost.failure),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, call: &Call) -> Result<Answer, Lost> {
        let mut lane = self.lane().await?;
        let request = self.request(call).map_err(Lost::for_good)?;
        let answered = tokio::time::timeout(ANSWER_WAIT, lane.exchange(request)).await;
        let answer = answered
            .map_err(|_| Lost::again(self.dialer.slow()))?
            .map_err(|e| Lost::again(self.dialer.broken(&*e)))?;
        if !answer.closes {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        }
        Ok(answer)
    }

    async fn lane(&self) -> Result<Lane, Lost> {
        while let Some(mut lane) = self.take() {
            // The server may have closed it while it lay idle; then the next one, or a new one.
            if lane.ready().await {
                return Ok(lane);
            }
        }
        self.dialer.dial().await
    }

    fn take(&self) -> Option<Lane> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn request(&self, call: &Call) -> Outcome<Request<Full<Bytes>>> {
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(call.path.as_str())
            .header(header::HOST, self.dialer.authority())
            .header(header::AUTHORIZATION, self.bearer.clone())
            .header(header::ACCEPT, "application/json, application/problem+json");
        if !call.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &call.key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(tag) = &call.if_match {
            builder = builder.header(IF_MATCH, tag);
        }
        builder.body(Full::new(call.body.clone())).map_err(Failure::new)
    }
}

/// How often one request was sent, and how long was waited between. What the requests themselves
/// take does not count: a server that has much to do says so only after a while.
#[derive(Default)]
struct Patience {
    tried: u32,
    waited: Duration,
}

impl Patience {
    /// How long to wait after a try, where another one follows: at least as long as the server asks.
    fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.tried = self.tried.saturating_add(1);
        let doubled = RETRY_WAIT.saturating_mul(2_u32.saturating_pow(self.tried));
        let wait = asked.unwrap_or_default().max(doubled);
        let waited = self.waited.saturating_add(wait);
        let again = if asked.is_some() { waited <= RETRY_WAIT_MAX } else { self.tried < TRIES };
        self.waited = waited;
        again.then_some(wait)
    }
}

/// A request that got no answer, and whether to try again.
pub(crate) struct Lost {
    failure: Failure,
    again: bool,
}

impl Lost {
    fn again(failure: Failure) -> Self {
        Self { failure, again: true }
    }

    fn for_good(failure: Failure) -> Self {
        Self { failure, again: false }
    }
}

/// Names one request, however often it is sent: 128 random bits. Without chance there is no name,
/// and then the request is sent once.
fn random_key() -> Option<String> {
    let mut octets = [0; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut octets).ok()?;
    Some(identity::text::hex(&octets))
}

/// Whether a status says that the same request may be answered later.
fn is_later(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

#[cfg(test)]
pub(crate) mod tests;
