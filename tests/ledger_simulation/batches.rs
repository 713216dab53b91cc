//! Batches: what clients and providers tell of them, and what the auditor expects. The lines of one are
//! drawn once; they are posted in any order, often, in part, and after the batch's time.

use std::collections::BTreeSet;
use std::rc::Rc;

use farebox::clock::{Millis, Timestamp};
use farebox::ids::{AttemptId, Id};
use farebox::ledger::{
    BatchCommand, BatchLine, Command, Forecast, ModelPrices, Pinned, Seen, Unresolved,
};
use farebox::meter::Outcome;
use farebox::money::Exact;
use farebox::record::Digest;
use farebox::wire::usage::{Meter, Provenance, Usage};

use super::auditor::{Attempt, Auditor, Stage, exact, units};
use super::random::Random;
use super::standing::Used;
use super::workload::{INPUT_UNITS, OUTPUT_UNITS, Phase, Step, Workload, rates};

/// What stands in for input that nobody reported.
const INPUT_LEAST: u64 = 7;
/// The second model costs twice what the first does.
const MODELS: [(&str, u64); 2] = [("small", 1), ("large", 2)];

/// A batch as its client knows it.
pub struct Known {
    name: String,
    lines: Vec<BatchLine>,
}

fn usage(random: &mut Random, most: u64) -> Usage {
    let mut usage = Usage::default();
    if random.chance(80) {
        usage.report(Meter::InputTotal, Some(Exact::from(random.below(200))));
    }
    usage.report(Meter::OutputTotal, Some(Exact::from(random.below(most))));
    usage.complete_input();
    usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
    usage
}

fn line(random: &mut Random, nth: usize, is_single: bool) -> BatchLine {
    let model = MODELS[random.index(if is_single { 1 } else { 2 })].0;
    // Now and then more than its share of what was held.
    let most = if random.chance(10) { 4_000 } else { 400 };
    BatchLine {
        id: Digest::of(&[nth.to_string().as_bytes()]),
        model: random.chance(80).then(|| model.to_owned()),
        served_model: None,
        usage: usage(random, most),
        outcome: Outcome::Complete,
        suspect: false,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
    }
}

impl Workload {
    /// The provider took a batch, said where it stands, or its results were read.
    pub fn batch(&mut self, random: &mut Random, now: Timestamp) -> Step {
        let command = match random.below(10) {
            0..3 => self.open(random),
            3..5 => self.seen(random),
            _ => self.post(random, now),
        };
        let command = command.map_or(Command::Sweep, Command::Batch);
        Step { command, attempt: None }
    }

    /// Mostly a new one; sometimes the same again, or one of another's name.
    fn open(&mut self, random: &mut Random) -> Option<BatchCommand> {
        let running = [Phase::Running, Phase::Silent];
        let phases = if random.chance(80) { &running[..] } else { &[Phase::Batch] };
        let attempt = self.pick(random, phases)?;
        let named = if random.chance(90) { attempt } else { self.pick(random, &[Phase::Batch])? };
        let id = |at: usize| self.attempts[at].reserve.attempt_id;
        let (attempt_id, name) = (id(attempt), format!("batch of {}", id(named)));
        let held = units(self.attempts[attempt].reserve.admitted.held);
        let is_single = random.chance(50);
        let count = 1 + random.index(6);
        if named == attempt && self.attempts[attempt].phase != Phase::Batch {
            let lines = (0..count).map(|nth| line(random, nth, is_single)).collect();
            self.batches.push(Known { name: name.clone(), lines });
            self.attempts[attempt].phase = Phase::Batch;
        }
        let models = if is_single { &MODELS[..1] } else { &MODELS[..] };
        let prices = models.iter().map(|(model, times)| {
            let rate = |units: u64| exact(i128::from(units * times * 1_000_000)).to_string();
            let batch = rates(&rate(INPUT_UNITS), &rate(OUTPUT_UNITS));
            let mut pinned: Pinned = self.attempts[attempt].reserve.pinned.clone();
            (pinned.tiers, pinned.input_least) = ([("batch".into(), batch)].into(), INPUT_LEAST);
            ModelPrices { model: (*model).into(), pinned, most: None }
        });
        let forecast = Forecast {
            upstream: "openai".into(),
            endpoint: "/v1/chat/completions".into(),
            lines: count as u64,
            prices: prices.collect(),
            held: exact(held),
            floor: Exact::ZERO,
            dearest: exact(held / count as i128),
            input_least: 0,
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
        };
        let life = Millis::from_secs(u32::try_from(random.below(1_200)).unwrap());
        let unresolved = if random.chance(50) { Unresolved::Floor } else { Unresolved::Hold };
        let forecast = Box::new(forecast);
        Some(BatchCommand::Open { batch_id: name, attempt_id, forecast, life, unresolved })
    }

    fn known(&self, random: &mut Random) -> Option<&Known> {
        // The younger the likelier, so that some are read from end to end.
        let back = random.index(3.min(self.batches.len().max(1)));
        self.batches.len().checked_sub(1 + back).map(|at| &self.batches[at])
    }

    fn seen(&self, random: &mut Random) -> Option<BatchCommand> {
        let known = self.known(random)?;
        let lines = known.lines.len() as u64;
        let succeeded = match random.below(10) {
            0..2 => None,
            2 => Some(0),
            3 => Some(lines / 2),
            _ => Some(lines),
        };
        let seen = Seen {
            status: "said".into(),
            ended: random.chance(70),
            succeeded,
            has_results: random.chance(90),
            usage: random.chance(25).then(|| usage(random, 1_000)),
            answers: None,
            errors: None,
        };
        let batch_id = if random.chance(98) { known.name.clone() } else { "nobody's".into() };
        Some(BatchCommand::Seen { batch_id, seen: Box::new(seen) })
    }

    /// From some line on, some or all of the others.
    fn post(&self, random: &mut Random, at: Timestamp) -> Option<BatchCommand> {
        let known = self.known(random)?;
        let from = if random.chance(40) { 0 } else { random.index(known.lines.len()) };
        let whole = from == 0 && random.chance(70);
        let count = if whole { known.lines.len() } else { 1 + random.index(3) };
        let mut lines: Vec<BatchLine> =
            known.lines.iter().skip(from).take(count).cloned().collect();
        if random.chance(10) {
            lines.extend(lines.clone());
        }
        let batch_id = if random.chance(98) { known.name.clone() } else { "nobody's".into() };
        Some(BatchCommand::Post { batch_id, lines, whole, at })
    }
}

/// A batch as the auditor knows it.
#[derive(Clone)]
pub struct Book {
    attempt: AttemptId,
    /// When the request came, of which each line's id is made.
    received_at: Timestamp,
    dearest: i128,
    is_single: bool,
    posted: BTreeSet<String>,
    /// What its lines cost, and by how much that is flagged to pass what was held.
    charged: i128,
    overage: i128,
    /// The provider's last word, once it is over.
    ended: Option<(Option<u64>, Option<i128>)>,
}

impl Book {
    fn price(&self, model: Option<&str>, usage: &Usage) -> Used {
        let tokens = |meter| usage.get(meter).map(|quantity| quantity.to_u64().unwrap());
        let input = tokens(Meter::InputTotal).unwrap_or(INPUT_LEAST);
        let output = tokens(Meter::OutputTotal).unwrap();
        let sold = if self.is_single { &MODELS[..1] } else { &MODELS[..] };
        // Of no known model: at the dearest.
        let named = sold.iter().find(|(name, _)| Some(*name) == model);
        let times = named.or(sold.last()).unwrap().1;
        let money = i128::from(times * (INPUT_UNITS * input + OUTPUT_UNITS * output));
        Used { money, tokens: i128::from(input + output), requests: 1 }
    }

    /// The most that the lines to come may cost, where the provider's word bounds it.
    fn to_come(&self) -> Option<i128> {
        let (succeeded, used) = self.ended?;
        let lines = || succeeded.map(|lines| lines.saturating_sub(self.posted.len() as u64));
        let most = used.map(|used| used - self.charged);
        most.or_else(|| lines().map(|n| self.dearest * i128::from(n))).map(|most| most.max(0))
    }

    fn is_complete(&self) -> bool {
        self.ended.is_some_and(|(succeeded, _)| {
            succeeded.is_none_or(|lines| self.posted.len() as u64 >= lines)
        })
    }
}

impl Auditor {
    pub fn batch(&mut self, command: &BatchCommand) -> String {
        match command {
            BatchCommand::Keep { .. } | BatchCommand::Lost { .. } => {
                unreachable!("not of the workload")
            }
            BatchCommand::Open { batch_id, attempt_id, forecast, life, unresolved } => {
                self.open(batch_id, *attempt_id, forecast, *life, *unresolved)
            }
            BatchCommand::Seen { batch_id, seen } => self.seen(batch_id, seen),
            BatchCommand::Post { batch_id, lines, whole, .. } => self.post(batch_id, lines, *whole),
        }
    }

    fn open(
        &mut self,
        name: &str,
        id: AttemptId,
        forecast: &Forecast,
        life: Millis,
        unresolved: Unresolved,
    ) -> String {
        if self.batches.get(name).is_some_and(|book| book.attempt != id) {
            return "invalid: the batch belongs to another attempt".into();
        }
        let now = self.now();
        let attempt = self.attempts.get_mut(&id).map(Rc::make_mut);
        let Some(a) = attempt.filter(|a| a.stage == Stage::Open && now < a.expires_at) else {
            return "expired".into();
        };
        if a.terms.is_some() {
            return "invalid: it was held for as a single request, not as a batch".into();
        }
        a.expires_at = a.expires_at.max(now.plus(life));
        if unresolved == Unresolved::Hold {
            (a.floor, a.whole) = (a.held, true);
        }
        let (expires_at, received_at) = (a.expires_at, a.received_at);
        let book = Book {
            attempt: id,
            received_at,
            dearest: units(forecast.dearest),
            is_single: forecast.prices.len() == 1,
            posted: BTreeSet::new(),
            charged: 0,
            overage: 0,
            ended: None,
        };
        let is_new = self.batches.insert(name.to_owned(), book.clone());
        self.own_rows = 1 + usize::from(is_new.is_none());
        if let Some(known) = is_new {
            self.batches.insert(name.to_owned(), known);
        }
        format!("held until {expires_at}")
    }

    /// Where the money for its lines is: held, charged when its time was over, or nowhere.
    fn rest(&mut self, id: AttemptId) -> (Stage, i128) {
        let now = self.now();
        if self.attempts.get(&id).is_some_and(|a| a.stage == Stage::Open && a.expires_at <= now) {
            self.expire(id);
        }
        let attempt = &self.attempts[&id];
        match attempt.stage {
            Stage::Open => (Stage::Open, attempt.held),
            Stage::Unresolved => (Stage::Unresolved, attempt.charged),
            Stage::Closed(_) => (attempt.stage.clone(), 0),
        }
    }

    fn seen(&mut self, name: &str, seen: &Seen) -> String {
        let Some(mut book) = self.batches.get(name).cloned() else {
            return "unknown attempt".into();
        };
        if !seen.ended {
            return "done".into();
        }
        let sum = seen.usage.as_ref().filter(|_| book.is_single);
        let used = sum.map(|usage| book.price(None, usage).money);
        book.ended = Some((seen.succeeded, used));
        let (_, left) = self.rest(book.attempt);
        self.own_rows = 1;
        if seen.succeeded.map_or(!seen.has_results, |lines| lines == 0) {
            self.end_batch(&book, if book.posted.is_empty() { "voided" } else { "settled" });
        } else {
            let left = book.to_come().map_or(left, |most| left.min(most));
            self.leave(book.attempt, left, used.is_some());
        }
        self.batches.insert(name.to_owned(), book);
        "done".into()
    }

    fn post(&mut self, name: &str, lines: &[BatchLine], whole: bool) -> String {
        let Some(mut book) = self.batches.get(name).cloned() else {
            return "unknown attempt".into();
        };
        let (stage, mut left) = self.rest(book.attempt);
        let before = book.charged;
        for line in lines {
            if !book.posted.insert(line.id.to_string()) {
                continue;
            }
            let used = book.price(line.model.as_deref(), &line.usage);
            let over = (used.money - book.dearest.min(left)).max(0);
            let is_late = stage != Stage::Open;
            let is_known = book.is_single || line.model.is_some();
            self.post_line(
                &book,
                line,
                used,
                [
                    (over > 0, "overage"),
                    (is_late, "late"),
                    (line.usage.get(Meter::InputTotal).is_none(), "counted"),
                    (!is_known, "suspect"),
                ],
            );
            book.charged += used.money;
            book.overage += over;
            self.excused = self.excused.plus(Used { money: over, ..used });
            left = (left - used.money).max(0);
        }
        if whole && book.is_complete() && !matches!(stage, Stage::Closed(_)) {
            self.end_batch(&book, "settled");
        } else if book.charged > before {
            let left = book.to_come().map_or(left, |most| left.min(most));
            self.leave(book.attempt, left, false);
        }
        self.own_rows += usize::from(self.own_rows + self.expired > 0);
        self.batches.insert(name.to_owned(), book);
        "done".into()
    }

    /// A record and an attempt of its own, in the window and among the parties of the batch.
    fn post_line(&mut self, book: &Book, line: &BatchLine, used: Used, flags: [(bool, &str); 4]) {
        let batch = book.attempt.to_string();
        let mark = Digest::of(&[b"farebox-batch-line", batch.as_bytes(), &line.id.0]);
        let id = Id::new(book.received_at, std::array::from_fn(|at| mark.0[at]));
        let mut record = format!("{id} settled {}", exact(used.money));
        for (_, flag) in flags.into_iter().filter(|(is_so, _)| *is_so) {
            record.push_str(&format!(" {flag}"));
        }
        self.records.push(record.into());
        let whole: &Attempt = &self.attempts[&book.attempt];
        let attempt = Attempt {
            stage: Stage::Closed("a line".into()),
            charged: used.money,
            held: 0,
            tokens: 0,
            counted: Default::default(),
            used: Used::default(),
            seq: self.records.len(),
            ..whole.clone()
        };
        assert!(self.attempts.insert(id, attempt.into()).is_none(), "a line is charged twice");
        self.count(id, used);
        self.own_rows += 2;
    }

    /// Keeps so much for the lines to come.
    fn leave(&mut self, id: AttemptId, left: i128, is_known: bool) {
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        match attempt.stage {
            Stage::Open => {
                let freed = attempt.held - left;
                let is_whole = is_known || attempt.floor == attempt.held;
                attempt.floor = if is_whole { left } else { (attempt.floor - freed).max(0) };
                attempt.held = left;
                attempt.released += freed;
                self.own_rows += 1;
            }
            Stage::Unresolved if left < attempt.charged => {
                let used = Used { money: left, ..attempt.used };
                self.correct(id, "unresolved", " late counted correction", used);
            }
            Stage::Unresolved | Stage::Closed(_) => {}
        }
    }

    /// Its lines carry what it costs: the batch itself ends at nothing.
    fn end_batch(&mut self, book: &Book, class: &str) {
        let id = book.attempt;
        let used = Used { requests: i128::from(class == "settled"), ..Used::default() };
        match self.attempts[&id].stage {
            Stage::Open => {
                self.records.push(format!("{id} {class} 0").into());
                self.own_rows += 2;
                self.count(id, used);
            }
            Stage::Unresolved => self.correct(id, class, " late correction", used),
            Stage::Closed(_) => return,
        }
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        attempt.stage = Stage::Closed("its lines".into());
        attempt.voided = class == "voided";
        attempt.seq = self.records.len();
    }

    /// What was charged for it when its time was over is less by now.
    fn correct(&mut self, id: AttemptId, class: &str, flags: &str, used: Used) {
        let attempt = Rc::make_mut(self.attempts.get_mut(&id).unwrap());
        let (seq, before) = (attempt.seq, attempt.charged);
        let difference = exact(used.money - before);
        let record =
            format!("{id} {class} {difference} corrects {seq} of {}{flags}", exact(before));
        self.records.push(record.into());
        (attempt.charged, attempt.seq) = (used.money, self.records.len());
        self.own_rows += 2;
        self.count(id, used);
    }

    /// What was asked for a batch bounds its lines and what is held for those to come, but for what is
    /// flagged.
    pub fn check_batches(&self) {
        for (name, book) in &self.batches {
            let attempt = &self.attempts[&book.attempt];
            let within = attempt.released + book.overage;
            let is_open = attempt.stage == Stage::Open;
            assert!(!is_open || book.charged <= within, "{name}: its lines pass its hold");
        }
    }
}
