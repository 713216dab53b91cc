//! Results are handed out: as they come, byte by byte, and each line charged before its chunk goes
//! on.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::super::answer;
use super::super::attempt::{NAME_MAX, priced, unknown};
use super::super::books;
use super::super::http::{Incoming, internal, response};
use super::super::js::{self, Ending};
use super::super::ledger_call::LedgerClient;
use super::super::upstream::{self, Call};
use super::{Caller, no_file};
use crate::api::Problem;
use crate::book::Book;
use crate::ledger::{BATCH_LINES_MAX, Batch, BatchCommand, BatchLine, Command, File, Reply, Seen};
use crate::meter::Outcome;
use crate::quote::batch::asked_model;
use crate::record::Digest;
use crate::wire::batch::{Inlined, Object};
use crate::wire::read::{Line, Lines};
use crate::wire::route::Route;

/// The results of an Anthropic batch.
pub async fn results(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
) -> Result<web_sys::Response, Problem> {
    of_batch(incoming, route, id, "results").await
}

/// What is said of a Gemini batch, and the answers in it.
pub async fn inlined(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
) -> Result<web_sys::Response, Problem> {
    of_batch(incoming, route, id, INLINED).await
}

async fn of_batch(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
    source: &str,
) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let batch = caller.batch(id, route).await?;
    let (batch_id, source) = (id.to_owned(), source.to_owned());
    let download = Download { batch_id, source, errors: false, batch };
    download.run(incoming, route, &caller).await
}

/// What is in a file: the results of an OpenAI batch, or its requests, which cost nothing.
pub async fn content(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let found = caller.file(id).await?;
    match (found.file, found.batch) {
        (File::Results { batch_id, errors }, Some(batch)) => {
            let download = Download { batch_id, source: id.to_owned(), errors, batch };
            download.run(incoming, route, &caller).await
        }
        (File::Requests(forecast), _) => {
            let upstream = caller.upstream(&forecast.upstream)?;
            let call = Call { route, model: "", upstream, method: "GET", protocols: None };
            let answer = upstream::look(incoming, &call, caller.config.upstream_timeout).await?;
            let headers = answer::client_headers(incoming, &answer, None)?;
            if answer.status() >= 400 {
                return answer::refusal(upstream, &answer, &headers).await;
            }
            let body = answer.body().map_or(JsValue::NULL, Into::into);
            response(&body, answer.status(), &headers).map_err(|error| internal(&error))
        }
        _ => Err(no_file()),
    }
}

/// The source of answers that are told apart by the order they come in.
const INLINED: &str = "inlined";

/// A download of a batch's results.
struct Download {
    batch_id: String,
    /// Which of a batch's files it is.
    source: String,
    /// It holds what was not answered.
    errors: bool,
    batch: Batch,
}

/// A download under way.
struct Poster {
    download: Download,
    ledger: LedgerClient,
    /// Tells which model a line names, and prices what other models did inside it.
    book: Rc<Book>,
    results: Results,
    /// What the provider said of the batch around its answers, until the ledger knows.
    said: Option<Seen>,
    /// Lines that are not charged yet: at most those of one chunk and one command.
    waiting: Vec<BatchLine>,
}

/// Where the answers stand.
enum Results {
    /// One a line.
    Lines(Lines),
    /// Inside what is said of the batch.
    Inlined(Inlined),
}

impl Download {
    fn is_inlined(&self) -> bool {
        self.source == INLINED
    }

    async fn run(
        self,
        incoming: &Incoming,
        route: &Route<'_>,
        caller: &Caller,
    ) -> Result<web_sys::Response, Problem> {
        let upstream = caller.upstream(&self.batch.upstream)?;
        let book = books::current(incoming).await?.book;
        let model = self.batch.admitted.model.clone();
        let call = Call { route, model: &model, upstream, method: "GET", protocols: None };
        let answer = upstream::look(incoming, &call, caller.config.upstream_timeout).await?;
        let headers = answer::client_headers(incoming, &answer, None)?;
        let status = answer.status();
        if status >= 400 {
            return answer::refusal(upstream, &answer, &headers).await;
        }
        let Some(body) = answer.body() else {
            return response(&JsValue::NULL, status, &headers).map_err(|error| internal(&error));
        };
        let errors = self.errors;
        let results = if self.is_inlined() {
            Results::Inlined(Inlined::default())
        } else {
            Results::Lines(Lines::default())
        };
        let poster = Rc::new(RefCell::new(Poster {
            download: self,
            ledger: caller.ledger.clone(),
            book,
            results,
            said: None,
            waiting: Vec::new(),
        }));
        let on_chunk = {
            let poster = poster.clone();
            Closure::<dyn FnMut(Uint8Array) -> Promise>::new(move |chunk: Uint8Array| {
                poster.borrow_mut().chunk(&chunk.to_vec());
                post(poster.clone(), Extent::Commands)
            })
        };
        // Without something to wait for, nothing would be told of a client that leaves.
        let done = Ending::new();
        let over = done.promise();
        incoming.keep(async move { drop(JsFuture::from(over).await) });
        let on_end = Closure::<dyn FnMut(String) -> Promise>::new(move |how: String| {
            let whole = how == "eof";
            if whole {
                poster.borrow_mut().end();
            }
            let all = Extent::All { whole: whole && !errors };
            let (posted, done) = (post(poster.clone(), all), done.clone());
            future_to_promise(async move {
                let posted = JsFuture::from(posted).await;
                done.end();
                posted
            })
        });
        let stream = js::metered(
            &body,
            &incoming.request.signal(),
            on_chunk.into_js_value().unchecked_ref(),
            on_end.into_js_value().unchecked_ref(),
            &incoming.keeper(),
        );
        response(&stream, status, &headers).map_err(|error| internal(&error))
    }
}

/// How much of what waits is charged now.
#[derive(Clone, Copy)]
enum Extent {
    /// Whole commands: the rest waits for more.
    Commands,
    /// All of it; the results were read to their end, or not.
    All { whole: bool },
}

/// Charges what waits. Fails where the ledger cannot be told: then nothing more is handed out.
fn post(poster: Rc<RefCell<Poster>>, extent: Extent) -> Promise {
    future_to_promise(async move {
        loop {
            let next = poster.borrow_mut().next(extent);
            let Some(command) = next else { return Ok(JsValue::UNDEFINED) };
            let ledger = poster.borrow().ledger.clone();
            let is_end = matches!(command, BatchCommand::Post { whole: true, .. });
            match ledger.tell(&Command::Batch(command)).await {
                Some(Reply::Done) if is_end => return Ok(JsValue::UNDEFINED),
                Some(Reply::Done) => {}
                other => {
                    js::log(&format!("lines of a batch not charged: {other:?}"));
                    return Err("the ledger cannot be reached".into());
                }
            }
        }
    })
}

impl Poster {
    /// The next command, if there is one to be made.
    fn next(&mut self, extent: Extent) -> Option<BatchCommand> {
        if let Some(seen) = self.said.take() {
            let batch_id = self.download.batch_id.clone();
            return Some(BatchCommand::Seen { batch_id, seen: Box::new(seen) });
        }
        let waiting = self.waiting.len();
        let is_due = match extent {
            Extent::Commands => waiting >= BATCH_LINES_MAX,
            Extent::All { whole } => waiting > 0 || whole,
        };
        if !is_due {
            return None;
        }
        let lines: Vec<BatchLine> = self.waiting.drain(..waiting.min(BATCH_LINES_MAX)).collect();
        let whole = matches!(extent, Extent::All { whole: true }) && self.waiting.is_empty();
        let batch_id = self.download.batch_id.clone();
        Some(BatchCommand::Post { batch_id, lines, whole, at: js::now() })
    }

    fn chunk(&mut self, chunk: &[u8]) {
        let mut found = Vec::new();
        match &mut self.results {
            Results::Lines(lines) => lines.feed(chunk, &mut |line| found.push(line)),
            Results::Inlined(inlined) => inlined.feed(chunk, &mut |line| found.push(line)),
        }
        self.take(found);
    }

    fn end(&mut self) {
        let mut found = Vec::new();
        match &mut self.results {
            Results::Lines(lines) => lines.end(&mut |line| found.push(line)),
            Results::Inlined(inlined) => {
                inlined.end(&mut |line| found.push(line));
                let said = inlined.around().and_then(Object::read);
                let said = said.filter(|said| said.id == self.download.batch_id);
                self.said = said.map(|said| said.seen()).filter(|seen| seen.ended);
            }
        }
        self.take(found);
    }

    fn take(&mut self, found: Vec<Line>) {
        let billable = found.into_iter().filter(Line::is_billable);
        let lines: Vec<BatchLine> = billable.map(|line| self.line(line)).collect();
        self.waiting.extend(lines);
    }

    fn line(&self, line: Line) -> BatchLine {
        let Download { batch, source, .. } = &self.download;
        let book = &self.book;
        let model = asked_model(&batch.prices, book, line.model.as_deref()).map(str::to_owned);
        let apart = line.sub_usage.iter().any(|sub| !sub.included) || !line.unknown.is_empty();
        let priced = |sub| priced(book, &batch.upstream, sub);
        let is_nameless = line.custom_id.is_none() && !self.download.is_inlined();
        BatchLine {
            id: mark(&line, source),
            model,
            served_model: line.model.filter(|model| model.len() <= NAME_MAX),
            usage: line.usage,
            outcome: if line.usage_present { Outcome::Complete } else { Outcome::NoUsage },
            suspect: line.suspect || is_nameless || apart,
            sub_usage: line.sub_usage.into_iter().map(priced).collect(),
            unknown: line.unknown.iter().map(unknown).collect(),
        }
    }
}

/// What a line is charged once by: its custom id. One without is known by its place: results never
/// change, and are always read from their beginning. No custom id begins with a line feed.
fn mark(line: &Line, source: &str) -> Digest {
    match &line.custom_id {
        Some(id) => Digest::of(&[id.as_bytes()]),
        None => Digest::of(&[format!("\n{source}\n{}", line.position).as_bytes()]),
    }
}
