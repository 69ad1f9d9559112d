//! Every role at every address, read from the document itself: what is not listed there is not
//! served, and what is listed refuses whom it must.

use super::world::{Call, REALM, World};
use crate::operator::refuse::Refused;
use crate::operator::who::{Who, admin_still};
use crate::operator::{Fittings, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// Every method and address of the document, braces filled.
fn routes(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            all.push((method.to_uppercase(), path.clone()));
        }
    }
    all
}

fn filled(path: &str) -> String {
    path.replace("{index}", "0")
        .replace("{group}", "g")
        .replace("{id}", "abcdef")
        .replace("{name}", "n")
}

const OPEN: [&str; 3] = [api::path::OPENAPI, api::path::HEALTHZ, api::path::READYZ];

/// What the contract says, said once more and in another way.
fn allowed(role: &str, method: &str, path: &str) -> bool {
    let part = path.trim_start_matches("/api/v1/").split('/').next().unwrap();
    match (role, method) {
        ("admin", _) => true,
        ("station", _) => {
            [api::path::BIRTHS, api::path::ROOTS, api::path::CERTIFICATE_RECEIPT].contains(&path)
        }
        (_, "GET") => true,
        // What cannot be undone takes somebody who answers for it.
        ("operator", _) if path == api::path::DEVICE_ERASE => false,
        ("operator", _) => ["devices", "births", "tokens", "certificates"].contains(&part),
        _ => false,
    }
}

#[tokio::test]
async fn every_role_is_let_in_where_it_may_and_refused_everywhere_else() {
    let world = World::new();
    let document = world.get("", api::path::OPENAPI).await.json();
    for (method, path) in routes(&document) {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        for role in ["viewer", "station", "operator", "admin"] {
            let call = Call { role, body: Some("[]".to_owned()), ..Call::default() };
            let response = world.open(&method, &filled(&path), call).await;
            let let_in = response.status() != StatusCode::FORBIDDEN;
            assert_eq!(let_in, allowed(role, &method, &path), "{role} {method} {path}");
            assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{role} {method} {path}");
            assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(!response.status().is_server_error() || path == api::path::METRICS);
        }
    }
}

#[tokio::test]
async fn without_a_credential_nothing_but_the_document_and_the_state_of_health_is_told() {
    let world = World::new();
    let document = world.get("", api::path::OPENAPI).await.json();
    for (method, path) in routes(&document) {
        let reply = world.call(&method, &filled(&path), Call::default()).await;
        if OPEN.contains(&path.as_str()) {
            assert_eq!(reply.status, StatusCode::OK, "{path}");
            continue;
        }
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"muster\"");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let problem = reply.json();
        assert_eq!(problem["rule"], "no-credential");
        assert!(!problem["next"].as_str().unwrap().is_empty());
        assert_eq!(problem["instance"], filled(&path));
    }
}

#[tokio::test]
async fn what_may_carry_an_idempotency_key_says_so_and_nothing_else_does() {
    let world = World::new();
    let document = world.get("", api::path::OPENAPI).await.json();
    for (method, path) in routes(&document) {
        let told = &document["paths"][&path][method.to_lowercase()]["parameters"];
        let says_so = told.as_array().is_some_and(|all| {
            all.iter().any(|one| one["in"] == "header" && one["name"] == "Idempotency-Key")
        });
        assert_eq!(says_so, ["POST", "PUT"].contains(&method.as_str()), "{method} {path}");
    }
}

#[tokio::test]
async fn a_wrong_secret_a_cut_token_and_another_scheme_are_unknown() {
    let world = World::new();
    let id = world.get("admin", api::path::OPERATORS).await.json()["items"][0]["id"].clone();
    let wrong = format!("Bearer {}.{}", id.as_str().unwrap(), "A".repeat(43));
    for (shown, rule) in [
        (wrong.as_str(), "bad-credential"),
        ("Bearer x.y", "bad-credential"),
        ("Bearer", "no-credential"),
        ("Basic YTpi", "no-credential"),
        ("", "no-credential"),
    ] {
        let headers = [("authorization", shown)];
        let call = Call { headers: &headers, ..Call::default() };
        let reply = world.call("GET", api::path::DEVICES, call).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{shown}");
        assert_eq!(reply.json()["rule"], rule, "{shown}");
    }
}

#[tokio::test]
async fn a_credential_that_was_taken_away_opens_nothing() {
    let world = World::new();
    assert_eq!(world.get("viewer", api::path::REALM).await.status, StatusCode::OK);
    let gone = api::path::fill(api::path::OPERATOR, &["the-viewer"]);
    let reply = world.call("DELETE", &gone, Call { role: "admin", ..Call::default() }).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(world.get("viewer", api::path::REALM).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_last_admin_stays_and_a_name_is_given_once() {
    let world = World::new();
    let own = api::path::fill(api::path::OPERATOR, &["the-admin"]);
    let reply = world.call("DELETE", &own, Call { role: "admin", ..Call::default() }).await;
    assert_eq!(reply.json()["rule"], "last-admin");

    let second = json!({"name": "second", "role": "admin"});
    let made = world.send("admin", "POST", api::path::OPERATORS, second.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let again = world.send("admin", "POST", api::path::OPERATORS, second).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let reply = world.call("DELETE", &own, Call { role: "admin", ..Call::default() }).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn the_document_lists_every_address_of_the_contract_and_all_that_is_named_exists() {
    let world = World::new();
    let document = world.get("", api::path::OPENAPI).await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let contract = include_str!("../../../../api/src/path.rs");
    let addresses: Vec<&str> = contract
        .lines()
        .filter(|l| l.starts_with("pub const") && !l.contains(" ROOT:"))
        .filter_map(|l| l.split('"').nth(1))
        .collect();
    assert!(addresses.len() > 30);
    for address in &addresses {
        assert!(document["paths"][*address].is_object(), "{address} is not in the document");
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), addresses.len());
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not there");
    }
}

#[tokio::test]
async fn every_brace_of_an_address_is_described() {
    let world = World::new();
    let document = world.get("", api::path::OPENAPI).await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let described: Vec<&str> = operation["parameters"]
                .as_array()
                .map(|all| all.iter().filter(|p| p["in"] == "path").collect::<Vec<_>>())
                .unwrap_or_default()
                .iter()
                .map(|p| p["name"].as_str().unwrap())
                .collect();
            let braces: Vec<&str> =
                path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(described, braces, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn who_lost_the_credential_or_the_role_while_waiting_for_a_turn_changes_nothing() {
    let world = World::new();
    let state = State::new(world.house.clone(), Fittings::default());
    let operators = world.house.registry.operators(REALM).unwrap();
    let of = |role| {
        let operator = operators.iter().find(|o| o.role == role).unwrap();
        let realm = world.house.realms().remove(0);
        let (name, id) = (operator.name.clone(), operator.id.clone());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        Who { realm, name, id, role: registry::Role::Admin, from, seal: [0; 32] }
    };
    let admin = of(registry::Role::Admin);
    assert!(state.turn(admin.clone()).await.is_ok());
    let demoted = state.turn(of(registry::Role::Viewer)).await.err();
    assert!(matches!(demoted, Some(Refused::Role { has: registry::Role::Viewer, .. })));

    let other = json!({"name": "another-admin", "role": "admin"});
    let made = world.send("admin", "POST", api::path::OPERATORS, other).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let before = state.rules.clone().lock_owned().await;
    let mut turn = std::pin::pin!(state.turn(admin.clone()));
    let waits = tokio::select! { biased; _ = &mut turn => false, () = async {} => true };
    assert!(waits);
    let path = api::path::OPERATOR.replace("{name}", &admin.name);
    let gone = world.send("admin", "DELETE", &path, json!({})).await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text);
    drop(before);
    assert!(matches!(turn.await.err(), Some(Refused::BadCredential)));
    assert!(matches!(admin_still(&state, admin).err(), Some(Refused::BadCredential)));
}
