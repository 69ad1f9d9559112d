//! Words of the contract as values of an option: listed in `--help`, offered by the shell.

use identity::UnixTime;
use identity::name::{CertificateName, DeviceName};
use identity::selector::{DEVICE_MEMBERS, Selector};

/// A value parser for an enum of `api` that has `ALL`, `as_str` and `FromStr`; `except` leaves out
/// a word that exists and has no place there.
macro_rules! word {
    ($name:ty $(, except $never:expr)?) => {{
        use clap::builder::TypedValueParser;
        let known = <$name>::ALL.iter().filter(|_w| true $(&& **_w != $never)?);
        clap::builder::PossibleValuesParser::new(known.map(|w| w.as_str()))
            .try_map(|w| w.parse::<$name>())
    }};
}
pub(super) use word;

/// Reads a length of time: `90`, `90s`, `15m`, `12h`, `30d`, in seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is no length of time like 90s, 15m, 12h or 30d");
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        _ => (Some(text), 1),
    };
    let count: u64 = digits.unwrap_or_default().parse().map_err(|_| refused())?;
    count.checked_mul(unit).filter(|s| *s > 0).ok_or_else(refused)
}

/// Reads a moment to come, in seconds from now: a length of time, or a day like `2027-03-31` (UTC).
pub(super) fn until(text: &str) -> Result<u64, String> {
    if text == "now" {
        return Ok(0);
    }
    let Some(day) = day(text) else {
        return seconds(text).map_err(|_| {
            format!("`{text}` is neither `now`, nor a length of time like 60d, nor a day like 2027-03-31")
        });
    };
    let left = day.secs_since(server::clock::now());
    if left == 0 { Err(format!("`{text}` is over")) } else { Ok(left) }
}

/// Reads a moment as the server writes it, `2027-03-31T12:00:00Z`.
pub(super) fn moment(text: &str) -> Option<UnixTime> {
    let at = text.parse::<jiff::Timestamp>().ok()?;
    Some(UnixTime::from_secs(u64::try_from(at.as_second()).ok()?))
}

/// The beginning of a day, `2027-03-31`, in UTC.
pub(super) fn day(text: &str) -> Option<UnixTime> {
    let day = text.parse::<jiff::civil::Date>().ok()?;
    moment(&format!("{day}T00:00:00Z"))
}

/// Reads the name of a device, and keeps it as it was typed.
pub(super) fn device(text: &str) -> Result<String, String> {
    DeviceName::parse(text).map(|_| text.to_owned()).ok_or_else(|| {
        format!("`{text}` is no UUID, no 6 or more hex digits of one, and no serial:S")
    })
}

/// Reads the name of a certificate, and keeps it as it was typed.
pub(super) fn certificate(text: &str) -> Result<String, String> {
    CertificateName::parse_alone(text).map(|_| text.to_owned()).ok_or_else(|| {
        format!("`{text}` is no cert:HEX (serial number, 32 digits) and no spki:HEX (64 digits)")
    })
}

/// Reads a reason, which says something.
pub(super) fn why(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why: the ledger keeps it".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Reads a selector over the members of a device, and keeps it as it was typed: what the server would
/// refuse is wrong usage here already.
pub(super) fn selector(text: &str) -> Result<String, String> {
    let read = Selector::parse(text).and_then(|selector| selector.check(&DEVICE_MEMBERS));
    read.map(|_| text.to_owned()).map_err(|defect| defect.to_string())
}

/// Reads `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no KEY=VALUE"))?;
    if key.is_empty() {
        return Err(format!("`{text}` has no key before the `=`"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit_or_are_seconds() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        for refused in ["", "h", "0", "1w", "-1h", "1.5h", "99999999999999999999d", "é"] {
            assert!(seconds(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_day_is_one_of_the_calendar() {
        let secs = |text| day(text).map(UnixTime::secs);
        assert_eq!(secs("1970-01-01"), Some(0));
        assert_eq!(secs("2027-03-31"), Some(1_806_451_200));
        assert_eq!(secs("2028-02-29"), Some(1_835_395_200));
        for refused in ["2027-02-29", "2027-13-01", "2027-00-01", "2027-01-00", "2027-01", "27d"] {
            assert_eq!(secs(refused), None, "{refused}");
        }
        assert_eq!(until("now"), Ok(0));
        assert_eq!(until("60d"), Ok(60 * 86_400));
        assert!(until("2020-01-01").unwrap_err().contains("over"));
        assert!(until("soon").unwrap_err().contains("2027-03-31"));
    }

    #[test]
    fn a_device_has_one_of_the_names_of_the_contract() {
        for name in ["01a20452-aa29-7a12-be9b-c991181dbae5", "01a204", "serial:S", "serial:a//S"] {
            assert_eq!(device(name).as_deref(), Ok(name));
        }
        for refused in ["", "01a20", "pump-7", "serial:"] {
            assert!(device(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_selector_is_read_before_anybody_is_asked() {
        let good = "standing == \"enrolled\" && version > 3";
        assert_eq!(selector(good).as_deref(), Ok(good));
        assert!(selector("standing = 1").unwrap_err().contains("`==`"));
        assert!(selector("colour == \"red\"").unwrap_err().contains("no member `colour`"));
    }

    #[test]
    fn a_pair_has_a_key() {
        assert_eq!(pair("line=7=a"), Ok(("line".to_owned(), "7=a".to_owned())));
        assert!(pair("line").is_err() && pair("=7").is_err());
    }
}
