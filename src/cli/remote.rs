//! Calls to a gate's operator API.

use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::secrets::Source;

/// Which gate, and with what right.
#[derive(clap::Args)]
pub(super) struct Gate {
    /// Address of the gate, such as https://gate.example.com.
    #[arg(long, env = "FAREBOX_URL")]
    url: Option<String>,
    #[command(flatten)]
    pub secrets: Source,
}

/// A gate answers well within this, or is not there.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Gate {
    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref().map(|url| url.trim_end_matches('/'))
    }

    /// One call below `/v1/farebox/admin/`.
    pub(super) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(method, path, body.to_string())?;
        Ok(serde_json::from_str(&answer.text).unwrap_or_default())
    }

    /// The same for what is no JSON value, or long.
    pub(super) fn send(&self, method: &str, path: &str, body: String) -> Result<Answer, Failure> {
        let url = self.url().ok_or("the gate's address is missing: --url or FAREBOX_URL")?;
        let token = self
            .secrets
            .get("FAREBOX_ADMIN_TOKEN")
            .ok_or("FAREBOX_ADMIN_TOKEN is not set: the operator's API takes nothing without it")?;
        send(url, &token, method, path, body)
    }
}

/// Longest answer that is read: the archive's newest records are 16 MiB at most.
const ANSWER_MAX: u64 = 32 * 1024 * 1024;

/// What a gate answered.
pub(super) struct Answer {
    pub text: String,
    /// It says that it is not all there is.
    pub is_partial: bool,
}

/// A part of a path, with everything encoded that could end it.
pub(super) fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub(super) fn call(
    url: &str,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let answer = send(url, token, method, path, body.to_string())?;
    Ok(serde_json::from_str(&answer.text).unwrap_or_default())
}

fn send(url: &str, token: &str, method: &str, path: &str, body: String) -> Result<Answer, Failure> {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}/v1/farebox/admin/{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body)
        .map_err(|error| format!("{url}: {error}"))?;
    let mut response = agent.run(request).map_err(|error| format!("{url}: {error}"))?;
    let status = response.status();
    let is_partial =
        response.headers().get("x-farebox-partial").is_some_and(|value| value == "true");
    let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
    let text = body.map_err(|error| format!("{url}: {error}"))?;
    if status.is_success() {
        return Ok(Answer { text, is_partial });
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    Err(format!("{url} answered {status}: {detail}"))
}
