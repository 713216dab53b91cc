//! The customer's own batches, newest first. The provider's list holds those of every customer, so
//! it is never asked for: each batch of this list is asked for by its name.

use serde_json::json;

use super::super::http::{self, Incoming, internal};
use super::super::upstream::{self, Call};
use super::{Caller, object, seen, shown};
use crate::api::{Code, Problem};
use crate::ledger::Batch;
use crate::wire::batch::{Family, Object};
use crate::wire::query::parameters;
use crate::wire::route::{Api, Route};

/// Batches in one answer: each is a call to the provider, and a Worker has fifty at least.
const SHOWN_MAX: u64 = 20;

pub async fn list(incoming: &Incoming, route: &Route<'_>) -> Result<web_sys::Response, Problem> {
    let caller = Caller::of(incoming).await?;
    let value = |names: &[&str]| {
        let named = parameters(incoming.query()).find(|p| names.contains(&p.name.as_str()));
        named.map(|parameter| parameter.value)
    };
    let is_mistral = Family::of(route.path) == Some(Family::Mistral);
    if value(&["page"]).is_some_and(|page| page != "0") {
        let message = "Only the first page of jobs is listed here: ask for older ones by their id.";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    let limit = match value(&["limit", "page_size"]).map(|limit| limit.parse::<u64>()) {
        None => SHOWN_MAX,
        Some(Ok(limit @ 1..)) => limit.min(SHOWN_MAX),
        Some(_) => {
            let message = "`limit` must be a whole number of at least 1.";
            return Err(Problem::new(Code::InvalidRequest, message));
        }
    };
    let after = value(&["after", "after_id"]);
    let asked = json!({ "batches": { "path": route.path, "after": after, "limit": limit.saturating_add(1) } });
    let mut found: Vec<(String, Batch)> = caller.look(&asked).await?;
    let has_more = u64::try_from(found.len()).unwrap_or(0) > limit;
    found.truncate(usize::try_from(limit).unwrap_or(0));
    let mut data = Vec::new();
    for (id, batch) in &found {
        if let Some(text) = one(incoming, route, &caller, id, batch).await? {
            data.push(text);
        }
    }
    let end = |end: Option<&(String, Batch)>| json!(end.map(|(id, _)| id));
    let (first, last) = (end(found.first()), end(found.last()));
    let object = if route.api == Api::OpenAi { r#""object":"list","# } else { "" };
    if is_mistral {
        let total: u64 = caller.look(&json!({ "batch_count": { "path": route.path } })).await?;
        let data = data.join(",");
        let answer = format!(r#"{{"object":"list","data":[{data}],"total":{total}}}"#);
        return http::json(&incoming.id, 200, answer);
    }
    let data = data.join(",");
    let answer = format!(
        r#"{{{object}"data":[{data}],"has_more":{has_more},"first_id":{first},"last_id":{last}}}"#
    );
    http::json(&incoming.id, 200, answer)
}

/// One batch as its provider describes it; absent where that no longer knows it.
async fn one(
    incoming: &Incoming,
    route: &Route<'_>,
    caller: &Caller,
    id: &str,
    batch: &Batch,
) -> Result<Option<String>, Problem> {
    let path = format!("{}/{id}", route.path);
    let route = Route { path: &path, ..*route };
    let upstream = caller.upstream(&batch.upstream)?;
    let model = &batch.admitted.model;
    let call = Call { route: &route, model, upstream, method: "GET", protocols: None };
    let answer = upstream::look(incoming, &call, caller.config.upstream_timeout).await?;
    if answer.status() >= 400 {
        return Ok(None);
    }
    let (_, bytes) = object(&answer).await?;
    let Some(said) = Object::read(&bytes).filter(|said| said.id == id) else { return Ok(None) };
    seen(caller, &said).await?;
    let changed = shown(incoming, &route, &bytes, &said);
    String::from_utf8(changed.unwrap_or(bytes))
        .map(Some)
        .map_err(|error| internal(&error.to_string().into()))
}
