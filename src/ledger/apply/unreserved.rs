//! Attempts that ran while the ledger could not be reached, under the operator's allowance.

use super::close::Closing;
use super::terms::Turned;
use super::{Broken, Op};
use crate::ledger::command::{Reply, Reserve, Settle, Unreserved};
use crate::ledger::state::Hold;
use crate::money::Exact;
use crate::record::{Admitted, Flag};

impl Op<'_> {
    /// Records what ran without a hold: charged as if it had been held for, past any limit, and
    /// flagged. No key is asked for: what was used was used.
    ///
    /// Where the reserve had arrived after all, and only its answer was lost, this is its settle.
    pub(super) fn unreserved(&mut self, unreserved: &Unreserved) -> Result<Reply, Broken> {
        let Unreserved { reserve, settle } = unreserved;
        let attempt_id = reserve.attempt_id;
        if settle.attempt_id != attempt_id {
            return Ok(Reply::Invalid("reserve and settle are of two attempts".into()));
        }
        let is_known = self.ledger.holds.contains_key(&attempt_id)
            || self.expired.iter().any(|(hold, _)| hold.attempt_id == attempt_id)
            || self.context.prior.record.is_some();
        if is_known {
            return self.settle(settle);
        }
        if self.currency() != Some(reserve.admitted.currency.as_str()) {
            return Ok(Reply::Invalid("no such customer, or of another currency".into()));
        }
        self.record_unreserved(reserve, settle)
    }

    fn record_unreserved(&mut self, reserve: &Reserve, settle: &Settle) -> Result<Reply, Broken> {
        // Where a limit is each end user's own, a new one is tracked from here on.
        self.parties_for(reserve)?;
        let end_user = self.named_end_user(reserve);
        self.name_once(reserve);
        let terms = match self.under_terms(reserve)? {
            Ok(Turned { terms, objection: None, .. }) => terms,
            Ok(Turned { terms: Some(terms), .. }) => {
                // Neither plan nor credit has room for it: it costs what the book says.
                self.give_up(&terms.aside)?;
                None
            }
            _ => None,
        };
        let hold = Hold {
            attempt_id: reserve.attempt_id,
            request_id: reserve.request_id,
            reserved_at: self.now,
            expires_at: self.now,
            floor: reserve.floor,
            admitted: Admitted { end_user, ..reserve.admitted.clone() },
            pinned: reserve.pinned.clone(),
            scopes: reserve.scopes.clone(),
            released: Exact::ZERO,
            terms,
        };
        self.close(Closing::unheld(hold, settle, Flag::Unreserved)?)
    }
}
