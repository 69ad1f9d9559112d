//! The world of the tests: a server on free ports in a home of its own, operators, devices and
//! makers, in one process and with a clock that somebody sets. [`World::end`] stops it and
//! re-verifies everything that it wrote ([`audit`]); a world that was never audited is a failed
//! test.

mod audit;
mod fleet;
pub(crate) mod line;
mod operator;
pub(crate) mod pki;
mod trace;

pub(crate) use fleet::{Device, birth_of, cacerts, default_realm, simpleenroll, simplereenroll};
pub(crate) use trace::About;

use identity::key::SoftwareKey;
use identity::{Certificate, UnixTime};
use line::Line;
use pki::{Key, Shows};
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
        self.stop_and_change(from, to).await;
        self.running = Some(start(self.home.path(), &self.clock).await.unwrap());
        self.counted.clear();
    }

    /// The same where the start is refused; gives its sentence.
    pub(crate) async fn refused_start_with(&mut self, from: &[u8], to: &[u8]) -> String {
        self.stop_and_change(from, to).await;
        start(self.home.path(), &self.clock).await.err().unwrap().to_string()
    }

    async fn stop_and_change(&mut self, from: &[u8], to: &[u8]) {
        self.operator_line = None;
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
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
