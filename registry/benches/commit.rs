//! What the writer costs: births, joins and renewals at growing size, the roll's memory, and the
//! time of a start.
//!
//! `cargo bench -p registry -- 1000000` takes the count of devices; 100,000 without. Times are of
//! the writer's thread, from the kernel's accounting, and of the wall.

#![expect(clippy::expect_used, reason = "a bench that fails has nothing to say")]

use identity::authority::KeyId;
use identity::credential::{Credential, CredentialKind, Requester, Serial};
use identity::device::{Assurance, Device, DeviceId, GroupName, Identifiers, Standing};
use identity::key::sha256;
use identity::{RealmName, SpkiHash, UnixTime};
use ledger::{Class, Payload};
use registry::{Change, Committed, Draft, Options, Realm, RealmKey, Registry};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const REALM: RealmKey = RealmKey(1);

fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(100_000_u64);
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("muster.db");
    let registry = Registry::open(&path, Options::default()).expect("a registry");
    found(&registry);

    let step = (count / 10).max(1);
    for from in (0..count).step_by(step as usize) {
        let to = (from + step).min(count);
        measure(&registry, &format!("born   {from:>8}.."), (from..to).map(born));
    }
    println!(
        "roll   {} keys, {} octets each; process {} MiB",
        registry.roll().len(),
        registry.roll().octets() / registry.roll().len().max(1),
        resident_mib()
    );
    // A shipment joins in the order of its births, others in no order.
    let half = count.min(100_000) / 2;
    let rest = count - half;
    let in_order = |nth: u64| nth;
    let in_none = |nth: u64| half + nth * 7_919 % rest;
    life(&registry, "in order", half, in_order);
    life(&registry, "in none ", half, in_none);
    registry.close();
    drop(registry);

    let (begin, cpu) = (Instant::now(), thread_ns("/proc/thread-self".as_ref()));
    let registry = Registry::open(&path, Options::default()).expect("the same registry");
    let cpu = Duration::from_nanos(thread_ns("/proc/thread-self".as_ref()) - cpu);
    println!("start  {:?}, {cpu:?} of it busy, {} keys", begin.elapsed(), registry.roll().len());
    let begin = Instant::now();
    let findings = registry.check_integrity().expect("a look");
    println!("check  {:?}, {} findings", begin.elapsed(), findings.len());
    let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
    println!("file   {} MiB, {} octets per device", size >> 20, size / count);
}

/// Joins, first uses and renewals of `count` devices.
fn life(registry: &Registry, order: &str, count: u64, device: impl Fn(u64) -> u64) {
    let all = |generation| (0..count).map(move |nth| (nth, generation));
    let leaf = |(nth, generation)| leafed(device(nth), generation, later(nth, generation));
    let first_use = |(nth, generation)| used(device(nth), generation, later(nth, generation));
    measure(registry, &format!("joined  {order}"), all(1).map(leaf));
    measure(registry, &format!("used    {order}"), all(1).map(first_use));
    measure(registry, &format!("renewed {order}"), all(2).map(leaf));
    measure(registry, &format!("used    {order}"), all(2).map(first_use));
}

fn measure(registry: &Registry, what: &str, changes: impl Iterator<Item = (Change, UnixTime)>) {
    // Made beforehand: what is measured is the writer.
    let ready: Vec<_> = changes.collect();
    let count = ready.len();
    let (told, heard) = channel();
    let (wall, cpu) = (Instant::now(), writer_ns());
    // As many as a busy host has under way.
    let mut under_way = 0;
    for (change, at) in ready {
        while under_way >= 2048 {
            heard.recv().expect("an answer");
            under_way -= 1;
        }
        let told = told.clone();
        let answer = move |result: Result<Committed, _>| {
            result.expect("a commit");
            told.send(()).expect("somebody waits");
        };
        registry.commit(REALM, change, draft(at), Box::new(answer));
        under_way += 1;
    }
    heard.iter().take(under_way).for_each(drop);
    let wall = wall.elapsed();
    let each = |ns: u128| ns as f64 / count as f64 / 1000.0;
    println!(
        "{what} {:6.1} µs of the writer, {:6.1} µs of the wall, {:7.0}/s",
        each(u128::from(writer_ns() - cpu)),
        each(wall.as_nanos()),
        count as f64 / wall.as_secs_f64()
    );
}

/// Processor time of the writer's thread.
fn writer_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let writer = tasks.flatten().map(|task| task.path()).find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("registry-w"))
    });
    writer.map_or(0, |writer| thread_ns(&writer))
}

fn thread_ns(task: &Path) -> u64 {
    let times = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    times.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse().ok());
    kib.unwrap_or(0) / 1024
}

fn found(registry: &Registry) {
    let realm = Realm {
        key: REALM,
        name: RealmName::default_realm(),
        id: [1; 16],
        origin: "00000000-0000-7000-8000-000000000001.muster.invalid/ledger/1".to_owned(),
        founded: moment(0),
    };
    registry.commit_wait(REALM, Change::Found(realm), draft(moment(0))).expect("a realm");
}

/// Births come 5,000 in a second.
fn moment(n: u64) -> UnixTime {
    UnixTime::from_millis(1_790_000_000_000 + n / 5)
}

fn chance(n: u64) -> [u8; 10] {
    let hash = sha256(&[&n.to_be_bytes()]);
    hash[..10].try_into().expect("10 of 32")
}

fn draft(at: UnixTime) -> Draft {
    let payload = Payload::new("device.born")
        .with("device", "0190a5b2-7c3d-7e4f-8a1b-2c3d4e5f6071")
        .with("serial", "SN-000000000000")
        .with("certificate", vec![7_u8; 16])
        .with("spki", vec![7_u8; 32])
        .with("by", "station-7");
    Draft::new(Class::Birth, &payload, [7; 32], at)
}

fn device(n: u64) -> Device {
    Device {
        id: DeviceId::new(moment(n), chance(n)),
        standing: Standing::Born,
        assurance: Assurance::Certified,
        identifiers: Identifiers {
            model: "pump-7".into(),
            serial: format!("SN-{n:012}"),
            macs: [format!("00:11:22:{:02x}:{:02x}:{:02x}", n >> 16 & 255, n >> 8 & 255, n & 255)]
                .into(),
            ..Identifiers::default()
        },
        groups: Default::default(),
        version: 1,
        generation: 0,
        born: moment(n),
        enrolled: None,
        door: None,
        mark: None,
    }
}

fn credential(n: u64, generation: u32, at: UnixTime) -> Credential {
    let key = sha256(&[&n.to_be_bytes(), &generation.to_be_bytes()]);
    let kind = if generation == 0 { CredentialKind::Birth } else { CredentialKind::Leaf };
    Credential {
        serial: Serial::new(at, chance(n ^ u64::from(generation) << 40)),
        kind,
        device: DeviceId::new(moment(n), chance(n)),
        issuer: KeyId::from_octets(&[9; 20]).expect("20 octets"),
        generation,
        spki: SpkiHash::from_octets(key),
        requester: Requester::from_octets(key),
        closes: false,
        shard: (n % 16) as u16,
        issued: at,
        not_after: at.plus_secs(30 * 86_400),
        used: None,
        spent: None,
        revoked: None,
        der: vec![0x30; 620],
    }
}

fn born(n: u64) -> (Change, UnixTime) {
    let credential = credential(n, 0, moment(n));
    (Change::Born { device: device(n), expected: None, credential, replaces: vec![] }, moment(n))
}

/// Leaves come 1,000 in a second, each generation on another day.
fn later(nth: u64, generation: u32) -> UnixTime {
    UnixTime::from_millis(moment(0).millis() + 86_400_000 * u64::from(generation) + nth)
}

fn leafed(n: u64, generation: u32, at: UnixTime) -> (Change, UnixTime) {
    let mut device = device(n);
    device.standing = Standing::Enrolled;
    device.generation = generation;
    device.groups = GroupName::parse("plant-7").into_iter().collect();
    let leaf = credential(n, generation, at);
    let expected = Some(u64::from(generation));
    (Change::Leafed { device, expected, leaf, due: None, supersedes: vec![], token: None }, at)
}

fn used(n: u64, generation: u32, at: UnixTime) -> (Change, UnixTime) {
    let serial = credential(n, generation, at).serial;
    (Change::Used { serial, at, earlier_end: at.plus_secs(86_400) }, at)
}
