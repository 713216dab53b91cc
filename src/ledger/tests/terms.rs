//! What a plan and credit make of holds and charges. Without a plan tokens are a dollar each.
use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{World, check};
use crate::ledger::*;
use crate::money::Exact;
use crate::plan::{Part, Plan, Running, Sure};
use crate::quote::{AtMost, Worst};
use crate::record::{Flag, PlanLineKind};
use crate::wire::usage::Meter;

/// The plans that scripts name; `book` is no plan at all.
pub fn document(name: &str) -> Option<String> {
    let charge = |charge: Value| json!([{ "id": "calls", "meter": "api_calls", "charge": charge }]);
    let parts = match name {
        "book" => return None,
        // Three calls included, then a dollar for every two begun.
        "hybrid" => json!({
            "fees": [{ "id": "base", "amount": "99" }],
            "allowances": [{ "id": "included", "meter": "api_calls", "quantity": "3" }],
            "charges": charge(json!({ "model": "package", "package_size": "2",
                                      "price_per_package": "1" })),
            "commitments": [{ "id": "commit", "kind": "true_up", "amount": "10" }] }),
        "graduated" => json!({ "charges": [{ "id": "out", "meter": "output_total",
            "charge": { "model": "graduated", "tiers": [{ "up_to": "10", "unit_price": "1" },
                                                        { "up_to": null, "unit_price": "3" }] } }] }),
        "falling" => json!({ "charges": charge(json!({ "model": "volume", "tiers": [
            { "up_to": "2", "unit_price": "5" }, { "up_to": null, "unit_price": "1" }] })) }),
        // A credit a call; ten a month.
        "credit" => json!({
            "charges": [{ "id": "calls", "meter": "api_calls", "in_credits": true,
                          "charge": { "model": "per_unit", "unit_price": "1" } }],
            "credit": { "name": "coins" },
            "grants": [{ "id": "monthly", "amount": "2", "in_credits": true, "source": "paid" }] }),
        "worth" => json!({
            "charges": [{ "id": "calls", "meter": "api_calls", "in_credits": true,
                          "charge": { "model": "per_unit", "unit_price": "1" } }],
            "credit": { "name": "coins", "worth": "0.5" },
            "grants": [{ "id": "monthly", "amount": "1", "in_credits": true, "source": "paid" }] }),
        "quota" => json!({
            "charges": charge(json!({ "model": "per_unit", "unit_price": "0" })),
            "limits": [{ "id": "calls-a-month", "meter": "api_calls", "most": "2", "hard": true }] }),
        "outcome" => json!({ "charges": [{ "id": "calls", "meter": "api_calls",
            "outcome": { "pending_hours": 24, "silence": "confirmed", "dispute_hours": 48 },
            "charge": { "model": "per_unit", "unit_price": "5" } }] }),
        // Two are free as long as there is no third.
        "threshold" => json!({
            "rules": { "allowance": "threshold" },
            "allowances": [{ "id": "free", "meter": "api_calls", "quantity": "2" }],
            "charges": [{ "id": "calls", "meter": "api_calls",
                "outcome": { "pending_hours": 24, "silence": "confirmed", "dispute_hours": 48 },
                "charge": { "model": "per_unit", "unit_price": "5" } }] }),
        "doubtful" => {
            json!({ "charges": [{ "id": "calls", "meter": "api_calls", "in_credits": true,
            "outcome": { "pending_hours": 24, "silence": "reversed", "dispute_hours": 1_000 },
            "charge": { "model": "per_unit", "unit_price": "1" } }],
            "credit": { "name": "coins" },
            "grants": [{ "id": "monthly", "amount": "2", "in_credits": true, "source": "paid" }] })
        }
        "euros" => json!({ "currency": "EUR" }),
        "wrong" => json!({ "charges": [{ "id": "calls", "meter": "api_calls",
                                         "charge": { "model": "per_unit" } }] }),
        other => panic!("no such plan: {other}"),
    };
    let mut plan = json!({ "format": "farebox-plan-1", "plan": name, "version": "1", "name": name,
                           "currency": "USD" });
    plan.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    Some(plan.to_string())
}

/// As the edge sends it: a request of so many tokens at most, `input` of them input.
pub fn worst(tokens: Exact, input: Exact) -> Worst {
    let at_most = |meter, quantity, amount| AtMost { meter, quantity: Some(quantity), amount };
    let output = tokens.minus(input).unwrap();
    Worst {
        model: "gpt".into(),
        most: vec![
            at_most(Meter::InputTotal, input, input),
            at_most(Meter::OutputTotal, output, output),
            at_most(Meter::Requests, Exact::from(1), Exact::ZERO),
        ],
        batch: Vec::new(),
    }
}

/// `plan name rest=included prepaid overdraft=5 from=next_period`; the plans are in `terms.rs`.
pub fn put_plan(arguments: &[&str], options: &HashMap<&str, &str>) -> Command {
    let named = |name: &str| options.get(name).map(|value| (*value).to_owned());
    let put = PutPlan {
        plan: document(arguments[0]),
        from: named("from").map_or(When::Now, |at| serde_json::from_value(at.into()).unwrap()),
        zone: None,
        anchor: named("anchor").map(|anchor| anchor.parse().unwrap()),
        rest: named("rest").map_or(Rest::Book, |rest| serde_json::from_value(rest.into()).unwrap()),
        prepaid: arguments.contains(&"prepaid"),
        overdraft: named("overdraft").map_or(Exact::ZERO, |most| most.parse().unwrap()),
    };
    Command::Admin(Admin::PutPlan(Box::new(put)))
}

/// `grant pack 10 unit=credits expires=2026-12-01T00:00:00Z priority=1 meters=api_calls`
pub fn put_grant(arguments: &[&str], options: &HashMap<&str, &str>) -> Command {
    let mut new = serde_json::json!({ "id": arguments[0], "amount": arguments[1], "unit": "money",
                                      "source": "paid" });
    for (name, value) in options {
        new[*name] = match *name {
            "priority" => value.parse::<u64>().unwrap().into(),
            "meters" | "models" => serde_json::json!([value]),
            _ => (*value).into(),
        };
    }
    Command::Admin(Admin::PutGrant(Box::new(serde_json::from_value(new).unwrap())))
}

#[test]
fn a_call_is_charged_from_what_the_period_has_used_and_held_for_at_its_dearest() {
    check(
        "plan hybrid rest=included
         reserve a 50
         status -> ok settled 0 held 1 open 1 exposure 1
         settle a 7 -> closed 1 at 0
         allowance -> included 2 left, charged 0
         reserve b 50
         reserve c 50
         status -> ok settled 0 held 2 open 2 exposure 2
         settle b 7 -> closed 2 at 0
         settle c 7 -> closed 3 at 0
         allowance -> included 0 left, charged 0
         reserve d 50
         settle d 7 -> closed 4 at 1
         reserve e 50
         settle e 7 -> closed 5 at 0        # the other half of the package
         reserve f 50
         settle f 7 -> closed 6 at 1
         void f -> conflict with 6
         allowance -> included 0 left, charged 2
         status -> ok settled 2 held 0 open 0 exposure 0",
    );
}

#[test]
fn what_the_plan_does_not_price_falls_to_the_book_or_is_refused_if_the_terms_say_so() {
    check(
        "plan hybrid
         reserve a 50 in=10
         status -> ok settled 0 held 51 open 1 exposure 51
         settle a 7 -> closed 1 at 7
         plan hybrid rest=refused
         reserve b 50 -> refused no_price_in_plan
         plan graduated
         reserve c 50 in=10                  # 40 of output at 3, 10 of input by the book
         status -> ok settled 7 held 130 open 1 exposure 130
         settle c 12 -> closed 2 at 16",
    );
}

#[test]
fn a_hold_covers_every_order_in_which_requests_settle() {
    check(
        "plan graduated
         limits all=lifetime/hard/40
         reserve a 6
         reserve b 6
         limit all -> settled 0 held 36 left 4
         reserve c 2 -> refused in_flight_budget_exhausted by all
         settle b 6 -> closed 1 at 6
         settle a 6 -> closed 2 at 10        # four in the first tier, two in the second
         limit all -> settled 16 held 0 left 24",
    );
}

#[test]
fn where_more_use_makes_all_cheaper_the_record_is_negative_and_the_sum_right() {
    check(
        "plan falling rest=included prepaid
         grant pack 20
         reserve a 9
         reserve b 9
         settle a 1 -> closed 1 at 5
         settle b 1 -> closed 2 at 5
         credit -> USD 10 held 0
         reserve c 9
         settle c 1 -> closed 3 at -7
         status -> ok settled 3 held 0 open 0 exposure 0
         reserve d 9
         settle d 1 -> closed 4 at 1
         credit -> USD 10 held 0             # from what was paid before it became cheaper
         records -> 1 a settled 5; 2 b settled 5; 3 c settled -7; 4 d settled 1",
    );
}

#[test]
fn an_expired_hold_counts_the_least_and_a_late_settle_what_was_used() {
    check(
        "plan hybrid
         reserve a 50 floor=5 input=5 in=5
         reserve b 50 in=5
         wait 61s
         sweep
         records -> 1 a unresolved 5 counted; 2 b unresolved 0 counted
         allowance -> included 1 left, charged 0
         settle a 7 input_total=5 input_uncached=5 -> closed 3 at 12
         void b -> closed 4 at 0
         allowance -> included 2 left, charged 0
         status -> ok settled 12 held 0 open 0 exposure 0",
    );
}

#[test]
fn credit_is_burnt_and_when_it_is_gone_nothing_runs() {
    check(
        "plan credit rest=included
         credit -> coins 2 held 0
         reserve a 9
         credit -> coins 1 held 1
         reserve b 9
         reserve c 9 -> refused in_flight_budget_exhausted by balance
         settle a 1 -> closed 1 at 0
         void b -> closed 2 at 0
         credit -> coins 1 held 0
         reserve d 9
         settle d 1 -> closed 3 at 0
         reserve e 9 -> refused spend_limit_exceeded by balance
         grant top-up 5 unit=credits
         grant top-up 5 unit=credits         # the same again changes nothing
         reserve e 9
         settle e 1
         credit -> coins 4 held 0
         take top-up
         reserve f 9 -> refused spend_limit_exceeded by balance
         clock 2026-12-23T22:00:00Z          # the next period
         credit -> coins 2 held 0
         reserve g 9",
    );
}

#[test]
fn credits_beyond_the_granted_are_billed_at_their_worth() {
    check(
        "plan worth rest=included
         reserve a 9
         status -> ok settled 0 held 0 open 1 exposure 0
         reserve b 9
         status -> ok settled 0 held 0.5 open 2 exposure 0.5
         settle b 1 -> closed 1 at 0.5
         settle a 1 -> closed 2 at 0",
    );
}

#[test]
fn a_prepaid_balance_sinks_below_zero_only_as_far_as_policy_lets_it() {
    check(
        "plan book prepaid
         reserve a 9 -> refused spend_limit_exceeded by balance
         grant pack 10
         reserve a 9
         reserve b 2 -> refused in_flight_budget_exhausted by balance
         settle a 12 -> closed 1 at 12       # more than was held: flagged
         credit -> USD 0 held 0
         records -> 1 a settled 12 overage
         plan book prepaid overdraft=5
         reserve b 5
         reserve c 1 -> refused spend_limit_exceeded by balance
         settle b 4 -> closed 2 at 4
         credit -> USD -4 held 0
         grant more 10
         credit -> USD 6 held 0              # what was owed is paid first",
    );
}

#[test]
fn a_job_whose_end_is_never_seen_is_charged_all_that_was_held_until_it_is_seen() {
    check(
        "plan graduated prepaid
         grant pack 100
         reserve a 6
         park a job-1 3600s hold
         reserve b 6
         park b job-2 3600s                  # its least: nothing was counted
         wait 3601s
         sweep
         records -> 1 a unresolved 18 counted; 2 b unresolved 0 counted
         credit -> USD 82 held 0
         settle a 6 -> closed 3 at 6
         settle b 6 -> closed 4 at 10        # four in the first tier, two in the second
         credit -> USD 82 held 0             # and two taken back, which pay before any grant
         status -> ok settled 16 held 0 open 0 exposure 0
         plan credit rest=included
         reserve c 9
         park c job-3 3600s hold
         wait 3601s
         credit -> USD 82 held 0; coins 1 held 0
         void c -> closed 6 at 0
         reserve d 9
         settle d 1
         credit -> USD 82 held 0; coins 1 held 0     # the credit taken back paid
         reserve e 9
         settle e 1
         reserve f 9 -> refused spend_limit_exceeded by balance",
    );
}

#[test]
fn what_a_grant_paid_for_an_expired_hold_is_not_paid_again_when_its_end_is_seen() {
    check(
        "plan book prepaid
         grant pack 20
         reserve a 9 floor=5 in=5 input=5
         wait 61s
         sweep
         credit -> USD 15 held 0
         settle a 7 -> closed 2 at 7
         reserve b 13
         settle b 13 -> closed 3 at 13
         reserve c 1 -> refused spend_limit_exceeded by balance",
    );
}

#[test]
fn of_limits_and_credit_the_graver_objection_is_told_and_of_equals_the_limit() {
    check(
        "limits all=lifetime/hard/10
         plan book prepaid
         reserve a 11 -> refused request_exceeds_limit by all
         reserve a 3 -> refused spend_limit_exceeded by balance
         grant pack 4
         reserve a 3 -> held, 7 left
         reserve b 8 -> refused spend_limit_exceeded by balance    # the limit: in flight
         reserve b 2 -> refused in_flight_budget_exhausted by balance
         credit -> USD 1 held 3
         grant more 96
         reserve b 8 -> refused in_flight_budget_exhausted by all
         credit -> USD 97 held 3             # what a refused request had set aside is free
         settle a 3
         take more
         reserve b 8 -> refused spend_limit_exceeded by all
         credit -> USD 1 held 0",
    );
}

#[test]
fn limits_of_a_key_count_what_the_plan_holds_and_charges() {
    check(
        "plan graduated
         limits each=lifetime/hard/40,scope=key
         reserve a 6 -> held, 22 left
         settle a 6 -> closed 1 at 6
         standing key:main -> each settled 6 held 0 left 34 from 2026-11-23T22:00:00.000Z
         reserve b 12 -> refused spend_limit_exceeded by each
         reserve b 11 -> held, 1 left",
    );
}

#[test]
fn what_has_prices_of_its_own_is_refused_where_a_plan_or_credit_would_have_to_follow() {
    check(
        "plan hybrid
         reserve a 5 unbound -> refused not_under_plan
         reserve b 5
         open b b1 3600s -> invalid: it was held for as a single request, not as a batch
         settle b 5
         plan book
         grant pack 10
         reserve d 5 unbound -> refused not_under_plan
         credit -> USD 10 held 0
         plan hybrid rest=included
         reserve e 0 unbound                 # what is free stays free
         settle e - -> closed 2 at 0",
    );
}

#[test]
fn each_line_of_a_batch_is_charged_from_what_the_period_has_used_like_any_request() {
    check(
        "plan hybrid rest=included
         reserve a 9
         settle a 7
         reserve b 9 lines=3,3,3,3           # each may begin a package
         status -> ok settled 0 held 4 open 1 exposure 3   # four calls are one package
         open b b1 3600s hold
         post b1 w=3 x=2
         allowance -> included 0 left, charged 0
         reserve c 9
         settle c 7 -> closed 4 at 1
         post b1 w=3 x=2 y=1
         allowance -> included 0 left, charged 1   # the other half of the package
         status -> ok settled 1 held 4 open 1 exposure 0
         seen b1 completed succeeded=4 usage=8
         status -> ok settled 1 held 1 open 1 exposure 0
         post b1 w=3 x=2 y=1 z=1 whole
         allowance -> included 0 left, charged 2
         status -> ok settled 2 held 0 open 0 exposure 0",
    );
}

#[test]
fn a_batch_began_under_terms_stays_under_them() {
    check(
        "plan book
         reserve c 5 lines=3,2
         open c b2 3600s
         plan hybrid
         post b2 x=3 y=2                     # as it began: a dollar a token
         seen b2 completed succeeded=2
         post b2 x=3 y=2 whole
         status -> ok settled 5 held 0 open 0 exposure 0
         plan graduated rest=included
         reserve d 9 lines=6,6
         status -> ok settled 5 held 36 open 1 exposure 36
         open d b3 3600s
         plan book
         post b3 x=6 y=6
         status -> ok settled 21 held 20 open 1 exposure 20",
    );
}

#[test]
fn what_a_batch_has_set_aside_pays_for_its_lines_whatever_becomes_of_the_grant() {
    check(
        "plan credit rest=included
         reserve a 9 lines=5,5
         credit -> coins 0 held 2
         open a b1 3600s
         take plan-1:monthly
         reserve b 9 -> refused in_flight_budget_exhausted by balance
         post b1 x=5
         credit -> coins 0 held 1
         seen b1 completed succeeded=1
         credit -> coins 0 held 0            # the other line failed: its credit ends with the grant
         reserve b 9 -> refused spend_limit_exceeded by balance",
    );
    check(
        "plan book prepaid
         grant pack 20
         reserve c 9 lines=5,5
         credit -> USD 10 held 10
         open c b2 3600s
         take pack
         post b2 x=4
         credit -> USD 0 held 6
         post b2 x=4 y=5
         seen b2 completed succeeded=2
         post b2 x=4 y=5 whole
         credit -> USD 0 held 0
         status -> ok settled 9 held 0 open 0 exposure 0",
    );
}

#[test]
fn a_batch_whose_results_are_read_too_late_is_charged_by_its_lines_and_no_more() {
    check(
        "plan graduated prepaid rest=included
         grant pack 100
         reserve a 9 lines=6,6
         credit -> USD 64 held 36
         open a b1 3600s hold
         wait 3601s
         sweep
         credit -> USD 64 held 0
         records -> 1 a unresolved 36 counted
         post b1 x=6
         credit -> USD 64 held 0             # from what was paid for all of it
         status -> ok settled 36 held 0 open 0 exposure 0
         seen b1 completed succeeded=2
         post b1 x=6 y=6 whole
         status -> ok settled 16 held 0 open 0 exposure 0
         reserve b 6
         settle b 6 -> closed 7 at 18
         credit -> USD 64 held 0             # twenty were paid ahead; two of them are left
         reserve c 1
         settle c 1 -> closed 8 at 3
         credit -> USD 63 held 0",
    );
}

#[test]
fn a_plans_hard_limit_holds_for_the_lines_of_a_batch() {
    check(
        "plan quota rest=included
         reserve a 9 lines=1,1,1 -> refused request_exceeds_limit by plan
         reserve a 9 lines=1,1
         open a b1 3600s
         reserve b 9 -> refused in_flight_budget_exhausted by plan
         post b1 x=1
         reserve b 9 -> refused in_flight_budget_exhausted by plan
         seen b1 completed succeeded=1
         post b1 x=1 whole
         reserve b 9",
    );
}

#[test]
fn a_hold_under_a_plan_grows_with_its_quantities_as_far_as_limits_and_credit_go() {
    check(
        "plan graduated rest=included prepaid
         limits all=lifetime/hard/40
         grant pack 30
         reserve a 2
         credit -> USD 24 held 6
         extend a 4 -> held, 28 left
         extend a 4 -> held, 28 left         # the same again changes nothing
         credit -> USD 18 held 12
         reserve b 4
         extend a 7 -> refused in_flight_budget_exhausted by balance
         credit -> USD 6 held 24            # what was tried is free again
         status -> ok settled 0 held 24 open 2 exposure 24
         void b
         extend a 14 -> refused request_exceeds_limit by all
         extend a 10
         settle a 10 -> closed 2 at 10
         credit -> USD 20 held 0
         records -> 1 b voided 0; 2 a settled 10",
    );
}

#[test]
fn a_hold_that_does_not_say_what_it_may_use_does_not_grow_under_a_plan() {
    check(
        "plan graduated rest=included
         reserve a 2
         extend a 4 unbound -> refused not_under_plan
         extend a 2 unbound                  # no more than was asked for
         status -> ok settled 0 held 6 open 1 exposure 6
         extend a 4
         status -> ok settled 0 held 12 open 1 exposure 12",
    );
}

#[test]
fn a_batch_whose_end_is_never_seen_is_charged_its_least_as_any_request() {
    // Of each line so many tokens of input were counted: they were sent.
    check(
        "plan hybrid
         reserve a 9 lines=5+2,5+3,5,5
         open a b1 3600s
         status -> ok settled 0 held 24 open 1 exposure 18   # five by the book, one for a package
         wait 3601s
         status -> ok settled 6 held 0 open 0 exposure 0",
    );
    // Under no plan, but from credit.
    check(
        "plan book prepaid
         grant pack 20
         reserve a 9 lines=5+2,5+3
         open a b1 3600s
         status -> ok settled 0 held 10 open 1 exposure 5
         wait 3601s
         status -> ok settled 5 held 0 open 0 exposure 0
         credit -> USD 15 held 0
         post b1 x=4
         status -> ok settled 5 held 0 open 0 exposure 0
         credit -> USD 15 held 0             # what was paid for the batch pays for its lines
         seen b1 completed succeeded=2
         post b1 x=4 y=3 whole
         status -> ok settled 7 held 0 open 0 exposure 0
         reserve b 13
         settle b 13 -> closed 6 at 13
         credit -> USD 0 held 0",
    );
    check(
        "plan credit rest=included
         reserve a 9 lines=1,1
         open a b1 3600s
         wait 3601s
         credit -> coins 0 held 0",
    );
}

#[test]
fn a_batch_is_charged_less_for_want_of_an_end_the_more_of_its_lines_were_read() {
    check(
        "plan book prepaid
         grant pack 20
         reserve a 9 lines=5+2,5+3
         open a b1 3600s
         post b1 x=4
         status -> ok settled 4 held 6 open 1 exposure 5
         wait 3601s
         status -> ok settled 5 held 0 open 0 exposure 0
         credit -> USD 15 held 0",
    );
}

#[test]
fn a_batch_that_nobody_can_find_again_is_charged_all_that_was_held_for_it() {
    check(
        "plan graduated rest=included prepaid
         grant pack 100
         reserve a 9 lines=6,6
         lose a
         status -> ok settled 0 held 36 open 1 exposure 0
         wait 61s
         status -> ok settled 36 held 0 open 0 exposure 0
         credit -> USD 64 held 0
         lose a -> expired",
    );
    check(
        "reserve a 9 lines=6,6
         lose a
         wait 61s
         status -> ok settled 9 held 0 open 0 exposure 0",
    );
}

#[test]
fn a_renewal_raises_the_least_where_the_book_prices_under_credit_too() {
    check(
        "plan book prepaid
         grant pack 20
         reserve a 9 floor=2 in=2
         renew a 5
         renew a 3
         wait 61s
         status -> ok settled 5 held 0 open 0 exposure 0
         credit -> USD 15 held 0",
    );
}

#[test]
fn a_grant_that_expires_under_an_open_hold_stays_spendable_by_it() {
    check(
        "plan book prepaid
         grant gift 10 source=promotional expires=2026-11-23T22:00:30Z
         grant kept 10 priority=1
         reserve a 8
         wait 31s
         credit -> USD 10 held 8
         settle a 6 -> closed 1 at 6
         credit -> USD 10 held 0",
    );
}

#[test]
fn late_usage_is_paid_by_the_grant_that_was_good_when_it_happened() {
    check(
        "plan book prepaid
         grant gift 10 source=promotional expires=2026-11-23T22:02:00Z
         grant kept 10 priority=1
         reserve a 8
         wait 61s
         sweep
         wait 61s
         credit -> USD 10 held 0
         settle a 6 -> closed 2 at 6
         credit -> USD 10 held 0",
    );
}

#[test]
fn a_grant_for_one_meter_pays_for_nothing_else() {
    check(
        "plan hybrid prepaid
         grant calls 10 meters=api_calls
         reserve a 5 -> refused spend_limit_exceeded by balance
         grant output 10 meters=output_total
         reserve a 5
         credit -> USD 14 held 6",
    );
}

#[test]
fn a_plan_changes_at_once_or_with_the_next_period_and_never_for_what_runs() {
    check(
        "plan hybrid rest=included
         reserve a 9
         plan graduated from=next_period
         settle a 1 -> closed 1 at 0
         reserve b 9
         clock 2026-12-23T21:59:59Z
         allowance -> included 1 left, charged 0
         clock 2026-12-23T22:00:00Z
         allowance -> charged 0
         reserve c 9
         plan book
         settle c 9 -> closed 3 at 9
         reserve d 9
         settle d 9 -> closed 4 at 9
         plan euros -> invalid: plan.currency: the customer pays in USD
         plan wrong -> invalid: plan.charges[0].charge.unit_price: `unit_price` is missing",
    );
}

#[test]
fn a_quote_tells_what_a_request_adds_to_what_the_period_has_used() {
    let mut world = World::new(false);
    let mut quote = |lines: &[&str]| {
        lines.iter().for_each(|line| drop(world.line(line)));
        let asked = ToQuote {
            provider: "openai".into(),
            endpoint: "/v1/chat/completions".into(),
            service_tier: None,
            key_id: None,
            worst: worst(12.into(), 2.into()),
            input_least: 1,
            lower: 1.into(),
            likely: worst(8.into(), 2.into()).most,
        };
        let told = world.quote(&asked).unwrap().unwrap();
        let text = |amount: Option<Exact>| amount.map_or("-".into(), |a: Exact| a.to_string());
        let credits = told.credits.as_ref().map(|c| (c.lower, c.upper));
        let money = [Some(told.lower), told.expected, Some(told.upper)].map(text).join(" ");
        (money, credits)
    };
    // Ten of output at three at most; six at one as things stand; two of input by the book.
    assert_eq!(quote(&["plan graduated"]), ("1 8 32".into(), None));
    // Six are used: two more in the first tier, then four at three.
    let used = ["reserve a 6", "settle a 6", "wait 1s"];
    assert_eq!(quote(&used), ("1 12 32".into(), None));
    let hybrid = ["plan hybrid rest=included"];
    assert_eq!(quote(&hybrid), ("0 0 1".into(), None));
    let dry = ["plan worth rest=included", "reserve b 9"];
    assert_eq!(quote(&dry), ("0.5 0.5 0.5".into(), Some((1.into(), 1.into()))));
    assert_eq!(quote(&["void b"]), ("0 0 0".into(), Some((1.into(), 1.into()))));
}

#[test]
fn the_same_plan_again_does_not_begin_the_period_anew() {
    check(
        "plan hybrid rest=included
         reserve a 9
         settle a 1
         wait 10s
         plan hybrid rest=included
         allowance -> included 2 left, charged 0",
    );
}

#[test]
fn a_plans_hard_limit_is_held_for_like_any_other() {
    check(
        "plan quota rest=included
         reserve a 9
         reserve b 9
         reserve c 9 -> refused in_flight_budget_exhausted by plan
         settle a 1
         settle b 1
         reserve c 9 -> refused spend_limit_exceeded by plan",
    );
}

#[test]
fn a_record_tells_which_charge_from_where_to_where_and_who_paid() {
    let mut world = World::new(false);
    for line in [
        "plan hybrid rest=included prepaid",
        "grant pack 10",
        "reserve a 9",
        "settle a 1",
        "reserve b 9",
        "settle b 1",
        "reserve c 9",
        "settle c 1",
        "reserve d 9",
        "settle d 1",
    ] {
        world.line(line);
    }
    let record = world.records().pop().unwrap();
    let plan = record.plan.unwrap();
    let line = &plan.lines[0];
    assert_eq!((plan.plan.as_deref(), plan.version.as_deref()), (Some("hybrid"), Some("1")));
    assert_eq!((line.kind, line.charge.as_str()), (PlanLineKind::Charge, "calls"));
    assert_eq!((line.before, line.after, line.included), (3.into(), 4.into(), Exact::ZERO));
    assert_eq!((line.amount, line.detail.len()), (1.into(), 1));
    assert_eq!(plan.paid[0].grant.as_deref(), Some("pack"));
    assert_eq!(plan.paid[0].amount, Exact::from(1));
    assert!(record.lines.is_empty(), "what is included is not priced by the book");
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Settles(u64),
    Voids,
    /// Its hold expires; what it used is told later, or never.
    Expires(Option<u64>),
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => (0_u64..9).prop_map(End::Settles),
        1 => Just(End::Voids),
        1 => proptest::option::of(0_u64..9).prop_map(End::Expires),
    ]
}

/// What the gate's meters are in a plan's words; every attempt is one call.
fn used_by(tokens: u64) -> [Part; 2] {
    [("api_calls", 1), ("output_total", tokens)].map(|(meter, quantity)| Part {
        meter: meter.into(),
        dimensions: [("model".to_owned(), "gpt".to_owned())].into(),
        quantity: Exact::from(quantity),
        outcome: None,
    })
}

/// What a plan makes of a period's usage, all at once.
fn whole(name: &str, parts: Vec<Part>) -> Exact {
    let plan = Plan::parse(&document(name).unwrap()).unwrap();
    let priced: Vec<Part> = parts.into_iter().filter(|part| plan.prices_part(part)).collect();
    let mut running = Running::default();
    let all = running.change(&plan, &[], &priced, Sure::Yes).unwrap();
    Exact::sum(all.iter().map(|one| one.amount)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn batches_and_growing_holds_cover_what_settles_and_add_up_to_the_plans_price(
        name in prop_oneof![Just("hybrid"), Just("graduated"), Just("falling")],
        batches in proptest::collection::vec(proptest::collection::vec(0_u64..9, 1..5), 1..4),
        between in proptest::collection::vec((1_u64..5, 0_u64..5, any::<bool>()), 0..8),
        restarts in any::<bool>(), prepaid in any::<bool>(),
    ) {
        let mut world = World::new(restarts);
        world.line(&format!("plan {name} rest=included {}", if prepaid { "prepaid" } else { "" }));
        world.line("grant pack 400");
        let mut parts: Vec<Part> = Vec::new();
        let mut lines: Vec<(usize, usize, u64)> = Vec::new();
        for (nth, sizes) in batches.iter().enumerate() {
            let most: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            let answer = world.line(&format!("reserve b{nth} 9 lines={}", most.join(",")));
            prop_assert!(answer.starts_with("held"), "{}", answer);
            world.line(&format!("open b{nth} batch{nth} 3600s"));
            lines.extend(sizes.iter().enumerate().map(|(at, size)| (nth, at, *size)));
        }
        let mut between = between.into_iter().enumerate();
        for (nth, at, size) in lines.iter().rev() {
            if let Some((other, (first, more, grows))) = between.next() {
                world.line(&format!("reserve o{other} {first}"));
                let grown = world.line(&format!("extend o{other} {}", first + more));
                let used = if grows && grown.starts_with("held") { first + more } else { first };
                world.line(&format!("settle o{other} {used}"));
                parts.extend(used_by(used));
            }
            let answer = world.line(&format!("post batch{nth} l{at}={size}"));
            prop_assert_eq!(answer.as_str(), "done");
            parts.extend(used_by(*size));
        }
        for (nth, sizes) in batches.iter().enumerate() {
            world.line(&format!("seen batch{nth} completed succeeded={}", sizes.len()));
            world.line(&format!("post batch{nth} whole"));
        }
        let whole = whole(name, parts);
        let records = world.records();
        let sum = Exact::sum(records.iter().map(|record| record.amount)).unwrap();
        prop_assert_eq!(sum, whole);
        prop_assert!(records.iter().all(|record| !record.flags.contains(&Flag::Overage)));
        let status = world.line("status");
        prop_assert!(status.ends_with("held 0 open 0 exposure 0"), "{}", status);
        let credit = world.line("credit");
        prop_assert!(credit.ends_with("held 0"), "{}", credit);
    }

    #[test]
    fn records_add_up_to_the_plans_price_of_the_period_and_no_balance_sinks_below_policy(
        name in prop_oneof![Just("hybrid"), Just("graduated"), Just("falling")],
        attempts in proptest::collection::vec((ends(), 0_usize..4), 1..14),
        restarts in any::<bool>(), prepaid in any::<bool>(),
    ) {
        let mut world = World::new(restarts);
        world.line(&format!("plan {name} rest=included {}", if prepaid { "prepaid" } else { "" }));
        world.line("grant pack 60");
        let mut open: Vec<(usize, End)> = Vec::new();
        let mut parts: Vec<Part> = Vec::new();
        let mut told_late: Vec<(usize, u64)> = Vec::new();
        for (nth, (end, hold_back)) in attempts.iter().enumerate() {
            if world.line(&format!("reserve a{nth} 9")).starts_with("held") {
                open.push((nth, *end));
            }
            // Some run on while others come: in no order they were admitted in.
            while open.len() > *hold_back {
                let (nth, end) = open.remove(*hold_back % open.len());
                match end {
                    End::Settles(tokens) => {
                        let answer = world.line(&format!("settle a{nth} {tokens}"));
                        prop_assert!(answer.starts_with("closed"), "{}", answer);
                        parts.extend(used_by(tokens));
                    }
                    End::Voids => drop(world.line(&format!("void a{nth}"))),
                    End::Expires(late) => {
                        // All that run expire with it; none of them is heard of again.
                        world.line("wait 61s");
                        world.line("sweep");
                        parts.extend(open.drain(..).flat_map(|_| used_by(0)));
                        match late {
                            Some(tokens) => told_late.push((nth, tokens)),
                            None => parts.extend(used_by(0)),
                        }
                    }
                }
            }
            let credit = world.line("credit");
            prop_assert!(!credit.contains("USD -"), "{credit}");
        }
        for (nth, tokens) in told_late {
            world.line(&format!("settle a{nth} {tokens}"));
            parts.extend(used_by(tokens));
        }
        for (nth, _) in open {
            world.line(&format!("settle a{nth} 1"));
            parts.extend(used_by(1));
        }
        let whole = whole(name, parts);
        let records = world.records();
        let sum = Exact::sum(records.iter().map(|record| record.amount)).unwrap();
        prop_assert_eq!(sum, whole);
        prop_assert!(records.iter().all(|record| !record.flags.contains(&Flag::Overage)));
    }
}
