//! Streams: the client gets every chunk at once, and the meter reads a copy.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::answer::{WHOLE_MAX, broke_off, with_cost};
use super::attempt::{Attempt, Ended};
use super::http::{Incoming, internal, response};
use super::js::{self, Ending, Tap};
use crate::api::Problem;
use crate::clock::Timestamp;
use crate::meter::{End, Metering, Reading};
use crate::wire::strip::Strip;

/// How long the meter's copy is left alone: first, and at most. It is woken at the answer's end, so
/// a long pause delays nothing; a short first one keeps a burst from piling up. A client that
/// stands still has nothing buffered here, so each emptying pulls one piece of up to 16 KiB for it,
/// ahead of it: the longer the pause, the less.
const PAUSE_FIRST_MS: u64 = 100;
const PAUSE_MAX_MS: u64 = 2_000;
/// The pause after a read came back full: the client is taking more than one read a pause.
const PAUSE_BUSY_MS: u64 = 20;
/// A read that full says that more is waiting, taken by the client already.
const READ_FULL: u32 = 32_768;
/// Reads in one emptying, 16 MiB in all: then it is time to see to the hold.
const READS_MAX: usize = 512;
/// Bytes that may be read ahead of the client. A tee keeps what a client that stands still has not
/// taken, so this bounds an isolate's memory. A full read is not ahead: the client has taken it.
/// Past the bound the upstream's call is ended: nothing flows unmetered.
const AHEAD_MAX: u64 = 48 * 1024 * 1024;
/// What has arrived already is there within this time.
const BUFFERED_MS: u64 = 30;
/// How long what has arrived is read after the client has all of it or has left: the largest
/// backlog takes less, and an upstream that goes on talking is not listened to for longer.
const BACKLOG_MS: u64 = 500;
/// Longest life of one answer: no API streams longer.
const ANSWER_MAX_MS: u64 = 3_600_000;

/// An answer under way, and what settles it.
pub struct Followed {
    pub attempt: Attempt,
    pub metering: Metering,
    pub status: u16,
    pub began: Timestamp,
}

impl Followed {
    /// The fast path: the client's branch of a tee flows natively; the meter's is emptied by a
    /// timer.
    pub fn tapped(
        self,
        incoming: &Incoming,
        answer: &web_sys::Response,
        headers: &web_sys::Headers,
    ) -> Result<web_sys::Response, Problem> {
        let signal = incoming.request.signal();
        let Some(tap) = answer.body().map(|body| Tap::new(&body, &signal)) else {
            return self.empty(incoming, headers);
        };
        let (status, client) = (self.status, tap.client());
        incoming.keep(self.follow(tap, Clone::clone(&incoming.request)));
        response(&client, status, headers).map_err(|error| internal(&error))
    }

    /// An answer of unstated length that is not a stream: with its cost if it is short, at once if
    /// it is not.
    pub async fn short_or_tapped(
        mut self,
        incoming: &Incoming,
        answer: &web_sys::Response,
        headers: &web_sys::Headers,
    ) -> Result<web_sys::Response, Problem> {
        let signal = incoming.request.signal();
        let Some(tap) = answer.body().map(|body| Tap::new(&body, &signal)) else {
            return self.empty(incoming, headers);
        };
        let (mut length, mut heard) = (0_u32, js::now());
        let (status, client) = (self.status, tap.client());
        while length <= WHOLE_MAX {
            match self.read(&tap, f64::from(self.attempt.renew_every())).await {
                Read::Some(bytes) => {
                    (length, heard) = (length.saturating_add(bytes), js::now());
                }
                Read::Nothing if tap.left() || self.attempt.is_stalled(heard) => break,
                Read::Nothing => self.attempt.renew(self.attempt.quote.lower).await,
                Read::End(End::Cut) => {
                    let ended = Ended::heard(self.metering.end(End::Cut), status, self.began);
                    self.attempt.settle(ended).await;
                    return Err(broke_off());
                }
                Read::End(end) => {
                    let ended = Ended::heard(self.metering.end(end), status, self.began);
                    let cost = self.attempt.settle_first(incoming, ended).await;
                    with_cost(headers, cost)?;
                    return response(&client, status, headers).map_err(|error| internal(&error));
                }
            }
        }
        incoming.keep(self.follow(tap, Clone::clone(&incoming.request)));
        response(&client, status, headers).map_err(|error| internal(&error))
    }

    /// A success without a body.
    pub fn empty(
        self,
        incoming: &Incoming,
        headers: &web_sys::Headers,
    ) -> Result<web_sys::Response, Problem> {
        let status = self.status;
        incoming.keep(async move {
            let reading = self.metering.end(End::Eof);
            self.attempt.settle(Ended::heard(reading, self.status, self.began)).await;
        });
        response(&JsValue::NULL, status, headers).map_err(|error| internal(&error))
    }

    /// Empties the meter's branch until the answer is over, then settles.
    async fn follow(mut self, tap: Tap, request: web_sys::Request) {
        let end = self.drain(&tap).await;
        if end == End::Bound {
            js::stop_call(&request, "bound");
        }
        if end != End::Eof {
            let _ = JsFuture::from(tap.cancel()).await;
        }
        let reading = self.metering.end(end);
        self.attempt.settle(Ended::heard(reading, self.status, self.began)).await;
    }

    async fn drain(&mut self, tap: &Tap) -> End {
        let mut ahead = 0_u64;
        let (mut renewed, mut heard) = (js::now(), js::now());
        let renew_every = u64::from(self.attempt.renew_every());
        let mut pause = PAUSE_FIRST_MS;
        loop {
            let mut first = Some(tap.next(ms(pause)));
            pause = pause.saturating_mul(2).min(PAUSE_MAX_MS).min(renew_every);
            for _ in 0..READS_MAX {
                let read = first.take().unwrap_or_else(|| tap.read(ms(BUFFERED_MS)));
                match self.take(JsFuture::from(read).await) {
                    Read::End(end) => return end,
                    Read::Some(bytes) => {
                        heard = js::now();
                        if bytes < READ_FULL {
                            ahead = ahead.saturating_add(u64::from(bytes));
                            break;
                        }
                        pause = PAUSE_BUSY_MS;
                    }
                    Read::Nothing => break,
                }
            }
            if tap.left() {
                return self.after_leaving(tap).await;
            }
            let now = js::now();
            let is_long = now.since(self.began) > ANSWER_MAX_MS;
            if ahead > AHEAD_MAX || is_long || self.attempt.is_stalled(heard) {
                return End::Bound;
            }
            if now.since(renewed) >= renew_every {
                renewed = now;
                self.attempt.renew(self.attempt.quote.lower).await;
            }
        }
    }

    /// The client has gone: takes what has arrived, and waits for the usage where only that is
    /// missing.
    async fn after_leaving(&mut self, tap: &Tap) -> End {
        let left_at = js::now();
        loop {
            let waits = self.attempt.reads_on() || self.metering.near_end();
            let in_all = if waits { self.attempt.reads_on_ms() } else { BACKLOG_MS };
            let rest = in_all.saturating_sub(js::now().since(left_at));
            if rest == 0 {
                break;
            }
            // A drained answer may outlive its hold.
            let soon = u64::from(self.attempt.renew_every()).min(rest);
            match self.read(tap, ms(if waits { soon } else { BUFFERED_MS })).await {
                Read::Some(_) => {}
                Read::End(end) => return end,
                Read::Nothing if waits => self.attempt.renew(self.attempt.quote.lower).await,
                Read::Nothing => break,
            }
        }
        End::ClientLeft
    }

    async fn read(&mut self, tap: &Tap, ms: f64) -> Read {
        self.take(JsFuture::from(tap.read(ms)).await)
    }

    /// Meters what a read brought.
    fn take(&mut self, read: Result<JsValue, JsValue>) -> Read {
        match read {
            Err(_) => Read::End(End::Cut),
            Ok(value) if value.is_null() => Read::End(End::Eof),
            Ok(value) => match value.dyn_into::<Uint8Array>() {
                Ok(bytes) => {
                    self.metering.chunk(&bytes.to_vec());
                    Read::Some(bytes.length())
                }
                Err(_) => Read::Nothing,
            },
        }
    }

    /// The slower path: every chunk passes through here, so that the usage chunk can be taken out.
    pub fn filtered(
        self,
        incoming: &Incoming,
        answer: &web_sys::Response,
        headers: &web_sys::Headers,
    ) -> Result<web_sys::Response, Problem> {
        let Some(body) = answer.body() else { return self.empty(incoming, headers) };
        let Self { attempt, metering, status, began } = self;
        let read_on_ms = attempt.reads_on_ms();
        let shared = Rc::new(RefCell::new(Some(Filter { metering, strip: Strip::default() })));
        let done = Ending::new();
        let request = Clone::clone(&incoming.request);
        let heard = Rc::new(Cell::new(js::now()));
        incoming.keep(keep_held(attempt.clone(), done.promise(), heard.clone(), request));
        let on_chunk = {
            let shared = shared.clone();
            Closure::<dyn FnMut(Uint8Array) -> Uint8Array>::new(move |chunk: Uint8Array| {
                heard.set(js::now());
                let bytes = chunk.to_vec();
                let out = shared.borrow_mut().as_mut().map(|filter| filter.chunk(&bytes));
                Uint8Array::from(out.unwrap_or_default().as_slice())
            })
        };
        let read_on = {
            let (shared, always) = (shared.clone(), attempt.reads_on());
            Closure::<dyn Fn() -> bool>::new(move || {
                always || shared.borrow().as_ref().is_some_and(|filter| filter.metering.near_end())
            })
        };
        let keeper = incoming.clone();
        let on_end = Closure::<dyn FnMut(String) -> Uint8Array>::new(move |how: String| {
            let Some(filter) = shared.borrow_mut().take() else {
                return Uint8Array::new(&0.into());
            };
            done.end();
            let (reading, rest) = filter.end(&how);
            let attempt = attempt.clone();
            keeper.keep(async move {
                attempt.settle(Ended::heard(reading, status, began)).await;
            });
            Uint8Array::from(rest.as_slice())
        });
        let stream = js::filtered(
            &body,
            on_chunk.into_js_value().unchecked_ref(),
            on_end.into_js_value().unchecked_ref(),
            read_on.into_js_value().unchecked_ref(),
            &incoming.keeper(),
            ms(read_on_ms),
        );
        response(&stream, status, headers).map_err(|error| internal(&error))
    }
}

/// Milliseconds, as timers take them.
#[allow(clippy::cast_precision_loss)] // a few thousand
pub fn ms(length: u64) -> f64 {
    length as f64
}

enum Read {
    Some(u32),
    Nothing,
    End(End),
}

/// What every chunk of the slower path passes through.
struct Filter {
    metering: Metering,
    strip: Strip,
}

impl Filter {
    fn chunk(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.metering.chunk(bytes);
        self.strip.feed(bytes)
    }

    fn end(self, how: &str) -> (Reading, Vec<u8>) {
        let end = match how {
            "eof" => End::Eof,
            "left" => End::ClientLeft,
            _ => End::Cut,
        };
        (self.metering.end(end), self.strip.end())
    }
}

/// Renews a hold until `done`. An upstream that says nothing more is ended: `heard` is when the last
/// of its bytes came.
pub async fn keep_held(
    attempt: Attempt,
    done: Promise,
    heard: Rc<Cell<Timestamp>>,
    request: web_sys::Request,
) {
    let renewals = ANSWER_MAX_MS.div_ceil(u64::from(attempt.renew_every().max(1)));
    for _ in 0..renewals {
        let soon = js::within(&done, f64::from(attempt.renew_every()));
        match JsFuture::from(soon).await {
            Ok(value) if value.is_undefined() => attempt.renew(attempt.quote.lower).await,
            _ => return,
        }
        if attempt.is_stalled(heard.get()) {
            break;
        }
    }
    js::stop_call(&request, "stalled");
}
