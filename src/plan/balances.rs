//! What a plan includes and what it lets through: allowances and limits.

use super::metered::Group;
use super::rules::Allowance as Rule;
use super::{Allowance, Balance, Plan, fault};
use crate::money::{Exact, OutOfRange};
use crate::strict::Fault;

/// Where every limit stands; an error where a hard one is exceeded.
pub(super) fn limits(plan: &Plan, groups: &[Group]) -> Result<Vec<Balance>, Fault> {
    let mut balances = Vec::new();
    for limit in &plan.limits {
        let used = used(groups, |group| group.lies_in(&limit.meter, &limit.place))?;
        if limit.hard && used > limit.most {
            let message = format!(
                "{used} {} are more than the {} of {:?}",
                limit.meter, limit.most, limit.id
            );
            return Err(fault("limit_exceeded", &limit.id, message));
        }
        balances.push(balance(&limit.id, "limit", limit.most, used)?);
    }
    Ok(balances)
}

/// Outcomes that are undecided: revenue held back.
pub(super) fn pending(groups: &[Group]) -> Result<Vec<Balance>, OutOfRange> {
    let undecided = groups.iter().filter(|group| group.pending > 0);
    let each = undecided
        .map(|group| balance(&group.charge.id, "pending", group.pending.into(), Exact::ZERO));
    each.collect()
}

pub(super) fn balance(
    id: &str,
    kind: &'static str,
    of: Exact,
    used: Exact,
) -> Result<Balance, OutOfRange> {
    let left = of.minus(used)?.max(Exact::ZERO);
    Ok(Balance { id: id.to_owned(), kind, of, used, left })
}

/// The quantity in the groups that match, counted for the first charge that prices it.
pub(super) fn used(
    groups: &[Group],
    matches: impl Fn(&Group) -> bool,
) -> Result<Exact, OutOfRange> {
    let mut matching = groups.iter().filter(|group| matches(group));
    let Some(first) = matching.next() else { return Ok(Exact::ZERO) };
    let same = groups
        .iter()
        .filter(|group| core::ptr::eq(group.charge, first.charge) && matches(group))
        .map(Group::quantity);
    Exact::sum(same.collect::<Result<Vec<_>, _>>()?)
}

/// What is left of each allowance. Charges on the same meter each see the whole allowance: what is
/// included is included in all of them.
pub(super) struct Pools<'a> {
    rule: Rule,
    pools: Vec<Pool<'a>>,
}

struct Pool<'a> {
    allowance: &'a Allowance,
    used: Exact,
    /// By charge, as far as one has drawn on it.
    left: Vec<(&'a str, Exact)>,
}

impl<'a> Pools<'a> {
    pub fn new(plan: &'a Plan, groups: &[Group<'a>]) -> Result<Self, OutOfRange> {
        let mut pools = Vec::new();
        for allowance in &plan.allowances {
            let matches = |group: &Group| group.lies_in(&allowance.meter, &allowance.place);
            pools.push(Pool { allowance, used: used(groups, matches)?, left: Vec::new() });
        }
        Ok(Self { rule: plan.rules.allowance, pools })
    }

    /// What of `quantity` is to be priced.
    pub fn take(&mut self, group: &Group<'a>, quantity: Exact) -> Result<Exact, OutOfRange> {
        let mut rest = quantity;
        for pool in &mut self.pools {
            let allowance = pool.allowance;
            if !group.lies_in(&allowance.meter, &allowance.place) {
                continue;
            }
            // As a threshold it is all or nothing, measured over everything it covers.
            if self.rule == Rule::Threshold && pool.used > allowance.quantity {
                continue;
            }
            let id = group.charge.id.as_str();
            let at = pool.left.iter().position(|(charge, _)| *charge == id);
            let left =
                at.and_then(|at| pool.left.get(at)).map_or(allowance.quantity, |(_, left)| *left);
            let part = left.min(rest);
            rest = rest.minus(part)?;
            pool.left.retain(|(charge, _)| *charge != id);
            pool.left.push((id, left.minus(part)?));
        }
        Ok(rest)
    }

    pub fn balances(&self) -> Result<Vec<Balance>, OutOfRange> {
        let each = self.pools.iter().map(|pool| {
            balance(&pool.allowance.id, "allowance", pool.allowance.quantity, pool.used)
        });
        each.collect()
    }
}
