//! Where the month is going, and how long credit lasts: `forecast` on the customer's own days.

use serde::{Deserialize, Serialize};

use super::watch::Watch;
use crate::clock::Timestamp;
use crate::forecast::{History, RunsOut};
use crate::money::{Exact, OutOfRange};

/// What is expected. Estimates, never charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// When this was true.
    pub now: Timestamp,
    /// Of every amount.
    pub currency: String,
    /// The zone of its days.
    pub zone: String,
    /// The present calendar month.
    pub month: MonthOutlook,
    /// Credit in money, where the customer has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalanceOutlook>,
}

/// How much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutlookStatus {
    /// Nothing: there is no complete day yet.
    Unknown,
    /// A pace, and too little history to say how far off it may be.
    Pace,
    /// A pace and an interval.
    Interval,
}

/// What a month is expected to come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthOutlook {
    /// Such as `2026-11`.
    pub month: String,
    /// First instant after it.
    pub ends_at: Timestamp,
    /// Spent in it.
    pub spent: Exact,
    /// How much is known of the rest.
    pub status: OutlookStatus,
    /// In all; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Exact>,
    /// Nine in ten of the same forecasts for the past came out between this and `upper`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Exact>,
    /// See `lower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<Exact>,
    /// Complete days that it is made from.
    pub from_days: usize,
}

/// How long credit lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceOutlook {
    /// Not spent yet.
    pub left: Exact,
    /// When it is used up at the expected pace.
    pub runs_out: RunsOutAt,
    /// On which local date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// When credit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunsOutAt {
    /// Too little history.
    Unknown,
    /// On the date beside.
    OnDate,
    /// Not within a year.
    NotWithinAYear,
}

/// Looks ahead. `left` is credit in money.
pub fn look_ahead(
    watch: &Watch,
    (currency, zone): (&str, &str),
    left: Option<Exact>,
    now: Timestamp,
) -> Result<Outlook, OutOfRange> {
    let days = watch.complete_days();
    let history = History {
        days: &days,
        today: watch.spent_today(),
        left_ms: watch.today.end.since(now),
        day_ms: watch.today.end.since(watch.today.start),
    };
    let found = history.forecast(watch.month_spent, watch.days_left(watch.month.end))?;
    let status = match &found {
        None => OutlookStatus::Unknown,
        Some(forecast) if forecast.lower.is_none() => OutlookStatus::Pace,
        Some(_) => OutlookStatus::Interval,
    };
    let month = MonthOutlook {
        month: watch.month_name(),
        ends_at: watch.month.end,
        spent: watch.month_spent,
        status,
        expected: found.as_ref().map(|forecast| forecast.expected),
        lower: found.as_ref().and_then(|forecast| forecast.lower),
        upper: found.as_ref().and_then(|forecast| forecast.upper),
        from_days: days.len(),
    };
    let balance = left.map(|left| balance(watch, &history, left)).transpose()?;
    Ok(Outlook { now, currency: currency.to_owned(), zone: zone.to_owned(), month, balance })
}

fn balance(
    watch: &Watch,
    history: &History<'_>,
    left: Exact,
) -> Result<BalanceOutlook, OutOfRange> {
    let (runs_out, days) = match history.runs_out(left)? {
        None => (RunsOutAt::Unknown, None),
        Some(RunsOut::NotWithinAYear) => (RunsOutAt::NotWithinAYear, None),
        Some(RunsOut::InDays(days)) => (RunsOutAt::OnDate, Some(days)),
    };
    Ok(BalanceOutlook { left, runs_out, date: days.and_then(|days| watch.date_after(days)) })
}
