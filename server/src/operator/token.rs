//! Join tokens: made, listed, revoked. The secret is shown once and stored as a digest.

use super::body::{Asked, Json, Named};
use super::openapi::{Idempotent, Problems};
use super::page::{Window, cursor, limit, page};
use super::refuse::Refused;
use super::said::{bounded, groups, within};
use super::who::{Operating, Viewer, Who};
use super::{Answer, State, view};
use api::token::{TTL_MAX_S, USES_MAX};
use api::{Page, TokenMade, TokenRequest, TokenView};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use identity::device::IDENTIFIER_OCTETS_MAX;
use identity::name::DeviceName;
use identity::text::rfc3339;
use identity::token::{Token, TokenId, TokenSecret, mint};
use identity::{DeviceId, Identifiers, RuleId, Standing};
use ledger::{Class, Value};
use registry::Change;

/// Lists join tokens by id.
#[utoipa::path(get, path = api::path::TOKENS, tag = "tokens", params(Window),
    responses((status = 200, body = Page<TokenView>), Problems))]
pub(crate) async fn list(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Window>,
) -> Answer<Page<TokenView>> {
    let now = state.house.clock.now();
    let limit = limit(asked.limit)?;
    let after = cursor(asked.after.as_deref(), TokenId::parse)?;
    let rows = state.house.registry.tokens(who.realm.key, after.as_ref(), limit)?;
    Ok(axum::Json(page(rows, limit, |t| t.id.to_string(), |t| view::token(t, now))))
}

/// Shows a join token, without its secret.
#[utoipa::path(get, path = api::path::TOKEN, tag = "tokens",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, body = TokenView), Problems))]
pub(crate) async fn show(
    state: State,
    Viewer(who): Viewer,
    Named(id): Named<String>,
) -> Answer<TokenView> {
    let token = named(&state, &who, &id)?;
    Ok(axum::Json(view::token(&token, state.house.clock.now())))
}

/// Makes a join token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = api::path::TOKENS, tag = "tokens", params(Idempotent),
    request_body = TokenRequest,
    responses((status = 201, body = TokenMade, headers(("location" = String))), Problems))]
pub(crate) async fn make(
    state: State,
    Operating(who): Operating,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Refused> {
    let (token, secret) = minted(&state, &who, request)?;
    let payload = who
        .payload("token.made")
        .with("token", token.id.as_str())
        .with("uses", token.uses)
        .with("ends", token.ends.secs())
        .with("groups", token.groups.iter().map(|g| g.as_str()).collect::<Value>())
        .with_some("serial_number", token.serial.as_deref());
    let made = shown(&token, &secret);
    state.house.commit(who.realm.key, Change::TokenMade(token), Class::Token, payload).await?;
    let location = api::path::fill(api::path::TOKEN, &[&made.id]);
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(made)).into_response())
}

/// Revokes a join token; devices that joined with it stay.
#[utoipa::path(delete, path = api::path::TOKEN, tag = "tokens",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, body = TokenView), Problems))]
pub(crate) async fn revoke(
    state: State,
    Operating(who): Operating,
    Named(id): Named<String>,
) -> Answer<TokenView> {
    let token = named(&state, &who, &id)?;
    let now = state.house.clock.now();
    if token.revoked.is_none() {
        let payload = who.payload("token.revoked").with("token", token.id.as_str());
        let change = Change::TokenRevoked { id: token.id.clone(), at: now };
        state.house.commit(who.realm.key, change, Class::Token, payload).await?;
    }
    Ok(axum::Json(view::token(&named(&state, &who, &id)?, now)))
}

fn minted(
    state: &State,
    who: &Who,
    request: TokenRequest,
) -> Result<(Token, TokenSecret), Refused> {
    let uses = within("uses", request.uses.into(), 1, USES_MAX.into())?;
    let ttl_s = within("ttl_s", request.ttl_s, 1, TTL_MAX_S)?;
    let serial = request.serial.map(|s| one_device(state, who, s)).transpose()?;
    let groups = groups(&request.group)?;
    let now = state.house.clock.now();
    let (id, secret) = state.outside(mint);
    let uses = u32::try_from(uses).unwrap_or(USES_MAX);
    let token = Token {
        id,
        digest: secret.digest(),
        uses_left: uses,
        uses,
        made: now,
        ends: now.plus_secs(ttl_s),
        groups,
        serial,
        revoked: None,
        by: who.name.clone(),
    };
    Ok((token, secret))
}

/// Octets of `MAKER/MODEL/S`.
const SERIAL_OCTETS_MAX: usize = 3 * IDENTIFIER_OCTETS_MAX + 2;

/// A serial number, as `S` or `MAKER/MODEL/S`, that several devices do not have: who holds the token
/// would else come in as any of them.
fn one_device(state: &State, who: &Who, said: String) -> Result<String, Refused> {
    let said = bounded("serial", &said, SERIAL_OCTETS_MAX)?;
    let said = by_serial(state, who, said)?;
    let name = DeviceName::parse(&format!("serial:{said}"));
    let Some(name @ DeviceName::Serial { .. }) = name else {
        return Err(Refused::Malformed("`serial` is `S` or `MAKER/MODEL/S`".to_owned()));
    };
    let DeviceName::Serial { of, serial } = name.clone() else { return Ok(said) };
    let (maker, model) = of.unwrap_or_default();
    let named = Identifiers { maker, model, serial, ..Identifiers::default() };
    named.check().map_err(Refused::Malformed)?;
    let found = state.house.registry.devices_named(who.realm.key, &name)?;
    match found.as_slice() {
        [] => return Ok(said),
        [one] if one.standing == Standing::Retired => {
            return Err(Refused::standing(&RuleId::RETIRED));
        }
        [_] => return Ok(said),
        [_, _, ..] => {}
    }
    let full = |i: &Identifiers| format!("`{}/{}/{}`", i.maker, i.model, i.serial);
    let names: Vec<String> = found.iter().map(|d| full(&d.identifiers)).collect();
    let sentence = format!("several devices have this serial number: say {}", names.join(" or "));
    Err(Refused::Rule { rule: "token-ambiguous", sentence })
}

/// The names that lists show lead to the serial number, which is all that a token is bound to: the
/// `serial:` before it is none of it, and a UUID that a device has is this device's.
fn by_serial(state: &State, who: &Who, said: String) -> Result<String, Refused> {
    if let Some(rest) = said.strip_prefix("serial:") {
        return Ok(rest.to_owned());
    }
    let Some(id) = DeviceId::parse(&said) else { return Ok(said) };
    let Some(device) = state.house.registry.device(who.realm.key, &id)? else { return Ok(said) };
    let Identifiers { maker, model, serial, .. } = device.identifiers;
    if serial.is_empty() {
        let sentence = "this device has no serial number, which a token could be bound to";
        return Err(Refused::Malformed(sentence.to_owned()));
    }
    Ok(format!("{maker}/{model}/{serial}"))
}

fn shown(token: &Token, secret: &TokenSecret) -> TokenMade {
    let secret = secret.dangerous_reveal();
    TokenMade {
        id: token.id.to_string(),
        secret: secret.to_owned(),
        basic: format!("{}:{secret}", token.id),
        bearer: format!("{}.{secret}", token.id),
        uses: token.uses,
        ends: rfc3339(token.ends),
        group: token.groups.iter().map(ToString::to_string).collect(),
        serial: token.serial.clone(),
    }
}

fn named(state: &State, who: &Who, id: &str) -> Result<Token, Refused> {
    let missing = || Refused::Missing { what: "token", name: id.to_owned() };
    let id = TokenId::parse(id).ok_or_else(missing)?;
    state.house.registry.token(who.realm.key, &id)?.ok_or_else(missing)
}
