//! Limits: what is counted, for whom, over which span, and whether a need fits.
//!
//! A limit counts for the whole customer, or for one **party** of it: a key, a model, a tag or an
//! end user, each for itself. What parties used lies in storage by the quarter of an hour; memory
//! holds the sums of the present windows, for a bounded number of parties. A sum that is not in
//! memory is unknown, never zero: whoever runs the ledger looks it up first (see [`Prior`]).
//!
//! [`Prior`]: super::Prior

mod counter;
mod rule;
mod set;
mod state;
mod tally;
mod watched;
mod window;

pub use rule::{LimitRule, Measure, Owner, Raise, Recurrence, Scope, Strictness};
pub use tally::{Hour, Tally, hours_from_json};

pub(super) use rule::check;
pub(super) use set::{Limits, Objection};
pub(super) use state::Need;
pub(super) use watched::Watched;
pub(super) use window::Frame;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Parties whose sums are held in memory; the one unused for longest goes first and comes back from
/// storage. Some half a kilobyte each, and far more than one operation can touch.
pub const PARTIES_MAX: usize = 1_024;

/// Days for which use is kept by the quarter of an hour: the longest window is a leap year, and a
/// month for late corrections. What is older counts in `lifetime` only, as one sum.
pub const RETAIN_DAYS: i64 = 400;

/// Longest value of a party in bytes: a model's name or a tag. Each is a key in storage.
pub const VALUE_MAX: usize = 128;

/// One of those whose use is counted apart. A customer as a whole is the party without a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Party {
    /// What kind.
    pub scope: Scope,
    /// Which: a key's id, a model as the book names it, a tag, an end user's pseudonym.
    pub value: String,
}

impl Party {
    /// The customer as a whole.
    pub fn customer() -> Self {
        Self { scope: Scope::Customer, value: String::new() }
    }

    /// Its name in storage, such as `key:main`.
    pub fn text(&self) -> String {
        format!("{}:{}", self.scope.as_str(), self.value)
    }
}

/// All that storage holds of one party.
#[derive(Debug, Clone, Default)]
pub struct PartyRows {
    /// Use by the hour, in any order.
    pub hours: Vec<(Timestamp, Hour)>,
    /// The last minute that was counted, where a limit counts minutes.
    pub minute: Option<(Timestamp, Tally)>,
}
