//! Requests in, responses out.

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use super::config::{Config, config};
use super::js;
use super::upstream::is_key;
use crate::api::{Answer, Code, Problem, Shape};
use crate::wire::query::parameters;
use crate::wire::route::api_of;

#[wasm_bindgen]
extern "C" {
    /// The platform's execution context.
    #[derive(Clone)]
    pub type Context;
    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &Context, promise: &Promise);

    /// `new Response(body, init)`, for any kind of body.
    #[wasm_bindgen(js_name = Response)]
    type NativeResponse;
    #[wasm_bindgen(constructor, catch, js_class = "Response")]
    fn new(body: &JsValue, init: &JsValue) -> Result<NativeResponse, JsValue>;
}

/// One request under way.
#[derive(Clone)]
pub struct Incoming {
    /// The request itself; its body is read at most once.
    pub request: web_sys::Request,
    /// Bindings and settings.
    pub env: JsValue,
    /// Keeps work alive after the answer.
    ctx: Context,
    /// The request's id.
    pub id: String,
    url: String,
}

/// Scheme and host cut off, query cut off.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or(path)
}

/// Whose shape errors take on a path.
pub fn shape_of(path: &str) -> Shape {
    if path.starts_with("/v1/farebox/") { Shape::Own } else { Shape::Of(api_of(path)) }
}

impl Incoming {
    pub fn new(request: web_sys::Request, env: JsValue, ctx: Context, id: String) -> Self {
        let url = request.url();
        Self { request, env, ctx, id, url }
    }

    pub fn path(&self) -> &str {
        path_of(&self.url)
    }

    /// The query, without its question mark.
    pub fn query(&self) -> &str {
        self.url.split_once('?').map_or("", |(_, query)| query).split('#').next().unwrap_or("")
    }

    /// Scheme and host as the client wrote them.
    pub fn origin(&self) -> &str {
        let end =
            self.url.len().saturating_sub(self.url.split_once("://").map_or(0, |(_, rest)| {
                rest.find('/').map_or(0, |at| rest.len().saturating_sub(at))
            }));
        self.url.get(..end).unwrap_or_default()
    }

    /// A header; absent where it is not sent, or cannot be read.
    pub fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    /// The settings; where they are unusable, nobody is served, and the log says why.
    pub fn config(&self) -> Result<std::rc::Rc<Config>, Problem> {
        config(&self.env).map_err(|reason| {
            js::log(&format!("misconfigured: {reason}"));
            let message = "This gateway is not configured correctly; its operator finds the \
                           reason in the log.";
            Problem::new(Code::Misconfigured, message)
        })
    }

    /// Runs `work` to its end, whether or not the client waits for it.
    pub fn keep(&self, work: impl Future<Output = ()> + 'static) {
        self.ctx.wait_until(&future_to_promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        }));
    }

    /// `waitUntil` as a function, for JavaScript.
    pub fn keeper(&self) -> js_sys::Function {
        let ctx = self.ctx.clone();
        let keep =
            Closure::<dyn Fn(Promise)>::new(move |promise: Promise| ctx.wait_until(&promise));
        keep.into_js_value().unchecked_into()
    }
}

/// The bearer token, if one is sent.
pub fn bearer(incoming: &Incoming) -> Option<String> {
    let value = incoming.header("authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The subprotocols of a WebSocket request's header.
pub fn protocols(offered: &str) -> impl Iterator<Item = &str> {
    offered.split(',').map(str::trim).filter(|protocol| !protocol.is_empty())
}

/// The key that OpenAI's browser clients hide in a subprotocol.
pub fn key_in_protocol(protocol: &str) -> Option<&str> {
    protocol.strip_prefix("openai-insecure-api-key.")
}

/// Headers in which the APIs in front of us take a key by itself.
const KEY_HEADERS: [&str; 4] = ["x-api-key", "api-key", "x-goog-api-key", "xi-api-key"];

/// The client's key, wherever its SDK puts it. Two different ones leave open whose request it is.
pub fn api_key(incoming: &Incoming) -> Result<Option<String>, Problem> {
    // Deepgram's SDK says `Token` where others say `Bearer`, and AssemblyAI's says neither.
    let token = incoming.header("authorization").and_then(|value| {
        let Some((scheme, token)) = value.split_once(' ') else {
            return value.starts_with("fb_").then_some(value);
        };
        let known = ["bearer", "token"].iter().any(|word| scheme.eq_ignore_ascii_case(word));
        known.then(|| token.trim().to_owned())
    });
    // Gemini's clients put it here. What is not one of ours is someone else's, and goes nowhere.
    let query = parameters(incoming.query())
        .filter(|parameter| is_key(parameter) && parameter.value.starts_with("fb_"))
        .map(|parameter| parameter.value);
    // A browser cannot set a header on a WebSocket.
    let offered = incoming.header("sec-websocket-protocol");
    let protocol = offered.iter().flat_map(|offered| protocols(offered)).find_map(key_in_protocol);
    let protocol = protocol.map(ToOwned::to_owned);
    let alone = KEY_HEADERS.iter().filter_map(|name| incoming.header(name));
    let mut keys = token.into_iter().chain(alone).chain(query).chain(protocol);
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.any(|other| other != key) {
        let message = "Two different keys were sent, in two places. Send one.";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    Ok(Some(key))
}

/// A response with this body, status and headers.
pub fn response(
    body: &JsValue,
    status: u16,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response, JsValue> {
    let init = js_sys::Object::new();
    js_sys::Reflect::set(&init, &"status".into(), &status.into())?;
    js_sys::Reflect::set(&init, &"headers".into(), headers)?;
    Ok(NativeResponse::new(body, &init)?.unchecked_into())
}

/// An answer of our own.
pub fn respond(answer: &Answer) -> Result<web_sys::Response, JsValue> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in &answer.headers {
        headers.set(name, value)?;
    }
    response(&answer.body.as_str().into(), answer.status, &headers)
}

/// JSON of our own, never to be kept by a cache.
pub fn json(id: &str, status: u16, body: String) -> Result<web_sys::Response, Problem> {
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-farebox-request-id", id.to_owned()),
    ];
    respond(&Answer { status, headers, body }).map_err(|error| internal(&error))
}

/// A failure of the platform, told apart in the log only.
pub fn internal(error: &JsValue) -> Problem {
    js::log(&format!("internal: {}", js::reason(error)));
    Problem::new(
        Code::InternalError,
        "The gateway failed. Retry; if it persists, tell its operator.",
    )
}

/// A list of header names, made once.
pub fn names(list: &[&str]) -> JsValue {
    list.iter().map(|name| JsValue::from_str(name)).collect::<Array>().into()
}
