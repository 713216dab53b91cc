//! What happens where a request does not fit whole, where its client leaves, and where the ledger
//! cannot be asked: rules that the operator switches on, all of them off by default.
//!
//! [`clamp`](clamp()) shortens an answer to what the balance buys. [`Follow`] bounds what a stream
//! has used at every moment, for a hold that grows with it, and [`Ending`] ends one that may not go
//! on as its API ends answers. [`Allowance`] bounds what may run while no ledger answers.
//! `docs/stopping.md` is for operators.

mod allowance;
mod clamp;
mod ending;
mod follow;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ids::Name;
use crate::wire::request::Ask;
use crate::wire::route::Endpoint;

pub use allowance::{Allowance, FailOpen};
pub use clamp::{Clamped, clamp};
pub use ending::Ending;
pub use follow::{Follow, Need};

/// What one customer is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// A request that does not fit may be shortened until it does.
    #[serde(default)]
    pub clamp: Option<Clamp>,
    /// A stream may run with a hold smaller than its worst case.
    #[serde(default)]
    pub part: Option<Part>,
    /// What becomes of an answer whose client leaves.
    #[serde(default)]
    pub on_leave: OnLeave,
}

/// How far an answer may be shortened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// Fewest tokens that are still worth an answer; below, the request is refused.
    pub at_least: u64,
}

/// When, and how far ahead, a stream is held for in part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The models, as clients name them, that show every token they bill. One that reasons unseen
    /// cannot be followed, so each has to be named.
    pub models: Vec<String>,
    /// Output tokens held for ahead of what was seen; the whole input is always held for.
    pub ahead: u64,
    /// For every stream, or only where the worst case does not fit.
    #[serde(default)]
    pub when: When,
}

/// When a stream is held for in part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Only where the worst case does not fit.
    #[default]
    Short,
    /// From the start, so that worst cases do not fill a limit that real spend does not.
    Always,
}

/// What becomes of an answer whose client leaves amid it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLeave {
    /// The upstream's call is ended, and what was seen is charged.
    #[default]
    Cancel,
    /// It is read on for a while, so that the upstream reports exactly.
    Drain,
}

/// The operator's terms: for everyone, and for those who have their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// For everyone without an entry below.
    #[serde(default)]
    pub all: Terms,
    /// A customer's own terms, instead of those for all.
    #[serde(default)]
    pub customers: BTreeMap<Name, Terms>,
}

impl Policy {
    /// From JSON, or what is wrong with it.
    ///
    /// ```
    /// use farebox::stop::Policy;
    /// let policy = Policy::parse(r#"{"all": {"clamp": {"at_least": 64}}}"#).unwrap();
    /// assert_eq!(policy.terms(&"acme".parse().unwrap()).clamp.as_ref().unwrap().at_least, 64);
    /// assert!(Policy::parse(r#"{"all": {"clmap": {}}}"#).is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let all = core::iter::once(&policy.all).chain(policy.customers.values());
        for part in all.filter_map(|terms| terms.part.as_ref()) {
            if part.ahead == 0 || part.models.is_empty() {
                return Err("part: `ahead` must be at least 1, and `models` name some".into());
            }
        }
        Ok(policy)
    }

    /// What holds for a customer.
    pub fn terms(&self, customer: &Name) -> &Terms {
        self.customers.get(customer).unwrap_or(&self.all)
    }
}

impl Part {
    /// Whether a request can be followed: a stream of events of an API whose end is known here,
    /// made of tokens that all show.
    pub fn covers(&self, ask: &Ask, is_events: bool) -> bool {
        let endpoint = matches!(
            ask.endpoint,
            Endpoint::Chat | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages
        ) || ask.endpoint == Endpoint::Generate && is_events;
        let shows_all = ask.unbounded.is_empty() && !ask.features.contains(&"reasoning");
        let named = self.models.contains(&ask.model);
        named && endpoint && shows_all && ask.stream && ask.has_output && !ask.free && !ask.job
    }
}
