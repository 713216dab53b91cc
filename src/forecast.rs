//! Forecasts: what a period will come to, and when a balance runs out.
//!
//! The expected day is the mean of the same weekdays of the last four weeks, because working weeks
//! repeat. The interval is not a formula's: the same forecast is made for every day of the past
//! that has enough history, and how far those were off is how far this one may be. So a steady
//! customer gets a narrow one, an erratic one a wide one, and one without history none at all.
//!
//! Everything here is an estimate and says so by its type; nothing of it is ever charged.

use serde::Serialize;

use crate::money::{Exact, OutOfRange, Ratio, Rounding};

/// Days that an expected day is made of: four weeks.
const BASIS_DAYS: usize = 28;
/// With less than two weeks, weekdays are not told apart.
const WEEKDAYS_FROM: usize = 14;
/// Days of history looked at; what lies further back says little.
const HISTORY_MAX: usize = 120;
/// Fewer trials than this say nothing about how far off a forecast is.
const TRIALS_MIN: usize = 8;
/// How far ahead the end of a balance is looked for.
const AHEAD_MAX: u32 = 366;
/// Digits after the point of an estimate; those of its exact basis would pretend to be known.
const PLACES: u32 = 6;
const WEEK: usize = 7;

/// What a forecast is made from. All amounts in one currency, all days of one zone.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Spend of each complete day, oldest first, the last one yesterday. A day without spend is
    /// zero; days before the customer existed are not in it.
    pub days: &'a [Exact],
    /// Spend of today so far.
    pub today: Exact,
    /// Milliseconds left of today.
    pub left_ms: u64,
    /// Milliseconds of today in all: not always 24 hours.
    pub day_ms: u64,
}

/// What a period is expected to come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// In all, what is spent already included.
    pub expected: Exact,
    /// Nine in ten of the same forecasts, made for the past, came out between this and `upper`;
    /// absent where there is too little history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<Exact>,
    /// See `lower`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<Exact>,
    /// How many complete days it is made from.
    pub from_days: usize,
}

/// When a balance is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunsOut {
    /// So many days from today; zero: today.
    InDays(u32),
    /// Not within a year at this pace.
    NotWithinAYear,
}

impl History<'_> {
    /// What a period comes to of which `spent` is settled, today included, and which has
    /// `days_left` whole days after today. `None` without a complete day: one morning is no pace.
    pub fn forecast(&self, spent: Exact, days_left: u32) -> Result<Option<Forecast>, OutOfRange> {
        let days = recent(self.days)?;
        let Some(week) = Week::of(&days)? else { return Ok(None) };
        let ahead = usize::try_from(days_left).unwrap_or(usize::MAX).min(HISTORY_MAX);
        let rest = self.rest_of_today(&week)?.plus(week.next(1, ahead)?)?;
        let (low, high) = spread(&days, ahead)?.unzip();
        let with = |factor: Option<Ratio>| -> Result<Option<Exact>, OutOfRange> {
            let Some(factor) = factor else { return Ok(None) };
            Ok(Some(estimate(Ratio::from(rest).times(factor)?)?.plus(spent)?))
        };
        let expected = spent.plus(rest)?;
        Ok(Some(Forecast {
            expected,
            lower: with(low)?.map(|lower| lower.min(expected)),
            upper: with(high)?.map(|upper| upper.max(expected)),
            from_days: days.len(),
        }))
    }

    /// When `balance` is used up at the expected pace. `None` without a complete day.
    pub fn runs_out(&self, balance: Exact) -> Result<Option<RunsOut>, OutOfRange> {
        let days = recent(self.days)?;
        let Some(week) = Week::of(&days)? else { return Ok(None) };
        let mut left = balance.minus(self.rest_of_today(&week)?)?;
        for day in 0..AHEAD_MAX {
            if left <= Exact::ZERO {
                return Ok(Some(RunsOut::InDays(day)));
            }
            let ahead = usize::try_from(day).unwrap_or(usize::MAX).saturating_add(1);
            left = left.minus(week.day(ahead))?;
        }
        Ok(Some(RunsOut::NotWithinAYear))
    }

    fn rest_of_today(&self, week: &Week) -> Result<Exact, OutOfRange> {
        if self.day_ms == 0 {
            return Ok(Exact::ZERO);
        }
        let share = Ratio::from(Exact::from(self.left_ms.min(self.day_ms)))
            .over(Exact::from(self.day_ms).into())?;
        estimate(share.times(week.day(0).into())?)
    }
}

/// The expected day for each weekday, counted from the day after the last one known.
struct Week([Exact; WEEK]);

impl Week {
    fn of(days: &[Exact]) -> Result<Option<Self>, OutOfRange> {
        let basis = days.get(days.len().saturating_sub(BASIS_DAYS)..).unwrap_or_default();
        if basis.is_empty() {
            return Ok(None);
        }
        if basis.len() < WEEKDAYS_FROM {
            return Ok(Some(Self([mean(basis.iter().copied())?; WEEK])));
        }
        let mut week = [Exact::ZERO; WEEK];
        for (weekday, expected) in week.iter_mut().enumerate() {
            // The last day known is six weekdays before the one that comes next week again.
            let last = WEEK.saturating_sub(1).saturating_sub(weekday);
            *expected = mean(basis.iter().rev().skip(last).step_by(WEEK).copied())?;
        }
        Ok(Some(Self(week)))
    }

    /// The day that comes `ahead` days after the first one not known.
    fn day(&self, ahead: usize) -> Exact {
        self.0.iter().cycle().nth(ahead.checked_rem(WEEK).unwrap_or(0)).copied().unwrap_or_default()
    }

    /// `count` days, from the one `ahead`.
    fn next(&self, ahead: usize, count: usize) -> Result<Exact, OutOfRange> {
        Exact::sum((0..count).map(|day| self.day(ahead.saturating_add(day))))
    }
}

/// How far forecasts of `ahead` days were off in the past: the fifth and the ninety-fifth
/// percentile of what came, over what had been expected.
fn spread(days: &[Exact], ahead: usize) -> Result<Option<(Ratio, Ratio)>, OutOfRange> {
    let known = days.len();
    // A horizon longer than half the history is tried with a shorter one.
    let ahead = ahead.max(1).min(known.saturating_sub(WEEKDAYS_FROM) / 2);
    if ahead == 0 {
        return Ok(None);
    }
    let mut trials = Vec::with_capacity(known);
    for origin in WEEKDAYS_FROM..=known.saturating_sub(ahead) {
        let (past, future) = days.split_at_checked(origin).unwrap_or((days, &[]));
        let Some(week) = Week::of(past)? else { continue };
        let expected = week.next(0, ahead)?;
        if expected > Exact::ZERO {
            let came = Exact::sum(future.iter().take(ahead).copied())?;
            trials.push(Ratio::from(came).over(expected.into())?);
        }
    }
    if trials.len() < TRIALS_MIN {
        return Ok(None);
    }
    trials.sort();
    let edge = trials.len().div_ceil(20).saturating_sub(1);
    let low = trials.get(edge).copied();
    let high = trials.get(trials.len().saturating_sub(1).saturating_sub(edge)).copied();
    Ok(low.zip(high))
}

/// The latest days, as exact as an estimate needs them.
fn recent(days: &[Exact]) -> Result<Vec<Exact>, OutOfRange> {
    let latest = days.get(days.len().saturating_sub(HISTORY_MAX)..).unwrap_or_default();
    // Corrections can leave a day below zero; no pace is.
    let day = |day: &Exact| (*day).max(Exact::ZERO).rounded(PLACES, Rounding::HalfEven);
    latest.iter().map(day).collect()
}

fn mean(numbers: impl Iterator<Item = Exact> + Clone) -> Result<Exact, OutOfRange> {
    let count = u64::try_from(numbers.clone().count()).unwrap_or(u64::MAX);
    estimate(Ratio::from(Exact::sum(numbers)?).over(Exact::from(count).into())?)
}

fn estimate(ratio: Ratio) -> Result<Exact, OutOfRange> {
    ratio.rounded(PLACES, Rounding::HalfEven)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use proptest::prelude::*;

    use super::*;

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    fn history(days: &[Exact]) -> History<'_> {
        History { days, today: Exact::ZERO, left_ms: 0, day_ms: 86_400_000 }
    }

    #[test]
    fn without_a_complete_day_nothing_is_foretold() {
        let morning = History { today: exact("3"), ..history(&[]) };
        assert_eq!(morning.forecast(exact("3"), 20).unwrap(), None);
        assert_eq!(morning.runs_out(exact("3")).unwrap(), None);
    }

    #[test]
    fn a_few_days_give_a_pace_and_no_interval() {
        let days = [exact("1"), exact("2"), exact("3")];
        let forecast = history(&days).forecast(exact("6"), 10).unwrap().unwrap();
        assert_eq!((forecast.expected, forecast.lower, forecast.from_days), (exact("26"), None, 3));
    }

    #[test]
    fn a_working_week_is_foretold_as_a_working_week() {
        // Six weeks of five days at 10 and two at 1; the next day is a Monday.
        let days: Vec<Exact> = (0..42).map(|d| exact(if d % 7 < 5 { "10" } else { "1" })).collect();
        let history = history(&days);
        // Today is that Monday and over: the week still has Tuesday to Sunday.
        let forecast = history.forecast(exact("10"), 6).unwrap().unwrap();
        assert_eq!(forecast.expected, exact("52"));
        assert_eq!((forecast.lower, forecast.upper), (Some(exact("52")), Some(exact("52"))));
    }

    #[test]
    fn the_rest_of_today_counts_by_its_share() {
        let days = [exact("24"); 20];
        let at_six = History { left_ms: 64_800_000, ..history(&days) };
        assert_eq!(at_six.forecast(exact("6"), 0).unwrap().unwrap().expected, exact("24"));
    }

    #[test]
    fn a_balance_runs_out_on_the_day_that_uses_its_last_cent() {
        let days = [exact("10"); 20];
        let full_day = History { left_ms: 86_400_000, ..history(&days) };
        assert_eq!(full_day.runs_out(exact("10")).unwrap(), Some(RunsOut::InDays(0)));
        assert_eq!(full_day.runs_out(exact("10.01")).unwrap(), Some(RunsOut::InDays(1)));
        assert_eq!(full_day.runs_out(exact("0")).unwrap(), Some(RunsOut::InDays(0)));
        assert_eq!(full_day.runs_out(exact("99999")).unwrap(), Some(RunsOut::NotWithinAYear));
        let none = [Exact::ZERO; 20];
        assert_eq!(history(&none).runs_out(exact("0.01")).unwrap(), Some(RunsOut::NotWithinAYear));
    }

    /// Random customers with a weekly pattern, noise and slow growth: of the months that follow,
    /// most fall into the interval. Fewer than nine in ten: they grow, and trials of a month overlap.
    #[test]
    fn most_of_what_comes_is_inside_the_interval() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut inside = 0;
        for _ in 0..200 {
            let (base, growth) = (50 + random(500), random(3));
            let day = |d: u64, noise: u64| {
                let weekday = if d % 7 < 5 { 4 } else { 1 };
                Exact::from(base * weekday * (60 + noise) / 100 + growth * d)
            };
            let days: Vec<Exact> = (0..120).map(|d| day(d, random(80))).collect();
            let (past, month) = days.split_at(90);
            let came = Exact::sum(month.iter().copied()).unwrap();
            let forecast = history(past).forecast(Exact::ZERO, 30).unwrap().unwrap();
            // The first day of the month is "today", and wholly over here.
            let came = came.minus(month[0]).unwrap();
            let shorter = history(past).forecast(Exact::ZERO, 29).unwrap().unwrap();
            assert!(forecast.expected >= shorter.expected);
            inside += u64::from(shorter.lower.unwrap() <= came && came <= shorter.upper.unwrap());
        }
        assert!(inside >= 130, "{inside} of 200");
    }

    proptest! {
        #[test]
        fn what_is_expected_lies_inside_its_interval_and_never_below_what_is_spent(
            days in prop::collection::vec(0_u64..1_000_000, 1..150), spent in 0_u64..1_000_000,
            left in 0_u32..40,
        ) {
            let days: Vec<Exact> = days.into_iter().map(Exact::from).collect();
            let forecast = history(&days).forecast(spent.into(), left).unwrap().unwrap();
            prop_assert!(forecast.expected >= spent.into());
            prop_assert!(forecast.lower.is_none_or(|lower| lower <= forecast.expected));
            prop_assert!(forecast.upper.is_none_or(|upper| upper >= forecast.expected));
        }
    }
}
