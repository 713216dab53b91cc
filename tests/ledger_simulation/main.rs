//! The ledger under crashes, lost answers, repeated commands, vanished clients and an unsteady
//! clock, with an auditor beside it that knows every answer beforehand.
//!
//! A run is its seed. `FAREBOX_SIM_SEEDS=5000 cargo test --release --test ledger_simulation` runs
//! so many; `FAREBOX_SIM_FIRST=42` begins with that seed.
//!
//! Checked after every command: the answer, the rows, the records (I3, I4, I6); settled is the sum
//! of the records (I1); no admission passes a hard limit, and nothing else takes a window over its
//! limit but what is flagged for it (I2); nothing that is due outlives a sweep (I5); a ledger loaded
//! from the rows is the one in memory. After every run: the chain verifies (I7), and once the faults
//! stop, held returns to zero.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::format_push_string)]

mod agreed;
mod auditor;
mod random;
mod rules;
mod standing;
mod store;
mod workload;

use std::collections::BTreeMap;

use farebox::auth::Ring;
use farebox::clock::{Millis, Timestamp};
use farebox::ledger::{Admin, Command, Context, Ledger, Outcome, Reply, Row, SWEEP_MAX};
use farebox::record::{Expected, Flag, PlanLineKind, Record, Verdict, verify};

use auditor::{Auditor, exact, units};
use random::Random;
use store::{Fate, Store};
use workload::{Phase, Step, TTL, USERS, Workload};

/// Seeds of an ordinary test run: a few seconds unoptimised.
const SEEDS: u64 = 32;
const STEPS: usize = 250;
/// Lines of history printed for a failed run.
const HISTORY: usize = 12;
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn no_crash_and_no_repetition_ever_changes_what_is_owed() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
    };
    let (first, seeds) = (number("FAREBOX_SIM_FIRST", 1), number("FAREBOX_SIM_SEEDS", SEEDS));
    let mut met = BTreeMap::new();
    for seed in first..first + seeds {
        Simulation::new(seed).run(&mut met);
    }
    eprintln!("{met:#?}");
    if seeds >= SEEDS {
        for event in EVENTS {
            assert!(met.contains_key(*event), "never met: {event}");
        }
    }
}

/// What a workload must come across to be worth its name.
const EVENTS: &[&str] = &[
    "closed",
    "conflict",
    "expired",
    "held",
    "refused AttemptConflict",
    "refused CurrencyMismatch",
    "refused InFlightBudgetExhausted",
    "refused InvalidKey",
    "refused KeyDisabled",
    "refused RequestExceedsLimit",
    "refused SpendLimitExceeded",
    "refused RateLimitExceeded",
    "refused TagRequired",
    "refused EndUserRequired",
    "refused KeyFrozen",
    "refused CustomerFrozen",
    "refused IdempotencyKeyReused",
    "refused RequestInProgress",
    "refused RequestCompleted",
    "replayed",
    "unknown",
    "invalid:",
    "a hold repeated",
    "a job parked",
    "a plan put",
    "a call that was charged",
    "a call that was included",
    "a late correction",
    "a sweep that left some",
    "an overage",
    "stale",
    "a clock that went back",
    "an answer lost",
    "a crash after writing",
    "a crash before writing",
];

struct Simulation {
    seed: u64,
    random: Random,
    ring: Ring,
    workload: Workload,
    auditor: Auditor,
    store: Store,
    /// Absent after a crash.
    ledger: Option<Ledger>,
    /// What the machine's clock says; may go backwards.
    clock: Timestamp,
    /// What the ledger's clock says; goes backwards only with its memory.
    now: Timestamp,
    /// In percent of all commands.
    faults: u64,
    history: Vec<String>,
    met: BTreeMap<String, u64>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.history.len().saturating_sub(HISTORY);
            self.history[last..].iter().for_each(|line| eprintln!("{line}"));
            eprintln!("failed: FAREBOX_SIM_FIRST={} FAREBOX_SIM_SEEDS=1", self.seed);
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Late on the last day of a month, so that both windows end during the run.
        let start: Timestamp = "2026-11-30T23:30:00Z".parse().unwrap();
        let clock = start.plus(Millis::from_secs(u32::try_from(random.below(3_600)).unwrap()));
        Self {
            seed,
            random,
            ring: Ring::parse(RING).unwrap(),
            workload: Workload::default(),
            auditor: Auditor::default(),
            store: Store::default(),
            ledger: None,
            clock,
            now: clock,
            faults: 0,
            history: Vec::new(),
            met: BTreeMap::new(),
        }
    }

    fn run(mut self, met: &mut BTreeMap<String, u64>) {
        for command in Workload::opening(&mut self.random) {
            self.tell(&command);
        }
        self.faults = self.random.below(40);
        for _ in 0..STEPS {
            self.tick();
            if self.random.below(200) == 0 {
                self.burst();
            }
            let step = self.workload.step(&mut self.random, self.clock);
            let reply = self.tell(&step.command);
            self.learn(&step, reply);
            if self.random.below(400) < self.faults {
                self.ledger = None;
            }
        }
        self.faults = 0;
        self.final_read();
        self.come_to_rest();
        self.check_archive();
        for (event, count) in std::mem::take(&mut self.met) {
            *met.entry(event).or_default() += count;
        }
    }

    fn meet(&mut self, event: &str) {
        *self.met.entry(event.to_owned()).or_default() += 1;
    }

    /// Keeps count of what has happened, so that a workload gone tame is noticed.
    fn meet_all(&mut self, expected: &str, auditor: &Auditor, fate: Fate) {
        let mut words = expected.split(' ');
        let first = words.next().unwrap_or_default();
        match first {
            "refused" => self.meet(&format!("refused {}", words.next().unwrap_or_default())),
            _ => self.meet(first),
        }
        if first == "held" && auditor.own_rows == 0 {
            self.meet("a hold repeated");
        }
        if auditor.expired == SWEEP_MAX {
            self.meet("a sweep that left some");
        }
        match fate {
            Fate::Fine => {}
            Fate::AnswerLost => self.meet("an answer lost"),
            Fate::DiedAfter => self.meet("a crash after writing"),
            Fate::DiedBefore => self.meet("a crash before writing"),
        }
    }

    /// Many at once, and then nothing is heard for longer than a hold lasts: more is due than one
    /// sweep takes.
    fn burst(&mut self) {
        for _ in 0..2 * SWEEP_MAX {
            let step = self.workload.new_attempt(&mut self.random, self.clock);
            let reply = self.tell(&step.command);
            self.learn(&step, reply);
            self.clock = self.clock.plus(Millis(1));
        }
        self.clock = self.clock.plus(TTL);
        // The youngest that runs is due, and not among the first that are swept.
        let running = |attempt: &workload::Attempt| attempt.phase == Phase::Running;
        if let Some(at) = self.workload.attempts.iter().rposition(running) {
            let command = Command::Reserve(Box::new(self.workload.again(at)));
            let reply = self.tell(&command);
            self.learn(&Step { command, attempt: Some(at) }, reply);
        }
    }

    /// Time goes on; now and then it leaps, and sometimes back.
    fn tick(&mut self) {
        let ms = match self.random.below(100) {
            0..90 => self.random.below(4_000),
            90..95 => self.random.below(90_000),
            95..97 => self.random.below(30 * 3_600_000),
            97..98 => return, // no time passes at all
            _ => {
                let back = i64::try_from(self.random.below(120_000)).unwrap();
                self.clock = Timestamp::from_ms(self.clock.ms() - back);
                self.meet("a clock that went back");
                return;
            }
        };
        self.clock = self.clock.plus(Millis(u32::try_from(ms).unwrap()));
    }

    fn fate(&mut self) -> Fate {
        if !self.random.chance(self.faults) {
            return Fate::Fine;
        }
        [Fate::AnswerLost, Fate::DiedAfter, Fate::DiedBefore][self.random.index(3)]
    }

    /// One command, as the shell carries it out; the answer, unless it was lost.
    fn tell(&mut self, command: &Command) -> Option<Reply> {
        let fate = self.fate();
        let mut ledger = self.ledger.take().unwrap_or_else(|| {
            // What is known to have been done was done before: the ledger's clock goes on from there.
            self.now = self.store.known_time().map_or(self.clock, |known| known.max(self.clock));
            self.store.load(self.clock)
        });
        self.now = self.now.max(self.clock);
        let mut auditor = self.auditor.clone();
        let expected = auditor.expect(command, self.now);
        self.history.push(format!("{} {fate:?}: {command:?}\n  -> {expected}", self.now));
        let context = Context {
            now: self.clock,
            random: self.random.bytes(),
            record_ring: &self.ring,
            hold_ttl: TTL,
            prior: self.store.prior(command, &ledger, self.clock),
        };
        let twin = self.random.chance(20).then(|| {
            let mut twin = self.store.load(self.now);
            let prior = self.store.prior(command, &twin, self.now);
            let outcome = twin.apply(command, &Context { prior, ..context }).unwrap();
            seen(&outcome, &twin)
        });
        let outcome = ledger.apply(command, &context).expect("nothing here is out of range");
        if let Some(twin) = twin {
            assert_eq!(seen(&outcome, &ledger), twin, "memory and storage differ");
        }
        assert_eq!(words(&outcome.reply), expected, "the auditor expected another answer");
        let rows = auditor.own_rows + 3 * auditor.expired;
        // What parties used and what was refused is told from the answers, not from the rows.
        let counted = |row: &&Row| {
            !matches!(
                row,
                Row::PutRefusals(..)
                    | Row::PutUse(..)
                    | Row::PutMinute(..)
                    | Row::PutOnce { .. }
                    | Row::PutTerms(_)
                    | Row::DropTerms(_)
                    | Row::PutPlanUse(_)
                    | Row::DropPlanUses(..)
                    | Row::Alerts(_)
            )
        };
        let written = outcome.rows.iter().filter(counted).count();
        assert_eq!(written, rows, "I4: other rows: {:#?}", outcome.rows);
        self.meet_all(&expected, &auditor, fate);
        if let Command::Admin(Admin::PutPlan(_)) = command {
            self.meet("a plan put");
        }
        if matches!(command, Command::Park(_)) && auditor.own_rows > 0 {
            self.meet("a job parked");
        }
        if fate.is_written() {
            self.store.commit(outcome.rows);
            let before = std::mem::replace(&mut self.auditor, auditor);
            self.check_step(command, &before);
        }
        if fate.keeps_memory() {
            self.ledger = Some(ledger);
        }
        (fate == Fate::Fine).then_some(outcome.reply)
    }

    /// What the client makes of the answer.
    fn learn(&mut self, step: &Step, reply: Option<Reply>) {
        if let Some(Reply::Held { remaining, .. }) = &reply {
            self.workload.left = remaining.map(units);
        }
        let Some(at) = step.attempt else { return };
        let attempt = &mut self.workload.attempts[at];
        attempt.phase = match (reply, &step.command) {
            (Some(Reply::Held { .. }), _) if attempt.phase == Phase::Asked => Phase::Running,
            // A denial burns nothing: the same attempt may be asked for again.
            (None, Command::Reserve(_))
            | (
                Some(
                    Reply::Held { .. }
                    | Reply::UnknownAttempt
                    | Reply::Refused(_)
                    | Reply::StalePrice { .. },
                ),
                _,
            ) => return,
            (None, _) => Phase::Silent,
            _ => Phase::Over,
        };
    }

    fn check_step(&mut self, command: &Command, before: &Auditor) {
        let auditor = &self.auditor;
        for at in before.records.len()..auditor.records.len() {
            let record = self.store.record(at);
            assert_eq!(record_words(&record), *auditor.records[at], "I3: another record");
            for line in record.plan.iter().flat_map(|plan| &plan.lines) {
                let event = match (line.kind, line.amount.is_zero()) {
                    (PlanLineKind::Charge, true) => "a call that was included",
                    (PlanLineKind::Charge, false) => "a call that was charged",
                    _ => "a floor, or what others moved",
                };
                *self.met.entry(event.to_owned()).or_default() += 1;
            }
            assert_eq!(record.recorded_at, self.now);
            for (flag, event) in [(Flag::Late, "a late correction"), (Flag::Overage, "an overage")]
            {
                if record.flags.contains(&flag) {
                    *self.met.entry(event.to_owned()).or_default() += 1;
                }
            }
        }
        assert_eq!(self.store.records.len(), auditor.records.len(), "I6");
        let same = before.now.map(|_| before.standings()).unwrap_or_default();
        for standing in auditor.standings().iter().filter(|standing| standing.is_hard()) {
            let excess = standing.excess();
            if let Some(was) = same.iter().find(|was| was.is_of_the_same(standing)) {
                let excused = was.excess().max(0) + standing.excused(auditor.excused);
                assert!(excess <= excused, "I2: limit {} is passed unflagged", standing.rule.id);
            }
        }
        if let Command::Reserve(reserve) = command {
            let met = auditor.met(reserve);
            let mut hard = met.iter().filter(|standing| standing.is_hard() && auditor.admitted);
            assert!(hard.all(|standing| standing.excess() <= 0), "I2: admitted over a limit");
        }
        self.check_status();
        let due = self.store.open_holds().into_iter().filter(|hold| hold.expires_at <= self.now);
        let due = due.count();
        assert!(due == 0 || auditor.expired >= SWEEP_MAX, "I5: {due} due after {command:?}");
    }

    /// The books as a ledger fresh from storage sees them.
    fn check_status(&self) {
        let mut twin = self.store.load(self.now);
        let context = Context {
            now: self.now,
            random: [0; 32],
            record_ring: &self.ring,
            hold_ttl: TTL,
            prior: self.store.prior(&Command::Status, &twin, self.now),
        };
        let outcome = twin.apply(&Command::Status, &context).unwrap();
        let mut auditor = self.auditor.clone();
        assert_eq!(words(&outcome.reply), auditor.expect(&Command::Status, self.now));
        if outcome.rows.is_empty() {
            let Reply::Status(snapshot) = outcome.reply else { panic!() };
            let settled = units(snapshot.spend.settled);
            assert_eq!(settled, self.store.total, "I1: settled is not the sum of the records");
        }
    }

    /// Every answer that was lost is asked for again, now that nothing fails: each gets a definite
    /// one, and asking once more changes nothing.
    fn final_read(&mut self) {
        for at in 0..self.workload.attempts.len() {
            let attempt = &self.workload.attempts[at];
            let reserve = Command::Reserve(Box::new(self.workload.again(at)));
            let asked = attempt.phase == Phase::Asked && attempt.end.is_none();
            let Some(command) = attempt.end.clone().or_else(|| asked.then_some(reserve)) else {
                continue;
            };
            let first = self.tell(&command).expect("nothing fails any more");
            let records = self.store.records.len();
            let second = self.tell(&command).expect("nothing fails any more");
            match (&first, &second) {
                (Reply::Closed { seq, charged, .. }, _) => {
                    let (seq, charged) = (*seq, *charged);
                    assert_eq!(second, Reply::Closed { seq, charged, replayed: true }, "I4");
                }
                _ => assert_eq!(first, second, "I4"),
            }
            assert_eq!(self.store.records.len(), records, "I4: a repetition wrote a record");
        }
    }

    /// Liveness: no one renews, time passes, and nothing stays held.
    fn come_to_rest(&mut self) {
        // A clock that went back has left holds that end later than now and their time.
        let ends = self.store.open_holds().into_iter().map(|hold| hold.expires_at);
        self.clock = ends.max().unwrap_or(self.now).max(self.now);
        for _ in 0..=self.workload.attempts.len() / SWEEP_MAX {
            self.tell(&Command::Sweep);
        }
        let Some(Reply::Status(snapshot)) = self.tell(&Command::Status) else { panic!() };
        assert!(snapshot.spend.held.is_zero() && snapshot.spend.open == 0, "held for ever");
        assert_eq!(self.ledger.as_ref().unwrap().next_expiry(), None);
    }

    fn check_archive(&mut self) {
        let lines = self.store.lines();
        let head = self.ledger.as_ref().unwrap().head();
        let customer = "acme".parse().unwrap();
        let expected = Expected { customer, seq: head.seq, hash: head.hash };
        let expected = (head.seq > 0).then_some(&expected);
        let report = verify(lines.iter().map(String::as_str), &self.ring, expected);
        assert_eq!(report.verdict, Verdict::Ok, "I7: {:?}", report.finding);
        assert_eq!(report.records, head.seq);
        let total = report.totals.get("USD").copied().unwrap_or_default();
        assert_eq!(total, exact(self.auditor.settled()), "I1");
        self.check_attempts();
        for user in USERS {
            assert!(!lines.iter().any(|line| line.contains(user)), "an end user in clear");
        }
    }

    /// I3 from the records alone: one that corrects nothing, and at most one correction, of it.
    fn check_attempts(&self) {
        let mut first = BTreeMap::new();
        for at in 0..self.store.records.len() {
            let record = self.store.record(at);
            let Some(corrects) = record.corrects else {
                let again = first.insert(record.attempt_id, Some(record));
                assert!(again.is_none(), "I3: ended twice");
                continue;
            };
            let corrected = first.get_mut(&record.attempt_id).and_then(Option::take);
            let corrected = corrected.expect("I3: corrects nothing, or what was corrected before");
            assert_eq!((corrected.seq, Some(corrected.amount)), (corrects, record.previous), "I3");
            assert_eq!(corrected.class, farebox::record::Class::Unresolved, "I3");
        }
    }
}

/// All that shows of a ledger after a command.
fn seen(outcome: &Outcome, ledger: &Ledger) -> String {
    format!("{outcome:?} {:?} {:?}", ledger.head(), ledger.next_expiry())
}

fn words(reply: &Reply) -> String {
    match reply {
        Reply::Held { expires_at, remaining: None, .. } => format!("held until {expires_at}"),
        Reply::Held { expires_at, remaining: Some(left), .. } => {
            format!("held until {expires_at} left {left}")
        }
        Reply::Refused(refusal) => match &refusal.limit {
            None => format!("refused {:?}", refusal.code),
            Some(limit) => format!(
                "refused {:?} by {} settled {} held {}",
                refusal.code, limit.id, limit.settled, limit.held
            ),
        },
        Reply::StalePrice { now } => format!("stale price at {now}"),
        Reply::Closed { seq, charged, replayed: false } => format!("closed {seq} at {charged}"),
        Reply::Closed { seq, charged, replayed: true } => format!("replayed {seq} at {charged}"),
        Reply::Conflict { seq } => format!("conflict with {seq}"),
        Reply::UnknownAttempt => "unknown attempt".into(),
        Reply::Expired => "expired".into(),
        Reply::Standing(_) | Reply::Outlook(_) => unreachable!("not of the workload"),
        Reply::Done => "done".into(),
        Reply::Invalid(problem) => format!("invalid: {problem}"),
        Reply::Status(snapshot) => {
            let spend = &snapshot.spend;
            let (settled, held, open) = (spend.settled, spend.held, spend.open);
            let mut words =
                format!("status {settled} {held} {open} {} {}", spend.exposure, snapshot.head.seq);
            for limit in &snapshot.limits {
                words.push_str(&format!("; {} {} {}", limit.id, limit.settled, limit.held));
            }
            words
        }
    }
}

fn record_words(record: &Record) -> String {
    let class = serde_json::to_value(record.class).unwrap();
    let mut words = format!("{} {} {}", record.attempt_id, class.as_str().unwrap(), record.amount);
    if let (Some(corrects), Some(previous)) = (record.corrects, record.previous) {
        words.push_str(&format!(" corrects {corrects} of {previous}"));
    }
    for flag in &record.flags {
        let flag = serde_json::to_value(flag).unwrap();
        words.push_str(&format!(" {}", flag.as_str().unwrap()));
    }
    words
}
