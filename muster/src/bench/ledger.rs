//! The ledger alone, in this process: how fast entries are appended, proven, and verified, and how
//! much memory that takes. No certificates are made: an entry is all that is written.

use super::account;
use super::measure::{Latencies, Line, Taken};
use crate::failure::{Failure, Outcome};
use crate::progress;
use clap::Args;
use identity::key::sha256;
use identity::{DeviceId, RealmName, UnixTime};
use ledger::tile::TilePath;
use ledger::tree::inclusion;
use ledger::verify::Row;
use ledger::{Checkpoint, Class, Monitor, Origin, Payload, Verifier};
use registry::{Change, CommitError, Draft, Options, Realm, RealmKey, Registry};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Appends, proves and verifies entries of a ledger.
///
/// A database is made in a temporary directory, filled, read and removed; about 450 octets an
/// entry. CPU is this process's.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster bench ledger --entries 1000000
  muster bench ledger --entries 10000000 --dir /var/tmp")]
pub(crate) struct Ledger {
    /// How many entries.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    entries: u64,
    /// Where the temporary directory is made [default: the system's].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const REALM: RealmKey = RealmKey(1);
/// Changes that wait for the writer at once: it takes what has queued up in one transaction.
const WAITING: u64 = 8192;
/// Entries of one device, in the order of the devices.
const PER_DEVICE: u64 = 4;
/// Proofs that are made and checked.
const PROOFS: u64 = 2000;
/// Rows read from the database at once.
const ROWS: usize = 1000;

pub(super) fn run(typed: &Ledger) -> Outcome<Vec<Line>> {
    let dir = match &typed.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.map_err(|e| Failure::new(format!("no temporary directory: {e}")))?;
    let options = Options { queue: 2 * WAITING as usize, ..Options::default() };
    let registry = Registry::open(&dir.path().join("muster.db"), options);
    let registry = registry.map_err(Failure::new)?;
    let mut lines = vec![append(&registry, typed.entries)?];
    lines.push(prove(&registry)?);
    lines.push(tiles(&registry)?);
    lines.push(rows(&registry)?);
    registry.close();
    Ok(lines)
}

fn draft(number: u64) -> Draft {
    let chance = sha256(&[&number.to_be_bytes()]);
    let at = UnixTime::from_millis(1_790_000_000_000 + number / 50);
    let device = number / PER_DEVICE;
    let seed = device.to_be_bytes();
    let mut random = [0; 10];
    random.iter_mut().rev().zip(seed.iter().rev()).for_each(|(to, from)| *to = *from);
    let born = UnixTime::from_millis(1_790_000_000_000 + device);
    let payload = Payload::new("renew.issued")
        .with("device", DeviceId::new(born, random).to_string())
        .with("serial", chance.get(..16).unwrap_or_default())
        .with("spki", &chance)
        .with("generation", number % PER_DEVICE)
        .with("certificate", &chance)
        .with("binding", "absent")
        .with("from", "192.0.2.7");
    Draft::new(Class::Renewal, &payload, chance, at)
}

fn append(registry: &Registry, entries: u64) -> Outcome<Line> {
    let name = RealmName::default_realm();
    let origin = Origin::new(&[7; 16], 1).as_str().to_owned();
    let realm = Realm { key: REALM, name, id: [7; 16], origin, founded: UnixTime::from_secs(0) };
    let clock = Clock::begin();
    let bar = progress::bar(Some(entries), "entries");
    registry.commit_wait(REALM, Change::Found(realm), draft(0)).map_err(Failure::new)?;
    let (told, heard): (Sender<Result<_, CommitError>>, Receiver<_>) = channel();
    let (mut sent, mut done) = (1, 1);
    while done < entries {
        while sent < entries && sent - done < WAITING {
            let told = told.clone();
            let tell = move |result| drop(told.send(result));
            registry.commit(REALM, Change::Nothing, draft(sent), Box::new(tell));
            sent += 1;
        }
        let first = heard.recv().map_err(Failure::new)?;
        for result in std::iter::once(first).chain(heard.try_iter()) {
            result.map_err(Failure::new)?;
            done += 1;
        }
        bar.set_position(done);
    }
    bar.finish_and_clear();
    let taken = clock.taken();
    Ok(Line::counted(format!("entries appended, to {entries}"), entries, &taken))
}

fn prove(registry: &Registry) -> Outcome<Line> {
    let head = registry.head(REALM).map_err(Failure::new)?;
    let clock = Clock::begin();
    let (mut latencies, mut failed) = (Latencies::default(), 0);
    for nth in 0..PROOFS {
        // All over the ledger, in no order.
        let index = nth.wrapping_mul(2_654_435_761) % head.size;
        let begin = Instant::now();
        let row = registry.entries(REALM, index, 1).map_err(Failure::new)?;
        let proof = registry.hashes(REALM, |head, stored| inclusion(head.size, index, stored));
        let proof = proof.map_err(Failure::new)?.map_err(Failure::new)?;
        latencies.add(begin.elapsed());
        let leaf = row.first().map(|row| ledger::tree::leaf_hash(&row.entry)).unwrap_or_default();
        failed += u64::from(!ledger::tree::verify_inclusion(&head, index, &leaf, &proof));
    }
    let taken = Taken { failed, ..clock.taken() };
    Ok(Line::new("proofs of single entries", latencies, &taken))
}

/// As `ledger verify --url`, without the network.
fn tiles(registry: &Registry) -> Outcome<Line> {
    let checkpoint = checkpoint(registry)?;
    let clock = Clock::begin();
    let bar = progress::bar(Some(checkpoint.size), "entries");
    let mut monitor = Monitor::new();
    let read = |path: &TilePath| match path.level {
        ledger::tile::Level::Hashes(level) => registry.tile(REALM, level, path.index, path.width),
        ledger::tile::Level::Entries => registry.bundle(REALM, path.index, path.width),
    };
    let absent = || Failure::new("a tile is missing");
    let fetch =
        |path: &TilePath| read(path).map_err(Failure::new).and_then(|t| t.ok_or_else(absent));
    while let Some(wanted) = monitor.next(checkpoint.size) {
        let (bundle, tile) = (fetch(&wanted.bundle)?, fetch(&wanted.tile)?);
        monitor.take(wanted, &bundle, &tile).map_err(Failure::new)?;
        bar.set_position(monitor.size());
    }
    monitor.finish(&checkpoint).map_err(Failure::new)?;
    bar.finish_and_clear();
    Ok(Line::counted("entries verified against tiles", checkpoint.size, &clock.taken()))
}

/// As `ledger verify HOME/muster.db`: payloads and salts too.
fn rows(registry: &Registry) -> Outcome<Line> {
    let checkpoint = checkpoint(registry)?;
    let clock = Clock::begin();
    let bar = progress::bar(Some(checkpoint.size), "entries");
    let mut verifier = Verifier::new();
    while verifier.size() < checkpoint.size {
        let page = registry.entries(REALM, verifier.size(), ROWS).map_err(Failure::new)?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let row =
                Row { entry: &row.entry, payload: row.payload.as_deref(), salt: row.salt.as_ref() };
            verifier.feed(&row, &()).map_err(Failure::new)?;
        }
        bar.set_position(verifier.size());
    }
    verifier.finish(&checkpoint).map_err(Failure::new)?;
    bar.finish_and_clear();
    Ok(Line::counted("rows verified against entries", checkpoint.size, &clock.taken()))
}

fn checkpoint(registry: &Registry) -> Outcome<Checkpoint> {
    let head = registry.head(REALM).map_err(Failure::new)?;
    Ok(Checkpoint { origin: Origin::new(&[7; 16], 1), size: head.size, root: head.root })
}

/// The wall's clock and this process's.
struct Clock {
    began: Instant,
    cpu_s: f64,
}

impl Clock {
    fn begin() -> Self {
        Self { began: Instant::now(), cpu_s: account::cpu_s(std::process::id()) }
    }

    fn taken(&self) -> Taken {
        let wall: Duration = self.began.elapsed();
        let own = std::process::id();
        let cpu_s = account::cpu_s(own) - self.cpu_s;
        Taken { wall, cpu_s, rss_mib: account::rss_mib(own), failed: 0 }
    }
}
