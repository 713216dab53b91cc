//! Where a customer stands, and why a request was refused.

use serde::{Deserialize, Serialize};

use super::command::Strictness;
use super::credit_view::{CreditView, PlanView};
use crate::clock::{Timestamp, Window};
use crate::ids::Name;
use crate::money::Exact;
use crate::record::Digest;

/// Why a reserve was refused, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such customer or key, or the secret is another one.
    InvalidKey,
    /// The key was revoked.
    KeyDisabled,
    /// The attempt id was used before for something else.
    AttemptConflict,
    /// The price book's currency is not the customer's.
    CurrencyMismatch,
    /// The customer's plan has no price for what it may use.
    NotInPlan,
    /// It needs more than the whole limit.
    RequestExceedsLimit,
    /// The limit is spent, or what is left is too little.
    SpendLimitExceeded,
    /// It would fit if running requests had settled.
    InFlightBudgetExhausted,
    /// The numbers are too large to be exact.
    AmountOutOfRange,
}

/// Why, against which limit, and by how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// The limit that stands in the way, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitView>,
    /// What the request needs.
    pub needed: Exact,
    /// Currency of every amount here.
    pub currency: String,
}

/// A limit and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Which.
    pub id: Name,
    /// What it counts: always the whole customer, so far.
    pub scope: String,
    /// Over which span.
    pub window: Window,
    /// Stops or warns.
    pub kind: Strictness,
    /// How much in all.
    pub limit: Exact,
    /// Spent for certain.
    pub settled: Exact,
    /// Held for running requests.
    pub held: Exact,
    /// `limit - settled - held`; below zero after an overage or a lowered limit.
    pub remaining: Exact,
    /// Start of the present window.
    pub window_start: Timestamp,
    /// When it starts anew; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

/// One word for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All is well.
    Ok,
    /// A soft limit is reached, or a hard one to four fifths.
    Warn,
    /// A hard limit is spent; also shown where what is left was too little for the last request.
    Stopped,
}

/// Spend in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendView {
    /// All that was ever settled.
    pub settled: Exact,
    /// Held for running requests.
    pub held: Exact,
    /// Settled since midnight, UTC.
    pub today: Exact,
    /// Requests running.
    pub open: u64,
    /// What is held above what would be charged if nothing more were heard: Σ (hold − floor).
    pub exposure: Exact,
}

/// Where a customer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Who.
    pub customer: Name,
    /// Currency of every amount here.
    pub currency: String,
    /// When this was true, by the ledger's clock.
    pub now: Timestamp,
    /// In one word.
    pub status: State,
    /// In numbers.
    pub spend: SpendView,
    /// Every limit.
    pub limits: Vec<LimitView>,
    /// The plan and its present period, where the customer has terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
    /// Credit, by unit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credit: Vec<CreditView>,
    /// The chain's last record: what `farebox verify --expect` takes.
    pub head: HeadView,
}

/// The chain's last record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// Position; zero before the first.
    pub seq: u64,
    /// SHA-256 of its canonical bytes.
    pub hash: Digest,
}
