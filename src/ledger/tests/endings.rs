//! How attempts end: once, on time, late, or not at all.

use super::harness::{check, check_one_life};
use crate::ledger::*;

#[test]
fn f36_f42_the_same_command_again_gives_the_same_answer_and_writes_nothing() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 4              -> held, 6 left
        rows                     -> 1 hold
        reserve a 4              -> held, 6 left
        rows                     -> none
        reserve a 4 again        -> held, 6 left
        rows                     -> none
        settle a 3               -> closed 1 at 3
        rows                     -> 1 delete, 1 hour, 1 record, 1 week
        settle a 3               -> replayed 1 at 3
        rows                     -> none
        reserve b 4
        void b                   -> closed 2 at 0
        rows                     -> 1 delete, 1 hour, 1 record
        void b                   -> replayed 2 at 0
        rows                     -> none
        reserve c 4 floor=1
        wait 60s
        settle c 3               -> closed 4 at 3
        settle c 3               -> replayed 4 at 3
        rows                     -> none
        status                   -> ok settled 6 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn f45_f46_another_command_for_the_same_attempt_conflicts_and_changes_nothing() {
    check(
        "
        reserve a 4
        reserve a 5              -> refused attempt_conflict
        reserve a 4 model=other  -> refused attempt_conflict
        rows                     -> 1 refusal
        settle a 3
        settle a 4               -> conflict with 1
        rows                     -> 1 alert   # told, once
        void a                   -> conflict with 1
        reserve a 4 again        -> refused attempt_conflict
        rows                     -> none
        reserve b 4
        void b
        settle b 4               -> conflict with 2
        reserve b 4 again        -> refused attempt_conflict
        reserve c 4 floor=1
        wait 60s
        void c                   -> closed 4 at 0
        settle c 4               -> conflict with 4
        settle d 4               -> unknown attempt
        void d                   -> unknown attempt
        status                   -> ok settled 3 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn f44_a_hold_ends_at_the_exact_instant_and_not_a_millisecond_earlier() {
    check(
        "
        reserve a 4 floor=1
        reserve b 4 floor=1
        reserve c 4 floor=1
        wait 59999ms
        settle a 2      -> closed 1 at 2
        wait 1ms
        renew b 2       -> expired
        settle b 2      -> closed 4 at 2
        void c          -> closed 5 at 0
        records         -> 1 a settled 2; 2 b unresolved 1 counted; 3 c unresolved 1 counted; 4 b settled 1 corrects 2 of 1 late correction; 5 c voided -1 corrects 3 of 1 late correction
        ",
    );
}

#[test]
fn f43_the_command_that_finds_a_hold_expired_is_late_not_lost() {
    check(
        "
        reserve a 4 floor=1
        wait 60s
        settle a 3         -> closed 2 at 3
        rows               -> 1 delete, 1 expire, 2 hour, 2 record, 1 week
        reserve b 4 floor=1
        wait 60s
        void b             -> closed 4 at 0
        reserve c 4 floor=1
        wait 60s
        reserve c 4 again  -> refused attempt_conflict
        rows               -> 1 expire, 1 hour, 1 record, 1 week
        settle c 2         -> closed 6 at 2
        records            -> 1 a unresolved 1 counted; 2 a settled 2 corrects 1 of 1 late correction; 3 b unresolved 1 counted; 4 b voided -1 corrects 3 of 1 late correction; 5 c unresolved 1 counted; 6 c settled 1 corrects 5 of 1 late correction
        ",
    );
}

#[test]
fn f43_a_hold_that_was_swept_before_is_settled_late_the_same_way() {
    check(
        "
        reserve a 4 floor=1
        wait 61s
        sweep
        rows               -> 1 expire, 1 hour, 1 record, 1 week
        renew a 3          -> expired
        reserve a 4 again  -> refused attempt_conflict
        settle a 3         -> closed 2 at 3
        rows               -> 1 delete, 1 hour, 1 record, 1 week
        sweep
        rows               -> none
        ",
    );
}

#[test]
fn renewing_puts_off_the_end_and_only_ever_raises_the_floor_up_to_the_hold() {
    check(
        "
        reserve a 10 floor=1
        wait 40s
        renew a 3
        status    -> ok settled 0 held 10 open 1 exposure 7
        renew a 2
        status    -> ok settled 0 held 10 open 1 exposure 7
        wait 59s
        renew a 11
        status    -> ok settled 0 held 10 open 1 exposure 0
        renew a -5
        wait 60s
        renew a 4 -> expired
        renew b 1 -> expired
        records   -> 1 a unresolved 10 counted
        ",
    );
}

#[test]
fn f41_what_is_never_heard_of_again_is_charged_at_its_floor() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10 floor=2.5 input=2
        wait 60s
        reserve b 7.5  -> held, 0 left
        records        -> 1 a unresolved 2.5 counted
        ",
    );
}

#[test]
fn f58_a_clock_that_goes_backwards_brings_nothing_back() {
    check_one_life(
        "
        limits day=day/hard/10
        clock 2026-11-24T00:00:00Z
        reserve a 10 floor=1  -> held, 0 left
        clock 2026-11-23T23:00:00Z
        reserve b 1           -> refused in_flight_budget_exhausted by day
        clock 2026-11-24T00:00:59.999Z
        renew a 1             -> held
        clock 2026-11-23T23:00:00Z
        settle a 3            -> closed 1 at 3
        reserve b 7           -> held, 0 left
        clock 2026-11-24T00:01:59.998Z
        status                -> ok settled 3 held 7 open 1 exposure 7
        wait 1ms
        status                -> ok settled 3 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn one_command_expires_at_most_sweep_max_holds_and_the_rest_count_as_expired() {
    let many = SWEEP_MAX + 3;
    let mut script = String::from("limits all=lifetime/hard/1000\n");
    (0..many).for_each(|n| script.push_str(&format!("reserve h{n:02} 10 floor=1\nwait 1ms\n")));
    let last = many - 1;
    script.push_str(&format!(
        "wait 60s
         renew h{last} 5            -> expired
         rows                       -> {SWEEP_MAX} expire, {SWEEP_MAX} hour, {SWEEP_MAX} record, 1 week
         sweep
         rows                       -> 3 expire, 3 hour, 3 record, 1 week
         status                     -> ok settled {many} held 0 open 0 exposure 0
         settle h{last} 4           -> closed {} at 4\n",
        many + 1
    ));
    check(&script);
}

#[test]
fn a_hold_that_is_due_but_not_yet_swept_is_expired_all_the_same() {
    let many = SWEEP_MAX + 3;
    for (command, answer) in [
        ("settle h34 4", format!("closed {} at 4", SWEEP_MAX + 2)),
        ("void h34", format!("closed {} at 0", SWEEP_MAX + 2)),
        ("renew h34 4", "expired".to_owned()),
        ("reserve h34 10 floor=1 again", "refused attempt_conflict".to_owned()),
        ("reserve h34 10 floor=1", "refused attempt_conflict".to_owned()),
    ] {
        let mut script = String::new();
        (0..many).for_each(|n| script.push_str(&format!("reserve h{n:02} 10 floor=1\n")));
        script.push_str(&format!("wait 60s\n{command} -> {answer}\n"));
        check(&script);
    }
}

#[test]
fn what_the_meter_finds_suspect_is_flagged_on_the_record() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 4
        settle a 3 suspect=yes   -> closed 1 at 3
        reserve b 4
        settle b 3               -> closed 2 at 3
        records                  -> 1 a settled 3 suspect; 2 b settled 3
        ",
    );
}
