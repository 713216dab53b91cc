//! Which version of the price book a request may be priced by.

use super::harness::check;

#[test]
fn f61_a_version_applies_from_its_very_instant_to_the_last_before_the_next() {
    check(
        "
        wait 999ms
        reserve a 1 book=1:1000      -> stale price   # an edge whose clock is ahead
        rows                         -> none
        wait 1ms
        reserve a 1 book=1:1000:2000 -> held
        wait 999ms
        reserve b 1 book=1:1000:2000 -> held
        wait 1ms
        reserve c 1 book=1:1000:2000 -> stale price
        rows                         -> none
        reserve c 1 book=2:2000      -> held
        status                       -> ok settled 0 held 3 open 3 exposure 3
        ",
    );
}

#[test]
fn a_customer_admitted_under_a_version_is_never_again_admitted_under_an_older_one() {
    check(
        "
        reserve a 1 book=1:0      -> held
        rows                      -> 1 hold, 1 in force
        wait 100ms
        reserve b 1 book=2:100    -> held
        rows                      -> 1 hold, 1 in force
        reserve c 1 book=1:0      -> stale price   # an edge that has not heard of it
        reserve c 1 book=0:0      -> stale price
        reserve c 1 book=2:100    -> held
        rows                      -> 1 hold
        wait 100ms
        reserve d 1 book=4:200    -> held           # said last of those that take effect now
        reserve e 1 book=3:200    -> stale price
        settle a 1                -> closed 1 at 1  # what runs settles under its own
        settle b 1                -> closed 2 at 1
        ",
    );
}

#[test]
fn a_refused_request_fixes_no_version_and_a_stale_one_is_told_before_any_limit() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 11 book=2:0     -> refused request_exceeds_limit by all
        reserve a 1 book=1:0      -> held, 9 left
        reserve b 11 book=0:0     -> stale price
        reserve b 1 key=x book=0:0 -> refused invalid_key
        reserve b 1 book=0:0 currency=EUR -> stale price
        ",
    );
}

#[test]
fn f61_the_same_reserve_again_stands_whatever_is_in_force_by_then() {
    check(
        "
        reserve a 1 book=1:0:1000       -> held
        wait 1000ms
        reserve b 1 book=2:1000         -> held
        reserve a 1 book=1:0:1000 again -> held
        reserve c 1                     -> held   # a session's next turn: its prices were checked
        ",
    );
}

#[test]
fn where_no_book_was_ever_pushed_nothing_more_is_written() {
    check(
        "
        reserve a 1 book=0:0 -> held
        rows                 -> 1 hold
        ",
    );
}
