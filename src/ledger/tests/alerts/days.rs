//! Limits that burn, days and months unlike the others, weeks, and the outlook.

use super::super::harness::{check, check_from};
use super::{days, script, worlds};

#[test]
fn a_months_limit_burns_where_day_and_hour_are_too_fast() {
    check_from(
        "2026-11-10T08:30:00Z".parse().unwrap(),
        "
        limits m=month/hard/300 d=day/hard/300
        tell {\"thresholds\":[],\"spike\":null}
        reserve a 19
        settle a 19
        clock 2026-11-10T09:30:00Z
        reserve b 1
        settle b 1
        alerts             -> none            # 19 in a day: less than twice the even pace of 10
        clock 2026-11-10T10:30:00Z
        reserve c 1
        settle c 1
        alerts             -> m burns 2x 20 1
        clock 2026-11-10T11:30:00Z
        reserve d 9
        settle d 9
        alerts             -> none
        ",
    );
}

#[test]
fn a_day_unlike_the_others_is_told_once() {
    for mut world in worlds("2026-11-01T12:00:00Z") {
        world.line("tell {\"burn\":null,\"summary\":false}");
        days(&mut world, "2026-11-01T12:00:00Z", &["5", "4", "6", "5", "5", "4", "6"]);
        days(&mut world, "2026-11-08T12:00:00Z", &["9.4"]);
        // Median 5, deviations 0 1 1 0 0 1 1 with median 1: 5 + 3 x 1.4826 is below twice the median.
        script(&mut world, &[("alerts", "none")]);
        script(
            &mut world,
            &[("reserve a 9", "held"), ("settle a 0.6", "closed 9 at 0.6"), ("alerts", "none")],
        );
        script(
            &mut world,
            &[
                ("reserve b 9", "held"),
                ("settle b 0.1", "closed 10 at 0.1"),
                ("alerts", "spike 2026-11-08 10.1 above 10 usual 5 from 7"),
                ("reserve c 9", "held"),
                ("settle c 9", "closed 11 at 9"),
                ("alerts", "none"),
            ],
        );
    }
}

#[test]
fn a_month_unlike_the_usual_one_is_told_from_the_third_month_on() {
    for mut world in worlds("2026-08-01T00:00:00Z") {
        world.line("tell {\"spike\":null,\"summary\":false}");
        days(&mut world, "2026-08-10T12:00:00Z", &["100"]);
        days(&mut world, "2026-09-10T12:00:00Z", &["300"]);
        script(&mut world, &[("alerts", "none")]);
        days(&mut world, "2026-10-05T12:00:00Z", &["99.99"]);
        script(&mut world, &[("alerts", "none")]);
        days(&mut world, "2026-10-06T12:00:00Z", &["60.01"]);
        script(
            &mut world,
            &[("alerts", "2026-10 50% at 160 of 200 from 2; 2026-10 80% at 160 of 200 from 2")],
        );
        days(&mut world, "2026-11-01T12:00:00Z", &["80"]);
        script(&mut world, &[("alerts", "2026-11 50% at 80 of 160 from 3")]);
    }
}

#[test]
fn what_settles_late_changes_the_month_it_was_made_in_and_so_the_usual_one() {
    for mut world in worlds("2026-09-01T00:00:00Z") {
        world.line("tell {\"spike\":null,\"summary\":false}");
        days(&mut world, "2026-09-10T12:00:00Z", &["100"]);
        days(&mut world, "2026-10-10T12:00:00Z", &["100"]);
        world.line("clock 2026-10-31T23:59:30Z");
        assert_eq!(world.line("reserve late 200"), "held");
        world.line("clock 2026-11-01T12:00:00Z");
        script(
            &mut world,
            &[
                ("reserve a 45", "held"),
                ("settle a 45", "closed 4 at 45"),
                ("settle late 100", "closed 5 at 100"),
                ("reserve b 10", "held"),
                ("settle b 10", "closed 6 at 10"),
                // Of 100 it would be half; by now October came to 200.
                ("alerts", "none"),
                ("reserve c 20", "held"),
                ("settle c 20", "closed 7 at 20"),
                ("alerts", "2026-11 50% at 75 of 150 from 2"),
            ],
        );
    }
}

#[test]
fn a_week_is_summed_up_once_in_the_customers_zone_when_it_is_over() {
    for mut world in worlds("2026-11-09T12:00:00Z") {
        world.line("limits @zone=America/New_York");
        world.line("tell {\"spike\":null,\"typical\":[]}");
        days(&mut world, "2026-11-10T12:00:00Z", &["8", "2"]);
        // Sunday evening in New York, Monday in UTC.
        world.line("clock 2026-11-16T04:59:00Z");
        script(
            &mut world,
            &[
                ("reserve a 3 model=o9", "held"),
                ("settle a 3", "closed 3 at 3"),
                ("sweep", "done"),
                ("alerts", "none"),
                ("clock 2026-11-16T05:00:00Z", "done"),
                ("sweep", "done"),
                (
                    "alerts",
                    "week 2026-11-09..2026-11-15 13 before - - top gpt 10 peak 2026-11-10 8",
                ),
                ("sweep", "done"),
                ("rows", "none"),
            ],
        );
        days(&mut world, "2026-11-18T12:00:00Z", &["9"]);
        // Nobody calls for three weeks; the week is told of all the same, and no empty one.
        world.line("clock 2026-12-09T12:00:00Z");
        script(
            &mut world,
            &[
                ("sweep", "done"),
                (
                    "alerts",
                    "week 2026-11-16..2026-11-22 9 before 13 -4 -30.8% top gpt 9 peak 2026-11-18 9",
                ),
                ("rows", "1 alert, 1 week"),
            ],
        );
    }
}

#[test]
fn the_outlook_is_unknown_before_there_is_a_day_and_never_zero() {
    for mut world in worlds("2026-11-01T09:00:00Z") {
        script(
            &mut world,
            &[
                ("outlook", "2026-11 unknown 0 to - in -..- from 0"),
                ("reserve a 3", "held"),
                ("settle a 3", "closed 1 at 3"),
                ("outlook", "2026-11 unknown 3 to - in -..- from 0"),
                ("clock 2026-11-02T00:00:00Z", "done"),
                // 3 a day, 29 days to come.
                ("outlook", "2026-11 pace 3 to 90 in -..- from 1"),
                ("plan book", "done"),
                ("grant pack 10", "done"),
                // Today, tomorrow and the day after take 9; the last cent goes on the fourth day.
                ("outlook", "2026-11 pace 3 to 90 in -..- from 1; 10 on_date 2026-11-05"),
            ],
        );
        days(&mut world, "2026-11-02T12:00:00Z", &["3"; 27]);
        world.line("clock 2026-11-29T00:00:00Z");
        let words = world.line("outlook");
        assert!(words.starts_with("2026-11 interval 84 to 90 in 90..90 from 28"), "{words}");
    }
}

#[test]
fn the_outlook_counts_what_ends_with_it_once() {
    check(
        "
        reserve a 3 floor=3
        wait 60s
        outlook            -> 2026-11 unknown 3 to - in -..- from 0
        outlook            -> 2026-11 unknown 3 to - in -..- from 0
        reserve b 2 floor=2
        clock 2026-11-24T00:00:00Z
        outlook            -> 2026-11 pace 5 to 40 in -..- from 1
        outlook            -> 2026-11 pace 5 to 40 in -..- from 1
        ",
    );
}

#[test]
fn an_outlook_too_large_to_compute_breaks_nothing() {
    check_from(
        "2026-11-01T12:00:00Z".parse().unwrap(),
        "
        reserve a 9000000000000000000000000000
        settle a 9000000000000000000000000000
        clock 2026-11-02T00:00:00Z
        outlook            -> invalid: there is no forecast: its amounts need more than 28 digits
        reserve b 1
        settle b 1
        ",
    );
}
