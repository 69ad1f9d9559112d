//! Our own agent against the server: the same code as in `muster-agent`, with the world's clock. It
//! begins anew for each step, as after a pulled plug; what a kill in the middle of one leaves is
//! tried with the program itself, in `strangers/agent`.
//!
//! How a device that was refused, or whose clock is wrong, comes back is in `back`, what a disk may
//! do to its state in `damage`, whom it believes in `roots`, what a door demands of it in `receipt`,
//! and what the device says of itself in `own`.

mod back;
mod damage;
mod own;
mod receipt;
mod roots;

use crate::world::pki::{Key, Maker, Shows};
use crate::world::{DAY_S, Device, HOUR_S, World};
use agent::Trouble;
use agent::config::{Config, Typed};
use agent::keeper::Keeper;
use agent::plan::Step;
use agent::status::Status;
use agent::store::Store;
use agent::time::Reading;
use identity::certificate::pem;
use identity::token::ShownToken;
use identity::{Certificate, RuleId, UnixTime};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// A device with our agent on it.
struct Unit {
    dir: TempDir,
    clock: Arc<AtomicU64>,
    /// What the system's clock says, where it is not the world's.
    system: Option<UnixTime>,
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

impl Unit {
    /// With what `muster birth` writes, and a configuration that goes on with `more`.
    fn born(world: &World, device: &Device, more: &str) -> Self {
        let unit = Self::bare(world, more);
        unit.give(&device.birth);
        unit
    }

    /// With the address of the server and the pin of its root.
    fn bare(world: &World, more: &str) -> Self {
        let pin = world.root().spki_hash();
        Self::with(world, &format!("root_pin = \"{pin}\"\n{more}"))
    }

    fn with(world: &World, more: &str) -> Self {
        let unit = Self { dir: TempDir::new().unwrap(), clock: world.clock(), system: None };
        let port = world.running().ports().device.unwrap();
        let toml = format!("url = \"https://localhost:{port}\"\ndiscover = false\n{more}");
        fs::write(unit.path("muster-agent.toml"), toml).unwrap();
        unit
    }

    /// A certificate to join with.
    fn give(&self, shows: &Shows) {
        let chain: String = shows.chain.iter().map(Certificate::pem).collect();
        fs::write(self.path("birth.pem"), chain).unwrap();
        private(&self.path("birth.key"), &pem("PRIVATE KEY", shows.key.pkcs8()));
    }

    /// A token to join with, where the configuration names one.
    fn vouch(&self, token: &ShownToken) {
        let text = format!("{}.{}\n", token.id, token.secret.dangerous_reveal());
        private(&self.path("token"), &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn keeper(&self) -> Keeper {
        let system = self.system;
        self.keeper_whose(move |now| system.unwrap_or(now))
    }

    /// A keeper on a system whose clock says this of each moment.
    fn keeper_whose(&self, system: impl Fn(UnixTime) -> UnixTime + Send + 'static) -> Keeper {
        let typed = Typed {
            config: Some(self.path("muster-agent.toml")),
            state: Some(self.state()),
            ..Typed::default()
        };
        let clock = Arc::clone(&self.clock);
        let clocks = move || {
            let now = clock.load(Ordering::Relaxed);
            Reading { system: system(UnixTime::from_millis(now)), counted_ms: now }
        };
        Keeper::with_clocks(Config::read(&typed).unwrap(), Box::new(clocks)).unwrap()
    }

    async fn with_keeper<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> T {
        let mut keeper = self.keeper();
        tokio::task::spawn_blocking(move || act(&mut keeper)).await.unwrap()
    }

    /// From now on it goes through this proxy.
    fn go_through(&self, port: u16) {
        let path = self.path("muster-agent.toml");
        let text = fs::read_to_string(&path).unwrap();
        let proxy = format!("proxy = \"http://me:pw@127.0.0.1:{port}\"\n");
        fs::write(path, format!("{text}\n{proxy}")).unwrap();
    }

    /// Does what there is to do.
    async fn settle(&self) -> Step {
        self.with_keeper(|keeper| keeper.settle().unwrap()).await
    }

    async fn insist(&self, step: Step) -> Result<(), Trouble> {
        self.with_keeper(move |keeper| keeper.insist(step)).await
    }

    fn status(&self) -> Status {
        let now = UnixTime::from_millis(self.clock.load(Ordering::Relaxed));
        Status::read(&Store::at(&self.state()), now).unwrap()
    }

    /// What a server said last of the time.
    fn told(&self) -> UnixTime {
        Store::at(&self.state()).clock().unwrap().unwrap().told
    }

    /// The leaf that programs find.
    fn leaf(&self) -> Certificate {
        let text = fs::read_to_string(self.state().join("current/cert.pem")).unwrap();
        Certificate::parse_pem(&text, 1).unwrap().remove(0)
    }
}

/// How many entries of a device have this verb.
fn entries(world: &World, device: &str, verb: &str) -> usize {
    let of_device = |e: &ledger::Payload| e.get("device").and_then(|v| v.as_text()) == Some(device);
    world.entries().iter().filter(|e| e.verb() == verb && of_device(e)).count()
}

#[tokio::test]
async fn a_device_that_was_born_joins_and_renews_for_a_season_each_time_with_a_new_key() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "on_renew = \"echo x >> $MUSTER_CURRENT/../../told\"");

    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..27 {
        assert!(matches!(unit.settle().await, Step::Wait(_)));
        assert_eq!(unit.status().state, "enrolled");
        keys.insert(unit.leaf().spki_hash());
        world.later(3 * DAY_S);
    }

    let generation = world.device(&device.id).await["generation"].as_u64().unwrap();
    assert!((5..=8).contains(&generation), "{generation} leaves in 81 days of a 30 day profile");
    assert_eq!(keys.len() as u64, generation);
    let told = fs::read_to_string(unit.state().join("told")).unwrap();
    assert_eq!(told.lines().count() as u64, generation);
    assert_eq!(world.device(&device.id).await["weak_detection"], false);
    world.end().await;
}

#[tokio::test]
async fn a_makers_unit_and_one_with_a_token_join_by_their_doors() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    let bought = Unit::bare(&world, "");
    bought.give(&maker.unit("S1"));
    bought.settle().await;
    assert_eq!(world.device("serial:acme//S1").await["standing"], "enrolled");

    let token = world.token(json!({"uses": 1, "serial": "old-1"})).await;
    let old = Unit::bare(&world, "token = \"token\"\nserial = \"old-1\"");
    old.vouch(&token);
    old.settle().await;
    assert_eq!(old.status().state, "enrolled", "{:?}", old.status());
    // The token is spent; the leaf renews.
    world.later(20 * DAY_S);
    old.settle().await;
    assert_eq!(world.device("serial:old-1").await["generation"], 2);
    world.end().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key_and_is_the_same_certificate() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    // The key is durable, the request went out, and the plug was pulled before the answer came.
    let key = Key::new();
    let store = Store::lock(&unit.state()).unwrap();
    store.put_pending(pem("PRIVATE KEY", key.pkcs8()).as_bytes()).unwrap();
    drop(store);
    let lost = world.join(&device.birth, &key).await.leaf(&key);

    unit.settle().await;

    assert_eq!(unit.leaf().der(), lost.certificate().der());
    assert_eq!(world.device(&device.id).await["generation"], 1);
    assert!(!unit.status().pending);
    world.end().await;
}

#[tokio::test]
async fn a_suspended_device_says_so_waits_long_and_comes_back_by_itself() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let leaf = unit.leaf();

    world.suspend(&device.id).await;
    world.later(16 * DAY_S);
    let Step::Wait(until) = unit.settle().await else { panic!("it waits") };

    let status = unit.status();
    assert_eq!(status.state, "refused");
    assert!(status.trouble.unwrap().contains(&*RuleId::SUSPENDED.sentence()));
    assert!(until.secs_since(world.now()) >= HOUR_S / 2, "nobody acts sooner");
    assert_eq!(unit.leaf().der(), leaf.der(), "the leaf stays: the suspension may end");
    assert_eq!(entries(&world, &device.id, "renew.denied"), 1);

    world.resume(&device.id).await;
    world.later(2 * HOUR_S);
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled");
    assert_ne!(unit.leaf().der(), leaf.der());
    world.end().await;
}

#[tokio::test]
async fn a_device_that_was_quarantined_and_released_between_two_contacts_notices_within_a_day() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    world.quarantine(&device.id).await;
    world.release(&device.id).await;

    world.later(DAY_S);
    unit.settle().await;
    assert_eq!(unit.status().state, "refused");
    assert_eq!(entries(&world, &device.id, "report.denied"), 1);
    world.later(2 * HOUR_S);
    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    assert_ne!(unit.leaf().spki_hash(), before.spki_hash());
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_starts_in_1970_and_one_that_is_years_ahead_learn_the_time_from_the_server() {
    let mut world = World::new().await;
    // Later than the build, so that the server's certificate is not valid yet at the floor.
    world.later(DAY_S);
    let far = UnixTime::from_secs(world.now().secs() + 20 * 365 * DAY_S);
    for (serial, system) in [("pump-7", UnixTime::from_secs(7)), ("pump-8", far)] {
        let device = world.born(serial).await;
        let unit = Unit { system: Some(system), ..Unit::born(&world, &device, "") };
        unit.settle().await;
        assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
        assert!(world.now().secs().abs_diff(unit.told().secs()) <= 2);
        // And after a restart it renews in time.
        world.later(20 * DAY_S);
        let again = Unit { system: Some(system), ..unit };
        again.insist(Step::Renew).await.unwrap();
        world.earlier(20 * DAY_S);
    }
    world.end().await;
}

#[tokio::test]
async fn a_server_whose_clock_was_ahead_for_an_hour_locks_no_device_out() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit { system: Some(world.now()), ..Unit::born(&world, &device, "") };
    unit.settle().await;
    let before = unit.leaf();
    // As far as the certificate of the server reaches.
    world.later(80 * DAY_S);
    assert!(unit.insist(Step::Renew).await.unwrap_err().is_turned_away(), "the leaf has ended");
    assert!(unit.told().secs_since(before.not_after()) > 40 * DAY_S, "and it is believed");

    world.earlier(80 * DAY_S);
    unit.insist(Step::Renew).await.unwrap();

    assert_ne!(unit.leaf().der(), before.der());
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    assert!(world.now().secs().abs_diff(unit.told().secs()) <= 2);
    let floor = Store::at(&unit.state()).clock().unwrap().unwrap().floor;
    assert!(floor <= world.now(), "nothing of it stays");
    world.end().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_nothing_is_lost() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let (leaf, toml) = (unit.leaf(), fs::read_to_string(unit.path("muster-agent.toml")).unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = world.running().ports().device.unwrap().to_string();
    fs::write(unit.path("muster-agent.toml"), toml.replace(&port, &closed.to_string())).unwrap();

    world.later(16 * DAY_S);
    let Step::Wait(first) = unit.settle().await else { panic!("it waits") };
    assert!((20..=40).contains(&first.secs_since(world.now())));
    world.later(60);
    let Step::Wait(second) = unit.settle().await else { panic!("it waits") };
    assert!((40..=80).contains(&second.secs_since(world.now())));
    assert_eq!(unit.leaf().der(), leaf.der());
    assert!(unit.status().pending, "the key of the request stays for the next try");

    fs::write(unit.path("muster-agent.toml"), toml).unwrap();
    world.later(120);
    unit.settle().await;
    assert_ne!(unit.leaf().der(), leaf.der());
    world.end().await;
}

#[tokio::test]
async fn a_proxy_carries_the_agent_to_its_server() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gate.local_addr().unwrap().port();
    let unit = Unit::born(&world, &device, &format!("proxy = \"http://me:pw@127.0.0.1:{port}\"\n"));
    std::thread::spawn(move || gate.incoming().for_each(|tcp| carry(tcp.unwrap())));

    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    world.end().await;
}

/// A proxy: reads a CONNECT with the right password, and carries what follows.
fn carry(mut near: TcpStream) {
    let mut head = Vec::new();
    let mut octet = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        near.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{head}");
    let to = head.split(' ').nth(1).unwrap().to_owned();
    let mut far = TcpStream::connect(to.replace("localhost", "127.0.0.1")).unwrap();
    near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
    let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
    std::thread::spawn(move || {
        // Either end may hang up first.
        drop(std::io::copy(&mut back, &mut forth));
        drop(forth.shutdown(std::net::Shutdown::Write));
    });
    drop(std::io::copy(&mut near, &mut far));
    drop(far.shutdown(std::net::Shutdown::Write));
}
