//! What a request would be charged under the customer's terms, from what the period has used so far.

use super::Broken;
use super::least::{added, by_book};
use super::terms::{Needs, add, assumed, book_on, is_covered, told, used_parts};
use crate::clock::Timestamp;
use crate::ledger::purse::Unit;
use crate::ledger::quoted::{CreditsQuote, TermsQuote, ToQuote};
use crate::ledger::state::Ledger;
use crate::ledger::terms::{HeldTerms, InForce, Rest};
use crate::money::Exact;
use crate::plan::{Plan, Sure};
use crate::quote::AtMost;
use crate::wire::usage::{Meter, Provenance, Usage};

impl Ledger {
    /// The least, the likely and the most that a request adds as the period stands; the most is what
    /// would be held for it. `Ok(None)` where there are no terms; `Ok(Some(Err(())))` where the plan has
    /// no price for it and the terms leave none to the book.
    pub fn quote(
        &self,
        asked: &ToQuote,
        now: Timestamp,
    ) -> Result<Option<Result<TermsQuote, ()>>, Broken> {
        let now = now.max(self.last);
        let Some(force) = self.contracts.at(now) else { return Ok(None) };
        let dimensions = told([
            ("model", Some(&asked.worst.model)),
            ("provider", Some(&asked.provider)),
            ("endpoint", Some(&asked.endpoint)),
            ("service_tier", asked.service_tier.as_deref()),
            ("key", asked.key_id.as_deref()),
        ]);
        let none = (Exact::ZERO, Exact::ZERO);
        let mut held = HeldTerms::begin(&force, now, none, dimensions);
        let Some(most) = self.contracts.needs_under(&force, &asked.worst, &mut held)? else {
            return Ok(Some(Err(())));
        };
        let book = by_book(&held, &asked.worst.most, asked.lower);
        let least = [AtMost { meter: Meter::InputTotal, quantity: None, amount: book }];
        let sent = assumed(asked.input_least, 1);
        let Some(lower) = self.needs_of_use(&force, &held, &sent, &least)? else {
            return Ok(Some(Err(())));
        };
        let mut likely = None;
        if !asked.likely.is_empty() {
            let left = asked.likely.iter().filter(|one| !is_covered(one.meter, &held.covered));
            let left: Vec<AtMost> = left.cloned().collect();
            likely = self.needs_of_use(&force, &held, &usage(&asked.likely), &left)?;
        }
        let due = |needs: &Needs| self.due(&force, needs, now);
        let (lower, upper) = (due(&lower)?, due(&most)?);
        let expected = likely.as_ref().map(due).transpose()?;
        let plan = force.plan.as_ref();
        let credits = plan.and_then(Plan::credit_name).map(|name| CreditsQuote {
            name: name.to_owned(),
            lower: lower.1,
            expected: expected.map(|(_, credits)| credits),
            upper: upper.1,
        });
        Ok(Some(Ok(TermsQuote {
            plan: plan.map(|plan| plan.plan.clone()),
            version: plan.map(|plan| plan.version.clone()),
            lower: lower.0,
            expected: expected.map(|(money, _)| money),
            upper: upper.0,
            credits,
        })))
    }

    /// What a certain use adds as the period stands; `left` is what the book makes of the rest of it.
    /// `None` where the plan has no price for it.
    fn needs_of_use(
        &self,
        force: &InForce,
        held: &HeldTerms,
        used: &Usage,
        left: &[AtMost],
    ) -> Result<Option<Needs>, Broken> {
        let mut needs = Needs::new();
        let model = held.dimensions.get("model");
        for one in left.iter().filter(|_| held.rest == Rest::Book) {
            add(&mut needs, Unit::Money, book_on(one.meter, model.cloned()), one.amount)?;
        }
        let Some(plan) = &force.plan else { return Ok(Some(needs)) };
        let mut running = self.contracts.running(held.number, held.period);
        let parts = used_parts(plan, used, held)?;
        let by_plan = added(held, running.change(plan, &[], &parts, Sure::Yes))?;
        let Some(by_plan) = by_plan else { return Ok(None) };
        for ((unit, on), amount) in by_plan {
            add(&mut needs, unit, on, amount)?;
        }
        Ok(Some(needs))
    }

    /// In money, credits that no grant covers at their worth; and in credits.
    fn due(
        &self,
        force: &InForce,
        needs: &Needs,
        now: Timestamp,
    ) -> Result<(Exact, Exact), Broken> {
        let of = |wanted: Unit| {
            needs
                .iter()
                .filter(move |((unit, _), _)| *unit == wanted)
                .map(|((_, on), need)| (on, *need))
        };
        let money = Exact::sum(of(Unit::Money).map(|(_, need)| need))?;
        let credits = Exact::sum(of(Unit::Credits).map(|(_, need)| need))?;
        let worth = force.plan.as_ref().and_then(Plan::credit_worth).unwrap_or_default();
        let uncovered = self.contracts.credits.uncovered_of(of(Unit::Credits), now)?;
        Ok((money.plus(uncovered.times(worth)?)?, credits))
    }
}

/// Quantities as if they had been used.
fn usage(likely: &[AtMost]) -> Usage {
    let mut usage = Usage::default();
    for one in likely {
        let Some(quantity) = one.quantity else { continue };
        usage.set(one.meter, quantity, Provenance::Estimated);
        if one.meter == Meter::InputTotal {
            usage.set(Meter::InputUncached, quantity, Provenance::Estimated);
        }
    }
    usage
}
