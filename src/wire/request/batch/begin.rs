//! What begins a batch: a file of requests, and the request that names it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::form::{Form, boundary};
use super::super::json::Json;
use super::super::{BadRequest, bad};

/// An upload of a batch's requests.
pub struct Uploaded<'a> {
    /// The file.
    pub file: &'a [u8],
}

impl<'a> Uploaded<'a> {
    /// Reads the form. Files for other purposes are refused: what they cost is not metered here.
    pub fn read(content_type: &str, body: &'a [u8]) -> Result<Self, BadRequest> {
        let Some(boundary) = boundary(content_type) else {
            return bad(None, "A file is uploaded as multipart/form-data.");
        };
        let form = Form::read(body, boundary)?;
        if form.fields.get("purpose").and_then(Json::text) != Some("batch") {
            return bad("purpose", "Only files with purpose `batch` can be uploaded here.");
        }
        match form.files[..] {
            [file] => Ok(Self { file }),
            _ => bad("file", "Exactly one file is uploaded at a time."),
        }
    }
}

/// A request to begin a batch of an uploaded file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// The file with its requests.
    pub input_file_id: String,
    /// Where all of them go.
    pub endpoint: String,
    /// The model of all of them, where a Mistral job names it.
    #[serde(skip)]
    pub model: Option<String>,
    #[serde(rename = "completion_window")]
    _completion_window: Option<String>,
    #[serde(rename = "metadata", default)]
    _metadata: IgnoredAny,
    #[serde(rename = "output_expires_after", default)]
    _output_expires_after: IgnoredAny,
}

/// A request to begin a Mistral job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJob {
    #[serde(default)]
    input_files: Option<Vec<String>>,
    endpoint: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    agent_id: Option<IgnoredAny>,
    #[serde(default)]
    requests: Option<IgnoredAny>,
    #[serde(rename = "metadata", default)]
    _metadata: IgnoredAny,
    #[serde(rename = "timeout_hours", default)]
    _timeout_hours: IgnoredAny,
}

impl NewBatch {
    /// Reads a body.
    pub fn read(body: &[u8]) -> Result<Self, BadRequest> {
        match serde_json::from_slice(body) {
            Ok(new) => Ok(new),
            Err(error) => bad(None, format!("The request body cannot be read: {error}.")),
        }
    }

    /// Reads the body of a Mistral job. Its files' lines name their models; the job may repeat it.
    pub fn job(body: &[u8]) -> Result<Self, BadRequest> {
        let job: NewJob = match serde_json::from_slice(body) {
            Ok(job) => job,
            Err(error) => return bad(None, format!("The request body cannot be read: {error}.")),
        };
        if job.agent_id.is_some() {
            return bad("agent_id", "An agent's model, and so its price, is not known here.");
        }
        if job.requests.is_some() {
            let message = "Requests inside a job are not supported here. Upload them as a file.";
            return bad("requests", message);
        }
        match job.input_files.unwrap_or_default().as_slice() {
            [file] => Ok(Self {
                input_file_id: file.clone(),
                endpoint: job.endpoint,
                model: job.model,
                ..Self::default()
            }),
            _ => bad("input_files", "A job takes exactly one file here."),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mistral_job_takes_one_file_and_nothing_whose_model_is_not_known() {
        let job = |more: &str| {
            NewBatch::job(format!(r#"{{"endpoint":"/v1/chat/completions"{more}}}"#).as_bytes())
        };
        let new =
            job(r#","input_files":["f"],"model":"m","timeout_hours":24,"metadata":{}"#).unwrap();
        assert_eq!((new.input_file_id.as_str(), new.model.as_deref()), ("f", Some("m")));
        for (more, param) in [
            ("", Some("input_files")),
            (r#","input_files":["f","g"]"#, Some("input_files")),
            (r#","input_files":["f"],"agent_id":"a""#, Some("agent_id")),
            (r#","model":"m","requests":[{"custom_id":"a","body":{}}]"#, Some("requests")),
            (r#","input_files":["f"],"hidden":1"#, None),
        ] {
            assert_eq!(job(more).unwrap_err().param, param, "{more}");
        }
    }

    #[test]
    fn only_a_single_file_for_a_batch_is_taken() {
        let part = |head: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        let file = part(r#"name="file"; filename="x.jsonl""#, "{}");
        let purpose = |word: &str| part(r#"name="purpose""#, word);
        let read = |body: String| {
            let body = format!("{body}--b--\r\n");
            Uploaded::read("multipart/form-data; boundary=b", body.as_bytes())
                .map(|upload| upload.file.to_vec())
        };
        assert_eq!(read(purpose("batch") + &file).unwrap(), b"{}");
        for body in [
            purpose("assistants") + &file,
            file.clone(),
            purpose("batch"),
            purpose("batch") + &file + &file,
        ] {
            assert!(read(body).is_err());
        }
    }
}
