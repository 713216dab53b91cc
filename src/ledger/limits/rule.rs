//! What an operator or a customer may ask of a limit.

use serde::{Deserialize, Serialize};

use super::VALUE_MAX;
use super::tally::QUARTER_MS;
use super::window::Frame;
use crate::calendar::Every;
use crate::clock::{Timestamp, Window};
use crate::ids::Name;
use crate::ledger::LIMIT_MAX;
use crate::money::Exact;

/// For whom a limit counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The customer as a whole.
    #[default]
    Customer,
    /// An API key, by its id.
    Key,
    /// A model, as the price book names it.
    Model,
    /// The value of the header that the operator named.
    Tag,
    /// Whom the client's request names as its end user.
    EndUser,
}

impl Scope {
    /// Every one that counts parties.
    pub const OF_PARTIES: [Self; 4] = [Self::Key, Self::Model, Self::Tag, Self::EndUser];

    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Key => "key",
            Self::Model => "model",
            Self::Tag => "tag",
            Self::EndUser => "end_user",
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Charges, in the customer's currency.
    #[default]
    Money,
    /// Input and output tokens; the most a request can use is held while it runs.
    Tokens,
    /// Attempts that were sent to an upstream.
    Requests,
    /// Requests that run at the same time.
    Concurrency,
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

/// Who set a limit, and may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Whoever runs the gate.
    #[default]
    Operator,
    /// The customer, for itself. Every limit has to agree, so this one can only tighten.
    Customer,
}

impl Owner {
    /// Whether the customer set it for itself.
    pub fn is_customer(self) -> bool {
        self == Self::Customer
    }
}

/// The length of a billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrence {
    /// Local days.
    Day,
    /// Seven local days.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

impl From<Recurrence> for Every {
    fn from(every: Recurrence) -> Self {
        match every {
            Recurrence::Day => Self::Day,
            Recurrence::Week => Self::Week,
            Recurrence::Month => Self::Month,
            Recurrence::Year => Self::Year,
        }
    }
}

/// A higher limit for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    /// The limit meanwhile.
    pub limit: Exact,
    /// First instant at which the ordinary one is in force again.
    pub until: Timestamp,
}

/// A limit on what is used in a window.
///
/// ```
/// use farebox::ledger::{LimitRule, Measure, Scope};
/// let text = r#"{ "id": "perkey", "scope": "key", "measure": "requests", "window": "minute",
///                 "kind": "hard", "limit": "60" }"#;
/// let rule: LimitRule = serde_json::from_str(text).unwrap();
/// assert_eq!((rule.scope, rule.measure, rule.value), (Scope::Key, Measure::Requests, None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// Names it in refusals.
    pub id: Name,
    /// For whom it counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// The one party it counts; absent: every party of its scope, each for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A request that names no tag or end user is refused.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub required: bool,
    /// What it counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub measure: Measure,
    /// Over which span; absent for what runs at once, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The IANA zone whose calendar the window follows; absent: the customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// An instant at which a billing period begins; with the window `period` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Timestamp>,
    /// How long a billing period is; absent: a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Recurrence>,
    /// Stops or warns.
    pub kind: Strictness,
    /// How much: in the customer's currency, or a whole number of the measure.
    pub limit: Exact,
    /// A higher limit for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise: Option<Raise>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl LimitRule {
    /// A limit on what the whole customer spends.
    pub fn new(id: Name, window: Window, kind: Strictness, limit: Exact) -> Self {
        Self {
            id,
            scope: Scope::Customer,
            value: None,
            required: false,
            measure: Measure::Money,
            window: Some(window),
            zone: None,
            anchor: None,
            every: None,
            kind,
            limit,
            raise: None,
        }
    }

    /// The limit in force at a moment. A raise never lowers it.
    pub fn limit_at(&self, now: Timestamp) -> Exact {
        match self.raise {
            Some(raise) if now < raise.until => self.limit.max(raise.limit),
            _ => self.limit,
        }
    }

    /// Whether it limits a rate: a client that waits a minute or so may go on.
    pub fn is_rate(&self) -> bool {
        match self.window {
            Some(Window::Minute) => true,
            Some(Window::Hour) => self.measure != Measure::Money,
            _ => false,
        }
    }

    /// What is wrong with it, in words; `zone` is the customer's.
    fn problem(&self, zone: &str) -> Option<String> {
        let largest = Exact::from(LIMIT_MAX);
        let raised = self.raise.map(|raise| raise.limit);
        for limit in [Some(self.limit), raised].into_iter().flatten() {
            if limit.is_negative() {
                return Some("the amount is below zero".into());
            }
            if limit > largest || limit.plus(largest).is_err() {
                return Some(format!("at most {LIMIT_MAX} with 16 places is possible"));
            }
            if self.measure != Measure::Money && limit.to_u64().is_none() {
                return Some("tokens, requests and concurrency are whole numbers".into());
            }
        }
        self.scope_problem().or_else(|| self.window_problem(zone))
    }

    fn scope_problem(&self) -> Option<String> {
        if let Some(value) = &self.value {
            let is_plain = !value.is_empty() && value.len() <= VALUE_MAX;
            if self.scope == Scope::Customer || !is_plain {
                return Some(format!(
                    "a value names one key, model, tag or end user, in at most {VALUE_MAX} bytes"
                ));
            }
            if self.scope == Scope::EndUser {
                return Some("end users are limited each for itself: leave the value out".into());
            }
        }
        let may_be_absent = matches!(self.scope, Scope::Tag | Scope::EndUser);
        (self.required && !may_be_absent).then(|| "only a tag or end user can be required".into())
    }

    fn window_problem(&self, zone: &str) -> Option<String> {
        let is_span = self.measure != Measure::Concurrency;
        if is_span != self.window.is_some() {
            return Some("every measure but concurrency needs a window, and that has none".into());
        }
        let is_period = self.window == Some(Window::Period);
        if is_period != self.anchor.is_some() || (self.every.is_some() && !is_period) {
            return Some("the window period needs an anchor, and no other has one".into());
        }
        if self.anchor.is_some_and(|anchor| anchor.ms().rem_euclid(QUARTER_MS) != 0) {
            return Some("an anchor is a quarter of an hour, such as 2026-01-31T00:00:00Z".into());
        }
        Frame::of(self, zone).err().map(|error| error.to_string())
    }
}

/// What is wrong with a list of limits.
pub fn check(limits: &[LimitRule], most: usize, zone: &str) -> Option<String> {
    if limits.len() > most {
        return Some(format!("at most {most} limits are possible"));
    }
    for (at, rule) in limits.iter().enumerate() {
        if let Some(problem) = rule.problem(zone) {
            return Some(format!("limit {}: {problem}", rule.id));
        }
        if limits.iter().skip(at.saturating_add(1)).any(|other| other.id == rule.id) {
            return Some(format!("limit {}: the id is given twice", rule.id));
        }
    }
    None
}
