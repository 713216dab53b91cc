//! More room for an attempt that is running: its hold was smaller than its worst case.

use super::admission::Denial;
use super::{Broken, Op};
use crate::ids::AttemptId;
use crate::ledger::command::{Reply, Row};
use crate::ledger::limits::Need;
use crate::ledger::state::Hold;
use crate::ledger::status::RefusalCode;
use crate::money::Exact;

impl Op<'_> {
    /// Raises a hold to `held` in all, if that fits: every limit is asked as if the whole attempt
    /// were reserved now, without the hold that it has. A hold never shrinks, so the same command
    /// again changes nothing. Refused, it stands as it was.
    pub(super) fn extend(
        &mut self,
        attempt_id: AttemptId,
        held: Exact,
        floor: Exact,
    ) -> Result<Reply, Broken> {
        let hold = self.ledger.holds.get(&attempt_id);
        if hold.is_none_or(|hold| hold.expires_at <= self.now) {
            return Ok(Reply::Expired);
        }
        let Some(old) = self.ledger.take_hold(attempt_id, self.now)? else {
            return Ok(Reply::Expired);
        };
        let mut hold = old.clone();
        hold.admitted.held = old.admitted.held.max(held);
        hold.floor = hold.floor.max(floor).min(hold.amount());
        hold.expires_at = hold.expires_at.max(self.now.plus(self.context.hold_ttl));
        if hold.amount() > old.amount()
            && let Some(denial) = self.extension_denial(&hold)?
        {
            self.ledger.add_hold(old, self.now)?;
            return Ok(self.refusal(denial, hold.amount()));
        }
        let (expires_at, parties) = (hold.expires_at, self.ledger.parties_of(&hold));
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold, self.now)?;
        self.held(expires_at, &parties)
    }

    /// Why a hold that is taken out may not come back as it is now. Each limit is counted in the
    /// window that the attempt is charged to, be that window over. Under a plan or on credit a hold
    /// does not grow: what was set aside is for the quantities it was asked for with.
    fn extension_denial(&mut self, hold: &Hold) -> Result<Option<Denial>, Broken> {
        if hold.terms.is_some() {
            return Ok(Some(RefusalCode::InFlightBudgetExhausted.into()));
        }
        let ledger = &mut *self.ledger;
        let needed = hold.amount();
        if ledger.settled.plus(ledger.held)?.plus(needed).is_err() {
            return Ok(Some(RefusalCode::AmountOutOfRange.into()));
        }
        let parties = ledger.parties_of(hold);
        let need = Need { money: needed, tokens: Exact::ZERO };
        let (at, holds) = (hold.reserved_at, ledger.holds.values());
        let objection = ledger.limits.objection_at(&parties, need, at, self.now, &holds)?;
        Ok(objection.map(Denial::by_limit))
    }
}
