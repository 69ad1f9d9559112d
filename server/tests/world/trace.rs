//! What is left behind: entries, counts, and the trace of every refusal.

use super::World;
use super::fleet::default_realm;
use super::line::Heard;
use hyper::Method;
use identity::RuleId;
use ledger::Payload;
use registry::RealmKey;

/// Whom a refusal is about, and so where its trace must stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// An entry of its own that names this device.
    Device(&'a str),
    /// An entry of its own that names this token, whose secret was right.
    Token(&'a str),
    /// A birth of nobody that we know: the summary of the hour about the one who sent it.
    Sender(&'a str),
    /// Nobody that we know: the summary of the hour.
    Stranger,
}

/// How many refusals a summary tells of.
fn count(entry: &Payload) -> u64 {
    match entry.get("count") {
        Some(ledger::Value::Uint(count)) => *count,
        other => panic!("a summary counts: {other:?}"),
    }
}

/// What is left behind.
impl World {
    /// Every payload of the ledger that was not erased, oldest first.
    pub(crate) fn entries(&self) -> Vec<Payload> {
        let rows =
            self.running().house().registry.entries(RealmKey(self.realm_key()), 0, 1000).unwrap();
        let kept = rows.iter().filter_map(|row| row.payload.as_deref());
        kept.map(|payload| Payload::decode(payload).unwrap()).collect()
    }

    pub(super) fn realm_key(&self) -> u16 {
        self.running().house().realm(&default_realm()).unwrap().key.0
    }

    /// The newest entry.
    pub(crate) fn last_entry(&self) -> Payload {
        self.entries().pop().unwrap()
    }

    /// A device was refused by a rule of ours: the right status, the rule's sentence, and a trace.
    #[track_caller]
    pub(crate) fn denied<'w>(
        &'w mut self,
        heard: &'w Heard,
        rule: &'w RuleId,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        let status = match rule.as_str() {
            "no-credential" | "token-refused" => 401,
            "rate" => 429,
            "no-authority" => 503,
            _ => 403,
        };
        assert_eq!((heard.status(), heard.text().trim()), (status, &*rule.sentence()));
        assert_eq!(heard.header("connection") == Some("close"), matches!(status, 401 | 403));
        self.refused(heard, status, (rule.as_str(), about))
    }

    /// A request was refused with this status under this name, and left its trace: it was counted,
    /// and stands in the ledger.
    #[track_caller]
    pub(crate) fn refused<'w>(
        &'w mut self,
        heard: &'w Heard,
        status: u16,
        (rule, about): (&'w str, About<'w>),
    ) -> impl Future<Output = ()> + 'w {
        let place = std::panic::Location::caller();
        assert_eq!(heard.status(), status, "{}", heard.text());
        assert!(heard.header("content-type").unwrap().starts_with("text/plain"));
        assert!(heard.text().trim().len() > 20, "a sentence says who must act: {}", heard.text());
        self.traced(rule, about, place)
    }

    /// A birth was refused by a rule, and left its trace.
    #[track_caller]
    pub(crate) fn birth_denied<'w>(
        &'w mut self,
        rule: &'w RuleId,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        self.traced(rule.as_str(), about, std::panic::Location::caller())
    }

    /// A birth was refused for what its bytes say, and left its trace.
    #[track_caller]
    pub(crate) fn birth_refused<'w>(
        &'w mut self,
        rule: &'w str,
        about: About<'w>,
    ) -> impl Future<Output = ()> + 'w {
        self.traced(rule, about, std::panic::Location::caller())
    }

    async fn traced(&mut self, rule: &str, about: About<'_>, place: &std::panic::Location<'_>) {
        let counted = self.count_of(rule).await;
        let looked = self.counted.entry(rule.to_owned()).or_default();
        *looked += 1;
        assert!(counted >= *looked, "{place}: a refusal by `{rule}` was not counted");
        self.running().house().summarize_strangers(true).await;
        let entries = self.entries();
        let found = entries.iter().enumerate().find(|(at, entry)| {
            let text = |key: &str| entry.get(key).and_then(|v| v.as_text());
            let told = self.told.get(at).copied().unwrap_or_default();
            text("rule") == Some(rule)
                && match about {
                    About::Device(id) => {
                        entry.verb().ends_with(".denied") && text("device") == Some(id) && told == 0
                    }
                    About::Token(id) => {
                        entry.verb() == "token.denied" && text("token") == Some(id) && told == 0
                    }
                    About::Sender(by) => {
                        entry.verb() == "births.refused"
                            && text("by") == Some(by)
                            && told < count(entry)
                    }
                    About::Stranger => entry.verb() == "strangers.refused" && told < count(entry),
                }
        });
        let Some((at, _)) = found else {
            let told = entries.iter().filter(|e| e.get("rule").is_some());
            panic!(
                "{place}: no entry tells of `{rule}` about {about:?}: {:#?}",
                told.collect::<Vec<_>>()
            );
        };
        *self.told.entry(at).or_default() += 1;
    }

    /// What Prometheus reads.
    pub(crate) async fn metrics(&mut self) -> String {
        self.ask_as(&self.admin(), Method::GET, "/metrics", None).await.text().to_owned()
    }

    /// How often a rule said no, as Prometheus reads it.
    pub(crate) async fn count_of(&mut self, rule: &str) -> u64 {
        let page = self.metrics().await;
        let label = format!("rule=\"{rule}\"");
        let rows =
            page.lines().filter(|l| l.starts_with("muster_refusals_total{") && l.contains(&label));
        rows.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}
