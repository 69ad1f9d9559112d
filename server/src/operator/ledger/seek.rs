//! Looking for entries: who did what when, from where. The device and the stretch of time are found
//! by index; verb, operator and severity stand in the payloads, which are read one after the other
//! up to a bound.

use super::super::device::resolve;
use super::super::page::{cursor, limit};
use super::super::refuse::Refused;
use super::super::who::Who;
use super::super::{State, view};
use super::shown;
use api::{EntryView, Page};
use identity::UnixTime;
use identity::name::DeviceName;
use registry::Stretch;
use serde::Deserialize;
use utoipa::IntoParams;

/// Entries that one request looks at; a page then ends early, and its `next` goes on.
const LOOKED_AT_MAX: usize = 20_000;
/// Entries that are read at once.
const BATCH: usize = 512;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sought {
    /// The first entry's number; instead of `after`.
    from: Option<u64>,
    /// The cursor that the page before gave as `next`.
    after: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// About this device, by any of its names; an erased one by its UUID.
    device: Option<String>,
    /// Done by this operator or station.
    by: Option<String>,
    /// With this verb, or with verbs that begin so: `device.`.
    verb: Option<String>,
    /// At least so grave.
    severity: Option<api::Severity>,
    /// Decided at this moment (RFC 3339) or later.
    since: Option<String>,
    /// Decided before this moment (RFC 3339).
    until: Option<String>,
    /// The newest first.
    backwards: Option<bool>,
}

/// Finds a page of them.
pub(crate) fn find(state: &State, who: &Who, sought: Sought) -> Result<Page<EntryView>, Refused> {
    let limit = limit(sought.limit)?;
    let mut stretch = stretch(state, who, &sought)?;
    let (mut items, mut looked_at) = (Vec::new(), 0);
    while looked_at < LOOKED_AT_MAX {
        let rows = state.house.registry.entries_in(who.realm.key, &stretch, BATCH)?;
        looked_at += rows.len();
        let last = rows.len() < BATCH;
        for row in rows {
            match stretch.backwards {
                true => stretch.to = row.index,
                false => stretch.from = row.index + 1,
            }
            let entry = shown(&row);
            if sought.wants(&entry) {
                items.push(entry);
            }
            if items.len() == limit {
                return Ok(Page { items, next: Some(row.index.to_string()) });
            }
        }
        if last {
            return Ok(Page { items, next: None });
        }
    }
    let next = if stretch.backwards { stretch.to } else { stretch.from.saturating_sub(1) };
    Ok(Page { items, next: Some(next.to_string()) })
}

impl Sought {
    /// What no index finds.
    fn wants(&self, entry: &EntryView) -> bool {
        let told = |name: &str| entry.payload.as_ref().and_then(|p| p.get(name)?.as_str());
        let verb = entry.verb.as_deref().unwrap_or_default();
        self.by.as_deref().is_none_or(|by| told("by") == Some(by))
            && self.verb.as_deref().is_none_or(|front| verb.starts_with(front))
            && self.severity.is_none_or(|least| {
                let grave = entry.severity.map(view::severity_of);
                grave.is_some_and(|grave| grave >= view::severity_of(least))
            })
    }
}

fn stretch(state: &State, who: &Who, sought: &Sought) -> Result<Stretch, Refused> {
    let malformed = |sentence: &str| Err(Refused::Malformed(sentence.to_owned()));
    let after = cursor(sought.after.as_deref(), |text| text.parse::<u64>().ok())?;
    if sought.from.is_some() && after.is_some() {
        return malformed("`from` and `after` exclude each other");
    }
    // SQL counts in 63 bits, and so do the integers of the description (`int64`).
    if [sought.from, after].into_iter().flatten().any(|n| i64::try_from(n).is_err()) {
        return malformed("an entry has a number below 2^63");
    }
    let backwards = sought.backwards.unwrap_or_default();
    let number = |moment: &Option<String>| -> Result<Option<u64>, Refused> {
        let Some(text) = moment else { return Ok(None) };
        let at = text.parse::<jiff::Timestamp>().ok();
        let millis = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let wrong = "`since` and `until` are moments of RFC 3339, `2026-05-01T08:00:00Z`";
        let millis = millis.ok_or_else(|| Refused::Malformed(wrong.to_owned()))?;
        let at = UnixTime::from_millis(millis);
        Ok(Some(state.house.registry.entry_since(who.realm.key, at)?))
    };
    let mut from = number(&sought.since)?.unwrap_or_default().max(sought.from.unwrap_or_default());
    let mut to = number(&sought.until)?.unwrap_or(i64::MAX as u64);
    match (after, backwards) {
        (Some(after), true) => to = to.min(after),
        (Some(after), false) => from = from.max(after.saturating_add(1)),
        (None, _) => {}
    }
    let device = match sought.device.as_deref() {
        None => None,
        // The history of a device that nobody knows any more is still there.
        Some(name) => Some(match DeviceName::parse(name) {
            Some(DeviceName::Id(id)) => id,
            _ => resolve(state, who, name)?.id,
        }),
    };
    Ok(Stretch { device, from, to, backwards })
}
