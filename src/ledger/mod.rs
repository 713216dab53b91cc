//! One customer's ledger: the state machine that decides whether a request may run and what it
//! cost. No storage, no clock: a command and a time go in; a reply and the rows to write come out.
//!
//! Ownership: a hold belongs to one attempt; a record belongs to one attempt; spend belongs to the
//! hour in which its hold was made. Invariants: (1) no admission makes settled + held exceed a hard
//! limit; (2) an attempt ends in exactly one of settled, voided, unresolved, and later changes are
//! records that correct it; (3) the sequence has no gap; (4) the same command again gives the same
//! answer and changes nothing.
//!
//! Whoever runs this must write all rows of one outcome in one transaction, and drop the whole
//! [`Ledger`] and load it anew where that fails.

mod agree;
mod apply;
mod command;
mod credit_view;
mod limits;
mod purse;
mod state;
mod status;
mod terms;

pub use agree::{NewGrant, PutPlan, When};
pub use apply::{Broken, Outcome};
pub use command::{
    Admin, Command, Context, Job, KeyState, KeyStatus, LimitRule, Park, Pinned, Prior, PriorRecord,
    RecordRow, Reply, Reserve, Row, Settle, Strictness, SubUsed, Void,
};
pub use credit_view::{CommitmentView, CreditView, GrantView, NextPlan, PlanView};
pub use purse::{GRANTS_MAX, Recurs, Stored, Unit};
pub use state::{Account, Head, Hold, Ledger, Loaded};
pub use status::{HeadView, LimitView, Refusal, RefusalCode, Snapshot, SpendView, State};
pub use terms::{
    HeldTerms, LoadedTerms, PERIODS_KEPT, PLAN_BYTES_MAX, Rest, SetAside, TERMS_MAX, Terms, UseRow,
};

/// Holds expired in one operation; keeps an operation short after a long sleep. Whatever remains is
/// expired by the next, and treated as expired meanwhile.
pub const SWEEP_MAX: usize = 32;

/// Most limits on one customer: each is looked at on every reserve.
pub const LIMITS_MAX: usize = 32;

/// Longest name of a job; the APIs' are a quarter as long.
pub const JOB_ID_MAX: usize = 256;

/// Largest limit: a trillion leaves sixteen places after the point, so that what remains of it is
/// exact whatever is spent.
pub const LIMIT_MAX: u64 = 1_000_000_000_000;

/// Most keys of one customer: all are held in memory.
pub const KEYS_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
