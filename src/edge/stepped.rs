//! The slower path of a stream that is held for in part: its price is bounded as it passes, its
//! hold grows with it, and where it may not grow the stream ends as its API ends answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::attempt::{Attempt, Ended, Room};
use super::http::{Incoming, internal, response};
use super::js;
use super::tap::{Followed, keep_held, ms};
use super::upstream::Sent;
use crate::api::Problem;
use crate::meter::{End, Metering, Reading};
use crate::stop::{Ending, Follow, Need};
use crate::wire::strip::Strip;

/// One stream under way.
struct Step {
    metering: Metering,
    strip: Strip,
    follow: Follow,
    ending: Ending,
    /// The hold's growth under way.
    growing: Option<Promise>,
    /// It was refused: asked again only where nothing goes on without it.
    refused: bool,
    /// Input tokens, as far as counted.
    input: u64,
}

/// What the closures share; empty once the stream is over.
#[derive(Clone)]
struct Stream {
    step: Rc<RefCell<Option<Step>>>,
    attempt: Attempt,
    room: Rc<Room>,
}

impl Step {
    fn end(self, how: &str) -> (Reading, Vec<u8>) {
        let end = match how {
            "eof" => End::Eof,
            "left" => End::ClientLeft,
            "stopped" => End::Stopped,
            _ => End::Cut,
        };
        (self.metering.end(end), self.strip.end())
    }
}

impl Stream {
    /// What of a chunk goes to the client: at once, or once the hold covers it.
    fn chunk(&self, chunk: &[u8]) -> JsValue {
        let mut slot = self.step.borrow_mut();
        let Some(step) = slot.as_mut() else { return Uint8Array::new(&0.into()).into() };
        step.metering.chunk(chunk);
        step.follow.chunk(chunk);
        let out = step.strip.feed(chunk);
        step.ending.chunk(&out);
        match step.follow.need() {
            Need::Nothing => {}
            Need::Soon(tokens) => {
                if step.growing.is_none() && !step.refused {
                    step.growing = Some(self.grow(tokens));
                }
            }
            Need::Now(_) => {
                let this = self.clone();
                return future_to_promise(async move { this.covered(out).await }).into();
            }
        }
        Uint8Array::from(out.as_slice()).into()
    }

    /// `out` once the hold covers it; else as the last of the stream, with what ends it.
    async fn covered(&self, out: Vec<u8>) -> Result<JsValue, JsValue> {
        // What was begun ahead of need may be enough; if not, it is asked for what is needed now.
        for _ in 0..2 {
            let growing = {
                let mut slot = self.step.borrow_mut();
                let Some(step) = slot.as_mut() else { break };
                let Need::Now(tokens) = step.follow.need() else { break };
                step.growing.take().unwrap_or_else(|| self.grow(tokens))
            };
            JsFuture::from(growing).await?;
        }
        let mut slot = self.step.borrow_mut();
        let Some(step) = slot.as_mut() else { return Ok(Uint8Array::new(&0.into()).into()) };
        if !matches!(step.follow.need(), Need::Now(_)) {
            return Ok(Uint8Array::from(out.as_slice()).into());
        }
        let ending = core::mem::replace(&mut step.ending, Ending::over());
        let end = ending.end(step.input, step.metering.seen_output());
        let last = [out.as_slice(), end.as_bytes()].concat();
        let stop = js_sys::Object::new();
        js_sys::Reflect::set(&stop, &"last".into(), &Uint8Array::from(last.as_slice()))?;
        Ok(stop.into())
    }

    /// Asks for a hold of so many output tokens, or of as many as there is money for.
    fn grow(&self, tokens: u64) -> Promise {
        let this = self.clone();
        future_to_promise(async move {
            let covers = this.attempt.extend(&this.room, tokens).await;
            if let Some(step) = this.step.borrow_mut().as_mut() {
                step.growing = None;
                step.refused = covers < tokens;
                step.follow.cover(covers);
            }
            Ok(JsValue::UNDEFINED)
        })
    }
}

impl Followed {
    /// Follows a stream that is held for in part.
    pub fn stepped(
        self,
        incoming: &Incoming,
        answer: &web_sys::Response,
        headers: &web_sys::Headers,
        sent: &Sent<'_>,
        room: Rc<Room>,
    ) -> Result<web_sys::Response, Problem> {
        let Some(body) = answer.body() else { return self.empty(incoming, headers) };
        let Self { attempt, metering, status, began } = self;
        let held = attempt.quote.output_tokens.upper.to_u64().unwrap_or(0);
        let asked = sent.ask.include_usage == Some(true);
        let step = Step {
            metering,
            strip: if sent.strip { Strip::default() } else { Strip::keeping_usage() },
            follow: Follow::new(held, room.most, room.ahead),
            ending: Ending::new(sent.ask.endpoint, asked),
            growing: None,
            refused: false,
            input: sent.ask.input_least,
        };
        let step = Rc::new(RefCell::new(Some(step)));
        let stream = Stream { step: step.clone(), attempt: attempt.clone(), room };
        let heard = Rc::new(Cell::new(js::now()));
        let latest = heard.clone();
        let on_chunk =
            Closure::<dyn FnMut(Uint8Array) -> JsValue>::new(move |chunk: Uint8Array| {
                latest.set(js::now());
                stream.chunk(&chunk.to_vec())
            });
        let read_on = {
            let (step, always) = (step.clone(), attempt.reads_on());
            Closure::<dyn Fn() -> bool>::new(move || {
                always || step.borrow().as_ref().is_some_and(|step| step.metering.near_end())
            })
        };
        let done = js::Ending::new();
        let request = Clone::clone(&incoming.request);
        incoming.keep(keep_held(attempt.clone(), done.promise(), heard, request));
        let (keeper, settling) = (incoming.clone(), attempt.clone());
        let on_end = Closure::<dyn FnMut(String) -> Uint8Array>::new(move |how: String| {
            let Some(step) = step.borrow_mut().take() else { return Uint8Array::new(&0.into()) };
            done.end();
            let (reading, rest) = step.end(&how);
            let attempt = settling.clone();
            keeper.keep(async move {
                let ended = Ended::heard(reading, status, began);
                let stopped = (how == "stopped").then_some("stopped_at_limit");
                attempt.settle(ended.because(stopped)).await;
            });
            Uint8Array::from(rest.as_slice())
        });
        let stream = js::filtered(
            &body,
            on_chunk.into_js_value().unchecked_ref(),
            on_end.into_js_value().unchecked_ref(),
            read_on.into_js_value().unchecked_ref(),
            &incoming.keeper(),
            ms(attempt.reads_on_ms()),
        );
        response(&stream, status, headers).map_err(|error| internal(&error))
    }
}
