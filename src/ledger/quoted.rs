//! A quote under a customer's terms: what is asked, and the answer.

use serde::{Deserialize, Serialize};

use crate::money::Exact;
use crate::quote::{AtMost, Worst};

/// What a request is quoted by; nothing is held for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToQuote {
    /// Who would serve it.
    pub provider: String,
    /// The route, as records name it.
    pub endpoint: String,
    /// The service tier it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The key it would come with, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The most it can use.
    pub worst: Worst,
    /// Input tokens counted in it.
    pub input_least: u64,
    /// What the book makes of those.
    pub lower: Exact,
    /// What it will probably use, and what the book makes of that; none where the book does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub likely: Vec<AtMost>,
}

/// What a request adds to what its customer pays, on top of what the period has used so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermsQuote {
    /// The plan; absent where everything goes by the price book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The least, in money: the counted input; below zero where all becomes cheaper by it.
    pub lower: Exact,
    /// The likely, where the book says how long answers usually are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Exact>,
    /// The most, whatever else is used before it settles: what is held.
    pub upper: Exact,
    /// The same in the plan's credits, where it has any. Those that no grant covers are in the money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<CreditsQuote>,
}

/// A quote in credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsQuote {
    /// What the plan calls them.
    pub name: String,
    /// The least.
    pub lower: Exact,
    /// The likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Exact>,
    /// The most.
    pub upper: Exact,
}
