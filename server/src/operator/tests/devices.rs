//! Births, and what operators do with devices.

use super::world::{Call, World, csr, p256};
use api::path::{BIRTHS, DEVICE, DEVICE_GROUP, DEVICE_SUSPEND, DEVICES, fill};
use axum::http::StatusCode;
use serde_json::{Value, json};

async fn act(world: &World, id: &str, verb: &str) -> super::world::Reply {
    let path = format!("{DEVICES}/{id}/{verb}");
    world.send("operator", "POST", &path, json!({"reason": "a test"})).await
}

#[tokio::test]
async fn a_birth_that_comes_again_gets_the_same_certificate_and_another_key_is_refused() {
    let world = World::new();
    let key = p256();
    let unit = json!({"csr": csr(&key, "S1"), "serial": "S1", "model": "P7", "mac": ["00:11:22:33:44:55"]});
    let other = json!({"csr": csr(&p256(), "S1"), "serial": "S1", "model": "P7"});
    let broken = json!({"csr": "AAAA", "serial": "S2"});
    let batch = |units: Vec<&Value>| json!({ "births": units });

    let first = world.send("station", "POST", BIRTHS, batch(vec![&unit, &broken])).await.json();
    let again = world.send("operator", "POST", BIRTHS, batch(vec![&unit])).await.json();
    let second = world.send("station", "POST", BIRTHS, batch(vec![&other])).await.json();

    assert_eq!(first["results"][0]["outcome"], "issued", "{first}");
    let pem = first["results"][0]["certificate"].as_str().unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2, "leaf and birth authority, no root");
    assert_eq!(first["results"][1]["index"], 1);
    assert_eq!(first["results"][1]["outcome"], "refused");
    assert!(first["results"][1]["reason"].as_str().unwrap().contains("PKCS#10"));
    assert_eq!(again["results"][0]["outcome"], "again");
    assert_eq!(again["results"][0]["certificate"], first["results"][0]["certificate"]);
    assert_eq!(second["results"][0]["rule"], "second-birth");
}

#[tokio::test]
async fn a_batch_of_nothing_or_of_too_much_is_refused() {
    let world = World::new();
    let empty = world.send("station", "POST", BIRTHS, json!({"births": []})).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    let unit = json!({"csr": "AAAA", "serial": "S"});
    let many = world.send("station", "POST", BIRTHS, json!({"births": vec![unit; 513]})).await;
    assert_eq!(many.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_device_is_found_by_each_of_its_names_and_an_ambiguous_one_lists_the_candidates() {
    let world = World::new();
    let (one, two) = (world.birth("S1").await, world.birth("S/2").await);
    // Both were born in the same millisecond of an invented clock, so they begin alike.
    let dense = one.replace('-', "");
    for name in [one.as_str(), &dense[..20], "serial:S1", "serial:/P7/S1"] {
        let reply = world.get("viewer", &fill(DEVICE, &[name])).await;
        assert_eq!(reply.json()["id"], one.as_str(), "{name}: {}", reply.text);
    }
    let slashed = world.get("viewer", &fill(DEVICE, &["serial:/P7/S/2"])).await;
    assert_eq!(slashed.json()["id"], two.as_str());

    let ambiguous = world.get("viewer", &fill(DEVICE, &[&dense[..8]])).await;
    assert_eq!(ambiguous.status, StatusCode::CONFLICT);
    let mut candidates = [one.as_str(), two.as_str()];
    candidates.sort_unstable();
    assert_eq!(ambiguous.json()["candidates"], json!(candidates));

    assert_eq!(world.get("viewer", &fill(DEVICE, &["serial:S9"])).await.status, 404);
    assert_eq!(world.get("viewer", &fill(DEVICE, &["x"])).await.status, 400);
    assert_eq!(world.get("viewer", "/api/v1/devices/%FF").await.status, 400);
}

#[tokio::test]
async fn a_suspension_is_lifted_and_a_retirement_is_for_good_and_each_is_told() {
    let world = World::new();
    let id = world.birth("S1").await;

    let suspended = act(&world, &id, "suspend").await;
    assert_eq!(suspended.json()["standing"], "suspended", "{}", suspended.text);
    let entry = world.last_entry().await;
    assert_eq!(entry["verb"], "device.suspended");
    assert_eq!(entry["payload"]["by"], "the-operator");
    assert_eq!(entry["payload"]["from"], "192.0.2.7");
    assert_eq!(entry["payload"]["reason"], "a test");

    let before = entry["index"].clone();
    assert_eq!(act(&world, &id, "suspend").await.status, 200, "again is no error");
    assert_eq!(world.last_entry().await["index"], before, "and no entry");

    assert_eq!(act(&world, &id, "resume").await.json()["standing"], "born");
    assert_eq!(act(&world, &id, "retire").await.json()["standing"], "retired");
    let refused = act(&world, &id, "resume").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["rule"], "retired");
    let birth = world.get("viewer", &format!("{DEVICES}/{id}/certificates")).await.json();
    assert_eq!(birth["items"][0]["revoked"]["reason"], "cessationOfOperation");
}

#[tokio::test]
async fn a_mark_is_taken_away_with_a_reason_and_the_entry_keeps_both() {
    let world = World::new();
    let id = world.birth("S1").await;
    let path = fill(api::path::DEVICE_UNMARK, &[&id]);
    let why = json!({"reason": "mainboard exchanged"});
    let size = world.last_entry().await["index"].clone();
    let unmarked = world.send("operator", "POST", &path, why.clone()).await;
    assert_eq!(unmarked.status, StatusCode::OK, "{}", unmarked.text);
    assert_eq!(world.last_entry().await["index"], size, "there was none, and there is no entry");

    let second = json!({"csr": csr(&p256(), "S1"), "serial": "S1", "model": "P7"});
    world.send("station", "POST", api::path::BIRTHS, json!({"births": [second]})).await;
    let mark = world.get("viewer", &fill(DEVICE, &[&id])).await.json()["mark"].clone();
    assert!(mark.is_string());
    for wrong in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(257)})] {
        let refused = world.send("operator", "POST", &path, wrong.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    for role in ["viewer", "station"] {
        let refused = world.send(role, "POST", &path, why.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{role}");
    }
    let headers = [("if-match", "\"1\"")];
    let stale = Call { role: "operator", headers: &headers, body: Some(why.to_string()) };
    let stale = world.call("POST", &path, stale).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "who has not seen it leaves it");

    let unmarked = world.send("operator", "POST", &path, why).await;
    assert_eq!(unmarked.json()["mark"], json!(null), "{}", unmarked.text);
    let entry = world.last_entry().await;
    assert_eq!((&entry["verb"], &entry["event"]), (&json!("device.unmarked"), &json!(607)));
    let told = &entry["payload"];
    assert_eq!((&told["mark"], &told["reason"]), (&mark, &json!("mainboard exchanged")));
}

#[tokio::test]
async fn a_write_that_was_decided_on_an_old_version_is_refused() {
    let world = World::new();
    let id = world.birth("S1").await;
    let path = fill(DEVICE_SUSPEND, &[&id]);
    let shown = world.get("viewer", &fill(DEVICE, &[&id])).await;
    let tag = shown.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", shown.json()["version"]));

    for wrong in ["\"999\"", &format!("W/{tag}"), "nonsense"] {
        let headers = [("if-match", wrong)];
        let call = Call { role: "operator", headers: &headers, body: None };
        let reply = world.call("POST", &path, call).await;
        assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED, "{wrong}");
    }
    let headers = [("if-match", tag.as_str())];
    let call = Call { role: "operator", headers: &headers, body: None };
    let reply = world.call("POST", &path, call).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_ne!(reply.header("etag"), tag);
    let call = Call { role: "operator", headers: &headers, body: None };
    assert_eq!(world.call("POST", &path, call).await.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn groups_are_joined_and_left_and_select_devices() {
    let world = World::new();
    let (one, two) = (world.birth("S1").await, world.birth("S2").await);
    let path = fill(DEVICE_GROUP, &[&one, "pumps"]);
    let call = || Call { role: "operator", ..Call::default() };
    assert_eq!(world.call("PUT", &path, call()).await.json()["group"], json!(["pumps"]));
    assert_eq!(world.last_entry().await["verb"], "group.added");
    let groups = world.get("viewer", api::path::GROUPS).await.json();
    assert_eq!(groups["items"], json!([{"name": "pumps", "devices": 1}]));

    for query in ["group=pumps", "serial=S1", "where=group%20%3D%3D%20%22pumps%22"] {
        let list = world.get("viewer", &format!("{DEVICES}?{query}")).await.json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{query}: {list}");
        assert_eq!(list["items"][0]["id"], one.as_str());
    }
    let both = world.get("viewer", &format!("{DEVICES}?model=P7&standing=born")).await.json();
    assert_eq!(both["items"].as_array().unwrap().len(), 2);
    assert!(both.to_string().contains(&two));

    let left = world.call("DELETE", &path, call()).await.json();
    assert_eq!(left["group"], json!([]));
    let bad = fill(DEVICE_GROUP, &[&one, "no spaces"]);
    assert_eq!(world.call("PUT", &bad, call()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_join_up_and_a_wrong_question_is_refused() {
    let world = World::new();
    let mut born = Vec::new();
    for i in 0..5 {
        born.push(world.birth(&format!("S{i}")).await);
    }
    born.sort();
    for filter in ["", "&where=serial%20!%3D%20%22none%22"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page =
                world.get("viewer", &format!("{DEVICES}?limit=2{filter}{after}")).await.json();
            for item in page["items"].as_array().unwrap() {
                seen.push(item["id"].as_str().unwrap().to_owned());
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, born, "{filter}");
    }
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=x",
        "standing=lost",
        "colour=red",
        "where=((",
        "where=nothing%20%3D%3D%201",
        "limit=1&limit=2",
        "group=a%20b",
    ] {
        let reply = world.get("viewer", &format!("{DEVICES}?{wrong}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}: {}", reply.text);
        assert_eq!(reply.json()["rule"], "malformed");
    }
}

#[tokio::test]
async fn revoking_a_certificate_revokes_its_key_and_a_hold_is_lifted_by_hand_where_it_is_no_devices()
 {
    let world = World::new();
    let id = world.birth("S1").await;
    let list = world.get("viewer", &format!("{DEVICES}/{id}/certificates")).await.json();
    let serial = list["items"][0]["serial"].as_str().unwrap();
    let spki = list["items"][0]["spki"].as_str().unwrap();
    for name in [format!("cert:{serial}"), format!("spki:{spki}"), serial.to_owned()] {
        let shown = world.get("viewer", &fill(api::path::CERTIFICATE, &[&name])).await.json();
        assert_eq!(shown["serial"], serial);
        assert!(shown["pem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    }
    let path = fill(api::path::CERTIFICATE_REVOKE, &[serial]);
    let back = fill(api::path::CERTIFICATE_RELEASE, &[serial]);
    let nothing = world.send("operator", "POST", &back, json!({})).await.json();
    assert_eq!(nothing["released"], json!([]), "nothing is on hold");
    let hold = world.send("operator", "POST", &path, json!({"reason": "certificateHold"})).await;
    assert_eq!(hold.json()["revoked"][0]["revoked"]["reason"], "certificateHold", "{}", hold.text);
    act(&world, &id, "suspend").await;
    let held = world.send("operator", "POST", &back, json!({})).await;
    assert_eq!((held.status.as_u16(), &held.json()["rule"]), (409, &json!("suspended")));
    act(&world, &id, "resume").await;
    let list = world.get("viewer", &format!("{DEVICES}/{id}/certificates")).await.json();
    assert_eq!(
        list["items"][0]["revoked"]["reason"], "certificateHold",
        "set by hand, so it stays"
    );
    let released = world.send("operator", "POST", &back, json!({})).await.json();
    assert_eq!(released["released"][0]["revoked"], Value::Null, "{released}");
    assert_eq!(world.last_entry().await["verb"], "certificate.released");
    let done = world.send("operator", "POST", &path, json!({"reason": "keyCompromise"})).await;
    assert_eq!(done.json()["revoked"][0]["revoked"]["reason"], "keyCompromise", "{}", done.text);
    let entry = world.last_entry().await;
    assert_eq!(entry["verb"], "certificate.revoked");
    assert_eq!(entry["payload"]["serials"], json!([serial]), "as octets, which read as hex");
    for (what, reason) in
        [(&path, "certificateHold"), (&path, "superseded"), (&path, "keyCompromise")]
    {
        let again = world.send("operator", "POST", what, json!({ "reason": reason })).await;
        assert_eq!(again.json()["revoked"][0]["revoked"]["reason"], "keyCompromise", "{reason}");
    }
    assert_eq!(world.last_entry().await["index"], entry["index"], "nothing weaker, nothing twice");
    let ended = world.send("operator", "POST", &back, json!({})).await;
    assert_eq!((ended.status.as_u16(), &ended.json()["rule"]), (409, &json!("revoked")));
    assert_eq!(world.get("viewer", "/api/v1/certificates/zz").await.status, 400);
    assert_eq!(world.get("viewer", "/api/v1/certificates").await.json()["next"], Value::Null);
}
