//! Reserving and settling under a customer's terms: the plan says what a request costs, from what
//! the period has used so far; credit is set aside for it, and pays.

use std::collections::BTreeMap;

use super::admission::Denial;
use super::least::floor;
use super::{Broken, Op};
use crate::clock::Window;
use crate::credits::{CreditError, On};
use crate::ledger::OUTCOMES_MAX;
use crate::ledger::command::{Reserve, Row};
use crate::ledger::limits::{Measure, Objection, Owner, Scope, Strictness};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::status::{LimitView, RefusalCode};
use crate::ledger::terms::{HeldTerms, InForce, Rest, SetAside};
use crate::money::{Exact, OutOfRange};
use crate::plan::{Included, Part, Plan, Running};
use crate::rating::cover::total_of;
use crate::wire::usage::{Meter, Provenance, Usage};

/// What has to be paid, by what in.
pub(super) type Needs = BTreeMap<(Unit, On), Exact>;

/// The reserve itself, or one with another hold and floor.
pub(super) enum Asked<'r> {
    AsIs(&'r Reserve),
    Anew(Box<Reserve>),
}

impl core::ops::Deref for Asked<'_> {
    type Target = Reserve;

    fn deref(&self) -> &Reserve {
        match self {
            Self::AsIs(reserve) => reserve,
            Self::Anew(reserve) => reserve,
        }
    }
}

/// A reserve as the terms in force turn it out.
pub(super) struct Turned<'r> {
    /// Ask for this.
    pub asked: Asked<'r>,
    /// Under these terms, where there are any.
    pub terms: Option<Box<HeldTerms>>,
    /// The gravest objection of the plan's own limits and of credit.
    pub objection: Option<Objection>,
}

impl<'r> Turned<'r> {
    fn as_is(reserve: &'r Reserve) -> Self {
        Self { asked: Asked::AsIs(reserve), terms: None, objection: None }
    }
}

impl From<CreditError> for Broken {
    fn from(_: CreditError) -> Self {
        // Ids are checked as they come in: what is left are sums too large.
        Self::OutOfRange
    }
}

impl Op<'_> {
    /// Lets grants begin, turn and expire whose time has come.
    pub(super) fn roll_credit(&mut self) -> Result<(), Broken> {
        for unit in [Unit::Money, Unit::Credits] {
            let purse = self.ledger.contracts.purse(unit);
            if purse.is_due(self.now) {
                purse.advance(self.now)?;
                self.store_credit(unit);
            }
        }
        Ok(())
    }

    pub(super) fn store_credit(&mut self, unit: Unit) {
        let changed = self.ledger.contracts.purse(unit).take_changed();
        let rows =
            changed.into_iter().map(|(id, stored)| Row::PutCredit(unit, id, stored.map(Box::new)));
        self.rows.extend(rows);
    }

    /// What the terms in force make of a reserve: its hold, and the credit set aside for it.
    pub(super) fn under_terms<'r>(
        &mut self,
        reserve: &'r Reserve,
    ) -> Result<Result<Turned<'r>, Denial>, Broken> {
        if self.ledger.contracts.is_empty() {
            return Ok(Ok(Turned::as_is(reserve)));
        }
        let (Some(force), Some(worst)) = (self.ledger.contracts.at(self.now), &reserve.worst)
        else {
            return Ok(Ok(Turned::as_is(reserve)));
        };
        if worst.most.is_empty() && worst.batch.is_empty() {
            // A signed quote: prices of its own, which no plan and no credit can follow.
            let passes = reserve.admitted.held.is_zero() || self.goes_by_book(&force);
            let denied = || RefusalCode::NotUnderPlan.into();
            return Ok(if passes { Ok(Turned::as_is(reserve)) } else { Err(denied()) });
        }
        let asked = (reserve.admitted.held, reserve.floor);
        let dimensions = dimensions(reserve, &worst.model);
        let mut held = HeldTerms::begin(&force, self.now, asked, dimensions);
        let Some(needs) = self.ledger.contracts.needs_under(&force, worst, &mut held)? else {
            return Ok(Err(RefusalCode::NoPriceInPlan.into()));
        };
        if !self.has_room_for(held.outcomes) {
            return Ok(Err(RefusalCode::TooManyOutcomes.into()));
        }
        let running = self.ledger.contracts.running(held.number, held.period);
        let mut objection = self.quota_objection(&force, &running, &held)?;
        let Some(floor) = floor(reserve, &force, &running, &worst.most, &mut held)? else {
            return Ok(Err(RefusalCode::NoPriceInPlan.into()));
        };
        let amount = self.set_aside(&force, needs, &mut held.aside, &mut objection)?;
        let mut turned = reserve.clone();
        (turned.admitted.held, turned.floor) = (amount, floor.min(amount));
        let asked = Asked::Anew(Box::new(turned));
        Ok(Ok(Turned { asked, terms: Some(Box::new(held)), objection }))
    }

    /// Whether so many more outcomes may come to wait, beside those that do and that what runs may reach.
    fn has_room_for(&self, outcomes: u64) -> bool {
        let of = |hold: &Hold| match hold.terms.as_deref() {
            Some(HeldTerms { outcome: Some(_), .. }) => 1,
            Some(terms) => terms.outcomes,
            None => 0,
        };
        let waiting = || self.ledger.holds.values().map(of).fold(outcomes, u64::saturating_add);
        outcomes == 0 || usize::try_from(waiting()).is_ok_and(|waiting| waiting <= OUTCOMES_MAX)
    }

    /// Whether these terms leave everything to the price book, and there is no credit to burn.
    fn goes_by_book(&self, force: &InForce) -> bool {
        let terms = &force.terms;
        let no_credit = !terms.prepaid && self.ledger.contracts.money.is_empty();
        terms.plan.is_none() && terms.rest == Rest::Book && no_credit
    }

    /// Sets credit aside for the most that a request can cost, beside what it has `set` aside
    /// already; answers the hold in money. Where there is too little, that is an objection.
    pub(super) fn set_aside(
        &mut self,
        force: &InForce,
        needs: Needs,
        set: &mut Vec<SetAside>,
        objection: &mut Option<Objection>,
    ) -> Result<Exact, Broken> {
        let worth = force.plan.as_ref().and_then(Plan::credit_worth);
        let (of_credits, mut of_money): (Needs, Needs) =
            needs.into_iter().partition(|((unit, _), _)| *unit == Unit::Credits);
        for ((unit, on), amount) in of_credits {
            let uncovered = self.set_more_aside(unit, &on, amount, set)?;
            match worth {
                Some(worth) => add(&mut of_money, Unit::Money, on, uncovered.times(worth)?)?,
                None if uncovered.is_zero() => {}
                None => object(objection, self.dry(force, unit, amount, uncovered)?),
            }
        }
        let total = Exact::sum(of_money.values().copied())?;
        let (prepaid, overdraft) = (force.terms.prepaid, force.terms.overdraft);
        if prepaid || !self.ledger.contracts.money.is_empty() {
            for ((unit, on), amount) in of_money {
                let uncovered = self.set_more_aside(unit, &on, amount, set)?;
                let money = &self.ledger.contracts.money;
                // With everything that runs, the balance must not sink below what policy lets it.
                let below = money.owed().plus(money.uncovered)?;
                if prepaid && !uncovered.is_zero() && below > overdraft {
                    object(objection, self.dry(force, unit, amount, below.minus(overdraft)?)?);
                }
            }
        }
        Ok(total)
    }

    /// Sets aside what is missing to `amount`; answers what of it all is covered by no grant.
    pub(super) fn set_more_aside(
        &mut self,
        unit: Unit,
        on: &On,
        amount: Exact,
        set: &mut Vec<SetAside>,
    ) -> Result<Exact, Broken> {
        let known = set.iter_mut().find(|one| (one.unit, &one.on) == (unit, on));
        let have = known.as_ref().map_or(Ok(Exact::ZERO), |one| one.amount())?;
        let missing = amount.minus(have)?.max(Exact::ZERO);
        let more = self.ledger.contracts.purse(unit).set_aside(missing, on, self.now)?;
        if let Some(known) = known {
            known.join(&more)?;
            return Ok(known.uncovered);
        }
        let uncovered = more.uncovered;
        set.push(SetAside { unit, on: on.clone(), parts: more.parts, uncovered });
        Ok(uncovered)
    }

    /// The balance does not cover it: for good, or until running requests have settled.
    fn dry(
        &self,
        force: &InForce,
        unit: Unit,
        needed: Exact,
        missing: Exact,
    ) -> Result<Objection, Broken> {
        let contracts = &self.ledger.contracts;
        let (purse, word) = match unit {
            Unit::Money => (&contracts.money, self.currency()),
            Unit::Credits => (&contracts.credits, force.plan.as_ref().and_then(Plan::credit_name)),
        };
        let mut view = LimitView {
            id: "balance".parse().map_err(|()| Broken::OutOfRange)?,
            owner: Owner::Operator,
            scope: Scope::Customer,
            value: None,
            measure: Measure::Money,
            unit: word.unwrap_or("credits").to_owned(),
            window: Some(Window::Lifetime),
            kind: Strictness::Hard,
            limit: Exact::ZERO,
            settled: Exact::ZERO,
            held: Exact::ZERO,
            remaining: Exact::ZERO,
            window_start: force.terms.from,
            resets_at: None,
            counts_from: None,
        };
        for grant in purse.grants().filter(|grant| grant.ended.is_none() || !grant.held.is_zero()) {
            view.limit = view.limit.plus(grant.spent)?.plus(grant.held)?.plus(grant.left)?;
            view.settled = view.settled.plus(grant.spent)?;
            view.held = view.held.plus(grant.held)?;
        }
        // What this very request has set aside is not held by others.
        let free_now = needed.minus(missing)?.max(Exact::ZERO);
        view.held = view.held.minus(free_now)?.max(Exact::ZERO);
        view.remaining = view.limit.minus(view.settled)?.minus(view.held)?;
        let code = if !view.held.is_zero() && missing <= view.held {
            RefusalCode::InFlightBudgetExhausted
        } else {
            RefusalCode::SpendLimitExceeded
        };
        Ok(Objection { code, view, needed })
    }

    /// The plan's own hard limits: usage beyond them cannot happen.
    pub(super) fn quota_objection(
        &self,
        force: &InForce,
        running: &Running,
        held: &HeldTerms,
    ) -> Result<Option<Objection>, Broken> {
        let Some(plan) = &force.plan else { return Ok(None) };
        let period = force.period(self.now);
        let mut gravest = None;
        for (nth, quota) in plan.quotas_left(running)?.into_iter().enumerate() {
            let needed = held.quotas.get(nth).copied().unwrap_or_default();
            if needed.is_zero() {
                continue;
            }
            let same =
                |terms: &&HeldTerms| terms.number == held.number && terms.period == held.period;
            let others = self.ledger.holds.values().filter_map(|hold| hold.terms.as_deref());
            let others = others.filter(same).filter_map(|terms| terms.quotas.get(nth).copied());
            let Included { id, meter, of, used, .. } = quota;
            let in_flight = Exact::sum(others)?;
            let code = if needed > of {
                RefusalCode::RequestExceedsLimit
            } else if used.plus(needed)? > of {
                RefusalCode::SpendLimitExceeded
            } else if used.plus(needed)?.plus(in_flight)? > of {
                RefusalCode::InFlightBudgetExhausted
            } else {
                continue;
            };
            let view = LimitView {
                id: id.parse().or_else(|()| "plan".parse()).map_err(|()| Broken::OutOfRange)?,
                owner: Owner::Operator,
                scope: Scope::Customer,
                value: None,
                measure: Measure::Requests,
                unit: meter,
                window: Some(Window::Period),
                kind: Strictness::Hard,
                limit: of,
                settled: used,
                held: in_flight,
                remaining: of.minus(used)?.minus(in_flight)?,
                window_start: period.start,
                resets_at: Some(period.end),
                counts_from: None,
            };
            object(&mut gravest, Objection { code, view, needed });
        }
        Ok(gravest)
    }

    /// Frees what was set aside for a reserve that is refused after all: as if it never had been.
    pub(super) fn give_up(&mut self, set: &[SetAside]) -> Result<(), Broken> {
        for one in set {
            self.ledger.contracts.purse(one.unit).free(&one.aside(), &one.on, self.now)?;
        }
        for unit in [Unit::Money, Unit::Credits] {
            self.ledger.contracts.purse(unit).take_changed();
        }
        Ok(())
    }
}

/// Keeps the graver of two objections; of equals, the first.
pub(super) fn object(gravest: &mut Option<Objection>, other: Objection) {
    if gravest.as_ref().is_none_or(|known| other.code < known.code) {
        *gravest = Some(other);
    }
}

/// What of a usage the plan prices at once: not what are outcomes first.
pub(super) fn used_parts(
    plan: &Plan,
    used: &Usage,
    held: &HeldTerms,
) -> Result<Vec<Part>, OutOfRange> {
    let (mut parts, _) = plan.parts_of(used, &held.dimensions)?;
    parts.retain(|part| part.outcome.is_none());
    Ok(parts)
}

pub(super) fn add(needs: &mut Needs, unit: Unit, on: On, amount: Exact) -> Result<(), OutOfRange> {
    let need = needs.entry((unit, on)).or_default();
    *need = need.plus(amount)?;
    Ok(())
}

/// What a plan's charge is spent on, for grants that are good for some things only.
pub(super) fn on(meter: String, dimensions: &BTreeMap<String, String>) -> On {
    On { meter, model: dimensions.get("model").cloned() }
}

/// The same of the book's charges: which kind of input or output it will be is not known when credit is
/// set aside, so all of it counts as `input_total` or `output_total`.
pub(super) fn book_on(meter: Meter, model: Option<String>) -> On {
    On { meter: total_of(meter).as_str().to_owned(), model }
}

/// What the plan may tell prices by: all of it is known before the request runs.
fn dimensions(reserve: &Reserve, model: &str) -> BTreeMap<String, String> {
    let admitted = &reserve.admitted;
    told([
        ("model", Some(model)),
        ("provider", Some(reserve.pinned.provider.as_str())),
        ("endpoint", Some(admitted.endpoint.as_str())),
        ("service_tier", admitted.service_tier.as_deref()),
        ("key", Some(admitted.key_id.as_str())),
    ])
}

pub(super) fn told(known: [(&str, Option<&str>); 5]) -> BTreeMap<String, String> {
    let told = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether the plan prices all of what a meter of the worst case stands for.
pub(super) fn is_covered(meter: Meter, covered: &[Meter]) -> bool {
    covered.contains(&meter)
}

/// The least that so many requests used which were never heard of again: they were sent.
pub(super) fn assumed(input_least: u64, times: u64) -> Usage {
    let mut usage = Usage::default();
    let least = Exact::from(input_least);
    usage.set(Meter::InputTotal, least, Provenance::Counted);
    usage.set(Meter::InputUncached, least, Provenance::Counted);
    usage.set(Meter::Requests, Exact::from(times), Provenance::Counted);
    usage
}
