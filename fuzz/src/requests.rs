//! Requests: refused or read, never half understood; what is priced is what goes on.

use farebox::wire::query::{decoded, parameters, unmetered};
use farebox::wire::request::{Ask, Request, inspect, with_usage_asked};
use farebox::wire::route::{Api, Endpoint, Route, api_of, poll_of};

/// Paths of every endpoint, by the option byte.
const PATHS: [&str; 24] = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/rerank",
    "/v1/ocr",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:countTokens",
    "/v1/projects/p/locations/l/publishers/google/models/m:predict",
    "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
    "/model/m/converse",
    "/model/m/invoke",
    "/v2/chat",
    "/api/chat",
    "/v2/transcript",
    "/v1/predictions",
    "/openai/deployments/m/chat/completions",
    "/v1/text-to-speech/v",
];

fn ask(path: &str, query: &str, content_type: &str, body: &[u8]) -> Option<Ask> {
    let route = Route::of(path).expect("a path of the list");
    let asked = || inspect(&Request { route, query, content_type, body });
    let ask = asked().ok()?;
    assert_eq!(asked().ok().as_ref(), Some(&ask), "the same request reads the same");
    assert!((1..=256).contains(&ask.model.len()) && ask.choices >= 1);
    assert!(ask.max_output.is_none_or(|most| most > 0));
    assert!(ask.input_least <= ask.input_most, "{} > {}", ask.input_least, ask.input_most);
    Some(ask)
}

/// A JSON body at one of the paths.
pub fn request(input: &[u8]) {
    let Some((option, body)) = input.split_first() else { return };
    let path = PATHS[usize::from(*option) % PATHS.len()];
    let Some(ask_) = ask(path, "", "application/json", body) else { return };
    let value: Result<serde_json::Value, _> = serde_json::from_slice(body);
    let Ok(value) = value else { panic!("read, though it is no JSON") };
    if ask_.endpoint != Endpoint::Chat {
        return;
    }
    let Ok(asked) = with_usage_asked(body) else { return };
    let mut want = value;
    let options = &mut want["stream_options"];
    options["include_usage"] = true.into();
    let got: serde_json::Value = serde_json::from_slice(&asked).expect("still JSON");
    assert_eq!(got, want, "asking for usage changes nothing else");
    let again = ask(path, "", "application/json", &asked).expect("still a request");
    let (input_most, include_usage) = (again.input_most, Some(true));
    assert_eq!(again, Ask { input_most, include_usage, ..ask_ });
}

/// A form: raw, or written here around a model's name and a file.
pub fn form(input: &[u8]) {
    let Some((option, body)) = input.split_first() else { return };
    let path = ["/v1/images/edits", "/v1/audio/transcriptions"][usize::from(option & 1)];
    let kind = "multipart/form-data; boundary=b";
    if option & 2 == 0 {
        ask(path, "", kind, body);
        return;
    }
    let Some((name, file)) = body.split_first_chunk::<6>() else { return };
    if name.contains(&b'\r') {
        return; // it may end its own part
    }
    let mut form = Vec::new();
    for (field, value) in [("name=\"model\"", &name[..]), ("name=\"prompt\"", b"x")] {
        form.extend_from_slice(b"--b\r\nContent-Disposition: form-data; ");
        form.extend_from_slice(field.as_bytes());
        form.extend_from_slice(b"\r\n\r\n");
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    let file_name = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"f\"\r\n\r\n";
    form.extend_from_slice(file_name.as_bytes());
    form.extend_from_slice(file);
    form.extend_from_slice(b"\r\n--b--\r\n");
    if let Some(ask) = ask(path, "", kind, &form) {
        let short = ask.model.as_bytes();
        assert!(name.ends_with(short), "{:?} is not the name in {name:?}", ask.model);
    }
}

/// A query, and a path.
pub fn query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let sent: Vec<String> = parameters(&text).map(|one| one.sent.to_owned()).collect();
    let pieces: Vec<&str> = text.split('&').filter(|piece| !piece.is_empty()).collect();
    assert_eq!(sent, pieces, "every piece goes on as it was sent");
    for api in [Api::Google, Api::OpenAi] {
        unmetered(&text, api);
    }
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(decoded(&encoded), text, "encoding is undone");
    ask("/v1/listen", &text, "audio/wav", b"RIFF");
    if let Some(route) = Route::of("/v1/realtime") {
        let (content_type, body) = ("", &b""[..]);
        let _ = inspect(&Request { route, query: &text, content_type, body });
    }
    if let Some(route) = Route::of(&text) {
        assert!(!route.path.split('/').any(|part| part == ".."), "a path that climbs");
        assert!(route.model.is_none_or(|model| route.path.contains(model)));
        route.pattern();
    }
    poll_of(&text);
    api_of(&text);
}
