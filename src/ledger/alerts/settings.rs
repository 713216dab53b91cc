//! What a customer is told of, and from where on.

use serde::{Deserialize, Serialize};

use crate::money::Exact;

/// Most thresholds in a list: each is a row and a message in every window.
pub const THRESHOLDS_MAX: usize = 10;

/// Highest threshold, in percent.
const PERCENT_MAX: u32 = 10_000;
/// Furthest look ahead for credit that runs out.
const DAYS_MAX: u32 = 365;
/// Largest burn factor: a month's limit in less than eight hours.
const FACTOR_MAX: u32 = 100;

/// What is told. A field that is left out has its default; `null`, or an empty list, turns it off.
///
/// ```
/// use farebox::ledger::AlertSettings;
/// let settings: AlertSettings = serde_json::from_str(r#"{ "thresholds": [90], "burn": null }"#).unwrap();
/// assert_eq!((settings.thresholds, settings.burn, settings.summary), (vec![90], None, true));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Percent of each limit, ascending.
    pub thresholds: Vec<u32>,
    /// Percent of a usual month, ascending.
    pub typical: Vec<u32>,
    /// When credit is low.
    pub balance: Option<BalanceSettings>,
    /// How many times faster than evenly a limit is used up that is told as burning.
    pub burn: Option<u32>,
    /// When a day is unlike the others.
    pub spike: Option<SpikeSettings>,
    /// Usage that could not be priced or understood; the operator's alone.
    pub usage: bool,
    /// A summary of each week.
    pub summary: bool,
}

/// When credit is low.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceSettings {
    /// At or below this many percent of the grant that began last.
    pub percent: u32,
    /// At or below this much money, in place of the percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Exact>,
    /// At or below so many credits, in place of the percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Exact>,
    /// Money that lasts for so many more days at the last day's pace, or fewer; absent: not told.
    pub days: Option<u32>,
}

/// When a day is unlike the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpikeSettings {
    /// A day's spend up to this much never is, in the customer's currency.
    pub least: Exact,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            thresholds: vec![50, 80, 100, 150, 200],
            typical: vec![50, 80, 100, 150, 200],
            balance: Some(BalanceSettings::default()),
            burn: Some(2),
            spike: Some(SpikeSettings::default()),
            usage: true,
            summary: true,
        }
    }
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self { percent: 20, money: None, credits: None, days: Some(3) }
    }
}

impl Default for SpikeSettings {
    fn default() -> Self {
        Self { least: Exact::from(1) }
    }
}

impl AlertSettings {
    /// What is wrong with them, in words.
    pub fn problem(&self) -> Option<String> {
        for (name, list) in [("thresholds", &self.thresholds), ("typical", &self.typical)] {
            if list.len() > THRESHOLDS_MAX {
                return Some(format!("{name}: at most {THRESHOLDS_MAX} are possible"));
            }
            let ascends = list.iter().zip(list.iter().skip(1)).all(|(a, b)| a < b);
            if !ascends || list.iter().any(|percent| !(1..=PERCENT_MAX).contains(percent)) {
                return Some(format!(
                    "{name}: whole numbers of percent from 1 to {PERCENT_MAX}, each larger than the one before"
                ));
            }
        }
        if self.burn.is_some_and(|factor| !(1..=FACTOR_MAX).contains(&factor)) {
            return Some(format!("burn: a whole number from 1 to {FACTOR_MAX}, or null"));
        }
        let least = self.spike.as_ref().map(|spike| spike.least);
        let balance = self.balance.as_ref();
        let amounts = [least, balance.and_then(|b| b.money), balance.and_then(|b| b.credits)];
        if amounts.into_iter().flatten().any(Exact::is_negative) {
            return Some("an amount is below zero".into());
        }
        let balance = balance?;
        if balance.percent > 100 {
            return Some("balance: percent is at most 100".into());
        }
        let days = balance.days.filter(|days| !(1..=DAYS_MAX).contains(days));
        days.map(|_| format!("balance: days is a whole number from 1 to {DAYS_MAX}, or null"))
    }
}
