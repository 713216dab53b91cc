//! Cost-plus: sell rates that follow from costs.

use super::rates::{Rate, Rates, Tiers};
use super::schema::{ContextTier, Model};
use crate::money::{Exact, OutOfRange};

/// Fills in the sell rates of a model with a `markup`: cost × markup for every meter, tier and
/// context tier that has no rate of its own.
pub(super) fn apply(model: &mut Model) -> Result<(), OutOfRange> {
    let (Some(markup), Some(cost)) = (model.markup, &model.cost) else { return Ok(()) };
    fill(&mut model.rates, &cost.rates, markup)?;
    fill_tiers(&mut model.tiers, &cost.tiers, markup)?;
    if model.context.is_empty() {
        model.context =
            cost.context.iter().map(|tier| marked(tier, markup)).collect::<Result<_, _>>()?;
    }
    // Meters with a rate of their own at the short end keep it in long requests.
    for context in &mut model.context {
        for (meter, rate) in &model.rates.0 {
            context.rates.0.entry(*meter).or_insert(*rate);
        }
    }
    Ok(())
}

fn fill(rates: &mut Rates, cost: &Rates, markup: Exact) -> Result<(), OutOfRange> {
    for (meter, rate) in &cost.0 {
        if !rates.0.contains_key(meter) {
            let marked = Rate { amount: rate.amount.times(markup)?, per: rate.per };
            rates.0.insert(*meter, marked);
        }
    }
    Ok(())
}

fn fill_tiers(tiers: &mut Tiers, cost: &Tiers, markup: Exact) -> Result<(), OutOfRange> {
    for (tier, cost) in &cost.0 {
        fill(tiers.0.entry(tier.clone()).or_default(), cost, markup)?;
    }
    Ok(())
}

fn marked(cost: &ContextTier, markup: Exact) -> Result<ContextTier, OutOfRange> {
    let mut tier = ContextTier {
        above: cost.above,
        at_least: cost.at_least,
        rates: Rates::default(),
        tiers: Tiers::default(),
    };
    fill(&mut tier.rates, &cost.rates, markup)?;
    fill_tiers(&mut tier.tiers, &cost.tiers, markup)?;
    Ok(tier)
}
