//! Connections: what ends them, how many requests strangers and devices have, and who speaks for
//! others.

use crate::world::pki::{Key, Maker, Shows};
use crate::world::{About, HOUR_S, World, default_realm, simpleenroll, simplereenroll};
use agent::{Dialer, Exchange, Identity};
use enroll::est::client::{self, Reply};
use hyper::Method;
use identity::{RuleId, Signer};
use serde_json::json;
use server::limits::{CONNECTIONS_PER_KEY_MAX, STRANGER_BURST};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_device_that_is_served_keeps_its_connection_and_one_that_is_denied_does_not() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let mut line = world.dial(Some(&leaf)).await;
    let (key, next) = (Key::new(), Key::new());

    line.say(simplereenroll(&key.csr(""))).await.leaf(&key);
    line.say(simplereenroll(&next.csr(""))).await.leaf(&next);
    let heard = line.say(simpleenroll(b"nonsense")).await;
    world.refused(&heard, 400, ("csr-der", About::Device(&device.id))).await;
    assert!(line.is_open().await, "bytes may be mended");

    world.suspend(&device.id).await;
    assert!(!line.is_open().await, "who is struck off has no open connection");
    let mut line = world.dial(Some(&leaf)).await;
    let heard = line.say(simplereenroll(&key.csr(""))).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    assert!(!line.is_open().await, "403 closes");

    let mut line = world.dial(None).await;
    let heard = line.say(simpleenroll(&key.csr(""))).await;
    world.denied(&heard, &RuleId::NO_CREDENTIAL, About::Stranger).await;
    assert!(!line.is_open().await, "401 closes");
    world.end().await;
}

/// An idle connection that was kept alive after an answer, and the moment at which it ends.
async fn idle(world: &World, shows: &Shows) -> JoinHandle<Instant> {
    let mut stream = world.caller(Some(shows)).stream().await.unwrap();
    let asked = b"GET /.well-known/est/cacerts HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut heard = [0; 16 * 1024];
    let count = stream.read(&mut heard).await.unwrap();
    assert!(heard[..count].starts_with(b"HTTP/1.1 200"));
    tokio::spawn(async move {
        // What is left of the answer, and then the end, in order: `close_notify` and no reset.
        while stream.read(&mut heard).await.unwrap() > 0 {}
        Instant::now()
    })
}

#[tokio::test]
async fn the_open_connections_of_a_device_that_is_struck_off_end_at_once_and_no_others() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let (_, other) = world.enrolled("pump-8").await;
    let by_birth = idle(&world, &device.birth).await;
    let by_leaf = idle(&world, &leaf).await;
    let spared = idle(&world, &other).await;

    let asked = Instant::now();
    world.suspend(&device.id).await;
    for ended in [by_birth, by_leaf] {
        let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
        let took = ended.expect("it ends").unwrap().duration_since(asked);
        println!("from the operator's request to the end of the connection: {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert!(!spared.is_finished());
    spared.abort();
    let metrics = world.metrics().await;
    let cut = r#"muster_connections_lost_total{listener="device",why="cut"} 2"#;
    assert!(metrics.contains(cut), "{metrics}");
    world.end().await;
}

#[tokio::test]
async fn the_open_connections_of_a_revoked_key_end_and_those_of_its_devices_other_key_do_not() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let by_birth = idle(&world, &device.birth).await;
    let by_leaf = idle(&world, &leaf).await;

    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;

    tokio::time::timeout(Duration::from_secs(5), by_leaf).await.expect("it ends").unwrap();
    assert!(!by_birth.is_finished(), "with it the device comes back, with a new key");
    by_birth.abort();
    world.end().await;
}

#[tokio::test]
async fn beyond_its_bound_a_device_loses_its_own_oldest_connection_and_nobody_elses() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let (_, other) = world.enrolled("pump-8").await;
    let spared = idle(&world, &other).await;
    let mut open = Vec::new();
    for _ in 0..=CONNECTIONS_PER_KEY_MAX {
        open.push(idle(&world, &leaf).await);
    }

    let oldest = open.remove(0);
    tokio::time::timeout(Duration::from_secs(5), oldest).await.expect("it makes room").unwrap();
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    let next = open.remove(0);
    tokio::time::timeout(Duration::from_secs(5), next).await.expect("as does the next").unwrap();

    assert!(open.iter().chain([&spared]).all(|one| !one.is_finished()));
    open.iter().chain([&spared]).for_each(JoinHandle::abort);
    let metrics = world.metrics().await;
    let evicted = r#"muster_connections_lost_total{listener="device",why="evicted"} 2"#;
    assert!(metrics.contains(evicted), "{metrics}");
    world.end().await;
}

#[tokio::test]
async fn a_stop_ends_streams_of_events_at_once() {
    let mut world = World::new().await;
    let mut stream = world.operator_caller().stream().await.unwrap();
    let asked = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        world.admin()
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(8).any(|said| said == b": muster") {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
    }

    let at = Instant::now();
    world.restart().await;

    assert!(at.elapsed() < server::limits::DRAIN / 2, "{:?}", at.elapsed());
    heard.clear();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard.ends_with(b"0\r\n\r\n"), "the stream ends in order");
    world.end().await;
}

/// Asks as a stranger until the allowance of the address is used up.
async fn exhaust(world: &mut World) {
    let mut line = world.dial(None).await;
    // More comes back while these are sent, so the end is somewhere behind the burst.
    for _ in 0..STRANGER_BURST * 20 {
        let heard = line.say(client::cacerts(&default_realm())).await;
        if heard.status() == 429 {
            assert_eq!(heard.header("retry-after"), Some("60"));
            return world.denied(&heard, &RuleId::RATE, About::Stranger).await;
        }
    }
    panic!("strangers may ask without end");
}

#[tokio::test]
async fn the_limit_of_an_address_binds_strangers_and_no_device_behind_it() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;

    exhaust(&mut world).await;

    let mut line = world.dial(Some(&device.birth)).await;
    let mut leaf = None;
    for _ in 0..5 {
        let key = Key::new();
        leaf = Some(line.say(simpleenroll(&key.csr(""))).await.leaf(&key));
    }
    let key = Key::new();
    world.renew(&leaf.unwrap(), &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_site_may_bring_in_as_many_new_devices_as_it_has() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({})).await;
    for unit in 0..STRANGER_BURST * 2 {
        let (unit, key) = (maker.unit(&format!("S{unit}")), Key::new());
        world.join(&unit, &key).await.leaf(&key);
    }
    world.end().await;
}

#[tokio::test]
async fn a_device_that_sends_nonsense_in_a_loop_waits_too() {
    let mut world = World::new().await;
    world.set("device_rate_per_hour", "3").await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let (other, others) = world.enrolled("pump-8").await;
    let mut line = world.dial(Some(&leaf)).await;

    for _ in 0..2 {
        let heard = line.say(simplereenroll(b"nonsense")).await;
        world.refused(&heard, 400, ("csr-der", About::Device(&device.id))).await;
    }
    let heard = line.say(simplereenroll(b"nonsense")).await;
    world.denied(&heard, &RuleId::RATE, About::Device(&device.id)).await;

    let heard = world.say(Some(&others), simplereenroll(b"nonsense")).await;
    world.refused(&heard, 400, ("csr-der", About::Device(&other.id))).await;
    world.later(HOUR_S);
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn who_guesses_credentials_waits_before_the_database_is_asked() {
    let mut world = World::new().await;
    let guess = format!("{}.{}", "a".repeat(16), "A".repeat(43));
    let mut refused = Vec::new();
    for _ in 0..STRANGER_BURST * 20 {
        let heard = world.ask_as(&guess, Method::GET, "/api/v1/devices", None).await;
        refused.push(heard.status());
        if heard.status() == 429 {
            assert_eq!(heard.json()["rule"], "rate");
            assert!(heard.header("retry-after").is_some());
            break;
        }
    }
    assert_eq!((refused.first(), refused.last()), (Some(&401), Some(&429)));
    assert!(refused.len() > STRANGER_BURST as usize);
    world.end().await;
}

#[tokio::test]
async fn a_device_that_loops_waits_and_no_other_does() {
    let mut world = World::new().await;
    world.set("device_rate_per_hour", "3").await;
    let (device, leaf) = world.enrolled("pump-7").await;
    for _ in 0..2 {
        let key = Key::new();
        world.renew(&leaf, &key).await.leaf(&key);
    }

    let heard = world.renew(&leaf, &Key::new()).await;
    assert_eq!(heard.header("retry-after"), Some("60"));
    world.denied(&heard, &RuleId::RATE, About::Device(&device.id)).await;

    world.enrolled("pump-8").await;
    world.later(HOUR_S);
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_stranger_who_claims_a_serial_number_uses_up_nothing_of_its_device() {
    let mut world = World::new().await;
    world.set("device_rate_per_hour", "3").await;
    let device = world.born("pump-7").await;
    let good = world.token(json!({"uses": 9})).await;
    let mut bad = world.token(json!({})).await;
    bad.secret = world.token(json!({})).await.secret;

    for _ in 0..4 {
        let heard = world.join_by(&bad, &Key::new(), "pump-7").await;
        world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
        let heard = world.join_by(&good, &Key::new(), "pump-7").await;
        world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Token(good.id.as_str())).await;
    }

    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn refusals_of_a_device_are_rationed_in_the_ledger_and_all_of_them_counted() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.suspend(&device.id).await;
    let before = world.entries().len();

    for _ in 0..20 {
        assert_eq!(world.renew(&leaf, &Key::new()).await.status(), 403);
    }

    assert!(world.entries().len() - before <= 12, "nobody can grow the ledger from outside");
    assert_eq!(world.count_of("suspended").await, 20);
    world.end().await;
}

#[tokio::test]
async fn refused_strangers_are_one_entry_an_hour() {
    let world = World::new().await;
    let before = world.entries().len();
    for _ in 0..20 {
        assert_eq!(world.say(None, simpleenroll(&Key::new().csr(""))).await.status(), 401);
    }
    world.running().house().summarize_strangers(false).await;
    assert_eq!(world.entries().len(), before, "the hour is not over");

    world.later(HOUR_S);
    world.running().house().summarize_strangers(false).await;

    assert_eq!(world.entries().len(), before + 1);
    assert_eq!(world.last_entry().get("count"), Some(&ledger::Value::Uint(20)));
    world.end().await;
}

/// What a balancer says of a client (PROXY protocol v2).
pub(crate) fn proxied(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0x30, 0x39, 0x20, 0xfb]);
    header
}

#[tokio::test]
async fn behind_a_balancer_a_device_has_the_address_that_the_balancer_names() {
    let mut world = World::with_config("[proxy]\nfrom = [\"127.0.0.0/8\"]\n").await;
    world.preface = proxied([192, 0, 2, 7]);
    let device = world.born("pump-7").await;

    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    assert_eq!(world.last_entry().get("from").unwrap().as_text(), Some("192.0.2.7"));

    exhaust(&mut world).await;
    let mut neighbour = world.caller(None);
    let preface = proxied([192, 0, 2, 8]);
    neighbour.preface = &preface;
    let heard = neighbour.dial().await.say(client::cacerts(&default_realm())).await;
    assert_eq!(heard.status(), 200, "another address has its own allowance");

    let mut bare = world.caller(None);
    bare.preface = &[];
    assert!(bare.stream().await.is_err(), "where a header is expected, one is demanded");
    world.end().await;
}

#[tokio::test]
async fn who_is_no_balancer_does_not_speak_for_others() {
    let mut world = World::new().await;
    let preface = proxied([192, 0, 2, 7]);
    let mut liar = world.caller(None);
    liar.preface = &preface;
    assert!(liar.stream().await.is_err(), "it is no handshake");
    world.enrolled("pump-7").await;
    world.end().await;
}

#[tokio::test]
async fn the_agent_enrolls_with_either_key_exchange() {
    let mut world = World::new().await;
    for exchange in [Exchange::X25519, Exchange::Hybrid] {
        let device = world.born(&format!("pump-{exchange:?}")).await;
        let dialer =
            Dialer::new(world.running().ports().device.unwrap(), world.root(), exchange).unwrap();
        let who = Identity::new(&device.birth.chain, device.birth.key.pkcs8());
        let key = Key::new();
        let heard = dialer.call(Some(&who), simpleenroll(&key.csr(&device.serial))).await.unwrap();
        let told = client::read_leaf(&heard.incoming(), key.signer().public()).unwrap();
        assert!(matches!(told, Reply::Done(_)), "{told:?}");
    }
    world.end().await;
}
