//! What a provider says of a batch.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ledger::Seen;
use crate::meter::{End, Framing, Metering};
use crate::money::Exact;
use crate::wire::usage::{Meter, Usage};

/// Longest word for where a batch stands: records keep it.
const STATUS_MAX: usize = 32;

/// What a provider says of a batch, in any API's words.
#[derive(Debug)]
pub struct Object<'a> {
    /// The name to ask for it by.
    pub id: String,
    said: Said<'a>,
}

#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(default)]
    id: Option<String>,
    /// Gemini's: `batches/{id}`.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    processing_status: Option<String>,
    #[serde(default, alias = "output_file")]
    output_file_id: Option<String>,
    #[serde(default, alias = "error_file")]
    error_file_id: Option<String>,
    #[serde(default)]
    results_url: Option<String>,
    #[serde(default)]
    request_counts: Option<Counts>,
    /// Mistral's count of what was answered.
    #[serde(default)]
    succeeded_requests: Option<u64>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    metadata: Option<Operation>,
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

/// What Gemini says of a batch. OpenAI's and Mistral's `metadata` is the client's own, and may say
/// anything: it is read where there is a Gemini name alone.
#[derive(Debug, Default)]
struct Operation {
    state: Option<String>,
    successful: Option<u64>,
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Ok(json) = Value::deserialize(deserializer) else { return Ok(Self::default()) };
        let counted = json.get("batchStats").and_then(|stats| stats.get("successfulRequestCount"));
        // An int64 is a string in Google's JSON.
        let successful = counted.and_then(|count| match count {
            Value::String(text) => text.parse().ok(),
            count => count.as_u64(),
        });
        let state = json.get("state").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { state, successful })
    }
}

/// Words for a batch to which nothing will be added.
const OVER: [&str; 8] = [
    "completed",
    "failed",
    "expired",
    "cancelled",
    "canceled",
    "ended",
    "success",
    "timeout_exceeded",
];
/// The same of Gemini's, behind `BATCH_STATE_` or `JOB_STATE_`.
const STATES_OVER: [&str; 4] = ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"];

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
        let mut said: Said<'a> = serde_json::from_slice(body).ok()?;
        let named = said.name.as_deref().and_then(|name| name.strip_prefix("batches/"));
        let id = said.id.take().or_else(|| named.map(str::to_owned))?;
        Some(Self { id, said })
    }

    /// Where Anthropic keeps the results.
    pub fn results_url(&self) -> Option<&str> {
        self.said.results_url.as_deref()
    }

    /// What the ledger has to know of it. A word that is not known says that it is not over: the
    /// hold then stands, and nothing is freed too early.
    pub fn seen(&self) -> Seen {
        let said = &self.said;
        if let (Some(_), Some(operation)) = (&said.name, &said.metadata) {
            return operation.seen(said.done);
        }
        let word = said.processing_status.as_deref().or(said.status.as_deref());
        let word = word.unwrap_or_default();
        let counted = said.request_counts.and_then(|counts| counts.completed.or(counts.succeeded));
        let counted = counted.or(said.succeeded_requests);
        // None answered, and a file of answers: who copies the API need not count.
        let is_doubtful = counted == Some(0) && said.output_file_id.is_some();
        Seen {
            status: word.chars().take(STATUS_MAX).collect(),
            ended: OVER.iter().any(|over| word.eq_ignore_ascii_case(over)),
            succeeded: counted.filter(|_| !is_doubtful),
            has_results: said.output_file_id.is_some() || said.results_url.is_some(),
            usage: said.usage.and_then(summed),
            answers: said.output_file_id.clone(),
            errors: said.error_file_id.clone(),
        }
    }
}

impl Operation {
    /// Whether there are answers is seen where they are read: what succeeded has some.
    fn seen(&self, done: bool) -> Seen {
        let state = self.state.as_deref().unwrap_or_default();
        let word = state.rsplit_once("STATE_").map_or(state, |(_, word)| word);
        Seen {
            status: word.to_ascii_lowercase().chars().take(STATUS_MAX).collect(),
            ended: done || STATES_OVER.contains(&word),
            // None counted is no count: what Google's JSON leaves out is zero, or not known.
            succeeded: self.successful.filter(|count| *count > 0),
            has_results: !matches!(word, "FAILED" | "CANCELLED" | "EXPIRED"),
            ..Seen::default()
        }
    }
}

/// The usage that a provider sums up. One of zeros alone is none: older batches have no other.
fn summed(usage: &RawValue) -> Option<Usage> {
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
    let url = object.results_url()?;
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

    #[test]
    fn a_mistral_job_says_the_same_in_its_own_words() {
        let job = |status: &str| {
            format!(
                r#"{{"id":"9f1c","object":"batch","input_files":["f"],"metadata":{{"state":"x"}},
                    "endpoint":"/v1/chat/completions","model":"m","agent_id":null,"output_file":"f-o",
                    "error_file":null,"errors":[],"status":"{status}","created_at":1,
                    "total_requests":3,"completed_requests":3,"succeeded_requests":2,
                    "failed_requests":1,"started_at":1,"completed_at":2}}"#
            )
        };
        for (status, ended) in [
            ("QUEUED", false),
            ("RUNNING", false),
            ("CANCELLATION_REQUESTED", false),
            ("SUCCESS", true),
            ("FAILED", true),
            ("TIMEOUT_EXCEEDED", true),
            ("CANCELLED", true),
        ] {
            let job = job(status);
            let seen = Object::read(job.as_bytes()).unwrap().seen();
            assert_eq!((seen.ended, seen.succeeded), (ended, Some(2)), "{status}");
            assert_eq!((seen.answers.as_deref(), seen.errors), (Some("f-o"), None));
        }
    }

    #[test]
    fn a_gemini_batch_is_over_by_its_state_or_when_it_is_done() {
        let operation = |state: &str, done: bool, stats: &str| {
            format!(
                r#"{{"name":"batches/b1","metadata":{{"@type":"x.GenerateContentBatch",
                    "name":"batches/b1","state":"{state}","batchStats":{{{stats}}}}},"done":{done}}}"#
            )
        };
        let counts = r#""requestCount":"3","successfulRequestCount":"2","failedRequestCount":"1""#;
        for (state, done, ended, has_results) in [
            ("BATCH_STATE_PENDING", false, false, true),
            ("BATCH_STATE_RUNNING", false, false, true),
            ("BATCH_STATE_SUCCEEDED", true, true, true),
            ("JOB_STATE_SUCCEEDED", false, true, true),
            ("BATCH_STATE_CANCELLED", false, true, false),
            ("BATCH_STATE_EXPIRED", true, true, false),
            ("BATCH_STATE_OF_TOMORROW", true, true, true),
        ] {
            let body = operation(state, done, counts);
            let object = Object::read(body.as_bytes()).unwrap();
            let seen = object.seen();
            assert_eq!(object.id, "b1");
            assert_eq!((seen.ended, seen.has_results), (ended, has_results), "{state}");
            assert_eq!(seen.succeeded, Some(2));
        }
        let body = operation("BATCH_STATE_SUCCEEDED", true, r#""requestCount":"3""#);
        assert_eq!(Object::read(body.as_bytes()).unwrap().seen().succeeded, None);
    }
}
