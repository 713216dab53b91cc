//! What a week came to: made once, when it is over, of the days and of what each model was charged.

use serde::{Deserialize, Serialize};

use super::watch::Watch;
use crate::calendar::Period;
use crate::money::{Exact, OutOfRange, Ratio, Rounding};

/// Models told apart in one week; what more are charged counts as one. A row each.
pub const MODELS_MAX: usize = 64;
/// What those are counted under; no model is called so.
pub const OTHER_MODELS: &str = "(others)";

/// How far back a week that was missed is still summed up: a ledger sleeps while nobody uses it.
const WEEKS_BACK: i32 = 8;

/// A week, from Monday to Sunday in the customer's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekSummary {
    /// Its Monday, such as `2026-11-16`.
    pub week: String,
    /// Its Sunday.
    pub last_day: String,
    /// What requests of the week were charged.
    pub spent: Exact,
    /// The same of the week before; absent: the customer was not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Exact>,
    /// `spent` less `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Exact>,
    /// The same in percent of `before`, to one digit after the point; absent where that was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_percent: Option<Exact>,
    /// The model that was charged most in the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_model: Option<Share>,
    /// The day of most spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_day: Option<PeakDay>,
    /// Of every amount.
    pub currency: String,
}

/// What one model was charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub model: String,
    /// How much.
    pub spent: Exact,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakDay {
    /// The local date.
    pub day: String,
    /// How much.
    pub spent: Exact,
}

/// The week that begins on this Monday and the one before; `None` where it lies too far back, or is
/// not over.
pub fn find(watch: &Watch, monday: &str) -> Option<(Period, Period)> {
    let (n, _) = watch.weeks.around(watch.today.start)?;
    (1..=WEEKS_BACK).find_map(|back| {
        let week = watch.weeks.period(n.checked_sub(back)?)?;
        let before = watch.weeks.period(n.checked_sub(back)?.checked_sub(1)?)?;
        (watch.date(week.start) == monday).then_some((week, before))
    })
}

/// Sums a week up. `before` is absent where the customer was not there.
pub fn sum_up(
    watch: &Watch,
    week: Period,
    (spent, before): (Exact, Option<Exact>),
    models: &std::collections::BTreeMap<String, Exact>,
    currency: &str,
) -> Result<WeekSummary, OutOfRange> {
    let some = |spent: &Exact| *spent > Exact::ZERO;
    let named = models.iter().filter(|(model, spent)| some(spent) && *model != OTHER_MODELS);
    // Of equals, the first by name, and the first day.
    let top = named.max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)));
    let days = watch.days_in(week).filter(|(_, spent)| some(spent));
    let peak = days.max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)));
    let change = before.map(|before| spent.minus(before)).transpose()?;
    let percent = match (change, before.filter(some)) {
        (Some(change), Some(before)) => {
            let share = Ratio::from(change).over(before.into())?.times(Exact::from(100).into())?;
            Some(share.rounded(1, Rounding::HalfEven)?)
        }
        _ => None,
    };
    let sunday = crate::clock::Timestamp::from_ms(week.end.ms().saturating_sub(1));
    Ok(WeekSummary {
        week: watch.date(week.start),
        last_day: watch.date(sunday),
        spent,
        before,
        change,
        change_percent: percent,
        top_model: top.map(|(model, spent)| Share { model: model.clone(), spent: *spent }),
        peak_day: peak.map(|(start, spent)| PeakDay { day: watch.date(start), spent }),
        currency: currency.to_owned(),
    })
}
