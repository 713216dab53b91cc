//! A customer's credit in one unit: what was granted, when it comes and goes, what holds set aside.
//!
//! The same machine as a replay of the log ([`crate::credits`]), run as things happen. Grants come
//! and go by the ledger's clock, before whatever the command at hand does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::terms::SetAside;
use crate::calendar::{Calendar, Every, Period};
use crate::clock::Timestamp;
use crate::credits::{
    Aside, Covered, CreditError, Ended, Grant, GrantState, On, Policy, Recurring, Wallet,
};
use crate::money::{Exact, OutOfRange};

/// Most grants of one customer and unit that stand or are to come: each is looked at when one is
/// spent.
pub const GRANTS_MAX: usize = 1_000;

/// Most turns and expiries caught up with in one operation: a century of months, for a few
/// recurrences. What remains is done by the next.
const EVENTS_MAX: usize = 4_800;

/// What an amount of credit is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The customer's currency.
    Money,
    /// The plan's own credits.
    Credits,
}

impl Unit {
    /// As a plan's charge says what it is counted in.
    pub(super) fn of(in_credits: bool) -> Self {
        if in_credits { Self::Credits } else { Self::Money }
    }
}

/// A grant that comes again, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurs {
    /// What is granted each time.
    pub grant: Grant,
    /// The zone its periods follow.
    pub zone: String,
    /// Where one of them starts.
    pub anchor: Timestamp,
    /// How long each is.
    pub every: Every,
    /// What is carried on from one to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollover_cap: Option<Exact>,
    /// The number of the period that begins next.
    pub next: i32,
}

/// One stored piece of a purse, under an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// A grant that has begun.
    Begun(Box<GrantState>),
    /// A grant that is still to begin.
    Waiting(Box<Grant>),
    /// A grant that comes again.
    Recurs(Box<Recurs>),
    /// What the customer owes, and what was paid ahead.
    Sums {
        /// The negative part of the balance.
        owed: Exact,
        /// Paid for usage that became cheaper since; pays before any grant does.
        ahead: Exact,
    },
}

/// The id that a purse's own sums are stored under; no grant has it.
pub const SUMS: &str = "";

#[derive(Debug)]
pub(super) struct Purse {
    wallet: Wallet,
    waiting: BTreeMap<String, Grant>,
    recurring: BTreeMap<String, (Recurs, Calendar)>,
    /// When the next grant begins, turns or expires.
    next: Option<Timestamp>,
    /// Held for running requests and covered by no grant.
    pub uncovered: Exact,
    ahead: Exact,
    /// Sums as last stored.
    stored: (Exact, Exact),
    /// Ids in `waiting` and `recurring` to be stored, or to be removed.
    changed: Vec<String>,
}

/// What happens at an instant, in the order of a replay.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Turn(String),
    Expire(String),
    Begin(String),
}

/// What paid for a use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Paid {
    /// From what was paid ahead.
    pub ahead: Exact,
    pub covered: Covered,
}

impl Purse {
    pub fn new(policy: Policy) -> Self {
        Self {
            wallet: Wallet::new(policy),
            waiting: BTreeMap::new(),
            recurring: BTreeMap::new(),
            next: None,
            uncovered: Exact::ZERO,
            ahead: Exact::ZERO,
            stored: (Exact::ZERO, Exact::ZERO),
            changed: Vec::new(),
        }
    }

    /// As stored.
    pub fn restore(&mut self, stored: impl IntoIterator<Item = (String, Stored)>) {
        let (mut begun, mut sums) = (Vec::new(), (Exact::ZERO, Exact::ZERO));
        for (id, piece) in stored {
            match piece {
                Stored::Begun(grant) => begun.push(*grant),
                Stored::Waiting(grant) => drop(self.waiting.insert(id, *grant)),
                Stored::Recurs(recurs) => self.keep(*recurs),
                Stored::Sums { owed, ahead } => sums = (owed, ahead),
            }
        }
        self.wallet.restore(begun, sums.0);
        (self.ahead, self.stored) = (sums.1, sums);
        self.look_ahead();
    }

    pub fn set_policy(&mut self, policy: Policy) {
        self.wallet.set_policy(policy);
    }

    fn keep(&mut self, recurs: Recurs) {
        // The zone was checked when it came in.
        if let Ok(calendar) = Calendar::new(&recurs.zone, recurs.anchor, recurs.every) {
            self.recurring.insert(recurs.grant.id.clone(), (recurs, calendar));
        }
    }

    /// What is known of a grant's id, to tell a repetition from a conflict. That of a recurrence stays
    /// known by the grants that came of it: another of the same id would come in their places.
    pub fn find(&self, id: &str) -> Option<&Grant> {
        let begun = self.wallet.grants().get(id).map(|state| &state.grant);
        let recurs = self.recurring.get(id).map(|(recurs, _)| &recurs.grant);
        let part_of = |state: &&GrantState| state.part_of.as_deref() == Some(id);
        let part = || self.wallet.grants().values().find(part_of).map(|state| &state.grant);
        begun.or_else(|| self.waiting.get(id)).or(recurs).or_else(part)
    }

    pub fn is_full(&self) -> bool {
        let standing = self.wallet.grants().values().filter(|grant| grant.ended.is_none()).count();
        let to_come = self.waiting.len().saturating_add(self.recurring.len());
        standing.saturating_add(to_come) >= GRANTS_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.wallet.grants().is_empty() && self.waiting.is_empty() && self.recurring.is_empty()
    }

    /// Adds a grant; it begins when its time has come.
    pub fn add(&mut self, grant: Grant, now: Timestamp) -> Result<(), CreditError> {
        self.changed.push(grant.id.clone());
        self.waiting.insert(grant.id.clone(), grant);
        self.look_ahead();
        self.advance(now)
    }

    /// Adds one that comes again: first with the first whole period.
    pub fn add_recurring(&mut self, mut recurs: Recurs, now: Timestamp) -> Result<(), CreditError> {
        let unknown = || CreditError::TooMany(recurs.grant.id.clone());
        let calendar =
            Calendar::new(&recurs.zone, recurs.anchor, recurs.every).map_err(|_| unknown())?;
        let (n, period) = calendar.around(recurs.grant.starts).ok_or_else(unknown)?;
        let Period { start, .. } = period;
        recurs.next = if start < recurs.grant.starts { n.saturating_add(1) } else { n };
        self.changed.push(recurs.grant.id.clone());
        self.keep(recurs);
        self.look_ahead();
        self.advance(now)
    }

    /// Takes back what is left of a grant or recurrence; `false` where there is none of this id.
    pub fn void(&mut self, id: &str) -> Result<bool, CreditError> {
        if self.find(id).is_none() {
            return Ok(false);
        }
        let ahead = self.waiting.remove(id).is_some();
        if self.recurring.remove(id).is_some() || ahead {
            self.changed.push(id.to_owned());
        }
        self.wallet.take_back(id)?;
        self.look_ahead();
        Ok(true)
    }

    /// Ends every recurrence whose id begins so, at an instant; drops what was to begin later.
    pub fn end_all(&mut self, prefix: &str, at: Timestamp) {
        for (id, (recurs, _)) in &mut self.recurring {
            if id.starts_with(prefix) {
                recurs.grant.expires = Some(recurs.grant.expires.map_or(at, |known| known.min(at)));
                self.changed.push(id.clone());
            }
        }
        let gone = |id: &String, grant: &Grant| id.starts_with(prefix) && grant.starts >= at;
        let late: Vec<String> = self
            .waiting
            .iter()
            .filter(|(id, grant)| gone(id, grant))
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            self.waiting.remove(&id);
            self.changed.push(id);
        }
        self.look_ahead();
    }

    /// Whether anything begins, turns or expires by then.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Lets everything happen that is due, in the order of time.
    pub fn advance(&mut self, now: Timestamp) -> Result<(), CreditError> {
        for _ in 0..EVENTS_MAX {
            let Some((at, due)) = self.first_due() else { break };
            if at > now {
                break;
            }
            match due {
                Due::Turn(id) => self.turn(&id, at)?,
                Due::Expire(id) => self.wallet.end(&id, Ended::Expired)?,
                Due::Begin(id) => {
                    self.changed.push(id.clone());
                    if let Some(grant) = self.waiting.remove(&id) {
                        self.wallet.begin(grant, None, false)?;
                    }
                }
            }
        }
        self.look_ahead();
        Ok(())
    }

    fn turn(&mut self, id: &str, at: Timestamp) -> Result<(), CreditError> {
        let Some((recurs, calendar)) = self.recurring.get_mut(id) else { return Ok(()) };
        let recurring = Recurring {
            grant: recurs.grant.clone(),
            calendar: calendar.clone(),
            rollover_cap: recurs.rollover_cap,
        };
        let n = recurs.next;
        recurs.next = n.saturating_add(1);
        self.changed.push(id.to_owned());
        if recurring.grant.expires.is_some_and(|expires| at >= expires) {
            self.recurring.remove(id);
        }
        self.wallet.turn(&recurring, n, at)
    }

    fn look_ahead(&mut self) {
        self.next = self.first_due().map(|(at, _)| at);
    }

    fn first_due(&self) -> Option<(Timestamp, Due)> {
        let turns = self.recurring.iter().filter_map(|(id, (recurs, calendar))| {
            let edge = calendar.edge(recurs.next);
            let at = [edge, recurs.grant.expires].into_iter().flatten().min()?;
            Some((at, Due::Turn(id.clone())))
        });
        let expiries = self.wallet.grants().values().filter_map(|grant| {
            // A recurrence ends its own grants as it turns.
            let of = grant.part_of.as_ref();
            let own = of.is_none_or(|of| !self.recurring.contains_key(of));
            let expires = grant.grant.expires.filter(|_| own && grant.ended.is_none())?;
            Some((expires.max(grant.grant.starts), Due::Expire(grant.grant.id.clone())))
        });
        let begins = self.waiting.iter().map(|(id, grant)| (grant.starts, Due::Begin(id.clone())));
        turns.chain(expiries).chain(begins).min()
    }

    /// Sets aside for a hold.
    pub fn set_aside(
        &mut self,
        amount: Exact,
        on: &On,
        now: Timestamp,
    ) -> Result<Aside, CreditError> {
        let aside = self.wallet.set_aside(amount, on, now)?;
        self.uncovered = self.uncovered.plus(aside.uncovered)?;
        Ok(aside)
    }

    /// Spends what a hold had set aside, and frees the rest.
    pub fn spend_aside(
        &mut self,
        aside: &Aside,
        amount: Exact,
        on: &On,
        now: Timestamp,
    ) -> Result<Paid, CreditError> {
        self.uncovered = self.uncovered.minus(aside.uncovered)?;
        let ahead = self.draw_ahead(amount)?;
        let covered = self.wallet.spend_aside(aside, amount.minus(ahead)?, on, now)?;
        Ok(Paid { ahead, covered })
    }

    /// Spends of what a hold has set aside, and leaves the rest of it there.
    pub fn spend_part(
        &mut self,
        set: &mut SetAside,
        amount: Exact,
        now: Timestamp,
    ) -> Result<Paid, CreditError> {
        let ahead = self.draw_ahead(amount)?;
        let rest = amount.minus(ahead)?;
        let part = set.take(rest)?;
        self.uncovered = self.uncovered.minus(part.uncovered)?;
        let covered = self.wallet.spend_aside(&part, rest, &set.on, now)?;
        Ok(Paid { ahead, covered })
    }

    /// Frees what was set aside and is not needed.
    pub fn free(&mut self, aside: &Aside, on: &On, now: Timestamp) -> Result<(), CreditError> {
        self.uncovered = self.uncovered.minus(aside.uncovered)?;
        self.wallet.spend_aside(aside, Exact::ZERO, on, now)?;
        Ok(())
    }

    /// Spends for usage of an earlier instant.
    pub fn spend(
        &mut self,
        amount: Exact,
        on: &On,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Paid, CreditError> {
        let ahead = self.draw_ahead(amount)?;
        let covered = self.wallet.spend_late(amount.minus(ahead)?, on, at, now)?;
        Ok(Paid { ahead, covered })
    }

    fn draw_ahead(&mut self, amount: Exact) -> Result<Exact, OutOfRange> {
        let ahead = self.ahead.min(amount);
        self.ahead = self.ahead.minus(ahead)?;
        Ok(ahead)
    }

    /// Usage that was paid for became cheaper by so much.
    pub fn credit_ahead(&mut self, amount: Exact) -> Result<(), OutOfRange> {
        self.ahead = self.ahead.plus(amount)?;
        Ok(())
    }

    /// What of such needs no grant would cover as things stand; nothing is set aside.
    pub fn uncovered_of<'n>(
        &self,
        needs: impl Iterator<Item = (&'n On, Exact)>,
        now: Timestamp,
    ) -> Result<Exact, CreditError> {
        let (mut wallet, mut uncovered) = (self.wallet.clone(), Exact::ZERO);
        for (on, amount) in needs {
            let aside = wallet.set_aside(amount.max(Exact::ZERO), on, now)?;
            uncovered = uncovered.plus(aside.uncovered)?;
        }
        Ok(uncovered)
    }

    pub fn owed(&self) -> Exact {
        self.wallet.owed()
    }

    pub fn grants(&self) -> impl Iterator<Item = &GrantState> {
        self.wallet.grants().values()
    }

    /// What is to be stored since the last time; `None` removes.
    pub fn take_changed(&mut self) -> Vec<(String, Option<Stored>)> {
        let mut ids: Vec<String> = self.wallet.take_changed().into_iter().collect();
        ids.append(&mut self.changed);
        ids.sort_unstable();
        ids.dedup();
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let begun = self.wallet.grants().get(&id).cloned();
            let begun = begun.map(|grant| Stored::Begun(Box::new(grant)));
            let waiting = || self.waiting.get(&id).cloned().map(|g| Stored::Waiting(Box::new(g)));
            let recurs =
                || self.recurring.get(&id).map(|(r, _)| Stored::Recurs(Box::new(r.clone())));
            let piece = begun.or_else(waiting).or_else(recurs);
            rows.push((id, piece));
        }
        let sums = (self.owed(), self.ahead);
        if sums != self.stored {
            self.stored = sums;
            rows.push((SUMS.to_owned(), Some(Stored::Sums { owed: sums.0, ahead: sums.1 })));
        }
        rows
    }
}
