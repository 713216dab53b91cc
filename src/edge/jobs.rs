//! Jobs: work that goes on behind its answer. The hold stays under the job's name until somebody
//! asks for the job and is shown its end.

use js_sys::{ArrayBuffer, Uint8Array};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::admit::{authenticate, ledger_of};
use super::answer::{self, with_cost};
use super::attempt::{self, Attempt, Ended};
use super::body::Room;
use super::http::{Incoming, internal, response};
use super::upstream::{self, Call, Sent};
use super::{books, js, tap};
use crate::api::{Code, Problem};
use crate::ledger::{self, Command, Park, Reply};
use crate::meter::{End, Framing, Metering};
use crate::wire::job::Job;
use crate::wire::query::{Parameter, parameters};
use crate::wire::route::Route;

/// Longest answer about a job: it is read whole. Results of that size are links, not bytes.
const JOB_ANSWER_MAX: u32 = 16 * 1024 * 1024;

/// What the ledger object knows of a job.
#[derive(Serialize, Deserialize)]
pub struct FoundJob {
    pub job: ledger::Job,
    /// It is still to be settled.
    pub open: bool,
}

/// The answer to a request that starts a job: its name is kept, and the hold until it is over.
pub async fn started(
    incoming: &Incoming,
    followed: tap::Followed,
    answer: &web_sys::Response,
    headers: &web_sys::Headers,
    sent: &Sent<'_>,
) -> Result<web_sys::Response, Problem> {
    let tap::Followed { attempt, mut metering, status, began } = followed;
    let reading = js::read_body(answer, f64::from(JOB_ANSWER_MAX));
    let read = attempt.meanwhile(&reading, sent.watch, &incoming.request, None).await;
    let body = match whole(read) {
        Ok(body) => body,
        Err(problem) => {
            attempt.settle(Ended::heard(metering.end(End::Cut), status, began)).await;
            return Err(problem);
        }
    };
    let bytes = Uint8Array::new(&body).to_vec();
    let job = Job::read(&bytes);
    let is_over = job.as_ref().is_none_or(Job::is_over);
    // One that is over is written down too: it may be asked for all the same.
    let is_parked = match job {
        Some(job) => park(&attempt, job, sent).await,
        None => false,
    };
    if is_over || !is_parked {
        metering.chunk(&bytes);
        let cost = attempt.settle(Ended::heard(metering.end(End::Eof), status, began)).await;
        with_cost(headers, cost)?;
    }
    response(&body, status, headers).map_err(|error| internal(&error))
}

/// Keeps the hold under the job's name; false where the ledger will not, or cannot be told.
async fn park(attempt: &Attempt, job: Job, sent: &Sent<'_>) -> bool {
    let park = Park {
        job_id: job.id,
        job: ledger::Job {
            attempt_id: attempt.id,
            upstream: sent.provider.to_owned(),
            model: sent.ask.model.clone(),
        },
        life: attempt.config.job_ttl,
        unresolved: attempt.config.unresolved_jobs,
    };
    match attempt.ledger.tell(&Command::Park(park)).await {
        Some(Reply::Held { .. }) => true,
        other => {
            js::log(&format!("attempt {} not parked: {other:?}", attempt.id));
            false
        }
    }
}

/// Somebody asks for a job: the customer's own only, and settled once however often it is asked for.
pub async fn poll(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
) -> Result<web_sys::Response, Problem> {
    if incoming.request.method() != "GET" {
        let message = "A job can only be asked for here, with GET.";
        return Err(Problem::new(Code::MethodNotAllowed, message));
    }
    check_query(incoming.query())?;
    let config = incoming.config()?;
    let key = authenticate(incoming, &config).await?;
    let ledger = ledger_of(incoming, &key).await?;
    let found = ledger.look(&json!({ "job": { "id": id } }).to_string()).await?;
    let found: Option<FoundJob> =
        serde_json::from_str(&found).map_err(|error| internal(&error.to_string().into()))?;
    let Some(FoundJob { job, open }) = found else {
        return Err(Problem::new(Code::NotFound, "You have no job of this id here."));
    };
    let upstream = config.upstreams.get(&job.upstream).ok_or_else(|| {
        Problem::new(Code::Misconfigured, "The provider of this job is no longer configured here.")
    })?;
    let call = Call { route, model: &job.model, upstream, method: "GET", protocols: None };
    let answer = upstream::look(incoming, &call, config.upstream_timeout).await?;
    let began = js::now();
    let headers = answer::client_headers(incoming, &answer, None)?;
    let status = answer.status();
    if status >= 400 {
        return answer::refusal(upstream, &answer, &headers).await;
    }
    // Polls cost nothing, so they share the room of the bodies.
    let stated = answer::plain_length(&answer.headers()).unwrap_or(JOB_ANSWER_MAX);
    let _room = Room::take(stated.min(JOB_ANSWER_MAX), &key.customer).await?;
    let reading = js::read_body(&answer, f64::from(JOB_ANSWER_MAX));
    let body = whole(JsFuture::from(reading).await)?;
    let bytes = Uint8Array::new(&body).to_vec();
    if open && Job::read(&bytes).is_some_and(|seen| seen.id == id && seen.is_over()) {
        let mut metering = Metering::new(Framing::Json, status).with_provider(&job.upstream);
        if let Some(custom) = &upstream.usage {
            metering = metering.with_custom(custom.clone());
        }
        metering.chunk(&bytes);
        let ended = Ended::heard(metering.end(End::Eof), status, began);
        // Of two who ask at once, one settles it; the other changes nothing.
        let served = (job.upstream.as_str(), job.model.as_str());
        let book = &books::current(incoming).await?.book;
        if let Some(Reply::Closed { charged, .. }) =
            attempt::settle(&ledger, book, served, job.attempt_id, ended).await
        {
            with_cost(&headers, Some(charged))?;
        }
    }
    response(&body, status, &headers).map_err(|error| internal(&error))
}

/// A job's end has to be seen to be settled: it is not handed out as a stream, or in part.
fn check_query(query: &str) -> Result<(), Problem> {
    let is_harmless = |parameter: Parameter<'_>| {
        matches!(parameter.name.as_str(), "include" | "include[]" | "api-version")
            || upstream::is_key(&parameter)
    };
    if parameters(query).all(is_harmless) {
        return Ok(());
    }
    let message = "A job is asked for whole: its query may hold `include` and nothing else.";
    Err(Problem::new(Code::InvalidRequest, message))
}

pub fn whole(read: Result<JsValue, JsValue>) -> Result<ArrayBuffer, Problem> {
    let read = read.map_err(|_| answer::broke_off())?;
    read.dyn_into().map_err(|_: JsValue| {
        let message = format!("The provider's answer is longer than {JOB_ANSWER_MAX} bytes.");
        Problem::new(Code::UpstreamUnreachable, message)
    })
}
