//! One API request from end to end: authenticate, admit, forward, meter, settle.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsValue;

use super::admit::{Admission, authenticate, bad_request, price};
use super::answer;
use super::attempt::Watch;
use super::body::{self, Body};
use super::config::Config;
use super::http::Incoming;
use super::upstream::{self, Call, Sent, Upstream};
use super::{js, realtime};
use crate::api::{Code, Problem};
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
    let key = authenticate(incoming, &config)?;
    let Body { bytes: body, room } = body::read(incoming).await?;
    crash_if_asked(incoming, &config);
    let bytes = Uint8Array::new(&body).to_vec();
    let ask = Rc::new(read(incoming, route, &bytes)?);
    let (quote, pinned, upstream) = price(&ask, &config, received_at)?;
    let (body, strip) = upstream_body(&ask, body, &bytes, upstream, &config)?;
    drop(bytes);
    let provider = pinned.provider.clone();
    let priced = (quote, pinned);
    let admission = Admission::new(incoming, route, key, ask.clone(), config.clone(), priced)?;
    let attempt = admission.reserve(received_at).await?;
    let watch = Watch::new();
    let call = Call { route, model: &ask.model, upstream, method: "POST", protocols: None };
    let sent = Sent { call, ask: &ask, provider: &provider, strip, watch: &watch };
    let answer = upstream::call(incoming, &attempt, &sent, &body).await?;
    // The upstream has it: others may come in.
    drop((body, room));
    answer::deliver(incoming, attempt, &sent, answer).await
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

/// The customer a session or path names.
pub fn name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|()| {
        let message = "A customer or key id is 1 to 32 lower-case letters and digits.";
        Problem::new(Code::InvalidRequest, message)
    })
}
