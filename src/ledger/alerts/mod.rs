//! What a customer or its operator should hear of: limits that fill up, credit that runs low, spend
//! that is unlike the customer's own, usage that could not be priced or understood, and a summary of
//! each week. Rules, payloads and delivery: `docs/alerts.md`.
//!
//! An alert is a fact: decided by the operation that made it true, and written in its transaction.
//! Its id is made from what it is about and the window it belongs to, and a row whose id is there is
//! never written again. So each is raised once, whatever crashes and whatever is sent twice.
//! Invariants: (1) no alert ever fails the operation that raised it; (2) what memory knows of alerts
//! is only a shortcut past storage.

mod money;
mod rules;
mod settings;
mod standing;
mod thresholds;
mod watch;
pub(super) mod week;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::purse::Unit;
use super::status::LimitView;
use crate::calendar::{Calendar, Every};
use crate::clock::Timestamp;
use crate::ids::{Name, RequestId};
use crate::money::Exact;
use crate::record::Digest;

pub use money::{BalanceOutlook, MonthOutlook, Outlook, OutlookStatus, RunsOutAt};
pub use settings::{AlertSettings, BalanceSettings, SpikeSettings, THRESHOLDS_MAX};
pub use week::{PeakDay, Share, WeekSummary};

pub(super) use money::look_ahead;
pub(super) use rules::is_reached;
pub(super) use standing::Standing;
pub(super) use watch::Watch;
pub(super) use week::{MODELS_MAX, OTHER_MODELS};

/// Ids of alerts held in memory, so that those that were raised are not written again; some 80 bytes
/// each. All are let go where there are more: then storage alone says what is there.
pub const TOLD_MAX: usize = 4_096;

/// How long an alert is kept after the window it belongs to is over.
pub const ALERTS_DAYS: i64 = 90;

/// Most alerts kept whose window is over; the oldest go first. Some 500 bytes each.
pub const ALERTS_MAX: u64 = 2_000;

/// Most alerts kept that can never be told anew, those of limits without an end and of grants: as
/// many as memory has ids for, so that what memory forgot is still there. Of more, the oldest go.
pub const STANDING_MAX: u64 = 4_096;

/// Paths or meters listed in one alert about usage.
pub const NAMED_MAX: usize = 16;

/// One alert, as it is stored, shown and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for the same thing in the same window; also the `webhook-id` it is sent under.
    pub id: String,
    /// When it was raised, by the ledger's clock.
    pub timestamp: Timestamp,
    /// Whose.
    pub customer: Name,
    /// Of what.
    #[serde(flatten)]
    pub what: What,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum What {
    /// So much of a limit is settled.
    #[serde(rename = "limit.threshold")]
    Limit {
        /// Which threshold, in percent of the limit.
        percent: u32,
        /// The limit, as it stands.
        limit: Box<LimitView>,
    },
    /// So much of what the customer spends in a usual month is spent in this one.
    #[serde(rename = "spend.typical")]
    Typical {
        /// Which threshold, in percent of the usual month.
        percent: u32,
        /// The calendar month in the customer's zone, such as `2026-11`.
        month: String,
        /// Spent in it.
        spent: Exact,
        /// The median of the complete months before.
        typical: Exact,
        /// How many those are.
        from_months: usize,
        /// Of both amounts.
        currency: String,
    },
    /// Credit is low, or used up.
    #[serde(rename = "balance.low")]
    Balance {
        /// Money or credits.
        unit: Unit,
        /// The currency, or the plan's word for credits.
        name: String,
        /// Not spent yet; what running requests have set aside counts as not spent.
        left: Exact,
        /// At or below this it is low; zero: it is used up.
        below: Exact,
        /// The grant that began last: after the next one it is told again.
        grant: String,
    },
    /// Credit will be used up soon at the pace of the last day.
    #[serde(rename = "balance.runs_out")]
    RunsOut {
        /// Not spent yet.
        left: Exact,
        /// Spent in the last 24 whole hours.
        spent_day: Exact,
        /// Within so many days.
        days: u32,
        /// Of both amounts.
        currency: String,
        /// The grant that began last.
        grant: String,
    },
    /// A limit is used up before its window is over at the pace of the last day and the last hour.
    #[serde(rename = "burn.rate")]
    Burn {
        /// The limit, as it stands.
        limit: Box<LimitView>,
        /// Both paces are at least so many times the limit spread evenly over its window.
        factor: u32,
        /// Spent in the last 24 whole hours.
        spent_day: Exact,
        /// Spent in the last whole hour.
        spent_hour: Exact,
    },
    /// Today's spend is unlike the days before.
    #[serde(rename = "spend.spike")]
    Spike {
        /// The local date.
        day: String,
        /// Spent so far.
        spent: Exact,
        /// The median of the days before that had any spend.
        usual: Exact,
        /// Above this a day is unlike them.
        above: Exact,
        /// How many days that is made from.
        from_days: usize,
        /// Of every amount.
        currency: String,
    },
    /// Something was used that no price covers.
    #[serde(rename = "usage.unpriced")]
    Unpriced(Used),
    /// The upstream's report contradicts itself.
    #[serde(rename = "usage.suspect")]
    Suspect(Used),
    /// The upstream's report has numbers whose meaning is not known: perhaps billed.
    #[serde(rename = "usage.unknown")]
    Unknown(Used),
    /// More was used than was held.
    #[serde(rename = "usage.overage")]
    Overage(Used),
    /// Another model served than was asked for.
    #[serde(rename = "usage.served_other")]
    ServedOther(Used),
    /// An attempt was settled twice, with two contents; the first stands.
    #[serde(rename = "settle.conflict")]
    Conflict {
        /// Position of the record that stands.
        seq: String,
    },
    /// What a week came to.
    #[serde(rename = "summary.week")]
    Week(Box<WeekSummary>),
    /// Sent on request, to try an endpoint.
    #[serde(rename = "alert.test")]
    Test {},
}

/// Usage that deserves a second look: the first of its kind, model and day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The model, as it was asked for.
    pub model: String,
    /// The local date.
    pub day: String,
    /// The request of the first such record.
    pub request_id: RequestId,
    /// The record's position in the chain.
    pub seq: String,
    /// Meters without a price, or paths of unknown numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl What {
    /// Every word there is, as [`What::kind`] has them.
    pub const KINDS: [&'static str; 14] = [
        "limit.threshold",
        "spend.typical",
        "balance.low",
        "balance.runs_out",
        "burn.rate",
        "spend.spike",
        "usage.unpriced",
        "usage.suspect",
        "usage.unknown",
        "usage.overage",
        "usage.served_other",
        "settle.conflict",
        "summary.week",
        "alert.test",
    ];

    /// The word in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit.threshold",
            Self::Typical { .. } => "spend.typical",
            Self::Balance { .. } => "balance.low",
            Self::RunsOut { .. } => "balance.runs_out",
            Self::Burn { .. } => "burn.rate",
            Self::Spike { .. } => "spend.spike",
            Self::Unpriced(_) => "usage.unpriced",
            Self::Suspect(_) => "usage.suspect",
            Self::Unknown(_) => "usage.unknown",
            Self::Overage(_) => "usage.overage",
            Self::ServedOther(_) => "usage.served_other",
            Self::Conflict { .. } => "settle.conflict",
            Self::Week(_) => "summary.week",
            Self::Test {} => "alert.test",
        }
    }

    /// Whether the customer hears of it. How usage was metered is between operator and upstream;
    /// what it did to a record, the record itself says.
    pub fn is_for_customer(&self) -> bool {
        !matches!(
            self,
            Self::Unpriced(_)
                | Self::Suspect(_)
                | Self::Unknown(_)
                | Self::Overage(_)
                | Self::ServedOther(_)
                | Self::Conflict { .. }
        )
    }

    /// What tells it from every other of the same customer, its window included.
    fn subject(&self) -> String {
        // Limits that have the same id one after the other, or at operator and customer, differ in
        // what they count, for whom, or when.
        let of_limit = |limit: &LimitView| {
            let name = (limit.owner, limit.id.clone());
            let party = (limit.scope, limit.value.clone());
            let window = (limit.window, limit.window_start, limit.resets_at);
            (name, party, limit.measure, window, limit.limit)
        };
        let text = match self {
            Self::Limit { percent, limit } => serde_json::to_string(&(percent, of_limit(limit))),
            Self::Burn { limit, .. } => serde_json::to_string(&of_limit(limit)),
            Self::Typical { percent, month, .. } => serde_json::to_string(&(percent, month)),
            Self::Balance { unit, below, grant, .. } => {
                serde_json::to_string(&(unit, below.is_zero(), grant))
            }
            Self::RunsOut { grant, .. } => serde_json::to_string(grant),
            Self::Spike { day, .. } => serde_json::to_string(day),
            Self::Unpriced(used)
            | Self::Suspect(used)
            | Self::Unknown(used)
            | Self::Overage(used)
            | Self::ServedOther(used) => serde_json::to_string(&(&used.model, &used.day)),
            Self::Conflict { seq } => serde_json::to_string(seq),
            Self::Week(week) => serde_json::to_string(&week.week),
            Self::Test {} => Ok(String::new()),
        };
        // Our own types always serialise; were one not to, its kind would be told once.
        text.unwrap_or_default()
    }

    /// First instant at which it can be told anew: until then its row has to stay. Absent: never;
    /// such rows stay up to [`STANDING_MAX`].
    fn until(&self, day_end: Timestamp, month_end: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Limit { limit, .. } | Self::Burn { limit, .. } => limit.resets_at,
            Self::Typical { .. } => Some(month_end),
            Self::Balance { .. } | Self::RunsOut { .. } => None,
            _ => Some(day_end),
        }
    }
}

/// The id of an alert: the same for the same thing, and no other customer's.
pub fn alert_id(customer: &Name, what: &What) -> String {
    let parts = [customer.as_str(), what.kind(), &what.subject()];
    let digest = Digest::of(&[b"farebox-alert\n", parts.join("\n").as_bytes()]).to_string();
    format!("alert_{}", digest.get(..32).unwrap_or(&digest))
}

/// A row of what is kept for alerts.
#[derive(Debug, Clone)]
pub enum AlertRow {
    /// Insert an alert. One whose id is there stays as it is.
    Raise {
        /// The alert.
        alert: Box<Alert>,
        /// First instant at which its row may go; absent: one of [`STANDING_MAX`].
        until: Option<Timestamp>,
    },
    /// Replace the settings.
    Settings(Box<AlertSettings>),
    /// Replace what a model was charged in the week that begins on this Monday.
    Model(String, String, Exact),
    /// Forget the models of that week.
    DropWeek(String),
}

/// What storage gives back at start.
#[derive(Debug, Clone, Default)]
pub struct LoadedAlerts {
    /// Absent: the defaults.
    pub settings: Option<AlertSettings>,
    /// Ids of alerts that are not to be told again, the newest [`TOLD_MAX`].
    pub told: Vec<String>,
    /// What models were charged: the week's Monday, the model, how much.
    pub weeks: Vec<(String, String, Exact)>,
}

/// What a ledger holds in memory for its alerts.
#[derive(Debug)]
pub(super) struct Alerts {
    pub settings: Arc<AlertSettings>,
    told: HashSet<String>,
    /// Charges by model, of weeks that are not summed up yet.
    pub weeks: BTreeMap<String, BTreeMap<String, Exact>>,
    /// When the next week is to be summed up.
    pub summary_at: Option<Timestamp>,
    /// Days, months and paces, in the customer's zone; made when first needed.
    pub watch: Option<Box<Watch>>,
}

impl Alerts {
    pub fn load(loaded: LoadedAlerts, zone: &str, now: Timestamp) -> Self {
        let mut weeks: BTreeMap<String, BTreeMap<String, Exact>> = BTreeMap::new();
        for (week, model, spent) in loaded.weeks {
            weeks.entry(week).or_default().insert(model, spent);
        }
        let mut alerts = Self {
            settings: Arc::new(loaded.settings.unwrap_or_default()),
            told: loaded.told.into_iter().collect(),
            weeks,
            summary_at: None,
            watch: None,
        };
        alerts.summary_at = alerts.next_summary(zone, now);
        alerts
    }

    /// When the next week is over of which there is something to tell.
    fn next_summary(&self, zone: &str, now: Timestamp) -> Option<Timestamp> {
        let (first, _) = self.weeks.first_key_value()?;
        let weeks = Calendar::aligned(zone, Every::Week).ok()?;
        let (_, week) = weeks.around(now)?;
        Some(if *first < weeks.date(week.start) { now } else { week.end })
    }

    /// Whether an alert is new, as far as memory knows; from now on it is not.
    pub fn is_new(&mut self, id: &str) -> bool {
        if self.told.contains(id) {
            return false;
        }
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert(id.to_owned())
    }
}

/// When an alert's row may go.
pub(super) fn until(what: &What, watch: &Watch) -> Option<Timestamp> {
    what.until(watch.today.end, watch.month.end)
}
