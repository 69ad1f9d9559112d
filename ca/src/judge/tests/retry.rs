//! Asking again: after a lost answer the same leaf, otherwise a new one, and no generation twice.

use super::scene::Scene;
use super::*;

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
    assert_eq!(scene.refused(), RuleId::KEY_SPENT);

    // After a quarantine every leaf is superseded, and only a new key comes in.
    let mut released = Scene::born();
    released.enroll();
    released.leaves[0].revoked = Some(Revocation { at: NOW, reason: Reason::Superseded });
    assert_eq!(released.refused(), RuleId::KEY_SPENT);
    released.key = key(0x32);
    assert!(released.judge().is_ok());

    // Who shows a spent leaf and keeps its key hears of the leaf.
    let mut restored = Scene::joined();
    restored.shown().spent = Some(NOW);
    restored.leaves[0].spent = Some(NOW);
    assert_eq!(restored.refused(), RuleId::SPENT);
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
