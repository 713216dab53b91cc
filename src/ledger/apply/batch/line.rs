//! One line of a batch: an attempt of its own, at its own model's price.

use super::finished;
use crate::clock::Timestamp;
use crate::ledger::apply::charge::Charge;
use crate::ledger::apply::close::{Closing, mark_late};
use crate::ledger::apply::plan::Credit;
use crate::ledger::apply::{Broken, Op, derived};
use crate::ledger::batch::{Batch, BatchLine, BatchRow, ModelPrices};
use crate::ledger::command::{Reply, Row, Scopes};
use crate::ledger::state::Hold;
use crate::ledger::terms::HeldTerms;
use crate::money::Exact;
use crate::quote::batch::TIER;
use crate::record::{Admitted, Answered, Class, Flag, LineOf};
use crate::wire::usage::Usage;

impl Op<'_> {
    /// One line: a record of its own, under an attempt of its own. Answers what it cost, and what is
    /// held on for the outcomes that it reached.
    pub(super) fn post_line(
        &mut self,
        batch: &Batch,
        (of, (left, is_late)): (LineOf, (Exact, bool)),
        line: &BatchLine,
        set: Option<&mut HeldTerms>,
        at: Timestamp,
    ) -> Result<(Exact, Exact), Broken> {
        let usage = if is_late { mark_late(&line.usage) } else { line.usage.clone() };
        let held = batch.dearest.min(left);
        let mut dearest: Option<(Option<Exact>, Hold, Charge)> = None;
        let candidates = candidates(&batch.prices, line.model.as_deref());
        let is_known = candidates.len() == 1;
        for prices in candidates {
            let mut hold = line_hold(batch, prices, line, held);
            self.cover_line(&mut hold, &usage)?;
            let charge = Charge::of(&hold, &usage, &line.sub_usage, Some(TIER))?;
            // One without a price is none to choose where another has one: it would be free.
            let by_plan = self.price_by_plan(&hold, &charge.own)?;
            let price = by_plan.map(|by_plan| charge.amount.plus(by_plan)).transpose()?;
            if dearest.as_ref().is_none_or(|(other, ..)| price > *other) {
                dearest = Some((price, hold, charge));
            }
        }
        // A batch has at least one model.
        let Some((_, hold, mut charge)) = dearest else {
            return Ok((Exact::ZERO, Exact::ZERO));
        };
        charge.unknown.clone_from(&line.unknown);
        let doubts = [(line.suspect || !is_known, Flag::Suspect), (is_late, Flag::Late)];
        charge.flags.extend(doubts.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| *flag));
        let answered = Answered {
            upstream_status: Some(200),
            outcome: Some(line.outcome),
            served_model: line.served_model.clone(),
            served_tier: Some(TIER.to_owned()),
            ..finished(at)
        };
        self.rows.push(Row::Batch(BatchRow::Line(of.id.clone(), of.line)));
        let mut credit = match set {
            None => Credit::Own,
            Some(set) => {
                self.use_up(set, &hold, &charge.own)?;
                if is_late { Credit::Paid(set) } else { Credit::Batch(set) }
            }
        };
        let before = self.ledger.held;
        let (class, corrects, command, line) = (Class::Settled, None, None, Some(of));
        let closing = Closing { hold, class, charge, answered, corrects, command, line };
        let reply = self.close_by(closing, &mut credit)?;
        let reached = self.ledger.held.minus(before)?;
        match reply {
            Reply::Closed { charged, .. } => Ok((charged, reached)),
            _ => Ok((Exact::ZERO, reached)),
        }
    }

    /// Which of a line's meters its customer's plan prices.
    fn cover_line(&self, hold: &mut Hold, usage: &Usage) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref_mut() else { return Ok(()) };
        let force = self.ledger.contracts.number(terms.number);
        if let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) {
            (_, terms.covered) = plan.parts_of(usage, &terms.dimensions)?;
        }
        Ok(())
    }

    /// What a line used of the plan's hard limits, and the outcomes it reached, are not held for any
    /// more.
    fn use_up(&self, set: &mut HeldTerms, hold: &Hold, used: &Usage) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref() else { return Ok(()) };
        let force = self.ledger.contracts.number(terms.number);
        let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) else {
            return Ok(());
        };
        let (parts, _) = plan.parts_of(used, &terms.dimensions)?;
        let mut reached: Vec<_> = parts.iter().filter_map(|part| part.outcome.as_ref()).collect();
        reached.dedup();
        let reached = u64::try_from(reached.len()).unwrap_or(u64::MAX);
        set.outcomes = set.outcomes.saturating_sub(reached);
        for (quota, used) in set.quotas.iter_mut().zip(plan.quota_use(&parts)?) {
            *quota = quota.minus(used)?.max(Exact::ZERO);
        }
        Ok(())
    }
}

/// Which prices a line may be charged at: its model's; where that cannot be told, any of them.
fn candidates<'b>(prices: &'b [ModelPrices], model: Option<&str>) -> &'b [ModelPrices] {
    let at = model.and_then(|model| prices.iter().position(|each| each.model == model));
    at.and_then(|at| prices.get(at..at.saturating_add(1))).unwrap_or(prices)
}

/// A line as an attempt of its own; the same line is the same attempt, whoever reads it.
pub(super) fn line_hold(
    batch: &Batch,
    prices: &ModelPrices,
    line: &BatchLine,
    held: Exact,
) -> Hold {
    let name = batch.attempt_id.to_string();
    let mark: [&[u8]; 3] = [b"farebox-batch-line", name.as_bytes(), &line.id.0];
    Hold {
        attempt_id: derived(batch.admitted.received_at, &mark),
        request_id: batch.request_id,
        reserved_at: batch.reserved_at,
        expires_at: batch.reserved_at,
        floor: Exact::ZERO,
        admitted: Admitted { model: prices.model.clone(), held, ..batch.admitted.clone() },
        pinned: prices.pinned.clone(),
        // Its tokens are not held: those of the batch are, as one.
        scopes: Scopes { tokens: None, ..batch.scopes.clone() },
        released: Exact::ZERO,
        terms: batch.terms.as_ref().map(|terms| {
            let model = prices.most.as_ref().map_or(&prices.model, |most| &most.model);
            Box::new(terms.of_line(model))
        }),
    }
}
