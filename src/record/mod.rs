//! Usage records: what every admitted attempt leaves behind, as canonical bytes, chained and
//! signed, so that whoever holds them can check each one.
//!
//! The format is written down in `docs/record-format.md`; this room makes it and checks it. What
//! only records are made of lists its members in the order of their names: see `order.rs`.

pub mod checkpoint;
mod order;
mod plan;
pub mod receipt;
mod seal;
pub mod tree;
mod verify;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name, RequestId};
use crate::meter;
use crate::money::Exact;
use crate::rating::Line;
use crate::wire::usage::{Meter, Provenance, Usage};

pub use plan::{ByPlan, PaidBy, Payment, PlanLine, PlanLineKind};
pub use seal::{Digest, Sealed, SealedLine, Signature, seal};
pub use verify::{Audit, Bad, Checked, Evidence, Expected, Finding, Report, Verdict, verify};

/// Version of the record format written here.
pub const FORMAT: u32 = 1;

/// How an attempt ended, for the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Charged for what was used.
    Settled,
    /// Nothing was used; amount zero.
    Voided,
    /// The hold expired before anyone said what was used; charged by the written rule.
    Unresolved,
}

/// Why a record deserves a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// More was used than was held.
    Overage,
    /// The usage came after the hold had expired.
    Late,
    /// Some quantity was counted here, not reported.
    Counted,
    /// Some meter that was used has no rate.
    Unpriced,
    /// The upstream's report contradicts itself.
    Suspect,
    /// Corrects an earlier record; its amount is the difference.
    Correction,
    /// It ran without a hold, while the ledger could not be reached.
    Unreserved,
    /// Another model served than was asked for; charged at the prices of the one asked for.
    ServedOther,
}

/// One quantity on a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Of what.
    pub meter: Meter,
    /// Says who.
    pub provenance: Provenance,
    /// How much.
    pub quantity: Exact,
    /// In which unit.
    pub unit: String,
}

/// What is known of an attempt when it is admitted; kept with the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Which of the customer's keys.
    pub key_id: Name,
    /// Live or test.
    pub mode: crate::auth::Mode,
    /// When the request came in, by the edge's clock.
    pub received_at: Timestamp,
    /// The API's path.
    pub endpoint: String,
    /// The model asked for.
    pub model: String,
    /// The answer is streamed.
    pub stream: bool,
    /// Features used.
    pub features: Vec<String>,
    /// Service tier asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Where it is served, as the operator names regions; absent where that makes no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The end user as HMAC-SHA256 under a random key of its own, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_user: Option<String>,
    /// The price book it is priced by.
    pub book_version: String,
    /// Currency of every amount on the record.
    pub currency: String,
    /// What was held.
    pub held: Exact,
}

/// What the upstream did; absent on a record whose attempt was never heard of again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The upstream's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// How the answer ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<meter::Outcome>,
    /// Which model served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// Which service tier served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_tier: Option<String>,
    /// When the answer began: its headers had arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_at: Option<Timestamp>,
    /// When the answer was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What kept it from being answered, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
}

/// The public part: chained, signed, shown to the customer. Written by `order.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Format version, [`FORMAT`].
    pub v: u32,
    /// Whose record.
    pub customer: Name,
    /// Position in the customer's chain, from 1, without gaps.
    pub seq: u64,
    /// SHA-256 of the previous record's canonical bytes in hex; 64 zeros before the first.
    pub prev: Digest,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// The sequence number this one corrects.
    #[serde(default)]
    pub corrects: Option<u64>,
    /// Settled, voided or unresolved.
    pub class: Class,
    /// On a line of a batch: which.
    #[serde(default)]
    pub batch: Option<LineOf>,
    /// On outcomes: which attempt reached them, and by which charge of the plan they are priced.
    #[serde(default)]
    pub outcome_of: Option<OutcomeOf>,
    /// What was known at admission.
    #[serde(flatten)]
    pub admitted: Admitted,
    /// What the upstream did.
    #[serde(flatten)]
    pub answered: Answered,
    /// When the ledger wrote this, by its clock.
    pub recorded_at: Timestamp,
    /// Everything measured.
    pub quantities: Vec<Quantity>,
    /// The arithmetic; with those of `sub_usage`, the amounts add up to `amount` (plus `previous`,
    /// on a correction).
    pub lines: Vec<Line>,
    /// What the customer's plan adds, where it has one.
    #[serde(default)]
    pub plan: Option<ByPlan>,
    /// Meters used that the book has no rate for.
    #[serde(default)]
    pub unpriced: Vec<Meter>,
    /// Usage of other models inside the answer, and usage that the answer's own total leaves out.
    #[serde(default)]
    pub sub_usage: Vec<SubUsage>,
    /// Numbers in the upstream's usage whose meaning is not known: perhaps billed, so kept.
    #[serde(default)]
    pub unknown: Vec<Unknown>,
    /// On a correction: what was charged before, now taken back.
    #[serde(default)]
    pub previous: Option<Exact>,
    /// What this record adds to the spend, unrounded. The sum over all records is the spend.
    pub amount: Exact,
    /// Reasons for a second look.
    pub flags: Vec<Flag>,
    /// SHA-256 of salt ‖ canonical private part, in hex.
    pub private: Digest,
}

/// One line of a batch's results: what it is charged once by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineOf {
    /// The batch, as its provider names it.
    pub id: String,
    /// SHA-256 of the line's `custom_id`: whoever knows that finds its record.
    pub line: Digest,
}

/// Outcomes of one attempt that one charge of its plan prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeOf {
    /// The attempt that reached them.
    pub attempt_id: AttemptId,
    /// The charge's id.
    pub charge: String,
}

/// Usage inside an answer that is priced by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubUsage {
    /// A part of what the record's own quantities say, and not an addition to it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub included: bool,
    /// What it was for, by the upstream's word: `compaction`, `advisor_message`, `transcription` …
    pub kind: String,
    /// The arithmetic.
    #[serde(serialize_with = "order::lines")]
    pub lines: Vec<Line>,
    /// Which model; absent where the upstream does not say: then the answer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Everything measured.
    pub quantities: Vec<Quantity>,
    /// Meters used that the book has no rate for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<Meter>,
}

/// A number of unknown meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Where it stood in the answer.
    pub path: String,
    /// How much.
    pub quantity: Exact,
}

/// The private part: the operator's alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// Its worst case was sold below the margin that the book guards.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub below_margin: bool,
    /// What the upstream charges for it, where the book knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Exact>,
    /// What the attempt was charged in all, minus cost, where the cost is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Exact>,
    /// Who served.
    pub provider: String,
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// Format version.
    pub v: u32,
}

impl Record {
    /// Every line of the arithmetic, those of other models included.
    pub fn all_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().chain(self.sub_usage.iter().flat_map(|sub| &sub.lines))
    }
}

/// A usage as a record lists it.
pub fn quantities(usage: &Usage) -> Vec<Quantity> {
    let quantity = |(meter, measured): (Meter, crate::wire::usage::Measured)| Quantity {
        meter,
        quantity: measured.quantity,
        unit: meter.unit().to_owned(),
        provenance: measured.provenance,
    };
    usage.iter().map(quantity).collect()
}

#[cfg(test)]
mod tests;
