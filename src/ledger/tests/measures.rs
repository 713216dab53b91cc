//! What limits count beside money, rates, raises, and the order of refusals among them.

use super::harness::{World, check};
use crate::ledger::*;

#[test]
fn tokens_are_held_at_their_most_and_settled_by_what_was_used() {
    check(
        "
        limits tok=day/hard/1000,measure=tokens
        reserve a 1 tokens=1001  -> refused request_exceeds_limit by tok
        reserve a 1 tokens=900   -> held
        limit tok                -> settled 0 held 900 left 100
        reserve b 1 tokens=101   -> refused in_flight_budget_exhausted by tok
        settle a input_total=100 output_total=150
        limit tok                -> settled 250 held 0 left 750
        reserve b 1 tokens=751   -> refused spend_limit_exceeded by tok
        reserve b 1 tokens=750   -> held
        void b
        limit tok                -> settled 250 held 0 left 750
        ",
    );
}

#[test]
fn an_expired_attempt_used_the_input_that_was_counted_until_someone_knows_better() {
    check(
        "
        limits tok=day/hard/1000,measure=tokens req=day/hard/3,measure=requests
        reserve a 50 input=40 floor=40 tokens=90
        wait 60s
        sweep
        limit tok                -> settled 40 held 0 left 960
        limit req                -> settled 1 held 0 left 2
        settle a input_total=40 output_total=30
        limit tok                -> settled 70 held 0 left 930
        limit req                -> settled 1 held 0 left 2
        reserve b 50 input=40 floor=40 tokens=90
        wait 60s
        void b                   # late: it was never used after all
        limit tok                -> settled 70 held 0 left 930
        limit req                -> settled 1 held 0 left 2
        ",
    );
}

#[test]
fn a_rate_refuses_until_its_window_is_over_and_says_how_long() {
    check(
        "
        clock 2026-11-23T22:00:20Z
        limits rpm=minute/hard/2,measure=requests
        reserve a 1     -> held
        reserve b 1     -> held
        reserve c 1     -> refused rate_limit_exceeded by rpm
        settle a 1
        void b          # what was never served does not count
        reserve c 1     -> held
        settle c 1
        reserve d 1     -> refused rate_limit_exceeded by rpm
        limit rpm       -> settled 2 held 0 left 0 from 2026-11-23T22:00:20.000Z
        clock 2026-11-23T22:00:59.999Z
        reserve d 1     -> refused rate_limit_exceeded by rpm
        wait 1ms
        reserve d 1     -> held
        limit rpm       -> settled 0 held 1 left 1
        ",
    );
    let mut world = World::new(false);
    world.line("limits rpm=minute/hard/0,measure=requests tpm=minute/hard/5,measure=tokens");
    world.line("clock 2026-11-23T22:00:20.500Z");
    let reserve = super::harness::parse("reserve", &["a", "1", "tokens=1"]);
    let Reply::Refused(refusal) = world.apply(&reserve).unwrap() else { panic!() };
    assert_eq!(refusal.code, RefusalCode::RequestExceedsLimit, "a rate of none fits nothing");
    world.line("limits tpm=minute/hard/5,measure=tokens");
    world.line("reserve a 1 tokens=5");
    let reserve = super::harness::parse("reserve", &["b", "1", "tokens=1"]);
    let Reply::Refused(refusal) = world.apply(&reserve).unwrap() else { panic!() };
    assert_eq!(refusal.reset_seconds, Some(40));
    assert_eq!((refusal.needed, refusal.limit.unwrap().unit), (1.into(), "tokens".into()));
}

#[test]
fn what_ran_in_this_minute_is_known_after_a_restart() {
    // `check` loads the ledger anew before every command.
    check(
        "
        limits tpm=minute/hard/10,measure=tokens each=minute/hard/9,measure=tokens,scope=key
        reserve a 1 tokens=9
        settle a input_total=3 output_total=5
        reserve b 1 tokens=3  -> refused rate_limit_exceeded by tpm
        reserve b 1 tokens=2  -> refused rate_limit_exceeded by each
        reserve b 1 tokens=1  -> held
        limit tpm             -> settled 8 held 1 left 1
        ",
    );
}

#[test]
fn what_runs_at_once_is_limited_whatever_the_time() {
    check(
        "
        limits par=-/hard/2,measure=concurrency each=-/hard/1,measure=concurrency,scope=end_user
        reserve a 1 user=ann  -> held
        reserve b 1 user=ann  -> refused in_flight_budget_exhausted by each
        reserve b 1 user=bob  -> held
        reserve c 1           -> refused in_flight_budget_exhausted by par
        renew a 0
        wait 59s
        renew a 0
        settle b 1
        reserve c 1           -> held
        limit par             -> settled 0 held 2 left 0
        wait 60s              # both expire
        limit par             -> settled 0 held 0 left 2
        limits par=-/hard/0,measure=concurrency
        reserve d 1           -> refused request_exceeds_limit by par
        ",
    );
}

#[test]
fn a_raise_is_over_by_itself_and_never_lowers() {
    check(
        "
        limits day=day/hard/10,raise=15@2026-11-23T22:30:00Z
        reserve a 12   -> held, 3 left
        settle a 12
        reserve b 3    -> held, 0 left
        settle b 1
        clock 2026-11-23T22:29:59.999Z
        reserve c 2    -> held, 0 left
        void c
        wait 1ms
        reserve d 1    -> refused spend_limit_exceeded by day
        limit day      -> settled 13 held 0 left -3
        limits day=day/hard/10,raise=5@2026-12-01T00:00:00Z
        limit day      -> settled 13 held 0 left -3
        ",
    );
}

#[test]
fn the_gravest_objection_is_told_whatever_the_order_of_limits() {
    check(
        "
        limits rpm=minute/hard/1,measure=requests day=day/hard/5 par=-/hard/1,measure=concurrency
        reserve a 5
        reserve b 6    -> refused request_exceeds_limit by day
        reserve b 1    -> refused rate_limit_exceeded by rpm
        settle a 5
        reserve b 1    -> refused spend_limit_exceeded by day
        wait 60s
        reserve b 1    -> refused spend_limit_exceeded by day
        limits par=-/hard/1,measure=concurrency day=day/hard/50
        reserve b 45   -> held, 0 left
        reserve c 1    -> refused in_flight_budget_exhausted by par
        ",
    );
}

#[test]
fn an_answers_headers_are_made_from_the_first_hard_limits() {
    let mut world = World::new(false);
    world.line(
        "limits warn=day/soft/1 rpm=minute/hard/60,measure=requests month=month/hard/100 \
         tag=day/hard/9,scope=tag all=lifetime/hard/1000 par=-/hard/8,measure=concurrency",
    );
    let reserve = super::harness::parse("reserve", &["a", "2.5", "tag=red"]);
    let Reply::Held { standings, .. } = world.apply(&reserve).unwrap() else { panic!() };
    let told = crate::api::limit_headers(&standings, "USD");
    let expected = [
        (
            "ratelimit-policy",
            r#""rpm";q=60;w=60, "month";q=100000000;qu="micro-usd";w=2592000, "tag";q=9000000;qu="micro-usd";w=86400, "all";q=1000000000;qu="micro-usd""#,
        ),
        (
            "ratelimit",
            r#""rpm";r=59;t=60, "month";r=97500000;t=612000, "tag";r=6500000;t=7200, "all";r=997500000"#,
        ),
    ];
    assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn refusals_are_counted_by_code_for_a_day() {
    let mut world = World::new(true);
    for line in [
        "limits all=lifetime/hard/10",
        "reserve a 11",
        "reserve a 12",
        "reserve a 1 key=nobody",
        "clock 2026-11-24T21:59:59Z",
        "reserve a 13",
    ] {
        world.line(line);
    }
    let refused = |world: &mut World| -> Vec<(RefusalCode, u64)> {
        let Reply::Status(snapshot) = world.apply(&Command::Status).unwrap() else { panic!() };
        snapshot.refused.iter().map(|refused| (refused.code, refused.count)).collect()
    };
    let all = vec![(RefusalCode::InvalidKey, 1), (RefusalCode::RequestExceedsLimit, 3)];
    assert_eq!(refused(&mut world), all);
    world.line("clock 2026-11-24T22:00:00Z");
    assert_eq!(refused(&mut world), [(RefusalCode::RequestExceedsLimit, 1)]);
}
