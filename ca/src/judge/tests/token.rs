//! Tokens: what one makes, for whom, how often, and whom it tells nothing.

use super::scene::Scene;
use super::*;

#[test]
fn a_token_makes_a_device_once_and_answers_a_retry_by_the_same_key() {
    let mut scene = Scene::token(None);
    scene.claimed = "S1".into();
    let made = scene.enroll();
    assert_eq!(made.token, scene.token.as_ref().map(|t| t.id.clone()));
    assert_eq!(made.device.identifiers.serial, "S1");
    assert!(made.device.groups.contains(&GroupName::parse("vouched").unwrap()));

    assert_eq!(scene.again(), made.leaf);
    scene.later(3601);
    assert_eq!(scene.refused(), RuleId::TOKEN_REFUSED);
    (scene.device, scene.leaves, scene.key) = (None, Vec::new(), key(0x32));
    assert_eq!(scene.refused(), RuleId::TOKEN_REFUSED);
}

#[test]
fn identifiers_of_an_erased_device_bring_nobody_in() {
    let mut scene = Scene::token(Some("S1"));
    scene.erased = true;
    assert_eq!(scene.refused(), RuleId::RETIRED);
    scene.erased = false;
    assert!(scene.judge().is_ok());
}

#[test]
fn a_token_that_is_unknown_wrong_ended_or_revoked_is_refused() {
    for change in [
        |s: &mut Scene| s.token = None,
        |s: &mut Scene| s.token.as_mut().unwrap().digest = [0; 32],
        |s: &mut Scene| s.token.as_mut().unwrap().uses_left = 0,
        |s: &mut Scene| s.token.as_mut().unwrap().revoked = Some(NOW),
        |s: &mut Scene| s.later(DAY_S + 1),
    ] {
        let mut scene = Scene::token(None);
        assert!(scene.judge().is_ok());
        change(&mut scene);
        assert_eq!(scene.refused(), RuleId::TOKEN_REFUSED);
    }
}

#[test]
fn a_wrong_secret_does_not_learn_where_the_device_stands() {
    let mut scene = Scene::token(Some("S1"));
    scene.device = Scene::born().device;
    scene.device().standing = Standing::Suspended;
    scene.token.as_mut().unwrap().digest = [0; 32];
    assert_eq!(scene.refused(), RuleId::TOKEN_REFUSED);
}

#[test]
fn a_token_without_a_serial_number_never_attaches_to_a_device_that_exists() {
    let mut scene = Scene::token(None);
    scene.token.as_mut().unwrap().uses_left = 9;
    (scene.device, scene.claimed) = (Scene::born().device, "S1".into());
    assert_eq!(scene.refused(), RuleId::TOKEN_OTHER_SERIAL);

    let mut twice = Scene::token(None);
    twice.token.as_mut().unwrap().uses_left = 9;
    twice.enroll();
    twice.leaves[0].used = Some(NOW);
    assert_eq!(twice.refused(), RuleId::TOKEN_OTHER_SERIAL);
}

#[test]
fn a_token_with_a_serial_number_is_for_that_device_alone() {
    for spelled in ["S1", "/P7/S1"] {
        let mut scene = Scene::token(Some(spelled));
        let born = Scene::born().device.unwrap();
        scene.device = Some(born.clone());
        let made = scene.enroll();
        assert_eq!((made.device.id, made.expected), (born.id, Some(1)));
    }
    for (spelled, claimed) in [("S2", ""), ("acme/P7/S1", ""), ("S1", "S2")] {
        let mut scene = Scene::token(Some(spelled));
        (scene.device, scene.claimed) = (Scene::born().device, claimed.into());
        assert_eq!(scene.refused(), RuleId::TOKEN_OTHER_SERIAL);
    }
    let mut namesakes = Scene::token(Some("S1"));
    namesakes.namesakes = true;
    assert_eq!(namesakes.refused(), RuleId::TOKEN_AMBIGUOUS);
    namesakes.device = Scene::born().device;
    assert!(namesakes.judge().is_ok());
    let new = Scene::token(Some("acme/P7/S9")).enroll().device.identifiers;
    assert_eq!((new.maker, new.model, new.serial), ("acme".into(), "P7".into(), "S9".into()));
}

#[test]
fn a_key_that_a_device_has_is_brought_by_no_other_one() {
    let mut scene = Scene::token(None);
    scene.token.as_mut().unwrap().uses_left = 9;
    scene.claimed = "S1".into();
    let made = scene.enroll().device;
    (scene.leaves[0].used, scene.known.device) = (Some(NOW), Some(made.id));
    assert_eq!(scene.refused(), RuleId::TOKEN_OTHER_SERIAL, "it is himself");
    scene.claimed = "S2".into();
    assert_eq!(scene.refused(), RuleId::KEY_OF_ANOTHER);
}
