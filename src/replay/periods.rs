//! What each customer used in each of a plan's periods: what the plan prices as a whole.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::read::Slim;
use super::tally::signed;
use super::whatif::Sign;
use crate::book::input_total;
use crate::calendar::{Calendar, Period};
use crate::money::{Exact, OutOfRange, Sum};
use crate::plan::{Carried, LineKind, Plan, Priced, Usage, Where};
use crate::rating::cover;
use crate::record::Class;
use crate::wire::usage::{Meter, Provenance, Usage as Used};

/// Sums kept; a year of a hundred customers with ten models and ten meters each is an eighth of it.
const SUMS_MAX: usize = 1_000_000;
/// Periods priced, those of customers who used nothing in between included: thirty years of days.
const PERIODS_MAX: usize = 11_000;

/// Why a record is not counted.
pub(super) enum Refused {
    OutOfRange,
    /// A bound above is reached.
    TooMany,
}

impl From<OutOfRange> for Refused {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// Usage by customer and period, and in it by what the plan may tell prices by.
pub(super) struct Periods {
    calendar: Calendar,
    /// Which dimensions the plan tells apart, beside the model, which always is.
    apart: [(&'static str, bool); 3],
    accounts: Vec<Account>,
    places: BTreeMap<(Box<str>, i32), usize>,
    /// The account of the last record: the next one is nearly always in it.
    last: usize,
    sums: usize,
    key: String,
}

/// One customer's one period.
struct Account {
    customer: Box<str>,
    period: Period,
    charged: Sum,
    /// What was charged, meter by meter.
    lines: BTreeMap<Meter, Sum>,
    groups: Vec<(Where, BTreeMap<Meter, Sum>)>,
    /// Where in `groups` a model and the other dimensions are.
    at: HashMap<Box<str>, usize>,
}

/// What parts the dimensions in a key; no name holds it.
const SEPARATOR: char = '\u{1f}';

impl Periods {
    pub fn new(plan: &Plan, calendar: Calendar) -> Self {
        let apart = ["endpoint", "service_tier", "key"].map(|name| (name, plan.tells_apart(name)));
        Self {
            calendar,
            apart,
            accounts: Vec::new(),
            places: BTreeMap::new(),
            last: 0,
            sums: 0,
            key: String::new(),
        }
    }

    /// Adds what was charged for a record, and what it used.
    pub fn add(&mut self, slim: &Slim<'_>, sign: Sign) -> Result<(), Refused> {
        let at = self.account(slim)?;
        let account = self.accounts.get_mut(at).ok_or(Refused::TooMany)?;
        signed(&mut account.charged, slim.charged, sign)?;
        for (meter, amount) in &slim.lines {
            signed(account.lines.entry(*meter).or_default(), *amount, sign)?;
        }
        self.used(slim, &slim.model, &slim.usage, sign)
    }

    /// Adds usage of a model to the period of a record. Every attempt is one request, and its input
    /// is known in all, whatever parts of it were reported. What was voided was not used.
    pub fn used(
        &mut self,
        slim: &Slim<'_>,
        model: &str,
        usage: &Used,
        sign: Sign,
    ) -> Result<(), Refused> {
        if slim.class == Class::Voided {
            return Ok(());
        }
        let at = self.account(slim)?;
        let texts = [slim.endpoint.as_deref(), slim.served_tier.as_deref(), slim.key.as_deref()];
        let told = self.apart.iter().zip(texts).filter(|((_, apart), _)| *apart);
        let told = told.filter_map(|((name, _), text)| Some((*name, text?)));
        self.key.clear();
        self.key.push_str(model);
        for (name, text) in told.clone() {
            self.key.extend([SEPARATOR]);
            self.key.push_str(name);
            self.key.push_str(text);
        }
        let account = self.accounts.get_mut(at).ok_or(Refused::TooMany)?;
        let group = if let Some(group) = account.at.get(&*self.key) {
            *group
        } else {
            let place = told.chain([("model", model)]);
            let place = place.map(|(name, text)| (name.to_owned(), text.to_owned()));
            account.groups.push((place.collect(), BTreeMap::new()));
            let group = account.groups.len().saturating_sub(1);
            account.at.insert(self.key.as_str().into(), group);
            group
        };
        let (_, sums) = account.groups.get_mut(group).ok_or(Refused::TooMany)?;
        let before = sums.len();
        let input = input_total(usage)?;
        if !input.is_zero() {
            signed(sums.entry(Meter::InputTotal).or_default(), input, sign)?;
        }
        let requests = usage.get(Meter::Requests).unwrap_or(Exact::from(1));
        signed(sums.entry(Meter::Requests).or_default(), requests, sign)?;
        let counted = [Meter::InputTotal, Meter::Requests];
        for (meter, measured) in usage.iter().filter(|(meter, _)| !counted.contains(meter)) {
            signed(sums.entry(meter).or_default(), measured.quantity, sign)?;
        }
        self.sums = self.sums.saturating_add(sums.len().saturating_sub(before));
        if self.sums > SUMS_MAX { Err(Refused::TooMany) } else { Ok(()) }
    }

    fn account(&mut self, slim: &Slim<'_>) -> Result<usize, Refused> {
        let at = slim.received_at;
        let last = self.accounts.get(self.last);
        if last.is_some_and(|last| last.period.holds(at) && *last.customer == *slim.customer) {
            return Ok(self.last);
        }
        let (nth, period) = self.calendar.around(at).ok_or(Refused::OutOfRange)?;
        let key = (Box::from(&*slim.customer), nth);
        self.last = if let Some(known) = self.places.get(&key) {
            *known
        } else {
            if self.accounts.len() >= PERIODS_MAX {
                return Err(Refused::TooMany);
            }
            self.accounts.push(Account {
                customer: key.0.clone(),
                period,
                charged: Sum::default(),
                lines: BTreeMap::new(),
                groups: Vec::new(),
                at: HashMap::new(),
            });
            let new = self.accounts.len().saturating_sub(1);
            self.places.insert(key, new);
            new
        };
        Ok(self.last)
    }

    /// What the plan makes of each customer's periods, from the first with usage to the last, and
    /// their sum. A period that it cannot price says why, and is in no sum.
    pub fn price(&self, plan: &Plan) -> Result<(Exact, Vec<Value>), OutOfRange> {
        let (mut sum, mut rows) = (Exact::ZERO, Vec::new());
        let mut before: Option<(&str, i32, i32, Carried)> = None;
        for ((customer, nth), at) in &self.places {
            let Some(account) = self.accounts.get(*at) else { continue };
            let (first, mut next, mut carried) = match before.take() {
                Some((same, first, last, carried)) if same == &**customer => {
                    (first, last.saturating_add(1), carried)
                }
                _ => (*nth, *nth, Carried::default()),
            };
            while next <= *nth {
                let empty;
                let account = if next == *nth {
                    account
                } else {
                    let Some(period) = self.calendar.period(next) else { break };
                    empty = Account::empty(customer, period);
                    &empty
                };
                let (row, new) = account.price(plan, next.saturating_sub(first), &mut carried)?;
                sum = sum.plus(new.unwrap_or_default())?;
                rows.push(row);
                next = next.saturating_add(1);
                if rows.len() > PERIODS_MAX {
                    return Ok((
                        sum,
                        vec![json!({ "customer": customer, "error": {
                        "code": "too_many_periods",
                        "message": format!("there are more than {PERIODS_MAX} periods to price") } })],
                    ));
                }
            }
            before = Some((customer, first, *nth, carried));
        }
        Ok((sum, rows))
    }
}

impl Account {
    fn empty(customer: &str, period: Period) -> Self {
        Self {
            customer: customer.into(),
            period,
            charged: Sum::default(),
            lines: BTreeMap::new(),
            groups: Vec::new(),
            at: HashMap::new(),
        }
    }

    /// What the plan makes of it as the customer's period number `nth`, line by line beside what was
    /// charged; and what it leaves to the next.
    fn price(
        &self,
        plan: &Plan,
        nth: i32,
        carried: &mut Carried,
    ) -> Result<(Value, Option<Exact>), OutOfRange> {
        let old = self.charged.total()?;
        let (mut entries, mut rest) = (Vec::new(), Vec::new());
        for (dimensions, sums) in &self.groups {
            let mut usage = Used::default();
            for (meter, sum) in sums {
                usage.set(*meter, sum.total()?, Provenance::Reported);
            }
            let (parts, covered) = plan.parts_of(&usage, dimensions)?;
            entries.extend(parts.iter().filter(|part| !part.quantity.is_zero()).map(|part| {
                json!({ "meter": part.meter, "quantity": part.quantity, "dimensions": part.dimensions })
            }));
            let left = cover::without(&usage, &covered)?;
            let left = left.iter().filter(|(meter, left)| {
                // A call that is not sold by the call costs nothing under a book either.
                !left.quantity.is_zero() && ![Meter::Requests, Meter::Turns].contains(meter)
            });
            rest.extend(left.map(|(meter, _)| meter));
        }
        rest.sort_unstable();
        rest.dedup();
        let (start, end) = (self.period.start, self.period.end);
        let usage = json!({ "period": { "start": start, "end": end }, "first": nth == 0,
            "granted": carried.granted, "spent_before": carried.spent_before, "usage": entries });
        let mut row = json!({ "customer": self.customer, "start": start, "end": end, "old": old,
                              "not_in_plan": rest });
        let priced = priced(plan, &usage.to_string());
        let Some(fields) = row.as_object_mut() else { return Ok((row, None)) };
        let new = match priced {
            Ok(priced) => {
                *carried = plan.carry(&priced, nth.saturating_add(1))?;
                fields.insert("new".into(), json!(priced.amount));
                fields.insert("difference".into(), json!(priced.amount.minus(old)?));
                fields.insert("lines".into(), self.compare(plan, &priced)?.into());
                Some(priced.amount)
            }
            Err(why) => {
                fields.insert("error".into(), why);
                None
            }
        };
        Ok((row, new))
    }

    /// What was charged beside what the plan charges: by meter, then what only one side knows. The
    /// differences add up to the period's.
    fn compare(&self, plan: &Plan, priced: &Priced) -> Result<Vec<Value>, OutOfRange> {
        let (mut meters, mut others) = (BTreeMap::<&str, (Exact, Exact)>::new(), Vec::new());
        let mut told = Exact::ZERO;
        for (meter, sum) in &self.lines {
            let amount = sum.total()?;
            told = told.plus(amount)?;
            meters.entry(meter.as_str()).or_default().0 = amount;
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
        // Charged by a plan or from a hold, and so by no meter.
        let rest = self.charged.total()?.minus(told)?;
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
