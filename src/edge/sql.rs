//! The ledger's tables: the only place with SQL. Amounts are TEXT and never compared or summed
//! here: SQLite would turn them into floating point.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};

use super::js;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, RequestId};
use crate::ledger::{Command, Head, Job, Loaded, Prior, PriorRecord, RecordRow, Row, Unit};
use crate::money::Exact;
use crate::record::{Class, Digest};

/// Version of the schema below. A later version migrates in [`Store::open`].
const SCHEMA: u32 = 2;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS keys (key_id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (attempt_id TEXT PRIMARY KEY, expired INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hours (start INTEGER PRIMARY KEY, amount TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS records (
  seq INTEGER PRIMARY KEY, attempt_id TEXT NOT NULL, request_id TEXT NOT NULL, class TEXT NOT NULL,
  charged TEXT NOT NULL, command TEXT, hash TEXT NOT NULL, line TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS records_by_attempt ON records (attempt_id);
CREATE INDEX IF NOT EXISTS records_by_request ON records (request_id);
CREATE TABLE IF NOT EXISTS jobs (job_id TEXT PRIMARY KEY, attempt_id TEXT NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS terms (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS uses (number INTEGER NOT NULL, period INTEGER NOT NULL, place TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (number, period, place)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credit (unit TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (unit, id)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subjects (value TEXT PRIMARY KEY, key TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sinks (sink TEXT PRIMARY KEY, sent INTEGER NOT NULL, batch_last INTEGER) STRICT, WITHOUT ROWID;
";

const PUT_HOLD: &str =
    "INSERT INTO holds VALUES (?, 0, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const EXPIRE_HOLD: &str = "UPDATE holds SET expired = 1 WHERE attempt_id = ?";
const DELETE_HOLD: &str = "DELETE FROM holds WHERE attempt_id = ?";
const PUT_RECORD: &str = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const PUT_HOUR: &str =
    "INSERT INTO hours VALUES (?, ?) ON CONFLICT DO UPDATE SET amount = excluded.amount";
const PUT_ACCOUNT: &str =
    "INSERT INTO account VALUES (1, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const PUT_KEY: &str =
    "INSERT INTO keys VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const PUT_TERMS: &str =
    "INSERT INTO terms VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const DROP_TERMS: &str = "DELETE FROM terms WHERE number = ?";
const PUT_USE: &str =
    "INSERT INTO uses VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const DROP_USES: &str = "DELETE FROM uses WHERE number = ? AND period = ?";
const PUT_CREDIT: &str =
    "INSERT INTO credit VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
const DROP_CREDIT: &str = "DELETE FROM credit WHERE unit = ? AND id = ?";
const PUT_JOB: &str = "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
const PUT_SUBJECT: &str = "INSERT INTO subjects VALUES (?, ?) ON CONFLICT DO NOTHING";
const PUT_SINK: &str = "INSERT INTO sinks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sent = excluded.sent, batch_last = excluded.batch_last";

/// Storage failed, or holds what it cannot hold. The text is for the log.
pub type Failed = String;

/// One object's storage.
pub struct Store {
    storage: JsValue,
    /// The statements of the hot path as JavaScript strings, made once.
    put_hold: JsValue,
    delete_hold: JsValue,
    put_record: JsValue,
    put_hour: JsValue,
}

/// How far a sink has come, and the batch it is in the middle of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Acknowledged up to and including this record.
    pub sent: u64,
    /// Last record of the batch under way. Set before its first try, and never changed until the
    /// sink has acknowledged it: a retry sends the same records under the same name.
    pub batch_last: Option<u64>,
}

fn text(value: &JsValue) -> Result<String, Failed> {
    value.as_string().ok_or_else(|| "a column that should be text is not".to_owned())
}

/// A whole number; the platform hands integers over as floating point, exact below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: &JsValue) -> Result<u64, Failed> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && *number < 9e15);
    number
        .map(|number| number as u64)
        .ok_or_else(|| "a column that should count does not".to_owned())
}

#[allow(clippy::cast_precision_loss)] // sequence numbers and milliseconds stay below 2^53
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

fn parsed<T: serde::de::DeserializeOwned>(value: &JsValue) -> Result<T, Failed> {
    serde_json::from_str(&text(value)?).map_err(|error| format!("a row cannot be read: {error}"))
}

fn json(value: &impl serde::Serialize) -> Result<JsValue, Failed> {
    serde_json::to_string(value).map(Into::into).map_err(|error| error.to_string())
}

impl Store {
    /// Opens the storage and brings its tables up to date.
    pub fn open(storage: JsValue) -> Result<Self, Failed> {
        let js = JsValue::from_str;
        let store = Self {
            storage,
            put_hold: js(PUT_HOLD),
            delete_hold: js(DELETE_HOLD),
            put_record: js(PUT_RECORD),
            put_hour: js(PUT_HOUR),
        };
        store.query(TABLES, &[])?;
        let version = store.query("SELECT value FROM meta WHERE name = 'schema'", &[])?;
        match version.first().and_then(|row| row.get(0).as_string()) {
            None => {
                store
                    .query("INSERT INTO meta VALUES ('schema', ?)", &[SCHEMA.to_string().into()])?;
            }
            Some(found) if found == SCHEMA.to_string() => {}
            // Schema 2 only adds tables, which are there by now.
            Some(found) if found == "1" => {
                let sql = "UPDATE meta SET value = ? WHERE name = 'schema'";
                store.query(sql, &[SCHEMA.to_string().into()])?;
            }
            Some(found) => {
                return Err(format!("the tables are of schema {found}, newer than this code"));
            }
        }
        Ok(store)
    }

    /// The storage itself.
    pub fn raw(&self) -> &JsValue {
        &self.storage
    }

    fn query(&self, sql: &str, parameters: &[JsValue]) -> Result<Vec<Array>, Failed> {
        let parameters: Array = parameters.iter().collect();
        let rows =
            js::query(&self.storage, sql, &parameters).map_err(|error| js::reason(&error))?;
        Ok(rows.iter().map(JsCast::unchecked_into).collect())
    }

    /// Everything a ledger keeps in memory.
    pub fn load(&self) -> Result<Loaded, Failed> {
        let mut loaded = Loaded::default();
        for row in self.query("SELECT body FROM account", &[])? {
            loaded.account = Some(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM keys", &[])? {
            loaded.keys.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT start, amount FROM hours", &[])? {
            let start = i64::try_from(whole(&row.get(0))?).map_err(|error| error.to_string())?;
            loaded.hours.push((Timestamp::from_ms(start), amount(&row.get(1))?));
        }
        for row in self.query("SELECT body FROM holds WHERE expired = 0", &[])? {
            loaded.holds.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM terms", &[])? {
            loaded.terms.terms.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM uses", &[])? {
            loaded.terms.uses.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT unit, id, body FROM credit", &[])? {
            let unit = unit_of(&text(&row.get(0))?)?;
            loaded.terms.grants.push((unit, text(&row.get(1))?, parsed(&row.get(2))?));
        }
        for row in self.query("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1", &[])? {
            loaded.head = Head { seq: whole(&row.get(0))?, hash: digest(&row.get(1))? };
        }
        Ok(loaded)
    }

    /// What the ledger may need to know beside its memory for this command.
    pub fn prior(
        &self,
        command: &Command,
        in_memory: impl Fn(AttemptId) -> bool,
    ) -> Result<Prior, Failed> {
        let mut prior = Prior::default();
        let attempt = match command {
            Command::Reserve(reserve) => {
                if let Some(value) = &reserve.end_user {
                    let rows =
                        self.query("SELECT key FROM subjects WHERE value = ?", &[value.into()])?;
                    prior.subject = rows.first().map(|row| digest(&row.get(0))).transpose()?;
                }
                reserve.again.then_some(reserve.attempt_id)
            }
            Command::Park(park) => {
                prior.job = self.job(&park.job_id)?.map(|(job, _)| job);
                None
            }
            Command::Settle(settle) => Some(settle.attempt_id),
            Command::Void(void) => Some(void.attempt_id),
            Command::Renew { .. }
            | Command::Sweep
            | Command::Admin(_)
            | Command::Status
            | Command::CheckKey { .. } => None,
        };
        let Some(attempt) = attempt.filter(|attempt| !in_memory(*attempt)) else {
            return Ok(prior);
        };
        let id: JsValue = attempt.to_string().into();
        let expired =
            self.query("SELECT body FROM holds WHERE attempt_id = ?", std::slice::from_ref(&id))?;
        prior.expired = expired.first().map(|row| parsed(&row.get(0))).transpose()?;
        let last = "SELECT seq, class, charged, command FROM records WHERE attempt_id = ? ORDER BY seq DESC LIMIT 1";
        prior.record = self.query(last, &[id])?.first().map(prior_record).transpose()?;
        Ok(prior)
    }

    /// Writes rows in one transaction: all of them, or none.
    pub fn commit(&self, rows: &[Row]) -> Result<(), Failed> {
        if rows.is_empty() {
            return Ok(());
        }
        let statements =
            rows.iter().map(|row| self.statement(row)).collect::<Result<Array, _>>()?;
        js::commit(&self.storage, &statements).map_err(|error| js::reason(&error))
    }

    fn statement(&self, row: &Row) -> Result<Array, Failed> {
        Ok(match row {
            Row::PutHold(hold) => {
                Array::of3(&self.put_hold, &hold.attempt_id.to_string().into(), &json(hold)?)
            }
            Row::ExpireHold(id) => Array::of2(&EXPIRE_HOLD.into(), &id.to_string().into()),
            Row::DeleteHold(id) => Array::of2(&self.delete_hold, &id.to_string().into()),
            Row::PutRecord(record) => self.record_statement(record)?,
            Row::PutHour(hour, amount) => {
                let start = number(u64::try_from(hour.ms()).unwrap_or(0));
                Array::of3(&self.put_hour, &start, &amount.to_string().into())
            }
            Row::PutAccount(account) => Array::of2(&PUT_ACCOUNT.into(), &json(account)?),
            Row::PutKey(key) => {
                Array::of3(&PUT_KEY.into(), &key.key_id.as_str().into(), &json(key)?)
            }
            Row::PutJob(name, job) => {
                let attempt = job.attempt_id.to_string();
                Array::of4(&PUT_JOB.into(), &name.into(), &attempt.into(), &json(job)?)
            }
            Row::PutTerms(terms) => {
                Array::of3(&PUT_TERMS.into(), &number(terms.number.into()), &json(terms)?)
            }
            Row::DropTerms(of) => Array::of2(&DROP_TERMS.into(), &number((*of).into())),
            Row::PutUse(used) => {
                let (of, period) = (number(used.number.into()), start_of(used.period));
                Array::of5(&PUT_USE.into(), &of, &period, &json(&used.place)?, &json(used)?)
            }
            Row::DropUses(of, period) => {
                Array::of3(&DROP_USES.into(), &number((*of).into()), &start_of(*period))
            }
            Row::PutCredit(unit, id, stored) => {
                let (unit, id) = (unit_name(*unit).into(), id.into());
                match stored {
                    Some(stored) => Array::of4(&PUT_CREDIT.into(), &unit, &id, &json(stored)?),
                    None => Array::of3(&DROP_CREDIT.into(), &unit, &id),
                }
            }
            Row::PutSubject { value, key } => {
                Array::of3(&PUT_SUBJECT.into(), &value.into(), &key.to_string().into())
            }
        })
    }

    fn record_statement(&self, record: &RecordRow) -> Result<Array, Failed> {
        let line = record.sealed.line().ok_or("a record cannot be written as JSON")?;
        let command = record.command.map_or(JsValue::NULL, |digest| digest.to_string().into());
        Ok([
            self.put_record.clone(),
            number(record.seq),
            record.attempt_id.to_string().into(),
            record.request_id.to_string().into(),
            class_name(record.class).into(),
            record.charged.to_string().into(),
            command,
            record.sealed.hash.to_string().into(),
            line.into(),
        ]
        .iter()
        .collect())
    }

    /// A job by its name, and whether it is still to be settled.
    pub fn job(&self, job_id: &str) -> Result<Option<(Job, bool)>, Failed> {
        let sql = "SELECT body, EXISTS (SELECT 1 FROM holds WHERE holds.attempt_id = jobs.attempt_id) FROM jobs WHERE job_id = ?";
        let rows = self.query(sql, &[job_id.into()])?;
        let read = |row: &Array| Ok((parsed(&row.get(0))?, whole(&row.get(1))? > 0));
        rows.first().map(read).transpose()
    }

    /// Archive lines and running charges, newest first, at most `limit`, after `after`.
    pub fn newest(&self, after: u64, limit: u64) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT line, charged FROM records WHERE seq > ? ORDER BY seq DESC LIMIT ?";
        self.lines(sql, &[number(after), number(limit)])
    }

    /// The records of one request, oldest first.
    pub fn of_request(&self, id: RequestId) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT line, charged FROM records WHERE request_id = ? ORDER BY seq";
        self.lines(sql, &[id.to_string().into()])
    }

    /// Archive lines from `first` on, oldest first, at most `limit`.
    pub fn archive(&self, first: u64, last: u64) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT line, charged FROM records WHERE seq >= ? AND seq <= ? ORDER BY seq";
        self.lines(sql, &[number(first), number(last)])
    }

    fn lines(&self, sql: &str, parameters: &[JsValue]) -> Result<Vec<(String, String)>, Failed> {
        let rows = self.query(sql, parameters)?;
        rows.iter().map(|row| Ok((text(&row.get(0))?, text(&row.get(1))?))).collect()
    }

    /// How far a sink has come.
    pub fn cursor(&self, sink: &str) -> Result<Cursor, Failed> {
        let rows =
            self.query("SELECT sent, batch_last FROM sinks WHERE sink = ?", &[sink.into()])?;
        let Some(row) = rows.first() else { return Ok(Cursor::default()) };
        let batch_last = Some(row.get(1)).filter(|value| !value.is_null());
        let batch_last = batch_last.map(|value| whole(&value)).transpose()?;
        Ok(Cursor { sent: whole(&row.get(0))?, batch_last })
    }

    /// Moves a sink.
    pub fn put_cursor(&self, sink: &str, cursor: Cursor) -> Result<(), Failed> {
        let last = cursor.batch_last.map_or(JsValue::NULL, number);
        self.query(PUT_SINK, &[sink.into(), number(cursor.sent), last]).map(drop)
    }
}

fn amount(value: &JsValue) -> Result<Exact, Failed> {
    text(value)?.parse().map_err(|_| "an amount in storage is not a number".to_owned())
}

fn digest(value: &JsValue) -> Result<Digest, Failed> {
    text(value)?.parse().map_err(|()| "a hash in storage is not one".to_owned())
}

fn prior_record(row: &Array) -> Result<PriorRecord, Failed> {
    let command = Some(row.get(3)).filter(|value| !value.is_null());
    Ok(PriorRecord {
        seq: whole(&row.get(0))?,
        class: serde_json::from_value(text(&row.get(1))?.into()).map_err(|e| e.to_string())?,
        charged: amount(&row.get(2))?,
        command: command.map(|value| digest(&value)).transpose()?,
    })
}

fn start_of(time: Timestamp) -> JsValue {
    number(u64::try_from(time.ms()).unwrap_or(0))
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Money => "money",
        Unit::Credits => "credits",
    }
}

fn unit_of(name: &str) -> Result<Unit, Failed> {
    match name {
        "money" => Ok(Unit::Money),
        "credits" => Ok(Unit::Credits),
        _ => Err("a unit of credit in storage is not known".to_owned()),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Settled => "settled",
        Class::Voided => "voided",
        Class::Unresolved => "unresolved",
    }
}
