//! What an attempt is charged for what it used, at the prices it was admitted under.

use std::borrow::Cow;

use crate::book::{self, Card, CardRef, Rates};
use crate::ledger::command::SubUsed;
use crate::ledger::state::Hold;
use crate::ledger::terms::Rest;
use crate::money::{Exact, OutOfRange};
use crate::rating::cover::without;
use crate::rating::{self, Line};
use crate::record::{ByPlan, Flag, SubUsage, Unknown, quantities};
use crate::wire::usage::{Meter, Provenance, Usage};

/// The arithmetic of one record.
#[derive(Default)]
pub(super) struct Charge {
    pub usage: Usage,
    pub lines: Vec<Line>,
    pub unpriced: Vec<Meter>,
    pub sub_usage: Vec<SubUsage>,
    pub unknown: Vec<Unknown>,
    pub amount: Exact,
    pub cost: Option<Exact>,
    pub flags: Vec<Flag>,
    /// What the answer's own model used, for the plan to price.
    pub own: Usage,
    /// What the customer's terms make of it.
    pub plan: Option<ByPlan>,
}

impl Charge {
    /// Charged for what was used, by the answer's own model and by others inside it.
    pub fn of(
        hold: &Hold,
        usage: &Usage,
        others: &[SubUsed],
        served_tier: Option<&str>,
    ) -> Result<Self, OutOfRange> {
        // Where the upstream does not say which tier served, it is the one that was asked for.
        let served_tier = served_tier.or(hold.admitted.service_tier.as_deref());
        let mut charge = Self { usage: usage.clone(), ..Self::default() };
        let by_others = is_by_others(usage, others);
        if !by_others {
            charge.assume_input(hold);
        }
        let card = hold.pinned.card();
        let input = book::input_total(&charge.usage)?;
        let rates = card.rates_for(served_tier, input).or_else(|| {
            // Served in a tier the book does not sell: charged as default, and said so.
            charge.flags.push(Flag::Unpriced);
            card.rates_for(None, input)
        });
        let rates = rates.unwrap_or(card.rates);
        let own = apart(&charge.usage, others, hold);
        let booked = for_the_book(&own, hold)?;
        let rated = rating::rate(&booked, rates)?;
        drop(booked);
        if hold.terms.is_some() {
            charge.own = own.into_owned();
        }
        charge.amount = rated.amount;
        charge.lines = rated.lines;
        charge.unpriced = rated.unpriced;
        for other in others {
            let mut sub = sub_usage(other, hold, served_tier)?;
            if hold.terms.as_ref().is_some_and(|terms| terms.rest == Rest::Included) {
                sub.lines.clear();
            }
            charge.add(sub)?;
        }
        let silent = !by_others && is_silent(&charge.usage, rates, hold);
        if !charge.unpriced.is_empty() || silent {
            charge.flags.push(Flag::Unpriced);
        }
        if !rated.suspect.is_empty() {
            charge.flags.push(Flag::Suspect);
        }
        if hold.terms.is_none() && charge.amount > hold.amount() {
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
        // What the upstream charges for other models' work is not in the hold.
        charge.cost = match others {
            [] => cost(hold, &charge.usage, served_tier, input),
            _ => None,
        };
        Ok(charge)
    }

    fn add(&mut self, sub: SubUsage) -> Result<(), OutOfRange> {
        let lines = Exact::sum(sub.lines.iter().map(|line| line.amount))?;
        self.amount = self.amount.plus(lines)?;
        if !sub.unpriced.is_empty() {
            self.flags.push(Flag::Unpriced);
        }
        self.sub_usage.push(sub);
        Ok(())
    }

    /// Nobody said what was used: charged at the hold's floor.
    pub fn floor(hold: &Hold) -> Self {
        let mut charge = Self { amount: hold.floor, flags: vec![Flag::Counted], ..Self::default() };
        charge.assume_input(hold);
        charge
    }

    /// Where no input was reported, what was counted at admission stands in: it was sent. Not where
    /// the model is not sold by its input, or the request is free.
    fn assume_input(&mut self, hold: &Hold) {
        let known = |meter| self.usage.get(meter).is_some();
        let sold = hold.pinned.rates.get(Meter::InputUncached).is_some();
        if sold && !known(Meter::InputTotal) && !known(Meter::InputUncached) {
            let least = Exact::from(hold.pinned.input_least);
            self.usage.set(Meter::InputTotal, least, Provenance::Counted);
            self.usage.set(Meter::InputUncached, least, Provenance::Counted);
        }
    }
}

/// Whether all that was used was used by other models: a session's transcript, say.
fn is_by_others(usage: &Usage, others: &[SubUsed]) -> bool {
    others.iter().any(|other| !other.included)
        && usage.iter().all(|(meter, _)| meter == Meter::Requests)
}

/// Whether a request that was held for used nothing that its model is sold by, as far as anyone
/// said: it must not pass as free.
fn is_silent(usage: &Usage, rates: &Rates, hold: &Hold) -> bool {
    let totals = [Meter::InputTotal, Meter::OutputTotal];
    let is_told = |meter: &Meter| *meter != Meter::Requests && usage.get(*meter).is_some();
    let sold_per_request = rates.get(Meter::Requests).is_some();
    let told = rates.0.keys().chain(&totals).any(is_told);
    hold.amount() > Exact::ZERO && !sold_per_request && !told
}

/// The prices of what another model used; `None` where the book does not sell it.
fn card<'a>(other: &'a SubUsed, hold: &'a Hold) -> Option<CardRef<'a>> {
    let own = other.model.as_ref().is_none_or(|model| *model == hold.admitted.model);
    other.card.as_ref().map(Card::as_ref).or_else(|| own.then(|| hold.pinned.card()))
}

/// The answer's own usage without what is priced by the models that did the work. A breakdown of
/// which the book does not sell every part leaves the whole to the answer's own model.
fn apart<'u>(usage: &'u Usage, others: &[SubUsed], hold: &Hold) -> Cow<'u, Usage> {
    let parts: Vec<&SubUsed> = others.iter().filter(|other| other.included).collect();
    if parts.is_empty() || parts.iter().any(|part| card(part, hold).is_none()) {
        return Cow::Borrowed(usage);
    }
    let parts: Vec<&Usage> = parts.iter().map(|part| &part.usage).collect();
    Cow::Owned(rating::without_parts(usage, &parts))
}

/// What the customer's plan leaves to the price book; all of it where there is no plan.
fn for_the_book<'u>(own: &'u Usage, hold: &Hold) -> Result<Cow<'u, Usage>, OutOfRange> {
    Ok(match hold.terms.as_deref() {
        None => Cow::Borrowed(own),
        Some(terms) if terms.rest == Rest::Included => Cow::Owned(Usage::default()),
        Some(terms) => Cow::Owned(without(own, &terms.covered)?),
    })
}

/// What another model used, priced at its own rates. Part of a breakdown that the book does not
/// sell whole has no lines: the answer's own model is charged for it.
fn sub_usage(
    other: &SubUsed,
    hold: &Hold,
    served_tier: Option<&str>,
) -> Result<SubUsage, OutOfRange> {
    let mut usage = other.usage.clone();
    usage.complete_input();
    let mut sub = SubUsage {
        kind: other.kind.clone(),
        model: other.model.clone(),
        included: other.included,
        quantities: quantities(&usage),
        lines: Vec::new(),
        unpriced: Vec::new(),
    };
    let input = book::input_total(&usage)?;
    let rates = card(other, hold).and_then(|card| {
        card.rates_for(served_tier, input).or_else(|| card.rates_for(None, input))
    });
    match rates {
        Some(rates) => {
            let rated = rating::rate(&usage, rates)?;
            (sub.lines, sub.unpriced) = (rated.lines, rated.unpriced);
        }
        None if other.included => {}
        None => sub.unpriced = usage.iter().map(|(meter, _)| meter).collect(),
    }
    Ok(sub)
}

/// What the upstream charges; unknown where the book has no cost for the tier or some meter.
fn cost(hold: &Hold, usage: &Usage, served_tier: Option<&str>, input: Exact) -> Option<Exact> {
    let rates = hold.pinned.cost.as_ref()?.as_ref().rates_for(served_tier, input)?;
    let rated = rating::rate(usage, rates).ok()?;
    rated.unpriced.is_empty().then_some(rated.amount)
}
