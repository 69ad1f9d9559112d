//! How refusals leave their trace. Nobody can grow the ledger from outside: a known device gets an
//! entry, so many an hour, and so does a token whose secret was right; strangers that proved nothing
//! get a metric, a log line, and together one summary entry per reason and hour. Births that a station
//! sends about no known device are summed up in the same way, under its name.

use crate::house::{House, RealmState};
use crate::rate::{Rate, Rates};
use identity::token::TokenId;
use identity::{Defect, DeviceId, Identifiers, Refusal, Signal, UnixTime};
use ledger::{Class, Payload, Value};
use registry::{Change, RealmKey};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Refusals of one device that become entries in an hour: enough to see a pattern, too few to fill
/// a disk.
const ENTRIES_PER_HOUR: u32 = 12;
/// Refusals with one token that become entries in an hour: the first ones say who has it, the summary
/// counts the others.
const TOKEN_ENTRIES_PER_HOUR: u32 = 4;
/// Log lines about strangers in a minute; the metric counts the rest.
const LINES_PER_MINUTE: u32 = 60;

/// What was refused, for the record.
pub struct Refused<'a> {
    /// `join`, `renew`, `birth`: the front of the verb.
    pub want: &'a str,
    /// The door, where one was found.
    pub door: Option<&'a str>,
    /// The device, where what was shown proved one.
    pub device: Option<DeviceId>,
    /// Why.
    pub refusal: &'a Refusal,
    /// Where it came from.
    pub from: IpAddr,
    /// Who asked for it, where it was an operator or a station.
    pub by: Option<&'a str>,
    /// The token whose secret was right.
    pub token: Option<&'a TokenId>,
    /// The device that is to be marked, and with which sentence.
    pub mark: Option<(DeviceId, String)>,
}

/// The stable name of a refusal, for metrics and entries.
#[must_use]
pub fn rule_name(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Malformed(Defect { name, .. }) => name,
        Refusal::Denied(rule) => rule.as_str(),
        Refusal::Outage(_) => "outage",
    }
}

impl House {
    /// Leaves the trace of a refusal. An outage of our own is logged and counted, and is no entry:
    /// the ledger may be what is out of order.
    pub async fn refused(&self, realm: &RealmState, what: Refused<'_>) {
        let signal = match what.refusal {
            Refusal::Denied(rule) => Signal::of_rule(rule),
            Refusal::Malformed(_) | Refusal::Outage(_) => None,
        };
        self.refused_as(realm, what, signal).await;
    }

    /// As [`House::refused`], where the facts said more than the rule: whether the refusal is a
    /// sign that an identity is misused.
    pub async fn refused_as(&self, realm: &RealmState, what: Refused<'_>, signal: Option<Signal>) {
        let rule = rule_name(what.refusal);
        if let Some(signal) = signal {
            self.metrics.signal(realm.name().as_str(), signal.as_str());
        }
        self.metrics.refusal(realm.name().as_str(), what.door.unwrap_or("none"), rule);
        if let Refusal::Outage(cause) = what.refusal {
            tracing::error!(realm = %realm.name(), want = what.want, "outage: {cause}");
            return;
        }
        let now = self.clock.now();
        match what.device.or(what.mark.as_ref().map(|(device, _)| *device)) {
            Some(device) => self.refused_device(realm, &what, (device, signal), now).await,
            None => match what.token.zip(signal) {
                Some((token, signal)) if self.strangers.may_tell(token, now) => {
                    self.refused_token(realm, &what, (token, signal)).await;
                }
                _ => {
                    let (rule, by) = (rule.to_owned(), what.by.map(str::to_owned));
                    let hour = now.hours();
                    let summed = Summed { realm: realm.key, rule, signal, by, hour };
                    self.strangers.refused(summed, what.from, now);
                }
            },
        }
    }

    /// Somebody has the whole of a token, so this is told at once and by its name.
    async fn refused_token(
        &self,
        realm: &RealmState,
        what: &Refused<'_>,
        (token, signal): (&TokenId, Signal),
    ) {
        let rule = rule_name(what.refusal);
        tracing::warn!(realm = %realm.name(), %token, from = %what.from, want = what.want, rule,
            "refused: {}", what.refusal);
        let payload = Payload::new("token.denied")
            .with("token", token.as_str())
            .with("rule", rule)
            .with("reason", what.refusal.to_string())
            .with("from", what.from.to_string())
            .with_some("door", what.door);
        let payload = signed(payload, Some(signal));
        if let Err(error) = self.commit(realm.key, Change::Nothing, Class::Refusal, payload).await {
            tracing::error!(realm = %realm.name(), %token, "the refusal could not be recorded: {error}");
        }
    }

    async fn refused_device(
        &self,
        realm: &RealmState,
        what: &Refused<'_>,
        (device, signal): (DeviceId, Option<Signal>),
        now: UnixTime,
    ) {
        // A first mark changes the device, so its entry is not rationed; who is marked already is
        // rationed like everybody.
        let rationed = !self.strangers.ration.take(device, ENTRIES_PER_HOUR, now);
        if rationed && (what.mark.is_none() || self.is_marked(realm, device)) {
            tracing::debug!(%device, rule = rule_name(what.refusal), "refused again");
            return;
        }
        tracing::warn!(realm = %realm.name(), %device, from = %what.from, want = what.want,
            rule = rule_name(what.refusal), "refused: {}", what.refusal);
        let mut payload = Payload::new(&format!("{}.denied", what.want))
            .with("device", device.to_string())
            .with("rule", rule_name(what.refusal))
            .with("reason", what.refusal.to_string())
            .with("from", what.from.to_string());
        if let Some(door) = what.door {
            payload = payload.with("door", door);
        }
        payload = signed(payload, signal).with_some("token", what.token.map(TokenId::as_str));
        if let Some(by) = what.by {
            payload = payload.with("by", by);
        }
        let change = what
            .mark
            .clone()
            .map_or(Change::Nothing, |(device, mark)| Change::Marked { device, mark });
        if let Err(error) = self.commit(realm.key, change, Class::Refusal, payload).await {
            tracing::error!(realm = %realm.name(), %device, "the refusal could not be recorded: {error}");
        }
    }

    fn is_marked(&self, realm: &RealmState, device: DeviceId) -> bool {
        let known = self.registry.device(realm.key, &device).ok().flatten();
        known.is_some_and(|known| known.mark.is_some())
    }

    /// Writes the summary entries of hours that have ended; with `all`, also of the one under way
    /// (at a stop).
    pub async fn summarize_strangers(&self, all: bool) {
        let now = self.clock.now();
        for (summed, tally) in self.strangers.ended(if all { u64::MAX } else { now.hours() }) {
            let Summed { realm, rule, signal, by, hour } = summed;
            let verb = if by.is_some() { "births.refused" } else { "strangers.refused" };
            let payload = Payload::new(verb)
                .with("rule", rule.as_str())
                .with("hour", hour)
                .with("count", tally.count)
                .with_some("by", by.as_deref())
                .with("last_from", tally.last_from.to_string());
            let payload = signed(payload, signal);
            if let Err(error) = self.commit(realm, Change::Nothing, Class::Refusal, payload).await {
                tracing::error!(rule, "a summary of refusals could not be recorded: {error}");
            }
        }
    }
}

/// What a signal says of itself in an entry.
fn signed(payload: Payload, signal: Option<Signal>) -> Payload {
    match signal {
        Some(signal) => {
            payload.with("signal", signal.as_str()).with("severity", signal.severity().as_str())
        }
        None => payload,
    }
}

/// Tallies of strangers, and of births about nobody that we know, by what they are about.
#[derive(Default)]
pub struct Strangers {
    tallies: Mutex<BTreeMap<Summed, Tally>>,
    lines: Mutex<(u64, u32)>,
    ration: Rates,
    tokens: Rates<[u8; 16]>,
}

/// What one summary is about.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Summed {
    realm: RealmKey,
    rule: String,
    signal: Option<Signal>,
    /// The operator or the station that sent it, where one did: no stranger.
    by: Option<String>,
    hour: u64,
}

struct Tally {
    count: u64,
    last_from: IpAddr,
}

impl Strangers {
    fn refused(&self, what: Summed, from: IpAddr, now: UnixTime) {
        if self.may_log(now) {
            match &what.by {
                Some(by) => tracing::info!(rule = what.rule, by, %from, "refused a birth"),
                None => tracing::info!(rule = what.rule, %from, "refused a stranger"),
            }
        }
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(what).or_insert(Tally { count: 0, last_from: from });
        tally.count += 1;
        tally.last_from = from;
    }

    /// Whether a refusal with this token is an entry of its own.
    fn may_tell(&self, token: &TokenId, now: UnixTime) -> bool {
        let rate = Rate::per_hour(TOKEN_ENTRIES_PER_HOUR);
        let token = <[u8; 16]>::try_from(token.as_str().as_bytes());
        token.is_ok_and(|token| self.tokens.take_of(token, rate, now))
    }

    fn may_log(&self, now: UnixTime) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.secs() / 60;
        if lines.0 != minute {
            *lines = (minute, 0);
        }
        lines.1 += 1;
        lines.1 <= LINES_PER_MINUTE
    }

    /// Takes out the tallies of hours before `hour`.
    fn ended(&self, hour: u64) -> Vec<(Summed, Tally)> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, open) =
            std::mem::take(&mut *tallies).into_iter().partition(|(what, _)| what.hour < hour);
        *tallies = open;
        let ended: BTreeMap<_, _> = ended;
        ended.into_iter().collect()
    }
}

/// What is printed on a unit beside model and serial number, as members of a payload: at a birth and
/// in a report the same.
pub(crate) fn printed(said: &Identifiers) -> Vec<(&'static str, Value)> {
    let macs: Vec<_> = said.macs.iter().map(String::as_str).collect();
    let text = |text: &String| Value::Text(text.clone());
    let mac = (!macs.is_empty()).then(|| ("mac", Value::Text(macs.join(" "))));
    let imei = said.imei.as_ref().map(|imei| ("imei", text(imei)));
    let digest = said.ek_digest.as_ref().map(|digest| ("ek_digest", text(digest)));
    mac.into_iter().chain(imei).chain(digest).collect()
}
