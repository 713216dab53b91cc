//! Usage entries → one input for each cell of each charge.

use std::collections::BTreeMap;

use super::{Entry, Plan, PlanCharge, Usage, Used, Where, fault};
use crate::calendar::Period;
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};
use crate::rating::aggregate::{AggregateError, Aggregation, Event, aggregate, inside};
use crate::rating::charge::Input;
use crate::rating::outcome::{self, Tally, Terms};
use crate::strict::Fault;

/// What one cell of one charge has to price.
pub(super) struct Group<'a> {
    pub charge: &'a PlanCharge,
    /// Which of its cells.
    pub cell: usize,
    /// The cell's dimensions and those the charge is priced apart for.
    pub dimensions: Where,
    pub input: Input,
    /// These units were billed in an earlier period and are taken back.
    pub reversed: bool,
    /// Outcomes that are undecided at the period's end.
    pub pending: u64,
    /// What the entries say it cost the operator; `None` where any of them does not.
    pub cost: Option<Exact>,
}

impl Group<'_> {
    /// Whether everything in it has these dimensions.
    pub fn lies_in(&self, meter: &str, place: &Where) -> bool {
        self.charge.meter == meter
            && !self.reversed
            && place.iter().all(|(name, value)| self.dimensions.get(name) == Some(value))
    }

    /// The quantity, or the sum of the amounts.
    pub fn quantity(&self) -> Result<Exact, OutOfRange> {
        match (&self.input.quantity, &self.input.amounts) {
            (Some(quantity), _) => Ok(*quantity),
            (None, Some(amounts)) => Exact::sum(amounts.iter().copied()),
            (None, None) => Ok(Exact::ZERO),
        }
    }
}

/// Everything there is to price, in the order of the plan. Usage that no charge prices is an error.
pub(super) fn groups<'a>(plan: &'a Plan, usage: &Usage) -> Result<Vec<Group<'a>>, Fault> {
    let mut priced = vec![false; usage.entries.len()];
    let mut groups = Vec::new();
    for charge in &plan.charges {
        for ((cell, dimensions), bundle) in bundles(charge, usage, &mut priced)? {
            let group = |input, pending| Group {
                charge,
                cell,
                dimensions: dimensions.clone(),
                input,
                reversed: false,
                pending,
                cost: bundle.cost,
            };
            if let Some(terms) = charge.outcome {
                let tally = outcomes(charge, terms, &bundle.entries, usage)?;
                groups.push(group(Input::quantity(tally.confirmed), tally.pending));
                if tally.credited > 0 {
                    // Their cost was counted when they were billed.
                    let back = group(Input::quantity(tally.credited), 0);
                    groups.push(Group { reversed: true, cost: Some(Exact::ZERO), ..back });
                }
            } else if let Some(input) = input(charge, &bundle.entries, usage)? {
                groups.push(group(input, 0));
            }
        }
        unused(charge, &mut groups);
    }
    match usage.entries.iter().zip(&priced).find(|(_, priced)| !**priced) {
        Some((entry, _)) => {
            let message =
                format!("the plan has no price for {} {:?}", entry.meter, entry.dimensions);
            Err(fault("meter_not_priced", &entry.path, message))
        }
        None => Ok(groups),
    }
}

/// Entries that are priced together.
struct Bundle<'u> {
    entries: Vec<&'u Entry>,
    /// What they say they cost; `None` where any of them does not.
    cost: Option<Exact>,
}

/// The entries a charge prices, by cell and dimensions. Marks them as priced; an entry's cost counts
/// with the first charge that prices it.
fn bundles<'u>(
    charge: &PlanCharge,
    usage: &'u Usage,
    priced: &mut [bool],
) -> Result<BTreeMap<(usize, Where), Bundle<'u>>, Fault> {
    let mut bundles = BTreeMap::new();
    for (entry, priced) in usage.entries.iter().zip(priced) {
        let Some(cell) = cell(charge, entry)? else { continue };
        let bundle = bundles
            .entry((cell, dimensions(charge, cell, entry)))
            .or_insert_with(|| Bundle { entries: Vec::new(), cost: Some(Exact::ZERO) });
        bundle.entries.push(entry);
        bundle.cost = match (bundle.cost, entry.cost) {
            (Some(sum), Some(_)) if *priced => Some(sum),
            (Some(sum), Some(cost)) => Some(sum.plus(cost)?),
            _ => None,
        };
        *priced = true;
    }
    Ok(bundles)
}

/// Cells without usage are priced too: a flat amount or a minimum is due all the same.
fn unused<'a>(charge: &'a PlanCharge, groups: &mut Vec<Group<'a>>) {
    for (at, cell) in charge.cells.iter().enumerate() {
        let used = |group: &Group| core::ptr::eq(group.charge, charge) && group.cell == at;
        if !groups.iter().any(used) {
            let input = if cell.charge.takes_amounts() {
                Input { quantity: None, amounts: Some(Vec::new()) }
            } else {
                Input::quantity(0)
            };
            let dimensions = cell.place.clone();
            groups.push(Group {
                charge,
                cell: at,
                dimensions,
                input,
                reversed: false,
                pending: 0,
                cost: Some(Exact::ZERO),
            });
        }
    }
}

/// The cell that prices an entry: of those that match, the one that names the most dimensions.
pub(super) fn cell(charge: &PlanCharge, entry: &Entry) -> Result<Option<usize>, Fault> {
    if charge.meter != entry.meter {
        return Ok(None);
    }
    let holds =
        |place: &Where| place.iter().all(|(name, value)| entry.dimensions.get(name) == Some(value));
    let matching = || charge.cells.iter().enumerate().filter(|(_, cell)| holds(&cell.place));
    let Some(most) = matching().map(|(_, cell)| cell.place.len()).max() else { return Ok(None) };
    let mut best = matching().filter(|(_, cell)| cell.place.len() == most).map(|(at, _)| at);
    let one = best.next();
    if best.next().is_some() {
        let message = format!("two cells of {:?} match it equally well", charge.id);
        return Err(fault("ambiguous_price", &entry.path, message));
    }
    Ok(one)
}

pub(super) fn dimensions(charge: &PlanCharge, cell: usize, entry: &Entry) -> Where {
    let mut dimensions = charge.cells.get(cell).map(|cell| cell.place.clone()).unwrap_or_default();
    for name in &charge.each {
        dimensions.extend(entry.dimensions.get(name).map(|value| (name.clone(), value.clone())));
    }
    dimensions
}

/// The input of a group; `None` where nothing was reported.
fn input(charge: &PlanCharge, entries: &[&Entry], usage: &Usage) -> Result<Option<Input>, Fault> {
    let takes_amounts = charge.cells.iter().any(|cell| cell.charge.takes_amounts());
    let mut events: Vec<Event> = Vec::new();
    let (mut level, mut quantities, mut amounts) = (Exact::ZERO, Vec::new(), Vec::new());
    for entry in entries {
        match &entry.used {
            Used::Quantity(quantity) if !takes_amounts => quantities.push(*quantity),
            Used::Amounts(list) if takes_amounts => amounts.extend(list.iter().copied()),
            Used::Events { events: more, carried } => {
                events.extend(more.iter().cloned());
                level = level.plus(*carried)?;
            }
            Used::Quantity(_) | Used::Amounts(_) | Used::Outcomes(_) => {
                let wanted = if takes_amounts { "amounts" } else { "quantity" };
                let message = format!("{:?} prices `{wanted}`", charge.id);
                return Err(fault("unexpected_field", &entry.path, message));
            }
        }
    }
    // Events of several entries are told together: a level, or the last one, is theirs in common.
    if let Some(entry) = entries.iter().find(|entry| matches!(entry.used, Used::Events { .. })) {
        let (period, refused) = (period(usage)?, |error| refused(error, &entry.path));
        if takes_amounts {
            amounts.extend(in_order(&events, period).map_err(refused)?);
        } else {
            let told = aggregate(charge.aggregation, &events, period, level);
            quantities.extend(told.map_err(refused)?);
        }
    }
    if takes_amounts {
        return Ok(Some(Input { quantity: None, amounts: Some(amounts) }));
    }
    let quantity = match charge.aggregation {
        Aggregation::Max => quantities.into_iter().max(),
        Aggregation::Latest => quantities.last().copied(),
        _ if quantities.is_empty() => None,
        _ => Some(Exact::sum(quantities)?),
    };
    Ok(quantity.map(Input::quantity))
}

fn period(usage: &Usage) -> Result<Period, Fault> {
    usage.period.ok_or_else(|| {
        fault("missing_field", "period", "what carries a time needs a period to be counted in")
    })
}

/// The outcomes that the period owes, by the terms of the charge.
fn outcomes(
    charge: &PlanCharge,
    terms: Terms,
    entries: &[&Entry],
    usage: &Usage,
) -> Result<Tally, Fault> {
    let mut reports = Vec::new();
    for entry in entries {
        let Used::Outcomes(more) = &entry.used else {
            let message = format!("{:?} prices `outcomes`", charge.id);
            return Err(fault("unexpected_field", &entry.path, message));
        };
        reports.extend(more.iter().cloned());
    }
    let period = period(usage)?;
    // What is known at the last instant of the period.
    let end = Timestamp::from_ms(period.end.ms().saturating_sub(1));
    Ok(outcome::tally(outcome::states(&reports, terms, end).values(), period))
}

/// The quantities of a period's events as amounts, in the order of time.
fn in_order(events: &[Event], period: Period) -> Result<Vec<Exact>, AggregateError> {
    let amount =
        |event: &Event| event.quantity.ok_or_else(|| AggregateError::NoQuantity(event.id.clone()));
    inside(events, period)?.into_iter().map(amount).collect()
}

fn refused(error: AggregateError, path: &str) -> Fault {
    let path = format!("{path}.events");
    match error {
        AggregateError::OutOfRange => OutOfRange.into(),
        AggregateError::NoQuantity(id) => {
            fault("missing_field", path, format!("event {id:?} has no `quantity`"))
        }
        AggregateError::Conflict(id) => {
            fault("invalid_value", path, format!("event {id:?} is given twice with other content"))
        }
    }
}
