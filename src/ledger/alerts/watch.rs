//! What the customer spent by day and month in its own zone, kept beside the sums it is made from:
//! made anew after a start, on a new day and after a change of the zone, the limits or the settings,
//! and moved on by every ending.

use std::collections::BTreeMap;

use super::rules::{MONTHS, Pace, spike_above, typical};
use super::thresholds::Marks;
use crate::calendar::{Calendar, Every, Period};
use crate::clock::Timestamp;
use crate::ledger::limits::Limits;
use crate::ledger::state::hour_of;
use crate::money::{Exact, OutOfRange};

/// Local days whose spend is held in memory: as many as a forecast looks at, and today.
pub const DAYS_KEPT: usize = 121;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// The median of the days before, above what today is unlike them, and how many there were; absent
/// where those are too few.
#[derive(Debug, Clone, Copy)]
struct Usual(Option<(Exact, Exact, usize)>);

/// A customer's days and months.
#[derive(Debug)]
pub struct Watch {
    days: Calendar,
    pub weeks: Calendar,
    /// Spend by local day, from the customer's first on.
    by_day: BTreeMap<Timestamp, Exact>,
    pub today: Period,
    pub month: Period,
    pub month_spent: Exact,
    /// The complete months before that a usual one is made from, and what was spent in each.
    before: Vec<(Period, Exact)>,
    /// The usual month, and of how many it is the median.
    pub typical: Option<(Exact, usize)>,
    /// How many percent of it were told in this month.
    pub typical_told: u32,
    /// Absent: not computed since a day before changed.
    spike: Option<Usual>,
    pub spike_told: bool,
    /// The present week's Monday, and when it is over.
    pub monday: String,
    pub week_end: Timestamp,
    pace: Option<Pace>,
    /// What was found of limits.
    pub marks: Marks,
}

impl Watch {
    /// Counts from the ground. `since`: when the customer was created. `None` where the calendar ends.
    pub fn count(
        limits: &Limits,
        zone: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Self>, OutOfRange> {
        let aligned = |every| Calendar::aligned(zone, every).ok();
        let (Some(days), Some(weeks), Some(months)) =
            (aligned(Every::Day), aligned(Every::Week), aligned(Every::Month))
        else {
            return Ok(None);
        };
        let (Some((n, today)), Some((_, week)), Some((_, month))) =
            (days.around(now), weeks.around(now), months.around(now))
        else {
            return Ok(None);
        };
        let mut by_day = BTreeMap::new();
        for back in 0..i32::try_from(DAYS_KEPT).unwrap_or(0) {
            let Some(day) = days.period(n.saturating_sub(back)) else { break };
            // Days before the customer was there are not days without spend.
            if back > 0 && day.end <= since {
                break;
            }
            by_day.insert(day.start, limits.charged_between(day)?);
        }
        let before = months_before(&months, month, since)
            .map(|month| Ok((month, limits.charged_between(month)?)))
            .collect::<Result<Vec<_>, OutOfRange>>()?;
        let mut watch = Self {
            by_day,
            today,
            month_spent: limits.charged_between(month)?,
            month,
            before,
            typical: None,
            typical_told: 0,
            spike: None,
            spike_told: false,
            monday: weeks.date(week.start),
            week_end: week.end,
            pace: None,
            marks: Marks::default(),
            days,
            weeks,
        };
        watch.typical = watch.usual_month()?;
        Ok(Some(watch))
    }

    /// Whether it is still the day it was counted on.
    pub fn is_of(&self, now: Timestamp) -> bool {
        now < self.today.end
    }

    /// Counts what an ending added.
    pub fn add(&mut self, reserved_at: Timestamp, amount: Exact) -> Result<(), OutOfRange> {
        if let Some((start, day)) = self.by_day.range_mut(..=reserved_at).next_back() {
            *day = day.plus(amount)?;
            // What settles late changes what the days before were.
            if *start != self.today.start {
                self.spike = None;
            }
        }
        if self.month.holds(reserved_at) {
            self.month_spent = self.month_spent.plus(amount)?;
        } else if let Some((_, spent)) =
            self.before.iter_mut().find(|(month, _)| month.holds(reserved_at))
        {
            *spent = spent.plus(amount)?;
            self.typical = self.usual_month()?;
        }
        if self.pace.is_some_and(|pace| reserved_at < pace.hour) {
            self.pace = None;
        }
        Ok(())
    }

    /// The median of the complete months since the customer is there.
    fn usual_month(&self) -> Result<Option<(Exact, usize)>, OutOfRange> {
        let mut spent: Vec<Exact> = self.before.iter().map(|(_, spent)| *spent).collect();
        Ok(typical(&mut spent)?.map(|typical| (typical, spent.len())))
    }

    /// What was spent in the last whole hours.
    pub fn pace(&mut self, limits: &Limits, now: Timestamp) -> Result<Pace, OutOfRange> {
        let hour = hour_of(now);
        if let Some(pace) = self.pace.filter(|pace| pace.hour == hour) {
            return Ok(pace);
        }
        let before = |span: i64| Period {
            start: Timestamp::from_ms(hour.ms().saturating_sub(span)),
            end: hour,
        };
        let in_day = limits.charged_between(before(DAY_MS))?;
        let in_hour = limits.charged_between(before(HOUR_MS))?;
        let pace = Pace { hour, in_day, in_hour };
        self.pace = Some(pace);
        Ok(pace)
    }

    /// What the days before make of today.
    pub fn spike(&mut self, least: Exact) -> Result<Option<(Exact, Exact, usize)>, OutOfRange> {
        if let Some(Usual(known)) = self.spike {
            return Ok(known);
        }
        let found = spike_above(&self.complete_days(), least)?;
        self.spike = Some(Usual(found));
        Ok(found)
    }

    pub fn spent_today(&self) -> Exact {
        self.by_day.get(&self.today.start).copied().unwrap_or_default()
    }

    /// Spend of each day before today, oldest first. The customer's first day is one.
    pub fn complete_days(&self) -> Vec<Exact> {
        self.by_day.range(..self.today.start).map(|(_, spent)| *spent).collect()
    }

    /// Spend by day within a period, as far as it is kept.
    pub fn days_in(&self, period: Period) -> impl Iterator<Item = (Timestamp, Exact)> {
        self.by_day.range(period.start..period.end).map(|(start, spent)| (*start, *spent))
    }

    /// Local dates of instants.
    pub fn date(&self, at: Timestamp) -> String {
        self.days.date(at)
    }

    /// The month's name, such as `2026-11`.
    pub fn month_name(&self) -> String {
        let date = self.date(self.month.start);
        date.get(..7).unwrap_or(&date).to_owned()
    }

    /// Whole days after today that are left of a period.
    pub fn days_left(&self, end: Timestamp) -> u32 {
        let n = |at| self.days.around(at).map(|(n, _)| n);
        let last = Timestamp::from_ms(end.ms().saturating_sub(1));
        let left = n(last).zip(n(self.today.start)).map(|(last, first)| last.saturating_sub(first));
        left.and_then(|left| u32::try_from(left).ok()).unwrap_or(0)
    }

    /// The date so many days after today.
    pub fn date_after(&self, days: u32) -> Option<String> {
        let (n, _) = self.days.around(self.today.start)?;
        let start = self.days.edge(n.checked_add(i32::try_from(days).ok()?)?)?;
        Some(self.date(start))
    }
}

/// The last complete months before this one, the latest first, since the customer is there.
fn months_before(
    months: &Calendar,
    month: Period,
    since: Timestamp,
) -> impl Iterator<Item = Period> {
    let n = months.around(month.start).map(|(n, _)| n);
    let back = 1..=i32::try_from(MONTHS).unwrap_or(0);
    let before = back.map_while(move |back| months.period(n?.saturating_sub(back)));
    before.take_while(move |month| month.start >= since)
}
