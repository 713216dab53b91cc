//! One API request from end to end: authenticate, admit, forward, meter, settle.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsValue;

use super::admit::{Caller, Priced, authenticate, bad_request, enter_by, once, price};
use super::answer;
use super::attempt::Watch;
use super::body::{self, Body};
use super::config::Config;
use super::fit::{self, Fit};
use super::http::Incoming;
use super::upstream::{self, Call, Sent, Upstream};
use super::{js, quote, realtime};
use crate::api::{Code, Problem};
use crate::book::Book;
use crate::ids::Name;
use crate::wire::request::{Ask, Request, inspect, with_usage_asked};
use crate::wire::route::{Endpoint, Route};

pub async fn proxy(incoming: &Incoming, route: &Route<'_>) -> Result<web_sys::Response, Problem> {
    if route.endpoint == Endpoint::Realtime {
        return realtime::serve(incoming, route).await;
    }
    if incoming.request.method() != "POST" {
        let message = format!("{} takes POST.", route.path);
        return Err(Problem::new(Code::MethodNotAllowed, message));
    }
    let config = incoming.config()?;
    let received_at = js::now();
    let key = authenticate(incoming, &config).await?;
    let Body { bytes: received, room } = body::read(incoming, &key.customer).await?;
    crash_if_asked(incoming, &config);
    let bytes = Uint8Array::new(&received).to_vec();
    let mut ask = read(incoming, route, &bytes)?;
    let promise = quote::sent(incoming, &config, &key, received_at)?;
    if let Some(promise) = &promise {
        quote::check(promise, (incoming, route, &bytes), &mut ask)?;
    }
    let once = once(incoming, &bytes)?;
    drop(bytes);
    let caller = Caller { incoming, route, key, ask: Rc::new(ask), once, received_at };
    let priced = |book: &Book| {
        let ask = &caller.ask;
        let (quote, pinned, upstream) = match &promise {
            Some(promise) => quote::honour(promise, ask, &config, book)?,
            None => price(ask, &config, book, received_at)?,
        };
        let ready = upstream_body(ask, &received, upstream, &config)?;
        Ok(Priced { quote, pinned, upstream, ready })
    };
    let hold = async |admission| fit::admit(incoming, admission, &received, received_at).await;
    let (fit, upstream, (mut body, mut strip)) = enter_by(&caller, &config, priced, hold).await?;
    let Fit { attempt, ask, clamped } = fit;
    let length = clamped.as_ref().map(|(_, length)| *length);
    if let Some((bytes, _)) = clamped {
        let shorter = Uint8Array::from(bytes.as_slice()).buffer();
        (body, strip) = upstream_body(&ask, &shorter, upstream, &config)?;
    }
    let provider = attempt.quote.provider.clone();
    let watch = Watch::new();
    let call = Call { route, model: &ask.model, upstream, method: "POST", protocols: None };
    let sent = Sent { call, ask: &ask, provider: &provider, strip, watch: &watch };
    let answer = upstream::call(incoming, &attempt, &sent, &body)
        .await
        .map_err(|problem| attempt.told(problem))?;
    // The upstream has it: others may come in.
    drop((body, received, room));
    let unheld = attempt.unheld.clone();
    let answer = answer::deliver(incoming, attempt, &sent, answer).await?;
    fit::tell(&answer.headers(), unheld.as_deref(), length)?;
    Ok(answer)
}

pub fn read(incoming: &Incoming, route: &Route<'_>, body: &[u8]) -> Result<Ask, Problem> {
    let content_type = incoming.header("content-type").unwrap_or_default();
    let (route, query, content_type) = (*route, incoming.query(), content_type.as_str());
    inspect(&Request { route, query, content_type, body }).map_err(bad_request)
}

/// In a test setup only: stops the engine where a bug would.
#[allow(clippy::panic)]
fn crash_if_asked(incoming: &Incoming, config: &Config) {
    assert!(!(config.allow_crash && incoming.header("x-farebox-crash").is_some()), "asked to");
}

/// The client's bytes as they are; or, where a stream's usage has to be asked for, with that one
/// option set. Says whether the usage chunk must be taken out again.
fn upstream_body(
    ask: &Ask,
    body: &ArrayBuffer,
    upstream: &Upstream,
    config: &Config,
) -> Result<(JsValue, bool), Problem> {
    let silent = matches!(ask.endpoint, Endpoint::Chat | Endpoint::Completions)
        && ask.stream
        && ask.include_usage != Some(true);
    if !silent || !upstream.include_usage {
        return Ok((body.clone().into(), false));
    }
    let changed = with_usage_asked(&Uint8Array::new(body).to_vec())
        .map_err(|bad| Problem::new(Code::InvalidRequest, bad.message))?;
    Ok((Uint8Array::from(changed.as_slice()).into(), !config.pass_usage_chunk))
}

/// The customer a session or path names.
pub fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|()| {
        let message = "A customer or key id is 1 to 32 lower-case letters and digits.";
        Problem::new(Code::InvalidRequest, message)
    })
}
