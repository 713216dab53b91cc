//! One limit and one party: what is settled and held in its present window, and whether a need fits.

use super::rule::{LimitRule, Measure, Owner, Strictness};
use super::tally::Tally;
use super::window::{Frame, Span};
use crate::clock::Timestamp;
use crate::ledger::status::{LimitView, RefusalCode, Standing};
use crate::money::{Exact, OutOfRange};

/// A limit in force, and how its windows follow one another.
#[derive(Debug)]
pub struct Ruled {
    pub rule: LimitRule,
    pub owner: Owner,
    pub frame: Frame,
}

impl Ruled {
    /// Whether one of its windows can still be counted once it is over: of money, from its hours. Of
    /// minutes storage has the last one only.
    pub fn is_counted_later(&self) -> bool {
        self.rule.measure == Measure::Money && !matches!(self.frame, Frame::Minute)
    }
}

/// What a request needs, or a hold holds, by each measure.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    pub money: Exact,
    pub tokens: Exact,
    /// One, but for what an attempt that is over left behind.
    pub requests: Exact,
}

impl Need {
    pub fn of(self, measure: Measure) -> Exact {
        match measure {
            Measure::Money => self.money,
            Measure::Tokens => self.tokens,
            Measure::Requests | Measure::Concurrency => self.requests,
        }
    }
}

/// How one limit stands for one party.
#[derive(Debug, Clone)]
pub struct LimitState {
    /// Which of the rules.
    pub rule: usize,
    pub span: Span,
    pub settled: Exact,
    pub held: Exact,
    /// What was used before this is not counted, though the window had begun.
    pub counts_from: Option<Timestamp>,
}

impl LimitState {
    pub fn hold(
        &mut self,
        ruled: &Ruled,
        reserved_at: Timestamp,
        need: Need,
    ) -> Result<(), OutOfRange> {
        if self.span.holds(reserved_at) {
            self.held = self.held.plus(need.of(ruled.rule.measure))?;
        }
        Ok(())
    }

    pub fn release(
        &mut self,
        ruled: &Ruled,
        reserved_at: Timestamp,
        need: Need,
    ) -> Result<(), OutOfRange> {
        if self.span.holds(reserved_at) {
            self.held = self.held.minus(need.of(ruled.rule.measure))?;
        }
        Ok(())
    }

    pub fn spend(
        &mut self,
        ruled: &Ruled,
        reserved_at: Timestamp,
        used: Tally,
    ) -> Result<(), OutOfRange> {
        if self.span.holds(reserved_at) {
            self.settled = self.settled.plus(used.of(ruled.rule.measure))?;
        }
        Ok(())
    }

    /// Why `need` may not be held, in the order of precedence; `None` where it fits or the limit is
    /// soft.
    pub fn objection(
        &self,
        ruled: &Ruled,
        now: Timestamp,
        need: Need,
    ) -> Result<Option<RefusalCode>, OutOfRange> {
        let rule = &ruled.rule;
        if rule.kind == Strictness::Soft {
            return Ok(None);
        }
        let (limit, needed) = (rule.limit_at(now), need.of(rule.measure));
        // What needs nothing takes nothing from a limit, be it overdrawn.
        if needed.is_zero() {
            return Ok(None);
        }
        let with_settled = self.settled.plus(needed)?;
        let in_all = with_settled.plus(self.held)?;
        Ok(if needed > limit {
            Some(RefusalCode::RequestExceedsLimit)
        } else if rule.is_rate() && in_all > limit {
            Some(RefusalCode::RateLimitExceeded)
        } else if with_settled > limit {
            Some(RefusalCode::SpendLimitExceeded)
        } else if in_all > limit {
            Some(RefusalCode::InFlightBudgetExhausted)
        } else {
            None
        })
    }

    /// As if nothing were left of it.
    pub fn full(&self, ruled: &Ruled, now: Timestamp) -> Self {
        Self { settled: ruled.rule.limit_at(now), ..self.clone() }
    }

    pub fn remaining(&self, ruled: &Ruled, now: Timestamp) -> Result<Exact, OutOfRange> {
        ruled.rule.limit_at(now).minus(self.settled)?.minus(self.held)
    }

    /// Nothing is left even when everything running has settled at zero.
    pub fn is_spent(&self, ruled: &Ruled, now: Timestamp) -> bool {
        ruled.rule.measure != Measure::Concurrency && self.settled >= ruled.rule.limit_at(now)
    }

    /// At least four fifths are settled.
    pub fn is_near(&self, ruled: &Ruled, now: Timestamp) -> Result<bool, OutOfRange> {
        if ruled.rule.measure == Measure::Concurrency {
            return Ok(false);
        }
        let five = self.settled.times(Exact::from(5))?;
        Ok(five >= ruled.rule.limit_at(now).times(Exact::from(4))?)
    }

    /// As people see it; `value` is the party's, and `currency` the customer's.
    pub fn view(
        &self,
        ruled: &Ruled,
        value: Option<String>,
        currency: &str,
        now: Timestamp,
    ) -> Result<LimitView, OutOfRange> {
        let Ruled { rule, owner, .. } = ruled;
        Ok(LimitView {
            id: rule.id.clone(),
            owner: *owner,
            scope: rule.scope,
            value,
            measure: rule.measure,
            unit: unit(rule.measure, currency).to_owned(),
            window: rule.window,
            kind: rule.kind,
            limit: rule.limit_at(now),
            settled: self.settled,
            held: self.held,
            remaining: self.remaining(ruled, now)?,
            window_start: self.span.start,
            resets_at: self.span.end,
            counts_from: self.counts_from,
        })
    }

    /// As answers' headers tell it.
    pub fn standing(&self, ruled: &Ruled, now: Timestamp) -> Result<Standing, OutOfRange> {
        let length = self.span.end.map(|end| end.since(self.span.start).div_ceil(1_000));
        Ok(Standing {
            id: ruled.rule.id.clone(),
            measure: ruled.rule.measure,
            limit: ruled.rule.limit_at(now),
            remaining: self.remaining(ruled, now)?,
            window_seconds: length,
            reset_seconds: self.span.end.map(|end| end.since(now).div_ceil(1_000)),
        })
    }
}

fn unit(measure: Measure, currency: &str) -> &str {
    match measure {
        Measure::Money => currency,
        Measure::Tokens => "tokens",
        Measure::Requests => "requests",
        Measure::Concurrency => "concurrent requests",
    }
}
