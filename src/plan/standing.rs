//! Where a period stands under a plan: what its charges came to, what is included, what is left.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::running::{Part, Place, Running};
use super::{Plan, Where, balances};
use crate::money::{Exact, OutOfRange};
use crate::strict::Fault;

/// Where a quantity or allowance stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// The allowance or limit.
    pub id: String,
    /// The plan's meter.
    pub meter: String,
    /// How much is included, or possible.
    pub of: Exact,
    /// How much of it was used.
    pub used: Exact,
    /// What is left.
    pub left: Exact,
}

impl Plan {
    /// What these charges come to in money, above what they come to without any usage; all charges
    /// where none is named.
    pub fn charged(&self, running: &Running, charges: &[String]) -> Result<Exact, OutOfRange> {
        let wanted = |place: &Place| charges.is_empty() || charges.contains(&place.charge);
        let touched: BTreeSet<Place> = running.0.keys().cloned().collect();
        let mut sum = Exact::ZERO;
        for meter in
            self.charges.iter().map(|charge| charge.meter.as_str()).collect::<BTreeSet<_>>()
        {
            let price = |running: &Running| -> Result<Exact, OutOfRange> {
                // Usage beyond the last tier was flagged when it came; it has no price to show.
                let standings = self.standings(meter, running, &touched).unwrap_or_default();
                let these =
                    standings.iter().filter(|(place, one)| wanted(place) && !one.in_credits);
                Exact::sum(these.map(|(_, one)| one.amount))
            };
            sum = sum.plus(price(running)?.minus(price(&Running::default())?)?)?;
        }
        Ok(sum)
    }

    /// Every commitment: its id, how much, and the charges that count.
    pub fn committed(&self) -> impl Iterator<Item = (&str, Exact, &[String])> {
        let each = self.commitments.iter();
        each.map(|one| (one.id.as_str(), one.amount, one.on.as_slice()))
    }

    /// Every allowance on the gate's usage and where it stands.
    pub fn included(&self, running: &Running) -> Result<Vec<Included>, OutOfRange> {
        self.quotas(
            running,
            self.allowances.iter().map(|one| (&one.id, &one.meter, &one.place, one.quantity)),
        )
    }

    /// Every hard limit of the plan and where it stands.
    pub fn quotas_left(&self, running: &Running) -> Result<Vec<Included>, OutOfRange> {
        let hard = self.limits.iter().filter(|limit| limit.hard);
        self.quotas(running, hard.map(|one| (&one.id, &one.meter, &one.place, one.most)))
    }

    fn quotas<'a>(
        &self,
        running: &Running,
        of: impl Iterator<Item = (&'a String, &'a String, &'a Where, Exact)>,
    ) -> Result<Vec<Included>, OutOfRange> {
        let mut stand = Vec::new();
        for (id, meter, place, quantity) in of {
            let groups = self.groups(meter, running, |_| true);
            let used = balances::used(&groups, |group| group.lies_in(meter, place))?;
            let left = quantity.minus(used)?.max(Exact::ZERO);
            let (id, meter) = (id.clone(), meter.clone());
            stand.push(Included { id, meter, of: quantity, used, left });
        }
        Ok(stand)
    }

    /// How much of each of the plan's hard limits the parts would use, in the order of
    /// [`Plan::quotas_left`].
    pub fn quota_use(&self, parts: &[Part]) -> Result<Vec<Exact>, Fault> {
        let mut used = Running::default();
        for part in parts {
            for place in self.places(part)? {
                let tally = used.0.entry(place).or_default();
                tally.quantity = tally.quantity.plus(part.quantity)?;
            }
        }
        Ok(self.quotas_left(&used)?.into_iter().map(|quota| quota.used).collect())
    }
}
