//! What is known of one party: how each of its limits stands, and the hours that may still change.

use std::collections::BTreeMap;

use super::rule::Measure;
use super::state::{LimitState, Need, Ruled};
use super::tally::{Hour, Tally};
use super::window::{Frame, Span};
use super::{PartyRows, RETAIN_DAYS};
use crate::clock::Timestamp;
use crate::ledger::Broken;
use crate::ledger::state::{Hold, hour_of};
use crate::money::OutOfRange;

/// Hours folded into the sum of the past at a time: more than pass between two, so that they never
/// pile up, and few enough to keep an operation short.
const FOLD_MAX: usize = 48;

/// One party.
#[derive(Debug)]
pub struct Counter {
    pub states: Vec<LimitState>,
    /// Use by the hour; the one at the start of time holds what is older than [`RETAIN_DAYS`].
    pub hours: BTreeMap<Timestamp, Hour>,
    /// Hours before this are in storage only.
    pub complete_from: Timestamp,
    /// The last minute that anything was counted in.
    pub minute: (Timestamp, Tally),
    /// When it was last touched, in operations.
    pub used: u64,
}

/// From when on use is counted at all.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// That of the party's scope; the customer's always is.
    pub party: Option<Timestamp>,
    /// That of minutes; absent where no limit ever counted them.
    pub minutes: Option<Timestamp>,
}

/// What a change of a party's use has to be written as.
pub struct Change {
    pub hour: (Timestamp, Hour),
    /// Where a limit counts minutes.
    pub minute: Option<(Timestamp, Tally)>,
}

impl Counter {
    /// Counts a party's limits from the ground. `since`: nothing older was ever counted for it.
    pub fn count<'a>(
        rules: &[Ruled],
        which: impl Iterator<Item = usize>,
        rows: PartyRows,
        since: Since,
        holds: &(impl Iterator<Item = &'a Hold> + Clone),
        now: Timestamp,
    ) -> Result<Self, OutOfRange> {
        let mut counter = Self {
            states: Vec::new(),
            hours: rows.hours.into_iter().collect(),
            complete_from: Timestamp::START,
            minute: rows.minute.unwrap_or((Timestamp::START, Tally::ZERO)),
            used: 0,
        };
        for at in which {
            let Some(ruled) = rules.get(at) else { continue };
            counter.states.push(counter.state(at, ruled, since, holds.clone(), now)?);
        }
        Ok(counter)
    }

    fn state<'a>(
        &self,
        at: usize,
        ruled: &Ruled,
        since: Since,
        holds: impl Iterator<Item = &'a Hold>,
        now: Timestamp,
    ) -> Result<LimitState, OutOfRange> {
        let span = ruled.frame.around(now);
        let (used, known_from) = self.used_in(&ruled.frame, span)?;
        let known_from = known_from.filter(|_| ruled.rule.measure != Measure::Money);
        let minutes = since.minutes.filter(|_| matches!(ruled.frame, Frame::Minute));
        let counts_from = [since.party, minutes, known_from].into_iter().flatten().max();
        let settled = used.of(ruled.rule.measure);
        let held = crate::money::Exact::ZERO;
        let mut state = LimitState {
            rule: at,
            span,
            settled,
            held,
            counts_from: counts_from
                .filter(|from| *from > span.start && ruled.rule.measure != Measure::Concurrency),
        };
        for hold in holds {
            state.hold(ruled, hold.reserved_at, hold.need())?;
        }
        Ok(state)
    }

    /// How a limit on money stands, or stood, in the window that holds `at`, all hours of which must
    /// be in memory. `holds` are the party's.
    pub fn state_at<'a>(
        &self,
        state: &LimitState,
        ruled: &Ruled,
        holds: impl Iterator<Item = &'a Hold>,
        (at, now): (Timestamp, Timestamp),
    ) -> Result<LimitState, Broken> {
        if state.span.holds(at) {
            return Ok(state.clone());
        }
        if !ruled.is_counted_later() {
            return Ok(state.full(ruled, now));
        }
        if !self.knows(ruled.frame.around(at).start) {
            return Err(Broken::NotLookedUp);
        }
        let since = Since { party: None, minutes: None };
        Ok(self.state(state.rule, ruled, since, holds, at)?)
    }

    /// What was used in a span, and from when on all of it is known.
    fn used_in(&self, frame: &Frame, span: Span) -> Result<(Tally, Option<Timestamp>), OutOfRange> {
        if matches!(frame, Frame::Minute) {
            let (minute, used) = self.minute;
            return Ok((if minute == span.start { used } else { Tally::ZERO }, None));
        }
        let (mut sum, mut known_from) = (Tally::ZERO, None);
        for (start, hour) in self.hours.range(hour_of(span.start)..) {
            if span.end.is_some_and(|end| *start >= end) {
                break;
            }
            sum = sum.plus(hour.within(*start, span)?)?;
            if hour.is_undivided() {
                known_from = Some(hour_after(*start));
            }
        }
        Ok((sum, known_from))
    }

    /// Starts every window whose time has come. Time never runs backwards here, so nothing can have
    /// been used in a window that has only just begun.
    pub fn roll(&mut self, rules: &[Ruled], now: Timestamp) {
        for state in &mut self.states {
            if state.span.end.is_none_or(|end| now < end) {
                continue;
            }
            let Some(ruled) = rules.get(state.rule) else { continue };
            state.span = ruled.frame.around(now);
            state.settled = crate::money::Exact::ZERO;
            state.held = crate::money::Exact::ZERO;
            state.counts_from = None;
        }
    }

    pub fn hold(&mut self, rules: &[Ruled], at: Timestamp, need: Need) -> Result<(), OutOfRange> {
        for state in &mut self.states {
            if let Some(ruled) = rules.get(state.rule) {
                state.hold(ruled, at, need)?;
            }
        }
        Ok(())
    }

    pub fn release(
        &mut self,
        rules: &[Ruled],
        at: Timestamp,
        need: Need,
    ) -> Result<(), OutOfRange> {
        for state in &mut self.states {
            if let Some(ruled) = rules.get(state.rule) {
                state.release(ruled, at, need)?;
            }
        }
        Ok(())
    }

    /// Whether the hour that holds `at` is in memory.
    pub fn knows(&self, at: Timestamp) -> bool {
        hour_of(at) >= self.complete_from
    }

    /// Counts what was used by a request reserved at `at`.
    pub fn spend(
        &mut self,
        rules: &[Ruled],
        at: Timestamp,
        used: Tally,
        by_minute: bool,
    ) -> Result<Change, OutOfRange> {
        for state in &mut self.states {
            if let Some(ruled) = rules.get(state.rule) {
                state.spend(ruled, at, used)?;
            }
        }
        let start = hour_of(at);
        let hour = self.hours.entry(start).or_default();
        hour.add(at, used)?;
        let hour = (start, *hour);
        let minute = Frame::Minute.around(at).start;
        // What settles late belongs to a minute that is over.
        let counts = by_minute && minute >= self.minute.0;
        if counts {
            let before = if minute == self.minute.0 { self.minute.1 } else { Tally::ZERO };
            self.minute = (minute, before.plus(used)?);
        }
        Ok(Change { hour, minute: counts.then_some(self.minute) })
    }

    /// Forgets the hours before `from`; they stay in storage.
    pub fn keep_from(&mut self, from: Timestamp) {
        if from > self.complete_from {
            self.hours = self.hours.split_off(&from);
            self.complete_from = from;
        }
    }

    /// Folds the oldest hours into the sum of the past; answers that sum and the hours that are no
    /// more. Only where all hours are in memory.
    pub fn fold(&mut self, now: Timestamp) -> Result<Option<(Hour, Vec<Timestamp>)>, OutOfRange> {
        let days = RETAIN_DAYS.saturating_mul(86_400_000);
        let oldest = hour_of(Timestamp::from_ms(now.ms().saturating_sub(days)));
        let after_start =
            (core::ops::Bound::Excluded(Timestamp::START), core::ops::Bound::Excluded(oldest));
        if oldest <= Timestamp::START {
            return Ok(None);
        }
        let old: Vec<Timestamp> =
            self.hours.range(after_start).take(FOLD_MAX).map(|(start, _)| *start).collect();
        if old.is_empty() {
            return Ok(None);
        }
        let mut past = self.hours.get(&Timestamp::START).copied().unwrap_or_default();
        for start in &old {
            if let Some(hour) = self.hours.remove(start) {
                past.add(Timestamp::START, hour.sum()?)?;
            }
        }
        self.hours.insert(Timestamp::START, past);
        Ok(Some((past, old)))
    }
}

fn hour_after(start: Timestamp) -> Timestamp {
    Timestamp::from_ms(start.ms().saturating_add(3_600_000))
}
