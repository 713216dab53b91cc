//! A store that behaves as the ledger object's tables do, and writes rows all or none.

use std::collections::{BTreeMap, BTreeSet};

use farebox::book::InForce;
use farebox::clock::Timestamp;
use farebox::ids::AttemptId;
use farebox::ledger::{
    Account, Alert, AlertRow, Batch, BatchCommand, BatchRow, Command, Head, Hold, Hour, Job,
    KeyState, KnownBatch, Ledger, Loaded, LoadedAlerts, LoadedTerms, Party, PartyRows, Prior,
    PriorOnce, PriorRecord, RecordRow, RefusalCode, Row, Stored, Tally, Terms, Unit, UseRow,
};
use farebox::money::Exact;
use farebox::plan::Place;
use farebox::record::{Digest, Record};

use super::auditor::units;

/// What became of a transaction and of the answer to the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Written and answered.
    Fine,
    /// Written, but the answer was lost on its way.
    AnswerLost,
    /// Written, then the object died: no answer, no memory.
    DiedAfter,
    /// The object died before it wrote, or the write failed: nothing of it is left.
    DiedBefore,
}

impl Fate {
    pub fn is_written(self) -> bool {
        self != Self::DiedBefore
    }

    pub fn keeps_memory(self) -> bool {
        matches!(self, Self::Fine | Self::AnswerLost)
    }
}

/// Bodies have been JSON and back, as in the shell's tables: what does not survive that shows as a
/// difference.
#[derive(Default)]
pub struct Store {
    account: Option<Account>,
    keys: BTreeMap<String, KeyState>,
    hours: BTreeMap<Timestamp, Hour>,
    uses: BTreeMap<Party, BTreeMap<Timestamp, Hour>>,
    minutes: BTreeMap<Party, (Timestamp, Tally)>,
    pub refusals: BTreeMap<(Timestamp, RefusalCode), u64>,
    once: BTreeMap<String, PriorOnce>,
    /// The hold, and whether it has expired.
    holds: BTreeMap<AttemptId, (Hold, bool)>,
    pub records: Vec<RecordRow>,
    /// Sum of the records' amounts, read from their bytes.
    pub total: i128,
    pub subjects: BTreeMap<String, Digest>,
    jobs: BTreeMap<String, Job>,
    batches: BTreeMap<String, Batch>,
    lines: BTreeSet<(String, String)>,
    in_force: Option<InForce>,
    terms: BTreeMap<u32, Terms>,
    plan_uses: BTreeMap<(u32, Timestamp, Place), UseRow>,
    credit: BTreeMap<(Unit, String), Stored>,
    /// Alerts by id, and when each may go.
    pub alerts: BTreeMap<String, (Alert, Option<Timestamp>)>,
    week_models: BTreeMap<(String, String), Exact>,
}

fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// As it comes back from text.
fn written<T: std::str::FromStr + ToString>(value: &T) -> T {
    value.to_string().parse().unwrap_or_else(|_| panic!("unreadable: {}", value.to_string()))
}

impl Store {
    pub fn commit(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.write(row);
        }
    }

    fn write(&mut self, row: Row) {
        match row {
            // As the shell's upsert does: an expired row stays expired.
            Row::PutHold(hold) => {
                let hold = stored(&*hold);
                let expired = self.holds.get(&hold.attempt_id).is_some_and(|(_, expired)| *expired);
                self.holds.insert(hold.attempt_id, (hold, expired));
            }
            Row::ExpireHold(id) => {
                let (_, expired) = self.holds.get_mut(&id).expect("no hold to expire");
                assert!(!*expired, "expired twice");
                *expired = true;
            }
            Row::DeleteHold(id) => assert!(self.holds.remove(&id).is_some(), "no hold to delete"),
            Row::PutRecord(row) => {
                assert_eq!(row.seq, self.records.len() as u64 + 1, "I6: a gap in the sequence");
                let record: Record = serde_json::from_str(&row.sealed.canonical).unwrap();
                self.total += units(record.amount);
                self.records.push(*row);
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
            Row::PutOnce { key, once } => drop(self.once.insert(key.to_string(), stored(&once))),
            Row::PutAccount(account) => self.account = Some(stored(&account)),
            Row::PutKey(key) => drop(self.keys.insert(key.key_id.to_string(), stored(&key))),
            Row::PutInForce(in_force) => self.in_force = Some(stored(&in_force)),
            Row::PutJob(name, job) => drop(self.jobs.entry(name).or_insert(stored(&job))),
            Row::Batch(BatchRow::Batch(name, batch)) => {
                self.batches.insert(name, stored(&*batch));
            }
            Row::Batch(BatchRow::Line(name, line)) => {
                assert!(self.lines.insert((name, line.to_string())), "a line is noted twice");
            }
            Row::Batch(_) => unreachable!("the workload has no files"),
            Row::PutSubject { value, key } => drop(self.subjects.entry(value).or_insert(key)),
            Row::PutTerms(terms) => drop(self.terms.insert(terms.number, stored(&*terms))),
            Row::DropTerms(number) => drop(self.terms.remove(&number)),
            Row::PutPlanUse(row) => {
                let key = (row.number, row.period, row.place.clone());
                self.plan_uses.insert(key, stored(&*row));
            }
            Row::DropPlanUses(number, period) => {
                self.plan_uses.retain(|(of, at, _), _| (*of, *at) != (number, period));
            }
            Row::PutCredit(unit, id, Some(piece)) => {
                drop(self.credit.insert((unit, id), stored(&*piece)));
            }
            Row::PutCredit(unit, id, None) => drop(self.credit.remove(&(unit, id))),
            // As the shell's insert does: one that is there stays as it is.
            Row::Alerts(AlertRow::Raise { alert, until }) => {
                self.alerts.entry(alert.id.clone()).or_insert((stored(&*alert), until));
            }
            Row::Alerts(AlertRow::Settings(_)) => unreachable!("the workload has the defaults"),
            Row::Alerts(AlertRow::Model(week, model, spent)) => {
                self.week_models.insert((week, model), spent);
            }
            Row::Alerts(AlertRow::DropWeek(week)) => {
                self.week_models.retain(|(of, _), _| *of != week);
            }
        }
    }

    pub fn load(&self, now: Timestamp) -> Ledger {
        let head = self.records.last().map(|row| Head { seq: row.seq, hash: row.sealed.hash });
        let loaded = Loaded {
            account: self.account.clone(),
            keys: self.keys.values().cloned().collect(),
            hours: self.hours.iter().map(|(hour, used)| (*hour, *used)).collect(),
            minute: self.minutes.get(&Party::customer()).copied(),
            refusals: self.refusals.iter().map(|((hour, code), n)| (*hour, *code, *n)).collect(),
            last_record_at: self.last_record_at(),
            holds: self.open().cloned().collect(),
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
            alerts: LoadedAlerts {
                settings: None,
                told: self.alerts.keys().cloned().collect(),
                weeks: self
                    .week_models
                    .iter()
                    .map(|((week, model), spent)| (week.clone(), model.clone(), *spent))
                    .collect(),
            },
        };
        Ledger::load(loaded, now).unwrap()
    }

    fn last_record_at(&self) -> Option<Timestamp> {
        let last = self.records.len().checked_sub(1)?;
        Some(self.record(last).recorded_at)
    }

    /// The latest moment at which something is known to have been done.
    pub fn known_time(&self) -> Option<Timestamp> {
        let reserved = self.open().map(|hold| hold.reserved_at);
        let counted = self.account.iter().flat_map(Account::counted_since);
        reserved.chain(self.last_record_at()).chain(counted).max()
    }

    fn once_of(&self, key: &Digest) -> Option<PriorOnce> {
        let once = self.once.get(&key.to_string())?;
        let last = self.records.iter().rfind(|row| row.attempt_id == once.attempt_id);
        Some(PriorOnce { ended: last.map(|row| (row.class, row.charged)), ..once.clone() })
    }

    fn known_batch(&self, command: &BatchCommand) -> Option<KnownBatch> {
        let (name, lines) = match command {
            BatchCommand::Keep { .. } | BatchCommand::Lost { .. } => return None,
            BatchCommand::Open { batch_id, .. } | BatchCommand::Seen { batch_id, .. } => {
                (batch_id, &[][..])
            }
            BatchCommand::Post { batch_id, lines, .. } => (batch_id, &lines[..]),
        };
        let batch = self.batches.get(name)?.clone();
        let is_posted = |id: &Digest| self.lines.contains(&(name.clone(), id.to_string()));
        let posted = lines.iter().map(|line| line.id).filter(is_posted).collect();
        Some(KnownBatch { batch, posted })
    }

    fn party(&self, party: &Party) -> PartyRows {
        let hours = self.uses.get(party).into_iter().flatten();
        PartyRows {
            hours: hours.map(|(hour, used)| (*hour, *used)).collect(),
            minute: self.minutes.get(party).copied(),
        }
    }

    pub fn open(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(|(_, expired)| !expired).map(|(hold, _)| hold)
    }

    /// The same look-ups, under the same conditions, as the shell makes before a command.
    pub fn prior(&self, command: &Command, ledger: &Ledger, now: Timestamp) -> Prior {
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
            Command::Decide(decide) => Some(farebox::ledger::outcome_id(&decide.of)),
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

    pub fn record(&self, at: usize) -> Record {
        serde_json::from_str(&self.records[at].sealed.canonical).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.records.iter().map(|row| row.sealed.line().unwrap()).collect()
    }
}
