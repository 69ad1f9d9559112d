//! The law of clones, walked at random through the real judge, the real registry in memory, and
//! what hears of handshakes: lost answers, crashes between receiving and keeping, duplicates, other
//! orders, two programs, back-ups, and somebody who copied something. Each step checks that the
//! house finds a second holder exactly where the law does.
//!
//! What holds: without an attacker nobody is quarantined, but for a back-up older than the overlap;
//! who copied once is caught when the second of the two comes; a certificate alone does nothing.

mod world;

use crate::operator::tests::world::p256;
use identity::ask::Want;
use identity::{Certificate, RuleId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use world::{Fleet, OVERLAP_S, Shows};

/// What may happen. Numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Dial(usize),
    Begin(usize),
    Finish(usize),
    Renew(usize),
    RenewWithTheSameKey(usize),
    Join(usize),
    Repeat(usize),
    Receive(usize),
    ReceiveAgain(usize),
    Lose(usize),
    Crash(usize),
    BackUp,
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let waits = [1, 60, 3600, 12 * 3600, OVERLAP_S - 1, OVERLAP_S + 1, 15 * 86_400, 31 * 86_400];
    let program = 0..2_usize;
    let any = 0..4_usize;
    prop_oneof![
        4 => prop::sample::select(waits.to_vec()).prop_map(Step::Wait),
        6 => program.clone().prop_map(Step::Dial),
        2 => program.clone().prop_map(Step::Begin),
        2 => any.clone().prop_map(Step::Finish),
        6 => program.clone().prop_map(Step::Renew),
        1 => program.clone().prop_map(Step::RenewWithTheSameKey),
        2 => program.clone().prop_map(Step::Join),
        1 => program.clone().prop_map(Step::Repeat),
        7 => any.clone().prop_map(Step::Receive),
        1 => any.clone().prop_map(Step::ReceiveAgain),
        1 => any.clone().prop_map(Step::Lose),
        1 => program.prop_map(Step::Crash),
        1 => Just(Step::BackUp),
        1 => any.prop_map(Step::Restore),
    ]
}

impl Fleet {
    fn walk(&mut self, step: Step) {
        self.tick();
        match step {
            Step::Wait(secs) => self.wait(secs),
            Step::Dial(program) => self.dial(program),
            Step::Begin(program) => self.begin(program),
            Step::Finish(which) => self.finish(which),
            Step::Renew(program) => self.renew(program, false),
            Step::RenewWithTheSameKey(program) => self.renew(program, true),
            Step::Join(program) => self.join(program),
            Step::Repeat(program) => self.repeat(program),
            Step::Receive(which) => self.receive(which, false),
            Step::ReceiveAgain(which) => self.receive(which, true),
            Step::Lose(which) => self.lose(which),
            Step::Crash(program) => self.crash(program),
            Step::BackUp => self.back_up(),
            Step::Restore(which) => self.restore(which),
        }
    }

    /// A device in good order: its newest leaf is on disk and in use.
    fn settle(&mut self) {
        // Who asked too often waits first.
        self.wait(3600);
        self.crash(0);
        self.crash(1);
        self.renew(0, false);
        self.receive(0, false);
        self.crash(0);
        self.tick();
        self.dial(0);
    }

    /// Both are refused whatever they show, and after the release no old key comes in again.
    fn is_set_aside(&mut self, copy: &Shows) {
        // Who asked too often is told so first.
        self.wait(3600);
        let (birth, key) = (self.disk.birth.clone(), Arc::new(p256()));
        let shown = [Some(copy.clone()), self.disk.leaf.clone(), Some(birth.clone())];
        for shows in shown.into_iter().flatten() {
            let refused = self.enroll(&shows, Want::Renew, &key).err();
            assert_eq!(refused, Some(RuleId::QUARANTINED));
        }
        self.release();
        for shows in [Some(copy.clone()), self.disk.leaf.clone()].into_iter().flatten() {
            self.tick();
            assert_eq!(self.enroll(&shows, Want::Renew, &key).err(), Some(RuleId::REVOKED));
            let old = self.enroll(&birth, Want::Join, &shows.key).err();
            assert!(
                [Some(RuleId::KEY_SPENT), Some(RuleId::KEY_OF_BIRTH)].contains(&old),
                "{old:?}"
            );
        }
        assert!(!self.is_quarantined(), "old keys quarantine nobody again");
        let back = self.enroll(&birth, Want::Join, &key).unwrap();
        self.shake(&back, self.now());
        assert!(!self.is_quarantined());
    }
}

/// What somebody copied, once.
#[derive(Clone, Copy, Debug)]
enum Loot {
    Leaf,
    Birth,
}

/// What a thief does with it, and how the device goes on meanwhile.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Honest(Step),
    ThiefDials,
    ThiefRenews,
    ThiefJoins,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => step().prop_map(Deed::Honest),
        2 => Just(Deed::ThiefDials),
        2 => Just(Deed::ThiefRenews),
        1 => Just(Deed::ThiefJoins),
    ]
}

/// A thief with a copy of the disk.
struct Thief {
    birth: Option<Shows>,
    leaf: Option<Shows>,
}

impl Thief {
    fn act(&mut self, fleet: &mut Fleet, deed: Deed) {
        fleet.tick();
        let key = Arc::new(p256());
        match (deed, self.leaf.clone(), self.birth.clone()) {
            (Deed::Honest(step), ..) => fleet.walk(step),
            (Deed::ThiefDials, Some(leaf), _) => fleet.shake(&leaf, fleet.now()),
            (Deed::ThiefRenews, Some(leaf), _) => {
                self.leaf = fleet.enroll(&leaf, Want::Renew, &key).ok().or(self.leaf.take());
            }
            (Deed::ThiefJoins, _, Some(birth)) => {
                self.leaf = fleet.enroll(&birth, Want::Join, &key).ok().or(self.leaf.take());
            }
            _ => {}
        }
    }
}

fn cases(count: u32) -> ProptestConfig {
    // A failure is printed whole; nothing is written beside the sources.
    ProptestConfig {
        cases: count,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn without_an_attacker_nobody_is_quarantined_but_for_a_back_up_older_than_the_overlap(
        steps in vec(step(), 1..60),
    ) {
        let mut fleet = Fleet::new();
        for step in steps {
            fleet.walk(step);
            prop_assert!(fleet.seconds == 0 || fleet.tainted, "a second holder, and no attacker");
            if fleet.is_quarantined() {
                break;
            }
        }
    }

    #[test]
    fn whatever_a_thief_does_the_house_finds_a_second_holder_where_the_law_does(
        before in vec(step(), 0..20),
        deeds in vec(deed(), 1..40),
        whole_disk in any::<bool>(),
    ) {
        let mut fleet = Fleet::new();
        before.into_iter().for_each(|step| fleet.walk(step));
        let birth = whole_disk.then(|| fleet.disk.birth.clone());
        let mut thief = Thief { birth, leaf: fleet.disk.leaf.clone() };
        for deed in deeds {
            thief.act(&mut fleet, deed);
            if fleet.is_quarantined() {
                if let Some(leaf) = thief.leaf.clone().or(fleet.disk.leaf.clone()) {
                    fleet.is_set_aside(&leaf);
                }
                break;
            }
        }
    }

    #[test]
    fn a_one_time_copy_is_caught_when_its_second_holder_comes(
        before in vec(step(), 0..30),
        loot in prop::sample::select(vec![Loot::Leaf, Loot::Birth]),
        meanwhile in 0..20_u64,
    ) {
        let mut fleet = Fleet::new();
        before.into_iter().for_each(|step| fleet.walk(step));
        fleet.settle();
        prop_assume!(!fleet.is_quarantined() && fleet.disk.leaf.is_some());
        let (leaf, birth) = (fleet.disk.leaf.clone().unwrap(), fleet.disk.birth.clone());
        fleet.tick();

        // Of the two one goes on and uses what it got. Which of them is the thief nobody can tell.
        let (shows, want) = match loot {
            Loot::Leaf => (leaf.clone(), Want::Renew),
            Loot::Birth => (birth, Want::Join),
        };
        let next = fleet.enroll(&shows, want, &Arc::new(p256()));
        prop_assume!(next.is_ok());
        let next = next.unwrap();
        fleet.tick();
        fleet.shake(&next, fleet.now());
        prop_assert!(!fleet.is_quarantined(), "one holder is none too many");
        if matches!(loot, Loot::Leaf) {
            fleet.wait(OVERLAP_S);
        }
        fleet.wait(meanwhile * 3600);
        fleet.tick();

        // The other one comes with what both had.
        fleet.shake(&leaf, fleet.now());

        prop_assert!(fleet.is_quarantined());
        fleet.is_set_aside(&leaf);
    }

    #[test]
    fn a_certificate_alone_does_nothing(before in vec(step(), 1..40)) {
        let mut fleet = Fleet::new();
        before.into_iter().for_each(|step| fleet.walk(step));
        let Some(leaf) = fleet.disk.leaf.clone() else { return Ok(()) };
        let (head, device) = (fleet.house.registry.head(fleet.realm.key).unwrap(), fleet.row());

        // Without the key no handshake is completed, and none is heard of. What is left is a key of
        // one's own, under any name, with the stolen certificate behind it.
        let key = Arc::new(p256());
        let own = Shows { certificate: self_signed(&key), key };
        fleet.shake(&own, fleet.now());
        let mut shown = own.clone();
        shown.certificate = leaf.certificate.clone();
        let answer = fleet.ask(&own, Want::Renew, &Arc::new(p256()));

        prop_assert!(answer.refusal.is_some());
        prop_assert_eq!(fleet.house.registry.head(fleet.realm.key).unwrap(), head);
        prop_assert_eq!(fleet.row(), device);
    }
}

/// Found by the walk above: of nine leaves only the newest were looked at, and a renewal that
/// nobody had used took the key with it that the oldest had at work.
#[test]
fn a_key_at_work_stays_so_however_many_answers_were_lost_since() {
    use Step::{Dial, Join, Receive, Renew, RenewWithTheSameKey, Wait};
    let mut fleet = Fleet::new();
    let lost = [Renew(0), Renew(0), Renew(0), Join(0), Renew(0), RenewWithTheSameKey(0)];
    let late = [Receive(0), Renew(0), Wait(1), Renew(0), Renew(1), Receive(0)];
    let overlap = [Wait(OVERLAP_S - 1), Renew(0), Wait(OVERLAP_S + 1), Dial(0)];
    [Renew(0), Receive(0)].into_iter().chain(lost).chain(late).for_each(|step| fleet.walk(step));
    let at_work = fleet.oldest();
    assert!(at_work.revoked.is_none());
    assert!(!fleet.house.registry.roll().lookup(fleet.realm.key, &at_work.spki).unwrap().revoked);
    overlap.into_iter().for_each(|step| fleet.walk(step));
    assert!(!fleet.is_quarantined());
}

fn self_signed(key: &identity::key::SoftwareKey) -> Certificate {
    crate::clock::outside(|outside| ca::authority::root("Own", key, outside)).unwrap()
}
