//! An admitted attempt, and the ways it ends.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::admit::Admission;
use super::config::Config;
use super::count::count;
use super::fail_open::Unheld;
use super::http::Incoming;
use super::js;
use super::ledger_call::LedgerClient;
use crate::api::Problem;
use crate::book::{Book, CardRef, Situation};
use crate::clock::{Millis, Timestamp};
use crate::ids::AttemptId;
use crate::ledger::{Command, Refusal, Reply, Settle, SubUsed, Void};
use crate::meter::{End, Framing, Metering, Reading};
use crate::money::Exact;
use crate::quote::Quote;
use crate::record;
use crate::wire::read::{self, SubUsage};
use crate::wire::request::Ask;

/// An admitted attempt: everything needed to settle it later.
#[derive(Clone)]
pub struct Attempt {
    pub id: AttemptId,
    pub ledger: LedgerClient,
    pub config: Rc<Config>,
    pub quote: Rc<Quote>,
    /// How the limits stood after its hold, as headers.
    pub limits: Rc<Vec<(&'static str, String)>>,
    /// The book it was admitted under: prices what other models do inside its answer.
    pub book: Rc<Book>,
    /// A client that leaves does not end the upstream's call at once.
    pub drains: bool,
    /// The model was asked to reason, which may not show.
    pub reasons: bool,
    /// It is held for in part, and this is how its hold grows.
    pub room: Option<Rc<Room>>,
    /// It has no hold: the ledger could not be reached.
    pub unheld: Option<Rc<Unheld>>,
}

/// How a hold grows that is smaller than the worst case.
pub struct Room {
    /// By which the request was priced whole.
    pub admission: Admission,
    pub at: Timestamp,
    /// Output tokens in all, at most.
    pub most: u64,
    /// Output tokens held for ahead of what was seen.
    pub ahead: u64,
}

impl Room {
    /// The request's price with so many output tokens, all choices together.
    pub fn quote(&self, tokens: u64) -> Option<Quote> {
        let ask = self.admission.ask();
        let each = tokens.div_ceil(ask.choices.max(1));
        let ask = Ask { max_output: Some(each), max_output_is_newer: false, ..(**ask).clone() };
        self.admission.price(&ask, self.at).ok()
    }
}

/// An attempt that is over, as far as the upstream told.
pub struct Ended {
    reading: Reading,
    status: Option<u16>,
    began: Option<Timestamp>,
    error_class: Option<String>,
}

impl Ended {
    /// The same, with what kept it from being answered whole.
    pub fn because(self, class: Option<&str>) -> Self {
        Self { error_class: class.map(ToOwned::to_owned).or(self.error_class), ..self }
    }

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

/// How long the usage is waited for after the client left at the end of the content.
const READ_ON_MS: u64 = 5_000;
/// How long an answer is drained: the platform ends work 30 s after the client has gone, and the
/// settle has to be told within them.
const DRAIN_MS: u64 = 25_000;
/// How long a reserve without an answer may still be on its way: two deadlines of a call.
const STILL_ON_ITS_WAY_MS: f64 = 8_000.0;

/// Longest name of an upstream's that a record keeps.
pub const NAME_MAX: usize = 256;

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
    /// A failure after the hold: its answer tells how the limits stand, as any other.
    pub fn told(&self, mut problem: Problem) -> Problem {
        problem.headers.extend(self.limits.iter().cloned());
        problem
    }

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
        if self.unheld.is_some() {
            return;
        }
        let _ = self.ledger.tell(&Command::Renew { attempt_id: self.id, floor }).await;
    }

    /// Whether the upstream has been silent for as long as it may, since `heard`.
    pub fn is_stalled(&self, heard: Timestamp) -> bool {
        js::now().since(heard) > u64::from(self.config.upstream_timeout.0)
    }

    /// How long an answer is read on after its client has left.
    pub fn reads_on_ms(&self) -> u64 {
        if self.drains { DRAIN_MS } else { READ_ON_MS }
    }

    /// Whether it is read on whatever was seen of it.
    pub fn reads_on(&self) -> bool {
        self.drains || self.reasons
    }

    /// Most output tokens that it may have.
    pub fn most_output(&self) -> Option<u64> {
        self.room.as_ref().map_or_else(|| self.quote.output_tokens.upper.to_u64(), |r| Some(r.most))
    }

    /// Raises the hold to cover `tokens` of output, or as many as there is money for; answers how
    /// many it is known to cover now, zero where it did not grow.
    pub async fn extend(&self, room: &Room, tokens: u64) -> u64 {
        let Some(quote) = room.quote(tokens) else { return 0 };
        let refusal = match self.extend_to(&quote).await {
            Ok(()) => return tokens,
            Err(refusal) => refusal,
        };
        // What is left for this attempt, the hold that it has included.
        let budget = refusal.and_then(|refusal| refusal.limit).map(|limit| limit.remaining);
        let Some(fewer) = budget.and_then(|budget| quote.affordable_output(budget)) else {
            return 0;
        };
        let fewer = fewer.to_u64().unwrap_or(0).min(tokens);
        // Whole choices: a part of a token for each is not held for.
        let choices = room.admission.ask().choices.max(1);
        let fewer = fewer.saturating_sub(fewer.checked_rem(choices).unwrap_or(0));
        match room.quote(fewer) {
            Some(quote) if fewer > 0 && self.extend_to(&quote).await.is_ok() => fewer,
            _ => 0,
        }
    }

    async fn extend_to(&self, quote: &Quote) -> Result<(), Option<Box<Refusal>>> {
        let (attempt_id, held, floor) = (self.id, quote.upper, quote.lower);
        let most = quote.worst.clone();
        match self.ledger.ask(&Command::Extend { attempt_id, held, floor, most }).await {
            Ok(Reply::Held { .. }) => Ok(()),
            Ok(Reply::Refused(refusal)) => Err(Some(refusal)),
            _ => Err(None),
        }
    }

    /// Settles; answers what the attempt was charged.
    pub async fn settle(&self, mut ended: Ended) -> Option<Exact> {
        count(&mut ended.reading, &self.quote.model).await;
        let served = (self.quote.provider.as_str(), self.quote.model.as_str());
        let settle = told(&self.book, served, self.id, ended);
        let reply = match &self.unheld {
            Some(unheld) => unheld.settle(&self.ledger, settle).await,
            None => self.ledger.tell(&Command::Settle(Box::new(settle))).await,
        };
        match reply {
            Some(Reply::Closed { charged, .. }) => Some(charged),
            other => {
                js::log(&format!("attempt {} not settled: {other:?}", self.id));
                None
            }
        }
    }

    /// The same, for a client that waits for its answer until then. It does not where the ledger
    /// could not be reached a moment ago.
    pub async fn settle_first(&self, incoming: &Incoming, ended: Ended) -> Option<Exact> {
        if self.unheld.is_none() {
            return self.settle(ended).await;
        }
        let attempt = self.clone();
        incoming.keep(async move {
            attempt.settle(ended).await;
        });
        None
    }

    /// Releases the hold.
    pub async fn void(&self, upstream_status: Option<u16>, class: &str) {
        if let Some(unheld) = &self.unheld {
            unheld.void();
            return self.release_unknown().await;
        }
        let _ = self.ledger.tell(&Command::Void(self.nothing(upstream_status, class))).await;
    }

    fn nothing(&self, upstream_status: Option<u16>, class: &str) -> Void {
        let (attempt_id, error_class) = (self.id, class.to_owned());
        Void { attempt_id, upstream_status, error_class, finished_at: js::now() }
    }

    /// Releases a hold of which nobody knows whether it was made. Where there is none yet, its
    /// reserve may still be on its way, so it is looked for once more.
    pub async fn release_unknown(&self) {
        let void = Command::Void(self.nothing(None, "metering_unavailable"));
        if let Some(Reply::UnknownAttempt) = self.ledger.tell(&void).await {
            js::pause(STILL_ON_ITS_WAY_MS).await;
            let _ = self.ledger.tell(&void).await;
        }
    }
}

/// What is told the ledger of an attempt that is over; `provider` served it, `asked` is the model
/// asked for.
fn told(
    book: &Book,
    (provider, asked): (&str, &str),
    attempt_id: AttemptId,
    ended: Ended,
) -> Settle {
    let Ended { reading, status, began, error_class } = ended;
    let suspect = reading.needs_a_look();
    reading.unknown.iter().for_each(|found| tell_unknown(provider, &found.path));
    let served = reading.model.as_deref();
    let served_other = served.is_some_and(|served| !book.serves(provider, asked, served));
    Settle {
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
    }
}

/// Tells the ledger what an attempt used; served by whom, asked for by which name.
pub async fn settle(
    ledger: &LedgerClient,
    book: &Book,
    served: (&str, &str),
    attempt_id: AttemptId,
    ended: Ended,
) -> Option<Reply> {
    let settle = told(book, served, attempt_id, ended);
    ledger.tell(&Command::Settle(Box::new(settle))).await
}

/// Another model's usage with its prices, if the book sells it.
pub fn priced(book: &Book, provider: &str, sub: SubUsage) -> SubUsed {
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

pub fn unknown(found: &read::Unknown) -> record::Unknown {
    let path = found.path.chars().take(NAME_MAX).collect();
    record::Unknown { path, quantity: found.quantity }
}
