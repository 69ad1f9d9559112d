//! Requests that cross each other: what one of them spends, the other does not have.

use crate::world::pki::Key;
use crate::world::{About, World, simpleenroll};
use identity::RuleId;
use serde_json::json;

#[tokio::test]
async fn of_two_that_show_a_token_for_one_join_one_gets_in() {
    let mut world = World::new().await;
    let token = world.token(json!({"uses": 1})).await;
    let (a, b) = (Key::new(), Key::new());

    let (first, second) =
        tokio::join!(world.join_by(&token, &a, "t-1"), world.join_by(&token, &b, "t-2"));

    let (won, lost) = if first.status() == 200 { (first, second) } else { (second, first) };
    assert_eq!(won.status(), 200);
    world.denied(&lost, &RuleId::TOKEN_REFUSED, About::Token(token.id.as_str())).await;
    world.end().await;
}

#[tokio::test]
async fn two_joins_of_one_device_with_one_key_get_one_leaf() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();

    let (a, b) = tokio::join!(world.join(&device.birth, &key), world.join(&device.birth, &key));

    assert_eq!(a.leaf(&key).serial(), b.leaf(&key).serial());
    world.end().await;
}

#[tokio::test]
async fn of_two_joins_with_two_keys_the_later_supersedes() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let (a, b) = (Key::new(), Key::new());

    let (x, y) = tokio::join!(world.join(&device.birth, &a), world.join(&device.birth, &b));

    let (x, y) = (x.leaf(&a), y.leaf(&b));
    let view = world.device(&device.id).await;
    let (newest, older) = if view["leaf"]["serial"] == json!(x.serial()) { (x, y) } else { (y, x) };
    let heard = world.renew(&older, &Key::new()).await;
    world.denied(&heard, &RuleId::REVOKED, About::Device(&device.id)).await;
    let key = Key::new();
    world.renew(&newest, &key).await.leaf(&key);
    world.end().await;
}

#[tokio::test]
async fn a_unit_twice_in_one_batch_is_born_once() {
    let mut world = World::new().await;
    let unit = |key: &Key| json!({"csr": identity::text::base64(&key.csr("")), "serial": "pump-7"});
    let (a, b) = (Key::new(), Key::new());
    let births = json!({ "births": [unit(&a), unit(&a), unit(&b)] });

    let told = world.post("/api/v1/births", births).await;

    let of = |index: usize| told["results"][index].clone();
    assert_eq!((&of(0)["outcome"], &of(1)["outcome"]), (&json!("issued"), &json!("again")));
    assert_eq!(of(0)["certificate"], of(1)["certificate"]);
    assert_eq!(of(2)["rule"], "second-birth");
    let id = of(0)["device"].as_str().unwrap().to_owned();
    world.birth_denied(&RuleId::SECOND_BIRTH, About::Device(&id)).await;
    world.end().await;
}

#[tokio::test]
async fn a_suspension_that_crosses_a_join_leaves_no_live_leaf() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let csr = key.csr("");
    let mut line = world.dial(Some(&device.birth)).await;

    let asked = tokio::spawn(async move { line.say(simpleenroll(&csr)).await });
    world.suspend(&device.id).await;
    let heard = asked.await.unwrap();

    // Either order is right; the audit looks that no leaf of a suspended device is live.
    if heard.status() == 200 {
        let leaf = heard.leaf(&key);
        let heard = world.renew(&leaf, &Key::new()).await;
        world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    } else {
        world.denied(&heard, &RuleId::SUSPENDED, About::Device(&device.id)).await;
    }
    world.end().await;
}
