//! Batches: one hold for many lines, each charged once.
//!
//! | line | meaning |
//! |---|---|
//! | `keep f1` | a file of requests |
//! | `open a b1 3600s dearest=5 models=gpt,mini hold` | the attempt `a` is the batch `b1` |
//! | `seen b1 completed succeeded=2 usage=7` · `seen b1 failed nothing` · `seen b1 in_progress` | |
//! | `lose a` | the provider did not say the name of the batch `a` |
//! | `post b1 x=3 y=2 whole` | lines by custom id and cost; `x=3/mini` of a model, `x=3/?` of none known |

use std::collections::HashMap;

use proptest::prelude::*;

use super::harness::{START, World, attempt, check, length, rates, unresolved};
use crate::ledger::*;
use crate::money::Exact;
use crate::quote::{ManyAtMost, Worst};
use crate::record::{Class, Digest, Flag};
use crate::wire::usage::{Meter, Usage};

pub fn parse(command: &str, arguments: &[&str], options: &HashMap<&str, &str>) -> Command {
    Command::Batch(match command {
        "open" => BatchCommand::Open {
            batch_id: arguments[1].into(),
            attempt_id: attempt(arguments[0]),
            forecast: Box::new(forecast(options)),
            life: length(arguments[2]),
            unresolved: unresolved(arguments),
        },
        "keep" => BatchCommand::Keep {
            file_id: arguments[0].into(),
            forecast: Box::new(forecast(options)),
        },
        "seen" => BatchCommand::Seen {
            batch_id: arguments[0].into(),
            seen: Box::new(seen(arguments, options)),
        },
        "lose" => BatchCommand::Lost { attempt_id: attempt(arguments[0]) },
        _ => BatchCommand::Post {
            batch_id: arguments[0].into(),
            lines: arguments.iter().skip(1).filter_map(|word| line(word)).collect(),
            whole: arguments.last() == Some(&"whole"),
            at: START.parse().unwrap(),
        },
    })
}

fn forecast(options: &HashMap<&str, &str>) -> Forecast {
    let number = |name: &str| options.get(name).map_or(Exact::from(4), |n| n.parse().unwrap());
    let models = options.get("models").unwrap_or(&"gpt").split(',');
    // The first costs a dollar a token, the next two …
    let prices = models.enumerate().map(|(at, model)| ModelPrices {
        model: model.to_owned(),
        pinned: Pinned {
            provider: "openai".into(),
            upstream: "openai".into(),
            rates: rates("100"),
            tiers: [("batch".to_owned(), rates(&(at + 1).to_string()))].into(),
            context: Vec::new(),
            cost: None,
            below_margin: false,
            input_least: 0,
        },
        most: None,
    });
    Forecast {
        upstream: "openai".into(),
        endpoint: "/v1/chat/completions".into(),
        lines: 3,
        prices: prices.collect(),
        held: Exact::ZERO,
        floor: Exact::ZERO,
        dearest: number("dearest"),
        input_least: 0,
        book_version: "2026-11-01".into(),
        currency: "USD".into(),
    }
}

fn tokens(count: &str) -> Usage {
    let mut usage = Usage::default();
    usage.report(Meter::InputTotal, Some(Exact::ZERO));
    usage.report(Meter::OutputTotal, Some(count.parse().unwrap()));
    usage
}

fn seen(arguments: &[&str], options: &HashMap<&str, &str>) -> Seen {
    Seen {
        status: arguments[1].to_owned(),
        ended: arguments[1] != "in_progress",
        succeeded: options.get("succeeded").map(|lines| lines.parse().unwrap()),
        has_results: !arguments.contains(&"nothing"),
        usage: options.get("usage").map(|count| tokens(count)),
        answers: options.get("file").map(|file| (*file).to_owned()),
        errors: None,
    }
}

fn line(word: &str) -> Option<BatchLine> {
    let (id, what) = word.split_once('=')?;
    let (count, model) = what.split_once('/').unwrap_or((what, "gpt"));
    Some(BatchLine {
        id: Digest::of(&[id.as_bytes()]),
        model: Some(model.to_owned()).filter(|model| model != "?"),
        served_model: None,
        usage: tokens(count),
        outcome: crate::meter::Outcome::Complete,
        suspect: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
    })
}

#[test]
fn a_batch_counts_among_the_parties_it_was_admitted_for_also_after_a_restart() {
    check(
        "
        limits tags=lifetime/hard/10,scope=tag
        reserve a 8 tag=red          -> held, 2 left
        open a b1 3600s dearest=5    -> held
        post b1 x=3
        standing tag:red             -> tags settled 3 held 5 left 2 from 2026-11-23T22:00:00.000Z
        reserve c 3 tag=red          -> refused in_flight_budget_exhausted by tags
        ",
    );
}

#[test]
fn a_line_moves_its_cost_from_the_hold_to_the_spend_once_and_the_end_frees_the_rest() {
    check(
        "
        limits all=lifetime/hard/20
        reserve a 12
        open a b1 3600s dearest=4
        rows                     -> 1 batch, 1 hold
        wait 3000s               # fifty lives of an ordinary hold
        post b1 x=3 y=2
        rows                     -> 1 batch, 1 hold, 1 hour, 2 line, 2 record, 1 week
        status                   -> ok settled 5 held 7 open 1 exposure 7
        post b1 x=3 y=2          # downloaded again
        rows                     -> none
        reserve b 9              -> refused in_flight_budget_exhausted by all
        seen b1 completed succeeded=3
        status                   -> ok settled 5 held 4 open 1 exposure 4
        post b1 x=3 y=2 z=1 whole
        status                   -> ok settled 6 held 0 open 0 exposure 0
        post b1 x=3 y=2 z=1 whole
        rows                     -> none
        seen b1 completed succeeded=3
        status                   -> ok settled 6 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn each_line_has_a_record_of_its_own_and_the_batch_one_of_zero() {
    let mut world = World::new(false);
    for line in ["reserve a 12", "open a b1 3600s", "seen b1 completed", "post b1 x=3 y=2 whole"] {
        world.line(line);
    }
    let records = world.records();
    let amounts: Vec<String> = records.iter().map(|record| record.amount.to_string()).collect();
    assert_eq!(amounts, ["3", "2", "0"]);
    assert!(records.iter().all(|record| record.request_id == attempt("a")));
    let batch = records[0].batch.as_ref().unwrap();
    assert_eq!((batch.id.as_str(), batch.line), ("b1", Digest::of(&[b"x"])));
    assert_eq!(records[0].answered.served_tier.as_deref(), Some("batch"));
    assert_ne!(records[0].attempt_id, records[1].attempt_id);
    assert_eq!((records[2].attempt_id, &records[2].batch), (attempt("a"), &None));
    assert_eq!(records[2].class, Class::Settled);
}

#[test]
fn the_same_custom_id_in_another_batch_is_another_line() {
    check(
        "
        reserve a 5
        reserve b 5
        open a b1 3600s
        open b b2 3600s
        post b1 x=3
        post b2 x=3
        status                   -> ok settled 6 held 4 open 2 exposure 4
        ",
    );
}

#[test]
fn a_batch_that_ended_without_an_answer_is_voided() {
    check(
        "
        reserve a 5
        open a b1 3600s
        seen b1 in_progress succeeded=0
        status                   -> ok settled 0 held 5 open 1 exposure 5
        seen b1 failed nothing
        records                  -> 1 a voided 0
        reserve b 5
        open b b2 3600s
        post b2 x=1
        seen b2 cancelled succeeded=0
        status                   -> ok settled 1 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn what_the_provider_sums_up_is_what_stays_held_until_the_lines_replace_it() {
    check(
        "
        reserve a 12
        open a b1 3600s hold
        post b1 x=3
        seen b1 completed succeeded=3 usage=7
        status                   -> ok settled 3 held 4 open 1 exposure 0
        post b1 y=2
        status                   -> ok settled 5 held 2 open 1 exposure 0
        wait 3600s
        sweep
        status                   -> ok settled 7 held 0 open 0 exposure 0
        post b1 x=3 y=2 z=2 whole
        status                   -> ok settled 7 held 0 open 0 exposure 0
        ",
    );
}

#[test]
fn a_batch_nobody_asks_for_is_charged_by_the_operators_choice_until_its_lines_replace_that() {
    for (choice, charged) in [("hold", 12), ("", 2)] {
        check(&format!(
            "
            reserve a 12 floor=2
            open a b1 3600s {choice}
            wait 3600s
            sweep
            status               -> ok settled {charged} held 0 open 0 exposure 0
            post b1 x=1
            status               -> ok settled {charged} held 0 open 0 exposure 0
            seen b1 completed succeeded=2
            post b1 x=1 y=4 whole
            status               -> ok settled 5 held 0 open 0 exposure 0
            "
        ));
    }
}

#[test]
fn the_records_of_a_late_download_take_back_what_was_charged_without_it() {
    let mut world = World::new(false);
    let script =
        ["reserve a 12", "open a b1 60s hold", "wait 60s", "seen b1 completed", "post b1 x=3"];
    script.iter().for_each(|line| drop(world.line(line)));
    world.line("post b1 x=3 y=2 whole");
    let records = world.records();
    let told = |at: usize| {
        let record = &records[at];
        (record.class, record.amount.to_string(), record.corrects)
    };
    assert_eq!(told(0), (Class::Unresolved, "12".into(), None));
    assert_eq!(told(1), (Class::Settled, "3".into(), None));
    assert_eq!(told(2), (Class::Unresolved, "-3".into(), Some(1)));
    assert_eq!(told(3), (Class::Settled, "2".into(), None));
    assert_eq!(told(4), (Class::Settled, "-9".into(), Some(3)));
    assert!(records[1].flags.contains(&Flag::Late));
}

#[test]
fn results_that_stop_short_of_what_was_answered_leave_the_rest_held() {
    check(
        "
        reserve a 12
        open a b1 3600s dearest=4
        seen b1 completed succeeded=3
        post b1 x=1 y=1 whole
        status                   -> ok settled 2 held 4 open 1 exposure 4
        ",
    );
}

#[test]
fn a_line_of_no_known_model_is_charged_at_the_dearest_and_flagged() {
    let mut world = World::new(false);
    let script = ["reserve a 12", "open a b1 60s models=gpt,mini", "post b1 x=1 y=1/mini z=1/?"];
    script.iter().for_each(|line| drop(world.line(line)));
    let records = world.records();
    let told: Vec<(String, bool)> = records
        .iter()
        .map(|record| (record.amount.to_string(), record.flags.contains(&Flag::Suspect)))
        .collect();
    assert_eq!(told, [("1".into(), false), ("2".into(), false), ("2".into(), true)]);
}

#[test]
fn more_than_was_held_is_charged_and_flagged_overage() {
    let mut world = World::new(false);
    let script = ["reserve a 4", "open a b1 60s dearest=2", "post b1 x=2 y=3 z=1 whole"];
    script.iter().for_each(|line| drop(world.line(line)));
    let flags: Vec<bool> =
        world.records().iter().map(|record| record.flags.contains(&Flag::Overage)).collect();
    assert_eq!(flags, [false, true, true]);
    assert_eq!(world.line("status"), "ok settled 6 held 0 open 1 exposure 0");
}

#[test]
fn a_batch_and_its_files_belong_to_who_began_it() {
    let mut world = World::new(false);
    for line in ["reserve a 4", "reserve b 4", "open a b1 60s", "seen b1 completed file=f1"] {
        world.line(line);
    }
    assert_eq!(world.line("open b b1 60s"), "invalid: the batch belongs to another attempt");
    assert_eq!(world.line("post b9 x=1"), "unknown attempt");
    let file = world.store.files.get("f1").map(|(_, file)| file);
    assert_eq!(file, Some(&File::Results { batch_id: "b1".into(), errors: false }));
}

#[test]
fn what_files_can_cost_is_kept_for_a_month_and_whose_results_are_for_good() {
    let mut world = World::new(false);
    for line in ["reserve a 4", "open a b1 60s", "seen b1 completed file=f1", "keep f2"] {
        world.line(line);
    }
    world.line("wait 2592000s");
    world.line("keep f3");
    assert!(world.store.files.contains_key("f2"), "to its last instant");
    world.line("wait 1s");
    world.line("keep f4");
    let mut names: Vec<&str> = world.store.files.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["f1", "f3", "f4"]);
}

#[test]
fn a_job_nobody_asks_for_is_charged_all_that_is_held_where_the_operator_chose_that() {
    check(
        "
        reserve a 4 floor=1
        park a job-1 60s hold
        status                   -> ok settled 0 held 4 open 1 exposure 0
        wait 60s
        sweep
        records                  -> 1 a unresolved 4 counted
        settle a 3               -> closed 2 at 3
        ",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Downloads that begin at the first line, as all do, and break off anywhere, in any number and
    /// side by side, with polls and the end of the hold's life between them.
    #[test]
    fn any_downloads_bill_what_one_whole_download_bills(
        costs in proptest::collection::vec(0_u64..5, 1..6),
        cuts in proptest::collection::vec((0_usize..6, 0_usize..4), 0..8),
        restarts: bool,
        hold: bool,
    ) {
        let lines: Vec<String> =
            costs.iter().enumerate().map(|(at, cost)| format!("l{at}={cost}")).collect();
        let mut world = World::new(restarts);
        world.line("limits all=lifetime/hard/100");
        world.line("reserve a 30");
        world.line(&format!("open a b1 600s {}", if hold { "hold" } else { "" }));
        for (cut, between) in cuts {
            let seen = lines.get(..cut).unwrap_or(&lines).join(" ");
            world.line(&format!("post b1 {seen}"));
            match between {
                1 => drop(world.line("wait 400s")),
                2 => drop(world.line(&format!("seen b1 completed succeeded={}", lines.len()))),
                3 => drop(world.line("sweep")),
                _ => {}
            }
        }
        world.line(&format!("seen b1 completed succeeded={}", lines.len()));
        world.line(&format!("post b1 {} whole", lines.join(" ")));
        let total: u64 = costs.iter().sum();
        let expected = format!("ok settled {total} held 0 open 0 exposure 0");
        prop_assert_eq!(world.line("status"), expected);
        let of_lines: Vec<_> =
            world.records().into_iter().filter(|record| record.batch.is_some()).collect();
        prop_assert_eq!(of_lines.len(), lines.len());
        world.run("status");
    }
}

/// Lines of these most tokens, as the edge forecasts them: `lines=3,2`.
/// `5+2,4`: a line of five tokens, two of them counted input, and one of four that may be any.
pub fn worst(lines: &str) -> Worst {
    let mut many = ManyAtMost::of("gpt");
    for line in lines.split(',') {
        let (tokens, input) = line.split_once('+').unwrap_or((line, "0"));
        let most = super::terms::worst(tokens.parse().unwrap(), input.parse().unwrap()).most;
        many.add(&most, (input.parse().unwrap(), input.parse().unwrap())).unwrap();
    }
    Worst { model: "gpt".into(), most: Vec::new(), batch: vec![many] }
}
