//! Sinks: who is told of entries as they come, and what of it did not arrive.

use super::body::{Asked, Json, Named};
use super::openapi::{Idempotent, Problems};
use super::page::{Window, window};
use super::refuse::Refused;
use super::said::name;
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, apart, shown, view};
use crate::tell::{Target, letters, try_once};
use api::{DeadLetter, Page, SinkDropped, SinkMade, SinkRequest, SinkTold, SinkView};
use identity::UnixTime;
use identity::text::{base64, rfc3339};
use ledger::{Class, Severity, Value};
use registry::{Change, EntryRow, Role, Sink, SinkFormat, SinkKind};

/// Sinks of a realm: each is a worker and a connection.
const SINKS_MAX: usize = 16;
/// Fronts of verbs: there are fewer kinds of events than these times two.
const VERBS_MAX: usize = 32;
/// Characters of a verb's front.
const VERB_CHARS_MAX: usize = 64;
/// Characters of an address.
const URL_CHARS_MAX: usize = 2000;
/// Octets of trust anchors: some ten certificates.
const ANCHORS_OCTETS_MAX: usize = 32 * 1024;
/// Dead letters that are told once more by one request: a person waits for the answer.
const RETRY_MAX: usize = 100;

/// Lists the sinks by name.
#[utoipa::path(get, path = api::path::SINKS, tag = "sinks", params(Window),
    responses((status = 200, body = Page<SinkView>), Problems))]
pub(crate) async fn list(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Window>,
) -> Answer<Page<SinkView>> {
    apart(move || {
        let sinks = state.house.registry.sinks(who.realm.key)?;
        let page = window(&sinks, &asked, |s| s.name.clone(), Clone::clone)?;
        let items = page.items.iter().map(|s| seen(&state, &who, s));
        let items = items.collect::<Result<_, _>>()?;
        Ok(axum::Json(Page { items, next: page.next }))
    })
    .await
}

/// Shows a sink.
#[utoipa::path(get, path = api::path::SINK, tag = "sinks",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = SinkView), Problems))]
pub(crate) async fn show(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Answer<SinkView> {
    let sink = found(&state, &who, name)?;
    apart(move || seen(&state, &who, &sink).map(axum::Json)).await
}

/// Makes a sink, or changes it to be exactly this. A new one's secret is in this answer and nowhere
/// else.
#[utoipa::path(put, path = api::path::SINK, tag = "sinks", params(Idempotent,
    ("name" = String, Path, description = "1 to 64 of letters, digits and `-_.`")),
    request_body = SinkRequest, responses((status = 200, body = SinkMade), Problems))]
pub(crate) async fn set(
    state: State,
    Admin(who): Admin,
    Named(called): Named<String>,
    Json(request): Json<SinkRequest>,
) -> Answer<SinkMade> {
    let called = name("a sink", &called)?;
    let (who, _turn) = state.turn(who).await?;
    let sinks = state.house.registry.sinks(who.realm.key)?;
    let before = sinks.iter().find(|sink| sink.name == called);
    if before.is_none() && sinks.len() >= SINKS_MAX {
        let sentence = format!("there are {SINKS_MAX} sinks already: remove one first");
        return Err(Refused::Conflict(sentence));
    }
    let lasts = lasts(&state, &who, request.from, before)?;
    let sink = fit(called.clone(), request, lasts, state.house.clock.now())?;
    let new = before.is_none() && sink.kind == SinkKind::Webhook;
    let secret = new.then(|| format!("whsec_{}", base64(&sink.secret)));
    if before.is_none() {
        // Nothing is left of one that had its name, also where its removal did not come to its end.
        let (registry, realm, name) = (state.house.registry.clone(), who.realm.key, called);
        apart(move || Ok(letters::forget(&registry, realm, &name)?)).await?;
    }
    let (change, payload) = (Change::SinkSet(sink.clone()), payload(&who, &sink));
    state.house.commit(who.realm.key, change, Class::Setting, payload).await?;
    apart(move || {
        // What remains of them is nobody's: it only takes room.
        if let Err(error) = letters::forget_before(&state.house.registry, who.realm.key, &sink) {
            tracing::warn!(sink = sink.name, "its older tellings are still noted: {error}");
        }
        let sink = seen(&state, &who, &sink)?;
        Ok(axum::Json(SinkMade { sink, secret }))
    })
    .await
}

/// Removes a sink; what it was not told stays in the ledger.
#[utoipa::path(delete, path = api::path::SINK, tag = "sinks",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = SinkView), Problems))]
pub(crate) async fn remove(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<SinkView> {
    let sink = found(&state, &who, name)?;
    let shown = seen(&state, &who, &sink)?;
    let payload = who.payload("sink.removed").with("sink", sink.name.as_str());
    let change = Change::SinkRemoved(sink.name.clone());
    state.house.commit(who.realm.key, change, Class::Setting, payload).await?;
    let (registry, realm) = (state.house.registry.clone(), who.realm.key);
    apart(move || Ok(letters::forget(&registry, realm, &sink.name)?)).await?;
    Ok(axum::Json(shown))
}

/// Tells the sink the newest entry once, whatever it wants, and says what it answered.
#[utoipa::path(post, path = api::path::SINK_TEST, tag = "sinks",
    params(("name" = String, Path, description = "Its name"), Idempotent),
    responses((status = 200, body = SinkTold), Problems))]
pub(crate) async fn test(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<SinkTold> {
    let sink = found(&state, &who, name)?;
    let size = state.house.registry.head(who.realm.key)?.size;
    let entry = entry(&state, &who, size.saturating_sub(1))?;
    let told = try_once(who.realm.name().as_str(), &sink, &shown(&entry)).await;
    let trouble = told.err().map(|trouble| trouble.sentence().to_owned());
    let delivered = u64::from(trouble.is_none());
    Ok(axum::Json(SinkTold { delivered, left: 0, trouble }))
}

/// Lists the entries that the sink did not take.
#[utoipa::path(get, path = api::path::SINK_DEAD, tag = "sinks", params(Window,
    ("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Page<DeadLetter>), Problems))]
pub(crate) async fn dead(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
    Asked(asked): Asked<Window>,
) -> Answer<Page<DeadLetter>> {
    let sink = found(&state, &who, name)?;
    apart(move || {
        let dead = letters::dead(&state.house.registry, who.realm.key, &sink.name)?;
        let view = |(index, letter): &(u64, letters::Letter)| DeadLetter {
            index: *index,
            at: rfc3339(UnixTime::from_millis(letter.at)),
            attempts: letter.attempts,
            why: letter.why.clone(),
        };
        // Numbers of one length sort as text.
        Ok(axum::Json(window(&dead, &asked, |(index, _)| format!("{index:020}"), view)?))
    })
    .await
}

/// Tells the sink its dead letters once more, at most 100 of them, until one does not arrive.
#[utoipa::path(post, path = api::path::SINK_RETRY, tag = "sinks",
    params(("name" = String, Path, description = "Its name"), Idempotent),
    responses((status = 200, body = SinkTold), Problems))]
pub(crate) async fn retry(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<SinkTold> {
    let sink = found(&state, &who, name)?;
    let (registry, realm) = (&state.house.registry, who.realm.key);
    let dead = letters::dead(registry, realm, &sink.name)?;
    let (mut delivered, mut trouble) = (0_u64, None);
    for (index, _) in dead.iter().take(RETRY_MAX) {
        let entry = entry(&state, &who, *index)?;
        if let Err(said) = try_once(who.realm.name().as_str(), &sink, &shown(&entry)).await {
            trouble = Some(said.sentence().to_owned());
            break;
        }
        let (registry, name, index) = (registry.clone(), sink.name.clone(), *index);
        apart(move || Ok(letters::set_dead(&registry, realm, &name, (index, None))?)).await?;
        delivered += 1;
    }
    Ok(axum::Json(SinkTold { delivered, left: dead.len() as u64 - delivered, trouble }))
}

/// Gives up the dead letters of a sink; the entries stay in the ledger.
#[utoipa::path(delete, path = api::path::SINK_DEAD, tag = "sinks",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = SinkDropped), Problems))]
pub(crate) async fn give_up(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<SinkDropped> {
    let sink = found(&state, &who, name)?;
    let (registry, realm) = (state.house.registry.clone(), who.realm.key);
    let dead = letters::dead(&registry, realm, &sink.name)?;
    let dropped = dead.len() as u64;
    let payload =
        who.payload("sink.dropped").with("sink", sink.name.as_str()).with("count", dropped);
    state.house.commit(realm, Change::Nothing, Class::Setting, payload).await?;
    apart(move || {
        for (index, _) in dead {
            letters::set_dead(&registry, realm, &sink.name, (index, None))?;
        }
        Ok(axum::Json(SinkDropped { dropped }))
    })
    .await
}

fn found(state: &State, who: &Who, name: String) -> Result<Sink, Refused> {
    let sinks = state.house.registry.sinks(who.realm.key)?;
    let found = sinks.into_iter().find(|sink| sink.name == name);
    found.ok_or(Refused::Missing { what: "sink", name })
}

fn entry(state: &State, who: &Who, index: u64) -> Result<EntryRow, Refused> {
    let rows = state.house.registry.entries(who.realm.key, index, 1)?;
    let missing = || Refused::Missing { what: "entry", name: index.to_string() };
    rows.into_iter().find(|row| row.index == index).ok_or_else(missing)
}

fn seen(state: &State, who: &Who, sink: &Sink) -> Result<SinkView, Refused> {
    let (registry, realm) = (&state.house.registry, &who.realm);
    let size = registry.head(realm.key)?.size;
    let next = letters::next(registry, realm.key, sink)?;
    let dead = letters::dead(registry, realm.key, &sink.name)?.len() as u64;
    let trouble = state.house.sinks.trouble(realm.key, &sink.name);
    Ok(view::sink(
        (sink, who.role == Role::Admin),
        next,
        (size.saturating_sub(next), dead),
        trouble,
    ))
}

/// What a sink keeps while it is changed.
struct Lasts {
    secret: [u8; 32],
    begins: u64,
    telling: [u8; 8],
}

/// A number to begin with is another telling, in the row itself: what an older worker notes until
/// it ends does not touch it.
fn lasts(
    state: &State,
    who: &Who,
    from: Option<u64>,
    before: Option<&Sink>,
) -> Result<Lasts, Refused> {
    let secret = before.map_or_else(|| state.outside(|outside| outside.random()), |s| s.secret);
    let begins = match (from, before) {
        (None, Some(sink)) => {
            return Ok(Lasts { secret, begins: sink.begins, telling: sink.telling });
        }
        (Some(from), _) => from,
        (None, None) => state.house.registry.head(who.realm.key)?.size,
    };
    Ok(Lasts { secret, begins, telling: state.outside(|outside| outside.random()) })
}

fn fit(name: String, request: SinkRequest, lasts: Lasts, now: UnixTime) -> Result<Sink, Refused> {
    let malformed = |sentence: String| Err(Refused::Malformed(sentence));
    let kind = view::sink_kind_of(request.kind);
    if request.url.len() > URL_CHARS_MAX {
        return malformed(format!("`url` has at most {URL_CHARS_MAX} characters"));
    }
    Target::parse(kind, &request.url).map_err(|e| Refused::Malformed(format!("`url`: {e}")))?;
    if request.verbs.len() > VERBS_MAX {
        return malformed(format!("`verbs` has at most {VERBS_MAX} members"));
    }
    let is_front = |verb: &String| {
        (1..=VERB_CHARS_MAX).contains(&verb.len())
            && verb.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'_' | b'-'))
    };
    if !request.verbs.iter().all(is_front) {
        return malformed("`verbs` are fronts of verbs, `device.` or `certificate.revoked`".into());
    }
    if request.anchors.as_ref().is_some_and(|a| a.len() > ANCHORS_OCTETS_MAX) {
        return malformed(format!("`anchors` has at most {ANCHORS_OCTETS_MAX} octets"));
    }
    let sink = Sink {
        name,
        kind,
        url: request.url,
        format: request.format.map_or(SinkFormat::Json, view::sink_format_of),
        least: request.severity.map_or(Severity::Notice, view::severity_of),
        verbs: request.verbs,
        anchors: request.anchors,
        secret: lasts.secret,
        made: now,
        begins: lasts.begins,
        telling: lasts.telling,
    };
    crate::tell::check(&sink).map_err(|why| Refused::Malformed(format!("`anchors`: {why}")))?;
    Ok(sink)
}

fn payload(who: &Who, sink: &Sink) -> ledger::Payload {
    who.payload("sink.set")
        .with("sink", sink.name.as_str())
        .with("kind", sink.kind.as_str())
        .with("url", sink.origin())
        .with("url_digest", sink.url_digest())
        .with("format", sink.format.as_str())
        .with("severity", sink.least.as_str())
        .with("verbs", sink.verbs.iter().map(String::as_str).collect::<Value>())
        .with("anchored", sink.anchors.is_some())
}
