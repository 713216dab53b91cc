//! What an operator, or the customer itself, may change: terms, limits, keys, and what they open.

use serde::{Deserialize, Serialize};

use super::agree::{NewGrant, PutPlan};
use super::alerts::AlertSettings;
use super::limits::LimitRule;
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::record::Digest;

/// Most entries in one list of an entitlement: each is looked at on every reserve.
pub const ENTRIES_MAX: usize = 256;

/// What may be changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admin {
    /// Creates the customer, or replaces its terms.
    PutCustomer {
        /// The customer's name.
        customer: Name,
        /// Currency of its limits and charges.
        currency: String,
        /// All of the operator's limits; an empty list means none, and has to be said.
        limits: Vec<LimitRule>,
        /// The IANA zone whose calendar its limits follow; absent: UTC.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
        /// What its plan allows.
        #[serde(default, skip_serializing_if = "Allows::is_all")]
        allows: Allows,
    },
    /// Replaces the customer's own limits.
    PutCaps {
        /// All of them.
        caps: Vec<LimitRule>,
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
        /// First instant at which it no longer opens anything; absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// What it opens, within what the plan allows.
        #[serde(default, skip_serializing_if = "Allows::is_all")]
        allows: Allows,
    },
    /// Ends a key at once.
    RevokeKey {
        /// Which.
        key_id: Name,
    },
    /// Lets nothing new begin, or lets it begin again; what runs goes on and is settled.
    Freeze {
        /// One key; absent: the whole customer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<Name>,
        /// Frozen or not.
        frozen: bool,
    },
    /// Puts a plan on the customer, or other terms.
    PutPlan(Box<PutPlan>),
    /// Grants credit.
    PutGrant(Box<NewGrant>),
    /// Replaces what is told of the customer.
    PutAlerts(Box<AlertSettings>),
    /// Takes back what is left of a grant.
    VoidGrant {
        /// Which.
        id: String,
    },
}

/// What may be used: each list absent for everything, empty for nothing. An entry is a whole name,
/// or the beginning of one before a `*`.
///
/// ```
/// use farebox::ledger::Allows;
/// let allows: Allows = serde_json::from_str(r#"{ "models": ["gpt-4o*"] }"#).unwrap();
/// assert!(allows.objection("gpt-4o-mini", "/v1/responses", &[]).is_none());
/// assert!(allows.objection("o3", "/v1/responses", &[]).is_some());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allows {
    /// Models, as the price book names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Endpoints, as records name them, such as `/v1/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// Features, as records name them, such as `tools`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
}

/// What is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forbidden {
    /// `model`, `endpoint` or `feature`.
    pub what: String,
    /// Which.
    pub name: String,
}

impl Allows {
    /// Whether everything is allowed.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The first thing a request uses that is not allowed.
    pub fn objection(&self, model: &str, endpoint: &str, features: &[String]) -> Option<Forbidden> {
        let forbidden =
            |what: &str, name: &str| Some(Forbidden { what: what.into(), name: name.into() });
        if !lists(self.models.as_deref(), model) {
            return forbidden("model", model);
        }
        if !lists(self.endpoints.as_deref(), endpoint) {
            return forbidden("endpoint", endpoint);
        }
        let feature = features.iter().find(|name| !lists(self.features.as_deref(), name))?;
        forbidden("feature", feature)
    }

    /// What is wrong with it, in words.
    pub(super) fn problem(&self) -> Option<String> {
        let lists = [&self.models, &self.endpoints, &self.features];
        let longest = lists.into_iter().flatten().map(Vec::len).max()?;
        (longest > ENTRIES_MAX).then(|| format!("at most {ENTRIES_MAX} entries are possible"))
    }
}

fn lists(entries: Option<&[String]>, name: &str) -> bool {
    let fits = |entry: &String| match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => entry == name,
    };
    entries.is_none_or(|entries| entries.iter().any(fits))
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
    /// Nothing new may begin by it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub frozen: bool,
    /// First instant at which it no longer opens anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it opens.
    #[serde(default, skip_serializing_if = "Allows::is_all")]
    pub allows: Allows,
}
