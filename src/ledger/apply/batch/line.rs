//! One line of a batch: an attempt of its own, at its own model's price.

use super::{TIER, finished};
use crate::clock::Timestamp;
use crate::ids::Id;
use crate::ledger::apply::charge::Charge;
use crate::ledger::apply::close::{Closing, mark_late};
use crate::ledger::apply::plan::Credit;
use crate::ledger::apply::{Broken, Op};
use crate::ledger::batch::{Batch, BatchLine, BatchRow, ModelPrices};
use crate::ledger::command::{Reply, Row, Scopes};
use crate::ledger::state::Hold;
use crate::ledger::terms::HeldTerms;
use crate::money::Exact;
use crate::record::{Admitted, Answered, Class, Digest, Flag, LineOf};
use crate::wire::usage::Usage;

impl Op<'_> {
    /// One line: a record of its own, under an attempt of its own. Answers what it cost.
    pub(super) fn post_line(
        &mut self,
        batch: &Batch,
        (of, (left, is_late)): (LineOf, (Exact, bool)),
        line: &BatchLine,
        set: Option<&mut HeldTerms>,
        at: Timestamp,
    ) -> Result<Exact, Broken> {
        let usage = if is_late { mark_late(&line.usage) } else { line.usage.clone() };
        let held = batch.dearest.min(left);
        let mut dearest: Option<(Exact, Hold, Charge)> = None;
        let candidates = candidates(&batch.prices, line.model.as_deref());
        let is_known = candidates.len() == 1;
        for prices in candidates {
            let mut hold = line_hold(batch, prices, line, held);
            self.cover_line(&mut hold, &usage)?;
            let charge = Charge::of(&hold, &usage, &line.sub_usage, TIER)?;
            let price = charge.amount.plus(self.price_by_plan(&hold, &charge.own)?)?;
            if dearest.as_ref().is_none_or(|(other, ..)| price > *other) {
                dearest = Some((price, hold, charge));
            }
        }
        // A batch has at least one model.
        let Some((_, hold, mut charge)) = dearest else { return Ok(Exact::ZERO) };
        charge.unknown.clone_from(&line.unknown);
        let doubts = [(line.suspect || !is_known, Flag::Suspect), (is_late, Flag::Late)];
        charge.flags.extend(doubts.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| *flag));
        let answered = Answered {
            upstream_status: Some(200),
            outcome: Some(line.outcome),
            served_model: line.served_model.clone(),
            served_tier: TIER.map(str::to_owned),
            ..finished(at)
        };
        self.rows.push(Row::Batch(BatchRow::Line(of.id.clone(), of.line)));
        let (mut nothing, mut credit) = (Vec::new(), None);
        if let Some(set) = set {
            self.use_quotas(set, &hold, &charge.own)?;
            credit = Some(&mut set.aside);
        }
        let credit = credit.unwrap_or(&mut nothing);
        let mut credit = if is_late { Credit::Paid(credit) } else { Credit::Batch(credit) };
        let (class, corrects, command, line) = (Class::Settled, None, None, Some(of));
        let closing = Closing { hold, class, charge, answered, corrects, command, line };
        match self.close_by(closing, &mut credit)? {
            Reply::Closed { charged, .. } => Ok(charged),
            _ => Ok(Exact::ZERO),
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

    /// What a line used of the plan's hard limits is not held for any more.
    fn use_quotas(&self, set: &mut HeldTerms, hold: &Hold, used: &Usage) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref() else { return Ok(()) };
        let force = self.ledger.contracts.number(terms.number);
        let Some(plan) = force.as_ref().and_then(|force| force.plan.as_ref()) else {
            return Ok(());
        };
        let (parts, _) = plan.parts_of(used, &terms.dimensions)?;
        for (quota, used) in set.quotas.iter_mut().zip(plan.quota_use(&parts).unwrap_or_default()) {
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
    let mark =
        Digest::of(&[b"farebox-batch-line", batch.attempt_id.to_string().as_bytes(), &line.id.0]);
    let mut random = [0; 10];
    random.iter_mut().zip(mark.0).for_each(|(to, from)| *to = from);
    Hold {
        attempt_id: Id::new(batch.admitted.received_at, random),
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
