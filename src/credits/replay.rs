//! The log in the order of time, and the state after each entry.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Candidate;
use super::timeline::{self, What};
use super::{Beyond, CreditError, Entry, Grant, On, Policy, Recurring};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

/// One grant after the replay. `amount` = `spent` + `held` + `left` + `expired` + `voided` +
/// `carried_on` + `repaid`, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantState {
    /// The grant.
    pub grant: Grant,
    /// The recurrence it is a period of.
    pub part_of: Option<String>,
    /// It holds what was left of the period before.
    pub carried: bool,
    /// Used up.
    pub spent: Exact,
    /// Set aside by open holds, and theirs to spend even when the grant has ended.
    pub held: Exact,
    /// Free to be spent.
    pub left: Exact,
    /// Not spent in time.
    pub expired: Exact,
    /// Taken back.
    pub voided: Exact,
    /// Rolled over into the next period.
    pub carried_on: Exact,
    /// Went to what was owed when the grant came.
    pub repaid: Exact,
    /// When it ended, if it did.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Expired,
    Voided,
}

/// What paid for one use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    /// Grants and how much of each, in the order they were spent.
    pub parts: Vec<(String, Exact)>,
    /// Made the balance negative.
    pub owed: Exact,
    /// Paid by nothing here.
    pub uncovered: Exact,
}

/// What a log comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Every grant that has begun, ended ones too.
    pub grants: BTreeMap<String, GrantState>,
    /// What paid for each use and each settled hold, by its id.
    pub covered: BTreeMap<String, Covered>,
    /// What the customer owes; the negative part of the balance.
    pub owed: Exact,
}

impl Replayed {
    /// Free credit less what is owed.
    pub fn balance(&self) -> Result<Exact, OutOfRange> {
        Exact::sum(self.grants.values().map(|grant| grant.left))?.minus(self.owed)
    }
}

/// Replays `log` up to and with the instant `until`.
///
/// The order of the entries does not matter, only when they happened: of those at one instant,
/// periods turn first, then grants expire, then grants begin, voids, uses, holds and settlements in
/// this order, each by id. A log with an error is not replayed at all.
pub fn replay(log: &[Entry], policy: Policy, until: Timestamp) -> Result<Replayed, CreditError> {
    let steps = timeline::steps(log, until)?;
    let mut wallet = Wallet {
        policy,
        now: until,
        state: Replayed::default(),
        holds: BTreeMap::new(),
        voided: BTreeSet::new(),
    };
    for step in &steps {
        wallet.now = step.at;
        match &step.what {
            What::Turn { recurring, n } => wallet.turn(recurring, *n)?,
            What::Expire(id) => wallet.end(id, Ended::Expired)?,
            What::Begin(grant) => wallet.begin((*grant).clone(), None, false)?,
            What::Void(id) => wallet.void(id)?,
            What::Use { id, amount, on } => {
                let covered = wallet.spend(*amount, on)?;
                wallet.state.covered.insert((*id).to_owned(), covered);
            }
            What::Hold { id, amount, on } => wallet.hold(id, *amount, on)?,
            What::Settle { hold, amount } => wallet.settle(hold, *amount)?,
        }
    }
    Ok(wallet.state)
}

struct Wallet {
    policy: Policy,
    now: Timestamp,
    state: Replayed,
    holds: BTreeMap<String, Held>,
    /// Grants and recurrences that were taken back, those that had not begun too.
    voided: BTreeSet<String>,
}

/// What a hold has set aside, in burn order.
struct Held {
    on: On,
    parts: Vec<(String, Exact)>,
}

impl Wallet {
    fn grant(&mut self, id: &str) -> Result<&mut GrantState, CreditError> {
        let grant = self.state.grants.get_mut(id);
        grant.ok_or_else(|| CreditError::UnknownGrant(id.to_owned()))
    }

    fn begin(
        &mut self,
        grant: Grant,
        part_of: Option<&str>,
        carried: bool,
    ) -> Result<(), CreditError> {
        let void = self.voided.contains(&grant.id);
        let repaid = if void { Exact::ZERO } else { self.state.owed.min(grant.amount) };
        self.state.owed = self.state.owed.minus(repaid)?;
        let state = GrantState {
            left: grant.amount.minus(repaid)?,
            repaid,
            part_of: part_of.map(ToOwned::to_owned),
            carried,
            spent: Exact::ZERO,
            held: Exact::ZERO,
            expired: Exact::ZERO,
            voided: Exact::ZERO,
            carried_on: Exact::ZERO,
            ended: None,
            grant,
        };
        let id = state.grant.id.clone();
        let over = state.grant.expires.is_some_and(|expires| expires <= state.grant.starts);
        self.state.grants.insert(id.clone(), state);
        match (void, over) {
            (true, _) => self.end(&id, Ended::Voided),
            (false, true) => self.end(&id, Ended::Expired),
            (false, false) => Ok(()),
        }
    }

    /// Nothing of the grant is free any more; what holds have set aside stays theirs.
    fn end(&mut self, id: &str, how: Ended) -> Result<(), CreditError> {
        // A grant that expires as it begins has not begun yet.
        let Some(grant) = self.state.grants.get_mut(id) else { return Ok(()) };
        let left = core::mem::take(&mut grant.left);
        grant.ended.get_or_insert(how);
        grant.lapse(left)
    }

    fn void(&mut self, id: &str) -> Result<(), CreditError> {
        let named =
            |state: &&GrantState| state.grant.id == id || state.part_of.as_deref() == Some(id);
        let ids: Vec<String> =
            self.state.grants.values().filter(named).map(|state| state.grant.id.clone()).collect();
        self.voided.insert(id.to_owned());
        ids.iter().try_for_each(|id| self.end(id, Ended::Voided))
    }

    /// A recurrence turns: the last period's grants end, what may be carried is, and the next begins.
    fn turn(&mut self, recurring: &Recurring, n: i32) -> Result<(), CreditError> {
        let at = self.now;
        let name = |n: i32| format!("{}#{n}", recurring.grant.id);
        let last = n.saturating_sub(1);
        let mut room = recurring.rollover_cap.unwrap_or_default();
        let stopped = self.voided.contains(&recurring.grant.id);
        let over = stopped || recurring.grant.expires.is_some_and(|expires| at >= expires);
        if over {
            room = Exact::ZERO;
        }
        let mut carried = Exact::ZERO;
        for id in [name(last), format!("{}/carried", name(last))] {
            let Some(grant) = self.state.grants.get_mut(&id) else { continue };
            let on = grant.left.min(room);
            grant.left = grant.left.minus(on)?;
            grant.carried_on = grant.carried_on.plus(on)?;
            room = room.minus(on)?;
            carried = carried.plus(on)?;
            self.end(&id, Ended::Expired)?;
        }
        if over {
            return Ok(());
        }
        let expires = recurring.calendar.edge(n.saturating_add(1));
        let next = |id: String, amount| Grant {
            id,
            amount,
            starts: at,
            expires,
            ..recurring.grant.clone()
        };
        let part_of = Some(recurring.grant.id.as_str());
        if !carried.is_zero() {
            self.begin(next(format!("{}/carried", name(n)), carried), part_of, true)?;
        }
        self.begin(next(name(n), recurring.grant.amount), part_of, false)
    }

    /// Takes up to `amount` from what may be spent on `on` now; answers the parts and the rest.
    fn take(
        &mut self,
        amount: Exact,
        on: &On,
        mut each: impl FnMut(&mut GrantState, Exact) -> Result<(), OutOfRange>,
    ) -> Result<(Vec<(String, Exact)>, Exact), OutOfRange> {
        let (order, now) = (self.policy.order, self.now);
        let mut grants: Vec<&mut GrantState> =
            self.state.grants.values_mut().filter(|grant| grant.good_for(on, now)).collect();
        grants.sort_by(|a, b| order.compare(&a.candidate(), &b.candidate()));
        let (mut parts, mut rest) = (Vec::new(), amount);
        for grant in grants {
            let part = grant.left.min(rest);
            if part.is_zero() {
                continue;
            }
            grant.left = grant.left.minus(part)?;
            each(grant, part)?;
            rest = rest.minus(part)?;
            parts.push((grant.grant.id.clone(), part));
        }
        Ok((parts, rest))
    }

    fn spend(&mut self, amount: Exact, on: &On) -> Result<Covered, CreditError> {
        let (parts, rest) = self.take(amount, on, |grant, part| {
            grant.spent = grant.spent.plus(part)?;
            Ok(())
        })?;
        let owed = match self.policy.beyond {
            Beyond::Uncovered => Exact::ZERO,
            Beyond::Owed(most) => rest.min(most.minus(self.state.owed)?.max(Exact::ZERO)),
        };
        self.state.owed = self.state.owed.plus(owed)?;
        Ok(Covered { parts, owed, uncovered: rest.minus(owed)? })
    }

    fn hold(&mut self, id: &str, amount: Exact, on: &On) -> Result<(), CreditError> {
        let (parts, _) = self.take(amount, on, |grant, part| {
            grant.held = grant.held.plus(part)?;
            Ok(())
        })?;
        self.holds.insert(id.to_owned(), Held { on: on.clone(), parts });
        Ok(())
    }

    /// Spends what was set aside, in burn order, and frees the rest. What was set aside from a grant
    /// that has ended since is still good for this; what is freed of it ends with the grant.
    fn settle(&mut self, hold: &str, amount: Exact) -> Result<(), CreditError> {
        let held = self.holds.remove(hold);
        let held = held.ok_or_else(|| CreditError::UnknownHold(hold.to_owned()))?;
        let (mut rest, mut parts) = (amount, Vec::new());
        for (id, aside) in held.parts {
            let used = aside.min(rest);
            let freed = aside.minus(used)?;
            rest = rest.minus(used)?;
            let grant = self.grant(&id)?;
            grant.held = grant.held.minus(aside)?;
            grant.spent = grant.spent.plus(used)?;
            grant.lapse(freed)?;
            if !used.is_zero() {
                parts.push((id, used));
            }
        }
        // More was used than was set aside: the rest is a use like any other.
        let mut covered = self.spend(rest, &held.on)?;
        parts.append(&mut covered.parts);
        covered.parts = parts;
        self.state.covered.insert(hold.to_owned(), covered);
        Ok(())
    }
}

impl GrantState {
    fn good_for(&self, on: &On, now: Timestamp) -> bool {
        self.ended.is_none() && self.grant.starts <= now && self.grant.eligible.covers(on)
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate { grant: &self.grant, carried: self.carried }
    }

    /// `amount` is free: to be spent, or lost where the grant has ended.
    fn lapse(&mut self, amount: Exact) -> Result<(), CreditError> {
        let to = match self.ended {
            None => &mut self.left,
            Some(Ended::Expired) => &mut self.expired,
            Some(Ended::Voided) => &mut self.voided,
        };
        *to = to.plus(amount)?;
        Ok(())
    }
}
