//! The price book's JSON, field by field. `books/schema.json` is made from these types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rates::{Caps, Rates, Tiers};
use crate::clock::Timestamp;
use crate::money::Exact;

/// A whole price book. Unknown fields are errors: a misspelt price must not be a missing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `farebox-book-2`; `farebox-book-1` is read as well, and uses none of the newer fields.
    pub format: String,
    /// Names this version on every record; 1 to 64 characters.
    pub version: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// When it starts to apply. Rows may start later; none starts earlier.
    pub effective_from: Timestamp,
    /// When what stands in it was known. A later version that changes the past says so here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at: Option<Timestamp>,
    /// What happens to a request that would be sold below a margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_guard: Option<MarginGuard>,
    /// Who serves, and how they are spelt. Empty: the models' own provider names, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Provider>,
    /// What is sold.
    pub models: Vec<Model>,
}

/// A provider, its spellings, and the names that are its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name the models use.
    pub id: String,
    /// Other spellings of it, whole; letter case does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Other spellings of it, by pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spellings: Vec<Pattern>,
    /// Model names that mean this provider where none is named: it makes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes: Vec<Pattern>,
    /// Providers whose models it serves too, at their prices, where it lists none of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serves: Vec<String>,
}

/// A family of names. Every part that is given must hold; letter case does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The name begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The name ends so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// The name holds this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// The name is this and a date: `-20250514`, `@20250514` or `-2025-05-14`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dated: Option<String>,
    /// The name does not hold this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<String>,
}

/// One model and its rates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Who serves it: also the name of the upstream in the configuration.
    pub provider: String,
    /// The name clients ask for.
    pub model: String,
    /// Other exact names, such as the dated one the upstream answers with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Further names by pattern, tried in book order after every exact name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<Pattern>,
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
    /// What is held for features whose cost a request does not bound (`server_tools`,
    /// `web_search`, `audio_output`, `background` …): so much of each meter. What they really use
    /// is settled, be it more. A feature that is not listed is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_caps: BTreeMap<String, Caps>,
    /// When `rates` begin to apply; absent: whenever the book does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// First instant at which `rates` apply no more; absent: until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// Rates in the default service tier. May be empty where `markup` gives them.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub rates: Rates,
    /// Rates in other service tiers, each complete: `batch`, `flex`, `priority`.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Rates of long requests, in rising order; the last one reached holds for every meter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextTier>,
    /// Rates under conditions the above do not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// The rates of other times, past and to come, each with its own bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Period>,
    /// What the upstream charges the operator, in the same currency. Never shown to customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Card>,
    /// Sells at cost times this where `rates` has no rate of its own. Never shown to customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markup: Option<Exact>,
    /// Where the rates were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When, as a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// Where another source says otherwise, and what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed: Option<String>,
}

/// Everything a usage is priced by once time and place are settled: what a hold pins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Rates in the default service tier.
    pub rates: Rates,
    /// Rates in other service tiers.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Rates of long requests, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextTier>,
}

/// The rates of requests whose total input passes a bound. They hold for the whole request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContextTier {
    /// Total input tokens, cached ones included, must be more than this …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Exact>,
    /// … or at least this: exactly one of the two is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Exact>,
    /// Rates in the default service tier.
    pub rates: Rates,
    /// Rates in other service tiers.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
}

/// Rates under conditions. Every condition that is given must hold; of two variants that both
/// hold the one with more conditions counts, so two with equally many must exclude each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Served in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Asked at this time of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Of this quality, such as `hd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Of this resolution, such as `1024x1024` or `1080p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// Rates in the default service tier.
    pub rates: Rates,
    /// Rates in other service tiers.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Rates of long requests, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextTier>,
}

/// A daily window in UTC, half-open; past midnight where it ends before it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`, the first minute outside; `00:00` is the end of the day.
    pub to: String,
    /// Days of the week, 1 = Monday … 7 = Sunday; empty: all. A window past midnight belongs to
    /// the day of each of its minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<u8>,
}

/// The rates of another time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// First instant at which they apply; absent in the earliest period only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// First instant at which they apply no more; absent in the latest period only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// Rates in the default service tier.
    pub rates: Rates,
    /// Rates in other service tiers.
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
    /// Rates of long requests, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextTier>,
    /// Rates under conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// What happens to a request whose worst case would be sold below a margin over its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MarginGuard {
    /// The least that must be left, in percent of the price: `20` refuses what costs 81 and sells
    /// for 100. May be negative, to allow a known loss.
    pub at_least_percent: Exact,
    /// What then happens.
    pub action: GuardAction,
}

/// What a margin guard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GuardAction {
    /// The request is not forwarded.
    Refuse,
    /// It is forwarded, and the quote says so to the operator.
    Alert,
}
