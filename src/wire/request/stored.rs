//! What a request refers to in the account of whoever runs the gateway: answers, conversations and
//! files kept by the provider, which every customer shares.

use super::json::Json;
use super::shape::Shape;

/// Fields of a content part or tool that name a thing kept by the provider.
const NAMES: [&str; 6] =
    ["file_id", "file_ids", "fileUri", "file_uri", "vector_store_ids", "container"];
/// Where content and tools stand.
const PLACES: [&str; 8] = [
    "messages",
    "input",
    "system",
    "contents",
    "tools",
    "attachments",
    "systemInstruction",
    "system_instruction",
];

/// The first field that refers to something kept by the provider.
pub(super) fn first(json: &Json<'_>, shape: &Shape) -> Option<&'static str> {
    let at_root = shape.kept_elsewhere.iter().chain(&["container", "thread_id"]);
    let named = at_root.copied().find(|field| json.is_on(field));
    named.or_else(|| PLACES.iter().filter_map(|place| json.get(place)).find_map(within))
}

fn within(value: &Json<'_>) -> Option<&'static str> {
    match value {
        Json::List(items) => items.iter().find_map(within),
        Json::Object(fields) => {
            let kind = value.get("type").and_then(Json::text);
            if kind == Some("item_reference") {
                return Some("item_reference");
            }
            let named = NAMES.into_iter().find(|name| value.is_on(name));
            // What a tool was called with is the model's own words, and a schema the client's.
            let is_content = |key: &str| match key {
                "input" => kind != Some("tool_use"),
                "parameters" | "input_schema" | "function" | "inputSchema" => false,
                _ => true,
            };
            let inside = || fields.iter().filter(|(key, _)| is_content(key));
            named.or_else(|| inside().find_map(|(_, value)| within(value)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::wire::request::{Request, inspect};
    use crate::wire::route::Route;

    fn stored(path: &str, extra: &str) -> Option<&'static str> {
        let body = format!(r#"{{"model":"m","max_tokens":5,{extra}}}"#);
        let (query, content_type) = ("", "application/json");
        let route = Route::of(path).unwrap();
        let request = Request { route, query, content_type, body: body.as_bytes() };
        inspect(&request).unwrap().stored
    }

    #[test]
    fn what_refers_to_a_thing_in_the_operators_account_is_found() {
        for (path, extra, field) in [
            ("/v1/responses", r#""input":"x","previous_response_id":"r""#, "previous_response_id"),
            ("/v1/responses", r#""input":"x","conversation":"c""#, "conversation"),
            ("/v1/responses", r#""prompt":{"id":"p"}"#, "prompt"),
            ("/v1/responses", r#""input":[{"type":"item_reference","id":"i"}]"#, "item_reference"),
            (
                "/v1/responses",
                r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
                "file_id",
            ),
            (
                "/v1/responses",
                r#""input":"x","tools":[{"type":"file_search","vector_store_ids":["v"]}]"#,
                "vector_store_ids",
            ),
            (
                "/v1/chat/completions",
                r#""messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]"#,
                "file_id",
            ),
            (
                "/v1/messages",
                r#""messages":[{"role":"user","content":[{"type":"document",
                    "source":{"type":"file","file_id":"f"}}]}]"#,
                "file_id",
            ),
            ("/v1/messages", r#""messages":[],"container":"c""#, "container"),
        ] {
            assert_eq!(stored(path, extra), Some(field), "{extra}");
        }
    }

    #[test]
    fn what_a_tool_is_called_with_or_takes_refers_to_nothing() {
        for (path, extra) in [
            (
                "/v1/messages",
                r#""messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t",
                    "name":"n","input":{"file_id":"x"}}]}]"#,
            ),
            (
                "/v1/messages",
                r#""messages":[],"tools":[{"name":"n","input_schema":{"type":"object",
                    "properties":{"file_id":{"type":"string"}}}}]"#,
            ),
            (
                "/v1/chat/completions",
                r#""messages":[{"role":"user","content":"\"file_id\": \"f\""}],
                    "tools":[{"type":"function","function":{"name":"n","parameters":{"file_id":{}}}}]"#,
            ),
        ] {
            assert_eq!(stored(path, extra), None, "{extra}");
        }
    }
}
