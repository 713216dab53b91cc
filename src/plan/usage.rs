//! What was used, from JSON.

use std::collections::BTreeMap;

use super::{Entry, USAGE_MAX, Usage, Used};
use crate::calendar::Period;
use crate::money::Exact;
use crate::rating::aggregate::Event;
use crate::rating::charge::AMOUNTS_MAX;
use crate::rating::outcome::{Decision, Report};
use crate::strict::{Faults, Object, Spot};

pub(super) fn read(json: &str, faults: &mut Faults) -> Option<Usage> {
    let mut object = Spot::root(json, faults)?.object(faults)?;
    let period = object.take("period").and_then(|spot| period(&spot, faults));
    let active = object.take("active").and_then(|spot| self::period(&spot, faults));
    let zone = object.text("zone", faults).unwrap_or_else(|| "UTC".to_owned());
    let first = object.flag("first", faults);
    let last = object.flag("last", faults);
    let spent_before = amounts_by_name(&mut object, "spent_before", faults);
    let granted = amounts_by_name(&mut object, "granted", faults);
    let mut entries = Vec::new();
    for spot in object.items("usage", USAGE_MAX, faults) {
        entries.extend(entry(&spot, faults));
    }
    object.done(faults);
    Some(Usage { period, active, zone, first, last, spent_before, granted, entries })
}

fn period(spot: &Spot, faults: &mut Faults) -> Option<Period> {
    let mut object = spot.object(faults)?;
    let start = object.need_time("start", faults);
    let end = object.need_time("end", faults);
    object.done(faults);
    let (start, end) = (start?, end?);
    if start >= end {
        faults.invalid(&spot.path, "ends before it starts");
        return None;
    }
    Some(Period { start, end })
}

fn amounts_by_name(
    object: &mut Object,
    name: &str,
    faults: &mut Faults,
) -> BTreeMap<String, Exact> {
    let Some(mut amounts) = object.take(name).and_then(|spot| spot.object(faults)) else {
        return BTreeMap::new();
    };
    let pairs = amounts.rest().into_iter();
    pairs.filter_map(|(name, spot)| Some((name, spot.positive_or_zero(faults)?))).collect()
}

fn entry(spot: &Spot, faults: &mut Faults) -> Option<Entry> {
    let mut object = spot.object(faults)?;
    let meter = object.need_text("meter", faults);
    let mut dimensions = BTreeMap::new();
    if let Some(mut named) = object.take("dimensions").and_then(|spot| spot.object(faults)) {
        for (name, spot) in named.rest() {
            dimensions.extend(spot.text(faults).map(|value| (name, value)));
        }
    }
    let given = ["quantity", "amounts", "events", "outcomes"]
        .iter()
        .filter(|name| object.has(name))
        .count();
    if given != 1 {
        faults.invalid(&spot.path, "needs one of `quantity`, `amounts`, `events` and `outcomes`");
    }
    let quantity = object.amount("quantity", faults).map(Used::Quantity);
    let amounts = object.take("amounts").and_then(|spot| amounts(&spot, faults));
    let events = object.take("events").and_then(|spot| events(&spot, faults));
    let outcomes = object.take("outcomes").and_then(|spot| outcomes(&spot, faults));
    let carried = object.amount("carried", faults);
    if carried.is_some() && events.is_none() {
        faults.invalid(object.at("carried"), "carries nothing without `events`");
    }
    let events = events.map(|events| Used::Events { events, carried: carried.unwrap_or_default() });
    let cost = object.amount("cost", faults);
    object.done(faults);
    let used = quantity.or(amounts.map(Used::Amounts)).or(events);
    let used = used.or(outcomes.map(Used::Outcomes))?;
    Some(Entry { meter: meter?, dimensions, used, cost, path: spot.path.clone() })
}

fn amounts(spot: &Spot, faults: &mut Faults) -> Option<Vec<Exact>> {
    let items = spot.list(AMOUNTS_MAX, faults)?;
    items.iter().map(|item| item.number(faults)).collect()
}

fn events(spot: &Spot, faults: &mut Faults) -> Option<Vec<Event>> {
    let items = spot.list(USAGE_MAX, faults)?;
    let event = |spot: &Spot, faults: &mut Faults| {
        let mut object = spot.object(faults)?;
        let id = object.need_text("id", faults);
        let at = object.need_time("at", faults);
        // A change of a level may be negative; what is only counted needs no quantity.
        let quantity = object.take("quantity").and_then(|spot| spot.number(faults));
        let key = object.text("key", faults);
        object.done(faults);
        Some(Event { id: id?, at: at?, quantity, key })
    };
    Some(items.iter().filter_map(|item| event(item, faults)).collect())
}

fn outcomes(spot: &Spot, faults: &mut Faults) -> Option<Vec<Report>> {
    const WORDS: [(&str, Option<Decision>); 3] = [
        ("reached", None),
        ("confirmed", Some(Decision::Confirmed)),
        ("reversed", Some(Decision::Reversed)),
    ];
    let items = spot.list(USAGE_MAX, faults)?;
    let report = |spot: &Spot, faults: &mut Faults| {
        let mut object = spot.object(faults)?;
        let outcome = object.need_text("id", faults);
        let at = object.need_time("at", faults);
        let decision = object.need("is", faults).and_then(|spot| spot.one_of(&WORDS, faults));
        object.done(faults);
        Some(Report { outcome: outcome?, at: at?, decision: decision? })
    };
    Some(items.iter().filter_map(|item| report(item, faults)).collect())
}
