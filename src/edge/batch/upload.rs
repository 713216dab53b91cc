//! Requests for a batch are uploaded: read in passing, so that the batch can be held for.

use js_sys::Uint8Array;
use serde::Deserialize;

use super::super::answer;
use super::super::body::{self, Body};
use super::super::books;
use super::super::http::{Incoming, internal, response};
use super::super::js;
use super::super::upstream::{self, Call};
use super::{Caller, object, refused, unforeseen};
use crate::api::{Code, Problem};
use crate::book::Book;
use crate::clock::Timestamp;
use crate::ledger::{BatchCommand, Forecast};
use crate::quote::batch::Forecaster;
use crate::wire::request::{Requests, Uploaded};
use crate::wire::route::Route;

/// Sends a file on, and keeps what its lines can cost under the name that the provider gives it.
pub async fn upload(incoming: &Incoming, route: &Route<'_>) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let Body { bytes: body, room } = body::read(incoming, &caller.customer).await?;
    let bytes = Uint8Array::new(&body).to_vec();
    let content_type = incoming.header("content-type").unwrap_or_default();
    let upload = Uploaded::read(&content_type, &bytes).map_err(refused)?;
    let requests = Requests::lines(upload.file).map_err(refused)?;
    let in_use = books::current(incoming).await?;
    let forecast = forecast(&caller, &in_use.book, requests, js::now())?;
    drop(bytes);
    let upstream = caller.upstream(&forecast.upstream)?;
    let model = forecast.prices.first().map_or("", |prices| prices.model.as_str());
    let call = Call { route, model, upstream, method: "POST", protocols: None };
    let timeout = caller.config.upstream_timeout;
    let answer = upstream::look_with(incoming, &call, &body.into(), timeout).await?;
    drop(room);
    let headers = answer::client_headers(incoming, &answer, None)?;
    let status = answer.status();
    if status >= 400 {
        return answer::refusal(upstream, &answer, &headers).await;
    }
    let (body, bytes) = object(&answer).await?;
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Ok(Named { id: file_id }) = serde_json::from_slice(&bytes) else {
        let message = "The provider did not say under which name it keeps the file.";
        return Err(Problem::new(Code::UpstreamUnreachable, message));
    };
    // A file whose costs are not known here could not be used for a batch.
    caller.note(BatchCommand::Keep { file_id, forecast: Box::new(forecast) }).await?;
    response(&body, status, &headers).map_err(|error| internal(&error))
}

/// What all of these requests can cost.
pub fn forecast(
    caller: &Caller,
    book: &Book,
    mut requests: Requests<'_>,
    at: Timestamp,
) -> Result<Forecast, Problem> {
    let region = |provider: &str| {
        caller.config.upstreams.get(provider).and_then(|upstream| upstream.region.clone())
    };
    let mut forecaster = Forecaster::new(book, at, &region);
    for ask in requests.by_ref() {
        let ask = ask.map_err(refused)?;
        let refers = ask.stored.is_some() || ask.stored_input;
        if let Some(model) = book.sold(&ask.model).filter(|_| refers) {
            caller.upstream(&model.provider)?.check(&ask, &model.provider)?;
        }
        forecaster.add(ask).map_err(unforeseen)?;
    }
    Ok(forecaster.done(requests.endpoint.unwrap_or_default()))
}
