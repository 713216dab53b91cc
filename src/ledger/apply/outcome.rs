//! Outcomes: what an attempt reached is held for, and charged once it is confirmed, by word or by
//! silence. A confirmed one can be taken back while it may be disputed.

use super::charge::Charge;
use super::close::{Closing, digest};
use super::plan::{Credit, by_plan, moved_line};
use super::terms::{Needs, add, on};
use super::{Broken, Op, derived};
use crate::clock::Timestamp;
use crate::ids::AttemptId;
use crate::ledger::command::{Decide, PriorRecord, Reply, Row, Scopes};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::terms::{Billed, HeldTerms, InForce, Reached, SetAside};
use crate::money::Exact;
use crate::plan::{Part, Plan, Sure};
use crate::rating::outcome::Decision;
use crate::record::{Admitted, Answered, ByPlan, Class, Digest, Flag, OutcomeOf};
use crate::wire::usage::Usage;

/// Where credit moves from: what the attempt had set aside, and what pays for it before.
type From<'f, 'c> = (&'f mut Vec<SetAside>, &'f mut Credit<'c>);

/// The attempt that an outcome is recorded as: the same for the same attempt and charge, whoever asks.
pub fn outcome_id(of: &OutcomeOf) -> AttemptId {
    let attempt = of.attempt_id.to_string();
    let parts: [&[u8]; 3] = [b"farebox-outcome", attempt.as_bytes(), of.charge.as_bytes()];
    derived(of.attempt_id.time(), &parts)
}

impl Op<'_> {
    /// What an attempt that settles has reached is held for until it is decided. Credit moves there
    /// from what the attempt had set aside, or its batch.
    pub(super) fn reach(
        &mut self,
        hold: &Hold,
        held: &HeldTerms,
        force: &InForce,
        own: &Usage,
        mut from: From<'_, '_>,
    ) -> Result<(), Broken> {
        let Some(plan) = &force.plan else { return Ok(()) };
        let (mut parts, _) = plan.parts_of(own, &held.dimensions)?;
        parts.retain(|part| part.outcome.is_some() && !part.quantity.is_zero());
        while let Some(charge) = parts.first().and_then(|part| part.outcome.clone()) {
            let (these, others): (Vec<Part>, Vec<Part>) =
                parts.into_iter().partition(|part| part.outcome.as_ref() == Some(&charge));
            parts = others;
            let Some(terms) = plan.outcome_terms(&charge) else { continue };
            let reached = Reached {
                of: OutcomeOf { attempt_id: hold.attempt_id, charge },
                parts: these,
                silence_confirms: terms.silence == Decision::Confirmed,
                dispute: terms.dispute,
                billed: None,
            };
            let until = self.now.plus(terms.pending);
            self.hold_for_outcome(hold, held, force, (plan, reached, until), &mut from)?;
        }
        Ok(())
    }

    fn hold_for_outcome(
        &mut self,
        hold: &Hold,
        held: &HeldTerms,
        force: &InForce,
        (plan, reached, until): (&Plan, Reached, Timestamp),
        from: &mut From<'_, '_>,
    ) -> Result<(), Broken> {
        let running = self.ledger.contracts.running(held.number, held.period);
        let mut needs = Needs::new();
        for one in plan.most(&running, &reached.parts)? {
            let on = on(one.meter, &held.dimensions);
            add(&mut needs, Unit::of(one.in_credits), on, one.amount)?;
        }
        let (aside, amount) = self.move_aside(force, needs, from)?;
        let terms = HeldTerms {
            quotas: plan.quota_use(&reached.parts)?,
            aside,
            covered: Vec::new(),
            book_floor: Exact::ZERO,
            whole: false,
            batch: None,
            least: Vec::new(),
            outcomes: 0,
            outcome: Some(reached.clone()),
            ..held.clone()
        };
        let outcome = Hold {
            attempt_id: outcome_id(&reached.of),
            expires_at: until,
            floor: Exact::ZERO,
            admitted: Admitted { held: amount, ..hold.admitted.clone() },
            scopes: Scopes { tokens: None, ..hold.scopes.clone() },
            released: Exact::ZERO,
            terms: Some(Box::new(terms)),
            ..hold.clone()
        };
        self.store_credit(Unit::Money);
        self.store_credit(Unit::Credits);
        self.rows.push(Row::PutHold(Box::new(outcome.clone())));
        self.ledger.add_hold(outcome, self.now)
    }

    /// Credit for `needs`: from what is set aside for them, and beside it; and the hold in money.
    fn move_aside(
        &mut self,
        force: &InForce,
        needs: Needs,
        from: &mut From<'_, '_>,
    ) -> Result<(Vec<SetAside>, Exact), Broken> {
        let worth = force.plan.as_ref().and_then(Plan::credit_worth).unwrap_or_default();
        let (mut aside, mut amount) = (Vec::new(), Exact::ZERO);
        let (credits, mut money): (Needs, Needs) =
            needs.into_iter().partition(|((unit, _), _)| *unit == Unit::Credits);
        for ((unit, on), need) in credits {
            let uncovered = self.move_one((unit, &on), need, from, &mut aside)?;
            add(&mut money, Unit::Money, on, uncovered.times(worth)?)?;
        }
        let pays = force.terms.prepaid || !self.ledger.contracts.money.is_empty();
        for ((unit, on), need) in money {
            amount = amount.plus(need)?;
            if pays {
                self.move_one((unit, &on), need, from, &mut aside)?;
            }
        }
        Ok((aside, amount))
    }

    fn move_one(
        &mut self,
        (unit, on): (Unit, &crate::credits::On),
        need: Exact,
        (own, credit): &mut From<'_, '_>,
        aside: &mut Vec<SetAside>,
    ) -> Result<Exact, Broken> {
        let set: &mut Vec<SetAside> = match credit {
            Credit::Own => own,
            Credit::Batch(set) => {
                set.lower_least(unit, need)?;
                &mut set.aside
            }
            Credit::Paid(set) => {
                set.lower_least(unit, need)?;
                self.take_back_paid(unit, need, set)?;
                own
            }
        };
        if let Some(known) = set.iter_mut().find(|one| (one.unit, &one.on) == (unit, on)) {
            let part = known.take(need)?;
            let uncovered = part.uncovered;
            aside.push(SetAside { unit, on: on.clone(), parts: part.parts, uncovered });
        }
        self.set_more_aside(unit, on, need, aside)
    }

    /// The operator's word about an outcome. The first word decides, else silence; a confirmed one can
    /// be reversed until the time for disputes is over.
    pub(super) fn decide(&mut self, decide: &Decide) -> Result<Reply, Broken> {
        let id = outcome_id(&decide.of);
        // Due but not swept: from its very instant silence has decided.
        if self.ledger.holds.get(&id).is_some_and(|hold| hold.expires_at <= self.now) {
            self.expire(id)?;
        }
        if let Some(hold) = self.ledger.take_hold(id, self.now)? {
            return self.end_outcome(hold, decide.confirmed, self.now, Some(digest(decide)));
        }
        let (hold, record) = self.ended(id);
        let Some(record) = record else { return Ok(Reply::UnknownAttempt) };
        let is_confirmed = record.class == Class::Settled;
        if is_confirmed == decide.confirmed {
            let (seq, charged) = (record.seq, record.charged);
            return Ok(Reply::Closed { seq, charged, replayed: true });
        }
        match hold {
            Some(hold) if is_confirmed => self.dispute(hold, record, decide),
            _ => Ok(Reply::Conflict { seq: record.seq }),
        }
    }

    /// Ends an outcome that was pending.
    pub(super) fn end_outcome(
        &mut self,
        mut hold: Hold,
        confirmed: bool,
        at: Timestamp,
        command: Option<Digest>,
    ) -> Result<Reply, Broken> {
        if confirmed {
            self.bill(&mut hold, at)?;
            self.rows.push(Row::PutHold(Box::new(hold.clone())));
            self.rows.push(Row::ExpireHold(hold.attempt_id));
        } else {
            self.rows.push(Row::DeleteHold(hold.attempt_id));
        }
        let class = if confirmed { Class::Settled } else { Class::Voided };
        let answered = Answered { finished_at: Some(at), ..Answered::default() };
        let (charge, corrects, line) = (Charge::default(), None, None);
        let closing =
            Closing { hold: hold.clone(), class, charge, answered, corrects, command, line };
        let reply = self.close(closing)?;
        if let Reply::Closed { seq, charged, .. } = &reply {
            let record = PriorRecord { seq: *seq, class, charged: *charged, command };
            self.expired.push((hold, record));
        }
        Ok(reply)
    }

    /// It counts in the period in which it was confirmed.
    fn bill(&mut self, hold: &mut Hold, at: Timestamp) -> Result<(), Broken> {
        let Some(terms) = hold.terms.as_deref_mut() else { return Ok(()) };
        let Some(force) = self.ledger.contracts.number(terms.number) else { return Ok(()) };
        terms.period = force.period(at).start;
        let mut running = self.ledger.contracts.running(terms.number, terms.period);
        let (Some(plan), Some(reached)) = (&force.plan, &mut terms.outcome) else { return Ok(()) };
        // One without a price is charged nothing, and its record says so ([`Flag::Unpriced`]): there is
        // nothing to give back. An error here would stop a ledger that silence made to bill.
        let change = running.change(plan, &[], &reached.parts, Sure::Yes);
        let increments = change.unwrap_or_default();
        let sum = |in_credits: bool| {
            let these = increments.iter().filter(|one| one.in_credits == in_credits);
            Exact::sum(these.map(|one| one.amount))
        };
        let until = at.plus(reached.dispute);
        reached.billed = Some(Billed { until, money: sum(false)?, credits: sum(true)? });
        Ok(())
    }

    /// Takes back what was confirmed.
    fn dispute(
        &mut self,
        hold: Hold,
        record: PriorRecord,
        decide: &Decide,
    ) -> Result<Reply, Broken> {
        let reached = hold.terms.as_ref().and_then(|terms| terms.outcome.as_ref());
        let until = reached.and_then(|reached| reached.billed.as_ref()).map(|billed| billed.until);
        if until.is_none_or(|until| until <= self.now) {
            return Ok(Reply::Conflict { seq: record.seq });
        }
        self.rows.push(Row::DeleteHold(hold.attempt_id));
        let charge = Charge { flags: vec![Flag::Correction], ..Charge::default() };
        let answered = Answered { finished_at: Some(self.now), ..Answered::default() };
        let (class, line) = (Class::Voided, None);
        let (corrects, command) = (Some(record), Some(digest(decide)));
        self.close(Closing { hold, class, charge, answered, corrects, command, line })
    }

    /// What an earlier period was billed for is given back in the present one.
    pub(super) fn take_back_billed(
        &mut self,
        force: &InForce,
        held: &HeldTerms,
        reached: &Reached,
        prior: &PriorRecord,
        charge: &mut Charge,
    ) -> Result<(), Broken> {
        let Some(billed) = &reached.billed else { return Ok(()) };
        // Credits beyond those granted were paid in money, and are given back as credits.
        charge.amount = prior.charged.minus(billed.money)?;
        if force.terms.prepaid || !self.ledger.contracts.money.is_empty() {
            self.ledger.contracts.money.credit_ahead(billed.money)?;
        }
        self.ledger.contracts.credits.credit_ahead(billed.credits)?;
        self.store_credit(Unit::Money);
        self.store_credit(Unit::Credits);
        let is_left = !charge.amount.is_zero();
        let lines = is_left.then(|| moved_line(charge.amount)).into_iter().collect();
        charge.plan = Some(ByPlan { lines, ..by_plan(force, held) });
        Ok(())
    }
}
