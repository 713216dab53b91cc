//! An answer on its way to the client: by the way that fits it, and to its settlement.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::attempt::{Attempt, Ended, Watch};
use super::http::{Incoming, internal, names, response};
use super::upstream::{Sent, Upstream};
use super::{jobs, js, tap};
use crate::api::{Code, Problem};
use crate::meter::{End, Framing, Metering, TEXTS_MAX};
use crate::money::Exact;
use crate::wire::request::Bound;
use crate::wire::route::Endpoint;
use crate::wire::usage::Meter;

/// Longest answer that is held back until its cost is known; larger ones pass at once.
pub const WHOLE_MAX: u32 = 1024 * 1024;

/// How long an upstream's words about an error are waited for: they are short, and nothing is held.
const REFUSAL_MS: f64 = 10_000.0;

/// Response headers that reach the client. Rate-limit headers speak of the operator's pooled
/// account and stay out.
const TO_CLIENT: [&str; 16] = [
    "content-type",
    "content-disposition",
    "cache-control",
    "x-request-id",
    "request-id",
    "openai-processing-ms",
    "openai-version",
    "openai-model",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "x-amzn-bedrock-content-type",
    "x-generation-id",
    "character-cost",
];

/// Response headers in which some providers report usage, beside or instead of their body.
const WITH_USAGE: [&str; 7] = [
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
    "x-prompt-tokens",
    "x-generated-tokens",
    "character-cost",
];

thread_local! {
    static TO_CLIENT_NAMES: JsValue = names(&TO_CLIENT);
    static WITH_USAGE_NAMES: JsValue = names(&WITH_USAGE);
}

/// The answer's headers as the client may see them.
pub fn client_headers(
    incoming: &Incoming,
    answer: &web_sys::Response,
    attempt: Option<&Attempt>,
) -> Result<web_sys::Headers, Problem> {
    let headers = TO_CLIENT_NAMES.with(|allow| js::copy_headers(&answer.headers(), allow));
    let set = |name: &str, value: &str| headers.set(name, value).map_err(|error| internal(&error));
    set("x-farebox-request-id", &incoming.id)?;
    if let Some(attempt) = attempt {
        set("x-farebox-held", &attempt.quote.upper.to_string())?;
        for (name, value) in attempt.limits.iter() {
            set(name, value)?;
        }
    }
    Ok(headers)
}

/// Gives the answer to the client by the way that fits it, and sees to its settlement.
pub async fn deliver(
    incoming: &Incoming,
    attempt: Attempt,
    sent: &Sent<'_>,
    answer: web_sys::Response,
) -> Result<web_sys::Response, Problem> {
    let began = js::now();
    let from = answer.headers();
    let headers = client_headers(incoming, &answer, Some(&attempt))?;
    let status = answer.status();
    if status >= 400 {
        return refused_upstream(incoming, attempt, sent.call.upstream, &answer, &headers).await;
    }
    let kind = from.get("content-type").ok().flatten().unwrap_or_default();
    let framing = Framing::of_content_type(&kind).unwrap_or(Framing::Json);
    let stated = plain_length(&from);
    let mut metering = metering(sent, framing, status, &from);
    if sent.ask.has_output {
        // What is counted here is bounded by what was held, not by a field the upstream may ignore.
        let most = attempt.most_output();
        metering = metering.with_max_output(most.unwrap_or(u64::MAX)).with_texts(TEXTS_MAX);
    }
    let room = attempt.room.clone();
    if let Some(room) = room.as_ref().filter(|_| framing != Framing::Sse) {
        // Not the stream that was asked for: it cannot be ended amid, so all of it is held for as
        // far as that goes. It is paid for in any case.
        attempt.extend(room, room.most).await;
    }
    let followed = tap::Followed { attempt, metering, status, began };
    match (framing, stated) {
        (Framing::Json, _) if sent.ask.job => {
            jobs::started(incoming, followed, &answer, &headers, sent).await
        }
        (Framing::Sse, _) if let Some(room) = room => {
            followed.stepped(incoming, &answer, &headers, sent, room)
        }
        (Framing::Sse, _) if sent.strip => followed.filtered(incoming, &answer, &headers),
        // A stream by the path, framed as one JSON list.
        (Framing::Json, _) if sent.ask.stream => followed.tapped(incoming, &answer, &headers),
        (Framing::Json, Some(length)) if length <= WHOLE_MAX => {
            whole(incoming, followed, &answer, &headers, sent.watch).await
        }
        (Framing::Json, None) => followed.short_or_tapped(incoming, &answer, &headers).await,
        _ => followed.tapped(incoming, &answer, &headers),
    }
}

fn metering(
    sent: &Sent<'_>,
    framing: Framing,
    status: u16,
    headers: &web_sys::Headers,
) -> Metering {
    let Sent { ask, provider, .. } = sent;
    let mut metering = Metering::new(framing, status).with_provider(provider);
    // The chat APIs say all they have to say in the body: no crossing for them.
    let chats = [Endpoint::Chat, Endpoint::Responses, Endpoint::Messages, Endpoint::Completions];
    if !chats.contains(&ask.endpoint) {
        let pairs = WITH_USAGE_NAMES.with(|names| js::header_pairs(headers, names));
        let texts: Vec<String> = pairs.iter().filter_map(|text| text.as_string()).collect();
        let pairs = texts.chunks_exact(2).filter_map(|pair| match pair {
            [name, value] => Some((name.clone(), value.clone())),
            _ => None,
        });
        metering = metering.with_headers(pairs);
    }
    if let Some(custom) = &sent.call.upstream.usage {
        metering = metering.with_custom(custom.clone());
    }
    if let Some(Bound::Known(characters)) = ask.bounds.get(&Meter::Characters) {
        metering = metering.with_characters(characters.to_u64().unwrap_or(u64::MAX));
    }
    metering
}

/// The length of the body as it will be read; absent where it is not stated, or is that of a
/// compressed one: the runtime unpacks what an upstream packs unasked.
pub fn plain_length(headers: &web_sys::Headers) -> Option<u32> {
    let get = |name| headers.get(name).ok().flatten();
    if get("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return None;
    }
    get("content-length")?.parse().ok()
}

/// A short answer: read whole, settled, and sent with its cost.
async fn whole(
    incoming: &Incoming,
    followed: tap::Followed,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
    watch: &Watch,
) -> Result<web_sys::Response, Problem> {
    let tap::Followed { attempt, mut metering, status, began } = followed;
    let drain_ms = if attempt.drains { attempt.reads_on_ms() } else { 0 };
    let reading = js::read_whole(answer, &incoming.request, tap::ms(drain_ms));
    // Short as it is, the rest of it may take no longer than its beginning.
    let timeout = Some(attempt.config.upstream_timeout);
    let Ok(body) = attempt.meanwhile(&reading, watch, &incoming.request, timeout).await else {
        let end = if incoming.request.signal().aborted() { End::ClientLeft } else { End::Cut };
        attempt.settle(Ended::heard(metering.end(end), status, began)).await;
        return Err(broke_off());
    };
    metering.chunk(&Uint8Array::new(&body).to_vec());
    let ended = Ended::heard(metering.end(End::Eof), status, began);
    let cost = attempt.settle_first(incoming, ended).await;
    with_cost(headers, cost)?;
    response(&body, status, headers).map_err(|error| internal(&error))
}

/// An answer broke off before the client had any of it.
pub fn broke_off() -> Problem {
    let message = "The provider broke off in the middle of its answer.";
    Problem::new(Code::UpstreamUnreachable, message)
}

/// The cost header; absent where the ledger could not be told yet.
pub fn with_cost(headers: &web_sys::Headers, cost: Option<Exact>) -> Result<(), Problem> {
    let Some(cost) = cost else { return Ok(()) };
    headers.set("x-farebox-cost", &cost.to_string()).map_err(|error| internal(&error))
}

/// The upstream refused: passed on as it is, but for our key should it be quoted, and not charged.
pub async fn refused_upstream(
    incoming: &Incoming,
    attempt: Attempt,
    upstream: &Upstream,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response, Problem> {
    let status = answer.status();
    incoming.keep(async move { attempt.void(Some(status), "upstream_error").await });
    refusal(upstream, answer, headers).await
}

/// An upstream's refusal as the client may see it.
pub async fn refusal(
    upstream: &Upstream,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response, Problem> {
    let status = answer.status();
    let body = answer.body().map_or(JsValue::NULL, Into::into);
    let reading = js::read_prefix(&body, f64::from(WHOLE_MAX), REFUSAL_MS);
    let read = JsFuture::from(reading).await.unwrap_or(JsValue::UNDEFINED);
    let get = |name: &str| js_sys::Reflect::get(&read, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let Ok(bytes) = get("bytes").dyn_into::<Uint8Array>() else {
        // It broke off in the middle.
        return response(&JsValue::NULL, status, headers).map_err(|error| internal(&error));
    };
    let whole = get("whole").is_truthy();
    let body = redacted(bytes.to_vec(), &upstream.secrets(), whole);
    let body = Uint8Array::from(body.as_slice());
    response(&body, status, headers).map_err(|error| internal(&error))
}

/// An upstream's words without our key in them. A prefix ends early enough that no part of the key
/// can stand at its end.
fn redacted(mut bytes: Vec<u8>, secrets: &[String], whole: bool) -> Vec<u8> {
    if !whole {
        let longest = secrets.iter().map(String::len).max().unwrap_or(0);
        bytes.truncate(bytes.len().saturating_sub(longest));
    }
    for secret in secrets {
        if memchr::memmem::find(&bytes, secret.as_bytes()).is_some() {
            let text = String::from_utf8_lossy(&bytes);
            bytes = text.replace(secret.as_str(), "[redacted]").into_bytes();
        }
    }
    bytes
}
