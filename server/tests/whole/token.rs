//! Joining by token: whom it makes or finds, how often, and for whom it is none.

use crate::world::pki::{Key, Maker};
use crate::world::{About, World, default_realm, simpleenroll};
use enroll::est::client;
use hyper::Method;
use identity::RuleId;
use identity::ask::Want;
use serde_json::json;

#[tokio::test]
async fn a_token_for_a_serial_number_of_several_devices_names_one_of_them() {
    let mut world = World::new().await;
    let maker = Maker::new("ACME", world.now());
    world.maker_door("acme", &maker, json!({"model": "M1"})).await;
    let device = world.born("S/1").await;
    let early = world.token(json!({"serial": "S/1"})).await;
    let key = Key::new();
    world.join(&maker.unit("S/1"), &key).await.leaf(&key);

    let admin = world.admin();
    let asked = Some(json!({"serial": "S/1"}));
    let heard = world.ask_as(&admin, Method::POST, "/api/v1/tokens", asked).await;
    assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("token-ambiguous")));
    let detail = heard.json()["detail"].to_string();
    assert!(detail.contains("`acme/M1/S/1`") && detail.contains("`/P7/S/1`"), "{detail}");
    let heard = world.join_by(&early, &Key::new(), "S/1").await;
    world.denied(&heard, &RuleId::TOKEN_AMBIGUOUS, About::Stranger).await;

    let token = world.token(json!({"serial": "/P7/S/1"})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "S/1").await.leaf(&key);
    assert_eq!(leaf.certificate().device().unwrap().to_string(), device.id);
    world.end().await;
}

#[tokio::test]
async fn a_token_may_name_its_device_as_lists_do_and_none_is_for_a_retired_one() {
    let mut world = World::new().await;
    let device = world.born("S1").await;
    for said in ["serial:S1", "serial:/P7/S1", &device.id] {
        let token = world.token(json!({"serial": said})).await;
        let heard = world.join_by(&token, &Key::new(), "S2").await;
        world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&device.id)).await;
        let key = Key::new();
        let leaf = world.join_by(&token, &key, "S1").await.leaf(&key);
        assert_eq!(leaf.certificate().device().unwrap().to_string(), device.id, "{said}");
    }

    world.post(&format!("/api/v1/devices/{}/retire", device.id), json!({})).await;
    let admin = world.admin();
    for said in ["S1", "serial:S1", &device.id] {
        let asked = Some(json!({"serial": said}));
        let heard = world.ask_as(&admin, Method::POST, "/api/v1/tokens", asked).await;
        assert_eq!((heard.status(), &heard.json()["rule"]), (409, &json!("retired")), "{said}");
        let next = heard.json()["next"].to_string();
        assert!(next.contains("nothing undoes that"), "{next}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_token_leads_in_as_basic_and_as_bearer() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 2, "group": ["lab"]})).await;
    let key = Key::new();

    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let bearer = format!("Bearer {}.{}", token.id, token.secret.dangerous_reveal());
    let other = Key::new();
    let mut say = simpleenroll(&other.csr("t-2"));
    say.headers.push(("Authorization", bearer));
    world.say(None, say).await.leaf(&other);

    let view = world.device(&leaf.certificate().device().unwrap().to_string()).await;
    assert_eq!((&view["assurance"], &view["group"]), (&json!("token"), &json!(["lab"])));
    assert_eq!(world.last_entry().get("token").unwrap().as_text(), Some(token.id.as_str()));
    world.end().await;
}

#[tokio::test]
async fn a_token_ends_with_its_uses_its_time_and_its_revocation() {
    let mut world = World::new().await;
    let spent = world.token(json!({"uses": 1})).await;
    let key = Key::new();
    world.join_by(&spent, &key, "t-1").await.leaf(&key);
    let ended = world.token(json!({"uses": 5, "ttl_s": 60})).await;
    let revoked = world.token(json!({"uses": 5})).await;
    world.delete(&format!("/api/v1/tokens/{}", revoked.id)).await;
    let mut wrong = world.token(json!({})).await;
    wrong.secret = world.token(json!({})).await.secret;

    world.later(61);
    for token in [&spent, &ended, &revoked] {
        let heard = world.join_by(token, &Key::new(), "t-9").await;
        world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Token(token.id.as_str())).await;
    }
    let heard = world.join_by(&wrong, &Key::new(), "t-9").await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
    let mut say = simpleenroll(&Key::new().csr(""));
    say.headers.push(("Authorization", "Basic nonsense".to_owned()));
    let heard = world.say(None, say).await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, About::Stranger).await;
    world.end().await;
}

#[tokio::test]
async fn a_spent_token_answers_only_for_the_key_that_spent_it() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let key = Key::new();
    let leaf = world.join_by(&token, &key, "t-1").await.leaf(&key);
    let entries = world.entries().len();

    let again = world.join_by(&token, &key, "t-1").await.leaf(&key);
    assert_eq!(again.serial(), leaf.serial());
    assert_eq!(world.entries().len(), entries);

    let about = About::Token(token.id.as_str());
    let heard = world.join_by(&token, &Key::new(), "").await;
    world.denied(&heard, &RuleId::TOKEN_REFUSED, about).await;
    let heard = world.join_by(&token, &Key::new(), "t-1").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, about).await;
    world.end().await;
}

#[tokio::test]
async fn a_spent_token_that_is_tried_over_and_over_is_told_a_few_times_and_then_counted() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let key = Key::new();
    world.join_by(&token, &key, "t-1").await.leaf(&key);

    for attempt in 0..6 {
        let heard = world.join_by(&token, &Key::new(), "t-2").await;
        let told = attempt < 4;
        let about = if told { About::Token(token.id.as_str()) } else { About::Stranger };
        world.denied(&heard, &RuleId::TOKEN_REFUSED, about).await;
    }
    let told = world.entries();
    assert_eq!(told.iter().filter(|e| e.verb() == "token.denied").count(), 4);
    world.end().await;
}

#[tokio::test]
async fn a_token_for_a_serial_number_is_for_that_device_alone() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let token = world.token(json!({"uses": 3, "serial": "pump-7"})).await;

    let heard = world.join_by(&token, &Key::new(), "pump-8").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&device.id)).await;

    let key = Key::new();
    let leaf = world.join_by(&token, &key, "pump-7").await.leaf(&key);
    assert_eq!(leaf.certificate().device().unwrap().to_string(), device.id);
    world.end().await;
}

#[tokio::test]
async fn a_token_without_a_serial_number_never_attaches_to_a_device() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (enrolled, leaf) = world.enrolled("pump-8").await;
    let token = world.token(json!({"uses": 5})).await;

    for serial in ["pump-7", "pump-8"] {
        let heard = world.join_by(&token, &Key::new(), serial).await;
        world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Token(token.id.as_str())).await;
    }
    let heard = world.join_by(&token, &leaf.key, "").await;
    world.denied(&heard, &RuleId::TOKEN_OTHER_SERIAL, About::Device(&enrolled.id)).await;
    assert_eq!(world.device(&device.id).await["standing"], "born");
    assert_eq!(world.get("/api/v1/devices").await["items"].as_array().unwrap().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_token_does_not_renew() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 5})).await;
    let say = client::enroll(&default_realm(), Want::Renew, &Key::new().csr("t-1"), Some(&token));
    let heard = world.say(None, say).await;
    world.denied(&heard, &RuleId::NOT_ENROLLED, About::Stranger).await;
    world.end().await;
}
