//! Limits per address, which bind only those who proved nothing: whole sites of devices sit behind
//! one address, and none of them may be locked out by a neighbour.
//!
//! A connection is a stranger until somebody says [`Line::prove`]. The strangers of one address
//! have a number of connections, and the oldest makes room for a newer one: a device needs a
//! millisecond to prove itself, who needs longer is slow on purpose. Where the places of the whole
//! listener run out, the oldest stranger of all makes room, since many addresses together could
//! hold them all. They also share an allowance of requests that lead to nothing.

use crate::limits::{ADDRESSES_MAX, ADDRESSES_SWEEP, STRANGER_BURST, STRANGER_PER_S};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The strangers of all addresses.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    addresses: HashMap<IpAddr, Address>,
    /// Every stranger by when it came, and where it is counted.
    queue: BTreeMap<u64, (IpAddr, Arc<Cut>)>,
    came: u64,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Address {
    open: VecDeque<Arc<Cut>>,
    allowance: u32,
    filled: Instant,
}

#[derive(Debug, Default)]
struct Cut {
    /// When it came: strangers are numbered.
    number: u64,
    now: Notify,
    evicted: AtomicBool,
    proven: AtomicBool,
}

/// One connection among them; leaves them when dropped.
pub(super) struct Line {
    peer: IpAddr,
    cut: Arc<Cut>,
    strangers: Arc<Strangers>,
}

impl Strangers {
    /// Lets a connection in; beyond `most` of its address the oldest there is cut.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, most: usize, now: Instant) -> Line {
        let mut table = self.lock();
        table.came += 1;
        let cut = Arc::new(Cut { number: table.came, ..Cut::default() });
        let key = table.key(peer, now);
        let address = table.address(key, now);
        let oldest = if address.open.len() >= most { address.open.pop_front() } else { None };
        address.open.push_back(Arc::clone(&cut));
        table.queue.insert(cut.number, (key, Arc::clone(&cut)));
        if let Some(oldest) = oldest {
            table.queue.remove(&oldest.number);
            oldest.evict();
        }
        Line { peer, cut, strangers: Arc::clone(self) }
    }

    /// Cuts the oldest stranger of all addresses; `false` where there is none.
    pub(super) fn evict_oldest(&self) -> bool {
        let mut table = self.lock();
        let Some((_, (key, oldest))) = table.queue.pop_first() else { return false };
        table.forget(key, &oldest);
        oldest.evict();
        true
    }

    fn leave(&self, cut: &Arc<Cut>) {
        let mut table = self.lock();
        if let Some((key, _)) = table.queue.remove(&cut.number) {
            table.forget(key, cut);
        }
    }

    fn may_ask(&self, peer: IpAddr, now: Instant) -> bool {
        let mut table = self.lock();
        let key = table.key(peer, now);
        let address = table.address(key, now);
        address.refill(now);
        let granted = address.allowance > 0;
        address.allowance = address.allowance.saturating_sub(1);
        granted
    }

    /// A panic of another thread leaves counts, which are good enough.
    fn give_back(&self, peer: IpAddr) {
        let mut table = self.lock();
        if let Some(address) = table.addresses.get_mut(&network(peer)) {
            address.allowance = address.allowance.saturating_add(1).min(STRANGER_BURST);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where all further addresses are counted when the table is full: nobody gains by filling it.
const OVERFLOW: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Table {
    /// Under which address somebody is counted.
    fn key(&mut self, peer: IpAddr, now: Instant) -> IpAddr {
        let key = network(peer);
        if !self.addresses.contains_key(&key) && self.addresses.len() >= ADDRESSES_MAX {
            self.sweep(now);
            if self.addresses.len() >= ADDRESSES_MAX {
                return OVERFLOW;
            }
        }
        key
    }

    fn address(&mut self, key: IpAddr, now: Instant) -> &mut Address {
        self.addresses.entry(key).or_insert_with(|| Address {
            open: VecDeque::new(),
            allowance: STRANGER_BURST,
            filled: now,
        })
    }

    /// Takes a connection out of its address, which is forgotten with its last one where it owes
    /// nothing.
    fn forget(&mut self, key: IpAddr, cut: &Arc<Cut>) {
        let Some(address) = self.addresses.get_mut(&key) else { return };
        address.open.retain(|open| open.number != cut.number);
        if address.open.is_empty() && address.allowance >= STRANGER_BURST {
            self.addresses.remove(&key);
        }
    }

    /// Forgets the addresses without a connection and without a debt.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.saturating_duration_since(at) < ADDRESSES_SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.addresses.retain(|_, address| {
            address.refill(now);
            !address.open.is_empty() || address.allowance < STRANGER_BURST
        });
    }
}

/// One customer of a provider has a /64 of IPv6 at least, and all addresses in it.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Address {
    fn refill(&mut self, now: Instant) {
        let millis = now.saturating_duration_since(self.filled).as_millis();
        let earned = u32::try_from(millis * u128::from(STRANGER_PER_S) / 1000).unwrap_or(u32::MAX);
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(STRANGER_BURST);
            self.filled = now;
        }
    }
}

impl Cut {
    fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.now.notify_one();
    }
}

impl Line {
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(super) fn prove(&self) {
        if !self.cut.proven.swap(true, Ordering::Relaxed) {
            self.strangers.leave(&self.cut);
        }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.cut.proven.load(Ordering::Relaxed)
    }

    /// Who proved itself over this connection is no stranger to it any more.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.is_proven() || self.strangers.may_ask(self.peer, now)
    }

    pub(super) fn give_back(&self) {
        self.strangers.give_back(self.peer);
    }

    pub(super) fn cut(&self) {
        self.cut.now.notify_one();
    }

    pub(super) async fn until_cut(&self) {
        self.cut.now.notified().await;
    }

    /// Whether it had to make room, and was not cut on purpose.
    pub(super) fn was_evicted(&self) -> bool {
        self.cut.evicted.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.prove();
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STRANGERS_PER_ADDRESS_MAX;
    use std::time::Duration;

    const SITE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    const MOST: usize = STRANGERS_PER_ADDRESS_MAX;

    fn evicted(lines: &[Line]) -> usize {
        lines.iter().filter(|l| l.was_evicted()).count()
    }

    #[test]
    fn the_oldest_stranger_of_an_address_makes_room() {
        let strangers = Arc::new(Strangers::default());
        let now = Instant::now();
        let mut lines: Vec<Line> =
            (0..STRANGERS_PER_ADDRESS_MAX).map(|_| strangers.enter(SITE, MOST, now)).collect();
        assert_eq!(evicted(&lines), 0);

        lines.push(strangers.enter(SITE, MOST, now));

        assert!(lines[0].was_evicted());
        assert_eq!(evicted(&lines), 1);
    }

    #[test]
    fn who_proved_itself_is_not_counted() {
        let strangers = Arc::new(Strangers::default());
        let now = Instant::now();
        let lines: Vec<Line> = (0..STRANGERS_PER_ADDRESS_MAX * 2)
            .map(|_| {
                let line = strangers.enter(SITE, MOST, now);
                line.prove();
                line
            })
            .collect();
        assert_eq!(evicted(&lines), 0);
    }

    #[test]
    fn an_allowance_ends_and_comes_back_with_time() {
        let strangers = Arc::new(Strangers::default());
        let now = Instant::now();
        let line = strangers.enter(SITE, MOST, now);

        let granted = (0..STRANGER_BURST * 2).filter(|_| line.may_ask(now)).count();

        assert_eq!(granted, STRANGER_BURST as usize);
        assert!(!line.may_ask(now));
        assert!(line.may_ask(now + Duration::from_secs(1)));
    }

    #[test]
    fn an_address_without_connections_and_debts_is_forgotten() {
        let strangers = Arc::new(Strangers::default());
        drop(strangers.enter(SITE, MOST, Instant::now()));
        assert!(strangers.lock().addresses.is_empty());
    }

    #[test]
    fn a_full_table_counts_the_rest_together() {
        let strangers = Arc::new(Strangers::default());
        let now = Instant::now();
        let ip = |n: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(n as u32));
        let held: Vec<Line> =
            (0..ADDRESSES_MAX).map(|n| strangers.enter(ip(n), MOST, now)).collect();

        let more: Vec<Line> = (0..=STRANGERS_PER_ADDRESS_MAX)
            .map(|n| strangers.enter(ip(ADDRESSES_MAX + n), MOST, now))
            .collect();

        assert!(strangers.lock().addresses.len() <= ADDRESSES_MAX + 1);
        assert_eq!((evicted(&held), evicted(&more)), (0, 1));
    }

    #[test]
    fn the_oldest_of_all_addresses_makes_room_and_nobody_who_has_proved_something() {
        let strangers = Arc::new(Strangers::default());
        let now = Instant::now();
        let ip = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        let lines: Vec<Line> = (0..4).map(|n| strangers.enter(ip(n), MOST, now)).collect();
        lines[0].prove();

        assert!(strangers.evict_oldest() && strangers.evict_oldest());

        let gone: Vec<bool> = lines.iter().map(Line::was_evicted).collect();
        assert_eq!(gone, [false, true, true, false]);
        drop(lines);
        assert!(!strangers.evict_oldest());
        assert!(strangers.lock().addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(
            network("2001:db8::1".parse().unwrap()),
            network("2001:db8::ffff:1".parse().unwrap())
        );
        assert_ne!(
            network("2001:db8::1".parse().unwrap()),
            network("2001:db8:0:1::1".parse().unwrap())
        );
    }
}
