//! What a ClientHello looks like: two devices of one make have the same print, a copied key in
//! another program mostly has not. It proves nothing, and tells an operator which of two holders is
//! which.
//!
//! The form is a contract (`docs/contracts.md`). Other people's forms (JA3, JA4) need the list of
//! extensions, which our TLS does not hand out.

use identity::text::hex;
use rustls::SignatureScheme;
use rustls::server::ClientHello;
use std::fmt;

/// The first octets of a SHA-256 over what a client offers. 64 bits tell makes apart; who wants to
/// look like another need not find a collision, only copy its hello.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Print([u8; 8]);

/// The front keeps the hash from meaning anything elsewhere.
const FRONT: &[u8] = b"muster/print/v1\0";

impl Print {
    /// The print of a hello.
    #[must_use]
    pub fn of(hello: &ClientHello<'_>) -> Self {
        let suites = hello.cipher_suites().iter().map(|s| u16::from(*s));
        let groups = hello.named_groups().unwrap_or_default().iter().map(|g| u16::from(*g));
        let schemes = hello.signature_schemes().iter().map(|s: &SignatureScheme| u16::from(*s));
        let mut said = Vec::with_capacity(192);
        said.extend(FRONT);
        put(&mut said, suites);
        put(&mut said, groups);
        put(&mut said, schemes);
        for protocol in hello.alpn().into_iter().flatten() {
            // RFC 7301 §3.1: a name has 1 to 255 octets.
            said.push(u8::try_from(protocol.len()).unwrap_or(u8::MAX));
            said.extend(protocol);
        }
        let [a, b, c, d, e, f, g, h, ..] = identity::key::sha256(&[&said]);
        Self([a, b, c, d, e, f, g, h])
    }

    /// The 8 octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 8] {
        &self.0
    }

    /// A stored print.
    #[must_use]
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(octets)
    }
}

/// How many, then each, in the order of the hello and big-endian; without the values that clients
/// throw in by chance (GREASE, RFC 8701).
fn put(said: &mut Vec<u8>, offered: impl Iterator<Item = u16>) {
    let place = said.len();
    said.extend([0, 0]);
    let mut count = 0_u16;
    for value in offered.filter(|v| v & 0x0f0f != 0x0a0a || v >> 8 != v & 0xff) {
        count = count.saturating_add(1);
        said.extend(value.to_be_bytes());
    }
    if let Some(head) = said.get_mut(place..place + 2) {
        head.copy_from_slice(&count.to_be_bytes());
    }
}

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_thrown_in_by_chance_do_not_count() {
        let written = |values: &[u16]| {
            let mut said = Vec::new();
            put(&mut said, values.iter().copied());
            said
        };
        assert_eq!(written(&[0x1301, 0xc02b]), [0, 2, 0x13, 0x01, 0xc0, 0x2b]);
        assert_eq!(written(&[0x2a2a, 0x1301, 0xfafa, 0xc02b]), written(&[0x1301, 0xc02b]));
        assert_eq!(written(&[0x0a1a]), [0, 1, 0x0a, 0x1a], "only with both octets the same");
        assert_ne!(written(&[0x1301, 0xc02b]), written(&[0xc02b, 0x1301]), "the order tells");
    }
}
