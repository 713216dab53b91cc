//! For whom limits count: keys, models, tags and end users, each for itself, beside the customer.

use super::harness::{World, check};
use crate::ledger::*;

#[test]
fn each_key_has_its_own_allowance_and_all_share_the_customers() {
    check(
        "
        key other other
        limits all=lifetime/hard/10 each=lifetime/hard/6,scope=key
        reserve a 6                        -> held, 0 left
        reserve b 1                        -> refused in_flight_budget_exhausted by each
        reserve b 4 key=other secret=other -> held, 0 left
        reserve c 1 key=other secret=other -> refused in_flight_budget_exhausted by all
        settle a 6
        settle b 1
        reserve c 1                        -> refused spend_limit_exceeded by each
        reserve c 3 key=other secret=other -> held, 0 left
        standing key:main                  -> each settled 6 held 0 left 0 from 2026-11-23T22:00:00.000Z
        standing key:other                 -> each settled 1 held 3 left 2 from 2026-11-23T22:00:00.000Z
        standing key:never                 -> each settled 0 held 0 left 6 from 2026-11-23T22:00:00.000Z
        ",
    );
}

#[test]
fn a_limit_may_name_one_party_and_leaves_the_others_alone() {
    check(
        "
        limits dear=day/hard/5,scope=model,value=o3
        reserve a 5 model=o3   -> held, 0 left
        reserve b 1 model=o3   -> refused in_flight_budget_exhausted by dear
        reserve b 100          -> held
        settle a 4
        limit dear             -> settled 4 held 0 left 1 from 2026-11-23T22:00:00.000Z
        reserve c 2 model=o3   -> refused spend_limit_exceeded by dear
        ",
    );
}

#[test]
fn tags_and_end_users_are_counted_each_for_itself_and_may_be_required() {
    check(
        "
        limits team=day/hard/5,scope=tag,required user=day/hard/3,scope=end_user
        reserve a 1                        -> refused tag_required
        reserve a 3 tag=red user=ann       -> held, 0 left
        reserve b 1 tag=red user=ann       -> refused in_flight_budget_exhausted by user
        reserve b 3 tag=red user=bob       -> refused in_flight_budget_exhausted by team
        reserve b 3 tag=blue user=bob      -> held, 0 left
        settle a 3
        settle b 2
        reserve c 1 tag=blue user=ann      -> refused spend_limit_exceeded by user
        reserve c 2 tag=blue user=ann      -> refused spend_limit_exceeded by user
        reserve c 4 tag=blue user=ann      -> refused request_exceeds_limit by user
        reserve c 3 tag=blue               -> held, 0 left
        limits user=day/hard/3,scope=end_user,required
        reserve d 1 tag=blue               -> refused end_user_required
        reserve d 1 user=ann               -> refused spend_limit_exceeded by user
        reserve d 1 user=bob               -> held, 0 left
        ",
    );
}

#[test]
fn no_end_user_stands_in_clear_where_use_is_counted() {
    let mut world = World::new(false);
    for line in [
        "limits user=day/hard/3,scope=end_user",
        "reserve a 1 user=ann@example.com",
        "settle a 1",
        "reserve b 9 user=ann@example.com",
    ] {
        world.line(line);
    }
    let parties = world.store.parties();
    assert_eq!(parties.len(), 1, "{parties:?}");
    assert!(parties.iter().all(|party| !party.value.contains("ann")), "{parties:?}");
}

#[test]
fn a_limit_set_for_the_first_time_says_from_when_it_counts() {
    check(
        "
        reserve a 4
        settle  a 4
        wait 3600s
        limits each=day/hard/5,scope=key
        # What a key used before any limit counted keys is not known, and not called zero.
        standing key:main    -> each settled 0 held 0 left 5 from 2026-11-23T23:00:00.000Z
        reserve b 3
        settle  b 3
        limits
        reserve c 1
        settle  c 1
        # Once counted, keys are counted for ever: a limit that comes back has missed nothing.
        limits each=day/hard/5,scope=key
        standing key:main    -> each settled 4 held 0 left 1 from 2026-11-23T23:00:00.000Z
        clock 2026-11-24T00:00:00Z
        standing key:main    -> each settled 0 held 0 left 5
        ",
    );
}

#[test]
fn an_attempt_moves_its_parties_sums_to_the_very_end() {
    check(
        "
        limits each=lifetime/hard/100,scope=key m=lifetime/hard/100,scope=model
        reserve a 10 floor=2
        reserve b 10 floor=2
        reserve c 10
        void c
        wait 60s
        sweep
        standing key:main    -> each settled 4 held 0 left 96 from 2026-11-23T22:00:00.000Z
        settle a 7           # late
        void b               # late
        standing key:main    -> each settled 7 held 0 left 93 from 2026-11-23T22:00:00.000Z
        standing model:gpt   -> m settled 7 held 0 left 93 from 2026-11-23T22:00:00.000Z
        ",
    );
}

#[test]
fn more_parties_than_memory_holds_are_counted_all_the_same() {
    let mut world = World::new(false);
    world.line("limits each=day/hard/5,scope=tag");
    for n in 0..=PARTIES_MAX {
        assert_eq!(world.line(&format!("reserve a{n} 3 tag=t{n}")), "held, 2 left");
        world.line(&format!("settle a{n} 3"));
    }
    // The first was let go to make room for the last, and is looked up again.
    let answer = world.line("reserve again 3 tag=t0");
    assert_eq!(answer, "refused spend_limit_exceeded by each");
}

#[test]
fn a_party_that_was_not_looked_up_stops_the_operation_and_is_never_called_unused() {
    let mut world = World::new(false);
    world.line("limits each=day/hard/5,scope=tag");
    world.forgets_to_look_up = true;
    assert_eq!(world.line("reserve a 1 tag=red"), "broken NotLookedUp");
    world.forgets_to_look_up = false;
    assert_eq!(world.line("reserve a 1 tag=red"), "held, 4 left");
}

#[test]
fn the_customers_own_caps_tighten_and_can_do_nothing_else() {
    check(
        "
        limits all=lifetime/hard/10
        caps mine=day/hard/4 all=lifetime/hard/1000
        reserve a 5    -> refused request_exceeds_limit by mine
        reserve a 4    -> held, 0 left
        caps all=lifetime/hard/1000
        reserve b 7    -> refused in_flight_budget_exhausted by all
        reserve b 11   -> refused request_exceeds_limit by all
        limits all=lifetime/hard/3      # the operator's word leaves the caps alone
        caps mine=day/hard/2
        limits all=lifetime/hard/100
        reserve b 3    -> refused request_exceeds_limit by mine
        caps
        reserve b 96   -> held, 0 left
        ",
    );
    let mut world = World::empty(false);
    assert_eq!(world.line("caps a=day/hard/1"), "invalid: this customer does not exist");
}

#[test]
fn limits_are_checked_before_they_are_in_force() {
    check(
        "
        limits a=day/hard/1,zone=Europe/Nowhere -> invalid: limit a: \"Europe/Nowhere\" is not an IANA time zone such as \"Europe/Berlin\"
        limits @zone=Mars/Base    -> invalid: \"Mars/Base\" is not an IANA time zone such as \"Europe/Berlin\"
        limits a=period/hard/1    -> invalid: limit a: the window period needs an anchor, and no other has one
        limits a=day/hard/1,anchor=2026-01-31T00:00:00Z -> invalid: limit a: the window period needs an anchor, and no other has one
        limits a=period/hard/1,anchor=2026-01-31T00:00:01Z -> invalid: limit a: an anchor is a quarter of an hour, such as 2026-01-31T00:00:00Z
        limits a=day/hard/1.5,measure=tokens -> invalid: limit a: tokens, requests and concurrency are whole numbers
        limits a=day/hard/1,measure=concurrency -> invalid: limit a: every measure but concurrency needs a window, and that has none
        limits a=-/hard/1         -> invalid: limit a: every measure but concurrency needs a window, and that has none
        limits a=day/hard/1,value=x -> invalid: limit a: a value names one key, model, tag or end user, in at most 128 bytes
        limits a=day/hard/1,scope=end_user,value=x -> invalid: limit a: end users are limited each for itself: leave the value out
        limits a=day/hard/1,scope=key,required -> invalid: limit a: only a tag or end user can be required
        limits a=day/hard/1,raise=-1@2026-12-01T00:00:00Z -> invalid: limit a: the amount is below zero
        caps a=day/hard/1 a=day/hard/2 -> invalid: limit a: the id is given twice
        rows                      -> none
        ",
    );
}
