//! What an attempt is charged for what it used, at the prices it was admitted under.

use crate::book;
use crate::ledger::state::Hold;
use crate::money::{Exact, OutOfRange};
use crate::rating::{self, Line};
use crate::record::Flag;
use crate::wire::usage::{Meter, Provenance, Usage};

/// The arithmetic of one record.
#[derive(Default)]
pub(super) struct Charge {
    pub usage: Usage,
    pub lines: Vec<Line>,
    pub unpriced: Vec<Meter>,
    pub amount: Exact,
    pub cost: Option<Exact>,
    pub flags: Vec<Flag>,
}

impl Charge {
    /// Charged for what was used.
    pub fn of(hold: &Hold, usage: &Usage, served_tier: Option<&str>) -> Result<Self, OutOfRange> {
        let mut charge = Self { usage: usage.clone(), ..Self::default() };
        charge.assume_input(hold);
        let card = hold.pinned.card();
        let input = book::input_total(&charge.usage)?;
        let rates = card.rates_for(served_tier, input).or_else(|| {
            // Served in a tier the book does not sell: charged as default, and said so.
            charge.flags.push(Flag::Unpriced);
            card.rates_for(None, input)
        });
        let rates = rates.unwrap_or(card.rates);
        let rated = rating::rate(&charge.usage, rates)?;
        charge.amount = rated.amount;
        charge.lines = rated.lines;
        charge.unpriced = rated.unpriced;
        if !charge.unpriced.is_empty() {
            charge.flags.push(Flag::Unpriced);
        }
        if !rated.suspect.is_empty() {
            charge.flags.push(Flag::Suspect);
        }
        if charge.amount > hold.amount() {
            charge.flags.push(Flag::Overage);
        }
        let counted = |(meter, measured): (Meter, crate::wire::usage::Measured)| {
            // These two are never reported: counting them stands in for nothing.
            !matches!(meter, Meter::Requests | Meter::Turns)
                && measured.provenance == Provenance::Counted
        };
        if charge.usage.iter().any(counted) {
            charge.flags.push(Flag::Counted);
        }
        charge.cost = cost(hold, &charge.usage, served_tier, input);
        Ok(charge)
    }

    /// Nobody said what was used: charged at the hold's floor.
    pub fn floor(hold: &Hold) -> Self {
        let mut charge = Self { amount: hold.floor, flags: vec![Flag::Counted], ..Self::default() };
        charge.assume_input(hold);
        charge
    }

    /// Where no input was reported, what was counted at admission stands in: it was sent.
    fn assume_input(&mut self, hold: &Hold) {
        let known = |meter| self.usage.get(meter).is_some();
        if !known(Meter::InputTotal) && !known(Meter::InputUncached) {
            let least = Exact::from(hold.pinned.input_least);
            self.usage.set(Meter::InputTotal, least, Provenance::Counted);
            self.usage.set(Meter::InputUncached, least, Provenance::Counted);
        }
    }
}

/// What the upstream charges; unknown where the book has no cost for the tier or some meter.
fn cost(hold: &Hold, usage: &Usage, served_tier: Option<&str>, input: Exact) -> Option<Exact> {
    let rates = hold.pinned.cost.as_ref()?.as_ref().rates_for(served_tier, input)?;
    let rated = rating::rate(usage, rates).ok()?;
    rated.unpriced.is_empty().then_some(rated.amount)
}
