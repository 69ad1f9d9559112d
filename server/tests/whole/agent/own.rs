//! What a device says of itself and that it leaves: our own two requests, by the agent and by hand.

use super::{Unit, entries};
use crate::world::pki::Key;
use crate::world::{About, World};
use agent::Trouble;
use agent::args::{Args, Verb};
use agent::config::Typed;
use agent::keeper::Left;
use agent::plan::Step;
use hyper::Method;
use identity::RuleId;
use serde_json::json;
use std::fs;
use std::net::TcpListener;

#[tokio::test]
async fn what_a_device_reports_is_shown_and_written_once() {
    let mut world = World::new().await;
    let told = world.birth(&Key::new(), json!({"serial": "x"})).await;
    assert_eq!(told["outcome"], "issued");
    let device = world.born("pump-7").await;
    let more = "firmware = \"2.1.0\"\nserial = \"pump-7\"\nmac = \"00:11:22:33:44:55\"";
    let unit = Unit::born(&world, &device, more);
    unit.settle().await;
    unit.settle().await;

    let shown = world.device(&device.id).await;
    assert_eq!(shown["reported"]["firmware"], "2.1.0");
    assert_eq!(shown["reported"]["mac"], json!(["00:11:22:33:44:55"]));
    unit.insist(Step::Report).await.unwrap();
    assert_eq!(entries(&world, &device.id, "device.reported"), 1);
    assert_eq!(unit.status().report_refused, None);
    world.end().await;
}

#[tokio::test]
async fn what_never_says_the_same_twice_is_reported_now_and_then_and_not_for_ever() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    // It counts hundredths of a second, and a report takes more.
    let unit = Unit::born(&world, &device, "firmware = \"@/proc/uptime\"");

    assert!(matches!(unit.settle().await, Step::Wait(_)));

    assert!((1..=2).contains(&entries(&world, &device.id, "device.reported")));
    assert_eq!(unit.status().state, "enrolled", "{:?}", unit.status());
    world.end().await;
}

#[tokio::test]
async fn a_report_that_contradicts_the_birth_marks_the_device_and_its_leaf_works_on() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "model = \"P9\"\nfirmware = \"2.1.0\"");
    unit.settle().await;

    assert!(world.device(&device.id).await["mark"].as_str().unwrap().contains("model"));
    assert_eq!(world.device(&device.id).await["reported"], json!(null));
    assert_eq!(entries(&world, &device.id, "report.denied"), 1);
    let status = unit.status();
    assert_eq!((status.state, status.is_well()), ("enrolled", false));
    assert!(status.report_refused.unwrap().contains("birth record"));
    world.end().await;
}

#[tokio::test]
async fn only_a_live_leaf_of_a_device_in_good_standing_reports_or_leaves() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let stranger = world.say_own(None, "PUT", "report", "{}").await;
    world.denied(&stranger, &RuleId::NO_CREDENTIAL, About::Stranger).await;
    let birth = world.say_own(Some(&device.birth), "POST", "leave", "").await;
    world.denied(&birth, &RuleId::NOT_ENROLLED, About::Device(&device.id)).await;
    for (method, body, status, rule) in [
        ("GET", "", 405, "method"),
        ("PUT", "{", 400, "report-json"),
        ("PUT", "{\"firmware\":\"\"}", 400, "firmware"),
        ("PUT", "{\"colour\":\"red\"}", 400, "report-json"),
    ] {
        let heard = world.say_own(Some(&leaf), method, "report", body).await;
        world.refused(&heard, status, (rule, About::Device(&device.id))).await;
    }

    world.suspend(&device.id).await;
    for (method, operation) in [("PUT", "report"), ("POST", "leave")] {
        let heard = world.say_own(Some(&leaf), method, operation, "{}").await;
        world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    }
    world.resume(&device.id).await;
    assert_eq!(world.say_own(Some(&leaf), "PUT", "report", "{}").await.status(), 204);
    assert_eq!(world.say_own(Some(&leaf), "POST", "leave", "").await.status(), 204);
    let gone = world.say_own(Some(&leaf), "PUT", "report", "{}").await;
    world.denied(&gone, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn who_leaves_after_many_renewals_leaves_no_good_leaf_behind() {
    let mut world = World::new().await;
    let (device, first) = world.enrolled("pump-7").await;
    let mut leaf = first.clone();
    for _ in 0..20 {
        let key = Key::new();
        leaf = world.renew(&leaf, &key).await.leaf(&key);
        world.contact(&leaf).await;
    }

    assert_eq!(world.say_own(Some(&leaf), "POST", "leave", "").await.status(), 204);

    for gone in [&first, &leaf] {
        let heard = world.renew(gone, &Key::new()).await;
        world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    }
    world.end().await;
}

#[tokio::test]
async fn who_leaves_is_revoked_and_wiped_and_comes_back_only_when_somebody_says_so() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let serial = unit.leaf().serial().unwrap().to_string();

    let left = unit.with_keeper(|keeper| keeper.leave(false)).await.unwrap();
    assert_eq!(left, Left::Revoked);

    let shown = world.get(&format!("/api/v1/certificates/{serial}")).await;
    assert_eq!(shown["revoked"]["reason"], "cessationOfOperation", "{shown}");
    assert_eq!(entries(&world, &device.id, "device.left"), 1);
    assert!(!unit.state().join("current").exists());
    assert!(fs::read_dir(unit.state().join("sets")).unwrap().next().is_none());
    assert!(unit.path("birth.key").exists());
    assert_eq!((unit.settle().await, unit.status().state), (Step::Stuck, "left"));

    unit.with_keeper(|keeper| keeper.come_back()).await.unwrap();
    unit.insist(Step::Join).await.unwrap();
    assert_eq!(unit.status().state, "enrolled");
    world.end().await;
}

#[tokio::test]
async fn who_leaves_anyway_is_wiped_without_a_server_and_told_that_nobody_has_revoked_it() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");
    unit.settle().await;
    let serial = unit.leaf().serial().unwrap().to_string();
    let state = unit.state();

    let kept = leave(&unit, false).await.unwrap_err();
    assert!(matches!(&kept, Trouble::NoAnswer(said) if said.contains("--anyway")), "{kept}");
    assert_eq!(unit.status().state, "enrolled", "without the word nothing is wiped");
    assert!(state.join("current/key.pem").exists());

    let told = leave(&unit, true).await.unwrap();
    assert!(told.contains("No server has confirmed that its certificate is revoked"), "{told}");
    assert!(told.contains("`muster device show`") && told.contains("`muster device retire`"));
    assert!(!state.join("current").exists());
    assert!(fs::read_dir(state.join("sets")).unwrap().next().is_none());
    assert!(unit.path("birth.key").exists(), "the birth certificate's key stays");
    assert_eq!((unit.settle().await, unit.status().state), (Step::Stuck, "left"));

    // What the sentence says is so: the server shows it, and an operator ends it.
    let shown = world.device(&device.id).await;
    assert_eq!(
        (&shown["leaf"]["serial"], &shown["leaf"]["revoked"]),
        (&json!(serial), &json!(null))
    );
    assert_eq!(entries(&world, &device.id, "device.left"), 0);
    world.post(&format!("/api/v1/devices/{}/retire", device.id), json!({})).await;
    let shown = world.get(&format!("/api/v1/certificates/{serial}")).await;
    assert_eq!(shown["state"], "revoked");
    world.end().await;
}

#[tokio::test]
async fn who_never_joined_is_not_told_that_a_key_was_wiped() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let unit = Unit::born(&world, &device, "");

    let told = leave(&unit, false).await.unwrap();

    assert!(told.contains("had no certificate") && !told.contains("is wiped"), "{told}");
    assert_eq!((unit.settle().await, unit.status().state), (Step::Stuck, "left"));
    world.end().await;
}

/// What `muster-agent leave` says where no server is.
async fn leave(unit: &Unit, anyway: bool) -> Result<String, Trouble> {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let typed = Typed {
        config: Some(unit.path("muster-agent.toml")),
        state: Some(unit.state()),
        url: Some(format!("https://localhost:{gone}")),
        ..Typed::default()
    };
    let args = Args { verb: Verb::Leave, typed, json: false, anyway, birth_too: false };
    let said = move || {
        let mut out = Vec::new();
        let well = agent::verb::run(&args, &mut out)?;
        assert!(well);
        Ok(String::from_utf8(out).unwrap())
    };
    tokio::task::spawn_blocking(said).await.unwrap()
}

#[tokio::test]
async fn what_the_device_says_has_the_method_of_its_own_and_a_realm_that_exists() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let mut line = world.dial(Some(&leaf)).await;
    let heard = line.get("/device/v1/nowhere/report", &[]).await;
    assert_eq!(heard.status(), 404);
    let heard = world.say_own(Some(&leaf), Method::GET.as_str(), "leave", "").await;
    assert_eq!((heard.status(), heard.header("allow")), (405, Some("POST")));
    world.end().await;
}
