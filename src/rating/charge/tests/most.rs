use proptest::prelude::*;
use serde_json::{Value, json};

use crate::money::{Exact, Ratio};
use crate::rating::charge::{Charge, Input};
use crate::strict::{Faults, Spot};

fn charge(json: &Value) -> Charge {
    let mut faults = Faults::default();
    let text = json.to_string();
    let charge = Charge::read(&Spot::root(&text, &mut faults).unwrap(), &mut faults);
    assert!(charge.is_some(), "{json}: {:?}", faults.list());
    charge.unwrap()
}

fn number(text: &str) -> Exact {
    text.parse().unwrap()
}

/// The price as an exact fraction.
fn price(charge: &Charge, quantity: Exact) -> Ratio {
    charge.price_to(&Input::quantity(quantity), 12, crate::money::Rounding::HalfUp).unwrap().0
}

#[track_caller]
fn most(json: &Value, from: &str, quantity: &str, want: &str) {
    let most = charge(json).most(number(from), number(quantity)).unwrap();
    assert_eq!(most.exact().unwrap(), number(want), "{json} from {from}, {quantity} more");
}

#[test]
fn the_most_lies_where_the_next_tiers_begin() {
    let graduated = json!({ "model": "graduated", "tiers": [
        { "up_to": "10", "unit_price": "1" }, { "up_to": "20", "unit_price": "5", "flat_fee": "7" },
        { "up_to": null, "unit_price": "0.5" }] });
    // All three in the second tier, and its fee: from just below its first unit.
    most(&graduated, "0", "3", "22");
    // Once inside, the fee is paid; past it, units cost a tenth.
    most(&graduated, "12", "3", "15");
    most(&graduated, "20", "3", "1.5");
    let volume = json!({ "model": "volume", "tiers": [
        { "up_to": "10", "unit_price": "1" }, { "up_to": null, "unit_price": "2" }] });
    // Crossing reprices the ten that were cheap before.
    most(&volume, "0", "1", "12");
    most(&volume, "11", "1", "2");
    // A crossing that makes all cheaper adds nothing, but before it units have their price.
    let falling = json!({ "model": "volume", "tiers": [
        { "up_to": "10", "unit_price": "2" }, { "up_to": null, "unit_price": "1" }] });
    most(&falling, "9", "1", "2");
}

#[test]
fn a_package_may_always_be_the_next_to_be_begun() {
    let package =
        json!({ "model": "package", "package_size": "1000", "price_per_package": "0.10" });
    most(&package, "0", "1", "0.1");
    most(&package, "1", "1", "0.1");
    most(&package, "0", "1001", "0.2");
    most(&json!({ "model": "flat", "amount": "20" }), "0", "5", "0");
}

#[test]
fn a_maximum_that_is_reached_leaves_nothing_to_hold_for() {
    let capped = json!({ "model": "per_unit", "unit_price": "1", "maximum_amount": "10" });
    most(&capped, "0", "3", "3");
    most(&capped, "8", "3", "2");
    most(&capped, "10", "3", "0");
}

#[test]
fn beyond_the_last_tier_there_is_nothing_to_hold() {
    let ends =
        charge(&json!({ "model": "volume", "tiers": [{ "up_to": "10", "unit_price": "1" }] }));
    assert_eq!(ends.most(8.into(), 2.into()).unwrap(), Exact::from(2).into());
    assert_eq!(ends.most(8.into(), 3.into()).unwrap_err().code, "quantity_beyond_tiers");
}

fn tiers(end: bool) -> impl Strategy<Value = Value> {
    let tier = (1_u32..9, 0_u32..9, 0_u32..5);
    proptest::collection::vec(tier, 1..5).prop_map(move |tiers| {
        let (count, mut up_to) = (tiers.len(), 0);
        let tier = |(at, (width, price, fee)): (usize, (u32, u32, u32))| {
            up_to += width;
            let up_to =
                if at + 1 == count && !end { json!(null) } else { json!(up_to.to_string()) };
            json!({ "up_to": up_to, "unit_price": price.to_string(), "flat_fee": fee.to_string() })
        };
        Value::Array(tiers.into_iter().enumerate().map(tier).collect())
    })
}

fn blocks() -> impl Strategy<Value = Value> {
    let tier = (1_u32..6, 1_u32..4, 0_u32..9);
    proptest::collection::vec(tier, 1..4).prop_map(|tiers| {
        let count = tiers.len();
        let tier = |(at, (size, most, price)): (usize, (u32, u32, u32))| {
            let most = if at + 1 == count { json!(null) } else { json!(most.to_string()) };
            json!({ "block_size": size.to_string(), "max_blocks": most,
                    "price_per_block": price.to_string() })
        };
        Value::Array(tiers.into_iter().enumerate().map(tier).collect())
    })
}

fn models() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_u32..9)
            .prop_map(|price| json!({ "model": "per_unit", "unit_price": price.to_string() })),
        (tiers(false), any::<bool>()).prop_map(|(tiers, fee)| json!({ "model": "graduated",
            "tiers": tiers, "first_tier_flat_fee_at_zero_usage": fee })),
        (tiers(false), any::<bool>()).prop_map(|(tiers, fee)| json!({ "model": "volume",
            "tiers": tiers, "first_tier_flat_fee_at_zero_usage": fee })),
        (1_u32..6, 0_u32..9, any::<bool>()).prop_map(
            |(size, price, up)| json!({ "model": "package",
            "package_size": size.to_string(), "price_per_package": price.to_string(),
            "package_rounding": if up { "up" } else { "down" } })
        ),
        blocks().prop_map(|tiers| json!({ "model": "graduated_package", "tiers": tiers })),
        blocks().prop_map(|tiers| json!({ "model": "volume_package", "tiers": tiers })),
        (0_u32..9).prop_map(|amount| json!({ "model": "flat", "amount": amount.to_string() })),
    ]
}

fn charges() -> impl Strategy<Value = Value> {
    let rounding = prop_oneof![Just("half_up"), Just("half_even"), Just("up"), Just("down")];
    let bounds = (proptest::option::of(0_u32..20), proptest::option::of(20_u32..60));
    (
        models(),
        bounds,
        proptest::option::of((1_u32..4, rounding.clone())),
        0_u32..4,
        0_u32..4,
        rounding,
    )
        .prop_map(|(mut charge, (low, high), divided, multiple, free, rounding)| {
            if let Some(low) = low {
                charge["minimum_amount"] = json!(low.to_string());
            }
            if let Some(high) = high {
                charge["maximum_amount"] = json!(high.to_string());
            }
            if let Some((by, how)) = divided {
                charge["divide_by"] = json!(by.to_string());
                charge["quantity_rounding"] = json!(how);
            }
            if multiple > 1 {
                charge["quantity_multiple"] = json!(multiple.to_string());
            }
            if free == 3 {
                charge["round_to"] = json!("0");
                charge["rounding"] = json!(rounding);
            }
            if charge["model"] != "flat" {
                charge["free_units"] = json!(free.to_string());
            }
            charge
        })
}

#[test]
fn of_many_uses_each_may_begin_a_package_and_units_cost_their_dearest() {
    let of = |json: &Value, quantity: u64, largest: u64, times| {
        let most = charge(json).most_of(0.into(), quantity.into(), (largest.into(), times));
        most.unwrap().exact().unwrap()
    };
    let package = json!({ "model": "package", "package_size": "10", "price_per_package": "1" });
    assert_eq!(of(&package, 100, 1, 1), 10.into());
    assert_eq!(of(&package, 100, 1, 100), 100.into());
    let graduated = json!({ "model": "graduated", "tiers": [
        { "up_to": "10", "unit_price": "1" }, { "up_to": null, "unit_price": "3" }] });
    // Ninety small ones and a large: not a hundred large ones.
    assert_eq!(of(&graduated, 190, 100, 91), 570.into());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_way_in_which_others_come_between_costs_many_uses_more_than_their_most(
        json in charges(), from in 0_u64..20,
        uses in proptest::collection::vec((0_u64..6, 0_u64..12), 1..6)
    ) {
        let charge = charge(&json);
        let half = |n: u64| Exact::from(n).over(2.into()).unwrap();
        let quantity = half(uses.iter().map(|(_, of)| of).sum());
        let largest = half(uses.iter().map(|(_, of)| *of).max().unwrap());
        let times = u64::try_from(uses.len()).unwrap();
        let most = charge.most_of(half(from), quantity, (largest, times)).unwrap();
        let (mut at, mut sum) = (from, Ratio::ZERO);
        for (others, own) in uses {
            at += others;
            let (before, after) = (price(&charge, half(at)), price(&charge, half(at + own)));
            sum = sum.plus(after.minus(before).unwrap()).unwrap();
            at += own;
        }
        prop_assert!(sum <= most, "{json}: {sum:?} above {most:?}");
    }

    #[test]
    fn no_order_in_which_requests_settle_costs_more_than_the_most(
        json in charges(), from in 0_u64..40, quantity in 0_u64..24
    ) {
        let charge = charge(&json);
        let half = |n: u64| Exact::from(n).over(2.into()).unwrap();
        let most = charge.most(half(from), half(quantity)).unwrap();
        let prices: Vec<Ratio> =
            (from..from + 120).map(|n| price(&charge, half(n))).collect();
        for (at, before) in prices.iter().enumerate().take(90) {
            for after in &prices[at..=at + usize::try_from(quantity).unwrap()] {
                let more = after.minus(*before).unwrap();
                prop_assert!(more <= most, "{json}: {more:?} above {most:?}");
            }
        }
    }
}
