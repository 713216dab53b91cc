//! Billing periods: half-open spans of UTC instants whose edges follow a calendar in the
//! customer's own time zone.

use core::fmt;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange, Ratio};

/// From `start` up to, and without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

impl Period {
    /// Whether `at` is inside.
    pub fn holds(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// What both have in common; `None` where that is nothing.
    pub fn overlap(self, other: Self) -> Option<Self> {
        let both = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (both.start < both.end).then_some(both)
    }
}

/// The step from one period to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Local days; one may have 23 or 25 hours.
    Day,
    /// Seven local days.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

impl Every {
    /// Every one and its name in JSON.
    pub const NAMES: [(&'static str, Self); 4] =
        [("day", Self::Day), ("week", Self::Week), ("month", Self::Month), ("year", Self::Year)];

    /// Milliseconds on average; only to begin a search near its end.
    fn about_ms(self) -> i64 {
        match self {
            Self::Day => 86_400_000,
            Self::Week => 604_800_000,
            Self::Month => 2_629_746_000,
            Self::Year => 31_556_952_000,
        }
    }
}

/// The zone is not in the IANA data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone(String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an IANA time zone such as \"Europe/Berlin\"", self.0)
    }
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// From the bundled data, not the system's: the same edges on every machine.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let found = TimeZoneDatabase::bundled().get(name);
        found.map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }

    /// The hour of the local clock that holds `at`. Where the clocks change inside an hour, one
    /// ends and the next begins at that instant.
    pub fn hour_around(&self, at: Timestamp) -> Period {
        let now = instant(at);
        let offset = i64::from(self.0.to_offset(now).seconds()).saturating_mul(1_000);
        let into = at.ms().saturating_add(offset).rem_euclid(HOUR_MS);
        let start = at.ms().saturating_sub(into);
        let end = start.saturating_add(HOUR_MS);
        let changed = |change: Option<jiff::tz::TimeZoneTransition<'_>>| {
            change.map(|change| change.timestamp().as_millisecond())
        };
        // `preceding` finds those strictly before: from one moment later, also one at this instant.
        let later = jiff::Timestamp::from_millisecond(at.ms().saturating_add(1)).unwrap_or(now);
        let before = changed(self.0.preceding(later).next());
        let after = changed(self.0.following(now).next());
        Period {
            start: Timestamp::from_ms(start.max(before.unwrap_or(start))),
            end: Timestamp::from_ms(end.min(after.unwrap_or(end))),
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// How a customer's periods follow one another.
///
/// Every edge is counted from the anchor, not from the edge before: an anchor on the 31st meets the
/// last day of short months and returns to the 31st; one on 29 February meets the 28th in common
/// years. A local time that the clocks skip becomes the instant they skip to; of one that comes
/// twice, the first counts.
///
/// ```
/// use farebox::calendar::{Calendar, Every};
/// let anchor = "2026-01-31T00:00:00+01:00".parse().unwrap();
/// let months = Calendar::new("Europe/Berlin", anchor, Every::Month).unwrap();
/// let edge = |n| months.edge(n).unwrap().to_string();
/// assert_eq!(edge(1), "2026-02-27T23:00:00.000Z"); // 28 February, 00:00 in Berlin
/// assert_eq!(edge(2), "2026-03-30T22:00:00.000Z"); // 31 March, after the clocks went forward
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: TimeZone,
    anchor: DateTime,
    every: Every,
}

/// Steps from the estimate to the period that holds an instant; months and years stray by less.
const STEPS_MAX: u32 = 16;

impl Calendar {
    /// Periods of one `every` each; one of them starts at `anchor`.
    pub fn new(zone: &str, anchor: Timestamp, every: Every) -> Result<Self, UnknownZone> {
        let Zone(zone) = Zone::named(zone)?;
        let anchor = zone.to_datetime(instant(anchor));
        Ok(Self { zone, anchor, every })
    }

    /// Periods as calendars print them: from local midnight, weeks from Monday, months from the
    /// first, years from 1 January.
    pub fn aligned(zone: &str, every: Every) -> Result<Self, UnknownZone> {
        let Zone(zone) = Zone::named(zone)?;
        // 5 January 1970 was a Monday.
        let day = if every == Every::Week { 5 } else { 1 };
        Ok(Self { zone, anchor: DateTime::constant(1970, 1, day, 0, 0, 0, 0), every })
    }

    /// The start of period `n`; period 0 starts at the anchor. `None` past the year 9999.
    pub fn edge(&self, n: i32) -> Option<Timestamp> {
        let span = jiff::Span::new();
        let span = match self.every {
            Every::Day => span.try_days(n),
            Every::Week => span.try_weeks(n),
            Every::Month => span.try_months(n),
            Every::Year => span.try_years(n),
        };
        let local = self.anchor.checked_add(span.ok()?).ok()?;
        let edge = self.zone.to_timestamp(local).ok()?;
        Some(Timestamp::from_ms(edge.as_millisecond()))
    }

    /// Period `n`.
    pub fn period(&self, n: i32) -> Option<Period> {
        Some(Period { start: self.edge(n)?, end: self.edge(n.checked_add(1)?)? })
    }

    /// The number of the period that holds `at`, and the period.
    pub fn around(&self, at: Timestamp) -> Option<(i32, Period)> {
        let away = at.ms().checked_sub(self.edge(0)?.ms())?;
        let mut n = i32::try_from(away.checked_div(self.every.about_ms())?).ok()?;
        for _ in 0..STEPS_MAX {
            let period = self.period(n)?;
            if at < period.start {
                n = n.checked_sub(1)?;
            } else if at >= period.end {
                n = n.checked_add(1)?;
            } else {
                return Some((n, period));
            }
        }
        None
    }

    /// The local date an instant falls on, such as `2026-11-23`.
    pub fn date(&self, at: Timestamp) -> String {
        self.zone.to_datetime(instant(at)).date().to_string()
    }

    /// The local date an instant falls on, as days since 1970.
    fn day(&self, at: Timestamp) -> i64 {
        let local = self.zone.to_datetime(instant(at)).date();
        let since = local.duration_since(jiff::civil::Date::constant(1970, 1, 1));
        since.as_hours().div_euclid(24)
    }
}

/// The calendar month of UTC that holds `at`; past the year 9999, nothing after `at`.
pub fn utc_month(at: Timestamp) -> Period {
    let anchor = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    let months = Calendar { zone: TimeZone::UTC, anchor, every: Every::Month };
    months.around(at).map_or(Period { start: at, end: at }, |(_, month)| month)
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    // A Timestamp stays inside jiff's range, so the fallback is never taken.
    jiff::Timestamp::from_millisecond(at.ms()).unwrap_or_default()
}

/// How a part of a period is measured against the whole. Engines disagree: see `plan::rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayCount {
    /// By the exact length of both.
    Exact,
    /// By local days; the day a part ends on does not count.
    Days,
    /// By local days; both end days count.
    DaysInclusive,
    /// By local days against a month of thirty, never more than the whole.
    Thirty,
}

impl DayCount {
    /// Every one and its name in JSON.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("exact", Self::Exact),
        ("days", Self::Days),
        ("days_inclusive", Self::DaysInclusive),
        ("thirty", Self::Thirty),
    ];
}

/// The share of `whole` that `part` covers, from 0 to 1.
pub fn share(
    calendar: &Calendar,
    part: Period,
    whole: Period,
    count: DayCount,
) -> Result<Ratio, OutOfRange> {
    let Some(part) = part.overlap(whole) else { return Ok(Ratio::ZERO) };
    if part == whole {
        return Ok(Exact::from(1).into());
    }
    let days = |period: Period| {
        let last = match count {
            DayCount::DaysInclusive => {
                let last = Timestamp::from_ms(period.end.ms().saturating_sub(1));
                calendar.day(last).saturating_add(1)
            }
            _ => calendar.day(period.end),
        };
        u64::try_from(last.saturating_sub(calendar.day(period.start))).unwrap_or(0)
    };
    let (of, all) = match count {
        DayCount::Exact => (part.end.since(part.start), whole.end.since(whole.start)),
        DayCount::Days | DayCount::DaysInclusive => (days(part), days(whole)),
        DayCount::Thirty => (days(part).min(30), 30),
    };
    Ratio::from(Exact::from(of)).over(Exact::from(all).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn calendar(zone: &str, anchor: &str, every: Every) -> Calendar {
        Calendar::new(zone, at(anchor), every).unwrap()
    }

    #[test]
    fn an_anchor_at_the_end_of_a_month_is_kept_through_short_months() {
        let months = calendar("UTC", "2027-01-31T00:00:00Z", Every::Month);
        let days: Vec<String> =
            (0..5).map(|n| months.edge(n).unwrap().to_string()[..10].to_owned()).collect();
        assert_eq!(days, ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]);
        let years = calendar("UTC", "2028-02-29T00:00:00Z", Every::Year);
        assert_eq!(years.edge(1).unwrap(), at("2029-02-28T00:00:00Z"));
        assert_eq!(years.edge(4).unwrap(), at("2032-02-29T00:00:00Z"));
    }

    #[test]
    fn a_day_has_as_many_hours_as_the_zones_clocks_show() {
        let days = calendar("Europe/Berlin", "2026-03-28T00:00:00+01:00", Every::Day);
        let hours = |n: i32| {
            let period = days.period(n).unwrap();
            period.end.since(period.start) / 3_600_000
        };
        assert_eq!([hours(0), hours(1), hours(2)], [24, 23, 24]);
        // 2026-10-25: the clocks go back.
        let (n, _) = days.around(at("2026-10-25T10:00:00Z")).unwrap();
        assert_eq!(hours(n), 25);
    }

    #[test]
    fn a_local_time_that_is_skipped_or_repeated_still_gives_one_edge() {
        let skipped = calendar("Europe/Berlin", "2026-03-28T02:30:00+01:00", Every::Day);
        assert_eq!(skipped.edge(1).unwrap(), at("2026-03-29T03:30:00+02:00"));
        let repeated = calendar("Europe/Berlin", "2026-10-24T02:30:00+02:00", Every::Day);
        assert_eq!(repeated.edge(1).unwrap(), at("2026-10-25T02:30:00+02:00"));
    }

    #[test]
    fn an_instant_on_an_edge_belongs_to_the_later_period() {
        let months = calendar("America/New_York", "2026-01-01T00:00:00-05:00", Every::Month);
        let (n, period) = months.around(at("2026-12-01T05:00:00Z")).unwrap();
        assert_eq!((n, period.start), (11, at("2026-12-01T05:00:00Z")));
        let (n, _) = months.around(at("2026-12-01T04:59:59.999Z")).unwrap();
        assert_eq!(n, 10);
        assert!(Calendar::new("Mars/Olympus", at("2026-01-01T00:00:00Z"), Every::Day).is_err());
    }

    #[test]
    fn each_day_count_measures_a_part_in_its_own_way() {
        let months = calendar("UTC", "2026-11-01T00:00:00Z", Every::Month);
        let whole = months.period(0).unwrap();
        let part = Period { start: whole.start, end: at("2026-11-16T12:00:00Z") };
        let of = |count| {
            let share = share(&months, part, whole, count).unwrap();
            share.times(Exact::from(60).into()).unwrap().exact().unwrap().to_string()
        };
        assert_eq!(of(DayCount::Exact), "31");
        assert_eq!(of(DayCount::Days), "30");
        assert_eq!(of(DayCount::DaysInclusive), "32");
        assert_eq!(of(DayCount::Thirty), "30");
        for (_, count) in DayCount::NAMES {
            assert_eq!(share(&months, whole, whole, count).unwrap(), Exact::from(1).into());
        }
    }

    proptest! {
        #[test]
        fn periods_cover_time_without_gap_or_overlap(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York",
                                              "Australia/Lord_Howe", "Asia/Kolkata"]),
            anchor in 1_500_000_000_000_i64..1_900_000_000_000, away in -500_i64..900,
            every in prop::sample::select(Every::NAMES.map(|(_, every)| every).to_vec()),
        ) {
            let calendar = Calendar::new(zone, Timestamp::from_ms(anchor), every).unwrap();
            let at = Timestamp::from_ms(anchor + away * 86_400_000);
            let (n, period) = calendar.around(at).unwrap();
            prop_assert!(period.holds(at));
            prop_assert_eq!(calendar.period(n + 1).unwrap().start, period.end);
        }

        #[test]
        fn the_parts_of_a_period_add_up_to_it(cut in 1_u64..2_592_000_000) {
            let months = calendar("Europe/Berlin", "2026-11-01T00:00:00+01:00", Every::Month);
            let whole = months.period(0).unwrap();
            let cut = Timestamp::from_ms(whole.start.ms() + i64::try_from(cut).unwrap());
            // Where both end days count, the day of the cut counts twice: that is the rule.
            for count in [DayCount::Exact, DayCount::Days, DayCount::Thirty] {
                let of = |start, end| share(&months, Period { start, end }, whole, count).unwrap();
                let sum = of(whole.start, cut).plus(of(cut, whole.end)).unwrap();
                prop_assert_eq!(sum, Exact::from(1).into());
            }
        }
    }
}
