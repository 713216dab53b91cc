//! Timestamped events → one quantity for a period.
//!
//! A period is half-open: an event on its end belongs to the next one. The order in which events
//! arrive never matters: they are taken by time, and by id where times are equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::Period;
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange};

/// How the events of a period become one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// The quantities added up. The default.
    Sum,
    /// How many events there were, whatever their quantities.
    Count,
    /// The largest quantity.
    Max,
    /// How many different `key`s there were.
    Unique,
    /// The quantity of the last event.
    Latest,
    /// Level × seconds, where each event *changes* the level by its quantity: `+8` when eight GPUs
    /// start, `-8` when they stop. Eight of them for an hour are 28,800.
    TimeWeightedSum,
    /// Level × seconds, where each event *sets* the level: a store's size as it is read now and
    /// then.
    TimeWeightedLevel,
}

impl Aggregation {
    /// Every one and its name in JSON.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("sum", Self::Sum),
        ("count", Self::Count),
        ("max", Self::Max),
        ("unique", Self::Unique),
        ("latest", Self::Latest),
        ("time_weighted_sum", Self::TimeWeightedSum),
        ("time_weighted_level", Self::TimeWeightedLevel),
    ];
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Names the event: the same id twice is the same event, counted once.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// How much; by how much the level changed; or the level. Only counting does without.
    pub quantity: Option<Exact>,
    /// What `Unique` tells apart; events without one are alike.
    pub key: Option<String>,
}

/// Why events have no quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AggregateError {
    /// The event of this id has no quantity. Absent is not zero.
    NoQuantity(String),
    /// The same id names two different events.
    Conflict(String),
    /// The result does not fit 28 digits.
    OutOfRange,
}

impl From<OutOfRange> for AggregateError {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// Milliseconds in the second that time-weighted quantities are told in.
const MS_PER_SECOND: u64 = 1_000;

/// The quantity of `events` in `period`.
///
/// `carried` is the level at the period's start, for time-weighted aggregations only; events before
/// the period are not read, so a level that began earlier has to be carried in.
///
/// `None` where there is nothing to tell: the maximum or the latest of no events is not zero.
///
/// ```
/// use farebox::{calendar::Period, rating::aggregate::{Aggregation, Event, aggregate}};
/// let at = |text: &str| text.parse().unwrap();
/// let event = |id: &str, when: &str, change: &str| Event {
///     id: id.into(), at: at(when), quantity: change.parse().ok(), key: None,
/// };
/// let day = Period { start: at("2026-11-23T00:00:00Z"), end: at("2026-11-24T00:00:00Z") };
/// let events = [event("a", "2026-11-23T08:00:00Z", "8"), event("b", "2026-11-23T20:00:00Z", "-8")];
/// let used = aggregate(Aggregation::TimeWeightedSum, &events, day, 0.into()).unwrap().unwrap();
/// assert_eq!(used.over(3600.into()).unwrap(), 96.into()); // 8 GPUs × 12 h
/// ```
pub fn aggregate(
    aggregation: Aggregation,
    events: &[Event],
    period: Period,
    carried: Exact,
) -> Result<Option<Exact>, AggregateError> {
    let inside = inside(events, period)?;
    match aggregation {
        Aggregation::Count => return Ok(Some(count(inside.len())?)),
        Aggregation::Unique => {
            let keys: BTreeSet<_> = inside.iter().map(|event| event.key.as_deref()).collect();
            return Ok(Some(count(keys.len())?));
        }
        _ => {}
    }
    let each = inside.iter().map(|event| match event.quantity {
        Some(quantity) => Ok((event.at, quantity)),
        None => Err(AggregateError::NoQuantity(event.id.clone())),
    });
    let each: Vec<(Timestamp, Exact)> = each.collect::<Result<_, _>>()?;
    let quantities = || each.iter().map(|(_, quantity)| *quantity);
    Ok(match aggregation {
        Aggregation::Max => quantities().max(),
        Aggregation::Latest => quantities().next_back(),
        Aggregation::TimeWeightedSum => Some(weighted(&each, period, carried, Exact::plus)?),
        Aggregation::TimeWeightedLevel => {
            Some(weighted(&each, period, carried, |_, level| Ok(level))?)
        }
        _ => Some(Exact::sum(quantities())?),
    })
}

/// The events of a period in the order of time, each once.
pub fn inside(events: &[Event], period: Period) -> Result<Vec<&Event>, AggregateError> {
    let mut known: BTreeMap<&str, &Event> = BTreeMap::new();
    for event in events {
        if known.insert(&event.id, event).is_some_and(|same| same != event) {
            return Err(AggregateError::Conflict(event.id.clone()));
        }
    }
    let mut inside: Vec<&Event> =
        known.into_values().filter(|event| period.holds(event.at)).collect();
    // Stable: events of one instant stay in the order of their ids.
    inside.sort_by_key(|event| event.at);
    Ok(inside)
}

/// Level × seconds over the period; `step` makes the next level of the last and an event.
fn weighted(
    events: &[(Timestamp, Exact)],
    period: Period,
    carried: Exact,
    step: impl Fn(Exact, Exact) -> Result<Exact, OutOfRange>,
) -> Result<Exact, OutOfRange> {
    let (mut level, mut since, mut sum) = (carried, period.start, Exact::ZERO);
    for (at, quantity) in events {
        sum = sum.plus(level.times(at.since(since).into())?)?;
        (level, since) = (step(level, *quantity)?, *at);
    }
    sum.plus(level.times(period.end.since(since).into())?)?.over(MS_PER_SECOND.into())
}

fn count(events: usize) -> Result<Exact, OutOfRange> {
    u64::try_from(events).map(Exact::from).map_err(|_| OutOfRange)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn november() -> Period {
        Period { start: at("2026-11-01T00:00:00Z"), end: at("2026-12-01T00:00:00Z") }
    }

    fn event(id: &str, when: &str, quantity: &str, key: &str) -> Event {
        let key = (!key.is_empty()).then(|| key.to_owned());
        Event { id: id.into(), at: at(when), quantity: quantity.parse().ok(), key }
    }

    fn told(aggregation: Aggregation, events: &[Event]) -> Option<String> {
        aggregate(aggregation, events, november(), Exact::ZERO).unwrap().map(|q| q.to_string())
    }

    #[test]
    fn each_aggregation_tells_its_own_number() {
        let events = [
            event("a", "2026-11-01T00:00:00Z", "3", "x"),
            event("c", "2026-11-20T00:00:00Z", "5.5", "y"),
            event("b", "2026-11-10T00:00:00Z", "10", "x"),
            event("late", "2026-12-01T00:00:00Z", "1000", "z"),
            event("early", "2026-10-31T23:59:59.999Z", "1000", "z"),
            event("b", "2026-11-10T00:00:00Z", "10", "x"),
        ];
        for (aggregation, want) in [
            (Aggregation::Sum, "18.5"),
            (Aggregation::Count, "3"),
            (Aggregation::Max, "10"),
            (Aggregation::Unique, "2"),
            (Aggregation::Latest, "5.5"),
            // 3 for 9 days, 13 for 10, 18.5 for 11.
            (Aggregation::TimeWeightedSum, "31147200"),
            // 3 for 9 days, 10 for 10, 5.5 for 11.
            (Aggregation::TimeWeightedLevel, "16200000"),
        ] {
            assert_eq!(told(aggregation, &events).as_deref(), Some(want), "{aggregation:?}");
        }
    }

    #[test]
    fn the_maximum_and_the_latest_of_nothing_are_absent_not_zero() {
        assert_eq!(told(Aggregation::Max, &[]), None);
        assert_eq!(told(Aggregation::Latest, &[]), None);
        for aggregation in [Aggregation::Sum, Aggregation::Count, Aggregation::TimeWeightedSum] {
            assert_eq!(told(aggregation, &[]).as_deref(), Some("0"), "{aggregation:?}");
        }
    }

    #[test]
    fn an_event_without_a_quantity_is_counted_but_never_taken_for_zero() {
        let events = [Event { quantity: None, ..event("a", "2026-11-05T00:00:00Z", "1", "x") }];
        assert_eq!(told(Aggregation::Count, &events).as_deref(), Some("1"));
        let error = aggregate(Aggregation::Sum, &events, november(), Exact::ZERO);
        assert_eq!(error, Err(AggregateError::NoQuantity("a".into())));
    }

    #[test]
    fn one_id_for_two_different_events_is_refused_whichever_came_first() {
        let (one, other) = (
            event("a", "2026-11-05T00:00:00Z", "1", ""),
            event("a", "2026-12-05T00:00:00Z", "2", ""),
        );
        for events in [[one.clone(), other.clone()], [other, one]] {
            let error = aggregate(Aggregation::Sum, &events, november(), Exact::ZERO);
            assert_eq!(error, Err(AggregateError::Conflict("a".into())));
        }
    }

    #[test]
    fn a_level_from_before_the_period_is_carried_into_it() {
        let stop = [event("stop", "2026-11-01T01:00:00Z", "-2", "")];
        let seconds =
            aggregate(Aggregation::TimeWeightedSum, &stop, november(), Exact::from(2)).unwrap();
        assert_eq!(seconds, Some(Exact::from(7_200)));
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let one = (0_i64..200, -20_i64..500, 0_u8..4);
        proptest::collection::vec(one, 0..12).prop_map(|list| {
            let start = november().start.ms();
            let each = |(n, (hour, quantity, key)): (usize, (i64, i64, u8))| Event {
                id: format!("e{n:02}"),
                at: Timestamp::from_ms(start.saturating_add(hour.saturating_mul(3_600_000))),
                quantity: quantity.to_string().parse().ok(),
                key: Some(key.to_string()),
            };
            list.into_iter().enumerate().map(each).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_and_repeats_never_matter(events in events()) {
            let mut shuffled = events.clone();
            shuffled.extend(events.clone());
            shuffled.reverse();
            for (_, aggregation) in Aggregation::NAMES {
                prop_assert_eq!(told(aggregation, &events), told(aggregation, &shuffled));
            }
        }

        #[test]
        fn two_halves_of_a_period_weigh_what_the_whole_does(events in events(), hour in 0_i64..720) {
            let (start, end) = (november().start, november().end);
            let cut = Timestamp::from_ms(start.ms().saturating_add(hour.saturating_mul(3_600_000)));
            let before = Period { start, end: cut };
            let level = Exact::sum(
                events.iter().filter(|event| before.holds(event.at)).filter_map(|event| event.quantity)
            ).unwrap();
            let weigh = |period, carried| {
                aggregate(Aggregation::TimeWeightedSum, &events, period, carried).unwrap().unwrap()
            };
            let halves = weigh(before, Exact::ZERO).plus(weigh(Period { start: cut, end }, level));
            prop_assert_eq!(halves.unwrap(), weigh(november(), Exact::ZERO));
        }
    }
}
