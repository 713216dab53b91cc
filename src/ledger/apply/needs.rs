//! What requests need at most under a customer's terms: of the plan, and of what it leaves to the book.

use std::collections::BTreeSet;

use super::Broken;
use super::least::add_many;
use super::terms::{Needs, add, book_on, is_covered, on};
use crate::credits::On;
use crate::ledger::purse::Unit;
use crate::ledger::terms::{Contracts, HeldTerms, InForce, LineNeeds, Rest};
use crate::money::Exact;
use crate::plan::{Plan, Running};
use crate::quote::{AtMost, ManyAtMost, Worst, batch};
use crate::wire::usage::Meter;

/// Requests to one model: how many, and the most that all and that each of them can use.
struct Uses<'w> {
    times: u64,
    all: &'w [AtMost],
    each: &'w [AtMost],
}

impl Contracts {
    /// What a reserve needs at most, and what `held` has to remember of it. `None` where the plan has
    /// no price for it and the terms leave none to the book.
    pub fn needs_under(
        &self,
        force: &InForce,
        worst: &Worst,
        held: &mut HeldTerms,
    ) -> Result<Option<Needs>, Broken> {
        if worst.batch.is_empty() {
            let uses = Uses { times: 1, all: &worst.most, each: &worst.most };
            return self.needs_of(force, &uses, held);
        }
        held.dimensions.insert("service_tier".to_owned(), batch::TIER.to_owned());
        let mut needs = Needs::new();
        let mut line = LineNeeds { money: Exact::ZERO, each: Vec::new() };
        let mut quotas: Vec<Exact> = Vec::new();
        let (mut least, mut outcomes) = (Needs::new(), 0_u64);
        let mut running = self.running(held.number, held.period);
        for many in &worst.batch {
            let ManyAtMost { model, times, all, each, .. } = many;
            let mut of_model = held.of_line(model);
            let uses = Uses { times: *times, all, each };
            let Some(of_all) = self.needs_of(force, &uses, &mut of_model)? else {
                return Ok(None);
            };
            for ((unit, on), amount) in of_all {
                add(&mut needs, unit, on, amount)?;
            }
            for (nth, quota) in of_model.quotas.iter().enumerate() {
                match quotas.get_mut(nth) {
                    Some(sum) => *sum = sum.plus(*quota)?,
                    None => quotas.push(*quota),
                }
            }
            outcomes = outcomes.saturating_add(of_model.outcomes);
            if !add_many(force, &mut running, many, &of_model, &mut least)? {
                return Ok(None);
            }
            let of_one = Uses { times: 1, all: each, each };
            let Some(of_one) = self.needs_of(force, &of_one, &mut of_model)? else {
                return Ok(None);
            };
            line.money = line.money.max(worth_of(force, &of_one)?);
            line.each.extend(of_one.into_iter().map(|((unit, on), need)| (unit, on, need)));
        }
        (held.quotas, held.outcomes, held.batch) = (quotas, outcomes, Some(line));
        let least = least.into_iter().filter(|(_, amount)| *amount > Exact::ZERO);
        held.least = least.map(|((unit, on), amount)| (unit, on, amount)).collect();
        Ok(Some(needs))
    }

    fn needs_of(
        &self,
        force: &InForce,
        uses: &Uses<'_>,
        held: &mut HeldTerms,
    ) -> Result<Option<Needs>, Broken> {
        let running = self.running(held.number, held.period);
        let Some(mut needs) = most_by_plan(force, &running, uses, held)? else { return Ok(None) };
        let model = held.dimensions.get("model").cloned();
        for most in uses.all.iter().filter(|most| !is_covered(most.meter, &held.covered)) {
            match held.rest {
                Rest::Refused if !most.amount.is_zero() => return Ok(None),
                Rest::Book => {
                    add(&mut needs, Unit::Money, book_on(most.meter, model.clone()), most.amount)?;
                }
                Rest::Refused | Rest::Included => {}
            }
        }
        Ok(Some(needs))
    }
}

/// What the plan's charges may come to at most; `None` where the plan cannot price the requests.
fn most_by_plan(
    force: &InForce,
    running: &Running,
    uses: &Uses<'_>,
    held: &mut HeldTerms,
) -> Result<Option<Needs>, Broken> {
    let mut needs = Needs::new();
    let Some(plan) = &force.plan else { return Ok(Some(needs)) };
    let (all, covered) = plan.parts_at_most(&bounds(uses.all), &held.dimensions)?;
    let (each, _) = plan.parts_at_most(&bounds(uses.each), &held.dimensions)?;
    held.covered = covered;
    let most = plan.most_of(running, &all, &each, uses.times);
    let (Ok(most), Ok(quotas), false) = (most, plan.quota_use(&all), running.is_full()) else {
        return Ok(None);
    };
    held.quotas = quotas;
    let outcomes: BTreeSet<&str> = all.iter().filter_map(|part| part.outcome.as_deref()).collect();
    let of_each = u64::try_from(outcomes.len()).unwrap_or(u64::MAX);
    held.outcomes = of_each.saturating_mul(uses.times);
    for one in most {
        add(&mut needs, Unit::of(one.in_credits), on(one.meter, &held.dimensions), one.amount)?;
    }
    Ok(Some(needs))
}

fn bounds(most: &[AtMost]) -> Vec<(Meter, Exact)> {
    most.iter().filter_map(|most| Some((most.meter, most.quantity?))).collect()
}

/// What needs come to in money where no grant covers any.
fn worth_of(force: &InForce, needs: &Needs) -> Result<Exact, Broken> {
    let worth = force.plan.as_ref().and_then(Plan::credit_worth).unwrap_or_default();
    let in_money = |((unit, _), amount): (&(Unit, On), &Exact)| match unit {
        Unit::Money => Ok(*amount),
        Unit::Credits => amount.times(worth),
    };
    let amounts: Vec<Exact> = needs.iter().map(in_money).collect::<Result<_, _>>()?;
    Ok(Exact::sum(amounts)?)
}
