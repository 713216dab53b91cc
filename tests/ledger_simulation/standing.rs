//! How limits stand, counted anew from all attempts, with a calendar of its own: nothing here is
//! taken from the engine. Zones are such as have one offset only, and one whose clocks change.

use farebox::clock::{Timestamp, Window};
use farebox::ledger::{LimitRule, Measure, Recurrence, Reserve, Scope, Strictness};

use super::auditor::{Attempt, Auditor, SCOPES, Stage, units};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Zones and how far they are ahead of UTC, in minutes. Berlin is so in winter.
pub const ZONES: [(&str, i64); 4] =
    [("UTC", 0), ("Asia/Kolkata", 330), ("Asia/Kathmandu", 345), ("Europe/Berlin", 60)];

/// When Berlin's clocks are an hour further ahead, in seconds, as far as any run reaches.
const SUMMERS: [(i64, i64); 3] = [
    (1_774_746_000, 1_792_890_000), // 29 March to 25 October 2026, 01:00 UTC
    (1_806_195_600, 1_824_944_400), // 28 March to 31 October 2027
    (1_837_645_200, 1_856_394_000), // 26 March to 29 October 2028
];

/// Minutes ahead of UTC.
fn ahead(rule: &LimitRule, at: Timestamp) -> i64 {
    let zone = rule.zone.as_deref().unwrap_or("UTC");
    let ahead = ZONES.iter().find(|(name, _)| *name == zone).unwrap().1;
    let is_summer =
        zone == "Europe/Berlin" && SUMMERS.iter().any(|s| (s.0..s.1).contains(&(at.ms() / 1_000)));
    ahead + if is_summer { 60 } else { 0 }
}

/// What was used: money in units, tokens, requests.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Used {
    pub money: i128,
    pub tokens: i128,
    pub requests: i128,
}

impl Used {
    pub fn minus(self, other: Self) -> Self {
        Self {
            money: self.money - other.money,
            tokens: self.tokens - other.tokens,
            requests: self.requests - other.requests,
        }
    }

    pub fn plus(self, other: Self) -> Self {
        self.minus(Self::default().minus(other))
    }

    pub fn of(self, measure: Measure) -> i128 {
        match measure {
            Measure::Money => self.money,
            Measure::Tokens => self.tokens,
            Measure::Requests => self.requests,
            Measure::Concurrency => 0,
        }
    }
}

/// What tells one window from another.
fn window_of(rule: &LimitRule, at: Timestamp) -> i64 {
    let ahead = ahead(rule, at);
    let local = at.ms() + ahead * MINUTE_MS;
    let day = local / DAY_MS;
    match rule.window {
        // What comes twice when clocks go back is two minutes, and two hours.
        Some(Window::Minute) => at.ms() / MINUTE_MS,
        Some(Window::Hour) => (at.ms() + ahead % 60 * MINUTE_MS) / HOUR_MS,
        Some(Window::Day) => day,
        // 1 January 1970 was a Thursday.
        Some(Window::Week) => (day + 3) / 7,
        Some(Window::Lifetime) | None => 0,
        Some(Window::Month) => month_of(day),
        Some(Window::Period) => period_of(rule, local),
    }
}

fn month_of(day: i64) -> i64 {
    // Days since 1 March of the year 0, in eras of 400 years (H. Hinnant's algorithm).
    let days = day + 719_468;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (days / 146_097 * 400 + year) * 12 + (5 * of_year + 2) / 153
}

/// A month that begins on one of its first 28 days begins so long after the first.
fn period_of(rule: &LimitRule, local: i64) -> i64 {
    let anchor = rule.anchor.unwrap();
    let anchor = anchor.ms() + ahead(rule, anchor) * MINUTE_MS;
    match rule.every {
        Some(Recurrence::Day) => (local - anchor).div_euclid(DAY_MS),
        Some(Recurrence::Week) => (local - anchor).div_euclid(7 * DAY_MS),
        None | Some(Recurrence::Month) => {
            let day = anchor / DAY_MS;
            let first = (0..31).find(|back| month_of(day - back - 1) != month_of(day)).unwrap();
            month_of((local - first * DAY_MS - anchor % DAY_MS).div_euclid(DAY_MS))
        }
        Some(Recurrence::Year) => unreachable!("not of the workload"),
    }
}

/// One limit of one party, counted.
pub struct Standing {
    pub rule: LimitRule,
    value: Option<String>,
    pub limit: i128,
    pub settled: i128,
    pub held: i128,
    window: i64,
}

impl Standing {
    pub fn is_hard(&self) -> bool {
        self.rule.kind == Strictness::Hard
    }

    pub fn excess(&self) -> i128 {
        self.settled + self.held - self.limit
    }

    /// By how much an excess may be excused.
    pub fn excused(&self, by: Used) -> i128 {
        by.of(self.rule.measure)
    }

    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.rule == other.rule
            && self.value == other.value
            && self.limit == other.limit
            && self.window == other.window
    }

    /// A number of this limit as the ledger writes it.
    pub fn written(&self, number: i128) -> String {
        match self.rule.measure {
            Measure::Money => super::auditor::exact(number).to_string(),
            _ => number.to_string(),
        }
    }

    /// Why something that needs so much is refused, and how grave that is.
    pub fn objection(&self, need: Used) -> Option<(u8, &'static str)> {
        let needed = match self.rule.measure {
            Measure::Concurrency => 1,
            measure => need.of(measure),
        };
        if needed == 0 {
            return None; // nothing is taken from it
        }
        let is_rate = match self.rule.window {
            Some(Window::Minute) => true,
            Some(Window::Hour) => self.rule.measure != Measure::Money,
            _ => false,
        };
        if !self.is_hard() {
            None
        } else if needed > self.limit {
            Some((0, "RequestExceedsLimit"))
        } else if !is_rate && self.settled + needed > self.limit {
            Some((1, "SpendLimitExceeded"))
        } else if self.excess() + needed <= 0 {
            None
        } else if is_rate {
            Some((2, "RateLimitExceeded"))
        } else {
            Some((3, "InFlightBudgetExhausted"))
        }
    }
}

impl Auditor {
    fn rules(&self) -> impl Iterator<Item = &LimitRule> {
        self.limits.iter().chain(&self.caps)
    }

    /// One limit for one party; `None` for the customer as a whole.
    fn standing(&self, rule: &LimitRule, value: Option<String>) -> Standing {
        self.standing_at(rule, value, self.now())
    }

    /// The same in the window that holds `at`.
    fn standing_at(&self, rule: &LimitRule, value: Option<String>, at: Timestamp) -> Standing {
        let now = self.now();
        let window = window_of(rule, at);
        let by_minute = usize::from(rule.window == Some(Window::Minute));
        let (mut settled, mut held) = (0, 0);
        for a in self.attempts.values() {
            let is_of = value.is_none() || a.values[rule.scope as usize] == value;
            if !is_of || window_of(rule, a.reserved_at) != window {
                continue;
            }
            settled += a.counted[rule.scope as usize][by_minute].of(rule.measure);
            if a.stage == Stage::Open {
                held += a.takes(rule.measure);
            }
        }
        let of =
            |number| if rule.measure == Measure::Money { units(number) } else { whole(number) };
        let raised = rule.raise.filter(|raise| now < raise.until).map(|raise| of(raise.limit));
        let limit = of(rule.limit);
        Standing {
            rule: rule.clone(),
            limit: raised.map_or(limit, |raised| raised.max(limit)),
            settled,
            held,
            window,
            value,
        }
    }

    /// Every limit of every party that ever was.
    pub fn standings(&self) -> Vec<Standing> {
        let mut all = Vec::new();
        for rule in self.rules() {
            if rule.scope == Scope::Customer {
                all.push(self.standing(rule, None));
                continue;
            }
            let mut values: Vec<String> =
                self.attempts.values().filter_map(|a| a.value(rule.scope)).collect();
            values.sort_unstable();
            values.dedup();
            values.retain(|value| rule.value.as_ref().is_none_or(|only| only == value));
            all.extend(values.into_iter().map(|value| self.standing(rule, Some(value))));
        }
        all
    }

    /// The limits that a status shows: the customer's, and those of a party they name.
    pub fn shown(&self) -> Vec<Standing> {
        let shown = self.rules().filter(|r| r.scope == Scope::Customer || r.value.is_some());
        shown.map(|rule| self.standing(rule, rule.value.clone())).collect()
    }

    /// The limits that a request meets.
    pub fn met(&self, reserve: &Reserve) -> Vec<Standing> {
        self.met_by(&SCOPES.map(|scope| value_of(reserve, scope)), self.now())
    }

    /// The limits that whoever is of these parties meets, in the windows that hold `at`.
    pub fn met_by(&self, values: &[Option<String>; 5], at: Timestamp) -> Vec<Standing> {
        let value = |rule: &LimitRule| values[rule.scope as usize].clone();
        let meets = |rule: &&LimitRule| {
            let value = value(rule);
            rule.scope == Scope::Customer
                || (value.is_some() && (rule.value.is_none() || rule.value == value))
        };
        self.rules().filter(meets).map(|rule| self.standing_at(rule, value(rule), at)).collect()
    }

    /// The limits on money that an attempt meets in the windows it is charged to. A minute that is
    /// over counts as full.
    pub fn met_in_its_windows(&self, attempt: &Attempt) -> Vec<Standing> {
        let mut met = self.met_by(&attempt.values, attempt.reserved_at);
        met.retain(|standing| standing.rule.measure == Measure::Money);
        for standing in &mut met {
            let is_over = window_of(&standing.rule, self.now()) != standing.window;
            if is_over && standing.rule.window == Some(Window::Minute) {
                let now = self.standing(&standing.rule, standing.value.clone());
                *standing = Standing { settled: now.limit, ..now };
            }
        }
        met
    }

    /// A scope that must be named, and is not.
    pub fn missing(&self, reserve: &Reserve) -> Option<Scope> {
        let required = self.rules().filter(|rule| rule.required);
        required.map(|rule| rule.scope).find(|scope| value_of(reserve, *scope).is_none())
    }
}

/// Which of a scope's parties a request is of, by its clear name.
pub fn value_of(reserve: &Reserve, scope: Scope) -> Option<String> {
    match scope {
        Scope::Customer => None,
        Scope::Key => Some(reserve.admitted.key_id.to_string()),
        Scope::Model => reserve.scopes.model.clone(),
        Scope::Tag => reserve.scopes.tag.clone(),
        Scope::EndUser => reserve.end_user.clone(),
    }
}

pub fn whole(number: farebox::money::Exact) -> i128 {
    i128::from(number.to_u64().expect("a whole number"))
}
