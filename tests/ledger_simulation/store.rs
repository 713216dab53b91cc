//! A store that behaves as the ledger object's tables do, and writes rows all or none.

use std::collections::BTreeMap;

use farebox::clock::Timestamp;
use farebox::ids::AttemptId;
use farebox::ledger::{
    Account, Command, Head, Hold, Job, KeyState, Ledger, Loaded, LoadedTerms, Prior, PriorRecord,
    RecordRow, Row, Stored, Terms, Unit, UseRow,
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
    hours: BTreeMap<Timestamp, Exact>,
    /// The hold, and whether it has expired.
    holds: BTreeMap<AttemptId, (Hold, bool)>,
    pub records: Vec<RecordRow>,
    /// Sum of the records' amounts, read from their bytes.
    pub total: i128,
    pub subjects: BTreeMap<String, Digest>,
    jobs: BTreeMap<String, Job>,
    terms: BTreeMap<u32, Terms>,
    uses: BTreeMap<(u32, Timestamp, Place), UseRow>,
    credit: BTreeMap<(Unit, String), Stored>,
}

fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
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
            Row::PutHour(hour, amount) => drop(self.hours.insert(hour, stored(&amount))),
            Row::PutAccount(account) => self.account = Some(stored(&account)),
            Row::PutKey(key) => drop(self.keys.insert(key.key_id.to_string(), stored(&key))),
            Row::PutJob(name, job) => drop(self.jobs.entry(name).or_insert(stored(&job))),
            Row::PutSubject { value, key } => drop(self.subjects.entry(value).or_insert(key)),
            Row::PutTerms(terms) => drop(self.terms.insert(terms.number, stored(&*terms))),
            Row::DropTerms(number) => drop(self.terms.remove(&number)),
            Row::PutUse(row) => {
                let key = (row.number, row.period, row.place.clone());
                self.uses.insert(key, stored(&*row));
            }
            Row::DropUses(number, period) => {
                self.uses.retain(|(of, at, _), _| (*of, *at) != (number, period));
            }
            Row::PutCredit(unit, id, Some(piece)) => {
                drop(self.credit.insert((unit, id), stored(&*piece)));
            }
            Row::PutCredit(unit, id, None) => drop(self.credit.remove(&(unit, id))),
        }
    }

    pub fn load(&self, now: Timestamp) -> Ledger {
        let head = self.records.last().map(|row| Head { seq: row.seq, hash: row.sealed.hash });
        let loaded = Loaded {
            account: self.account.clone(),
            keys: self.keys.values().cloned().collect(),
            hours: self.hours.iter().map(|(hour, sum)| (*hour, *sum)).collect(),
            holds: self.open_holds(),
            head: head.unwrap_or_default(),
            terms: LoadedTerms {
                terms: self.terms.values().cloned().collect(),
                uses: self.uses.values().cloned().collect(),
                grants: self
                    .credit
                    .iter()
                    .map(|((unit, id), stored)| (*unit, id.clone(), stored.clone()))
                    .collect(),
            },
        };
        Ledger::load(loaded, now).unwrap()
    }

    pub fn open_holds(&self) -> Vec<Hold> {
        let open = self.holds.values().filter(|(_, expired)| !expired);
        open.map(|(hold, _)| hold.clone()).collect()
    }

    /// The same look-ups, under the same conditions, as the shell makes before a command.
    pub fn prior(&self, command: &Command, ledger: &Ledger) -> Prior {
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

    pub fn record(&self, at: usize) -> Record {
        serde_json::from_str(&self.records[at].sealed.canonical).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.records.iter().map(|row| row.sealed.line().unwrap()).collect()
    }
}
