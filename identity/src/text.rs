//! Bytes, moments and counts as people read them: hexadecimal, base64, RFC 3339 time.

use crate::outside::UnixTime;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Reads hexadecimal of either case; `None` where it is not.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Reads exactly `N` octets of hexadecimal.
#[must_use]
pub fn array_from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_hex(text)?.try_into().ok()
}

/// Base64 (RFC 4648 §4) in one unbroken run.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads base64 with or without white space between its characters.
#[must_use]
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(&dense).ok()
}

/// Base64url without padding (RFC 4648 §5): how tokens are written.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// A count with its noun, or with all that goes with the number: `1 unit`, `2 units`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// RFC 3339 in UTC with whole seconds, `2026-05-01T08:00:00Z`.
#[must_use]
pub fn rfc3339(time: UnixTime) -> String {
    let secs = time.secs();
    let (year, month, day) = civil(secs / 86_400);
    let (h, m, s) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// Year, month and day of a count of days since 1970, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days are counted from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A newtype of octets, as people and programmers read it: in hexadecimal.
macro_rules! shown_in_hex {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::text::hex(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use shown_in_hex;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_is_one_unit() {
        let units = |count| counted(count, "unit", "units");
        assert_eq!([units(0), units(1), units(2)], ["0 units", "1 unit", "2 units"]);
    }

    #[test]
    fn moments_read_as_people_write_them() {
        assert_eq!(rfc3339(UnixTime::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UnixTime::from_secs(1_709_210_096)), "2024-02-29T12:34:56Z");
        assert_eq!(rfc3339(UnixTime::NEVER_ENDS), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn base64_is_read_with_and_without_line_breaks() {
        assert_eq!(from_base64(b"AQID\r\nBAUG\n").as_deref(), Some(&[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(from_base64(b"AQIDBAUG").as_deref(), Some(&[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(from_base64(b"AQ*D"), None);
    }
}
