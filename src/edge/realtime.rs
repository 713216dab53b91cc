//! A conversation over a WebSocket: frames pass untouched, and each turn is an attempt of its own,
//! held before it can begin and settled by what its end reports.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::admit::{Admission, Caller, Entered, authenticate, bad_request, enter};
use super::attempt::{Attempt, Ended, Watch};
use super::heard::Heard;
use super::http::{Incoming, internal, key_in_protocol, protocols};
use super::js::{self, Bridge};
use super::upstream::{self, Call, Sent};
use super::{answer, proxy, quote};
use crate::api::{self, Code, Problem};
use crate::clock::{Millis, Timestamp};
use crate::meter::{End, Metering, Reading};
use crate::wire::request::{BadRequest, Transcription};
use crate::wire::route::Route;

/// Longest session: twice what the longest of the APIs allows.
const SESSION_MAX_MS: u64 = 7_200_000;
/// How long the upstream may take to tell what a broken-off turn used, as for any other stream.
const LINGER_MS: u32 = 5_000;
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

/// A session under way.
struct Session {
    admission: Admission,
    bridge: Bridge,
    heard: Rc<RefCell<Heard>>,
    /// The hold of the turn under way or next; more where turns run side by side.
    held: Vec<Attempt>,
    /// The same for transcripts.
    held_transcripts: Vec<Attempt>,
    /// What each transcript is held for by: the dearest of the models that were agreed.
    transcript: Option<Admission>,
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
        let heard = Rc::new(RefCell::new(Heard::new(metering)));
        let (hears, asks) = (heard.clone(), heard.clone());
        let on_frame = Closure::<dyn FnMut(String) -> bool>::new(move |text: String| {
            hears.borrow_mut().frame(&text)
        });
        let on_client = Closure::<dyn FnMut(String) -> bool>::new(move |text: String| {
            asks.borrow_mut().client(&text)
        });
        let (on_frame, on_client) = (on_frame.into_js_value(), on_client.into_js_value());
        let bridge = Bridge::new(answer, on_frame.unchecked_ref(), on_client.unchecked_ref());
        Self {
            admission,
            bridge,
            heard,
            held: vec![attempt],
            held_transcripts: Vec::new(),
            transcript: None,
            request_id,
            began: js::now(),
        }
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
        self.linger().await;
        self.bridge.let_go();
        self.finish(end).await;
    }

    /// Nobody listens any more: the turn under way is cancelled, and heard until it tells what it
    /// used.
    async fn linger(&mut self) {
        if self.heard.borrow().metering.open_turns() > 0 {
            self.bridge.cancel();
        }
        let until = js::now().plus(Millis(LINGER_MS));
        // Bounded by LINGER_MS.
        while self.heard.borrow().is_waiting() && js::now() < until {
            let left = u32::try_from(until.since(js::now())).unwrap_or(u32::MAX);
            let every = self.admission.config.hold_ttl.0.div_ceil(3);
            let next: Promise = self.bridge.linger(f64::from(left.min(every)));
            let told = JsFuture::from(next).await.unwrap_or_else(|_| "over".into());
            self.renew().await;
            if told.as_string().as_deref() == Some("over") {
                return;
            }
        }
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
        self.decide().await;
        // Bounded by TURNS_AT_ONCE_MAX of each.
        loop {
            let count = |holds: &Vec<Attempt>| u64::try_from(holds.len()).unwrap_or(u64::MAX);
            let holds = (count(&self.held), count(&self.held_transcripts));
            let needed = {
                let mut heard = self.heard.borrow_mut();
                heard.held = holds;
                heard.needed()
            };
            if holds.0 < needed.0 {
                self.held.push(self.admission.reserve(js::now()).await?);
            } else if holds.1 < needed.1
                && let Some(transcript) = &self.transcript
            {
                self.held_transcripts.push(transcript.reserve(js::now()).await?);
            } else {
                break;
            }
        }
        self.bridge.resume();
        Ok(())
    }

    /// Decides about the events that set who transcribes: what is not sold, or not paid for, does
    /// not reach the upstream, and the session goes on without it.
    async fn decide(&mut self) {
        loop {
            let Some(asked) = self.heard.borrow_mut().asked.pop_front() else { return };
            let agreed = match asked {
                Ok(asked) => self.agree(asked).await,
                Err(bad) => Err(bad_request(bad)),
            };
            if let Err(problem) = &agreed {
                self.bridge.tell(&problem.event(&self.request_id));
            }
            self.bridge.decide(agreed.is_ok());
        }
    }

    /// Holds for the first transcript of a model that the book sells.
    async fn agree(&mut self, asked: Transcription) -> Result<(), Problem> {
        let Transcription { model: Some(name), ask: Some(ask) } = asked else {
            if self.heard.borrow().transcribes {
                return Ok(()); // by the model that is agreed
            }
            let message = "Name the model to transcribe with.".to_owned();
            return Err(bad_request(BadRequest { message, param: Some("model") }));
        };
        let unpriced = |why| api::unpriced(&why, &name);
        let asked = self.admission.beside(&ask, js::now()).map_err(unpriced)?;
        let dearest = match self.transcript.clone() {
            Some(known) if known.quote.upper >= asked.quote.upper => known,
            _ => asked,
        };
        let is_held = |hold: &Attempt| hold.quote.upper >= dearest.quote.upper;
        if !self.held_transcripts.iter().any(is_held) {
            let hold = dearest.reserve(js::now()).await?;
            // Those of what was dearest before stand for what is under way, and no longer.
            let before = core::mem::replace(&mut self.held_transcripts, vec![hold]);
            if self.heard.borrow().metering.open_transcripts() > 0 {
                self.held_transcripts.splice(0..0, before);
            } else {
                void(before, "transcript_not_begun").await;
            }
        }
        self.transcript = Some(dearest);
        let mut heard = self.heard.borrow_mut();
        heard.transcribes = true;
        heard.metering.transcribed_by(&name);
        Ok(())
    }

    async fn settle(&mut self) {
        let transcripts = self.heard.borrow_mut().take_transcripts(self.held_transcripts.len());
        for transcript in transcripts {
            let hold = take_first(&mut self.held_transcripts);
            self.charge(hold, transcript).await;
        }
        let turns = self.heard.borrow_mut().take(self.held.len());
        for turn in turns {
            let hold = take_first(&mut self.held);
            self.charge(hold, turn).await;
        }
    }

    /// Settles under a hold. A turn may begin in the moment in which the last is settled and the
    /// next refused: what it used is charged under a hold of nothing, and so flagged as above it.
    async fn charge(&self, hold: Option<Attempt>, used: Reading) {
        let hold = match hold {
            Some(hold) => Ok(hold),
            None => self.admission.at_nothing().reserve(js::now()).await,
        };
        match hold {
            Ok(hold) => drop(hold.settle(Ended::heard(used, SWITCHING, self.began)).await),
            Err(problem) => {
                let code = problem.code.as_str();
                js::log(&format!("request {}: a turn is not on record: {code}", self.request_id));
            }
        }
    }

    async fn renew(&self) {
        for attempt in self.held.iter().chain(&self.held_transcripts) {
            attempt.renew(attempt.quote.lower).await;
        }
    }

    fn stop(&self, problem: &Problem) {
        let event = problem.event(&self.request_id);
        self.bridge.stop(&event, problem.close_code(), problem.code.as_str());
    }

    /// Settles what was said of the turn under way, and gives back what was held for the next.
    async fn finish(mut self, end: End) {
        // Transcripts first: they are no part of a turn.
        self.settle().await;
        {
            let heard = &mut *self.heard.borrow_mut();
            if !heard.metering.is_untouched() {
                let metering =
                    core::mem::replace(&mut heard.metering, Metering::session(SWITCHING));
                heard.over.push(metering.end(end));
            }
        }
        self.settle().await;
        void(self.held, "turn_not_begun").await;
        void(self.held_transcripts, "transcript_not_begun").await;
    }
}

/// The hold made first.
fn take_first(holds: &mut Vec<Attempt>) -> Option<Attempt> {
    (!holds.is_empty()).then(|| holds.remove(0))
}

async fn void(holds: Vec<Attempt>, why: &str) {
    for hold in holds {
        hold.void(Some(SWITCHING), why).await;
    }
}
