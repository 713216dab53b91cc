//! Limits as whoever watches them sees them, and what was charged between two instants.

use super::Party;
use super::rule::{Measure, Scope};
use super::set::Limits;
use super::state::{LimitState, Ruled};
use super::window::Span;
use crate::calendar::Period;
use crate::clock::Timestamp;
use crate::ledger::status::LimitView;
use crate::money::{Exact, OutOfRange};

/// One limit of the customer or of a party.
pub struct Watched<'a> {
    /// Absent: the customer as a whole.
    pub party: Option<&'a Party>,
    /// How much in all, now.
    pub limit: Exact,
    state: &'a LimitState,
    ruled: &'a Ruled,
}

impl Watched<'_> {
    /// Its place in the order of the rules, which stands until they are changed.
    pub fn place(&self) -> usize {
        self.state.rule
    }

    pub fn settled(&self) -> Exact {
        self.state.settled
    }

    /// The present window; its end is absent where it never resets.
    pub fn window(&self) -> (Timestamp, Option<Timestamp>) {
        (self.state.span.start, self.state.span.end)
    }

    pub fn is_on_money(&self) -> bool {
        self.ruled.rule.measure == Measure::Money
    }

    fn is_before_anyone_could_act(&self) -> bool {
        self.ruled.rule.is_rate() || self.ruled.rule.measure == Measure::Concurrency
    }
}

impl Limits {
    /// What the whole customer was charged in a period.
    pub fn charged_between(&self, period: Period) -> Result<Exact, OutOfRange> {
        self.charged_in(Span { start: period.start, end: Some(period.end) })
    }

    /// The limits of the customer and of those of these parties that are in memory. Rates are left
    /// out: their window is over before anyone could act. So are end users, each of whom may have
    /// limits of its own: they are the customer's to tell.
    pub fn watched<'a>(
        &'a self,
        parties: &'a [Party],
        now: Timestamp,
    ) -> impl Iterator<Item = Watched<'a>> {
        let named = |party: &Party| party.scope != Scope::EndUser;
        let states = self.states(parties).filter(move |(_, party)| party.is_none_or(named));
        let watched = states.filter_map(move |(state, party)| {
            let ruled = self.rules.get(state.rule)?;
            Some(Watched { party, limit: ruled.rule.limit_at(now), state, ruled })
        });
        watched.filter(|each| !each.is_before_anyone_could_act())
    }

    /// One of them as people see it.
    pub fn view_of(&self, each: &Watched<'_>, now: Timestamp) -> Result<LimitView, OutOfRange> {
        let value = each.party.map(|party| party.value.clone());
        each.state.view(each.ruled, value, &self.currency, now)
    }
}
