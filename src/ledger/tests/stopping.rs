//! Attempts held for in part, and attempts that ran without a hold.

use super::harness::{check, check_from};

#[test]
fn an_extension_is_a_reserve_of_the_whole_attempt_again_and_refused_it_changes_nothing() {
    check(
        "
        limits day=day/hard/20 all=lifetime/hard/30
        reserve a 5          -> held, 15 left
        reserve b 10         -> held, 5 left
        extend  a 8          -> held, 2 left
        rows                 -> 1 hold
        limit   all          -> settled 0 held 18 left 12
        extend  a 8          -> held, 2 left
        extend  a 3          -> held, 2 left
        extend  a 11         -> refused in_flight_budget_exhausted by day
        rows                 -> none
        limit   day          -> settled 0 held 18 left 2
        settle  b 12
        extend  a 9          -> refused spend_limit_exceeded by day
        extend  a 21         -> refused request_exceeds_limit by day
        extend  a 8          -> held, 0 left
        settle  a 8          -> closed 2 at 8
        extend  a 9          -> expired
        status               -> stopped settled 20 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn an_extension_counts_in_the_window_of_its_reserve_be_that_over() {
    check(
        "
        limits day=day/hard/10
        clock 2026-11-23T23:59:50Z
        reserve a 4
        reserve b 5
        clock 2026-11-24T00:00:10Z
        limit   day          -> settled 0 held 0 left 10
        extend  a 6          -> refused in_flight_budget_exhausted by day
        extend  a 5          -> held, 10 left
        reserve c 10         -> held, 0 left
        settle  b 1
        extend  a 9          -> held, 0 left
        limit   day          -> settled 0 held 10 left 0
        ",
    );
}

#[test]
fn an_extension_puts_the_end_off_and_comes_too_late_at_the_very_instant_of_expiry() {
    check(
        "
        limits all=lifetime/hard/20
        ttl 10s
        reserve a 5 floor=1
        wait 9s
        extend a 6
        wait 9s
        extend a 7
        wait 10s
        extend a 8           -> expired
        status               -> ok settled 1 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn f35_what_ran_without_a_hold_is_charged_past_any_limit_once_and_says_so() {
    check(
        "
        limits all=lifetime/hard/10
        unreserved a 8 7     -> closed 1 at 7
        unreserved a 8 7     -> replayed 1 at 7
        unreserved a 8 6     -> conflict with 1
        unreserved b 4 5     -> closed 2 at 5
        status               -> stopped settled 12 held 0 open 0 exposure 0
        reserve c 0.1        -> refused spend_limit_exceeded by all
        unreserved d 1 1 currency=EUR -> invalid: no such customer, or of another currency
        ",
    );
}

#[test]
fn f35_f36_a_reserve_whose_answer_was_lost_is_settled_by_what_ran_without_it() {
    check(
        "
        limits all=lifetime/hard/20
        ttl 10s
        reserve a 8
        unreserved a 8 7     -> closed 1 at 7
        status               -> ok settled 7 held 0 open 0 exposure 0
        reserve b 5 floor=2
        wait 11s
        unreserved b 5 4     -> closed 3 at 4
        status               -> ok settled 11 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn what_ran_without_a_hold_counts_among_the_parties_it_is_of_new_ones_too() {
    check(
        "
        limits each=lifetime/hard/10,scope=end_user tags=lifetime/hard/10,scope=tag
        unreserved a 8 7 user=ann tag=red -> closed 1 at 7
        standing tag:red                  -> tags settled 7 held 0 left 3 from 2026-11-23T22:00:00.000Z
        reserve b 4 user=ann              -> refused spend_limit_exceeded by each
        reserve c 4 user=bob              -> held, 6 left
        ",
    );
}

#[test]
fn a_hold_grows_against_the_limits_of_its_parties_after_a_restart_as_before() {
    check(
        "
        limits tags=lifetime/hard/10,scope=tag
        reserve a 4 tag=red -> held, 6 left
        extend a 9          -> held, 1 left
        extend a 11         -> refused request_exceeds_limit by tags
        ",
    );
}

/// Whatever a ledger remembers of windows that are over, it asks storage for all that it needs.
#[test]
fn a_hold_grows_into_what_its_own_window_has_left_when_that_is_over() {
    check_from(
        "2026-11-24T23:59:00Z".parse().unwrap(),
        "
        ttl 43200s
        limits tags=day/hard/10,scope=tag
        reserve a 3 tag=red -> held, 7 left
        reserve b 4 tag=red -> held, 3 left
        settle b 4
        clock 2026-11-25T11:00:00Z
        reserve c 9 tag=red -> held, 1 left
        extend a 7          -> refused spend_limit_exceeded by tags
        extend a 6          -> held, 1 left
        settle a 6
        clock 2026-11-25T11:58:00Z
        reserve d 1 tag=red -> held, 0 left
        ",
    );
}
