//! Units from their birth on: what a station says of them, and what they say themselves.

use super::World;
use super::line::{self, Caller, Heard, Line};
use super::pki::{Key, Shows};
use enroll::est::client::{self, Outgoing};
use identity::ask::Want;
use identity::token::ShownToken;
use identity::{Certificate, RealmName};
use serde_json::{Value, json};

/// A device that was born here.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) serial: String,
    pub(crate) birth: Shows,
}

/// Stations.
impl World {
    /// What a station says of one unit, and what it is told.
    pub(crate) async fn birth(&mut self, key: &Key, said: Value) -> Value {
        let mut unit = json!({ "csr": identity::text::base64(&key.csr("")), "model": "P7" });
        unit.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let told = self.post("/api/v1/births", json!({ "births": [unit] })).await;
        told["results"][0].clone()
    }

    /// A unit with a birth certificate.
    pub(crate) async fn born(&mut self, serial: &str) -> Device {
        let key = Key::new();
        let told = self.birth(&key, json!({ "serial": serial })).await;
        assert_eq!(told["outcome"], "issued", "{told}");
        Device {
            id: told["device"].as_str().unwrap().to_owned(),
            serial: serial.to_owned(),
            birth: birth_of(&told, &key),
        }
    }

    /// A unit that was born and has joined; its leaf.
    pub(crate) async fn enrolled(&mut self, serial: &str) -> (Device, Shows) {
        let device = self.born(serial).await;
        let key = Key::new();
        let leaf = self.join(&device.birth, &key).await.leaf(&key);
        (device, leaf)
    }
}

/// The birth certificate that a station was told.
pub(crate) fn birth_of(told: &Value, key: &Key) -> Shows {
    let chain = Certificate::parse_pem(told["certificate"].as_str().unwrap(), 4).unwrap();
    Shows { chain, key: key.clone() }
}

/// Devices.
impl World {
    pub(crate) fn caller<'a>(&'a self, shows: Option<&'a Shows>) -> Caller<'a> {
        let port = self.running().ports().device.unwrap();
        Caller {
            port,
            root: &self.root,
            shows,
            version: &rustls::version::TLS13,
            preface: &self.preface,
        }
    }

    /// Opens a connection to the public port.
    pub(crate) async fn public(&self) -> Line {
        Line::plain_after(self.running().ports().public.unwrap(), &self.preface).await
    }

    /// Opens a connection to the device port.
    pub(crate) async fn dial(&self, shows: Option<&Shows>) -> Line {
        self.caller(shows).dial().await
    }

    /// Says one thing over a connection of its own.
    pub(crate) async fn say(&self, shows: Option<&Shows>, say: Outgoing) -> Heard {
        self.dial(shows).await.say(say).await
    }

    /// Says something of our own device interface: a report, or a farewell.
    pub(crate) async fn say_own(
        &self,
        shows: Option<&Shows>,
        method: &'static str,
        operation: &str,
        body: &str,
    ) -> Heard {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        let path = format!("/device/v1/{operation}");
        self.say(shows, Outgoing { method, path, headers, body: body.as_bytes().to_vec() }).await
    }

    /// Joins with a request that claims nothing.
    pub(crate) async fn join(&self, shows: &Shows, key: &Key) -> Heard {
        self.say(Some(shows), simpleenroll(&key.csr(""))).await
    }

    pub(crate) async fn renew(&self, shows: &Shows, key: &Key) -> Heard {
        self.say(Some(shows), simplereenroll(&key.csr(""))).await
    }

    /// Joins with a token, claiming a serial number.
    pub(crate) async fn join_by(&self, token: &ShownToken, key: &Key, serial: &str) -> Heard {
        let say = client::enroll(&default_realm(), Want::Join, &key.csr(serial), Some(token));
        self.say(None, say).await
    }

    /// Contact: the leaf is used from now on.
    pub(crate) async fn contact(&self, leaf: &Shows) {
        let heard = self.say(Some(leaf), cacerts()).await;
        assert_eq!(heard.status(), 200);
    }

    /// Contact that may be cut; `false` where there was no answer.
    pub(crate) async fn knock(&self, shows: &Shows) -> bool {
        let mut line = self.dial(Some(shows)).await;
        line.try_send(line::request(&cacerts())).await.is_ok()
    }
}

pub(crate) fn default_realm() -> RealmName {
    RealmName::default_realm()
}

pub(crate) fn cacerts() -> Outgoing {
    client::cacerts(&default_realm())
}

pub(crate) fn simpleenroll(csr: &[u8]) -> Outgoing {
    client::enroll(&default_realm(), Want::Join, csr, None)
}

pub(crate) fn simplereenroll(csr: &[u8]) -> Outgoing {
    client::enroll(&default_realm(), Want::Renew, csr, None)
}
