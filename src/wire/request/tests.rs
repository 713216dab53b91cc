#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::wire::Family::{AnthropicMessages, OpenAiChat};

fn chat(extra: &str) -> Result<Ask, BadRequest> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{extra}}}"#);
    inspect(OpenAiChat, body.as_bytes())
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    for extra in [
        r#","max_tokens":1,"max_tokens":100000"#,
        r#","max_tokens":1,"max_tok\u0065ns":100000"#,
        r#","max_tokens":1e3"#,
        r#","max_tokens":1.0"#,
        r#","max_tokens":-1"#,
        r#","max_tokens":0"#,
        r#","max_tokens":"5""#,
        r#","max_tokens":18446744073709551616"#,
        r#","n":0"#,
        r#","stream":"yes""#,
        r#","stream_options":true"#,
        r#","metadata":{"a":1,"a":2}"#,
        r#","service_tier":5"#,
        "} trailing",
    ] {
        assert!(chat(extra).is_err(), "{extra}");
    }
    let deep = format!(r#","x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(chat(&deep).is_err());
    assert!(inspect(OpenAiChat, b"\xEF\xBB\xBF{}").is_err());
    assert!(inspect(OpenAiChat, b"[]").is_err());
    assert!(inspect(OpenAiChat, br#"{"model":"\ud800","messages":[]}"#).is_err());
}

#[test]
fn many_keys_given_twice_are_found_too() {
    let keys: Vec<String> = (0..200).map(|n| format!("\"k{n}\":0")).collect();
    let with = |extra: &str| format!(r#","x":{{{}{extra}}}"#, keys.join(","));
    assert!(chat(&with("")).is_ok());
    assert!(chat(&with(r#","k3":1"#)).is_err());
    assert!(chat(&with(r#","k199":1"#)).is_err());
}

#[test]
fn the_answers_length_is_the_larger_of_what_either_field_allows() {
    assert_eq!(chat("").unwrap().max_output, None);
    assert_eq!(chat(r#","max_tokens":5,"max_completion_tokens":9"#).unwrap().max_output, Some(9));
    assert_eq!(chat(r#","max_tokens":null"#).unwrap().max_output, None);
    let missing = inspect(AnthropicMessages, br#"{"model":"m","messages":[]}"#).unwrap_err();
    assert_eq!(missing.param, Some("max_tokens"));
}

#[test]
fn the_input_bound_covers_every_byte_but_pictures() {
    let plain = chat("").unwrap();
    assert!(plain.input_most >= 60 && plain.input_least == 1);
    assert!(chat(r#","tools":[]"#).unwrap().input_most >= plain.input_most + 2048);
    let data = "A".repeat(100_000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url",
        "image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
    );
    let ask = inspect(OpenAiChat, body.as_bytes()).unwrap();
    assert_eq!(ask.parts["image"], 1);
    assert!(ask.input_most < 1_000);
}

#[test]
fn features_that_nothing_bounds_are_named() {
    assert_eq!(
        chat(r#","tools":[{"type":"web_search_20250305"}]"#).unwrap().unbounded,
        ["server_tools"]
    );
    assert!(chat(r#","tools":[{"type":"function","function":{}}]"#).unwrap().unbounded.is_empty());
    assert_eq!(chat(r#","modalities":["text","audio"]"#).unwrap().unbounded, ["audio_output"]);
}

#[test]
fn asking_for_usage_changes_nothing_else() {
    let parse = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
    let plain = with_usage_asked(b" {\"a\": 1.50, \"b\":[ ]}").unwrap();
    assert!(plain.ends_with(b"\"a\": 1.50, \"b\":[ ]}"));
    assert_eq!(parse(plain)["stream_options"]["include_usage"], true);
    let null = with_usage_asked(br#"{"stream_options":null,"a":1}"#).unwrap();
    assert_eq!(null, br#"{"stream_options":{"include_usage":true},"a":1}"#);
    let sent = br#"{"x":1,"stream_options": {"include_usage":false,"other":2} ,"y":"z"}"#;
    let value = parse(with_usage_asked(sent).unwrap());
    assert_eq!(value["stream_options"], serde_json::json!({"include_usage": true, "other": 2}));
    assert_eq!((&value["x"], &value["y"]), (&1.into(), &"z".into()));
}
