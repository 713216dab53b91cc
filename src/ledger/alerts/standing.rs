//! Where credit stands, as far as there is something to tell of it.

use crate::credits::GrantState;
use crate::ledger::purse::Purse;
use crate::money::{Exact, OutOfRange};

/// Where credit of one unit stands.
pub struct Standing {
    /// Not spent. What running requests have set aside is not spent: it comes back, or is charged
    /// when they settle.
    pub left: Exact,
    /// The grant that began last, of those that stand; where none does, of all.
    pub grant: String,
    /// How much that was.
    pub amount: Exact,
}

impl Standing {
    pub fn of(purse: &Purse) -> Result<Option<Self>, OutOfRange> {
        // What was carried on is the rest of a grant, and begins beside the next.
        let granted = purse.grants().filter(|state| !state.carried);
        let last = granted.max_by(|a, b| {
            let stands = |state: &GrantState| state.ended.is_none();
            let began = a.grant.starts.cmp(&b.grant.starts);
            stands(a).cmp(&stands(b)).then(began).then_with(|| a.grant.id.cmp(&b.grant.id))
        });
        let Some(last) = last else { return Ok(None) };
        let mut left = Exact::ZERO;
        for grant in purse.grants() {
            left = left.plus(grant.left)?.plus(grant.held)?;
        }
        let left = left.minus(purse.owed())?;
        Ok(Some(Self { left, grant: last.grant.id.clone(), amount: last.grant.amount }))
    }
}
