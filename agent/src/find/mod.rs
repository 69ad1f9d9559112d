//! Where the server is: first what birth wrote, else what the network says (DNS-SD, RFC 6763:
//! `_muster-est._tcp` by multicast and by the name servers of the machine), else what was
//! configured.
//!
//! Whoever answers on a network may say anything: what is found here is a place to ask and no more.
//! The server there still has to chain to the pinned root, for the name that was found.

pub mod dns;

use crate::config::Config;
use crate::line::Place;
use dns::{Found, Kind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The service that is looked for.
pub const SERVICE: &str = "_muster-est._tcp";
/// How long answers are waited for: a responder waits up to 120 ms before it answers (RFC 6762 §6),
/// and a sleeping switch or a slow name server a second.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Places that are tried; more of them are a joke of somebody on the network.
const FOUND_MAX: usize = 4;
/// The largest datagram that is read.
const DATAGRAM_OCTETS_MAX: usize = 9000;

/// The places to try, in their order. The network is asked only when those before it led nowhere.
#[derive(Debug)]
pub struct Places<'a> {
    config: &'a Config,
    next: u8,
    found: Vec<Place>,
}

impl<'a> Places<'a> {
    /// The places of a configuration.
    #[must_use]
    pub const fn of(config: &'a Config) -> Self {
        Self { config, next: 0, found: Vec::new() }
    }
}

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        loop {
            if let Some(place) = self.found.pop() {
                return Some(place);
            }
            self.next += 1;
            match self.next {
                1 => self.found.extend(self.config.url.clone()),
                2 if self.config.discover => self.found = discover(),
                2 => {}
                3 => self.found.extend(self.config.fallback.clone()),
                _ => return None,
            }
        }
    }
}

/// Asks the network; the best place last.
fn discover() -> Vec<Place> {
    let mut found = ask(SocketAddr::from((Ipv4Addr::new(224, 0, 0, 251), 5353)), &["local".into()]);
    if found.is_empty() {
        let resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let (servers, domains) = resolvers(&resolv);
        found = servers.into_iter().flat_map(|server| ask(server, &domains)).collect();
    }
    order(found)
}

/// RFC 2782: the lowest priority first. The list is taken from its end.
fn order(mut found: Vec<Found>) -> Vec<Place> {
    found.sort_by_key(|f| (f.priority, std::cmp::Reverse(f.weight)));
    found.truncate(FOUND_MAX);
    found.reverse();
    found.into_iter().map(|f| f.place).collect()
}

/// Asks one server, or everybody on the link, about these domains.
fn ask(server: SocketAddr, domains: &[String]) -> Vec<Found> {
    domains.iter().flat_map(|domain| ask_about(server, domain).unwrap_or_default()).collect()
}

fn ask_about(server: SocketAddr, domain: &str) -> std::io::Result<Vec<Found>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    let service = format!("{SERVICE}.{domain}");
    // Both forms: a list of instances (DNS-SD), and the service itself (RFC 2782).
    let mut asked = vec![(service.clone(), Kind::Ptr), (service.clone(), Kind::Srv)];
    for (name, kind) in &asked {
        socket.send_to(&dns::question(name, *kind), server)?;
    }
    let (mut found, until) = (Vec::new(), Instant::now() + PATIENCE);
    let mut bytes = vec![0; DATAGRAM_OCTETS_MAX];
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
        socket.set_read_timeout(Some(left))?;
        let Ok((count, from)) = socket.recv_from(&mut bytes) else { break };
        // On a link anybody of it may answer; a name server alone answers for itself.
        if !server.ip().is_multicast() && from != server {
            continue;
        }
        let Some(said) = dns::read(bytes.get(..count).unwrap_or_default(), &service) else {
            continue;
        };
        for instance in said.instances {
            if asked.iter().all(|(name, _)| *name != instance) && asked.len() < 2 + FOUND_MAX {
                socket.send_to(&dns::question(&instance, Kind::Srv), server)?;
                asked.push((instance, Kind::Srv));
            }
        }
        found.extend(said.found);
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Name servers and domains of a `resolv.conf`.
fn resolvers(text: &str) -> (Vec<SocketAddr>, Vec<String>) {
    let words = |key: &'static str| {
        text.lines()
            .filter_map(move |line| line.trim().strip_prefix(key))
            .flat_map(str::split_whitespace)
    };
    let servers = words("nameserver ")
        .filter_map(|w| Some(SocketAddr::from((w.parse::<std::net::IpAddr>().ok()?, 53))));
    let domains =
        words("search ").chain(words("domain ")).map(|w| w.trim_end_matches('.').to_owned());
    (servers.take(3).collect(), domains.take(3).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_as_the_system_reads_them() {
        let (servers, domains) = resolvers(
            "# x\nnameserver 10.0.0.1\nnameserver ::1\nsearch plant.example a.example.\n",
        );
        assert_eq!(servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(domains, ["plant.example", "a.example"]);
    }

    #[test]
    fn a_name_server_leads_to_the_place_with_the_lowest_priority() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut bytes = [0; 512];
            // The list, the service itself, and the one instance.
            for _ in 0..3 {
                let (count, from) = server.recv_from(&mut bytes).unwrap();
                if let Some(answer) = dns::tests::answer(&bytes[..count]) {
                    server.send_to(&answer, from).unwrap();
                }
            }
        });
        let found = ask(at, &["plant.example".to_owned()]);
        answering.join().unwrap();
        let places: Vec<_> = order(found).iter().map(Place::to_string).collect();
        assert_eq!(places, ["https://spare.plant.example:9", "https://muster.plant.example:8443"]);
    }
}
