//! Where a customer's plan and credit stand, for people.

use serde::{Deserialize, Serialize};

use super::purse::{Purse, Unit};
use super::terms::Contracts;
use crate::clock::Timestamp;
use crate::credits::Source;
use crate::money::{Exact, OutOfRange};
use crate::plan::{Included, Plan};

/// A customer's plan and its present period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// The plan; absent where everything goes by the price book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Since when the customer has it.
    pub since: Timestamp,
    /// Start of the present billing period.
    pub period_start: Timestamp,
    /// Its end; absent without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Timestamp>,
    /// Nothing runs that no credit covers.
    pub prepaid: bool,
    /// What the plan's charges come to so far in this period, above what is due without any usage.
    pub charged: Exact,
    /// Every allowance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<Included>,
    /// Every hard limit of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Included>,
    /// Every commitment: drawn is what its charges come to before discounts, since the plan began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commitments: Vec<CommitmentView>,
    /// The plan that comes next, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPlan>,
}

/// A commitment and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentView {
    /// Which.
    pub id: String,
    /// How much was committed.
    pub of: Exact,
    /// How much was spent of it.
    pub drawn: Exact,
    /// How much is left.
    pub left: Exact,
}

/// Terms that are to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPlan {
    /// The plan; absent: the price book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// From when on.
    pub from: Timestamp,
}

/// A customer's credit in one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditView {
    /// Money or the plan's credits.
    pub unit: Unit,
    /// What people call it: the currency, or the plan's word.
    pub name: String,
    /// Free to be spent, less what is owed.
    pub balance: Exact,
    /// Set aside for running requests.
    pub held: Exact,
    /// When the next of it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_expiry: Option<Timestamp>,
    /// The grants that stand, in the order of their ids.
    pub grants: Vec<GrantView>,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Which.
    pub id: String,
    /// Bought or given.
    pub source: Source,
    /// How much it was.
    pub amount: Exact,
    /// Spent of it.
    pub spent: Exact,
    /// Set aside for running requests.
    pub held: Exact,
    /// Left.
    pub left: Exact,
    /// The first instant it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl Contracts {
    /// The plan in force; `None` where nothing was agreed.
    pub fn plan_view(&self, now: Timestamp) -> Result<Option<PlanView>, OutOfRange> {
        let Some(force) = self.at(now) else { return Ok(None) };
        let plan = force.plan.as_ref();
        let (number, period) = (force.terms.number, force.period(now));
        let running = self.running(number, period.start);
        let next = self.last().filter(|last| last.terms.from > now).map(|last| NextPlan {
            plan: last.plan.as_ref().map(|plan| plan.plan.clone()),
            version: last.plan.as_ref().map(|plan| plan.version.clone()),
            from: last.terms.from,
        });
        let (mut charged, mut commitments) = (Exact::ZERO, Vec::new());
        if let Some(plan) = plan {
            charged = plan.charged(&running, &[])?;
            for (id, of, on) in plan.committed() {
                let each = self.periods(number).map(|running| plan.charged(running, on));
                let drawn = Exact::sum(each.collect::<Result<Vec<_>, _>>()?)?;
                let left = of.minus(drawn)?.max(Exact::ZERO);
                commitments.push(CommitmentView { id: id.to_owned(), of, drawn, left });
            }
        }
        let included = plan.map(|plan| plan.included(&running)).transpose()?;
        let quotas = plan.map(|plan| plan.quotas_left(&running)).transpose()?;
        Ok(Some(PlanView {
            plan: plan.map(|plan| plan.plan.clone()),
            version: plan.map(|plan| plan.version.clone()),
            name: plan.map(|plan| plan.name.clone()),
            since: force.terms.from,
            period_start: period.start.max(force.terms.from),
            period_end: plan.map(|_| period.end),
            prepaid: force.terms.prepaid,
            charged,
            allowances: included.unwrap_or_default(),
            quotas: quotas.unwrap_or_default(),
            commitments,
            next,
        }))
    }

    /// What people call the plan's credits.
    pub fn credit_name(&self, now: Timestamp) -> String {
        let force = self.at(now);
        let plan = force.as_ref().and_then(|force| force.plan.as_ref());
        plan.and_then(Plan::credit_name).unwrap_or("credits").to_owned()
    }

    /// Credit in each unit that there is any of.
    pub fn credit_views(
        &self,
        currency: &str,
        now: Timestamp,
    ) -> Result<Vec<CreditView>, OutOfRange> {
        let credits = self.credit_name(now);
        let purses =
            [(Unit::Money, &self.money, currency), (Unit::Credits, &self.credits, &credits)];
        let some = purses.into_iter().filter(|(_, purse, _)| !purse.is_empty());
        some.map(|(unit, purse, name)| credit_view(unit, purse, name)).collect()
    }
}

fn credit_view(unit: Unit, purse: &Purse, name: &str) -> Result<CreditView, OutOfRange> {
    let standing = || purse.grants().filter(|grant| grant.ended.is_none() || !grant.held.is_zero());
    let left = Exact::sum(purse.grants().map(|grant| grant.left))?;
    let grants = standing().map(|state| GrantView {
        id: state.grant.id.clone(),
        source: state.grant.source,
        amount: state.grant.amount,
        spent: state.spent,
        held: state.held,
        left: state.left,
        expires: state.grant.expires,
    });
    let open = purse.grants().filter(|grant| !grant.left.is_zero());
    Ok(CreditView {
        unit,
        name: name.to_owned(),
        balance: left.minus(purse.owed())?,
        held: Exact::sum(purse.grants().map(|grant| grant.held))?,
        next_expiry: open.filter_map(|grant| grant.grant.expires).min(),
        grants: grants.collect(),
    })
}
