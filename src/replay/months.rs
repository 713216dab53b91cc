//! What was used in each calendar month, UTC: what a plan prices as a whole.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::read::Slim;
use super::tally::signed;
use super::whatif::Sign;
use crate::calendar::{Period, utc_month};
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange, Sum};
use crate::plan::{Plan, Usage};
use crate::wire::usage::Meter;

/// Sums kept; a year of a hundred models with ten meters each is an eighth of it.
const SUMS_MAX: usize = 100_000;

/// Usage by month, model and meter.
#[derive(Default)]
pub(super) struct Months {
    used: BTreeMap<(Timestamp, Box<str>, Meter), Sum>,
    charged: BTreeMap<Timestamp, Sum>,
    /// The month of the last record: the next one is nearly always in it.
    last: Option<Period>,
}

impl Months {
    pub fn add(&mut self, slim: &Slim<'_>, sign: Sign) -> Result<(), OutOfRange> {
        let at = slim.received_at;
        let month = self.last.filter(|month| month.holds(at)).unwrap_or_else(|| utc_month(at));
        self.last = Some(month);
        signed(self.charged.entry(month.start).or_default(), slim.charged, sign)?;
        for (meter, measured) in slim.usage.iter() {
            let key = (month.start, Box::from(&*slim.model), meter);
            if self.used.len() >= SUMS_MAX && !self.used.contains_key(&key) {
                return Err(OutOfRange);
            }
            signed(self.used.entry(key).or_default(), measured.quantity, sign)?;
        }
        Ok(())
    }

    /// What the plan makes of each month, and their sum. A month that it cannot price says why, and is
    /// in no sum. Meters that the plan does not know are told: totals beside their parts among them.
    pub fn price(&self, plan: &Plan) -> Result<(Exact, Value), OutOfRange> {
        let (mut sum, mut months) = (Exact::ZERO, Vec::new());
        for (month, charged) in &self.charged {
            let old = charged.total()?;
            let (mut entries, mut unknown) = (Vec::new(), Vec::new());
            for ((start, model, meter), used) in &self.used {
                if start != month {
                    continue;
                }
                if plan.prices(meter.as_str()) {
                    entries.push(json!({ "meter": meter, "quantity": used.total()?,
                                         "dimensions": { "model": model } }));
                } else if !unknown.contains(meter) {
                    unknown.push(*meter);
                }
            }
            let mut row = json!({ "month": month, "old": old, "not_in_plan": unknown });
            let priced = price(plan, *month, &entries);
            if let (Ok(priced), Some(row)) = (&priced, row.as_object_mut()) {
                sum = sum.plus(priced.amount)?;
                row.insert("new".into(), json!(priced.amount));
                row.insert("difference".into(), json!(priced.amount.minus(old)?));
                row.insert("lines".into(), json!(priced.lines));
            }
            if let (Err(why), Some(row)) = (priced, row.as_object_mut()) {
                row.insert("error".into(), why);
            }
            months.push(row);
        }
        Ok((sum, months.into()))
    }
}

fn price(plan: &Plan, month: Timestamp, usage: &[Value]) -> Result<crate::plan::Priced, Value> {
    let end = utc_month(month).end;
    let usage = json!({ "period": { "start": month, "end": end }, "usage": usage });
    let usage = Usage::parse(&usage.to_string())
        .map_err(|faults| json!({ "code": "invalid_usage", "message": faults.to_string() }))?;
    plan.price(&usage).map_err(|fault| json!({ "code": fault.code, "message": fault.to_string() }))
}
