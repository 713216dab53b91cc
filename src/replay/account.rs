//! One customer's one period: what it used and was charged, and what a plan makes of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::calendar::Period;
use crate::money::{Exact, OutOfRange, Sum};
use crate::plan::{Carried, LineKind, Plan, Priced, Usage, Where};
use crate::rating::cover;
use crate::wire::usage::{Meter, Provenance, Usage as Used};

/// One customer's one period.
pub(super) struct Account {
    pub customer: Box<str>,
    pub period: Period,
    /// Records counted in it; taken back to none, it is as if there had been none.
    pub records: u64,
    /// A record of it is in no sum: none of them are right.
    pub is_partial: bool,
    groups: Vec<Group>,
    /// Where in `groups` a key is.
    at: HashMap<Box<str>, usize>,
}

/// Usage that a plan cannot tell apart.
pub(super) struct Group {
    /// By what the plan may tell it from other usage; `None`: the plan prices none of it.
    place: Option<Where>,
    pub charged: Sum,
    /// What was used, meter by meter,
    pub used: BTreeMap<Meter, Sum>,
    /// and what was charged for it.
    pub lines: BTreeMap<Meter, Sum>,
}

/// What a period comes to.
pub(super) struct Row {
    pub json: Value,
    /// Charged for what the plan prices, and the plan's price; `None` where there is none.
    pub sums: Option<(Exact, Exact)>,
    /// Whether how much of `old` the plan's price stands for is known.
    pub is_comparable: bool,
    pub left_out: LeftOut,
}

/// Usage that the plan has no price for.
#[derive(Default)]
pub(super) struct LeftOut {
    pub meters: BTreeSet<Meter>,
    /// What was charged for it.
    pub old: Exact,
}

/// The charges and usage of a period, sorted by whether the plan prices them.
#[derive(Default)]
struct Sorted {
    entries: Vec<Value>,
    charged: Exact,
    /// What was charged for what the plan prices, meter by meter.
    lines: BTreeMap<Meter, Exact>,
    left_out: LeftOut,
    /// Something that the plan has no price for may be in a charge that names no meter.
    is_mixed: bool,
}

impl Account {
    pub fn new(customer: &str, period: Period) -> Self {
        Self {
            customer: customer.into(),
            period,
            records: 0,
            is_partial: false,
            groups: Vec::new(),
            at: HashMap::new(),
        }
    }

    /// The group of a key, if it is known.
    pub fn known(&self, key: &str) -> Option<&Group> {
        self.groups.get(*self.at.get(key)?)
    }

    /// The group of a key; a new one is of this place.
    pub fn group(
        &mut self,
        key: &str,
        place: impl FnOnce() -> Option<Where>,
    ) -> Option<&mut Group> {
        let at = if let Some(at) = self.at.get(key) {
            *at
        } else {
            let (charged, used, lines) = (Sum::default(), BTreeMap::new(), BTreeMap::new());
            self.groups.push(Group { place: place(), charged, used, lines });
            let at = self.groups.len().saturating_sub(1);
            self.at.insert(key.into(), at);
            at
        };
        self.groups.get_mut(at)
    }

    /// What the plan makes of it as the customer's period number `nth`, line by line beside what was
    /// charged; and what it leaves to the next.
    pub fn price(&self, plan: &Plan, nth: i32, carried: &mut Carried) -> Result<Row, OutOfRange> {
        if self.is_partial {
            let message = "records of this period are not counted, so its sums are not known";
            return Ok(self.without_price(&json!({ "code": "partial", "message": message })));
        }
        let sorted = self.sorted(plan)?;
        let old = sorted.charged.minus(sorted.left_out.old)?;
        let (start, end) = (self.period.start, self.period.end);
        let usage = json!({ "period": { "start": start, "end": end }, "first": nth == 0,
            "granted": carried.granted, "spent_before": carried.spent_before,
            "usage": sorted.entries });
        let priced = match priced(plan, &usage.to_string()) {
            Ok(priced) => priced,
            Err(why) => return Ok(self.without_price(&why)),
        };
        *carried = plan.carry(&priced, nth.saturating_add(1))?;
        let mut json = json!({ "customer": self.customer, "start": start, "end": end, "old": old,
            "new": priced.amount, "lines": sorted.compare(plan, &priced)?,
            "not_in_plan": sorted.left_out.meters, "left_out": sorted.left_out.old });
        if let Some(fields) = json.as_object_mut().filter(|_| !sorted.is_mixed) {
            fields.insert("difference".into(), json!(priced.amount.minus(old)?));
        }
        let sums = Some((old, priced.amount));
        Ok(Row { json, sums, is_comparable: !sorted.is_mixed, left_out: sorted.left_out })
    }

    /// A period that has no price, and why; it is in no sum.
    pub fn without_price(&self, why: &Value) -> Row {
        let (start, end) = (self.period.start, self.period.end);
        let json = json!({ "customer": self.customer, "start": start, "end": end, "error": why });
        Row { json, sums: None, is_comparable: true, left_out: LeftOut::default() }
    }

    fn sorted(&self, plan: &Plan) -> Result<Sorted, OutOfRange> {
        let mut sorted = Sorted::default();
        for group in &self.groups {
            group.sort(plan, &mut sorted)?;
        }
        Ok(sorted)
    }
}

impl Group {
    fn sort(&self, plan: &Plan, sorted: &mut Sorted) -> Result<(), OutOfRange> {
        let mut usage = Used::default();
        for (meter, sum) in &self.used {
            usage.set(*meter, sum.total()?, Provenance::Reported);
        }
        let (parts, covered) = match &self.place {
            Some(place) => plan.parts_of(&usage, place)?,
            None => Default::default(),
        };
        let before = sorted.entries.len();
        sorted.entries.extend(parts.iter().filter(|part| !part.quantity.is_zero()).map(|part| {
            json!({ "meter": part.meter, "quantity": part.quantity, "dimensions": part.dimensions })
        }));
        let is_priced = sorted.entries.len() > before;
        let charged_for = |meter| self.lines.get(&meter).map_or(Ok(Exact::ZERO), |sum| sum.total());
        let mut missing = BTreeSet::new();
        for (meter, left) in cover::without(&usage, &covered)?.iter() {
            // A call that is not sold by the call costs nothing under a book either.
            let is_call = [Meter::Requests, Meter::Turns].contains(&meter);
            let is_free = is_call && charged_for(meter)?.is_zero();
            if !left.quantity.is_zero() && !is_free {
                missing.insert(meter);
            }
        }
        let charged = self.charged.total()?;
        let (mut told, mut left_out) = (Exact::ZERO, Exact::ZERO);
        for (meter, sum) in &self.lines {
            let amount = sum.total()?;
            told = told.plus(amount)?;
            if missing.contains(meter) {
                left_out = left_out.plus(amount)?;
            } else {
                let line = sorted.lines.entry(*meter).or_default();
                *line = line.plus(amount)?;
            }
        }
        // Charged by a plan or from a hold, and so by no meter.
        sorted.is_mixed |= !missing.is_empty() && is_priced && told != charged;
        if !missing.is_empty() && !is_priced {
            left_out = left_out.plus(charged.minus(told)?)?;
        }
        sorted.charged = sorted.charged.plus(charged)?;
        sorted.left_out.old = sorted.left_out.old.plus(left_out)?;
        sorted.left_out.meters.append(&mut missing);
        Ok(())
    }
}

impl Sorted {
    /// What was charged beside what the plan charges: by meter, then what only one side knows. The
    /// differences add up to the period's.
    fn compare(&self, plan: &Plan, priced: &Priced) -> Result<Vec<Value>, OutOfRange> {
        let (mut meters, mut others) = (BTreeMap::<&str, (Exact, Exact)>::new(), Vec::new());
        let mut told = self.left_out.old;
        for (meter, amount) in &self.lines {
            told = told.plus(*amount)?;
            meters.entry(meter.as_str()).or_default().0 = *amount;
        }
        for line in &priced.lines {
            let usage = matches!(line.kind, LineKind::Charge | LineKind::Reversal);
            if let Some(meter) = plan.meter_of(&line.id).filter(|_| usage) {
                let (_, new) = meters.entry(meter).or_default();
                *new = new.plus(line.amount)?;
            } else {
                others.push(json!({ "id": line.id, "kind": line.kind, "old": Exact::ZERO,
                                    "new": line.amount, "difference": line.amount }));
            }
        }
        let mut rows = Vec::with_capacity(meters.len().saturating_add(others.len()));
        for (meter, (old, new)) in
            meters.iter().filter(|(_, (old, new))| old != new || !old.is_zero())
        {
            rows.push(
                json!({ "meter": meter, "old": old, "new": new, "difference": new.minus(*old)? }),
            );
        }
        let rest = self.charged.minus(told)?;
        if !rest.is_zero() {
            rows.push(json!({ "kind": "not_by_meter", "old": rest, "new": Exact::ZERO,
                              "difference": Exact::ZERO.minus(rest)? }));
        }
        rows.extend(others);
        Ok(rows)
    }
}

fn priced(plan: &Plan, usage: &str) -> Result<Priced, Value> {
    let usage = Usage::parse(usage)
        .map_err(|faults| json!({ "code": "invalid_usage", "message": faults.to_string() }))?;
    plan.price(&usage).map_err(|fault| json!({ "code": fault.code, "message": fault.to_string() }))
}
