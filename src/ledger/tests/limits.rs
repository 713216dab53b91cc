//! May it run? Limits, their windows, and the order of refusals.

use super::harness::{World, check};
use crate::ledger::*;

#[test]
fn a_denial_burns_nothing() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 11         -> refused request_exceeds_limit by all
        rows                 -> 1 refusal   # counted, and nothing else
        limits all=lifetime/hard/11
        reserve a 11 again   -> held, 0 left
        ",
    );
}

#[test]
fn refusals_come_in_order_of_precedence_and_the_limit_itself_is_allowed() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10.000000000001 -> refused request_exceeds_limit by all
        reserve a 10              -> held, 0 left
        settle  a 4
        reserve b 6.000000000001  -> refused spend_limit_exceeded by all
        reserve b 6               -> held, 0 left
        reserve c 0.000000000001  -> refused in_flight_budget_exhausted by all
        reserve c 6.1             -> refused spend_limit_exceeded by all
        reserve c 10.1            -> refused request_exceeds_limit by all
        reserve c 0               -> held, 0 left
        settle  b 6
        reserve d 0               -> held, 0 left
        reserve e 0.1             -> refused spend_limit_exceeded by all
        status                    -> stopped settled 10 held 0 open 2 exposure 0
        ",
    );
}

#[test]
fn every_limit_must_agree_and_the_gravest_objection_is_named() {
    check(
        "
        limits day=day/hard/5 month=month/hard/8 all=lifetime/hard/100
        reserve a 5   -> held, 0 left
        settle  a 5
        reserve b 4   -> refused spend_limit_exceeded by day
        reserve b 6   -> refused request_exceeds_limit by day
        reserve b 9   -> refused request_exceeds_limit by day
        clock 2026-11-24T00:00:00Z
        reserve b 4   -> refused spend_limit_exceeded by month
        reserve b 3   -> held, 0 left
        limit day     -> settled 0 held 3 left 2
        limit month   -> settled 5 held 3 left 0
        limit all     -> settled 5 held 3 left 92
        reserve c 1   -> refused in_flight_budget_exhausted by month
        reserve c 3   -> refused in_flight_budget_exhausted by day
        reserve c 4   -> refused spend_limit_exceeded by month
        ",
    );
}

#[test]
fn a_soft_limit_warns_and_never_refuses() {
    check(
        "
        limits warn=day/soft/10
        reserve a 100 -> held
        status        -> ok settled 0 held 100 open 1 exposure 100
        settle a 10
        status        -> warn settled 10 held 0 open 0 exposure 0
        reserve b 1   -> held
        limit warn    -> settled 10 held 1 left -1
        ",
    );
}

#[test]
fn four_fifths_of_a_hard_limit_warn_and_all_of_it_stops() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10
        settle a 7.999999999999
        status        -> ok settled 7.999999999999 held 0 open 0 exposure 0
        reserve b 2
        settle b 0.000000000001
        status        -> warn settled 8 held 0 open 0 exposure 0
        reserve c 2
        settle c 2
        status        -> stopped settled 10 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn f59_a_request_is_charged_to_the_window_of_its_reserve() {
    check(
        "
        limits day=day/hard/10 all=lifetime/hard/100
        clock 2026-11-23T23:59:59.999Z
        reserve a 10   -> held, 0 left
        reserve b 1    -> refused in_flight_budget_exhausted by day
        wait 1ms
        limit day      -> settled 0 held 0 left 10
        reserve b 10   -> held, 0 left
        settle a 12
        limit day      -> settled 0 held 10 left 0
        limit all      -> settled 12 held 10 left 78
        settle b 4
        limit day      -> settled 4 held 0 left 6
        wait 60s
        reserve c 6    -> held, 0 left
        ",
    );
}

#[test]
fn f59_a_late_settle_is_charged_to_the_window_of_its_reserve_too() {
    check(
        "
        limits day=day/hard/10 month=month/hard/100
        clock 2026-11-30T23:59:30Z
        reserve a 10 floor=2
        clock 2026-12-01T00:00:30Z
        limit month    -> settled 0 held 0 left 100
        reserve b 10   -> held, 0 left
        settle a 9     -> closed 2 at 9
        limit day      -> settled 0 held 10 left 0
        limit month    -> settled 0 held 10 left 90
        status         -> ok settled 9 held 10 open 1 exposure 10
        ",
    );
}

#[test]
fn f60_a_limit_lowered_below_the_spend_stops_new_requests_only() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 4
        settle  a 4
        reserve b 5
        limits all=lifetime/hard/3
        limit all      -> settled 4 held 5 left -6
        reserve c 0.1  -> refused spend_limit_exceeded by all
        settle  b 5    -> closed 2 at 5
        limit all      -> settled 9 held 0 left -6
        limits
        reserve c 1000 -> held
        ",
    );
}

#[test]
fn a_limit_set_later_counts_what_was_spent_and_held_before() {
    check(
        "
        reserve a 4
        settle  a 4
        reserve b 5
        limits day=day/hard/10 month=month/hard/8
        limit day      -> settled 4 held 5 left 1
        reserve c 1    -> refused in_flight_budget_exhausted by month
        ",
    );
}

#[test]
fn f18_an_attempt_settled_above_its_hold_is_charged_in_full_and_flagged() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10
        settle  a 25   -> closed 1 at 25
        records        -> 1 a settled 25 overage
        limit all      -> settled 25 held 0 left -15
        reserve b 0    -> held, -15 left
        ",
    );
}

#[test]
fn r12_numbers_too_large_to_be_exact_are_refused_before_they_can_do_harm() {
    check(
        "
        reserve a 10
        settle a 10
        reserve b 1 floor=2                        -> refused amount_out_of_range
        reserve b -1                               -> refused amount_out_of_range
        # 28 places beside 10 need 29 digits: its expiry could never be written.
        reserve b 1 floor=0.0000000000000000000000000001 -> refused amount_out_of_range
        reserve b 0.0000000000000000000000000001   -> refused amount_out_of_range
        reserve b 79228162514264337593543950335    -> refused amount_out_of_range
        rows                                       -> 1 refusal
        reserve b 1                                -> held
        settle b 79228162514264337593543950335     -> broken OutOfRange
        settle b 1                                 -> closed 2 at 1
        ",
    );
}

#[test]
fn a_refusal_says_all_that_is_needed_to_act_on_it() {
    let mut world = World::new(false);
    for line in ["limits day=day/hard/10", "reserve a 3", "settle a 2.5", "reserve b 4"] {
        world.line(line);
    }
    let reserve = reserve_command("c", "5");
    let Reply::Refused(refusal) = world.apply(&reserve).unwrap() else { panic!() };
    assert_eq!(refusal.code, RefusalCode::InFlightBudgetExhausted);
    assert_eq!((refusal.needed.to_string(), refusal.currency.as_str()), ("5".into(), "USD"));
    let limit = refusal.limit.unwrap();
    let numbers = [limit.limit, limit.settled, limit.held, limit.remaining];
    assert_eq!(numbers.map(|number| number.to_string()), ["10", "2.5", "4", "3.5"]);
    assert_eq!(limit.window_start.to_string(), "2026-11-23T00:00:00.000Z");
    assert_eq!(limit.resets_at.unwrap().to_string(), "2026-11-24T00:00:00.000Z");
}

fn reserve_command(name: &str, amount: &str) -> Command {
    super::harness::parse("reserve", &[name, amount])
}
