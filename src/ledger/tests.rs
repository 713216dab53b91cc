//! The ledger's rules, one script each; the language is explained in `harness`.
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string, // scripts and answers are put together for reading
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod access;
mod alerts;
mod batches;
mod charges;
mod credit;
mod endings;
mod fits;
mod harness;
mod jobs;
mod limits;
mod measures;
mod once;
mod outcomes;
mod price;
mod scopes;
mod stopping;
pub mod terms;
mod windows;
mod words;

use harness::check;

#[test]
fn golden_script_of_two_phase_transfers_with_our_three_deviations() {
    check(
        "
        limits all=lifetime/hard/70
        ttl 1000s
        reserve t1 15
        settle  t1 15          -> closed 1 at 15
        reserve t2 15
        ttl 50s
        reserve t3 15
        ttl 1s
        reserve t4 15
        ttl 50s
        reserve t5 7
        ttl 1000s
        reserve t6 1
        reserve t7 1           -> held, 1 left
        status                 -> ok settled 15 held 54 open 6 exposure 54
        wait 1s                                # t4 expires at this very instant
        settle t2 13           -> closed 3 at 13
        settle t2 14           -> conflict with 3
        settle t2 13           -> replayed 3 at 13
        void   t2              -> conflict with 3
        void   t3              -> closed 4 at 0
        settle t3 15           -> conflict with 4
        void   t3              -> replayed 4 at 0
        void   t4              -> closed 5 at 0   # deviation: late, as a correction
        settle t5 8            -> closed 6 at 8   # deviation: above the hold, all of it
        settle t5 7            -> conflict with 6
        settle t5 8            -> replayed 6 at 8
        settle t5 0            -> conflict with 6
        settle t6 1            -> closed 7 at 1
        settle t7 0            -> closed 8 at 0
        settle t7 0            -> replayed 8 at 0
        void   t7              -> conflict with 8
        records -> 1 t1 settled 15; 2 t4 unresolved 0 counted; 3 t2 settled 13; 4 t3 voided 0; 5 t4 voided 0 corrects 2 of 0 late correction; 6 t5 settled 8 overage; 7 t6 settled 1; 8 t7 settled 0
        status                 -> ok settled 37 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn golden_script_of_expired_transfers_which_here_settle_late() {
    check(
        "
        ttl 1000s
        reserve t1 10
        ttl 1s
        reserve t2 11
        ttl 2s
        reserve t3 12
        ttl 3s
        reserve t4 13
        status         -> ok settled 0 held 46 open 4 exposure 46
        wait 1s
        status         -> ok settled 0 held 35 open 3 exposure 35
        wait 1s
        status         -> ok settled 0 held 23 open 2 exposure 23
        wait 1s
        status         -> ok settled 0 held 10 open 1 exposure 10
        settle t1 10   -> closed 4 at 10
        settle t2 11   -> closed 5 at 11
        settle t3 12   -> closed 6 at 12
        settle t4 13   -> closed 7 at 13
        records -> 1 t2 unresolved 0 counted; 2 t3 unresolved 0 counted; 3 t4 unresolved 0 counted; 4 t1 settled 10; 5 t2 settled 11 corrects 1 of 0 late correction; 6 t3 settled 12 corrects 2 of 0 late correction; 7 t4 settled 13 corrects 3 of 0 late correction
        status         -> ok settled 46 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn golden_script_of_balancing_transfers_where_the_caller_asks_for_what_is_left() {
    // A ledger that balances hands out what is left. Here the refusal says what is left, and the
    // caller asks for it: a client is told what its request was clamped to before it is sent.
    check(
        "
        limits all=lifetime/hard/10
        reserve t1 3     -> held, 7 left
        reserve t2 13    -> refused request_exceeds_limit by all
        limit all        -> settled 0 held 3 left 7
        reserve t2 7     -> held, 0 left
        reserve t3 1     -> refused in_flight_budget_exhausted by all
        limit all        -> settled 0 held 10 left 0
        reserve t3 0     -> held, 0 left
        settle t1 3      -> closed 1 at 3
        settle t2 5      -> closed 2 at 5
        status           -> warn settled 8 held 0 open 1 exposure 0
        records          -> 1 t1 settled 3; 2 t2 settled 5
        ",
    );
}

#[test]
fn golden_script_of_precedence_and_overflow_where_a_failed_id_may_be_used_again() {
    let most = "79228162514264337593543950335";
    check(&format!(
        "
        limits all=lifetime/hard/100
        # Each line mends the gravest fault of the one before.
        reserve t1 {most} key=nobody currency=EUR -> refused invalid_key
        key old old
        revoke old
        reserve t1 {most} key=old secret=old currency=EUR -> refused key_disabled
        reserve t0 1
        reserve t0 {most} currency=EUR            -> refused attempt_conflict
        reserve t1 {most} currency=EUR            -> refused currency_mismatch
        reserve t1 {most}                         -> refused amount_out_of_range   # of the sum
        reserve t1 100 floor=101                  -> refused amount_out_of_range
        reserve t1 101                            -> refused request_exceeds_limit by all
        settle  t0 1
        reserve t1 100                            -> refused spend_limit_exceeded by all
        reserve t2 9
        reserve t1 99                             -> refused in_flight_budget_exhausted by all
        reserve t1 90                             -> held, 0 left   # deviation: the id was not burnt
        settle  t1 {most}                         -> broken OutOfRange
        settle  t1 90                             -> closed 2 at 90
        "
    ));
}
