//! A period's usage as running totals: what each request adds to it, and what it may add at most.
//!
//! A request is charged the price of all usage with it, less the price without it. So whatever the
//! order, a period's requests add up to what [`Plan::price`] makes of the whole, less what it makes of
//! nothing (a flat amount or a minimum is due without any request, as a fee is).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::balances::Pools;
use super::metered::{self, Group};
use super::rules::Allowance as Rule;
use super::{Allowance, Entry, Plan, PlanCharge, Used, Where};
use crate::money::{Exact, OutOfRange, Rounding};
use crate::rating::charge::{Input, Kind, Line};
use crate::strict::Fault;

/// Places that running amounts are rounded to. A total, never a request, is rounded, so that nothing
/// is lost on the way; and sums of such amounts stay exact up to ten thousand million million.
pub const PLACES: u32 = 12;

/// Most places counted in one period: keys times models, with room.
pub const PLACES_COUNTED_MAX: usize = 10_000;

/// What a request uses of one of a plan's meters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The plan's meter.
    pub meter: String,
    /// Model, direction …
    pub dimensions: Where,
    /// How much.
    pub quantity: Exact,
    /// These are outcomes, which this charge prices once they are confirmed; absent: usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// Where a plan counts usage: one cell of a charge, and the dimensions it is priced apart for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The charge's id.
    pub charge: String,
    /// Which of its cells.
    pub cell: usize,
    /// The cell's dimensions and those it is priced apart for.
    pub dimensions: Where,
}

/// How much was used at one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// In all.
    pub quantity: Exact,
    /// Of it, what nobody reported: assumed for attempts never heard of again, and taken back
    /// should they be.
    pub doubtful: Exact,
}

/// What was used in one period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running(pub(super) BTreeMap<Place, Tally>);

/// What a change of the usage adds to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// Where.
    pub place: Place,
    /// The charge's meter.
    pub meter: String,
    /// Used there before.
    pub before: Exact,
    /// And after.
    pub after: Exact,
    /// What of the difference an allowance covers; below zero where another place took it away.
    pub included: Exact,
    /// What it adds, in money or in the plan's credits; below zero where all became cheaper.
    pub amount: Exact,
    /// Whether that is in credits.
    pub in_credits: bool,
    /// Units by their price, and whatever else the charge's arithmetic gained or lost.
    pub detail: Vec<Line>,
}

/// The most that a request adds to one charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Most {
    /// The charge's meter.
    pub meter: String,
    /// In money or in the plan's credits.
    pub amount: Exact,
    /// Whether that is in credits.
    pub in_credits: bool,
}

/// What requests use of one place: together, each at most, and how many they are.
#[derive(Clone, Copy)]
struct Uses {
    quantity: Exact,
    largest: Exact,
    times: u64,
}

/// Whether the request's usage is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// Reported, or counted to the end.
    Yes,
    /// Assumed, until somebody reports it.
    Assumed,
}

/// What one place comes to.
pub(super) struct Standing {
    meter: String,
    quantity: Exact,
    included: Exact,
    pub amount: Exact,
    pub in_credits: bool,
    lines: Vec<Line>,
}

impl Running {
    /// As stored.
    pub fn of(tallies: impl IntoIterator<Item = (Place, Tally)>) -> Self {
        Self(tallies.into_iter().collect())
    }

    /// Every place and how much was used there.
    pub fn tallies(&self) -> impl Iterator<Item = (&Place, &Tally)> {
        self.0.iter()
    }

    /// How much was used at a place.
    pub fn tally(&self, place: &Place) -> Tally {
        self.0.get(place).copied().unwrap_or_default()
    }

    /// Whether one more place could be too many.
    pub fn is_full(&self) -> bool {
        self.0.len() >= PLACES_COUNTED_MAX
    }

    /// Takes `gone` off (it was assumed) and adds `parts`; answers what that adds to each place whose
    /// amount or quantity changes.
    ///
    /// Errors: those of [`Plan::price`]; then nothing is changed.
    pub fn change(
        &mut self,
        plan: &Plan,
        gone: &[Part],
        parts: &[Part],
        sure: Sure,
    ) -> Result<Vec<Increment>, Fault> {
        let (mut touched, mut meters) = (BTreeSet::new(), BTreeSet::new());
        let mut after = self.clone();
        for (part, taken) in
            gone.iter().map(|part| (part, true)).chain(parts.iter().map(|part| (part, false)))
        {
            for place in plan.places(part)? {
                let tally = after.0.entry(place.clone()).or_default();
                if taken {
                    tally.quantity = tally.quantity.minus(part.quantity)?.max(Exact::ZERO);
                    tally.doubtful = tally.doubtful.minus(part.quantity)?.max(Exact::ZERO);
                } else {
                    tally.quantity = tally.quantity.plus(part.quantity)?;
                    if sure == Sure::Assumed {
                        tally.doubtful = tally.doubtful.plus(part.quantity)?;
                    }
                }
                touched.insert(place);
            }
            meters.insert(part.meter.as_str());
        }
        let mut increments = Vec::new();
        for meter in meters {
            let before = plan.standings(meter, self, &touched)?;
            let after = plan.standings(meter, &after, &touched)?;
            increments.extend(differences(&before, &after)?);
        }
        *self = after;
        Ok(increments)
    }
}

fn differences(
    before: &BTreeMap<Place, Standing>,
    after: &BTreeMap<Place, Standing>,
) -> Result<Vec<Increment>, OutOfRange> {
    let places: BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
    let mut increments = Vec::new();
    for place in places {
        let (old, new) = (before.get(place), after.get(place));
        let Some(either) = new.or(old) else { continue };
        let of =
            |one: Option<&Standing>, what: fn(&Standing) -> Exact| one.map_or(Exact::ZERO, what);
        let gain = |what| of(new, what).minus(of(old, what));
        let increment = Increment {
            place: place.clone(),
            meter: either.meter.clone(),
            before: of(old, |standing| standing.quantity),
            after: of(new, |standing| standing.quantity),
            included: gain(|standing| standing.included)?,
            amount: gain(|standing| standing.amount)?,
            in_credits: either.in_credits,
            detail: line_differences(old, new)?,
        };
        if increment.before != increment.after || !increment.amount.is_zero() {
            increments.push(increment);
        }
    }
    Ok(increments)
}

/// What the lines of the arithmetic gained, by their kind and price.
fn line_differences(
    old: Option<&Standing>,
    new: Option<&Standing>,
) -> Result<Vec<Line>, OutOfRange> {
    let mut lines: Vec<Line> = Vec::new();
    let sides = [(new, false), (old, true)];
    for (standing, taken) in sides {
        for line in standing.map(|standing| standing.lines.as_slice()).unwrap_or_default() {
            let sign = |number: Exact| if taken { Exact::ZERO.minus(number) } else { Ok(number) };
            let (quantity, amount) = (sign(line.quantity)?, sign(line.amount)?);
            let same =
                |known: &&mut Line| known.kind == line.kind && known.unit_price == line.unit_price;
            match lines.iter_mut().find(same) {
                Some(known) => {
                    known.quantity = known.quantity.plus(quantity)?;
                    known.amount = known.amount.plus(amount)?;
                    known.inexact |= line.inexact;
                }
                None => lines.push(Line { quantity, amount, ..line.clone() }),
            }
        }
    }
    lines.retain(|line| !line.quantity.is_zero() || !line.amount.is_zero());
    lines.sort_by_key(|line| line.kind == Kind::Rounding);
    Ok(lines)
}

impl Plan {
    /// Whether any charge prices the part.
    pub fn prices_part(&self, part: &Part) -> bool {
        self.places(part).map_or(true, |places| !places.is_empty())
    }

    /// Where a part counts: at one place of each charge that prices it.
    pub(super) fn places(&self, part: &Part) -> Result<Vec<Place>, Fault> {
        let entry = Entry {
            meter: part.meter.clone(),
            dimensions: part.dimensions.clone(),
            used: Used::Quantity(part.quantity),
            cost: None,
            path: part.meter.clone(),
        };
        let mut places = Vec::new();
        let prices = |charge: &&PlanCharge| match &part.outcome {
            None => charge.meter == part.meter && charge.outcome.is_none(),
            Some(id) => charge.id == *id && charge.outcome.is_some(),
        };
        for charge in self.charges.iter().filter(prices) {
            let Some(cell) = metered::cell(charge, &entry)? else { continue };
            let dimensions = metered::dimensions(charge, cell, &entry);
            places.push(Place { charge: charge.id.clone(), cell, dimensions });
        }
        Ok(places)
    }

    /// What every place of a meter comes to; those at which nothing changed are left out where no
    /// allowance binds places together.
    pub(super) fn standings(
        &self,
        meter: &str,
        running: &Running,
        touched: &BTreeSet<Place>,
    ) -> Result<BTreeMap<Place, Standing>, Fault> {
        let bound = self.allowances.iter().any(|allowance| allowance.meter == meter);
        let groups = self.groups(meter, running, |place| bound || touched.contains(place));
        let mut pools = Pools::new(self, &groups)?;
        let mut standings = BTreeMap::new();
        for group in &groups {
            let Some(cell) = group.charge.cells.get(group.cell) else { continue };
            let quantity = group.quantity()?;
            let rest = pools.take(group, quantity)?;
            let input = Input::quantity(rest);
            let (_, charged) = cell.charge.price_to(&input, PLACES, Rounding::HalfUp)?;
            let place = Place {
                charge: group.charge.id.clone(),
                cell: group.cell,
                dimensions: group.dimensions.clone(),
            };
            let standing = Standing {
                meter: meter.to_owned(),
                quantity,
                included: quantity.minus(rest)?,
                amount: charged.amount,
                in_credits: group.charge.in_credits,
                lines: charged.lines,
            };
            standings.insert(place, standing);
        }
        Ok(standings)
    }

    pub(super) fn groups(
        &self,
        meter: &str,
        running: &Running,
        wanted: impl Fn(&Place) -> bool,
    ) -> Vec<Group<'_>> {
        let mut groups = Vec::new();
        for charge in self.charges.iter().filter(|charge| charge.meter == meter) {
            let mut used = vec![false; charge.cells.len()];
            for (place, tally) in running.of_charge(&charge.id) {
                if let Some(used) = used.get_mut(place.cell) {
                    *used = true;
                }
                if wanted(place) {
                    groups.push(group(charge, place.cell, &place.dimensions, tally.quantity));
                }
            }
            for (at, cell) in charge.cells.iter().enumerate() {
                if used.get(at) == Some(&false) {
                    groups.push(group(charge, at, &cell.place, Exact::ZERO));
                }
            }
        }
        groups
    }

    /// The most that `parts` can add, charge by charge, whatever else is used from now on.
    ///
    /// Errors: those of [`Plan::price`], where a part has no price or two.
    pub fn most(&self, running: &Running, parts: &[Part]) -> Result<Vec<Most>, Fault> {
        self.most_of(running, parts, parts, 1)
    }

    /// The same of so many requests that use `parts` together, and each of them `largest` at most.
    ///
    /// Errors: those of [`Plan::price`], where a part has no price or two.
    pub fn most_of(
        &self,
        running: &Running,
        parts: &[Part],
        largest: &[Part],
        times: u64,
    ) -> Result<Vec<Most>, Fault> {
        let (needs, largest) = (self.by_place(parts)?, self.by_place(largest)?);
        let mut most = Vec::new();
        for (place, (part, quantity)) in needs {
            let Some(charge) = self.charges.iter().find(|charge| charge.id == place.charge) else {
                continue;
            };
            let each = largest.get(&place).map_or(quantity, |(_, largest)| *largest);
            let uses = Uses { quantity, largest: each, times };
            // Outcomes count in the period in which they are confirmed: maybe in one not begun yet.
            let is_outcome = charge.outcome.is_some();
            let tally = if is_outcome { Tally::default() } else { running.tally(&place) };
            let amount = self.most_at(charge, &place, tally, uses)?;
            let in_credits = charge.in_credits;
            most.push(Most { meter: part.meter.clone(), amount, in_credits });
        }
        Ok(most)
    }

    /// What parts come to where they count, and one that counts there.
    fn by_place<'p>(&self, parts: &'p [Part]) -> Result<BTreeMap<Place, (&'p Part, Exact)>, Fault> {
        let mut places: BTreeMap<Place, (&Part, Exact)> = BTreeMap::new();
        for part in parts {
            for place in self.places(part)? {
                let (_, quantity) = places.entry(place).or_insert((part, Exact::ZERO));
                *quantity = quantity.plus(part.quantity)?;
            }
        }
        Ok(places)
    }

    fn most_at(
        &self,
        charge: &PlanCharge,
        place: &Place,
        tally: Tally,
        uses: Uses,
    ) -> Result<Exact, Fault> {
        let Uses { quantity, largest, times } = uses;
        // What is doubtful may be taken back.
        let from = tally.quantity.minus(tally.doubtful)?;
        let here = group(charge, place.cell, &place.dimensions, from);
        let allowances =
            || self.allowances.iter().filter(|one| here.lies_in(&one.meter, &one.place));
        let shared = allowances()
            .any(|allowance| cells_in(charge, allowance).count() > 1 || !is_one(charge, allowance));
        let (start, ahead) = match self.rules.allowance {
            _ if allowances().next().is_none() => (from, Exact::ZERO),
            Rule::Subtracted if shared => (Exact::ZERO, Exact::ZERO),
            Rule::Subtracted => {
                let free = Exact::sum(allowances().map(|allowance| allowance.quantity))?;
                (from.minus(free)?.max(Exact::ZERO), Exact::ZERO)
            }
            // Crossing the threshold, everything below it is priced at once.
            Rule::Threshold => {
                let threshold = allowances().map(|one| one.quantity).max().unwrap_or_default();
                let crossed = !shared && from > threshold;
                if crossed { (from, Exact::ZERO) } else { (Exact::ZERO, threshold) }
            }
        };
        let mut most = crate::money::Ratio::ZERO;
        for (at, cell) in charge.cells.iter().enumerate() {
            // What is shared is taken from the others: their price may be the one that applies.
            if at == place.cell || shared {
                let (all, each) = (ahead.plus(quantity)?, ahead.plus(largest)?);
                let mut more = cell.charge.most_of(start, all, (each, times))?;
                if from.is_zero() && !charge.each.is_empty() {
                    // The first use of a place brings its standing amount with it.
                    let standing =
                        cell.charge.price_to(&Input::quantity(0), PLACES, Rounding::Up)?;
                    more = more.plus(standing.1.amount.max(Exact::ZERO).into())?;
                }
                most = most.max(more);
            }
        }
        // Two running totals, each rounded: what lies between them may be more by one unit.
        Ok(match most.exact() {
            Ok(exact) if exact.rounded(PLACES, Rounding::Down)? == exact => exact,
            _ => {
                let rounded = unit()?.times(Exact::from(times))?;
                most.rounded(PLACES, Rounding::Up)?.plus(rounded)?
            }
        })
    }

    /// Whether what an allowance leaves can be bounded: it binds one place of each charge, or places
    /// whose prices are all plain.
    pub(super) fn is_bounded(&self, allowance: &Allowance) -> bool {
        let charges = self.charges.iter().filter(|charge| charge.meter == allowance.meter);
        charges.into_iter().all(|charge| {
            let one = cells_in(charge, allowance).count() <= 1 && is_one(charge, allowance);
            one || charge.cells.iter().all(|cell| cell.charge.is_linear())
        })
    }
}

impl Running {
    /// The places of one charge, in order.
    fn of_charge<'r>(&'r self, id: &'r str) -> impl Iterator<Item = (&'r Place, &'r Tally)> {
        let first = Place { charge: id.to_owned(), cell: 0, dimensions: Where::new() };
        self.0.range(first..).take_while(move |(place, _)| place.charge == id)
    }
}

fn unit() -> Result<Exact, OutOfRange> {
    Exact::from(1).over(Exact::from(10_u64.saturating_pow(PLACES)))
}

fn group<'a>(charge: &'a PlanCharge, cell: usize, dimensions: &Where, used: Exact) -> Group<'a> {
    Group {
        charge,
        cell,
        dimensions: dimensions.clone(),
        input: Input::quantity(used),
        reversed: false,
        pending: 0,
        cost: None,
    }
}

/// The cells that may draw on an allowance.
fn cells_in<'a>(charge: &'a PlanCharge, allowance: &'a Allowance) -> impl Iterator<Item = usize> {
    let lies_in = |place: &Where| {
        allowance.place.iter().all(|(name, value)| match place.get(name) {
            Some(known) => known == value,
            None => charge.each.contains(name),
        })
    };
    charge.cells.iter().enumerate().filter(move |(_, cell)| lies_in(&cell.place)).map(|(at, _)| at)
}

/// Whether an allowance names everything that its cell is priced apart for.
fn is_one(charge: &PlanCharge, allowance: &Allowance) -> bool {
    charge.each.iter().all(|name| allowance.place.contains_key(name))
}
