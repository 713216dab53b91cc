//! More room for an attempt that is running: its hold was smaller than its worst case.

use super::{Broken, Op};
use crate::ids::AttemptId;
use crate::ledger::command::{Reply, Row};
use crate::ledger::limits::LimitState;
use crate::ledger::state::Hold;
use crate::ledger::status::{Refusal, RefusalCode};
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
        let Some(old) = self.ledger.take_hold(attempt_id)? else { return Ok(Reply::Expired) };
        let mut hold = old.clone();
        hold.admitted.held = old.amount().max(held);
        hold.floor = hold.floor.max(floor).min(hold.amount());
        hold.expires_at = hold.expires_at.max(self.now.plus(self.context.hold_ttl));
        if hold.amount() > old.amount()
            && let Some(refusal) = self.extension_refusal(&hold)?
        {
            self.ledger.add_hold(old)?;
            return Ok(refusal);
        }
        let expires_at = hold.expires_at;
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold)?;
        Ok(Reply::Held { expires_at, remaining: self.least_remaining()? })
    }
}

impl Op<'_> {
    /// Why a hold that is taken out may not come back as it is now. Each limit is counted anew in
    /// the window that the attempt is charged to, be that window over.
    fn extension_refusal(&self, hold: &Hold) -> Result<Option<Reply>, Broken> {
        let ledger = &*self.ledger;
        let needed = hold.amount();
        let refused = |code, limit| {
            let currency = hold.admitted.currency.clone();
            Some(Reply::Refused(Box::new(Refusal { code, limit, needed, currency })))
        };
        if ledger.settled.plus(ledger.held)?.plus(needed).is_err() {
            return Ok(refused(RefusalCode::AmountOutOfRange, None));
        }
        let mut worst = None;
        for limit in &ledger.limits {
            let (rule, at) = (limit.rule.clone(), hold.reserved_at);
            let then = LimitState::count(rule, at, &ledger.hours, ledger.holds.values())?;
            if let Some(code) = then.objection(needed)?
                && worst.as_ref().is_none_or(|(worst, _)| code < *worst)
            {
                worst = Some((code, then.view()?));
            }
        }
        Ok(worst.and_then(|(code, limit)| refused(code, Some(limit))))
    }
}
