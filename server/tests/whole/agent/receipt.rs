//! A door that demands the receipt of the birth, and the agent that has it or has not.

use super::{Unit, entries};
use crate::world::{DAY_S, Device, World};
use agent::plan::Step;
use hyper::Method;
use identity::RuleId;
use serde_json::json;
use std::fs;

async fn receipt(world: &mut World, device: &Device) -> String {
    let path = format!("/api/v1/certificates/cert:{}/receipt", device.birth.serial());
    let admin = world.admin();
    world.ask_as(&admin, Method::GET, &path, None).await.text().to_owned()
}

#[tokio::test]
async fn a_door_that_demands_a_receipt_gets_it_from_the_file_beside_and_later_renewals_need_none() {
    let mut world = World::new().await;
    let (device, other) = (world.born("pump-7").await, world.born("pump-8").await);
    world.put("/api/v1/doors/birth", json!({"kind": "birth", "receipt": "own"})).await;
    let unit = Unit::born(&world, &device, "");
    let anothers = receipt(&mut world, &other).await;

    for shown in [None, Some(anothers)] {
        if let Some(text) = shown {
            fs::write(unit.path("birth.tlog-proof"), text).unwrap();
        }
        let trouble = unit.insist(Step::Join).await.unwrap_err();
        assert!(trouble.to_string().contains(&*RuleId::RECEIPT.sentence()), "{trouble}");
    }

    assert_eq!(entries(&world, &device.id, "join.denied"), 2);
    let own = receipt(&mut world, &device).await;
    fs::write(unit.path("birth.tlog-proof"), own).unwrap();
    world.later(2 * DAY_S);
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    fs::remove_file(unit.path("birth.tlog-proof")).unwrap();
    unit.insist(Step::Renew).await.unwrap();
    assert_eq!(world.device(&device.id).await["generation"], 2);
    world.end().await;
}

#[tokio::test]
async fn a_receipt_that_only_lies_beside_and_is_too_large_stops_no_join() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    for octets in [20_000, 300_000] {
        let unit = Unit::born(&world, &device, "");
        fs::write(unit.path("birth.tlog-proof"), "x".repeat(octets)).unwrap();
        let keeper = unit.keeper();
        assert_eq!(keeper.config().receipt(), Ok(None));
    }
    let unit = Unit::born(&world, &device, "");
    fs::write(unit.path("birth.tlog-proof"), "x".repeat(20_000)).unwrap();
    unit.settle().await;
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    world.end().await;
}

#[tokio::test]
async fn a_receipt_that_was_named_has_to_be_there_and_to_fit_into_a_header() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "receipt = \"proof\"");
    for text in [None, Some("x".repeat(20_000))] {
        if let Some(text) = text {
            fs::write(unit.path("proof"), text).unwrap();
        }
        let trouble = unit.insist(Step::Join).await.unwrap_err();
        assert_eq!(trouble.exit_code(), 2, "{trouble}");
    }
    assert_eq!(world.device(&device.id).await["standing"], "born");
    // Who demands none takes it all the same.
    let own = receipt(&mut world, &device).await;
    fs::write(unit.path("proof"), own).unwrap();
    unit.insist(Step::Join).await.unwrap();
    world.end().await;
}
