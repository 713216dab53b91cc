//! What a ledger is told, what it answers, and what it wants written.

use serde::{Deserialize, Serialize};

use super::state::{Account, Hold};
use super::status::{Refusal, Snapshot};
use crate::auth::Ring;
use crate::book::{Card, CardRef, ContextTier, Rates, Tiers};
use crate::clock::{Millis, Timestamp, Window};
use crate::ids::{AttemptId, Name, RequestId};
use crate::meter;
use crate::money::Exact;
use crate::record::{Admitted, Class, Digest, Sealed, Unknown};
use crate::wire::usage::Usage;

/// Everything a ledger can be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// May this attempt run? Makes its hold.
    Reserve(Box<Reserve>),
    /// It is still running; at least this much is certain by now.
    Renew {
        /// Which.
        attempt_id: AttemptId,
        /// The least it will cost; only ever raises the hold's floor.
        floor: Exact,
    },
    /// It goes on behind its answer, as a job: the hold stays under the job's name.
    Park(Park),
    /// It is over; this is what it used.
    Settle(Box<Settle>),
    /// It is over; it used nothing.
    Void(Void),
    /// Expire what has expired.
    Sweep,
    /// The operator changes something.
    Admin(Admin),
    /// Where does the customer stand?
    Status,
    /// Is this key in force?
    CheckKey {
        /// Which.
        key_id: Name,
        /// SHA-256 of its secret.
        secret_sha256: Digest,
    },
}

/// The prices an attempt is admitted under, kept with its hold, so that a change of the book
/// between admission and settlement changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Who serves.
    pub provider: String,
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// Rates in the default tier.
    pub rates: Rates,
    /// Rates in other tiers.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Rates of long requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextTier>,
    /// What the upstream charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Card>,
    /// Input tokens counted at admission: charged where no one reports better.
    pub input_least: u64,
}

impl Pinned {
    /// What a usage is priced by, once its tier and its length are known.
    pub fn card(&self) -> CardRef<'_> {
        CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context }
    }
}

/// Asks for a hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reserve {
    /// Chosen by the caller, random; the same again is the same attempt.
    pub attempt_id: AttemptId,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// SHA-256 of the key's secret, in hex.
    pub secret_sha256: Digest,
    /// What is known of it; `held` is the amount to hold.
    pub admitted: Admitted,
    /// The least it can cost; charged if nothing more is ever heard.
    pub floor: Exact,
    /// Prices.
    pub pinned: Pinned,
    /// The end user in clear, where the client named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// Asked before, with an answer that was lost: storage is looked through for it.
    #[serde(default)]
    pub again: bool,
}

/// Keeps a hold for a job, until a poll shows its end or its time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Park {
    /// The name that the upstream gave it.
    pub job_id: String,
    /// What is known of it.
    pub job: Job,
    /// How long the hold is kept from now on.
    pub life: Millis,
}

/// Which attempt a job belongs to, and whom to ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The attempt that started it.
    pub attempt_id: AttemptId,
    /// Who runs it, as the configuration names the upstream.
    pub upstream: String,
    /// The model, as the client wrote it.
    pub model: String,
}

/// Tells what an attempt used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settle {
    /// Which.
    pub attempt_id: AttemptId,
    /// What it used.
    pub usage: Usage,
    /// How the answer ended.
    pub outcome: meter::Outcome,
    /// The upstream's status; absent where it was not heard before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// What kept it from being answered whole, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// Which model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// Which tier served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_tier: Option<String>,
    /// The upstream's report contradicts itself, or holds what no price covers.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suspect: bool,
    /// Another model served than was asked for, and no version of it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub served_other: bool,
    /// Usage that is priced by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sub_usage: Vec<SubUsed>,
    /// Numbers in the usage whose meaning is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
    /// When the answer's body began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Timestamp,
}

/// What another model used inside an answer, with the prices it goes by. They are the book's at
/// settlement: which models an answer will call is not known when it is admitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubUsed {
    /// What it was for.
    pub kind: String,
    /// Which model; absent: the answer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A part of the answer's own usage, and not an addition to it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub included: bool,
    /// How much.
    pub usage: Usage,
    /// Its prices; absent where the book does not sell the model: then it is recorded as unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// Tells that an attempt used nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Void {
    /// Which.
    pub attempt_id: AttemptId,
    /// The upstream's status, where it answered at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// What went wrong, in one word.
    pub error_class: String,
    /// When it was over.
    pub finished_at: Timestamp,
}

/// What the operator may change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admin {
    /// Creates the customer, or replaces its limits.
    PutCustomer {
        /// The customer's name.
        customer: Name,
        /// Currency of its limits and charges.
        currency: String,
        /// All of its limits; an empty list means none, and has to be said.
        limits: Vec<LimitRule>,
    },
    /// Adds a key, or brings a revoked one back.
    PutKey {
        /// Which.
        key_id: Name,
        /// SHA-256 of its secret, in hex.
        secret_sha256: Digest,
        /// What people call it.
        #[serde(default)]
        label: String,
    },
    /// Ends a key at once.
    RevokeKey {
        /// Which.
        key_id: Name,
    },
}

/// Whether a limit stops or only warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// Refuses what does not fit.
    Hard,
    /// Lets through and shows.
    Soft,
}

/// A limit on what a customer spends in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// Names it in refusals.
    pub id: Name,
    /// Over which span.
    pub window: Window,
    /// Stops or warns.
    pub kind: Strictness,
    /// How much, in the customer's currency.
    pub limit: Exact,
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// In force.
    Active,
    /// Ended.
    Revoked,
}

/// What the ledger knows of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    /// Which.
    pub key_id: Name,
    /// SHA-256 of its secret.
    pub secret_sha256: Digest,
    /// In force or not.
    pub status: KeyStatus,
    /// What people call it.
    pub label: String,
}

/// What storage knows of an attempt or end user that is not held in memory; looked up by the shell
/// before a command that may need it.
#[derive(Debug, Clone, Default)]
pub struct Prior {
    /// The last record of the attempt: its position, class and running amount, and the digest of
    /// the command that wrote it.
    pub record: Option<PriorRecord>,
    /// The attempt's hold, expired.
    pub expired: Option<Hold>,
    /// The end user's pseudonym key.
    pub subject: Option<Digest>,
    /// The job of the name to be parked.
    pub job: Option<Job>,
}

/// The last record of an attempt.
#[derive(Debug, Clone)]
pub struct PriorRecord {
    /// Position in the chain.
    pub seq: u64,
    /// How it ended.
    pub class: Class,
    /// What the attempt was charged in all.
    pub charged: Exact,
    /// Digest of the settle or void that wrote it; absent where an expiry did.
    pub command: Option<Digest>,
}

/// What every operation is given besides the command.
pub struct Context<'a> {
    /// The ledger's own clock.
    pub now: Timestamp,
    /// 32 fresh random bytes.
    pub random: [u8; 32],
    /// Signs records.
    pub record_ring: &'a Ring,
    /// How long a hold lives without being renewed.
    pub hold_ttl: Millis,
    /// What storage knows.
    pub prior: Prior,
}

/// What a ledger answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The hold stands.
    Held {
        /// Until when, unless renewed.
        expires_at: Timestamp,
        /// What is left of the tightest hard limit after it; absent without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remaining: Option<Exact>,
    },
    /// It may not run, and nothing was changed.
    Refused(Box<Refusal>),
    /// The attempt is settled or voided.
    Closed {
        /// Position of its record.
        seq: u64,
        /// What the attempt was charged in all.
        charged: Exact,
        /// This was a repetition; nothing was changed.
        replayed: bool,
    },
    /// The same attempt was closed before, by another command. Nothing was changed.
    Conflict {
        /// Position of the record that stands.
        seq: u64,
    },
    /// No hold and no record of that attempt.
    UnknownAttempt,
    /// Too late to renew: it has expired.
    Expired,
    /// Done.
    Done,
    /// A command that cannot be carried out, and why.
    Invalid(String),
    /// Where the customer stands.
    Status(Box<Snapshot>),
}

/// One row to write. All rows of an outcome go into one transaction.
#[derive(Debug, Clone)]
pub enum Row {
    /// Insert or replace an open hold.
    PutHold(Box<Hold>),
    /// Mark it expired; kept for a late settle.
    ExpireHold(AttemptId),
    /// Remove it: its attempt is closed.
    DeleteHold(AttemptId),
    /// Append a record. It is also the outbox's row.
    PutRecord(Box<RecordRow>),
    /// Replace the spend of the hour that starts at this time.
    PutHour(Timestamp, Exact),
    /// Replace the account.
    PutAccount(Account),
    /// Insert or replace a key.
    PutKey(KeyState),
    /// Name a job. A name that is there stays as it is.
    PutJob(String, Job),
    /// Keep an end user's pseudonym key beside the clear value.
    PutSubject {
        /// The end user in clear; erasing this row erases the end user.
        value: String,
        /// The key of its pseudonym.
        key: Digest,
    },
}

/// A record with what storage indexes it by.
#[derive(Debug, Clone)]
pub struct RecordRow {
    /// Position in the chain.
    pub seq: u64,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The request.
    pub request_id: RequestId,
    /// How it ended.
    pub class: Class,
    /// What the attempt was charged in all, this record included.
    pub charged: Exact,
    /// Digest of the command that wrote it.
    pub command: Option<Digest>,
    /// Canonical bytes, hash, signature.
    pub sealed: Sealed,
}
