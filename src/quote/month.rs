//! What a month costs: stated volumes, or those of the days that an archive has, by a book or a plan.
//!
//! From an archive, `expected` is the mean day, rounded up to a whole unit after the month's days are
//! taken; `lower` is the least day of each model and meter and `upper` the greatest, as if every day
//! were that one. Days are UTC; a day between the first and the last on which nothing was used counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{Code, Problem};
use crate::book::{Book, Rates};
use crate::calendar::utc_month;
use crate::clock::Timestamp;
use crate::money::{Exact, OutOfRange, Ratio, Rounding, Sum};
use crate::plan::{Plan, Usage as PlanUsage};
use crate::rating;
use crate::replay::Attempt;
use crate::wire::usage::{Meter, Provenance, Usage};

/// Most volumes priced at once: a thousand models with ten meters each.
pub const VOLUMES_MAX: usize = 10_000;
/// More input than any request has: every rate of long requests is reached.
const ANY_LENGTH: u64 = 1_000_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// How much of a meter of a model is used in the month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The model.
    pub model: String,
    /// By the name a book or a plan has for it.
    pub meter: String,
    /// At least.
    pub lower: Exact,
    /// Probably.
    pub expected: Exact,
    /// At most.
    pub upper: Exact,
}

/// What the month is priced by.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// A price book.
    Book(&'a Book),
    /// A plan: its fees, allowances and commitments count.
    Plan(&'a Plan),
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, message)
}

fn out_of_range(_: OutOfRange) -> Problem {
    invalid("The amounts need more than 28 digits.")
}

/// Reads `{"volumes": [{"model", "meter", "lower", "expected", "upper"}]}`; a `quantity` in the place of
/// the three is all of them.
pub fn read(text: &str) -> Result<Vec<Volume>, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stated {
        model: String,
        meter: String,
        quantity: Option<Exact>,
        lower: Option<Exact>,
        expected: Option<Exact>,
        upper: Option<Exact>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        volumes: Vec<Stated>,
    }
    let file: File = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if file.volumes.len() > VOLUMES_MAX {
        return Err(invalid(format!("more than {VOLUMES_MAX} volumes")));
    }
    let volume = |(at, stated): (usize, Stated)| {
        let Stated { model, meter, quantity, lower, expected, upper } = stated;
        let bounds = match (quantity, lower, expected, upper) {
            (Some(all), None, None, None) => Some((all, all, all)),
            (None, Some(lower), Some(expected), Some(upper)) => Some((lower, expected, upper)),
            _ => None,
        };
        let rising = bounds.filter(|(lower, expected, upper)| {
            !lower.is_negative() && lower <= expected && expected <= upper
        });
        let (lower, expected, upper) = rising.ok_or_else(|| {
            let needs = "needs `quantity`, or `lower` ≤ `expected` ≤ `upper`, none below zero";
            invalid(format!("volumes[{at}] {needs}"))
        })?;
        Ok(Volume { model, meter, lower, expected, upper })
    };
    file.volumes.into_iter().enumerate().map(volume).collect()
}

/// What the volumes come to, as JSON: `{"currency", "lower", "expected", "upper", "volumes", "lines"}`,
/// or `{"error": {"code", "message"}}`.
pub fn quote_month(volumes: &[Volume], by: By<'_>) -> String {
    let priced = |of: fn(&Volume) -> Exact, which| match by {
        By::Book(book) => by_book(volumes, of, book, which),
        By::Plan(plan) => by_plan(volumes, of, plan),
    };
    let all = || -> Result<Value, Problem> {
        let (lower, of_lower) = priced(|volume| volume.lower, Which::Cheapest)?;
        let (expected, of_expected) = priced(|volume| volume.expected, Which::Usual)?;
        let (upper, of_upper) = priced(|volume| volume.upper, Which::Dearest)?;
        let (currency, by) = match by {
            By::Book(book) => (book.currency(), json!({ "book_version": book.version() })),
            By::Plan(plan) => {
                (&*plan.currency, json!({ "plan": plan.plan, "version": plan.version }))
            }
        };
        Ok(json!({ "currency": currency, "lower": lower, "expected": expected, "upper": upper,
            "volumes": volumes, "by": by,
            "lines": { "lower": of_lower, "expected": of_expected, "upper": of_upper } }))
    };
    all().map_or_else(|problem| super::asked::failed(&problem), |value| value.to_string())
}

/// Which of a model's rates: how long its requests are, and in which tier they are served, is not in a
/// volume.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Cheapest,
    Usual,
    Dearest,
}

fn by_book(
    volumes: &[Volume],
    of: fn(&Volume) -> Exact,
    book: &Book,
    which: Which,
) -> Result<(Exact, Value), Problem> {
    let mut models: BTreeMap<&str, Usage> = BTreeMap::new();
    for volume in volumes {
        let meter = Meter::named(&volume.meter)
            .ok_or_else(|| invalid(format!("{:?} is no meter that a book prices", volume.meter)))?;
        let usage = models.entry(&volume.model).or_default();
        let sum = usage.get(meter).unwrap_or(Exact::ZERO).plus(of(volume)).map_err(out_of_range)?;
        usage.set(meter, sum, Provenance::Estimated);
    }
    let (mut sum, mut lines) = (Exact::ZERO, Vec::new());
    for (name, usage) in models {
        let unsold = || {
            let message = format!("The book does not list {name:?}.");
            Problem::new(Code::ModelNotPriced, message)
        };
        let model = book.find(None, name).ok_or_else(unsold)?;
        let card = model.card(&crate::book::Situation::default()).ok_or_else(unsold)?;
        let choices: Vec<&Rates> = match which {
            Which::Usual => card.rates_for(None, Exact::ZERO).into_iter().collect(),
            _ => card.reachable(None, ANY_LENGTH.into()),
        };
        let mut best: Option<rating::Rated> = None;
        for rates in choices {
            let rated = rating::rate(&usage, rates).map_err(out_of_range)?;
            if let Some(meter) = rated.unpriced.first() {
                let message = format!("The book has no rate for {} of {name:?}.", meter.as_str());
                return Err(Problem::new(Code::ModelNotPriced, message));
            }
            let better = best.as_ref().is_none_or(|best| match which {
                Which::Cheapest => rated.amount < best.amount,
                _ => rated.amount > best.amount,
            });
            if better {
                best = Some(rated);
            }
        }
        let rated = best.ok_or_else(unsold)?;
        sum = sum.plus(rated.amount).map_err(out_of_range)?;
        lines.push(json!({ "model": name, "amount": rated.amount, "lines": rated.lines }));
    }
    Ok((sum, lines.into()))
}

fn by_plan(
    volumes: &[Volume],
    of: fn(&Volume) -> Exact,
    plan: &Plan,
) -> Result<(Exact, Value), Problem> {
    let entry = |volume: &Volume| {
        let dimensions = json!({ "model": volume.model });
        json!({ "meter": volume.meter, "quantity": of(volume), "dimensions": dimensions })
    };
    let entries: Vec<Value> = volumes.iter().map(entry).collect();
    let usage = PlanUsage::parse(&json!({ "usage": entries }).to_string())
        .map_err(|faults| invalid(faults.to_string()))?;
    let priced = plan.price(&usage).map_err(|fault| invalid(fault.to_string()))?;
    Ok((priced.amount, json!(priced.lines)))
}

/// The days of an archive.
#[derive(Default)]
pub struct Days {
    /// By model and meter, what was used on each day.
    used: BTreeMap<(String, Meter), BTreeMap<u64, Sum>>,
    span: Option<(u64, u64)>,
}

impl Days {
    /// Adds what an attempt used. Of a corrected one, add the correction alone.
    pub fn add(&mut self, attempt: &Attempt) -> Result<(), OutOfRange> {
        let day = attempt.received_at.since(Timestamp::from_ms(0)).div_euclid(DAY_MS);
        let (first, last) = self.span.unwrap_or((day, day));
        self.span = Some((first.min(day), last.max(day)));
        for quantity in &attempt.quantities {
            let key = (attempt.model.clone(), quantity.meter);
            let sum = self.used.entry(key).or_default().entry(day).or_default();
            sum.add(quantity.quantity)?;
        }
        Ok(())
    }

    /// The volumes of the calendar month that holds a time; of the meters a plan has, where a plan
    /// prices them.
    pub fn volumes(&self, at: Timestamp, plan: Option<&Plan>) -> Result<Vec<Volume>, OutOfRange> {
        let Some((first, last)) = self.span else { return Ok(Vec::new()) };
        let seen = last.saturating_sub(first).saturating_add(1);
        let month = utc_month(at);
        let days = month.end.since(month.start).div_euclid(DAY_MS);
        let mut volumes = Vec::new();
        for ((model, meter), by_day) in &self.used {
            if plan.is_some_and(|plan| !plan.prices(meter.as_str())) {
                continue;
            }
            let used: Vec<Exact> =
                by_day.values().map(|sum| sum.total()).collect::<Result<_, _>>()?;
            let idle = u64::try_from(used.len()).unwrap_or(u64::MAX) < seen;
            let least = used.iter().min().copied().filter(|_| !idle).unwrap_or(Exact::ZERO);
            let most = used.iter().max().copied().unwrap_or(Exact::ZERO);
            let all = Ratio::from(Exact::sum(used)?).times(Exact::from(days).into())?;
            let upper = most.times(days.into())?;
            let expected = all.over(Exact::from(seen).into())?.rounded(0, Rounding::Up)?;
            volumes.push(Volume {
                model: model.clone(),
                meter: meter.as_str().to_owned(),
                lower: least.times(days.into())?,
                // Rounded up, it may pass a greatest day that is no whole number.
                expected: expected.min(upper),
                upper,
            });
        }
        Ok(volumes)
    }
}

#[cfg(test)]
#[path = "month_tests.rs"]
mod tests;
