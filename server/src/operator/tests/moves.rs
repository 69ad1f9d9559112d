//! Many devices at once.

use super::world::{Reply, World};
use api::path::{DEVICE, DEVICE_MOVES, fill};
use axum::http::StatusCode;
use serde_json::{Value, json};

async fn moved(world: &World, role: &str, request: Value) -> Reply {
    world.send(role, "POST", DEVICE_MOVES, request).await
}

async fn size(world: &World) -> u64 {
    world.get("viewer", api::path::HEAD).await.json()["size"].as_u64().unwrap()
}

#[tokio::test]
async fn a_selector_moves_all_that_it_holds_for_each_with_its_entry_and_nobody_twice() {
    let world = World::new();
    for i in 0..5 {
        world.birth(&format!("S{i}")).await;
    }
    let which = r#"serial != "S0" && born < "2027-01-01""#;
    let ask = |dry_run| json!({"move": "suspend", "where": which, "reason": "recall", "dry_run": dry_run});
    let before = size(&world).await;

    let seen = moved(&world, "operator", ask(true)).await.json();
    assert_eq!(
        (&seen["selected"], &seen["moved"], &seen["already"]),
        (&json!(4), &json!(4), &json!(0))
    );
    assert_eq!(seen["sample"].as_array().unwrap().len(), 4);
    assert_eq!(size(&world).await, before, "a dry run moves nothing");

    let done = moved(&world, "operator", ask(false)).await.json();
    assert_eq!(
        (&done["selected"], &done["moved"], &done["next"]),
        (&json!(4), &json!(4), &Value::Null),
        "{done}"
    );
    assert_eq!(size(&world).await, before + 4, "one entry each");
    let entry = world.last_entry().await;
    assert_eq!(
        (&entry["verb"], &entry["payload"]["reason"]),
        (&json!("device.suspended"), &json!("recall"))
    );

    let again = moved(&world, "operator", ask(false)).await.json();
    assert_eq!((&again["moved"], &again["already"]), (&json!(0), &json!(4)));
    assert_eq!(size(&world).await, before + 4);
    let spared = world.get("viewer", &fill(DEVICE, &["serial:S0"])).await.json();
    assert_eq!(spared["standing"], "born");
}

#[tokio::test]
async fn a_selector_of_a_move_asks_for_leaves_as_that_of_a_list_does() {
    let world = World::new();
    world.birth("S1").await;
    for (which, count) in [
        ("!has(leaf.state)", 1),
        ("has(leaf.state)", 0),
        ("weak_detection == false", 1),
        ("weak_detection != false", 0),
    ] {
        let ask = json!({"move": "suspend", "where": which, "dry_run": true});
        let seen = moved(&world, "operator", ask).await.json();
        assert_eq!(seen["selected"], count, "{which}: {seen}");
    }
    let ask = json!({"move": "suspend", "where": "weak_detection != false"});
    assert_eq!(moved(&world, "operator", ask).await.json()["moved"], 0);
    let ask = json!({"move": "suspend", "where": "weak_detection == false"});
    assert_eq!(moved(&world, "operator", ask).await.json()["moved"], 1);
}

#[tokio::test]
async fn more_than_was_said_are_not_moved_and_the_refusal_tells_how_many() {
    let world = World::new();
    for i in 0..3 {
        world.birth(&format!("S{i}")).await;
    }
    let request = json!({"move": "suspend", "where": "serial != \"\"", "at_most": 2});
    let refused = moved(&world, "operator", request).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["rule"], "at-most");
    assert!(
        refused.json()["detail"].as_str().unwrap().starts_with("3 devices"),
        "{}",
        refused.text
    );
    let names = json!({"move": "suspend", "devices": ["serial:S0", "serial:S1", "serial:S2"], "at_most": 2});
    assert_eq!(moved(&world, "operator", names).await.json()["rule"], "at-most");
    let standing = world.get("viewer", "/api/v1/devices?standing=born").await.json();
    assert_eq!(standing["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_named_and_is_not_there_or_may_not_is_told_one_by_one() {
    let world = World::new();
    let (one, two) = (world.birth("S1").await, world.birth("S2").await);
    world.send("operator", "POST", &format!("/api/v1/devices/{two}/retire"), json!({})).await;
    let names = json!([one, "serial:S1", "serial:S2", "serial:S9", "x"]);
    let done =
        moved(&world, "operator", json!({"move": "quarantine", "devices": names})).await.json();
    assert_eq!(
        (&done["moved"], &done["already"], &done["refused"]),
        (&json!(1), &json!(1), &json!(3)),
        "{done}"
    );
    let rules: Vec<_> = done["failures"].as_array().unwrap().iter().map(|f| &f["rule"]).collect();
    assert_eq!(rules, ["missing", "malformed", "retired"]);
}

#[tokio::test]
async fn groups_change_in_one_request_and_a_fleet_is_retired_by_an_admin_only() {
    let world = World::new();
    world.birth("S1").await;
    world.birth("S2").await;
    let all = "standing == \"born\"";
    let add = json!({"move": "group-add", "group": "north", "where": all});
    assert_eq!(moved(&world, "operator", add).await.json()["moved"], 2);
    let out = json!({"move": "group-remove", "group": "north", "where": "group == \"north\" && serial == \"S1\""});
    assert_eq!(moved(&world, "operator", out).await.json()["moved"], 1);
    let groups = world.get("viewer", api::path::GROUPS).await.json();
    assert_eq!(groups["items"], json!([{"name": "north", "devices": 1}]));

    let retire = json!({"move": "retire", "where": all});
    assert_eq!(moved(&world, "operator", retire.clone()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(moved(&world, "admin", retire).await.json()["moved"], 2);
}

#[tokio::test]
async fn a_request_that_does_not_say_which_or_what_is_refused() {
    let world = World::new();
    for wrong in [
        json!({"move": "suspend"}),
        json!({"move": "suspend", "where": "serial == \"S\"", "devices": ["serial:S"]}),
        json!({"move": "suspend", "where": "nonsense =="}),
        json!({"move": "group-add", "where": "serial == \"S\""}),
        json!({"move": "suspend", "group": "g", "where": "serial == \"S\""}),
        json!({"move": "suspend", "where": "serial == \"S\"", "at_most": 0}),
        json!({"move": "suspend", "where": "serial == \"S\"", "frozen": "now"}),
        json!({"move": "suspend", "where": "serial == \"S\"", "after": "x"}),
        json!({"move": "suspend", "devices": vec!["serial:S"; 1001]}),
        json!({"move": "promote", "where": "serial == \"S\""}),
    ] {
        let reply = moved(&world, "operator", wrong.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}: {}", reply.text);
    }
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_and_leave_newcomers_alone() {
    let world = World::new();
    let units: Vec<String> = (0..300).map(|i| format!("S{i}")).collect();
    for unit in &units {
        world.birth(unit).await;
    }
    let mut request = json!({"move": "suspend", "where": "model == \"P7\"", "at_most": 1000});
    let first = moved(&world, "operator", request.clone()).await.json();
    assert_eq!((&first["selected"], &first["moved"]), (&json!(300), &json!(250)));
    world.later(60);
    world.birth("newcomer").await;
    request["after"] = first["next"].clone();
    request["frozen"] = first["frozen"].clone();
    let second = moved(&world, "operator", request).await.json();
    assert_eq!(
        (&second["selected"], &second["moved"], &second["next"]),
        (&Value::Null, &json!(50), &Value::Null)
    );
    let newcomer = world.get("viewer", &fill(DEVICE, &["serial:newcomer"])).await.json();
    assert_eq!(newcomer["standing"], "born");
}

#[tokio::test]
async fn a_page_that_goes_on_stays_below_what_was_said_for_all_of_them() {
    let world = World::new();
    let units: Vec<String> = (0..253).map(|i| format!("S{i}")).collect();
    for unit in &units {
        world.birth(unit).await;
    }
    let which = "model == \"P7\"";
    let request = json!({"move": "suspend", "where": which, "at_most": 253});
    let first = moved(&world, "operator", request.clone()).await.json();
    assert_eq!(first["moved"], 250);
    let entries = size(&world).await;
    let go_on = |at_most: u64, after: &str| {
        let mut request = request.clone();
        request["at_most"] = json!(at_most);
        request["after"] = json!(after);
        request["frozen"] = first["frozen"].clone();
        request
    };
    let next = first["next"].as_str().unwrap();

    let less = moved(&world, "operator", go_on(252, next)).await;
    assert_eq!((less.status, &less.json()["rule"]), (StatusCode::CONFLICT, &json!("at-most")));
    // Made up, as by a program that wants to be done with the counting.
    let beginning = "00000000-0000-7000-8000-000000000000.0";
    let all = moved(&world, "operator", go_on(100, beginning)).await;
    assert_eq!((all.status, &all.json()["rule"]), (StatusCode::CONFLICT, &json!("at-most")));
    let uncounted = next.split('.').next().unwrap();
    let bare = moved(&world, "operator", go_on(1000, uncounted)).await;
    assert_eq!(bare.status, StatusCode::BAD_REQUEST, "{}", bare.text);
    assert_eq!(size(&world).await, entries, "nothing was moved");

    let rest = moved(&world, "operator", go_on(253, next)).await.json();
    assert_eq!((&rest["moved"], &rest["next"]), (&json!(3), &Value::Null), "{rest}");
}
