//! The Worker: owns all I/O and decides nothing about money. `entry.mjs` calls in here once per
//! request and once per call of a ledger object.

mod admit;
mod alerts;
mod answer;
mod attempt;
mod batch;
mod body;
mod books;
mod caps;
mod columns;
mod config;
mod count;
mod d1;
mod fail_open;
mod fit;
mod heard;
mod http;
mod jobs;
mod js;
mod ledger_call;
mod ledger_object;
mod outbox;
mod own;
mod own_keys;
mod own_terms;
mod proxy;
mod quote;
mod realtime;
mod sql;
mod stepped;
mod tap;
mod upstream;

use wasm_bindgen::prelude::*;

use crate::api::{Code, Problem, Shape};
use crate::ids::Id;
use crate::wire::batch::Place;
use crate::wire::route::{Route, poll_of};
use http::{Incoming, respond};

/// Prepares a fresh instance: a panic tells `entry.mjs` before the instance is lost.
#[wasm_bindgen]
pub fn start(died: js_sys::Function) {
    js::clear_room();
    std::panic::set_hook(Box::new(move |info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        // The place only: a panic's message could quote what it was working on.
        let _ = died.call1(&JsValue::NULL, &format!("panic at {at}").into());
    }));
}

/// A new request id.
#[wasm_bindgen(js_name = requestId)]
pub fn request_id() -> String {
    Id::new(js::now(), js::random()).to_string()
}

/// Answers one request.
#[wasm_bindgen]
pub async fn fetch(
    request: web_sys::Request,
    env: JsValue,
    ctx: http::Context,
    id: String,
) -> Result<web_sys::Response, JsValue> {
    let incoming = Incoming::new(request, env, ctx, id);
    let answer = route(&incoming).await;
    answer.or_else(|problem| respond(&problem.answer(incoming.shape(), &incoming.id)))
}

/// One run of the cron. Never fails; whatever is left is done by the next.
#[wasm_bindgen]
pub async fn scheduled(env: JsValue) {
    if let Err(error) = alerts::cron::run(&env).await {
        js::log(&format!("cron: {error}"));
    }
}

/// The answer to a request during which the engine stopped.
#[wasm_bindgen]
pub fn crashed(url: &str, id: &str) -> Result<web_sys::Response, JsValue> {
    let message = "The gateway failed while handling this request. Nothing more is known here; \
                   a charge, if any, shows under this request id.";
    let shape = http::shape_of(http::path_of(url));
    respond(&Problem::new(Code::InternalError, message).answer(shape, id))
}

async fn route(incoming: &Incoming) -> Result<web_sys::Response, Problem> {
    let path = incoming.path();
    if let Some(route) = Route::of(path) {
        return proxy::proxy(incoming, &route).await;
    }
    if let Some((route, id)) = poll_of(path) {
        return jobs::poll(incoming, &route, id).await;
    }
    if let Some(place) = Place::of(path) {
        return batch::serve(incoming, &place).await;
    }
    match path.strip_prefix("/v1/farebox/") {
        Some(rest) => own::route(incoming, rest).await,
        None => Err(Problem::new(
            Code::NotFound,
            "There is nothing at this path. This gateway serves the AI APIs' own paths, such as \
             POST /v1/chat/completions and POST /v1/messages.",
        )),
    }
}

/// The shape errors take on a path.
impl Incoming {
    fn shape(&self) -> Shape {
        http::shape_of(self.path())
    }
}
