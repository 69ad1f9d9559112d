//! Limits per address, which bind only those who proved nothing: whole sites of devices sit behind
//! one address, and none of them may be locked out by a neighbour.
//!
//! A connection is a stranger until somebody says [`Line::prove`]. The strangers of one address
//! have a number of connections, and the oldest makes room for a newer one: a device needs a
//! millisecond to prove itself, who needs longer is slow on purpose. They also share an allowance
//! of requests that lead to nothing.

use crate::limits::{ADDRESSES_MAX, ADDRESSES_SWEEP, STRANGER_BURST, STRANGER_PER_S};
use std::collections::{HashMap, VecDeque};
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
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, most: Option<usize>, now: Instant) -> Line {
        let cut = Arc::new(Cut::default());
        if let Some(most) = most {
            let mut table = self.lock();
            let address = table.find(peer, now);
            if address.open.len() >= most
                && let Some(oldest) = address.open.pop_front()
            {
                oldest.evicted.store(true, Ordering::Relaxed);
                oldest.now.notify_one();
            }
            address.open.push_back(Arc::clone(&cut));
        }
        Line { peer, cut, strangers: Arc::clone(self) }
    }

    fn leave(&self, peer: IpAddr, cut: &Arc<Cut>) {
        let mut table = self.lock();
        for key in [network(peer), OVERFLOW] {
            let Some(address) = table.addresses.get_mut(&key) else { continue };
            if let Some(at) = address.open.iter().position(|c| Arc::ptr_eq(c, cut)) {
                address.open.remove(at);
                if address.open.is_empty() && address.allowance >= STRANGER_BURST {
                    table.addresses.remove(&key);
                }
                return;
            }
        }
    }

    fn may_ask(&self, peer: IpAddr, now: Instant) -> bool {
        let mut table = self.lock();
        let address = table.find(peer, now);
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
    fn find(&mut self, peer: IpAddr, now: Instant) -> &mut Address {
        let mut key = network(peer);
        if !self.addresses.contains_key(&key) && self.addresses.len() >= ADDRESSES_MAX {
            self.sweep(now);
            if self.addresses.len() >= ADDRESSES_MAX {
                key = OVERFLOW;
            }
        }
        self.addresses.entry(key).or_insert_with(|| Address {
            open: VecDeque::new(),
            allowance: STRANGER_BURST,
            filled: now,
        })
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
fn network(ip: IpAddr) -> IpAddr {
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

impl Line {
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(super) fn prove(&self) {
        if !self.cut.proven.swap(true, Ordering::Relaxed) {
            self.strangers.leave(self.peer, &self.cut);
        }
    }

    /// Who proved itself over this connection is no stranger to it any more.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.cut.proven.load(Ordering::Relaxed) || self.strangers.may_ask(self.peer, now)
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

    const MOST: Option<usize> = Some(STRANGERS_PER_ADDRESS_MAX);

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
