//! Batches: many requests under one hold, each charged once when its result is handed out.
//!
//! Ownership: a batch's attempt holds money for all of its lines; what a line costs moves from that
//! hold to the spend, under an attempt of the line's own. Invariant: a line, told by batch and
//! custom id, is charged at most once, however often and by however many its results are read.

use serde::{Deserialize, Serialize};

use super::command::{Pinned, Scopes, SubUsed, Unresolved};
use super::terms::HeldTerms;
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, RequestId};
use crate::meter;
use crate::money::Exact;
use crate::quote::ManyAtMost;
use crate::record::{Admitted, Digest, Unknown};
use crate::wire::usage::Usage;

/// What the lines of a batch can cost, and the prices they are charged at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Who runs it, as the configuration names the upstream.
    pub upstream: String,
    /// The API's path that each line asks for.
    pub endpoint: String,
    /// How many lines.
    pub lines: u64,
    /// Prices of every model asked for, at least one.
    pub prices: Vec<ModelPrices>,
    /// All lines at their worst.
    pub held: Exact,
    /// All lines at their least.
    pub floor: Exact,
    /// The dearest line at its worst.
    pub dearest: Exact,
    /// Fewest input tokens of all lines together.
    pub input_least: u64,
    /// The book that priced it.
    pub book_version: String,
    /// Currency of the amounts.
    pub currency: String,
}

/// A model of a batch and what it is charged at. `input_least` is that of its smallest line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrices {
    /// As the lines name it.
    pub model: String,
    /// Its prices.
    pub pinned: Pinned,
    /// The most that its lines can use, for customers with a plan or credit. Absent in files that were
    /// kept before batches could go by a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<ManyAtMost>,
}

impl Forecast {
    /// The most that all lines can use, model by model.
    pub fn most(&self) -> Vec<ManyAtMost> {
        let all = self.prices.iter().filter_map(|prices| prices.most.clone());
        all.filter(|most| most.times > 0).collect()
    }
}

/// A batch under way, or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The attempt that holds for it.
    pub attempt_id: AttemptId,
    /// The request that began it; its lines belong to the same.
    pub request_id: RequestId,
    /// When its hold was made: whose window its lines count in.
    pub reserved_at: Timestamp,
    /// What was known at admission.
    pub admitted: Admitted,
    /// Among whom it counts, and so does each of its lines.
    #[serde(default)]
    pub scopes: Scopes,
    /// Who runs it.
    pub upstream: String,
    /// Prices of its models.
    pub prices: Vec<ModelPrices>,
    /// The dearest line at its worst.
    pub dearest: Exact,
    /// The customer's terms when it began, where it had any: each line goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Box<HeldTerms>>,
    /// How far it has come.
    #[serde(default)]
    pub progress: Progress,
}

/// How far a batch has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Lines charged.
    pub posted: u64,
    /// What they cost.
    pub charged: Exact,
    /// The provider said that it is over.
    pub ended: bool,
    /// How many lines were answered, by the provider's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u64>,
    /// What all of it costs, by the usage that the provider sums up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Exact>,
}

/// What a ledger is told of batches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchCommand {
    /// A file with a batch's requests was uploaded.
    Keep {
        /// The name that the provider gave it.
        file_id: String,
        /// What its lines can cost.
        forecast: Box<Forecast>,
    },
    /// An admitted attempt is a batch: its hold stays under the batch's name.
    Open {
        /// The name that the provider gave it.
        batch_id: String,
        /// The attempt that holds for it.
        attempt_id: AttemptId,
        /// What its lines can cost.
        forecast: Box<Forecast>,
        /// How long the hold is kept from now on.
        life: Millis,
        /// What is charged if its end is never seen.
        unresolved: Unresolved,
    },
    /// The provider took it and did not say under which name: nobody can have its results.
    Lost {
        /// The attempt that holds for it.
        attempt_id: AttemptId,
    },
    /// The provider said where it stands.
    Seen {
        /// Which.
        batch_id: String,
        /// What it said.
        seen: Box<Seen>,
    },
    /// Results were read.
    Post {
        /// Of which batch.
        batch_id: String,
        /// At most [`super::BATCH_LINES_MAX`].
        lines: Vec<BatchLine>,
        /// All answers were read, to their end.
        whole: bool,
        /// When.
        at: Timestamp,
    },
}

/// What a provider says of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// In its own word.
    pub status: String,
    /// It is over: no line will be added.
    pub ended: bool,
    /// How many lines were answered; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u64>,
    /// There is something to download.
    pub has_results: bool,
    /// What all lines used together, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Name of the file that holds its answers, where they are in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// Name of the file that holds what was not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<String>,
}

/// One line of a batch's results that cost something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchLine {
    /// SHA-256 of its custom id.
    pub id: Digest,
    /// Which of the batch's models; absent where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which model served, by the upstream's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// What it used.
    pub usage: Usage,
    /// How its answer ended.
    pub outcome: meter::Outcome,
    /// The upstream's report contradicts itself, or is missing.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suspect: bool,
    /// Usage that is priced by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sub_usage: Vec<SubUsed>,
    /// Numbers in the usage whose meaning is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}

/// A file of the customer's at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum File {
    /// Requests for a batch, and what they can cost.
    Requests(Box<Forecast>),
    /// Results of a batch.
    Results {
        /// Which.
        batch_id: String,
        /// Of its requests those that were not answered: read to its end, it does not say that all
        /// answers are in.
        errors: bool,
    },
}

/// What storage keeps of batches.
#[derive(Debug, Clone)]
pub enum BatchRow {
    /// Insert or replace a batch.
    Batch(String, Box<Batch>),
    /// Note a line as charged. One that is there already stays.
    Line(String, Digest),
    /// Note whose a file is, and since when. One that is there already stays as it is.
    File(String, Timestamp, File),
    /// Forget files of requests that were noted before this time.
    ForgetFiles(Timestamp),
}

/// What storage knows of a batch.
#[derive(Debug, Clone)]
pub struct KnownBatch {
    /// The batch.
    pub batch: Batch,
    /// Those lines of the command that were charged before.
    pub posted: Vec<Digest>,
}

impl Progress {
    /// The most that the lines still to come can cost; `None` where the provider has not said
    /// enough.
    pub(super) fn still_to_come(&self, dearest: Exact) -> Option<Exact> {
        let rest = match (self.used, self.ended, self.succeeded) {
            (Some(used), ..) => used.minus(self.charged).ok()?,
            (None, true, Some(lines)) => {
                dearest.times(Exact::from(lines.saturating_sub(self.posted))).ok()?
            }
            _ => return None,
        };
        Some(rest.max(Exact::ZERO))
    }

    /// How many lines are still to come; `None` where the provider has not said.
    pub(super) fn lines_to_come(&self) -> Option<u64> {
        self.succeeded.filter(|_| self.ended).map(|lines| lines.saturating_sub(self.posted))
    }

    /// Whether results read to their end are all that there will be.
    pub(super) fn is_complete(&self) -> bool {
        self.ended && self.succeeded.is_none_or(|lines| self.posted >= lines)
    }
}
