//! Which grant is spent first. Engines disagree, so the order is named.

use core::cmp::Ordering;

use super::{Grant, Source};

/// A burn order: the first difference decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BurnOrder {
    /// Priority → earlier expiry → earlier creation.
    #[default]
    PriorityExpiry,
    /// Priority → given before bought → earlier creation.
    PriorityGiven,
    /// Grants for named things before grants for anything → earlier expiry → lower cost basis →
    /// earlier creation.
    NamedExpiry,
    /// Rolled over → priority → without cost basis → fewest named things → earlier expiry →
    /// earlier start.
    RolloverPriority,
}

impl BurnOrder {
    /// Every order and its name in JSON.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("priority_expiry", Self::PriorityExpiry),
        ("priority_given", Self::PriorityGiven),
        ("named_expiry", Self::NamedExpiry),
        ("rollover_priority", Self::RolloverPriority),
    ];

    /// Which of two grants is spent first; by id where the order does not tell them apart.
    pub(super) fn compare(self, a: &Candidate, b: &Candidate) -> Ordering {
        let (x, y) = (a.grant, b.grant);
        let priority = x.priority.cmp(&y.priority);
        let expiry = by_expiry(x, y);
        let created = x.created.cmp(&y.created);
        match self {
            Self::PriorityExpiry => priority.then(expiry).then(created),
            Self::PriorityGiven => {
                let bought = |grant: &Grant| grant.source == Source::Paid;
                priority.then(bought(x).cmp(&bought(y))).then(created)
            }
            Self::NamedExpiry => {
                let any = |grant: &Grant| grant.eligible.breadth() == usize::MAX;
                any(x).cmp(&any(y)).then(expiry).then(x.cost_basis.cmp(&y.cost_basis)).then(created)
            }
            Self::RolloverPriority => {
                let costly = |grant: &Grant| !grant.cost_basis.is_zero();
                b.carried
                    .cmp(&a.carried)
                    .then(priority)
                    .then(costly(x).cmp(&costly(y)))
                    .then(x.eligible.breadth().cmp(&y.eligible.breadth()))
                    .then(expiry)
                    .then(x.starts.cmp(&y.starts))
            }
        }
        .then_with(|| x.id.cmp(&y.id))
    }
}

/// A grant as the order sees it.
pub(super) struct Candidate<'a> {
    pub grant: &'a Grant,
    pub carried: bool,
}

/// What never expires is spent last.
fn by_expiry(a: &Grant, b: &Grant) -> Ordering {
    match (a.expires, b.expires) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
