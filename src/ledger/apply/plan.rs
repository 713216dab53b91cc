//! Settling under a customer's terms: the plan's charges from where the period stands to where this
//! attempt takes it, and the credit that pays.

use std::collections::BTreeMap;

use super::charge::Charge;
use super::terms::{Needs, add, assumed, book_on, on};
use super::{Broken, Op};
use crate::credits::On;
use crate::ledger::command::{PriorRecord, Row};
use crate::ledger::purse::{Paid, Unit};
use crate::ledger::state::Hold;
use crate::ledger::terms::{HeldTerms, InForce, UseRow};
use crate::money::Exact;
use crate::plan::{Increment, Part, Plan, Running, Sure};
use crate::record::{ByPlan, Class, Flag, PaidBy, Payment, PlanLine, PlanLineKind};
use crate::wire::usage::Meter;

impl Op<'_> {
    /// Charges what an attempt used by the terms it was held under, moves the period's running
    /// totals, and lets credit pay.
    pub(super) fn charge_by_terms(
        &mut self,
        hold: &Hold,
        class: Class,
        corrects: Option<&PriorRecord>,
        charge: &mut Charge,
    ) -> Result<(), Broken> {
        let Some(held) = hold.terms.as_deref() else { return Ok(()) };
        let Some(force) = self.ledger.contracts.number(held.number) else {
            // Terms that were in force are never removed; were they, nothing is to pass as free.
            charge.flags.push(Flag::Unpriced);
            return Ok(());
        };
        let mut lines = Vec::new();
        let mut needs = Needs::new();
        for line in &charge.lines {
            let on = book_on(line.meter, held.dimensions.get("model").cloned());
            add(&mut needs, Unit::Money, on, line.amount)?;
        }
        for line in charge.sub_usage.iter().flat_map(|sub| &sub.lines) {
            let on = book_on(line.meter, held.dimensions.get("model").cloned());
            add(&mut needs, Unit::Money, on, line.amount)?;
        }
        let floor = floor(hold, held);
        if class == Class::Unresolved {
            charge.amount = floor;
            for ((unit, on), amount) in floor_needs(held)? {
                add(&mut needs, unit, on, amount)?;
            }
            if !floor.is_zero() {
                lines.push(PlanLine { kind: PlanLineKind::Floor, ..moved_line(floor) });
            }
        }
        if corrects.is_some() {
            for ((unit, on), amount) in floor_needs(held)? {
                add(&mut needs, unit, on, Exact::ZERO.minus(amount)?)?;
            }
        }
        if let Some(plan) = &force.plan {
            self.charge_by_plan(hold, held, plan, class, corrects, charge, &mut lines, &mut needs)?;
        }
        let paid = self.pay(held, &force, hold, corrects.is_some(), needs, charge, &mut lines)?;
        if charge.amount > hold.amount() {
            charge.flags.push(Flag::Overage);
        }
        charge.plan = Some(ByPlan {
            plan: force.plan.as_ref().map(|plan| plan.plan.clone()),
            version: force.plan.as_ref().map(|plan| plan.version.clone()),
            terms: held.number,
            period_start: held.period,
            lines,
            paid,
        });
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // all of one attempt's end
    fn charge_by_plan(
        &mut self,
        hold: &Hold,
        held: &HeldTerms,
        plan: &Plan,
        class: Class,
        corrects: Option<&PriorRecord>,
        charge: &mut Charge,
        lines: &mut Vec<PlanLine>,
        needs: &mut Needs,
    ) -> Result<(), Broken> {
        let mut running = self.ledger.contracts.running(held.number, held.period);
        let before = running.clone();
        if let Some(prior) = corrects {
            // What was assumed at the hold's expiry is taken back.
            let gone = parts_assumed(hold, held, plan)?;
            let taken = running.change(plan, &gone, &[], Sure::Yes).unwrap_or_default();
            let money = taken.iter().filter(|one| !one.in_credits).map(|one| one.amount);
            let moved = prior.charged.minus(floor(hold, held))?.plus(Exact::sum(money)?)?;
            if !moved.is_zero() {
                lines.push(moved_line(moved));
                charge.amount = charge.amount.plus(moved)?;
            }
            for one in &taken {
                add(needs, unit_of(one), on(one.meter.clone(), &held.dimensions), one.amount)?;
            }
        }
        let parts = match class {
            Class::Voided => Vec::new(),
            Class::Unresolved => parts_assumed(hold, held, plan)?,
            Class::Settled => plan.parts_of(&charge.own, &held.dimensions)?.0,
        };
        let sure = if class == Class::Unresolved { Sure::Assumed } else { Sure::Yes };
        match running.change(plan, &[], &parts, sure) {
            Ok(increments) => {
                for one in increments {
                    let amount = one.amount;
                    let unit = unit_of(&one);
                    add(needs, unit, on(one.meter.clone(), &held.dimensions), amount)?;
                    if unit == Unit::Money {
                        charge.amount = charge.amount.plus(amount)?;
                    }
                    lines.push(line_of(one));
                }
            }
            // Beyond the plan's last tier: there is no price, and it must not look as if there were.
            Err(_) => charge.flags.push(Flag::Unpriced),
        }
        self.store_running(held, &before, running);
        Ok(())
    }

    fn store_running(&mut self, held: &HeldTerms, before: &Running, after: Running) {
        let (number, period) = (held.number, held.period);
        let is_changed = |(place, tally): &(&_, &_)| before.tally(place) != **tally;
        let changed = after.tallies().filter(is_changed).map(|(place, tally)| {
            let row = UseRow { number, period, place: place.clone(), tally: *tally };
            Row::PutPlanUse(Box::new(row))
        });
        let rows = self.rows.len();
        self.rows.extend(changed);
        if self.rows.len() == rows {
            // A period in which nothing was used is not kept: storage would not know of it.
            return;
        }
        let forgotten = self.ledger.contracts.put_running(number, period, after);
        self.rows.extend(
            forgotten.into_iter().map(|(number, period)| Row::DropPlanUses(number, period)),
        );
    }

    /// Lets what was set aside pay, and other credit for what goes beyond; credits that no grant
    /// covers are billed at their worth.
    #[allow(clippy::too_many_arguments)] // all of one attempt's end
    fn pay(
        &mut self,
        held: &HeldTerms,
        force: &InForce,
        hold: &Hold,
        late: bool,
        mut needs: Needs,
        charge: &mut Charge,
        lines: &mut Vec<PlanLine>,
    ) -> Result<Vec<Payment>, Broken> {
        let mut paid = Vec::new();
        let worth = force.plan.as_ref().and_then(Plan::credit_worth);
        for unit in [Unit::Credits, Unit::Money] {
            let purse_used = unit == Unit::Credits
                || force.terms.prepaid
                || !self.ledger.contracts.money.is_empty();
            let mut covered = Vec::new();
            // After an expiry nothing is set aside any more: it paid then.
            for one in held.aside.iter().filter(|one| one.unit == unit && !late) {
                let need = needs.remove(&(unit, one.on.clone())).unwrap_or_default();
                let purse = self.ledger.contracts.purse(unit);
                let positive = need.max(Exact::ZERO);
                covered.push((
                    one.on.clone(),
                    purse.spend_aside(&one.aside(), positive, &one.on, self.now)?,
                ));
                purse.credit_ahead(positive.minus(need)?)?;
            }
            let rest: Vec<(On, Exact)> = needs
                .iter()
                .filter(|((of, _), amount)| *of == unit && !amount.is_zero())
                .map(|((_, on), amount)| (on.clone(), *amount))
                .collect();
            for (on, need) in rest.into_iter().filter(|_| purse_used) {
                let purse = self.ledger.contracts.purse(unit);
                if need.is_negative() {
                    purse.credit_ahead(Exact::ZERO.minus(need)?)?;
                } else {
                    covered.push((on.clone(), purse.spend(need, &on, hold.reserved_at, self.now)?));
                }
            }
            for (on, one) in covered {
                let uncovered = one.covered.uncovered;
                if unit == Unit::Credits && !uncovered.is_zero() {
                    // Nothing more was to run: what did all the same is shown, and priced by nobody.
                    if worth.is_none() {
                        charge.flags.push(Flag::Overage);
                    }
                    let amount = uncovered.times(worth.unwrap_or_default())?;
                    lines.push(overage_line(&on, uncovered, amount));
                    charge.amount = charge.amount.plus(amount)?;
                    add(&mut needs, Unit::Money, on, amount)?;
                }
                payments(unit, force.terms.prepaid, one, &mut paid);
            }
            self.store_credit(unit);
        }
        Ok(paid)
    }
}

/// What is charged outside the plan's prices where no end was seen: the counted least by the book; of a
/// job, if so chosen, all that was held.
fn floor(hold: &Hold, held: &HeldTerms) -> Exact {
    if held.whole { hold.floor } else { held.book_floor }
}

/// The same by what has to pay it: all that was held is paid by what was set aside.
fn floor_needs(held: &HeldTerms) -> Result<Needs, Broken> {
    let mut needs = Needs::new();
    if !held.whole {
        let on = book_on(Meter::InputTotal, held.dimensions.get("model").cloned());
        add(&mut needs, Unit::Money, on, held.book_floor)?;
        return Ok(needs);
    }
    for one in &held.aside {
        let covered = Exact::sum(one.parts.iter().map(|(_, amount)| *amount))?;
        // Credits that no grant covered are in what is held in money, at their worth.
        let uncovered = if one.unit == Unit::Money { one.uncovered } else { Exact::ZERO };
        add(&mut needs, one.unit, one.on.clone(), covered.plus(uncovered)?)?;
    }
    Ok(needs)
}

/// What counts as used where no end was seen. Of a job that is charged whole nothing, until its end is
/// seen: what it used is not known.
fn parts_assumed(hold: &Hold, held: &HeldTerms, plan: &Plan) -> Result<Vec<Part>, Broken> {
    if held.whole {
        return Ok(Vec::new());
    }
    Ok(plan.parts_of(&assumed(hold.pinned.input_least), &held.dimensions)?.0)
}

fn payments(unit: Unit, prepaid: bool, one: Paid, paid: &mut Vec<Payment>) {
    let mut push = |by, grant, amount: Exact| {
        if !amount.is_zero() {
            paid.push(Payment { amount, by, grant, unit });
        }
    };
    push(PaidBy::Ahead, None, one.ahead);
    for (grant, amount) in one.covered.parts {
        push(PaidBy::Grant, Some(grant), amount);
    }
    push(PaidBy::Owed, None, one.covered.owed);
    // Money that no grant covers is due as always, unless nothing was to run without one.
    if prepaid || unit == Unit::Credits {
        push(PaidBy::Uncovered, None, one.covered.uncovered);
    }
}

fn unit_of(increment: &Increment) -> Unit {
    if increment.in_credits { Unit::Credits } else { Unit::Money }
}

fn line_of(one: Increment) -> PlanLine {
    PlanLine {
        kind: PlanLineKind::Charge,
        charge: one.place.charge,
        meter: one.meter,
        dimensions: one.place.dimensions,
        before: one.before,
        after: one.after,
        included: one.included,
        amount: if one.in_credits { Exact::ZERO } else { one.amount },
        credits: one.in_credits.then_some(one.amount),
        detail: one.detail,
    }
}

fn overage_line(on: &On, credits: Exact, amount: Exact) -> PlanLine {
    PlanLine {
        kind: PlanLineKind::CreditOverage,
        meter: on.meter.clone(),
        after: credits,
        ..moved_line(amount)
    }
}

fn moved_line(amount: Exact) -> PlanLine {
    PlanLine {
        kind: PlanLineKind::Moved,
        charge: String::new(),
        meter: String::new(),
        dimensions: BTreeMap::new(),
        before: Exact::ZERO,
        after: Exact::ZERO,
        included: Exact::ZERO,
        amount,
        credits: None,
        detail: Vec::new(),
    }
}
