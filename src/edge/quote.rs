//! Quotes at the gate: the route that makes them, and the signed ones that come back.

use serde_json::json;

use super::admit::key_of;
use super::config::Config;
use super::http::{self, Incoming, api_key, internal};
use super::ledger_call::LedgerClient;
use super::upstream::Upstream;
use super::{body, books, js, own};
use crate::api::{Code, Problem};
use crate::auth::ApiKey;
use crate::book::Book;
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;
use crate::ledger::{LimitView, Measure, Pinned, Snapshot, Strictness, TermsQuote, ToQuote};
use crate::money::Exact;
use crate::quote::asked::{self, Account, Answered, Asked, Signed};
use crate::quote::signed::{FEATURE, HEADER, Promise};
use crate::quote::{Quote, Worst};
use crate::wire::request::{Ask, Request};
use crate::wire::route::Route;

/// Names the endpoint where the body is the API's own, byte for byte, and not wrapped.
const ENDPOINT_HEADER: &str = "x-farebox-endpoint";
/// For how many seconds such a quote is to be signed.
const SIGN_HEADER: &str = "x-farebox-sign";

/// What a request would cost; nothing is held and nothing is forwarded.
pub async fn answer(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let customer = own::caller(incoming).await?;
    let body = body::read(incoming, &customer).await?;
    let bytes = js_sys::Uint8Array::new(&body.bytes).to_vec();
    let text = match quoted(incoming, customer, &bytes).await {
        Ok(text) => text,
        Err(problem) => asked::failed(&problem),
    };
    http::json(&incoming.id, 200, text)
}

async fn quoted(incoming: &Incoming, customer: Name, bytes: &[u8]) -> Result<String, Problem> {
    if let Some(endpoint) = incoming.header(ENDPOINT_HEADER) {
        let content_type = incoming.header("content-type").unwrap_or_default();
        let request = asked::request(&endpoint, &content_type, bytes)?;
        let life = incoming.header(SIGN_HEADER).map(|seconds| life(&seconds)).transpose()?;
        return priced(incoming, customer, &request, None, life).await;
    }
    let text = core::str::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::InvalidRequest, "The body is not UTF-8."))?;
    let asked = Asked::parse(text)?;
    if asked.sign && asked.at.is_some() {
        let message = "A quote is signed for now; leave `at` out.";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    priced(incoming, customer, &asked.request()?, asked.at, asked.life()).await
}

fn life(seconds: &str) -> Result<Millis, Problem> {
    seconds.parse().map(Millis::from_secs).map_err(|_| {
        let message = format!("`{SIGN_HEADER}` is a whole number of seconds.");
        Problem::new(Code::InvalidRequest, message)
    })
}

async fn priced(
    incoming: &Incoming,
    customer: Name,
    request: &Request<'_>,
    at: Option<Timestamp>,
    life: Option<Millis>,
) -> Result<String, Problem> {
    let config = incoming.config()?;
    let now = js::now();
    let book = books::current(incoming).await?.book;
    let region = |provider: &str| config.upstreams.get(provider)?.region.as_deref();
    let (ask, quote) = asked::price(request, &book, Some(at.unwrap_or(now)), region)?;
    let terms = by_terms(incoming, &customer, request, &ask, &quote).await?;
    let quote =
        terms.as_ref().map_or_else(|| quote.clone(), |terms| asked::by_terms(&quote, terms));
    let snapshot = snapshot(incoming, customer.clone()).await?;
    if life.is_some() && snapshot.as_ref().is_some_and(|snapshot| !snapshot.goes_by_book()) {
        let message = "This account pays by a plan or from credit: what a request costs depends on \
                       what is used until it ends, so no quote is signed.";
        return Err(Problem::new(Code::NotInPlan, message));
    }
    let signed = match life {
        Some(life) => {
            let made = (request, &ask, &quote);
            let by = (&*book, region(&quote.provider));
            let promise = Promise::new(customer.clone(), made, by, (now, life))?;
            Some(Signed { token: promise.text(&config.quotes)?, expires_at: promise.expires })
        }
        None => None,
    };
    let remaining = snapshot.and_then(|snapshot| remaining(&snapshot, &quote));
    let account = remaining.map(|remaining| Account::of(&ask, &quote, remaining));
    Ok(Answered { quote: &quote, plan: terms.as_ref(), account, signed }.text())
}

/// What the customer's terms make of a request; absent where everything goes by the price book.
async fn by_terms(
    incoming: &Incoming,
    customer: &Name,
    request: &Request<'_>,
    ask: &Ask,
    quote: &Quote,
) -> Result<Option<TermsQuote>, Problem> {
    let key = api_key(incoming)?.filter(|text| !text.starts_with("fbs_"));
    let config = incoming.config()?;
    let key_id = match key {
        Some(text) => Some(key_of(incoming, &config, &text).await?.key_id.to_string()),
        None => None,
    };
    let asked = ToQuote {
        provider: quote.provider.clone(),
        endpoint: request.route.pattern(),
        service_tier: ask.service_tier.clone(),
        key_id,
        worst: Worst { model: quote.model.clone(), most: quote.worst.clone(), batch: Vec::new() },
        input_least: ask.input_least,
        lower: quote.lower,
        likely: quote.likely.clone(),
    };
    let look = json!({ "quote": { "asked": asked } }).to_string();
    let found = LedgerClient::new(&incoming.env, customer.clone())?.look(&look).await?;
    let found: Option<Result<TermsQuote, ()>> =
        serde_json::from_str(&found).map_err(|error| internal(&error.to_string().into()))?;
    found.transpose().map_err(|()| {
        let message = "The customer's plan has no price for what this request may use. The \
                       operator of this service can add it.";
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })
}

/// Where the account stands; absent where it does not exist.
async fn snapshot(incoming: &Incoming, customer: Name) -> Result<Option<Snapshot>, Problem> {
    let found = LedgerClient::new(&incoming.env, customer)?.look(r#"{"snapshot":{}}"#).await?;
    Ok(serde_json::from_str(&found).ok())
}

/// What is left of the tightest hard limit on money; absent without one, and where the account's
/// currency is not the book's.
fn remaining(snapshot: &Snapshot, quote: &Quote) -> Option<Exact> {
    let is_hard =
        |limit: &&LimitView| limit.kind == Strictness::Hard && limit.measure == Measure::Money;
    let hard = snapshot.limits.iter().filter(is_hard);
    let least = hard.map(|limit| limit.remaining).min();
    least.filter(|_| snapshot.currency == quote.currency)
}

/// The signed quote that came with a request, if one did and it holds.
pub fn sent(
    incoming: &Incoming,
    config: &Config,
    key: &ApiKey,
    now: Timestamp,
) -> Result<Option<Promise>, Problem> {
    let Some(token) = incoming.header(HEADER) else { return Ok(None) };
    Ok(Some(Promise::verify(token.trim(), &config.quotes, &key.customer, now)?))
}

/// A conversation's turns are not known when it begins: no quote can be for them.
pub fn none_sent(incoming: &Incoming) -> Result<(), Problem> {
    match incoming.header(HEADER) {
        Some(_) => {
            let message = "A conversation cannot be held to a signed quote.";
            Err(Problem::new(Code::QuoteMismatch, message))
        }
        None => Ok(()),
    }
}

/// Whether a promise is for this very request; the record will say that it was honoured.
pub fn check(
    promise: &Promise,
    (incoming, route, bytes): (&Incoming, &Route<'_>, &[u8]),
    ask: &mut Ask,
) -> Result<(), Problem> {
    let content_type = incoming.header("content-type").unwrap_or_default();
    let (route, query, content_type) = (*route, incoming.query(), content_type.as_str());
    promise.covers(&Request { route, query, content_type, body: bytes }, ask)?;
    ask.features.push(FEATURE);
    Ok(())
}

/// Admits by a promise instead of by the book: its worst case, its prices.
pub fn honour<'a>(
    promise: &Promise,
    ask: &Ask,
    config: &'a Config,
    book: &Book,
) -> Result<(Quote, Pinned, &'a Upstream), Problem> {
    let Promise { quote, card, .. } = promise;
    let upstream = config.upstreams.get(&quote.provider).ok_or_else(|| {
        let message = format!("The model {:?} has no upstream configured here.", ask.model);
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })?;
    upstream.check(ask, &quote.provider)?;
    // What the upstream charges is not promised to anyone: it is what the book knows by now.
    let sold = book.sold(&ask.model).filter(|model| model.provider == quote.provider);
    let pinned = Pinned {
        provider: quote.provider.clone(),
        upstream: quote.provider.clone(),
        rates: card.rates.clone(),
        tiers: card.tiers.clone(),
        context: card.context.clone(),
        cost: sold.and_then(|model| model.cost.clone()),
        below_margin: false,
        input_least: ask.input_least,
    };
    Ok((quote.clone(), pinned, upstream))
}
