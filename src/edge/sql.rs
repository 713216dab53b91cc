//! The ledger's tables. Amounts are TEXT and never compared or summed here: SQLite would turn them
//! into floating point.

mod alerts;
mod rows;
mod schema;

use std::collections::BTreeMap;

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};

use schema::{DELETE_HOLD, HOURS, PUT_HOLD, PUT_HOUR, PUT_RECORD, PUT_SINK, SCHEMA, TABLES, USES};

use super::js;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, RequestId};
use crate::ledger::{
    Batch, BatchCommand, Command, File, Head, Hour, Job, KnownBatch, Ledger, Loaded, ONCE_LIFE,
    ONCE_MAX, Party, PartyRows, Prior, PriorOnce, PriorRecord, REFUSALS_LIFE, Reserve, Row, Unit,
    hours_from_json, outcome_id, shown_from,
};
use crate::money::Exact;
use crate::record::{Class, Digest};

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
            Some(found) if ["1", "2", "3"].contains(&found.as_str()) => {
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
    pub fn load(&self, now: Timestamp) -> Result<Loaded, Failed> {
        let mut loaded = Loaded::default();
        for row in self.query("SELECT body FROM account", &[])? {
            loaded.account = Some(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM keys", &[])? {
            loaded.keys.push(parsed(&row.get(0))?);
        }
        loaded.hours = self.hours(HOURS, &[])?;
        loaded.minute = self.minute(&Party::customer())?;
        let shown = shown_from(now);
        for row in self
            .query("SELECT start, code, count FROM refusals WHERE start >= ?", &[millis(shown)])?
        {
            let code =
                serde_json::from_value(text(&row.get(1))?.into()).map_err(|e| e.to_string())?;
            loaded.refusals.push((time(&row.get(0))?, code, whole(&row.get(2))?));
        }
        for row in self.query("SELECT body FROM holds WHERE expired = 0", &[])? {
            loaded.holds.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM terms", &[])? {
            loaded.terms.terms.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT body FROM plan_uses", &[])? {
            loaded.terms.uses.push(parsed(&row.get(0))?);
        }
        for row in self.query("SELECT unit, id, body FROM credit", &[])? {
            let unit = unit_of(&text(&row.get(0))?)?;
            loaded.terms.grants.push((unit, text(&row.get(1))?, parsed(&row.get(2))?));
        }
        let last = "SELECT seq, hash, line FROM records ORDER BY seq DESC LIMIT 1";
        for row in self.query(last, &[])? {
            loaded.head = Head { seq: whole(&row.get(0))?, hash: digest(&row.get(1))? };
            loaded.last_record_at = Some(parsed::<Written>(&row.get(2))?.record.recorded_at);
        }
        for row in self.query("SELECT value FROM meta WHERE name = 'in_force'", &[])? {
            loaded.in_force = Some(parsed(&row.get(0))?);
        }
        loaded.alerts = self.load_alerts(now)?;
        Ok(loaded)
    }

    fn minute(&self, party: &Party) -> Result<Option<(Timestamp, crate::ledger::Tally)>, Failed> {
        let rows =
            self.query("SELECT start, used FROM minutes WHERE party = ?", &[party.text().into()])?;
        rows.first().map(|row| Ok((time(&row.get(0))?, read(&row.get(1))?))).transpose()
    }

    /// Everything of a party.
    fn party(&self, party: &Party) -> Result<PartyRows, Failed> {
        let hours = self.hours(USES, &[party.text().into()])?;
        Ok(PartyRows { hours, minute: self.minute(party)? })
    }

    /// Sums by the hour, some ten thousand of them. Read a row at a time, they would make waking slow.
    fn hours(&self, sql: &str, parameters: &[JsValue]) -> Result<Vec<(Timestamp, Hour)>, Failed> {
        let mut hours = Vec::new();
        for row in self.query(sql, parameters)? {
            hours.extend(hours_from_json(&text(&row.get(0))?)?);
        }
        Ok(hours)
    }

    /// A request of the same name, and how it ended.
    fn once(&self, key: Digest) -> Result<Option<PriorOnce>, Failed> {
        let rows = self.query("SELECT body FROM once WHERE key = ?", &[key.to_string().into()])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut once: PriorOnce = parsed(&row.get(0))?;
        let record = self.last_record(&once.attempt_id.to_string().into())?;
        once.ended = record.map(|record| (record.class, record.charged));
        Ok(Some(once))
    }

    fn last_record(&self, attempt_id: &JsValue) -> Result<Option<PriorRecord>, Failed> {
        let last = "SELECT seq, class, charged, command FROM records WHERE attempt_id = ? ORDER BY seq DESC LIMIT 1";
        let rows = self.query(last, core::slice::from_ref(attempt_id))?;
        rows.first().map(prior_record).transpose()
    }

    /// Lets go of what has been kept long enough, and of the oldest where there is too much.
    pub fn prune(&self, now: Timestamp) -> Result<(), Failed> {
        let before = |life: crate::clock::Millis| {
            millis(Timestamp::from_ms(now.ms().saturating_sub(i64::from(life.0))))
        };
        self.query("DELETE FROM refusals WHERE start < ?", &[before(REFUSALS_LIFE)])?;
        self.query("DELETE FROM once WHERE at < ?", &[before(ONCE_LIFE)])?;
        // Outcomes that nobody can dispute any more.
        let decided = "DELETE FROM holds WHERE expired = 1 AND json_extract(body, '$.terms.outcome.billed.until') <= ?";
        self.query(decided, &[now.to_string().into()])?;
        let oldest =
            "DELETE FROM once WHERE at <= (SELECT at FROM once ORDER BY at DESC LIMIT 1 OFFSET ?)";
        self.query(oldest, &[number(ONCE_MAX)])?;
        self.prune_alerts(now)
    }

    /// What the ledger may need to know beside its memory for this command.
    pub fn prior(
        &self,
        command: &Command,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<Prior, Failed> {
        let mut prior = self.prior_of_attempt(command, now, |attempt| ledger.has_hold(attempt))?;
        for party in ledger.needs(command, &prior, now) {
            let rows = self.party(&party)?;
            prior.parties.insert(party, rows);
        }
        Ok(prior)
    }

    fn prior_of_attempt(
        &self,
        command: &Command,
        now: Timestamp,
        in_memory: impl Fn(AttemptId) -> bool,
    ) -> Result<Prior, Failed> {
        let mut prior = Prior::default();
        let attempt = match command {
            Command::Reserve(reserve) => {
                prior.subject = self.subject(reserve)?;
                if let Some(once) = reserve.once {
                    prior.once = self.once(once.key)?;
                }
                reserve.may_be_known(now).then_some(reserve.attempt_id)
            }
            Command::Unreserved(unreserved) => {
                prior.subject = self.subject(&unreserved.reserve)?;
                Some(unreserved.reserve.attempt_id)
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
            Command::Decide(decide) => Some(outcome_id(&decide.of)),
            Command::Renew { .. }
            | Command::Extend { .. }
            | Command::Sweep
            | Command::Admin(_)
            | Command::Status
            | Command::Standing(_)
            | Command::Outlook
            | Command::CheckKey { .. } => None,
        };
        let Some(attempt) = attempt.filter(|attempt| !in_memory(*attempt)) else {
            return Ok(prior);
        };
        let id: JsValue = attempt.to_string().into();
        let expired =
            self.query("SELECT body FROM holds WHERE attempt_id = ?", std::slice::from_ref(&id))?;
        prior.expired = expired.first().map(|row| parsed(&row.get(0))).transpose()?;
        prior.record = self.last_record(&id)?;
        Ok(prior)
    }

    /// The pseudonym key of the end user that a request names.
    fn subject(&self, reserve: &Reserve) -> Result<Option<Digest>, Failed> {
        let Some(value) = &reserve.end_user else { return Ok(None) };
        let rows = self.query("SELECT key FROM subjects WHERE value = ?", &[value.into()])?;
        rows.first().map(|row| digest(&row.get(0))).transpose()
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

    /// How many batches were begun at a path.
    pub fn batch_count(&self, path: &str) -> Result<u64, Failed> {
        let rows = self.query("SELECT count(*) FROM batches WHERE path = ?", &[path.into()])?;
        rows.first().map_or(Ok(0), |row| whole(&row.get(0)))
    }

    /// A file by its name.
    pub fn file(&self, file_id: &str) -> Result<Option<File>, Failed> {
        let rows = self.query("SELECT body FROM files WHERE file_id = ?", &[file_id.into()])?;
        rows.first().map(|row| parsed(&row.get(0))).transpose()
    }

    /// What a command about a batch has to know of it.
    fn known_batch(&self, command: &BatchCommand) -> Result<Option<KnownBatch>, Failed> {
        let (name, lines) = match command {
            BatchCommand::Keep { .. } | BatchCommand::Lost { .. } => return Ok(None),
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

fn read<T: core::str::FromStr>(value: &JsValue) -> Result<T, Failed> {
    text(value)?.parse().map_err(|_| "what was used cannot be read from storage".to_owned())
}

fn time(value: &JsValue) -> Result<Timestamp, Failed> {
    Ok(Timestamp::from_ms(i64::try_from(whole(value)?).map_err(|error| error.to_string())?))
}

fn millis(time: Timestamp) -> JsValue {
    number(u64::try_from(time.ms()).unwrap_or(0))
}

/// The part of an archive line that tells when it was written.
#[derive(serde::Deserialize)]
struct Written {
    record: WrittenRecord,
}

#[derive(serde::Deserialize)]
struct WrittenRecord {
    recorded_at: Timestamp,
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
