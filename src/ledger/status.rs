//! Where a customer stands, and why a request was refused.

use serde::{Deserialize, Serialize};

use super::access::Forbidden;
use super::credit_view::{CreditView, PlanView};
use super::limits::{Measure, Owner, Scope, Strictness};
use crate::clock::{Timestamp, Window};
use crate::ids::{AttemptId, Name, RequestId};
use crate::money::Exact;
use crate::record::Digest;

/// Why a reserve was refused, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such customer or key, or the secret is another one.
    InvalidKey,
    /// The key was revoked.
    KeyDisabled,
    /// The key's time is over.
    KeyExpired,
    /// The key is frozen.
    KeyFrozen,
    /// The customer is frozen.
    CustomerFrozen,
    /// The attempt id was used before for something else.
    AttemptConflict,
    /// The client's name for the request belongs to another request.
    IdempotencyKeyReused,
    /// The same request is running.
    RequestInProgress,
    /// The same request is over.
    RequestCompleted,
    /// The price book's currency is not the customer's.
    CurrencyMismatch,
    /// The plan does not allow it.
    NotInPlan,
    /// The key does not open it.
    KeyForbids,
    /// A limit needs to know the tag, and there is none.
    TagRequired,
    /// A limit needs to know the end user, and there is none.
    EndUserRequired,
    /// It has prices of its own, which the customer's plan or credit cannot follow: a batch, or a
    /// signed quote.
    NotUnderPlan,
    /// The customer's plan has no price for what it may use.
    NoPriceInPlan,
    /// With the outcomes that it may reach, too many would wait to be confirmed or reversed.
    TooManyOutcomes,
    /// It needs more than the whole limit.
    RequestExceedsLimit,
    /// The limit is spent, or what is left is too little.
    SpendLimitExceeded,
    /// Too much for this minute or hour.
    RateLimitExceeded,
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
    /// What the request needs, in the limit's unit; without a limit, in the currency.
    pub needed: Exact,
    /// Currency of every amount here.
    pub currency: String,
    /// Seconds until the limit's window is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_seconds: Option<u64>,
    /// What is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<Forbidden>,
    /// The request that had the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// A request that a client asked for before under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its attempt.
    pub attempt_id: AttemptId,
    /// The request.
    pub request_id: RequestId,
    /// What it was charged; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<Exact>,
}

/// A hard limit in few words, for the headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which.
    pub id: Name,
    /// What it counts.
    pub measure: Measure,
    /// How much in all.
    pub limit: Exact,
    /// What is left.
    pub remaining: Exact,
    /// The window's length; absent where it never resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// Until it starts anew; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_seconds: Option<u64>,
}

/// A limit and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Which.
    pub id: Name,
    /// Who set it.
    pub owner: Owner,
    /// For whom it counts.
    pub scope: Scope,
    /// For which of them; absent for the customer as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What it counts.
    pub measure: Measure,
    /// Unit of every number here: a currency, or a word.
    pub unit: String,
    /// Over which span; absent for what runs at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Stops or warns.
    pub kind: Strictness,
    /// How much in all.
    pub limit: Exact,
    /// Used for certain.
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
    /// Where the window had begun before this was counted: what is counted begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Timestamp>,
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
    /// Every limit that counts the customer or one named party.
    pub limits: Vec<LimitView>,
    /// The plan and its present period, where the customer has terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
    /// Credit, by unit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credit: Vec<CreditView>,
    /// Nothing new may begin.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub frozen: bool,
    /// Requests refused in the last 24 hours, by why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// The chain's last record: what `farebox verify --expect` takes.
    pub head: HeadView,
}

impl Snapshot {
    /// Whether the price book alone says what a request costs: no plan is in force, and no credit
    /// pays. Only then can prices be promised that are not the ledger's own.
    pub fn goes_by_book(&self) -> bool {
        let by_plan = self.plan.as_ref().is_some_and(|view| view.plan.is_some() || view.prepaid);
        !by_plan && self.credit.is_empty()
    }
}

/// How often something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub code: RefusalCode,
    /// In the last 24 hours, the present one included.
    pub count: u64,
    /// The last hour in which it was.
    pub last_hour: Timestamp,
}

/// The chain's last record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// Position; zero before the first.
    pub seq: u64,
    /// SHA-256 of its canonical bytes.
    pub hash: Digest,
}
