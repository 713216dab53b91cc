//! The price book's JSON, field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::money::Exact;
use crate::wire::usage::Meter;

/// A whole price book. Unknown fields are errors: a misspelt price must not be a missing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always `farebox-book-1`.
    pub format: String,
    /// Names this version on every record.
    pub version: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// When it starts to apply.
    pub effective_from: Timestamp,
    /// What is sold.
    pub models: Vec<Model>,
}

/// One model and its rates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Who serves it: also the name of the upstream in the configuration.
    pub provider: String,
    /// The name clients ask for.
    pub model: String,
    /// Other exact names, such as the dated one the upstream answers with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Most input tokens it takes; bounds what a request can cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<Exact>,
    /// Most output tokens it gives; the bound where a client names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<Exact>,
    /// Output tokens a quote expects where nothing better is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typical_output_tokens: Option<Exact>,
    /// Most input tokens one part of a message can become, by kind of part: `image`, `audio`,
    /// `file`. A kind that is not listed cannot be bounded, so it is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub part_tokens_max: BTreeMap<String, Exact>,
    /// Rates in the default service tier.
    pub rates: Rates,
    /// Rates in other service tiers: `batch`, `flex`, `priority`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Rates>,
    /// What the upstream charges the operator, in the same currency. Never shown to customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Rates>,
    /// Where the rates were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When, as a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
}

/// Rates by meter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rates(pub BTreeMap<Meter, Rate>);

/// So much money per so many units of the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The price of `per` units.
    pub amount: Exact,
    /// How many units that buys; `1000000` for a price per million tokens.
    pub per: Exact,
}
