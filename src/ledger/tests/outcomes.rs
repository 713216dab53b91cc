//! Outcomes at the ledger: held for while pending, charged when confirmed, taken back when disputed.
//! A call is an outcome here, at five dollars or a coin.

use super::harness::{World, check};
use crate::ledger::OUTCOMES_MAX;

#[test]
fn an_outcome_is_held_for_until_it_is_confirmed_and_charged_once() {
    check(
        "plan outcome rest=included
         limits all=lifetime/hard/12 par=-/hard/1,measure=concurrency
         reserve a 9                -> held, 7 left
         settle a 1                 -> closed 1 at 0
         status                     -> ok settled 0 held 5 open 0 exposure 5
         reserve b 9                -> held, 2 left      # nothing runs beside it
         settle b 1
         reserve c 9                -> refused in_flight_budget_exhausted by all
         confirm a calls            -> closed 3 at 5
         confirm a calls            -> replayed 3 at 5
         confirm a other            -> unknown attempt
         status                     -> ok settled 5 held 5 open 0 exposure 5
         reverse b calls            -> closed 4 at 0
         reverse b calls            -> replayed 4 at 0
         confirm b calls            -> conflict with 4   # the first word decides
         status                     -> ok settled 5 held 0 open 0 exposure 0
         allowance                  -> charged 5",
    );
}

#[test]
fn silence_decides_when_the_time_is_over_as_the_plan_says() {
    check(
        "plan outcome rest=included
         reserve a 9
         settle a 1
         wait 86399s
         status -> ok settled 0 held 5 open 0 exposure 5
         wait 1s
         status -> ok settled 5 held 0 open 0 exposure 0
         confirm a calls -> replayed 2 at 5
         plan doubtful rest=included
         reserve b 9
         settle b 1
         credit -> coins 1 held 1
         wait 86400s
         credit -> coins 2 held 0
         confirm b calls -> conflict with 4",
    );
}

#[test]
fn a_confirmed_outcome_can_be_reversed_until_the_time_for_disputes_is_over() {
    check(
        "plan outcome rest=included prepaid
         grant pack 20
         reserve a 9
         settle a 1
         confirm a calls -> closed 2 at 5
         credit -> USD 15 held 0
         wait 172799s
         reverse a calls -> closed 3 at 0
         reverse a calls -> replayed 3 at 0
         status -> ok settled 0 held 0 open 0 exposure 0
         allowance -> charged 0
         reserve b 9
         settle b 1
         confirm b calls -> closed 5 at 5
         credit -> USD 15 held 0             # what was given back paid
         wait 172800s
         reverse b calls -> conflict with 5
         status -> ok settled 5 held 0 open 0 exposure 0",
    );
}

#[test]
fn what_an_earlier_period_was_billed_for_is_given_back_in_the_present_one() {
    check(
        "plan doubtful rest=included
         reserve a 9
         settle a 1
         confirm a calls
         credit -> coins 1 held 0
         clock 2026-12-24T22:00:00Z
         credit -> coins 2 held 0
         reverse a calls
         reserve b 9
         settle b 1
         confirm b calls
         credit -> coins 2 held 0            # the credit given back paid",
    );
}

#[test]
fn an_outcome_counts_in_the_period_in_which_it_is_confirmed() {
    check(
        "plan outcome rest=included anchor=2026-11-24T00:00:00Z
         reserve a 9
         settle a 1
         allowance -> charged 0
         clock 2026-11-24T01:00:00Z
         confirm a calls -> closed 2 at 5
         allowance -> charged 5",
    );
}

#[test]
fn the_credit_of_an_attempt_goes_on_to_what_it_reached_though_the_grant_is_voided() {
    check(
        "plan doubtful rest=included
         reserve a 9
         take plan-1:monthly
         settle a 1
         credit -> coins 0 held 1
         confirm a calls -> closed 2 at 0
         credit -> coins 0 held 0",
    );
}

#[test]
fn a_record_of_an_outcome_says_whose_it_is() {
    let mut world = World::new(false);
    for line in ["plan outcome rest=included", "reserve a 9", "settle a 1", "confirm a calls"] {
        world.line(line);
    }
    let records = world.records();
    let of = records[1].outcome_of.as_ref().unwrap();
    assert_eq!((of.attempt_id, of.charge.as_str()), (records[0].attempt_id, "calls"));
    assert_eq!(records[1].amount, 5.into());
    assert_eq!(records[1].request_id, records[0].request_id);
}

#[test]
fn what_a_line_of_a_batch_reaches_is_held_for_once_and_charged_once() {
    check(
        "plan outcome rest=included prepaid
         grant pack 20
         reserve a 9 lines=1,1
         status -> ok settled 0 held 10 open 1 exposure 10
         open a b1 3600s hold
         post b1 x=1
         status -> ok settled 0 held 10 open 1 exposure 5   # five of them for the outcome now
         credit -> USD 10 held 10
         seen b1 completed succeeded=2
         post b1 y=1 whole
         status -> ok settled 0 held 10 open 0 exposure 10
         wait 86401s                         # silence confirms
         status -> ok settled 10 held 0 open 0 exposure 0
         credit -> USD 10 held 0",
    );
}

#[test]
fn what_a_late_line_reaches_comes_out_of_what_its_batch_was_charged() {
    check(
        "plan outcome rest=included prepaid
         grant pack 20
         reserve a 9 lines=1,1
         open a b1 3600s hold
         wait 3601s
         status -> ok settled 10 held 0 open 0 exposure 0
         post b1 x=1
         status -> ok settled 5 held 5 open 0 exposure 5
         wait 86401s
         status -> ok settled 10 held 0 open 0 exposure 0
         credit -> USD 10 held 0
         seen b1 completed succeeded=2
         post b1 y=1 whole
         status -> ok settled 5 held 5 open 0 exposure 5
         wait 86401s
         credit -> USD 10 held 0",
    );
}

#[test]
fn an_outcome_is_held_for_as_any_period_in_which_it_may_be_confirmed_charges_it() {
    // Two calls are free as long as a period has no third; with the third, all three are charged.
    check(
        "plan threshold rest=included anchor=2026-11-24T00:00:00Z
         reserve a 9
         status -> ok settled 0 held 15 open 1 exposure 15
         reserve b 9
         reserve c 9
         settle a 1
         settle b 1
         settle c 1
         confirm a calls -> closed 4 at 0
         confirm b calls -> closed 5 at 0
         confirm c calls -> closed 6 at 15
         reserve d 9
         reserve e 9
         reserve f 9
         settle d 1
         settle e 1
         settle f 1
         status -> ok settled 15 held 45 open 0 exposure 45
         clock 2026-11-24T01:00:00Z          # the next period, and nothing used in it
         confirm d calls -> closed 10 at 0
         confirm e calls -> closed 11 at 0
         confirm f calls -> closed 12 at 15
         status -> ok settled 30 held 0 open 0 exposure 0",
    );
}

#[test]
fn so_many_outcomes_wait_at_once_and_no_more() {
    let mut world = World::new(false);
    world.line("plan outcome rest=included");
    for nth in 1..OUTCOMES_MAX {
        world.line(&format!("reserve a{nth} 9"));
        world.line(&format!("settle a{nth} 1"));
    }
    let mut expect = |line: &str, answer: &str| assert_eq!(world.line(line), answer, "{line}");
    expect("reserve b 9 lines=1,1", "refused too_many_outcomes");
    expect("reserve c 9", "held");
    expect("reserve d 9", "refused too_many_outcomes");
    expect("settle c 1", &format!("closed {OUTCOMES_MAX} at 0"));
    expect("reserve d 9", "refused too_many_outcomes");
    expect("reverse c calls", &format!("closed {} at 0", OUTCOMES_MAX + 1));
    expect("reserve d 9", "held");
}
