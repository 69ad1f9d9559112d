//! What is next, and when.

use super::*;

const DAY_S: u64 = 86_400;

fn at(days: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + days * DAY_S)
}

fn held() -> Held {
    let life = Life { begins: at(0), ends: at(90), spread: 0 };
    let answered = Some(at(44));
    Held { life, has_worked: true, is_announced: true, is_reported: true, answered }
}

fn view() -> View {
    View { held: Some(held()), can_join: true, ..View::default() }
}

#[test]
fn a_leaf_is_renewed_at_half_its_life_and_a_fleet_is_spread_over_the_tenth_before() {
    assert_eq!(next(&view(), at(44)), Step::Wait(at(45)));
    assert_eq!(next(&view(), at(45)), Step::Renew);
    let moments: Vec<_> =
        (0..=u16::MAX).step_by(97).map(|spread| Life { spread, ..held().life }.renewal()).collect();
    assert!(moments.iter().all(|m| (at(36)..=at(45)).contains(m)));
    assert!(moments.iter().filter(|m| **m < at(40)).count() > moments.len() / 3);
}

#[test]
fn a_leaf_of_minutes_is_not_due_when_it_comes() {
    for minutes in [5, 10, 54] {
        let (made, life_s) = (at(1), minutes * 60);
        for spread in [0, u16::MAX] {
            let begins = made.minus_secs(BACKDATED_S);
            let life = Life { begins, ends: made.plus_secs(life_s), spread };
            let after_s = life.renewal().secs_since(made);
            assert!((life_s * 39 / 100..=life_s / 2).contains(&after_s), "{after_s} s");
        }
    }
}

#[test]
fn a_leaf_is_renewed_before_its_end_however_short_its_whole_life() {
    for whole_s in [2, 60, 299, 300, 301, 599, 600, 601, 3600, 3601] {
        for spread in [0, u16::MAX] {
            let life = Life { begins: at(1), ends: at(1).plus_secs(whole_s), spread };
            assert!(life.renewal() < life.ends, "{whole_s} s");
            assert!(life.renewal() > life.begins, "{whole_s} s");
        }
    }
}

#[test]
fn the_server_is_asked_once_a_day_and_a_fleet_is_spread_over_the_last_quarter() {
    let answered = |spread, answered| {
        let life = Life { spread, ..held().life };
        View { held: Some(Held { life, answered, ..held() }), ..view() }
    };
    assert_eq!(next(&answered(0, Some(at(1))), at(1)), Step::Wait(at(2)));
    assert_eq!(next(&answered(0, Some(at(1))), at(2)), Step::Report);
    assert_eq!(next(&answered(0, None), at(1)), Step::Report);
    let Step::Wait(early) = next(&answered(u16::MAX, Some(at(1))), at(1)) else { panic!() };
    assert!((18 * 3600..19 * 3600).contains(&early.secs_since(at(1))));
    assert_eq!(next(&answered(0, Some(at(44))), at(45)), Step::Renew, "which is a contact");
}

#[test]
fn a_device_without_a_leaf_joins_and_one_with_nothing_to_show_is_stuck() {
    assert_eq!(next(&View { held: None, ..view() }, at(0)), Step::Join);
    assert_eq!(next(&View::default(), at(0)), Step::Stuck);
}

#[test]
fn who_was_told_to_leave_does_nothing_else_and_waits_like_everybody() {
    let untold = Held { is_announced: false, ..held() };
    let leaving = View { is_leaving: true, held: Some(untold), ..view() };
    assert_eq!(next(&leaving, at(91)), Step::Leave);
    let failed = Failed { times: 1, is_turned_away: false, until: Some(at(47)) };
    assert_eq!(next(&View { failed, ..leaving }, at(46)), Step::Wait(at(47)));
    assert_eq!(next(&View { failed, ..leaving }, at(47)), Step::Leave);
}

#[test]
fn a_leaf_that_ended_joins_again_and_without_anything_to_show_asks_for_grace() {
    assert_eq!(next(&view(), at(91)), Step::Join);
    assert_eq!(next(&View { can_join: false, ..view() }, at(91)), Step::Renew);
}

#[test]
fn a_new_leaf_is_shown_to_the_server_before_programs_are_told() {
    let fresh = Held { has_worked: false, is_announced: false, is_reported: false, ..held() };
    let with = |held| View { held: Some(held), ..view() };
    assert_eq!(next(&with(fresh), at(1)), Step::Report);
    let shown = Held { has_worked: true, ..fresh };
    assert_eq!(next(&with(shown), at(1)), Step::Announce);
    assert_eq!(next(&with(Held { is_announced: true, ..shown }), at(1)), Step::Report);
}

#[test]
fn nothing_is_asked_before_the_wait_is_over_and_programs_are_told_all_the_same() {
    let failed = Failed { times: 1, is_turned_away: false, until: Some(at(47)) };
    let waiting = View { failed, ..view() };
    assert_eq!(next(&waiting, at(46)), Step::Wait(at(47)));
    assert_eq!(next(&waiting, at(47)), Step::Renew);
    let untold = Held { is_announced: false, is_reported: false, ..held() };
    assert_eq!(next(&View { held: Some(untold), ..waiting }, at(46)), Step::Announce);
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_of_years() {
    let noted = |until| View {
        failed: Failed { times: 1, is_turned_away: false, until: Some(until) },
        ..view()
    };
    let wrong = retry(1, false, None, 0, at(3650));
    assert_eq!(next(&noted(wrong), at(46)), Step::Renew);
    // The longest that a server may say, and no second more.
    let longest = retry(9, true, Some(RETRY_AFTER_MAX_S), u16::MAX, at(46));
    assert_eq!(next(&noted(longest), at(46)), Step::Wait(longest));
    let end = at(46).plus_secs(RETRY_AFTER_MAX_S * 5 / 4);
    assert_eq!(next(&noted(end), at(46)), Step::Wait(end));
    assert_eq!(next(&noted(end.plus_secs(1)), at(46)), Step::Renew);

    let answered = Held { answered: Some(at(3650)), ..held() };
    assert_eq!(next(&View { held: Some(answered), ..view() }, at(9)), Step::Report);
    assert!(!is_waited_for(at(9).plus_secs(901), 900, at(9)));
    assert!(is_waited_for(at(9).plus_secs(900), 900, at(9)) && !is_waited_for(at(9), 900, at(9)));
}

#[test]
fn who_was_turned_away_joins_next_where_it_can_since_a_release_admits_nothing_else() {
    let failed = Failed { times: 1, is_turned_away: true, until: Some(at(46)) };
    assert_eq!(next(&View { failed, ..view() }, at(46)), Step::Join);
    let token_only = View { failed, can_join: false, ..view() };
    assert_eq!(next(&token_only, at(46)), Step::Renew);
}

#[test]
fn waits_double_within_bounds_and_a_refusal_waits_long() {
    let wait =
        |times, away, said, chance| retry(times, away, said, chance, at(0)).secs_since(at(0));
    assert_eq!(wait(1, false, None, 0), 22);
    assert!((22..=38).contains(&wait(1, false, None, u16::MAX)));
    assert!(wait(3, false, None, 0) >= 4 * 22);
    assert!(wait(200, false, None, u16::MAX) <= RETRY_LONGEST_S * 5 / 4);
    assert!(wait(1, true, None, 0) >= 2700);
    assert!(wait(200, true, None, u16::MAX) <= REFUSED_LONGEST_S * 5 / 4);
}

#[test]
fn what_the_server_says_is_a_least_wait() {
    let wait = |said, chance| retry(1, false, Some(said), chance, at(0)).secs_since(at(0));
    assert_eq!(wait(300, 0), 300);
    assert!((300..=375).contains(&wait(300, u16::MAX)));
    assert_eq!(wait(1, 0), 22);
}

#[test]
fn ten_years_go_by_with_a_renewal_every_half_life_and_no_gap() {
    let (mut view, mut now, mut renewals) = (view(), at(0), 0);
    while now < at(3650) {
        match next(&view, now) {
            Step::Wait(until) => now = until.min(now.plus_secs(NAP_S * 96)),
            Step::Report => view.held.as_mut().unwrap().answered = Some(now),
            Step::Renew => {
                let ends = view.held.unwrap().life.ends;
                assert!(now < ends, "a leaf ended before it was renewed");
                let life = Life { begins: now, ends: now.plus_secs(90 * DAY_S), spread: 9 };
                view.held = Some(Held { life, answered: Some(now), ..held() });
                renewals += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((75..=100).contains(&renewals), "{renewals}");
}
