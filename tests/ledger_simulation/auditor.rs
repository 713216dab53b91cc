//! The auditor: a second, naive ledger, which says beforehand what the real one must answer and
//! write. It keeps every attempt for ever, counts everything anew each time, in whole units of
//! 1e-8 dollars, and has a calendar of its own: nothing here is taken from the engine.

use std::collections::BTreeMap;
use std::rc::Rc;

use farebox::clock::Timestamp;
use farebox::ids::AttemptId;
use farebox::ledger::{
    Admin, Command, LimitRule, Measure, Once, Park, Reserve, SWEEP_MAX, Scope, Settle, Unreserved,
    Unresolved,
};
use farebox::money::Exact;
use farebox::wire::usage::Meter;

use super::agreed::{Agreed, By};
use super::batches::Book;
use super::standing::{Standing, Used, value_of, whole};
use super::workload::{INPUT_UNITS, OUTPUT_UNITS, TTL};

/// Units of a dollar.
const DOLLAR: u64 = 100_000_000;
/// How long a client's name for a request is kept.
const ONCE_MS: u64 = 86_400_000;
pub const SCOPES: [Scope; 5] =
    [Scope::Customer, Scope::Key, Scope::Model, Scope::Tag, Scope::EndUser];

pub fn exact(units: i128) -> Exact {
    let size = Exact::from(u64::try_from(units.abs()).unwrap());
    let size = size.over(Exact::from(DOLLAR)).unwrap();
    if units < 0 { Exact::ZERO.minus(size).unwrap() } else { size }
}

pub fn units(amount: Exact) -> i128 {
    let whole = amount.times(Exact::from(DOLLAR)).unwrap();
    whole.to_string().parse().expect("no amount here is finer than a unit")
}

#[derive(Clone, PartialEq)]
pub enum Stage {
    Open,
    Unresolved,
    /// By this command.
    Closed(Rc<str>),
}

#[derive(Clone)]
pub struct Attempt {
    /// What a repeated reserve has to repeat.
    pub body: Rc<str>,
    pub held: i128,
    /// What the book wanted held when it began.
    pub asked: i128,
    /// What of a batch's hold is no longer needed.
    pub released: i128,
    /// The most tokens it may use.
    pub tokens: i128,
    /// Whose it is, by scope.
    pub values: [Option<String>; 5],
    pub received_at: Timestamp,
    pub reserved_at: Timestamp,
    /// What was counted with each scope, for windows and for minutes.
    pub counted: [[Used; 2]; 5],
    pub used: Used,
    pub floor: i128,
    pub input_least: u64,
    /// Under which terms, if any; and whether all is charged if its end is never seen.
    pub terms: Option<(usize, By)>,
    pub whole: bool,
    pub expires_at: Timestamp,
    pub stage: Stage,
    pub charged: i128,
    pub voided: bool,
    /// Its last record.
    pub seq: usize,
}

impl Attempt {
    pub fn value(&self, scope: Scope) -> Option<String> {
        self.values[scope as usize].clone()
    }

    /// What its hold takes from a limit.
    pub fn takes(&self, measure: Measure) -> i128 {
        match measure {
            Measure::Money => self.held,
            Measure::Tokens => self.tokens,
            Measure::Requests | Measure::Concurrency => 1,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }
}

#[derive(Clone, Default)]
pub struct Auditor {
    pub limits: Vec<LimitRule>,
    pub caps: Vec<LimitRule>,
    frozen: bool,
    frozen_keys: Vec<String>,
    /// Scopes whose parties are counted, and whether minutes are.
    tracked: Vec<Scope>,
    minutes: bool,
    /// Clients' names for requests: the attempt, the body, and when.
    once: BTreeMap<String, (AttemptId, String, Timestamp)>,
    /// Secret, and whether it is in force.
    keys: BTreeMap<String, (String, bool)>,
    pub attempts: BTreeMap<AttemptId, Rc<Attempt>>,
    subjects: Vec<String>,
    /// From when on the newest activation applies that a request was admitted under, and its number.
    newest: Option<(Timestamp, u64)>,
    /// The customer's terms.
    agreed: Agreed,
    pub batches: BTreeMap<String, Book>,
    /// Whose each job is.
    jobs: BTreeMap<String, AttemptId>,
    /// Every record there must be, in words.
    pub records: Vec<Rc<str>>,
    pub now: Option<Timestamp>,
    /// What the last command wrote besides what it expired.
    pub own_rows: usize,
    pub expired: usize,
    /// By how much the last command may have taken a window over its limit.
    pub excused: Used,
    pub admitted: bool,
}

impl Auditor {
    /// What the ledger must answer to `command`, after which this is the state it must be in.
    pub fn expect(&mut self, command: &Command, now: Timestamp) -> String {
        self.now = Some(now);
        (self.own_rows, self.expired, self.admitted) = (0, 0, false);
        self.excused = Used::default();
        self.sweep();
        match command {
            Command::Reserve(reserve) => self.reserve(reserve),
            Command::Renew { attempt_id, floor } => self.renew(*attempt_id, units(*floor)),
            Command::Park(park) => self.park(park),
            Command::Settle(settle) => self.settle(settle),
            Command::Void(void) => {
                self.end(void.attempt_id, format!("{void:?}"), "voided", Used::default())
            }
            Command::Sweep => "done".into(),
            Command::Status => self.status(),
            Command::Admin(admin) => self.admin(admin),
            Command::Extend { attempt_id, held, floor, .. } => {
                self.extend(*attempt_id, units(*held), units(*floor))
            }
            Command::CheckKey { .. }
            | Command::Standing(_)
            | Command::Outlook
            | Command::Decide(_) => {
                unreachable!("not of the workload")
            }
            Command::Unreserved(unreserved) => self.unreserved(unreserved),
            Command::Batch(batch) => self.batch(batch),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now.unwrap()
    }

    fn sweep(&mut self) {
        let now = self.now();
        let due = |(id, a): (&AttemptId, &Rc<Attempt>)| {
            (a.stage == Stage::Open && a.expires_at <= now).then_some((a.expires_at, *id))
        };
        let mut due: Vec<_> = self.attempts.iter().filter_map(due).collect();
        due.sort_unstable();
        due.truncate(SWEEP_MAX);
        for (_, id) in due {
            self.expire(id);
        }
    }

    pub fn expire(&mut self, id: AttemptId) {
        self.expired += 1;
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        attempt.stage = Stage::Unresolved;
        attempt.charged = match attempt.terms {
            // It was one call, which may be an included one by now.
            Some((number, by @ By::Calls(_))) if !attempt.whole => self.agreed.count(number, by, 1),
            _ => attempt.floor,
        };
        let tokens = i128::from(attempt.input_least);
        let used = Used { money: attempt.charged, tokens, requests: 1 };
        attempt.seq = self.records.len() + 1;
        let floor = exact(attempt.charged);
        self.records.push(format!("{id} unresolved {floor} counted").into());
        self.count(id, used);
    }

    /// An attempt has used this much in all: the difference goes to all who are counted by now.
    pub fn count(&mut self, id: AttemptId, used: Used) {
        let (tracked, minutes) = (self.tracked.clone(), self.minutes);
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        let difference = used.minus(attempt.used);
        attempt.used = used;
        for scope in SCOPES.into_iter().filter(|s| *s == Scope::Customer || tracked.contains(s)) {
            let [all, by_minute] = &mut attempt.counted[scope as usize];
            *all = all.plus(difference);
            if minutes {
                *by_minute = by_minute.plus(difference);
            }
        }
    }

    fn reserve(&mut self, reserve: &Reserve) -> String {
        match self.keys.get(reserve.admitted.key_id.as_str()) {
            Some((secret, in_force)) if *secret == reserve.secret_sha256.to_string() => {
                if !in_force {
                    return "refused KeyDisabled".into();
                }
            }
            _ => return "refused InvalidKey".into(),
        }
        let body = (&reserve.request_id, &reserve.admitted, &reserve.pinned, &reserve.scopes);
        let body = format!("{body:?}");
        if let Some(attempt) = self.attempts.get(&reserve.attempt_id) {
            let stands = attempt.stage == Stage::Open && self.now() < attempt.expires_at;
            if stands && *attempt.body == *body {
                return self.held(attempt.expires_at, reserve);
            }
            // Nothing new begins for the frozen; what is over they are told afterwards.
            let frozen = self.frozen(reserve).filter(|_| attempt.stage != Stage::Open);
            return frozen.unwrap_or_else(|| "refused AttemptConflict".into());
        }
        if let Some(frozen) = self.frozen(reserve) {
            return frozen;
        }
        if let Some(asked) = reserve.once.and_then(|once| self.asked_before(once)) {
            return asked;
        }
        if let Some(priced) = &reserve.in_force {
            let is_in_force =
                priced.from <= self.now() && priced.until.is_none_or(|t| self.now() < t);
            if !is_in_force || Some((priced.from, priced.seq)) < self.newest {
                return format!("stale price at {}", self.now());
            }
        }
        if reserve.admitted.currency != "USD" {
            return "refused CurrencyMismatch".into();
        }
        match self.missing(reserve) {
            Some(Scope::Tag) => return "refused TagRequired".into(),
            Some(_) => return "refused EndUserRequired".into(),
            None => {}
        }
        let terms = self.agreed.at(self.now());
        let by_plan = terms.and_then(|(_, by)| Agreed::most(by));
        let needed = by_plan.unwrap_or(units(reserve.admitted.held));
        let floor = match terms {
            Some((number, by @ By::Calls(_))) => self.agreed.next(number, by),
            _ => units(reserve.floor),
        };
        let tokens = whole(reserve.scopes.tokens.unwrap());
        let need = Used { money: needed, tokens, requests: 1 };
        if let Some(refusal) = self.refusal(reserve, need) {
            return refusal;
        }
        self.name_once(reserve);
        let expires_at = self.now().plus(TTL);
        self.own_rows = 1 + self.meet_user(reserve);
        if let Some(priced) = &reserve.in_force
            && Some((priced.from, priced.seq)) > self.newest
        {
            self.newest = Some((priced.from, priced.seq));
            self.own_rows += 1;
        }
        self.admitted = true;
        let attempt =
            Attempt { floor, expires_at, ..self.begun(reserve, body.into(), needed, terms) };
        self.attempts.insert(reserve.attempt_id, attempt.into());
        self.held(expires_at, reserve)
    }

    /// The client's own name for its request is taken.
    fn name_once(&mut self, reserve: &Reserve) {
        if let Some(once) = reserve.once {
            let of = (reserve.attempt_id, once.body.to_string(), self.now());
            self.once.insert(once.key.to_string(), of);
        }
    }

    /// One row where an end user is new.
    fn meet_user(&mut self, reserve: &Reserve) -> usize {
        let Some(user) = reserve.end_user.as_ref() else { return 0 };
        if self.subjects.contains(user) {
            return 0;
        }
        self.subjects.push(user.clone());
        1
    }

    fn begun(
        &self,
        reserve: &Reserve,
        body: Rc<str>,
        held: i128,
        terms: Option<(usize, By)>,
    ) -> Attempt {
        Attempt {
            body,
            held,
            asked: units(reserve.admitted.held),
            tokens: whole(reserve.scopes.tokens.unwrap()),
            values: SCOPES.map(|scope| value_of(reserve, scope)),
            received_at: reserve.admitted.received_at,
            reserved_at: self.now(),
            released: 0,
            counted: Default::default(),
            used: Used::default(),
            floor: 0,
            terms,
            whole: false,
            input_least: reserve.pinned.input_least,
            expires_at: self.now(),
            stage: Stage::Open,
            charged: 0,
            voided: false,
            seq: 0,
        }
    }

    fn settle(&mut self, settle: &Settle) -> String {
        let (used, counted) = self.price(settle);
        let word = if counted { "settled counted" } else { "settled" };
        self.end(settle.attempt_id, format!("{settle:?}"), word, used)
    }

    /// Ran without a hold: charged past any limit, and flagged. One that is known is settled.
    fn unreserved(&mut self, unreserved: &Unreserved) -> String {
        let Unreserved { reserve, settle } = unreserved;
        let id = reserve.attempt_id;
        if self.attempts.contains_key(&id) {
            return self.settle(settle);
        }
        if reserve.admitted.currency != "USD" {
            return "invalid: no such customer, or of another currency".into();
        }
        let new_user = self.meet_user(reserve);
        self.name_once(reserve);
        let terms = self.agreed.at(self.now());
        let held = units(reserve.admitted.held);
        let expires_at = self.now().plus(TTL);
        let attempt = Attempt { expires_at, ..self.begun(reserve, "".into(), held, terms) };
        self.attempts.insert(id, attempt.into());
        let answer = self.settle(settle);
        let record = self.records.pop().unwrap();
        self.records.push(format!("{record} unreserved").into());
        let attempt = &self.attempts[&id];
        self.excused = Used { money: attempt.charged, ..attempt.used };
        self.own_rows = 1 + new_user;
        answer
    }

    fn frozen(&self, reserve: &Reserve) -> Option<String> {
        if self.frozen_keys.iter().any(|key| key == reserve.admitted.key_id.as_str()) {
            return Some("refused KeyFrozen".into());
        }
        self.frozen.then(|| "refused CustomerFrozen".into())
    }

    /// A request of the same name runs, or is over and gave something.
    fn asked_before(&self, once: Once) -> Option<String> {
        let (id, body, at) = self.once.get(&once.key.to_string())?;
        let attempt = &self.attempts[id];
        let runs = attempt.stage == Stage::Open;
        if !runs && (attempt.voided || self.now().since(*at) >= ONCE_MS) {
            return None;
        }
        Some(match (*body == once.body.to_string(), runs) {
            (false, _) => "refused IdempotencyKeyReused".into(),
            (true, true) => "refused RequestInProgress".into(),
            (true, false) => "refused RequestCompleted".into(),
        })
    }

    fn held(&self, expires_at: Timestamp, reserve: &Reserve) -> String {
        Self::held_by(expires_at, self.met(reserve))
    }

    fn held_by(expires_at: Timestamp, met: Vec<Standing>) -> String {
        let of_money = |s: &Standing| s.is_hard() && s.rule.measure == Measure::Money;
        let hard = met.into_iter().filter(of_money);
        match hard.map(|standing| -standing.excess()).min() {
            Some(left) => format!("held until {expires_at} left {}", exact(left)),
            None => format!("held until {expires_at}"),
        }
    }

    /// The gravest objection of all limits that a request meets; among equals, the first.
    fn refusal(&self, reserve: &Reserve, need: Used) -> Option<String> {
        Self::refusal_by(&self.met(reserve), need)
    }

    fn refusal_by(met: &[Standing], need: Used) -> Option<String> {
        let objections = met.iter().filter_map(|s| s.objection(need).map(|found| (found, s)));
        let ((_, code), s) = objections.min_by_key(|((grave, _), _)| *grave)?;
        let (settled, held) = (s.written(s.settled), s.written(s.held));
        Some(format!("refused {code} by {} settled {settled} held {held}", s.rule.id))
    }

    /// As if the attempt, which has no hold meanwhile, were reserved again at its new size, in the
    /// windows that it is charged to. An earlier minute counts as full.
    fn extend(&mut self, id: AttemptId, held: i128, floor: i128) -> String {
        let now = self.now();
        let Some(mut attempt) = self.attempts.get(&id).map(|a| (**a).clone()) else {
            return "expired".into();
        };
        if attempt.stage != Stage::Open || now >= attempt.expires_at {
            return "expired".into();
        }
        // Under terms only larger quantities make it grow, and here are none.
        if attempt.terms.is_some() && held > attempt.asked {
            return "refused NotUnderPlan".into();
        }
        let held = if attempt.terms.is_some() { attempt.held } else { held - attempt.released };
        if held > attempt.held {
            let without = self.attempts.remove(&id).unwrap();
            let need = Used { money: held, tokens: 0, requests: 0 };
            let refusal = Self::refusal_by(&self.met_in_its_windows(&without), need);
            self.attempts.insert(id, without);
            if let Some(refusal) = refusal {
                return refusal;
            }
            // The reserve that made it is another one now.
            attempt.body = "grown".into();
        }
        self.own_rows = 1;
        attempt.held = attempt.held.max(held);
        if attempt.terms.is_none() {
            attempt.floor = attempt.floor.max(floor.min(attempt.held));
        }
        attempt.expires_at = attempt.expires_at.max(now.plus(TTL));
        let expires_at = attempt.expires_at;
        let values = attempt.values.clone();
        self.attempts.insert(id, attempt.into());
        Self::held_by(expires_at, self.met_by(&values, now))
    }

    fn renew(&mut self, id: AttemptId, floor: i128) -> String {
        let now = self.now();
        match self.attempts.get_mut(&id).map(Rc::make_mut) {
            Some(a) if a.stage == Stage::Open && now < a.expires_at => {
                a.expires_at = a.expires_at.max(now.plus(TTL));
                if matches!(a.terms, None | Some((_, By::Book))) {
                    a.floor = a.floor.max(floor.min(a.held));
                }
                self.own_rows = 1;
                format!("held until {}", a.expires_at)
            }
            _ => "expired".into(),
        }
    }

    fn park(&mut self, park: &Park) -> String {
        let (now, id) = (self.now(), park.job.attempt_id);
        if self.jobs.get(&park.job_id).is_some_and(|known| *known != id) {
            return "invalid: the job belongs to another attempt".into();
        }
        match self.attempts.get_mut(&id).map(Rc::make_mut) {
            Some(a) if a.stage == Stage::Open && now < a.expires_at => {
                a.expires_at = a.expires_at.max(now.plus(park.life));
                if park.unresolved == Unresolved::Hold {
                    (a.floor, a.whole) = (a.held, true);
                }
                self.jobs.insert(park.job_id.clone(), id);
                self.own_rows = 2;
                format!("held until {}", a.expires_at)
            }
            _ => "expired".into(),
        }
    }

    /// What a settle charges, and whether input had to be counted.
    fn price(&self, settle: &Settle) -> (Used, bool) {
        let tokens = |meter| settle.usage.get(meter).map(|quantity| quantity.to_u64().unwrap());
        let least = self.attempts.get(&settle.attempt_id).map_or(0, |a| a.input_least);
        let input = tokens(Meter::InputTotal);
        let output = tokens(Meter::OutputTotal).unwrap_or(0);
        let counted = input.is_none();
        let input = input.unwrap_or(least);
        let money = i128::from(INPUT_UNITS * input + OUTPUT_UNITS * output);
        (Used { money, tokens: i128::from(input + output), requests: 1 }, counted)
    }

    fn end(&mut self, id: AttemptId, command: String, word: &str, used: Used) -> String {
        let now = self.now();
        match self.attempts.get(&id) {
            None => return "unknown attempt".into(),
            Some(a) if a.stage == Stage::Open && a.expires_at <= now => self.expire(id),
            Some(_) => {}
        }
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        let mut used = used;
        if let (Some((number, by @ By::Calls(_))), false) = (attempt.terms, attempt.is_closed()) {
            // What was assumed at its expiry stays as it was, moved by what others used since.
            let assumed = attempt.stage == Stage::Unresolved && !attempt.whole;
            let back =
                if assumed { self.agreed.count(number, by, -1) + attempt.charged } else { 0 };
            used.money = back + self.agreed.count(number, by, used.requests);
        }
        let charged = used.money;
        let seq = self.records.len() + 1;
        let over = (charged - attempt.held).max(0);
        let more_tokens = |than: i128| (used.tokens - than).max(0);
        let (class, counted) = word.split_once(' ').map_or((word, ""), |(c, _)| (c, " counted"));
        let overage = if over > 0 { " overage" } else { "" };
        let record = match &attempt.stage {
            Stage::Closed(by) if **by == *command => {
                return format!("replayed {} at {}", attempt.seq, exact(attempt.charged));
            }
            Stage::Closed(_) => return format!("conflict with {}", attempt.seq),
            Stage::Open => {
                let tokens = more_tokens(attempt.tokens);
                self.excused = Used { money: over, tokens, requests: 0 };
                format!("{id} {class} {}{overage}{counted}", exact(charged))
            }
            Stage::Unresolved => {
                let difference = charged - attempt.charged;
                let tokens = more_tokens(attempt.used.tokens);
                self.excused = Used { money: difference.max(0), tokens, requests: 0 };
                format!(
                    "{id} {class} {} corrects {} of {}{overage} late{counted} correction",
                    exact(difference),
                    attempt.seq,
                    exact(attempt.charged)
                )
            }
        };
        self.records.push(record.into());
        self.own_rows = 2;
        attempt.stage = Stage::Closed(command.into());
        (attempt.charged, attempt.seq) = (charged, seq);
        attempt.voided = class == "voided";
        self.count(id, used);
        format!("closed {seq} at {}", exact(charged))
    }

    fn admin(&mut self, admin: &Admin) -> String {
        self.own_rows = 1;
        match admin {
            Admin::PutCustomer { limits, .. } => {
                self.limits.clone_from(limits);
                self.track();
            }
            Admin::PutCaps { caps } => {
                self.caps.clone_from(caps);
                self.track();
            }
            Admin::Freeze { key_id: None, frozen } => self.frozen = *frozen,
            Admin::Freeze { key_id: Some(key), frozen } => {
                self.frozen_keys.retain(|known| known != key.as_str());
                if *frozen {
                    self.frozen_keys.push(key.to_string());
                }
            }
            Admin::PutKey { key_id, secret_sha256, .. } => {
                self.keys.insert(key_id.to_string(), (secret_sha256.to_string(), true));
                self.frozen_keys.retain(|known| known != key_id.as_str());
            }
            Admin::PutPlan(put) => {
                self.own_rows = 0;
                return self.agreed.put(put, self.now());
            }
            Admin::PutGrant(_) | Admin::VoidGrant { .. } | Admin::PutAlerts(_) => {
                unreachable!("not part of the workload")
            }
            Admin::RevokeKey { key_id } => self.keys.get_mut(key_id.as_str()).unwrap().1 = false,
        }
        "done".into()
    }

    /// What limits are set on is counted from now on, for ever.
    fn track(&mut self) {
        let rules: Vec<&LimitRule> = self.limits.iter().chain(&self.caps).collect();
        let scopes: Vec<Scope> = rules.iter().map(|rule| rule.scope).collect();
        let minute = Some(farebox::clock::Window::Minute);
        self.minutes |= rules.iter().any(|rule| rule.window == minute);
        for scope in scopes {
            if !self.tracked.contains(&scope) {
                self.tracked.push(scope);
            }
        }
    }

    fn status(&self) -> String {
        let open: Vec<&Rc<Attempt>> =
            self.attempts.values().filter(|a| a.stage == Stage::Open).collect();
        let held: i128 = open.iter().map(|a| a.held).sum();
        let exposure: i128 = open.iter().map(|a| a.held - a.floor).sum();
        let (settled, held, exposure) = (exact(self.settled()), exact(held), exact(exposure));
        let (open, seq) = (open.len(), self.records.len());
        let mut words = format!("status {settled} {held} {open} {exposure} {seq}");
        for s in self.shown() {
            let (settled, held) = (s.written(s.settled), s.written(s.held));
            words.push_str(&format!("; {} {settled} {held}", s.rule.id));
        }
        words
    }

    /// All that was ever charged.
    pub fn settled(&self) -> i128 {
        self.attempts.values().map(|attempt| attempt.charged).sum()
    }
}
