//! A client's own name for a request, so that it is not run twice.

use super::harness::check;

#[test]
fn f63_a_request_that_runs_or_is_over_is_not_run_again() {
    check(
        "
        reserve a 5 once=n1/body
        reserve b 5 once=n1/body   -> refused request_in_progress
        reserve b 5 once=n1/other  -> refused idempotency_key_reused
        reserve b 5 once=n2/body   -> held
        settle a 4
        reserve c 5 once=n1/body   -> refused request_completed at 4
        reserve c 5 once=n1/other  -> refused idempotency_key_reused at 4
        settle a 3                 -> conflict with 1
        reserve c 5                -> held
        ",
    );
}

#[test]
fn f63_a_denial_and_an_attempt_that_gave_nothing_do_not_burn_the_name() {
    check(
        "
        limits all=lifetime/hard/4
        reserve a 5 once=n/body    -> refused request_exceeds_limit by all
        limits all=lifetime/hard/9
        reserve a 5 once=n/other   -> held, 4 left
        void a
        reserve b 5 once=n/body    -> held, 4 left
        reserve c 1 once=n/body    -> refused request_in_progress
        ",
    );
}

#[test]
fn an_attempt_nobody_heard_of_again_is_over_at_its_floor() {
    check(
        "
        reserve a 5 floor=2 once=n/body
        wait 60s
        reserve b 5 once=n/body    -> refused request_completed at 2
        settle a 4                 -> closed 2 at 4
        reserve b 5 once=n/body    -> refused request_completed at 4
        ",
    );
}

#[test]
fn the_same_attempt_asked_for_again_is_no_repetition_of_the_request() {
    check(
        "
        reserve a 5 once=n/body
        reserve a 5 once=n/body again  -> held
        rows                           -> none
        ",
    );
}

#[test]
fn a_name_is_free_again_after_a_day_unless_its_request_still_runs() {
    check(
        "
        reserve a 5 once=n/body
        settle a 1
        wait 86399s
        reserve b 5 once=n/other   -> refused idempotency_key_reused at 1
        wait 1s
        reserve b 5 once=n/other   -> held
        park b job-1 200000s
        wait 86400s
        reserve c 5 once=n/other   -> refused request_in_progress
        ",
    );
}

#[test]
fn a_bad_key_learns_nothing_of_earlier_requests() {
    check(
        "
        reserve a 5 once=n/body
        reserve b 5 once=n/body secret=wrong -> refused invalid_key
        ",
    );
}

#[test]
fn what_ran_without_a_hold_has_used_its_name_too() {
    check(
        "
        unreserved a 15 13 once=n/x      -> closed 1 at 13
        reserve b 9 once=n/x             -> refused request_completed at 13
        reserve c 9 once=n/y             -> refused idempotency_key_reused at 13
        ",
    );
}
