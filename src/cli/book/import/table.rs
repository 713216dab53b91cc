//! Prices as data sets write them — by meter, service tier and context bound, each stating only
//! what differs — turned into complete cards.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::{Card, ContextTier, Rate, Rates, Tiers};
use crate::money::Exact;
use crate::wire::usage::Meter;

/// Where a price applies: the service tier and the context bound, each `None` for "any".
type Cell = (Option<String>, Option<u64>);

/// A model's prices at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    cells: BTreeMap<Cell, BTreeMap<Meter, Rate>>,
    /// The bounds belong to the higher tier.
    pub inclusive: bool,
    /// A long request in a service tier that states no price for long ones pays the default
    /// tier's long price, not the service tier's short one.
    pub length_first: bool,
}

impl Table {
    /// Sets a price unless that cell has one for the meter already.
    pub(super) fn set(&mut self, tier: Option<&str>, above: Option<u64>, meter: Meter, rate: Rate) {
        let cell = self.cells.entry((tier.map(str::to_owned), above)).or_default();
        cell.entry(meter).or_insert(rate);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.values().all(BTreeMap::is_empty)
    }

    /// The rates of one tier past one bound: the default tier's, overlaid by what the tier says.
    /// Which of length and tier overlays the other last is the data set's own rule.
    fn rates(&self, tier: Option<&str>, above: Option<u64>) -> Rates {
        let mut rates = BTreeMap::new();
        let reached = |bound: &Option<u64>| bound.is_none_or(|bound| above >= Some(bound));
        let mut cells: Vec<(&Cell, &BTreeMap<Meter, Rate>)> = self
            .cells
            .iter()
            .filter(|((of, bound), _)| (of.is_none() || of.as_deref() == tier) && reached(bound))
            .collect();
        if self.length_first {
            cells.sort_by_key(|((tier, bound), _)| (*bound, tier.is_some()));
        } else {
            cells.sort_by_key(|((tier, bound), _)| (tier.is_some(), *bound));
        }
        for (_, cell) in cells {
            rates.extend(cell.iter().map(|(meter, rate)| (*meter, *rate)));
        }
        Rates(rates)
    }

    /// Complete rates for every tier and bound. A tier or bound that changes nothing is left out.
    pub(super) fn card(&self) -> Card {
        let tiers: BTreeSet<&str> =
            self.cells.keys().filter_map(|(tier, _)| tier.as_deref()).collect();
        let bounds: BTreeSet<u64> = self.cells.keys().filter_map(|(_, bound)| *bound).collect();
        let at = |above: Option<u64>| {
            let by_tier =
                tiers.iter().map(|tier| ((*tier).to_owned(), self.rates(Some(tier), above)));
            (
                self.rates(None, above),
                Tiers(by_tier.filter(|(_, rates)| !rates.is_empty()).collect()),
            )
        };
        let (rates, tiers) = at(None);
        let mut context: Vec<ContextTier> = Vec::new();
        for bound in bounds {
            let (long, long_tiers) = at(Some(bound));
            let below = context.last().map_or((&rates, &tiers), |tier| (&tier.rates, &tier.tiers));
            if (&long, &long_tiers) == below {
                continue;
            }
            let (above, at_least) = if self.inclusive {
                (None, Some(bound.into()))
            } else {
                (Some(bound.into()), None)
            };
            context.push(ContextTier { above, at_least, rates: long, tiers: long_tiers });
        }
        Card { rates, tiers, context }
    }
}

/// A rate per so many units, in lowest terms of ten: per million where the amount allows it.
pub(super) fn rate(amount: &str, per: u64) -> Option<Rate> {
    let amount: Exact = amount.parse().ok().filter(|amount: &Exact| !amount.is_negative())?;
    let rate = Rate { amount, per: per.into() };
    // A price that does not end in 28 digits for one unit cannot be charged exactly.
    rate.price(Exact::from(1)).is_ok().then_some(rate)
}

/// A price of one unit, written as the price of `per`.
pub(super) fn unit_rate(amount: &str, per: u64) -> Option<Rate> {
    let one = rate(amount, 1)?;
    Some(Rate { amount: one.amount.times(per.into()).ok()?, per: per.into() })
}
