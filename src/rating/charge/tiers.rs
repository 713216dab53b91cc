//! Tiers by quantity: an ascending list of inclusive upper bounds.

use crate::money::{Exact, Ratio};
use crate::strict::{Faults, Object};

/// Most tiers of a charge; published price lists have fewer than twenty.
pub(super) const TIERS_MAX: usize = 1_000;

/// One tier: from just above the bound of the tier before, up to and including its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tier {
    /// `None` has no end.
    pub up_to: Option<Exact>,
    pub unit_price: Ratio,
    pub flat_fee: Exact,
}

/// What the price of a tier is called, and what it is divided by to be one of a unit.
pub(super) struct Price {
    pub field: &'static str,
    pub per: u64,
}

pub(super) const UNIT_PRICE: Price = Price { field: "unit_price", per: 1 };
pub(super) const RATE_PERCENT: Price = Price { field: "rate_percent", per: 100 };

/// Reads `tiers`; `None` where one of them is at fault.
pub(super) fn read(charge: &mut Object, price: &Price, faults: &mut Faults) -> Option<Vec<Tier>> {
    each(charge, faults, |tier, faults| {
        let up_to = tier.amount("up_to", faults);
        let flat_fee = tier.amount("flat_fee", faults).unwrap_or_default();
        // A tier may consist of its fee alone; one without any price would be free by omission.
        let unit_price = if flat_fee.is_zero() {
            tier.need_amount(price.field, faults)?
        } else {
            tier.amount(price.field, faults).unwrap_or_default()
        };
        let unit_price = Ratio::from(unit_price).over(Exact::from(price.per).into()).ok()?;
        Some((Tier { up_to, unit_price, flat_fee }, up_to))
    })
}

/// Reads a list of tiers with `one` and checks that their ends ascend and only the last is open.
pub(super) fn each<T>(
    charge: &mut Object,
    faults: &mut Faults,
    mut one: impl FnMut(&mut Object, &mut Faults) -> Option<(T, Option<Exact>)>,
) -> Option<Vec<T>> {
    let spots = charge.need("tiers", faults)?.list(TIERS_MAX, faults)?;
    if spots.is_empty() {
        faults.invalid(charge.at("tiers"), "must hold at least one tier");
    }
    let count = spots.len();
    let mut tiers = Vec::with_capacity(count);
    let mut before = Exact::ZERO;
    for (at, spot) in spots.iter().enumerate() {
        let mut tier = spot.object(faults)?;
        let read = one(&mut tier, faults);
        tier.done(faults);
        let Some((tier, end)) = read else { continue };
        let last = at.saturating_add(1) == count;
        match end {
            None if !last => faults.invalid(&spot.path, "only the last tier may have no end"),
            Some(end) if end <= before => {
                faults.invalid(&spot.path, format!("ends at {end}, not above {before}"));
            }
            _ => {}
        }
        before = end.unwrap_or(before);
        tiers.push(tier);
    }
    Some(tiers)
}
