//! The PROXY protocol, version 2, binary (haproxy.org, proxy-protocol.txt §2.2): a balancer says
//! whose connection it passes on. It is read only from networks that `[proxy] from` names, and
//! there it is demanded: a receiver must not guess, since the first octets of a stranger could be a
//! header too.

use crate::limits::PROXY_HEADER_OCTETS_MAX;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header and not an octet more. `None`: the balancer speaks for itself (a health check).
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let length = check(&head).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = [0; PROXY_HEADER_OCTETS_MAX];
    let rest = rest.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(rest).await?;
    source(&head, rest).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The length of what follows the first 16 octets.
fn check(head: &[u8; 16]) -> Option<usize> {
    let [.., version, _, high, low] = *head;
    let right = head.starts_with(&SIGNATURE) && matches!(version, 0x20 | 0x21);
    right.then(|| usize::from(u16::from_be_bytes([high, low])))
}

/// Whose connection it is. The outer `None` is a header that does not hold what it should.
fn source(head: &[u8; 16], rest: &[u8]) -> Option<Option<IpAddr>> {
    let [.., version, family, _, _] = *head;
    match (version & 0xf, family >> 4) {
        (0, _) | (1, 0) => Some(None),
        (1, 1) => rest.first_chunk::<4>().map(|ip| Some(Ipv4Addr::from(*ip).into())),
        (1, 2) => rest.first_chunk::<16>().map(|ip| Some(IpAddr::from(Ipv6Addr::from(*ip)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    async fn read_all(bytes: &[u8]) -> (Option<Option<IpAddr>>, usize) {
        let mut rest = bytes;
        let found = read(&mut rest).await.ok();
        (found, rest.len())
    }

    #[tokio::test]
    async fn a_header_names_the_client_and_nothing_behind_it_is_taken() {
        let mut bytes = header(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 3, 4, 9, 0, 0]);
        bytes.extend(b"hello");
        assert_eq!(read_all(&bytes).await, (Some(Some("192.0.2.7".parse().unwrap())), 5));
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        let found = read_all(&header(0x21, 0x21, &six)).await;
        assert_eq!(found, (Some(Some("2001:db8::7".parse().unwrap())), 0));
    }

    #[tokio::test]
    async fn a_health_check_speaks_for_itself() {
        assert_eq!(read_all(&header(0x20, 0, &[])).await, (Some(None), 0));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            header(0x11, 0x11, &[0; 12]),
            header(0x21, 0x11, &[1, 2, 3]),
            header(0x21, 0x31, &[0; 216]),
            header(0x21, 0x11, &[0; PROXY_HEADER_OCTETS_MAX + 1]),
            SIGNATURE.to_vec(),
        ] {
            assert_eq!(read_all(&bytes).await.0, None, "{bytes:02x?}");
        }
    }
}
