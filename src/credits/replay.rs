//! The log in the order of time, and the state after each entry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::timeline::{self, What};
use super::wallet::{Aside, Wallet};
use super::{CreditError, Entry, Grant, On, Policy};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

/// One grant as it stands. `amount` = `spent` + `held` + `left` + `expired` + `voided` +
/// `carried_on` + `repaid`, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantState {
    /// The grant.
    pub grant: Grant,
    /// The recurrence it is a period of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its time was over.
    Expired,
    /// It was taken back.
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
    let mut wallet = Wallet::new(policy);
    let mut holds: BTreeMap<&str, (&On, Aside)> = BTreeMap::new();
    let mut covered = BTreeMap::new();
    for step in &steps {
        let at = step.at;
        match &step.what {
            What::Turn { recurring, n } => wallet.turn(recurring, *n, at)?,
            What::Expire(id) => wallet.end(id, Ended::Expired)?,
            What::Begin(grant) => wallet.begin((*grant).clone(), None, false)?,
            What::Void(id) => wallet.void(id)?,
            What::Use { id, amount, on } => {
                covered.insert((*id).to_owned(), wallet.spend(*amount, on, at)?);
            }
            What::Hold { id, amount, on } => {
                holds.insert(id, (*on, wallet.set_aside(*amount, on, at)?));
            }
            What::Settle { hold, amount } => {
                let unknown = || CreditError::UnknownHold((*hold).to_owned());
                let (on, aside) = holds.remove(hold).ok_or_else(unknown)?;
                covered.insert((*hold).to_owned(), wallet.spend_aside(&aside, *amount, on, at)?);
            }
        }
    }
    Ok(Replayed { covered, ..wallet.into_state() })
}
