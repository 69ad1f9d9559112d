//! What it takes to install an authority: one request at a time, what the root signed for it, an
//! administrator, and a key that is whole. How leaves then move over is told in [`super::roll`].

use super::roll::{active, issuer, refused, request, roll, sign_by, standing, verbs};
use crate::world::{World, default_realm};
use hyper::Method;
use identity::authority::{Authority, Role};
use serde_json::json;

#[tokio::test]
async fn a_second_roll_is_refused_while_one_is_open_or_in_its_overlap() {
    let mut world = World::new().await;
    let requests = "/api/v1/authorities/requests";
    let made = request(&mut world, "operations").await;
    let second = refused(&mut world, Method::POST, requests, json!({"role": "operations"})).await;
    assert_eq!(second, (409, "roll-open".to_owned()));
    let listed = world.get(requests).await;
    assert_eq!(listed["items"][0]["csr"], made["csr"], "the open one is printed again");
    world.restart().await;
    assert_eq!(world.get(requests).await["items"][0]["csr"], made["csr"]);

    let id = made["id"].as_str().unwrap().to_owned();
    let file = world.keys().join(format!("operations-{id}.key"));
    assert!(file.exists());
    world.delete(&format!("{requests}/{id}")).await;
    assert!(!file.exists(), "the key of what was given up is destroyed");
    assert_eq!(world.last_entry().verb(), "authority.abandoned");
    let key = world.root_key();
    let certificate = sign_by(&world, &key, "operations", made["csr"].as_str().unwrap());
    let late = json!({"certificate": certificate, "role": "operations"});
    let late = refused(&mut world, Method::POST, "/api/v1/authorities", late).await;
    assert_eq!(late, (409, "other-request".to_owned()));

    roll(&mut world, "operations", json!({})).await;
    let second = refused(&mut world, Method::POST, requests, json!({"role": "operations"})).await;
    assert_eq!(second, (409, "overlap".to_owned()));
    let anyway = json!({"role": "operations", "in_overlap": true});
    world.post(requests, anyway).await;
    world.end().await;
}

#[tokio::test]
async fn only_what_the_root_signed_for_this_request_is_installed_and_twice_is_once() {
    let mut world = World::new().await;
    let made = request(&mut world, "operations").await;
    let csr = made["csr"].as_str().unwrap().to_owned();
    let authorities = "/api/v1/authorities";
    let good = sign_by(&world, &world.root_key(), "operations", &csr);

    let other_role = json!({"certificate": good, "role": "birth"});
    let told = refused(&mut world, Method::POST, authorities, other_role).await;
    assert_eq!(told, (409, "other-role".to_owned()));
    for (role, made) in [("birth", "operations"), ("operations", "birth")] {
        let csr = if made == "birth" {
            request(&mut world, made).await["csr"].clone()
        } else {
            json!(csr)
        };
        let signed = sign_by(&world, &world.root_key(), role, csr.as_str().unwrap());
        let said = json!({"certificate": signed, "role": made});
        let told = refused(&mut world, Method::POST, authorities, said).await;
        assert_eq!(told, (409, "other-role".to_owned()), "signed as {role}, for {made}");
    }
    let stranger = World::new().await;
    let forged = sign_by(&stranger, &stranger.root_key(), "operations", &csr);
    stranger.end().await;
    let forged = json!({"certificate": forged, "role": "operations"});
    let told = refused(&mut world, Method::POST, authorities, forged).await;
    assert_eq!(told, (409, "not-signed-by-root".to_owned()));
    let birth = json!({"certificate": good, "role": "operations", "overlap_s": u64::MAX});
    assert_eq!(refused(&mut world, Method::POST, authorities, birth).await.0, 400);

    let install = json!({"certificate": good, "role": "operations"});
    let admin = world.admin();
    let first = world.ask_as(&admin, Method::POST, authorities, Some(install.clone())).await;
    assert_eq!(first.status(), 201, "{}", first.text());
    let entries = world.entries().len();
    let again = world.ask_as(&admin, Method::POST, authorities, Some(install.clone())).await;
    assert_eq!((again.status(), world.entries().len()), (200, entries));
    assert_eq!(again.json()["id"], first.json()["id"]);
    world.restart().await;
    let again = world.ask_as(&admin, Method::POST, authorities, Some(install)).await;
    assert_eq!(again.status(), 200);
    world.end().await;
}

#[tokio::test]
async fn a_request_that_is_given_up_while_its_authority_is_installed_leaves_none_without_its_key() {
    let mut world = World::new().await;
    for role in ["operations", "service", "birth"] {
        let made = request(&mut world, role).await;
        let certificate = sign_by(&world, &world.root_key(), role, made["csr"].as_str().unwrap());
        let id = made["id"].as_str().unwrap();
        let path = format!("/api/v1/authorities/requests/{id}");
        let install = Some(json!({"certificate": certificate, "role": role}));

        let [installed, given_up] = world
            .ask_both((Method::POST, "/api/v1/authorities", install), (Method::DELETE, &path, None))
            .await;

        let key = world.keys().join(format!("{role}-{id}.key"));
        match (installed.status(), given_up.status()) {
            (201, 409) => assert!(key.exists(), "{role}"),
            // It was gone before anybody looked.
            (201, 404) => assert!(key.exists(), "{role}"),
            (409, 200) => assert!(!key.exists(), "{role}"),
            other => panic!("{role}: {other:?}"),
        }
    }
    // A start refuses an active authority without its key.
    world.restart().await;
    world.end().await;
}

#[tokio::test]
async fn what_was_given_up_is_not_installed_also_while_its_key_is_still_here() {
    let mut world = World::new().await;
    let made = request(&mut world, "operations").await;
    let csr = made["csr"].as_str().unwrap();
    let certificate = sign_by(&world, &world.root_key(), "operations", csr);
    let parsed = identity::Certificate::parse_pem(&certificate, 1).unwrap().remove(0);
    let id = parsed.subject_key_id().unwrap();
    let install = json!({"certificate": certificate, "role": "operations"});

    // Given up by another admin, whose request has not come to the key yet.
    let dropped = registry::Change::AuthorityRequestDropped(id);
    world.rule(dropped.clone(), "authority.abandoned").await;
    let told = refused(&mut world, Method::POST, "/api/v1/authorities", install).await;
    assert_eq!(told, (409, "other-request".to_owned()));

    // The commit says the same to whoever looked before.
    let authority = Authority::active(id, Role::Operations, parsed);
    let both = vec![dropped, registry::Change::Authority(authority)];
    let (house, payload) = (world.running().house(), ledger::Payload::new("authority.installed"));
    let change = registry::Change::Batch(both);
    let realm = house.realm(&default_realm()).unwrap().key;
    let late = house.commit(realm, change, ledger::Class::Authority, payload).await;
    let gone = registry::CommitError::Conflict(registry::Clash::RequestGone);
    assert_eq!(late.unwrap_err(), gone);
    world.end().await;
}

#[tokio::test]
async fn an_operator_and_a_viewer_roll_nothing_over() {
    let mut world = World::new().await;
    let id = active(&mut world, "operations").await;
    for role in ["viewer", "operator", "station"] {
        let made = json!({"name": format!("a-{role}"), "role": role});
        let token = world.post("/api/v1/operators", made).await;
        let token = token["token"].as_str().unwrap().to_owned();
        for (method, path, body) in [
            (Method::POST, "/api/v1/authorities/requests".to_owned(), json!({"role": "birth"})),
            (Method::POST, "/api/v1/authorities".to_owned(), json!({})),
            (Method::PATCH, format!("/api/v1/authorities/{id}"), json!({"state": "retired"})),
            (
                Method::POST,
                format!("/api/v1/authorities/{id}/revoke"),
                json!({"reason": "unspecified"}),
            ),
            (Method::DELETE, format!("/api/v1/authorities/requests/{id}"), json!({})),
        ] {
            let heard = world.ask_as(&token, method, &path, Some(body)).await;
            assert_eq!(heard.status(), 403, "{role} {path}");
        }
    }
    assert_eq!(standing(&mut world, &id).await["state"], "active");
    world.end().await;
}

#[tokio::test]
async fn a_key_that_was_half_made_when_the_server_died_is_finished_or_destroyed() {
    let mut world = World::new().await;
    let made = request(&mut world, "operations").await;
    let name = format!("operations-{}.key", made["id"].as_str().unwrap());
    let (whole, half) = (world.keys().join(&name), world.keys().join(format!("half.{name}")));
    // As after a kill behind the commit and before the rename.
    std::fs::rename(&whole, &half).unwrap();
    // As after a kill before the commit.
    let lost = world.keys().join(format!("half.birth-{}.key", "ab".repeat(20)));
    std::fs::copy(&half, &lost).unwrap();

    world.restart().await;

    assert!(whole.exists() && !half.exists() && !lost.exists());
    let key = world.root_key();
    let certificate = sign_by(&world, &key, "operations", made["csr"].as_str().unwrap());
    let install = json!({"certificate": certificate, "role": "operations"});
    world.post("/api/v1/authorities", install).await;
    let (_, leaf) = world.enrolled("pump-7").await;
    assert_eq!(json!(issuer(&leaf)), made["id"]);
    world.end().await;
}

#[tokio::test]
async fn a_key_whose_end_was_not_recorded_is_ended_again() {
    let mut world = World::new().await;
    let old = active(&mut world, "operations").await;
    roll(&mut world, "operations", json!({"overlap_s": 0})).await;
    world.running().settle_authorities().await;
    assert_eq!(standing(&mut world, &old).await["state"], "retired");
    // As after a kill between the file and the entry.
    let _gone = std::fs::remove_file(world.keys().join("operations.key"));

    world.restart().await;
    world.running().settle_authorities().await;

    assert!(standing(&mut world, &old).await["wiped"].is_string());
    assert_eq!(verbs(&world, "authority.wiped").await, 1);
    world.end().await;
}
