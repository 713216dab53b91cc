//! More room for an attempt that is running: its hold was smaller than its worst case.

use super::admission::Denial;
use super::{Broken, Op};
use crate::ids::AttemptId;
use crate::ledger::command::{Reply, Row};
use crate::ledger::limits::{Need, Objection};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::status::RefusalCode;
use crate::ledger::terms::SetAside;
use crate::money::Exact;
use crate::quote::{AtMost, Worst};

impl Op<'_> {
    /// Raises a hold to `held` in all, if that fits: every limit is asked as if the whole attempt
    /// were reserved now, without the hold that it has. A hold never shrinks, so the same command
    /// again changes nothing. Refused, it stands as it was.
    ///
    /// Under terms it is held for what `most` comes to by them, from what the period has used by now.
    pub(super) fn extend(
        &mut self,
        attempt_id: AttemptId,
        held: Exact,
        floor: Exact,
        most: &[AtMost],
    ) -> Result<Reply, Broken> {
        let hold = self.ledger.holds.get(&attempt_id);
        if hold.is_none_or(|hold| hold.expires_at <= self.now) {
            return Ok(Reply::Expired);
        }
        let Some(old) = self.ledger.take_hold(attempt_id, self.now)? else {
            return Ok(Reply::Expired);
        };
        let mut hold = old.clone();
        let denial = if hold.terms.is_some() {
            self.extend_by_terms(&mut hold, held, most)?
        } else {
            hold.admitted.held = old.admitted.held.max(held);
            hold.floor = hold.floor.max(floor).min(hold.amount());
            let grows = hold.amount() > old.amount();
            if grows { self.extension_denial(&hold, None)? } else { None }
        };
        hold.expires_at = hold.expires_at.max(self.now.plus(self.context.hold_ttl));
        if let Some(denial) = denial {
            let needed = hold.amount();
            self.take_back(&old, &hold)?;
            self.ledger.add_hold(old, self.now)?;
            return Ok(self.refusal(denial, needed));
        }
        let (expires_at, parties) = (hold.expires_at, self.ledger.parties_of(&hold));
        self.store_credit(Unit::Money);
        self.store_credit(Unit::Credits);
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold, self.now)?;
        self.held(expires_at, &parties)
    }

    /// What its terms make of the larger quantities: the hold, the plan's quotas, and the credit set
    /// aside beside what is.
    fn extend_by_terms(
        &mut self,
        hold: &mut Hold,
        asked: Exact,
        most: &[AtMost],
    ) -> Result<Option<Denial>, Broken> {
        let before = hold.admitted.held;
        let Some(held) = hold.terms.as_deref_mut() else { return Ok(None) };
        if most.is_empty() {
            // Nothing says how much it may use, and so nothing what that may cost.
            return Ok((asked > held.asked.0).then(|| RefusalCode::NotUnderPlan.into()));
        }
        let Some(force) = self.ledger.contracts.number(held.number) else {
            return Ok(Some(RefusalCode::NoPriceInPlan.into()));
        };
        let model = held.dimensions.get("model").cloned().unwrap_or_default();
        let worst = Worst { model, most: most.to_vec(), batch: Vec::new() };
        let quotas = held.quotas.clone();
        let Some(needs) = self.ledger.contracts.needs_under(&force, &worst, held)? else {
            return Ok(Some(RefusalCode::NoPriceInPlan.into()));
        };
        for (quota, before) in held.quotas.iter_mut().zip(&quotas) {
            *quota = (*before).max(*quota);
        }
        let mut objection = None;
        if held.quotas != quotas {
            let running = self.ledger.contracts.running(held.number, held.period);
            objection = self.quota_objection(&force, &running, held)?;
        }
        let amount = self.set_aside(&force, needs, &mut held.aside, &mut objection)?;
        hold.admitted.held = before.max(amount);
        if amount <= before && objection.is_none() {
            return Ok(None);
        }
        self.extension_denial(hold, objection)
    }

    /// Frees what was set aside for a hold that may not grow.
    fn take_back(&mut self, old: &Hold, new: &Hold) -> Result<(), Broken> {
        let (Some(old), Some(new)) = (&old.terms, &new.terms) else { return Ok(()) };
        let mut more: Vec<SetAside> = Vec::new();
        for one in &new.aside {
            let known =
                old.aside.iter().find(|known| (known.unit, &known.on) == (one.unit, &one.on));
            let mut rest = one.clone();
            if let Some(known) = known {
                rest.leave_out(known)?;
            }
            more.push(rest);
        }
        self.give_up(&more)
    }

    /// Why a hold that is taken out may not come back as it is now. Each limit is counted in the
    /// window that the attempt is charged to, be that window over.
    fn extension_denial(
        &mut self,
        hold: &Hold,
        by_terms: Option<Objection>,
    ) -> Result<Option<Denial>, Broken> {
        let ledger = &mut *self.ledger;
        let needed = hold.amount();
        if ledger.settled.plus(ledger.held)?.plus(needed).is_err() {
            return Ok(Some(RefusalCode::AmountOutOfRange.into()));
        }
        let parties = ledger.parties_of(hold);
        let need = Need { money: needed, tokens: Exact::ZERO, requests: Exact::from(1) };
        let (at, holds) = (hold.reserved_at, ledger.holds.values());
        let by_limit = ledger.limits.objection_at(&parties, need, at, self.now, &holds)?;
        let gravest = [by_limit, by_terms].into_iter().flatten().min_by_key(|by| by.code);
        Ok(gravest.map(Denial::by_limit))
    }
}
