//! Renewal: the next leaf, the retry after a lost answer, the overlap, and the way back after the
//! end.

use crate::world::pki::Key;
use crate::world::{About, DAY_S, HOUR_S, World, simpleenroll, simplereenroll};
use identity::RuleId;
use identity::text::rfc3339;
use serde_json::json;

#[tokio::test]
async fn a_leaf_renews_with_a_new_key() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();

    let next = world.renew(&leaf, &key).await.leaf(&key);

    assert_ne!(next.serial(), leaf.serial());
    assert_eq!(world.device(&device.id).await["generation"], 2);
    assert_eq!(world.last_entry().verb(), "renew.issued");
    world.end().await;
}

#[tokio::test]
async fn a_leaf_renews_with_the_key_that_it_has_and_the_weakness_is_shown() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;

    world.later(DAY_S);
    let next = world.renew(&leaf, &leaf.key).await.leaf(&leaf.key);

    assert_ne!(next.serial(), leaf.serial());
    assert_eq!(world.device(&device.id).await["weak_detection"], true);
    world.contact(&next).await;
    let third = world.renew(&next, &leaf.key).await.leaf(&leaf.key);
    assert_ne!(third.serial(), next.serial());
    world.end().await;
}

#[tokio::test]
async fn what_is_shown_says_whether_it_is_a_renewal() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let (key, other) = (Key::new(), Key::new());

    let next = world.say(Some(&leaf), simpleenroll(&key.csr(""))).await.leaf(&key);
    assert_eq!(world.last_entry().verb(), "renew.issued");
    world.contact(&next).await;
    world.say(Some(&device.birth), simplereenroll(&other.csr(""))).await.leaf(&other);
    assert_eq!(world.last_entry().verb(), "join.issued");
    world.end().await;
}

#[tokio::test]
async fn a_retry_within_the_hour_gets_the_answer_that_was_lost() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();
    let lost = world.renew(&leaf, &key).await.leaf(&key);
    let entries = world.entries().len();

    world.later(HOUR_S - 1);
    let again = world.renew(&leaf, &key).await.leaf(&key);
    assert_eq!(again.serial(), lost.serial());
    assert_eq!(world.entries().len(), entries, "nothing new is written");

    world.later(2);
    let fresh = world.renew(&leaf, &key).await.leaf(&key);
    assert_ne!(fresh.serial(), lost.serial());
    world.end().await;
}

#[tokio::test]
async fn a_leaf_that_was_used_is_no_lost_answer() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);

    world.contact(&next).await;
    let fresh = world.renew(&next, &key).await.leaf(&key);

    assert_ne!(fresh.serial(), next.serial());
    world.end().await;
}

#[tokio::test]
async fn a_join_is_answered_again_too() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let lost = world.join(&device.birth, &key).await.leaf(&key);

    let again = world.join(&device.birth, &key).await.leaf(&key);
    assert_eq!(again.serial(), lost.serial());

    world.suspend(&device.id).await;
    let heard = world.join(&device.birth, &key).await;
    world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn another_key_supersedes_the_leaf_that_nobody_used() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let (lost_key, key) = (Key::new(), Key::new());
    let lost = world.renew(&leaf, &lost_key).await.leaf(&lost_key);

    world.renew(&leaf, &key).await.leaf(&key);

    let heard = world.renew(&lost, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    let heard = world.renew(&leaf, &lost_key).await;
    world.denied(&heard, &RuleId::KEY_SPENT, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_predecessor_is_good_for_the_overlap_and_then_spent() {
    let mut world = World::new().await;
    world.set("clone", "alarm").await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);

    world.later(3 * DAY_S);
    world.contact(&leaf).await;
    world.contact(&next).await;
    world.later(DAY_S - 1);
    let third = Key::new();
    world.renew(&leaf, &third).await.leaf(&third);
    world.later(2);
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::SPENT, About::Device(&device.id)).await;

    let heard = world.renew(&next, &leaf.key).await;
    world.denied(&heard, &RuleId::KEY_SPENT, About::Device(&device.id)).await;
    let last = Key::new();
    world.renew(&next, &last).await.leaf(&last);
    world.end().await;
}

#[tokio::test]
async fn a_predecessor_is_shown_in_its_overlap_until_it_is_spent() {
    let mut world = World::new().await;
    world.set("clone", "alarm").await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = format!("/api/v1/certificates/cert:{}", leaf.serial());
    assert_eq!(world.get(&path).await["state"], "unused");
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);
    assert_eq!(world.get(&path).await["state"], "used");

    world.contact(&next).await;
    let until = rfc3339(world.now().plus_secs(DAY_S));
    let shown = world.get(&path).await;
    assert_eq!((&shown["state"], &shown["spent"]), (&json!("overlap"), &json!(until)));
    world.later(DAY_S - 1);
    assert_eq!(world.get(&path).await["state"], "overlap");
    let third = Key::new();
    let third = world.renew(&leaf, &third).await.leaf(&third);

    world.later(1);
    assert_eq!(world.get(&path).await["state"], "spent");
    let heard = world.renew(&leaf, &Key::new()).await;
    assert_eq!(heard.status(), 403, "what is shown as spent is refused");
    let listed = world.get("/api/v1/devices/serial:pump-7").await;
    assert_eq!(listed["leaf"]["serial"], json!(third.serial().to_string()));
    let of = world.get("/api/v1/devices?where=leaf.state%20%3D%3D%20%22unused%22").await;
    assert_eq!(of["items"].as_array().unwrap().len(), 1, "a selector may ask for it");
    world.end().await;
}

#[tokio::test]
async fn a_selector_asks_whether_the_newest_leaf_is_revoked() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    world.enrolled("pump-8").await;
    world.revoke(&format!("cert:{}", leaf.serial()), "superseded").await;
    for (question, serial) in [("has", "pump-7"), ("%21has", "pump-8")] {
        let path = format!("/api/v1/devices?where={question}%28leaf.revoked%29");
        let listed = world.get(&path).await;
        let serials: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|d| d["serial"].as_str()).collect();
        assert_eq!(serials, [Some(serial)], "{question}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_overlap_is_a_setting() {
    let mut world = World::new().await;
    world.set("clone", "alarm").await;
    world.set("overlap_s", "60").await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let key = Key::new();
    let next = world.renew(&leaf, &key).await.leaf(&key);

    world.contact(&next).await;
    world.later(61);

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::SPENT, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_join_closes_the_earlier_leaves_at_its_first_use() {
    let mut world = World::new().await;
    world.set("clone", "alarm").await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.contact(&leaf).await;
    let key = Key::new();
    let joined = world.join(&device.birth, &key).await.leaf(&key);

    let next = Key::new();
    world.renew(&leaf, &next).await.leaf(&next);
    let heard = world.renew(&joined, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    let again = Key::new();
    let joined = world.join(&device.birth, &again).await.leaf(&again);
    world.contact(&joined).await;

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::SPENT, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn after_its_end_a_leaf_gives_way_to_the_birth_certificate() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;

    world.later(31 * DAY_S);
    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::EXPIRED, About::Device(&device.id)).await;

    let key = Key::new();
    let back = world.join(&device.birth, &key).await.leaf(&key);
    assert_eq!(back.certificate().device().unwrap().to_string(), device.id);
    world.end().await;
}

#[tokio::test]
async fn a_year_later_the_birth_certificate_still_leads_in() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    world.later(365 * DAY_S);
    let key = Key::new();
    world.join(&device.birth, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_device_of_a_token_renews_within_the_grace_and_not_after() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 2})).await;
    let (early, late) = (Key::new(), Key::new());
    let early = world.join_by(&token, &early, "t-1").await.leaf(&early);
    let late = world.join_by(&token, &late, "t-2").await.leaf(&late);
    let id = late.certificate().device().unwrap().to_string();

    world.later(59 * DAY_S);
    let key = Key::new();
    let back = world.renew(&early, &key).await.leaf(&key);
    assert_eq!(back.certificate().device(), early.certificate().device());

    world.later(2 * DAY_S);
    let heard = world.renew(&late, &Key::new()).await;
    world.denied(&heard, &RuleId::EXPIRED, About::Device(&id)).await;
    world.end().await;
}

#[tokio::test]
async fn the_grace_is_a_setting() {
    let mut world = World::new().await;
    world.set("renew_grace_s", "60").await;
    let token = world.token(json!({})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let id = leaf.certificate().device().unwrap().to_string();

    world.later(30 * DAY_S + 61);

    let heard = world.renew(&leaf, &Key::new()).await;
    world.denied(&heard, &RuleId::EXPIRED, About::Device(&id)).await;
    world.end().await;
}
