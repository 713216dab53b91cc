//! What the operator agrees with a customer: a plan and how it is paid, and grants.

use serde::{Deserialize, Serialize};

use super::purse::Unit;
use super::terms::Rest;
use crate::calendar::Every;
use crate::clock::Timestamp;
use crate::credits::Source;
use crate::money::Exact;

/// A customer's terms from an instant on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutPlan {
    /// The plan's document; `null`: everything goes by the price book.
    pub plan: Option<String>,
    /// From when on.
    #[serde(default)]
    pub from: When,
    /// The IANA zone that periods follow; UTC where absent.
    #[serde(default)]
    pub zone: Option<String>,
    /// An instant at which a period starts; the start of these terms where absent.
    #[serde(default)]
    pub anchor: Option<Timestamp>,
    /// What becomes of usage that the plan has no price for.
    #[serde(default)]
    pub rest: Rest,
    /// Nothing runs that no grant covers.
    #[serde(default)]
    pub prepaid: bool,
    /// How far a prepaid balance may go below zero.
    #[serde(default)]
    pub overdraft: Exact,
}

/// From when on terms are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once, in the middle of a period.
    #[default]
    Now,
    /// From the end of the present period.
    NextPeriod,
    /// From an instant that is not past.
    At(Timestamp),
}

/// Credit to be granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Names it; the same again changes nothing.
    pub id: String,
    /// In money or in the plan's credits.
    pub unit: Unit,
    /// How much.
    pub amount: Exact,
    /// Bought or given.
    pub source: Source,
    /// What one unit of it was bought for.
    #[serde(default)]
    pub cost_basis: Exact,
    /// Lower burns first.
    #[serde(default)]
    pub priority: u64,
    /// The first instant it is good; now where absent.
    #[serde(default)]
    pub starts: Option<Timestamp>,
    /// The first instant it no longer is.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The meters it may be spent on; none named: all.
    #[serde(default)]
    pub meters: Vec<String>,
    /// And the models.
    #[serde(default)]
    pub models: Vec<String>,
    /// Comes again so often, each time good until the next.
    #[serde(default)]
    pub every: Option<Every>,
    /// What is carried on from one time to the next.
    #[serde(default)]
    pub rollover_cap: Option<Exact>,
}
