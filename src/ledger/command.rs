//! What a ledger is told, what it answers, and what it wants written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::{Admin, KeyState};
use super::alerts::{AlertRow, Outlook};
use super::batch::{BatchCommand, BatchRow, KnownBatch};
use super::limits::{Hour, Party, PartyRows, Tally};
use super::purse::{Stored, Unit};
use super::state::{Account, Hold};
use super::status::{LimitView, Refusal, RefusalCode, Snapshot, Standing};
use super::terms::{Terms, UseRow};
use crate::auth::Ring;
use crate::book::{Card, CardRef, ContextTier, InForce, Rates, Tiers};
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Name, RequestId};
use crate::meter;
use crate::money::Exact;
use crate::quote::{AtMost, Worst};
use crate::record::{Admitted, Class, Digest, OutcomeOf, Sealed, Unknown};
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
    /// It is still running, and needs a larger hold: every limit is asked again.
    Extend {
        /// Which.
        attempt_id: AttemptId,
        /// How much to hold for it in all; a hold never shrinks.
        held: Exact,
        /// The least it will cost, as in a renewal.
        floor: Exact,
        /// The most it can use in all, for customers with a plan or credit.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        most: Vec<AtMost>,
    },
    /// It goes on behind its answer, as a job: the hold stays under the job's name.
    Park(Park),
    /// It is a batch, or what batches are made of.
    Batch(BatchCommand),
    /// It is over; this is what it used.
    Settle(Box<Settle>),
    /// It is over; it used nothing.
    Void(Void),
    /// The operator's word about an outcome that an attempt reached.
    Decide(Decide),
    /// It ran, and is over, while the ledger could not be reached.
    Unreserved(Box<Unreserved>),
    /// Expire what has expired.
    Sweep,
    /// The operator changes something.
    Admin(Admin),
    /// Where does the customer stand?
    Status,
    /// Where does one party stand with its limits?
    Standing(Party),
    /// What is the month expected to come to, and how long does credit last?
    Outlook,
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
    /// Its worst case is sold below the margin that the book guards: kept for the record.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub below_margin: bool,
    /// Input tokens counted at admission: charged where no one reports better.
    pub input_least: u64,
}

impl Pinned {
    /// What a usage is priced by, once its tier and its length are known.
    pub fn card(&self) -> CardRef<'_> {
        CardRef { rates: &self.rates, tiers: &self.tiers, context: &self.context }
    }
}

/// Among whom a request counts, beside its customer, key and end user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// The model as the book names it: a model's other names are the same model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Tokens it may use at most, input and output. Absent in holds of the first schema only; those
    /// were made before any limit counted tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Exact>,
}

/// The client's own name for a request, so that it is not run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// SHA-256 of the `Idempotency-Key`.
    pub key: Digest,
    /// SHA-256 of what was asked for; the body itself is never kept.
    pub body: Digest,
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
    /// The most it can use, for customers with a plan or credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<Worst>,
    /// What the prices rest on, to be checked by the ledger's clock; absent where that was done
    /// before, in a session that goes by the prices of its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
    /// The end user in clear, where the client named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// Among whom it counts.
    #[serde(default)]
    pub scopes: Scopes,
    /// The client's own name for it, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Once>,
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
    /// What is charged if nobody asks for its end.
    #[serde(default)]
    pub unresolved: Unresolved,
}

/// What a job or batch is charged whose end nobody has asked for when its time is over: the
/// operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unresolved {
    /// The least that it can have cost.
    #[default]
    Floor,
    /// All that is still held for it.
    Hold,
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

/// Tells whether an outcome holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// Which attempt reached it, and by which charge it is priced.
    pub of: OutcomeOf,
    /// It holds and is owed; else it does not hold.
    pub confirmed: bool,
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

/// An attempt that ran under the operator's allowance, without a hold: what would have been
/// reserved, and what it used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unreserved {
    /// As it was asked for, with the same attempt id.
    pub reserve: Reserve,
    /// As it ended.
    pub settle: Settle,
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
    /// The attempt that used the client's name for its request before.
    pub once: Option<PriorOnce>,
    /// The batch of the name that the command is about.
    pub batch: Option<KnownBatch>,
    /// Everything of the parties that [`Ledger::needs`](super::Ledger::needs) names. One without
    /// rows was never used: it is there all the same, and empty.
    pub parties: BTreeMap<Party, PartyRows>,
}

/// A request that had the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorOnce {
    /// Its attempt.
    pub attempt_id: AttemptId,
    /// The request.
    pub request_id: RequestId,
    /// What was asked for.
    pub body: Digest,
    /// When it was admitted.
    pub at: Timestamp,
    /// How it ended, if it did, and what it was charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(Class, Exact)>,
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
        /// How the limits stand after it; empty without hard limits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        standings: Vec<Standing>,
    },
    /// It may not run, and nothing was changed.
    Refused(Box<Refusal>),
    /// Its prices are not in force: look again which are, and ask anew. Nothing was changed.
    StalePrice {
        /// The ledger's clock.
        now: Timestamp,
    },
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
    /// Where a party stands.
    Standing(Vec<LimitView>),
    /// What is expected.
    Outlook(Box<Outlook>),
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
    /// Replace what the customer used in the hour that starts at this time.
    PutHour(Timestamp, Hour),
    /// Remove the customer's hours that start at these times: the one at the start of time has them.
    DropHours(Vec<Timestamp>),
    /// Replace what a party used in the hour that starts at this time.
    PutUse(Party, Timestamp, Hour),
    /// Remove a party's hours that start at these times.
    DropUse(Party, Vec<Timestamp>),
    /// Replace what a party used in the last minute that was counted.
    PutMinute(Party, Timestamp, Tally),
    /// Replace the number of refusals of the hour that starts at this time.
    PutRefusals(Timestamp, RefusalCode, u64),
    /// Remember whose a client's name for a request is.
    PutOnce {
        /// The name's digest.
        key: Digest,
        /// Whose, as far as it is known by then.
        once: PriorOnce,
    },
    /// Replace the account.
    PutAccount(Account),
    /// Insert or replace a key.
    PutKey(KeyState),
    /// Replace the newest activation that a request was admitted under.
    PutInForce(InForce),
    /// Insert terms.
    PutTerms(Box<Terms>),
    /// Remove terms that were to come.
    DropTerms(u32),
    /// Insert or replace the usage of one place of a plan.
    PutPlanUse(Box<UseRow>),
    /// Forget the usage of a plan's period.
    DropPlanUses(u32, Timestamp),
    /// Insert or replace a piece of credit; without one, remove it.
    PutCredit(Unit, String, Option<Box<Stored>>),
    /// Name a job. A name that is there stays as it is.
    PutJob(String, Job),
    /// What is kept of batches.
    Batch(BatchRow),
    /// What is kept for alerts.
    Alerts(AlertRow),
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
