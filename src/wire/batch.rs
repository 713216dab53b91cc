//! Batches and their files: the paths of their APIs, and what a provider says of a batch.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::route::{Api, Endpoint, Route};
use super::usage::Meter;
use crate::ledger::Seen;
use crate::meter::{End, Framing, Metering};
use crate::money::Exact;

/// What a path of the batch APIs names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'p> {
    /// All files.
    Files,
    /// One file.
    File(&'p str),
    /// What is in it.
    Content(&'p str),
    /// All batches.
    Batches,
    /// One batch.
    Batch(&'p str),
    /// Its end before its time.
    Cancel(&'p str),
    /// Its results.
    Results(&'p str),
}

/// A path of the batch APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'p> {
    /// As it is forwarded.
    pub route: Route<'p>,
    /// What it names.
    pub what: What<'p>,
}

/// Longest name of a batch or file; the APIs' are a third as long.
const ID_MAX: usize = 128;

impl<'p> Place<'p> {
    /// Reads a path without its query.
    ///
    /// ```
    /// use farebox::wire::batch::{Place, What};
    /// let what = |path| Place::of(path).map(|place| place.what);
    /// assert_eq!(what("/v1/batches/batch_1/cancel"), Some(What::Cancel("batch_1")));
    /// assert_eq!(what("/v1/messages/batches/b/results"), Some(What::Results("b")));
    /// assert_eq!(what("/v1/files/f-1/content"), Some(What::Content("f-1")));
    /// assert_eq!(what("/v1/files/../x"), None);
    /// ```
    pub fn of(path: &'p str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (api, what) = if let Some(rest) = path.strip_prefix("/v1/messages/batches") {
            (Api::Anthropic, Self::batch(rest, true)?)
        } else {
            let tail = path.strip_prefix("/openai").unwrap_or(path).strip_prefix("/v1/")?;
            let what = match (tail.strip_prefix("batches"), tail.strip_prefix("files")) {
                (Some(rest), _) => Self::batch(rest, false)?,
                (_, Some(rest)) => Self::file(rest)?,
                _ => return None,
            };
            (Api::OpenAi, what)
        };
        let endpoint = Endpoint::Job;
        Some(Self { route: Route { path, api, endpoint, model: None, stream: false }, what })
    }

    fn batch(rest: &'p str, has_results: bool) -> Option<What<'p>> {
        if rest.is_empty() {
            return Some(What::Batches);
        }
        let (id, verb) = named(rest)?;
        match verb {
            "" => Some(What::Batch(id)),
            "cancel" => Some(What::Cancel(id)),
            "results" if has_results => Some(What::Results(id)),
            _ => None,
        }
    }

    fn file(rest: &'p str) -> Option<What<'p>> {
        if rest.is_empty() {
            return Some(What::Files);
        }
        let (id, verb) = named(rest)?;
        match verb {
            "" => Some(What::File(id)),
            "content" => Some(What::Content(id)),
            _ => None,
        }
    }
}

/// `/id` or `/id/verb`.
fn named(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix('/')?;
    let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |id: &str| {
        id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let fits = (1..=ID_MAX).contains(&id.len()) && is_name(id);
    (fits && !(verb.is_empty() && rest.contains('/'))).then_some((id, verb))
}

/// What a provider says of a batch, in either API's words.
#[derive(Debug, Deserialize)]
pub struct Object<'a> {
    /// The name to ask for it by.
    pub id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    processing_status: Option<String>,
    #[serde(default)]
    output_file_id: Option<String>,
    #[serde(default)]
    error_file_id: Option<String>,
    /// Where Anthropic keeps the results.
    #[serde(default)]
    pub results_url: Option<String>,
    #[serde(default)]
    request_counts: Option<Counts>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Counts {
    /// OpenAI's word.
    #[serde(default)]
    completed: Option<u64>,
    /// Anthropic's word.
    #[serde(default)]
    succeeded: Option<u64>,
}

/// Words for a batch to which nothing will be added.
const OVER: [&str; 6] = ["completed", "failed", "expired", "cancelled", "canceled", "ended"];

impl<'a> Object<'a> {
    /// Reads a body; absent where it is not about a batch.
    ///
    /// ```
    /// use farebox::wire::batch::Object;
    /// let body = br#"{"id":"b","processing_status":"ended","results_url":"https://x/results",
    ///     "request_counts":{"processing":0,"succeeded":2,"errored":1,"canceled":0,"expired":0}}"#;
    /// let seen = Object::read(body).unwrap().seen();
    /// assert_eq!((seen.ended, seen.succeeded, seen.has_results), (true, Some(2), true));
    /// assert!(Object::read(br#"{"error":{"message":"no"}}"#).is_none());
    /// ```
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What the ledger has to know of it. A word that is not known says that it is not over: the
    /// hold then stands, and nothing is freed too early.
    pub fn seen(&self) -> Seen {
        let word = self.processing_status.as_deref().or(self.status.as_deref());
        let word = word.unwrap_or_default();
        let counted = self.request_counts.and_then(|counts| counts.completed.or(counts.succeeded));
        // None answered, and a file of answers: who copies the API need not count.
        let is_doubtful = counted == Some(0) && self.output_file_id.is_some();
        Seen {
            status: word.chars().take(32).collect(),
            ended: OVER.iter().any(|over| word.eq_ignore_ascii_case(over)),
            succeeded: counted.filter(|_| !is_doubtful),
            has_results: self.output_file_id.is_some() || self.results_url.is_some(),
            usage: self.usage.and_then(summed),
            answers: self.output_file_id.clone(),
            errors: self.error_file_id.clone(),
        }
    }
}

/// The usage that a provider sums up. One of zeros alone is none: older batches have no other.
fn summed(usage: &RawValue) -> Option<super::usage::Usage> {
    let mut metering = Metering::new(Framing::Json, 200);
    metering.chunk(format!(r#"{{"usage":{}}}"#, usage.get()).as_bytes());
    let reading = metering.end(End::Eof);
    let total = |meter| reading.usage.get(meter).unwrap_or(Exact::ZERO);
    let used = [Meter::InputTotal, Meter::OutputTotal].into_iter().any(|m| !total(m).is_zero());
    (reading.usage_present && !reading.needs_a_look() && used).then_some(reading.usage)
}

/// The body with the place of the results moved from the provider to `here`: SDKs ask that very
/// address, and with the customer's key.
pub fn with_results_at(body: &[u8], object: &Object<'_>, here: &str) -> Option<Vec<u8>> {
    let url = object.results_url.as_ref()?;
    // Found as it is written; a provider that escapes its slashes writes them so.
    let written = [format!("\"{url}\""), format!("\"{}\"", url.replace('/', "\\/"))];
    let text = core::str::from_utf8(body).ok()?;
    let found = written.iter().find(|written| text.contains(written.as_str()))?;
    Some(text.replacen(found.as_str(), &format!("\"{here}\""), 1).into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_batch_apis_own_paths_are_found_and_none_that_climbs() {
        for path in [
            "/v1/batches/",
            "/openai/v1/files/f",
            "/openai/v1/batches/b/cancel",
            "/v1/messages/batches/b",
        ] {
            assert!(Place::of(path).is_some(), "{path}");
        }
        for path in [
            "/v1/batches/b/results",
            "/v1/batches/b/x",
            "/v1/batches//cancel",
            "/v1/files/../batches",
            "/v1/files/a%2Fb",
            "/v1/filesx",
            "/v1/batchesx",
            "/v1/messages/batches/b/results/x",
            "/v1/messages/batchesx",
            "/v1/batch/jobs",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }

    #[test]
    fn an_openai_batch_says_what_it_used_and_where_its_results_are() {
        let body = br#"{"id":"batch_1","object":"batch","status":"completed",
            "output_file_id":"f-o","error_file_id":null,"request_counts":{"total":3,"completed":2,
            "failed":1},"usage":{"input_tokens":172,"input_tokens_details":{"cached_tokens":32},
            "output_tokens":50,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":222}}"#;
        let seen = Object::read(body).unwrap().seen();
        assert_eq!((seen.ended, seen.succeeded), (true, Some(2)));
        assert_eq!((seen.answers.as_deref(), seen.errors), (Some("f-o"), None));
        let usage = seen.usage.unwrap();
        assert_eq!(usage.get(Meter::CacheRead), Some(Exact::from(32)));
        assert_eq!(usage.get(Meter::OutputTotal), Some(Exact::from(50)));
    }

    #[test]
    fn a_sum_of_zeros_or_of_nonsense_is_not_believed() {
        for usage in [r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#, "7", "{}", "null"]
        {
            let body = format!(r#"{{"id":"b","status":"completed","usage":{usage}}}"#);
            assert_eq!(Object::read(body.as_bytes()).unwrap().seen().usage, None, "{usage}");
        }
    }

    #[test]
    fn a_count_of_no_answers_beside_a_file_of_answers_is_not_believed() {
        for (file, succeeded) in [(r#""f""#, None), ("null", Some(0))] {
            let body = format!(
                r#"{{"id":"b","status":"completed","output_file_id":{file},
                    "request_counts":{{"total":0,"completed":0,"failed":0}}}}"#
            );
            assert_eq!(Object::read(body.as_bytes()).unwrap().seen().succeeded, succeeded);
        }
    }

    #[test]
    fn a_batch_under_way_is_not_over_whatever_its_word() {
        for word in
            ["validating", "in_progress", "finalizing", "cancelling", "canceling", "odd", ""]
        {
            let body = format!(r#"{{"id":"b","status":"{word}"}}"#);
            assert!(!Object::read(body.as_bytes()).unwrap().seen().ended, "{word}");
        }
    }

    #[test]
    fn the_results_address_is_the_gates_and_all_else_stays_as_it_is() {
        let body = br#"{"id":"b", "results_url":"https://p/v1/messages/batches/b/results", "x":1}"#;
        let object = Object::read(body).unwrap();
        let moved = with_results_at(body, &object, "http://gate/r").unwrap();
        assert_eq!(moved, br#"{"id":"b", "results_url":"http://gate/r", "x":1}"#);
    }
}
