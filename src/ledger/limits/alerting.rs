//! Which thresholds of which limits are reached, and what was charged between two instants.

use super::Party;
use super::counter::Counter;
use super::rule::{Measure, Owner, Scope};
use super::set::Limits;
use super::state::Ruled;
use super::window::Span;
use crate::calendar::Period;
use crate::clock::Timestamp;
use crate::ledger::alerts::{Pace, is_burning, is_reached};
use crate::ledger::status::LimitView;
use crate::money::{Exact, OutOfRange};

/// A threshold of a limit that is reached.
pub struct Crossed {
    pub percent: u32,
    pub view: LimitView,
}

impl Limits {
    /// What the whole customer was charged in a period.
    pub fn charged_between(&self, period: Period) -> Result<Exact, OutOfRange> {
        self.charged_in(Span { start: period.start, end: Some(period.end) })
    }

    /// The thresholds, in ascending percent, that the limits of the customer and of these parties
    /// have reached since this was last asked; after a start or a change of the limits, all that are
    /// reached. Rates are left out: their window is over before anyone could act. So are end users,
    /// each of whom may have limits of its own: they are the customer's to tell.
    pub fn crossed(
        &mut self,
        parties: &[Party],
        thresholds: &[u32],
        now: Timestamp,
    ) -> Result<Vec<Crossed>, OutOfRange> {
        let mut found = Vec::new();
        let look = Look { rules: &self.rules, currency: &self.currency, thresholds, now };
        look.at(&mut self.customer, None, &mut found)?;
        for party in parties.iter().filter(|party| party.scope != Scope::EndUser) {
            if let Some(counter) = self.parties.get_mut(party) {
                look.at(counter, Some(party), &mut found)?;
            }
        }
        Ok(found)
    }

    /// The customer's own limits on money that burn, and were not told to.
    pub fn burning(
        &mut self,
        pace: &Pace,
        factor: u32,
        now: Timestamp,
    ) -> Result<Vec<LimitView>, OutOfRange> {
        let mut views = Vec::new();
        for state in &mut self.customer.states {
            let (Some(ruled), Some(end)) = (self.rules.get(state.rule), state.span.end) else {
                continue;
            };
            state.tell_of(ruled.rule.limit_at(now));
            if state.burn_told {
                continue;
            }
            if ruled.rule.measure != Measure::Money || !is_watched(ruled) {
                continue;
            }
            let of = (state.settled, ruled.rule.limit_at(now));
            if is_burning(of, (state.span.start, end), pace, factor, now).unwrap_or(false) {
                state.burn_told = true;
                views.push(state.view(ruled, None, &self.currency, now)?);
            }
        }
        Ok(views)
    }
}

struct Look<'a> {
    rules: &'a [Ruled],
    currency: &'a str,
    thresholds: &'a [u32],
    now: Timestamp,
}

impl Look<'_> {
    fn at(
        &self,
        counter: &mut Counter,
        party: Option<&Party>,
        found: &mut Vec<Crossed>,
    ) -> Result<(), OutOfRange> {
        for state in &mut counter.states {
            let Some(ruled) = self.rules.get(state.rule).filter(|ruled| is_watched(ruled)) else {
                continue;
            };
            let limit = ruled.rule.limit_at(self.now);
            state.tell_of(limit);
            let told = state.told;
            for percent in self.thresholds.iter().filter(|percent| **percent > told) {
                if !is_reached(state.settled, limit, *percent) {
                    break;
                }
                state.told = *percent;
                let value = party.map(|party| party.value.clone());
                let view = state.view(ruled, value, self.currency, self.now)?;
                found.push(Crossed { percent: *percent, view });
            }
        }
        Ok(())
    }
}

fn is_watched(ruled: &Ruled) -> bool {
    !ruled.rule.is_rate() && ruled.rule.measure != Measure::Concurrency
}

impl Owner {
    /// Whether the customer set it for itself.
    pub fn is_customer(self) -> bool {
        self == Self::Customer
    }
}
