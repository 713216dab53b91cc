use proptest::prelude::*;
use serde_json::{Value, json};

use super::rate;
use crate::money::Exact;

fn tiers() -> impl Strategy<Value = Value> {
    let tier = (1_u32..500, 0_u32..1_000, 0_u32..50);
    proptest::collection::vec(tier, 1..6).prop_map(|tiers| {
        let count = tiers.len();
        let mut end = 0;
        let tier = |(at, (width, price, fee)): (usize, (u32, u32, u32))| {
            end += width;
            let up_to = if at + 1 == count { json!(null) } else { json!(end.to_string()) };
            json!({ "up_to": up_to, "unit_price": format!("0.{price:03}"),
                    "flat_fee": fee.to_string() })
        };
        // A price of zero needs a fee beside it, or the tier would have no price at all.
        Value::Array(tiers.into_iter().enumerate().map(tier).collect())
    })
}

fn quantity() -> impl Strategy<Value = Exact> {
    (0_u64..3_000_000, 0_u32..4).prop_map(|(digits, places)| {
        let per = Exact::from(10_u64.pow(places));
        Exact::from(digits).over(per).unwrap()
    })
}

fn amount(charge: &Value, quantity: Exact) -> Exact {
    rate(charge, &json!(quantity)).unwrap().amount
}

proptest! {
    #[test]
    fn a_per_unit_price_is_the_same_in_one_batch_or_many(
        price in quantity(), parts in proptest::collection::vec(quantity(), 0..6)
    ) {
        let charge = json!({ "model": "per_unit", "unit_price": price });
        let whole = amount(&charge, Exact::sum(parts.iter().copied()).unwrap());
        let split = Exact::sum(parts.iter().map(|part| amount(&charge, *part))).unwrap();
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn more_use_never_costs_less(tiers in tiers(), a in quantity(), b in quantity()) {
        let (less, more) = (a.min(b), a.max(b));
        for charge in [
            json!({ "model": "graduated", "tiers": tiers }),
            json!({ "model": "package", "package_size": "7", "price_per_package": "2" }),
            json!({ "model": "graduated_package", "tiers": [
                { "block_size": "7", "max_blocks": "3", "price_per_block": "2" },
                { "block_size": "100", "price_per_block": "1" }] }),
            json!({ "model": "per_unit", "unit_price": "0.5", "divide_by": "8",
                    "quantity_rounding": "half_even", "minimum_amount": "3" }),
        ] {
            prop_assert!(amount(&charge, less) <= amount(&charge, more), "{charge}");
        }
    }

    #[test]
    fn a_graduated_price_is_the_sum_of_its_margins(
        tiers in tiers(), steps in proptest::collection::vec(quantity(), 1..6)
    ) {
        // Unit by unit: each step costs what the tiers it passes through charge for it.
        let charge = json!({ "model": "graduated", "tiers": tiers });
        let list: Vec<(Option<Exact>, Exact, Exact)> = tiers.as_array().unwrap().iter().map(|tier| {
            let number = |name: &str| tier[name].as_str().map(|text| text.parse().unwrap());
            (number("up_to"), number("unit_price").unwrap(), number("flat_fee").unwrap())
        }).collect();
        let (mut at, mut margins) = (Exact::ZERO, Exact::ZERO);
        for step in steps {
            let to = at.plus(step).unwrap();
            let mut from = Exact::ZERO;
            for (up_to, price, fee) in &list {
                let end = up_to.unwrap_or(to.max(from));
                let overlap = to.min(end).minus(at.max(from)).unwrap().max(Exact::ZERO);
                margins = margins.plus(overlap.times(*price).unwrap()).unwrap();
                if at <= from && to > from {
                    margins = margins.plus(*fee).unwrap();
                }
                from = end;
            }
            at = to;
        }
        prop_assert_eq!(amount(&charge, at), margins);
    }

    #[test]
    fn without_allowances_the_order_of_events_does_not_matter(
        events in proptest::collection::vec(quantity(), 0..8)
    ) {
        let mut sorted = events.clone();
        sorted.sort();
        for charge in [
            json!({ "model": "percentage", "rate_percent": "2.9", "fixed_fee_per_paid_event": "0.3",
                    "per_event_min": "1", "per_event_max": "40" }),
            json!({ "model": "cost_plus", "multiplier": "1.2", "add": "0.1" }),
        ] {
            let total = |events: &[Exact]| rate(&charge, &json!(events)).unwrap().amount;
            prop_assert_eq!(total(&events), total(&sorted));
        }
    }

    #[test]
    fn volume_and_graduated_agree_within_the_first_tier(tiers in tiers(), part in 0_u32..=100) {
        let first = tiers[0]["up_to"].as_str().unwrap_or("90").parse::<Exact>().unwrap();
        let quantity = first.times(Exact::from(u64::from(part))).unwrap().over(100.into()).unwrap();
        let of = |model| amount(&json!({ "model": model, "tiers": tiers }), quantity);
        prop_assert_eq!(of("volume"), of("graduated"));
    }
}
