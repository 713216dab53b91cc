//! The ledger's tables and the statements that write them.

/// Version of the schema below. Version 1 had no use by party, no minutes, refusals and names of
/// requests; its hours hold one amount, which [`Hour`](crate::ledger::Hour) reads as such. Version 2
/// had no plans and no credit; version 3 no alerts. So all that a migration has to do is to create the tables that are
/// missing.
pub const SCHEMA: u32 = 4;

pub const TABLES: &str = "
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
CREATE TABLE IF NOT EXISTS uses (party TEXT NOT NULL, start INTEGER NOT NULL, used TEXT NOT NULL, PRIMARY KEY (party, start)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minutes (party TEXT PRIMARY KEY, start INTEGER NOT NULL, used TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (start INTEGER NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (start, code)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS once (key TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS once_by_time ON once (at);
CREATE TABLE IF NOT EXISTS terms (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS plan_uses (number INTEGER NOT NULL, period INTEGER NOT NULL, place TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (number, period, place)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credit (unit TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (unit, id)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY, at INTEGER NOT NULL, until INTEGER, customers INTEGER NOT NULL, spread INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (at);
CREATE INDEX IF NOT EXISTS alerts_to_spread ON alerts (at) WHERE spread = 0;
CREATE TABLE IF NOT EXISTS week_models (week TEXT NOT NULL, model TEXT NOT NULL, spent TEXT NOT NULL, PRIMARY KEY (week, model)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS endpoints (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (alert_id TEXT NOT NULL, endpoint TEXT NOT NULL, state TEXT NOT NULL, next_at INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (alert_id, endpoint)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_time ON deliveries (state, next_at);
CREATE TABLE IF NOT EXISTS sinks (sink TEXT PRIMARY KEY, sent INTEGER NOT NULL, batch_last INTEGER) STRICT, WITHOUT ROWID;
";

pub const PUT_HOLD: &str =
    "INSERT INTO holds VALUES (?, 0, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const EXPIRE_HOLD: &str = "UPDATE holds SET expired = 1 WHERE attempt_id = ?";
pub const DELETE_HOLD: &str = "DELETE FROM holds WHERE attempt_id = ?";
pub const PUT_RECORD: &str = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
pub const PUT_HOUR: &str =
    "INSERT INTO hours VALUES (?, ?) ON CONFLICT DO UPDATE SET amount = excluded.amount";
// One text for each thirty days: the platform takes two megabytes at most, and an hour's twelve
// amounts are less than a kilobyte. The amounts stay strings in it.
pub const HOURS: &str =
    "SELECT json_group_array(json_array(start, amount)) FROM hours GROUP BY start / 2592000000";
pub const USES: &str = "SELECT json_group_array(json_array(start, used)) FROM uses WHERE party = ? GROUP BY start / 2592000000";
pub const PUT_ACCOUNT: &str =
    "INSERT INTO account VALUES (1, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const PUT_IN_FORCE: &str =
    "INSERT INTO meta VALUES ('in_force', ?) ON CONFLICT DO UPDATE SET value = excluded.value";
pub const PUT_KEY: &str =
    "INSERT INTO keys VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const PUT_JOB: &str = "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
pub const PUT_BATCH: &str =
    "INSERT INTO batches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
/// A line that is there already must fail: it would be charged twice.
pub const PUT_LINE: &str = "INSERT INTO batch_lines VALUES (?, ?)";
pub const PUT_FILE: &str = "INSERT INTO files VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
pub const FORGET_FILES: &str = "DELETE FROM files WHERE requests = 1 AND at < ?";
pub const PUT_SUBJECT: &str = "INSERT INTO subjects VALUES (?, ?) ON CONFLICT DO NOTHING";
pub const PUT_USE: &str =
    "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used";
pub const PUT_MINUTE: &str = "INSERT INTO minutes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET start = excluded.start, used = excluded.used";
pub const PUT_REFUSALS: &str =
    "INSERT INTO refusals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = excluded.count";
pub const PUT_ONCE: &str = "INSERT INTO once VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, body = excluded.body";
// Lists of numbers go in as one JSON text: a statement takes a hundred parameters at most.
pub const DROP_HOURS: &str = "DELETE FROM hours WHERE start IN (SELECT value FROM json_each(?))";
pub const DROP_USE: &str =
    "DELETE FROM uses WHERE party = ? AND start IN (SELECT value FROM json_each(?))";
pub const PUT_TERMS: &str =
    "INSERT INTO terms VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const DROP_TERMS: &str = "DELETE FROM terms WHERE number = ?";
pub const PUT_PLAN_USE: &str =
    "INSERT INTO plan_uses VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const DROP_PLAN_USES: &str = "DELETE FROM plan_uses WHERE number = ? AND period = ?";
pub const PUT_CREDIT: &str =
    "INSERT INTO credit VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
pub const DROP_CREDIT: &str = "DELETE FROM credit WHERE unit = ? AND id = ?";
/// An alert that is there stays as it is: it was told.
pub const PUT_ALERT: &str = "INSERT INTO alerts VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING";
pub const PUT_ALERT_SETTINGS: &str =
    "INSERT INTO meta VALUES ('alerts', ?) ON CONFLICT DO UPDATE SET value = excluded.value";
pub const PUT_WEEK_MODEL: &str =
    "INSERT INTO week_models VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET spent = excluded.spent";
pub const DROP_WEEK: &str = "DELETE FROM week_models WHERE week = ?";
pub const PUT_SINK: &str = "INSERT INTO sinks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sent = excluded.sent, batch_last = excluded.batch_last";
