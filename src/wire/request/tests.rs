#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::money::Exact;
use crate::wire::route::Route;
use crate::wire::usage::Meter;

fn at(path: &str, body: &[u8]) -> Result<Ask, BadRequest> {
    sent(path, "application/json", body)
}

fn sent(path: &str, content_type: &str, body: &[u8]) -> Result<Ask, BadRequest> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    inspect(&Request { route: Route::of(path).unwrap(), query, content_type, body })
}

const CHAT: &str = "/v1/chat/completions";

fn chat(extra: &str) -> Result<Ask, BadRequest> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{extra}}}"#);
    at(CHAT, body.as_bytes())
}

#[test]
fn s32_s42_what_two_parsers_could_read_differently_is_refused() {
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
    assert!(at(CHAT, b"\xEF\xBB\xBF{}").is_err());
    assert!(at(CHAT, b"[]").is_err());
    assert!(at(CHAT, br#"{"model":"\ud800","messages":[]}"#).is_err());
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
    let missing = at("/v1/messages", br#"{"model":"m","messages":[]}"#).unwrap_err();
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
    let ask = at(CHAT, body.as_bytes()).unwrap();
    assert_eq!(ask.parts["image"], 1);
    assert!(ask.input_most < 1_000);
}

#[test]
fn s36_features_that_nothing_bounds_are_named() {
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

#[test]
fn each_api_says_the_answers_length_in_its_own_field() {
    for (path, body, max, choices) in [
        ("/v1/responses", r#"{"model":"m","input":"hi","max_output_tokens":7}"#, Some(7), 1),
        (
            "/v1/completions",
            r#"{"model":"m","prompt":"hi","max_tokens":7,"n":2,"best_of":3}"#,
            Some(7),
            3,
        ),
        (
            "/v1beta/models/m:generateContent",
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":7,"candidateCount":2}}"#,
            Some(7),
            2,
        ),
        ("/model/m/converse", r#"{"messages":[],"inferenceConfig":{"maxTokens":7}}"#, Some(7), 1),
        ("/model/m/invoke", r#"{"prompt":"hi","max_gen_len":7}"#, Some(7), 1),
        ("/v2/chat", r#"{"model":"m","messages":[],"max_tokens":7}"#, Some(7), 1),
        ("/api/chat", r#"{"model":"m","messages":[],"options":{"num_predict":7}}"#, Some(7), 1),
        ("/v1/embeddings", r#"{"model":"m","input":["a","b"]}"#, None, 1),
    ] {
        let ask = at(path, body.as_bytes()).unwrap();
        let found = (ask.max_output, ask.choices, ask.model.as_str());
        assert_eq!(found, (max, choices, "m"), "{path}");
    }
}

#[test]
fn s33_an_endless_answer_is_no_length() {
    let endless = br#"{"model":"m","messages":[],"options":{"num_predict":-1}}"#;
    assert!(at("/api/chat", endless).is_err());
}

#[test]
fn a_model_is_named_once_or_the_same_everywhere() {
    let gemini = "/v1beta/models/g:generateContent";
    assert_eq!(at(gemini, br#"{"contents":[],"model":"models/g"}"#).unwrap().model, "g");
    assert!(at(gemini, br#"{"contents":[],"model":"h"}"#).is_err());
    let azure = "/openai/deployments/d/chat/completions?api-version=1";
    assert_eq!(at(azure, br#"{"model":"x","messages":[]}"#).unwrap().model, "d");
    let bedrock = "/model/us.anthropic.c-v1%3A0/converse";
    assert_eq!(at(bedrock, br#"{"messages":[]}"#).unwrap().model, "us.anthropic.c-v1:0");
    assert!(at("/v1/embeddings", br#"{"input":"a"}"#).is_err());
    let moderation = at("/v1/moderations", br#"{"input":"a"}"#).unwrap();
    assert!(moderation.free && moderation.model == "omni-moderation-latest");
}

#[test]
fn input_that_the_provider_keeps_has_no_bound_in_the_request() {
    let kept = br#"{"model":"m","input":"hi","previous_response_id":"r"}"#;
    assert!(at("/v1/responses", kept).unwrap().input_unknown);
    assert!(!at("/v1/responses", br#"{"model":"m","input":"hi"}"#).unwrap().input_unknown);
}

#[test]
fn tools_that_the_provider_runs_are_told_from_the_clients_own_in_every_api() {
    let responses = |tool: &str| {
        let body = format!(r#"{{"model":"m","input":"","tools":[{tool}]}}"#);
        at("/v1/responses", body.as_bytes()).unwrap().unbounded
    };
    let gemini = |tool: &str| {
        let body = format!(r#"{{"contents":[],"tools":[{tool}]}}"#);
        at("/v1beta/models/m:generateContent", body.as_bytes()).unwrap().unbounded
    };
    let bedrock = |tool: &str| {
        let body = format!(r#"{{"messages":[],"toolConfig":{{"tools":[{tool}]}}}}"#);
        at("/model/m/converse", body.as_bytes()).unwrap().unbounded
    };
    assert_eq!(responses(r#"{"type":"web_search"}"#), ["server_tools"]);
    assert_eq!(gemini(r#"{"googleSearch":{}}"#), ["server_tools"]);
    assert_eq!(bedrock(r#"{"systemTool":{}}"#), ["server_tools"]);
    assert!(responses(r#"{"type":"function"}"#).is_empty());
    assert!(gemini(r#"{"functionDeclarations":[]}"#).is_empty());
    assert!(bedrock(r#"{"toolSpec":{}}"#).is_empty());
    let background = br#"{"model":"m","input":"","background":true}"#;
    assert!(at("/v1/responses", background).unwrap().job);
    let streamed = br#"{"model":"m","input":"","background":true,"stream":true}"#;
    assert_eq!(at("/v1/responses", streamed).unwrap_err().param, Some("stream"));
}

#[test]
fn sounds_pictures_and_documents_are_bounded_by_what_the_request_says() {
    let known = |quantity: u64| Some(Bound::Known(Exact::from(quantity)));
    let bound = |ask: &Ask, meter| ask.bounds.get(&meter).copied();
    let speech = at("/v1/audio/speech", "{\"model\":\"m\",\"input\":\"hé🚌\"}".as_bytes()).unwrap();
    assert_eq!(bound(&speech, Meter::Characters), known(4), "as UTF-16 counts them, the most");
    let image = at("/v1/images/generations", br#"{"model":"m","prompt":"x","n":3}"#).unwrap();
    assert_eq!(bound(&image, Meter::Images), known(3));
    let documents: Vec<String> = (0..250).map(|n| format!("\"d{n}\"")).collect();
    let body = format!(r#"{{"model":"m","query":"q","documents":[{}]}}"#, documents.join(","));
    let rerank = at("/v2/rerank", body.as_bytes()).unwrap();
    assert_eq!(bound(&rerank, Meter::SearchUnits), known(3));
    let sound = sent("/v1/listen?model=nova-2", "audio/wav", &[0; 5_000]).unwrap();
    assert_eq!((bound(&sound, Meter::Seconds), sound.model.as_str()), (known(10), "nova-2"));
}

const FORM: &str = "multipart/form-data; boundary=----b";

fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (head, value) in parts {
        body += &format!("------b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    }
    (body + "------b--\r\n").into_bytes()
}

#[test]
fn a_forms_fields_count_like_a_bodys_and_its_files_by_their_length() {
    let file = ("name=\"file\"; filename=\"a;name=model.mp3\"", "0123456789");
    let body = form(&[("name=\"model\"", "whisper-1"), file, ("name=\"stream\"", "true")]);
    let ask = sent("/v1/audio/transcriptions", FORM, &body).unwrap();
    assert_eq!((ask.model.as_str(), ask.stream, ask.parts["audio"]), ("whisper-1", true, 1));
    assert_eq!(ask.bounds[&Meter::Seconds], Bound::Known(Exact::from(1)));
    for parts in [
        vec![("name=\"model\"", "a"), ("name=\"model\"", "b")],
        vec![("nothing", "a")],
        vec![("name=\"stream\"", "maybe"), ("name=\"model\"", "a")],
    ] {
        assert!(sent("/v1/audio/transcriptions", FORM, &form(&parts)).is_err(), "{parts:?}");
    }
    for broken in [&b""[..], b"------b", b"------b\r\nx", b"------c\r\n\r\n\r\n------c--"] {
        assert!(sent("/v1/audio/transcriptions", FORM, broken).is_err());
    }
}

#[test]
fn two_names_for_the_model_are_refused_wherever_they_stand() {
    let sound = |query: &str| sent(&format!("/v1/listen{query}"), "audio/wav", b"RIFF");
    assert_eq!(sound("?model=a&x=1").unwrap().model, "a");
    assert_eq!(sound("?model=a&model=a").unwrap().model, "a");
    assert!(sound("?model=a&model=b").is_err());
    assert!(sound("?model=a&mod%65l=b").is_err());
    let spoken = |extra: &str| {
        at("/v1/text-to-speech/v", format!(r#"{{"text":"hi","model_id":"a"{extra}}}"#).as_bytes())
    };
    assert_eq!(spoken("").unwrap().model, "a");
    assert!(spoken(r#","model":"b""#).is_err());
    assert!(chat(r#","version":2"#).is_ok(), "of jobs alone");
}

#[test]
fn a_transcript_that_would_come_without_what_it_costs_is_refused() {
    let form = |format: &str| {
        let head = "--b\r\nContent-Disposition: form-data; name=";
        let body = format!(
            "{head}\"model\"\r\n\r\nm\r\n{head}\"response_format\"\r\n\r\n{format}\r\n\
             {head}\"file\"; filename=\"a\"\r\n\r\nsound\r\n--b--\r\n"
        );
        sent("/v1/audio/transcriptions", "multipart/form-data; boundary=b", body.as_bytes())
    };
    assert!(form("json").is_ok() && form("verbose_json").is_ok());
    for format in ["text", "srt", "vtt"] {
        assert_eq!(form(format).unwrap_err().param, Some("response_format"));
    }
}

#[test]
fn google_reads_either_spelling_at_either_level_and_so_does_the_bound() {
    for field in [
        r#""generationConfig":{"candidateCount":4}"#,
        r#""generationConfig":{"candidate_count":4}"#,
        r#""generation_config":{"candidateCount":4}"#,
    ] {
        let body = format!(r#"{{"contents":[],{field}}}"#);
        let ask = at("/v1beta/models/g:generateContent", body.as_bytes()).unwrap();
        assert_eq!(ask.choices, 4, "{field}");
    }
}

#[test]
fn s40_a_part_that_two_parsers_could_read_differently_is_refused() {
    let model = ("name=\"model\"", "cheap");
    for hidden in [
        "name=\"model\"; x=\"; filename=y\"",
        "x=\"; name=decoy; \"; name=\"model\"",
        "name=model",
        "name=\"mod\\\"el\"",
        "name=\"model\"; filename*=utf-8''x",
    ] {
        let body = form(&[model, (hidden, "dear")]);
        assert!(sent("/v1/audio/transcriptions", FORM, &body).is_err(), "{hidden}");
    }
    let mut second = form(&[model, ("name=\"file\"; filename=\"a\"", "1")]);
    assert!(sent("/v1/audio/transcriptions", FORM, &second).is_ok());
    second.extend(form(&[("name=\"model\"", "dear")]));
    assert!(sent("/v1/audio/transcriptions", FORM, &second).is_err(), "a form behind the end");
    for kind in [
        "multipart/form-data; boundary=\"----b;x\"",
        "multipart/form-data; boundary=----b; boundary=----c",
    ] {
        let body = form(&[model, ("name=\"file\"; filename=\"a\"", "1")]);
        assert!(sent("/v1/audio/transcriptions", kind, &body).is_err(), "{kind}");
    }
}

#[test]
fn a_price_is_not_left_to_whoever_chooses_the_model_or_takes_the_result() {
    for extra in [r#","models":["a","b"]"#, r#","fallbacks":[]"#, r#","preset":"x""#] {
        assert!(chat(extra).is_err(), "{extra}");
    }
    let job = |extra: &str| {
        at("/v1/predictions", format!(r#"{{"version":"v","input":{{}}{extra}}}"#).as_bytes())
    };
    assert!(job("").is_ok());
    assert!(job(r#","webhook":"https://x""#).is_err());
    assert!(job(r#","stream":true"#).is_err());
}

#[test]
fn a_body_of_more_values_than_memory_holds_is_refused_before_it_is_read() {
    let of = |count: usize| format!(r#","x":[{}0]"#, "0,".repeat(count));
    assert!(chat(&of(400_000)).is_ok());
    assert!(chat(&of(600_000)).is_err());
    let text = ",[{".repeat(400_000);
    assert!(chat(&format!(r#","x":"{text}""#)).is_ok(), "text is one value, whatever is in it");
}

#[test]
fn a_lone_value_is_a_list_of_one() {
    let gemini = |extra: &str| {
        let body = format!(r#"{{"contents":[]{extra}}}"#);
        at("/v1beta/models/m:generateContent", body.as_bytes()).unwrap().unbounded
    };
    assert_eq!(gemini(r#","tools":{"googleSearch":{}}"#), ["server_tools"]);
    let image = r#","generationConfig":{"responseModalities":"IMAGE"}"#;
    assert_eq!(gemini(image), ["audio_output"]);
    assert!(gemini(r#","tools":{"functionDeclarations":[]}"#).is_empty());
}

#[test]
fn input_from_a_bucket_is_found_wherever_a_place_is_read_and_not_in_prose() {
    let gemini = |part: &str| {
        let body = format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
        at("/v1beta/models/m:generateContent", body.as_bytes()).unwrap()
    };
    let converse = |part: &str| {
        let body = format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#);
        at("/model/m/converse", body.as_bytes()).unwrap()
    };
    for ask in [
        gemini(r#"{"fileData":{"fileUri":"gs://bucket/secret.pdf"}}"#),
        gemini(r#"{"file_data":{"file_uri":" \u0047S:\/\/bucket/x"}}"#),
        gemini(
            r#"{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/x"}}"#,
        ),
        converse(r#"{"document":{"source":{"s3Location":{"uri":"s3://bucket/x"}}}}"#),
        converse(r#"{"image":{"source":{"anything":["s3://bucket/x"]}}}"#),
    ] {
        assert!(ask.stored_input);
        assert!(ask.check_upstream("vertex", false).is_err());
        assert!(ask.check_upstream("vertex", true).is_ok());
    }
    for ask in [
        gemini(r#"{"text":"gs://bucket/x is a place"}"#),
        gemini(r#"{"fileData":{"fileUri":"https://example.com/x.pdf"}}"#),
        chat(r#","metadata":{"a":"see s3://bucket"}"#).unwrap(),
    ] {
        assert!(!ask.stored_input && ask.check_upstream("vertex", false).is_ok());
    }
}

#[test]
fn a_paths_deployment_overrules_the_bodys_model_at_azure_alone() {
    let body = br#"{"model":"dear","messages":[]}"#;
    let ask = at("/openai/deployments/cheap/chat/completions", body).unwrap();
    assert!(ask.names_differ && ask.model == "cheap");
    assert!(ask.check_upstream("azure", false).is_ok());
    assert!(ask.check_upstream("openai", false).is_err());
    assert!(ask.check_upstream("azure2", false).is_err());
}

#[test]
fn who_transcribes_a_session_is_found_in_either_shape_and_never_in_two_ways() {
    let new = |inner: &str| {
        let event = format!(
            r#"{{"type":"session.update","session":{{"audio":{{"input":{{"transcription":{inner}}}}}}}}}"#
        );
        transcription(&event)
    };
    let model = |asked: Result<Option<Transcription>, BadRequest>| asked.unwrap().unwrap().model;
    assert_eq!(model(new(r#"{"model":"t"}"#)).as_deref(), Some("t"));
    assert_eq!(model(new(r#"{"mod\u0065l":"t"}"#)).as_deref(), Some("t"));
    let old = r#"{"type":"session.update","session":{"input_audio_transcription":{"model":"t"}}}"#;
    assert_eq!(model(transcription(old)).as_deref(), Some("t"));
    assert_eq!(model(new(r#"{"language":"en"}"#)), None);
    assert_eq!(new("null"), Ok(None));
    for bad in [
        r#"{"model":"t","model":"u"}"#,
        r#"{"model":7}"#,
        r#"{"model":"t"},"transcription":{"model":"u"}"#,
        "7, NaN",
    ] {
        assert!(new(bad).is_err(), "{bad}");
    }
    let both = r#"{"session":{"input_audio_transcription":{"model":"t"},"audio":{"input":{"transcription":{"model":"u"}}}}}"#;
    assert!(transcription(both).is_err());
}
