//! Witnesses of the ledger: who is asked to see that it only grows.

use super::body::{Json, Named};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Admin, Viewer, Who};
use super::{Answer, State};
use crate::caller::Caller;
use crate::witness::{self, URL_OCTETS_MAX, WITNESSES_MAX};
use api::{Page, WitnessRequest, WitnessView};
use identity::text::rfc3339;
use ledger::{Class, VerifierKey};
use registry::Change;

/// Lists the witnesses, and how each is doing.
#[utoipa::path(get, path = api::path::WITNESSES, tag = "entries",
    responses((status = 200, body = Page<WitnessView>), Problems))]
pub(crate) async fn list(state: State, Viewer(who): Viewer) -> Answer<Page<WitnessView>> {
    let head = state.house.registry.head(who.realm.key)?.size;
    let all = stored(&state, &who)?;
    let items = all.iter().map(|named| view(&state, &who, named, head)).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// Names a witness, or changes its address or key. It is asked within seconds, and from then on for
/// each checkpoint.
#[utoipa::path(put, path = api::path::WITNESS, tag = "entries", params(Idempotent,
    ("name" = String, Path, description = "1 to 32 of letters, digits and `-_.`")),
    request_body = WitnessRequest, responses((status = 200, body = WitnessView), Problems))]
pub(crate) async fn set(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
    Json(request): Json<WitnessRequest>,
) -> Answer<WitnessView> {
    let named = read(name, request)?;
    let (who, _turn) = state.turn(who).await?;
    let all = stored(&state, &who)?;
    let others = all.iter().filter(|w| w.name != named.name);
    if others.clone().count() >= WITNESSES_MAX {
        return Err(Refused::Conflict(format!("a realm has at most {WITNESSES_MAX} witnesses")));
    }
    if let Some(same) = others.clone().find(|w| w.key.is_of_one(&named.key)) {
        let sentence =
            format!("`{}` has this key or signs under its name: that is one witness", same.name);
        return Err(Refused::Conflict(sentence));
    }
    if !all.contains(&named) {
        let payload = who
            .payload("witness.set")
            .with("witness", named.name.as_str())
            .with("url", named.url.as_str())
            .with("verifier", named.key.to_string());
        change(&state, &who, &named.name, Some(named.value()), payload).await?;
    }
    let head = state.house.registry.head(who.realm.key)?.size;
    Ok(axum::Json(view(&state, &who, &named, head)))
}

/// Asks a witness no more.
#[utoipa::path(delete, path = api::path::WITNESS, tag = "entries",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = WitnessView), Problems))]
pub(crate) async fn remove(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<WitnessView> {
    let all = stored(&state, &who)?;
    let Some(named) = all.into_iter().find(|w| w.name == name) else {
        return Err(Refused::Missing { what: "witness", name });
    };
    let payload = who
        .payload("witness.removed")
        .with("witness", named.name.as_str())
        .with("verifier", named.key.to_string());
    change(&state, &who, &named.name, None, payload).await?;
    let head = state.house.registry.head(who.realm.key)?.size;
    Ok(axum::Json(view(&state, &who, &named, head)))
}

async fn change(
    state: &State,
    who: &Who,
    name: &str,
    value: Option<String>,
    payload: ledger::Payload,
) -> Result<(), Refused> {
    let key = format!("{}{name}", witness::SETTING);
    let change = Change::SettingSet { key, group: None, value };
    state.change(who, change, Class::Setting, payload).await
}

fn read(name: String, request: WitnessRequest) -> Result<witness::Named, Refused> {
    let malformed = |sentence: String| Refused::Malformed(sentence);
    if !witness::is_name(&name) {
        let sentence = "a witness is named with 1 to 32 of letters, digits and `-_.`";
        return Err(malformed(sentence.to_owned()));
    }
    let key =
        VerifierKey::parse(&request.key).map_err(|defect| malformed(format!("`key`: {defect}")))?;
    if !key.is_cosigner() {
        let sentence = "`key` is the key of a log, and a witness's is wanted (C2SP signature \
                        type 0x04 or 0x06): `muster witness key` prints that of a Muster";
        return Err(malformed(sentence.to_owned()));
    }
    let url = request.url.trim_end_matches('/').to_owned();
    let plain = url.len() <= URL_OCTETS_MAX && !url.contains(char::is_whitespace);
    if !plain || Caller::parse(&url).is_none() {
        return Err(malformed("`url` is `http://HOST[:PORT][/PREFIX]`, or https".to_owned()));
    }
    Ok(witness::Named { name, url, key })
}

fn stored(state: &State, who: &Who) -> Result<Vec<witness::Named>, Refused> {
    let rows = state.house.registry.settings(who.realm.key)?;
    Ok(rows.iter().filter_map(|(key, _, value)| witness::Named::read(key, value)).collect())
}

fn view(state: &State, who: &Who, named: &witness::Named, head: u64) -> WitnessView {
    let doing = state.house.witnessing.state(who.realm.name().as_str(), &named.name);
    WitnessView {
        name: named.name.clone(),
        url: named.url.clone(),
        key: named.key.to_string(),
        cosigned_size: doing.cosigned.map(|(size, _)| size),
        cosigned_at: doing.cosigned.map(|(_, at)| rfc3339(at)),
        lag: doing.cosigned.map(|(size, _)| head.saturating_sub(size)),
        trouble: doing.trouble,
    }
}
