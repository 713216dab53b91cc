//! A conversation over a WebSocket: frames pass untouched, and each turn is an attempt of its own,
//! held before it can begin and settled by what its end reports.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::admit::{Admission, Caller, Entered, authenticate, enter};
use super::attempt::{Attempt, Ended, Watch};
use super::http::{Incoming, internal, key_in_protocol, protocols};
use super::js::{self, Bridge};
use super::upstream::{self, Call, Sent};
use super::{answer, proxy, quote};
use crate::api::{Code, Problem};
use crate::clock::Timestamp;
use crate::meter::{End, Metering, Reading};
use crate::wire::route::Route;

/// Longest session: twice what the longest of the APIs allows.
const SESSION_MAX_MS: u64 = 7_200_000;
/// Turns held for at once. A client asks for one after the other; answers outside of the
/// conversation may run beside it, a few at a time.
const TURNS_AT_ONCE_MAX: u64 = 16;
/// Turns that ended and are not settled yet, before the next are charged together with the last.
const READINGS_MAX: usize = 64;
/// Subprotocols that go on to the upstream. Others carry the client's key, or name an account that
/// is not the operator's.
const PROTOCOLS: [&str; 2] = ["realtime", "openai-beta.realtime-v1"];
/// The status of an upstream that opened a WebSocket.
const SWITCHING: u16 = 101;

pub async fn serve(incoming: &Incoming, route: &Route<'_>) -> Result<web_sys::Response, Problem> {
    let upgrade = incoming.header("upgrade");
    let is_socket = upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    if incoming.request.method() != "GET" || !is_socket {
        let message = format!("{} takes GET with `Upgrade: websocket`.", route.path);
        return Err(Problem::new(Code::MethodNotAllowed, message));
    }
    let config = incoming.config()?;
    let received_at = js::now();
    let key = authenticate(incoming, &config).await?;
    quote::none_sent(incoming)?;
    let ask = Rc::new(proxy::read(incoming, route, b"")?);
    let caller = Caller { incoming, route, key, ask: ask.clone(), once: None, received_at };
    let offered = incoming.header("sec-websocket-protocol").unwrap_or_default();
    let offered: Vec<&str> =
        protocols(&offered).filter(|protocol| PROTOCOLS.contains(protocol)).collect();
    let joined = offered.join(", ");
    let entered = enter(&caller, &config, |_| Ok(())).await?;
    let Entered { admission, attempt, upstream, .. } = entered;
    let provider = attempt.quote.provider.clone();
    let watch = Watch::new();
    let call = Call { route, model: &ask.model, upstream, method: "GET", protocols: Some(&joined) };
    let sent = Sent { call, ask: &ask, provider: &provider, strip: false, watch: &watch };
    let answer = upstream::call(incoming, &attempt, &sent, &JsValue::UNDEFINED)
        .await
        .map_err(|problem| attempt.told(problem))?;
    if !js::is_open(&answer) {
        return not_open(incoming, attempt, &sent, answer).await;
    }
    let headers = answer::client_headers(incoming, &answer, Some(&attempt))?;
    if let Some(protocol) = chosen(&answer, incoming) {
        headers.set("sec-websocket-protocol", &protocol).map_err(|error| internal(&error))?;
    }
    let session = Session::open(admission, attempt, &provider, &answer, incoming.id.clone());
    let response = session.bridge.response(&headers).map_err(|error| internal(&error));
    incoming.keep(session.follow());
    response
}

/// The subprotocol that both sides agree on. A client that offers some expects one of them; where
/// it offered none but its key, the key is not what it is told.
fn chosen(answer: &web_sys::Response, incoming: &Incoming) -> Option<String> {
    let offered = incoming.header("sec-websocket-protocol")?;
    let by_upstream = answer.headers().get("sec-websocket-protocol").ok().flatten();
    let mut plain = protocols(&offered).filter(|protocol| key_in_protocol(protocol).is_none());
    match by_upstream {
        Some(protocol) => plain.find(|offered| *offered == protocol).map(ToOwned::to_owned),
        None => plain.next().map(ToOwned::to_owned),
    }
}

/// The upstream refused, or answered as if it had been asked for something else.
async fn not_open(
    incoming: &Incoming,
    attempt: Attempt,
    sent: &Sent<'_>,
    answer: web_sys::Response,
) -> Result<web_sys::Response, Problem> {
    if answer.status() >= 400 {
        return answer::deliver(incoming, attempt, sent, answer).await;
    }
    incoming.keep(async move { attempt.void(Some(answer.status()), "upstream_error").await });
    let message = "The provider did not open a WebSocket.";
    Err(Problem::new(Code::UpstreamUnreachable, message))
}

/// What is heard between two looks of the session's loop.
struct Heard {
    metering: Metering,
    /// Turns that are over, to be settled.
    over: Vec<Reading>,
    /// How many turns are held for.
    held: u64,
}

impl Heard {
    /// Reads a frame; whether there is something to settle or to hold for.
    fn frame(&mut self, text: &str) -> bool {
        self.metering.frame(text.as_bytes());
        if self.metering.has_turn() {
            let turn = self.metering.take_turn();
            let full = self.over.len() >= READINGS_MAX;
            match self.over.last_mut() {
                Some(last) if full => last.add(turn),
                _ => self.over.push(turn),
            }
            return true;
        }
        self.needed() > self.held
    }

    /// How many turns may be under way: always the next.
    fn needed(&self) -> u64 {
        self.metering.open_turns().clamp(1, TURNS_AT_ONCE_MAX)
    }

    /// Turns to settle: not more than there are holds, so that none is lost.
    fn take(&mut self, holds: usize) -> Vec<Reading> {
        while self.over.len() > holds.max(1)
            && let Some(turn) = self.over.pop()
            && let Some(last) = self.over.last_mut()
        {
            last.add(turn);
        }
        core::mem::take(&mut self.over)
    }
}

/// A session under way.
struct Session {
    admission: Admission,
    bridge: Bridge,
    heard: Rc<RefCell<Heard>>,
    /// The hold of the turn under way or next; more where turns run side by side.
    held: Vec<Attempt>,
    request_id: String,
    began: Timestamp,
}

impl Session {
    fn open(
        admission: Admission,
        attempt: Attempt,
        provider: &str,
        answer: &web_sys::Response,
        request_id: String,
    ) -> Self {
        let metering = Metering::session(SWITCHING).with_provider(provider);
        let heard = Rc::new(RefCell::new(Heard { metering, over: Vec::new(), held: 1 }));
        let hears = heard.clone();
        let on_frame = Closure::<dyn FnMut(String) -> bool>::new(move |text: String| {
            hears.borrow_mut().frame(&text)
        });
        let bridge = Bridge::new(answer, on_frame.into_js_value().unchecked_ref());
        Self { admission, bridge, heard, held: vec![attempt], request_id, began: js::now() }
    }

    /// Settles turns and holds for the next until one side ends the session.
    async fn follow(mut self) {
        let every = self.admission.config.hold_ttl.0.div_ceil(3);
        let mut renewed = js::now();
        let end = loop {
            let next: Promise = self.bridge.next(f64::from(every));
            let told = JsFuture::from(next).await.unwrap_or_else(|_| "gate".into());
            if js::now().since(renewed) >= u64::from(every) {
                renewed = js::now();
                self.renew().await;
            }
            if js::now().since(self.began) > SESSION_MAX_MS {
                let message = "The session has lasted as long as one can here.";
                self.stop(&Problem::new(Code::UpstreamTimeout, message));
                break End::Bound;
            }
            match told.as_string().as_deref() {
                Some("turn") => {
                    if let Err(problem) = self.turn().await {
                        self.stop(&problem);
                        break End::Bound;
                    }
                }
                Some("client") => break End::ClientLeft,
                Some("upstream") => break End::Cut,
                Some(_) => break End::Bound,
                None => {}
            }
        };
        self.finish(end).await;
    }

    /// Settles the turns that are over, and holds for as many as may be under way.
    async fn turn(&mut self) -> Result<(), Problem> {
        // A turn that has begun is held for before the last hold is settled: should it be refused,
        // that hold pays for both.
        let begun = self.heard.borrow().metering.open_turns() > 0;
        if begun && self.held.len() == 1 {
            self.held.push(self.admission.reserve(js::now()).await?);
        }
        self.settle().await;
        // Bounded by TURNS_AT_ONCE_MAX.
        loop {
            let holds = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
            let needed = {
                let mut heard = self.heard.borrow_mut();
                heard.held = holds;
                heard.needed()
            };
            if holds >= needed {
                break;
            }
            self.held.push(self.admission.reserve(js::now()).await?);
        }
        self.bridge.resume();
        Ok(())
    }

    async fn settle(&mut self) {
        let turns = self.heard.borrow_mut().take(self.held.len());
        for turn in turns {
            if self.held.is_empty() {
                js::log(&format!("request {}: a turn without a hold", self.request_id));
                return;
            }
            let attempt = self.held.remove(0);
            attempt.settle(Ended::heard(turn, SWITCHING, self.began)).await;
        }
    }

    async fn renew(&self) {
        for attempt in &self.held {
            attempt.renew(attempt.quote.lower).await;
        }
    }

    fn stop(&self, problem: &Problem) {
        let event = problem.event(&self.request_id);
        self.bridge.stop(&event, problem.close_code(), problem.code.as_str());
    }

    /// Settles what was said of the turn under way, and gives back what was held for the next.
    async fn finish(mut self, end: End) {
        {
            let heard = &mut *self.heard.borrow_mut();
            if !heard.metering.is_untouched() {
                let metering =
                    core::mem::replace(&mut heard.metering, Metering::session(SWITCHING));
                heard.over.push(metering.end(end));
            }
        }
        self.settle().await;
        for attempt in self.held {
            attempt.void(Some(SWITCHING), "turn_not_begun").await;
        }
    }
}
