//! The operator's database, D1: which books there are and which applies when, whose the keys are
//! that the operator issues by itself, and which customers there are. Its tables are made
//! by the files in `migrations/`, which the Worker carries out itself before it first writes.

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::columns::{millis, number, text, time, whole};
use super::js;
use super::own_keys::Owner;
use crate::book::{Activation, SCHEDULED_MAX, TIMELINE_MAX};
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::record::Digest;

#[wasm_bindgen(module = "/src/edge/books/books.js")]
extern "C" {
    #[wasm_bindgen(js_name = d1Query)]
    fn d1_query(db: &JsValue, sql: &str, parameters: &Array) -> Promise;
    #[wasm_bindgen(js_name = d1Migrate)]
    fn d1_migrate(db: &JsValue, sql: &str) -> Promise;
}

const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/0001_books.sql"),
    include_str!("../../migrations/0002_keys.sql"),
    include_str!("../../migrations/0003_customers.sql"),
];

/// Longest wait for an answer; it usually comes within some milliseconds.
const ANSWER_MS: f64 = 3_000.0;

/// Books in one listing: years of them.
const LISTED_MAX: u32 = 500;

const TIMELINE: &str = "SELECT seq, version, sha256, effective_at, known_at, said_by \
    FROM activations ORDER BY effective_at DESC, seq DESC LIMIT ?";
const BOOKS: &str = "SELECT version, sha256, bytes, models, currency, effective_from, pushed_at \
    FROM books ORDER BY pushed_at DESC LIMIT ?";
const BOOK: &str = "SELECT version, sha256, bytes, models, currency, effective_from, pushed_at \
    FROM books WHERE version = ?";
const ADD_BOOK: &str =
    "INSERT INTO books VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING version";
/// What is said now is known now, and no earlier than what was said before by another clock. It
/// is refused, by adding nothing, where too many wait already.
const ACTIVATE: &str = "INSERT INTO activations (version, sha256, effective_at, known_at, said_by) \
    SELECT ?1, ?2, MAX(?3, now), now, ?5 FROM \
    (SELECT MAX(?4, COALESCE((SELECT MAX(known_at) FROM activations), 0)) AS now) \
    WHERE ?3 <= now OR (SELECT COUNT(*) FROM activations WHERE effective_at > now) < ?6 \
    RETURNING seq, effective_at, known_at";

const FIND_KEY: &str = "SELECT customer, key_id FROM keys WHERE sha256 = ?";
// Writes nothing new over what is there, and answers what there is.
const PUT_KEY: &str = "INSERT INTO keys VALUES (?, ?, ?) \
    ON CONFLICT DO UPDATE SET sha256 = excluded.sha256 RETURNING customer, key_id";

const PUT_CUSTOMER: &str = "INSERT INTO customers VALUES (?, ?) ON CONFLICT DO NOTHING";
const CUSTOMERS_AFTER: &str =
    "SELECT customer FROM customers WHERE customer > ? ORDER BY customer LIMIT ?";
const CURSOR: &str = "SELECT value FROM cursors WHERE name = ?";
const PUT_CURSOR: &str =
    "INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value";

/// A book that was pushed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Pushed {
    pub version: String,
    pub sha256: String,
    pub bytes: u64,
    pub models: u64,
    pub currency: String,
    pub effective_from: Timestamp,
    pub pushed_at: Timestamp,
}

/// The database failed, or holds what it cannot hold. The text is for the log.
pub type Failed = String;

/// The operator's database.
pub struct Directory(JsValue);

impl Directory {
    /// The database bound as `DB`; there may be none.
    pub fn of(env: &JsValue) -> Option<Self> {
        let db = js_sys::Reflect::get(env, &"DB".into()).ok()?;
        (!db.is_undefined()).then_some(Self(db))
    }

    async fn query(&self, sql: &str, parameters: &[JsValue]) -> Result<Vec<Array>, Failed> {
        let asked = d1_query(&self.0, sql, &parameters.iter().collect());
        let rows = JsFuture::from(js::within(&asked, ANSWER_MS)).await;
        let rows = rows.map_err(|error| js::reason(&error))?;
        let rows: Array = rows.dyn_into().map_err(|_| "no answer in time".to_owned())?;
        Ok(rows.iter().map(JsCast::unchecked_into).collect())
    }

    /// The same; nothing where the tables were never made, since then nothing was ever written.
    async fn read(&self, sql: &str, parameters: &[JsValue]) -> Result<Vec<Array>, Failed> {
        match self.query(sql, parameters).await {
            Err(error) if error.contains("no such table") => Ok(Vec::new()),
            found => found,
        }
    }

    /// Makes what tables are missing.
    pub async fn migrate(&self) -> Result<(), Failed> {
        for migration in MIGRATIONS {
            let done = js::within(&d1_migrate(&self.0, migration), ANSWER_MS);
            JsFuture::from(done).await.map_err(|error| js::reason(&error))?;
        }
        Ok(())
    }

    /// Whose a key of the operator's own is.
    pub async fn owner(&self, sha256: Digest) -> Result<Option<Owner>, Failed> {
        let rows = self.read(FIND_KEY, &[sha256.to_string().into()]).await?;
        rows.first().map(owner).transpose()
    }

    /// Notes whose a key is, where nobody has it yet; answers whose it is.
    pub async fn put_owner(
        &self,
        sha256: Digest,
        (customer, key_id): &Owner,
    ) -> Result<Option<Owner>, Failed> {
        let row = [sha256.to_string().into(), customer.as_str().into(), key_id.as_str().into()];
        self.query(PUT_KEY, &row).await?.first().map(owner).transpose()
    }

    /// Notes that a customer is there; makes the tables where they are missing.
    pub async fn put_customer(&self, customer: &Name, now: Timestamp) -> Result<(), Failed> {
        let row = [customer.as_str().into(), millis(now)];
        match self.query(PUT_CUSTOMER, &row).await {
            Err(error) if error.contains("no such table") => {
                self.migrate().await?;
                self.query(PUT_CUSTOMER, &row).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    /// Customers by name, after one, at most `limit`.
    pub async fn customers_after(&self, after: &str, limit: u32) -> Result<Vec<Name>, Failed> {
        let rows = self.read(CUSTOMERS_AFTER, &[after.into(), limit.into()]).await?;
        let name = |row: &Array| text(&row.get(0))?.parse().map_err(|()| "no name".to_owned());
        rows.iter().map(name).collect()
    }

    /// How far something that goes on from run to run has come; empty: to begin.
    pub async fn cursor(&self, name: &str) -> Result<String, Failed> {
        let rows = self.read(CURSOR, &[name.into()]).await?;
        rows.first().map_or_else(|| Ok(String::new()), |row| text(&row.get(0)))
    }

    /// Moves it.
    pub async fn put_cursor(&self, name: &str, value: &str) -> Result<(), Failed> {
        self.query(PUT_CURSOR, &[name.into(), value.into()]).await.map(drop)
    }

    /// The newest activations.
    pub async fn activations(&self) -> Result<Vec<Activation>, Failed> {
        let rows = self.read(TIMELINE, &[TIMELINE_MAX.into()]).await?;
        rows.iter().map(activation).collect()
    }

    /// The books that were pushed, the newest first.
    pub async fn books(&self) -> Result<Vec<Pushed>, Failed> {
        self.read(BOOKS, &[LISTED_MAX.into()]).await?.iter().map(pushed).collect()
    }

    /// A book by its version.
    pub async fn book(&self, version: &str) -> Result<Option<Pushed>, Failed> {
        let rows = self.read(BOOK, &[version.into()]).await?;
        rows.first().map(pushed).transpose()
    }

    /// Adds a book; false where its version is known.
    pub async fn add(&self, book: &Pushed) -> Result<bool, Failed> {
        let row = [
            book.version.as_str().into(),
            book.sha256.as_str().into(),
            number(book.bytes),
            number(book.models),
            book.currency.as_str().into(),
            millis(book.effective_from),
            millis(book.pushed_at),
        ];
        Ok(!self.query(ADD_BOOK, &row).await?.is_empty())
    }

    /// Activates a book, at `at` or at once; `None` where too many wait already.
    pub async fn activate(
        &self,
        book: &Pushed,
        at: Timestamp,
        now: Timestamp,
        by: Option<&str>,
    ) -> Result<Option<Activation>, Failed> {
        let parameters = [
            book.version.as_str().into(),
            book.sha256.as_str().into(),
            millis(at),
            millis(now),
            by.map_or(JsValue::NULL, JsValue::from_str),
            SCHEDULED_MAX.into(),
        ];
        let rows = self.query(ACTIVATE, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Activation {
            seq: whole(&row.get(0))?,
            version: book.version.clone(),
            sha256: book.sha256.clone(),
            effective_at: time(&row.get(1))?,
            known_at: time(&row.get(2))?,
            by: by.map(ToOwned::to_owned),
        }))
    }
}

fn owner(row: &Array) -> Result<Owner, Failed> {
    let name = |at| text(&row.get(at))?.parse().map_err(|()| "a name that is none".to_owned());
    Ok((name(0)?, name(1)?))
}

fn activation(row: &Array) -> Result<Activation, Failed> {
    Ok(Activation {
        seq: whole(&row.get(0))?,
        version: text(&row.get(1))?,
        sha256: text(&row.get(2))?,
        effective_at: time(&row.get(3))?,
        known_at: time(&row.get(4))?,
        by: row.get(5).as_string(),
    })
}

fn pushed(row: &Array) -> Result<Pushed, Failed> {
    Ok(Pushed {
        version: text(&row.get(0))?,
        sha256: text(&row.get(1))?,
        bytes: whole(&row.get(2))?,
        models: whole(&row.get(3))?,
        currency: text(&row.get(4))?,
        effective_from: time(&row.get(5))?,
        pushed_at: time(&row.get(6))?,
    })
}
