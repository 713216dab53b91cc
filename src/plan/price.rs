//! A plan × the usage of a period → lines.
//!
//! Order: fees → limits → charges, less their allowances → credits → discounts → commitments →
//! grants of money → rounding.

use super::balances::{self, Pools};
use super::metered::{self, Group};
use super::rules::RoundingPoint;
use super::spend::{self, Draft};
use super::{Line, LineKind, Plan, Priced, Share, Usage, fault};
use crate::calendar::{Calendar, share};
use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::rating::charge::Input;
use crate::strict::Fault;

/// Digits a cost or an unrounded line is shown with where it has no decimal.
const SHOWN_PLACES: u32 = 12;

pub(super) fn price(plan: &Plan, usage: &Usage) -> Result<Priced, Fault> {
    let share = active_share(plan, usage)?;
    let groups = metered::groups(plan, usage)?;
    let mut balances = balances::limits(plan, &groups)?;
    let mut drafts = fees(plan, usage, share)?;
    let mut pools = Pools::new(plan, &groups)?;
    for group in &groups {
        drafts.extend(charge(plan, group, &mut pools)?);
    }
    balances.extend(pools.balances()?);
    balances.extend(balances::pending(&groups)?);
    balances.extend(spend::burn_credits(plan, usage, &mut drafts)?);
    spend::discount(plan, &mut drafts)?;
    balances.extend(spend::commit(plan, usage, share, &mut drafts)?);
    balances.extend(spend::burn_money(plan, usage, &mut drafts)?);
    finish(plan, drafts, balances)
}

/// The share of the period in which the plan was active; the whole of it where nothing is said.
fn active_share(plan: &Plan, usage: &Usage) -> Result<Ratio, Fault> {
    let Some(active) = usage.active else { return Ok(Exact::from(1).into()) };
    let period = usage.period.ok_or_else(|| {
        fault("missing_field", "period", "`active` is a part of a period that is not given")
    })?;
    let calendar = Calendar::new(&usage.zone, period.start, plan.period)
        .map_err(|error| fault("invalid_value", "zone", error.to_string()))?;
    Ok(share(&calendar, active, period, plan.rules.day_count)?)
}

fn fees(plan: &Plan, usage: &Usage, share: Ratio) -> Result<Vec<Draft>, OutOfRange> {
    let due = plan.fees.iter().filter(|fee| !fee.once || usage.first);
    due.map(|fee| {
        let amount = Ratio::from(fee.amount);
        let amount = if fee.prorated { amount.times(share)? } else { amount };
        Ok(Draft::new(&fee.id, LineKind::Fee, amount))
    })
    .collect()
}

/// One cell of one charge; `None` where nothing was used and nothing is due.
fn charge<'a>(
    plan: &Plan,
    group: &Group<'a>,
    pools: &mut Pools<'a>,
) -> Result<Option<Draft>, Fault> {
    let Some(cell) = group.charge.cells.get(group.cell) else { return Ok(None) };
    let used = group.quantity()?;
    let input = match group.input.quantity {
        Some(quantity) if !group.reversed => Input::quantity(pools.take(group, quantity)?),
        _ => group.input.clone(),
    };
    let kind = if group.reversed { LineKind::Reversal } else { LineKind::Charge };
    let mut draft = Draft::new(&group.charge.id, kind, Ratio::ZERO);
    let located =
        |fault: Fault| Fault { path: format!("{}: {}", group.charge.id, fault.path), ..fault };
    if group.charge.in_credits {
        let charged = cell.charge.price(&input).map_err(located)?;
        draft.credits = Some(charged.amount);
        draft.detail = charged.lines;
    } else {
        let rounding = plan.rules.rounding;
        let priced = cell.charge.price_to(&input, plan.places, rounding).map_err(located)?;
        draft.exact = if group.reversed { Ratio::ZERO.minus(priced.0)? } else { priced.0 };
        draft.detail = priced.1.lines;
    }
    draft.net = draft.exact;
    draft.dimensions.clone_from(&group.dimensions);
    draft.meter = Some(group.charge.meter.clone());
    draft.quantity = Some(used);
    draft.cost = match &cell.cost {
        Some(cost) if !group.reversed => {
            let reported = group.cost.unwrap_or_default().into();
            let (cost, _) = cost.price_to(&group.input, plan.places, Rounding::HalfUp)?;
            Some(cost.plus(reported)?)
        }
        _ => group.cost.map(Ratio::from),
    };
    let nothing =
        used.is_zero() && draft.exact.is_zero() && draft.credits.is_none_or(Exact::is_zero);
    Ok((!nothing).then_some(draft))
}

fn finish(plan: &Plan, drafts: Vec<Draft>, balances: Vec<super::Balance>) -> Result<Priced, Fault> {
    let total = Ratio::sum(drafts.iter().map(|draft| draft.exact))?;
    let cost = cost(&drafts)?;
    let mut lines = Vec::with_capacity(drafts.len());
    for draft in drafts {
        lines.push(line(plan, draft)?);
    }
    let sum = Exact::sum(lines.iter().map(|line| line.amount))?;
    let amount = match plan.rules.rounding_point {
        RoundingPoint::Line => sum,
        RoundingPoint::Total => total.rounded(plan.places, plan.rules.rounding)?,
    };
    let rest = amount.minus(sum)?;
    if !rest.is_zero() {
        lines.push(line(plan, Draft::new("rounding", LineKind::Rounding, rest.into()))?);
    }
    Ok(Priced {
        plan: plan.plan.clone(),
        version: plan.version.clone(),
        currency: plan.currency.clone(),
        amount,
        exact: total.exact().ok(),
        lines,
        cost,
        margin: cost.map(|cost| amount.minus(cost)).transpose()?,
        balances,
        features: plan.features.clone(),
        rules: plan.rules.clone(),
    })
}

/// What all charges cost the operator; `None` where that is unknown of any that was used.
fn cost(drafts: &[Draft]) -> Result<Option<Exact>, OutOfRange> {
    let charges = || drafts.iter().filter(|draft| draft.kind == LineKind::Charge);
    if charges().next().is_none() {
        return Ok(None);
    }
    let costs: Option<Vec<Ratio>> = charges().map(|draft| draft.cost).collect();
    let Some(costs) = costs else { return Ok(None) };
    shown(Ratio::sum(costs)?).map(Some)
}

/// A number as a decimal, cut where it has none.
fn shown(number: Ratio) -> Result<Exact, OutOfRange> {
    number.exact().or_else(|_| number.rounded(SHOWN_PLACES, Rounding::HalfUp))
}

fn line(plan: &Plan, draft: Draft) -> Result<Line, OutOfRange> {
    let amount = match plan.rules.rounding_point {
        RoundingPoint::Line => draft.exact.rounded(plan.places, plan.rules.rounding)?,
        RoundingPoint::Total => shown(draft.exact)?,
    };
    let mut shares = Vec::new();
    if !draft.shares.is_empty() {
        let weights: Vec<Ratio> = draft.shares.iter().map(|(_, weight)| *weight).collect();
        let parts = spend::allocate(amount, &weights, plan.places)?;
        let each = draft.shares.iter().zip(parts);
        shares = each.map(|((line, _), amount)| Share { line: *line, amount }).collect();
    }
    Ok(Line {
        id: draft.id,
        kind: draft.kind,
        dimensions: draft.dimensions,
        quantity: draft.quantity,
        amount,
        exact: draft.exact.exact().ok(),
        credits: draft.credits,
        cost: draft.cost.map(shown).transpose()?,
        shares,
        detail: draft.detail,
    })
}
