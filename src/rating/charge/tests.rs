#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod most;
mod properties;

use serde_json::{Value, json};

use super::*;

/// The amount of one line of `farebox rate`, or the code and path of its first fault.
fn rate(charge: &Value, used: &Value) -> Result<Charged, (String, String)> {
    let mut line = json!({ "id": 1, "charge": charge });
    match used {
        Value::Array(_) => line["amounts"] = used.clone(),
        Value::Null => {}
        _ => line["quantity"] = used.clone(),
    }
    let first = |faults: crate::strict::Faults| {
        let fault = faults.list()[0].clone();
        (fault.code.to_owned(), fault.path)
    };
    let task = Task::read(&line.to_string()).map_err(first)?;
    let charged = task.charge.price(&task.input).map_err(|fault| first(fault.into()))?;
    let sum = Exact::sum(charged.lines.iter().map(|line| line.amount)).unwrap();
    assert_eq!(sum, charged.amount, "the lines of {line} add up to its amount");
    for line in &charged.lines {
        if let Some(price) = line.unit_price.filter(|_| !line.inexact) {
            assert_eq!(line.quantity.times(price).unwrap(), line.amount);
        }
    }
    Ok(charged)
}

#[track_caller]
fn amounts(charge: &Value, table: &[(Value, &str)]) {
    for (used, want) in table {
        let got = rate(charge, used).map(|charged| charged.amount.to_string());
        assert_eq!(got.as_deref(), Ok(*want), "{charge} on {used}");
    }
}

#[track_caller]
fn refused(charge: &Value, used: &Value, code: &str, path: &str) {
    let got = rate(charge, used).map(|charged| charged.amount.to_string());
    assert_eq!(got, Err((code.to_owned(), path.to_owned())), "{charge} on {used}");
}

#[test]
fn a_flat_charge_is_due_whatever_was_used() {
    let flat = json!({ "model": "flat", "amount": "20" });
    amounts(&flat, &[(json!(null), "20"), (json!("0"), "20"), (json!("1000"), "20")]);
    amounts(&json!({ "model": "flat", "amount": "-3.5" }), &[(json!(null), "-3.5")]);
}

#[test]
fn a_unit_price_may_be_for_many_units() {
    amounts(
        &json!({ "model": "per_unit", "unit_price": "0.03", "unit_price_is_per": "1000" }),
        &[(json!("0"), "0"), (json!("1"), "0.00003"), (json!("1500"), "0.045")],
    );
    // A dollar for three is no decimal, three of them are.
    let third = json!({ "model": "per_unit", "unit_price": "1", "unit_price_is_per": 3 });
    amounts(&third, &[(json!("3"), "1"), (json!("6"), "2")]);
    refused(&third, &json!("1"), "amount_out_of_range", "");
}

#[test]
fn the_upper_bound_of_a_tier_belongs_to_it() {
    let tiers = json!([
        { "up_to": "100", "unit_price": "1", "flat_fee": "5" },
        { "up_to": "200", "unit_price": "0.5", "flat_fee": "3" },
        { "up_to": null, "unit_price": "0.1" },
    ]);
    amounts(
        &json!({ "model": "graduated", "tiers": tiers }),
        &[
            (json!("0"), "0"),
            (json!("0.5"), "5.5"),
            (json!("100"), "105"),
            // Half a unit over: the next tier begins right above the bound, not one whole unit up.
            (json!("100.5"), "108.25"),
            (json!("200"), "158"),
            (json!("201"), "158.1"),
        ],
    );
    amounts(
        &json!({ "model": "volume", "tiers": tiers }),
        &[
            (json!("0"), "0"),
            (json!("100"), "105"),
            (json!("100.0000000001"), "53.00000000005"),
            (json!("200"), "103"),
            (json!("1000"), "100"),
        ],
    );
}

#[test]
fn the_first_tiers_fee_at_zero_usage_is_due_only_where_the_charge_says_so() {
    for model in ["graduated", "volume"] {
        let mut charge =
            json!({ "model": model, "tiers": [{ "unit_price": "1", "flat_fee": "7" }] });
        amounts(&charge, &[(json!("0"), "0"), (json!("1"), "8")]);
        charge["first_tier_flat_fee_at_zero_usage"] = json!(true);
        amounts(&charge, &[(json!("0"), "7"), (json!("1"), "8")]);
        charge["free_units"] = json!("2");
        amounts(&charge, &[(json!("2"), "7"), (json!("3"), "8")]);
    }
}

#[test]
fn what_lies_beyond_a_bounded_last_tier_is_never_free() {
    let tiers = json!([{ "up_to": "10", "unit_price": "1" }]);
    for model in ["graduated", "volume"] {
        let charge = json!({ "model": model, "tiers": tiers });
        amounts(&charge, &[(json!("10"), "10")]);
        refused(&charge, &json!("10.1"), "quantity_beyond_tiers", "quantity");
    }
    for model in ["graduated_package", "volume_package"] {
        let tiers = json!([{ "block_size": "5", "max_blocks": 2, "price_per_block": "1" }]);
        let charge = json!({ "model": model, "tiers": tiers });
        amounts(&charge, &[(json!("10"), "2")]);
        refused(&charge, &json!("10.1"), "quantity_beyond_tiers", "quantity");
    }
}

#[test]
fn free_units_come_off_before_packages_are_made() {
    let package = json!({ "model": "package", "package_size": "1000", "price_per_package": "0.10",
                          "free_units": "100000" });
    amounts(
        &package,
        &[
            (json!("0"), "0"),
            (json!("100000"), "0"),
            (json!("100001"), "0.1"),
            (json!("101000"), "0.1"),
            (json!("101001"), "0.2"),
        ],
    );
    let down = json!({ "model": "package", "package_size": "1000", "price_per_package": "0.10",
                       "package_rounding": "down" });
    amounts(&down, &[(json!("999"), "0"), (json!("1000"), "0.1"), (json!("1999.9"), "0.1")]);
    refused(
        &json!({ "model": "package", "package_size": "0", "price_per_package": "1" }),
        &json!("1"),
        "invalid_value",
        "charge.package_size",
    );
}

#[test]
fn packages_in_tiers_count_begun_blocks_in_full() {
    let tiers = json!([
        { "block_size": "100", "max_blocks": "2", "price_per_block": "10" },
        { "block_size": "1000", "max_blocks": null, "price_per_block": "50" },
    ]);
    amounts(
        &json!({ "model": "graduated_package", "tiers": tiers }),
        &[
            (json!("0"), "0"),
            (json!("1"), "10"),
            (json!("100"), "10"),
            (json!("200"), "20"),
            (json!("200.5"), "70"),
            (json!("1200"), "70"),
            (json!("1201"), "120"),
        ],
    );
    amounts(
        &json!({ "model": "volume_package", "tiers": tiers }),
        &[
            (json!("0"), "0"),
            (json!("101"), "20"),
            (json!("200"), "20"),
            (json!("201"), "50"),
            (json!("1001"), "100"),
        ],
    );
}

#[test]
fn a_percentage_charges_each_paid_event() {
    // Three events or 500, whichever ends first, are free.
    let charge = json!({ "model": "percentage", "rate_percent": "1.2",
        "fixed_fee_per_paid_event": "0.10", "free_events": 3, "free_amount_total": "500" });
    amounts(
        &charge,
        &[
            (json!([]), "0"),
            (json!(["200", "100", "100"]), "0"),
            (json!(["200", "100", "100", "50"]), "0.7"),
            (json!(["200", "300"]), "0"),
            // The third crosses 500: it pays for 100 and its fee.
            (json!(["200", "300", "100"]), "1.3"),
            (json!(["600"]), "1.3"),
        ],
    );
    let events_only = json!({ "model": "percentage", "rate_percent": "10",
        "fixed_fee_per_paid_event": "1", "free_events": "1" });
    amounts(&events_only, &[(json!(["1000000"]), "0"), (json!(["5", "10", "0"]), "3")]);
    let amount_only = json!({ "model": "percentage", "rate_percent": "10",
        "fixed_fee_per_paid_event": "1", "free_amount_total": "15" });
    amounts(&amount_only, &[(json!(["5", "10"]), "0"), (json!(["5", "10", "1", "1"]), "2.2")]);
}

#[test]
fn the_bounds_of_an_event_include_its_fee_and_leave_free_events_alone() {
    let charge = json!({ "model": "percentage", "rate_percent": "1",
        "fixed_fee_per_paid_event": "0.50", "per_event_min": "1", "per_event_max": "5" });
    amounts(
        &charge,
        &[
            (json!(["20"]), "1"),
            (json!(["600"]), "5"),
            (json!(["100"]), "1.5"),
            (json!(["20", "600", "100", "0"]), "8.5"),
        ],
    );
    let mut free = charge;
    free["free_events"] = json!("1");
    amounts(&free, &[(json!(["20"]), "0"), (json!(["20", "20"]), "1")]);
}

#[test]
fn graduated_percentages_split_an_amount_of_money() {
    let charge = json!({ "model": "graduated_percentage", "tiers": [
        { "up_to": "1000", "rate_percent": "3", "flat_fee": "1" },
        { "rate_percent": "2.5", "flat_fee": "2" }] });
    amounts(&charge, &[(json!("0"), "0"), (json!("1000"), "31"), (json!("1000.01"), "33.00025")]);
}

#[test]
fn cost_plus_adds_to_every_event() {
    let charge = json!({ "model": "cost_plus", "multiplier": "1.3", "add": "0.01" });
    amounts(
        &charge,
        &[(json!([]), "0"), (json!(["1"]), "1.31"), (json!(["0.006", "0.004"]), "0.033")],
    );
    // A refund of the cost takes back its share.
    let charge = json!({ "model": "cost_plus", "multiplier": "1.3" });
    amounts(&charge, &[(json!(["1", "-1"]), "0"), (json!(["-0.5"]), "-0.65")]);
}

#[test]
fn a_quantity_is_converted_then_rounded_then_lifted_to_its_multiple_then_freed() {
    let mut charge = json!({ "model": "per_unit", "unit_price": "3.6", "divide_by": "3600" });
    // Seconds by the hour: no hour here is a decimal, every amount is.
    amounts(&charge, &[(json!("1000"), "1"), (json!("1"), "0.001")]);
    charge["unit_price"] = json!("1");
    refused(&charge, &json!("1000"), "amount_out_of_range", "");
    charge["quantity_rounding"] = json!("up");
    amounts(&charge, &[(json!("1"), "1"), (json!("3600"), "1"), (json!("3601"), "2")]);
    charge["quantity_rounding"] = json!("half_even");
    amounts(&charge, &[(json!("1800"), "0"), (json!("5400"), "2"), (json!("1801"), "1")]);
    charge["quantity_multiple"] = json!("4");
    amounts(&charge, &[(json!("0"), "0"), (json!("3600"), "4"), (json!("18000"), "8")]);
    charge["free_units"] = json!("5");
    amounts(&charge, &[(json!("3600"), "0"), (json!("18000"), "3")]);
}

#[test]
fn a_rounded_amount_is_rounded_once_from_its_true_value() {
    let mut charge = json!({ "model": "graduated", "divide_by": "3", "round_to": "2", "tiers": [
        { "up_to": "1", "unit_price": "0.01" }, { "unit_price": "0.005" }] });
    // 1 × 0.01 + 4/3 × 0.005 = 0.01666…
    amounts(&charge, &[(json!("7"), "0.02"), (json!("0"), "0")]);
    for (rounding, want) in
        [("down", "0.01"), ("up", "0.02"), ("ceiling", "0.02"), ("half_even", "0.02")]
    {
        charge["rounding"] = json!(rounding);
        amounts(&charge, &[(json!("7"), want)]);
    }
    for (rounding, want) in [
        ("half_up", ["1.01", "1.02", "-1.01"]),
        ("half_even", ["1", "1.02", "-1"]),
        ("up", ["1.01", "1.02", "-1.01"]),
        ("down", ["1", "1.01", "-1"]),
        ("ceiling", ["1.01", "1.02", "-1"]),
    ] {
        for (amount, want) in ["1.005", "1.015", "-1.005"].iter().zip(want) {
            let flat =
                json!({ "model": "flat", "amount": amount, "round_to": 2, "rounding": rounding });
            amounts(&flat, &[(json!(null), want)]);
        }
    }
    let cash = json!({ "model": "flat", "amount": "1.03", "round_to": "0.05" });
    amounts(&cash, &[(json!(null), "1.05")]);
}

#[test]
fn rounding_may_stand_beside_the_charge() {
    let line = r#"{"id": 1, "charge": {"model": "flat", "amount": "1.25"}, "round_to": 1}"#;
    let task = Task::read(line).unwrap();
    assert_eq!(task.charge.price(&task.input).unwrap().amount.to_string(), "1.3");
}

#[test]
fn minimum_and_maximum_bound_the_charge_even_at_zero() {
    let charge = json!({ "model": "per_unit", "unit_price": "1", "minimum_amount": "5",
                         "maximum_amount": "8" });
    amounts(
        &charge,
        &[
            (json!("0"), "5"),
            (json!("5"), "5"),
            (json!("6.5"), "6.5"),
            (json!("8"), "8"),
            (json!("9"), "8"),
        ],
    );
    let kinds = |used: &str| -> Vec<Kind> {
        rate(&charge, &json!(used)).unwrap().lines.iter().map(|line| line.kind).collect()
    };
    assert_eq!(kinds("3"), [Kind::Usage, Kind::Minimum]);
    assert_eq!(kinds("9"), [Kind::Usage, Kind::Maximum]);
}

#[test]
fn numbers_at_the_edge_of_28_digits_are_exact_or_refused() {
    let unit = |price: &str| json!({ "model": "per_unit", "unit_price": price });
    let (tiny, large) = ("0.0000000000000000000000000001", "79228162514264337593543950335");
    amounts(&unit(tiny), &[(json!(large), "7.9228162514264337593543950335"), (json!("1"), tiny)]);
    refused(&unit(tiny), &json!("0.1"), "amount_out_of_range", "");
    refused(&unit("2"), &json!(large), "amount_out_of_range", "");
    amounts(
        &unit("0.1234567890123456789012345678"),
        &[(json!("1000000"), "123456.7890123456789012345678")],
    );
    amounts(&unit("0.30000000000000004"), &[(json!("3"), "0.90000000000000012")]);
    // Ten to the forty, less what cancels.
    amounts(&unit("0.00000000000000000001"), &[(json!("100000000000000000000"), "1")]);
    amounts(
        &unit("1.23456789012345678901"),
        &[(json!("100000000000000000000"), "123456789012345678901")],
    );
    // Rounded, even a product of 39 digits has its nearest cent.
    let rounded = json!({ "model": "per_unit", "unit_price": "0.123456789012345", "round_to": 2 });
    amounts(&rounded, &[(json!("123456789012345.678901234"), "15241578753238.75")]);
}

#[test]
fn what_is_misspelt_missing_or_senseless_is_refused_with_its_place() {
    let unit = |more: Value| {
        let mut charge = json!({ "model": "per_unit", "unit_price": "1" });
        charge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        charge
    };
    let one = json!("1");
    for (charge, code, path) in [
        (json!({ "model": "per_unit" }), "missing_field", "charge.unit_price"),
        (json!({ "model": "per_unit", "unit_price": null }), "missing_field", "charge.unit_price"),
        (json!({ "unit_price": "1" }), "missing_field", "charge.model"),
        (json!({ "model": "per-unit" }), "unknown_charge_model", "charge.model"),
        (unit(json!({ "tiers": [] })), "unknown_field", "charge.tiers"),
        (unit(json!({ "unit_price": "-1" })), "invalid_value", "charge.unit_price"),
        (unit(json!({ "unit_price": "1,5" })), "invalid_value", "charge.unit_price"),
        (unit(json!({ "divide_by": "0" })), "invalid_value", "charge.divide_by"),
        (unit(json!({ "round_to": "1.5" })), "invalid_value", "charge.round_to"),
        (unit(json!({ "round_to": "29" })), "invalid_value", "charge.round_to"),
        (unit(json!({ "round_to": "2", "rounding": "floor" })), "invalid_value", "charge.rounding"),
        (unit(json!({ "rounding": "up" })), "invalid_value", "charge.rounding"),
        (
            unit(json!({ "minimum_amount": "2", "maximum_amount": "1" })),
            "invalid_value",
            "charge.minimum_amount",
        ),
        (json!({ "model": "graduated" }), "missing_field", "charge.tiers"),
        (json!({ "model": "graduated", "tiers": [] }), "invalid_value", "charge.tiers"),
        (
            json!({ "model": "graduated", "tiers": [{ "up_to": "1" }] }),
            "missing_field",
            "charge.tiers[0].unit_price",
        ),
        (
            json!({ "model": "volume", "tiers": [
                { "up_to": "5", "unit_price": "1" }, { "up_to": "5", "unit_price": "1" }] }),
            "invalid_value",
            "charge.tiers[1]",
        ),
        (
            json!({ "model": "volume", "tiers": [
                { "up_to": null, "unit_price": "1" }, { "up_to": "5", "unit_price": "1" }] }),
            "invalid_value",
            "charge.tiers[0]",
        ),
        (
            json!({ "model": "volume", "tiers": [{ "unit_price": "1", "price": "2" }] }),
            "unknown_field",
            "charge.tiers[0].price",
        ),
        (json!({ "model": "cost_plus", "multiplier": "1" }), "unexpected_field", "quantity"),
    ] {
        refused(&charge, &one, code, path);
    }
    refused(&unit(json!({})), &json!(null), "missing_field", "quantity");
    refused(&unit(json!({})), &json!("-1"), "negative_quantity", "quantity");
    refused(&unit(json!({})), &json!("x"), "invalid_value", "quantity");
    refused(&unit(json!({})), &json!(["1"]), "unexpected_field", "amounts");
    let percentage = json!({ "model": "percentage", "rate_percent": "1" });
    refused(&percentage, &json!(null), "missing_field", "amounts");
    refused(&percentage, &json!(["1", "-1"]), "negative_quantity", "amounts[1]");
    refused(&percentage, &json!(["1", "x"]), "invalid_value", "amounts[1]");
}

#[test]
fn every_fault_of_a_line_is_reported_not_only_the_first() {
    let line =
        r#"{"id": 1, "charge": {"model": "package", "package_size": "0", "typo": 1}, "qty": 1}"#;
    let faults = Task::read(line).unwrap_err();
    let paths: Vec<_> = faults.list().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["charge.package_size", "charge.price_per_package", "charge.typo", "qty"]);
}
