//! What a customer agreed to: which plan, since when, and how it pays; and what was used under it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::purse::{Purse, Recurs, Stored, Unit};
use super::state::Hold;
use crate::calendar::{Calendar, Period};
use crate::clock::{Millis, Timestamp};
use crate::credits::{Act, Aside, Beyond, BurnOrder, CreditError, Entry, On, Policy};
use crate::money::{Exact, OutOfRange};
use crate::plan::{Part, Place, Plan, Running, Tally};
use crate::record::OutcomeOf;
use crate::wire::usage::Meter;

/// Most terms that one customer has had or will have: a plan a month for five years, all in memory
/// for attempts that are settled late.
pub const TERMS_MAX: usize = 64;

/// Longest plan put on a customer; the largest example has a fiftieth of it.
pub const PLAN_BYTES_MAX: usize = 60_000;

/// Most periods whose usage is kept: an attempt of an earlier one that is still settled is charged as
/// the first of its period.
pub const PERIODS_KEPT: usize = 40;

/// What becomes of usage that the plan has no price for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It is charged by the price book.
    #[default]
    Book,
    /// It is included: recorded, and not charged.
    Included,
    /// Requests that may use it are refused.
    Refused,
}

/// One customer's terms from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Counts up; names them in holds and records.
    pub number: u32,
    /// In force from here on, until later terms are.
    pub from: Timestamp,
    /// The plan's document; absent: everything goes by the price book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The IANA zone that periods follow.
    pub zone: String,
    /// An instant at which a period starts.
    pub anchor: Timestamp,
    /// What the plan does not price.
    pub rest: Rest,
    /// Nothing runs that no grant covers.
    pub prepaid: bool,
    /// How far a prepaid balance may go below zero.
    pub overdraft: Exact,
}

impl Terms {
    /// Whether both say the same, from whenever on.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same = |terms: &Self| Self { number: 0, from: Timestamp::from_ms(0), ..terms.clone() };
        same(self) == same(other)
    }
}

/// Credit set aside for a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// In money or credits.
    pub unit: Unit,
    /// For what.
    pub on: On,
    /// Grants and how much of each.
    pub parts: Vec<(String, Exact)>,
    /// Covered by none.
    pub uncovered: Exact,
}

impl SetAside {
    pub(super) fn aside(&self) -> Aside {
        Aside { parts: self.parts.clone(), uncovered: self.uncovered }
    }

    /// All of it, covered or not.
    pub(super) fn amount(&self) -> Result<Exact, OutOfRange> {
        Exact::sum(self.parts.iter().map(|(_, part)| *part))?.plus(self.uncovered)
    }

    /// Adds what was set aside later.
    pub(super) fn join(&mut self, more: &Aside) -> Result<(), OutOfRange> {
        for (id, part) in &more.parts {
            match self.parts.iter_mut().find(|(known, _)| known == id) {
                Some((_, known)) => *known = known.plus(*part)?,
                None => self.parts.push((id.clone(), *part)),
            }
        }
        self.uncovered = self.uncovered.plus(more.uncovered)?;
        Ok(())
    }

    /// Leaves out what was set aside before.
    pub(super) fn leave_out(&mut self, before: &Self) -> Result<(), OutOfRange> {
        for (id, part) in &mut self.parts {
            let known = before.parts.iter().find(|(known, _)| known == id);
            *part = part.minus(known.map_or(Exact::ZERO, |(_, part)| *part))?;
        }
        self.parts.retain(|(_, part)| !part.is_zero());
        self.uncovered = self.uncovered.minus(before.uncovered)?;
        Ok(())
    }

    /// Takes up to `amount` out: what burns first, first.
    pub(super) fn take(&mut self, amount: Exact) -> Result<Aside, OutOfRange> {
        let (mut out, mut rest) = (Aside::default(), amount);
        for (id, part) in &mut self.parts {
            let taken = (*part).min(rest);
            (*part, rest) = (part.minus(taken)?, rest.minus(taken)?);
            if !taken.is_zero() {
                out.parts.push((id.clone(), taken));
            }
        }
        self.parts.retain(|(_, part)| !part.is_zero());
        out.uncovered = self.uncovered.min(rest);
        self.uncovered = self.uncovered.minus(out.uncovered)?;
        Ok(out)
    }

    /// The same of what was charged for it all: credits that no grant covers were charged in money.
    pub(super) fn take_paid(&mut self, amount: Exact) -> Result<Exact, OutOfRange> {
        let out = self.take(amount)?;
        let covered = Exact::sum(out.parts.iter().map(|(_, part)| *part))?;
        if self.unit == Unit::Money { covered.plus(out.uncovered) } else { Ok(covered) }
    }

    /// Takes out what is above `keep`: what burns last, first.
    pub(super) fn cut(&mut self, keep: Exact) -> Result<Aside, OutOfRange> {
        let mut kept = self.take(keep)?;
        let out = Aside {
            parts: core::mem::take(&mut self.parts),
            uncovered: core::mem::take(&mut self.uncovered),
        };
        self.parts.append(&mut kept.parts);
        self.uncovered = kept.uncovered;
        Ok(out)
    }
}

/// The terms a hold was made under, so that a change of plan changes nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTerms {
    /// Which terms.
    pub number: u32,
    /// The start of the period it counts in.
    pub period: Timestamp,
    /// What was asked for: hold and floor by the price book.
    pub asked: (Exact, Exact),
    /// What the plan may tell its prices by.
    pub dimensions: BTreeMap<String, String>,
    /// The meters that the plan prices.
    pub covered: Vec<Meter>,
    /// What becomes of the others.
    pub rest: Rest,
    /// What the counted least comes to by the book, of what the plan does not price.
    pub book_floor: Exact,
    /// All of the hold is charged if its end is never seen: a job's, by the operator's choice.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub whole: bool,
    /// How much of each of the plan's hard limits it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Exact>,
    /// Credit set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<SetAside>,
    /// It is held for a batch, whose lines are charged each for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<LineNeeds>,
    /// Of a batch, what its lines to come cost at least, by what has to pay it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub least: Vec<(Unit, On, Exact)>,
    /// How many outcomes it may reach.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outcomes: u64,
    /// It is held for outcomes that an attempt reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Reached>,
}

/// Outcomes that an attempt reached: they are owed once they are confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Whose they are.
    pub of: OutcomeOf,
    /// What was reached.
    pub parts: Vec<Part>,
    /// Silence confirms them; else it reverses them.
    pub silence_confirms: bool,
    /// How long after their confirmation they can be reversed.
    pub dispute: Millis,
    /// Once they are confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed: Option<Billed>,
}

/// What a confirmed outcome was charged, and how long it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    /// The first instant at which it no longer can.
    pub until: Timestamp,
    /// By the plan's prices in money.
    pub money: Exact,
    /// And in its credits.
    pub credits: Exact,
}

/// What any one line of a batch may need at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNeeds {
    /// In money, as limits count it.
    pub money: Exact,
    /// By what has to pay it.
    pub each: Vec<(Unit, On, Exact)>,
}

impl LineNeeds {
    pub(super) fn of(&self, unit: Unit, on: &On) -> Exact {
        let of = self.each.iter().find(|(other, what, _)| (*other, what) == (unit, on));
        of.map_or(Exact::ZERO, |(_, _, need)| *need)
    }
}

impl HeldTerms {
    /// Of a request that comes now; `asked` are hold and floor by the price book.
    pub(super) fn begin(
        force: &InForce,
        now: Timestamp,
        asked: (Exact, Exact),
        dimensions: BTreeMap<String, String>,
    ) -> Self {
        Self {
            number: force.terms.number,
            period: force.period(now).start,
            asked,
            dimensions,
            covered: Vec::new(),
            rest: force.terms.rest,
            book_floor: asked.1,
            whole: false,
            quotas: Vec::new(),
            aside: Vec::new(),
            batch: None,
            least: Vec::new(),
            outcomes: 0,
            outcome: None,
        }
    }

    /// What the lines of a batch that are still to come cost at least, in money.
    pub(super) fn least_in_money(&self) -> Result<Exact, OutOfRange> {
        let in_money = self.least.iter().filter(|(unit, _, _)| *unit == Unit::Money);
        Exact::sum(in_money.map(|(_, _, amount)| *amount))
    }

    /// So much of the least is no longer to come, whatever it was for.
    pub(super) fn lower_least(&mut self, unit: Unit, by: Exact) -> Result<(), OutOfRange> {
        let mut rest = by;
        for (_, _, amount) in self.least.iter_mut().filter(|(of, _, _)| *of == unit) {
            let gone = rest.min(*amount);
            (*amount, rest) = (amount.minus(gone)?, rest.minus(gone)?);
        }
        self.least.retain(|(_, _, amount)| !amount.is_zero());
        Ok(())
    }

    /// Of what is set aside, only what pays the least is kept: that was charged, the rest is free.
    /// `pays`: credit in money has paid for what nothing was set aside for.
    pub(super) fn keep_least(&mut self, pays: bool) -> Result<(), OutOfRange> {
        let mut kept = Vec::new();
        for (unit, on, amount) in self.least.iter().filter(|one| one.0 == Unit::Credits || pays) {
            let is_same = |one: &&mut SetAside| (one.unit, &one.on) == (*unit, on);
            let known = self.aside.iter_mut().find(is_same);
            let Aside { parts, uncovered } =
                known.map(|known| known.take(*amount)).transpose()?.unwrap_or_default();
            let mut one = SetAside { unit: *unit, on: on.clone(), parts, uncovered };
            one.uncovered = one.uncovered.plus(amount.minus(one.amount()?)?)?;
            kept.push(one);
        }
        self.aside = kept;
        Ok(())
    }

    /// The same terms for one line of a batch.
    pub(super) fn of_line(&self, model: &str) -> Self {
        let mut dimensions = self.dimensions.clone();
        dimensions.insert("model".to_owned(), model.to_owned());
        let (quotas, least) = (Vec::new(), Vec::new());
        Self { dimensions, whole: false, batch: None, quotas, least, outcomes: 0, ..self.clone() }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference over
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Stored usage of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseRow {
    /// Under which terms.
    pub number: u32,
    /// The period's start.
    pub period: Timestamp,
    /// Where.
    pub place: Place,
    /// How much.
    pub tally: Tally,
}

/// Terms as they are worked with.
#[derive(Debug)]
pub(super) struct InForce {
    pub terms: Terms,
    pub plan: Option<Plan>,
    calendar: Option<Calendar>,
}

impl InForce {
    /// `None` where the plan cannot be read: it was, when it came in.
    pub fn of(terms: Terms) -> Option<Self> {
        let plan = terms.plan.as_deref().map(Plan::parse).transpose().ok()?;
        let calendar =
            plan.as_ref().map(|plan| Calendar::new(&terms.zone, terms.anchor, plan.period));
        Some(Self { plan, calendar: calendar.transpose().ok()?, terms })
    }

    /// The period that holds an instant. Without a plan there is one, for ever.
    pub fn period(&self, at: Timestamp) -> Period {
        let whole = Period { start: self.terms.from, end: Timestamp::from_ms(i64::MAX) };
        let around = self.calendar.as_ref().and_then(|calendar| calendar.around(at));
        around.map_or(whole, |(_, period)| period)
    }

    fn order(&self) -> BurnOrder {
        self.plan.as_ref().map_or(BurnOrder::default(), |plan| plan.rules.burn_order)
    }

    pub fn policy(&self, unit: Unit) -> Policy {
        let owed = self.terms.prepaid && unit == Unit::Money;
        let beyond = if owed { Beyond::Owed(self.terms.overdraft) } else { Beyond::Uncovered };
        Policy { order: self.order(), beyond }
    }

    /// How the ids of the plan's own grants begin.
    pub fn grant_prefix(number: u32) -> String {
        format!("plan-{number}:")
    }
}

/// All of a customer's terms, what was used under them, and its credit.
#[derive(Debug)]
pub(super) struct Contracts {
    all: Vec<Arc<InForce>>,
    used: BTreeMap<(u32, Timestamp), Running>,
    pub money: Purse,
    pub credits: Purse,
}

/// What storage knows of them.
#[derive(Debug, Default)]
pub struct LoadedTerms {
    /// All terms.
    pub terms: Vec<Terms>,
    /// Usage by place.
    pub uses: Vec<UseRow>,
    /// Grants.
    pub grants: Vec<(Unit, String, Stored)>,
}

impl Contracts {
    pub fn load<'h>(
        loaded: LoadedTerms,
        holds: impl Iterator<Item = &'h Hold>,
    ) -> Result<Self, OutOfRange> {
        let mut all: Vec<Arc<InForce>> =
            loaded.terms.into_iter().filter_map(InForce::of).map(Arc::new).collect();
        all.sort_by_key(|one| one.terms.number);
        let mut used: BTreeMap<(u32, Timestamp), Vec<(Place, Tally)>> = BTreeMap::new();
        for row in loaded.uses {
            used.entry((row.number, row.period)).or_default().push((row.place, row.tally));
        }
        let policy = |unit| {
            let beyond = Policy { order: BurnOrder::default(), beyond: Beyond::Uncovered };
            all.last().map_or(beyond, |one| one.policy(unit))
        };
        let (mut money, mut credits) =
            (Purse::new(policy(Unit::Money)), Purse::new(policy(Unit::Credits)));
        let (of_money, of_credits): (Vec<_>, Vec<_>) =
            loaded.grants.into_iter().partition(|(unit, _, _)| *unit == Unit::Money);
        money.restore(of_money.into_iter().map(|(_, id, stored)| (id, stored)));
        credits.restore(of_credits.into_iter().map(|(_, id, stored)| (id, stored)));
        for aside in holds.filter_map(|hold| hold.terms.as_ref()).flat_map(|terms| &terms.aside) {
            let purse = if aside.unit == Unit::Money { &mut money } else { &mut credits };
            purse.uncovered = purse.uncovered.plus(aside.uncovered)?;
        }
        let used = used.into_iter().map(|(key, tallies)| (key, Running::of(tallies))).collect();
        Ok(Self { all, used, money, credits })
    }

    /// Whether nothing was ever agreed: then nothing here is looked at.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn purse(&mut self, unit: Unit) -> &mut Purse {
        match unit {
            Unit::Money => &mut self.money,
            Unit::Credits => &mut self.credits,
        }
    }

    /// The terms in force.
    pub fn at(&self, now: Timestamp) -> Option<Arc<InForce>> {
        self.all.iter().rev().find(|one| one.terms.from <= now).cloned()
    }

    pub fn number(&self, number: u32) -> Option<Arc<InForce>> {
        self.all.iter().find(|one| one.terms.number == number).cloned()
    }

    /// Whether credit in money pays under these terms.
    pub fn money_pays(&self, number: u32) -> bool {
        let prepaid = self.number(number).is_some_and(|force| force.terms.prepaid);
        prepaid || !self.money.is_empty()
    }

    pub fn last(&self) -> Option<&Arc<InForce>> {
        self.all.last()
    }

    /// Takes out those that were to come at an instant or later; what has been in force stays, for
    /// holds that were made under it.
    pub fn take_coming(&mut self, at: Timestamp, now: Timestamp) -> Vec<Arc<InForce>> {
        let (stay, go): (Vec<_>, Vec<_>) =
            self.all.drain(..).partition(|one| one.terms.from < at || one.terms.from <= now);
        self.all = stay;
        go
    }

    pub fn push(&mut self, one: InForce) -> Arc<InForce> {
        let one = Arc::new(one);
        self.all.push(one.clone());
        one
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// What was used under these terms in a period.
    pub fn running(&self, number: u32, period: Timestamp) -> Running {
        self.used.get(&(number, period)).cloned().unwrap_or_default()
    }

    /// What was used under these terms, period by period.
    pub fn periods(&self, number: u32) -> impl Iterator<Item = &Running> {
        self.used.iter().filter(move |((of, _), _)| *of == number).map(|(_, running)| running)
    }

    /// Replaces it; answers the periods that are forgotten for it.
    pub fn put_running(
        &mut self,
        number: u32,
        period: Timestamp,
        running: Running,
    ) -> Vec<(u32, Timestamp)> {
        self.used.insert((number, period), running);
        let mut forgotten = Vec::new();
        while self.used.len() > PERIODS_KEPT {
            let Some((key, _)) = self.used.pop_first() else { break };
            forgotten.push(key);
        }
        forgotten
    }

    /// Begins the plan's own grants, under ids of their own.
    pub fn add_plan_grants(&mut self, one: &InForce, now: Timestamp) -> Result<(), CreditError> {
        let (Some(plan), Some(calendar)) = (&one.plan, &one.calendar) else { return Ok(()) };
        let prefix = InForce::grant_prefix(one.terms.number);
        for unit in [Unit::Money, Unit::Credits] {
            let entries = plan.grants_of(unit == Unit::Credits, calendar, one.terms.from);
            for Entry { act, .. } in entries {
                match act {
                    Act::Grant(mut grant) => {
                        grant.id.insert_str(0, &prefix);
                        self.purse(unit).add(grant, now)?;
                    }
                    Act::Recur(mut recurring) => {
                        recurring.grant.id.insert_str(0, &prefix);
                        let recurs = Recurs {
                            grant: recurring.grant,
                            zone: one.terms.zone.clone(),
                            anchor: one.terms.anchor,
                            every: plan.period,
                            rollover_cap: recurring.rollover_cap,
                            next: 0,
                        };
                        self.purse(unit).add_recurring(recurs, now)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
