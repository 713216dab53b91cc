//! Attempts that go on behind their answer.

use super::harness::{check, parse};
use crate::ledger::{Command, JOB_ID_MAX};

#[test]
fn a_jobs_hold_stands_until_its_end_is_told_and_is_settled_once() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 4
        park a job-1 3600s       -> held
        rows                     -> 1 hold, 1 job
        wait 3599s               # sixty lives of an ordinary hold
        status                   -> ok settled 0 held 4 open 1 exposure 4
        reserve b 7              -> refused in_flight_budget_exhausted by all
        settle a 3               -> closed 1 at 3
        settle a 3               -> replayed 1 at 3
        settle a 5               -> conflict with 1
        status                   -> ok settled 3 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn a_job_whose_end_nobody_asked_for_is_unresolved_at_the_end_of_its_life_and_settles_late() {
    check(
        "
        reserve a 4 floor=1
        park a job-1 3600s
        wait 3600s
        sweep
        records                  -> 1 a unresolved 1 counted
        park a job-1 3600s       -> expired
        settle a 3               -> closed 2 at 3
        records                  -> 2 a settled 2 corrects 1 of 1 late correction
        ",
    );
}

#[test]
fn parking_again_or_renewing_never_shortens_a_jobs_life() {
    check(
        "
        reserve a 4
        park a job-1 3600s
        rows                     -> 1 hold, 1 job
        park a job-1 60s         -> held
        renew a 2                -> held
        wait 3599s
        status                   -> ok settled 0 held 4 open 1 exposure 2
        wait 1s
        status                   -> ok settled 2 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn a_jobs_name_belongs_to_the_attempt_that_brought_it() {
    check(
        "
        reserve a 4
        reserve b 4
        park a job-1 3600s
        park b job-1 3600s       -> invalid: the job belongs to another attempt
        rows                     -> none
        settle a 3
        park b job-1 3600s       -> invalid: the job belongs to another attempt
        park c job-2 3600s       -> expired
        wait 60s
        park b job-3 3600s       -> expired
        ",
    );
}

#[test]
fn a_name_without_letters_or_of_absurd_length_is_no_jobs() {
    for name in ["", &"x".repeat(JOB_ID_MAX + 1)] {
        let mut world = super::harness::World::new(false);
        world.line("reserve a 4");
        let Command::Park(park) = parse("park", &["a", name, "60s"]) else { panic!() };
        let answer = format!("{:?}", world.apply(&Command::Park(park)));
        assert!(answer.contains("Invalid"), "{answer}");
    }
}
