//! How often requests were refused, by code and hour.

use std::collections::BTreeMap;

use super::command::Row;
use super::state::hour_of;
use super::status::{RefusalCode, Refused};
use crate::clock::{Millis, Timestamp};

/// How far back they are shown; older hours stay in storage for [`REFUSALS_LIFE`](super::REFUSALS_LIFE).
pub const SHOWN: Millis = Millis::from_secs(23 * 3_600);

/// Counts of the hours that are shown: a day's hours by some twenty codes.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<(Timestamp, RefusalCode), u64>);

impl Refusals {
    pub fn load(rows: impl IntoIterator<Item = (Timestamp, RefusalCode, u64)>) -> Self {
        Self(rows.into_iter().map(|(hour, code, count)| ((hour, code), count)).collect())
    }

    /// Counts one; answers what to write.
    pub fn count(&mut self, code: RefusalCode, now: Timestamp, rows: &mut Vec<Row>) {
        let hour = hour_of(now);
        if self.0.last_key_value().is_some_and(|((last, _), _)| *last < hour) {
            self.0.retain(|(at, _), _| *at >= shown_from(now));
        }
        let count = self.0.entry((hour, code)).or_default();
        *count = count.saturating_add(1);
        rows.push(Row::PutRefusals(hour, code, *count));
    }

    /// Sums of the last day, the gravest code first.
    pub fn view(&self, now: Timestamp) -> Vec<Refused> {
        let mut sums: BTreeMap<RefusalCode, Refused> = BTreeMap::new();
        for ((hour, code), count) in self.0.range((shown_from(now), RefusalCode::InvalidKey)..) {
            let none = Refused { code: *code, count: 0, last_hour: *hour };
            let sum = sums.entry(*code).or_insert(none);
            (sum.count, sum.last_hour) = (sum.count.saturating_add(*count), *hour);
        }
        sums.into_values().collect()
    }
}

/// The first hour that is still shown.
pub fn shown_from(now: Timestamp) -> Timestamp {
    before(hour_of(now), SHOWN)
}

fn before(time: Timestamp, length: Millis) -> Timestamp {
    Timestamp::from_ms(time.ms().saturating_sub(i64::from(length.0)))
}
