//! Which API a path belongs to, and what a request to it asks for.
//!
//! Paths are the providers' own, so that a client changes nothing but its base URL. Whom a request
//! goes to is not decided here: the price book says who serves the model it names.

use serde::Serialize;

/// The API a client believes to talk to: whose shape its errors take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI, and the many that copy its errors.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Gemini and Vertex: `google.rpc.Status`.
    Google,
    /// Amazon Bedrock.
    Bedrock,
    /// A bare `message`: Cohere, Ollama, the speech and job APIs.
    Plain,
}

/// What a request asks for, which says how its body is read and bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// OpenAI chat completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// OpenAI's older completions.
    Completions,
    /// Embeddings of any provider.
    Embeddings,
    /// OpenAI moderations.
    Moderations,
    /// Images from text, or from images.
    Images,
    /// Speech from text.
    Speech,
    /// Text from speech.
    Transcription,
    /// Documents by relevance.
    Rerank,
    /// Text from pages.
    Ocr,
    /// Anthropic Messages.
    Messages,
    /// Anthropic's or Google's free count of a request's tokens.
    CountTokens,
    /// Gemini's and Vertex's `generateContent`, streamed or not.
    Generate,
    /// Vertex's `predict`.
    Predict,
    /// Bedrock Converse, streamed or not.
    Converse,
    /// Bedrock `InvokeModel` and Vertex `rawPredict`, with the model's native body.
    Invoke,
    /// Cohere chat, version 1 or 2.
    CohereChat,
    /// Ollama chat and generate.
    Ollama,
    /// A job that runs after the answer.
    Job,
    /// A conversation over a WebSocket, in turns.
    Realtime,
}

/// Longest path served: no provider's is half as long, and records name it.
const PATH_MAX: usize = 512;

/// A request's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'p> {
    /// The path, without a slash at its end.
    pub path: &'p str,
    /// Whose errors.
    pub api: Api,
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model, where the path names it; percent-encoding as sent.
    pub model: Option<&'p str>,
    /// Whether the path itself asks for a stream.
    pub stream: bool,
}

/// Paths that are one word for one thing.
const FIXED: [(&str, Api, Endpoint); 28] = [
    ("/v1/chat/completions", Api::OpenAi, Endpoint::Chat),
    ("/v1/responses", Api::OpenAi, Endpoint::Responses),
    ("/v1/completions", Api::OpenAi, Endpoint::Completions),
    ("/v1/embeddings", Api::OpenAi, Endpoint::Embeddings),
    ("/v1/moderations", Api::OpenAi, Endpoint::Moderations),
    ("/v1/images/generations", Api::OpenAi, Endpoint::Images),
    ("/v1/images/edits", Api::OpenAi, Endpoint::Images),
    ("/v1/images/variations", Api::OpenAi, Endpoint::Images),
    ("/v1/audio/speech", Api::OpenAi, Endpoint::Speech),
    ("/v1/audio/transcriptions", Api::OpenAi, Endpoint::Transcription),
    ("/v1/audio/translations", Api::OpenAi, Endpoint::Transcription),
    ("/v1/ocr", Api::OpenAi, Endpoint::Ocr),
    ("/v1/realtime", Api::OpenAi, Endpoint::Realtime),
    ("/v1/messages", Api::Anthropic, Endpoint::Messages),
    ("/v1/messages/count_tokens", Api::Anthropic, Endpoint::CountTokens),
    ("/v1/rerank", Api::Plain, Endpoint::Rerank),
    ("/v2/rerank", Api::Plain, Endpoint::Rerank),
    ("/v1/chat", Api::Plain, Endpoint::CohereChat),
    ("/v2/chat", Api::Plain, Endpoint::CohereChat),
    ("/v1/embed", Api::Plain, Endpoint::Embeddings),
    ("/v2/embed", Api::Plain, Endpoint::Embeddings),
    ("/api/chat", Api::Plain, Endpoint::Ollama),
    ("/api/generate", Api::Plain, Endpoint::Ollama),
    ("/api/embed", Api::Plain, Endpoint::Embeddings),
    ("/api/embeddings", Api::Plain, Endpoint::Embeddings),
    ("/v1/listen", Api::Plain, Endpoint::Transcription),
    ("/v2/transcript", Api::Plain, Endpoint::Job),
    ("/v1/predictions", Api::Plain, Endpoint::Job),
];

impl<'p> Route<'p> {
    /// The route behind a path without its query, if it is one we serve.
    ///
    /// ```
    /// use farebox::wire::route::{Api, Endpoint, Route};
    /// let route = Route::of("/v1beta/models/gemini-2.5-flash:streamGenerateContent").unwrap();
    /// assert_eq!((route.api, route.endpoint), (Api::Google, Endpoint::Generate));
    /// assert_eq!((route.model, route.stream), (Some("gemini-2.5-flash"), true));
    /// assert!(Route::of("/v1/chat/completions/../x").is_none());
    /// ```
    pub fn of(path: &'p str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        // A path goes on to the upstream as it is: nothing may climb out of it, or hide in it.
        let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
        if path.len() > PATH_MAX
            || climbs
            || path.contains("//")
            || path.contains(['\\', '%', ';']) && !is_encoded(path)
        {
            return None;
        }
        let fixed = FIXED.iter().find(|(fixed, ..)| *fixed == path);
        fixed
            .map(|(_, api, endpoint)| Self::new(path, *api, *endpoint))
            .or_else(|| google(path))
            .or_else(|| bedrock(path))
            .or_else(|| azure(path))
            .or_else(|| named_in_path(path))
    }

    /// The path with what varies in it named: what stands on records.
    pub fn pattern(&self) -> String {
        match self.model {
            Some(model) => self.path.replacen(model, "{model}", 1),
            None => match self.path.strip_prefix("/v1/text-to-speech/") {
                Some(rest) if rest.ends_with("/stream") => {
                    "/v1/text-to-speech/{voice}/stream".to_owned()
                }
                Some(_) => "/v1/text-to-speech/{voice}".to_owned(),
                None => self.path.to_owned(),
            },
        }
    }

    fn new(path: &'p str, api: Api, endpoint: Endpoint) -> Self {
        Self { path, api, endpoint, model: None, stream: false }
    }

    fn with_model(self, model: &'p str, stream: bool) -> Option<Self> {
        (!model.is_empty() && !model.contains('/')).then_some(Self {
            model: Some(model),
            stream,
            ..self
        })
    }
}

/// Longest name of a job that is asked for; the APIs' are half as long.
const JOB_ID_MAX: usize = 128;

/// Where a job is asked for, and its name: the paths of the APIs whose jobs are started here.
///
/// ```
/// use farebox::wire::route::poll_of;
/// assert_eq!(poll_of("/v1/predictions/p1").unwrap().1, "p1");
/// assert!(poll_of("/v1/predictions").is_none());
/// assert!(poll_of("/v1/responses/../x").is_none());
/// ```
pub fn poll_of(path: &str) -> Option<(Route<'_>, &str)> {
    let jobs = [
        ("/v1/predictions/", Api::Plain),
        ("/v2/transcript/", Api::Plain),
        ("/v1/responses/", Api::OpenAi),
    ];
    let (id, api) = jobs.iter().find_map(|(at, api)| Some((path.strip_prefix(at)?, *api)))?;
    let is_name = |id: &str| {
        id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let fits = (1..=JOB_ID_MAX).contains(&id.len()) && is_name(id);
    fits.then(|| (Route::new(path, api, Endpoint::Job), id))
}

/// Whose shape an error takes on a path, also where nothing is served there.
pub fn api_of(path: &str) -> Api {
    let google = |path: &str| path.contains("/models/") && path.contains(':');
    match Route::of(path) {
        Some(route) => route.api,
        None if let Some((route, _)) = poll_of(path) => route.api,
        None if path.starts_with("/v1/messages") => Api::Anthropic,
        None if path.starts_with("/v1beta") || google(path) => Api::Google,
        None if path.starts_with("/model/") => Api::Bedrock,
        None => Api::OpenAi,
    }
}

/// Percent-encoding is let through in one form only: the colon and slash of Bedrock's model names.
fn is_encoded(path: &str) -> bool {
    let mut rest = path.split('%');
    rest.next();
    !path.contains(['\\', ';'])
        && rest
            .all(|part| part.get(..2).is_some_and(|code| matches!(code, "3A" | "3a" | "2F" | "2f")))
        && path.starts_with("/model/")
}

/// `…/models/{model}:{verb}`, for Gemini and for Vertex.
fn google(path: &str) -> Option<Route<'_>> {
    let (before, last) = path.rsplit_once("/models/")?;
    let (model, verb) = last.split_once(':')?;
    let gemini = matches!(before, "/v1beta" | "/v1" | "/v1alpha");
    let vertex = before.split('/').collect::<Vec<_>>();
    let vertex = matches!(
        vertex.as_slice(),
        ["", "v1" | "v1beta1", "projects", _, "locations", _, "publishers", _]
    );
    if !gemini && !vertex {
        return None;
    }
    let (endpoint, stream) = match verb {
        "generateContent" => (Endpoint::Generate, false),
        "streamGenerateContent" => (Endpoint::Generate, true),
        "embedContent" | "batchEmbedContents" => (Endpoint::Embeddings, false),
        "countTokens" => (Endpoint::CountTokens, false),
        "predict" => (Endpoint::Predict, false),
        "rawPredict" if vertex => (Endpoint::Invoke, false),
        "streamRawPredict" if vertex => (Endpoint::Invoke, true),
        _ => return None,
    };
    Route::new(path, Api::Google, endpoint).with_model(model, stream)
}

/// `/model/{model}/{verb}`.
fn bedrock(path: &str) -> Option<Route<'_>> {
    let (model, verb) = path.strip_prefix("/model/")?.split_once('/')?;
    let (endpoint, stream) = match verb {
        "converse" => (Endpoint::Converse, false),
        "converse-stream" => (Endpoint::Converse, true),
        "invoke" => (Endpoint::Invoke, false),
        "invoke-with-response-stream" => (Endpoint::Invoke, true),
        _ => return None,
    };
    Route::new(path, Api::Bedrock, endpoint).with_model(model, stream)
}

/// `/openai/deployments/{model}/…` and `/openai/v1/…`.
fn azure(path: &str) -> Option<Route<'_>> {
    let rest = path.strip_prefix("/openai/")?;
    let tail_of = |tail: &str| {
        FIXED
            .iter()
            .find(|(fixed, api, _)| *api == Api::OpenAi && fixed.strip_prefix("/v1/") == Some(tail))
    };
    if let Some(tail) = rest.strip_prefix("v1/") {
        return tail_of(tail).map(|(_, api, endpoint)| Route::new(path, *api, *endpoint));
    }
    let (model, tail) = rest.strip_prefix("deployments/")?.split_once('/')?;
    let (_, api, endpoint) = tail_of(tail)?;
    Route::new(path, *api, *endpoint).with_model(model, false)
}

/// Speech by voice, and jobs by model.
fn named_in_path(path: &str) -> Option<Route<'_>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["v1", "text-to-speech", _] | ["v1", "text-to-speech", _, "stream"] => {
            Some(Route::new(path, Api::Plain, Endpoint::Speech))
        }
        ["v1", "models", _, _, "predictions"] => {
            let model = path.strip_prefix("/v1/models/")?.strip_suffix("/predictions")?;
            Some(Route { model: Some(model), ..Route::new(path, Api::Plain, Endpoint::Job) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_providers_own_path_is_found_with_the_model_it_names() {
        for (path, endpoint, model, stream) in [
            ("/v1/chat/completions", Endpoint::Chat, None, false),
            ("/v1/responses/", Endpoint::Responses, None, false),
            ("/v1/messages/count_tokens", Endpoint::CountTokens, None, false),
            ("/v1beta/models/g:generateContent", Endpoint::Generate, Some("g"), false),
            ("/v1/models/g:streamGenerateContent", Endpoint::Generate, Some("g"), true),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:streamRawPredict",
                Endpoint::Invoke,
                Some("c@1"),
                true,
            ),
            (
                "/model/us.amazon.nova-v1:0/converse",
                Endpoint::Converse,
                Some("us.amazon.nova-v1:0"),
                false,
            ),
            (
                "/model/a.b-v1%3A0/invoke-with-response-stream",
                Endpoint::Invoke,
                Some("a.b-v1%3A0"),
                true,
            ),
            ("/openai/deployments/d/chat/completions", Endpoint::Chat, Some("d"), false),
            ("/openai/v1/responses", Endpoint::Responses, None, false),
            ("/v1/realtime", Endpoint::Realtime, None, false),
            ("/v1/text-to-speech/voice/stream", Endpoint::Speech, None, false),
            ("/v1/models/owner/name/predictions", Endpoint::Job, Some("owner/name"), false),
        ] {
            let route = Route::of(path).unwrap();
            assert_eq!(
                (route.endpoint, route.model, route.stream),
                (endpoint, model, stream),
                "{path}"
            );
        }
    }

    #[test]
    fn a_path_that_climbs_hides_or_is_not_served_has_no_route() {
        for path in [
            "/",
            "/v1",
            "/v1/chat",
            "/v1/models",
            "/v1/chat/completions/x",
            "/v1//chat/completions",
            "/v1/messages/..",
            "/model/a/b/converse",
            "/model/%2e%2e/converse",
            "/model/../converse",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/:generateContent",
            "/v1beta/models/g:deleteModel",
            "/v1/models/g:rawPredict",
            "/v1/projects/p/models/m:generateContent",
            "/openai/deployments//chat/completions",
            "/openai/deployments/d/messages",
            "/v1/chat%2Fcompletions",
            "/v1/chat/completions;x",
        ] {
            let served = Route::of(path).filter(|route| route.endpoint != Endpoint::CohereChat);
            assert_eq!(served, None, "{path}");
        }
    }

    #[test]
    fn an_unknown_path_still_gets_its_neighbours_errors() {
        assert_eq!(api_of("/v1/messages/batches/x"), Api::Anthropic);
        assert_eq!(api_of("/v1beta/x"), Api::Google);
        assert_eq!(api_of("/model/x"), Api::Bedrock);
        assert_eq!(api_of("/x"), Api::OpenAi);
    }
}
