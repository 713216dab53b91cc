//! Request by request: the same sums as the whole period at once, and never more than was held.
use super::*;
use crate::money::Rounding;

fn part(meter: &str, model: &str, quantity: u64) -> Part {
    let dimensions = [("model".to_owned(), model.to_owned())].into();
    Part { meter: meter.into(), dimensions, quantity: quantity.into(), outcome: None }
}

/// The charge lines of the whole period, in money and in credits.
fn whole(plan: &Plan, parts: &[Part]) -> (Exact, Exact) {
    let entry = |part: &Part| Entry {
        meter: part.meter.clone(),
        dimensions: part.dimensions.clone(),
        used: Used::Quantity(part.quantity),
        cost: None,
        path: String::new(),
    };
    let usage = Usage {
        entries: parts.iter().map(entry).collect(),
        ..Usage::parse(r#"{"usage": []}"#).unwrap()
    };
    let priced = plan.price(&usage).unwrap();
    let charges = || priced.lines.iter().filter(|line| line.kind == LineKind::Charge);
    // Prices in these plans are thirds at the finest, and rounded as running totals are.
    let twelve = |line: &Line| {
        let cell = line.exact.map(Ratio::from);
        let sum =
            |detail: &[charge::Line]| Exact::sum(detail.iter().map(|one| one.amount)).unwrap();
        cell.map_or_else(
            || sum(&line.detail),
            |exact| exact.rounded(PLACES, Rounding::HalfUp).unwrap(),
        )
    };
    (
        Exact::sum(charges().filter(|line| line.credits.is_none()).map(twelve)).unwrap(),
        Exact::sum(charges().filter_map(|line| line.credits)).unwrap(),
    )
}

fn sum(increments: &[Increment], in_credits: bool) -> Exact {
    let these = increments.iter().filter(|one| one.in_credits == in_credits);
    Exact::sum(these.map(|one| one.amount)).unwrap()
}

fn models() -> impl Strategy<Value = Value> {
    let tier = (1_u32..9, 0_u32..9, 0_u32..5);
    let tiers = proptest::collection::vec(tier, 1..4).prop_map(|tiers| {
        let (count, mut end) = (tiers.len(), 0);
        let tier = |(at, (width, price, fee)): (usize, (u32, u32, u32))| {
            end += width;
            let up_to = if at + 1 == count { json!(null) } else { json!(end.to_string()) };
            json!({ "up_to": up_to, "unit_price": price.to_string(), "flat_fee": fee.to_string() })
        };
        Value::Array(tiers.into_iter().enumerate().map(tier).collect())
    });
    prop_oneof![
        (0_u32..9).prop_map(|p| json!({ "model": "per_unit", "unit_price": p.to_string() })),
        (any::<bool>(), tiers).prop_map(|(up, tiers)| json!({
            "model": if up { "graduated" } else { "volume" }, "tiers": tiers })),
        (1_u32..6, 1_u32..9).prop_map(|(size, p)| json!({ "model": "package",
            "package_size": size.to_string(), "price_per_package": p.to_string() })),
        (5_u32..30).prop_map(|top| json!({ "model": "per_unit", "unit_price": "2",
            "minimum_amount": "4", "maximum_amount": top.to_string() })),
        Just(json!({ "model": "flat", "amount": "3" })),
    ]
}

/// Plans on calls, told apart by model in cells or not at all, in money or in credits.
fn plans() -> impl Strategy<Value = Plan> {
    let allowance = proptest::option::of((0_u32..20, any::<bool>()));
    (models(), models(), any::<bool>(), any::<bool>(), any::<bool>(), allowance).prop_map(
        |(one, other, cells, apart, credits, allowance)| {
            let mut charge = json!({ "id": "calls", "meter": "calls", "in_credits": credits });
            if cells {
                charge["cells"] = json!([{ "charge": one },
                                         { "where": { "model": "b" }, "charge": other }]);
            } else {
                charge["charge"] = one;
                if apart {
                    charge["each"] = json!(["model"]);
                }
            }
            let mut parts = json!({ "charges": [charge], "credit": { "name": "c", "worth": "0" } });
            if let Some((quantity, threshold)) = allowance {
                let mut free = json!({ "id": "free", "meter": "calls",
                                       "quantity": quantity.to_string() });
                if cells {
                    free["where"] = json!({ "model": "b" });
                }
                parts["allowances"] = json!([free]);
                parts["rules"] =
                    json!({ "allowance": if threshold { "threshold" } else { "subtracted" } });
            }
            plan(&parts)
        },
    )
}

fn usages() -> impl Strategy<Value = Vec<Part>> {
    let one = (0_u64..7, prop_oneof![Just("a"), Just("b"), Just("c")]);
    proptest::collection::vec(one.prop_map(|(n, model)| part("calls", model, n)), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn requests_add_up_to_the_period_whatever_their_order(plan in plans(), parts in usages()) {
        let (mut running, mut money, mut credits) = (Running::default(), Exact::ZERO, Exact::ZERO);
        for part in &parts {
            let increments =
                running.change(&plan, &[], std::slice::from_ref(part), Sure::Yes).unwrap();
            for one in &increments {
                let lines = Exact::sum(one.detail.iter().map(|line| line.amount)).unwrap();
                prop_assert_eq!(lines, one.amount, "the lines of {:?}", one);
            }
            money = money.plus(sum(&increments, false)).unwrap();
            credits = credits.plus(sum(&increments, true)).unwrap();
        }
        let (all, nothing) = (whole(&plan, &parts), whole(&plan, &[]));
        // What was taken out and put back leaves no trace.
        prop_assert_eq!(money, all.0.minus(nothing.0).unwrap());
        prop_assert_eq!(credits, all.1.minus(nothing.1).unwrap());
    }

    #[test]
    fn what_was_assumed_and_then_reported_is_charged_as_reported(
        plan in plans(), parts in usages(), assumed in 0_u64..7, really in 0_u64..7
    ) {
        let mut running = Running::default();
        let (assumed, really) = ([part("calls", "b", assumed)], [part("calls", "b", really)]);
        let mut sum_of = |gone: &[Part], now: &[Part], sure| {
            let increments = running.change(&plan, gone, now, sure).unwrap();
            sum(&increments, false).plus(sum(&increments, true)).unwrap()
        };
        let mut total = sum_of(&[], &assumed, Sure::Assumed);
        for part in &parts {
            total = total.plus(sum_of(&[], std::slice::from_ref(part), Sure::Yes)).unwrap();
        }
        total = total.plus(sum_of(&assumed, &really, Sure::Yes)).unwrap();
        let of = |parts: &[Part]| {
            let (money, credits) = whole(&plan, parts);
            money.plus(credits).unwrap()
        };
        let all = [parts.as_slice(), &really].concat();
        prop_assert_eq!(total, of(&all).minus(of(&[])).unwrap());
        prop_assert!(running.tallies().all(|(_, tally)| tally.doubtful.is_zero()));
    }

    #[test]
    fn no_request_is_charged_more_than_was_held_whoever_settles_first(
        plan in plans(), before in usages(), between in usages(), n in 0_u64..7, model in 0_usize..3
    ) {
        // A plan whose holds cannot be bounded is not put on a customer.
        let bounded = plan.allowances.iter().all(|allowance| plan.is_bounded(allowance));
        prop_assume!(bounded);
        let mut running = Running::default();
        running.change(&plan, &[], &before, Sure::Yes).unwrap();
        let model = ["a", "b", "c"][model];
        let most = plan.most(&running, &[part("calls", model, n)]).unwrap();
        let most = Exact::sum(most.iter().map(|one| one.amount)).unwrap();
        for part_between in std::iter::once(None).chain(between.iter().map(Some)) {
            if let Some(one) = part_between {
                running.change(&plan, &[], std::slice::from_ref(one), Sure::Yes).unwrap();
            }
            for used in 0..=n {
                let mut after = running.clone();
                let one = after.change(&plan, &[], &[part("calls", model, used)], Sure::Yes).unwrap();
                let charged = sum(&one, false).plus(sum(&one, true)).unwrap();
                prop_assert!(charged <= most, "{charged} is more than {most}");
            }
        }
    }
}

#[test]
fn what_has_no_decimal_is_rounded_in_the_total_and_never_lost() {
    let hours = plan(&json!({ "charges": [{ "id": "gpu", "meter": "seconds",
        "charge": { "model": "per_unit", "unit_price": "1.30", "divide_by": "3600" } }] }));
    let mut running = Running::default();
    let second = [part("seconds", "a", 1)];
    let most = hours.most(&running, &second).unwrap()[0].amount;
    let mut total = Exact::ZERO;
    for _ in 0..3_600 {
        let one = running.change(&hours, &[], &second, Sure::Yes).unwrap();
        assert!(one[0].amount <= most);
        total = total.plus(one[0].amount).unwrap();
    }
    assert_eq!(total.to_string(), "1.3");
}

#[test]
fn every_example_plan_can_be_charged_request_by_request_and_others_say_why_not() {
    let mut fit = 0;
    for file in std::fs::read_dir("examples/plans").unwrap() {
        let path = file.unwrap().path();
        let plan = Plan::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(plan.fit_for_requests(), Ok(()), "{}", path.display());
        fit += 1;
    }
    assert_eq!(fit, 27);
    let shared = plan(&json!({
        "charges": [{ "id": "calls", "meter": "api_calls", "each": ["model"],
            "charge": { "model": "package", "package_size": "10", "price_per_package": "1" } }],
        "allowances": [{ "id": "free", "meter": "api_calls", "quantity": "10" }] }));
    assert_eq!(shared.fit_for_requests().unwrap_err().list()[0].path, "allowances[0]");
    let levels =
        plan(&json!({ "charges": [{ "id": "peak", "meter": "images", "aggregation": "max",
        "charge": { "model": "per_unit", "unit_price": "1" } }] }));
    assert_eq!(levels.fit_for_requests().unwrap_err().list()[0].path, "charges[0].aggregation");
}
