//! What one period leaves to the next.

use std::collections::BTreeMap;

use super::{CommitmentKind, Plan, PlanGrant, Priced};
use crate::money::{Exact, OutOfRange};

/// What of grants and commitments stands at the start of a period, by their ids: `granted` and
/// `spent_before` of the next [`super::Usage`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// What a grant has; the plan's amount where it is not in here.
    pub granted: BTreeMap<String, Exact>,
    /// What of a commitment was spent.
    pub spent_before: BTreeMap<String, Exact>,
}

impl Plan {
    /// What a priced period leaves to the next one, which is period `next` of the customer; the first
    /// is 0. A grant that comes once lasts until it is used up or expires; of one that comes every
    /// period its cap says how much is carried on.
    pub fn carry(&self, priced: &Priced, next: i32) -> Result<Carried, OutOfRange> {
        let balance = |kind: &str, id: &str| {
            priced.balances.iter().find(|balance| balance.kind == kind && balance.id == id)
        };
        let mut carried = Carried::default();
        for grant in &self.grants {
            let left = balance("grant", &grant.id).map_or(grant.amount, |balance| balance.left);
            let now = match (grant.once, grant.rollover_cap) {
                (true, _) if grant.expires_after_periods.is_some_and(|end| next >= end) => {
                    Exact::ZERO
                }
                (true, _) => left,
                (false, Some(cap)) => grant.amount.plus(left.min(cap))?,
                (false, None) => continue,
            };
            carried.granted.insert(grant.id.clone(), now);
        }
        let terms = self.commitments.iter().filter(|term| term.kind != CommitmentKind::Minimum);
        let spent = terms.filter_map(|term| Some((term, balance("commitment", &term.id)?)));
        carried.spent_before.extend(spent.map(|(term, balance)| (term.id.clone(), balance.used)));
        Ok(carried)
    }

    /// Whether a period leaves anything to the next.
    pub fn carries(&self) -> bool {
        let lasts = |grant: &PlanGrant| grant.once || grant.rollover_cap.is_some();
        self.grants.iter().any(lasts)
            || self.commitments.iter().any(|term| term.kind != CommitmentKind::Minimum)
    }

    /// The meter that a charge is for.
    pub fn meter_of(&self, charge: &str) -> Option<&str> {
        self.charges.iter().find(|known| known.id == charge).map(|known| known.meter.as_str())
    }

    /// Whether any price, allowance, limit or grant depends on this dimension.
    pub fn tells_apart(&self, dimension: &str) -> bool {
        let grants = dimension == "model" && self.grants.iter().any(|one| !one.models.is_empty());
        let cells = self.charges.iter().flat_map(|charge| &charge.cells).map(|cell| &cell.place);
        let pools = self.allowances.iter().map(|allowance| &allowance.place);
        let limits = self.limits.iter().map(|limit| &limit.place);
        let mut each = self.charges.iter().flat_map(|charge| &charge.each);
        grants
            || each.any(|name| name == dimension)
            || cells.chain(pools).chain(limits).any(|place| place.contains_key(dimension))
    }
}
