//! What clients and the operator do: many attempts at once, each of which may go wrong in every way
//! that attempts go wrong.

use farebox::auth::Mode;
use farebox::book::{InForce, Rate, Rates, Tiers};
use farebox::clock::{Millis, Timestamp};
use farebox::ids::{Id, Name};
use farebox::ledger::{
    Admin, Allows, Command, Job, Once, Park, Pinned, Reserve, Scopes, Settle, Unreserved,
    Unresolved, Void,
};
use farebox::meter::Outcome;
use farebox::money::Exact;
use farebox::quote::{AtMost, Worst};
use farebox::record::{Admitted, Digest};
use farebox::wire::usage::{Meter, Provenance, Usage};

use super::agreed;
use super::auditor::{exact, units};
use super::batches::Known;
use super::random::Random;
use super::rules;

pub const TTL: Millis = Millis::from_secs(60);
/// Price of a token in units of 1e-8 dollars: 0.15 and 0.6 dollars a million.
pub const INPUT_UNITS: u64 = 15;
pub const OUTPUT_UNITS: u64 = 60;
pub const USERS: [&str; 3] = ["ann@example.com", "bob@example.com", "cyd@example.com"];
pub const KEYS: [&str; 2] = ["one", "two"];
pub const MODELS: [&str; 2] = ["gpt-4o-mini", "o3"];
pub const TAGS: [&str; 2] = ["red", "blue"];
/// Names that clients give to their requests.
const ONCE: [&str; 3] = ["first", "second", "third"];
/// What a request may ask for at most; limits are small multiples of it.
pub const OUTPUT_MAX: u64 = 4_000;

/// What a client knows of its own attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asked, and the answer was lost.
    Asked,
    /// The answer was yes.
    Running,
    /// Told the end, and the answer was lost; or gone away without a word.
    Silent,
    /// A batch: its lines tell its end.
    Batch,
    /// Known to be over.
    Over,
}

pub struct Attempt {
    pub reserve: Reserve,
    pub phase: Phase,
    /// What was told at its end: a repetition must be the same.
    pub end: Option<Command>,
}

/// What to do next, and to which attempt it belongs.
pub struct Step {
    pub command: Command,
    pub attempt: Option<usize>,
}

#[derive(Default)]
pub struct Workload {
    /// What is frozen at the moment.
    frozen: Vec<Option<Name>>,
    pub attempts: Vec<Attempt>,
    pub batches: Vec<Known>,
    /// What the ledger last said was left: some ask for exactly that, or for one unit more.
    pub left: Option<i128>,
}

pub fn rates(input: &str, output: &str) -> Rates {
    let rate = |amount: &str| Rate { amount: amount.parse().unwrap(), per: 1_000_000.into() };
    Rates([(Meter::InputUncached, rate(input)), (Meter::OutputTotal, rate(output))].into())
}

pub fn secret(of: &str) -> Digest {
    Digest::of(&[of.as_bytes()])
}

pub fn put_key(key: &str) -> Command {
    let (key_id, secret_sha256) = (key.parse().unwrap(), secret(key));
    Command::Admin(Admin::PutKey {
        key_id,
        secret_sha256,
        label: String::new(),
        expires_at: None,
        allows: Allows::default(),
    })
}

/// Milliseconds from one price book to the next.
const BOOK_MS: i64 = 20_000;

/// What an isolate holds to be in force: mostly right, sometimes it has not heard of the newest book
/// or its clock is ahead. A session's later turns do not say.
fn in_force(random: &mut Random, now: Timestamp) -> Option<InForce> {
    let right = now.ms() / BOOK_MS;
    let number = match random.below(100) {
        0..40 => return None,
        40..94 => right,
        94..98 => right - 1,
        _ => right + 1,
    };
    let at = |number: i64| Timestamp::from_ms(number * BOOK_MS);
    let until = random.chance(50).then(|| at(number + 1));
    Some(InForce { seq: u64::try_from(number).unwrap(), from: at(number), until })
}

/// The most that a request can use, for plans.
fn worst(held: Exact, input: u64, output: u64) -> Worst {
    let at_most = |meter, quantity: u64, amount| AtMost {
        meter,
        quantity: Some(Exact::from(quantity)),
        amount,
    };
    Worst {
        model: "gpt-4o-mini".into(),
        most: vec![
            at_most(Meter::InputTotal, input, Exact::ZERO),
            at_most(Meter::OutputTotal, output, held),
            at_most(Meter::Requests, 1, Exact::ZERO),
        ],
        batch: Vec::new(),
    }
}

impl Workload {
    /// What has to be there before anything else.
    pub fn opening(random: &mut Random, now: Timestamp) -> Vec<Command> {
        let mut commands = vec![Self::limits(random, now)];
        commands.extend(KEYS.map(put_key));
        commands
    }

    pub fn step(&mut self, random: &mut Random, now: Timestamp) -> Step {
        if !self.frozen.is_empty() && random.chance(15) {
            return Step { command: self.freeze(random), attempt: None };
        }
        match random.below(100) {
            0..20 => self.new_attempt(random, now),
            20..28 => self.batch(random, now),
            28..30 => self.unreserved(random, now),
            30..40 => self.repeat_reserve(random),
            40..45 => self.renew(random),
            45..48 => self.extend(random),
            48..52 => self.park(random),
            52..76 => self.finish(random, now, true),
            76..86 => self.finish(random, now, false),
            86..91 => Step { command: Command::Sweep, attempt: None },
            91..95 => Step { command: Command::Status, attempt: None },
            95..97 => Step { command: Self::limits(random, now), attempt: None },
            97 if random.chance(40) => Step { command: agreed::put_plan(random), attempt: None },
            97..98 => {
                let caps = rules::caps(random, now);
                Step { command: Command::Admin(Admin::PutCaps { caps }), attempt: None }
            }
            98..99 => Step { command: self.freeze(random), attempt: None },
            _ => Step { command: Self::key(random), attempt: None },
        }
    }

    fn limits(random: &mut Random, now: Timestamp) -> Command {
        let limits = rules::limits(random, now);
        let customer = "acme".parse().unwrap();
        let (currency, zone, allows) = ("USD".into(), None, Allows::default());
        Command::Admin(Admin::PutCustomer { customer, currency, limits, zone, allows })
    }

    /// Freezes a key or everyone, for a while.
    fn freeze(&mut self, random: &mut Random) -> Command {
        if let Some(key_id) = self.frozen.pop() {
            return Command::Admin(Admin::Freeze { key_id, frozen: false });
        }
        let key = KEYS[random.index(KEYS.len())].parse().unwrap();
        let key_id = random.chance(50).then_some(key);
        self.frozen.push(key_id.clone());
        Command::Admin(Admin::Freeze { key_id, frozen: true })
    }

    fn key(random: &mut Random) -> Command {
        let key = KEYS[random.index(KEYS.len())];
        if random.chance(20) {
            return Command::Admin(Admin::RevokeKey { key_id: key.parse().unwrap() });
        }
        put_key(key)
    }

    pub fn new_attempt(&mut self, random: &mut Random, now: Timestamp) -> Step {
        let input_least = random.below(500);
        let output = random.below(OUTPUT_MAX);
        let held = INPUT_UNITS * input_least + OUTPUT_UNITS * output;
        let held = match self.left {
            Some(left) if left > 0 && random.chance(15) => left + i128::from(random.below(2)),
            _ => i128::from(held),
        };
        let input = i128::from(INPUT_UNITS * input_least);
        let floor = if random.chance(90) { input.min(held) } else { held };
        let key = KEYS[random.index(KEYS.len())];
        let reserve = Reserve {
            attempt_id: Id::new(now, random.bytes()),
            request_id: Id::new(now, random.bytes()),
            secret_sha256: secret(if random.chance(97) { key } else { "wrong" }),
            admitted: Admitted {
                key_id: key.parse().unwrap(),
                mode: Mode::Live,
                received_at: now,
                endpoint: "/v1/chat/completions".into(),
                model: "gpt-4o-mini".into(),
                stream: random.chance(50),
                features: Vec::new(),
                service_tier: None,
                region: None,
                end_user: None,
                book_version: "2026-11-01".into(),
                currency: if random.chance(98) { "USD" } else { "EUR" }.into(),
                held: exact(held),
            },
            floor: exact(floor),
            pinned: Pinned {
                provider: "openai".into(),
                upstream: "openai".into(),
                rates: rates("0.15", "0.6"),
                tiers: Tiers::default(),
                context: Vec::new(),
                cost: random.chance(50).then(|| rates("0.1", "0.4").into()),
                below_margin: false,
                input_least,
            },
            worst: Some(worst(exact(held), input_least, output)),
            in_force: in_force(random, now),
            end_user: random.chance(30).then(|| USERS[random.index(USERS.len())].to_owned()),
            scopes: Scopes {
                model: Some(MODELS[random.index(MODELS.len())].to_owned()),
                tag: random.chance(60).then(|| TAGS[random.index(TAGS.len())].to_owned()),
                tokens: Some(Exact::from(input_least + output)),
            },
            once: random.chance(15).then(|| Once {
                key: secret(ONCE[random.index(ONCE.len())]),
                body: secret(if random.chance(80) { "body" } else { "another" }),
            }),
            again: false,
        };
        let command = Command::Reserve(Box::new(reserve.clone()));
        self.attempts.push(Attempt { reserve, phase: Phase::Asked, end: None });
        Step { command, attempt: Some(self.attempts.len() - 1) }
    }

    /// The ledger could not be reached: it ran without a hold, and is told now that it is over. Mostly
    /// the ledger never heard of it, sometimes only the answer was lost.
    fn unreserved(&mut self, random: &mut Random, now: Timestamp) -> Step {
        let asked = self.pick(random, &[Phase::Asked]).filter(|_| random.chance(30));
        let lost = asked.filter(|at| self.attempts[*at].end.is_none());
        let at = lost.unwrap_or_else(|| {
            self.new_attempt(random, now);
            self.attempts.len() - 1
        });
        let attempt = &mut self.attempts[at];
        let reserve = attempt.reserve.clone();
        let settle = Self::settle(random, reserve.attempt_id, now);
        let command = Command::Unreserved(Box::new(Unreserved { reserve, settle }));
        attempt.end = Some(command.clone());
        Step { command, attempt: Some(at) }
    }

    /// One of the attempts in this phase, the younger the likelier.
    pub fn pick(&self, random: &mut Random, phases: &[Phase]) -> Option<usize> {
        let fitting = |at: &usize| phases.contains(&self.attempts[*at].phase);
        let youngest = (0..self.attempts.len()).rev().filter(fitting);
        let some: Vec<usize> = youngest.take(1 + random.index(60)).collect();
        some.get(random.index(some.len())).copied()
    }

    /// The same reserve once more: mostly because its answer was lost, sometimes long after, and
    /// sometimes not quite the same.
    fn repeat_reserve(&mut self, random: &mut Random) -> Step {
        let all = [Phase::Asked, Phase::Running, Phase::Silent, Phase::Over];
        let phases = if random.chance(70) { &all[..1] } else { &all[..] };
        let Some(at) = self.pick(random, phases).or_else(|| self.pick(random, &all)) else {
            return Step { command: Command::Sweep, attempt: None };
        };
        let mut reserve = self.again(at);
        let mut attempt = Some(at);
        if random.chance(10) && self.attempts[at].phase != Phase::Asked {
            reserve.admitted.model = "gpt-4o".into();
            attempt = None;
        }
        Step { command: Command::Reserve(Box::new(reserve)), attempt }
    }

    pub fn again(&self, at: usize) -> Reserve {
        Reserve { again: true, ..self.attempts[at].reserve.clone() }
    }

    fn renew(&mut self, random: &mut Random) -> Step {
        let Some(at) = self.pick(random, &[Phase::Running, Phase::Silent, Phase::Batch]) else {
            return Step { command: Command::Status, attempt: None };
        };
        let attempt_id = self.attempts[at].reserve.attempt_id;
        let floor = exact(i128::from(OUTPUT_UNITS * random.below(2 * OUTPUT_MAX)));
        Step { command: Command::Renew { attempt_id, floor }, attempt: None }
    }

    /// A larger hold, mostly; now and then the same or a smaller one, or all that is left.
    fn extend(&mut self, random: &mut Random) -> Step {
        let Some(at) = self.pick(random, &[Phase::Running, Phase::Silent, Phase::Batch]) else {
            return Step { command: Command::Status, attempt: None };
        };
        let reserve = &self.attempts[at].reserve;
        let now = units(reserve.admitted.held);
        let more = match self.left {
            Some(left) if left > 0 && random.chance(30) => left + i128::from(random.below(2)),
            _ => i128::from(OUTPUT_UNITS * random.below(OUTPUT_MAX)),
        };
        let held = exact(if random.chance(90) { now + more } else { more });
        let floor = exact(i128::from(OUTPUT_UNITS * random.below(OUTPUT_MAX)));
        let attempt_id = reserve.attempt_id;
        Step {
            command: Command::Extend { attempt_id, held, floor, most: Vec::new() },
            attempt: None,
        }
    }

    /// A job of its own; now and then one of the name of another's.
    fn park(&mut self, random: &mut Random) -> Step {
        let known = [Phase::Running, Phase::Silent];
        let (Some(at), Some(other)) = (self.pick(random, &known), self.pick(random, &known)) else {
            return Step { command: Command::Status, attempt: None };
        };
        let named = if random.chance(80) { at } else { other };
        let attempt_id = self.attempts[at].reserve.attempt_id;
        let job = Job { attempt_id, upstream: "openai".into(), model: "gpt-4o-mini".into() };
        let job_id = format!("job of {}", self.attempts[named].reserve.attempt_id);
        let unresolved = if random.chance(50) { Unresolved::Floor } else { Unresolved::Hold };
        let life = Millis::from_secs(u32::try_from(random.below(600)).unwrap());
        Step { command: Command::Park(Park { job_id, job, life, unresolved }), attempt: None }
    }

    /// Tells an attempt's end. `fitting`: of one that runs or whose answer was lost, and the same
    /// end as before; else of any, and perhaps another end, or of an attempt nobody knows.
    fn finish(&mut self, random: &mut Random, now: Timestamp, fitting: bool) -> Step {
        let all = [Phase::Running, Phase::Silent, Phase::Asked, Phase::Batch, Phase::Over];
        let Some(at) = self.pick(random, if fitting { &all[..2] } else { &all }) else {
            return Step { command: Command::Sweep, attempt: None };
        };
        if fitting && self.attempts[at].phase == Phase::Running && random.chance(20) {
            // The client goes away without a word.
            self.attempts[at].phase = Phase::Silent;
            return Step { command: Command::Sweep, attempt: None };
        }
        let known = self.attempts[at].end.clone();
        if let Some(command) = known.filter(|_| fitting || random.chance(50)) {
            return Step { command, attempt: Some(at) };
        }
        let mut id = self.attempts[at].reserve.attempt_id;
        if !fitting && random.chance(20) {
            id = Id::new(now, random.bytes());
        }
        let command = if random.chance(75) {
            Command::Settle(Box::new(Self::settle(random, id, now)))
        } else {
            Command::Void(Void {
                attempt_id: id,
                upstream_status: random.chance(50).then_some(500),
                error_class: "upstream_error".into(),
                finished_at: now,
            })
        };
        let mine = id == self.attempts[at].reserve.attempt_id && self.attempts[at].end.is_none();
        if mine {
            self.attempts[at].end = Some(command.clone());
        }
        Step { command, attempt: mine.then_some(at) }
    }

    fn settle(random: &mut Random, attempt_id: Id, now: Timestamp) -> Settle {
        let mut usage = Usage::default();
        if random.chance(80) {
            usage.report(Meter::InputTotal, Some(Exact::from(random.below(500))));
        }
        if random.chance(90) {
            // Now and then more than anyone held.
            let most = if random.chance(10) { 3 * OUTPUT_MAX } else { OUTPUT_MAX / 2 };
            usage.report(Meter::OutputTotal, Some(Exact::from(random.below(most))));
        }
        usage.complete_input();
        usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
        Settle {
            attempt_id,
            usage,
            outcome: Outcome::Complete,
            upstream_status: Some(200),
            error_class: None,
            served_model: None,
            served_tier: None,
            suspect: false,
            served_other: false,
            sub_usage: Vec::new(),
            unknown: Vec::new(),
            first_byte_at: None,
            finished_at: now,
        }
    }
}
