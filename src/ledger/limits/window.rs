//! Which span a limit counts over at a given moment.

use super::rule::{LimitRule, Recurrence};
use crate::calendar::{Calendar, Every, UnknownZone, Zone};
use crate::clock::{Timestamp, Window};

const MINUTE_MS: i64 = 60_000;

/// One window's bounds, half-open: an instant on the border belongs to the later window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after; absent where it never resets.
    pub end: Option<Timestamp>,
}

impl Span {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::START, end: None };

    /// Whether `at` is inside.
    pub fn holds(self, at: Timestamp) -> bool {
        at >= self.start && self.end.is_none_or(|end| at < end)
    }
}

/// How a limit's windows follow one another.
#[derive(Debug, Clone)]
pub enum Frame {
    Minute,
    Hour(Zone),
    Calendar(Calendar),
    /// One window that never ends.
    Lifetime,
}

impl Frame {
    /// Of a rule that was checked; `zone` is the customer's.
    pub fn of(rule: &LimitRule, zone: &str) -> Result<Self, UnknownZone> {
        let zone = rule.zone.as_deref().unwrap_or(zone);
        let aligned = |every| Calendar::aligned(zone, every).map(Self::Calendar);
        match rule.window {
            // A zone's clock differs from UTC by whole minutes.
            Some(Window::Minute) => Ok(Self::Minute),
            Some(Window::Hour) => Zone::named(zone).map(Self::Hour),
            Some(Window::Day) => aligned(Every::Day),
            Some(Window::Week) => aligned(Every::Week),
            Some(Window::Month) => aligned(Every::Month),
            Some(Window::Period) => {
                let every = rule.every.unwrap_or(Recurrence::Month).into();
                let anchor = rule.anchor.unwrap_or(Timestamp::START);
                Calendar::new(zone, anchor, every).map(Self::Calendar)
            }
            Some(Window::Lifetime) | None => Ok(Self::Lifetime),
        }
    }

    /// The window of one UTC day after the other.
    pub fn utc_day(now: Timestamp) -> Span {
        let aligned = Calendar::aligned("UTC", Every::Day).map(Self::Calendar);
        aligned.unwrap_or(Self::Lifetime).around(now)
    }

    /// The window that holds `now`.
    pub fn around(&self, now: Timestamp) -> Span {
        match self {
            Self::Minute => {
                let start = now.ms().saturating_sub(now.ms().rem_euclid(MINUTE_MS));
                let end = Timestamp::from_ms(start.saturating_add(MINUTE_MS));
                Span { start: Timestamp::from_ms(start), end: Some(end) }
            }
            Self::Hour(zone) => {
                let hour = zone.hour_around(now);
                Span { start: hour.start, end: Some(hour.end) }
            }
            // At the end of the year 9999 there is no next period; the window then never resets.
            Self::Calendar(calendar) => match calendar.around(now) {
                Some((_, period)) => Span { start: period.start, end: Some(period.end) },
                None => Span::ALL,
            },
            Self::Lifetime => Span::ALL,
        }
    }
}
