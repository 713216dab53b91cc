//! One limit: its window, what is settled and held in it, and whether a need fits.

use std::collections::BTreeMap;

use super::command::{LimitRule, Strictness};
use super::state::{Hold, hour_of};
use super::status::{LimitView, RefusalCode};
use crate::clock::{Span, Timestamp};
use crate::money::{Exact, OutOfRange};

#[derive(Debug)]
pub(super) struct LimitState {
    pub rule: LimitRule,
    span: Span,
    settled: Exact,
    held: Exact,
}

impl LimitState {
    /// Counts a limit from the ground: spend by hour, and the holds made in its present window.
    /// Windows begin on whole hours, so hours never straddle two of them.
    pub fn count<'a>(
        rule: LimitRule,
        now: Timestamp,
        hours: &BTreeMap<Timestamp, Exact>,
        holds: impl Iterator<Item = &'a Hold>,
    ) -> Result<Self, OutOfRange> {
        let span = rule.window.around(now);
        let inside = |time: Timestamp| contains(span, time);
        let settled =
            Exact::sum(hours.range(span.start..).filter(|(t, _)| inside(**t)).map(|(_, a)| *a))?;
        let held = Exact::sum(holds.filter(|hold| inside(hold.reserved_at)).map(Hold::amount))?;
        Ok(Self { rule, span, settled, held })
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.span.end.is_some_and(|end| now >= end)
    }

    pub fn hold(&mut self, reserved_at: Timestamp, amount: Exact) -> Result<(), OutOfRange> {
        if contains(self.span, reserved_at) {
            self.held = self.held.plus(amount)?;
        }
        Ok(())
    }

    pub fn release(&mut self, reserved_at: Timestamp, amount: Exact) -> Result<(), OutOfRange> {
        if contains(self.span, reserved_at) {
            self.held = self.held.minus(amount)?;
        }
        Ok(())
    }

    pub fn spend(&mut self, reserved_at: Timestamp, amount: Exact) -> Result<(), OutOfRange> {
        if contains(self.span, hour_of(reserved_at)) {
            self.settled = self.settled.plus(amount)?;
        }
        Ok(())
    }

    /// Why `needed` may not be held, in the order of precedence; `None` where it fits or the
    /// limit is soft.
    pub fn objection(&self, needed: Exact) -> Result<Option<RefusalCode>, OutOfRange> {
        // What costs nothing takes nothing from a limit, be it overdrawn.
        if self.rule.kind == Strictness::Soft || needed.is_zero() {
            return Ok(None);
        }
        let limit = self.rule.limit;
        let with_settled = self.settled.plus(needed)?;
        Ok(if needed > limit {
            Some(RefusalCode::RequestExceedsLimit)
        } else if with_settled > limit {
            Some(RefusalCode::SpendLimitExceeded)
        } else if with_settled.plus(self.held)? > limit {
            Some(RefusalCode::InFlightBudgetExhausted)
        } else {
            None
        })
    }

    pub fn remaining(&self) -> Result<Exact, OutOfRange> {
        self.rule.limit.minus(self.settled)?.minus(self.held)
    }

    /// Nothing is left even when everything running has settled at zero.
    pub fn is_spent(&self) -> bool {
        self.settled >= self.rule.limit
    }

    /// At least four fifths are settled.
    pub fn is_near(&self) -> Result<bool, OutOfRange> {
        let five = self.settled.times(Exact::from(5))?;
        Ok(five >= self.rule.limit.times(Exact::from(4))?)
    }

    pub fn view(&self) -> Result<LimitView, OutOfRange> {
        Ok(LimitView {
            id: self.rule.id.clone(),
            scope: "customer".into(),
            window: self.rule.window,
            kind: self.rule.kind,
            limit: self.rule.limit,
            settled: self.settled,
            held: self.held,
            remaining: self.remaining()?,
            window_start: self.span.start,
            resets_at: self.span.end,
        })
    }
}

fn contains(span: Span, time: Timestamp) -> bool {
    time >= span.start && span.end.is_none_or(|end| time < end)
}
