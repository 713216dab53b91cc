//! Whether a request was priced by what is in force. Which version that is, the edge knows, from a
//! copy that may be seconds old; the ledger has the clock, and remembers the newest it ever saw.

use core::cmp::Ordering;

use super::Op;
use crate::ledger::command::{Reply, Reserve, Row};

impl Op<'_> {
    /// The answer to a request priced by what is in force no more, or not yet: at an instant that
    /// was known ahead, by the ledger's clock; and whatever the edge knows, never by an older
    /// version than this customer was admitted under before.
    pub(super) fn stale_price(&self, reserve: &Reserve) -> Option<Reply> {
        let asked = reserve.in_force.as_ref()?;
        let newest = self.ledger.in_force.as_ref();
        let is_older = newest.is_some_and(|newest| asked.order(newest) == Ordering::Less);
        (is_older || !asked.holds(self.now)).then_some(Reply::StalePrice { now: self.now })
    }

    /// Remembers what a request was admitted under, where that is newer. Once a change, a row.
    pub(super) fn note_price(&mut self, reserve: &Reserve) {
        let Some(asked) = reserve.in_force.filter(|asked| asked.seq > 0) else { return };
        let newest = self.ledger.in_force.as_ref();
        if newest.is_none_or(|newest| asked.order(newest) == Ordering::Greater) {
            self.ledger.in_force = Some(asked);
            self.rows.push(Row::PutInForce(asked));
        }
    }
}
