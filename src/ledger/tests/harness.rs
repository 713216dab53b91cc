//! A ledger, a store that behaves as the shell's does, and the script language of the tests.
//!
//! One command a line, `command arguments -> expected answer`; `#` begins a comment. A line without
//! an arrow has to succeed. Prices are one dollar a token, so `settle a 13` charges 13.
//!
//! | line | meaning |
//! |---|---|
//! | `limits day=day/hard/10 …` | puts the customer with exactly these limits |
//! | `reserve a 15 floor=2 user=bob key=k secret=s currency=EUR input=3 again` | |
//! | `reserve a 15 sold=seconds` | of a model sold by that meter alone |
//! | `park a job-1 3600s` | |
//! | `renew a 5` · `void a` · `sweep` · `revoke k` · `key k secret` | |
//! | `settle a 13` · `settle a output_total=13 tier=flex` · `settle a -` (nothing reported) | |
//! | `wait 500ms` · `clock 2026-12-01T00:00:00Z` · `ttl 60s` | moves or sets the ledger's time |
//! | `status -> …` · `limit day -> …` | where the customer or a limit stands |
//! | `rows -> …` | what the last command wrote, counted by kind |
//! | `records -> …` | the records since the last such line |

use std::collections::{BTreeMap, HashMap};

use crate::auth::{Mode, Ring};
use crate::book::{Card, Rate, Rates};
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Id, Name};
use crate::ledger::*;
use crate::money::Exact;
use crate::record::{Admitted, Digest, Record, Verdict, verify};
use crate::wire::usage::{Meter, Provenance, Usage};

/// Runs a script twice: with the ledger in memory throughout, and with a ledger loaded from its
/// rows before every command. A restart must not show.
pub fn check(script: &str) {
    for restarts in [false, true] {
        World::new(restarts).run(script);
    }
}

/// The same without restarts: for what is promised of one ledger's life only.
pub fn check_one_life(script: &str) {
    World::new(false).run(script);
}

/// What storage keeps, as the shell's tables do.
#[derive(Default)]
pub struct Store {
    account: Option<Account>,
    keys: BTreeMap<Name, KeyState>,
    hours: BTreeMap<Timestamp, Exact>,
    /// The hold, and whether it has expired.
    holds: BTreeMap<AttemptId, (Hold, bool)>,
    pub records: Vec<RecordRow>,
    pub subjects: HashMap<String, Digest>,
    jobs: HashMap<String, Job>,
}

impl Store {
    fn write(&mut self, row: Row) {
        match row {
            // As the shell's upsert does: an expired row stays expired.
            Row::PutHold(hold) => {
                let expired = self.holds.get(&hold.attempt_id).is_some_and(|(_, expired)| *expired);
                self.holds.insert(hold.attempt_id, (*hold, expired));
            }
            Row::ExpireHold(id) => self.holds.get_mut(&id).unwrap().1 = true,
            Row::DeleteHold(id) => assert!(self.holds.remove(&id).is_some(), "no hold to delete"),
            Row::PutRecord(record) => {
                assert_eq!(record.seq, self.records.len() as u64 + 1, "the sequence has a gap");
                self.records.push(*record);
            }
            Row::PutHour(hour, amount) => drop(self.hours.insert(hour, amount)),
            Row::PutAccount(account) => self.account = Some(account),
            Row::PutKey(key) => drop(self.keys.insert(key.key_id.clone(), key)),
            Row::PutJob(name, job) => drop(self.jobs.entry(name).or_insert(job)),
            Row::PutSubject { value, key } => drop(self.subjects.insert(value, key)),
        }
    }

    fn load(&self, now: Timestamp) -> Ledger {
        let open = self.holds.values().filter(|(_, expired)| !expired);
        let head = self.records.last().map(|row| Head { seq: row.seq, hash: row.sealed.hash });
        let loaded = Loaded {
            account: self.account.clone(),
            keys: self.keys.values().cloned().collect(),
            hours: self.hours.iter().map(|(hour, amount)| (*hour, *amount)).collect(),
            holds: open.map(|(hold, _)| hold.clone()).collect(),
            head: head.unwrap_or_default(),
        };
        Ledger::load(loaded, now).unwrap()
    }

    /// The same look-ups, under the same conditions, as the shell makes.
    fn prior(&self, command: &Command, ledger: &Ledger) -> Prior {
        let mut prior = Prior::default();
        let attempt = match command {
            Command::Reserve(reserve) => {
                let user = reserve.end_user.as_ref();
                prior.subject = user.and_then(|user| self.subjects.get(user)).copied();
                reserve.again.then_some(reserve.attempt_id)
            }
            Command::Park(park) => {
                prior.job = self.jobs.get(&park.job_id).cloned();
                None
            }
            Command::Settle(settle) => Some(settle.attempt_id),
            Command::Void(void) => Some(void.attempt_id),
            _ => None,
        };
        if let Some(id) = attempt.filter(|id| !ledger.has_hold(*id)) {
            prior.expired = self.holds.get(&id).map(|(hold, _)| hold.clone());
            let last = self.records.iter().rfind(|row| row.attempt_id == id);
            prior.record = last.map(|row| PriorRecord {
                seq: row.seq,
                class: row.class,
                charged: row.charged,
                command: row.command,
            });
        }
        prior
    }
}

pub struct World {
    restarts: bool,
    ledger: Ledger,
    pub store: Store,
    pub now: Timestamp,
    ring: Ring,
    hold_ttl: Millis,
    operations: u8,
    /// Kinds of the rows of the last command.
    written: Vec<&'static str>,
    /// Records already looked at.
    seen: usize,
}

pub const START: &str = "2026-11-23T22:00:00Z";
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

impl World {
    /// A customer `acme` without limits, with the key `main` whose secret is `main`.
    pub fn new(restarts: bool) -> Self {
        let mut world = Self::empty(restarts);
        world.line("limits");
        world.line("key main main");
        world
    }

    /// No customer at all.
    pub fn empty(restarts: bool) -> Self {
        let now = START.parse().unwrap();
        Self {
            restarts,
            ledger: Ledger::load(Loaded::default(), now).unwrap(),
            store: Store::default(),
            now,
            ring: Ring::parse(RING).unwrap(),
            hold_ttl: Millis::from_secs(60),
            operations: 0,
            written: Vec::new(),
            seen: 0,
        }
    }

    pub fn run(mut self, script: &str) {
        for (number, line) in script.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (command, expected) =
                line.split_once(" -> ").map_or((line, None), |(c, e)| (c, Some(e)));
            let restarts = self.restarts;
            let answer = self.line(command.trim());
            let at = format!("line {number}, restarts {restarts}: {line}");
            match expected.map(str::trim) {
                Some(expected) => assert_eq!(answer, expected, "{at}"),
                None => assert!(succeeded(&answer), "{at}\nanswered {answer}"),
            }
        }
        self.audit();
    }

    /// One line of script without its expectation; the answer in words.
    pub fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, arguments) = words.split_first().unwrap();
        match *command {
            "wait" => self.now = self.now.plus(length(arguments[0])),
            "clock" => self.now = arguments[0].parse().unwrap(),
            "ttl" => self.hold_ttl = length(arguments[0]),
            "rows" => return counted(&self.written),
            "records" => return self.new_records(),
            "limit" => return self.limit(arguments[0]),
            _ => {
                let reply = self.apply(&parse(command, arguments));
                return reply.map_or_else(|broken| format!("broken {broken:?}"), |r| words_of(&r));
            }
        }
        String::from("done")
    }

    pub fn apply(&mut self, command: &Command) -> Result<Reply, Broken> {
        if self.restarts {
            self.ledger = self.store.load(self.now);
        }
        self.operations = self.operations.wrapping_add(1);
        let context = Context {
            now: self.now,
            random: [self.operations; 32],
            record_ring: &self.ring,
            hold_ttl: self.hold_ttl,
            prior: self.store.prior(command, &self.ledger),
        };
        let outcome = match self.ledger.apply(command, &context) {
            Ok(outcome) => outcome,
            Err(broken) => {
                self.ledger = self.store.load(self.now);
                self.written.clear();
                return Err(broken);
            }
        };
        self.written = outcome.rows.iter().map(kind).collect();
        outcome.rows.into_iter().for_each(|row| self.store.write(row));
        Ok(outcome.reply)
    }

    fn snapshot(&mut self) -> Snapshot {
        let written = std::mem::take(&mut self.written);
        let Reply::Status(snapshot) = self.apply(&Command::Status).unwrap() else { panic!() };
        self.written = written;
        *snapshot
    }

    fn limit(&mut self, id: &str) -> String {
        let snapshot = self.snapshot();
        let limit = snapshot.limits.iter().find(|limit| limit.id.as_str() == id).unwrap();
        format!("settled {} held {} left {}", limit.settled, limit.held, limit.remaining)
    }

    pub fn records(&self) -> Vec<Record> {
        let record = |row: &RecordRow| serde_json::from_str(&row.sealed.canonical).unwrap();
        self.store.records.iter().map(record).collect()
    }

    fn new_records(&mut self) -> String {
        let records = self.records();
        let fresh = records.get(self.seen..).unwrap_or_default();
        self.seen = records.len();
        fresh.iter().map(record_words).collect::<Vec<_>>().join("; ")
    }

    /// What holds at the end of every script.
    fn audit(&mut self) {
        let settled = self.snapshot().spend.settled;
        let lines: Vec<String> =
            self.store.records.iter().map(|row| row.sealed.line().unwrap()).collect();
        let report = verify(lines.iter().map(String::as_str), &self.ring, None);
        assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.finding);
        let total = report.totals.get("USD").copied().unwrap_or_default();
        assert_eq!(settled, total, "settled is not the sum of the records");
    }
}

/// An attempt of this name; up to six characters.
pub fn attempt(name: &str) -> AttemptId {
    let mut random = [0; 10];
    random[10 - name.len()..].copy_from_slice(name.as_bytes());
    Id::new(START.parse().unwrap(), random)
}

fn attempt_name(id: AttemptId) -> String {
    let hex = id.to_string().replace('-', "");
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    String::from_utf8_lossy(&bytes[10..]).trim_matches('\0').to_owned()
}

fn length(text: &str) -> Millis {
    match text.strip_suffix("ms") {
        Some(ms) => Millis(ms.parse().unwrap()),
        None => Millis::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

fn rates(rate: &str) -> Rates {
    let rate = Rate { amount: rate.parse().unwrap(), per: Exact::from(1) };
    Rates([(Meter::InputUncached, rate), (Meter::OutputTotal, rate)].into())
}

pub fn parse(command: &str, arguments: &[&str]) -> Command {
    let options: HashMap<&str, &str> =
        arguments.iter().filter_map(|word| word.split_once('=')).collect();
    let name = || arguments[0].parse().unwrap();
    match command {
        "limits" => put_customer(arguments),
        "key" => Command::Admin(Admin::PutKey {
            key_id: name(),
            secret_sha256: Digest::of(&[arguments[1].as_bytes()]),
            label: String::new(),
        }),
        "revoke" => Command::Admin(Admin::RevokeKey { key_id: name() }),
        "reserve" => Command::Reserve(Box::new(reserve(arguments, &options))),
        "renew" => {
            let floor = arguments[1].parse().unwrap();
            Command::Renew { attempt_id: attempt(arguments[0]), floor }
        }
        "park" => Command::Park(Park {
            job_id: arguments[1].to_owned(),
            job: Job {
                attempt_id: attempt(arguments[0]),
                upstream: "openai".into(),
                model: "gpt".into(),
            },
            life: length(arguments[2]),
        }),
        "settle" => Command::Settle(Box::new(settle(arguments, &options))),
        "void" => Command::Void(Void {
            attempt_id: attempt(arguments[0]),
            upstream_status: Some(500),
            error_class: "upstream_error".into(),
            finished_at: START.parse().unwrap(),
        }),
        "sweep" => Command::Sweep,
        "status" => Command::Status,
        other => panic!("no such command: {other}"),
    }
}

fn put_customer(arguments: &[&str]) -> Command {
    let limit = |text: &&str| {
        let (id, rest) = text.split_once('=').unwrap();
        let parts: Vec<&str> = rest.split('/').collect();
        LimitRule {
            id: id.parse().unwrap(),
            window: serde_json::from_value(parts[0].into()).unwrap(),
            kind: serde_json::from_value(parts[1].into()).unwrap(),
            limit: parts[2].parse().unwrap(),
        }
    };
    let limits = arguments.iter().map(limit).collect();
    let customer = "acme".parse().unwrap();
    Command::Admin(Admin::PutCustomer { customer, currency: "USD".into(), limits })
}

fn reserve(arguments: &[&str], options: &HashMap<&str, &str>) -> Reserve {
    let option = |name: &str, otherwise: &'static str| {
        options.get(name).map_or(otherwise.to_owned(), |value| (*value).to_owned())
    };
    Reserve {
        attempt_id: attempt(arguments[0]),
        request_id: attempt(arguments[0]),
        secret_sha256: Digest::of(&[option("secret", "main").as_bytes()]),
        admitted: Admitted {
            key_id: option("key", "main").parse().unwrap(),
            mode: Mode::Live,
            received_at: START.parse().unwrap(),
            endpoint: "/v1/chat/completions".into(),
            model: option("model", "gpt"),
            stream: false,
            features: Vec::new(),
            service_tier: None,
            end_user: None,
            book_version: "2026-11-01".into(),
            currency: option("currency", "USD"),
            held: arguments[1].parse().unwrap(),
        },
        floor: option("floor", "0").parse().unwrap(),
        pinned: Pinned {
            provider: "openai".into(),
            upstream: "openai".into(),
            rates: options.get("sold").map_or_else(
                || rates("1"),
                |meter| {
                    let rate = Rate { amount: Exact::from(1), per: Exact::from(1) };
                    Rates([(serde_json::from_value((*meter).into()).unwrap(), rate)].into())
                },
            ),
            tiers: [("flex".to_owned(), rates("0.5"))].into(),
            context: Vec::new(),
            cost: Some(rates("0.25").into()),
            input_least: option("input", "0").parse().unwrap(),
        },
        end_user: options.get("user").map(|user| (*user).to_owned()),
        again: arguments.contains(&"again"),
    }
}

/// `apart=model:tokens@price` beside the answer's own usage, `part=…` as a part of it; without a
/// price, the book does not sell the model.
fn sub_usage(how: &str, options: &HashMap<&str, &str>) -> Option<SubUsed> {
    let (model, rest) = options.get(how)?.split_once(':')?;
    let (tokens, price) = rest.split_once('@').map_or((rest, None), |(t, p)| (t, Some(p)));
    let mut usage = Usage::default();
    usage.report(Meter::InputTotal, Some(Exact::ZERO));
    usage.report(Meter::OutputTotal, Some(tokens.parse().unwrap()));
    let card = price.map(|price| Card { rates: rates(price), ..Card::default() });
    let (kind, model) = (how.to_owned(), Some(model.to_owned()));
    Some(SubUsed { kind, model, included: how == "part", usage, card })
}

fn settle(arguments: &[&str], options: &HashMap<&str, &str>) -> Settle {
    let mut usage = Usage::default();
    usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
    if let Ok(output) = arguments[1].parse() {
        usage.report(Meter::InputTotal, Some(Exact::ZERO));
        usage.report(Meter::OutputTotal, Some(output));
    }
    for (name, value) in options {
        if let Ok(meter) = serde_json::from_value((*name).into()) {
            usage.report(meter, Some(value.parse().unwrap()));
        }
    }
    Settle {
        attempt_id: attempt(arguments[0]),
        usage,
        outcome: crate::meter::Outcome::Complete,
        upstream_status: Some(200),
        error_class: None,
        served_model: None,
        served_tier: options.get("tier").map(|tier| (*tier).to_owned()),
        suspect: options.contains_key("suspect"),
        served_other: options.contains_key("other"),
        sub_usage: ["apart", "part"]
            .into_iter()
            .filter_map(|how| sub_usage(how, options))
            .collect(),
        unknown: Vec::new(),
        first_byte_at: None,
        finished_at: START.parse().unwrap(),
    }
}

fn snake(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn succeeded(answer: &str) -> bool {
    let words = ["refused", "conflict", "unknown", "expired", "invalid", "broken"];
    !words.iter().any(|word| answer.starts_with(word))
}

fn words_of(reply: &Reply) -> String {
    match reply {
        Reply::Held { remaining: None, .. } => "held".into(),
        Reply::Held { remaining: Some(left), .. } => format!("held, {left} left"),
        Reply::Refused(refusal) => match &refusal.limit {
            None => format!("refused {}", snake(&refusal.code)),
            Some(limit) => format!("refused {} by {}", snake(&refusal.code), limit.id),
        },
        Reply::Closed { seq, charged, replayed: false } => format!("closed {seq} at {charged}"),
        Reply::Closed { seq, charged, replayed: true } => format!("replayed {seq} at {charged}"),
        Reply::Conflict { seq } => format!("conflict with {seq}"),
        Reply::UnknownAttempt => "unknown attempt".into(),
        Reply::Expired => "expired".into(),
        Reply::Done => "done".into(),
        Reply::Invalid(problem) => format!("invalid: {problem}"),
        Reply::Status(snapshot) => {
            let Snapshot { spend, status, .. } = &**snapshot;
            let SpendView { settled, held, open, exposure, .. } = spend;
            let word = snake(status);
            format!("{word} settled {settled} held {held} open {open} exposure {exposure}")
        }
    }
}

fn record_words(record: &Record) -> String {
    let Record { seq, amount, .. } = record;
    let mut words =
        format!("{seq} {} {} {amount}", attempt_name(record.attempt_id), snake(&record.class));
    if let (Some(corrects), Some(previous)) = (record.corrects, record.previous) {
        words.push_str(&format!(" corrects {corrects} of {previous}"));
    }
    for flag in &record.flags {
        words.push_str(&format!(" {}", snake(flag)));
    }
    words
}

fn kind(row: &Row) -> &'static str {
    match row {
        Row::PutHold(_) => "hold",
        Row::ExpireHold(_) => "expire",
        Row::DeleteHold(_) => "delete",
        Row::PutRecord(_) => "record",
        Row::PutHour(..) => "hour",
        Row::PutAccount(_) => "account",
        Row::PutKey(_) => "key",
        Row::PutJob(..) => "job",
        Row::PutSubject { .. } => "subject",
    }
}

fn counted(kinds: &[&'static str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}
