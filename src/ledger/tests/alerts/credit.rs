//! Credit that is low, used up, or will not last.

use super::super::harness::{check, check_from};
use super::{script, worlds};

#[test]
fn credit_is_told_to_be_low_and_used_up_once_for_each_grant() {
    check(
        "
        plan book prepaid
        grant pack 10
        reserve a 8
        alerts             -> none                 # set aside is not spent
        settle a 7.99
        alerts             -> none
        reserve b 1
        settle b 0.01
        alerts             -> USD low 2 below 2 after pack
        reserve c 2
        settle c 2
        alerts             -> USD low 0 below 0 after pack
        wait 1s
        grant more 10
        alerts             -> none
        reserve d 9
        settle d 9
        alerts             -> USD low 1 below 2 after more
        ",
    );
}

#[test]
fn credit_that_is_low_is_told_after_the_newest_grant_that_stands() {
    check(
        "
        plan book prepaid
        grant pack 10
        wait 1s
        grant bonus 100 expires=2026-11-23T23:00:00Z
        clock 2026-11-23T23:00:00Z
        reserve a 7
        settle a 7
        alerts             -> none                 # a fifth of what is over is no measure
        reserve b 1
        settle b 1
        alerts             -> USD low 2 below 2 after pack
        wait 1s
        grant more 100
        alerts             -> none
        take more
        reserve c 1
        settle c 1
        alerts             -> none                 # low after the pack was told
        reserve d 1
        settle d 1
        alerts             -> USD low 0 below 0 after pack
        ",
    );
}

#[test]
fn credit_carried_on_is_no_grant_of_its_own() {
    for mut world in worlds("2026-11-23T22:00:00Z") {
        for line in ["plan book prepaid", "grant monthly 10 every=month rollover_cap=4"] {
            assert_eq!(world.line(line), "done");
        }
        script(
            &mut world,
            &[
                ("tell {\"summary\":false}", "done"),
                ("clock 2026-12-23T22:00:00Z", "done"),
                ("credit", "USD 14 held 0"),
                ("reserve a 12", "held"),
                ("settle a 12", "closed 1 at 12"),
                ("alerts", "USD low 2 below 2 after monthly#1"),
            ],
        );
    }
}

#[test]
fn credit_that_is_all_over_is_told_to_be_used_up_after_the_last() {
    check(
        "
        plan book prepaid
        grant pack 10
        wait 1s
        grant bonus 5 expires=2026-11-23T23:00:00Z
        take pack
        reserve a 1
        settle a 1
        alerts             -> none
        clock 2026-11-23T23:00:00Z
        reserve b 0
        settle b 0
        alerts             -> USD low 0 below 0 after bonus
        ",
    );
}

#[test]
fn credit_that_will_not_last_is_told_by_the_pace_of_whole_hours() {
    check_from(
        "2026-11-23T09:59:00Z".parse().unwrap(),
        "
        tell {\"balance\":{\"percent\":1,\"days\":3}}
        plan book prepaid
        grant pack 40
        reserve a 10
        settle a 10
        alerts             -> none          # this hour is not whole yet
        clock 2026-11-23T10:00:00Z
        reserve b 1
        settle b 1
        alerts             -> 29 lasts 3 days at 10 after pack
        reserve c 1
        settle c 1
        alerts             -> none
        ",
    );
}
