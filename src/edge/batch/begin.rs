//! A batch begins: held for as a whole, sent on, and kept under its name.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;

use super::super::admit::{self, Entered, Priced, authenticate, enter_at};
use super::super::answer;
use super::super::attempt::{Attempt, Watch};
use super::super::body::{self, Body};
use super::super::books;
use super::super::http::{Incoming, internal, response};
use super::super::jobs::whole;
use super::super::js;
use super::super::upstream::{self, Call, Sent};
use super::upload::forecast;
use super::{Caller, OBJECT_MAX, body_of, no_file, refused, shown};
use crate::api::{Code, Problem};
use crate::book::Book;
use crate::clock::Timestamp;
use crate::ledger::{BatchCommand, Command, File, Forecast, Pinned, Reply};
use crate::money::Exact;
use crate::quote::batch::still_holds;
use crate::quote::{Bounds, Quote};
use crate::wire::batch::{Family, Object, Place};
use crate::wire::request::{Ask, BadRequest, NewBatch, Requests};
use crate::wire::route::Route;

pub async fn begin(incoming: &Incoming, place: &Place<'_>) -> Result<web_sys::Response, Problem> {
    let route = &place.route;
    let received_at = js::now();
    let caller = Caller::of(incoming).await?;
    let Body { bytes: body, room } = body::read(incoming, &caller.customer).await?;
    let bytes = Uint8Array::new(&body).to_vec();
    let field = file_field(place.family);
    let kept = match place.family {
        Family::Anthropic | Family::Gemini => None,
        Family::OpenAi => Some(of_file(&caller, field, NewBatch::read(&bytes)).await?),
        Family::Mistral => Some(of_file(&caller, field, NewBatch::job(&bytes)).await?),
    };
    let made = |book: &Book| match &kept {
        None => {
            let requests = match route.model {
                Some(model) => Requests::gemini(&bytes, model),
                None => Requests::inline(&bytes),
            };
            forecast(&caller, book, requests.map_err(refused)?, received_at)
        }
        Some(kept) => still_priced(&caller, kept, field, book, received_at),
    };
    let first = made(&books::current(incoming).await?.book)?;
    let model = first.prices.first().map(|prices| prices.model.clone()).ok_or_else(no_file)?;
    let ask = Rc::new(Ask::batch(route.endpoint, model));
    let key = authenticate(incoming, &caller.config).await?;
    let made_first = Cell::new(Some(first));
    let priced = |book: &Book| {
        let forecast = match made_first.take() {
            Some(first) if first.book_version == book.version() => first,
            _ => made(book)?,
        };
        let Some(prices) = forecast.prices.first() else { return Err(no_file()) };
        let pinned = Pinned { input_least: forecast.input_least, ..prices.pinned.clone() };
        let upstream = caller.upstream(&forecast.upstream)?;
        Ok(Priced { quote: quote(&forecast), pinned, upstream, ready: forecast })
    };
    let who = admit::Caller { incoming, route, key, ask: ask.clone(), once: None, received_at };
    let entered = enter_at(&who, &caller.config, priced).await?;
    let Entered { attempt, upstream, ready: forecast, .. } = entered;
    let watch = Watch::new();
    let call = Call { route, model: &ask.model, upstream, method: "POST", protocols: None };
    let provider = &forecast.upstream;
    let sent = Sent { call, ask: &ask, provider, strip: false, watch: &watch };
    let answer = upstream::call(incoming, &attempt, &sent, &body.into()).await?;
    drop(room);
    let headers = answer::client_headers(incoming, &answer, Some(&attempt))?;
    let status = answer.status();
    if status >= 400 {
        return answer::refused_upstream(incoming, attempt, upstream, &answer, &headers).await;
    }
    let body = begun(incoming, route, &attempt, &sent, &answer, forecast.clone()).await?;
    response(&body, status, &headers).map_err(|error| internal(&error))
}

/// The upstream has taken it: the hold stays under its name. A batch whose name is not known here
/// is not told to the client either: nobody could have its results.
async fn begun(
    incoming: &Incoming,
    route: &Route<'_>,
    attempt: &Attempt,
    sent: &Sent<'_>,
    answer: &web_sys::Response,
    forecast: Forecast,
) -> Result<JsValue, Problem> {
    let reading = js::read_body(answer, f64::from(OBJECT_MAX));
    let read = attempt.meanwhile(&reading, sent.watch, &incoming.request, None).await;
    let body = whole(read)?;
    let bytes = Uint8Array::new(&body).to_vec();
    let Some(said) = Object::read(&bytes) else {
        let lost = BatchCommand::Lost { attempt_id: attempt.id };
        if !matches!(attempt.ledger.tell(&Command::Batch(lost)).await, Some(Reply::Held { .. })) {
            js::log(&format!("attempt {}: a batch without a name is not noted", attempt.id));
        }
        let message = "The provider did not say under which name it keeps the batch.";
        return Err(Problem::new(Code::UpstreamUnreachable, message));
    };
    let open = BatchCommand::Open {
        batch_id: said.id.clone(),
        attempt_id: attempt.id,
        forecast: Box::new(forecast),
        life: attempt.config.batch_ttl,
        unresolved: attempt.config.unresolved_jobs,
    };
    match attempt.ledger.tell(&Command::Batch(open)).await {
        Some(Reply::Held { .. }) => {
            let changed = shown(incoming, route, &bytes, &said);
            Ok(changed.map_or_else(|| body.into(), |changed| body_of(&changed)))
        }
        other => {
            js::log(&format!("attempt {} not kept as a batch: {other:?}", attempt.id));
            let message = "The batch could not be written down, so it cannot be used.";
            Err(Problem::new(Code::MeteringUnavailable, message))
        }
    }
}

/// The field in which an API names the file.
fn file_field(family: Family) -> &'static str {
    match family {
        Family::Mistral => "input_files",
        Family::OpenAi | Family::Anthropic | Family::Gemini => "input_file_id",
    }
}

/// What the batch of an uploaded file can cost; `field` named that file.
async fn of_file(
    caller: &Caller,
    field: &'static str,
    new: Result<NewBatch, BadRequest>,
) -> Result<Forecast, Problem> {
    let new = new.map_err(refused)?;
    let found = caller.file(&new.input_file_id).await.map_err(|problem| match problem.code {
        Code::NotFound => Problem { param: Some(field), ..problem },
        _ => problem,
    })?;
    let File::Requests(forecast) = found.file else {
        return Err(Problem { param: Some(field), ..no_file() });
    };
    let bad = |param, message: &str| Problem {
        param: Some(param),
        ..Problem::new(Code::InvalidRequest, message)
    };
    if new.endpoint != forecast.endpoint {
        let message = "`endpoint` is another than the `url` of the file's requests.";
        return Err(bad("endpoint", message));
    }
    if let Some(model) = &new.model
        && forecast.prices.iter().any(|prices| prices.model != *model)
    {
        let message = "`model` is another than that of the file's requests.";
        return Err(bad("model", message));
    }
    Ok(*forecast)
}

/// What was forecast when the file came, where it is still sold at those prices.
fn still_priced(
    caller: &Caller,
    kept: &Forecast,
    field: &'static str,
    book: &Book,
    at: Timestamp,
) -> Result<Forecast, Problem> {
    let region = caller.upstream(&kept.upstream)?.region.as_deref();
    if still_holds(kept, book, at, region) {
        return Ok(kept.clone());
    }
    let message = "Prices have changed since this file was uploaded. Upload it again.";
    let problem = Problem::new(Code::InvalidRequest, message);
    Err(Problem { param: Some(field), ..problem })
}

/// The forecast as a hold is made of it.
fn quote(forecast: &Forecast) -> Quote {
    let none = Bounds { lower: Exact::ZERO, upper: Exact::ZERO };
    Quote {
        model: forecast.prices.first().map(|prices| prices.model.clone()).unwrap_or_default(),
        provider: forecast.upstream.clone(),
        currency: forecast.currency.clone(),
        input_tokens: none,
        output_tokens: none,
        lower: forecast.floor,
        expected: None,
        upper: forecast.held,
        lines: Vec::new(),
        worst: Vec::new(),
        batch: forecast.most(),
        likely: Vec::new(),
        book_version: forecast.book_version.clone(),
        margin: None,
    }
}
