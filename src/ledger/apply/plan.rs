//! Settling under a customer's terms: the plan's charges from where the period stands to where this
//! attempt takes it, and the credit that pays.

use std::collections::BTreeMap;

use super::charge::Charge;
use super::terms::{Needs, add, assumed, book_on, on, used_parts};
use super::{Broken, Op};
use crate::credits::On;
use crate::ledger::command::{PriorRecord, Row};
use crate::ledger::purse::{Paid, Unit};
use crate::ledger::state::Hold;
use crate::ledger::terms::{HeldTerms, InForce, SetAside, UseRow};
use crate::money::Exact;
use crate::plan::{Increment, Part, Plan, Running, Sure};
use crate::record::{ByPlan, Class, Flag, PaidBy, Payment, PlanLine, PlanLineKind};
use crate::wire::usage::{Meter, Usage};

/// Where the credit is that pays for an attempt first.
pub(super) enum Credit<'a> {
    /// Set aside by its own hold; what is left of that is free then.
    Own,
    /// Set aside by its batch's hold, for all of its lines.
    Batch(&'a mut HeldTerms),
    /// Paid for its batch when that hold was over, and taken back from that.
    Paid(&'a mut HeldTerms),
}

impl Op<'_> {
    /// Charges what an attempt used by the terms it was held under, moves the period's running
    /// totals, and lets credit pay.
    pub(super) fn charge_by_terms(
        &mut self,
        hold: &Hold,
        class: Class,
        corrects: Option<&PriorRecord>,
        charge: &mut Charge,
        credit: &mut Credit<'_>,
    ) -> Result<(), Broken> {
        let Some(held) = hold.terms.as_deref() else { return Ok(()) };
        let Some(force) = self.ledger.contracts.number(held.number) else {
            // Terms that were in force are never removed; were they, nothing is to pass as free.
            charge.flags.push(Flag::Unpriced);
            return Ok(());
        };
        if held.batch.is_some() && corrects.is_some() {
            // What is taken back of it went to its lines, or was given back before.
            charge.plan = Some(ByPlan {
                lines: if charge.amount.is_zero() {
                    Vec::new()
                } else {
                    vec![floor_line(charge.amount)]
                },
                ..by_plan(&force, held)
            });
            return Ok(());
        }
        if let (Some(reached), Some(prior)) = (&held.outcome, corrects)
            && held.period != force.period(self.now).start
        {
            return self.take_back_billed(&force, held, reached, prior, charge);
        }
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
                lines.push(floor_line(floor));
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
        // After an expiry nothing is set aside any more: it paid then.
        let mut own = if corrects.is_some() { Vec::new() } else { held.aside.clone() };
        if class == Class::Settled && held.outcome.is_none() && held.batch.is_none() {
            self.reach(hold, held, &force, &charge.own, (&mut own, credit))?;
        }
        let paid = self.pay(&own, &force, hold, needs, charge, &mut lines, credit)?;
        if charge.amount > hold.amount() {
            charge.flags.push(Flag::Overage);
        }
        charge.plan = Some(ByPlan { lines, paid, ..by_plan(&force, held) });
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
            let taken = running.change(plan, &gone, &[], Sure::Yes).unwrap_or_else(|_| {
                // It stays charged, and whoever reads the record is told.
                charge.flags.push(Flag::Unpriced);
                Vec::new()
            });
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
            // Its lines carry what it used.
            _ if held.batch.is_some() => Vec::new(),
            Class::Unresolved => parts_assumed(hold, held, plan)?,
            Class::Settled => match &held.outcome {
                Some(reached) => reached.parts.clone(),
                None => used_parts(plan, &charge.own, held)?,
            },
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
        own: &[SetAside],
        force: &InForce,
        hold: &Hold,
        mut needs: Needs,
        charge: &mut Charge,
        lines: &mut Vec<PlanLine>,
        credit: &mut Credit<'_>,
    ) -> Result<Vec<Payment>, Broken> {
        let mut paid = Vec::new();
        let worth = force.plan.as_ref().and_then(Plan::credit_worth);
        for unit in [Unit::Credits, Unit::Money] {
            let purse_used = unit == Unit::Credits
                || force.terms.prepaid
                || !self.ledger.contracts.money.is_empty();
            let mut covered = Vec::new();
            for one in own.iter().filter(|one| one.unit == unit) {
                let need = needs.remove(&(unit, one.on.clone())).unwrap_or_default();
                let purse = self.ledger.contracts.purse(unit);
                let positive = need.max(Exact::ZERO);
                covered.push((
                    one.on.clone(),
                    purse.spend_aside(&one.aside(), positive, &one.on, self.now)?,
                ));
                purse.credit_ahead(positive.minus(need)?)?;
            }
            self.pay_from_batch(unit, &mut needs, credit, &mut covered)?;
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

impl Op<'_> {
    /// Lets what a batch has set aside, or was charged, pay for one of its lines.
    fn pay_from_batch(
        &mut self,
        unit: Unit,
        needs: &mut Needs,
        credit: &mut Credit<'_>,
        covered: &mut Vec<(On, Paid)>,
    ) -> Result<(), Broken> {
        let (set, paid) = match credit {
            Credit::Own => return Ok(()),
            Credit::Batch(set) => (set, false),
            Credit::Paid(set) => (set, true),
        };
        let due = |((of, _), need): (&(Unit, On), &Exact)| {
            (*of == unit && !need.is_negative()).then_some(*need)
        };
        let due = Exact::sum(needs.iter().filter_map(due))?;
        set.lower_least(unit, due)?;
        if paid {
            return self.take_back_paid(unit, due, set);
        }
        for one in set.aside.iter_mut().filter(|one| one.unit == unit) {
            let key = (unit, one.on.clone());
            let Some(need) = needs.get(&key).copied().filter(|need| !need.is_negative()) else {
                continue;
            };
            let purse = self.ledger.contracts.purse(unit);
            needs.remove(&key);
            covered.push((key.1, purse.spend_part(one, need, self.now)?));
        }
        Ok(())
    }

    /// What was paid for a batch, whatever for, pays for what a line of it needs.
    pub(super) fn take_back_paid(
        &mut self,
        unit: Unit,
        need: Exact,
        set: &mut HeldTerms,
    ) -> Result<(), Broken> {
        let mut rest = need;
        for one in set.aside.iter_mut().filter(|one| one.unit == unit) {
            let before = one.amount()?;
            let paid = one.take_paid(rest)?;
            rest = rest.minus(before.minus(one.amount()?)?)?;
            self.ledger.contracts.purse(unit).credit_ahead(paid)?;
        }
        Ok(())
    }

    /// Gives back what a batch that is over, or that has fewer lines to come, needs no more: at most
    /// `lines` of them; `None` where that is not known.
    pub(super) fn keep_for_lines(
        &mut self,
        held: &mut HeldTerms,
        lines: Option<u64>,
        paid: bool,
    ) -> Result<(), Broken> {
        let (Some(line), Some(lines)) = (&held.batch, lines) else { return Ok(()) };
        for one in &mut held.aside {
            let keep = line.of(one.unit, &one.on).times(Exact::from(lines))?;
            let purse = self.ledger.contracts.purse(one.unit);
            if paid {
                let more = one.amount()?.minus(keep)?.max(Exact::ZERO);
                purse.credit_ahead(one.take_paid(more)?)?;
            } else {
                let free = one.cut(keep)?;
                purse.free(&free, &one.on, self.now)?;
            }
        }
        self.store_credit(Unit::Money);
        self.store_credit(Unit::Credits);
        Ok(())
    }

    /// What the plan's charges come to as the period stands, in whatever they are counted in; to tell
    /// which of several models is the dearest. `None` where the plan has no price for it.
    pub(super) fn price_by_plan(&self, hold: &Hold, used: &Usage) -> Result<Option<Exact>, Broken> {
        let Some(held) = hold.terms.as_deref() else { return Ok(Some(Exact::ZERO)) };
        let force = self.ledger.contracts.number(held.number);
        let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) else {
            return Ok(Some(Exact::ZERO));
        };
        let (parts, _) = plan.parts_of(used, &held.dimensions)?;
        let mut running = self.ledger.contracts.running(held.number, held.period);
        let Ok(increments) = running.change(plan, &[], &parts, Sure::Yes) else { return Ok(None) };
        Ok(Some(Exact::sum(increments.iter().map(|one| one.amount))?))
    }
}

pub(super) fn by_plan(force: &InForce, held: &HeldTerms) -> ByPlan {
    ByPlan {
        plan: force.plan.as_ref().map(|plan| plan.plan.clone()),
        version: force.plan.as_ref().map(|plan| plan.version.clone()),
        terms: held.number,
        period_start: held.period,
        lines: Vec::new(),
        paid: Vec::new(),
    }
}

/// What is charged outside the plan's prices where no end was seen: the counted least by the book; of a
/// job, if so chosen, all that was held; of a batch, the least of its lines to come.
fn floor(hold: &Hold, held: &HeldTerms) -> Exact {
    if held.whole || held.batch.is_some() { hold.floor } else { held.book_floor }
}

/// The same by what has to pay it: all that was held is paid by what was set aside.
fn floor_needs(held: &HeldTerms) -> Result<Needs, Broken> {
    let mut needs = Needs::new();
    if held.batch.is_some() && !held.whole {
        let least = held.least.iter();
        return Ok(least.map(|(unit, on, need)| ((*unit, on.clone()), *need)).collect());
    }
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

/// What counted as used before a correction: of outcomes, what was confirmed; else what was assumed where
/// no end was seen. Of a job that is charged whole nothing, until its end is
/// seen: what it used is not known.
fn parts_assumed(hold: &Hold, held: &HeldTerms, plan: &Plan) -> Result<Vec<Part>, Broken> {
    if let Some(reached) = &held.outcome {
        return Ok(reached.parts.clone());
    }
    if held.whole || held.batch.is_some() {
        return Ok(Vec::new());
    }
    Ok(used_parts(plan, &assumed(hold.pinned.input_least, 1), held)?)
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
    Unit::of(increment.in_credits)
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

fn floor_line(amount: Exact) -> PlanLine {
    PlanLine { kind: PlanLineKind::Floor, ..moved_line(amount) }
}

pub(super) fn moved_line(amount: Exact) -> PlanLine {
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
