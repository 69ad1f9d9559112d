//! How the process is: alive, ready, and in figures. The first two answer anybody, since a
//! supervisor has no credential; what is out of order is told to those who may see.

use super::openapi::Problems;
use super::refuse::Refused;
use super::who::{Viewer, Who, may_view};
use super::{State, apart};
use crate::house::RealmState;
use crate::metrics::Page;
use crate::tell::letters;
use api::{Check, Health, Ready};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use identity::authority::{Authority, AuthorityState, Role};
use identity::text::rfc3339;
use identity::{GroupName, UnixTime};
use registry::{Overdue, RealmKey};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the state of health is remembered: anybody may ask, and it costs a look at the database
/// and at some files.
const READINESS_KEPT: Duration = Duration::from_secs(1);
/// How long the overdue leaves are remembered: counting looks at every device, half a second for
/// a million, and scrapers come every few seconds.
const OVERDUE_KEPT_S: u64 = 60;
/// A clock that is further behind the ledger than this was set back, and not just kept in step.
const CLOCK_BACK_S: u64 = 300;
/// Series of overdue leaves; the rest is one series, since models and groups are free text.
const OVERDUE_SERIES_MAX: usize = 500;
/// The unit of times in `/proc` (`USER_HZ`): 100 on every Linux that Rust has a target for.
const TICKS_PER_S: f64 = 100.0;
/// The unit of memory in `/proc/self/stat`.
const PAGE_OCTETS: f64 = 4096.0;

/// The state of health, and when it was looked at.
pub(crate) type ReadinessSeen = tokio::sync::Mutex<Option<(Instant, Ready)>>;

/// The overdue leaves as they were last counted.
pub(crate) type OverdueSeen = Mutex<HashMap<RealmKey, (UnixTime, Vec<Overdue>)>>;

/// Says that the process lives.
#[utoipa::path(get, path = api::path::HEALTHZ, tag = "process", security(()),
    responses((status = 200, body = Health)))]
pub(crate) async fn health() -> axum::Json<Health> {
    axum::Json(Health { ok: true, version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Says whether the process can do its work, as of a second ago at most. What is out of order is
/// told to a credential of role `viewer`, `operator` or `admin`; without one `checks` is empty.
#[utoipa::path(get, path = api::path::READYZ, tag = "process", security((), ("bearer" = [])),
    responses((status = 200, body = Ready), (status = 503, body = Ready), Problems))]
pub(crate) async fn ready(
    state: State,
    request: Request,
) -> Result<(StatusCode, axum::Json<Ready>), Refused> {
    let may_view = may_view(&state, &request)?;
    let Ready { ok, mut checks } = readiness(&state).await?;
    if !may_view {
        checks.clear();
    }
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, axum::Json(Ready { ok, checks })))
}

/// Looks at most once a second, however many ask.
async fn readiness(state: &State) -> Result<Ready, Refused> {
    let mut seen = state.readiness.lock().await;
    if let Some((at, ready)) = &*seen
        && at.elapsed() < READINESS_KEPT
    {
        return Ok(ready.clone());
    }
    let asked = state.clone();
    let ready = apart(move || {
        let realms = asked.house.realms();
        let mut checks =
            vec![registry(&asked, &realms), signs(&realms, true), signs(&realms, false)];
        checks.extend([successors(&asked, &realms), clock(&asked, &realms), doors(&asked)]);
        checks.push(witnesses(&realms));
        checks.extend(asked.checks.iter().flat_map(|c| c()));
        Ok(Ready { ok: checks.iter().all(|c| c.ok), checks })
    })
    .await?;
    *seen = Some((Instant::now(), ready.clone()));
    Ok(ready)
}

fn registry(state: &State, realms: &[std::sync::Arc<RealmState>]) -> Check {
    let read = realms.iter().try_for_each(|r| state.house.registry.head(r.key).map(drop));
    let found = match (read, state.house.writing.trouble()) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(()), Some(why)) => Err(why),
        (Ok(()), None) => Ok("the registry can be read and written".to_owned()),
    };
    let ok = found.is_ok();
    Check { name: "registry".to_owned(), ok, detail: found.unwrap_or_else(|why| why) }
}

/// A clock that was set back is seen by what was written before: certificates are then not good
/// yet, and the ledger's time stands still. Nobody who is well is turned away for it.
fn clock(state: &State, realms: &[std::sync::Arc<RealmState>]) -> Check {
    let now = state.house.clock.now();
    let registry = &state.house.registry;
    let newest = realms.iter().filter_map(|realm| {
        let last = registry.head(realm.key).ok()?.size.checked_sub(1)?;
        registry.entries(realm.key, last, 1).ok()?.first().map(|row| row.at)
    });
    let newest = newest.max().filter(|newest| newest.secs_since(now) > CLOCK_BACK_S);
    let detail = match newest {
        None => "the clock is not behind the ledger".to_owned(),
        Some(newest) => format!(
            "warning: the clock says {}, and the ledger's newest entry is of {}: set the clock; \
             what was issued since then is not good yet",
            rfc3339(now),
            rfc3339(newest)
        ),
    };
    Check { name: "clock".to_owned(), ok: true, detail }
}

/// Whether those who come are let in.
fn doors(state: &State) -> Check {
    let stuck = state.house.metrics.stuck();
    let detail = match stuck.is_empty() {
        true => "every listener accepts connections".to_owned(),
        false => format!(
            "no connection can be accepted at {}, mostly for want of file descriptors: raise the \
             limit (`LimitNOFILE`); it is tried again by itself",
            stuck.join(", ")
        ),
    };
    Check { name: "connections".to_owned(), ok: stuck.is_empty(), detail }
}

/// Whether as many witnesses are named as a checkpoint waits for. With fewer the one before stays,
/// and nothing else would say why.
fn witnesses(realms: &[std::sync::Arc<RealmState>]) -> Check {
    let few = realms.iter().filter_map(|realm| {
        let (named, wanted) = (realm.settings.witnesses().len(), realm.settings.witness_quorum());
        let few = (1..wanted).contains(&named);
        few.then(|| format!("`{}` names {named} and waits for {wanted}", realm.name()))
    });
    let few: Vec<_> = few.collect();
    let detail = match few.is_empty() {
        true => "no checkpoint waits for more witnesses than are named".to_owned(),
        false => format!(
            "warning: no new checkpoint is published: {}: `muster ledger witness add`, or less with \
             `muster realm set witness_quorum`",
            few.join(", ")
        ),
    };
    Check { name: "witnesses".to_owned(), ok: true, detail }
}

fn signs(realms: &[std::sync::Arc<RealmState>], birth: bool) -> Check {
    let (name, what) =
        if birth { ("birth-authority", "births") } else { ("operations-authority", "leaves") };
    let has = |r: &std::sync::Arc<RealmState>| {
        if birth { r.birth.is_some() } else { r.operations.is_some() }
    };
    let ok = realms.iter().all(has);
    let detail = match ok {
        true => format!("{what} can be signed"),
        false => format!("no active authority signs {what}: install one with `muster ca`"),
    };
    Check { name: name.to_owned(), ok, detail }
}

/// Gives the figures of the credential's realm in Prometheus' text form.
#[utoipa::path(get, path = api::path::METRICS, tag = "process",
    responses((status = 200, body = String, content_type = "text/plain"), Problems))]
pub(crate) async fn metrics(state: State, Viewer(who): Viewer) -> Result<Response, Refused> {
    apart(move || {
        let realm = who.realm.name().as_str();
        let mut page = Page::default();
        state.house.metrics.write(realm, &mut page);
        fleet(&state, &who.realm, &mut page)?;
        authorities(&state, &who, &mut page)?;
        process(&mut page);
        let media = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        Ok((media, page.text()).into_response())
    })
    .await
}

#[expect(clippy::cast_precision_loss, reason = "a count past 2^53 is not reached")]
fn fleet(state: &State, realm: &RealmState, page: &mut Page) -> Result<(), Refused> {
    let name = realm.name().as_str();
    let registry = &state.house.registry;
    let counts = registry.counts(realm.key);
    page.family("muster_devices", "gauge", "Devices by where they stand.");
    for (standing, count) in [
        ("born", counts.born),
        ("enrolled", counts.enrolled),
        ("quarantined", counts.quarantined),
        ("suspended", counts.suspended),
        ("retired", counts.retired),
    ] {
        page.row("muster_devices", &[("realm", name), ("standing", standing)], count as f64);
    }
    page.family("muster_leaves_overdue", "gauge", "Devices whose leaf is past its renewal.");
    for row in overdue(state, realm.key)? {
        let group = row.group.as_ref().map_or("", GroupName::as_str);
        let labels = [("realm", name), ("model", row.model.as_str()), ("group", group)];
        page.row("muster_leaves_overdue", &labels, row.count as f64);
    }
    page.family("muster_ledger_entries", "gauge", "Entries of the ledger.");
    let size = registry.head(realm.key)?.size;
    page.row("muster_ledger_entries", &[("realm", name)], size as f64);
    page.family("muster_sink_behind_entries", "gauge", "Entries that a receiver has yet to hear.");
    for sink in registry.sinks(realm.key)? {
        let next = letters::next(registry, realm.key, &sink)?;
        let labels = [("realm", name), ("sink", sink.name.as_str())];
        let behind = size.saturating_sub(next);
        page.row("muster_sink_behind_entries", &labels, behind as f64);
    }
    page.family("muster_sink_dead_letters", "gauge", "Entries that a receiver did not take.");
    for sink in registry.sinks(realm.key)? {
        let dead = letters::dead(registry, realm.key, &sink.name)?.len();
        let labels = [("realm", name), ("sink", sink.name.as_str())];
        page.row("muster_sink_dead_letters", &labels, dead as f64);
    }
    page.family("muster_roll_keys", "gauge", "Keys in the roll, of all realms.");
    page.row("muster_roll_keys", &[], registry.roll().len() as f64);
    page.family("muster_roll_bytes", "gauge", "Memory of the roll.");
    page.row("muster_roll_bytes", &[], registry.roll().octets() as f64);
    Ok(())
}

/// Until when authorities are good, and who still waits for their successors.
#[expect(clippy::cast_precision_loss, reason = "a count past 2^53 is not reached")]
fn authorities(state: &State, who: &Who, page: &mut Page) -> Result<(), Refused> {
    let name = who.realm.name().as_str();
    let live = |a: &&Authority| a.counts();
    let ends = "muster_authority_not_after_seconds";
    page.family(ends, "gauge", "When an authority that counts ends, in seconds since 1970.");
    for authority in who.realm.authorities.iter().filter(live) {
        let id = authority.id.to_string();
        let labels = [("realm", name), ("role", authority.role.as_str()), ("issuer", &id)];
        page.row(ends, &labels, authority.certificate.not_after().secs() as f64);
    }
    let Some(leaves) = super::authority::leaves(state, who)? else { return Ok(()) };
    let left = "muster_authority_leaves";
    page.family(left, "gauge", "Devices whose newest leaf an authority signed, while they change.");
    let signs_leaves = |a: &&Authority| a.role == Role::Operations && a.wiped.is_none();
    for authority in who.realm.authorities.iter().filter(signs_leaves) {
        let (id, state) = (authority.id.to_string(), authority.state.as_str());
        let labels = [("realm", name), ("issuer", id.as_str()), ("state", state)];
        let count = leaves.get(&authority.id).copied().unwrap_or_default();
        page.row(left, &labels, count as f64);
    }
    Ok(())
}

/// How long before its end an authority should have a successor: what it signs today ends with it,
/// so leaves get shorter from one lifetime before; and a quarter of a year for whoever fetches the
/// root's key.
const SUCCESSOR_S: u64 = 90 * 86_400;

/// A warning does not make a server unready: it says what to do.
fn successors(state: &State, realms: &[std::sync::Arc<RealmState>]) -> Check {
    let now = state.house.clock.now();
    let ending = realms.iter().find_map(|realm| {
        let soon = |a: &&Authority| {
            let early_s = realm.overlap_s(a.role).saturating_add(SUCCESSOR_S);
            a.state == AuthorityState::Active
                && a.role != Role::Root
                && a.certificate.not_after() <= now.plus_secs(early_s)
        };
        realm.authorities.iter().find(soon)
    });
    let detail = match ending {
        None => "no authority ends soon".to_owned(),
        Some(a) => format!(
            "warning: the {0} authority {1} ends {2}: give it a successor, `muster ca roll {0}`",
            a.role,
            a.id,
            rfc3339(a.certificate.not_after())
        ),
    };
    Check { name: "authorities".to_owned(), ok: true, detail }
}

fn overdue(state: &State, realm: RealmKey) -> Result<Vec<Overdue>, Refused> {
    let now = state.house.clock.now();
    let mut seen = state.overdue.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, rows)) = seen.get(&realm)
        && now.secs_since(*at) < OVERDUE_KEPT_S
    {
        return Ok(rows.clone());
    }
    let mut rows = state.house.registry.overdue(realm, now)?;
    rows.sort_by_key(|r| std::cmp::Reverse(r.count));
    let rest: u64 = rows.iter().skip(OVERDUE_SERIES_MAX).map(|r| r.count).sum();
    rows.truncate(OVERDUE_SERIES_MAX);
    if rest > 0 {
        rows.push(Overdue { model: "other".to_owned(), group: None, count: rest });
    }
    seen.insert(realm, (now, rows.clone()));
    Ok(rows)
}

/// What every process tells, under the names that Prometheus' own clients give it.
fn process(page: &mut Page) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in parentheses and may hold anything; what follows is numbers.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    // Fields of proc(5), counted from the state, which is its third.
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    let mut row = |name: &str, kind: &str, help: &str, value: f64| {
        page.family(name, kind, help);
        page.row(name, &[], value);
    };
    let cpu_s = (field(14) + field(15)) / TICKS_PER_S;
    row("process_cpu_seconds_total", "counter", "CPU time, user and system.", cpu_s);
    row("process_virtual_memory_bytes", "gauge", "Virtual memory.", field(23));
    row("process_resident_memory_bytes", "gauge", "Memory.", field(24) * PAGE_OCTETS);
    row("process_threads", "gauge", "Threads.", field(20));
    let start_s = booted_s() + field(22) / TICKS_PER_S;
    row("process_start_time_seconds", "gauge", "When it started, since 1970.", start_s);
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let count = u32::try_from(open.count()).unwrap_or(u32::MAX);
        row("process_open_fds", "gauge", "Open file descriptors.", count.into());
    }
    row("process_max_fds", "gauge", "File descriptors that may be open.", fds_max());
}

fn booted_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|l| l.strip_prefix("btime "));
    line.and_then(|l| l.trim().parse().ok()).unwrap_or_default()
}

fn fds_max() -> f64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
