//! The least that a request can have cost under its customer's terms: what is charged where its end is
//! never seen.

use super::Broken;
use super::terms::{Needs, add, assumed, book_on, is_covered, on, used_parts};
use crate::ledger::command::Reserve;
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::terms::{Contracts, HeldTerms, InForce, Rest};
use crate::money::Exact;
use crate::plan::{Increment, Running, Sure};
use crate::quote::{AtMost, ManyAtMost};
use crate::strict::Fault;
use crate::wire::usage::{Meter, Usage};

impl Contracts {
    /// Raises a hold's floor to what the book makes of it by now, where the book is all that prices it.
    /// Of a plan's price, or of a batch's lines, whoever tells that knows nothing.
    pub fn raise_floor(&self, hold: &mut Hold, floor: Exact) {
        let most = hold.amount();
        if let Some(terms) = &mut hold.terms {
            let by_book = self.number(terms.number).is_some_and(|force| force.plan.is_none());
            if !by_book || terms.rest != Rest::Book || terms.batch.is_some() {
                return;
            }
            terms.book_floor = terms.book_floor.max(floor).min(most);
        }
        hold.floor = hold.floor.max(floor).min(most);
    }
}

/// The counted least of a request, as the plan stands; its part by the book is noted in `held`. `None`
/// where the plan has no price for it.
pub(super) fn floor(
    reserve: &Reserve,
    force: &InForce,
    running: &Running,
    most: &[AtMost],
    held: &mut HeldTerms,
) -> Result<Option<Exact>, Broken> {
    if held.batch.is_some() {
        held.book_floor = Exact::ZERO;
        return Ok(Some(held.least_in_money()?));
    }
    held.book_floor = by_book(held, most, reserve.floor);
    let mut running = running.clone();
    let usage = assumed(reserve.pinned.input_least, 1);
    let Some(least) = by_plan(force, &mut running, &usage, held)? else { return Ok(None) };
    let in_money = least.iter().filter(|((unit, _), _)| *unit == Unit::Money);
    let in_money = Exact::sum(in_money.map(|(_, amount)| *amount))?;
    Ok(Some(held.book_floor.plus(in_money.max(Exact::ZERO))?))
}

/// Adds to `least` what a batch's requests to one model cost at least, one model after the other.
/// `false` where the plan has no price for it.
pub(super) fn add_many(
    force: &InForce,
    running: &mut Running,
    many: &ManyAtMost,
    held: &HeldTerms,
    least: &mut Needs,
) -> Result<bool, Broken> {
    let usage = assumed(many.input_least, many.times);
    let Some(by_plan) = by_plan(force, running, &usage, held)? else { return Ok(false) };
    for ((unit, on), amount) in by_plan {
        add(least, unit, on, amount)?;
    }
    let on = book_on(Meter::InputTotal, held.dimensions.get("model").cloned());
    add(least, Unit::Money, on, by_book(held, &many.all, many.lower))?;
    Ok(true)
}

/// What of the book's least the terms leave to the book: that is for counted input, or for the request
/// itself.
pub(super) fn by_book(held: &HeldTerms, most: &[AtMost], lower: Exact) -> Exact {
    let sold_by_input = most.iter().any(|one| one.meter == Meter::InputTotal);
    let by_plan = sold_by_input && is_covered(Meter::InputTotal, &held.covered);
    if held.rest != Rest::Book || by_plan { Exact::ZERO } else { lower }
}

fn by_plan(
    force: &InForce,
    running: &mut Running,
    usage: &Usage,
    held: &HeldTerms,
) -> Result<Option<Needs>, Broken> {
    let Some(plan) = &force.plan else { return Ok(Some(Needs::new())) };
    let parts = used_parts(plan, usage, held)?;
    added(held, running.change(plan, &[], &parts, Sure::Assumed))
}

/// What a change of the period's totals has to be paid with; `None` where it has no price.
pub(super) fn added(
    held: &HeldTerms,
    change: Result<Vec<Increment>, Fault>,
) -> Result<Option<Needs>, Broken> {
    let Ok(increments) = change else { return Ok(None) };
    let mut needs = Needs::new();
    for one in increments {
        add(&mut needs, Unit::of(one.in_credits), on(one.meter, &held.dimensions), one.amount)?;
    }
    Ok(Some(needs))
}
