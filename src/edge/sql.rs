//! The ledger's tables: the only place with SQL. Amounts are TEXT and never compared or summed
//! here: SQLite would turn them into floating point.

use std::collections::BTreeMap;

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};

use super::js;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, RequestId};
use crate::ledger::{
    Batch, BatchCommand, BatchRow, Command, File, Head, Job, KnownBatch, Loaded, Prior,
    PriorRecord, RecordRow, Row,
};
use crate::money::Exact;
use crate::record::{Class, Digest};

/// Version of the schema below. A later version migrates in [`Store::open`].
const SCHEMA: u32 = 1;

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
CREATE TABLE IF NOT EXISTS batches (batch_id TEXT PRIMARY KEY, at INTEGER NOT NULL, path TEXT NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_lines (batch_id TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (batch_id, line)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (file_id TEXT PRIMARY KEY, at INTEGER NOT NULL, requests INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
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
const PUT_JOB: &str = "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
const PUT_BATCH: &str =
    "INSERT INTO batches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
/// A line that is there already must fail: it would be charged twice.
const PUT_LINE: &str = "INSERT INTO batch_lines VALUES (?, ?)";
const PUT_FILE: &str = "INSERT INTO files VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
const FORGET_FILES: &str = "DELETE FROM files WHERE requests = 1 AND at < ?";
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

fn time(at: Timestamp) -> JsValue {
    number(u64::try_from(at.ms()).unwrap_or(0))
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
            Command::Batch(command) => {
                prior.batch = self.known_batch(command)?;
                prior.batch.as_ref().map(|known| known.batch.attempt_id)
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
                Array::of3(&self.put_hour, &time(*hour), &amount.to_string().into())
            }
            Row::PutAccount(account) => Array::of2(&PUT_ACCOUNT.into(), &json(account)?),
            Row::PutKey(key) => {
                Array::of3(&PUT_KEY.into(), &key.key_id.as_str().into(), &json(key)?)
            }
            Row::PutJob(name, job) => {
                let attempt = job.attempt_id.to_string();
                Array::of4(&PUT_JOB.into(), &name.into(), &attempt.into(), &json(job)?)
            }
            Row::Batch(BatchRow::Batch(name, batch)) => {
                let (at, path) = (time(batch.reserved_at), batch.admitted.endpoint.as_str().into());
                Array::of5(&PUT_BATCH.into(), &name.into(), &at, &path, &json(batch)?)
            }
            Row::Batch(BatchRow::Line(name, line)) => {
                Array::of3(&PUT_LINE.into(), &name.into(), &line.to_string().into())
            }
            Row::Batch(BatchRow::File(name, at, file)) => {
                let requests = number(matches!(file, File::Requests(_)).into());
                Array::of5(&PUT_FILE.into(), &name.into(), &time(*at), &requests, &json(file)?)
            }
            Row::Batch(BatchRow::ForgetFiles(before)) => {
                Array::of2(&FORGET_FILES.into(), &time(*before))
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

    /// A batch by its name.
    pub fn batch(&self, batch_id: &str) -> Result<Option<Batch>, Failed> {
        let rows = self.query("SELECT body FROM batches WHERE batch_id = ?", &[batch_id.into()])?;
        rows.first().map(|row| parsed(&row.get(0))).transpose()
    }

    /// The names and providers of the batches begun at a path, newest first, at most `limit`, after
    /// the one named.
    pub fn batches(
        &self,
        path: &str,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<(String, Batch)>, Failed> {
        let sql = "SELECT batch_id, body FROM batches WHERE path = ?1 AND (?2 IS NULL OR (at, batch_id) < (SELECT at, batch_id FROM batches WHERE batch_id = ?2)) ORDER BY at DESC, batch_id DESC LIMIT ?3";
        let after = after.map_or(JsValue::NULL, Into::into);
        let rows = self.query(sql, &[path.into(), after, number(limit)])?;
        rows.iter().map(|row| Ok((text(&row.get(0))?, parsed(&row.get(1))?))).collect()
    }

    /// A file by its name.
    pub fn file(&self, file_id: &str) -> Result<Option<File>, Failed> {
        let rows = self.query("SELECT body FROM files WHERE file_id = ?", &[file_id.into()])?;
        rows.first().map(|row| parsed(&row.get(0))).transpose()
    }

    /// What a command about a batch has to know of it.
    fn known_batch(&self, command: &BatchCommand) -> Result<Option<KnownBatch>, Failed> {
        let (name, lines) = match command {
            BatchCommand::Keep { .. } => return Ok(None),
            BatchCommand::Open { batch_id, .. } | BatchCommand::Seen { batch_id, .. } => {
                (batch_id, &[][..])
            }
            BatchCommand::Post { batch_id, lines, .. } => (batch_id, &lines[..]),
        };
        let Some(batch) = self.batch(name)? else { return Ok(None) };
        // One parameter for all of them: the platform takes a hundred.
        let ids: Vec<Digest> = lines.iter().map(|line| line.id).collect();
        let sql = "SELECT line FROM batch_lines WHERE batch_id = ? AND line IN (SELECT value FROM json_each(?))";
        let rows =
            if ids.is_empty() { Vec::new() } else { self.query(sql, &[name.into(), json(&ids)?])? };
        let posted = rows.iter().map(|row| digest(&row.get(0))).collect::<Result<_, _>>()?;
        Ok(Some(KnownBatch { batch, posted }))
    }

    /// Archive lines and running charges, newest first, at most `limit`, after `after`.
    pub fn newest(&self, after: u64, limit: u64) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT line, charged FROM records WHERE seq > ? ORDER BY seq DESC LIMIT ?";
        self.lines(sql, &[number(after), number(limit)])
    }

    /// The records of one request after a position, oldest first, at most `limit`.
    pub fn of_request(
        &self,
        id: RequestId,
        after: u64,
        limit: u64,
    ) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT line, charged FROM records WHERE request_id = ? AND seq > ? ORDER BY seq LIMIT ?";
        self.lines(sql, &[id.to_string().into(), number(after), number(limit)])
    }

    /// What a request was charged, all its attempts together.
    pub fn charged_of_request(&self, id: RequestId) -> Result<Exact, Failed> {
        let sql = "SELECT attempt_id, charged FROM records WHERE request_id = ? ORDER BY seq";
        let mut charged = BTreeMap::new();
        for row in self.query(sql, &[id.to_string().into()])? {
            charged.insert(text(&row.get(0))?, amount(&row.get(1))?);
        }
        Exact::sum(charged.into_values()).map_err(|error| error.to_string())
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

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Settled => "settled",
        Class::Voided => "voided",
        Class::Unresolved => "unresolved",
    }
}
