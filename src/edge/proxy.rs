//! One API request from end to end: authenticate, admit, forward, meter, settle.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::config::{Config, Upstream};
use super::http::{Incoming, bearer, internal, names, response};
use super::js;
use super::ledger_call::LedgerClient;
use super::tap;
use crate::api::{self, Code, Problem};
use crate::auth::ApiKey;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Id, Name};
use crate::ledger::{Command, Pinned, Reply, Reserve, Settle, Void};
use crate::meter::{End, Framing, Metering, Reading};
use crate::money::Exact;
use crate::quote::{self, Quote, Unpriced};
use crate::record::Admitted;
use crate::wire::Family;
use crate::wire::request::{Ask, inspect, with_usage_asked};

/// Longest request body. An isolate has 128 MB and holds a body twice while it is read; the APIs
/// themselves stop at 10 to 32 MB.
pub const REQUEST_MAX: u32 = 16 * 1024 * 1024;

/// Longest answer that is held back until its cost is known; larger ones pass at once.
pub const WHOLE_MAX: u32 = 1024 * 1024;

/// Request headers that reach the upstream. All others are the gateway's business, the platform's,
/// or could be spoofed.
const TO_UPSTREAM: [&str; 6] =
    ["content-type", "accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta"];

/// Response headers that reach the client. Rate-limit headers speak of the operator's pooled
/// account and stay out.
const TO_CLIENT: [&str; 10] = [
    "content-type",
    "cache-control",
    "x-request-id",
    "request-id",
    "openai-processing-ms",
    "openai-version",
    "openai-model",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
];

thread_local! {
    static TO_UPSTREAM_NAMES: JsValue = names(&TO_UPSTREAM);
    static TO_CLIENT_NAMES: JsValue = names(&TO_CLIENT);
}

/// An admitted attempt: everything needed to settle it later.
#[derive(Clone)]
pub struct Attempt {
    pub id: AttemptId,
    pub ledger: LedgerClient,
    pub config: Rc<Config>,
    pub quote: Rc<Quote>,
}

pub async fn proxy(incoming: &Incoming, family: Family) -> Result<web_sys::Response, Problem> {
    if incoming.request.method() != "POST" {
        let message = format!("{} takes POST.", family.path());
        return Err(Problem::new(Code::MethodNotAllowed, message));
    }
    let config = incoming.config()?;
    let received_at = js::now();
    let key = authenticate(incoming, &config)?;
    let body = read_body(incoming).await?;
    crash_if_asked(incoming, &config);
    let bytes = Uint8Array::new(&body).to_vec();
    let ask = inspect(family, &bytes).map_err(|bad| Problem {
        param: bad.param,
        ..Problem::new(Code::InvalidRequest, bad.message)
    })?;
    let (quote, pinned, upstream) = price(&ask, &config)?;
    let (body, strip) = upstream_body(&ask, body, &bytes, &config)?;
    drop(bytes);
    let ledger = LedgerClient::new(&incoming.env, key.customer.clone())?;
    let id: AttemptId = Id::new(received_at, js::random());
    let attempt = Attempt { id, ledger, config: config.clone(), quote: Rc::new(quote) };
    admit(incoming, &attempt, &ask, &key, pinned, received_at).await?;
    let answer = call_upstream(incoming, &attempt, family, upstream, &body).await?;
    deliver(incoming, attempt, upstream, answer, strip).await
}

/// A key by either header; two different ones leave open whose request it is.
fn authenticate(incoming: &Incoming, config: &Config) -> Result<ApiKey, Problem> {
    let (bearer, header) = (bearer(incoming), incoming.header("x-api-key"));
    if bearer.is_some() && header.is_some() && bearer != header {
        let message = "Two different keys were sent, in Authorization and in x-api-key. Send one.";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    let text = bearer.or(header).ok_or_else(api::invalid_key)?;
    ApiKey::verify(&text, &config.keys).map_err(|_| api::invalid_key())
}

async fn read_body(incoming: &Incoming) -> Result<ArrayBuffer, Problem> {
    let encoding = incoming.header("content-encoding");
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let message = "Compressed request bodies are not read. Send the body without \
                       Content-Encoding.";
        return Err(Problem::new(Code::UnsupportedEncoding, message));
    }
    let reading = js::read_body(&incoming.request, f64::from(REQUEST_MAX));
    let body = JsFuture::from(reading).await.map_err(|_| {
        Problem::new(Code::InvalidRequest, "The request body could not be read to its end.")
    })?;
    body.dyn_into().map_err(|_| {
        let message = format!("The request body is longer than {REQUEST_MAX} bytes.");
        Problem::new(Code::RequestTooLarge, message)
    })
}

/// In a test setup only: stops the engine where a bug would.
#[allow(clippy::panic)]
fn crash_if_asked(incoming: &Incoming, config: &Config) {
    assert!(!(config.allow_crash && incoming.header("x-farebox-crash").is_some()), "asked to");
}

/// The worst case, the prices to pin, and where the request goes.
fn price<'a>(ask: &Ask, config: &'a Config) -> Result<(Quote, Pinned, &'a Upstream), Problem> {
    let unpriced = |why: Unpriced| api::unpriced(&why, &ask.model);
    let model = config.book.find(None, &ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
    let upstream = config.upstreams.get(&model.provider).ok_or_else(|| {
        let message = format!("The model {:?} has no upstream configured here.", ask.model);
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })?;
    let quote = quote::quote_model(ask, &config.book, model).map_err(unpriced)?;
    let pinned = Pinned {
        provider: model.provider.clone(),
        upstream: model.provider.clone(),
        rates: model.rates.clone(),
        tiers: model.tiers.clone(),
        cost: model.cost.clone(),
        input_least: ask.input_least,
    };
    Ok((quote, pinned, upstream))
}

/// The client's bytes as they are; or, where a stream's usage has to be asked for, with that one
/// option set. Says whether the usage chunk must be taken out again.
fn upstream_body(
    ask: &Ask,
    body: ArrayBuffer,
    bytes: &[u8],
    config: &Config,
) -> Result<(JsValue, bool), Problem> {
    let asks = ask.family == Family::OpenAiChat && ask.stream && ask.include_usage != Some(true);
    if !asks {
        return Ok((body.into(), false));
    }
    let changed =
        with_usage_asked(bytes).map_err(|bad| Problem::new(Code::InvalidRequest, bad.message))?;
    Ok((Uint8Array::from(changed.as_slice()).into(), !config.pass_usage_chunk))
}

async fn admit(
    incoming: &Incoming,
    attempt: &Attempt,
    ask: &Ask,
    key: &ApiKey,
    pinned: Pinned,
    received_at: Timestamp,
) -> Result<(), Problem> {
    let quote = &attempt.quote;
    let admitted = Admitted {
        key_id: key.key_id.clone(),
        mode: key.mode,
        received_at,
        endpoint: ask.family.path().to_owned(),
        model: ask.model.clone(),
        stream: ask.stream,
        features: ask.features.iter().map(ToString::to_string).collect(),
        service_tier: ask.service_tier.clone(),
        end_user: None,
        book_version: quote.book_version.clone(),
        currency: quote.currency.clone(),
        held: quote.upper,
    };
    let reserve = Reserve {
        attempt_id: attempt.id,
        request_id: incoming.id.parse().unwrap_or(attempt.id),
        secret_sha256: key.secret_sha256(),
        admitted,
        floor: quote.lower.min(quote.upper),
        pinned,
        end_user: ask.end_user.clone(),
        again: false,
    };
    match attempt.ledger.ask(&Command::Reserve(Box::new(reserve))).await? {
        Reply::Held { .. } => Ok(()),
        Reply::Refused(refusal) => {
            let budget = refusal.limit.as_ref().map(|limit| limit.remaining);
            let total = budget.and_then(|budget| quote.affordable_output(budget));
            let each = total.and_then(|total| total.whole_times(Exact::from(ask.choices)).ok());
            Err(api::refused(&refusal, each, incoming.origin()))
        }
        other => Err(internal(&format!("reserve answered {other:?}").into())),
    }
}

/// Calls the upstream and waits for its headers, renewing the hold meanwhile.
async fn call_upstream(
    incoming: &Incoming,
    attempt: &Attempt,
    family: Family,
    upstream: &Upstream,
    body: &JsValue,
) -> Result<web_sys::Response, Problem> {
    let called = async {
        let from = incoming.request.headers();
        let headers = TO_UPSTREAM_NAMES.with(|allow| js::copy_headers(&from, allow));
        headers.set("accept-encoding", "identity")?;
        headers.set(upstream.header, &upstream.credential)?;
        let url = format!("{}{}", upstream.base_url, family.path());
        let timeout = f64::from(attempt.config.upstream_timeout.0);
        let promise = js::forward(&incoming.request, &url, &headers, body, timeout);
        attempt.meanwhile(&promise).await?.dyn_into::<web_sys::Response>()
    };
    let called = called.await;
    let attempt = attempt.clone();
    let problem = match called {
        Ok(response) if (300..400).contains(&response.status()) => Problem::new(
            Code::UpstreamRedirect,
            "The provider answered with a redirect, which is never followed.",
        ),
        Ok(response) => return Ok(response),
        Err(error) => {
            let why = error.as_string().unwrap_or_default();
            let (class, message) = match why.as_str() {
                "timeout" => {
                    (Code::UpstreamTimeout, "The provider did not begin to answer in time.")
                }
                "left" => (Code::UpstreamUnreachable, "The client left."),
                _ => (Code::UpstreamUnreachable, "The provider could not be reached."),
            };
            if matches!(why.as_str(), "timeout" | "left") {
                // It was sent, and may have been billed: charged what was counted of it.
                incoming.keep(async move {
                    attempt.settle(Ended::unheard(&why)).await;
                });
                return Err(Problem::new(class, message));
            }
            Problem::new(class, message)
        }
    };
    let class = problem.code.as_str();
    incoming.keep(async move { attempt.void(None, class).await });
    Err(problem)
}

/// Gives the answer to the client by the way that fits it, and sees to its settlement.
async fn deliver(
    incoming: &Incoming,
    attempt: Attempt,
    upstream: &Upstream,
    answer: web_sys::Response,
    strip: bool,
) -> Result<web_sys::Response, Problem> {
    let began = js::now();
    let from = answer.headers();
    let headers = TO_CLIENT_NAMES.with(|allow| js::copy_headers(&from, allow));
    let set = |name: &str, value: &str| headers.set(name, value).map_err(|error| internal(&error));
    set("x-farebox-request-id", &incoming.id)?;
    set("x-farebox-held", &attempt.quote.upper.to_string())?;
    let status = answer.status();
    if status >= 400 {
        return refused_upstream(incoming, attempt, upstream, &answer, &headers).await;
    }
    let kind = from.get("content-type").ok().flatten();
    let framing = kind.as_deref().and_then(Framing::of_content_type).unwrap_or(Framing::Json);
    let stated: Option<u32> =
        from.get("content-length").ok().flatten().and_then(|length| length.parse().ok());
    let metering = Metering::new(framing, status);
    let followed = tap::Followed { attempt, metering, status, began };
    match (framing, stated) {
        (Framing::Sse, _) if strip => followed.filtered(incoming, &answer, &headers),
        (Framing::Json, Some(length)) if length <= WHOLE_MAX => {
            whole(incoming, followed, &answer, &headers).await
        }
        (Framing::Json, None) => followed.short_or_tapped(incoming, &answer, &headers).await,
        _ => followed.tapped(incoming, &answer, &headers),
    }
}

/// A short answer: read whole, settled, and sent with its cost.
async fn whole(
    incoming: &Incoming,
    followed: tap::Followed,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response, Problem> {
    let tap::Followed { attempt, mut metering, status, began } = followed;
    let signal = incoming.request.signal();
    let reading = js::read_whole(answer, &signal);
    let Ok(body) = attempt.meanwhile(&reading).await else {
        let end = if signal.aborted() { End::ClientLeft } else { End::Cut };
        attempt.settle(Ended::heard(metering.end(end), status, began)).await;
        let message = "The provider broke off in the middle of its answer.";
        return Err(Problem::new(Code::UpstreamUnreachable, message));
    };
    metering.chunk(&Uint8Array::new(&body).to_vec());
    let cost = attempt.settle(Ended::heard(metering.end(End::Eof), status, began)).await;
    with_cost(headers, cost)?;
    response(&body, status, headers).map_err(|error| internal(&error))
}

/// The cost header; absent where the ledger could not be told yet.
pub fn with_cost(headers: &web_sys::Headers, cost: Option<Exact>) -> Result<(), Problem> {
    let Some(cost) = cost else { return Ok(()) };
    headers.set("x-farebox-cost", &cost.to_string()).map_err(|error| internal(&error))
}

/// The upstream refused: passed on as it is, but for our key should it be quoted, and not charged.
async fn refused_upstream(
    incoming: &Incoming,
    attempt: Attempt,
    upstream: &Upstream,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response, Problem> {
    let status = answer.status();
    incoming.keep(async move { attempt.void(Some(status), "upstream_error").await });
    let reading = JsFuture::from(js::read_body(answer, f64::from(WHOLE_MAX))).await;
    let body: Option<ArrayBuffer> = reading.ok().and_then(|body| body.dyn_into().ok());
    let Some(body) = body else {
        // Unreadable, or too long to look through for our key.
        return response(&JsValue::NULL, status, headers).map_err(|error| internal(&error));
    };
    let bytes = Uint8Array::new(&body).to_vec();
    if memchr::memmem::find(&bytes, upstream.key.as_bytes()).is_none() {
        return response(&body, status, headers).map_err(|error| internal(&error));
    }
    let text = String::from_utf8_lossy(&bytes).replace(&upstream.key, "[redacted]");
    response(&text.as_str().into(), status, headers).map_err(|error| internal(&error))
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
    fn unheard(class: &str) -> Self {
        let end = if class == "left" { End::ClientLeft } else { End::Cut };
        let reading = Metering::new(Framing::Sse, 200).end(end);
        Self { reading, status: None, began: None, error_class: Some(class.to_owned()) }
    }
}

impl Attempt {
    /// Milliseconds between renewals: a third of the hold's life, so that two may fail.
    pub fn renew_every(&self) -> u32 {
        self.config.hold_ttl.0.div_ceil(3)
    }

    /// What `promise` answers; the hold is renewed as long as that takes.
    pub async fn meanwhile(&self, promise: &js_sys::Promise) -> Result<JsValue, JsValue> {
        loop {
            let soon = js::within(promise, f64::from(self.renew_every()));
            let value = JsFuture::from(soon).await?;
            if !value.is_undefined() {
                return Ok(value);
            }
            self.renew(self.quote.lower).await;
        }
    }

    /// Puts the hold's end off.
    pub async fn renew(&self, floor: Exact) {
        let _ = self.ledger.tell(&Command::Renew { attempt_id: self.id, floor }).await;
    }

    /// Settles; answers what the attempt was charged.
    pub async fn settle(&self, ended: Ended) -> Option<Exact> {
        let Ended { reading, status, began, error_class } = ended;
        let suspect = reading.needs_a_look();
        let settle = Settle {
            attempt_id: self.id,
            usage: reading.usage,
            suspect,
            outcome: reading.outcome,
            upstream_status: status,
            error_class,
            served_model: reading.model.filter(|model| model.len() <= 256),
            served_tier: reading.service_tier.filter(|tier| tier.len() <= 32),
            first_byte_at: began,
            finished_at: js::now(),
        };
        match self.ledger.tell(&Command::Settle(Box::new(settle))).await {
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

/// The customer a session or path names.
pub fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|()| {
        let message = "A customer or key id is 1 to 32 lower-case letters and digits.";
        Problem::new(Code::InvalidRequest, message)
    })
}
