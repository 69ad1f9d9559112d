//! An event in the forms that a SIEM reads: one line of ArcSight's Common Event Format (version 0,
//! as its guide of revision 26 has it), and the frame of a syslog message (RFC 5424, counted as RFC
//! 5425 §4.3 wants). Text in, text out.

use super::gravity;
use api::EntryView;
use ledger::Event;
use serde_json::Value;

/// What a receiver is told about the one who sends.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The name of the host; `-` where it has none.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// The facility of an audit log (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// The longest host name and message id (RFC 5424 §6.2.4, §6.2.7).
const HOST_CHARS_MAX: usize = 255;
const MSGID_CHARS_MAX: usize = 32;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The members that CEF has a key of its own for.
const KEYS: [(&str, &str); 4] = [
    ("device", "deviceExternalId"),
    ("by", "suser"),
    ("reason", "reason"),
    ("serial", "musterCertificate"),
];

/// One line of CEF, without its end.
#[must_use]
pub fn cef(entry: &EntryView, realm: &str) -> String {
    let event = entry.verb.as_deref().and_then(Event::of);
    let silent = if entry.damaged { "damaged" } else { "erased" };
    let (id, verb) = (event.map_or(0, |e| e.id), entry.verb.as_deref().unwrap_or(silent));
    let grave = gravity(entry).cef();
    let mut line = format!("CEF:0|Muster|Muster|{VERSION}|{id}|{}|{grave}|", front(verb));
    let mut put = |key: &str, value: &str| {
        if !line.ends_with('|') {
            line.push(' ');
        }
        line.push_str(&format!("{key}={}", extension(value)));
    };
    if let Some(at) = entry.at.as_deref().and_then(millis) {
        put("rt", &at.to_string());
    }
    put("externalId", &entry.index.to_string());
    put("cat", &entry.class);
    put("dvchost", realm);
    if let Some(Value::Object(members)) = &entry.payload {
        for (name, value) in members.iter().filter(|(name, _)| *name != "verb") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            put(&key(name, &text), &text);
        }
    }
    line
}

/// The key of a member: the source of an IPv6 request has another one than that of an IPv4 one.
fn key(name: &str, value: &str) -> String {
    if name == "from" {
        return if value.contains(':') { "c6a2" } else { "src" }.to_owned();
    }
    if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
        return (*key).to_owned();
    }
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters)
    });
    "muster".chars().chain(words.flatten()).collect()
}

/// Escapes for the front, which ends at bars.
fn front(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Escapes for the extension, which is split at equals signs.
fn extension(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}

fn millis(moment: &str) -> Option<u64> {
    let at = moment.parse::<jiff::Timestamp>().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// A syslog message around `text`, with its length in front.
#[must_use]
pub fn framed(entry: &EntryView, text: &str, sender: &Sender) -> Vec<u8> {
    let grave = gravity(entry).syslog();
    let message = format!(
        "<{}>1 {} {} muster {} {} [meta sequenceId=\"{}\"][origin software=\"muster\" \
         swVersion=\"{VERSION}\"] \u{feff}{text}",
        FACILITY * 8 + grave,
        entry.at.as_deref().unwrap_or("-"),
        printable(&sender.host, HOST_CHARS_MAX),
        sender.pid,
        printable(entry.verb.as_deref().unwrap_or("-"), MSGID_CHARS_MAX),
        // From 1 to 2147483647, then from 1 again (RFC 5424 §7.3.1).
        entry.index % 2_147_483_647 + 1,
    );
    [format!("{} ", message.len()).into_bytes(), message.into_bytes()].concat()
}

/// Printable ASCII without blanks, as the header's fields are; `-` where nothing is left.
fn printable(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry() -> EntryView {
        EntryView {
            index: 41,
            hours: 0,
            at: Some("2026-11-22T17:44:56Z".to_owned()),
            class: "standing".to_owned(),
            digest: String::new(),
            verb: Some("device.suspended".to_owned()),
            event: Some(601),
            severity: Some(api::Severity::Warning),
            payload: Some(json!({
                "verb": "device.suspended", "device": "0190", "by": "ada", "from": "::1",
                "reason": "a=b|c\\d\nnext", "serial_number": "S1",
            })),
            damaged: false,
        }
    }

    #[test]
    fn a_line_of_cef_names_the_event_and_escapes_what_would_split_it() {
        let line = cef(&entry(), "default");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line,
            format!(
                "CEF:0|Muster|Muster|{version}|601|device.suspended|7|rt=1795369496000 \
                 externalId=41 cat=standing dvchost=default suser=ada deviceExternalId=0190 \
                 c6a2=::1 reason=a\\=b|c\\\\d\\nnext musterSerialNumber=S1"
            )
        );
    }

    #[test]
    fn a_frame_tells_its_length_facility_and_severity() {
        let sender = Sender { host: "muster host".to_owned(), pid: 7 };
        let frame = String::from_utf8(framed(&entry(), "text", &sender)).unwrap();
        let (length, message) = frame.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        assert!(message.starts_with(
            "<108>1 2026-11-22T17:44:56Z musterhost muster 7 device.suspended [meta sequenceId=\"42\"]"
        ));
        assert!(message.ends_with("] \u{feff}text"));
    }

    #[test]
    fn a_signal_is_told_as_grave_as_it_is_and_not_as_its_verb() {
        let signal = EntryView {
            verb: Some("join.denied".to_owned()),
            severity: Some(api::Severity::Critical),
            ..entry()
        };
        assert!(cef(&signal, "default").contains("|801|join.denied|10|rt="));
        let frame = framed(&signal, "", &Sender { host: String::new(), pid: 7 });
        assert!(String::from_utf8(frame).unwrap().contains(" <105>1 "));
    }

    #[test]
    fn an_entry_that_was_erased_is_a_line_all_the_same() {
        let erased =
            EntryView { verb: None, payload: None, event: None, severity: None, ..entry() };
        assert!(cef(&erased, "default").contains("|0|erased|4|rt="));
    }
}
