//! The providers behind the gate: where they are, how they want to be asked and paid, and the call.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::admit::bad_request;
use super::attempt::{Attempt, Ended, Watch};
use super::config::text;
use super::http::{Incoming, names};
use super::js;
use crate::api::{Code, Problem};
use crate::clock::Millis;
use crate::wire::place::{Template, check_project};
use crate::wire::query::{Parameter, parameters};
use crate::wire::read::Custom;
use crate::wire::request::Ask;
use crate::wire::route::Route;

/// How an upstream wants its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    XApiKey,
    /// A header of another name: `{"header": {"name": "api-key", "prefix": "Token "}}`.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the key.
        #[serde(default)]
        prefix: String,
    },
    /// In the query: `{"query": {"name": "key"}}`.
    Query {
        /// The parameter's name.
        name: String,
    },
    /// AWS Signature Version 4: `{"sigv4": {"region": "us-east-1", "service": "bedrock"}}`. The
    /// secret is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` where there is one.
    Sigv4 {
        /// Where it is served.
        region: String,
        /// `bedrock` for Bedrock.
        service: String,
    },
    /// A Google service account; the secret is its key file, whole.
    Google,
}

/// One upstream, as `FAREBOX_UPSTREAMS` writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    base_url: String,
    auth: Auth,
    /// Name of the secret that holds its key.
    secret: String,
    /// Where it serves what the client asked for, if not at the client's own path. May hold
    /// `{path}`, `{tail}` (the path without `/v1/`), `{model}` and `{verb}` (after the colon).
    #[serde(default)]
    path: Option<String>,
    /// Whether clients may name input in buckets (`gs://`, `s3://`), which the upstream reads by
    /// the rights of the operator's account.
    #[serde(default)]
    stored_inputs: StoredInputs,
    /// Whether it takes `stream_options.include_usage`; some refuse the field.
    #[serde(default = "yes")]
    include_usage: bool,
    /// Where its answers report usage, if in no place that is known here.
    #[serde(default)]
    usage: Option<Custom>,
    /// Where it serves, as the price book names regions.
    #[serde(default)]
    region: Option<String>,
    /// What becomes of requests that refer to things kept in the operator's account.
    #[serde(default)]
    stored_state: StoredState,
}

/// Files, answers and conversations stand in the operator's account, where one customer's look like
/// another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// Requests may refer to them.
    #[default]
    Pass,
    /// Requests that do are refused.
    Refuse,
}

/// What becomes of requests with input from a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredInputs {
    #[default]
    Refuse,
    Allow,
}

fn yes() -> bool {
    true
}

/// One upstream, ready to be called.
pub struct Upstream {
    /// Scheme and host, without a slash at the end.
    base_url: String,
    auth: Auth,
    path: Option<Template>,
    /// Clients may name input in buckets.
    stored_inputs: StoredInputs,
    /// It takes `stream_options.include_usage`.
    pub include_usage: bool,
    /// Where its answers report usage, by the operator's word.
    pub usage: Option<Arc<Custom>>,
    /// Where it serves, as the price book names regions.
    pub region: Option<String>,
    /// Whether requests may refer to things kept in the operator's account.
    stored_state: StoredState,
    /// The bare key.
    key: String,
    /// Each secret part of the key.
    secrets: Vec<String>,
}

/// Request headers that reach an upstream. All others are the gateway's business, the platform's,
/// or could be spoofed.
const TO_UPSTREAM: [&str; 9] = [
    "content-type",
    "accept",
    "user-agent",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "x-amzn-bedrock-accept",
    "x-goog-api-client",
    "prefer",
];

/// Query parameters that carry a client's key to us, and never go on.
const KEY_PARAMETERS: [&str; 3] = ["key", "api_key", "access_token"];

/// Whether a parameter is one of those.
pub fn is_key(parameter: &Parameter<'_>) -> bool {
    KEY_PARAMETERS.iter().any(|name| parameter.name.eq_ignore_ascii_case(name))
}

/// Longest name of a region: it stands on every record.
const REGION_MAX: usize = 64;

thread_local! {
    static TO_UPSTREAM_NAMES: JsValue = names(&TO_UPSTREAM);
}

/// Every configured upstream, by provider.
pub fn upstreams(env: &JsValue, dev: bool) -> Result<BTreeMap<String, Upstream>, String> {
    let name = "FAREBOX_UPSTREAMS";
    let text = text(env, name).ok_or_else(|| format!("{name} is not set"))?;
    let entries: BTreeMap<String, Entry> =
        serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let ready = |(provider, entry)| {
        let upstream = Upstream::read(env, entry, dev)
            .map_err(|error| format!("upstream {provider}: {error}"))?;
        Ok((provider, upstream))
    };
    entries.into_iter().map(ready).collect()
}

impl Upstream {
    /// The host comes from the configuration alone, and outside dev only over TLS.
    fn read(env: &JsValue, entry: Entry, dev: bool) -> Result<Self, String> {
        let Entry { base_url, auth, secret, path, include_usage, usage, region, .. } = entry;
        let (stored_inputs, stored_state) = (entry.stored_inputs, entry.stored_state);
        if let Some(fault) = usage.iter().flat_map(Custom::check).next() {
            return Err(format!("usage{}: {}", fault.path, fault.message));
        }
        let base_url = base_url.trim_end_matches('/').to_owned();
        let plain =
            base_url.starts_with("http://127.0.0.1:") || base_url.starts_with("http://localhost:");
        let host = base_url.strip_prefix("https://").unwrap_or_default();
        let clean = !host.is_empty() && !host.contains(['@', '?', '#', ' ']);
        if !(clean || (dev && plain)) {
            return Err("base_url must be https://<host>[/path]".into());
        }
        if region.as_ref().is_some_and(|region| region.is_empty() || region.len() > REGION_MAX) {
            return Err(format!("region must have 1 to {REGION_MAX} bytes"));
        }
        let path = path.map(|path| Template::read(&path)).transpose()?;
        if auth == Auth::Google {
            check_project(&base_url, path.as_ref())?;
        }
        let key = text(env, &secret).ok_or_else(|| format!("the secret {secret} is not set"))?;
        let secrets =
            secret_parts(&auth, &key).map_err(|error| format!("the secret {secret} {error}"))?;
        let usage = usage.map(Arc::new);
        Ok(Self {
            base_url,
            auth,
            path,
            stored_inputs,
            include_usage,
            usage,
            region,
            stored_state,
            key,
            secrets,
        })
    }

    /// Refuses what `provider` here may not be asked: what would be read by the rights of the
    /// operator's account, where the operator wants that refused.
    pub fn check(&self, ask: &Ask, provider: &str) -> Result<(), Problem> {
        let allows_stored = self.stored_inputs == StoredInputs::Allow;
        ask.check_upstream(provider, allows_stored).map_err(bad_request)?;
        self.check_stored(ask.stored)
    }

    /// Refuses what refers to things in the operator's account, where the operator wants that.
    fn check_stored(&self, stored: Option<&'static str>) -> Result<(), Problem> {
        match stored.filter(|_| self.stored_state == StoredState::Refuse) {
            None => Ok(()),
            Some(field) => {
                let message = format!(
                    "`{field}` refers to something kept by the provider, which this gateway does \
                     not pass on. Send the content itself."
                );
                let problem = Problem::new(Code::InvalidRequest, message);
                Err(Problem { param: Some(field), ..problem })
            }
        }
    }

    /// Whether a client's key is the one that opens this upstream.
    pub fn is_opened_by(&self, key: &str) -> bool {
        // As digests: equal lengths, constant time.
        Sha256::digest(self.key.as_bytes()).ct_eq(&Sha256::digest(key.as_bytes())).into()
    }

    /// What must never reach a client: each secret part of the key, and what was made from it.
    pub fn secrets(&self) -> Vec<String> {
        let made = match &self.auth {
            Auth::Google => js::known_google_token(&self.key),
            Auth::Query { .. } => Some(String::from(js_sys::encode_uri_component(&self.key))),
            _ => None,
        };
        self.secrets.iter().cloned().chain(made).collect()
    }

    /// Where a request goes. The client's query goes along, but for its key.
    fn url(&self, route: &Route<'_>, model: &str, query: &str) -> String {
        let mut url = self.base_url.clone();
        match &self.path {
            None => url.push_str(route.path),
            Some(template) => {
                let model = String::from(js_sys::encode_uri_component(model));
                url.push_str(&template.filled(route, &model));
            }
        }
        for parameter in parameters(query).filter(|parameter| !is_key(parameter)) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(parameter.sent);
        }
        url
    }

    /// Puts the key where this upstream wants it; answers the URL to call.
    async fn authorize(
        &self,
        mut url: String,
        headers: &web_sys::Headers,
        body: &JsValue,
    ) -> Result<String, JsValue> {
        match &self.auth {
            Auth::Bearer => headers.set("authorization", &format!("Bearer {}", self.key))?,
            Auth::XApiKey => headers.set("x-api-key", &self.key)?,
            Auth::Header { name, prefix } => headers.set(name, &format!("{prefix}{}", self.key))?,
            Auth::Query { name } => {
                url.push(if url.contains('?') { '&' } else { '?' });
                let key = String::from(js_sys::encode_uri_component(&self.key));
                url.push_str(&format!("{name}={key}"));
            }
            Auth::Sigv4 { region, service } => {
                JsFuture::from(js::sign_aws(&url, headers, body, &self.key, region, service))
                    .await?;
            }
            Auth::Google => {
                let token = JsFuture::from(js::google_token(&self.key)).await?;
                let token = token.as_string().ok_or("the token is no text")?;
                headers.set("authorization", &format!("Bearer {token}"))?;
            }
        }
        Ok(url)
    }
}

/// The parts of a key that are secret by themselves, and whether the key is of the form its kind
/// of authentication needs. The error never repeats it.
fn secret_parts(auth: &Auth, key: &str) -> Result<Vec<String>, &'static str> {
    match auth {
        Auth::Sigv4 { .. } => {
            let parts: Vec<&str> = key.splitn(3, ':').collect();
            let [_, secret, rest @ ..] = parts.as_slice() else {
                return Err("must be ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]");
            };
            Ok(core::iter::once(secret).chain(rest).map(ToString::to_string).collect())
        }
        Auth::Google => {
            #[derive(Deserialize)]
            struct KeyFile {
                private_key: String,
                #[serde(rename = "client_email")]
                _client_email: String,
            }
            let file: KeyFile = serde_json::from_str(key)
                .map_err(|_| "must be a service account's JSON key file, whole")?;
            Ok(vec![file.private_key])
        }
        _ => Ok(vec![key.to_owned()]),
    }
}

/// How an upstream is called.
pub struct Call<'a> {
    pub route: &'a Route<'a>,
    /// The model as the client wrote it.
    pub model: &'a str,
    pub upstream: &'a Upstream,
    pub method: &'static str,
    /// A WebSocket is asked for, in these subprotocols; may be empty.
    pub protocols: Option<&'a str>,
}

/// What is asked of whom.
pub struct Sent<'a> {
    pub call: Call<'a>,
    pub ask: &'a Ask,
    /// Who serves, as the price book names it.
    pub provider: &'a str,
    /// The usage chunk of the stream is to be taken out again.
    pub strip: bool,
    /// The request's timer.
    pub watch: &'a Watch,
}

/// Sends a request on with our credential; fails where that cannot be made.
async fn send(
    incoming: &Incoming,
    call: &Call<'_>,
    body: &JsValue,
) -> Result<js_sys::Promise, JsValue> {
    let from = incoming.request.headers();
    let headers = TO_UPSTREAM_NAMES.with(|allow| js::copy_headers(&from, allow));
    headers.set("accept-encoding", "identity")?;
    if let Some(protocols) = call.protocols {
        headers.set("upgrade", "websocket")?;
        if !protocols.is_empty() {
            headers.set("sec-websocket-protocol", protocols)?;
        }
    }
    let url = call.upstream.url(call.route, call.model, incoming.query());
    let url = call.upstream.authorize(url, &headers, body).await?;
    Ok(js::forward(&incoming.request, call.method, &url, &headers, body))
}

fn redirected() -> Problem {
    let message = "The provider answered with a redirect, which is never followed.";
    Problem::new(Code::UpstreamRedirect, message)
}

fn timed_out() -> Problem {
    Problem::new(Code::UpstreamTimeout, "The provider did not begin to answer in time.")
}

fn no_credentials(error: &JsValue) -> Problem {
    js::log(&format!("upstream credentials: {}", js::reason(error)));
    let message = "The provider's credentials could not be made.";
    Problem::new(Code::UpstreamUnreachable, message)
}

fn unreachable() -> Problem {
    Problem::new(Code::UpstreamUnreachable, "The provider could not be reached.")
}

/// Asks an upstream for something that costs nothing, so that nothing is held for it.
pub async fn look(
    incoming: &Incoming,
    call: &Call<'_>,
    timeout: Millis,
) -> Result<web_sys::Response, Problem> {
    look_with(incoming, call, &JsValue::UNDEFINED, timeout).await
}

/// The same, with a body.
pub async fn look_with(
    incoming: &Incoming,
    call: &Call<'_>,
    body: &JsValue,
    timeout: Millis,
) -> Result<web_sys::Response, Problem> {
    let sent = send(incoming, call, body).await;
    let promise = sent.map_err(|error| no_credentials(&error))?;
    let answer = JsFuture::from(js::within(&promise, f64::from(timeout.0))).await;
    let answer = answer.map_err(|_| unreachable())?;
    if answer.is_undefined() {
        js::stop_call(&incoming.request, "timeout");
        return Err(timed_out());
    }
    let answer: web_sys::Response = answer.dyn_into().map_err(|_| unreachable())?;
    if (300..400).contains(&answer.status()) {
        return Err(redirected());
    }
    Ok(answer)
}

/// Calls the upstream and waits for its headers, renewing the hold meanwhile.
pub async fn call(
    incoming: &Incoming,
    attempt: &Attempt,
    asked: &Sent<'_>,
    body: &JsValue,
) -> Result<web_sys::Response, Problem> {
    let mut sent = false;
    let called = async {
        let promise = send(incoming, &asked.call, body).await?;
        sent = true;
        let timeout = Some(attempt.config.upstream_timeout);
        let answer = attempt.meanwhile(&promise, asked.watch, &incoming.request, timeout).await?;
        answer.dyn_into::<web_sys::Response>()
    };
    let called = called.await;
    let attempt = attempt.clone();
    let problem = match called {
        Ok(response) if (300..400).contains(&response.status()) => redirected(),
        Ok(response) => return Ok(response),
        Err(error) => {
            let why = error.as_string().unwrap_or_default();
            let problem = match why.as_str() {
                "timeout" => timed_out(),
                "left" | "gone" => Problem::new(Code::UpstreamUnreachable, "The client left."),
                _ if !sent => no_credentials(&error),
                _ => unreachable(),
            };
            if why == "gone" {
                incoming.keep(async move { attempt.void(None, "left").await });
                return Err(problem);
            }
            if matches!(why.as_str(), "timeout" | "left") {
                // It was sent, and may have been billed: charged what was counted of it.
                incoming.keep(async move {
                    attempt.settle(Ended::unheard(&why)).await;
                });
                return Err(problem);
            }
            problem
        }
    };
    let class = problem.code.as_str();
    incoming.keep(async move { attempt.void(None, class).await });
    Err(problem)
}
