//! How a person names a device or a certificate on a command line or in a path.

use crate::credential::Serial;
use crate::device::DeviceId;
use crate::key::SpkiHash;
use crate::text::from_hex;

/// A device as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The whole UUID.
    Id(DeviceId),
    /// The first hex digits of one (6 to 31, dashes left out, lower case).
    Prefix(String),
    /// `serial:S`, or with two slashes or more `serial:MAKER/MODEL/S`, where all behind the second
    /// slash is the serial number. One that has two slashes itself is therefore named in full, with
    /// maker and model empty where they are: `serial://A/B/C`.
    Serial {
        /// Maker and model, where they were said; an absent part is the empty string.
        of: Option<(String, String)>,
        /// The serial number.
        serial: String,
    },
}

impl DeviceName {
    /// Reads a name; `None` where it is none of the three.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("serial:") {
            return Self::parse_serial(rest);
        }
        if let Some(id) = DeviceId::parse(text) {
            return Some(Self::Id(id));
        }
        let dense: String =
            text.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        let hex = dense.chars().all(|c| c.is_ascii_hexdigit());
        (hex && (6..32).contains(&dense.len())).then_some(Self::Prefix(dense))
    }

    fn parse_serial(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let (of, serial) = match parts.as_slice() {
            [maker, model, serial] => (Some(((*maker).to_owned(), (*model).to_owned())), *serial),
            _ => (None, rest),
        };
        (!serial.is_empty()).then(|| Self::Serial { of, serial: serial.to_owned() })
    }

    /// The name by which every verb finds a device with these identifiers, the short one where
    /// that can mean it; `None` without a serial number, or where a slash in maker or model would
    /// make it another device's: then only the UUID names it.
    #[must_use]
    pub fn for_serial(maker: &str, model: &str, serial: &str) -> Option<String> {
        let full = !maker.is_empty() || serial.matches('/').count() > 1;
        match (serial, full) {
            ("", _) => None,
            (_, true) if maker.contains('/') || model.contains('/') => None,
            (_, true) => Some(format!("serial:{maker}/{model}/{serial}")),
            (_, false) => Some(format!("serial:{serial}")),
        }
    }
}

/// A certificate as a person names it. Its digits may stand in pairs with colons between, as OpenSSL
/// prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// `cert:HEX`, the serial number.
    Serial(Serial),
    /// `spki:HEX`, the SHA-256 of the public key.
    Key(SpkiHash),
}

impl CertificateName {
    /// Reads `cert:HEX` or `spki:HEX`; `None` where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(hex) = text.strip_prefix("cert:") {
            return serial(hex).map(Self::Serial);
        }
        let hex = text.strip_prefix("spki:")?;
        Some(Self::Key(SpkiHash::from_octets(digits(hex)?.try_into().ok()?)))
    }

    /// As [`Self::parse`]; a serial number alone is one, too, where nothing but a certificate can be
    /// meant.
    #[must_use]
    pub fn parse_alone(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| serial(text).map(Self::Serial))
    }
}

fn serial(text: &str) -> Option<Serial> {
    Serial::from_octets(&digits(text)?)
}

fn digits(text: &str) -> Option<Vec<u8>> {
    match text.contains(':') {
        true if text.split(':').all(|pair| pair.len() == 2) => from_hex(&text.replace(':', "")),
        true => None,
        false => from_hex(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_by_its_digits_with_colons_or_without() {
        let dense = "0190a5b27c3d0123456789abcdef0123";
        let pairs = "01:90:A5:B2:7C:3D:01:23:45:67:89:AB:CD:EF:01:23";
        let named = CertificateName::parse(&format!("cert:{dense}"));
        assert!(matches!(named, Some(CertificateName::Serial(_))));
        assert_eq!(CertificateName::parse(&format!("cert:{pairs}")), named);
        assert_eq!(CertificateName::parse_alone(pairs), named);
        assert_eq!(CertificateName::parse_alone(dense), named);
        assert_eq!(CertificateName::parse(dense), None);
        let key = CertificateName::parse_alone(&format!("spki:{}", "ab".repeat(32)));
        assert!(matches!(key, Some(CertificateName::Key(_))));
        for refused in ["nosuch", "", "0190a5b27c3d0123456789abcdef01:23", "01:90", "cert:"] {
            assert_eq!(CertificateName::parse_alone(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_device_has_three_names() {
        let id = "0190a5b2-7c3d-7e4f-8a1b-2c3d4e5f6071";
        assert_eq!(DeviceName::parse(id), DeviceId::parse(id).map(DeviceName::Id));
        assert_eq!(DeviceName::parse("0190A5-b2"), Some(DeviceName::Prefix("0190a5b2".into())));
        assert_eq!(
            DeviceName::parse("serial:acme//S/1"),
            Some(DeviceName::Serial {
                of: Some(("acme".into(), String::new())),
                serial: "S/1".into()
            })
        );
        assert_eq!(DeviceName::parse("0190a"), None);
        assert_eq!(DeviceName::parse("pump-7"), None);
    }

    #[test]
    fn two_slashes_say_maker_and_model_and_fewer_are_of_the_serial_number() {
        let short = |s: &str| Some(DeviceName::Serial { of: None, serial: s.into() });
        let full = |maker: &str, model: &str, s: &str| {
            Some(DeviceName::Serial { of: Some((maker.into(), model.into())), serial: s.into() })
        };
        assert_eq!(DeviceName::parse("serial:S/1"), short("S/1"));
        assert_eq!(DeviceName::parse("serial:/"), short("/"));
        assert_eq!(DeviceName::parse("serial:A/B/C"), full("A", "B", "C"));
        assert_eq!(DeviceName::parse("serial://A/B/C"), full("", "", "A/B/C"));
        assert_eq!(DeviceName::parse("serial:"), None);
        assert_eq!(DeviceName::parse("serial:A/B/"), None);
    }

    #[test]
    fn the_name_that_is_shown_is_read_as_the_device() {
        for (maker, model, serial) in [
            ("", "", "S1"),
            ("", "P7", "S/1"),
            ("", "P7", "A/B/C"),
            ("acme", "", "S1"),
            ("acme", "M1", "A/B/C"),
        ] {
            let name = DeviceName::for_serial(maker, model, serial).unwrap();
            let Some(DeviceName::Serial { of, serial: read }) = DeviceName::parse(&name) else {
                panic!("{name}")
            };
            assert_eq!(read, serial);
            assert!(of.is_none_or(|of| of == (maker.to_owned(), model.to_owned())), "{name}");
        }
        assert_eq!(DeviceName::for_serial("acme", "M1", ""), None);
        assert_eq!(DeviceName::for_serial("acme", "M/1", "S1"), None);
        assert_eq!(DeviceName::for_serial("", "M/1", "S1").as_deref(), Some("serial:S1"));
    }
}
