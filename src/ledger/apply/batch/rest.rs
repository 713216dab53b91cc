//! What a batch has left for the lines that are not charged yet, and its end.

use crate::ids::AttemptId;
use crate::ledger::apply::charge::Charge;
use crate::ledger::apply::close::Closing;
use crate::ledger::apply::{Broken, Op};
use crate::ledger::batch::Batch;
use crate::ledger::command::{PriorRecord, Row};
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::terms::HeldTerms;
use crate::money::Exact;
use crate::record::{Answered, Class, Flag};

/// Where the money is that is set aside for lines not charged yet.
pub(super) enum Rest {
    /// Held.
    Held(Exact),
    /// The hold's time was over, and this much was charged for want of anything better.
    Charged(Box<Hold>, PriorRecord),
    /// Nowhere: all lines were in.
    Closed,
}

impl Rest {
    pub(super) fn amount(&self) -> Exact {
        match self {
            Self::Held(amount) => *amount,
            Self::Charged(_, record) => record.charged,
            Self::Closed => Exact::ZERO,
        }
    }
}

impl Op<'_> {
    /// Takes out what the batch's hold has set aside under the customer's terms; where that hold is
    /// over, what was paid for all of it then.
    pub(super) fn take_aside(
        &mut self,
        rest: &mut Rest,
        attempt_id: AttemptId,
    ) -> Option<HeldTerms> {
        let terms = match rest {
            Rest::Held(_) => self.ledger.holds.get(&attempt_id)?.terms.as_deref().cloned(),
            Rest::Charged(hold, _) => hold.terms.as_deref().cloned(),
            Rest::Closed => None,
        };
        let is_paid = matches!(rest, Rest::Charged(..));
        let mut terms = terms.filter(|terms| terms.batch.is_some())?;
        if is_paid && !terms.whole && terms.least.is_empty() {
            // Nothing was charged for it: what was set aside was free with that.
            terms.aside.clear();
        }
        Some(terms)
    }

    pub(super) fn put_aside(&mut self, attempt_id: AttemptId, set: Option<HeldTerms>) {
        if let (Some(hold), Some(set)) = (self.ledger.holds.get_mut(&attempt_id), set) {
            hold.terms = Some(Box::new(set));
        }
    }

    /// Where the money for the lines still to come is.
    pub(super) fn rest(&mut self, attempt_id: AttemptId) -> Result<Rest, Broken> {
        // Due but not swept: from its very instant a hold is expired.
        if self.ledger.holds.get(&attempt_id).is_some_and(|hold| hold.expires_at <= self.now) {
            self.expire(attempt_id)?;
        }
        if let Some(hold) = self.ledger.holds.get(&attempt_id) {
            return Ok(Rest::Held(hold.amount()));
        }
        Ok(match self.ended(attempt_id) {
            (Some(hold), Some(record)) if record.class == Class::Unresolved => {
                Rest::Charged(Box::new(hold), record)
            }
            _ => Rest::Closed,
        })
    }

    /// Leaves `left` for the lines still to come, and frees what is above it. `is_known`: that is
    /// what they cost, and no mere bound.
    pub(super) fn leave(
        &mut self,
        batch: &Batch,
        rest: Rest,
        mut set: Option<HeldTerms>,
        (left, is_known): (Exact, bool),
    ) -> Result<(), Broken> {
        if let Some(set) = &mut set {
            let lines = batch.progress.lines_to_come();
            self.keep_for_lines(set, lines, matches!(rest, Rest::Charged(..)))?;
        }
        let mut set = set.map(Box::new);
        match rest {
            Rest::Held(before) => {
                let Some(mut hold) = self.ledger.take_hold(batch.attempt_id, self.now)? else {
                    return Ok(());
                };
                let freed = before.minus(left)?;
                hold.released = hold.released.plus(freed)?;
                let floor = hold.floor.minus(freed)?.max(Exact::ZERO);
                hold.floor = match &mut set {
                    Some(set) if !set.whole => {
                        let over = set.least_in_money()?.minus(left)?.max(Exact::ZERO);
                        set.lower_least(Unit::Money, over)?;
                        set.least_in_money()?
                    }
                    _ if is_known || hold.floor == before => left,
                    _ => floor,
                };
                hold.terms = set;
                self.rows.push(Row::PutHold(Box::new(hold.clone())));
                self.ledger.add_hold(hold, self.now)?;
                Ok(())
            }
            Rest::Charged(mut hold, record) if left < record.charged || set.is_some() => {
                hold.terms = set;
                self.rows.push(Row::PutHold(hold.clone()));
                if left >= record.charged {
                    return Ok(());
                }
                let mut charge = Charge::floor(&hold);
                charge.amount = left;
                charge.flags.extend([Flag::Late, Flag::Correction]);
                self.correct(*hold, record, Class::Unresolved, charge, Answered::default())
            }
            Rest::Charged(..) | Rest::Closed => Ok(()),
        }
    }

    /// Nothing more will come: what is left is freed, and the batch's own attempt ends at zero, for
    /// its lines carry what it costs.
    pub(super) fn end_batch(
        &mut self,
        batch: &Batch,
        rest: Rest,
        mut set: Option<HeldTerms>,
        class: Class,
        answered: Answered,
    ) -> Result<(), Broken> {
        match rest {
            Rest::Held(_) => {
                self.put_aside(batch.attempt_id, set);
                let Some(hold) = self.ledger.take_hold(batch.attempt_id, self.now)? else {
                    return Ok(());
                };
                self.rows.push(Row::DeleteHold(batch.attempt_id));
                let charge = Charge::default();
                let (corrects, command, line) = (None, None, None);
                self.close(Closing { hold, class, charge, answered, corrects, command, line })?;
                Ok(())
            }
            Rest::Charged(hold, record) => {
                if let Some(set) = &mut set {
                    self.keep_for_lines(set, Some(0), true)?;
                }
                self.rows.push(Row::DeleteHold(batch.attempt_id));
                let flags = vec![Flag::Late, Flag::Correction];
                let charge = Charge { flags, ..Charge::default() };
                self.correct(*hold, record, class, charge, answered)
            }
            Rest::Closed => Ok(()),
        }
    }

    fn correct(
        &mut self,
        hold: Hold,
        record: PriorRecord,
        class: Class,
        charge: Charge,
        answered: Answered,
    ) -> Result<(), Broken> {
        let (corrects, command, line) = (Some(record), None, None);
        self.close(Closing { hold, class, charge, answered, corrects, command, line })?;
        Ok(())
    }
}
