//! From a request to the facts a price needs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::form::{Form, boundary};
use super::json::{Json, is_too_rich};
use super::shape::Shape;
use super::tally::Tally;
use super::{BadRequest, bad, bounds, bucket, features, fields, session, stored};
use crate::money::Exact;
use crate::tokens;
use crate::wire::query::{parameters, unmetered};
use crate::wire::route::{Api, Endpoint, Route};
use crate::wire::usage::Meter;

/// The provider that serves its path's deployment, whatever the body says.
pub const AZURE: &str = "azure";
const DIFFERENT_MODELS: &str = "Path, query and body name different models.";

/// A request as it came, without its credentials.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where it was sent.
    pub route: Route<'a>,
    /// The query, without its question mark; empty where there is none.
    pub query: &'a str,
    /// The content type; empty where none was sent.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// The most a request can use of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The request itself says.
    Known(Exact),
    /// So many times what the price book says under this name; without it there is no bound.
    Book {
        /// The name in the model's `part_tokens_max`.
        name: &'static str,
        /// How often.
        times: u64,
    },
}

/// What a request asks for, as far as its price is concerned. No content in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model as the client wrote it.
    pub model: String,
    /// The answer is to be streamed.
    pub stream: bool,
    /// OpenAI's `stream_options.include_usage`, where the client set it.
    pub include_usage: Option<bool>,
    /// The answer is made of tokens, and so bounded by its length.
    pub has_output: bool,
    /// Most output tokens per choice, where the client set it.
    pub max_output: Option<u64>,
    /// It is set by `max_completion_tokens` alone, which some upstreams do not know.
    pub max_output_is_newer: bool,
    /// How many choices.
    pub choices: u64,
    /// The quality asked for, of an image say: `hd`, `high`.
    pub quality: Option<String>,
    /// The resolution asked for: `1024x1024`.
    pub resolution: Option<String>,
    /// The service tier asked for.
    pub service_tier: Option<String>,
    /// Fewest input tokens the text can be.
    pub input_least: u64,
    /// Most input tokens the text and its templates can be, without the parts below.
    pub input_most: u64,
    /// Part of the input is kept by the provider: only the model's window bounds it.
    pub input_unknown: bool,
    /// A field that refers to something in the operator's account with the provider.
    pub stored: Option<&'static str>,
    /// How many parts of other kinds than text there are: `image`, `audio`, `video`, `file`.
    pub parts: BTreeMap<&'static str, u64>,
    /// What else it can use: images, characters, seconds …
    pub bounds: BTreeMap<Meter, Bound>,
    /// The body names another model than the path: only Azure is sure to serve the path's.
    pub names_differ: bool,
    /// Some of its input is to be read from a bucket, by the rights of whoever pays the upstream.
    pub stored_input: bool,
    /// The provider does not charge for it.
    pub free: bool,
    /// It goes on behind its answer: what it used shows when it is asked for again.
    pub job: bool,
    /// Features that cost money and that nothing here can bound.
    pub unbounded: Vec<&'static str>,
    /// Features used, for the record.
    pub features: Vec<&'static str>,
    /// The end user, where the client named one. Never recorded in clear.
    pub end_user: Option<String>,
}

impl Ask {
    /// Refuses what depends on who serves: a body's other model, where not its path decides; and
    /// input from a bucket, where the operator's entry does not allow it.
    pub fn check_upstream(&self, provider: &str, allows_stored: bool) -> Result<(), BadRequest> {
        if self.names_differ && provider != AZURE {
            return bad("model", DIFFERENT_MODELS);
        }
        if self.stored_input && !allows_stored {
            let message = "Input from `gs://`, `s3://` or the provider's own storage would be read \
                           with the gateway's rights, which is not allowed here. Send the bytes.";
            return bad(None, message);
        }
        Ok(())
    }

    /// A batch as a whole: what it costs is said by its lines.
    pub fn batch(endpoint: Endpoint, model: String) -> Self {
        Self {
            endpoint,
            model,
            stream: false,
            include_usage: None,
            has_output: false,
            max_output: None,
            max_output_is_newer: false,
            choices: 1,
            quality: None,
            resolution: None,
            service_tier: Some("batch".to_owned()),
            input_least: 0,
            input_most: 0,
            input_unknown: false,
            stored: None,
            names_differ: false,
            stored_input: false,
            parts: BTreeMap::new(),
            bounds: BTreeMap::new(),
            free: false,
            job: true,
            unbounded: Vec::new(),
            features: vec!["batch"],
            end_user: None,
        }
    }
}

/// Reads a request strictly. The error's message is for the client.
pub fn inspect(request: &Request<'_>) -> Result<Ask, BadRequest> {
    let Request { route, query, body, .. } = *request;
    let shape = Shape::of(route.endpoint);
    let is_session = route.endpoint == Endpoint::Realtime;
    if is_session {
        session::check_query(query)?;
    }
    if let Some(name) = unmetered(query, route.api) {
        return bad(None, format!("The query parameter {name:?} is not supported here."));
    }
    let (json, files) = read(request)?;
    if !matches!(json, Json::Object(_)) {
        return bad(None, "The request body must be a JSON object.");
    }
    fields::check_price_holds(&json, route.endpoint)?;
    let tally = tally(route.endpoint, &json, &shape, &files)?;
    let stream = fields::flag(&json, "stream")?;
    let stream = is_session || route.stream || stream.unwrap_or(shape.streams_unasked);
    let max_output = fields::largest(&json, shape.max_output)?;
    let format = json.get("response_format").and_then(Json::text);
    if route.endpoint == Endpoint::Transcription && matches!(format, Some("text" | "srt" | "vtt")) {
        let message = "In this `response_format` the provider does not report what it charges for. \
                       Ask for json or verbose_json.";
        return bad("response_format", message);
    }
    if route.endpoint == Endpoint::Messages && max_output.is_none() {
        return bad("max_tokens", "`max_tokens` is required by the Messages API.");
    }
    let background = route.endpoint == Endpoint::Responses && json.is_on("background");
    if background && stream {
        let message = "A background response cannot be streamed here. Ask for it by its id.";
        return bad("stream", message);
    }
    let (model, names_differ) = model(&json, &route, query, &shape)?;
    Ok(Ask {
        endpoint: route.endpoint,
        model,
        names_differ,
        stored_input: bucket::is_in(&json),
        stream,
        include_usage: fields::include_usage(&json)?,
        has_output: shape.output,
        max_output,
        max_output_is_newer: max_output.is_some()
            && json.get("max_completion_tokens").is_some()
            && json.get("max_tokens").is_none(),
        choices: fields::largest(&json, shape.choices)?.unwrap_or(1),
        quality: fields::word(&json, "quality")?,
        resolution: fields::word(&json, "size")?,
        service_tier: fields::tier(&json)?,
        input_least: tally.least,
        input_most: input_most(body, &json, &tally, &files),
        input_unknown: is_session || shape.kept_elsewhere.iter().any(|field| json.is_on(field)),
        stored: stored::first(&json, &shape),
        bounds: bounds::of(route.endpoint, &json, &files)?,
        parts: tally.parts,
        free: features::is_free(route.endpoint),
        job: background || route.endpoint == Endpoint::Job,
        unbounded: features::unbounded(&json, &shape),
        features: features::used(&json, stream),
        end_user: end_user(&json, &shape),
    })
}

/// The body as fields, and the files beside them.
fn read<'a>(request: &Request<'a>) -> Result<(Json<'a>, Vec<u64>), BadRequest> {
    let Request { route, content_type, body, .. } = *request;
    if let Some(boundary) = boundary(content_type) {
        let form = Form::read(body, boundary)?;
        let length = |file: &&[u8]| u64::try_from(file.len()).unwrap_or(u64::MAX);
        return Ok((form.fields, form.files.iter().map(length).collect()));
    }
    if route.endpoint == Endpoint::Realtime {
        return Ok((Json::Object(Vec::new()), Vec::new()));
    }
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_sound = kind.starts_with("audio/") || kind == "application/octet-stream";
    if route.endpoint == Endpoint::Transcription && is_sound {
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        return Ok((Json::Object(Vec::new()), vec![length]));
    }
    if is_too_rich(body) {
        return bad(None, "The request body has too many values: at most 500,000 are read.");
    }
    match serde_json::from_slice(body) {
        Ok(json) => Ok((json, Vec::new())),
        Err(error) => bad(None, format!("The request body is not valid JSON: {error}.")),
    }
}

fn tally(
    endpoint: Endpoint,
    json: &Json<'_>,
    shape: &Shape,
    files: &[u64],
) -> Result<Tally, BadRequest> {
    let mut tally = Tally::default();
    let mut found = false;
    for value in shape.content.iter().filter_map(|field| json.get(field)) {
        found = true;
        tally.content(value);
    }
    // The chat APIs' messages are a list, and there; what others need, they say themselves.
    if matches!(endpoint, Endpoint::Chat | Endpoint::Messages | Endpoint::Converse)
        && !matches!(json.get("messages"), Some(Json::List(_)))
    {
        return bad("messages", "`messages` is required and must be a list.");
    }
    if let (false, Some(field)) = (found || !files.is_empty(), shape.content.first()) {
        return bad(*field, format!("`{field}` is required."));
    }
    let kind = match endpoint {
        Endpoint::Images => "image",
        Endpoint::Transcription => "audio",
        _ => "file",
    };
    files.iter().for_each(|_| tally.part(kind));
    Ok(tally)
}

/// Every byte a token, but for pictures and sounds, and what templates and hidden prompts add.
fn input_most(body: &[u8], json: &Json<'_>, tally: &Tally, files: &[u64]) -> u64 {
    let files = files.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let bytes = bytes.saturating_sub(tally.payload_bytes).saturating_sub(files);
    let entries = ["messages", "contents", "input", "instances", "requests", "chat_history"]
        .iter()
        .filter_map(|field| json.get(field))
        .map(|value| value.list().len())
        .fold(0_usize, usize::saturating_add);
    let templates = u64::try_from(entries).unwrap_or(u64::MAX).saturating_add(1);
    bytes
        .saturating_mul(tokens::TOKENS_PER_BYTE_MAX)
        .saturating_add(templates.saturating_mul(tokens::PER_MESSAGE))
        .saturating_add(if features::has_hidden_prompt(json) { tokens::WITH_TOOLS } else { 0 })
}

/// The path names the model, or the body, or the query. Two different names, even in one place,
/// leave open which one is priced and which one served.
fn model(
    json: &Json<'_>,
    route: &Route<'_>,
    query: &str,
    shape: &Shape,
) -> Result<(String, bool), BadRequest> {
    let in_path = route.model.map(decoded);
    let in_query = parameters(query).filter(|parameter| parameter.name == "model");
    let in_query = in_query.map(|parameter| Cow::Owned(parameter.value));
    let inside = fields::models(json, route.endpoint)?.into_iter().map(Cow::Borrowed);
    let mut names = in_path.into_iter().chain(in_query).chain(inside);
    let Some(name) = names.next() else {
        return match shape.default_model {
            Some(name) => Ok((name.to_owned(), false)),
            None => bad("model", "`model` is required."),
        };
    };
    // A body's "models/x" is Gemini's full name of x. Azure serves the path's deployment, whatever
    // the body says.
    let short = |name: &str| name.strip_prefix("models/").unwrap_or(name).to_owned();
    let name = short(&name);
    let as_azure = route.api == Api::OpenAi && route.model.is_some();
    let differ = names.any(|other| short(&other) != name);
    if differ && !as_azure {
        return bad("model", DIFFERENT_MODELS);
    }
    if !fields::is_name(&name) {
        return bad("model", "`model` must be a string of 1 to 256 printable bytes.");
    }
    Ok((name, differ))
}

/// The two escapes that a route lets through.
fn decoded(name: &str) -> Cow<'_, str> {
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let decoded = [("%3A", ":"), ("%3a", ":"), ("%2F", "/"), ("%2f", "/")]
        .iter()
        .fold(name.to_owned(), |name, (code, letter)| name.replace(code, letter));
    Cow::Owned(decoded)
}

fn end_user(json: &Json<'_>, shape: &Shape) -> Option<String> {
    let named = shape.end_user.iter().find_map(|field| json.at(field).and_then(Json::text))?;
    (1..=fields::NAME_BYTES_MAX).contains(&named.len()).then(|| named.to_owned())
}
