//! The request for a session: a query and no body. What is said in it comes later, frame by frame;
//! of that, only who is to transcribe it changes what is paid.

use super::json::{Json, is_too_rich};
use super::{Ask, BadRequest, Request, bad, fields, inspect};
use crate::wire::route::Route;

/// What a session's query may hold beside its model: nothing that names a model, or that makes the
/// session one whose turns do not report what they used.
const HARMLESS: [&str; 4] = ["api-version", "key", "api_key", "access_token"];

/// Refuses a query that the upstream could read as a request for another model than is priced here.
pub(super) fn check_query(query: &str) -> Result<(), BadRequest> {
    let mut models = 0_usize;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').map_or(pair, |(name, _)| name) {
            "model" => models = models.saturating_add(1),
            name if HARMLESS.contains(&name) => {}
            _ => {
                return bad(
                    None,
                    "A realtime session takes `model` in its query and nothing else.",
                );
            }
        }
    }
    if models > 1 {
        return bad("model", "The query names the model more than once.");
    }
    Ok(())
}

/// What an event of the client's asks of the session's transcription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcription {
    /// The model; absent where the event changes something else of it.
    pub model: Option<String>,
    /// What one transcript may use, for a price; absent without a model.
    pub ask: Option<Ask>,
}

/// Reads whether an event sets who transcribes. One that two parsers could read differently is
/// refused, since one of them may find a model in it that is not priced.
///
/// ```
/// use farebox::wire::request::transcription;
/// let event = r#"{"type":"session.update","session":{"audio":{"input":{
///     "transcription":{"model":"gpt-4o-transcribe"}}}}}"#;
/// let asked = transcription(event).unwrap().unwrap();
/// assert_eq!(asked.model.as_deref(), Some("gpt-4o-transcribe"));
/// assert_eq!(transcription(r#"{"type":"response.create"}"#), Ok(None));
/// ```
pub fn transcription(event: &str) -> Result<Option<Transcription>, BadRequest> {
    let unread = "The event cannot be read in one way only.";
    if is_too_rich(event.as_bytes()) {
        return bad(None, unread);
    }
    let Ok(json) = serde_json::from_str::<Json<'_>>(event) else { return bad(None, unread) };
    let mut found = Vec::new();
    settings(&json, &mut found);
    if found.is_empty() {
        return Ok(None);
    }
    let mut model: Option<&str> = None;
    for setting in found {
        match (setting.get("model"), model) {
            (None, _) => {}
            (Some(Json::Text(name)), None) if fields::is_name(name) => model = Some(name),
            (Some(Json::Text(name)), Some(known)) if **name == *known => {}
            _ => return bad("model", "The event does not name one model to transcribe with."),
        }
    }
    let ask = model.map(|model| one_transcript(model, event)).transpose()?;
    Ok(Some(Transcription { model: model.map(str::to_owned), ask }))
}

/// Every place where the event speaks of transcription; `null` switches it off.
fn settings<'j, 'a>(json: &'j Json<'a>, found: &mut Vec<&'j Json<'a>>) {
    match json {
        Json::List(items) => items.iter().for_each(|item| settings(item, found)),
        Json::Object(fields) => fields.iter().for_each(|(name, value)| {
            let named = matches!(name.as_ref(), "transcription" | "input_audio_transcription");
            if named && !matches!(value, Json::Null) {
                found.push(value);
            }
            settings(value, found);
        }),
        _ => {}
    }
}

/// What one transcript may use at most: one sound, as long as the book says that one can be, and
/// the event's own text, of which the prompt is a part.
fn one_transcript(model: &str, event: &str) -> Result<Ask, BadRequest> {
    let Some(route) = Route::of("/v1/audio/transcriptions") else {
        return bad("model", "There is no transcription here.");
    };
    let body = serde_json::json!({ "model": model }).to_string();
    let (query, content_type, body) = ("", "application/json", body.as_bytes());
    let mut ask = inspect(&Request { route, query, content_type, body })?;
    ask.parts.insert("audio", 1);
    ask.input_most = ask.input_most.saturating_add(u64::try_from(event.len()).unwrap_or(u64::MAX));
    Ok(ask)
}
