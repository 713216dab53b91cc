//! The ledger's rules, one script each; the language is explained in `harness`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod harness;

use harness::{World, attempt, check, check_one_life};

use super::*;

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
fn a_denial_burns_nothing() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 11         -> refused request_exceeds_limit by all
        rows                 -> none
        limits all=lifetime/hard/11
        reserve a 11 again   -> held, 0 left
        ",
    );
}

#[test]
fn refusals_come_in_order_of_precedence_and_the_limit_itself_is_allowed() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10.000000000001 -> refused request_exceeds_limit by all
        reserve a 10              -> held, 0 left
        settle  a 4
        reserve b 6.000000000001  -> refused spend_limit_exceeded by all
        reserve b 6               -> held, 0 left
        reserve c 0.000000000001  -> refused in_flight_budget_exhausted by all
        reserve c 6.1             -> refused spend_limit_exceeded by all
        reserve c 10.1            -> refused request_exceeds_limit by all
        reserve c 0               -> held, 0 left
        settle  b 6
        reserve d 0               -> held, 0 left
        reserve e 0.1             -> refused spend_limit_exceeded by all
        status                    -> stopped settled 10 held 0 open 2 exposure 0
        ",
    );
}

#[test]
fn every_limit_must_agree_and_the_gravest_objection_is_named() {
    check(
        "
        limits day=day/hard/5 month=month/hard/8 all=lifetime/hard/100
        reserve a 5   -> held, 0 left
        settle  a 5
        reserve b 4   -> refused spend_limit_exceeded by day
        reserve b 6   -> refused request_exceeds_limit by day
        reserve b 9   -> refused request_exceeds_limit by day
        clock 2026-11-24T00:00:00Z
        reserve b 4   -> refused spend_limit_exceeded by month
        reserve b 3   -> held, 0 left
        limit day     -> settled 0 held 3 left 2
        limit month   -> settled 5 held 3 left 0
        limit all     -> settled 5 held 3 left 92
        reserve c 1   -> refused in_flight_budget_exhausted by month
        reserve c 3   -> refused in_flight_budget_exhausted by day
        reserve c 4   -> refused spend_limit_exceeded by month
        ",
    );
}

#[test]
fn a_soft_limit_warns_and_never_refuses() {
    check(
        "
        limits warn=day/soft/10
        reserve a 100 -> held
        status        -> ok settled 0 held 100 open 1 exposure 100
        settle a 10
        status        -> warn settled 10 held 0 open 0 exposure 0
        reserve b 1   -> held
        limit warn    -> settled 10 held 1 left -1
        ",
    );
}

#[test]
fn four_fifths_of_a_hard_limit_warn_and_all_of_it_stops() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10
        settle a 7.999999999999
        status        -> ok settled 7.999999999999 held 0 open 0 exposure 0
        reserve b 2
        settle b 0.000000000001
        status        -> warn settled 8 held 0 open 0 exposure 0
        reserve c 2
        settle c 2
        status        -> stopped settled 10 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn a_request_is_charged_to_the_window_of_its_reserve() {
    check(
        "
        limits day=day/hard/10 all=lifetime/hard/100
        clock 2026-11-23T23:59:59.999Z
        reserve a 10   -> held, 0 left
        reserve b 1    -> refused in_flight_budget_exhausted by day
        wait 1ms
        limit day      -> settled 0 held 0 left 10
        reserve b 10   -> held, 0 left
        settle a 12
        limit day      -> settled 0 held 10 left 0
        limit all      -> settled 12 held 10 left 78
        settle b 4
        limit day      -> settled 4 held 0 left 6
        wait 60s
        reserve c 6    -> held, 0 left
        ",
    );
}

#[test]
fn a_late_settle_is_charged_to_the_window_of_its_reserve_too() {
    check(
        "
        limits day=day/hard/10 month=month/hard/100
        clock 2026-11-30T23:59:30Z
        reserve a 10 floor=2
        clock 2026-12-01T00:00:30Z
        limit month    -> settled 0 held 0 left 100
        reserve b 10   -> held, 0 left
        settle a 9     -> closed 2 at 9
        limit day      -> settled 0 held 10 left 0
        limit month    -> settled 0 held 10 left 90
        status         -> ok settled 9 held 10 open 1 exposure 10
        ",
    );
}

#[test]
fn a_limit_lowered_below_the_spend_stops_new_requests_only() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 4
        settle  a 4
        reserve b 5
        limits all=lifetime/hard/3
        limit all      -> settled 4 held 5 left -6
        reserve c 0.1  -> refused spend_limit_exceeded by all
        settle  b 5    -> closed 2 at 5
        limit all      -> settled 9 held 0 left -6
        limits
        reserve c 1000 -> held
        ",
    );
}

#[test]
fn a_limit_set_later_counts_what_was_spent_and_held_before() {
    check(
        "
        reserve a 4
        settle  a 4
        reserve b 5
        limits day=day/hard/10 month=month/hard/8
        limit day      -> settled 4 held 5 left 1
        reserve c 1    -> refused in_flight_budget_exhausted by month
        ",
    );
}

#[test]
fn an_attempt_settled_above_its_hold_is_charged_in_full_and_flagged() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 10
        settle  a 25   -> closed 1 at 25
        records        -> 1 a settled 25 overage
        limit all      -> settled 25 held 0 left -15
        reserve b 0    -> refused spend_limit_exceeded by all
        ",
    );
}

#[test]
fn a_key_must_be_known_have_the_right_secret_and_be_in_force() {
    check(
        "
        reserve a 1 key=nobody             -> refused invalid_key
        reserve a 1 secret=wrong           -> refused invalid_key
        reserve a 1                        -> held
        revoke main                        -> done
        reserve b 1                        -> refused key_disabled
        reserve a 1                        -> refused key_disabled
        reserve a 1 secret=wrong           -> refused invalid_key
        settle a 1                         -> closed 1 at 1   # what runs is settled all the same
        revoke nobody                      -> invalid: there is no key nobody
        key main other
        reserve b 1                        -> refused invalid_key
        reserve b 1 secret=other           -> held
        ",
    );
}

#[test]
fn a_customer_that_was_never_created_is_refused_everything() {
    World::empty(false).run(
        "
        key main main  -> invalid: create the customer before its keys
        reserve a 1    -> refused invalid_key
        settle a 1     -> unknown attempt
        status         -> invalid: this customer does not exist
        sweep          -> done
        limits
        ",
    );
}

#[test]
fn the_price_books_currency_must_be_the_customers() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 1 currency=EUR  -> refused currency_mismatch
        reserve a 11 currency=EUR -> refused currency_mismatch
        rows                      -> none
        ",
    );
}

#[test]
fn the_same_command_again_gives_the_same_answer_and_writes_nothing() {
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
        rows                     -> 1 delete, 1 hour, 1 record
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
fn another_command_for_the_same_attempt_conflicts_and_changes_nothing() {
    check(
        "
        reserve a 4
        reserve a 5              -> refused attempt_conflict
        reserve a 4 model=other  -> refused attempt_conflict
        rows                     -> none
        settle a 3
        settle a 4               -> conflict with 1
        rows                     -> none
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
fn a_hold_ends_at_the_exact_instant_and_not_a_millisecond_earlier() {
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
fn the_command_that_finds_a_hold_expired_is_late_not_lost() {
    check(
        "
        reserve a 4 floor=1
        wait 60s
        settle a 3         -> closed 2 at 3
        rows               -> 1 delete, 1 expire, 2 hour, 2 record
        reserve b 4 floor=1
        wait 60s
        void b             -> closed 4 at 0
        reserve c 4 floor=1
        wait 60s
        reserve c 4 again  -> refused attempt_conflict
        rows               -> 1 expire, 1 hour, 1 record
        settle c 2         -> closed 6 at 2
        records            -> 1 a unresolved 1 counted; 2 a settled 2 corrects 1 of 1 late correction; 3 b unresolved 1 counted; 4 b voided -1 corrects 3 of 1 late correction; 5 c unresolved 1 counted; 6 c settled 1 corrects 5 of 1 late correction
        ",
    );
}

#[test]
fn a_hold_that_was_swept_before_is_settled_late_the_same_way() {
    check(
        "
        reserve a 4 floor=1
        wait 61s
        sweep
        rows               -> 1 expire, 1 hour, 1 record
        renew a 3          -> expired
        reserve a 4 again  -> refused attempt_conflict
        settle a 3         -> closed 2 at 3
        rows               -> 1 delete, 1 hour, 1 record
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
fn what_is_never_heard_of_again_is_charged_at_its_floor() {
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
fn input_that_nobody_reported_is_charged_as_counted_at_admission() {
    check(
        "
        reserve a 10 input=4
        settle a -                -> closed 1 at 4
        reserve b 10 input=4
        settle b output_total=3   -> closed 2 at 7
        reserve c 10 input=4
        settle c input_total=2 output_total=3 -> closed 3 at 5
        records                   -> 1 a settled 4 counted; 2 b settled 7 counted; 3 c settled 5
        ",
    );
}

#[test]
fn what_was_served_is_charged_at_the_rates_of_its_tier() {
    check(
        "
        reserve a 10
        settle a 4 tier=flex      -> closed 1 at 2
        reserve b 10
        settle b 4 tier=default   -> closed 2 at 4
        reserve c 10
        settle c 4 tier=scale     -> closed 3 at 4
        records                   -> 1 a settled 2; 2 b settled 4; 3 c settled 4 unpriced
        ",
    );
}

#[test]
fn a_meter_without_a_rate_is_flagged_never_silently_free() {
    check(
        "
        reserve a 10
        settle a 4 web_search_requests=1  -> closed 1 at 4
        reserve b 10
        settle b output_total=4 input_uncached=0 cache_write_1h=5 -> closed 2 at 4
        reserve c 10
        settle c output_total=4 input_total=5 cache_write_5m=5    -> closed 3 at 4
        records -> 1 a settled 4 unpriced; 2 b settled 4 unpriced; 3 c settled 4 unpriced
        ",
    );
}

#[test]
fn a_clock_that_goes_backwards_brings_nothing_back() {
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
         rows                       -> {SWEEP_MAX} expire, {SWEEP_MAX} hour, {SWEEP_MAX} record
         sweep
         rows                       -> 3 expire, 3 hour, 3 record
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
fn numbers_too_large_to_be_exact_are_refused_before_they_can_do_harm() {
    check(
        "
        reserve a 10
        settle a 10
        reserve b 1 floor=2                        -> refused amount_out_of_range
        reserve b -1                               -> refused amount_out_of_range
        # 28 places beside 10 need 29 digits: its expiry could never be written.
        reserve b 1 floor=0.0000000000000000000000000001 -> refused amount_out_of_range
        reserve b 0.0000000000000000000000000001   -> refused amount_out_of_range
        reserve b 79228162514264337593543950335    -> refused amount_out_of_range
        rows                                       -> none
        reserve b 1                                -> held
        settle b 79228162514264337593543950335     -> broken OutOfRange
        settle b 1                                 -> closed 2 at 1
        ",
    );
}

#[test]
fn what_the_operator_changes_is_checked_first() {
    let mut too_many = String::from("limits");
    (0..=LIMITS_MAX).for_each(|n| too_many.push_str(&format!(" l{n}=day/hard/1")));
    check(&format!(
        "
        limits a=day/hard/-1               -> invalid: limit a: the amount is below zero
        limits a=day/hard/1 a=month/hard/2 -> invalid: limit a: the id is given twice
        limits a=day/hard/1000000000001    -> invalid: limit a: at most 1000000000000 with 16 places is possible
        limits a=day/hard/0.00000000000000001 -> invalid: limit a: at most 1000000000000 with 16 places is possible
        {too_many} -> invalid: at most 32 limits are possible
        rows                               -> none
        reserve a 1000000                  -> held
        "
    ));
    let mut world = World::new(false);
    for (customer, currency, problem) in [
        ("other", "USD", "this ledger belongs to customer acme"),
        ("acme", "EUR", "the currency is USD and cannot be changed"),
        ("acme", "usd", "currency \"usd\" is not an ISO 4217 code such as \"USD\""),
    ] {
        let (customer, currency) = (customer.parse().unwrap(), currency.to_owned());
        let put = Admin::PutCustomer { customer, currency, limits: Vec::new() };
        let reply = world.apply(&Command::Admin(put)).unwrap();
        assert_eq!(reply, Reply::Invalid(problem.to_owned()));
    }
    for n in 1..KEYS_MAX {
        assert_eq!(world.line(&format!("key k{n} s")), "done");
    }
    assert_eq!(world.line("key onemore s"), "invalid: at most 1000 keys are possible");
    assert_eq!(world.line("key k1 another"), "done", "a known key may always be replaced");
}

#[test]
fn a_refusal_says_all_that_is_needed_to_act_on_it() {
    let mut world = World::new(false);
    for line in ["limits day=day/hard/10", "reserve a 3", "settle a 2.5", "reserve b 4"] {
        world.line(line);
    }
    let reserve = harness_reserve("c", "5");
    let Reply::Refused(refusal) = world.apply(&reserve).unwrap() else { panic!() };
    assert_eq!(refusal.code, RefusalCode::InFlightBudgetExhausted);
    assert_eq!((refusal.needed.to_string(), refusal.currency.as_str()), ("5".into(), "USD"));
    let limit = refusal.limit.unwrap();
    let numbers = [limit.limit, limit.settled, limit.held, limit.remaining];
    assert_eq!(numbers.map(|number| number.to_string()), ["10", "2.5", "4", "3.5"]);
    assert_eq!(limit.window_start.to_string(), "2026-11-23T00:00:00.000Z");
    assert_eq!(limit.resets_at.unwrap().to_string(), "2026-11-24T00:00:00.000Z");
}

fn harness_reserve(name: &str, amount: &str) -> Command {
    harness::parse("reserve", &[name, amount])
}

#[test]
fn a_key_is_in_force_only_with_its_secret_and_until_revoked() {
    let mut world = World::new(false);
    let check_key = |key: &str, secret: &str| Command::CheckKey {
        key_id: key.parse().unwrap(),
        secret_sha256: crate::record::Digest::of(&[secret.as_bytes()]),
    };
    let refused = Reply::Invalid("the key is not in force".into());
    assert_eq!(world.apply(&check_key("main", "main")).unwrap(), Reply::Done);
    assert_eq!(world.apply(&check_key("main", "mein")).unwrap(), refused);
    assert_eq!(world.apply(&check_key("other", "main")).unwrap(), refused);
    world.line("revoke main");
    assert_eq!(world.apply(&check_key("main", "main")).unwrap(), refused);
}

#[test]
fn an_end_user_stands_in_records_under_one_pseudonym_and_never_in_clear() {
    for restarts in [false, true] {
        let mut world = World::new(restarts);
        for line in [
            "reserve a 1 user=bob@example.com",
            "settle a 1",
            "reserve b 1 user=eve@example.com",
            "reserve c 1 user=bob@example.com",
            "settle c 1",
            "wait 60s",
            "sweep",
            "reserve d 1",
            "settle d 1",
        ] {
            world.line(line);
        }
        let users: Vec<_> = world.records().into_iter().map(|r| r.admitted.end_user).collect();
        let [a, c, b, d] = users.as_slice() else { panic!("{users:?}") };
        assert_eq!(a.as_ref().unwrap().len(), 64);
        assert_eq!(a, c, "one end user, one pseudonym");
        assert_ne!(a, b);
        assert_eq!(*d, None);
        assert_eq!(world.store.subjects.len(), 2);
        for row in &world.store.records {
            assert!(!row.sealed.line().unwrap().contains("example.com"));
        }
        // Erased and back again, the same person is another pseudonym: the link is gone.
        world.store.subjects.clear();
        world.line("reserve e 1 user=bob@example.com");
        world.line("settle e 1");
        assert_ne!(world.records().last().unwrap().admitted.end_user, *a);
    }
}

#[test]
fn a_refused_request_leaves_no_trace_of_its_end_user() {
    let mut world = World::new(false);
    world.line("limits all=lifetime/hard/1");
    world.line("reserve a 2 user=bob");
    assert!(world.store.subjects.is_empty());
}

#[test]
fn the_private_part_holds_the_cost_and_the_record_does_not() {
    let mut world = World::new(false);
    world.line("reserve a 10");
    world.line("settle a 8");
    let sealed = &world.store.records[0].sealed;
    assert_eq!(
        sealed.private,
        r#"{"cost":"2","margin":"6","provider":"openai","upstream":"openai","v":1}"#
    );
    assert!(!sealed.canonical.contains("cost") && !sealed.canonical.contains("upstream\""));
    assert_eq!(world.records()[0].attempt_id, attempt("a"));
}
