//! What happened lately, and what happens: who did what, when, to which device.

use super::super::words::{day, seconds, word as one_of};
use crate::failure::{Failure, Outcome};
use crate::output::{self, plain};
use crate::rest::{Query, Rest};
use crate::session::Session;
use api::path::{DEVICE, ENTRIES, HEAD, REALM, fill};
use api::{DeviceView, EntryView, HeadView, Page, RealmView, Severity};
use clap::{Args, ValueEnum};
use identity::text::rfc3339;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Show the newest entries; with --follow, those that come too.
///
/// Each entry is an event, and docs/events.md says what it means. Verbs may be named by their
/// front: `--verb device.` is all that was done to devices.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger tail
  muster ledger tail --device serial:S1 --since 7d
  muster ledger tail --operator ada --verb device. --since 2026-05-01
  muster ledger tail --severity warning --follow --format cef | tee -a events.cef
  muster ledger tail --lines 100 --follow --json | jq .verb")]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Go on with what comes, until interrupted; with --json, one value a line.
    #[arg(short, long)]
    follow: bool,
    /// About this device, by any of its names.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Done by this operator or station.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// With this verb, or with verbs that begin so.
    #[arg(long, value_name = "VERB")]
    verb: Option<String>,
    /// At least so grave: info, notice, warning or critical.
    #[arg(long, value_name = "SEVERITY", value_parser = one_of!(Severity))]
    severity: Option<Severity>,
    /// Not before: a moment (2026-05-01, 2026-05-01T08:00:00Z) or a time ago (90s, 15m, 12h, 30d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this moment, said in the same way.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// How an entry is written: for people, as a line of JSON, or as a line of CEF for a SIEM.
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "json")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Cef,
}

/// A moment as people say it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(secs) = seconds(text) {
        let ago = SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        return Timestamp::now().checked_sub(ago).map_err(|e| e.to_string());
    }
    let begun = day(text).map(rfc3339);
    let whole = begun.as_deref().unwrap_or(text);
    whole.parse().map_err(|_| "say 2026-05-01, 2026-05-01T08:00:00Z, or 90s, 15m, 12h, 30d".into())
}

pub(super) async fn run(typed: &Tail, rest: &Rest, session: &Session) -> Outcome {
    let head: HeadView = rest.get(HEAD).await?;
    let realm: RealmView = rest.get(REALM).await?;
    let rows = newest(typed, rest).await?;
    if !typed.follow && typed.format == Format::Table {
        return session.show(&rows, |rows, _| lines(rows));
    }
    let teller = Teller { typed, realm: realm.name, json: session.json };
    rows.iter().try_for_each(|row| teller.tell(row))?;
    if !typed.follow {
        return Ok(());
    }
    let device = match &typed.device {
        None => None,
        Some(name) => Some(rest.get::<DeviceView>(fill(DEVICE, &[name])).await?.id),
    };
    // What came between the two questions is in the stream.
    follow(rest, head.size.saturating_sub(1), &teller, device.as_deref()).await
}

/// The newest entries that are wanted, the oldest of them first.
async fn newest(typed: &Tail, rest: &Rest) -> Outcome<Vec<EntryView>> {
    let mut rows: Vec<EntryView> = Vec::new();
    let mut after: Option<String> = None;
    while rows.len() < typed.lines {
        let query = Query::default()
            .with("backwards", Some(true))
            .with("device", typed.device.as_ref())
            .with("by", typed.operator.as_ref())
            .with("verb", typed.verb.as_ref())
            .with("severity", typed.severity.map(Severity::as_str))
            .with("since", typed.since)
            .with("until", typed.until);
        let wanted = u32::try_from(typed.lines - rows.len()).unwrap_or(u32::MAX);
        let page: Page<EntryView> = rest.page(ENTRIES, &query, wanted, after).await?;
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.truncate(typed.lines);
    rows.reverse();
    Ok(rows)
}

/// Tells what comes behind entry `last`, until interrupted. A stream ends with a restart of the
/// server, or where its reader was too slow; the next one goes on where it was.
async fn follow(rest: &Rest, mut last: u64, teller: &Teller<'_>, device: Option<&str>) -> Outcome {
    loop {
        let mut events = rest.events(last).await?;
        while let Some(row) = events.next::<EntryView>().await? {
            last = row.index;
            if teller.wants(&row, device) {
                teller.tell(&row)?;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The wait before the next stream: a server that restarts needs as long.
const AGAIN: Duration = Duration::from_secs(1);

/// How entries are told, one by one.
struct Teller<'a> {
    typed: &'a Tail,
    realm: String,
    json: bool,
}

impl Teller<'_> {
    /// The stream has everything: what the server leaves out of a page is left out here.
    fn wants(&self, row: &EntryView, device: Option<&str>) -> bool {
        let told = |name: &str| row.payload.as_ref().and_then(|p| p.get(name)?.as_str());
        let verb = row.verb.as_deref().unwrap_or_default();
        let rank = |severity: Severity| Severity::ALL.iter().position(|s| *s == severity);
        device.is_none_or(|id| told("device") == Some(id))
            && self.typed.operator.as_deref().is_none_or(|by| told("by") == Some(by))
            && self.typed.verb.as_deref().is_none_or(|front| verb.starts_with(front))
            && self.typed.severity.is_none_or(|least| row.severity.map(rank) >= Some(rank(least)))
    }

    fn tell(&self, row: &EntryView) -> Outcome {
        match self.typed.format {
            Format::Cef => output::text(&server::tell::line::cef(row, &self.realm)),
            Format::Table if !self.json => output::text(&line(row)),
            Format::Json | Format::Table => {
                output::text(&serde_json::to_string(row).map_err(Failure::new)?)
            }
        }
    }
}

fn lines(rows: &[EntryView]) -> String {
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

/// Members that stand elsewhere for people; `--json` has them.
const UNTOLD: [&str; 5] = ["verb", "device", "certificate", "issuer", "spki"];
/// Hex digits of the shortest digest, an authority's key identifier; nobody reads them all.
const DIGEST_DIGITS: usize = 40;

/// An entry in one line: whom it is about comes first, then what is said of them.
fn line(row: &EntryView) -> String {
    let at = row.at.clone().unwrap_or_else(|| format!("hour {}", row.hours));
    let silent = if row.damaged { "(does not decode: run ledger verify)" } else { "(erased)" };
    let verb = row.verb.as_deref().unwrap_or(silent);
    let mut text = format!("{:>6}  {at}  {verb:<19}", row.index);
    if let Some(serde_json::Value::Object(members)) = &row.payload {
        let whom = members.iter().filter(|(key, _)| *key == "device");
        let rest = members.iter().filter(|(key, _)| !UNTOLD.contains(&key.as_str()));
        for (key, value) in whom.chain(rest) {
            text.push_str(&format!(" {key}={}", word(key, value)));
        }
    }
    plain(text.trim_end())
}

fn is_digest(text: &str) -> bool {
    text.len() >= DIGEST_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// How the table of events tells that a number is a moment.
const SINCE_1970: &str = "in seconds since 1970";

/// A value for a person: moments as moments, digests by their first digits, and what has blanks in
/// quotes.
fn word(key: &str, value: &serde_json::Value) -> String {
    let counts = ledger::event::field(key).is_some_and(|meaning| meaning.ends_with(SINCE_1970));
    let moment = value.as_i64().filter(|_| counts).map(Timestamp::from_second);
    match (moment, value.as_str()) {
        (Some(Ok(at)), _) => at.to_string(),
        (_, Some(text)) if is_digest(text) => text.chars().take(12).chain(['…']).collect(),
        (_, Some(text)) if text.contains(' ') => format!("\"{text}\""),
        (_, Some(text)) => text.to_owned(),
        (_, None) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_second_or_a_time_ago() {
        assert_eq!(moment("2026-05-01").unwrap().to_string(), "2026-05-01T00:00:00Z");
        assert_eq!(moment("2026-05-01T08:00:00Z").unwrap().to_string(), "2026-05-01T08:00:00Z");
        assert!(moment("2h").unwrap() < Timestamp::now());
        assert!(moment("monday").unwrap_err().contains("30d"));
    }

    #[test]
    fn an_entry_in_one_line_names_the_device_first_and_no_digest() {
        let row = EntryView {
            index: 7,
            hours: 0,
            at: Some("2026-11-22T17:44:56Z".to_owned()),
            class: "join".to_owned(),
            digest: String::new(),
            verb: Some("join.issued".to_owned()),
            event: None,
            severity: None,
            payload: Some(serde_json::json!({
                "authority": "ab".repeat(20), "by": "ada", "device": "0190", "ends": 0, "reason": "two words", "until": 60, "spki": "00".repeat(32),
                "verb": "join.issued",
            })),
            damaged: false,
        };
        let said = "device=0190 authority=abababababab… by=ada ends=1970-01-01T00:00:00Z reason=\"two words\" until=1970-01-01T00:01:00Z";
        assert_eq!(line(&row), format!("     7  2026-11-22T17:44:56Z  join.issued         {said}"));

        let silent = EntryView { verb: None, payload: None, ..row };
        assert!(line(&silent).ends_with("  (erased)"));
        let damaged = EntryView { damaged: true, ..silent };
        assert!(line(&damaged).ends_with("  (does not decode: run ledger verify)"));
    }
}
