//! Dates of HTTP: IMF-fixdate (RFC 9110 §5.6.7).

use identity::UnixTime;
use identity::text::rfc3339;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Fri, 01 May 2026 08:00:00 GMT`.
pub(crate) fn http_date(time: UnixTime) -> String {
    // 1970-01-01 was a Thursday.
    let day = usize::try_from(time.secs() / 86_400 % 7).unwrap_or_default();
    let text = rfc3339(time);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().unwrap_or(1).saturating_sub(1);
    format!(
        "{}, {} {} {} {} GMT",
        DAYS.get(day).unwrap_or(&"Thu"),
        part(8, 10),
        MONTHS.get(month).unwrap_or(&"Jan"),
        part(0, 4),
        part(11, 19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_reads_as_it_should() {
        assert_eq!(http_date(UnixTime::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(UnixTime::from_secs(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
