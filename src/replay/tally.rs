//! The sums of a what-if: in all, by model and by meter; what has no price; what could not be read.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::NoPrice;
use super::periods::{ForPlan, Periods, Refused};
use super::read::Slim;
use super::whatif::Sign;
use crate::money::{Exact, OutOfRange, Sum};
use crate::plan::Plan;
use crate::wire::usage::Meter;

/// Errors told one by one; all are counted.
const FAULTS_TOLD: usize = 100;
/// Records told line by line; of all others only the sums are.
const EXAMPLES_TOLD: usize = 50;
/// Models summed apart; the rest is summed under one name.
const MODELS_MAX: usize = 10_000;
/// The name of that rest.
const OTHERS: &str = "(other models)";

/// One side of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub amount: Exact,
    pub lines: Vec<(Meter, Exact)>,
}

/// Before and after.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    old: Sum,
    new: Sum,
}

impl Pair {
    fn add(&mut self, old: Exact, new: Exact, sign: Sign) -> Result<(), OutOfRange> {
        signed(&mut self.old, old, sign)?;
        signed(&mut self.new, new, sign)
    }

    fn json(self) -> Result<Value, OutOfRange> {
        let (old, new) = (self.old.total()?, self.new.total()?);
        Ok(json!({ "old": old, "new": new, "difference": new.minus(old)? }))
    }
}

pub(super) fn signed(sum: &mut Sum, number: Exact, sign: Sign) -> Result<(), OutOfRange> {
    match sign {
        Sign::Plus => sum.add(number),
        Sign::Minus => sum.take(number),
    }
}

fn counted(count: &mut u64, sign: Sign) {
    *count = match sign {
        Sign::Plus => count.saturating_add(1),
        Sign::Minus => count.saturating_sub(1),
    };
}

/// One model's sums.
#[derive(Default)]
struct Group {
    attempts: u64,
    changed: u64,
    sums: Pair,
    /// In the order of the meters.
    meters: BTreeMap<Meter, Pair>,
}

/// Records without a price, by model and reason: they are in no sum.
#[derive(Default)]
struct Unpriced {
    attempts: u64,
    old: Sum,
}

/// All that is kept of an archive.
pub(super) struct Tally {
    currency: String,
    groups: Vec<(Box<str>, Group)>,
    /// Where in `groups` a model is.
    places: HashMap<Box<str>, usize>,
    unpriced: BTreeMap<(String, String, String), Unpriced>,
    passed_over: u64,
    faults: u64,
    told: Vec<Value>,
    examples: Vec<(String, u64, Value)>,
    /// Under a plan.
    periods: Option<Periods>,
}

impl Tally {
    pub fn new(currency: &str, periods: Option<Periods>) -> Self {
        Self {
            currency: currency.to_owned(),
            groups: Vec::new(),
            places: HashMap::new(),
            unpriced: BTreeMap::new(),
            passed_over: 0,
            faults: 0,
            told: Vec::new(),
            examples: Vec::new(),
            periods,
        }
    }

    /// A line that is in no sum, by its number in its file, where that has a name.
    pub fn fault(&mut self, (file, line): (Option<&str>, u64), code: &str, message: &str) {
        self.faults = self.faults.saturating_add(1);
        if self.told.len() >= FAULTS_TOLD {
            return;
        }
        let mut fault = json!({ "line": line, "code": code, "message": message });
        if let (Some(file), Some(fault)) = (file, fault.as_object_mut()) {
            fault.insert("file".into(), file.into());
        }
        self.told.push(fault);
    }

    /// A record that was there before, or that a correction stands for.
    pub fn passed_over(&mut self) {
        self.passed_over = self.passed_over.saturating_add(1);
    }

    /// Adds one record's two sides; whether they differ.
    pub fn add(
        &mut self,
        slim: &Slim<'_>,
        (old, new): (&[(Meter, Exact)], Result<Outcome, NoPrice>),
        sign: Sign,
    ) -> Result<bool, OutOfRange> {
        let new = match new {
            Ok(new) => new,
            Err(why) => {
                let code = json!(why).to_string();
                let key =
                    (slim.model.clone().into_owned(), slim.currency.clone().into_owned(), code);
                let room = self.unpriced.len() < MODELS_MAX || self.unpriced.contains_key(&key);
                let key = if room { key } else { (OTHERS.to_owned(), key.1, key.2) };
                let entry = self.unpriced.entry(key).or_default();
                counted(&mut entry.attempts, sign);
                signed(&mut entry.old, slim.charged, sign)?;
                return Ok(true);
            }
        };
        let group = self.group(&slim.model)?;
        counted(&mut group.attempts, sign);
        group.sums.add(slim.charged, new.amount, sign)?;
        for (meter, amount) in old {
            signed(&mut group.meters.entry(*meter).or_default().old, *amount, sign)?;
        }
        for (meter, amount) in &new.lines {
            signed(&mut group.meters.entry(*meter).or_default().new, *amount, sign)?;
        }
        let changed = slim.charged != new.amount || old != new.lines;
        if changed {
            counted(&mut group.changed, sign);
        }
        Ok(changed)
    }

    fn group(&mut self, model: &str) -> Result<&mut Group, OutOfRange> {
        let at = match self.places.get(model) {
            Some(at) => *at,
            None => self.new_place(model),
        };
        self.groups.get_mut(at).map(|(_, group)| group).ok_or(OutOfRange)
    }

    fn new_place(&mut self, model: &str) -> usize {
        let room = self.groups.len() < MODELS_MAX;
        let name = if room { model } else { OTHERS };
        if let Some(at) = self.places.get(name) {
            return *at;
        }
        let at = self.groups.len();
        self.groups.push((name.into(), Group::default()));
        self.places.insert(name.into(), at);
        at
    }

    /// Adds what a record used, to be priced with the rest of its period; or why it has no price.
    pub fn used(
        &mut self,
        slim: &Slim<'_>,
        used: Result<ForPlan<'_>, NoPrice>,
        sign: Sign,
    ) -> Result<(), Refused> {
        let used =
            if slim.currency == self.currency { used } else { Err(NoPrice::CurrencyDiffers) };
        let used = match used {
            Ok(used) => used,
            Err(why) => {
                self.add(slim, (&[], Err(why)), sign)?;
                return Ok(());
            }
        };
        self.periods.as_mut().ok_or(Refused::TooMany)?.add(slim, &used, sign)?;
        let group = self.group(&slim.model)?;
        signed(&mut group.sums.old, slim.charged, sign)?;
        counted(&mut group.attempts, sign);
        Ok(())
    }

    /// Whether one more record is to be told line by line.
    pub fn wants_example(&mut self, sign: Sign) -> bool {
        sign == Sign::Plus && self.examples.len() < EXAMPLES_TOLD
    }

    pub fn example(&mut self, repriced: &str, slim: &Slim<'_>) {
        let Ok(mut example) = serde_json::from_str::<Value>(repriced) else { return };
        if let Some(example) = example.as_object_mut() {
            example.insert("customer".into(), json!(slim.customer));
            example.insert("seq".into(), json!(slim.seq));
            example.insert("model".into(), json!(slim.model));
        }
        self.examples.push((slim.customer.clone().into_owned(), slim.seq, example));
    }

    /// A record was taken back: it is no example either.
    pub fn forget(&mut self, slim: &Slim<'_>) {
        self.examples.retain(|(customer, seq, _)| *customer != slim.customer || *seq != slim.seq);
    }

    /// Everything as JSON; under a plan, `new` is what the plan's periods come to.
    pub fn report(&self, plan: Option<&Plan>) -> Value {
        self.sums(plan).unwrap_or_else(|error| {
            json!({ "error": { "code": "amount_out_of_range", "message": error.to_string() } })
        })
    }

    fn sums(&self, plan: Option<&Plan>) -> Result<Value, OutOfRange> {
        let mut models: Vec<(&str, &Group)> =
            self.groups.iter().map(|(model, group)| (&**model, group)).collect();
        models.sort_by_key(|(model, _)| *model);
        models.retain(|(_, group)| group.attempts > 0);
        let (mut attempts, mut changed, mut old, mut new) =
            (0_u64, 0_u64, Exact::ZERO, Exact::ZERO);
        let mut rows = Vec::with_capacity(models.len());
        for (model, group) in models {
            attempts = attempts.saturating_add(group.attempts);
            changed = changed.saturating_add(group.changed);
            old = old.plus(group.sums.old.total()?)?;
            new = new.plus(group.sums.new.total()?)?;
            rows.push(Self::row(model, group, plan.is_some())?);
        }
        let mut report = json!({
            "currency": self.currency, "attempts": attempts,
            "models": rows, "unpriced": self.unpriced()?,
            "passed_over": self.passed_over,
            "errors": { "count": self.faults, "first": self.told },
        });
        let Some(fields) = report.as_object_mut() else { return Ok(report) };
        if let Some((plan, periods)) = plan.zip(self.periods.as_ref()) {
            let total = periods.price(plan)?;
            fields.insert("old".into(), json!(total.old));
            fields.extend(total.new.map(|new| ("new".into(), json!(new))));
            fields.extend(total.difference.map(|by| ("difference".into(), json!(by))));
            fields.insert("not_in_plan".into(), json!(total.not_in_plan));
            fields.insert("left_out".into(), json!(total.left_out));
            fields.insert("periods".into(), total.rows.into());
        } else {
            let examples = self.examples.iter().map(|(_, _, example)| example);
            fields.insert("old".into(), json!(old));
            fields.insert("new".into(), json!(new));
            fields.insert("difference".into(), json!(new.minus(old)?));
            fields.insert("changed".into(), json!(changed));
            fields.insert("examples".into(), examples.cloned().collect());
        }
        Ok(report)
    }

    fn row(model: &str, group: &Group, by_plan: bool) -> Result<Value, OutOfRange> {
        if by_plan {
            let old = group.sums.old.total()?;
            return Ok(json!({ "model": model, "attempts": group.attempts, "old": old }));
        }
        let mut row = group.sums.json()?;
        let mut lines = Vec::with_capacity(group.meters.len());
        for (meter, pair) in &group.meters {
            let mut line = pair.json()?;
            if let Some(line) = line.as_object_mut() {
                line.insert("meter".into(), json!(meter));
            }
            lines.push(line);
        }
        if let Some(row) = row.as_object_mut() {
            row.insert("model".into(), model.into());
            row.insert("attempts".into(), group.attempts.into());
            row.insert("changed".into(), group.changed.into());
            row.insert("lines".into(), lines.into());
        }
        Ok(row)
    }

    fn unpriced(&self) -> Result<Vec<Value>, OutOfRange> {
        let mut rows = Vec::new();
        for ((model, currency, why), entry) in &self.unpriced {
            if entry.attempts == 0 {
                continue;
            }
            let why: Value = serde_json::from_str(why).unwrap_or(Value::Null);
            rows.push(json!({ "model": model, "currency": currency, "error": why,
                              "attempts": entry.attempts, "old": entry.old.total()? }));
        }
        Ok(rows)
    }
}
