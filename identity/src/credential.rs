//! What we issued to a device, and what became of it.

use crate::authority::KeyId;
use crate::device::{DeviceId, words};
use crate::key::SpkiHash;
use crate::outside::UnixTime;
use crate::text::shown_in_hex;

/// A certificate serial number of ours: 48-bit big-endian Unix milliseconds, then 80 random bits.
/// The front keeps an index an append, the back is unpredictable (RFC 5280 §4.1.2.2 allows 20
/// octets; the first bit is 0 until 6429).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial([u8; 16]);

impl Serial {
    /// A serial number from a moment and 10 random octets.
    #[must_use]
    pub fn new(now: UnixTime, chance: [u8; 10]) -> Self {
        let time = now.millis().to_be_bytes();
        let mut octets = [0; 16];
        octets.iter_mut().zip(time.iter().skip(2).chain(chance.iter())).for_each(|(o, b)| *o = *b);
        Self(octets)
    }

    /// A stored or shown serial number; `None` where it does not have 16 octets.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// The 16 octets, the most significant first.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

shown_in_hex!(Serial);

/// The serial number of any certificate, whoever signed it: a whole number of at most 20 octets
/// (RFC 5280 §4.1.2.2). Authorities may be signed elsewhere; a [`Serial`] is one of ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber([u8; 20]);

impl SerialNumber {
    /// A serial number from the content of its INTEGER; `None` where that is negative, too long or
    /// nothing.
    #[must_use]
    pub fn from_integer(content: &[u8]) -> Option<Self> {
        if content.first().is_none_or(|first| first & 0x80 != 0) {
            return None;
        }
        let zeros = content.iter().take_while(|octet| **octet == 0).count();
        Self::from_octets(content.get(zeros..)?)
    }

    /// The octets without zeros in front, the most significant first; of zero itself one.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        let zeros = self.0.iter().take(19).take_while(|octet| **octet == 0).count();
        self.0.get(zeros..).unwrap_or_default()
    }

    /// A number of at most 20 octets.
    fn from_octets(number: &[u8]) -> Option<Self> {
        let mut octets = [0; 20];
        let start = octets.len().checked_sub(number.len())?;
        octets.get_mut(start..)?.copy_from_slice(number);
        Some(Self(octets))
    }
}

impl From<Serial> for SerialNumber {
    fn from(serial: Serial) -> Self {
        let mut octets = [0; 20];
        octets.iter_mut().rev().zip(serial.0.iter().rev()).for_each(|(o, b)| *o = *b);
        Self(octets)
    }
}

impl std::fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::text::hex(self.octets()))
    }
}

impl std::fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Which of the two kinds of certificate a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// The birth certificate (IEEE 802.1AR IDevID).
    Birth,
    /// The short-lived leaf (LDevID).
    Leaf,
}

words!(CredentialKind { Birth = "birth", Leaf = "leaf" });

/// Why a certificate was revoked: the reason codes of RFC 5280 §5.3.1 that apply to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Nobody said why (0, which CRLs leave out).
    Unspecified,
    /// Somebody else has, or may have, the private key (1).
    KeyCompromise,
    /// Its issuer's key is not trusted any more (2).
    CaCompromise,
    /// The device changed its owner or its name (3).
    AffiliationChanged,
    /// A newer certificate took its place (4).
    Superseded,
    /// The device was retired (5).
    CessationOfOperation,
    /// On hold while the device is suspended or quarantined (6).
    CertificateHold,
    /// The right to hold it was withdrawn (9).
    PrivilegeWithdrawn,
}

words!(Reason {
    Unspecified = "unspecified",
    KeyCompromise = "keyCompromise",
    CaCompromise = "cACompromise",
    AffiliationChanged = "affiliationChanged",
    Superseded = "superseded",
    CessationOfOperation = "cessationOfOperation",
    CertificateHold = "certificateHold",
    PrivilegeWithdrawn = "privilegeWithdrawn",
});

impl Reason {
    /// The number that stands in a CRL entry (RFC 5280 §5.3.1).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: UnixTime,
    /// Why.
    pub reason: Reason,
}

/// What a certificate is good for at a moment, as everybody is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// A birth certificate: it is shown at each join, and no use of it ends another.
    Good,
    /// A leaf that no handshake completed with yet.
    Unused,
    /// A leaf in use.
    Used,
    /// A leaf whose successor is in use, and that is good until the overlap ends.
    Overlap,
    /// A leaf whose successor is in use: whoever shows it is a second holder.
    Spent,
    /// Past its `notAfter`.
    Ended,
    /// On hold.
    Held,
    /// Revoked for good.
    Revoked,
}

words!(CredentialState {
    Good = "good",
    Unused = "unused",
    Used = "used",
    Overlap = "overlap",
    Spent = "spent",
    Ended = "ended",
    Held = "held",
    Revoked = "revoked",
});

/// A certificate that we issued to a device, as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its serial number, unique in the realm.
    pub serial: Serial,
    /// Birth certificate or leaf.
    pub kind: CredentialKind,
    /// Whose it is.
    pub device: DeviceId,
    /// The authority that signed it.
    pub issuer: KeyId,
    /// The order of leaves, from 1; 0 for a birth certificate.
    pub generation: u32,
    /// The SHA-256 of its SPKI.
    pub spki: SpkiHash,
    /// Who asked for it: what proved the requester, so that a retry after a lost answer is known
    /// again.
    pub requester: Requester,
    /// Whether its first use ends the device's earlier leaves at once (a join) or after the overlap
    /// (a renewal).
    pub closes: bool,
    /// The CRL shard that names it, fixed at issuance.
    pub shard: u16,
    /// When it was issued, which is not its `notBefore`.
    pub issued: UnixTime,
    /// Its `notAfter`.
    pub not_after: UnixTime,
    /// When a handshake with it first completed.
    pub used: Option<UnixTime>,
    /// From when on it is spent: its successor was used, and the overlap ended.
    pub spent: Option<UnixTime>,
    /// Whether, when and why it was revoked or put on hold.
    pub revoked: Option<Revocation>,
    /// The whole certificate in DER.
    pub der: Vec<u8>,
}

impl Credential {
    /// What it is good for at `now`.
    #[must_use]
    pub fn state(&self, now: UnixTime) -> CredentialState {
        match (self.revoked, self.spent) {
            (Some(_), _) if self.is_ended() => CredentialState::Revoked,
            (Some(_), _) => CredentialState::Held,
            (None, Some(spent)) if spent <= now => CredentialState::Spent,
            (None, _) if self.not_after < now => CredentialState::Ended,
            (None, Some(_)) => CredentialState::Overlap,
            (None, None) if self.kind == CredentialKind::Birth => CredentialState::Good,
            (None, None) if self.used.is_some() => CredentialState::Used,
            (None, None) => CredentialState::Unused,
        }
    }

    /// Whether it is neither revoked, nor on hold, nor spent, nor at its end at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixTime) -> bool {
        use CredentialState::{Ended, Held, Revoked, Spent};
        !matches!(self.state(now), Spent | Ended | Held | Revoked)
    }

    /// Whether it was revoked for good, which a hold is not.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.revoked.is_some_and(|r| r.reason != Reason::CertificateHold)
    }

    /// Whether it is spent or was revoked for good: its key has done its work.
    #[must_use]
    pub fn is_worn(&self, now: UnixTime) -> bool {
        self.is_ended() || self.spent.is_some_and(|s| s <= now)
    }
}

/// What proved a requester: a digest over the kind of proof and the key or token that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requester([u8; 32]);

impl Requester {
    /// The holder of a private key, proven by a TLS handshake.
    #[must_use]
    pub fn key(spki: &SpkiHash) -> Self {
        Self(crate::key::sha256(&[b"key\0", spki.octets()]))
    }

    /// The holder of a join token.
    #[must_use]
    pub fn token(id: &str) -> Self {
        Self(crate::key::sha256(&[b"token\0", id.as_bytes()]))
    }

    /// An operator or a station, by the name of its credential.
    #[must_use]
    pub fn operator(name: &str) -> Self {
        Self(crate::key::sha256(&[b"operator\0", name.as_bytes()]))
    }

    /// A stored requester.
    #[must_use]
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The 32 octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_of_any_length_is_a_number() {
        let read = SerialNumber::from_integer;
        let long = [&[0x7f][..], &[0xab; 19]].concat();
        let high = [&[0, 0xff][..], &[0xab; 19]].concat();
        for (content, octets) in [
            (&[0][..], &[0][..]),
            (&[5], &[5]),
            (&[0, 0x9f], &[0x9f]),
            (&[1, 0, 0], &[1, 0, 0]),
            (&long, &long),
            (&high, &high[1..]),
        ] {
            assert_eq!(read(content).unwrap().octets(), octets);
        }
        for none in [&[][..], &[0x9f], &[1; 21]] {
            assert_eq!(read(none), None);
        }
        assert!(read(&[2]) < read(&[1, 0]) && read(&[1, 0]) < read(&long));
        let ours = Serial::new(UnixTime::from_millis(0x0190_A5B2_7C3D), [7; 10]);
        assert_eq!(read(ours.octets()), Some(ours.into()));
        assert_eq!(SerialNumber::from(ours).to_string(), ours.to_string());
    }

    #[test]
    fn serial_numbers_keep_the_order_of_time() {
        let early = Serial::new(UnixTime::from_millis(0x0190_A5B2_7C3D), [0xff; 10]);
        let late = Serial::new(UnixTime::from_millis(0x0190_A5B2_7C3E), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string(), "0190a5b27c3dffffffffffffffffffff");
    }
}
