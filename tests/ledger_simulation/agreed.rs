//! What the operator agrees with the customer in the simulation: everything by the book, or a plan of
//! calls of which some are included. The plan's year is longer than any run, so its period is one.

use farebox::clock::Timestamp;
use farebox::ledger::{Admin, Command, PERIODS_KEPT, PutPlan, Rest, TERMS_MAX, When};
use farebox::money::Exact;

use super::random::Random;

/// Price of a call in units of 1e-8 dollars.
const CALL_UNITS: i128 = 40_000;

/// What usage costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Book,
    /// A call's price, after so many that are included.
    Calls(i128),
}

/// Mostly the plan of calls, of which some or none are included.
pub fn put_plan(random: &mut Random) -> Command {
    let included = [None, Some(0), Some(3)][random.index(3)];
    let allowance = |calls| match calls {
        0 => String::new(),
        calls => format!(
            r#""allowances": [{{"id": "some", "meter": "api_calls", "quantity": "{calls}"}}],"#
        ),
    };
    let plan = included.map(|calls| {
        format!(
            r#"{{"format": "farebox-plan-1", "plan": "{calls}", "version": "1", "name": "Calls",
            "currency": "USD", "period": "year", {}
            "charges": [{{"id": "calls", "meter": "api_calls",
                          "charge": {{"model": "per_unit", "unit_price": "0.0004"}}}}]}}"#,
            allowance(calls)
        )
    });
    let rest = if plan.is_some() { Rest::Included } else { Rest::Book };
    Command::Admin(Admin::PutPlan(Box::new(PutPlan {
        plan,
        from: When::Now,
        zone: None,
        anchor: None,
        rest,
        prepaid: false,
        overdraft: Exact::ZERO,
    })))
}

/// The auditor's book of it: everything is counted anew from the calls.
#[derive(Clone, Default)]
pub struct Agreed {
    /// Number, from when on, what, and where a period begins. That is later than the terms' own
    /// beginning where terms that were to come are put again at once: they keep their periods.
    terms: Vec<(usize, Timestamp, By, Timestamp)>,
    /// Calls by the terms' period. Of old terms no more than this many are remembered.
    calls: std::collections::BTreeMap<usize, i128>,
}

impl Agreed {
    pub fn put(&mut self, put: &PutPlan, now: Timestamp) -> String {
        let by = match &put.plan {
            None => By::Book,
            Some(plan) => By::Calls(if plan.contains("allowances") { 3 } else { 0 }),
        };
        if self.terms.last().is_some_and(|(_, from, last, _)| *last == by && *from <= now) {
            return "done".into();
        }
        if self.terms.len() >= TERMS_MAX {
            return format!("invalid: at most {TERMS_MAX} changes of plan are possible");
        }
        let number = self.terms.last().map_or(1, |(number, ..)| number + 1);
        let same = self.terms.last().filter(|(_, _, last, _)| *last == by);
        let anchor = same.map_or(now, |(.., anchor)| *anchor);
        self.terms.retain(|(_, from, ..)| *from <= now);
        self.terms.push((number, now, by, anchor));
        "done".into()
    }

    /// The terms in force, by the number of their period.
    pub fn at(&self, now: Timestamp) -> Option<(usize, By)> {
        let found = self.terms.iter().rev().find(|(_, from, ..)| *from <= now);
        found.map(|(number, _, by, anchor)| (2 * number + usize::from(now >= *anchor), *by))
    }

    /// What a call may cost at most: others may use up what is included first.
    pub fn most(by: By) -> Option<i128> {
        matches!(by, By::Calls(_)).then_some(CALL_UNITS)
    }

    /// What one more call would add as things stand.
    pub fn next(&self, number: usize, by: By) -> i128 {
        self.clone().count(number, by, 1)
    }

    /// So many calls more or less under these terms; answers what that adds.
    pub fn count(&mut self, number: usize, by: By, more: i128) -> i128 {
        let By::Calls(included) = by else { return 0 };
        let cost = |calls: i128| (calls - included).max(0) * CALL_UNITS;
        let calls = self.calls.get(&number).copied().unwrap_or_default();
        if more != 0 {
            self.calls.insert(number, calls + more);
        }
        while self.calls.len() > PERIODS_KEPT {
            self.calls.pop_first();
        }
        cost(calls + more) - cost(calls)
    }
}
