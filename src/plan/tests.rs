#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod running;
mod schema;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::money::Ratio;

fn plan(parts: &Value) -> Plan {
    let mut whole = json!({ "format": "farebox-plan-1", "plan": "p", "version": "1", "name": "P",
                            "currency": "USD" });
    whole.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    Plan::parse(&whole.to_string()).unwrap()
}

fn price(plan: &Plan, usage: &Value) -> Result<Priced, Fault> {
    let priced = plan.price(&Usage::parse(&usage.to_string()).unwrap())?;
    let sum = Exact::sum(priced.lines.iter().map(|line| line.amount)).unwrap();
    assert_eq!(sum, priced.amount, "lines add up to the amount");
    Ok(priced)
}

fn amount(plan: &Plan, usage: &Value) -> String {
    price(plan, usage).unwrap().amount.to_string()
}

fn calls(quantity: &str) -> Value {
    json!({ "usage": [{ "meter": "calls", "quantity": quantity }] })
}

/// The same plan under each of these rules, and what the usage comes to.
#[track_caller]
fn under(parts: &Value, usage: &Value, table: &[(Value, &str)]) {
    for (rules, want) in table {
        let mut parts = parts.clone();
        parts["rules"] = rules.clone();
        assert_eq!(amount(&plan(&parts), usage), *want, "{rules}");
    }
}

const PER_CALL: &str = r#"[{"id": "calls", "meter": "calls",
                           "charge": {"model": "per_unit", "unit_price": "1"}}]"#;

fn per_call() -> Value {
    serde_json::from_str(PER_CALL).unwrap()
}

#[test]
fn amounts_are_rounded_once_to_the_currencys_units_where_the_rule_says() {
    let two = json!({ "charges": [
        { "id": "a", "meter": "calls", "charge": { "model": "per_unit", "unit_price": "0.004" } },
        { "id": "b", "meter": "calls", "charge": { "model": "per_unit", "unit_price": "0.004" } }] });
    under(
        &two,
        &calls("1"),
        &[
            (json!({}), "0"),
            (json!({ "rounding_point": "total" }), "0.01"),
            (json!({ "rounding": "up" }), "0.02"),
            (json!({ "preset": "lago-1" }), "0.01"),
        ],
    );
    for (currency, want) in [("JPY", "2"), ("USD", "1.54"), ("KWD", "1.545")] {
        let parts = json!({ "currency": currency, "charges": [{ "id": "a", "meter": "calls",
            "charge": { "model": "per_unit", "unit_price": "1.5445" } }] });
        assert_eq!(amount(&plan(&parts), &calls("1")), want, "{currency}");
    }
}

#[test]
fn an_allowance_is_taken_off_or_is_a_threshold() {
    let parts = json!({ "charges": per_call(),
                        "allowances": [{ "id": "free", "meter": "calls", "quantity": "10" }] });
    let rules = [json!({}), json!({ "preset": "autumn-1" })];
    for (used, subtracted, threshold) in [("10", "0", "0"), ("11", "1", "11")] {
        let table = [(rules[0].clone(), subtracted), (rules[1].clone(), threshold)];
        under(&parts, &calls(used), &table);
    }
}

#[test]
fn discounts_apply_as_listed_or_shares_first() {
    let parts = json!({ "charges": per_call(), "discounts": [
        { "id": "ten", "amount": "10" }, { "id": "half", "percent": "50" }] });
    under(&parts, &calls("100"), &[(json!({}), "45"), (json!({ "preset": "meteroid-1" }), "40")]);
    // Never below zero.
    assert_eq!(amount(&plan(&parts), &calls("4")), "0");
}

#[test]
fn a_commitment_counts_spend_before_or_after_discounts() {
    let parts = json!({ "charges": per_call(), "discounts": [{ "id": "half", "percent": "50" }],
                        "commitments": [{ "id": "min", "kind": "minimum", "amount": "100" }] });
    under(
        &parts,
        &calls("80"),
        &[(json!({}), "60"), (json!({ "commitment_counts": "net" }), "100")],
    );
}

#[test]
fn a_minimum_is_prorated_with_its_period_or_whole() {
    let parts = json!({ "charges": per_call(),
                        "fees": [{ "id": "fee", "amount": "30", "prorated": true }],
                        "commitments": [{ "id": "min", "kind": "minimum", "amount": "60" }] });
    let half = json!({
        "period": { "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z" },
        "active": { "start": "2026-11-16T00:00:00Z", "end": "2026-12-01T00:00:00Z" },
        "usage": [{ "meter": "calls", "quantity": "10" }],
    });
    under(&parts, &half, &[(json!({}), "45"), (json!({ "preset": "openmeter-1" }), "75")]);
}

#[test]
fn days_are_counted_in_the_customers_zone() {
    let parts = json!({ "fees": [{ "id": "fee", "amount": "31", "prorated": true }] });
    // The clocks in Berlin go forward on the 29th, so the exact share of that month differs.
    let usage = json!({
        "zone": "Europe/Berlin",
        "period": { "start": "2026-03-01T00:00:00+01:00", "end": "2026-04-01T00:00:00+02:00" },
        "active": { "start": "2026-03-11T00:00:00+01:00", "end": "2026-04-01T00:00:00+02:00" },
    });
    under(
        &parts,
        &usage,
        &[
            (json!({}), "20.99"),
            (json!({ "day_count": "days" }), "21"),
            (json!({ "preset": "lago-1" }), "21"),
            (json!({ "day_count": "thirty" }), "21.7"),
        ],
    );
}

#[test]
fn presets_that_charge_the_first_tiers_fee_at_zero_do() {
    let parts = json!({ "charges": [{ "id": "calls", "meter": "calls", "charge": {
        "model": "graduated", "tiers": [{ "unit_price": "1", "flat_fee": "5" }] } }] });
    under(
        &parts,
        &json!({}),
        &[
            (json!({}), "0"),
            (json!({ "preset": "lago-1" }), "5"),
            (json!({ "preset": "flexprice-1" }), "0"),
        ],
    );
    // The charge itself has the last word.
    let mut own = parts;
    own["charges"][0]["charge"]["first_tier_flat_fee_at_zero_usage"] = json!(false);
    under(&own, &json!({}), &[(json!({ "preset": "lago-1" }), "0")]);
}

#[test]
fn grants_of_money_pay_usage_in_burn_order_and_only_what_they_are_for() {
    let parts = json!({ "charges": [
            { "id": "calls", "meter": "calls", "charge": { "model": "per_unit", "unit_price": "1" } },
            { "id": "images", "meter": "images", "charge": { "model": "per_unit", "unit_price": "2" } }],
        "fees": [{ "id": "fee", "amount": "7" }],
        "grants": [
            { "id": "welcome", "amount": "5", "source": "promotional", "priority": "2" },
            { "id": "images-only", "amount": "4", "source": "paid", "priority": "1", "meters": ["images"] }] });
    let usage = json!({ "usage": [{ "meter": "calls", "quantity": "3" }, { "meter": "images", "quantity": "4" }] });
    let priced = price(&plan(&parts), &usage).unwrap();
    // 7 + 3 + 8, less 3 and then 2 of the welcome, less 4 for images.
    assert_eq!(priced.amount.to_string(), "9");
    let left: Vec<_> =
        priced.balances.iter().map(|b| (b.id.as_str(), b.left.to_string())).collect();
    assert_eq!(left, [("images-only", "0".into()), ("welcome", "0".into())]);
    let earlier = json!({ "granted": { "welcome": "1" }, "usage": usage["usage"] });
    assert_eq!(amount(&plan(&parts), &earlier), "13");
}

#[test]
fn a_plans_grants_come_every_period_or_once_in_the_log_of_credit() {
    let plan = plan(&json!({ "charges": per_call(), "grants": [
        { "id": "monthly", "amount": "10", "source": "paid", "rollover_cap": "4" },
        { "id": "welcome", "amount": "5", "source": "promotional", "once": true,
          "expires_after_periods": "2" }] }));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let from = at("2026-11-01T00:00:00+01:00");
    let calendar = Calendar::new("Europe/Berlin", from, Every::Month).unwrap();
    let log = plan.grant_entries(&calendar, from);
    let policy =
        credits::Policy { order: plan.rules.burn_order, beyond: credits::Beyond::Uncovered };
    for (when, want) in [
        ("2026-11-30T23:59:59+01:00", "15"),
        ("2026-12-01T00:00:00+01:00", "19"),
        ("2027-01-01T00:00:00+01:00", "14"),
    ] {
        let replayed = credits::replay(&log, policy, at(when)).unwrap();
        assert_eq!(replayed.balance().unwrap().to_string(), want, "{when}");
    }
}

#[test]
fn a_prepaid_commitment_is_drawn_down_and_overage_costs_more() {
    let parts = json!({ "charges": per_call(), "commitments": [
        { "id": "commit", "kind": "prepaid", "amount": "100", "overage_factor": "1.5" }] });
    for (before, used, want, left) in
        [("0", "60", "0", "40"), ("60", "60", "30", "0"), ("100", "10", "15", "0")]
    {
        let usage = json!({ "spent_before": { "commit": before },
                            "usage": [{ "meter": "calls", "quantity": used }] });
        let priced = price(&plan(&parts), &usage).unwrap();
        assert_eq!(
            (priced.amount.to_string().as_str(), priced.balances[0].left.to_string().as_str()),
            (want, left)
        );
    }
}

#[test]
fn the_cell_that_names_most_dimensions_prices_and_a_tie_is_refused() {
    let unit = |price: &str| json!({ "model": "per_unit", "unit_price": price });
    let parts = json!({ "charges": [{ "id": "t", "meter": "tokens", "cells": [
        { "charge": unit("1") },
        { "where": { "model": "m" }, "charge": unit("2") },
        { "where": { "region": "eu" }, "charge": unit("3") },
        { "where": { "model": "m", "tier": "priority" }, "charge": unit("4") }] }] });
    let plan = plan(&parts);
    let used = |dimensions: Value| json!({ "usage": [{ "meter": "tokens", "dimensions": dimensions, "quantity": "1" }] });
    for (dimensions, want) in [
        (json!({}), "1"),
        (json!({ "model": "other" }), "1"),
        (json!({ "model": "m" }), "2"),
        (json!({ "region": "eu", "model": "other" }), "3"),
        (json!({ "model": "m", "tier": "priority", "region": "eu" }), "4"),
    ] {
        assert_eq!(amount(&plan, &used(dimensions.clone())), want, "{dimensions}");
    }
    let tie = price(&plan, &used(json!({ "model": "m", "region": "eu" }))).unwrap_err();
    assert_eq!((tie.code, tie.path.as_str()), ("ambiguous_price", "usage[0]"));
}

#[test]
fn a_charge_may_be_priced_apart_for_each_value_of_a_dimension() {
    let tiers = json!([{ "up_to": "10", "unit_price": "1" }, { "unit_price": "0.5" }]);
    let charge = |each: Value| {
        json!({ "charges": [{ "id": "c", "meter": "calls", "each": each,
                                       "charge": { "model": "graduated", "tiers": tiers } }] })
    };
    let usage = json!({ "usage": [
        { "meter": "calls", "dimensions": { "project": "a" }, "quantity": "10" },
        { "meter": "calls", "dimensions": { "project": "b" }, "quantity": "10" }] });
    assert_eq!(amount(&plan(&charge(json!([]))), &usage), "15");
    assert_eq!(amount(&plan(&charge(json!(["project"]))), &usage), "20");
}

#[test]
fn a_plan_with_faults_is_refused_whole_with_the_place_of_each() {
    let text = json!({
        "format": "farebox-plan-1", "plan": "p", "version": "1", "name": "P", "currency": "USB",
        "fees": [{ "id": "x", "amount": "-1" }, { "id": "x", "amount": "1" }],
        "charges": [
            { "id": "c", "meter": "calls", "charge": { "model": "volume", "tiers": [{ "unit_price": "1", "oops": 1 }] } },
            { "id": "d", "meter": "calls", "cells": [
                { "where": { "m": "1" }, "charge": { "model": "flat", "amount": "1" } },
                { "where": { "m": "1" }, "charge": { "model": "flat", "amount": "2" } }] }],
        "discounts": [{ "id": "e", "percent": "101" }, { "id": "f" }],
        "rules": { "preset": "lago-9" },
        "unknown": 1,
    });
    let faults = Plan::parse(&text.to_string()).unwrap_err();
    let paths: Vec<&str> = faults.list().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "currency",
            "rules.preset",
            "fees[0].amount",
            "fees[1].id",
            "charges[0].charge.tiers[0].oops",
            "charges[1].cells",
            "discounts[0].percent",
            "discounts[1]",
            "unknown",
        ]
    );
}

#[test]
fn parts_that_nothing_could_ever_meet_are_faults() {
    let text = json!({
        "format": "farebox-plan-1", "plan": "p", "version": "1", "name": "P", "currency": "USD",
        "charges": per_call(),
        "allowances": [{ "id": "a", "meter": "cals", "quantity": "1" },
                       { "id": "b", "meter": "calls", "where": { "model": "m" }, "quantity": "1" }],
        "grants": [{ "id": "g", "amount": "1", "source": "paid", "meters": ["cals"] },
                   { "id": "h", "amount": "1", "source": "paid", "in_credits": true }],
        "commitments": [{ "id": "k", "kind": "minimum", "amount": "1", "on": ["cals"] }],
    });
    let faults = Plan::parse(&text.to_string()).unwrap_err();
    let paths: Vec<&str> = faults.list().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "commitments[0].on[0]",
            "allowances[0].meter",
            "allowances[1].where",
            "grants[0].meters[0]",
            "grants[1].in_credits",
        ]
    );
}

#[test]
fn usage_that_no_charge_prices_is_never_free() {
    let plan = plan(&json!({ "charges": per_call() }));
    let usage = json!({ "usage": [{ "meter": "calls", "quantity": "1" }, { "meter": "images", "quantity": "0" }] });
    let fault = price(&plan, &usage).unwrap_err();
    assert_eq!((fault.code, fault.path.as_str()), ("meter_not_priced", "usage[1]"));
    let amounts = json!({ "usage": [{ "meter": "calls", "amounts": ["1"] }] });
    assert_eq!(price(&plan, &amounts).unwrap_err().code, "unexpected_field");
    let events = json!({ "usage": [{ "meter": "calls", "events": [] }] });
    assert_eq!(price(&plan, &events).unwrap_err().code, "missing_field");
}

#[test]
fn events_outside_the_period_are_never_priced_and_their_order_is_that_of_time() {
    let plan = plan(&json!({ "charges": [{ "id": "sales", "meter": "sales", "charge": {
        "model": "percentage", "rate_percent": "10", "free_events": "1" } }] }));
    let event =
        |id: &str, at: &str, quantity: &str| json!({ "id": id, "at": at, "quantity": quantity });
    let usage = |events: Value| {
        json!({
        "period": { "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z" },
        "usage": [{ "meter": "sales", "events": events }] })
    };
    // The first in time is free, though it is listed last; December's is December's.
    let events = json!([
        event("c", "2026-12-01T00:00:00Z", "900"),
        event("b", "2026-11-20T00:00:00Z", "50"),
        event("a", "2026-11-10T00:00:00Z", "70")
    ]);
    assert_eq!(amount(&plan, &usage(events)), "5");
    let twice =
        json!([event("a", "2026-11-10T00:00:00Z", "70"), event("a", "2026-11-10T00:00:00Z", "71")]);
    let fault = price(&plan, &usage(twice)).unwrap_err();
    assert_eq!((fault.code, fault.path.as_str()), ("invalid_value", "usage[0].events"));
}

#[test]
fn a_discount_tells_how_it_is_split_to_the_last_cent() {
    let unit = json!({ "model": "per_unit", "unit_price": "1" });
    let charges = ["a", "b", "c"].map(|id| json!({ "id": id, "meter": id, "charge": unit }));
    let parts = json!({ "charges": charges, "discounts": [{ "id": "off", "amount": "0.10" }] });
    let entries = ["a", "b", "c"].map(|meter| json!({ "meter": meter, "quantity": "1" }));
    let usage = json!({ "usage": entries });
    let priced = price(&plan(&parts), &usage).unwrap();
    let off = priced.lines.last().unwrap();
    let shares: Vec<String> = off.shares.iter().map(|share| share.amount.to_string()).collect();
    assert_eq!(
        (off.amount.to_string().as_str(), shares),
        ("-0.1", vec!["-0.04".into(), "-0.03".into(), "-0.03".into()])
    );
}

fn entries() -> impl Strategy<Value = Vec<(u8, u32)>> {
    proptest::collection::vec((0_u8..3, 0_u32..100_000), 1..12)
}

fn everything() -> Plan {
    plan(&json!({
        "fees": [{ "id": "fee", "amount": "9.99" }],
        "charges": [
            { "id": "m0", "meter": "m0", "charge": { "model": "per_unit", "unit_price": "0.00123" } },
            { "id": "m1", "meter": "m1", "charge": { "model": "graduated", "tiers": [
                { "up_to": "500", "unit_price": "0.01", "flat_fee": "1" }, { "unit_price": "0.004" }] } },
            { "id": "m2", "meter": "m2", "charge": { "model": "per_unit", "unit_price": "0.7", "divide_by": "3600" } }],
        "allowances": [{ "id": "free", "meter": "m1", "quantity": "40" }],
        "grants": [{ "id": "g", "amount": "3.5", "source": "paid" }],
        "discounts": [{ "id": "d1", "percent": "7" }, { "id": "d2", "amount": "1.11", "on": ["m0", "m1"] }],
        "commitments": [{ "id": "min", "kind": "minimum", "amount": "20" }],
    }))
}

fn usage(entries: &[(u8, u32)]) -> Value {
    let each = entries.iter().map(|(meter, quantity)| {
        json!({ "meter": format!("m{meter}"), "quantity": quantity.to_string() })
    });
    json!({ "usage": each.collect::<Vec<_>>() })
}

proptest! {
    #[test]
    fn neither_the_order_nor_the_batches_of_usage_matter(entries in entries()) {
        let plan = everything();
        let whole = price(&plan, &usage(&entries)).unwrap();
        let mut reversed = entries.clone();
        reversed.reverse();
        prop_assert_eq!(&price(&plan, &usage(&reversed)).unwrap(), &whole);
        let mut split = Vec::new();
        for (meter, quantity) in &entries {
            split.push((*meter, quantity / 3));
            split.push((*meter, quantity - quantity / 3));
        }
        prop_assert_eq!(&price(&plan, &usage(&split)).unwrap(), &whole);
    }

    #[test]
    fn every_line_is_its_exact_amount_rounded_once(entries in entries()) {
        let priced = price(&everything(), &usage(&entries)).unwrap();
        for line in priced.lines {
            if let Some(exact) = line.exact {
                prop_assert_eq!(exact.rounded(2, crate::money::Rounding::HalfUp).unwrap(), line.amount);
            }
            if !line.shares.is_empty() {
                let sum = Exact::sum(line.shares.iter().map(|share| share.amount)).unwrap();
                prop_assert_eq!(sum, line.amount);
            }
        }
    }

    #[test]
    fn a_split_adds_up_and_strays_from_its_share_by_less_than_one_unit(
        cents in -10_000_i64..10_000, weights in proptest::collection::vec(1_u64..1_000, 1..9)
    ) {
        let amount = Ratio::from(cents.to_string().parse::<Exact>().unwrap())
            .over(Exact::from(100).into()).unwrap().exact().unwrap();
        let ratios: Vec<Ratio> = weights.iter().map(|weight| Exact::from(*weight).into()).collect();
        let parts = allocate(amount, &ratios, 2).unwrap();
        prop_assert_eq!(Exact::sum(parts.iter().copied()).unwrap(), amount);
        let all = Ratio::from(Exact::from(weights.iter().sum::<u64>()));
        for (part, weight) in parts.iter().zip(&ratios) {
            let fair = Ratio::from(amount).times(*weight).unwrap().over(all).unwrap();
            let stray = Ratio::from(*part).minus(fair).unwrap();
            let unit = Ratio::from("0.01".parse::<Exact>().unwrap());
            prop_assert!(stray < unit && Ratio::ZERO.minus(unit).unwrap() < stray);
        }
    }
}
