//! A log as steps in the order of time: what its entries say, and what follows from the clock.

use std::collections::BTreeMap;

use super::{Act, CreditError, Entry, Grant, OCCURRENCES_MAX, On, Recurring};
use crate::clock::Timestamp;
use crate::money::Exact;

/// One thing to do at one instant.
pub(super) struct Step<'a> {
    pub at: Timestamp,
    pub what: What<'a>,
}

pub(super) enum What<'a> {
    Turn { recurring: &'a Recurring, n: i32 },
    Expire(String),
    Begin(&'a Grant),
    Void(&'a str),
    Use { id: &'a str, amount: Exact, on: &'a On },
    Hold { id: &'a str, amount: Exact, on: &'a On },
    Settle { hold: &'a str, amount: Exact },
}

impl What<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Turn { .. } => 0,
            Self::Expire(_) => 1,
            Self::Begin(_) => 2,
            Self::Void(_) => 3,
            Self::Use { .. } => 4,
            Self::Hold { .. } => 5,
            Self::Settle { .. } => 6,
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Turn { recurring, .. } => &recurring.grant.id,
            Self::Expire(id) => id,
            Self::Begin(grant) => &grant.id,
            Self::Void(id) | Self::Use { id, .. } | Self::Hold { id, .. } => id,
            Self::Settle { hold, .. } => hold,
        }
    }
}

/// Everything that happens up to `until`, in order, repeated entries once. Also checks ids and amounts.
pub(super) fn steps(log: &[Entry], until: Timestamp) -> Result<Vec<Step<'_>>, CreditError> {
    let mut steps = Vec::new();
    let mut known: BTreeMap<(u8, &str), &Entry> = BTreeMap::new();
    for entry in log {
        let (kind, id, amount) = entry.act.identity();
        if amount.is_negative() {
            return Err(CreditError::Negative(id.to_owned()));
        }
        match known.insert((kind, id), entry) {
            Some(same) if same == entry => continue,
            Some(_) => return Err(CreditError::Conflict(id.to_owned())),
            None => {}
        }
        let at = entry.at;
        match &entry.act {
            Act::Grant(grant) => {
                steps.push(Step { at: grant.starts, what: What::Begin(grant) });
                if let Some(expires) = grant.expires {
                    let expires = expires.max(grant.starts);
                    steps.push(Step { at: expires, what: What::Expire(grant.id.clone()) });
                }
            }
            Act::Recur(recurring) => turns(recurring, until, &mut steps)?,
            Act::Void { grant } => steps.push(Step { at, what: What::Void(grant) }),
            Act::Use { id, amount, on } => {
                steps.push(Step { at, what: What::Use { id, amount: *amount, on } });
            }
            Act::Hold { id, amount, on } => {
                steps.push(Step { at, what: What::Hold { id, amount: *amount, on } });
            }
            Act::Settle { hold, amount } => {
                steps.push(Step { at, what: What::Settle { hold, amount: *amount } });
            }
        }
    }
    for (_, id) in known.keys().filter(|(kind, _)| *kind == VOID) {
        if !known.contains_key(&(GRANT, *id)) {
            return Err(CreditError::UnknownGrant((*id).to_owned()));
        }
    }
    steps.retain(|step| step.at <= until);
    steps.sort_by(|a, b| {
        (a.at, a.what.rank(), a.what.id()).cmp(&(b.at, b.what.rank(), b.what.id()))
    });
    Ok(steps)
}

/// The four kinds of names: a grant and a use may carry the same one.
const GRANT: u8 = 0;
const VOID: u8 = 1;
const USE: u8 = 2;
const SETTLE: u8 = 3;

impl Act {
    /// What names the act, and the amount to check.
    fn identity(&self) -> (u8, &str, Exact) {
        match self {
            Self::Grant(grant) => (GRANT, &grant.id, grant.amount),
            Self::Recur(recurring) => (GRANT, &recurring.grant.id, recurring.grant.amount),
            Self::Void { grant } => (VOID, grant, Exact::ZERO),
            Self::Use { id, amount, .. } | Self::Hold { id, amount, .. } => (USE, id, *amount),
            Self::Settle { hold, amount } => (SETTLE, hold, *amount),
        }
    }
}

/// The instants at which a recurrence turns from one period to the next.
fn turns<'a>(
    recurring: &'a Recurring,
    until: Timestamp,
    steps: &mut Vec<Step<'a>>,
) -> Result<(), CreditError> {
    let too_many = || CreditError::TooMany(recurring.grant.id.clone());
    let (starts, expires) = (recurring.grant.starts, recurring.grant.expires);
    let (first, period) = recurring.calendar.around(starts).ok_or_else(too_many)?;
    // A recurrence begins with the first whole period.
    let first = if period.start < starts { first.saturating_add(1) } else { first };
    for n in first..first.saturating_add(OCCURRENCES_MAX) {
        let edge = recurring.calendar.edge(n).ok_or_else(too_many)?;
        let at = expires.map_or(edge, |expires| edge.min(expires));
        if at > until {
            return Ok(());
        }
        steps.push(Step { at, what: What::Turn { recurring, n } });
        if expires.is_some_and(|expires| at >= expires) {
            return Ok(());
        }
    }
    Err(too_many())
}
