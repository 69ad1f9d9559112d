//! The world of the tests: a server on free ports in a home of its own, operators, devices and
//! makers, in one process and with a clock that somebody sets. [`World::end`] stops it and
//! re-verifies everything that it wrote ([`audit`]); a world that was never audited is a failed
//! test.

mod audit;
pub(crate) mod line;
pub(crate) mod pki;

use enroll::est::client::{self, Outgoing};
use hyper::Method;
use identity::ask::Want;
use identity::key::SoftwareKey;
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{Certificate, RealmName, RuleId, UnixTime};
use ledger::Payload;
use line::{Caller, Heard, Line};
use pki::{Key, Maker, Shows};
use registry::RealmKey;
use serde_json::{Value, json};
use server::clock::{self, Clock};
use server::home::OperatorFile;
use server::{Running, ServeOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

pub(crate) const HOUR_S: u64 = 3600;
pub(crate) const DAY_S: u64 = 86_400;

/// Whom a refusal is about, and so where its trace must stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// An entry of its own that names this device.
    Device(&'a str),
    /// Nobody that we know: the summary of the hour.
    Stranger,
}

/// A server with everybody around it.
pub(crate) struct World {
    home: TempDir,
    running: Option<Running>,
    clock: Arc<AtomicU64>,
    root: Certificate,
    admin: String,
    operator_line: Option<Line>,
    /// What a balancer says before each connection.
    pub(crate) preface: Vec<u8>,
    /// How many refusals by each rule a test has looked at since the server started.
    counted: BTreeMap<String, u64>,
    /// How many refusals of each entry a test has looked at: one, or of a summary some.
    told: BTreeMap<usize, u64>,
    audited: bool,
}

/// A device that was born here.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) serial: String,
    pub(crate) birth: Shows,
}

/// What opens the root's key of every world.
static SAFE: LazyLock<age::x25519::Identity> = LazyLock::new(age::x25519::Identity::generate);

fn options(home: &Path) -> ServeOptions {
    ServeOptions {
        home: home.to_owned(),
        any_port: true,
        public_url: Some("http://muster.example:8080".to_owned()),
        // The root's key is put away with a key of its own, since a passphrase is slow on purpose.
        root_recipient: Some(SAFE.to_public().to_string()),
        ..ServeOptions::default()
    }
}

async fn start(home: &Path, clock: &Arc<AtomicU64>) -> Result<Running, server::serve::StartError> {
    server::serve::start_at(options(home), Clock::Set(clock.clone())).await
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_config("").await
    }

    /// A world whose server has this `muster.toml`.
    pub(crate) async fn with_config(toml: &str) -> Self {
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("muster.toml"), toml).unwrap();
        let clock = Arc::new(AtomicU64::new(clock::now().millis()));
        let running = start(home.path(), &clock).await.unwrap();
        let file = OperatorFile::read(&home.path().join("operator.toml")).unwrap();
        let root = Certificate::parse_pem(&file.root, 1).unwrap().remove(0);
        Self {
            admin: file.token.clone(),
            home,
            running: Some(running),
            clock,
            root,
            operator_line: None,
            preface: Vec::new(),
            counted: BTreeMap::new(),
            told: BTreeMap::new(),
            audited: false,
        }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn root(&self) -> &Certificate {
        &self.root
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.clock.load(Ordering::Relaxed))
    }

    /// The clock, for somebody who runs beside this test.
    pub(crate) fn clock(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.clock)
    }

    /// Time passes.
    pub(crate) fn later(&self, secs: u64) {
        self.clock.fetch_add(secs * 1000, Ordering::Relaxed);
    }

    /// The clock goes backwards.
    pub(crate) fn earlier(&self, secs: u64) {
        self.clock.fetch_sub(secs * 1000, Ordering::Relaxed);
    }

    /// An online authority with its key, as whoever stole the home has it.
    pub(crate) fn stolen_authority(&self, role: &str) -> Shows {
        let path = self.home.path().join("keys").join(format!("{role}.key"));
        let pem = std::fs::read_to_string(path).unwrap();
        let lines: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
        let key = Key::from_pkcs8(&identity::text::from_base64(lines.as_bytes()).unwrap());
        let realm = self.running().house().realm(&default_realm()).unwrap();
        let authority = realm.authorities.iter().find(|a| a.role.as_str() == role).unwrap();
        Shows::new(authority.certificate.clone(), &key)
    }

    /// The root's key, as whoever carried it away has it.
    pub(crate) fn root_key(&self) -> SoftwareKey {
        use age::secrecy::ExposeSecret as _;
        let identity = TempDir::new().unwrap();
        let identity = identity.path().join("identity.txt");
        std::fs::write(&identity, SAFE.to_string().expose_secret()).unwrap();
        let path = self.home.path().join("offline").join("root.key.age");
        server::keys::unlock_root(&path, &server::keys::Unlock::Identity(&identity)).unwrap()
    }

    /// Everybody believes another root from now on.
    pub(crate) fn believe(&mut self, root: &Certificate) {
        self.root = root.clone();
        self.operator_line = None;
    }

    /// The operator credential of the home.
    pub(crate) fn credential(&self) -> OperatorFile {
        OperatorFile::read(&self.home.path().join("operator.toml")).unwrap()
    }

    /// Where its online keys lie.
    pub(crate) fn keys(&self) -> std::path::PathBuf {
        self.home.path().join("keys")
    }

    /// Stops the server and starts it again on the same home.
    pub(crate) async fn restart(&mut self) {
        self.operator_line = None;
        self.running.take().unwrap().stop().await;
        self.running = Some(start(self.home.path(), &self.clock).await.unwrap());
        // A new process counts from zero.
        self.counted.clear();
    }

    /// The same, and in between somebody changes these octets wherever they stand in the database.
    pub(crate) async fn restart_with(&mut self, from: &[u8], to: &[u8]) {
        self.operator_line = None;
        self.running.take().unwrap().stop().await;
        let path = self.home.path().join("muster.db");
        let mut octets = std::fs::read(&path).unwrap();
        let places: Vec<usize> = octets
            .windows(from.len())
            .enumerate()
            .filter_map(|(at, window)| (window == from).then_some(at))
            .collect();
        assert!(!places.is_empty(), "the database does not have it");
        for at in places {
            octets[at..at + to.len()].copy_from_slice(to);
        }
        std::fs::write(&path, octets).unwrap();
        self.running = Some(start(self.home.path(), &self.clock).await.unwrap());
        self.counted.clear();
    }

    /// A second process on the same home.
    pub(crate) async fn second_start(&self) -> Result<Running, server::serve::StartError> {
        start(self.home.path(), &self.clock).await
    }

    /// Stops the server and re-verifies what it wrote.
    pub(crate) async fn end(mut self) {
        self.audited = true;
        self.operator_line = None;
        self.running.take().unwrap().stop().await;
        audit::audit(self.home.path());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.audited && !std::thread::panicking() {
            panic!("a world was not audited: end every test with `world.end().await`");
        }
    }
}

/// Operators.
impl World {
    pub(crate) fn admin(&self) -> String {
        self.admin.clone()
    }

    async fn operate(
        &mut self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Heard {
        let mut request = hyper::Request::builder()
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
        let request = request.body(http_body_util::Full::from(body)).unwrap();
        let mut line = match self.operator_line.take() {
            Some(line) => line,
            None => {
                let port = self.running().ports().operator.unwrap();
                let version = &rustls::version::TLS13;
                Caller { port, root: &self.root, shows: None, version, preface: &self.preface }
                    .dial()
                    .await
            }
        };
        let heard = line.send(request).await;
        if line.is_open().await {
            self.operator_line = Some(line);
        }
        heard
    }

    /// Asks as another operator than the first.
    pub(crate) async fn ask_as(
        &mut self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Heard {
        self.operate(token, method, path, body).await
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
        let heard = self.operate(&self.admin(), method, path, body).await;
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
        let payload = Payload::new(verb);
        house.commit(key, change, ledger::Class::Door, payload).await.unwrap();
        house.reload(&default_realm()).unwrap();
    }
}

/// A token as its maker shows it.
pub(crate) fn shown(made: &Value) -> ShownToken {
    ShownToken {
        id: TokenId::parse(made["id"].as_str().unwrap()).unwrap(),
        secret: TokenSecret::parse(made["secret"].as_str().unwrap()).unwrap(),
    }
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

/// How many refusals a summary tells of.
fn count(entry: &Payload) -> u64 {
    match entry.get("count") {
        Some(ledger::Value::Uint(count)) => *count,
        other => panic!("a summary counts: {other:?}"),
    }
}

/// What is left behind.
impl World {
    /// Every payload of the ledger that was not erased, oldest first.
    pub(crate) fn entries(&self) -> Vec<Payload> {
        let rows =
            self.running().house().registry.entries(RealmKey(self.realm_key()), 0, 1000).unwrap();
        let kept = rows.iter().filter_map(|row| row.payload.as_deref());
        kept.map(|payload| Payload::decode(payload).unwrap()).collect()
    }

    fn realm_key(&self) -> u16 {
        self.running().house().realm(&default_realm()).unwrap().key.0
    }

    /// The newest entry.
    pub(crate) fn last_entry(&self) -> Payload {
        self.entries().pop().unwrap()
    }

    /// A device was refused by a rule of ours: the right status, the rule's sentence, and a trace.
    #[track_caller]
    pub(crate) fn denied<'w>(
        &'w mut self,
        heard: &'w Heard,
        rule: &'w RuleId,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        let status = match rule.as_str() {
            "no-credential" | "token-refused" => 401,
            "rate" => 429,
            _ => 403,
        };
        assert_eq!((heard.status(), heard.text().trim()), (status, &*rule.sentence()));
        assert_eq!(heard.header("connection") == Some("close"), matches!(status, 401 | 403));
        self.refused(heard, status, (rule.as_str(), about))
    }

    /// A request was refused with this status under this name, and left its trace: it was counted,
    /// and stands in the ledger.
    #[track_caller]
    pub(crate) fn refused<'w>(
        &'w mut self,
        heard: &'w Heard,
        status: u16,
        (rule, about): (&'w str, About<'w>),
    ) -> impl Future<Output = ()> + 'w {
        let place = std::panic::Location::caller();
        assert_eq!(heard.status(), status, "{}", heard.text());
        assert!(heard.header("content-type").unwrap().starts_with("text/plain"));
        assert!(heard.text().trim().len() > 20, "a sentence says who must act: {}", heard.text());
        self.traced(rule, about, place)
    }

    /// A birth was refused by a rule, and left its trace.
    #[track_caller]
    pub(crate) fn birth_denied<'w>(
        &'w mut self,
        rule: &'w RuleId,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        self.traced(rule.as_str(), about, std::panic::Location::caller())
    }

    /// A birth was refused for what its bytes say, and left its trace.
    #[track_caller]
    pub(crate) fn birth_refused<'w>(
        &'w mut self,
        rule: &'w str,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        self.traced(rule, about, std::panic::Location::caller())
    }

    async fn traced(&mut self, rule: &str, about: About<'_>, place: &std::panic::Location<'_>) {
        let counted = self.count_of(rule).await;
        let looked = self.counted.entry(rule.to_owned()).or_default();
        *looked += 1;
        assert!(counted >= *looked, "{place}: a refusal by `{rule}` was not counted");
        self.running().house().summarize_strangers(true).await;
        let entries = self.entries();
        let found = entries.iter().enumerate().find(|(at, entry)| {
            let text = |key: &str| entry.get(key).and_then(|v| v.as_text());
            let told = self.told.get(at).copied().unwrap_or_default();
            text("rule") == Some(rule)
                && match about {
                    About::Device(id) => {
                        entry.verb().ends_with(".denied") && text("device") == Some(id) && told == 0
                    }
                    About::Stranger => entry.verb() == "strangers.refused" && told < count(entry),
                }
        });
        let Some((at, _)) = found else {
            let told = entries.iter().filter(|e| e.get("rule").is_some());
            panic!(
                "{place}: no entry tells of `{rule}` about {about:?}: {:#?}",
                told.collect::<Vec<_>>()
            );
        };
        *self.told.entry(at).or_default() += 1;
    }

    /// What Prometheus reads.
    pub(crate) async fn metrics(&mut self) -> String {
        self.operate(&self.admin(), Method::GET, "/metrics", None).await.text().to_owned()
    }

    /// How often a rule said no, as Prometheus reads it.
    pub(crate) async fn count_of(&mut self, rule: &str) -> u64 {
        let page = self.metrics().await;
        let label = format!("rule=\"{rule}\"");
        let rows =
            page.lines().filter(|l| l.starts_with("muster_refusals_total{") && l.contains(&label));
        rows.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}
