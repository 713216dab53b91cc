//! Typed reads of a body's fields. A field of the wrong kind is refused by its name.

use super::json::Json;
use super::{BadRequest, bad};
use crate::wire::route::Endpoint;

/// Longest model name and end-user id kept.
pub(super) const NAME_BYTES_MAX: usize = 256;

impl<'a> Json<'a> {
    /// The value at a path of field names joined by dots; `null` counts as absent.
    pub fn at(&self, path: &str) -> Option<&Json<'a>> {
        path.split('.').try_fold(self, |value, field| value.get(field))
    }

    /// Whether something is switched on at `path`: neither absent, nor false, nor empty.
    pub fn is_on(&self, path: &str) -> bool {
        match self.at(path) {
            None | Some(Json::Null | Json::Bool(false)) => false,
            Some(Json::List(items)) => !items.is_empty(),
            Some(_) => true,
        }
    }
}

pub(super) fn flag(json: &Json<'_>, field: &'static str) -> Result<Option<bool>, BadRequest> {
    match json.at(field) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(_) => bad(field, format!("`{field}` must be true or false.")),
    }
}

/// A whole number of at least one.
pub(super) fn count(json: &Json<'_>, field: &'static str) -> Result<Option<u64>, BadRequest> {
    match json.at(field) {
        None => Ok(None),
        Some(Json::Whole(value)) if *value > 0 => Ok(Some(*value)),
        Some(_) => bad(field, format!("`{field}` must be a whole number of at least 1.")),
    }
}

/// The largest of several counts, where any is given.
pub(super) fn largest(json: &Json<'_>, fields: &[&'static str]) -> Result<Option<u64>, BadRequest> {
    fields.iter().try_fold(None, |most, field| Ok(count(json, field)?.max(most)))
}

/// A name that may stand in logs and records: short, and without control characters.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Fields that let whoever serves choose another model than the one that is priced.
const OTHER_MODELS: [&str; 6] =
    ["models", "fallbacks", "fallback_models", "speech_models", "route", "preset"];
/// Fields by which a job's result is had without the poll that settles it.
const WITHOUT_A_POLL: [&str; 5] =
    ["webhook", "webhook_url", "webhook_events_filter", "callback_url", "stream"];

/// Refuses what takes the price out of the request: a choice of models left to others, and a job
/// whose end nobody would see.
pub(super) fn check_price_holds(json: &Json<'_>, endpoint: Endpoint) -> Result<(), BadRequest> {
    if let Some(field) = OTHER_MODELS.into_iter().find(|field| json.get(field).is_some()) {
        let message = "one model is priced, and it must serve";
        return bad(field, format!("`{field}` is not supported here: {message}."));
    }
    let job = endpoint == Endpoint::Job;
    if let Some(field) = WITHOUT_A_POLL.into_iter().find(|field| job && json.is_on(field)) {
        let message = "ask for the job by its id; that settles it";
        return bad(field, format!("`{field}` is not supported here: {message}."));
    }
    Ok(())
}

/// Every name of the model in the body: which of two fields counts, only the provider knows.
pub(super) fn models<'j>(
    json: &'j Json<'_>,
    endpoint: Endpoint,
) -> Result<Vec<&'j str>, BadRequest> {
    let of_jobs = ["speech_model", "version"];
    let of_jobs = if endpoint == Endpoint::Job { &of_jobs[..] } else { &[] };
    let fields = ["model", "model_id"].iter().chain(of_jobs);
    let read = |value: &'j Json<'_>| match value {
        Json::Text(name) if is_name(name) => Ok(&**name),
        _ => bad("model", "`model` must be a string of 1 to 256 printable bytes."),
    };
    fields.filter_map(|field| json.get(field)).map(read).collect()
}

pub(super) fn tier(json: &Json<'_>) -> Result<Option<String>, BadRequest> {
    for field in ["service_tier", "serviceTier"] {
        match json.get(field) {
            None => {}
            Some(Json::Text(tier)) if tier.len() <= 32 => {
                return Ok(Some(tier.clone().into_owned()));
            }
            // Bedrock: {"type": "priority"}.
            Some(tier) if tier.get("type").and_then(Json::text).is_some_and(|t| t.len() <= 32) => {
                return Ok(tier.get("type").and_then(Json::text).map(str::to_owned));
            }
            Some(_) => return bad("service_tier", "`service_tier` must be a short string."),
        }
    }
    Ok(None)
}

/// A word that a price may depend on.
pub(super) fn word(json: &Json<'_>, field: &'static str) -> Result<Option<String>, BadRequest> {
    match json.get(field) {
        None => Ok(None),
        Some(Json::Text(word)) if word.len() <= 32 => Ok(Some(word.clone().into_owned())),
        Some(_) => bad(field, format!("`{field}` must be a short string.")),
    }
}

pub(super) fn include_usage(json: &Json<'_>) -> Result<Option<bool>, BadRequest> {
    match json.get("stream_options") {
        None => Ok(None),
        Some(Json::Object(_)) => flag(json, "stream_options.include_usage"),
        Some(_) => bad("stream_options", "`stream_options` must be an object."),
    }
}
