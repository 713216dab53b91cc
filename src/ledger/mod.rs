//! One customer's ledger: the state machine that decides whether a request may run and what it
//! cost. No storage, no clock: a command and a time go in; a reply and the rows to write come out.
//!
//! Ownership: a hold belongs to one attempt; a record belongs to one attempt; spend belongs to the
//! moment in which its hold was made. Invariants: (1) no admission makes settled + held exceed a hard
//! limit; (2) an attempt ends in exactly one of settled, voided, unresolved, and later changes are
//! records that correct it; (3) the sequence has no gap; (4) the same command again gives the same
//! answer and changes nothing.
//!
//! Whoever runs this must write all rows of one outcome in one transaction, and drop the whole
//! [`Ledger`] and load it anew where that fails.

mod access;
mod agree;
mod alerts;
mod apply;
mod batch;
mod command;
mod credit_view;
mod limits;
mod purse;
mod quoted;
mod refusals;
mod state;
mod status;
mod terms;

use crate::clock::Millis;

pub use access::{Admin, Allows, ENTRIES_MAX, Forbidden, KeyState, KeyStatus};
pub use agree::{NewGrant, PutPlan, When};
pub use alerts::{
    ALERTS_DAYS, ALERTS_MAX, Alert, AlertRow, AlertSettings, BalanceOutlook, BalanceSettings,
    LoadedAlerts, MonthOutlook, Outlook, OutlookStatus, PeakDay, RunsOutAt, STANDING_MAX, Share,
    SpikeSettings, THRESHOLDS_MAX, TOLD_MAX, Used, WeekSummary, What, alert_id,
};
pub use apply::{Broken, Outcome, outcome_id};
pub use batch::{
    Batch, BatchCommand, BatchLine, BatchRow, File, Forecast, KnownBatch, ModelPrices, Progress,
    Seen,
};
pub use command::{
    Command, Context, Decide, Job, Once, Park, Pinned, Prior, PriorOnce, PriorRecord, RecordRow,
    Reply, Reserve, Row, Scopes, Settle, SubUsed, Unreserved, Unresolved, Void,
};
pub use credit_view::{CommitmentView, CreditView, GrantView, NextPlan, PlanView};
pub use limits::{
    Hour, LimitRule, Measure, Owner, PARTIES_MAX, Party, PartyRows, RETAIN_DAYS, Raise, Recurrence,
    Scope, Strictness, Tally, VALUE_MAX, hours_from_json,
};
pub use purse::{GRANTS_MAX, Recurs, Stored, Unit};
pub use quoted::{CreditsQuote, TermsQuote, ToQuote};
pub use refusals::shown_from;
pub use state::{Account, Head, Hold, Ledger, Loaded};
pub use status::{
    Earlier, HeadView, LimitView, Refusal, RefusalCode, Refused, Snapshot, SpendView, Standing,
    State,
};
pub use terms::{
    Billed, HeldTerms, LineNeeds, LoadedTerms, PERIODS_KEPT, PLAN_BYTES_MAX, Reached, Rest,
    SetAside, TERMS_MAX, Terms, UseRow,
};

/// Holds expired in one operation; keeps an operation short after a long sleep. Whatever remains is
/// expired by the next, and treated as expired meanwhile.
pub const SWEEP_MAX: usize = 32;

/// Most limits on one customer: each is looked at on every reserve.
pub const LIMITS_MAX: usize = 32;

/// Most limits a customer sets for itself, for the same reason.
pub const CAPS_MAX: usize = 16;

/// Limits told in an answer's headers: the first of the operator's order.
pub const STANDINGS_MAX: usize = 4;

/// How long a client's name for a request is remembered: as long as any SDK goes on retrying.
pub const ONCE_LIFE: Millis = Millis::from_secs(86_400);

/// Most such names; the oldest go first. Some 200 bytes each.
pub const ONCE_MAX: u64 = 100_000;

/// How long refusals are counted by the hour.
pub const REFUSALS_LIFE: Millis = Millis::from_secs(31 * 86_400);

/// Longest name of a job; the APIs' are a quarter as long.
pub const JOB_ID_MAX: usize = 256;

/// Most lines of a batch's results in one command: some 50 KB of it, and some 20 ms of the ledger.
pub const BATCH_LINES_MAX: usize = 100;

/// Largest limit: a trillion leaves sixteen places after the point, so that what remains of it is
/// exact whatever is spent.
pub const LIMIT_MAX: u64 = 1_000_000_000_000;

/// Most outcomes of one customer that wait for a word at once, those included that what runs may reach.
/// Each is a hold in memory for as long as it waits, and looked at on every reserve that may reach one.
pub const OUTCOMES_MAX: usize = 5_000;

/// Most keys of one customer: all are held in memory.
pub const KEYS_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
