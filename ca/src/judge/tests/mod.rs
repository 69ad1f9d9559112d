//! Joining, renewing and coming back, told as sentences.

mod receipt;
mod retry;
mod scene;
mod token;

use super::*;
use crate::world::*;
use identity::ask::{Binding, KeySource, Want};
use identity::credential::Revocation;
use identity::door::DoorKind;
use identity::{
    Assurance, Certificate, GroupName, Identifiers, KeyKind, Reason, RuleId, Signer, Standing,
};
use proptest::prelude::*;
use scene::Scene;

#[test]
fn a_born_device_joins_and_gets_the_groups_of_the_door() {
    let mut scene = Scene::born();
    let pumps = GroupName::parse("pumps").unwrap();
    scene.door().groups.insert(pumps.clone());

    let made = scene.enroll();

    assert_eq!(made.expected, Some(1));
    assert_eq!((made.device.standing, made.device.generation), (Standing::Enrolled, 1));
    assert_eq!((made.device.version, made.device.enrolled), (2, Some(NOW)));
    assert!(made.device.groups.contains(&pumps) && made.leaf.closes);
    assert_eq!(made.leaf.generation, 1);
}

#[test]
fn a_later_join_does_not_bring_the_groups_of_the_door_back() {
    let mut scene = Scene::born();
    scene.enroll();
    scene.door().groups.insert(GroupName::parse("pumps").unwrap());
    scene.key = key(0x32);
    assert!(scene.enroll().device.groups.is_empty());
}

#[test]
fn no_credential_brings_back_a_device_that_was_set_aside() {
    let away = [
        (Standing::Quarantined, RuleId::QUARANTINED),
        (Standing::Suspended, RuleId::SUSPENDED),
        (Standing::Retired, RuleId::RETIRED),
    ];
    for (standing, rule) in away {
        let by_token = {
            let mut scene = Scene::token(Some("S1"));
            scene.device = Scene::born().device;
            scene
        };
        for mut scene in [Scene::born(), Scene::joined(), by_token] {
            scene.device().standing = standing;
            assert_eq!(scene.refused(), rule);
        }
    }
}

#[test]
fn a_certificate_that_the_registry_does_not_have_was_not_issued_here() {
    for change in [
        |s: &mut Scene| s.shown = None,
        |s: &mut Scene| s.device = None,
        |s: &mut Scene| s.shown().spki = key(0x55).public().hash(),
        |s: &mut Scene| s.shown().kind = identity::CredentialKind::Leaf,
    ] {
        let mut scene = Scene::born();
        change(&mut scene);
        assert_eq!(scene.refused(), RuleId::UNKNOWN_CERTIFICATE);
    }
}

#[test]
fn a_revoked_birth_certificate_and_a_revoked_leaf_open_nothing() {
    for mut scene in [Scene::born(), Scene::joined()] {
        let revocation = Revocation { at: NOW, reason: Reason::PrivilegeWithdrawn };
        scene.shown().revoked = Some(revocation);
        assert_eq!(scene.refused(), RuleId::REVOKED);
    }
}

#[test]
fn a_compromised_key_never_enrolls_again() {
    for mut scene in [Scene::born(), Scene::joined(), Scene::made(), Scene::token(None)] {
        scene.known.compromised = true;
        assert_eq!(scene.refused(), RuleId::KEY_COMPROMISED);
    }
}

#[test]
fn a_key_of_another_device_is_refused_and_the_devices_own_is_not() {
    let mut scene = Scene::joined();
    scene.known.device = scene.device.as_ref().map(|d| d.id);
    assert!(scene.judge().is_ok());
    scene.known.device = Some(scene.world.fresh());
    assert_eq!(scene.refused(), RuleId::KEY_OF_ANOTHER);
    let mut new = Scene::made();
    new.known.device = Some(new.world.fresh());
    assert_eq!(new.refused(), RuleId::KEY_OF_ANOTHER);
}

#[test]
fn a_leaf_has_a_key_of_its_own() {
    for mut scene in [Scene::born(), Scene::made()] {
        scene.key = key(0x21);
        assert_eq!(scene.refused(), RuleId::KEY_OF_BIRTH);
    }
    let mut renewal = Scene::joined();
    renewal.known.is_birth = true;
    assert_eq!(renewal.refused(), RuleId::KEY_OF_BIRTH);
}

#[test]
fn the_profile_says_which_keys_a_leaf_may_have() {
    let mut scene = Scene::born();
    scene.profile.keys = [KeyKind::P384].into();
    assert_eq!(scene.refused(), RuleId::KEY_KIND);
    scene.key = key_of(KeyKind::P384, 0x31);
    assert!(scene.judge().is_ok());
}

#[test]
fn a_closed_door_stops_a_join_and_no_renewal_and_a_removed_one_stops_both() {
    for mut scene in [Scene::born(), Scene::made(), Scene::token(None)] {
        scene.door().open = false;
        assert_eq!(scene.refused(), RuleId::DOOR_CLOSED);
        scene.door = None;
        assert_eq!(scene.refused(), RuleId::DOOR_CLOSED);
        scene.door = Some(Door { name: "other".into(), ..Scene::made().door.unwrap() });
        assert_eq!(scene.refused(), RuleId::DOOR_CLOSED);
    }
    let mut renewal = Scene::joined();
    renewal.door().open = false;
    assert!(renewal.judge().is_ok());
    renewal.door = None;
    assert_eq!(renewal.refused(), RuleId::DOOR_REMOVED);
    renewal.device().door = None;
    assert!(renewal.judge().is_ok());
}

#[test]
fn the_tls_binding_matters_where_a_door_demands_it() {
    let mut scene = Scene::born();
    scene.binding = Binding::Other;
    assert!(scene.judge().is_ok());
    scene.door().binding = true;
    assert_eq!(scene.refused(), RuleId::BINDING);
    scene.binding = Binding::Absent;
    assert_eq!(scene.refused(), RuleId::BINDING);
    scene.binding = Binding::Held;
    assert!(scene.judge().is_ok());
}

#[test]
fn a_request_that_contradicts_the_birth_record_is_refused() {
    for mut scene in [Scene::born(), Scene::joined(), Scene::made()] {
        scene.claimed = "S1".into();
        assert!(scene.judge().is_ok());
        scene.claimed = "S2".into();
        assert_eq!(scene.refused(), RuleId::CONTRADICTION);
    }
}

#[test]
fn a_makers_device_is_made_at_its_first_join_and_found_at_its_second() {
    let mut scene = Scene::made();
    let first = scene.enroll();
    assert_eq!(first.expected, None);
    assert_eq!(first.device.identifiers.maker, "acme");
    assert_eq!((first.device.born, first.device.version), (NOW, 1));

    scene.key = key(0x32);
    let second = scene.enroll();
    assert_eq!((second.device.id, second.expected), (first.device.id, Some(1)));

    // What a door calls its devices may change; what their certificates say may not.
    scene.key = key(0x33);
    let Recognized::Maker { identifiers, .. } = &mut scene.recognized else { panic!() };
    (identifiers.maker, identifiers.model) = ("bolt".into(), "M9".into());
    let third = scene.enroll().device;
    assert_eq!((third.id, third.identifiers), (first.device.id, first.device.identifiers));
    let Recognized::Maker { identifiers, .. } = &mut scene.recognized else { panic!() };
    identifiers.serial = "S2".into();
    assert_eq!(scene.refused(), RuleId::CONTRADICTION);
}

#[test]
fn a_live_leaf_renews_whichever_operation_is_called() {
    for want in [Want::Join, Want::Renew] {
        let mut scene = Scene::joined();
        (scene.want, scene.key) = (want, key(0x32));
        let made = scene.enroll();
        assert!(!made.leaf.closes);
        assert_eq!((made.leaf.generation, made.device.generation), (2, 2));
    }
}

#[test]
fn a_birth_certificate_joins_whichever_operation_is_called_and_a_token_renews_nothing() {
    let mut scene = Scene::born();
    scene.want = Want::Renew;
    assert!(scene.enroll().leaf.closes);
    let mut token = Scene::token(None);
    token.want = Want::Renew;
    assert_eq!(token.refused(), RuleId::NOT_ENROLLED);
}

#[test]
fn a_predecessor_is_good_for_the_overlap_and_then_spent() {
    let mut scene = Scene::joined();
    scene.key = key(0x32);
    scene.shown().spent = Some(NOW.plus_secs(DAY_S));
    assert!(scene.judge().is_ok());
    scene.later(DAY_S);
    assert_eq!(scene.refused(), RuleId::SPENT);
}

#[test]
fn an_ended_leaf_renews_within_the_grace_only_where_there_is_no_birth_certificate() {
    let mut scene = Scene::joined();
    scene.key = key(0x32);
    scene.later(30 * DAY_S + 1);
    assert_eq!(scene.refused(), RuleId::EXPIRED);
    scene.has_birth = false;
    assert!(scene.judge().is_ok());
    scene.later(30 * DAY_S);
    assert_eq!(scene.refused(), RuleId::EXPIRED);
    scene.rules.renew_grace_s = Some(60 * DAY_S);
    assert!(scene.judge().is_ok());
    scene.shown().spent = Some(scene.world.now.plus_secs(60));
    assert_eq!(scene.refused(), RuleId::SPENT);
}

#[test]
fn a_server_makes_a_key_only_where_the_profile_lets_it_and_it_is_worth_less() {
    let mut scene = Scene::born();
    scene.source = KeySource::Server;
    assert_eq!(scene.refused(), RuleId::SERVER_KEY);
    scene.profile.server_key = true;
    let first = scene.enroll();
    assert_eq!(first.device.assurance, Assurance::Token);
    // No private key is kept, so that a retry gets another leaf.
    scene.key = key(0x32);
    let second = scene.enroll();
    assert_eq!(second.supersedes, [first.leaf.serial]);
}

#[test]
fn an_identity_is_worth_at_most_what_the_door_says_and_a_renewal_raises_nothing() {
    let mut scene = Scene::born();
    scene.door().assurance = Assurance::Claimed;
    assert_eq!(scene.enroll().device.assurance, Assurance::Claimed);
    scene.shows_its_leaf();
    (scene.key, scene.door) = (key(0x32), Some(door(DoorKind::Birth)));
    assert_eq!(scene.enroll().device.assurance, Assurance::Claimed);

    let mut vouched = Scene::token(None);
    vouched.door().assurance = Assurance::Hardware;
    assert_eq!(vouched.enroll().device.assurance, Assurance::Token);

    let mut maker = Scene::made();
    maker.door().assurance = Assurance::Hardware;
    assert_eq!(maker.enroll().device.assurance, Assurance::Hardware);
}

#[test]
fn identifiers_that_break_their_bounds_are_the_devices_to_mend() {
    let mut scene = Scene::born();
    scene.claimed = "S".repeat(65);
    let refusal = scene.judge().unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed(d) if d.name == "identifiers"));
}
