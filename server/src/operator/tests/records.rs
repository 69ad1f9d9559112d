//! The ledger, its events, and the figures.

use super::world::{Call, World};
use api::path::{DEVICES, ENTRIES, EVENTS, HEAD, METRICS, READYZ, ROWS};
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use identity::text::from_base64;
use serde_json::{Value, json};

/// The next event, comments left out: its id and its data.
async fn event(body: &mut Body) -> (u64, Value) {
    loop {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let Some(rest) = text.strip_prefix("id: ") else { continue };
        let (id, rest) = rest.split_once('\n').unwrap();
        let data = rest.lines().find_map(|l| l.strip_prefix("data: ")).unwrap();
        return (id.parse().unwrap(), serde_json::from_str(data).unwrap());
    }
}

#[tokio::test]
async fn an_event_comes_when_something_happens_and_a_stream_resumes_where_it_was() {
    let world = World::new();
    let call = Call { role: "viewer", ..Call::default() };
    let mut live = world.open("GET", EVENTS, call).await.into_body();
    let id = world.birth("S1").await;
    let (first, data) = event(&mut live).await;
    assert_eq!((first, &data["verb"]), (1, &json!("birth.issued")));
    assert_eq!(data["payload"]["device"], id.as_str());

    world.send("operator", "POST", &format!("{DEVICES}/{id}/suspend"), json!({})).await;
    let headers = [("last-event-id", "1")];
    let call = Call { role: "viewer", headers: &headers, body: None };
    let mut resumed = world.open("GET", EVENTS, call).await.into_body();
    let (second, data) = event(&mut resumed).await;
    assert_eq!((second, &data["verb"]), (2, &json!("device.suspended")));
    assert_eq!(event(&mut live).await.0, 2);

    let headers = [("last-event-id", "x")];
    let call = Call { role: "viewer", headers: &headers, body: None };
    assert_eq!(world.call("GET", EVENTS, call).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_that_opened_it() {
    let world = World::new();
    let call = Call { role: "viewer", ..Call::default() };
    let mut live = world.open("GET", EVENTS, call).await.into_body();
    let gone = api::path::fill(api::path::OPERATOR, &["the-viewer"]);
    world.call("DELETE", &gone, Call { role: "admin", ..Call::default() }).await;
    while let Some(frame) = live.frame().await {
        let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
        assert!(text.starts_with(':'), "{text}");
    }
}

#[tokio::test]
async fn the_rows_are_enough_to_compute_the_head_again() {
    let world = World::new();
    for i in 0..5 {
        world.birth(&format!("S{i}")).await;
    }
    let head = world.get("viewer", HEAD).await.json();
    let key = ledger::VerifierKey::parse(head["verifier"].as_str().unwrap()).unwrap();
    let note = head["checkpoint"].as_str().unwrap();
    let checkpoint = ledger::note::open(note, &[key]).unwrap();
    let mut frontier = ledger::Frontier::new();
    let mut after = String::new();
    loop {
        let page = world.get("viewer", &format!("{ROWS}?limit=2{after}")).await.json();
        for row in page["items"].as_array().unwrap() {
            let octets = |name: &str| from_base64(row[name].as_str().unwrap().as_bytes()).unwrap();
            let entry = ledger::Entry::decode(&octets("entry")).unwrap();
            let salt: [u8; 32] = octets("salt").try_into().unwrap();
            assert_eq!(entry.digest, ledger::digest(&salt, &octets("payload")));
            frontier.append(ledger::tree::leaf_hash(&octets("entry")));
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(frontier.size(), checkpoint.size);
    assert_eq!(frontier.root(), checkpoint.root);
    assert_eq!(head["size"], checkpoint.size);
}

#[tokio::test]
async fn entries_are_read_from_a_number_on_and_what_is_not_there_is_missing() {
    let world = World::new();
    world.birth("S1").await;
    let page = world.get("viewer", &format!("{ENTRIES}?from=1")).await.json();
    assert_eq!(page["items"][0]["index"], 1);
    assert_eq!(page["items"][0]["class"], "birth");
    let beyond = world.get("viewer", &format!("{ENTRIES}?from={}", i64::MAX)).await;
    assert_eq!(beyond.json()["items"], json!([]), "{}", beyond.text);
    for (path, status) in [
        (format!("{ENTRIES}/99"), 404),
        (format!("{ENTRIES}/{}", u64::MAX), 404),
        (format!("{ENTRIES}/x"), 400),
        (format!("{ENTRIES}?from=1&after=0"), 400),
        (format!("{ENTRIES}?from=-1"), 400),
        (format!("{ENTRIES}?from={}", u64::MAX), 400),
    ] {
        assert_eq!(world.get("viewer", &path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn the_figures_tell_of_the_fleet_and_the_state_of_health_of_the_server() {
    let world = World::new();
    world.birth("S1").await;
    world.get("station", DEVICES).await;
    let figures = world.get("viewer", METRICS).await;
    assert!(figures.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "muster_devices{realm=\"default\",standing=\"born\"} 1\n",
        "muster_births_total{realm=\"default\",result=\"issued\"} 1\n",
        "muster_refusals_total{realm=\"default\",door=\"operator\",rule=\"role\"} 1\n",
        "muster_ledger_entries{realm=\"default\"} 2\n",
        "muster_roll_keys 1\n",
        "process_resident_memory_bytes ",
    ] {
        assert!(figures.text.contains(line), "{line}\n{}", figures.text);
    }
}

#[tokio::test]
async fn anybody_is_told_whether_the_server_is_ready_and_those_who_may_see_why() {
    let world = World::new();
    for role in ["", "station"] {
        let ready = world.get(role, READYZ).await;
        assert_eq!(ready.status, StatusCode::OK);
        assert_eq!(ready.json(), json!({"ok": true, "checks": []}), "{role}");
    }
    for role in ["viewer", "operator", "admin"] {
        let ready = world.get(role, READYZ).await;
        assert_eq!(ready.json()["checks"][0]["name"], "registry", "{role}");
    }
    let wrong = format!("Bearer {}.{}", "a".repeat(16), "A".repeat(43));
    let headers = [("authorization", wrong.as_str())];
    let call = Call { headers: &headers, ..Call::default() };
    assert_eq!(world.call("GET", READYZ, call).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_registry_that_nobody_writes_any_more_is_not_ready_and_says_what_to_do() {
    let world = World::new();
    assert_eq!(world.get("", READYZ).await.status, StatusCode::OK);
    let world = world.reopened();
    world.house.registry.close();
    let body = json!({ "key": "overlap_s", "value": "100" });
    let refused = world.send("admin", "PUT", api::path::SETTINGS, body).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);

    let ready = world.get("viewer", READYZ).await;

    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text.contains("start the server anew"), "{}", ready.text);
}

#[tokio::test]
async fn however_many_ask_whether_it_is_ready_it_is_looked_at_once_a_second() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let mut world = World::new();
    let looks = std::sync::Arc::new(AtomicU64::new(0));
    let counted = looks.clone();
    let look = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    };
    let checks: crate::operator::Checks = std::sync::Arc::new(look);
    let fittings = crate::operator::Fittings { checks: Some(checks), ..Default::default() };
    world.router = crate::operator::router_with(world.house.clone(), fittings);
    let began = std::time::Instant::now();

    for _ in 0..50 {
        assert_eq!(world.get("", READYZ).await.status, StatusCode::OK);
    }

    let seconds = began.elapsed().as_secs();
    assert!(looks.load(Ordering::Relaxed) <= seconds + 1, "{looks:?} in {seconds} s");
}
