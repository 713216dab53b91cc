//! The shell around one customer's ledger: loads it, hands it commands, persists its rows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Deserialize;
use wasm_bindgen::prelude::*;

use super::alerts;
use super::alerts::ask::{Ask, answer};
use super::batch::FoundFile;
use super::config::{Config, config};
use super::jobs::FoundJob;
use super::outbox;
use super::sql::Store;
use super::{js, own};
use crate::clock::{Millis, Timestamp};
use crate::ids::RequestId;
use crate::ledger::{
    AlertRow, Command, Context, File, Ledger, RefusalCode, Reply, Row, State, ToQuote,
};

/// Records shown at most in one answer; also what a dashboard lists.
const SHOWN_MAX: u64 = 50;

/// The customer's own alerts in a frame: what a page has room for.
const ALERTS_SHOWN: u64 = 10;

/// Time between two rounds of letting go of old rows.
const PRUNE_EVERY_MS: u64 = 3_600_000;
/// Records of one request in one answer, about two megabytes. A batch has one for each line; whoever
/// wants more asks for those after the last.
const REQUEST_RECORDS_MAX: u64 = 1_000;
/// The pause, in seconds, after an alarm that could not see to its alerts: nothing has changed by then.
const ALERTS_PAUSE_S: u32 = 60;

/// A read: answered from storage, changes nothing.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Look {
    /// Where the customer stands, with the newest records.
    Snapshot {},
    /// The same, with the records after a position only.
    Update { after: u64 },
    /// What a request would be charged under the customer's terms.
    Quote { asked: Box<ToQuote> },
    /// The records of one request after a position.
    Request {
        id: RequestId,
        #[serde(default)]
        after: u64,
    },
    /// One of the customer's jobs.
    Job { id: String },
    /// One of the customer's batches.
    Batch { id: String },
    /// The customer's batches at a path, newest first.
    Batches { path: String, after: Option<String>, limit: u64 },
    /// How many of those there are.
    BatchCount { path: String },
    /// One of the customer's files; with the batch whose results it holds.
    File { id: String },
}

/// One customer's ledger object.
#[wasm_bindgen]
pub struct LedgerObject {
    config: Result<Rc<Config>, String>,
    store: Result<Rc<Store>, String>,
    bucket: Option<worker::Bucket>,
    /// Absent until first needed, and again after a failure: then it is loaded anew.
    ledger: RefCell<Option<Ledger>>,
    /// When the alarm is set for; absent where that is not known.
    alarm_at: Cell<Option<Timestamp>>,
    /// When old rows were last let go.
    pruned_at: Cell<Option<Timestamp>>,
    /// The last request was turned away at a spent limit. A limit is hardly ever spent to the last
    /// digit, so this is what "stopped" looks like to a customer. Shown, never stored.
    turned_away: Cell<bool>,
    /// When there is an alert to spread or to send; outer: not looked up yet.
    deliver_at: Cell<Known>,
    /// Bindings, for what sends alerts.
    env: JsValue,
}

/// When something is due, as far as memory knows.
#[derive(Clone, Copy)]
enum Known {
    /// It was not looked up yet.
    No,
    /// Then, or never.
    At(Option<Timestamp>),
}

#[wasm_bindgen]
impl LedgerObject {
    /// Opens the object's storage. Failures are kept and answered to every call: a constructor that
    /// throws would only be retried for ever.
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: &JsValue) -> Self {
        let storage = js_sys::Reflect::get(state, &"storage".into());
        let store = storage.map_err(|error| js::reason(&error)).and_then(Store::open).map(Rc::new);
        let bucket = env.unchecked_ref::<worker::Env>().bucket("RECORDS").ok();
        Self {
            config: config(env),
            store,
            bucket,
            ledger: RefCell::new(None),
            alarm_at: Cell::new(None),
            pruned_at: Cell::new(None),
            turned_away: Cell::new(false),
            deliver_at: Cell::new(Known::No),
            env: env.clone(),
        }
    }

    /// Carries out one command: JSON in, JSON out. Nothing is awaited between read and write.
    pub fn apply(&self, command: &str) -> Result<String, JsValue> {
        let command: Command = serde_json::from_str(command).map_err(failed)?;
        let reply = self.run(&command).map_err(failed)?;
        if matches!(command, Command::Sweep) {
            // The cron's: an alarm that was lost is set anew.
            self.alarm_at.set(None);
            self.arm().map_err(failed)?;
        }
        serde_json::to_string(&reply).map_err(failed)
    }

    /// Answers a read: JSON in, JSON out.
    pub fn look(&self, look: &str) -> Result<String, JsValue> {
        let look: Look = serde_json::from_str(look).map_err(failed)?;
        self.answer(&look).map_err(failed)
    }

    /// Answers a question about alerts, or carries an order out: JSON in; JSON out, or `!` and what
    /// is wrong with the order.
    pub fn alerts(&self, ask: &str) -> Result<String, JsValue> {
        let ask: Ask = serde_json::from_str(ask).map_err(failed)?;
        self.ask(&ask).map_err(failed)
    }

    /// Position of the last record.
    #[wasm_bindgen(js_name = headSeq)]
    pub fn head_seq(&self) -> Result<f64, JsValue> {
        match self.run(&Command::Status).map_err(failed)? {
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            Reply::Status(snapshot) => Ok(snapshot.head.seq as f64),
            _ => Ok(0.0),
        }
    }

    /// The alarm: expires holds and sends records out. Never fails; whatever is left is done later.
    pub async fn alarm(&self) {
        self.alarm_at.set(None);
        if let Err(error) = self.run(&Command::Sweep) {
            js::log(&format!("sweep: {error}"));
        }
        if let Err(error) = self.prune() {
            js::log(&format!("prune: {error}"));
        }
        if let Err(error) = self.send_out().await {
            js::log(&format!("outbox: {error}"));
        }
        let delivered = self.deliver().await;
        self.deliver_at.set(Known::No);
        if let Err(error) = delivered {
            js::log(&format!("alerts: {error}"));
            // What cannot be done now cannot be done at once either.
            let later = js::now().plus(Millis::from_secs(ALERTS_PAUSE_S));
            self.deliver_at.set(Known::At(Some(later)));
        }
        let _ = self.arm();
    }
}

fn told(found: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(found).map_err(|error| error.to_string())
}

fn failed(error: impl std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

impl LedgerObject {
    fn store(&self) -> Result<Rc<Store>, String> {
        self.store.clone()
    }

    fn run(&self, command: &Command) -> Result<Reply, String> {
        let config = self.config.clone()?;
        let store = self.store()?;
        let now = js::now();
        let mut slot = self.ledger.borrow_mut();
        let mut ledger = match slot.take() {
            Some(ledger) => ledger,
            None => Ledger::load(store.load(now)?, now).map_err(|error| error.to_string())?,
        };
        let prior = store.prior(command, &ledger, now)?;
        let context = Context {
            now,
            // Any command may expire a hold, and its record needs a salt.
            random: js::random(),
            record_ring: &config.records,
            hold_ttl: config.hold_ttl,
            prior,
        };
        // On any failure the ledger stays taken out of its slot: the next call loads it from what
        // was really written.
        let outcome = ledger.apply(command, &context).map_err(|broken| format!("{broken:?}"))?;
        store.commit(&outcome.rows)?;
        if outcome.rows.iter().any(|row| matches!(row, Row::Alerts(AlertRow::Raise { .. }))) {
            self.deliver_at.set(Known::At(Some(now)));
        }
        let changed = !outcome.rows.is_empty();
        *slot = Some(ledger);
        drop(slot);
        if changed {
            self.arm()?;
        }
        match (command, &outcome.reply) {
            (Command::Reserve(_), Reply::Refused(refusal)) => {
                self.turned_away.set(refusal.code == RefusalCode::SpendLimitExceeded);
            }
            (Command::Reserve(_) | Command::Admin(_), _) => self.turned_away.set(false),
            _ => {}
        }
        Ok(outcome.reply)
    }

    /// Once an hour of the object's life, so that it costs nothing to speak of.
    fn prune(&self) -> Result<(), String> {
        let now = js::now();
        if self.pruned_at.get().is_some_and(|at| now.since(at) < PRUNE_EVERY_MS) {
            return Ok(());
        }
        self.pruned_at.set(Some(now));
        self.store()?.prune(now)
    }

    /// Sets the alarm for whatever is due first: a hold's end, or a batch of records. Only ever
    /// moves it forward in time when it has fired, so most operations write no alarm.
    fn arm(&self) -> Result<(), String> {
        let store = self.store()?;
        let slot = self.ledger.borrow();
        let Some(ledger) = slot.as_ref() else { return Ok(()) };
        let config = self.config.clone()?;
        let records = self.bucket.is_some() && self.unsent(&store, ledger)?;
        let batch = records.then(|| js::now().plus(config.outbox_delay));
        let summary = ledger.next_summary();
        let deliver = self.next_delivery(&store)?;
        let due = [ledger.next_expiry(), batch, summary, deliver].into_iter().flatten().min();
        let Some(due) = due else {
            return Ok(());
        };
        if self.alarm_at.get().is_none_or(|set| due < set) {
            self.alarm_at.set(Some(due));
            #[allow(clippy::cast_precision_loss)] // milliseconds, below 2^53
            js::set_alarm(store.raw(), due.ms() as f64);
        }
        Ok(())
    }

    fn unsent(&self, store: &Store, ledger: &Ledger) -> Result<bool, String> {
        // Asked after every write, so the answer is only looked up where an alarm may be needed.
        if self.alarm_at.get().is_some() {
            return Ok(true);
        }
        Ok(store.cursor(outbox::R2)?.sent < ledger.head().seq)
    }

    fn next_delivery(&self, store: &Store) -> Result<Option<Timestamp>, String> {
        if let Known::At(at) = self.deliver_at.get() {
            return Ok(at);
        }
        let at = store.next_delivery()?;
        self.deliver_at.set(Known::At(at));
        Ok(at)
    }

    async fn deliver(&self) -> Result<(), String> {
        let (store, config) = (self.store()?, self.config.clone()?);
        let due = store.next_delivery()?.is_some_and(|at| at <= js::now());
        if due { alerts::deliver(&store, &config.alerts, &self.env).await } else { Ok(()) }
    }

    fn ask(&self, ask: &Ask) -> Result<String, String> {
        let store = self.store()?;
        // Loads the ledger, where it is not in memory.
        self.run(&Command::Status)?;
        let told = {
            let slot = self.ledger.borrow();
            let ledger = slot.as_ref().ok_or("the ledger is not in memory")?;
            answer(&store, ask, ledger.customer(), ledger.alert_settings())?
        };
        self.deliver_at.set(Known::No);
        self.arm()?;
        told.or_else(|wrong| serde_json::to_string(&wrong).map(|text| format!("!{text}")))
            .map_err(|error| error.to_string())
    }

    async fn send_out(&self) -> Result<(), String> {
        let (Some(bucket), store) = (&self.bucket, self.store()?) else { return Ok(()) };
        let (customer, head) = {
            let slot = self.ledger.borrow();
            let Some(ledger) = slot.as_ref() else { return Ok(()) };
            let Some(customer) = ledger.customer() else { return Ok(()) };
            (customer.clone(), ledger.head().seq)
        };
        outbox::to_r2(&store, bucket, &customer, head).await
    }

    fn answer(&self, look: &Look) -> Result<String, String> {
        let store = self.store()?;
        match look {
            Look::Snapshot {} => self.frame("snapshot", 0),
            Look::Update { after } => self.frame("update", *after),
            Look::Quote { asked } => {
                // Credit comes and goes by the clock first.
                self.run(&Command::Status)?;
                let slot = self.ledger.borrow();
                let ledger = slot.as_ref().ok_or("the ledger is not loaded")?;
                let quote = ledger.quote(asked, js::now());
                told(&quote.map_err(|broken| format!("{broken:?}"))?)
            }
            Look::Job { id } => told(&store.job(id)?.map(|(job, open)| FoundJob { job, open })),
            Look::Batch { id } => told(&store.batch(id)?),
            Look::Batches { path, after, limit } => {
                told(&store.batches(path, after.as_deref(), (*limit).min(SHOWN_MAX))?)
            }
            Look::BatchCount { path } => told(&store.batch_count(path)?),
            Look::File { id } => {
                let Some(file) = store.file(id)? else { return Ok("null".to_owned()) };
                let batch = match &file {
                    File::Results { batch_id, .. } => store.batch(batch_id)?,
                    File::Requests(_) => None,
                };
                told(&FoundFile { file, batch })
            }
            Look::Request { id, after } => {
                let most = REQUEST_RECORDS_MAX;
                let records = store.of_request(*id, *after, most.saturating_add(1))?;
                own::request_view(&records, most, store.charged_of_request(*id)?)
            }
        }
    }

    /// Looking ahead takes longer than all the rest: once for each page, not for each push.
    fn run_outlook(&self, kind: &str) -> Result<Option<Reply>, String> {
        if kind == "snapshot" { self.run(&Command::Outlook).map(Some) } else { Ok(None) }
    }

    /// How the customer stands, with the records after a position. They are read last: asking how it
    /// stands may end holds, each with a record.
    fn frame(&self, kind: &str, after: u64) -> Result<String, String> {
        let outlook = match self.run_outlook(kind)? {
            Some(Reply::Outlook(outlook)) => Some(outlook),
            _ => None,
        };
        match self.run(&Command::Status)? {
            Reply::Status(mut snapshot) => {
                if self.turned_away.get() {
                    snapshot.status = State::Stopped;
                }
                let store = self.store()?;
                let alerts = store.alerts(false, None, ALERTS_SHOWN)?;
                let lines = store.newest(after, SHOWN_MAX)?;
                own::frame(kind, &snapshot, &lines, &alerts, outlook.as_deref())
            }
            _ => Ok("null".to_owned()), // no such customer
        }
    }
}
