//! What the operator changes about a customer's terms: its plan and its credit.

use super::{Broken, Op};
use crate::calendar::Calendar;
use crate::clock::Timestamp;
use crate::credits::{Eligible, Grant};
use crate::ledger::agree::{NewGrant, PutPlan, When};
use crate::ledger::command::{Reply, Row};
use crate::ledger::purse::{Recurs, SUMS, Unit};
use crate::ledger::terms::{InForce, PLAN_BYTES_MAX, Terms};
use crate::ledger::{GRANTS_MAX, TERMS_MAX};
use crate::money::Exact;

/// Longest id of a grant.
const GRANT_ID_MAX: usize = 128;

fn invalid(why: impl Into<String>) -> Reply {
    Reply::Invalid(why.into())
}

impl Op<'_> {
    /// Puts a plan on the customer, from an instant on. Running requests end under the one they began
    /// under.
    pub(super) fn put_plan(&mut self, put: &PutPlan) -> Result<Reply, Broken> {
        let from = match self.from(&put.from) {
            Ok(from) => from,
            Err(reply) => return Ok(reply),
        };
        let last = self.ledger.contracts.last().cloned();
        let number = last.as_ref().map_or(1, |last| last.terms.number.saturating_add(1));
        let mut terms = Terms {
            number,
            from,
            plan: put.plan.clone(),
            zone: put.zone.clone().unwrap_or_else(|| "UTC".into()),
            anchor: put.anchor.unwrap_or(from),
            rest: put.rest,
            prepaid: put.prepaid,
            overdraft: put.overdraft,
        };
        if let Some(last) = &last {
            let same = put.anchor.is_some() || {
                // Without an anchor of its own, a repetition means the same periods.
                let anchored = Terms { anchor: last.terms.anchor, ..terms.clone() };
                if anchored.is_like(&last.terms) {
                    terms = anchored;
                }
                true
            };
            if same && terms.is_like(&last.terms) && last.terms.from <= from {
                return Ok(Reply::Done);
            }
        }
        let force = match self.checked(terms) {
            Ok(force) => force,
            Err(reply) => return Ok(reply),
        };
        self.replace(from);
        for unit in [Unit::Money, Unit::Credits] {
            self.ledger.contracts.purse(unit).set_policy(force.policy(unit));
        }
        self.rows.push(Row::PutTerms(Box::new(force.terms.clone())));
        let force = self.ledger.contracts.push(force);
        self.ledger.contracts.add_plan_grants(&force, self.now)?;
        self.store_credit(Unit::Money);
        self.store_credit(Unit::Credits);
        Ok(Reply::Done)
    }

    fn from(&self, when: &When) -> Result<Timestamp, Reply> {
        match when {
            When::Now => Ok(self.now),
            When::At(at) if *at >= self.now => Ok(*at),
            When::At(at) => {
                Err(invalid(format!("{at} is past: a plan is never changed backwards")))
            }
            When::NextPeriod => {
                let force = self.ledger.contracts.at(self.now);
                let force = force.filter(|force| force.plan.is_some());
                let force =
                    force.ok_or_else(|| invalid("there is no period under way to wait for"))?;
                Ok(force.period(self.now).end)
            }
        }
    }

    fn checked(&self, terms: Terms) -> Result<InForce, Reply> {
        let Some(account) = &self.ledger.account else {
            return Err(invalid("create the customer before its plan"));
        };
        if self.ledger.contracts.len() >= TERMS_MAX {
            return Err(invalid(format!("at most {TERMS_MAX} changes of plan are possible")));
        }
        if terms.plan.as_ref().is_some_and(|plan| plan.len() > PLAN_BYTES_MAX) {
            return Err(invalid(format!("a plan has at most {PLAN_BYTES_MAX} bytes")));
        }
        if terms.overdraft.is_negative() {
            return Err(invalid("overdraft: must not be negative"));
        }
        if Calendar::new(&terms.zone, terms.anchor, crate::calendar::Every::Month).is_err() {
            return Err(invalid(format!("zone: {:?} is not an IANA time zone", terms.zone)));
        }
        let plan = terms.plan.as_deref().map(crate::plan::Plan::parse).transpose();
        let told = |faults: &crate::strict::Faults| {
            let each = faults.list().iter().map(|fault| format!("plan.{fault}"));
            invalid(each.collect::<Vec<_>>().join("; "))
        };
        if let Some(plan) = plan.map_err(|faults| told(&faults))? {
            plan.fit_for_requests().map_err(|faults| told(&faults))?;
            if plan.currency != account.currency {
                let message = format!("plan.currency: the customer pays in {}", account.currency);
                return Err(invalid(message));
            }
        }
        InForce::of(terms).ok_or_else(|| invalid("the plan cannot be read"))
    }

    /// What was to begin at an instant or later never does; what recurs until then ends with it.
    fn replace(&mut self, from: Timestamp) {
        let gone = self.ledger.contracts.take_coming(from, self.now);
        for one in gone {
            self.rows.push(Row::DropTerms(one.terms.number));
            self.end_grants(one.terms.number, one.terms.from);
        }
        if let Some(last) = self.ledger.contracts.last() {
            let number = last.terms.number;
            self.end_grants(number, from);
        }
    }

    fn end_grants(&mut self, number: u32, at: Timestamp) {
        for unit in [Unit::Money, Unit::Credits] {
            self.ledger.contracts.purse(unit).end_all(&InForce::grant_prefix(number), at);
        }
    }

    /// Grants credit. The same grant again changes nothing.
    pub(super) fn put_grant(&mut self, new: &NewGrant) -> Result<Reply, Broken> {
        if self.ledger.contracts.is_empty() {
            return Ok(invalid(
                "put the customer's terms first: a plan, or `plan: null` for the book",
            ));
        }
        let starts = new.starts.unwrap_or(self.now);
        let grant = Grant {
            id: new.id.clone(),
            source: new.source,
            amount: new.amount,
            cost_basis: new.cost_basis,
            priority: new.priority,
            created: self.now,
            starts,
            expires: new.expires,
            eligible: Eligible { meters: new.meters.clone(), models: new.models.clone() },
        };
        if let Some(reply) = self.grant_objection(new, &grant) {
            return Ok(reply);
        }
        let terms = self.ledger.contracts.at(self.now);
        let purse = self.ledger.contracts.purse(new.unit);
        match (new.every, terms) {
            (Some(every), terms) => {
                let zone =
                    terms.as_ref().map_or_else(|| "UTC".into(), |one| one.terms.zone.clone());
                let rollover_cap = new.rollover_cap;
                let recurs = Recurs { zone, anchor: starts, every, rollover_cap, next: 0, grant };
                purse.add_recurring(recurs, self.now)?;
            }
            (None, _) => purse.add(grant, self.now)?,
        }
        self.store_credit(new.unit);
        Ok(Reply::Done)
    }

    fn grant_objection(&mut self, new: &NewGrant, grant: &Grant) -> Option<Reply> {
        if new.id == SUMS || new.id.len() > GRANT_ID_MAX || new.id.starts_with("plan-") {
            let why = format!("id: 1 to {GRANT_ID_MAX} characters, and `plan-` begins plans' own");
            return Some(invalid(why));
        }
        if new.amount <= Exact::ZERO || new.cost_basis.is_negative() {
            return Some(invalid("amount: must be above zero, and cost_basis not below it"));
        }
        if new.expires.is_some_and(|expires| expires <= grant.starts) {
            return Some(invalid("expires: is not after `starts`"));
        }
        if new.every.is_none() && new.rollover_cap.is_some() {
            return Some(invalid("rollover_cap: carries nothing on without `every`"));
        }
        for unit in [Unit::Money, Unit::Credits] {
            let purse = self.ledger.contracts.purse(unit);
            let Some(known) = purse.find(&new.id) else { continue };
            let again = Grant { created: known.created, starts: known.starts, ..grant.clone() };
            let starts = new.starts.is_none_or(|starts| starts == known.starts);
            let same = unit == new.unit && starts && again == *known;
            return Some(if same { Reply::Done } else { invalid("id: names another grant") });
        }
        let full = self.ledger.contracts.purse(new.unit).is_full();
        full.then(|| invalid(format!("at most {GRANTS_MAX} grants are possible")))
    }

    /// Takes back what is left of a grant. What running requests have set aside of it is theirs.
    pub(super) fn void_grant(&mut self, id: &str) -> Result<Reply, Broken> {
        for unit in [Unit::Money, Unit::Credits] {
            if self.ledger.contracts.purse(unit).void(id)? {
                self.store_credit(unit);
                return Ok(Reply::Done);
            }
        }
        Ok(invalid(format!("there is no grant {id:?}")))
    }
}
