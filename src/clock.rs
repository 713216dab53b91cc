//! Points in time and calendar windows. Nothing here reads a clock: "now" is always an argument.

mod civil;

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use civil::{DAY_MS, Date};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with
/// three digits after the second, `2026-11-23T22:00:00.120Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Millis(pub u32);

impl Millis {
    /// So many seconds; saturates past 49 days.
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs.saturating_mul(1_000))
    }
}

impl Timestamp {
    /// The last instant that RFC 3339 can write, 9999-12-30 (calendar libraries stop there).
    const MAX_MS: i64 = 253_402_207_200_000;

    /// From milliseconds since 1970; times outside the years 1970–9999 are clamped to them.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(0, Self::MAX_MS))
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Later by `length`.
    #[must_use]
    pub fn plus(self, length: Millis) -> Self {
        Self::from_ms(self.0.saturating_add(i64::from(length.0)))
    }

    /// Milliseconds from `earlier` to `self`; zero where `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Minutes since midnight UTC, and the day of the week: 1 is Monday, 7 Sunday.
    pub fn minute_and_weekday(self) -> (u32, u8) {
        let minute = u32::try_from(self.0.rem_euclid(DAY_MS).div_euclid(60_000)).unwrap_or(0);
        // 1970 began on a Thursday.
        let weekday = self.days().saturating_add(3).rem_euclid(7).saturating_add(1);
        (minute, u8::try_from(weekday).unwrap_or(1))
    }

    /// Days since 1970 in UTC.
    fn days(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    fn of_date(date: Date) -> Self {
        Self::from_ms(date.days().saturating_mul(DAY_MS))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = Date::of_days(self.days());
        let ms = self.0.rem_euclid(DAY_MS);
        let part = |unit: i64, of: i64| ms.div_euclid(unit).rem_euclid(of);
        let (hour, minute) = (part(3_600_000, 24), part(60_000, 60));
        let (second, ms) = (part(1_000, 60), part(1, 1_000));
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl FromStr for Timestamp {
    type Err = ();

    /// RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, ()> {
        civil::parse(text).map(Self::from_ms).ok_or(())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| {
            de::Error::custom(format_args!(
                "{text:?} is not a time such as \"2026-11-23T22:00:00Z\""
            ))
        })
    }
}

/// The span over which a limit counts, aligned to the calendar in UTC and half-open: an instant
/// on the border belongs to the later window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// From one UTC midnight to the next.
    Day,
    /// From the first of a month, 00:00 UTC, to the first of the next.
    Month,
    /// Everything since the customer exists; never resets.
    Lifetime,
}

/// One window's bounds; `end` is absent where it never resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after.
    pub end: Option<Timestamp>,
}

impl Window {
    /// The window that holds `now`.
    ///
    /// ```
    /// use farebox::clock::{Timestamp, Window};
    /// let now: Timestamp = "2026-11-23T22:00:00Z".parse().unwrap();
    /// let span = Window::Month.around(now);
    /// assert_eq!(span.start.to_string(), "2026-11-01T00:00:00.000Z");
    /// assert_eq!(span.end.unwrap().to_string(), "2026-12-01T00:00:00.000Z");
    /// ```
    pub fn around(self, now: Timestamp) -> Span {
        let today = Date::of_days(now.days());
        let (first, next) = match self {
            Self::Day => (today, Date::of_days(now.days().saturating_add(1))),
            Self::Month => (Date { day: 1, ..today }, today.next_month()),
            Self::Lifetime => return Span { start: Timestamp(0), end: None },
        };
        // At the end of the year 9999 there is no next day; the window then never resets.
        let end = Some(Timestamp::of_date(next)).filter(|end| *end > now);
        Span { start: Timestamp::of_date(first), end }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(at("2026-11-23T23:00:00.5+01:00").to_string(), "2026-11-23T22:00:00.500Z");
        assert!("2026-11-23".parse::<Timestamp>().is_err());
    }

    #[test]
    fn windows_are_half_open_and_follow_the_calendar() {
        let span = Window::Month.around(at("2028-02-29T23:59:59.999Z"));
        assert_eq!(span.end.unwrap(), at("2028-03-01T00:00:00Z"));
        let next = Window::Month.around(span.end.unwrap());
        assert_eq!(next.start, span.end.unwrap());
        let day = Window::Day.around(at("2026-12-31T12:00:00Z"));
        assert_eq!(day.end.unwrap(), at("2027-01-01T00:00:00Z"));
        assert_eq!(Window::Lifetime.around(at("2026-12-31T12:00:00Z")).end, None);
    }

    #[test]
    fn times_out_of_range_are_clamped_not_a_panic() {
        for ms in [i64::MIN, -1, i64::MAX] {
            let time = Timestamp::from_ms(ms);
            assert_eq!(at(&time.to_string()), time);
            let _ = Window::Month.around(time);
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        let good = "2026-02-28T23:59:60.123456789+00:00";
        assert_eq!(at(good).to_string(), "2026-02-28T23:59:59.123Z");
        for bad in [
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "26-01-01T00:00:00Z",
            "2026-01-01T00:00Z",
            "+2026-01-01T00:00:00Z",
            "2026-1-1T00:00:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        /// The calendar library knows better; here it is asked.
        #[test]
        fn times_and_windows_are_those_of_the_calendar_library(
            ms in 0..Timestamp::MAX_MS, offset in -1439_i32..1440,
        ) {
            use jiff::{Timestamp as Instant, tz::{Offset, TimeZone}};
            let time = Timestamp::from_ms(ms);
            let instant = Instant::from_millisecond(ms).unwrap();
            let utc = instant.to_zoned_datetime(TimeZone::UTC);
            proptest::prop_assert_eq!(time.to_string(), format!("{instant:.3}"));
            proptest::prop_assert_eq!(at(&time.to_string()), time);
            let minute = u32::try_from(i32::from(utc.hour()) * 60 + i32::from(utc.minute())).unwrap();
            let weekday = u8::try_from(utc.weekday().to_monday_one_offset()).unwrap();
            proptest::prop_assert_eq!(time.minute_and_weekday(), (minute, weekday));
            let first = utc.date().first_of_month().to_zoned_datetime(TimeZone::UTC).unwrap();
            let month = Window::Month.around(time);
            proptest::prop_assert_eq!(month.start.ms(), first.timestamp().as_millisecond());
            let next = utc.date().last_of_month().tomorrow().unwrap();
            let next = next.to_zoned_datetime(TimeZone::UTC).unwrap().timestamp();
            proptest::prop_assert_eq!(month.end.map(Timestamp::ms), Some(next.as_millisecond()));
            let there = Offset::from_seconds(offset * 60).unwrap();
            let written = instant.display_with_offset(there).to_string();
            proptest::prop_assert_eq!(at(&written), time);
        }
    }
}
