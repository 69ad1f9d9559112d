//! Operators: whose credentials open this interface.

use super::body::{Asked, Json, Named};
use super::openapi::{Idempotent, Problems};
use super::page::{Window, window};
use super::refuse::Refused;
use super::who::{Admin, Viewer};
use super::{Answer, State, view};
use api::{OperatorMade, OperatorRequest, OperatorView, Page};
use axum::http::StatusCode;
use identity::token::mint;
use ledger::Class;
use registry::{Change, Operator};

/// Characters of an operator's name: an address of the company fits.
const NAME_CHARS_MAX: usize = 64;

/// Lists the operators by name.
#[utoipa::path(get, path = api::path::OPERATORS, tag = "operators", params(Window),
    responses((status = 200, body = Page<OperatorView>), Problems))]
pub(crate) async fn list(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Window>,
) -> Answer<Page<OperatorView>> {
    let operators = state.house.registry.operators(who.realm.key)?;
    Ok(axum::Json(window(&operators, &asked, |o| o.name.clone(), view::operator)?))
}

/// Makes a credential. Its token is in this answer and nowhere else.
#[utoipa::path(post, path = api::path::OPERATORS, tag = "operators", params(Idempotent),
    request_body = OperatorRequest, responses((status = 201, body = OperatorMade), Problems))]
pub(crate) async fn add(
    state: State,
    Admin(who): Admin,
    Json(request): Json<OperatorRequest>,
) -> Result<(StatusCode, axum::Json<OperatorMade>), Refused> {
    let name = named(request.name)?;
    let operators = state.house.registry.operators(who.realm.key)?;
    if operators.iter().any(|o| o.name == name) {
        let sentence = format!("there is an operator `{name}` already: remove it first");
        return Err(Refused::Conflict(sentence));
    }
    let role = view::role_of(request.role);
    let (id, secret) = state.outside(mint);
    let payload = who
        .payload("operator.added")
        .with("name", name.as_str())
        .with("role", role.as_str())
        .with("id", id.as_str());
    let made = OperatorMade {
        name: name.clone(),
        role: request.role,
        id: id.to_string(),
        token: format!("{id}.{}", secret.dangerous_reveal()),
    };
    let made_at = state.house.clock.now();
    let operator = Operator { name, role, digest: secret.digest(), made: made_at, id };
    let change = Change::OperatorSet(operator);
    state.house.commit(who.realm.key, change, Class::Operator, payload).await?;
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// Takes a credential away at once. The last admin stays.
#[utoipa::path(delete, path = api::path::OPERATOR, tag = "operators",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = OperatorView), Problems))]
pub(crate) async fn remove(
    state: State,
    Admin(who): Admin,
    Named(name): Named<String>,
) -> Answer<OperatorView> {
    let operators = state.house.registry.operators(who.realm.key)?;
    let Some(operator) = operators.iter().find(|o| o.name == name) else {
        return Err(Refused::Missing { what: "operator", name });
    };
    let payload = who
        .payload("operator.removed")
        .with("name", operator.name.as_str())
        .with("role", operator.role.as_str())
        .with("id", operator.id.as_str());
    let change = Change::OperatorRemoved(name);
    state.house.commit(who.realm.key, change, Class::Operator, payload).await?;
    Ok(axum::Json(view::operator(operator)))
}

fn named(text: String) -> Result<String, Refused> {
    let fit = (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
    match fit {
        true => Ok(text),
        false => {
            let sentence = "an operator is named with 1 to 64 of letters, digits and `-_.@`";
            Err(Refused::Malformed(sentence.to_owned()))
        }
    }
}
