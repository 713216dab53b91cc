//! Points in time and calendar windows. Nothing here reads a clock: "now" is always an argument.

use core::fmt;
use core::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

    /// The first one, 1970-01-01T00:00:00Z.
    pub const START: Self = Self(0);

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
        let utc = self.utc();
        let minute = u32::from(utc.hour().unsigned_abs())
            .saturating_mul(60)
            .saturating_add(u32::from(utc.minute().unsigned_abs()));
        (minute, utc.weekday().to_monday_one_offset().unsigned_abs())
    }

    fn utc(self) -> jiff::ZonedDateTime {
        // from_ms keeps the value inside jiff's range, so the fallback is never taken.
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        instant.to_zoned_datetime(TimeZone::UTC)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.utc().timestamp())
    }
}

impl FromStr for Timestamp {
    type Err = ();

    /// RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, ()> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| ())?;
        Ok(Self::from_ms(instant.as_millisecond()))
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

/// The span over which a limit counts, aligned to the calendar of a time zone and half-open: an
/// instant on the border belongs to the later window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A minute of the clock.
    Minute,
    /// An hour of the local clock.
    Hour,
    /// From one local midnight to the next.
    Day,
    /// From Monday, 00:00, to the next.
    Week,
    /// From the first of a month, 00:00, to the first of the next.
    Month,
    /// A billing period, counted from an anchor.
    Period,
    /// Everything since the customer exists; never resets.
    Lifetime,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn times_out_of_range_are_clamped_not_a_panic() {
        for ms in [i64::MIN, -1, i64::MAX] {
            let time = Timestamp::from_ms(ms);
            assert_eq!(at(&time.to_string()), time);
        }
    }
}
