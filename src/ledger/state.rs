//! What a ledger holds in memory, and how it is rebuilt from storage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::command::{KeyState, LimitRule, Pinned, Reserve};
use super::limits::LimitState;
use super::terms::{Contracts, HeldTerms, LoadedTerms};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name, RequestId};
use crate::money::{Exact, OutOfRange};
use crate::record::{Admitted, Digest};

const HOUR_MS: i64 = 3_600_000;

/// A customer's standing terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who.
    pub customer: Name,
    /// Currency of every amount.
    pub currency: String,
    /// All limits.
    pub limits: Vec<LimitRule>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Money set aside for one running attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The attempt; also the hold's name.
    pub attempt_id: AttemptId,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// When it was made: decides which windows it counts in, whenever it settles.
    pub reserved_at: Timestamp,
    /// First instant at which it no longer stands.
    pub expires_at: Timestamp,
    /// What is charged if nothing more is heard.
    pub floor: Exact,
    /// What was known at admission; `held` is the amount.
    pub admitted: Admitted,
    /// The prices of that moment.
    pub pinned: Pinned,
    /// The customer's terms of that moment, where it had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Box<HeldTerms>>,
}

impl Hold {
    pub(super) fn amount(&self) -> Exact {
        self.admitted.held
    }

    /// Whether `reserve` asks for this very hold again.
    pub(super) fn is_for(&self, reserve: &Reserve) -> bool {
        // Under a plan the ledger itself decides how much is held.
        let asked = self.terms.as_ref().map_or(self.admitted.held, |terms| terms.asked.0);
        let without_end_user = |admitted: &Admitted| Admitted {
            end_user: None,
            held: Exact::ZERO,
            ..admitted.clone()
        };
        self.request_id == reserve.request_id
            && self.pinned == reserve.pinned
            && asked == reserve.admitted.held
            && without_end_user(&self.admitted) == without_end_user(&reserve.admitted)
    }
}

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Position of the last record; zero before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What storage gives back at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Absent: this customer was never created, and everything is refused.
    pub account: Option<Account>,
    /// All keys.
    pub keys: Vec<KeyState>,
    /// Settled spend by hour.
    pub hours: Vec<(Timestamp, Exact)>,
    /// Holds that were neither closed nor expired.
    pub holds: Vec<Hold>,
    /// The end of the chain.
    pub head: Head,
    /// Plans, usage under them, and credit.
    pub terms: LoadedTerms,
}

/// One customer's ledger. See the module for what it promises.
#[derive(Debug)]
pub struct Ledger {
    pub(super) account: Option<Account>,
    pub(super) keys: BTreeMap<Name, KeyState>,
    pub(super) limits: Vec<LimitState>,
    pub(super) holds: HashMap<AttemptId, Hold>,
    /// The same holds by expiry.
    pub(super) expiry: BTreeSet<(Timestamp, AttemptId)>,
    /// Settled spend by the start of its hour.
    pub(super) hours: BTreeMap<Timestamp, Exact>,
    pub(super) settled: Exact,
    pub(super) held: Exact,
    pub(super) head: Head,
    pub(super) contracts: Contracts,
    /// The clock never runs backwards for a ledger.
    pub(super) last: Timestamp,
}

impl Ledger {
    /// Rebuilds the ledger from its rows.
    pub fn load(loaded: Loaded, now: Timestamp) -> Result<Self, OutOfRange> {
        let holds = loaded.holds;
        let mut ledger = Self {
            keys: loaded.keys.into_iter().map(|key| (key.key_id.clone(), key)).collect(),
            limits: Vec::new(),
            contracts: Contracts::load(loaded.terms, holds.iter())?,
            expiry: holds.iter().map(|hold| (hold.expires_at, hold.attempt_id)).collect(),
            settled: Exact::sum(loaded.hours.iter().map(|(_, amount)| *amount))?,
            held: Exact::sum(holds.iter().map(Hold::amount))?,
            hours: loaded.hours.into_iter().collect(),
            holds: holds.into_iter().map(|hold| (hold.attempt_id, hold)).collect(),
            account: loaded.account,
            head: loaded.head,
            last: now,
        };
        ledger.rebuild_limits(now)?;
        Ok(ledger)
    }

    /// Counts every limit anew: after a change of the limits.
    pub(super) fn rebuild_limits(&mut self, now: Timestamp) -> Result<(), OutOfRange> {
        let rules = self.account.iter().flat_map(|account| account.limits.iter().cloned());
        self.limits = rules
            .map(|rule| LimitState::count(rule, now, &self.hours, self.holds.values()))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Starts the window of every limit whose time has come.
    pub(super) fn roll_limits(&mut self, now: Timestamp) -> Result<(), OutOfRange> {
        for limit in &mut self.limits {
            if limit.is_over(now) {
                let rule = limit.rule.clone();
                *limit = LimitState::count(rule, now, &self.hours, self.holds.values())?;
            }
        }
        Ok(())
    }

    pub(super) fn add_hold(&mut self, hold: Hold) -> Result<(), OutOfRange> {
        self.held = self.held.plus(hold.amount())?;
        for limit in &mut self.limits {
            limit.hold(hold.reserved_at, hold.amount())?;
        }
        self.expiry.insert((hold.expires_at, hold.attempt_id));
        self.holds.insert(hold.attempt_id, hold);
        Ok(())
    }

    pub(super) fn take_hold(&mut self, attempt_id: AttemptId) -> Result<Option<Hold>, OutOfRange> {
        let Some(hold) = self.holds.remove(&attempt_id) else { return Ok(None) };
        self.expiry.remove(&(hold.expires_at, attempt_id));
        self.held = self.held.minus(hold.amount())?;
        for limit in &mut self.limits {
            limit.release(hold.reserved_at, hold.amount())?;
        }
        Ok(Some(hold))
    }

    /// Adds to the spend of the hour a hold was made in; answers that hour and its new sum.
    pub(super) fn add_spend(
        &mut self,
        reserved_at: Timestamp,
        amount: Exact,
    ) -> Result<(Timestamp, Exact), OutOfRange> {
        let hour = hour_of(reserved_at);
        let sum = self.hours.get(&hour).copied().unwrap_or_default().plus(amount)?;
        self.hours.insert(hour, sum);
        self.settled = self.settled.plus(amount)?;
        for limit in &mut self.limits {
            limit.spend(reserved_at, amount)?;
        }
        Ok((hour, sum))
    }

    /// When the next hold expires, if there is one: the latest the shell must call again.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// The end of the chain.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whose ledger, once it was created.
    pub fn customer(&self) -> Option<&Name> {
        self.account.as_ref().map(|account| &account.customer)
    }

    /// Whether this attempt's hold stands in memory; if not, storage may know more of it.
    pub fn has_hold(&self, attempt_id: AttemptId) -> bool {
        self.holds.contains_key(&attempt_id)
    }
}

/// The start of the UTC hour.
pub(super) fn hour_of(time: Timestamp) -> Timestamp {
    Timestamp::from_ms(time.ms().saturating_sub(time.ms().rem_euclid(HOUR_MS)))
}
