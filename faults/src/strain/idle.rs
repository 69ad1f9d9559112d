//! Many connections at once that say nothing, all of devices that are well: what they take, and
//! that others are served beside them.

use super::device::Device;
use super::{Plan, Site, limit, limited};
use crate::Failure;
use agent::Dialer;
use enroll::est::client as est;
use identity::RealmName;
use rustls::ClientConfig;
use server::limits::CONNECTIONS_PER_KEY_MAX;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Handshakes at once.
const DIALING: usize = 64;
/// An idle connection says one thing before the server would end it: it may say nothing for 30 s.
const BEAT: Duration = Duration::from_secs(12);
/// Descriptors beside those of the connections, on both sides.
const SPARE: usize = 1024;
/// Places of the device port that are left to others, where descriptors are few.
const OTHERS: usize = 64;
/// Within this a device that is well is served.
const SERVED_MAX: Duration = Duration::from_secs(5);
/// What a connection may take in the machine, in KiB.
const EACH_KIB_MAX: u64 = 60;

/// Runs it.
///
/// # Errors
/// What did not hold.
pub async fn run(plan: &Plan) -> Result<String, Failure> {
    let (count, descriptors) = room(plan.idle)?;
    let site = Site::new(limited(&plan.binary, descriptors)).await?;
    let mut owners = Vec::new();
    for number in 0..count.div_ceil(CONNECTIONS_PER_KEY_MAX) {
        owners.push(Device::joined(&site.client, &format!("owner-{number}")).await?);
    }
    let configs = owners.iter().map(|owner| site.client.dialer().config(Some(&owner.identity())));
    let configs: Vec<_> = configs.collect::<Result<_, _>>()?;
    let mut other = Device::joined(&site.client, "other").await?;
    let before = site.server.rss_mib();
    let (began, open) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let (ended, end) = watch::channel(false);
    let turns = Arc::new(Semaphore::new(DIALING));
    let mut guests = JoinSet::new();
    for (number, config) in (0..count).zip(configs.iter().cycle()) {
        let guest = Guest {
            dialer: site.client.dialer().clone(),
            config: config.clone(),
            // Two addresses, since one has only so many ports.
            from: Ipv4Addr::new(127, 0, 0, 2 + (number % 2) as u8),
            turns: turns.clone(),
            open: open.clone(),
        };
        guests.spawn(guest.stay(end.clone()));
    }
    while open.load(Ordering::Relaxed) < count {
        // Whoever ends early did not stay.
        if let Ok(Some(gone)) = timeout(Duration::from_millis(50), guests.join_next()).await {
            gone??;
            return Err("an idle connection ended".into());
        }
    }
    let took = began.elapsed();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        slowest = slowest.max(other.renew(&site.client).await?);
    }
    let rss = site.server.rss_mib();
    let each = rss.saturating_sub(before) * 1024 / count as u64;
    ended.send_replace(true);
    while let Some(guest) = guests.join_next().await {
        guest??;
    }
    other.renew(&site.client).await?;
    owners.push(other);
    site.end(&owners.iter().collect::<Vec<_>>())?;
    if slowest > SERVED_MAX || each > EACH_KIB_MAX {
        return Err(format!("{count} idle: {slowest:?}, {each} KiB each").into());
    }
    Ok(format!(
        "{count} idle connections, open after {took:.1?}: {rss} MiB, {each} KiB each; a device was \
         served within {slowest:.1?}"
    ))
}

/// How many connections there is room for, up to `wanted`, and with how many file descriptors of
/// the server, which gives half of them to devices. Where the machine allows no more than fewer,
/// these; root may have more than was allowed.
fn room(wanted: usize) -> Result<(usize, u32), Failure> {
    let asked = u32::try_from(2 * wanted + SPARE)?;
    let own = std::process::id();
    let hard = hard()?;
    if limit(own, asked, Some(asked.max(hard))).is_ok() {
        return Ok((wanted, asked));
    }
    limit(own, hard, Some(hard))?;
    Ok((wanted.min((hard as usize / 2).saturating_sub(OTHERS)), hard))
}

/// How many descriptors this process may ask for.
fn hard() -> Result<u32, Failure> {
    let text = std::fs::read_to_string("/proc/self/limits")?;
    let row = text.lines().find_map(|row| row.strip_prefix("Max open files"));
    let hard = row.and_then(|row| row.split_whitespace().nth(1));
    Ok(hard.ok_or("/proc/self/limits tells no open files")?.parse()?)
}

/// One connection.
struct Guest {
    dialer: Dialer,
    config: Arc<ClientConfig>,
    from: Ipv4Addr,
    turns: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
}

impl Guest {
    /// Opens a line and stays until the end.
    async fn stay(self, mut end: watch::Receiver<bool>) -> Result<(), Failure> {
        let turn = self.turns.acquire().await?;
        let mut line = self.dialer.dial_from(self.config.clone(), self.from).await?;
        drop(turn);
        self.open.fetch_add(1, Ordering::Relaxed);
        while timeout(BEAT, end.wait_for(|end| *end)).await.is_err() {
            line.say(est::cacerts(&RealmName::default_realm())).await?;
        }
        Ok(())
    }
}
