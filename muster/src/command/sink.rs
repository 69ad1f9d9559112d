//! Sinks: who else is told what happens.

use super::words::word;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Call, Query};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{SINK, SINK_DEAD, SINK_RETRY, SINK_TEST, SINKS, fill};
use api::{
    DeadLetter, Severity, SinkDropped, SinkFormat, SinkKind, SinkMade, SinkRequest, SinkTold,
    SinkView,
};
use clap::{Args, Subcommand};
use hyper::Method;
use identity::text::counted;
use std::path::PathBuf;

/// Receivers of events: webhooks, and a SIEM by syslog.
///
/// Every entry of the ledger is an event (docs/events.md). A receiver is told those that it wants,
/// in their order, from the moment that it was set.
#[derive(Debug, Subcommand)]
pub(crate) enum Sink {
    Set(Set),
    List(List),
    Show(Show),
    Test(Test),
    Dead(Dead),
    Retry(Retry),
    Drop(Drop),
    Remove(Remove),
}

/// Make a receiver, or change it to be exactly this.
///
/// A webhook gets one signed POST for each event (Standard Webhooks), at least once: what it does
/// not answer with 2xx comes again, for a day at most; what it refuses three times is a dead
/// letter. Its secret is shown once. A syslog receiver gets RFC 5424 over TLS, which has no
/// answers: a line that is under way when the connection breaks may be lost.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster sink set pager --webhook https://pager.example/in --severity critical
  muster sink set siem --syslog tls://siem.example:6514 --ca siem-ca.pem --format cef")]
pub(crate) struct Set {
    /// Its name.
    name: String,
    /// The address of a webhook, https://HOST[:PORT]/PATH.
    #[arg(long, value_name = "URL", conflicts_with = "syslog", required_unless_present = "syslog")]
    webhook: Option<String>,
    /// The address of a syslog receiver, tls://HOST[:PORT].
    #[arg(long, value_name = "URL")]
    syslog: Option<String>,
    /// How an event is written: json or cef.
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = word!(SinkFormat))]
    format: SinkFormat,
    /// The mildest events that it is told of: info, notice, warning or critical.
    #[arg(long, value_name = "SEVERITY", default_value = "notice", value_parser = word!(Severity))]
    severity: Severity,
    /// The front of the verbs that it is told of, `device.`; may be said again [default: all].
    #[arg(long, value_name = "FRONT")]
    verb: Vec<String>,
    /// Certificates in PEM that its server's has to lead to [default: those the system trusts].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The number of the first entry that it is told of [default: what comes from now on].
    #[arg(long, value_name = "N")]
    from: Option<u64>,
}

/// List the receivers, and how far each was told.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink list")]
pub(crate) struct List {}

/// Show a receiver.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink show siem")]
pub(crate) struct Show {
    /// Its name.
    name: String,
}

/// Tell a receiver the newest entry once, and show what it says.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink test siem")]
pub(crate) struct Test {
    /// Its name.
    name: String,
}

/// List the entries that a receiver did not take.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink dead pager")]
pub(crate) struct Dead {
    /// Its name.
    name: String,
    /// At most so many [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Tell a receiver once more what it did not take.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink retry pager")]
pub(crate) struct Retry {
    /// Its name.
    name: String,
}

/// Give up what a receiver did not take; the entries stay in the ledger.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink drop pager")]
pub(crate) struct Drop {
    /// Its name.
    name: String,
}

/// Remove a receiver: it hears nothing from now on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster sink remove pager")]
pub(crate) struct Remove {
    /// Its name.
    name: String,
}

/// Does what was typed.
pub(super) async fn run(typed: Sink, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Sink::Set(typed) => {
            let address = fill(SINK, &[&typed.name]);
            // A lost answer would take the secret with it.
            let call = Call::new(Method::PUT, address).json(&request(typed)?)?.keyed();
            let made: SinkMade = rest.send(call).await?.value()?;
            session.show(&made, once)
        }
        Sink::List(List {}) => {
            let sinks: Vec<SinkView> = rest.list(SINKS, &Query::default(), None).await?;
            session.show(&sinks, |rows, paint| table(rows, paint))
        }
        Sink::Show(Show { name }) => {
            let sink: SinkView = rest.get(fill(SINK, &[&name])).await?;
            session.show(&sink, shown)
        }
        Sink::Test(Test { name }) => {
            let told: SinkTold = rest.post(fill(SINK_TEST, &[&name]), &()).await?;
            arrived(&told, session)
        }
        Sink::Dead(Dead { name, limit }) => {
            let address = fill(SINK_DEAD, &[&name]);
            let dead: Vec<DeadLetter> = rest.list(&address, &Query::default(), limit).await?;
            session.show(&dead, |rows, paint| letters(rows, paint))
        }
        Sink::Retry(Retry { name }) => {
            let told: SinkTold = rest.post(fill(SINK_RETRY, &[&name]), &()).await?;
            arrived(&told, session)
        }
        Sink::Drop(Drop { name }) => {
            let call = Call::new(Method::DELETE, fill(SINK_DEAD, &[&name]));
            let dropped: SinkDropped = rest.send(call).await?.value()?;
            let (one, many) = ("dead letter given up", "dead letters given up");
            session.show(&dropped, |gone, _| counted(gone.dropped, one, many))
        }
        Sink::Remove(Remove { name }) => {
            rest.delete(fill(SINK, &[&name])).await?;
            session.show(&serde_json::json!({"name": name, "removed": true}), |_, _| {
                format!("`{name}` hears nothing any more")
            })
        }
    }
}

fn request(typed: Set) -> Outcome<SinkRequest> {
    let kind = if typed.syslog.is_some() { SinkKind::Syslog } else { SinkKind::Webhook };
    let anchors = typed
        .ca
        .map(|path| std::fs::read_to_string(&path).map_err(|e| Failure::file("read", &path, &e)));
    Ok(SinkRequest {
        kind,
        url: typed.syslog.or(typed.webhook).unwrap_or_default(),
        format: Some(typed.format),
        severity: Some(typed.severity),
        verbs: typed.verb,
        anchors: anchors.transpose()?,
        from: typed.from,
    })
}

fn once(made: &SinkMade, paint: Paint) -> String {
    let all = shown(&made.sink, paint);
    match &made.secret {
        None => all,
        Some(secret) => format!(
            "{all}\n\nIts messages are signed with this secret, which is shown this once:\n{secret}"
        ),
    }
}

fn shown(sink: &SinkView, paint: Paint) -> String {
    members(
        paint,
        [
            ("name", Some(sink.name.clone())),
            ("kind", Some(sink.kind.as_str().to_owned())),
            ("url", Some(sink.url.clone())),
            ("format", Some(sink.format.as_str().to_owned())),
            ("severity", Some(sink.severity.as_str().to_owned())),
            ("verbs", Some(sink.verbs.join(", ")).filter(|v| !v.is_empty())),
            ("next entry", Some(sink.next.to_string())),
            ("behind", Some(sink.behind.to_string())),
            ("dead letters", Some(sink.dead.to_string())),
            ("trouble", sink.trouble.clone()),
        ],
    )
}

fn table(rows: &[SinkView], paint: Paint) -> String {
    let mut table =
        Table::new(&["NAME", "KIND", "FORMAT", "SEVERITY", "BEHIND", "DEAD", "URL", "TROUBLE"]);
    for sink in rows {
        table.row([
            sink.name.clone(),
            sink.kind.as_str().to_owned(),
            sink.format.as_str().to_owned(),
            sink.severity.as_str().to_owned(),
            sink.behind.to_string(),
            sink.dead.to_string(),
            sink.url.clone(),
            sink.trouble.clone().unwrap_or_default(),
        ]);
    }
    table.print(paint)
}

fn letters(rows: &[DeadLetter], paint: Paint) -> String {
    let mut table = Table::new(&["ENTRY", "GIVEN UP", "ATTEMPTS", "WHY"]);
    for letter in rows {
        table.row([
            letter.index.to_string(),
            letter.at.clone(),
            letter.attempts.to_string(),
            letter.why.clone(),
        ]);
    }
    table.print(paint)
}

/// What arrived is shown; what did not is a failure, with the receiver's words.
fn arrived(told: &SinkTold, session: &Session) -> Outcome {
    session.show(told, |told, _| format!("{} arrived, {} left", told.delivered, told.left))?;
    match &told.trouble {
        None => Ok(()),
        Some(why) => Err(Failure::new(format!("the receiver did not take it: {why}"))
            .next("mend the receiver, or `muster sink set` with another address")),
    }
}
