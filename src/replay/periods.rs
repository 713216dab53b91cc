//! What each customer used in each of a plan's periods: what the plan prices as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::account::{Account, Group, Row};
use super::read::Slim;
use super::tally::signed;
use super::whatif::Sign;
use crate::book::input_total;
use crate::calendar::Calendar;
use crate::money::{Exact, OutOfRange};
use crate::plan::{Carried, Plan, Where};
use crate::record::Class;
use crate::wire::usage::{Meter, Usage};

/// Sums kept; a year of a hundred customers with ten models, ten meters and five charges each is less
/// than a fifth of it.
const SUMS_MAX: usize = 1_000_000;
/// Periods priced, those of customers who used nothing in between included: thirty years of days.
const PERIODS_MAX: usize = 11_000;
/// The key of what the plan prices none of; no model has it.
const BESIDE: &str = "\u{1f}";
/// What parts the dimensions in a key; no name holds it.
const SEPARATOR: char = '\u{1f}';

/// Quantities or amounts, a meter each.
type ByMeter<'a> = &'a [(Meter, Exact)];

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

/// A record's usage as the gate gives it to a plan.
pub(super) struct ForPlan<'a> {
    /// The model, by the name that the plan knows it by,
    pub model: &'a str,
    /// and whose it is, where the plan may ask.
    pub provider: Option<&'a str>,
    /// What the record's own model used,
    pub own: &'a Usage,
    /// and what was charged for it.
    pub lines: &'a [(Meter, Exact)],
    /// What other models used beside that, which no plan prices,
    pub beside: &'a Usage,
    /// and what was charged for it.
    pub beside_lines: &'a [(Meter, Exact)],
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
    /// A record is in no sum: the total is not known.
    is_partial: bool,
    key: String,
}

/// What all periods come to.
pub(super) struct Total {
    /// What was charged in those that have a price, for what the plan prices.
    pub old: Exact,
    /// What the plan charges for them; `None` where some cannot be told.
    pub new: Option<Exact>,
    /// Of those two; `None` where it is not known.
    pub difference: Option<Exact>,
    pub not_in_plan: BTreeSet<Meter>,
    /// What was charged for that.
    pub left_out: Exact,
    pub rows: Vec<Value>,
}

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
            is_partial: false,
            key: String::new(),
        }
    }

    /// Adds what was charged for a record, and what it used. What was voided was not used; where it
    /// cost nothing either, the customer had no period of it.
    pub fn add(&mut self, slim: &Slim<'_>, used: &ForPlan<'_>, sign: Sign) -> Result<(), Refused> {
        if slim.class == Class::Voided && slim.charged.is_zero() {
            return Ok(());
        }
        let done = match self.account(slim) {
            Ok(at) => {
                let done = self.add_to(at, slim, used, sign);
                if let Some(account) = self.accounts.get_mut(at).filter(|_| done.is_err()) {
                    account.is_partial = true;
                }
                done
            }
            Err(why) => Err(why),
        };
        self.is_partial |= done.is_err();
        done
    }

    fn add_to(
        &mut self,
        at: usize,
        slim: &Slim<'_>,
        used: &ForPlan<'_>,
        sign: Sign,
    ) -> Result<(), Refused> {
        let quantities = quantities(slim, used.own)?;
        let beside: Vec<(Meter, Exact)> =
            used.beside.iter().map(|(meter, measured)| (meter, measured.quantity)).collect();
        let beside_charged = Exact::sum(used.beside_lines.iter().map(|(_, amount)| *amount))?;
        let own_charged = slim.charged.minus(beside_charged)?;
        let texts = [slim.endpoint.as_deref(), slim.served_tier.as_deref(), slim.key.as_deref()];
        let told = self.apart.iter().zip(texts).filter(|((_, apart), _)| *apart);
        let told = told.filter_map(|((name, _), text)| Some((*name, text?)));
        let told = told.chain(used.provider.map(|provider| ("provider", provider)));
        self.key.clear();
        self.key.push_str(used.model);
        for (name, text) in told.clone() {
            self.key.extend([SEPARATOR]);
            self.key.push_str(name);
            self.key.push_str(text);
        }
        let account = self.accounts.get_mut(at).ok_or(Refused::TooMany)?;
        let own = (&*self.key, &*quantities, used.lines);
        let others = (BESIDE, &*beside, used.beside_lines);
        let more = missing(account, own).saturating_add(missing(account, others));
        let sums = self.sums.saturating_add(more);
        if sums > SUMS_MAX {
            return Err(Refused::TooMany);
        }
        self.sums = sums;
        account.records = match sign {
            Sign::Plus => account.records.saturating_add(1),
            Sign::Minus => account.records.saturating_sub(1),
        };
        let place = || {
            let place = told.chain([("model", used.model)]);
            Some(place.map(|(name, text)| (name.to_owned(), text.to_owned())).collect::<Where>())
        };
        let group = account.group(&self.key, place).ok_or(Refused::TooMany)?;
        add_all(group, (own_charged, &quantities, used.lines), sign)?;
        if !beside.is_empty() || !used.beside_lines.is_empty() {
            let group = account.group(BESIDE, || None).ok_or(Refused::TooMany)?;
            add_all(group, (beside_charged, &beside, used.beside_lines), sign)?;
        }
        Ok(())
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
            self.accounts.push(Account::new(&key.0, period));
            let new = self.accounts.len().saturating_sub(1);
            self.places.insert(key, new);
            new
        };
        Ok(self.last)
    }

    /// What the plan makes of each customer's periods, from the first with usage to the last, and
    /// their sum. A period that it cannot price says why, and is in no sum.
    pub fn price(&self, plan: &Plan) -> Result<Total, OutOfRange> {
        let mut total = Total::new();
        let mut is_comparable = true;
        let mut before: Option<(&str, i32, i32, Carried, bool)> = None;
        for ((customer, nth), at) in &self.places {
            let used = self.accounts.get(*at).filter(|one| one.records > 0 || one.is_partial);
            let Some(account) = used else { continue };
            let (first, mut next, mut carried, mut is_lost) = match before.take() {
                Some((same, first, last, carried, is_lost)) if same == &**customer => {
                    (first, last.saturating_add(1), carried, is_lost)
                }
                _ => (*nth, *nth, Carried::default(), false),
            };
            while next <= *nth {
                if total.rows.len() >= PERIODS_MAX {
                    return Ok(total.too_many(customer));
                }
                let empty;
                let account = if next == *nth {
                    account
                } else {
                    let Some(period) = self.calendar.period(next) else { break };
                    empty = Account::new(customer, period);
                    &empty
                };
                let row = if is_lost {
                    account.without_price(&lost())
                } else {
                    account.price(plan, next.saturating_sub(first), &mut carried)?
                };
                is_lost |= row.sums.is_none() && plan.carries();
                is_comparable &= row.is_comparable;
                total.add(row)?;
                next = next.saturating_add(1);
            }
            before = Some((customer, first, *nth, carried, is_lost));
        }
        if self.is_partial {
            (total.new, total.difference) = (None, None);
        } else if !is_comparable {
            total.difference = None;
        }
        Ok(total)
    }
}

impl Total {
    fn new() -> Self {
        Self {
            old: Exact::ZERO,
            new: Some(Exact::ZERO),
            difference: Some(Exact::ZERO),
            not_in_plan: BTreeSet::new(),
            left_out: Exact::ZERO,
            rows: Vec::new(),
        }
    }

    fn add(&mut self, mut row: Row) -> Result<(), OutOfRange> {
        if let Some((old, new)) = row.sums {
            self.old = self.old.plus(old)?;
            let new = self.new.unwrap_or_default().plus(new)?;
            (self.new, self.difference) = (Some(new), Some(new.minus(self.old)?));
        }
        self.left_out = self.left_out.plus(row.left_out.old)?;
        self.not_in_plan.append(&mut row.left_out.meters);
        self.rows.push(row.json);
        Ok(())
    }

    fn too_many(self, customer: &str) -> Self {
        let message = format!("there are more than {PERIODS_MAX} periods to price");
        let error = json!({ "code": "too_many_periods", "message": message });
        let rows = vec![json!({ "customer": customer, "error": error })];
        Self { new: None, difference: None, rows, ..self }
    }
}

fn lost() -> Value {
    let message = "an earlier period has no price, so what it leaves to this one is not known";
    json!({ "code": "earlier_period", "message": message })
}

/// What a record's own model used. Its input is known in all, whatever parts of it were reported. An
/// attempt is one request; the record that ends a batch, and those of outcomes, are none.
fn quantities(slim: &Slim<'_>, own: &Usage) -> Result<Vec<(Meter, Exact)>, OutOfRange> {
    if slim.class == Class::Voided || slim.is_outcome {
        return Ok(vec![(Meter::Requests, Exact::ZERO)]);
    }
    let is_attempt = slim.class == Class::Unresolved || !slim.usage.is_empty();
    let requests = own.get(Meter::Requests).unwrap_or(Exact::from(u64::from(is_attempt)));
    let mut all = vec![(Meter::Requests, requests)];
    let input = input_total(own)?;
    if !input.is_zero() {
        all.push((Meter::InputTotal, input));
    }
    let counted = [Meter::InputTotal, Meter::Requests];
    let rest = own.iter().filter(|(meter, _)| !counted.contains(meter));
    all.extend(rest.map(|(meter, measured)| (meter, measured.quantity)));
    Ok(all)
}

/// How many sums a record would add to an account.
fn missing(account: &Account, (key, used, lines): (&str, ByMeter<'_>, ByMeter<'_>)) -> usize {
    let Some(group) = account.known(key) else { return used.len().saturating_add(lines.len()) };
    let used = used.iter().filter(|(meter, _)| !group.used.contains_key(meter)).count();
    let lines = lines.iter().filter(|(meter, _)| !group.lines.contains_key(meter)).count();
    used.saturating_add(lines)
}

fn add_all(
    group: &mut Group,
    (charged, used, lines): (Exact, ByMeter<'_>, ByMeter<'_>),
    sign: Sign,
) -> Result<(), OutOfRange> {
    signed(&mut group.charged, charged, sign)?;
    for (meter, quantity) in used {
        signed(group.used.entry(*meter).or_default(), *quantity, sign)?;
    }
    for (meter, amount) in lines {
        signed(group.lines.entry(*meter).or_default(), *amount, sign)?;
    }
    Ok(())
}
