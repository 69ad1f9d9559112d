//! Our own agent against the server: the same code as in `muster-agent`, with the world's clock. It
//! begins anew for each step, as after a pulled plug; what a kill in the middle of one leaves is
//! tried with the program itself, in `strangers/agent`.

use crate::world::pki::{Key, Maker, Shows};
use crate::world::{About, DAY_S, Device, HOUR_S, World};
use agent::Trouble;
use agent::config::{Config, Typed};
use agent::keeper::Keeper;
use agent::plan::Step;
use agent::status::Status;
use agent::store::Store;
use agent::time::Reading;
use hyper::Method;
use identity::certificate::pem;
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn keeper(&self) -> Keeper {
        let typed = Typed {
            config: Some(self.path("muster-agent.toml")),
            state: Some(self.state()),
            ..Typed::default()
        };
        let (clock, system) = (Arc::clone(&self.clock), self.system);
        let clocks = move || {
            let now = clock.load(Ordering::Relaxed);
            Reading { system: system.unwrap_or(UnixTime::from_millis(now)), counted_ms: now }
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
    let text = format!("{}.{}\n", token.id, token.secret.dangerous_reveal());
    private(&old.path("token"), &text);
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
async fn a_device_that_was_released_from_quarantine_joins_anew_with_a_new_key() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let before = unit.leaf();
    world.post(&format!("/api/v1/devices/{}/quarantine", device.id), json!({})).await;
    assert!(unit.insist(Step::Renew).await.unwrap_err().is_turned_away());
    world.post(&format!("/api/v1/devices/{}/release", device.id), json!({})).await;

    world.later(2 * HOUR_S);
    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled");
    assert_ne!(unit.leaf().spki_hash(), before.spki_hash());
    assert_eq!(entries(&world, &device.id, "join.issued"), 2);
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_ended_while_the_device_was_off_is_joined_again() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    world.later(60 * DAY_S);
    assert_eq!(unit.status().state, "ended");

    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled");
    assert_eq!(entries(&world, &device.id, "join.issued"), 2);
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
        let kept: u64 =
            fs::read_to_string(unit.state().join("clock")).unwrap().trim().parse().unwrap();
        assert!(world.now().secs().abs_diff(kept) <= 2);
        // And after a restart it renews in time.
        world.later(20 * DAY_S);
        let again = Unit { system: Some(system), ..unit };
        again.insist(Step::Renew).await.unwrap();
        world.earlier(20 * DAY_S);
    }
    world.end().await;
}

#[tokio::test]
async fn only_a_server_under_the_pinned_root_is_asked_for_anything() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let other = Unit::with(&world, &format!("root_pin = \"{}\"", "ab".repeat(32)));
    other.give(&device.birth);
    let trouble = other.insist(Step::Join).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");

    // Another realm's root, whole: its pin cannot lead to our server either.
    let foreign = Unit::with(&world, "");
    foreign.give(&device.birth);
    let maker = Maker::new("ACME", world.now());
    fs::write(foreign.path("root.pem"), maker.root.certificate().pem()).unwrap();
    let trouble = foreign.insist(Step::Join).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Untrusted(_)), "{trouble}");

    let unpinned = Unit::with(&world, "");
    unpinned.give(&device.birth);
    let trouble = unpinned.insist(Step::Join).await.unwrap_err();
    assert_eq!(trouble.exit_code(), 2, "{trouble}");
    assert_eq!(world.device(&device.id).await["standing"], "born");
    world.end().await;
}

#[tokio::test]
async fn a_token_may_trust_the_first_root_where_somebody_says_so_and_holds_to_it() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let text = format!("{}.{}\n", token.id, token.secret.dangerous_reveal());
    let unit = Unit::with(&world, "token = \"token\"\ntrust_first = true\nserial = \"old-1\"");
    private(&unit.path("token"), &text);

    unit.settle().await;

    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    let kept = fs::read_to_string(unit.state().join("anchors.pem")).unwrap();
    assert_eq!(kept, world.root().pem());

    // Without a token there is nothing that the trust would be for.
    let device = world.born("pump-7").await;
    let born = Unit::with(&world, "trust_first = true");
    born.give(&device.birth);
    let trouble = born.insist(Step::Join).await.unwrap_err();
    assert_eq!(trouble.exit_code(), 2, "{trouble}");
    world.end().await;
}

#[tokio::test]
async fn what_a_device_reports_is_shown_and_written_once() {
    let mut world = World::new().await;
    let told = world.birth(&Key::new(), json!({"serial": "x"})).await;
    assert_eq!(told["outcome"], "issued");
    let device = world.born("pump-7").await;
    let more = "firmware = \"2.1.0\"\nserial = \"pump-7\"\nmac = \"00:11:22:33:44:55\"";
    let unit = Unit::born(&world, &device, more);
    unit.settle().await;
    unit.settle().await;

    let shown = world.device(&device.id).await;
    assert_eq!(shown["reported"]["firmware"], "2.1.0");
    assert_eq!(shown["reported"]["mac"], json!(["00:11:22:33:44:55"]));
    unit.insist(Step::Report).await.unwrap();
    assert_eq!(entries(&world, &device.id, "device.reported"), 1);
    assert_eq!(unit.status().report_refused, None);
    world.end().await;
}

#[tokio::test]
async fn a_report_that_contradicts_the_birth_marks_the_device_and_its_leaf_works_on() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "model = \"P9\"\nfirmware = \"2.1.0\"");
    unit.settle().await;

    assert!(world.device(&device.id).await["mark"].as_str().unwrap().contains("model"));
    assert_eq!(world.device(&device.id).await["reported"], json!(null));
    assert_eq!(entries(&world, &device.id, "report.denied"), 1);
    let status = unit.status();
    assert_eq!((status.state, status.is_well()), ("enrolled", false));
    assert!(status.report_refused.unwrap().contains("birth record"));
    world.end().await;
}

#[tokio::test]
async fn only_a_live_leaf_of_a_device_in_good_standing_reports_or_leaves() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let stranger = world.say_own(None, "PUT", "report", "{}").await;
    world.denied(&stranger, &RuleId::NO_CREDENTIAL, About::Stranger).await;
    let birth = world.say_own(Some(&device.birth), "POST", "leave", "").await;
    world.denied(&birth, &RuleId::NOT_ENROLLED, About::Device(&device.id)).await;
    for (method, body, status, rule) in [
        ("GET", "", 405, "method"),
        ("PUT", "{", 400, "report-json"),
        ("PUT", "{\"firmware\":\"\"}", 400, "firmware"),
        ("PUT", "{\"colour\":\"red\"}", 400, "report-json"),
    ] {
        let heard = world.say_own(Some(&leaf), method, "report", body).await;
        world.refused(&heard, status, (rule, About::Device(&device.id))).await;
    }

    world.suspend(&device.id).await;
    for (method, operation) in [("PUT", "report"), ("POST", "leave")] {
        let heard = world.say_own(Some(&leaf), method, operation, "{}").await;
        world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    }
    world.resume(&device.id).await;
    assert_eq!(world.say_own(Some(&leaf), "PUT", "report", "{}").await.status(), 204);
    assert_eq!(world.say_own(Some(&leaf), "POST", "leave", "").await.status(), 204);
    let gone = world.say_own(Some(&leaf), "PUT", "report", "{}").await;
    world.denied(&gone, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn who_leaves_is_revoked_and_wiped_and_comes_back_only_when_somebody_says_so() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let serial = unit.leaf().serial().unwrap().to_string();

    unit.with_keeper(|keeper| keeper.leave(false)).await.unwrap();

    let shown = world.get(&format!("/api/v1/certificates/{serial}")).await;
    assert_eq!(shown["revoked"]["reason"], "cessationOfOperation", "{shown}");
    assert_eq!(entries(&world, &device.id, "device.left"), 1);
    assert!(!unit.state().join("current").exists());
    assert!(fs::read_dir(unit.state().join("sets")).unwrap().next().is_none());
    assert!(unit.path("birth.key").exists());
    assert_eq!((unit.settle().await, unit.status().state), (Step::Stuck, "left"));

    unit.with_keeper(|keeper| keeper.come_back()).await.unwrap();
    unit.insist(Step::Join).await.unwrap();
    assert_eq!(unit.status().state, "enrolled");
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

#[tokio::test]
async fn what_the_device_says_has_the_method_of_its_own_and_a_realm_that_exists() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let mut line = world.dial(Some(&leaf)).await;
    let heard = line.get("/device/v1/nowhere/report", &[]).await;
    assert_eq!(heard.status(), 404);
    let heard = world.say_own(Some(&leaf), Method::GET.as_str(), "leave", "").await;
    assert_eq!((heard.status(), heard.header("allow")), (405, Some("POST")));
    world.end().await;
}
