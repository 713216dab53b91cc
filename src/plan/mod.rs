//! Plans: what a customer pays for a period, as data.
//!
//! plan = fees + charges (a meter, by any dimensions, to a charge model) + allowances + grants +
//! limits + commitments + discounts. The models of the field — token, credit, compute hour, hybrid,
//! outcome — are files in `examples/plans/`, not code. In scope: reading and checking a plan, and
//! pricing the usage of one period by it. Out of scope: invoices, tax, and where plans are stored.

mod balances;
mod carry;
mod currency;
mod gate;
mod metered;
mod price;
mod read;
mod rules;
mod running;
mod spend;
mod standing;
mod usage;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::calendar::{Calendar, Every, Period};
use crate::clock::Timestamp;
use crate::credits::{self, Source};
use crate::money::Exact;
use crate::rating::aggregate::{Aggregation, Event};
use crate::rating::charge::{self, Charge};
use crate::rating::outcome::{Report, Terms};
use crate::strict::{Fault, Faults};

pub use carry::Carried;
pub use currency::minor_units;
pub use rules::Rules;
pub use running::{Increment, Most, PLACES, PLACES_COUNTED_MAX, Part, Place, Running, Sure, Tally};
pub use spend::allocate;
pub use standing::Included;

/// The JSON Schema of plan files, for editors.
pub const SCHEMA: &str = include_str!("../../books/plan-schema.json");
/// What a plan file says it is.
const FORMAT: &str = "farebox-plan-1";

/// Most items in one list of a plan; keeps a plan of any size bounded, and none has a tenth of it.
pub const ITEMS_MAX: usize = 10_000;
/// Most usage entries priced at once.
pub const USAGE_MAX: usize = 1_000_000;

/// A plan that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Names the plan.
    pub plan: String,
    /// Names this version of it.
    pub version: String,
    /// For people.
    pub name: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// Digits after the point that amounts are paid in.
    places: u32,
    /// The length of a period.
    pub period: Every,
    /// The disputed rules in force.
    pub rules: Rules,
    fees: Vec<Fee>,
    charges: Vec<PlanCharge>,
    allowances: Vec<Allowance>,
    credit: Option<Credit>,
    grants: Vec<PlanGrant>,
    limits: Vec<Limit>,
    commitments: Vec<Commitment>,
    discounts: Vec<Discount>,
    /// What the plan lets its customers do; shown, not priced.
    pub features: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fee {
    id: String,
    amount: Exact,
    /// Due in the first period only.
    once: bool,
    /// Due in part where the period is only partly active.
    prorated: bool,
}

/// Dimensions and the values they must have; an absent dimension may have any.
pub type Where = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanCharge {
    id: String,
    meter: String,
    aggregation: Aggregation,
    /// Priced apart for every value of these dimensions.
    each: Vec<String>,
    /// Priced in the plan's credits, not in money.
    in_credits: bool,
    /// What is priced are outcomes, and these are their terms.
    outcome: Option<Terms>,
    /// The one with the most dimensions that matches prices an entry.
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    place: Where,
    charge: Charge,
    /// What the same usage costs the operator.
    cost: Option<Charge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowance {
    id: String,
    meter: String,
    place: Where,
    quantity: Exact,
}

/// The plan's own currency.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Credit {
    name: String,
    /// What one credit costs where the plan bills them beyond its grants.
    worth: Option<Exact>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanGrant {
    id: String,
    amount: Exact,
    in_credits: bool,
    source: Source,
    priority: u64,
    /// Comes once and stays; else it comes every period and is good until the next.
    once: bool,
    /// A grant that comes once is good until so many periods have begun since.
    expires_after_periods: Option<i32>,
    /// What is carried on from one period to the next.
    rollover_cap: Option<Exact>,
    meters: Vec<String>,
    models: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    id: String,
    meter: String,
    place: Where,
    most: Exact,
    /// Usage beyond cannot have happened, so it is not priced.
    hard: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Commitment {
    id: String,
    amount: Exact,
    kind: CommitmentKind,
    /// The charges that count; empty: all.
    on: Vec<String>,
    /// What spend beyond the commitment is multiplied by.
    overage_factor: Option<Exact>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommitmentKind {
    /// At least so much is due for a period: the shortfall is billed.
    Minimum,
    /// At least so much is due until the end of the contract: the shortfall is billed then.
    TrueUp,
    /// Paid ahead: spend is drawn from it first, and what is left at the end is forfeit.
    Prepaid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Discount {
    id: String,
    by: By,
    /// The lines it lowers; empty: all.
    on: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// A share of each line.
    Percent(Exact),
    /// So much in all, never more than the lines come to.
    Amount(Exact),
    /// What a charge makes of the spend: volume discounts.
    Charge(Box<Charge>),
}

/// What was used in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The period, where events or proration need one.
    pub period: Option<Period>,
    /// The part of it in which the customer had the plan.
    pub active: Option<Period>,
    /// The IANA zone that days are counted in.
    pub zone: String,
    /// Whether this is the first period: fees that come once are due.
    pub first: bool,
    /// Whether the contract ends with it: a true-up is due.
    pub last: bool,
    /// What of a commitment was spent in earlier periods, by its id.
    pub spent_before: BTreeMap<String, Exact>,
    /// What of a grant is left from earlier periods, by its id; the plan's amount where absent.
    pub granted: BTreeMap<String, Exact>,
    /// What was used.
    pub entries: Vec<Entry>,
}

/// Usage of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of which meter.
    pub meter: String,
    /// Model, region, quality …
    pub dimensions: BTreeMap<String, String>,
    /// How much.
    pub used: Used,
    /// What it cost the operator, where that is known.
    pub cost: Option<Exact>,
    path: String,
}

/// A quantity, amounts, or the events that make one up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// Already one quantity.
    Quantity(Exact),
    /// Amounts of money, one for each event.
    Amounts(Vec<Exact>),
    /// Events, for the charge's aggregation.
    Events {
        /// In any order.
        events: Vec<Event>,
        /// The level at the period's start.
        carried: Exact,
    },
    /// Reports about outcomes, earlier periods' too: who is billed depends on when each was decided.
    Outcomes(Vec<Report>),
}

/// A priced period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Priced {
    /// The plan.
    pub plan: String,
    /// Its version.
    pub version: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// What is due, after rounding.
    pub amount: Exact,
    /// The same before rounding; absent where it has no decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Exact>,
    /// How it comes about.
    pub lines: Vec<Line>,
    /// What the usage cost the operator, where any of it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Exact>,
    /// `amount` less `cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<Exact>,
    /// What allowances, grants, limits and commitments came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub balances: Vec<Balance>,
    /// What the plan lets its customers do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, String>,
    /// The disputed rules that were in force.
    pub rules: Rules,
}

/// One line of a priced period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The fee, charge, discount, commitment or grant.
    pub id: String,
    /// What it is.
    pub kind: LineKind,
    /// The cell of the charge's matrix, or the dimensions it is priced apart for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// What was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Exact>,
    /// What the line adds, rounded by the plan's rule.
    pub amount: Exact,
    /// The same before rounding; absent where it has no decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Exact>,
    /// So many of the plan's credits, where the charge is priced in them; the amount is then zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Exact>,
    /// What it cost the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Exact>,
    /// How a discount is split over the lines it lowers: to the last unit, largest remainders first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// The charge's own arithmetic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<charge::Line>,
}

/// A line's part of a discount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The line, counted from zero.
    pub line: usize,
    /// Its part, negative.
    pub amount: Exact,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// A fee.
    Fee,
    /// Usage.
    Charge,
    /// Less, for outcomes that an earlier period was billed for and that did not hold.
    Reversal,
    /// Credits beyond what was granted, in money.
    CreditOverage,
    /// Less, by a discount.
    Discount,
    /// More, by the overage factor of a commitment.
    CommitmentOverage,
    /// Less, drawn from a commitment that was paid ahead.
    Drawdown,
    /// More, up to what was committed.
    Shortfall,
    /// Less, paid by a grant.
    Grant,
    /// What rounding the total adds or takes.
    Rounding,
}

/// Where an allowance, grant, limit or commitment stands, or how many outcomes are undecided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Its id.
    pub id: String,
    /// `allowance`, `grant`, `limit`, `commitment` or `pending`.
    pub kind: &'static str,
    /// How much there is.
    pub of: Exact,
    /// How much of it was used, in all.
    pub used: Exact,
    /// What is left; zero where more was used.
    pub left: Exact,
}

impl Plan {
    /// Reads and checks a plan. One with any fault is refused whole, and every fault is told.
    pub fn parse(json: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let plan = read::plan(json, &mut faults);
        faults.unless(plan)
    }

    /// The plan's grants as entries of a log of credit, for a customer who has the plan `from` an
    /// instant and whose periods follow `calendar`.
    pub fn grant_entries(&self, calendar: &Calendar, from: Timestamp) -> Vec<credits::Entry> {
        spend::grant_entries(self, calendar, from, |_| true)
    }

    /// The same of the grants in the plan's credits alone, or of those in money.
    pub fn grants_of(
        &self,
        in_credits: bool,
        calendar: &Calendar,
        from: Timestamp,
    ) -> Vec<credits::Entry> {
        spend::grant_entries(self, calendar, from, |grant| grant.in_credits == in_credits)
    }

    /// What one of the plan's credits costs beyond its grants; `None`: nothing is sold beyond them.
    pub fn credit_worth(&self) -> Option<Exact> {
        self.credit.as_ref().and_then(|credit| credit.worth)
    }

    /// What the plan calls its credits.
    pub fn credit_name(&self) -> Option<&str> {
        self.credit.as_ref().map(|credit| credit.name.as_str())
    }

    /// The terms of the outcomes that a charge prices, if it does.
    pub fn outcome_terms(&self, charge: &str) -> Option<Terms> {
        self.charges.iter().find(|one| one.id == charge).and_then(|one| one.outcome)
    }

    /// Whether any of its charges is for this meter.
    pub fn prices(&self, meter: &str) -> bool {
        self.charges.iter().any(|charge| charge.meter == meter)
    }

    /// What `usage` comes to.
    ///
    /// Errors: those of [`Charge::price`], and `meter_not_priced` where something was used that the
    /// plan has no price for, `ambiguous_price` where two cells match alike, `limit_exceeded` where
    /// more was used than a hard limit lets through, `credits_exhausted` where credits run out that
    /// the plan does not bill for, and `missing_field` where a period is needed.
    pub fn price(&self, usage: &Usage) -> Result<Priced, Fault> {
        price::price(self, usage)
    }
}

impl Usage {
    /// Reads and checks what was used.
    pub fn parse(json: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let usage = usage::read(json, &mut faults);
        faults.unless(usage)
    }
}

fn fault(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault { code, path: path.into(), message: message.into() }
}

#[cfg(test)]
mod json_schema;
#[cfg(test)]
mod tests;
