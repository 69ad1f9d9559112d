//! Two parties that hold one identity: caught at a contact, told with both of them, and let in
//! again with a new key only. And everything that looks like it and is none.

use crate::world::pki::{Foreign, Key, Shows};
use crate::world::{About, DAY_S, Device, HOUR_S, World, cacerts, simplereenroll};
use identity::RuleId;
use ledger::{Payload, Value};
use serde_json::json;
use std::time::Duration;

/// A device that has renewed and uses its new leaf, and a copy of the old one, out of the overlap.
async fn copied(world: &mut World, serial: &str) -> (Device, Shows, Shows) {
    let (device, copy) = world.enrolled(serial).await;
    world.contact(&copy).await;
    let key = Key::new();
    let leaf = world.renew(&copy, &key).await.leaf(&key);
    world.contact(&leaf).await;
    world.later(DAY_S + 1);
    world.contact(&leaf).await;
    (device, copy, leaf)
}

fn told<'w>(entries: &'w [Payload], verb: &str) -> Vec<&'w Payload> {
    entries.iter().filter(|e| e.verb() == verb).collect()
}

fn text<'p>(entry: &'p Payload, key: &str) -> &'p str {
    entry.get(key).unwrap().as_text().unwrap()
}

async fn signals(world: &mut World, signal: &str) -> u64 {
    let page = world.metrics().await;
    let label = format!("signal=\"{signal}\"");
    let row = page.lines().find(|l| l.starts_with("muster_signals_total{") && l.contains(&label));
    row.map_or(0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The handshake gave it away; its request comes only after both were set aside.
#[tokio::test]
async fn who_gave_itself_away_by_coming_still_hears_why_it_is_refused() {
    let mut world = World::new().await;
    let (device, copy, _) = copied(&mut world, "pump-7").await;
    let mut line = world.dial(Some(&copy)).await;
    while world.device(&device.id).await["standing"] != "quarantined" {}
    let heard = line.say(simplereenroll(&Key::new().csr(""))).await;
    world.denied(&heard, &RuleId::QUARANTINED, About::Device(&device.id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_clone_is_caught_when_its_second_holder_comes_and_both_are_set_aside() {
    let mut world = World::new().await;
    let (device, copy, leaf) = copied(&mut world, "pump-7").await;
    let mut open = world.dial(Some(&leaf)).await;
    assert_eq!(open.say(cacerts()).await.status(), 200);

    world.knock(&copy).await;

    assert_eq!(world.device(&device.id).await["standing"], "quarantined");
    let entries = world.entries();
    let [caught] = told(&entries, "clone.caught")[..] else { panic!("one entry: {entries:#?}") };
    assert_eq!(text(caught, "device"), device.id);
    assert_eq!(text(caught, "response"), "quarantine");
    assert_eq!(text(caught, "standing"), "quarantined");
    assert_eq!(text(caught, "severity"), "critical");
    for (key, shows) in [("newcomer", &copy), ("present", &leaf)] {
        let Some(Value::Map(holder)) = caught.get(key) else { panic!("no {key}: {caught:#?}") };
        let serial = shows.certificate().serial().unwrap();
        assert_eq!(holder.get("serial").unwrap().as_bytes().unwrap(), serial.octets());
        for said in ["from", "at", "print", "first_from", "first_at", "first_print"] {
            assert!(holder.get(said).is_some(), "{key} has no {said}: {caught:#?}");
        }
    }
    let cut = async { while open.is_open().await {} };
    tokio::time::timeout(Duration::from_secs(5), cut)
        .await
        .expect("the present holder is cut, too");
    for shows in [&copy, &leaf, &device.birth] {
        let heard = world.renew(shows, &Key::new()).await;
        world.denied(&heard, &RuleId::QUARANTINED, About::Device(&device.id)).await;
    }
    assert_eq!(signals(&mut world, "clone").await, 1);
    world.end().await;
}

#[tokio::test]
async fn the_device_shows_its_mark_and_both_holders() {
    let mut world = World::new().await;
    let (device, copy, leaf) = copied(&mut world, "pump-7").await;
    assert!(world.device(&device.id).await.get("clone").is_none());

    world.knock(&copy).await;

    let shown = world.device(&device.id).await;
    assert!(shown["mark"].as_str().unwrap().starts_with("two hold this identity: 127.0.0.1"));
    assert_eq!(shown["clone"]["response"], "quarantine");
    assert_eq!(shown["clone"]["newcomer"]["serial"], copy.serial());
    assert_eq!(shown["clone"]["newcomer"]["generation"], 1);
    assert_eq!(shown["clone"]["present"]["serial"], leaf.serial());
    assert_eq!(shown["clone"]["present"]["last"]["from"], "127.0.0.1");
    assert_eq!(shown["clone"]["present"]["last"]["print"].as_str().unwrap().len(), 16);
    world.end().await;
}

#[tokio::test]
async fn after_a_release_every_old_key_stays_outside_and_a_new_one_comes_in() {
    let mut world = World::new().await;
    let (device, copy, leaf) = copied(&mut world, "pump-7").await;
    world.knock(&copy).await;

    world.post(&format!("/api/v1/devices/{}/release", device.id), json!({})).await;

    for shows in [&copy, &leaf] {
        let heard = world.renew(shows, &Key::new()).await;
        world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
        let heard = world.join(&device.birth, &shows.key).await;
        world.denied(&heard, &RuleId::KEY_SPENT, About::Device(&device.id)).await;
    }
    assert_eq!(world.device(&device.id).await["standing"], "enrolled", "old keys catch nobody");
    let key = Key::new();
    let back = world.join(&device.birth, &key).await.leaf(&key);
    world.contact(&back).await;
    world.knock(&copy).await;
    world.contact(&back).await;
    world.end().await;
}

#[tokio::test]
async fn a_group_may_want_no_more_than_an_alarm() {
    let mut world = World::new().await;
    world.set_for("ward", "clone", "alarm").await;
    let (device, copy, leaf) = copied(&mut world, "ward-1").await;
    world.put(&format!("/api/v1/devices/{}/groups/ward", device.id), json!({})).await;

    for _ in 0..9 {
        world.knock(&copy).await;
    }

    let shown = world.device(&device.id).await;
    assert_eq!(
        (&shown["standing"], &shown["clone"]["response"]),
        (&json!("enrolled"), &json!("alarm"))
    );
    let heard = world.renew(&copy, &Key::new()).await;
    world.denied(&heard, &RuleId::SPENT, About::Device(&device.id)).await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    assert_eq!(told(&world.entries(), "clone.caught").len(), 4, "nobody grows the ledger");
    assert_eq!(signals(&mut world, "clone").await, 10);
    world.end().await;
}

#[tokio::test]
async fn a_group_may_want_the_newcomer_held_while_the_present_holder_goes_on() {
    let mut world = World::new().await;
    world.set_for("line", "clone", "hold-newcomer").await;
    let (device, copy, leaf) = copied(&mut world, "line-1").await;
    world.put(&format!("/api/v1/devices/{}/groups/line", device.id), json!({})).await;

    world.knock(&copy).await;

    let held = world.get(&format!("/api/v1/certificates/cert:{}", copy.serial())).await;
    assert_eq!(held["revoked"]["reason"], "certificateHold");
    let heard = world.renew(&copy, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    world.contact(&leaf).await;
    let key = Key::new();
    world.renew(&leaf, &key).await.leaf(&key);
    assert_eq!(world.device(&device.id).await["standing"], "enrolled");
    assert_eq!(signals(&mut world, "revoked-key").await, 1, "a held key that knocks again");
    world.end().await;
}

#[tokio::test]
async fn spent_keys_out_of_scrapped_flash_set_aside_no_more_than_the_bound_also_after_a_restart() {
    let mut world = World::new().await;
    world.set("clone_quarantines_per_hour", "1").await;
    let (first, first_copy, _) = copied(&mut world, "pump-1").await;
    let (second, second_copy, second_leaf) = copied(&mut world, "pump-2").await;

    world.knock(&first_copy).await;
    world.knock(&second_copy).await;
    world.restart().await;
    world.knock(&second_copy).await;

    assert_eq!(world.device(&first.id).await["standing"], "quarantined");
    let shown = world.device(&second.id).await;
    assert_eq!(shown["standing"], "enrolled");
    assert_eq!(shown["clone"]["response"], "alarm");
    assert_eq!(shown["clone"]["wanted"], "quarantine");
    assert_eq!(signals(&mut world, "clone-capped").await, 1);
    world.contact(&second_leaf).await;

    world.later(HOUR_S);
    world.knock(&second_copy).await;
    assert_eq!(world.device(&second.id).await["standing"], "quarantined");
    world.end().await;
}

#[tokio::test]
async fn the_bound_of_a_group_spares_the_others() {
    let mut world = World::new().await;
    world.set_for("scrap", "clone_quarantines_per_hour", "0").await;
    let (scrapped, copy, _) = copied(&mut world, "old-1").await;
    world.put(&format!("/api/v1/devices/{}/groups/scrap", scrapped.id), json!({})).await;
    let (other, other_copy, _) = copied(&mut world, "new-1").await;

    world.knock(&copy).await;
    world.knock(&other_copy).await;

    assert_eq!(world.device(&scrapped.id).await["standing"], "enrolled");
    assert_eq!(world.device(&other.id).await["standing"], "quarantined");
    world.end().await;
}

#[tokio::test]
async fn a_public_certificate_alone_does_nothing() {
    let mut world = World::new().await;
    let (device, copy, leaf) = copied(&mut world, "pump-7").await;
    let entries = world.entries().len();

    // The certificate of the spent leaf with another key, which cannot sign the handshake.
    let stolen = Shows::new(copy.certificate().clone(), &Key::new());
    assert!(!world.knock(&stolen).await, "a handshake that cannot be completed");
    // A certificate of one's own, with the victim's behind it.
    let key = Key::new();
    let (from, to) = (world.now().minus_secs(60), world.now().plus_secs(DAY_S));
    let foreign = Foreign { subject: &[], from, to, extensions: Vec::new() };
    let serial = copy.certificate().serial().unwrap();
    let mut own = Shows::new(foreign.signed_as(serial.octets(), &key, None), &key);
    own.chain.push(copy.certificate().clone());
    assert!(world.knock(&own).await, "a stranger like any other");

    assert_eq!(world.entries().len(), entries, "not even an entry");
    assert_eq!(signals(&mut world, "clone").await, 0);
    assert_eq!(world.device(&device.id).await["standing"], "enrolled");
    world.contact(&leaf).await;
    world.end().await;
}

#[tokio::test]
async fn a_copied_birth_certificate_is_caught_when_the_device_comes_back() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.contact(&leaf).await;
    let thief = Key::new();
    let theirs = world.join(&device.birth, &thief).await.leaf(&thief);
    world.contact(&leaf).await;
    assert_eq!(world.device(&device.id).await["standing"], "enrolled", "never used, never caught");

    world.contact(&theirs).await;
    world.later(2);
    world.knock(&leaf).await;

    assert_eq!(world.device(&device.id).await["standing"], "quarantined");
    world.end().await;
}

#[tokio::test]
async fn two_programs_of_one_device_within_the_overlap_are_one_device() {
    let mut world = World::new().await;
    let (device, old) = world.enrolled("pump-7").await;
    world.contact(&old).await;
    let key = Key::new();
    let new = world.renew(&old, &key).await.leaf(&key);

    for _ in 0..3 {
        world.contact(&new).await;
        world.contact(&old).await;
        world.later(7 * HOUR_S);
    }

    assert_eq!(world.device(&device.id).await["standing"], "enrolled");
    assert_eq!(signals(&mut world, "clone").await, 0);
    world.end().await;
}

#[tokio::test]
async fn a_connection_from_within_the_overlap_is_refused_after_it_and_catches_nobody() {
    let mut world = World::new().await;
    let (device, old) = world.enrolled("pump-7").await;
    let mut open = world.dial(Some(&old)).await;
    assert_eq!(open.say(cacerts()).await.status(), 200);
    let key = Key::new();
    let new = world.renew(&old, &key).await.leaf(&key);
    world.contact(&new).await;
    world.later(DAY_S + 1);

    let heard = open.say(simplereenroll(&Key::new().csr(""))).await;

    world.denied(&heard, &RuleId::SPENT, About::Device(&device.id)).await;
    assert_eq!(world.device(&device.id).await["standing"], "enrolled");
    world.end().await;
}

#[tokio::test]
async fn a_back_up_within_the_overlap_goes_on_and_an_older_one_looks_like_a_clone() {
    let mut world = World::new().await;
    let (device, old) = world.enrolled("pump-7").await;
    world.contact(&old).await;
    let key = Key::new();
    let new = world.renew(&old, &key).await.leaf(&key);
    world.contact(&new).await;
    world.later(23 * HOUR_S);

    let key = Key::new();
    let after = world.renew(&old, &key).await.leaf(&key);
    world.contact(&after).await;
    world.later(30 * HOUR_S);
    world.contact(&after).await;
    assert_eq!(world.device(&device.id).await["standing"], "enrolled");

    world.knock(&new).await;
    assert_eq!(world.device(&device.id).await["standing"], "quarantined");
    world.end().await;
}

#[tokio::test]
async fn a_revoked_key_that_knocks_is_counted_each_time_and_told_a_few_times() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;

    for _ in 0..6 {
        world.knock(&leaf).await;
    }

    assert_eq!(signals(&mut world, "compromised-key").await, 6);
    let entries = world.entries();
    let knocks = told(&entries, "key.knocked");
    assert_eq!(knocks.len(), 4);
    assert_eq!(text(knocks[0], "device"), device.id);
    assert_eq!(text(knocks[0], "severity"), "critical");
    let critical = world.get("/api/v1/entries?severity=critical").await;
    assert_eq!(critical["items"].as_array().unwrap().len(), 4, "{critical}");
    world.end().await;
}

#[tokio::test]
async fn refusals_that_speak_of_misuse_are_signals_too() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let other = world.born("pump-8").await;

    let heard = world.join(&other.birth, &leaf.key).await;
    world.denied(&heard, &RuleId::KEY_OF_ANOTHER, About::Device(&other.id)).await;
    assert_eq!(signals(&mut world, "key-of-two").await, 1);
    let told_of = world.entries().pop().unwrap();
    assert_eq!(text(&told_of, "signal"), "key-of-two");

    let second = world.birth(&Key::new(), json!({"serial": "pump-7"})).await;
    assert_eq!(second["rule"], "second-birth", "{second}");
    assert_eq!(signals(&mut world, "second-birth").await, 1);

    let token = world.token(json!({})).await;
    let key = Key::new();
    world.join_by(&token, &key, "t-1").await.leaf(&key);
    let heard = world.join_by(&token, &Key::new(), "t-2").await;
    let told_of = world.entries().pop().unwrap();
    assert_eq!((told_of.verb(), text(&told_of, "signal")), ("token.denied", "token-reuse"));
    assert_eq!(text(&told_of, "token"), token.id.as_str(), "at once, and which");
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Token(token.id.as_str())).await;
    assert_eq!(signals(&mut world, "token-reuse").await, 1);

    let token = world.token(json!({})).await;
    let heard = world.join_by(&token, &Key::new(), "pump-7").await;
    assert_eq!(heard.status(), 403, "{}", heard.text());
    assert_eq!(signals(&mut world, "serial-of-two").await, 1);

    let heard = world.join_by(&token, &leaf.key, "pump-9").await;
    world.denied(&heard, &RuleId::KEY_OF_ANOTHER, About::Device(&device.id)).await;
    assert_eq!(signals(&mut world, "key-of-two").await, 2, "one key for two serial numbers");
    assert_eq!(signals(&mut world, "serial-of-two").await, 1);
    let heard = world.join_by(&token, &leaf.key, "pump-7").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&device.id)).await;
    assert_eq!(signals(&mut world, "serial-of-two").await, 1, "it is the device itself");
    assert_eq!(world.device(&device.id).await["standing"], "enrolled");
    world.end().await;
}
