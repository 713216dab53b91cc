//! An admitted attempt, and the ways it ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::config::Config;
use super::js;
use super::ledger_call::LedgerClient;
use crate::book::{Book, CardRef, Situation};
use crate::clock::{Millis, Timestamp};
use crate::ids::AttemptId;
use crate::ledger::{Command, Reply, Settle, SubUsed, Void};
use crate::meter::{End, Framing, Metering, Reading};
use crate::money::Exact;
use crate::quote::Quote;
use crate::record;
use crate::wire::read::{self, SubUsage};

/// An admitted attempt: everything needed to settle it later.
#[derive(Clone)]
pub struct Attempt {
    pub id: AttemptId,
    pub ledger: LedgerClient,
    pub config: Rc<Config>,
    pub quote: Rc<Quote>,
}

/// An attempt that is over, as far as the upstream told.
pub struct Ended {
    reading: Reading,
    status: Option<u16>,
    began: Option<Timestamp>,
    error_class: Option<String>,
}

impl Ended {
    /// The upstream answered.
    pub fn heard(reading: Reading, status: u16, began: Timestamp) -> Self {
        Self { reading, status: Some(status), began: Some(began), error_class: None }
    }

    /// It was sent, and nothing was heard.
    pub fn unheard(class: &str) -> Self {
        let end = if class == "left" { End::ClientLeft } else { End::Cut };
        let reading = Metering::new(Framing::Sse, 200).end(end);
        Self { reading, status: None, began: None, error_class: Some(class.to_owned()) }
    }
}

/// Longest name of an upstream's that a record keeps.
const NAME_MAX: usize = 256;

/// The one timer of a request; ends with it.
pub struct Watch(js::Watch);

impl Watch {
    pub fn new() -> Self {
        Self(js::Watch::new())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Attempt {
    /// Milliseconds between renewals: a third of the hold's life, so that two may fail.
    pub fn renew_every(&self) -> u32 {
        self.config.hold_ttl.0.div_ceil(3)
    }

    /// What `promise` answers; the hold is renewed as long as that takes. Past `timeout` the call
    /// made for `request` is ended.
    pub async fn meanwhile(
        &self,
        promise: &js_sys::Promise,
        watch: &Watch,
        request: &web_sys::Request,
        timeout: Option<Millis>,
    ) -> Result<JsValue, JsValue> {
        let began = js::now();
        let mut rung = false;
        loop {
            let passed = u32::try_from(js::now().since(began)).unwrap_or(u32::MAX);
            let left = timeout.map_or(u32::MAX, |timeout| timeout.0.saturating_sub(passed));
            if left == 0 {
                js::stop_call(request, "timeout");
                return JsFuture::from(promise.clone()).await;
            }
            if rung {
                self.renew(self.quote.lower).await;
            }
            let soon = watch.0.or(promise, f64::from(left.min(self.renew_every())));
            let value = JsFuture::from(soon).await?;
            if !value.is_undefined() {
                return Ok(value);
            }
            rung = true;
        }
    }

    /// Puts the hold's end off.
    pub async fn renew(&self, floor: Exact) {
        let _ = self.ledger.tell(&Command::Renew { attempt_id: self.id, floor }).await;
    }

    /// Settles; answers what the attempt was charged.
    pub async fn settle(&self, ended: Ended) -> Option<Exact> {
        let served = (self.quote.provider.as_str(), self.quote.model.as_str());
        match settle(&self.ledger, &self.config.book, served, self.id, ended).await {
            Some(Reply::Closed { charged, .. }) => Some(charged),
            other => {
                js::log(&format!("attempt {} not settled: {other:?}", self.id));
                None
            }
        }
    }

    /// Releases the hold.
    pub async fn void(&self, upstream_status: Option<u16>, class: &str) {
        let error_class = class.to_owned();
        let void =
            Void { attempt_id: self.id, upstream_status, error_class, finished_at: js::now() };
        let _ = self.ledger.tell(&Command::Void(void)).await;
    }
}

/// Tells the ledger what an attempt used; `provider` served it, `asked` is the model asked for.
pub async fn settle(
    ledger: &LedgerClient,
    book: &Book,
    (provider, asked): (&str, &str),
    attempt_id: AttemptId,
    ended: Ended,
) -> Option<Reply> {
    let Ended { reading, status, began, error_class } = ended;
    let suspect = reading.needs_a_look();
    reading.unknown.iter().for_each(|found| tell_unknown(provider, &found.path));
    let served = reading.model.as_deref();
    let served_other = served.is_some_and(|served| !book.serves(provider, asked, served));
    let settle = Settle {
        attempt_id,
        usage: reading.usage,
        outcome: reading.outcome,
        upstream_status: status,
        error_class,
        suspect,
        served_other,
        sub_usage: reading.sub_usage.into_iter().map(|sub| priced(book, provider, sub)).collect(),
        unknown: reading.unknown.iter().map(unknown).collect(),
        served_model: reading.model.filter(|model| model.len() <= NAME_MAX),
        served_tier: reading.service_tier.filter(|tier| tier.len() <= 32),
        first_byte_at: began,
        finished_at: js::now(),
    };
    ledger.tell(&Command::Settle(Box::new(settle))).await
}

/// Another model's usage with its prices, if the book sells it.
fn priced(book: &Book, provider: &str, sub: SubUsage) -> SubUsed {
    let situation = Situation { at: Some(js::now()), ..Situation::default() };
    let model = sub.model.filter(|model| model.len() <= NAME_MAX);
    let sold = model.as_ref().and_then(|model| book.find(Some(provider), model));
    let card = sold.and_then(|model| model.card(&situation)).map(CardRef::to_card);
    let kind = sub.kind.chars().take(NAME_MAX).collect();
    SubUsed { kind, model, included: sub.included, usage: sub.usage, card }
}

/// Places of unknown numbers that were told of; more, and the log is no place to read them.
const TOLD_MAX: usize = 256;

thread_local! {
    static TOLD: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Says once in this isolate's life where a provider reports a number that no table names.
fn tell_unknown(provider: &str, path: &str) {
    let path: String = path.chars().take(NAME_MAX).collect();
    let place = format!("{provider}: {path:?}");
    let is_new = TOLD.with_borrow_mut(|told| told.len() < TOLD_MAX && told.insert(place.clone()));
    if is_new {
        js::log(&format!("a number that no table names, perhaps billed, is reported by {place}"));
    }
}

fn unknown(found: &read::Unknown) -> record::Unknown {
    let path = found.path.chars().take(NAME_MAX).collect();
    record::Unknown { path, quantity: found.quantity }
}
