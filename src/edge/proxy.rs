//! One API request from end to end: authenticate, admit, forward, meter, settle.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsValue;

use super::answer;
use super::attempt::{Attempt, Watch};
use super::body::{self, Body};
use super::config::Config;
use super::http::{Incoming, api_key, internal};
use super::js;
use super::ledger_call::LedgerClient;
use super::upstream::{self, Sent, Upstream};
use crate::api::{self, Code, Problem};
use crate::auth::ApiKey;
use crate::book::Situation;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Id, Name};
use crate::ledger::{Command, Pinned, Reply, Reserve};
use crate::money::Exact;
use crate::quote::{self, Quote, Unpriced};
use crate::record::Admitted;
use crate::wire::request::{Ask, Request, inspect, with_usage_asked};
use crate::wire::route::{Endpoint, Route};

pub async fn proxy(incoming: &Incoming, route: &Route<'_>) -> Result<web_sys::Response, Problem> {
    if incoming.request.method() != "POST" {
        let message = format!("{} takes POST.", route.path);
        return Err(Problem::new(Code::MethodNotAllowed, message));
    }
    let config = incoming.config()?;
    let received_at = js::now();
    let key = authenticate(incoming, &config)?;
    let Body { bytes: body, room } = body::read(incoming).await?;
    crash_if_asked(incoming, &config);
    let bytes = Uint8Array::new(&body).to_vec();
    let ask = read(incoming, route, &bytes)?;
    let (quote, pinned, upstream) = price(&ask, &config, received_at)?;
    let (body, strip) = upstream_body(&ask, body, &bytes, upstream, &config)?;
    drop(bytes);
    let ledger = LedgerClient::new(&incoming.env, key.customer.clone())?;
    let id: AttemptId = Id::new(received_at, js::random());
    let attempt = Attempt { id, ledger, config: config.clone(), quote: Rc::new(quote) };
    let admitted = Admission { attempt: &attempt, ask: &ask, key: &key, route, received_at };
    let provider = pinned.provider.clone();
    admitted.ask(incoming, pinned).await?;
    let watch = Watch::new();
    let sent = Sent { ask: &ask, route, provider: &provider, upstream, strip, watch: &watch };
    let answer = upstream::call(incoming, &attempt, &sent, &body).await?;
    // The upstream has it: others may come in.
    drop((body, room));
    answer::deliver(incoming, attempt, &sent, answer).await
}

fn authenticate(incoming: &Incoming, config: &Config) -> Result<ApiKey, Problem> {
    let text = api_key(incoming)?.ok_or_else(api::invalid_key)?;
    ApiKey::verify(&text, &config.keys).map_err(|_| api::invalid_key())
}

fn read(incoming: &Incoming, route: &Route<'_>, body: &[u8]) -> Result<Ask, Problem> {
    let content_type = incoming.header("content-type").unwrap_or_default();
    let (route, query, content_type) = (*route, incoming.query(), content_type.as_str());
    inspect(&Request { route, query, content_type, body }).map_err(|bad| Problem {
        param: bad.param,
        ..Problem::new(Code::InvalidRequest, bad.message)
    })
}

/// In a test setup only: stops the engine where a bug would.
#[allow(clippy::panic)]
fn crash_if_asked(incoming: &Incoming, config: &Config) {
    assert!(!(config.allow_crash && incoming.header("x-farebox-crash").is_some()), "asked to");
}

/// The worst case, the prices to pin, and where the request goes.
fn price<'a>(
    ask: &Ask,
    config: &'a Config,
    at: Timestamp,
) -> Result<(Quote, Pinned, &'a Upstream), Problem> {
    let unpriced = |why: Unpriced| api::unpriced(&why, &ask.model);
    let model = config.book.sold(&ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
    let upstream = config.upstreams.get(&model.provider).ok_or_else(|| {
        let message = format!("The model {:?} has no upstream configured here.", ask.model);
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })?;
    let quote = quote::quote_model(ask, &config.book, model, Some(at)).map_err(unpriced)?;
    let situation = Situation { at: Some(at), ..quote::situation(ask) };
    let card = model.card(&situation).ok_or_else(|| unpriced(Unpriced::NotInForce))?.to_card();
    let card = if ask.free { crate::book::Card::default() } else { card };
    let pinned = Pinned {
        provider: model.provider.clone(),
        upstream: model.provider.clone(),
        rates: card.rates,
        tiers: card.tiers,
        context: card.context,
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
    upstream: &Upstream,
    config: &Config,
) -> Result<(JsValue, bool), Problem> {
    let silent = matches!(ask.endpoint, Endpoint::Chat | Endpoint::Completions)
        && ask.stream
        && ask.include_usage != Some(true);
    if !silent || !upstream.include_usage {
        return Ok((body.into(), false));
    }
    let changed =
        with_usage_asked(bytes).map_err(|bad| Problem::new(Code::InvalidRequest, bad.message))?;
    Ok((Uint8Array::from(changed.as_slice()).into(), !config.pass_usage_chunk))
}

/// A request that asks to be let in.
struct Admission<'a> {
    attempt: &'a Attempt,
    ask: &'a Ask,
    key: &'a ApiKey,
    route: &'a Route<'a>,
    received_at: Timestamp,
}

impl Admission<'_> {
    async fn ask(&self, incoming: &Incoming, pinned: Pinned) -> Result<(), Problem> {
        let Self { attempt, ask, key, .. } = self;
        let quote = &attempt.quote;
        let reserve = Reserve {
            attempt_id: attempt.id,
            request_id: incoming.id.parse().unwrap_or(attempt.id),
            secret_sha256: key.secret_sha256(),
            admitted: self.admitted(),
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
                let choices = Exact::from(ask.choices);
                let each = total.and_then(|total| total.whole_times(choices).ok());
                Err(api::refused(&refusal, each, incoming.origin()))
            }
            other => Err(internal(&format!("reserve answered {other:?}").into())),
        }
    }

    fn admitted(&self) -> Admitted {
        let Self { ask, key, route, .. } = self;
        let quote = &self.attempt.quote;
        Admitted {
            key_id: key.key_id.clone(),
            mode: key.mode,
            received_at: self.received_at,
            endpoint: route.pattern(),
            model: ask.model.clone(),
            stream: ask.stream,
            features: ask.features.iter().map(ToString::to_string).collect(),
            service_tier: ask.service_tier.clone(),
            end_user: None,
            book_version: quote.book_version.clone(),
            currency: quote.currency.clone(),
            held: quote.upper,
        }
    }
}

/// The customer a session or path names.
pub fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|()| {
        let message = "A customer or key id is 1 to 32 lower-case letters and digits.";
        Problem::new(Code::InvalidRequest, message)
    })
}
