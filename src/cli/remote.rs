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
        let url = self.url().ok_or("the gate's address is missing: --url or FAREBOX_URL")?;
        let token = self
            .secrets
            .get("FAREBOX_ADMIN_TOKEN")
            .ok_or("FAREBOX_ADMIN_TOKEN is not set: the operator's API takes nothing without it")?;
        call(url, &token, method, path, body)
    }
}

pub(super) fn call(
    url: &str,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}/v1/farebox/admin/{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .map_err(|error| format!("{url}: {error}"))?;
    let mut response = agent.run(request).map_err(|error| format!("{url}: {error}"))?;
    let status = response.status();
    let text = response.body_mut().read_to_string().map_err(|error| format!("{url}: {error}"))?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    Err(format!("{url} answered {status}: {detail}"))
}
