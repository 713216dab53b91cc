//! One run: a workload, a network, a clock, crashes; and after every command the checks.

use std::collections::BTreeMap;

use farebox::auth::Ring;
use farebox::clock::{Millis, Timestamp};
use farebox::ledger::{Admin, BatchCommand, Command, Context, Ledger, Reply, Row, SWEEP_MAX};

use super::auditor::{Auditor, units};
use super::network::Network;
use super::random::Random;
use super::standing::Standing;
use super::store::{Fate, Store};
use super::words::{seen, words};
use super::workload::{Attempt, Phase, Step, TTL, Workload};

/// Steps of a run. What a run costs grows with their square: many short ones find more.
const STEPS_MIN: usize = 40;
const STEPS_MORE: usize = 120;
const HOUR_MS: u64 = 3_600_000;
/// Before the end of a month, of a year, of a February with a leap day, and before Berlin's clocks
/// go back and forward: windows end during the run.
const STARTS: [&str; 5] = [
    "2026-11-30T23:30:00Z",
    "2026-12-31T22:30:00Z",
    "2028-02-28T23:30:00Z",
    "2026-10-24T21:30:00Z",
    "2027-03-27T22:30:00Z",
];
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub struct Simulation {
    seed: u64,
    /// Every command and answer is printed.
    is_traced: bool,
    pub(super) random: Random,
    pub(super) ring: Ring,
    pub(super) workload: Workload,
    pub(super) auditor: Auditor,
    pub(super) store: Store,
    /// Absent after a crash.
    pub(super) ledger: Option<Ledger>,
    /// What the machine's clock says; may go backwards.
    pub(super) clock: Timestamp,
    /// What the ledger's clock says; goes backwards only with its memory.
    pub(super) now: Timestamp,
    /// In percent of all commands.
    faults: u64,
    network: Network,
    /// How every limit stood after the last command that was written.
    pub(super) stood: Vec<Standing>,
    pub(super) met: BTreeMap<String, u64>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} failed; replay it: make replay SEED={0}", self.seed);
        }
    }
}

impl Simulation {
    pub fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let start: Timestamp = STARTS[random.index(STARTS.len())].parse().unwrap();
        let clock = start.plus(Millis::from_secs(u32::try_from(random.below(3_600)).unwrap()));
        Self {
            seed,
            is_traced,
            random,
            ring: Ring::parse(RING).unwrap(),
            workload: Workload::default(),
            auditor: Auditor::default(),
            store: Store::default(),
            ledger: None,
            clock,
            now: clock,
            faults: 0,
            network: Network::default(),
            stood: Vec::new(),
            met: BTreeMap::new(),
        }
    }

    /// The whole run; what happened in it, counted.
    pub fn run(mut self) -> BTreeMap<String, u64> {
        for command in Workload::opening(&mut self.random, self.clock) {
            self.tell(&command);
        }
        self.faults = self.random.below(40);
        for at in 0..STEPS_MIN + self.random.index(STEPS_MORE) {
            self.tick();
            if self.random.below(1_500) == 0 {
                self.burst();
            }
            for late in self.network.arrived(at, self.clock) {
                self.tell(&late);
            }
            let step = self.workload.step(&mut self.random, self.clock);
            let reply = self.send(&step.command, at);
            self.learn(&step, reply);
            if self.random.below(400) < self.faults {
                self.ledger = None;
            }
        }
        self.faults = 0;
        self.network.clear();
        self.final_read();
        self.come_to_rest();
        self.check_archive();
        std::mem::take(&mut self.met)
    }

    /// One command by way of the network; the answer, unless it was lost.
    fn send(&mut self, command: &Command, step: usize) -> Option<Reply> {
        if self.random.below(200) < self.faults {
            let is_twice = self.random.chance(50);
            self.network.delay(command.clone(), step, self.clock, &mut self.random);
            self.meet(if is_twice { "a message twice" } else { "a message late" });
            if !is_twice {
                return None;
            }
        }
        self.tell(command)
    }

    pub(super) fn meet(&mut self, event: &str) {
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
        let running = |attempt: &Attempt| attempt.phase == Phase::Running;
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
            97..98 => match self.random.below(3) {
                0 => return, // no time passes at all
                1 => HOUR_MS,
                _ => {
                    self.clock = Timestamp::from_ms(self.clock.ms() - 3_600_000);
                    self.meet("a clock an hour off");
                    return;
                }
            },
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
    pub(super) fn tell(&mut self, command: &Command) -> Option<Reply> {
        let fate = self.fate();
        let mut ledger = self.ledger.take().unwrap_or_else(|| {
            // What is known to have been done was done before: the ledger's clock goes on from there.
            self.now = self.store.known_time().map_or(self.clock, |known| known.max(self.clock));
            self.store.load(self.clock)
        });
        self.now = self.now.max(self.clock);
        let mut auditor = self.auditor.clone();
        let expected = auditor.expect(command, self.now);
        if self.is_traced {
            eprintln!("{} {fate:?}: {command:?}\n  -> {expected}", self.now);
        }
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
        let answer = words(&outcome.reply);
        assert_eq!(answer, expected, "the auditor expected another answer");
        let rows = auditor.own_rows + 2 * auditor.expired;
        // What was used and what was refused is told from the answers, not from the rows.
        let counted = |row: &&Row| {
            !matches!(
                row,
                Row::PutRefusals(..)
                    | Row::PutHour(..)
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
        self.meet_all(&answer, &auditor, fate);
        if let Command::Admin(Admin::PutPlan(_)) = command {
            self.meet("a plan put");
        }
        if matches!(command, Command::Park(_)) && auditor.own_rows > 0 {
            self.meet("a job parked");
        }
        if matches!(command, Command::Unreserved(_)) && auditor.own_rows == 1 {
            self.meet("an attempt without a hold");
        }
        if let Command::Batch(BatchCommand::Open { .. }) = command
            && auditor.own_rows > 0
        {
            self.meet("a batch opened");
        }
        if fate.is_written() {
            self.store.commit(outcome.rows);
            let before = std::mem::replace(&mut self.auditor, auditor);
            self.check_step(command, before.records.len());
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
}
