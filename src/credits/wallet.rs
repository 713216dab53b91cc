//! Credit as it stands at one moment, and what each act does to it. The replay of a log and the
//! ledger, which acts as things happen, are both made of this.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Candidate;
use super::replay::{Covered, Ended, GrantState, Replayed};
use super::{Beyond, CreditError, Grant, On, Policy, Recurring};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

/// What was set aside for a hold, and what of it no grant covered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// Grants and how much of each, in burn order.
    pub parts: Vec<(String, Exact)>,
    /// Covered by none.
    pub uncovered: Exact,
}

/// Credit as it stands.
#[derive(Debug, Clone)]
pub struct Wallet {
    policy: Policy,
    state: Replayed,
    /// Grants and recurrences that were taken back, those that had not begun too.
    voided: BTreeSet<String>,
    /// Grants that were touched since the last look.
    changed: BTreeSet<String>,
}

impl Wallet {
    /// Nothing in it.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: Replayed::default(),
            voided: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// As it was stored.
    pub fn restore(&mut self, grants: impl IntoIterator<Item = GrantState>, owed: Exact) {
        let named = grants.into_iter().map(|grant| (grant.grant.id.clone(), grant));
        self.state.grants = named.collect();
        self.state.owed = owed;
    }

    /// Another policy, from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Every grant that has begun.
    pub fn grants(&self) -> &BTreeMap<String, GrantState> {
        &self.state.grants
    }

    /// What the customer owes.
    pub fn owed(&self) -> Exact {
        self.state.owed
    }

    /// The ids of the grants that changed since this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        core::mem::take(&mut self.changed)
    }

    pub(super) fn into_state(self) -> Replayed {
        self.state
    }

    /// A grant begins. What is owed is paid from it first.
    pub fn begin(
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
        self.changed.insert(id.clone());
        match (void, over) {
            (true, _) => self.end(&id, Ended::Voided),
            (false, true) => self.end(&id, Ended::Expired),
            (false, false) => Ok(()),
        }
    }

    /// Nothing of the grant is free any more; what holds have set aside stays theirs.
    pub fn end(&mut self, id: &str, how: Ended) -> Result<(), CreditError> {
        // A grant that expires as it begins has not begun yet.
        let Some(grant) = self.state.grants.get_mut(id) else { return Ok(()) };
        let left = core::mem::take(&mut grant.left);
        grant.ended.get_or_insert(how);
        self.changed.insert(id.to_owned());
        grant.lapse(left)
    }

    /// Takes back what is left of a grant, or of every grant of a recurrence, and whatever of it is to
    /// come.
    pub fn void(&mut self, id: &str) -> Result<(), CreditError> {
        self.voided.insert(id.to_owned());
        self.take_back(id)
    }

    /// The same for what has begun alone.
    pub fn take_back(&mut self, id: &str) -> Result<(), CreditError> {
        let named =
            |state: &&GrantState| state.grant.id == id || state.part_of.as_deref() == Some(id);
        let ids: Vec<String> =
            self.state.grants.values().filter(named).map(|state| state.grant.id.clone()).collect();
        ids.iter().try_for_each(|id| self.end(id, Ended::Voided))
    }

    /// A recurrence turns: the last period's grants end, what may be carried is, and the next begins.
    pub fn turn(
        &mut self,
        recurring: &Recurring,
        n: i32,
        at: Timestamp,
    ) -> Result<(), CreditError> {
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

    /// Takes up to `amount` from what may be spent on `on` at an instant; answers the parts and the
    /// rest.
    fn take(
        &mut self,
        amount: Exact,
        on: &On,
        at: Timestamp,
        mut each: impl FnMut(&mut GrantState, Exact) -> Result<(), OutOfRange>,
    ) -> Result<(Vec<(String, Exact)>, Exact), OutOfRange> {
        let order = self.policy.order;
        let mut grants: Vec<&mut GrantState> =
            self.state.grants.values_mut().filter(|grant| grant.good_for(on, at)).collect();
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
            self.changed.insert(grant.grant.id.clone());
            parts.push((grant.grant.id.clone(), part));
        }
        Ok((parts, rest))
    }

    /// Spends at once.
    pub fn spend(&mut self, amount: Exact, on: &On, at: Timestamp) -> Result<Covered, CreditError> {
        let (parts, rest) = self.take(amount, on, at, |grant, part| {
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

    /// Spends for something that happened `at` an instant long since: what was left then of grants
    /// that have expired pays first, as it would have. What others spent since stays as it is.
    pub fn spend_late(
        &mut self,
        amount: Exact,
        on: &On,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Covered, CreditError> {
        let order = self.policy.order;
        let was_good = |grant: &&mut GrantState| {
            grant.ended == Some(Ended::Expired)
                && grant.grant.starts <= at
                && grant.grant.expires.is_none_or(|expires| at < expires)
                && grant.grant.eligible.covers(on)
                && !grant.expired.is_zero()
        };
        let mut lapsed: Vec<&mut GrantState> =
            self.state.grants.values_mut().filter(was_good).collect();
        lapsed.sort_by(|a, b| order.compare(&a.candidate(), &b.candidate()));
        let (mut parts, mut rest) = (Vec::new(), amount);
        for grant in lapsed {
            let part = grant.expired.min(rest);
            if part.is_zero() {
                continue;
            }
            grant.expired = grant.expired.minus(part)?;
            grant.spent = grant.spent.plus(part)?;
            rest = rest.minus(part)?;
            self.changed.insert(grant.grant.id.clone());
            parts.push((grant.grant.id.clone(), part));
        }
        let mut covered = self.spend(rest, on, now)?;
        parts.append(&mut covered.parts);
        Ok(Covered { parts, ..covered })
    }

    /// Sets aside up to `amount` for a hold.
    pub fn set_aside(
        &mut self,
        amount: Exact,
        on: &On,
        at: Timestamp,
    ) -> Result<Aside, CreditError> {
        let (parts, uncovered) = self.take(amount, on, at, |grant, part| {
            grant.held = grant.held.plus(part)?;
            Ok(())
        })?;
        Ok(Aside { parts, uncovered })
    }

    /// Spends what was set aside, in burn order, and frees the rest. What was set aside from a grant
    /// that has ended since is still good for this; what is freed of it ends with the grant.
    pub fn spend_aside(
        &mut self,
        aside: &Aside,
        amount: Exact,
        on: &On,
        at: Timestamp,
    ) -> Result<Covered, CreditError> {
        let (mut rest, mut parts) = (amount, Vec::new());
        for (id, aside) in &aside.parts {
            let used = (*aside).min(rest);
            let freed = aside.minus(used)?;
            rest = rest.minus(used)?;
            let grant = self.state.grants.get_mut(id);
            let grant = grant.ok_or_else(|| CreditError::UnknownGrant(id.clone()))?;
            grant.held = grant.held.minus(*aside)?;
            grant.spent = grant.spent.plus(used)?;
            grant.lapse(freed)?;
            self.changed.insert(id.clone());
            if !used.is_zero() {
                parts.push((id.clone(), used));
            }
        }
        // More was used than was set aside: the rest is a use like any other.
        let mut covered = self.spend(rest, on, at)?;
        parts.append(&mut covered.parts);
        covered.parts = parts;
        Ok(covered)
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
