//! The arithmetic of the rules: exact, and no rule can fail an operation.

use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange, Ratio, Rounding};

/// Days that a spike is measured against.
const SPIKE_DAYS: usize = 28;
/// With fewer days of any spend nothing is unusual yet.
const SPIKE_DAYS_MIN: usize = 7;
/// A day is unlike the others above the median and three scaled median absolute deviations (the
/// Hampel identifier), and above twice the median: where every day is alike, the deviation is nothing.
const DEVIATIONS: u64 = 3;
const MEDIANS: u64 = 2;
/// Digits after the point of a median: more would pretend to be known.
const PLACES: u32 = 6;

/// Complete months that a usual one is the median of; with fewer than two there is no usual one.
pub const MONTHS: usize = 6;
const MONTHS_MIN: usize = 2;

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// Shorter windows are over before a pace says anything.
const BURN_WINDOW_MS: u64 = 7 * DAY_MS - 2 * HOUR_MS;

/// Whether `percent` of `limit` is reached. A limit of nothing is not: it stops from the start.
pub fn is_reached(settled: Exact, limit: Exact, percent: u32) -> bool {
    if limit <= Exact::ZERO || settled <= Exact::ZERO {
        return false;
    }
    let percent = Exact::from(u64::from(percent));
    let plain = || Ok(settled.times(100.into())? >= limit.times(percent)?);
    // With too many digits for a plain product: ratios are compared without one.
    let ratio = || {
        let threshold = Ratio::from(limit).times(percent.into())?.over(Exact::from(100).into())?;
        Ok(Ratio::from(settled) >= threshold)
    };
    plain().or_else(|_: OutOfRange| ratio()).unwrap_or_else(|_: OutOfRange| settled >= limit)
}

/// What was spent in the last whole hour, and in the last 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The start of the hour that is not whole yet.
    pub hour: Timestamp,
    pub in_day: Exact,
    pub in_hour: Exact,
}

/// Whether a limit burns: the last 24 hours and the last hour were both at least `factor` times as
/// fast as the limit spread evenly over its window, and at the day's pace it is spent before the
/// window is over. The long span keeps a burst from telling, the short one what is over already.
pub fn is_burning(
    (settled, limit): (Exact, Exact),
    (start, end): (Timestamp, Timestamp),
    pace: &Pace,
    factor: u32,
    now: Timestamp,
) -> Result<bool, OutOfRange> {
    let length = end.since(start);
    if length < BURN_WINDOW_MS || settled >= limit {
        return Ok(false);
    }
    let fast = |spent: Exact, span: u64| {
        let even = limit.times(Exact::from(u64::from(factor)))?.times(span.into())?;
        Ok(spent.times(length.into())? >= even)
    };
    let left = limit.minus(settled)?.times(DAY_MS.into())?;
    let goes_on = pace.in_day.times(end.since(now).into())?;
    Ok(fast(pace.in_day, DAY_MS)? && fast(pace.in_hour, HOUR_MS)? && goes_on >= left)
}

/// What the days before make of a day: their median, and above what a day is unlike them; with how
/// many days there were. Only days with spend count, so that a pause makes no day unusual.
pub fn spike_above(
    days: &[Exact],
    least: Exact,
) -> Result<Option<(Exact, Exact, usize)>, OutOfRange> {
    let recent = days.get(days.len().saturating_sub(SPIKE_DAYS)..).unwrap_or_default();
    let mut spent = Vec::with_capacity(recent.len());
    for day in recent.iter().filter(|day| **day > Exact::ZERO) {
        spent.push(day.rounded(PLACES, Rounding::HalfEven)?);
    }
    if spent.len() < SPIKE_DAYS_MIN {
        return Ok(None);
    }
    let usual = median(&mut spent)?;
    let mut away = Vec::with_capacity(spent.len());
    for day in &spent {
        away.push(day.minus(usual)?.max(usual.minus(*day)?));
    }
    // 1.4826: the factor that makes the deviation of a normal distribution its standard deviation.
    let scale: Exact = "1.4826".parse()?;
    let spread = median(&mut away)?.times(scale)?.times(DEVIATIONS.into())?;
    let above = usual.plus(spread)?.max(usual.times(MEDIANS.into())?).max(least);
    Ok(Some((usual, above.rounded(PLACES, Rounding::HalfEven)?, spent.len())))
}

/// The usual month: the median of the complete ones. A month without spend counts as one.
pub fn typical(months: &mut [Exact]) -> Result<Option<Exact>, OutOfRange> {
    if months.len() < MONTHS_MIN {
        return Ok(None);
    }
    let usual = median(months)?.rounded(PLACES, Rounding::HalfEven)?;
    Ok(Some(usual).filter(|usual| *usual > Exact::ZERO))
}

/// The middle one; of an even count, the mean of the two in the middle.
fn median(numbers: &mut [Exact]) -> Result<Exact, OutOfRange> {
    numbers.sort_unstable();
    let half = numbers.len() / 2;
    let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
    if numbers.len() % 2 == 1 {
        return Ok(at(half));
    }
    at(half.saturating_sub(1)).plus(at(half))?.over(2.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    fn list(text: &str) -> Vec<Exact> {
        text.split_whitespace().map(exact).collect()
    }

    #[test]
    fn a_threshold_is_reached_at_it_and_not_a_digit_before() {
        for (settled, limit, percent, reached) in [
            ("7.999999999999", "10", 80, false),
            ("8", "10", 80, true),
            ("0.0000000000000000000000000008", "0.000000000000000000000000001", 80, true),
            ("792281625142643375935439503.35", "792281625142.6433759354395033", 200, true),
            ("15", "10", 150, true),
            ("0", "0", 50, false),
            ("1", "0", 50, false),
            ("-1", "10", 50, false),
        ] {
            assert_eq!(
                is_reached(exact(settled), exact(limit), percent),
                reached,
                "{settled} of {limit}"
            );
        }
    }

    #[test]
    fn a_limit_burns_where_day_and_hour_are_both_too_fast_and_it_will_not_last() {
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let end: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-11T00:00:00Z".parse().unwrap();
        // A limit of 300 a month: evenly 10 a day, so twice is 20 a day and 20/24 an hour.
        let burns = |settled: &str, day: &str, hour: &str| {
            let pace = Pace { hour: now, in_day: exact(day), in_hour: exact(hour) };
            is_burning((exact(settled), exact("300")), (start, end), &pace, 2, now).unwrap()
        };
        assert!(burns("100", "20", "0.84"));
        assert!(!burns("100", "19.99", "5"), "the day is not fast enough");
        assert!(!burns("100", "20", "0.83"), "the last hour is slow: it is over");
        assert!(!burns("10", "14", "9"), "it lasts to the end of the window");
        assert!(!burns("300", "99", "9"), "it is spent: that is told as a threshold");
        let day: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
        let pace = Pace { hour: now, in_day: exact("99"), in_hour: exact("99") };
        assert!(!is_burning((exact("1"), exact("2")), (start, day), &pace, 2, start).unwrap());
    }

    #[test]
    fn a_day_is_a_spike_by_the_median_and_its_deviation_of_the_days_with_spend() {
        let of = |days: &str| spike_above(&list(days), exact("1")).unwrap();
        let words = |found: Option<(Exact, Exact, usize)>| {
            found.map_or("unknown".into(), |(usual, above, n)| format!("{usual} {above} {n}"))
        };
        assert_eq!(words(of("1 1 1 1 1 1")), "unknown", "six days are too few");
        assert_eq!(words(of("5 5 5 5 5 5 5")), "5 10 7", "all alike: twice the median");
        assert_eq!(words(of("0 5 0 5 5 5 5 0 5 5")), "5 10 7", "pauses do not count");
        // Deviations from 10: 8 6 2 0 3 9 1, their median 3; 10 + 3 × 1.4826 × 3.
        assert_eq!(words(of("2 4 8 10 13 19 11")), "10 23.3434 7");
        // One wild day moves nothing: that is what a median is for.
        assert_eq!(words(of("5 5 5 5 5 5 5 5 5000")), "5 10 9");
        assert_eq!(words(of("0.1 0.1 0.1 0.1 0.1 0.1 0.1")), "0.1 1 7", "a little is never one");
    }

    #[test]
    fn a_usual_month_is_a_median_and_unknown_before_there_are_two() {
        assert_eq!(typical(&mut list("100")).unwrap(), None);
        assert_eq!(typical(&mut list("100 300")).unwrap(), Some(exact("200")));
        assert_eq!(typical(&mut list("100 90 4000")).unwrap(), Some(exact("100")));
        assert_eq!(typical(&mut list("0 0 5")).unwrap(), None);
    }
}
