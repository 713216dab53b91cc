//! Bindings to `glue.js`, `bridge.js` and `count.js`, and to the few platform calls the `worker` crate does not offer.

use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/edge/glue.js")]
extern "C" {
    #[wasm_bindgen(js_name = copyHeaders)]
    pub fn copy_headers(from: &web_sys::Headers, allow: &JsValue) -> web_sys::Headers;

    #[wasm_bindgen(js_name = readBody)]
    pub fn read_body(message: &JsValue, max: f64) -> Promise;

    #[wasm_bindgen(js_name = readPrefix)]
    pub fn read_prefix(body: &JsValue, max: f64, ms: f64) -> Promise;

    pub fn forward(
        request: &web_sys::Request,
        method: &str,
        url: &str,
        headers: &web_sys::Headers,
        body: &JsValue,
    ) -> Promise;
    #[wasm_bindgen(js_name = stopCall)]
    pub fn stop_call(request: &web_sys::Request, reason: &str);

    #[wasm_bindgen(js_name = signAws)]
    pub fn sign_aws(
        url: &str,
        headers: &web_sys::Headers,
        body: &JsValue,
        key: &str,
        region: &str,
        service: &str,
    ) -> Promise;
    #[wasm_bindgen(js_name = googleToken)]
    pub fn google_token(key_file: &str) -> Promise;
    #[wasm_bindgen(js_name = knownGoogleToken)]
    pub fn known_google_token(key_file: &str) -> Option<String>;
    #[wasm_bindgen(js_name = headerPairs)]
    pub fn header_pairs(from: &web_sys::Headers, names: &JsValue) -> Array;

    #[wasm_bindgen(js_name = readWhole)]
    pub fn read_whole(
        response: &web_sys::Response,
        request: &web_sys::Request,
        drain_ms: f64,
    ) -> Promise;

    pub type Watch;
    #[wasm_bindgen(constructor)]
    pub fn new() -> Watch;
    #[wasm_bindgen(method)]
    pub fn or(this: &Watch, promise: &Promise, ms: f64) -> Promise;
    #[wasm_bindgen(method)]
    pub fn stop(this: &Watch);

    pub fn within(promise: &Promise, ms: f64) -> Promise;

    #[derive(Clone)]
    pub type Ending;
    #[wasm_bindgen(constructor)]
    pub fn new() -> Ending;
    #[wasm_bindgen(method, getter)]
    pub fn promise(this: &Ending) -> Promise;
    #[wasm_bindgen(method)]
    pub fn end(this: &Ending);

    pub type Tap;
    #[wasm_bindgen(constructor)]
    pub fn new(body: &web_sys::ReadableStream, signal: &web_sys::AbortSignal) -> Tap;
    #[wasm_bindgen(method, getter)]
    pub fn client(this: &Tap) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub fn left(this: &Tap) -> bool;
    #[wasm_bindgen(method)]
    pub fn next(this: &Tap, ms: f64) -> Promise;
    #[wasm_bindgen(method)]
    pub fn read(this: &Tap, ms: f64) -> Promise;
    #[wasm_bindgen(method)]
    pub fn cancel(this: &Tap) -> Promise;

    pub fn filtered(
        body: &web_sys::ReadableStream,
        on_chunk: &Function,
        on_end: &Function,
        read_on: &Function,
        wait_until: &Function,
        read_on_ms: f64,
    ) -> web_sys::ReadableStream;

    pub fn metered(
        body: &web_sys::ReadableStream,
        signal: &web_sys::AbortSignal,
        on_chunk: &Function,
        on_end: &Function,
        wait_until: &Function,
    ) -> web_sys::ReadableStream;

    #[wasm_bindgen(catch)]
    pub fn commit(storage: &JsValue, rows: &Array) -> Result<(), JsValue>;
    #[wasm_bindgen(catch)]
    pub fn query(storage: &JsValue, sql: &str, parameters: &Array) -> Result<Array, JsValue>;
    #[wasm_bindgen(js_name = setAlarm)]
    pub fn set_alarm(storage: &JsValue, at: f64);
}

#[wasm_bindgen(module = "/src/edge/records.js")]
extern "C" {
    #[wasm_bindgen(js_name = recentRecords)]
    pub fn recent_records(bucket: &JsValue, objects_max: u32, bytes_max: u32) -> Promise;
}

#[wasm_bindgen(module = "/src/edge/count.js")]
extern "C" {
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(vocabulary: &str, texts: &Array) -> Promise;
}

#[wasm_bindgen(module = "/src/edge/room.js")]
extern "C" {
    #[wasm_bindgen(js_name = takeRoom)]
    pub fn take_room(bytes: f64, whose: &str) -> Promise;
    #[wasm_bindgen(js_name = giveRoom)]
    pub fn give_room(bytes: f64, whose: &str);
    #[wasm_bindgen(js_name = clearRoom)]
    pub fn clear_room();
}

#[wasm_bindgen(module = "/src/edge/bridge.js")]
extern "C" {
    #[wasm_bindgen(js_name = isOpen)]
    pub fn is_open(answer: &web_sys::Response) -> bool;

    pub type Bridge;
    #[wasm_bindgen(constructor)]
    pub fn new(answer: &web_sys::Response, on_frame: &Function, on_client: &Function) -> Bridge;
    #[wasm_bindgen(method, catch)]
    pub fn response(
        this: &Bridge,
        headers: &web_sys::Headers,
    ) -> Result<web_sys::Response, JsValue>;
    #[wasm_bindgen(method)]
    pub fn next(this: &Bridge, ms: f64) -> Promise;
    #[wasm_bindgen(method)]
    pub fn resume(this: &Bridge);
    #[wasm_bindgen(method)]
    pub fn stop(this: &Bridge, event: &str, code: u16, reason: &str);
    #[wasm_bindgen(method)]
    pub fn decide(this: &Bridge, passes: bool);
    #[wasm_bindgen(method)]
    pub fn tell(this: &Bridge, event: &str);
    #[wasm_bindgen(method)]
    pub fn cancel(this: &Bridge);
    #[wasm_bindgen(method)]
    pub fn linger(this: &Bridge, ms: f64) -> Promise;
    #[wasm_bindgen(method, js_name = letGo)]
    pub fn let_go(this: &Bridge);
}

#[wasm_bindgen]
extern "C" {
    /// The namespace of ledger objects, and one object's stub, whose methods are remote calls.
    pub type Ledgers;
    #[wasm_bindgen(method, catch, js_name = getByName)]
    pub fn get_by_name(this: &Ledgers, name: &str) -> Result<LedgerStub, JsValue>;

    pub type LedgerStub;
    #[wasm_bindgen(method, catch)]
    pub fn apply(this: &LedgerStub, command: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn look(this: &LedgerStub, query: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn alerts(this: &LedgerStub, ask: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn fetch(this: &LedgerStub, request: &web_sys::Request) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &Uint8Array);

    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// The platform's clock. It stands still while code runs and moves at I/O.
pub fn now() -> crate::clock::Timestamp {
    #[allow(clippy::cast_possible_truncation)] // milliseconds: whole and far below 2^53
    crate::clock::Timestamp::from_ms(date_now() as i64)
}

/// Fresh random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let array = Uint8Array::new_with_length(u32::try_from(N).unwrap_or(0));
    get_random_values(&array);
    array.copy_to(&mut bytes);
    bytes
}

/// Waits.
pub async fn pause(ms: f64) {
    let never = Promise::new(&mut |_, _| {});
    let _ = wasm_bindgen_futures::JsFuture::from(within(&never, ms)).await;
}

/// Writes one line to the operator's log. Callers pass ids and codes, never content.
pub fn log(text: &str) {
    console_error(text);
}

/// The text of a JavaScript error, for the log.
pub fn reason(error: &JsValue) -> String {
    error
        .as_string()
        .or_else(|| error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message())))
        .unwrap_or_else(|| "unknown error".to_owned())
}
