//! Long answers of the common kinds.

use farebox::meter::Framing;

/// Answers of about `size` bytes.
pub fn all(size: usize) -> Vec<(&'static str, Framing, Vec<u8>)> {
    vec![
        ("chat stream", Framing::Sse, chat(size, "")),
        ("chat stream, obfuscated", Framing::Sse, chat(size, ",\"obfuscation\":\"aB3\"")),
        ("Responses stream", Framing::Sse, responses(size)),
        ("Anthropic stream", Framing::Sse, anthropic(size)),
        ("Gemini stream (usage on every event)", Framing::Sse, gemini(size)),
        (
            "JSON, text, usage at the end",
            Framing::Json,
            json(size, "Lorem ipsum dolor \\\"sit\\\" amet, "),
        ),
        ("JSON, base64 image, usage at the end", Framing::Json, json(size, "aGVsbG8gd29ybGQhIQ")),
        ("JSON, embeddings, usage at the end", Framing::Json, embeddings(size)),
    ]
}

fn repeat(size: usize, before: &str, each: impl Fn(usize) -> String, after: &str) -> Vec<u8> {
    let mut out = String::with_capacity(size + 4096);
    out.push_str(before);
    let mut n = 0;
    while out.len() < size {
        out.push_str(&each(n));
        n += 1;
    }
    out.push_str(after);
    out.into_bytes()
}

const WORDS: [&str; 8] =
    ["The", " har", "bour", " line", ",\\n", " \\\"quoted\\\"", " été", " and so on"];

fn word(n: usize) -> &'static str {
    WORDS.get(n % WORDS.len()).copied().unwrap_or_default()
}

fn chat(size: usize, more: &str) -> Vec<u8> {
    let chunk = |inner: &str, finish: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-CpNpqDOYN8wfFuZRCsWbTfyQKoXbq\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"gpt-5.1-2025-11-13\",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{inner}{finish}],\"usage\":{usage}{more}}}\n\n"
        )
    };
    let delta = |n: usize| {
        let inner =
            format!("{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"logprobs\":null,", word(n));
        chunk(&inner, "\"finish_reason\":null}", "null")
    };
    let stop = chunk(
        "{\"index\":0,\"delta\":{},\"logprobs\":null,",
        "\"finish_reason\":\"stop\"}",
        "null",
    );
    let usage =
        chunk("", "", "{\"prompt_tokens\":12,\"completion_tokens\":9000,\"total_tokens\":9012}");
    repeat(size, "", delta, &format!("{stop}{usage}data: [DONE]\n\n"))
}

fn responses(size: usize) -> Vec<u8> {
    let delta = |n: usize| {
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{n},\"item_id\":\"msg_68bf8aa\",\"output_index\":0,\"content_index\":0,\"delta\":\"{}\",\"logprobs\":[],\"obfuscation\":\"x8\"}}\n\n",
            word(n)
        )
    };
    let done = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"model\":\"gpt-5.1\",\"output\":[],\"usage\":{\"input_tokens\":12,\"output_tokens\":9000,\"total_tokens\":9012}}}\n\n";
    repeat(size, "", delta, done)
}

fn anthropic(size: usize) -> Vec<u8> {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-haiku-4-5\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    let delta = |n: usize| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}     }}\n\n",
            word(n)
        )
    };
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9000}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    repeat(size, start, delta, end)
}

fn gemini(size: usize) -> Vec<u8> {
    let event = |text: &str, more: &str| {
        format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}],\"role\":\"model\"}},{more}\"index\":0}}],\"usageMetadata\":{{\"promptTokenCount\":6,\"candidatesTokenCount\":20,\"totalTokenCount\":26,\"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":6}}]}},\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"4HFfavXADZ\"}}\r\n\r\n"
        )
    };
    let text =
        "A few sentences arrive at once, as this API sends them, some hundred bytes of text. ";
    repeat(size, "", |_| event(text, ""), &event("", "\"finishReason\":\"STOP\","))
}

fn json(size: usize, text: &str) -> Vec<u8> {
    let before = "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
    let after = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":9000,\"total_tokens\":9012}}";
    repeat(size, before, |_| text.to_owned(), after)
}

fn embeddings(size: usize) -> Vec<u8> {
    let numbers = "-0.006929283495992422,".repeat(1535);
    let each = |n: usize| {
        format!("{{\"object\":\"embedding\",\"index\":{n},\"embedding\":[{numbers}0.5]}},")
    };
    let after = "{}],\"model\":\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}";
    repeat(size, "{\"object\":\"list\",\"data\":[", each, after)
}
