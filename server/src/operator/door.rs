//! Doors: which ways lead in, what must be shown there, and what a device gets.

use super::body::{Json, Named};
use super::openapi::{Idempotent, IfMatch, Problems};
use super::refuse::Refused;
use super::said::{bounded, groups, name};
use super::tag::{self, if_match, tagged};
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, apart, view};
use api::{DoorRequest, DoorView, Maker, Page};
use axum::http::HeaderMap;
use axum::response::Response;
use identity::device::IDENTIFIER_OCTETS_MAX;
use identity::door::{Door, DoorKind, MakerRule, SerialPlace};
use identity::{Assurance, Certificate};
use ledger::{Class, Origin, Value, VerifierKey};
use registry::Change;

/// Anchors of one maker: its roots of two generations and its issuing authorities.
const ANCHORS_MAX: usize = 16;
/// Serial numbers of an allow-list: a delivery. What is longer is better a door without a list.
const ALLOW_MAX: usize = 50_000;
/// Characters of a pattern around the serial number.
const PATTERN_CHARS_MAX: usize = 128;

/// Lists the doors by name.
#[utoipa::path(get, path = api::path::DOORS, tag = "doors",
    responses((status = 200, body = Page<DoorView>), Problems))]
pub(crate) async fn list(_: State, Viewer(who): Viewer) -> Answer<Page<DoorView>> {
    let mut doors: Vec<&Door> = who.realm.doors.iter().collect();
    doors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(axum::Json(Page { items: doors.into_iter().map(view::door).collect(), next: None }))
}

/// Shows a door.
#[utoipa::path(get, path = api::path::DOOR, tag = "doors",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = DoorView, headers(("etag" = String))), Problems))]
pub(crate) async fn show(
    _: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Result<Response, Refused> {
    Ok(tagged(&view::door(&named(&who, &name)?)))
}

/// Makes a door, or changes it to be exactly this.
#[utoipa::path(put, path = api::path::DOOR, tag = "doors",
    params(("name" = String, Path, description = "1 to 64 of letters, digits and `-_.`"), IfMatch,
        Idempotent),
    request_body = DoorRequest,
    responses((status = 200, body = DoorView, headers(("etag" = String))), Problems))]
pub(crate) async fn set(
    state: State,
    Admin(who): Admin,
    Named(called): Named<String>,
    headers: HeaderMap,
    Json(request): Json<DoorRequest>,
) -> Result<Response, Refused> {
    let (who, _turn) = state.turn(who).await?;
    let receipt = receipt(&state, &who, &request)?;
    let door = Door { receipt, ..fit(&who, name("a door", &called)?, request)? };
    seen(&headers, who.realm.door(&called))?;
    keeps_its_name(&state, &who, &door).await?;
    store(&state, &who, door, "door.set").await
}

/// Opens a door.
#[utoipa::path(post, path = api::path::DOOR_OPEN, tag = "doors",
    params(("name" = String, Path, description = "Its name"), IfMatch, Idempotent),
    responses((status = 200, body = DoorView, headers(("etag" = String))), Problems))]
pub(crate) async fn open(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    turn(&state, who, (&name, &headers), true).await
}

/// Closes a door: from now on it refuses everybody.
#[utoipa::path(post, path = api::path::DOOR_CLOSE, tag = "doors",
    params(("name" = String, Path, description = "Its name"), IfMatch, Idempotent),
    responses((status = 200, body = DoorView, headers(("etag" = String))), Problems))]
pub(crate) async fn close(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    turn(&state, who, (&name, &headers), false).await
}

/// Removes a door to which no device belongs, retired ones aside.
#[utoipa::path(delete, path = api::path::DOOR, tag = "doors",
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 200, body = DoorView), Problems))]
pub(crate) async fn remove(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Answer<DoorView> {
    let (who, _turn) = state.turn(who).await?;
    let door = named(&who, &name)?;
    seen(&headers, Some(&door))?;
    belongs_to_nobody(&state, &who, &door).await?;
    let payload = who.payload("door.removed").with("door", door.name.as_str());
    state.change(&who, Change::DoorRemoved(door.name.clone()), Class::Door, payload).await?;
    Ok(axum::Json(view::door(&door)))
}

/// A renewal comes back through the door of its device, for its profile and its demands: a door goes
/// after its devices.
async fn belongs_to_nobody(state: &State, who: &Who, door: &Door) -> Result<(), Refused> {
    let (registry, realm, name) = (state.house.registry.clone(), who.realm.key, door.name.clone());
    let held = apart(move || Ok(registry.has_devices_of_door(realm, &name)?)).await?;
    if !held {
        return Ok(());
    }
    let sentence = format!(
        "devices belong to the door `{0}`, and their renewals go by its profile and demands: close \
         it, which stops joins only, and remove it once they are retired or have joined by another \
         (`muster device list --where 'door == \"{0}\"'` names them)",
        door.name
    );
    Err(Refused::Rule { rule: "door-has-devices", sentence })
}

/// The door's name is the maker of its devices and its model theirs, so these are what they are
/// named by for good.
async fn keeps_its_name(state: &State, who: &Who, door: &Door) -> Result<(), Refused> {
    let DoorKind::Maker(rule) = &door.kind else { return Ok(()) };
    let (registry, realm) = (state.house.registry.clone(), who.realm.key);
    let (maker, model) = (door.name.clone(), rule.model.clone());
    let other = apart(move || Ok(registry.device_of_other_model(realm, &maker, &model)?)).await?;
    let Some(other) = other else { return Ok(()) };
    let sentence = format!(
        "the devices of the maker `{}` are named with the model `{}`, which stays: keep the model, \
         or make a door of another name for another model",
        door.name, other.identifiers.model
    );
    Err(Refused::Rule { rule: "door-has-devices", sentence })
}

fn named(who: &Who, name: &str) -> Result<Door, Refused> {
    let missing = || Refused::Missing { what: "door", name: name.to_owned() };
    who.realm.door(name).cloned().ok_or_else(missing)
}

/// Holds `If-Match` against the door as it stands.
fn seen(headers: &HeaderMap, door: Option<&Door>) -> Result<(), Refused> {
    let own = door.map(|door| tag::of(&view::door(door)));
    if_match(headers, own.as_deref())
}

async fn turn(
    state: &State,
    who: Who,
    (name, headers): (&str, &HeaderMap),
    open: bool,
) -> Result<Response, Refused> {
    let (who, _turn) = state.turn(who).await?;
    let door = named(&who, name)?;
    seen(headers, Some(&door))?;
    if door.open == open {
        return Ok(tagged(&view::door(&door)));
    }
    let verb = if open { "door.opened" } else { "door.closed" };
    store(state, &who, Door { open, ..door }, verb).await
}

async fn store(state: &State, who: &Who, door: Door, verb: &str) -> Result<Response, Refused> {
    let mut payload = who
        .payload(verb)
        .with("door", door.name.as_str())
        .with("kind", door.kind.as_str())
        .with("open", door.open)
        .with("groups", door.groups.iter().map(|g| g.as_str()).collect::<Value>())
        .with("profile", door.profile.as_str())
        .with("assurance", door.assurance.as_str())
        .with("binding", door.binding)
        .with_some("receipt", door.receipt.as_deref());
    if let DoorKind::Maker(rule) = &door.kind {
        let anchors = rule.anchors.iter().map(|a| a.fingerprint().to_vec());
        payload = payload
            .with("anchors", anchors.collect::<Value>())
            .with("place", rule.place.as_str())
            .with("pattern", rule.pattern.as_str())
            .with("model", rule.model.as_str())
            .with_some("allowed", rule.allow.as_ref().map(|a| a.len() as u64));
    }
    let view = view::door(&door);
    state.change(who, Change::DoorSet(door), Class::Door, payload).await?;
    Ok(tagged(&view))
}

fn fit(who: &Who, name: String, request: DoorRequest) -> Result<Door, Refused> {
    let kind = match (request.kind, request.maker) {
        (api::DoorKind::Birth, None) => DoorKind::Birth,
        (api::DoorKind::Token, None) => DoorKind::Token,
        (api::DoorKind::Maker, Some(maker)) => DoorKind::Maker(Box::new(rule(maker)?)),
        (api::DoorKind::Maker, None) => return malformed("a maker door needs `maker`"),
        (_, Some(_)) => return malformed("only a maker door has `maker`"),
    };
    // What a door vouches for ends where its proof ends: a token says that somebody vouched, a
    // certificate that a key is held; what a device runs is not shown at a door.
    let (most, usual) = match kind {
        DoorKind::Token => (Assurance::Token, Assurance::Token),
        DoorKind::Birth | DoorKind::Maker(_) => (Assurance::Hardware, Assurance::Certified),
    };
    let assurance = request.assurance.map_or(usual, view::assurance_of);
    if assurance > most {
        let sentence = format!("a {} door gives at most `{most}`", kind.as_str());
        return Err(Refused::Malformed(sentence));
    }
    if who.realm.profile(&request.profile).is_none() {
        return Err(Refused::Missing { what: "profile", name: request.profile });
    }
    let groups = groups(&request.group)?;
    let (open, binding, profile) = (request.open, request.binding, request.profile);
    Ok(Door { name, kind, open, groups, profile, assurance, binding, receipt: None })
}

/// The key of the ledger whose receipts are demanded.
fn receipt(state: &State, who: &Who, request: &DoorRequest) -> Result<Option<String>, Refused> {
    let Some(said) = request.receipt.as_deref() else { return Ok(None) };
    if said != "own" {
        let key = VerifierKey::parse(said)
            .map_err(|defect| Refused::Malformed(format!("`receipt`: {defect}")))?;
        return match (request.kind, key.is_cosigner()) {
            (api::DoorKind::Token, _) => {
                malformed("a token door sees no certificate to demand a receipt of")
            }
            (_, true) => malformed("`receipt` is the key of a ledger, and this is a witness's"),
            (_, false) => Ok(Some(key.to_string())),
        };
    }
    if request.kind != api::DoorKind::Birth {
        return malformed(
            "`own` is for birth doors: others' certificates stand in others' ledgers",
        );
    }
    let origin = Origin::parse(&who.realm.realm.origin);
    let key = origin.and_then(|o| VerifierKey::new(&o, state.house.ledger_key.public()));
    key.map(|k| Some(k.to_string())).ok_or(Refused::Outage("the ledger's key is not Ed25519"))
}

fn rule(maker: Maker) -> Result<MakerRule, Refused> {
    let anchors = Certificate::parse_pem(&maker.anchors, ANCHORS_MAX)
        .map_err(|e| Refused::Malformed(format!("`anchors`: {e}")))?;
    if anchors.is_empty() {
        return malformed("`anchors` has no certificate");
    }
    let place = view::place_of(maker.place);
    let pattern = bounded("pattern", &maker.pattern, PATTERN_CHARS_MAX)?;
    if pattern.matches('*').count() != 1 {
        return malformed("`pattern` has one `*`, where the serial number stands");
    }
    if place != SerialPlace::CommonName && pattern != "*" {
        return malformed("`pattern` is only for `common-name`");
    }
    let model = bounded("model", &maker.model, IDENTIFIER_OCTETS_MAX)?;
    let serial = |s: String| bounded("allow", &s, IDENTIFIER_OCTETS_MAX);
    let allow = match maker.allow {
        Some(list) if list.len() > ALLOW_MAX => {
            return malformed("`allow` has at most 50000 serial numbers");
        }
        Some(list) => Some(list.into_iter().map(serial).collect::<Result<_, _>>()?),
        None => None,
    };
    Ok(MakerRule { anchors, place, pattern, model, allow })
}

fn malformed<T>(sentence: &str) -> Result<T, Refused> {
    Err(Refused::Malformed(sentence.to_owned()))
}
