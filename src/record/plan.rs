//! What a record says about a customer's plan: which charges, from what to what, and who paid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Record, order};
use crate::clock::Timestamp;
use crate::ledger::Unit;
use crate::money::Exact;
use crate::rating::charge;

/// The part of a record that its customer's terms add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPlan {
    /// What the plan's charges add. With the record's other lines, the amounts add up to `amount`
    /// (plus `previous`, on a correction).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<PlanLine>,
    /// What credit paid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paid: Vec<Payment>,
    /// Start of the billing period it counts in.
    pub period_start: Timestamp,
    /// The plan; absent where the customer has none, and only credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Which of the customer's terms.
    pub terms: u32,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What one of a plan's charges adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    /// And after.
    pub after: Exact,
    /// What it adds in money; below zero where all became cheaper by it.
    pub amount: Exact,
    /// Used there in the period before this.
    pub before: Exact,
    /// The charge.
    pub charge: String,
    /// What it adds in the plan's credits, where it is priced in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<Exact>,
    /// The charge's own arithmetic: what each price, fee or bound gained. Adds up to the amount, or
    /// to the credits.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "order::details")]
    pub detail: Vec<charge::Line>,
    /// The cell of the charge, and what it is priced apart for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// What of the difference an allowance covers.
    pub included: Exact,
    /// What it is.
    pub kind: PlanLineKind,
    /// Its meter.
    pub meter: String,
}

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanLineKind {
    /// Usage.
    Charge,
    /// Credits beyond what was granted, in money: `after − before` of them.
    CreditOverage,
    /// Of an attempt whose end nobody saw: the counted least by the price book, of what the plan does
    /// not price; of a job, if so chosen, all that was held for it.
    Floor,
    /// What others' usage made of this attempt's, between its floor and its correction.
    Moved,
}

/// What one grant paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// How much.
    pub amount: Exact,
    /// How.
    pub by: PaidBy,
    /// The grant's id, where one paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// In money or in the plan's credits.
    pub unit: Unit,
}

/// How something was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// By a grant.
    Grant,
    /// By what was paid for usage that became cheaper since.
    Ahead,
    /// The balance went below zero.
    Owed,
    /// By none of these: it was used beyond what was held.
    Uncovered,
}

impl ByPlan {
    /// Whether each line's detail adds up to it.
    pub(super) fn adds_up(&self) -> bool {
        self.lines.iter().filter(|line| line.kind == PlanLineKind::Charge).all(|line| {
            let sum = Exact::sum(line.detail.iter().map(|detail| detail.amount));
            sum == Ok(line.credits.unwrap_or(line.amount))
        })
    }
}

impl Record {
    /// Every amount that the record's is the sum of.
    pub fn amounts(&self) -> impl Iterator<Item = Exact> {
        let plan = self.plan.iter().flat_map(|plan| &plan.lines).map(|line| line.amount);
        self.all_lines().map(|line| line.amount).chain(plan)
    }
}
