//! All limits of one customer, and the parties they count.

use std::collections::{BTreeMap, HashMap};

use super::counter::{Change, Counter, Since};
use super::rule::{Measure, Owner, Scope, Strictness};
use super::state::{LimitState, Need, Ruled};
use super::tally::Tally;
use super::window::{Frame, Span};
use super::{PARTIES_MAX, Party, PartyRows};
use crate::clock::Timestamp;
use crate::ledger::command::Row;
use crate::ledger::state::{Account, Hold, hour_of};
use crate::ledger::status::{LimitView, RefusalCode, Standing};
use crate::ledger::{Broken, STANDINGS_MAX};
use crate::money::{Exact, OutOfRange};

/// Hours of a party kept in memory before the present one: most requests settle in the hour they
/// were made in or the next.
const RECENT_HOURS: i64 = 2;
/// Hours of a party in memory at which the older ones are let go.
const HOURS_MAX: usize = 8;

/// All limits of one customer.
#[derive(Debug)]
pub struct Limits {
    pub(super) rules: Vec<Ruled>,
    pub(super) currency: String,
    /// Since when the parties of a scope are counted.
    tracked: BTreeMap<Scope, Timestamp>,
    /// Since when minutes are.
    minutes: Option<Timestamp>,
    pub(super) customer: Counter,
    pub(super) parties: HashMap<Party, Counter>,
    /// Parties with more hours in memory than are kept, and from when on those are; of one operation
    /// only.
    grown: Vec<(Party, Timestamp)>,
    /// Operations so far, to tell which party was unused for longest.
    tick: u64,
}

/// The objection of highest precedence, and who stands in the way of whom.
pub struct Objection {
    pub code: RefusalCode,
    pub view: LimitView,
    pub needed: Exact,
}

impl Limits {
    /// Counts everything anew: at the start, and after a change of the rules.
    pub fn count<'a>(
        account: Option<&Account>,
        customer: PartyRows,
        holds: &(impl Iterator<Item = &'a Hold> + Clone),
        now: Timestamp,
    ) -> Result<Self, OutOfRange> {
        let rules: Vec<Ruled> = account.map(rules_of).unwrap_or_default();
        let which = rules_for(&rules, &Party::customer());
        let minutes = account.and_then(|account| account.minutes);
        let since = Since { party: None, minutes };
        let customer = Counter::count(&rules, which.into_iter(), customer, since, holds, now)?;
        Ok(Self {
            currency: account.map(|account| account.currency.clone()).unwrap_or_default(),
            tracked: account.map(|account| account.tracked.clone()).unwrap_or_default(),
            minutes,
            rules,
            customer,
            parties: HashMap::new(),
            grown: Vec::new(),
            tick: 0,
        })
    }

    /// The rows of the customer as a whole, to be counted under other rules.
    pub fn take_customer(&mut self) -> PartyRows {
        let hours = core::mem::take(&mut self.customer.hours);
        PartyRows { hours: hours.into_iter().collect(), minute: Some(self.customer.minute) }
    }

    /// The parties among whom a request counts, of those that are counted at all.
    pub fn parties_of(
        &self,
        value: impl Fn(Scope) -> Option<String>,
    ) -> impl Iterator<Item = Party> {
        self.tracked
            .keys()
            .filter_map(move |scope| value(*scope).map(|value| Party { scope: *scope, value }))
    }

    /// The single parties that limits name.
    pub fn named_parties(&self) -> Vec<Party> {
        let of = |ruled: &Ruled| {
            let value = ruled.rule.value.clone()?;
            Some(Party { scope: ruled.rule.scope, value })
        };
        let mut parties: Vec<Party> = self.rules.iter().filter_map(of).collect();
        parties.sort_unstable();
        parties.dedup();
        parties
    }

    /// Whether everything is in memory that a change of `party` at `at` needs.
    pub fn knows(&self, party: &Party, at: Timestamp) -> bool {
        self.parties.get(party).is_some_and(|counter| counter.knows(at))
    }

    /// Whether everything is in memory that [`Self::objection_at`] needs of `party`.
    pub fn knows_windows(&self, party: &Party, at: Timestamp, now: Timestamp) -> bool {
        let Some(counter) = self.parties.get(party) else { return false };
        counter.states.iter().filter_map(|state| self.rules.get(state.rule)).all(|ruled| {
            let span = ruled.frame.around(at);
            !ruled.is_counted_later() || span.holds(now) || counter.knows(span.start)
        })
    }

    /// A scope that has to be named, and is not.
    pub fn missing(&self, value: impl Fn(Scope) -> Option<String>) -> Option<Scope> {
        let required = self.rules.iter().filter(|ruled| ruled.rule.required);
        required.map(|ruled| ruled.rule.scope).find(|scope| value(*scope).is_none())
    }

    /// Takes a party's rows in. `holds` are those of the party; `oldest` is the earliest moment that
    /// is still to be counted in.
    pub fn load<'a>(
        &mut self,
        party: &Party,
        rows: PartyRows,
        holds: &(impl Iterator<Item = &'a Hold> + Clone),
        oldest: Timestamp,
        now: Timestamp,
        written: &mut Vec<Row>,
    ) -> Result<(), OutOfRange> {
        let tracked = self.tracked.get(&party.scope).copied();
        let since = Since { party: tracked, minutes: self.minutes };
        let which = rules_for(&self.rules, party);
        let mut counter = Counter::count(&self.rules, which.into_iter(), rows, since, holds, now)?;
        if let Some((past, gone)) = counter.fold(now)? {
            written.push(Row::PutUse(party.clone(), Timestamp::START, past));
            written.push(Row::DropUse(party.clone(), gone));
        }
        self.grown.push((party.clone(), hour_of(oldest.min(recent(now)))));
        counter.used = self.tick;
        self.parties.insert(party.clone(), counter);
        while self.parties.len() > PARTIES_MAX {
            let unused = self.parties.iter().min_by_key(|(party, counter)| (counter.used, *party));
            let Some(party) = unused.map(|(party, _)| party.clone()) else { break };
            self.parties.remove(&party);
        }
        Ok(())
    }

    /// Forgets an end user that has used nothing.
    pub fn forget_user(&mut self, party: &Party) {
        if party.scope == Scope::EndUser {
            self.parties.remove(party);
        }
    }

    /// One operation begins: windows whose time has come begin with it.
    pub fn roll(&mut self, now: Timestamp) {
        self.tick = self.tick.saturating_add(1);
        self.customer.roll(&self.rules, now);
    }

    /// Whether the customer is used to no more than memory holds.
    fn touch(&mut self, party: &Party, now: Timestamp) -> Option<(&mut Counter, &[Ruled])> {
        let counter = self.parties.get_mut(party)?;
        counter.used = self.tick;
        counter.roll(&self.rules, now);
        Some((counter, &self.rules))
    }

    /// Begins what concerns these parties: all must be in memory, and in their present windows.
    pub fn begin(&mut self, parties: &[Party], now: Timestamp) -> Result<(), Broken> {
        for party in parties {
            self.touch(party, now).ok_or(Broken::NotLookedUp)?;
        }
        Ok(())
    }

    /// The gravest objection of any limit to a need of these parties.
    pub fn objection(
        &mut self,
        parties: &[Party],
        need: Need,
        now: Timestamp,
    ) -> Result<Option<Objection>, Broken> {
        self.begin(parties, now)?;
        let mut worst: Option<(RefusalCode, usize, &LimitState, Option<&Party>)> = None;
        for (state, party) in self.states(parties) {
            let Some(ruled) = self.rules.get(state.rule) else { continue };
            let Some(code) = state.objection(ruled, now, need)? else { continue };
            // The gravest; among equals, the first in the operator's order.
            if worst.is_none_or(|(other, at, ..)| (code, state.rule) < (other, at)) {
                worst = Some((code, state.rule, state, party));
            }
        }
        let Some((code, at, state, party)) = worst else { return Ok(None) };
        let Some(ruled) = self.rules.get(at) else { return Ok(None) };
        let value = party.map(|party| party.value.clone());
        let view = state.view(ruled, value, &self.currency, now)?;
        Ok(Some(Objection { code, view, needed: need.of(ruled.rule.measure) }))
    }

    /// The gravest objection of any limit on money to a hold in the windows that hold `at`, be they
    /// over by now: of a window that is over, an attempt that is charged to it may still take what
    /// nobody took. `holds` are all there are. Of minutes no earlier one is kept: it counts as full.
    pub fn objection_at<'a>(
        &mut self,
        parties: &[Party],
        need: Need,
        at: Timestamp,
        now: Timestamp,
        holds: &(impl Iterator<Item = &'a Hold> + Clone),
    ) -> Result<Option<Objection>, Broken> {
        self.begin(parties, now)?;
        let mut worst: Option<((RefusalCode, usize), LimitView)> = None;
        let of_parties =
            parties.iter().filter_map(|party| Some((self.parties.get(party)?, Some(party))));
        for (counter, party) in core::iter::once((&self.customer, None)).chain(of_parties) {
            let own =
                |hold: &&Hold| party.is_none_or(|p| hold.value(p.scope).as_ref() == Some(&p.value));
            for state in &counter.states {
                let Some(ruled) = self.rules.get(state.rule) else { continue };
                if ruled.rule.measure != Measure::Money {
                    continue;
                }
                let then = counter.state_at(state, ruled, holds.clone().filter(own), (at, now))?;
                let Some(code) = then.objection(ruled, now, need)? else { continue };
                let grave = (code, state.rule);
                if worst.as_ref().is_none_or(|(other, _)| grave < *other) {
                    let value = party.map(|party| party.value.clone());
                    worst = Some((grave, then.view(ruled, value, &self.currency, now)?));
                }
            }
        }
        Ok(worst.map(|((code, _), view)| Objection { code, view, needed: need.money }))
    }

    pub(super) fn states<'a>(
        &'a self,
        parties: &'a [Party],
    ) -> impl Iterator<Item = (&'a LimitState, Option<&'a Party>)> {
        let of_parties = parties.iter().filter_map(|party| Some((self.parties.get(party)?, party)));
        self.customer.states.iter().map(|state| (state, None)).chain(of_parties.flat_map(
            |(counter, party)| counter.states.iter().map(move |state| (state, Some(party))),
        ))
    }

    /// Least that remains of any hard limit on money for these parties.
    pub fn remaining(
        &self,
        parties: &[Party],
        now: Timestamp,
    ) -> Result<Option<Exact>, OutOfRange> {
        let mut least: Option<Exact> = None;
        for (state, _) in self.states(parties) {
            let Some(ruled) = self.rules.get(state.rule) else { continue };
            if ruled.rule.kind == Strictness::Hard && ruled.rule.measure == Measure::Money {
                let remaining = state.remaining(ruled, now)?;
                least = Some(least.map_or(remaining, |least| least.min(remaining)));
            }
        }
        Ok(least)
    }

    /// How the first hard limits stand for these parties, in the operator's order.
    pub fn standings(
        &self,
        parties: &[Party],
        now: Timestamp,
    ) -> Result<Vec<Standing>, OutOfRange> {
        let of = |state: &'_ LimitState| self.rules.get(state.rule);
        let hard = |state: &LimitState| of(state).is_some_and(|r| r.rule.kind == Strictness::Hard);
        let states = self.states(parties).map(|(state, _)| state).filter(|state| hard(state));
        let mut states: Vec<&LimitState> = states.collect();
        // The customer's own states are in order already.
        if !parties.is_empty() {
            states.sort_by_key(|state| state.rule);
        }
        let told = states.into_iter().take(STANDINGS_MAX);
        told.filter_map(|state| Some(state.standing(of(state)?, now))).collect()
    }

    /// Counts a hold with everyone it belongs to.
    pub fn hold(&mut self, parties: &[Party], hold: &Hold, now: Timestamp) -> Result<(), Broken> {
        self.customer.hold(&self.rules, hold.reserved_at, hold.need())?;
        for party in parties {
            let (counter, rules) = self.touch(party, now).ok_or(Broken::NotLookedUp)?;
            counter.hold(rules, hold.reserved_at, hold.need())?;
        }
        Ok(())
    }

    /// The reverse. Parties that are not in memory are counted from the holds when they come back.
    pub fn release(
        &mut self,
        parties: &[Party],
        hold: &Hold,
        now: Timestamp,
    ) -> Result<(), OutOfRange> {
        self.customer.release(&self.rules, hold.reserved_at, hold.need())?;
        for party in parties {
            if let Some((counter, rules)) = self.touch(party, now) {
                counter.release(rules, hold.reserved_at, hold.need())?;
            }
        }
        Ok(())
    }

    /// Counts what was used; answers the rows to write.
    pub fn spend(
        &mut self,
        parties: &[Party],
        reserved_at: Timestamp,
        used: Tally,
        now: Timestamp,
        rows: &mut Vec<Row>,
    ) -> Result<(), Broken> {
        let begins = !self.customer.hours.contains_key(&hour_of(reserved_at));
        let Change { hour: (start, hour), minute } =
            self.customer.spend(&self.rules, reserved_at, used, self.minutes.is_some())?;
        rows.push(Row::PutHour(start, hour));
        if let Some((at, used)) = minute {
            rows.push(Row::PutMinute(Party::customer(), at, used));
        }
        if begins && let Some((past, gone)) = self.customer.fold(now)? {
            rows.push(Row::PutHour(Timestamp::START, past));
            rows.push(Row::DropHours(gone));
        }
        let by_minute = self.minutes.is_some();
        for party in parties {
            let (counter, rules) = self.touch(party, now).ok_or(Broken::NotLookedUp)?;
            if !counter.knows(reserved_at) {
                return Err(Broken::NotLookedUp);
            }
            let Change { hour: (start, hour), minute } =
                counter.spend(rules, reserved_at, used, by_minute)?;
            let has_grown = counter.hours.len() > HOURS_MAX;
            rows.push(Row::PutUse(party.clone(), start, hour));
            if let Some((at, used)) = minute {
                rows.push(Row::PutMinute(party.clone(), at, used));
            }
            if has_grown {
                self.grown.push((party.clone(), hour_of(recent(now))));
            }
        }
        Ok(())
    }

    /// An operation is over: hours that are hardly needed any more are let go. Not before, for what
    /// it needed was looked up by what was known when it began.
    pub fn rest(&mut self) {
        for (party, from) in core::mem::take(&mut self.grown) {
            if let Some(counter) = self.parties.get_mut(&party) {
                counter.keep_from(from);
            }
        }
    }

    /// What the whole customer was charged in a span.
    pub fn charged_in(&self, span: Span) -> Result<Exact, OutOfRange> {
        let hours = self.customer.hours.range(hour_of(span.start)..);
        let hours = hours.take_while(|(start, _)| span.end.is_none_or(|end| **start < end));
        let inside = hours.map(|(start, hour)| Ok(hour.within(*start, span)?.money));
        inside.sum_exact()
    }

    /// How the limits of the customer and of the single parties they name stand.
    pub fn views(&mut self, now: Timestamp) -> Result<Vec<LimitView>, Broken> {
        let named = self.named_parties();
        self.begin(&named, now)?;
        let mut views: Vec<(usize, LimitView)> = Vec::new();
        for (state, party) in self.states(&named) {
            let Some(ruled) = self.rules.get(state.rule) else { continue };
            // A limit on every party alike belongs to none of them.
            if party.is_some() != ruled.rule.value.is_some() {
                continue;
            }
            let value = party.map(|party| party.value.clone());
            views.push((state.rule, state.view(ruled, value, &self.currency, now)?));
        }
        views.sort_by_key(|(at, _)| *at);
        Ok(views.into_iter().map(|(_, view)| view).collect())
    }

    /// How every limit of one party stands.
    pub fn party_views(&mut self, party: &Party, now: Timestamp) -> Result<Vec<LimitView>, Broken> {
        self.touch(party, now).ok_or(Broken::NotLookedUp)?;
        let parties = [party.clone()];
        let mut views = Vec::new();
        for (state, of) in self.states(&parties) {
            let (Some(of), Some(ruled)) = (of, self.rules.get(state.rule)) else { continue };
            views.push(state.view(ruled, Some(of.value.clone()), &self.currency, now)?);
        }
        Ok(views)
    }

    /// How near the customer's own limits are: reached, near, and how strict.
    pub fn pressure(
        &self,
        now: Timestamp,
    ) -> Result<impl Iterator<Item = (Strictness, bool, bool)>, OutOfRange> {
        let mut found = Vec::new();
        for state in &self.customer.states {
            let Some(ruled) = self.rules.get(state.rule) else { continue };
            // A rate's window is over before anyone could act on the word.
            if !ruled.rule.is_rate() {
                let (spent, near) = (state.is_spent(ruled, now), state.is_near(ruled, now)?);
                found.push((ruled.rule.kind, spent, near));
            }
        }
        Ok(found.into_iter())
    }

    /// All that was ever charged.
    pub fn charged(&self) -> Result<Exact, OutOfRange> {
        self.charged_in(Span::ALL)
    }
}

trait SumExact {
    fn sum_exact(self) -> Result<Exact, OutOfRange>;
}

impl<I: Iterator<Item = Result<Exact, OutOfRange>>> SumExact for I {
    fn sum_exact(mut self) -> Result<Exact, OutOfRange> {
        self.try_fold(Exact::ZERO, |sum, amount| sum.plus(amount?))
    }
}

/// The rules in their order: the operator's first, then the customer's own.
fn rules_of(account: &Account) -> Vec<Ruled> {
    let zone = account.zone.as_deref().unwrap_or("UTC");
    let of = |rules: &[super::LimitRule], owner: Owner| {
        let ruled = |rule: &super::LimitRule| {
            // Rules were checked before they were stored, so their zones are known.
            let frame = Frame::of(rule, zone).unwrap_or(Frame::Lifetime);
            Ruled { rule: rule.clone(), owner, frame }
        };
        rules.iter().map(ruled).collect::<Vec<_>>()
    };
    let mut rules = of(&account.limits, Owner::Operator);
    rules.extend(of(&account.caps, Owner::Customer));
    rules
}

/// Which rules count a party.
fn rules_for(rules: &[Ruled], party: &Party) -> Vec<usize> {
    let counts = |ruled: &Ruled| {
        ruled.rule.scope == party.scope
            && ruled.rule.value.as_ref().is_none_or(|value| *value == party.value)
    };
    rules.iter().enumerate().filter(|(_, ruled)| counts(ruled)).map(|(at, _)| at).collect()
}

fn recent(now: Timestamp) -> Timestamp {
    let hours = RECENT_HOURS.saturating_mul(3_600_000);
    Timestamp::from_ms(now.ms().saturating_sub(hours))
}
