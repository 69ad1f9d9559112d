//! Joining, renewing and coming back, told as sentences.

mod scene;

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
fn a_retry_within_the_hour_gets_the_same_leaf_and_after_it_a_fresh_one() {
    for mut scene in [Scene::born(), Scene::made()] {
        let first = scene.enroll();
        scene.later(3600);
        assert_eq!(scene.again(), first.leaf);
        scene.later(1);
        let second = scene.enroll();
        assert_ne!(second.leaf.serial, first.leaf.serial);
        // The same key is at work in both, so that neither takes the place of the other.
        assert_eq!((second.leaf.generation, second.supersedes), (2, vec![]));
    }
}

#[test]
fn a_retry_has_its_standing_checked_and_a_used_leaf_is_answered_by_a_new_one() {
    let mut scene = Scene::born();
    scene.enroll();
    scene.device().standing = Standing::Suspended;
    assert_eq!(scene.refused(), RuleId::SUSPENDED);
    scene.device().standing = Standing::Enrolled;
    scene.leaves[0].used = Some(NOW);
    assert!(matches!(scene.judge(), Ok(Judgement::Grant(_))));
}

#[test]
fn a_retry_by_another_requester_is_none() {
    let mut scene = Scene::born();
    scene.enroll();
    scene.leaves[0].requester = identity::credential::Requester::operator("somebody");
    assert!(matches!(scene.judge(), Ok(Judgement::Grant(_))));
}

#[test]
fn another_key_supersedes_the_unused_leaf_and_spares_a_used_one() {
    let mut scene = Scene::born();
    let first = scene.enroll();
    scene.key = key(0x32);
    let second = scene.enroll();
    assert_eq!(second.supersedes, [first.leaf.serial]);

    scene.leaves[0].used = Some(NOW);
    scene.key = key(0x33);
    assert_eq!(scene.enroll().supersedes, []);
}

#[test]
fn a_leaf_whose_key_is_at_work_is_not_superseded() {
    // Renewed with the same key, then asked again with another while the answer was on its way.
    let mut scene = Scene::joined();
    scene.later(7200);
    scene.enroll();
    scene.key = key(0x32);
    assert_eq!(scene.enroll().supersedes, []);
}

#[test]
fn a_key_that_was_superseded_or_spent_is_not_taken_again() {
    let mut scene = Scene::born();
    scene.enroll();
    scene.key = key(0x32);
    scene.enroll();
    scene.key = key(0x31);
    assert_eq!(scene.refused(), RuleId::SPENT);

    // After a quarantine every leaf is superseded, and only a new key comes in.
    let mut released = Scene::born();
    released.enroll();
    released.leaves[0].revoked = Some(Revocation { at: NOW, reason: Reason::Superseded });
    assert_eq!(released.refused(), RuleId::SPENT);
    released.key = key(0x32);
    assert!(released.judge().is_ok());
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
fn identifiers_that_break_their_bounds_are_the_devices_to_mend() {
    let mut scene = Scene::born();
    scene.claimed = "S".repeat(65);
    let refusal = scene.judge().unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed(d) if d.name == "identifiers"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a device does, and in whatever order: joins, renewals, retries, uses, time.
    #[test]
    fn no_two_leaves_of_a_device_share_a_generation(steps in prop::collection::vec(0u8..6, 1..24)) {
        let mut scene = Scene::born();
        let birth = (scene.recognized.clone(), scene.shown.clone());
        for (at, step) in steps.iter().enumerate() {
            match step {
                0 => scene.later(1800),
                1 => scene.key = key(0x80 + u8::try_from(at).unwrap()),
                2 if !scene.leaves.is_empty() && scene.leaves[0].revoked.is_none() => {
                    scene.shows_its_leaf();
                }
                3 => {
                    (scene.recognized, scene.shown) = birth.clone();
                    (scene.want, scene.door) = (Want::Join, Some(door(DoorKind::Birth)));
                }
                _ => if let Ok(Judgement::Grant(_)) = scene.judge() { scene.enroll(); },
            }
        }
        let mut generations: Vec<u32> = scene.leaves.iter().map(|l| l.generation).collect();
        generations.reverse();
        let counted: Vec<u32> = (1..).take(generations.len()).collect();
        prop_assert_eq!(generations, counted);
    }
}

/// A log of one entry that says that `certificate` was issued, and its receipt.
fn receipt_of(certificate: &[u8], seed: u8) -> (String, String) {
    use ledger::tree::leaf_hash;
    use ledger::{Checkpoint, Class, Entry, Frontier, Origin, Payload, Receipt, VerifierKey};
    let signer = key_of(KeyKind::Ed25519, seed);
    let origin = Origin::new(&[1; 16], 1);
    let hash = identity::key::sha256(&[certificate]);
    let payload = Payload::new("birth.issued").with("certificate", &hash).encode();
    let digest = ledger::digest(&[7; 32], &payload);
    let entry = Entry::new(0, UnixTime::from_secs(0), Class::Birth, digest).encode();
    let mut frontier = Frontier::new();
    frontier.append(leaf_hash(&entry));
    let checkpoint = Checkpoint { origin: origin.clone(), size: 1, root: frontier.root() };
    let receipt = Receipt {
        entry,
        content: Some(([7; 32], payload)),
        index: 0,
        proof: Vec::new(),
        note: ledger::note::sign(&checkpoint, &*signer).unwrap(),
    };
    let key = VerifierKey::new(&origin, signer.public()).unwrap().to_string();
    (key, receipt.encode())
}

#[test]
fn a_door_that_demands_a_receipt_lets_in_who_shows_that_of_its_own_certificate() {
    let mut scene = Scene::born();
    let certificate = Certificate::parse(&scene.shown.as_ref().unwrap().der).unwrap();
    let (ledger, good) = receipt_of(certificate.der(), 1);
    let (_, of_another) = receipt_of(b"another certificate", 1);
    let (_, of_another_ledger) = receipt_of(certificate.der(), 2);
    scene.door().receipt = Some(ledger);
    let shows = |receipt: Option<&String>| identity::ask::Shown {
        chain: vec![certificate.clone()],
        receipt: receipt.cloned(),
        ..identity::ask::Shown::default()
    };
    for refused in [None, Some(&of_another), Some(&of_another_ledger), Some(&"x".to_owned())] {
        scene.shows = shows(refused);
        assert_eq!(scene.refused(), RuleId::RECEIPT);
    }
    scene.shows = shows(Some(&good));
    assert!(scene.judge().is_ok());
}
