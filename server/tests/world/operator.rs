//! Operators, and what happens behind their interface.

use super::World;
use super::fleet::default_realm;
use super::line::{Caller, Heard, Line};
use super::pki::Maker;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use identity::token::{ShownToken, TokenId, TokenSecret};
use ledger::{Event, Payload};
use registry::RealmKey;
use serde_json::{Value, json};

/// What an operator sends.
fn request(token: &str, method: Method, path: &str, body: Option<Value>) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"));
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            serde_json::to_vec(&body).unwrap()
        }
        None => Vec::new(),
    };
    request.body(Full::from(body)).unwrap()
}

/// Operators.
impl World {
    pub(crate) fn admin(&self) -> String {
        self.admin.clone()
    }

    /// Asks as the operator whose token this is.
    pub(crate) async fn ask_as(
        &mut self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Heard {
        let mut line = match self.operator_line.take() {
            Some(line) => line,
            None => self.dial_operator().await,
        };
        let heard = line.send(request(token, method, path, body)).await;
        if line.is_open().await {
            self.operator_line = Some(line);
        }
        heard
    }

    /// Two admins ask at the same time, each over a line of its own.
    pub(crate) async fn ask_both(
        &self,
        one: (Method, &str, Option<Value>),
        two: (Method, &str, Option<Value>),
    ) -> [Heard; 2] {
        let (mut first, mut second) = (self.dial_operator().await, self.dial_operator().await);
        let of = |(method, path, body)| request(&self.admin, method, path, body);
        let heard = tokio::join!(first.send(of(one)), second.send(of(two)));
        heard.into()
    }

    async fn dial_operator(&self) -> Line {
        self.operator_caller().dial().await
    }

    /// Somebody who comes to the operator port.
    pub(crate) fn operator_caller(&self) -> Caller<'_> {
        let port = self.running().ports().operator.unwrap();
        let version = &rustls::version::TLS13;
        Caller { port, root: &self.root, shows: None, version, preface: &self.preface }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Value {
        self.done(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: Value) -> Value {
        self.done(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Value {
        self.done(Method::DELETE, path, None).await
    }

    async fn done(&mut self, method: Method, path: &str, body: Option<Value>) -> Value {
        let heard = self.ask_as(&self.admin(), method, path, body).await;
        assert!(matches!(heard.status(), 200 | 201), "{path}: {} {}", heard.status(), heard.text());
        heard.json()
    }

    pub(crate) async fn device(&mut self, id: &str) -> Value {
        self.get(&format!("/api/v1/devices/{}", id.replace('/', "%2F"))).await
    }

    pub(crate) async fn suspend(&mut self, id: &str) {
        self.post(&format!("/api/v1/devices/{id}/suspend"), json!({"reason": "stolen"})).await;
    }

    pub(crate) async fn resume(&mut self, id: &str) {
        self.post(&format!("/api/v1/devices/{id}/resume"), json!({})).await;
    }

    pub(crate) async fn quarantine(&mut self, id: &str) {
        let path = format!("/api/v1/devices/{id}/quarantine");
        self.post(&path, json!({"reason": "seen twice"})).await;
    }

    pub(crate) async fn release(&mut self, id: &str) {
        self.post(&format!("/api/v1/devices/{id}/release"), json!({})).await;
    }

    pub(crate) async fn retire(&mut self, id: &str) {
        self.post(&format!("/api/v1/devices/{id}/retire"), json!({})).await;
    }

    pub(crate) async fn revoke(&mut self, certificate: &str, reason: &str) -> Value {
        let path = format!("/api/v1/certificates/{certificate}/revoke");
        self.post(&path, json!({ "reason": reason })).await
    }

    pub(crate) async fn set(&mut self, key: &str, value: &str) {
        self.put("/api/v1/settings", json!({"key": key, "value": value})).await;
    }

    /// Sets for the devices of one group.
    pub(crate) async fn set_for(&mut self, group: &str, key: &str, value: &str) {
        let request = json!({"key": key, "value": value, "group": group});
        self.put("/api/v1/settings", request).await;
    }

    pub(crate) async fn token(&mut self, request: Value) -> ShownToken {
        let made = self.post("/api/v1/tokens", request).await;
        shown(&made)
    }

    /// Opens a door for a maker, its root the anchor; `more` goes over what is said of the maker.
    pub(crate) async fn maker_door(&mut self, name: &str, maker: &Maker, more: Value) {
        let mut said = json!({ "anchors": maker.root.certificate().pem() });
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.put(&format!("/api/v1/doors/{name}"), json!({"kind": "maker", "maker": said})).await;
    }
}

/// What no interface lets anybody do, and what may have happened all the same.
impl World {
    /// Commits a change of what the realm wants, past the operators' interface.
    pub(crate) async fn rule(&self, change: registry::Change, verb: &str) {
        let (house, key) = (self.running().house(), RealmKey(self.realm_key()));
        let (payload, class) = (Payload::new(verb), Event::of(verb).unwrap().class);
        house.commit(key, change, class, payload).await.unwrap();
        house.reload(&default_realm()).unwrap();
    }
}

/// A token as its maker shows it.
fn shown(made: &Value) -> ShownToken {
    ShownToken {
        id: TokenId::parse(made["id"].as_str().unwrap()).unwrap(),
        secret: TokenSecret::parse(made["secret"].as_str().unwrap()).unwrap(),
    }
}
