//! A ledger, a store that behaves as the shell's does, and the script language of the tests.
//!
//! One command a line, `command arguments -> expected answer`; `#` begins a comment. A line without
//! an arrow has to succeed. Prices are one dollar a token, so `settle a 13` charges 13.
//!
//! | line | meaning |
//! |---|---|
//! | `limits day=day/hard/10 …` | puts the customer with exactly these limits |
//! | `reserve a 15 floor=2 user=bob key=k secret=s currency=EUR input=3 again` | |
//! | `limits l=minute/hard/9,measure=requests,scope=key,value=k,zone=Asia/Kolkata,required` | |
//! | `limits … @zone=Europe/Berlin @models=gpt|o3 @endpoints=… @features=…` | the customer's terms |
//! | `caps day=day/hard/10 …` | the customer's own limits |
//! | `freeze` · `freeze k` · `unfreeze` · `key k secret expires=… models=…` | |
//! | `reserve a 15 sold=seconds` | of a model sold by that meter alone |
//! | `reserve a 15 model=gpt tag=red tokens=9 once=name/body endpoint=… features=tools` | |
//! | `standing key:k` | how each limit of a party stands |
//! | `reserve a 1 book=2:0:500` | priced by activation 2, in force from 0 to 500 ms after the start |
//! | `park a job-1 3600s` · `park a job-1 3600s hold` | |
//! | `keep`, `open`, `seen`, `post`, `lose` | batches: see `batches.rs` |
//! | `extend a 20` | to 20 in all |
//! | `unreserved a 15 13` | ran without a hold: 15 would have been held, 13 was used |
//! | `renew a 5` · `void a` · `sweep` · `revoke k` · `key k secret` | |
//! | `settle a 13` · `settle a output_total=13 tier=flex` · `settle a -` (nothing reported) | |
//! | `confirm a calls` · `reverse a calls` | the outcome that `a` reached, by a charge |
//! | `wait 500ms` · `clock 2026-12-01T00:00:00Z` · `ttl 60s` | moves or sets the ledger's time |
//! | `plan hybrid rest=included prepaid` · `grant pack 10 unit=credits` · `take pack` | terms and credit |
//! | `credit -> …` · `allowance -> …` | where they stand |
//! | `alerts -> …` · `tell {"burn": null}` · `outlook -> …` | see `alerts.rs` |
//! | `status -> …` · `limit day -> …` | where the customer or a limit stands |
//! | `rows -> …` | what the last command wrote, counted by kind |
//! | `records -> …` | the records since the last such line |

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::words::{counted, kind, record_words, succeeded, words_of};
use crate::auth::{Mode, Ring};
use crate::book::{Card, InForce, Rate, Rates};
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Id, Name};
use crate::ledger::*;
use crate::money::Exact;
use crate::plan::Place;
use crate::quote::Worst;
use crate::record::{Admitted, Digest, OutcomeOf, Record, Verdict, verify};
use crate::wire::usage::{Meter, Provenance, Usage};

/// Runs a script twice: with the ledger in memory throughout, and with a ledger loaded from its
/// rows before every command. A restart must not show.
pub fn check(script: &str) {
    for restarts in [false, true] {
        World::new(restarts).run(script);
    }
}

/// The same, from another moment than [`START`] on.
pub fn check_from(start: Timestamp, script: &str) {
    for restarts in [false, true] {
        World::starting(restarts, start).run(script);
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
    hours: BTreeMap<Timestamp, Hour>,
    uses: BTreeMap<Party, BTreeMap<Timestamp, Hour>>,
    minutes: BTreeMap<Party, (Timestamp, Tally)>,
    refusals: BTreeMap<(Timestamp, RefusalCode), u64>,
    pub once: HashMap<Digest, PriorOnce>,
    /// The hold, and whether it has expired.
    holds: BTreeMap<AttemptId, (Hold, bool)>,
    pub records: Vec<RecordRow>,
    pub subjects: HashMap<String, Digest>,
    jobs: HashMap<String, Job>,
    in_force: Option<InForce>,
    batches: HashMap<String, Batch>,
    lines: BTreeSet<(String, String)>,
    pub files: HashMap<String, (Timestamp, File)>,
    terms: BTreeMap<u32, Terms>,
    plan_uses: BTreeMap<(u32, Timestamp, Place), UseRow>,
    credit: BTreeMap<(Unit, String), Stored>,
    pub alerts: super::alerts::Kept,
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
            Row::PutHour(hour, used) => {
                self.hours.insert(hour, written(&used));
            }
            Row::DropHours(gone) => self.hours.retain(|hour, _| !gone.contains(hour)),
            Row::PutUse(party, hour, used) => {
                self.uses.entry(party).or_default().insert(hour, written(&used));
            }
            Row::DropUse(party, gone) => {
                let hours = self.uses.entry(party).or_default();
                hours.retain(|hour, _| !gone.contains(hour));
            }
            Row::PutMinute(party, at, used) => {
                self.minutes.insert(party, (at, written(&used)));
            }
            Row::PutRefusals(hour, code, count) => {
                self.refusals.insert((hour, code), count);
            }
            Row::PutOnce { key, once } => drop(self.once.insert(key, once)),
            Row::PutAccount(account) => self.account = Some(account),
            Row::PutKey(key) => drop(self.keys.insert(key.key_id.clone(), key)),
            Row::PutInForce(in_force) => self.in_force = Some(in_force),
            Row::PutJob(name, job) => drop(self.jobs.entry(name).or_insert(job)),
            Row::Batch(BatchRow::Batch(name, batch)) => drop(self.batches.insert(name, *batch)),
            Row::Batch(BatchRow::Line(name, line)) => {
                assert!(self.lines.insert((name, line.to_string())), "a line is noted twice");
            }
            Row::Batch(BatchRow::File(name, at, file)) => {
                self.files.entry(name).or_insert((at, file));
            }
            Row::Batch(BatchRow::ForgetFiles(before)) => self
                .files
                .retain(|_, (at, file)| *at >= before || !matches!(file, File::Requests(_))),
            Row::PutSubject { value, key } => drop(self.subjects.insert(value, key)),
            Row::PutTerms(terms) => drop(self.terms.insert(terms.number, *terms)),
            Row::DropTerms(number) => drop(self.terms.remove(&number)),
            Row::PutPlanUse(row) => {
                let key = (row.number, row.period, row.place.clone());
                self.plan_uses.insert(key, *row);
            }
            Row::DropPlanUses(number, period) => {
                self.plan_uses.retain(|(of, at, _), _| (*of, *at) != (number, period));
            }
            Row::PutCredit(unit, id, Some(stored)) => drop(self.credit.insert((unit, id), *stored)),
            Row::PutCredit(unit, id, None) => drop(self.credit.remove(&(unit, id))),
            Row::Alerts(row) => self.alerts.write(row),
        }
    }

    fn load(&self, now: Timestamp) -> Ledger {
        let open = self.holds.values().filter(|(_, expired)| !expired);
        let head = self.records.last().map(|row| Head { seq: row.seq, hash: row.sealed.hash });
        let loaded = Loaded {
            account: self.account.clone(),
            keys: self.keys.values().cloned().collect(),
            hours: self.hours.iter().map(|(hour, used)| (*hour, *used)).collect(),
            minute: self.minutes.get(&customer()).copied(),
            refusals: self.refusals.iter().map(|((hour, code), n)| (*hour, *code, *n)).collect(),
            last_record_at: self.records.last().map(|row| record(row).recorded_at),
            holds: open.map(|(hold, _)| hold.clone()).collect(),
            head: head.unwrap_or_default(),
            in_force: self.in_force,
            terms: LoadedTerms {
                terms: self.terms.values().cloned().collect(),
                uses: self.plan_uses.values().cloned().collect(),
                grants: self
                    .credit
                    .iter()
                    .map(|((unit, id), stored)| (*unit, id.clone(), stored.clone()))
                    .collect(),
            },
            alerts: self.alerts.load(now),
        };
        Ledger::load(loaded, now).unwrap()
    }

    /// The same look-ups, under the same conditions, as the shell makes.
    fn prior(&self, command: &Command, ledger: &Ledger, now: Timestamp) -> Prior {
        let mut prior = Prior::default();
        let attempt = match command {
            Command::Reserve(reserve) => {
                let user = reserve.end_user.as_ref();
                prior.subject = user.and_then(|user| self.subjects.get(user)).copied();
                prior.once = reserve.once.and_then(|once| self.once_of(&once.key));
                reserve.may_be_known(now).then_some(reserve.attempt_id)
            }
            Command::Park(park) => {
                prior.job = self.jobs.get(&park.job_id).cloned();
                None
            }
            Command::Batch(command) => {
                prior.batch = self.known_batch(command);
                prior.batch.as_ref().map(|known| known.batch.attempt_id)
            }
            Command::Unreserved(unreserved) => {
                let user = unreserved.reserve.end_user.as_ref();
                prior.subject = user.and_then(|user| self.subjects.get(user)).copied();
                Some(unreserved.reserve.attempt_id)
            }
            Command::Settle(settle) => Some(settle.attempt_id),
            Command::Void(void) => Some(void.attempt_id),
            Command::Decide(decide) => Some(outcome_id(&decide.of)),
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
        let needed = ledger.needs(command, &prior, now);
        prior.parties =
            needed.into_iter().map(|party| (party.clone(), self.party(&party))).collect();
        prior
    }

    fn once_of(&self, key: &Digest) -> Option<PriorOnce> {
        let once = self.once.get(key)?;
        let last = self.records.iter().rfind(|row| row.attempt_id == once.attempt_id);
        Some(PriorOnce { ended: last.map(|row| (row.class, row.charged)), ..once.clone() })
    }

    /// Everyone whose use is counted.
    pub fn parties(&self) -> Vec<Party> {
        self.uses.keys().cloned().collect()
    }

    /// Rows of hours, the customer's and its parties'.
    pub fn hours(&self) -> usize {
        let parties = self.uses.values().map(BTreeMap::len).max().unwrap_or_default();
        parties.max(self.hours.len())
    }

    fn party(&self, party: &Party) -> PartyRows {
        let hours = self.uses.get(party).into_iter().flatten();
        PartyRows {
            hours: hours.map(|(hour, used)| (*hour, *used)).collect(),
            minute: self.minutes.get(party).copied(),
        }
    }
}

/// As it comes back from text.
fn written<T: std::str::FromStr + ToString>(value: &T) -> T {
    value.to_string().parse().unwrap_or_else(|_| panic!("unreadable: {}", value.to_string()))
}

fn customer() -> Party {
    Party::customer()
}

fn record(row: &RecordRow) -> Record {
    serde_json::from_str(&row.sealed.canonical).unwrap()
}

impl Store {
    fn known_batch(&self, command: &BatchCommand) -> Option<KnownBatch> {
        let (name, lines) = match command {
            BatchCommand::Keep { .. } | BatchCommand::Lost { .. } => return None,
            BatchCommand::Open { batch_id, .. } | BatchCommand::Seen { batch_id, .. } => {
                (batch_id, &[][..])
            }
            BatchCommand::Post { batch_id, lines, .. } => (batch_id, &lines[..]),
        };
        let batch = self.batches.get(name)?.clone();
        let known = |id: &Digest| self.lines.contains(&(name.clone(), id.to_string()));
        let posted = lines.iter().map(|line| line.id).filter(known).collect();
        Some(KnownBatch { batch, posted })
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
    /// A shell with a fault: it hands over no party.
    pub forgets_to_look_up: bool,
}

pub const START: &str = "2026-11-23T22:00:00Z";
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

impl World {
    /// A customer `acme` without limits, with the key `main` whose secret is `main`.
    pub fn new(restarts: bool) -> Self {
        Self::starting(restarts, START.parse().unwrap())
    }

    /// The same from another moment on.
    pub fn starting(restarts: bool, now: Timestamp) -> Self {
        let mut world = Self::empty(restarts);
        world.now = now;
        world.ledger = Ledger::load(Loaded::default(), now).unwrap();
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
            forgets_to_look_up: false,
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
            "credit" => return self.credit(),
            "allowance" => return self.allowance(),
            "alerts" => return self.store.alerts.fresh(),
            "tell" => return self.tell(line),
            "outlook" => return self.outlook(),
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
        let mut prior = self.store.prior(command, &self.ledger, self.now);
        if self.forgets_to_look_up {
            prior.parties.clear();
        }
        let context = Context {
            now: self.now,
            random: [self.operations; 32],
            record_ring: &self.ring,
            hold_ttl: self.hold_ttl,
            prior,
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

    /// The object died: what is in memory is gone.
    pub fn crash(&mut self) {
        self.ledger = self.store.load(self.now);
    }

    /// What a request would be charged under the customer's terms.
    pub fn quote(&mut self, asked: &ToQuote) -> Option<Result<TermsQuote, ()>> {
        self.ledger.quote(asked, self.now).unwrap()
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
        limit_words(limit)
    }

    /// Balance and what is held, by unit.
    fn credit(&mut self) -> String {
        let views = self.snapshot().credit;
        let words =
            views.iter().map(|one| format!("{} {} held {}", one.name, one.balance, one.held));
        words.collect::<Vec<_>>().join("; ")
    }

    /// What is included, and what the plan came to in this period.
    fn allowance(&mut self) -> String {
        let plan = self.snapshot().plan.unwrap();
        let left = plan.allowances.iter().map(|one| format!("{} {} left", one.id, one.left));
        let words: Vec<String> = left.chain([format!("charged {}", plan.charged)]).collect();
        words.join(", ")
    }

    pub fn records(&self) -> Vec<Record> {
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

pub fn attempt_name(id: AttemptId) -> String {
    let hex = id.to_string().replace('-', "");
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    String::from_utf8_lossy(&bytes[10..]).trim_matches('\0').to_owned()
}

pub fn length(text: &str) -> Millis {
    match text.strip_suffix("ms") {
        Some(ms) => Millis(ms.parse().unwrap()),
        None => Millis::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

pub fn limit_words(limit: &LimitView) -> String {
    let mut words =
        format!("settled {} held {} left {}", limit.settled, limit.held, limit.remaining);
    if let Some(from) = limit.counts_from {
        words.push_str(&format!(" from {from}"));
    }
    words
}

pub fn rates(rate: &str) -> Rates {
    let rate = Rate { amount: rate.parse().unwrap(), per: Exact::from(1) };
    Rates([(Meter::InputUncached, rate), (Meter::OutputTotal, rate)].into())
}

pub fn parse(command: &str, arguments: &[&str]) -> Command {
    let options: HashMap<&str, &str> =
        arguments.iter().filter_map(|word| word.split_once('=')).collect();
    let name = || arguments[0].parse().unwrap();
    match command {
        "limits" => put_customer(arguments),
        "caps" => Command::Admin(Admin::PutCaps { caps: rules(arguments) }),
        "freeze" | "unfreeze" => Command::Admin(Admin::Freeze {
            key_id: arguments.first().map(|key| key.parse().unwrap()),
            frozen: command == "freeze",
        }),
        "standing" => {
            let (scope, value) = arguments[0].split_once(':').unwrap();
            let scope = serde_json::from_value(scope.into()).unwrap();
            Command::Standing(Party { scope, value: value.into() })
        }
        "key" => Command::Admin(Admin::PutKey {
            expires_at: options.get("expires").map(|at| at.parse().unwrap()),
            allows: allows(&options, ""),
            key_id: name(),
            secret_sha256: Digest::of(&[arguments[1].as_bytes()]),
            label: String::new(),
        }),
        "plan" => super::terms::put_plan(arguments, &options),
        "grant" => super::terms::put_grant(arguments, &options),
        "take" => Command::Admin(Admin::VoidGrant { id: arguments[0].to_owned() }),
        "revoke" => Command::Admin(Admin::RevokeKey { key_id: name() }),
        "reserve" => Command::Reserve(Box::new(reserve(arguments, &options))),
        "renew" => {
            let floor = arguments[1].parse().unwrap();
            Command::Renew { attempt_id: attempt(arguments[0]), floor }
        }
        "extend" => {
            let (held, floor) = (arguments[1].parse().unwrap(), Exact::ZERO);
            let input = options.get("in").map_or(Exact::ZERO, |input| input.parse().unwrap());
            let known = !arguments.contains(&"unbound");
            let most = if known { super::terms::worst(held, input).most } else { Vec::new() };
            Command::Extend { attempt_id: attempt(arguments[0]), held, floor, most }
        }
        "unreserved" => {
            let settle = settle(&[arguments[0], arguments[2]], &options);
            let reserve = reserve(&arguments[..2], &options);
            Command::Unreserved(Box::new(Unreserved { reserve, settle }))
        }
        "park" => Command::Park(Park {
            job_id: arguments[1].to_owned(),
            job: Job {
                attempt_id: attempt(arguments[0]),
                upstream: "openai".into(),
                model: "gpt".into(),
            },
            life: length(arguments[2]),
            unresolved: unresolved(arguments),
        }),
        "open" | "seen" | "post" | "keep" | "lose" => {
            super::batches::parse(command, arguments, &options)
        }
        "settle" => Command::Settle(Box::new(settle(arguments, &options))),
        "void" => Command::Void(Void {
            attempt_id: attempt(arguments[0]),
            upstream_status: Some(500),
            error_class: "upstream_error".into(),
            finished_at: START.parse().unwrap(),
        }),
        "confirm" | "reverse" => Command::Decide(Decide {
            of: OutcomeOf { attempt_id: attempt(arguments[0]), charge: arguments[1].to_owned() },
            confirmed: command == "confirm",
        }),
        "sweep" => Command::Sweep,
        "status" => Command::Status,
        other => panic!("no such command: {other}"),
    }
}

/// `hold` at the end: what is charged if nobody asks is all of the hold.
pub fn unresolved(arguments: &[&str]) -> Unresolved {
    if arguments.last() == Some(&"hold") { Unresolved::Hold } else { Unresolved::Floor }
}

fn put_customer(arguments: &[&str]) -> Command {
    let (terms, limits): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|word| word.starts_with('@'));
    let terms: HashMap<&str, &str> = terms.iter().filter_map(|word| word.split_once('=')).collect();
    Command::Admin(Admin::PutCustomer {
        customer: "acme".parse().unwrap(),
        currency: "USD".into(),
        limits: rules(&limits),
        zone: terms.get("@zone").map(|zone| (*zone).to_owned()),
        allows: allows(&terms, "@"),
    })
}

fn allows(options: &HashMap<&str, &str>, before: &str) -> Allows {
    let list = |name: &str| {
        let entries = options.get(format!("{before}{name}").as_str())?;
        Some(entries.split('|').filter(|e| !e.is_empty()).map(ToOwned::to_owned).collect())
    };
    Allows { models: list("models"), endpoints: list("endpoints"), features: list("features") }
}

fn rules(arguments: &[&str]) -> Vec<LimitRule> {
    arguments.iter().map(|text| rule(text)).collect()
}

/// `id=window/kind/limit`, and further fields after commas; `-` for no window.
fn rule(text: &str) -> LimitRule {
    let (id, rest) = text.split_once('=').unwrap();
    let mut parts = rest.split(',');
    let shape: Vec<&str> = parts.next().unwrap().split('/').collect();
    let word = |text: &str| serde_json::Value::from(text);
    let mut rule = serde_json::json!({ "id": id, "kind": shape[1], "limit": shape[2] });
    if shape[0] != "-" {
        rule["window"] = word(shape[0]);
    }
    for part in parts {
        match part.split_once('=') {
            None => rule[part] = true.into(),
            Some(("raise", raise)) => {
                let (limit, until) = raise.split_once('@').unwrap();
                rule["raise"] = serde_json::json!({ "limit": limit, "until": until });
            }
            Some((name, value)) => rule[name] = word(value),
        }
    }
    serde_json::from_value(rule).unwrap()
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
            endpoint: option("endpoint", "/v1/chat/completions"),
            model: option("model", "gpt"),
            stream: false,
            features: options.get("features").iter().map(|name| (**name).to_owned()).collect(),
            service_tier: None,
            region: None,
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
            below_margin: false,
            input_least: option("input", "0").parse().unwrap(),
        },
        worst: Some(if arguments.contains(&"unbound") {
            Worst { model: "gpt".into(), most: Vec::new(), batch: Vec::new() }
        } else if let Some(lines) = options.get("lines") {
            super::batches::worst(lines)
        } else {
            let input = option("in", "0").parse().unwrap();
            super::terms::worst(arguments[1].parse().unwrap(), input)
        }),
        in_force: options.get("book").map(|text| in_force(text)),
        end_user: options.get("user").map(|user| (*user).to_owned()),
        scopes: Scopes {
            model: Some(option("model", "gpt")),
            tag: options.get("tag").map(|tag| (*tag).to_owned()),
            tokens: Some(option("tokens", "0").parse().unwrap()),
        },
        once: options.get("once").map(|once| {
            let (key, body) = once.split_once('/').unwrap();
            let digest = |text: &str| Digest::of(&[text.as_bytes()]);
            Once { key: digest(key), body: digest(body) }
        }),
        again: arguments.contains(&"again"),
    }
}

/// `SEQ:FROM` or `SEQ:FROM:UNTIL`, in milliseconds after the start.
fn in_force(text: &str) -> InForce {
    let start: Timestamp = START.parse().unwrap();
    let at = |ms: &str| start.plus(Millis(ms.parse().unwrap()));
    let parts: Vec<&str> = text.split(':').collect();
    let until = parts.get(2).map(|ms| at(ms));
    InForce { seq: parts[0].parse().unwrap(), from: at(parts[1]), until }
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

fn unknown(path: &str) -> crate::record::Unknown {
    crate::record::Unknown { path: path.to_owned(), quantity: Exact::from(1) }
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
        unknown: options.get("unknown").iter().map(|path| unknown(path)).collect(),
        first_byte_at: None,
        finished_at: START.parse().unwrap(),
    }
}
