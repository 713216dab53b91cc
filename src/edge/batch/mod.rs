//! Batches and their files: one hold for all of a batch's requests, and each charged once when its
//! result is handed out. One upstream account is all customers': whoever asks for a batch or file
//! of another's is told that there is none, and nothing is asked of the upstream.

mod begin;
mod download;
mod list;
mod upload;

use js_sys::{ArrayBuffer, Uint8Array};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::admit::{authenticate, ledger_of};
use super::config::Config;
use super::http::{Incoming, internal, response};
use super::jobs::whole;
use super::ledger_call::LedgerClient;
use super::upstream::{self, Call, Upstream};
use super::{answer, js};
use crate::api::{self, Code, Problem};
use crate::ids::Name;
use crate::ledger::{Batch, BatchCommand, Command, File, Reply};
use crate::quote::batch::Unforeseen;
use crate::wire::batch::{Family, Object, Place, What, with_results_at};
use crate::wire::query::parameters;
use crate::wire::request::BadRequest;
use crate::wire::route::{Api, Route};

/// Longest answer about a batch or file: it is read whole. They have a few kilobytes.
const OBJECT_MAX: u32 = 256 * 1024;

/// What the ledger object knows of a file.
#[derive(Serialize, Deserialize)]
pub struct FoundFile {
    pub file: File,
    /// The batch whose results it holds.
    pub batch: Option<Batch>,
}

/// Answers a request to the batch APIs.
pub async fn serve(incoming: &Incoming, place: &Place<'_>) -> Result<web_sys::Response, Problem> {
    let method = incoming.request.method();
    let is_anthropic = place.route.api == Api::Anthropic;
    if place.family == Family::Gemini {
        return gemini(incoming, place, method.as_str()).await;
    }
    match (method.as_str(), place.what) {
        ("POST", What::Files) => upload::upload(incoming, &place.route).await,
        ("POST", What::Batches) => begin::begin(incoming, place).await,
        ("GET", What::Batches) => list::list(incoming, &place.route).await,
        ("GET", What::Batch(id)) => standing(incoming, &place.route, id, "GET").await,
        ("POST", What::Cancel(id)) => standing(incoming, &place.route, id, "POST").await,
        ("DELETE", What::Batch(id)) if is_anthropic => {
            standing(incoming, &place.route, id, "DELETE").await
        }
        ("GET", What::Results(id)) => download::results(incoming, &place.route, id).await,
        ("GET", What::Content(id)) => download::content(incoming, &place.route, id).await,
        ("GET", What::File(id)) => file(incoming, &place.route, id, "GET").await,
        ("DELETE", What::File(id)) => file(incoming, &place.route, id, "DELETE").await,
        ("GET", What::Files) => {
            let message = "Files are not listed here: they stand in one account with those of \
                           others. Ask for each by its id.";
            Err(Problem::new(Code::MethodNotAllowed, message))
        }
        _ => Err(not_here(place, &method)),
    }
}

/// Gemini's answers stand in what it says of a batch: whoever asks for that is handed them.
async fn gemini(
    incoming: &Incoming,
    place: &Place<'_>,
    method: &str,
) -> Result<web_sys::Response, Problem> {
    match (method, place.what) {
        ("POST", What::Batches) if place.route.model.is_some() => {
            begin::begin(incoming, place).await
        }
        ("GET", What::Batch(id)) => download::inlined(incoming, &place.route, id).await,
        ("DELETE", What::Batch(id)) => standing(incoming, &place.route, id, "DELETE").await,
        ("POST", What::Cancel(id)) => standing(incoming, &place.route, id, "POST").await,
        ("GET", What::Batches) if place.route.model.is_none() => {
            let message = "Batches are not listed here: a list would hold their answers. Ask for \
                           each by its name.";
            Err(Problem::new(Code::MethodNotAllowed, message))
        }
        _ => Err(not_here(place, method)),
    }
}

fn not_here(place: &Place<'_>, method: &str) -> Problem {
    let message = format!("{} does not take {method} here.", place.route.path);
    Problem::new(Code::MethodNotAllowed, message)
}

/// Whoever asks, with a key in force.
struct Caller {
    config: std::rc::Rc<Config>,
    customer: Name,
    ledger: LedgerClient,
}

impl Caller {
    async fn of(incoming: &Incoming) -> Result<Self, Problem> {
        check_query(incoming.query())?;
        let config = incoming.config()?;
        let key = authenticate(incoming, &config).await?;
        let ledger = ledger_of(incoming, &key).await?;
        Ok(Self { config, customer: key.customer, ledger })
    }

    /// One of the caller's own batches, by the paths of the API it was begun with: by another's its
    /// answers would be handed out as what is merely said of it.
    async fn batch(&self, id: &str, route: &Route<'_>) -> Result<Batch, Problem> {
        let found: Option<Batch> = self.look(&json!({ "batch": { "id": id } })).await?;
        let family = Family::of(route.path);
        let own = found.filter(|batch| Family::of(&batch.admitted.endpoint) == family);
        own.ok_or_else(|| Problem::new(Code::NotFound, "You have no batch of this id here."))
    }

    /// One of the caller's own files.
    async fn file(&self, id: &str) -> Result<FoundFile, Problem> {
        let found: Option<FoundFile> = self.look(&json!({ "file": { "id": id } })).await?;
        found.ok_or_else(no_file)
    }

    async fn look<T: serde::de::DeserializeOwned>(
        &self,
        query: &serde_json::Value,
    ) -> Result<T, Problem> {
        let found = self.ledger.look(&query.to_string()).await?;
        serde_json::from_str(&found).map_err(|error| internal(&error.to_string().into()))
    }

    fn upstream(&self, provider: &str) -> Result<&Upstream, Problem> {
        self.config.upstreams.get(provider).ok_or_else(|| {
            let message = "The provider of this batch is no longer configured here.";
            Problem::new(Code::Misconfigured, message)
        })
    }

    /// Tells the ledger what has to be known before the client may go on.
    async fn note(&self, command: BatchCommand) -> Result<(), Problem> {
        match self.ledger.ask(&Command::Batch(command)).await? {
            Reply::Done | Reply::Held { .. } => Ok(()),
            other => Err(internal(&format!("a batch's command answered {other:?}").into())),
        }
    }
}

fn no_file() -> Problem {
    Problem::new(Code::NotFound, "You have no file of this id here.")
}

/// No parameter of these APIs is needed here, and one that is not known could hide results.
fn check_query(query: &str) -> Result<(), Problem> {
    let known = ["api-version", "beta", "limit", "after", "after_id", "page", "page_size"];
    let unknown = parameters(query)
        .find(|each| !known.contains(&each.name.as_str()) && !upstream::is_key(each));
    match unknown {
        None => Ok(()),
        Some(parameter) => {
            let message =
                format!("The query parameter {:?} is not supported here.", parameter.name);
            Err(Problem::new(Code::InvalidRequest, message))
        }
    }
}

fn refused(bad: BadRequest) -> Problem {
    Problem { param: bad.param, ..Problem::new(Code::InvalidRequest, bad.message) }
}

fn unforeseen(why: Unforeseen) -> Problem {
    match why {
        Unforeseen::Unpriced(why, model) => api::unpriced(&why, &model),
        Unforeseen::Providers(one, other) => {
            let message = format!(
                "The models {one:?} and {other:?} are served by different providers. One batch goes to one."
            );
            Problem::new(Code::InvalidRequest, message)
        }
        Unforeseen::Models => {
            let message = format!(
                "One batch can ask for at most {} models.",
                crate::quote::batch::MODELS_MAX
            );
            Problem::new(Code::InvalidRequest, message)
        }
    }
}

/// An answer about a batch or file, whole.
async fn object(answer: &web_sys::Response) -> Result<(ArrayBuffer, Vec<u8>), Problem> {
    let reading = js::read_body(answer, f64::from(OBJECT_MAX));
    let body = whole(JsFuture::from(reading).await)?;
    let bytes = Uint8Array::new(&body).to_vec();
    Ok((body, bytes))
}

/// The customer asks where a batch stands, or ends it before its time, or clears it away.
async fn standing(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
    method: &'static str,
) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let batch = caller.batch(id, route).await?;
    let upstream = caller.upstream(&batch.upstream)?;
    let call = Call { route, model: &batch.admitted.model, upstream, method, protocols: None };
    let answer = upstream::look(incoming, &call, caller.config.upstream_timeout).await?;
    let headers = answer::client_headers(incoming, &answer, None)?;
    let status = answer.status();
    if status >= 400 {
        return answer::refusal(upstream, &answer, &headers).await;
    }
    let (body, bytes) = object(&answer).await?;
    let Some(said) = Object::read(&bytes).filter(|said| said.id == id) else {
        return response(&body, status, &headers).map_err(|error| internal(&error));
    };
    seen(&caller, &said).await?;
    let changed = shown(incoming, route, &bytes, &said);
    let body = changed.map_or_else(|| body.into(), |changed| body_of(&changed));
    response(&body, status, &headers).map_err(|error| internal(&error))
}

/// Tells the ledger what a provider says of a batch, where that changes anything.
async fn seen(caller: &Caller, said: &Object<'_>) -> Result<(), Problem> {
    let seen = said.seen();
    if !seen.ended && seen.answers.is_none() && seen.errors.is_none() {
        return Ok(());
    }
    caller.note(BatchCommand::Seen { batch_id: said.id.clone(), seen: Box::new(seen) }).await
}

/// The body as the client has to see it, where that is not as it came.
fn shown(
    incoming: &Incoming,
    route: &Route<'_>,
    bytes: &[u8],
    said: &Object<'_>,
) -> Option<Vec<u8>> {
    let path = if route.api == Api::Anthropic { "/v1/messages/batches" } else { return None };
    let here = format!("{}{path}/{}/results", incoming.origin(), said.id);
    with_results_at(bytes, said, &here)
}

/// Bytes as a body.
fn body_of(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// What is known of one of the customer's own files; or it is cleared away.
async fn file(
    incoming: &Incoming,
    route: &Route<'_>,
    id: &str,
    method: &'static str,
) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let found = caller.file(id).await?;
    let provider = match (&found.file, &found.batch) {
        (File::Requests(forecast), _) => &forecast.upstream,
        (_, Some(batch)) => &batch.upstream,
        _ => return Err(no_file()),
    };
    let upstream = caller.upstream(provider)?;
    let call = Call { route, model: "", upstream, method, protocols: None };
    let answer = upstream::look(incoming, &call, caller.config.upstream_timeout).await?;
    let headers = answer::client_headers(incoming, &answer, None)?;
    if answer.status() >= 400 {
        return answer::refusal(upstream, &answer, &headers).await;
    }
    let (body, _) = object(&answer).await?;
    response(&body, answer.status(), &headers).map_err(|error| internal(&error))
}
