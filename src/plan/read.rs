//! A plan from JSON, with every fault and where it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Allowance, By, Cell, Commitment, CommitmentKind, Credit, Discount, FORMAT, Fee, ITEMS_MAX,
    Limit, Plan, PlanCharge, PlanGrant, Rules, Where, minor_units,
};
use crate::calendar::Every;
use crate::clock::Millis;
use crate::credits::{OCCURRENCES_MAX, Source};
use crate::money::Exact;
use crate::rating::aggregate::Aggregation;
use crate::rating::charge::Charge;
use crate::rating::outcome::{Decision, Terms};
use crate::strict::{Faults, Object, Spot};

pub(super) fn plan(json: &str, faults: &mut Faults) -> Option<Plan> {
    let mut object = Spot::root(json, faults)?.object(faults)?;
    let format = object.need_text("format", faults);
    if format.is_some_and(|format| format != FORMAT) {
        faults.invalid("format", format!("this Farebox reads {FORMAT:?} only"));
    }
    let head = head(&mut object, faults);
    let rules = match object.take("rules") {
        Some(spot) => Rules::read(&spot, faults),
        None => Some(Rules::default()),
    };
    let ids = &mut Ids::default();
    let fees = each(&mut object, "fees", ids, faults, fee);
    let mut charges = each(&mut object, "charges", ids, faults, charge);
    if rules.as_ref().is_some_and(|rules| rules.first_tier_fee_at_zero) {
        let cells = charges.iter_mut().flat_map(|charge| &mut charge.cells);
        cells.for_each(|cell| cell.charge.fee_at_zero_by_default());
    }
    let allowances = each(&mut object, "allowances", ids, faults, allowance);
    let credit = object.take("credit").and_then(|spot| credit(&spot, faults));
    let grants = each(&mut object, "grants", ids, faults, grant);
    let limits = each(&mut object, "limits", ids, faults, limit);
    let commitments = each(&mut object, "commitments", ids, faults, commitment);
    let discounts = each(&mut object, "discounts", ids, faults, discount);
    let features = features(&mut object, faults);
    object.done(faults);
    let (plan, version, name, currency, places, period) = head?;
    let plan = Plan {
        plan,
        version,
        name,
        currency,
        places,
        period,
        rules: rules?,
        fees,
        charges,
        allowances,
        credit,
        grants,
        limits,
        commitments,
        discounts,
        features,
    };
    check(&plan, faults);
    Some(plan)
}

type Head = (String, String, String, String, u32, Every);

fn head(object: &mut Object, faults: &mut Faults) -> Option<Head> {
    let plan = object.need_text("plan", faults);
    let version = object.need_text("version", faults);
    let name = object.need_text("name", faults);
    // Notes for people: where figures were read, and which of them are made up.
    object.text("source", faults);
    object.text("invented", faults);
    let currency = object.need_text("currency", faults);
    let places = currency.as_deref().and_then(minor_units);
    if currency.is_some() && places.is_none() {
        faults.invalid("currency", "is not an ISO 4217 code such as \"USD\"");
    }
    let period = match object.take("period") {
        Some(spot) => spot.one_of(&Every::NAMES, faults),
        None => Some(Every::Month),
    };
    Some((plan?, version?, name?, currency?, places?, period?))
}

/// The ids of a plan; each names one thing.
#[derive(Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    fn take(&mut self, object: &mut Object, faults: &mut Faults) -> Option<String> {
        let id = object.need_text("id", faults)?;
        if !self.0.insert(id.clone()) {
            faults.invalid(object.at("id"), format!("{id:?} names two things"));
        }
        Some(id)
    }
}

/// The objects of a list, each read by `one` and then without fields left over.
fn each<T>(
    object: &mut Object,
    name: &str,
    ids: &mut Ids,
    faults: &mut Faults,
    one: fn(&mut Object, &mut Ids, &mut Faults) -> Option<T>,
) -> Vec<T> {
    let mut list = Vec::new();
    for spot in object.items(name, ITEMS_MAX, faults) {
        let Some(mut item) = spot.object(faults) else { continue };
        list.extend(one(&mut item, ids, faults));
        item.done(faults);
    }
    list
}

fn fee(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<Fee> {
    let id = ids.take(object, faults);
    let amount = object.need_amount("amount", faults);
    let once = object.flag("once", faults);
    let prorated = object.flag("prorated", faults);
    Some(Fee { id: id?, amount: amount?, once, prorated })
}

fn charge(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<PlanCharge> {
    let id = ids.take(object, faults);
    let meter = object.need_text("meter", faults);
    let aggregation = match object.take("aggregation") {
        Some(spot) => spot.one_of(&Aggregation::NAMES, faults),
        None => Some(Aggregation::Sum),
    };
    let each_of = object.texts("each", ITEMS_MAX, faults);
    let in_credits = object.flag("in_credits", faults);
    let outcome = object.take("outcome").and_then(|spot| outcome(&spot, faults));
    let cells = if object.has("cells") {
        each(object, "cells", ids, faults, |object, _, faults| cell(object, faults))
    } else {
        cell(object, faults).into_iter().collect()
    };
    let mut places = BTreeSet::new();
    if cells.iter().any(|cell| !places.insert(&cell.place)) {
        faults.invalid(object.at("cells"), "two cells price the same dimensions");
    }
    let amounts = cells.iter().filter(|cell| cell.charge.takes_amounts()).count();
    if amounts != 0 && amounts != cells.len() {
        faults.invalid(object.at("cells"), "some cells price amounts and some a quantity");
    }
    Some(PlanCharge {
        id: id?,
        meter: meter?,
        aggregation: aggregation?,
        each: each_of,
        in_credits,
        outcome,
        cells,
    })
}

fn outcome(spot: &Spot, faults: &mut Faults) -> Option<Terms> {
    const DECISIONS: [(&str, Decision); 2] =
        [("confirmed", Decision::Confirmed), ("reversed", Decision::Reversed)];
    let mut object = spot.object(faults)?;
    let pending = hours(&mut object, "pending_hours", faults);
    let silence = object.need("silence", faults).and_then(|spot| spot.one_of(&DECISIONS, faults));
    let dispute = hours(&mut object, "dispute_hours", faults);
    object.done(faults);
    Some(Terms { pending: pending?, silence: silence?, dispute: dispute? })
}

/// A whole number of hours; a thousand, some six weeks, is the most a clock of milliseconds holds.
fn hours(object: &mut Object, name: &str, faults: &mut Faults) -> Option<Millis> {
    const HOURS_MAX: u32 = 1_000;
    let number = object.need_amount(name, faults)?;
    let hours = number.to_u64().and_then(|hours| u32::try_from(hours).ok());
    let Some(hours) = hours.filter(|hours| *hours <= HOURS_MAX) else {
        faults.invalid(object.at(name), format!("must be 0 to {HOURS_MAX} whole hours"));
        return None;
    };
    Some(Millis::from_secs(hours.saturating_mul(3_600)))
}

fn cell(object: &mut Object, faults: &mut Faults) -> Option<Cell> {
    let place = place(object, faults);
    let charge = object.need("charge", faults).and_then(|spot| Charge::read(&spot, faults));
    let cost = object.take("cost").and_then(|spot| Charge::read(&spot, faults));
    Some(Cell { place, charge: charge?, cost })
}

fn place(object: &mut Object, faults: &mut Faults) -> Where {
    let Some(mut place) = object.take("where").and_then(|spot| spot.object(faults)) else {
        return Where::new();
    };
    let pairs = place.rest().into_iter();
    pairs.filter_map(|(name, spot)| Some((name, spot.text(faults)?))).collect()
}

fn allowance(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<Allowance> {
    let id = ids.take(object, faults);
    let meter = object.need_text("meter", faults);
    let place = place(object, faults);
    let quantity = object.need_amount("quantity", faults);
    Some(Allowance { id: id?, meter: meter?, place, quantity: quantity? })
}

fn credit(spot: &Spot, faults: &mut Faults) -> Option<Credit> {
    let mut object = spot.object(faults)?;
    let name = object.need_text("name", faults);
    let worth = object.amount("worth", faults);
    object.done(faults);
    Some(Credit { name: name?, worth })
}

fn grant(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<PlanGrant> {
    let id = ids.take(object, faults);
    let amount = object.need_amount("amount", faults);
    let in_credits = object.flag("in_credits", faults);
    let source = object.need("source", faults).and_then(|spot| spot.one_of(&Source::NAMES, faults));
    let priority_at = object.at("priority");
    let rollover_at = object.at("rollover_cap");
    let priority = object.amount("priority", faults).unwrap_or_default().to_u64();
    if priority.is_none() {
        faults.invalid(priority_at, "must be a whole number");
    }
    let once = object.flag("once", faults);
    let periods_at = object.at("expires_after_periods");
    let expires_after_periods = periods(object, faults);
    if !once && expires_after_periods.is_some() {
        faults.invalid(periods_at, "is for grants that come `once`; others end with their period");
    }
    let rollover_cap = object.amount("rollover_cap", faults);
    if once && rollover_cap.is_some() {
        faults.invalid(rollover_at, "carries nothing on where the grant comes once");
    }
    let meters = object.texts("meters", ITEMS_MAX, faults);
    let models = object.texts("models", ITEMS_MAX, faults);
    Some(PlanGrant {
        id: id?,
        amount: amount?,
        in_credits,
        source: source?,
        priority: priority?,
        once,
        expires_after_periods,
        rollover_cap,
        meters,
        models,
    })
}

/// A whole number of periods, at most as many as a recurrence may have.
fn periods(object: &mut Object, faults: &mut Faults) -> Option<i32> {
    let path = object.at("expires_after_periods");
    let number = object.above_zero("expires_after_periods", faults)?;
    let periods = number.to_u64().and_then(|periods| i32::try_from(periods).ok());
    let periods = periods.filter(|periods| *periods <= OCCURRENCES_MAX);
    if periods.is_none() {
        faults.invalid(path, format!("must be 1 to {OCCURRENCES_MAX} whole periods"));
    }
    periods
}

fn limit(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<Limit> {
    let id = ids.take(object, faults);
    let meter = object.need_text("meter", faults);
    let place = place(object, faults);
    let most = object.need_amount("most", faults);
    let hard = object.need("hard", faults).and_then(|spot| spot.flag(faults));
    Some(Limit { id: id?, meter: meter?, place, most: most?, hard: hard? })
}

fn commitment(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<Commitment> {
    const KINDS: [(&str, CommitmentKind); 3] = [
        ("minimum", CommitmentKind::Minimum),
        ("true_up", CommitmentKind::TrueUp),
        ("prepaid", CommitmentKind::Prepaid),
    ];
    let id = ids.take(object, faults);
    let amount = object.need_amount("amount", faults);
    let kind = object.need("kind", faults).and_then(|spot| spot.one_of(&KINDS, faults));
    let on = object.texts("on", ITEMS_MAX, faults);
    let factor_at = object.at("overage_factor");
    let overage_factor = object.amount("overage_factor", faults);
    if overage_factor.is_some_and(|factor| factor < Exact::from(1)) {
        faults.invalid(factor_at, "is below 1; use a discount for cheaper overage");
    }
    Some(Commitment { id: id?, amount: amount?, kind: kind?, on, overage_factor })
}

fn discount(object: &mut Object, ids: &mut Ids, faults: &mut Faults) -> Option<Discount> {
    let id = ids.take(object, faults);
    let given = ["percent", "amount", "by"].iter().filter(|name| object.has(name)).count();
    if given != 1 {
        faults.invalid(&object.path, "needs one of `percent`, `amount` and `by`");
    }
    let percent_at = object.at("percent");
    let percent = object.amount("percent", faults);
    if percent.is_some_and(|percent| percent > Exact::from(100)) {
        faults.invalid(percent_at, "is above 100");
    }
    let amount = object.amount("amount", faults).map(By::Amount);
    let by_at = object.at("by");
    let by = object.take("by").and_then(|spot| Charge::read(&spot, faults));
    if by.as_ref().is_some_and(Charge::takes_amounts) {
        faults.invalid(by_at, "must be a model that prices a quantity: the spend");
    }
    let on = object.texts("on", ITEMS_MAX, faults);
    let by = percent.map(By::Percent).or(amount).or(by.map(|by| By::Charge(Box::new(by))));
    Some(Discount { id: id?, by: by?, on })
}

/// Features are texts, numbers or flags; all are kept as texts.
fn features(object: &mut Object, faults: &mut Faults) -> BTreeMap<String, String> {
    let Some(mut features) = object.take("features").and_then(|spot| spot.object(faults)) else {
        return BTreeMap::new();
    };
    let text = |spot: &Spot, faults: &mut Faults| match spot.raw() {
        "true" | "false" => Some(spot.raw().to_owned()),
        _ => spot.text(faults),
    };
    let pairs = features.rest().into_iter();
    pairs.filter_map(|(name, spot)| Some((name, text(&spot, faults)?))).collect()
}

/// What holds between the parts of a plan.
fn check(plan: &Plan, faults: &mut Faults) {
    let charge_ids: Vec<&str> = plan.charges.iter().map(|charge| charge.id.as_str()).collect();
    let fee_ids: Vec<&str> = plan.fees.iter().map(|fee| fee.id.as_str()).collect();
    for (at, commitment) in plan.commitments.iter().enumerate() {
        refers(&format!("commitments[{at}].on"), &commitment.on, &charge_ids, faults);
    }
    let discountable = [charge_ids.as_slice(), &fee_ids].concat();
    for (at, discount) in plan.discounts.iter().enumerate() {
        refers(&format!("discounts[{at}].on"), &discount.on, &discountable, faults);
    }
    for (at, allowance) in plan.allowances.iter().enumerate() {
        let path = format!("allowances[{at}]");
        fits(&path, plan, &allowance.meter, &allowance.place, faults);
        let mut charges = plan.charges.iter().filter(|charge| charge.meter == allowance.meter);
        if charges.any(|charge| charge.cells.iter().any(|cell| cell.charge.takes_amounts())) {
            let path = format!("allowances[{at}].meter");
            faults.invalid(path, "is priced by amounts; give the charge `free_amount_total`");
        }
    }
    for (at, limit) in plan.limits.iter().enumerate() {
        fits(&format!("limits[{at}]"), plan, &limit.meter, &limit.place, faults);
    }
    let meters: Vec<&str> = plan.charges.iter().map(|charge| charge.meter.as_str()).collect();
    for (at, grant) in plan.grants.iter().enumerate() {
        refers(&format!("grants[{at}].meters"), &grant.meters, &meters, faults);
    }
    for (at, charge) in plan.charges.iter().enumerate().filter(|(_, c)| c.outcome.is_some()) {
        if !charge.cells.iter().all(|cell| cell.charge.is_linear()) {
            let path = format!("charges[{at}].outcome");
            faults
                .invalid(path, "needs a plain `per_unit` price, or taking back has no one answer");
        }
    }
    if plan.credit.is_none() {
        for (at, _) in plan.charges.iter().enumerate().filter(|(_, charge)| charge.in_credits) {
            faults.invalid(format!("charges[{at}].in_credits"), "the plan has no `credit`");
        }
        for (at, _) in plan.grants.iter().enumerate().filter(|(_, grant)| grant.in_credits) {
            faults.invalid(format!("grants[{at}].in_credits"), "the plan has no `credit`");
        }
    }
}

/// An allowance or limit that no charge could ever meet is a slip of the pen.
fn fits(path: &str, plan: &Plan, meter: &str, place: &Where, faults: &mut Faults) {
    let mut charges = plan.charges.iter().filter(|charge| charge.meter == meter).peekable();
    if charges.peek().is_none() {
        faults.invalid(format!("{path}.meter"), format!("no charge prices {meter:?}"));
        return;
    }
    let told_apart = |charge: &PlanCharge, cell: &Cell| {
        place
            .iter()
            .all(|(name, value)| cell.place.get(name) == Some(value) || charge.each.contains(name))
    };
    if !charges.any(|charge| charge.cells.iter().any(|cell| told_apart(charge, cell))) {
        faults.invalid(format!("{path}.where"), "no charge tells these dimensions apart");
    }
}

fn refers(path: &str, names: &[String], known: &[&str], faults: &mut Faults) {
    for (at, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
        faults.invalid(format!("{path}[{at}]"), format!("{name:?} is not in the plan"));
    }
}
