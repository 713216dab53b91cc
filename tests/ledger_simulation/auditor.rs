//! The auditor: a second, naive ledger, which says beforehand what the real one must answer and
//! write. It keeps every attempt for ever, counts everything anew each time, in whole units of
//! 1e-8 dollars, and has a calendar of its own: nothing here is taken from the engine.

use std::collections::BTreeMap;
use std::rc::Rc;

use farebox::clock::{Timestamp, Window};
use farebox::ids::AttemptId;
use farebox::ledger::{Admin, Command, LimitRule, Park, Reserve, SWEEP_MAX, Settle, Strictness};
use farebox::money::Exact;
use farebox::wire::usage::Meter;

use super::workload::{INPUT_UNITS, OUTPUT_UNITS, TTL};

/// Units of a dollar.
const DOLLAR: u64 = 100_000_000;
const DAY_MS: i64 = 86_400_000;
const WINDOWS: [Window; 3] = [Window::Day, Window::Month, Window::Lifetime];

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
enum Stage {
    Open,
    Unresolved,
    /// By this command.
    Closed(Rc<str>),
}

#[derive(Clone)]
struct Attempt {
    /// What a repeated reserve has to repeat.
    body: Rc<str>,
    held: i128,
    floor: i128,
    input_least: u64,
    expires_at: Timestamp,
    /// Day, month and lifetime in which it was reserved.
    windows: [i64; 3],
    stage: Stage,
    charged: i128,
    /// Its last record.
    seq: usize,
}

#[derive(Clone, Default)]
pub struct Auditor {
    limits: Vec<LimitRule>,
    /// Secret, and whether it is in force.
    keys: BTreeMap<String, (String, bool)>,
    attempts: BTreeMap<AttemptId, Attempt>,
    subjects: Vec<String>,
    /// Whose each job is.
    jobs: BTreeMap<String, AttemptId>,
    /// Every record there must be, in words.
    pub records: Vec<Rc<str>>,
    pub now: Option<Timestamp>,
    /// What the last command wrote besides what it expired.
    pub own_rows: usize,
    pub expired: usize,
    /// By how much the last command may have taken a window over its limit.
    pub excused: i128,
    pub admitted: bool,
}

/// What tells one window from another.
fn window_of(window: Window, at: Timestamp) -> i64 {
    let day = at.ms() / DAY_MS;
    match window {
        Window::Day => day,
        Window::Lifetime => 0,
        Window::Month => {
            // Days since 1 March of the year 0, in eras of 400 years (H. Hinnant's algorithm).
            let days = day + 719_468;
            let of_era = days % 146_097;
            let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
            let of_year = of_era - (365 * year + year / 4 - year / 100);
            (days / 146_097 * 400 + year) * 12 + (5 * of_year + 2) / 153
        }
    }
}

/// Counted against one limit.
pub struct Standing {
    pub id: String,
    pub hard: bool,
    pub limit: i128,
    pub settled: i128,
    pub held: i128,
    window: i64,
}

impl Standing {
    pub fn excess(&self) -> i128 {
        self.settled + self.held - self.limit
    }

    pub fn is_of_the_same(&self, other: &Self) -> bool {
        self.id == other.id && self.limit == other.limit && self.window == other.window
    }
}

impl Auditor {
    /// What the ledger must answer to `command`, after which this is the state it must be in.
    pub fn expect(&mut self, command: &Command, now: Timestamp) -> String {
        self.now = Some(now);
        (self.own_rows, self.expired, self.excused, self.admitted) = (0, 0, 0, false);
        self.sweep();
        match command {
            Command::Reserve(reserve) => self.reserve(reserve),
            Command::Renew { attempt_id, floor } => self.renew(*attempt_id, units(*floor)),
            Command::Park(park) => self.park(park),
            Command::Settle(settle) => {
                let (in_units, counted) = self.price(settle);
                let word = if counted { "settled counted" } else { "settled" };
                self.end(settle.attempt_id, format!("{settle:?}"), word, in_units)
            }
            Command::Void(void) => self.end(void.attempt_id, format!("{void:?}"), "voided", 0),
            Command::Sweep => "done".into(),
            Command::Status => self.status(),
            Command::Admin(admin) => self.admin(admin),
            Command::CheckKey { .. } => unreachable!("not part of the workload"),
        }
    }

    fn now(&self) -> Timestamp {
        self.now.unwrap()
    }

    fn sweep(&mut self) {
        let now = self.now();
        let due = |(id, a): (&AttemptId, &Attempt)| {
            (a.stage == Stage::Open && a.expires_at <= now).then_some((a.expires_at, *id))
        };
        let mut due: Vec<_> = self.attempts.iter().filter_map(due).collect();
        due.sort_unstable();
        due.truncate(SWEEP_MAX);
        for (_, id) in due {
            self.expire(id);
        }
    }

    fn expire(&mut self, id: AttemptId) {
        self.expired += 1;
        let attempt = self.attempts.get_mut(&id).unwrap();
        attempt.stage = Stage::Unresolved;
        attempt.charged = attempt.floor;
        attempt.seq = self.records.len() + 1;
        let floor = exact(attempt.floor);
        self.records.push(format!("{id} unresolved {floor} counted").into());
    }

    /// How every limit stands.
    pub fn standings(&self) -> Vec<Standing> {
        self.limits.iter().map(|rule| self.standing(rule)).collect()
    }

    fn standing(&self, rule: &LimitRule) -> Standing {
        let window = window_of(rule.window, self.now());
        let which = WINDOWS.iter().position(|one| *one == rule.window).unwrap();
        let inside = |a: &&Attempt| a.windows[which] == window;
        let open = |a: &&Attempt| a.stage == Stage::Open;
        Standing {
            id: rule.id.to_string(),
            hard: rule.kind == Strictness::Hard,
            limit: units(rule.limit),
            settled: self.attempts.values().filter(inside).map(|a| a.charged).sum(),
            held: self.attempts.values().filter(inside).filter(open).map(|a| a.held).sum(),
            window,
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
        let body = format!("{:?}", (&reserve.request_id, &reserve.admitted, &reserve.pinned));
        if let Some(attempt) = self.attempts.get(&reserve.attempt_id) {
            let stands = attempt.stage == Stage::Open && self.now() < attempt.expires_at;
            if stands && *attempt.body == *body {
                return self.held(attempt.expires_at);
            }
            return "refused AttemptConflict".into();
        }
        if reserve.admitted.currency != "USD" {
            return "refused CurrencyMismatch".into();
        }
        let needed = units(reserve.admitted.held);
        if let Some(refusal) = self.refusal(needed) {
            return refusal;
        }
        let expires_at = self.now().plus(TTL);
        self.own_rows = 1;
        if let Some(user) = &reserve.end_user
            && !self.subjects.contains(user)
        {
            self.subjects.push(user.clone());
            self.own_rows = 2;
        }
        self.admitted = true;
        let attempt = Attempt {
            body: body.into(),
            held: needed,
            floor: units(reserve.floor),
            input_least: reserve.pinned.input_least,
            expires_at,
            windows: WINDOWS.map(|window| window_of(window, self.now())),
            stage: Stage::Open,
            charged: 0,
            seq: 0,
        };
        self.attempts.insert(reserve.attempt_id, attempt);
        self.held(expires_at)
    }

    fn held(&self, expires_at: Timestamp) -> String {
        let hard = self.standings().into_iter().filter(|standing| standing.hard);
        match hard.map(|standing| -standing.excess()).min() {
            Some(left) => format!("held until {expires_at} left {}", exact(left)),
            None => format!("held until {expires_at}"),
        }
    }

    /// The objections in their order of precedence, each looked for in every limit.
    fn refusal(&self, needed: i128) -> Option<String> {
        if needed == 0 {
            return None; // nothing is taken from any limit
        }
        let standings: Vec<Standing> =
            self.standings().into_iter().filter(|standing| standing.hard).collect();
        let find = |code: &str, is_over: &dyn Fn(&Standing) -> bool| {
            let s = standings.iter().find(|standing| is_over(standing))?;
            let (settled, held) = (exact(s.settled), exact(s.held));
            Some(format!("refused {code} by {} settled {settled} held {held}", s.id))
        };
        find("RequestExceedsLimit", &|s| needed > s.limit)
            .or_else(|| find("SpendLimitExceeded", &|s| s.settled + needed > s.limit))
            .or_else(|| find("InFlightBudgetExhausted", &|s| s.excess() + needed > 0))
    }

    fn renew(&mut self, id: AttemptId, floor: i128) -> String {
        let now = self.now();
        match self.attempts.get_mut(&id) {
            Some(a) if a.stage == Stage::Open && now < a.expires_at => {
                a.expires_at = a.expires_at.max(now.plus(TTL));
                a.floor = a.floor.max(floor.min(a.held));
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
        match self.attempts.get_mut(&id) {
            Some(a) if a.stage == Stage::Open && now < a.expires_at => {
                a.expires_at = a.expires_at.max(now.plus(park.life));
                self.jobs.insert(park.job_id.clone(), id);
                self.own_rows = 2;
                format!("held until {}", a.expires_at)
            }
            _ => "expired".into(),
        }
    }

    /// What a settle charges, and whether input had to be counted.
    fn price(&self, settle: &Settle) -> (i128, bool) {
        let tokens = |meter| settle.usage.get(meter).map(|quantity| quantity.to_u64().unwrap());
        let least = self.attempts.get(&settle.attempt_id).map_or(0, |a| a.input_least);
        let input = tokens(Meter::InputTotal);
        let output = tokens(Meter::OutputTotal).unwrap_or(0);
        let price = INPUT_UNITS * input.unwrap_or(least) + OUTPUT_UNITS * output;
        (i128::from(price), input.is_none())
    }

    fn end(&mut self, id: AttemptId, command: String, word: &str, charged: i128) -> String {
        let now = self.now();
        match self.attempts.get(&id) {
            None => return "unknown attempt".into(),
            Some(a) if a.stage == Stage::Open && a.expires_at <= now => self.expire(id),
            Some(_) => {}
        }
        let attempt = self.attempts.get_mut(&id).unwrap();
        let seq = self.records.len() + 1;
        let over = (charged - attempt.held).max(0);
        let (class, counted) = word.split_once(' ').map_or((word, ""), |(c, _)| (c, " counted"));
        let overage = if over > 0 { " overage" } else { "" };
        let record = match &attempt.stage {
            Stage::Closed(by) if **by == *command => {
                return format!("replayed {} at {}", attempt.seq, exact(attempt.charged));
            }
            Stage::Closed(_) => return format!("conflict with {}", attempt.seq),
            Stage::Open => {
                self.excused = over;
                format!("{id} {class} {}{overage}{counted}", exact(charged))
            }
            Stage::Unresolved => {
                let difference = charged - attempt.charged;
                self.excused = difference.max(0);
                format!(
                    "{id} {class} {} corrects {} of {}{overage} late{counted} correction",
                    exact(difference),
                    attempt.seq,
                    exact(attempt.charged)
                )
            }
        };
        self.records.push(record.into());
        self.own_rows = 3;
        attempt.stage = Stage::Closed(command.into());
        (attempt.charged, attempt.seq) = (charged, seq);
        format!("closed {seq} at {}", exact(charged))
    }

    fn admin(&mut self, admin: &Admin) -> String {
        self.own_rows = 1;
        match admin {
            Admin::PutCustomer { limits, .. } => self.limits.clone_from(limits),
            Admin::PutKey { key_id, secret_sha256, .. } => {
                self.keys.insert(key_id.to_string(), (secret_sha256.to_string(), true));
            }
            Admin::RevokeKey { key_id } => self.keys.get_mut(key_id.as_str()).unwrap().1 = false,
        }
        "done".into()
    }

    fn status(&self) -> String {
        let open: Vec<&Attempt> =
            self.attempts.values().filter(|a| a.stage == Stage::Open).collect();
        let held: i128 = open.iter().map(|a| a.held).sum();
        let exposure: i128 = open.iter().map(|a| a.held - a.floor).sum();
        let (settled, held, exposure) = (exact(self.settled()), exact(held), exact(exposure));
        let (open, seq) = (open.len(), self.records.len());
        let mut words = format!("status {settled} {held} {open} {exposure} {seq}");
        for s in self.standings() {
            words.push_str(&format!("; {} {} {}", s.id, exact(s.settled), exact(s.held)));
        }
        words
    }

    /// All that was ever charged.
    pub fn settled(&self) -> i128 {
        self.attempts.values().map(|attempt| attempt.charged).sum()
    }
}
