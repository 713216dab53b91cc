//! Prepaid and promotional credit: an append-only log of entries, and what it comes to.
//!
//! Nothing is ever changed in place. A balance is the log replayed in the order in which things
//! *happened*; an entry that arrives late takes its place in time, and the balance is as if it had
//! been on time. In scope: grants, holds, burn order, expiry, void, recurrence, rollover. Out of
//! scope: what usage costs (`rating`) and storing the log (the shells).

mod order;
mod read;
mod replay;
mod timeline;
mod wallet;

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

pub use order::BurnOrder;
pub use read::{ENTRIES_MAX, Log};
pub use replay::{Covered, Ended, GrantState, Replayed, replay};
pub use wallet::{Aside, Wallet};

/// Where credit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Bought.
    Paid,
    /// Given.
    Promotional,
}

impl Source {
    /// Each and its name in JSON.
    pub const NAMES: [(&'static str, Self); 2] =
        [("paid", Self::Paid), ("promotional", Self::Promotional)];
}

/// What a grant may be spent on; an empty list bounds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligible {
    /// Meters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<String>,
    /// Models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

impl Eligible {
    fn covers(&self, on: &On) -> bool {
        let within = |list: &[String], name: Option<&str>| {
            list.is_empty() || name.is_some_and(|name| list.iter().any(|known| known == name))
        };
        within(&self.meters, Some(&on.meter)) && within(&self.models, on.model.as_deref())
    }

    /// How many names it lists; none means everything.
    fn breadth(&self) -> usize {
        match self.meters.len().saturating_add(self.models.len()) {
            0 => usize::MAX,
            names => names,
        }
    }
}

/// What credit is spent on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct On {
    /// The meter.
    pub meter: String,
    /// The model, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// An amount of credit, and when and for what it is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names the grant.
    pub id: String,
    /// Bought or given.
    pub source: Source,
    /// How much.
    pub amount: Exact,
    /// What one unit of it was bought for; zero for what was given.
    pub cost_basis: Exact,
    /// Lower burns first.
    pub priority: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The first instant it is good.
    pub starts: Timestamp,
    /// The first instant it no longer is; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What it may be spent on.
    #[serde(default)]
    pub eligible: Eligible,
}

/// A grant that comes again every period, each time good until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurring {
    /// What is granted. `starts` and `expires` bound the recurrence as a whole.
    pub grant: Grant,
    /// When.
    pub calendar: Calendar,
    /// What is left at the end of a period is carried into the next, up to this much; `None`
    /// carries nothing.
    pub rollover_cap: Option<Exact>,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, which may be long before it was written down.
    pub at: Timestamp,
    /// What.
    pub act: Act,
}

/// What can happen to credit. Ids name the act: the same one again is the same act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Credit is granted; it counts from `Grant::starts`.
    Grant(Grant),
    /// Credit is granted every period.
    Recur(Recurring),
    /// What is left of a grant, or of a recurrence, is taken back.
    Void {
        /// The grant's id.
        grant: String,
    },
    /// Credit is spent at once.
    Use {
        /// Names the use.
        id: String,
        /// How much.
        amount: Exact,
        /// On what.
        on: On,
    },
    /// Credit is set aside for a request that runs.
    Hold {
        /// Names the hold.
        id: String,
        /// How much at most.
        amount: Exact,
        /// On what.
        on: On,
    },
    /// A hold ends: this much was used, the rest is free again. Zero releases it.
    Settle {
        /// The hold.
        hold: String,
        /// How much was used.
        amount: Exact,
    },
}

/// What the operator decides about credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Which grant is spent first.
    pub order: BurnOrder,
    /// What happens where credit does not cover a use.
    pub beyond: Beyond,
}

/// What happens to the part of a use that no grant covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It is reported as uncovered: to be billed, or refused before it is used. The default.
    Uncovered,
    /// The balance goes below zero, down to minus this much, and the next grants pay it first;
    /// what would go lower is uncovered.
    Owed(Exact),
}

/// Why a log cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreditError {
    /// The same id names two different things.
    Conflict(String),
    /// A void of a grant that the log does not hold.
    UnknownGrant(String),
    /// A settlement of a hold that the log does not hold, or that is settled already.
    UnknownHold(String),
    /// An amount below zero.
    Negative(String),
    /// A recurrence with more than [`OCCURRENCES_MAX`] periods before the time asked about.
    TooMany(String),
    /// An amount does not fit 28 digits.
    OutOfRange,
}

/// Most periods of one recurrence: a century of months.
pub const OCCURRENCES_MAX: i32 = 1_200;

impl fmt::Display for CreditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(id) => write!(f, "{id:?} names two different entries"),
            Self::UnknownGrant(id) => write!(f, "there is no grant {id:?} to void"),
            Self::UnknownHold(id) => write!(f, "there is no open hold {id:?} to settle"),
            Self::Negative(id) => write!(f, "{id:?} has an amount below zero"),
            Self::TooMany(id) => write!(f, "{id:?} recurs more than {OCCURRENCES_MAX} times"),
            Self::OutOfRange => OutOfRange.fmt(f),
        }
    }
}

impl From<OutOfRange> for CreditError {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

#[cfg(test)]
mod tests;
