//! Where the verbs of its own machine find a server: what the credential in the home says.

use ca::authority::ServerName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The name that leads to `place` from its own machine: `localhost` where it listens there or
/// everywhere, else the one address.
#[must_use]
pub fn name(place: SocketAddr) -> ServerName {
    let ip = place.ip().to_canonical();
    match ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        true => ServerName::Dns("localhost".to_owned()),
        false => ServerName::Ip(ip),
    }
}

/// The name to use where a certificate has only `names`: `near` if it is among them, else the first
/// that is whole, since its owner chose it for this server.
#[must_use]
pub fn among(near: ServerName, names: &[ServerName]) -> Option<ServerName> {
    if names.contains(&near) {
        return Some(near);
    }
    let whole = |name: &&ServerName| !matches!(name, ServerName::Dns(dns) if dns.contains('*'));
    names.iter().find(whole).cloned()
}

/// `https://NAME:PORT`.
#[must_use]
pub fn url(name: &ServerName, port: u16) -> String {
    match name {
        ServerName::Dns(dns) => format!("https://{dns}:{port}"),
        ServerName::Ip(ip) => format!("https://{}", SocketAddr::new(*ip, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &str) -> String {
        let place: SocketAddr = place.parse().unwrap();
        url(&name(place), place.port())
    }

    #[test]
    fn loopback_is_found_by_its_name_and_one_address_by_itself() {
        for everywhere in ["127.0.0.1:9443", "0.0.0.0:9443", "[::]:9443"] {
            assert_eq!(at(everywhere), "https://localhost:9443", "{everywhere}");
        }
        assert_eq!(at("10.0.0.5:443"), "https://10.0.0.5:443");
        assert_eq!(at("127.0.0.2:9443"), "https://127.0.0.2:9443");
        assert_eq!(at("[::1]:9443"), "https://[::1]:9443", "`localhost` may be the other family's");
        assert_eq!(at("[2001:db8::5]:9443"), "https://[2001:db8::5]:9443");
    }

    #[test]
    fn of_an_owners_certificate_a_name_is_taken_that_it_has() {
        let dns = |name: &str| ServerName::Dns(name.to_owned());
        let (near, theirs) = (dns("localhost"), [dns("*.example"), dns("muster.example")]);
        assert_eq!(among(near.clone(), &theirs), Some(dns("muster.example")));
        assert_eq!(among(near.clone(), &[dns("a"), near.clone()]), Some(near.clone()));
        assert_eq!(among(near, &theirs[..1]), None, "a pattern is no address");
    }
}
