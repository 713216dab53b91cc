//! Where windows begin and end: in the calendar of a zone, across clocks that change.

use super::harness::{World, check, check_from};
use crate::clock::{Timestamp, Window};
use crate::ledger::*;

/// Whether a limit of this window, zone and further fields starts anew exactly at `edge`: what is
/// spent a millisecond before is in the old window, what is spent at the edge in the new.
fn turns_at(rule: &str, edge: &str) {
    let edge: Timestamp = edge.parse().unwrap();
    let before = Timestamp::from_ms(edge.ms() - 1);
    check_from(
        before,
        &format!(
            "
        limits w={rule}
        reserve a 6
        settle a 6
        reserve b 5    -> refused spend_limit_exceeded by w
        reserve b 4    -> held, 0 left
        clock {edge}
        limit w        -> settled 0 held 0 left 10
        settle b 4     # charged to the window it was reserved in
        limit w        -> settled 0 held 0 left 10
        reserve c 10   -> held, 0 left
        "
        ),
    );
}

#[test]
fn a_day_begins_at_local_midnight_on_both_sides_of_every_change_of_clocks() {
    // Berlin, 29 March 2026 has 23 hours, 25 October 25.
    turns_at("day/hard/10,zone=Europe/Berlin", "2026-03-28T23:00:00Z");
    turns_at("day/hard/10,zone=Europe/Berlin", "2026-03-29T22:00:00Z");
    turns_at("day/hard/10,zone=Europe/Berlin", "2026-10-24T22:00:00Z");
    turns_at("day/hard/10,zone=Europe/Berlin", "2026-10-25T23:00:00Z");
    turns_at("day/hard/10,zone=America/New_York", "2026-11-01T04:00:00Z");
    turns_at("day/hard/10,zone=America/New_York", "2026-11-02T05:00:00Z");
    // Cairo's clocks skip midnight itself: the day begins at 01:00.
    turns_at("day/hard/10,zone=Africa/Cairo", "2026-04-23T22:00:00Z");
}

#[test]
fn zones_off_the_whole_hour_are_met_to_the_minute() {
    turns_at("day/hard/10,zone=Asia/Kolkata", "2026-11-24T18:30:00Z");
    turns_at("day/hard/10,zone=Asia/Kathmandu", "2026-11-24T18:15:00Z");
    turns_at("hour/hard/10,zone=Asia/Kolkata", "2026-11-24T18:30:00Z");
    turns_at("hour/hard/10,zone=Asia/Kathmandu", "2026-11-24T18:15:00Z");
    turns_at("month/hard/10,zone=Australia/Adelaide", "2026-11-30T13:30:00Z");
    // Lord Howe's clocks change by half an hour: 02:00 becomes 02:30, and back to 01:30.
    turns_at("hour/hard/10,zone=Australia/Lord_Howe", "2026-10-03T15:30:00Z");
    turns_at("hour/hard/10,zone=Australia/Lord_Howe", "2026-04-04T15:00:00Z");
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    turns_at("week/hard/10", "2026-11-30T00:00:00Z");
    turns_at("week/hard/10,zone=Asia/Tokyo", "2026-11-29T15:00:00Z");
    turns_at("month/hard/10", "2028-03-01T00:00:00Z");
    turns_at("month/hard/10,zone=Pacific/Auckland", "2026-12-31T11:00:00Z");
}

#[test]
fn a_billing_period_keeps_its_anchor_through_short_months_and_leap_days() {
    let period = "period/hard/10,anchor=2026-01-31T00:00:00Z";
    turns_at(period, "2026-02-28T00:00:00Z");
    turns_at(period, "2026-03-31T00:00:00Z");
    turns_at(period, "2028-02-29T00:00:00Z");
    turns_at(period, "2028-03-31T00:00:00Z");
    let berlin = "period/hard/10,zone=Europe/Berlin,anchor=2026-01-31T00:00:00+01:00";
    turns_at(berlin, "2026-03-30T22:00:00Z");
    turns_at("period/hard/10,anchor=2028-02-29T12:15:00Z,every=year", "2029-02-28T12:15:00Z");
    turns_at("period/hard/10,anchor=2026-11-05T09:00:00Z,every=week", "2026-11-26T09:00:00Z");
}

/// Over two years of quarters, windows follow one another without a gap, and each moment's window
/// holds that moment.
#[test]
fn windows_tile_time_in_every_zone() {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Africa/Cairo",
    ];
    let windows = [Window::Hour, Window::Day, Window::Week, Window::Month];
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for zone in zones {
        for window in windows {
            let rule = LimitRule {
                zone: Some(zone.to_owned()),
                ..LimitRule::new("a".parse().unwrap(), window, Strictness::Hard, 1.into())
            };
            let frame = limits::Frame::of(&rule, "UTC").unwrap();
            let mut before = frame.around(start);
            for quarter in 1..(2 * 365 * 96) {
                let at = Timestamp::from_ms(start.ms() + quarter * 900_000);
                let span = if before.holds(at) { before } else { frame.around(at) };
                assert!(span.holds(at), "{zone} {window:?} {at}");
                if span != before {
                    assert_eq!(Some(span.start), before.end, "{zone} {window:?} {at}");
                    assert_eq!(span.start.ms() % 900_000, 0, "{zone} {window:?}: off the quarters");
                    before = span;
                }
            }
        }
    }
}

#[test]
fn a_customer_that_changes_its_zone_has_its_windows_counted_anew() {
    check_from(
        "2026-11-23T17:00:00Z".parse().unwrap(),
        "
        limits day=day/hard/10
        reserve a 2
        settle a 2
        clock 2026-11-23T18:29:00Z
        reserve b 3
        settle b 3
        clock 2026-11-23T18:31:00Z
        reserve c 4
        settle c 4
        reserve d 1
        limit day      -> settled 9 held 1 left 0
        limits day=day/hard/10 @zone=Asia/Kolkata   # there, the day began at 18:30
        limit day      -> settled 4 held 1 left 5
        limits day=day/hard/10,zone=UTC @zone=Asia/Kolkata
        limit day      -> settled 9 held 1 left 0
        limits day=day/hard/10 @zone=America/New_York
        limit day      -> settled 9 held 1 left 0
        ",
    );
}

#[test]
fn f58_a_clock_set_back_stands_still_until_it_has_caught_up() {
    // With a restart before every command: what was done stands in storage, and time goes on from it.
    check(
        "
        clock 2026-11-24T00:10:00Z
        limits day=day/hard/10 rpm=minute/hard/2,measure=requests
        reserve a 6
        settle a 6
        clock 2026-11-23T23:10:00Z      # an hour back, into yesterday
        reserve b 5    -> refused spend_limit_exceeded by day
        reserve b 4    -> held, 0 left
        reserve c 0    -> refused rate_limit_exceeded by rpm
        settle b 4
        limit day      -> settled 10 held 0 left 0
        clock 2026-11-24T01:10:00Z      # and an hour on
        reserve c 1    -> refused spend_limit_exceeded by day
        clock 2026-11-25T00:00:00Z
        reserve c 10   -> held, 0 left
        ",
    );
}

#[test]
fn f58_a_clock_set_forward_ends_holds_early_and_their_settles_are_late() {
    check(
        "
        limits day=day/hard/10
        reserve a 6 floor=1
        clock 2026-11-23T23:00:00Z
        settle a 5     -> closed 2 at 5
        records        -> 1 a unresolved 1 counted; 2 a settled 4 corrects 1 of 1 late correction
        limit day      -> settled 5 held 0 left 5
        ",
    );
}

#[test]
fn what_is_older_than_any_window_is_one_sum_and_still_counts_for_ever() {
    for restarts in [false, true] {
        let mut world = World::starting(restarts, Timestamp::from_ms(1_700_000_000_000));
        world.line("limits all=lifetime/hard/1000 each=lifetime/hard/1000,scope=key");
        for hour in 0..30_u32 {
            let start = 1_700_000_000_000 + i64::from(hour) * 3_600_000;
            world.now = Timestamp::from_ms(start);
            world.line(&format!("reserve a{hour} 1"));
            world.line(&format!("settle a{hour} 1"));
        }
        world.line("clock 2026-11-23T22:00:00Z");
        world.line("reserve b 1");
        world.line("settle b 1");
        assert_eq!(world.line("limit all"), "settled 31 held 0 left 969");
        let standing = world.line("standing key:main");
        assert!(standing.starts_with("each settled 31 held 0 left 969"), "{standing}");
        world.line("reserve c 1");
        world.line("settle c 1");
        // A party that stays in memory is folded when it is next looked up.
        let hours = world.store.hours();
        assert!(!restarts || hours <= 3, "old hours are folded: {hours}");
        assert_eq!(world.line("limit all"), "settled 32 held 0 left 968");
    }
}
