//! A device, its two identifiers, what they are worth, and where it stands.

use crate::outside::UnixTime;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The UUID of a device: RFC 9562 version 7, given at birth or at the first join, never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// A UUID from a moment and 10 random octets, of which 74 bits are used.
    #[must_use]
    pub fn new(now: UnixTime, chance: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(now.millis(), &chance).as_uuid().as_bytes())
    }

    /// Reads the hyphenated form of a version 7 UUID; `None` for any other text or version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The crate reads braces, `urn:` and undashed forms too; one form keeps look-ups and logs
        // unambiguous.
        if text.len() != 36 {
            return None;
        }
        Self::from_octets(*uuid::Uuid::try_parse(text).ok()?.as_bytes())
    }

    /// A stored UUID; `None` where the octets are not a version 7 UUID.
    #[must_use]
    pub fn from_octets(octets: [u8; 16]) -> Option<Self> {
        (uuid::Uuid::from_bytes(octets).get_version_num() == 7).then_some(Self(octets))
    }

    /// The 16 octets, the most significant first.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_bytes(self.0).hyphenated())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a device stands. Only `Born` and `Enrolled` may join or renew, whatever credential they
/// bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Has a birth certificate, never joined.
    Born,
    /// Has joined.
    Enrolled,
    /// Set aside automatically (or by hand); reversible; leaves on hold.
    Quarantined,
    /// Set aside by an operator; reversible; leaves on hold.
    Suspended,
    /// Struck off for good.
    Retired,
}

/// How much the identity is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assurance {
    /// A serial number said so.
    Claimed,
    /// Someone vouched once.
    Token,
    /// Birth certificate, software key.
    Certified,
    /// Key attested in a TPM or secure element.
    Hardware,
    /// Hardware, and fresh evidence of what booted.
    Measured,
}

/// Gives an enum of unit variants its stored and shown words, one table for both directions.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that is shown, stored and sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word; `None` for any other.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(Standing {
    Born = "born",
    Enrolled = "enrolled",
    Quarantined = "quarantined",
    Suspended = "suspended",
    Retired = "retired",
});
words!(Assurance {
    Claimed = "claimed",
    Token = "token",
    Certified = "certified",
    Hardware = "hardware",
    Measured = "measured",
});

impl Standing {
    /// Whether a device that stands here may join, renew and speak.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Born | Self::Enrolled)
    }
}

/// The name of a group: 1 to 64 of letters, digits and `-_.`; groups exist by being named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(String);

impl GroupName {
    /// Reads a name; `None` where it breaks the rule above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shape = (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        shape.then(|| Self(text.to_owned()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The physical identifiers of a device: bound at birth; a later contradiction is an alarm.
///
/// Every text is at most [`IDENTIFIER_OCTETS_MAX`] octets of printable characters;
/// [`Identifiers::check`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers {
    /// Whose serial number it is: empty for the realm's own births, else the name of a maker door.
    pub maker: String,
    /// Model, empty where none was said.
    pub model: String,
    /// Serial number, empty only for a device that joined by token without one.
    pub serial: String,
    /// MAC addresses, lower case with colons.
    pub macs: BTreeSet<String>,
    /// IMEI, 15 digits.
    pub imei: Option<String>,
    /// SHA-256 of the TPM's endorsement key, lower-case hex.
    pub ek_digest: Option<String>,
    /// Anything else that the factory says.
    pub meta: BTreeMap<String, String>,
}

/// Octets that one identifier may have: X.520's bound on a serialNumber (`ub-serial-number`, RFC
/// 5280 appendix A).
pub const IDENTIFIER_OCTETS_MAX: usize = 64;
/// MAC addresses that one device may have: a switch has one per port, and 64 ports are many.
pub const MACS_MAX: usize = 64;
/// Free `k=v` pairs that one device may have, each value at most 256 octets: a label, not a
/// database.
pub const META_MAX: usize = 16;

impl Identifiers {
    /// Reads and bounds what somebody said. MACs and digests come out in lower case.
    ///
    /// # Errors
    /// A sentence that names the member which breaks its bound, for the one who said it.
    pub fn check(mut self) -> Result<Self, String> {
        for (member, text) in
            [("maker", &self.maker), ("model", &self.model), ("serial", &self.serial)]
        {
            printable(member, text, IDENTIFIER_OCTETS_MAX)?;
        }
        if self.macs.len() > MACS_MAX {
            return Err(format!("a device has at most {MACS_MAX} MAC addresses"));
        }
        self.macs = self.macs.iter().map(|m| mac(m)).collect::<Result<_, _>>()?;
        if let Some(imei) = &self.imei
            && !(imei.len() == 15 && imei.bytes().all(|c| c.is_ascii_digit()))
        {
            return Err(format!("an IMEI is 15 digits, not `{imei}`"));
        }
        self.ek_digest = self.ek_digest.map(|d| digest(&d)).transpose()?;
        if self.meta.len() > META_MAX {
            return Err(format!("a device has at most {META_MAX} meta pairs"));
        }
        for (key, value) in &self.meta {
            printable("meta key", key, IDENTIFIER_OCTETS_MAX)?;
            printable("meta value", value, 256)?;
        }
        Ok(self)
    }

    /// The member in which `said` contradicts what was bound at birth; `None` where all that both
    /// name agrees. Absent members contradict nothing.
    #[must_use]
    pub fn contradiction(&self, said: &Self) -> Option<&'static str> {
        let differs = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        if differs(&self.serial, &said.serial) {
            return Some("serial");
        }
        if differs(&self.model, &said.model) {
            return Some("model");
        }
        if matches!((&self.imei, &said.imei), (Some(a), Some(b)) if a != b) {
            return Some("imei");
        }
        if matches!((&self.ek_digest, &said.ek_digest), (Some(a), Some(b)) if a != b) {
            return Some("ek_digest");
        }
        (!self.macs.is_empty() && !said.macs.is_subset(&self.macs)).then_some("mac")
    }

    /// The member that `said` names and that nothing was bound for at birth. Labels (`meta`) are no
    /// identifiers: nothing proves them, and two stations may say different ones of one unit.
    #[must_use]
    pub fn addition(&self, said: &Self) -> Option<&'static str> {
        if self.imei.is_none() && said.imei.is_some() {
            return Some("imei");
        }
        if self.ek_digest.is_none() && said.ek_digest.is_some() {
            return Some("ek_digest");
        }
        (self.macs.is_empty() && !said.macs.is_empty()).then_some("mac")
    }

    /// What identifies the unit, for a person to compare.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = vec![format!("serial `{}`", self.serial)];
        let mut tell = |member: &str, text: &str| told.push(format!("{member} `{text}`"));
        if !self.model.is_empty() {
            tell("model", &self.model);
        }
        self.macs.iter().for_each(|mac| tell("mac", mac));
        self.imei.iter().for_each(|imei| tell("imei", imei));
        self.ek_digest.iter().for_each(|digest| tell("ek_digest", digest));
        told.join(", ")
    }
}

fn printable(member: &str, text: &str, octets_max: usize) -> Result<(), String> {
    if text.len() > octets_max {
        return Err(format!("{member} is at most {octets_max} octets, not {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{member} has a control character"));
    }
    Ok(())
}

fn mac(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    if !matches!(digits.len(), 12 | 16) || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("a MAC address is 6 or 8 octets of hexadecimal, not `{text}`"));
    }
    let lower = digits.to_ascii_lowercase();
    let pairs: Vec<&str> =
        lower.as_bytes().chunks(2).filter_map(|p| std::str::from_utf8(p).ok()).collect();
    Ok(pairs.join(":"))
}

fn digest(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if lower.len() != 64 || !lower.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(
            "an EK digest is the SHA-256 of the endorsement key in 64 hex digits".to_owned()
        );
    }
    Ok(lower)
}

/// A device as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The logical identifier.
    pub id: DeviceId,
    /// Where it stands.
    pub standing: Standing,
    /// What its identity is worth.
    pub assurance: Assurance,
    /// The physical identifiers.
    pub identifiers: Identifiers,
    /// The groups that it is in.
    pub groups: BTreeSet<GroupName>,
    /// Counts changes of this row; a commit names the one that it was decided on.
    pub version: u64,
    /// The generation of its newest leaf; 0 before the first.
    pub generation: u32,
    /// When it was born here, or first joined.
    pub born: UnixTime,
    /// When it first joined.
    pub enrolled: Option<UnixTime>,
    /// The door by which it last joined; its renewals come back through it.
    pub door: Option<String>,
    /// The last contradiction or second birth that named it, as one sentence.
    pub mark: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pump() -> Identifiers {
        Identifiers {
            model: "P7".into(),
            serial: "S1".into(),
            macs: ["00:11:22:33:44:55".to_owned()].into(),
            ..Identifiers::default()
        }
    }

    #[test]
    fn only_version_7_is_a_device() {
        let id = DeviceId::new(UnixTime::from_millis(1_790_000_000_000), [7; 10]);
        assert_eq!(DeviceId::parse(&id.to_string()), Some(id));
        assert_eq!(DeviceId::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None);
    }

    #[test]
    fn mac_addresses_are_read_in_every_spelling() {
        let said =
            Identifiers { macs: ["00-11-22-AA-bb-CC".to_owned()].into(), ..Identifiers::default() };
        assert!(said.check().unwrap().macs.contains("00:11:22:aa:bb:cc"));
        let bad = Identifiers { macs: ["00:11".to_owned()].into(), ..Identifiers::default() };
        assert!(bad.check().is_err());
    }

    #[test]
    fn what_both_name_must_agree_and_what_one_leaves_out_does_not_matter() {
        assert_eq!(pump().contradiction(&Identifiers::default()), None);
        assert_eq!(pump().contradiction(&pump()), None);
        let other = Identifiers { serial: "S2".into(), ..Identifiers::default() };
        assert_eq!(pump().contradiction(&other), Some("serial"));
        let moved =
            Identifiers { macs: ["66:11:22:33:44:55".to_owned()].into(), ..Identifiers::default() };
        assert_eq!(pump().contradiction(&moved), Some("mac"));
    }
}
