//! What is charged, and what the record says of it.

use super::harness::{World, attempt, check};

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
fn what_another_model_did_inside_an_answer_is_charged_at_its_own_rates() {
    check(
        "
        reserve a 100
        settle a 4 apart=other:3@5    -> closed 1 at 19
        reserve b 100
        settle b 4 apart=unsold:3     -> closed 2 at 4
        reserve c 100
        settle c 4 part=other:4@5     -> closed 3 at 20
        reserve d 100
        settle d 4 part=unsold:4      -> closed 4 at 4
        records -> 1 a settled 19; 2 b settled 4 unpriced; 3 c settled 20; 4 d settled 4
        ",
    );
}

#[test]
fn an_answer_that_tells_nothing_its_model_is_sold_by_does_not_pass_as_free() {
    check(
        "
        reserve a 10 sold=seconds
        settle a -             -> closed 1 at 0
        reserve b 10 sold=seconds
        settle b seconds=3     -> closed 2 at 3
        records                -> 1 a settled 0 unpriced; 2 b settled 3
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
