//! The parts of an answer that are looked at; all else is passed over unread.

use std::sync::{Arc, OnceLock};

use crate::wire::json::Plan;

/// Objects that wrap an answer: an event's payload, a batch's line, a gateway's envelope. Looked
/// into in this order; the first that says something speaks.
pub(super) const WRAPPERS: &[&str] = &[
    "message",        // Anthropic message_start
    "response/body",  // OpenAI batch
    "response",       // Responses events, Realtime, Cohere v1, Gemini batch
    "result/message", // Anthropic batch
    "result",         // Cloudflare
    "interaction",    // Gemini Interactions
    "delta",          // Cohere v2 message-end
    "modelOutput",    // Bedrock batch
    "x_groq",         // Groq
    "body",
    "data",
];

/// What is looked at in an answer, wrapped or not.
const IN_ANSWER: &[&str] = &[
    "id",
    "status",
    "processing_status",
    "name",
    "model",
    "modelVersion",
    "model_version",
    "modelId",
    "service_tier",
    "serviceTier/type",
    "error?",
    "stop_reason",
    "stopReason",
    "finish_reason",
    "done",
    "usage/**",
    "usageMetadata/**",
    "usage_metadata/**",
    "usage_info/**",
    "usage_breakdown/**",
    "svg_usage/**",
    "tool_usage/**",
    "details/prefill/id",
    "meta/billed_units/**",
    "meta/tokens/**",
    "choices/finish_reason",
    "candidates/finishReason",
    "candidates/finish_reason",
    "output/type",
    "outputs/finish_reason",
    "prompt_token_count",
    "generation_token_count",
    "inputTextTokenCount",
    "totalOutputTextTokenCount",
    "results/tokenCount",
    "results/generated_token_count",
    "results/input_token_count",
    "results/completionReason",
    "prompt_eval_count",
    "eval_count",
    "details/generated_tokens",
    "details/input_length",
    "details/finish_reason",
    "predictions/embeddings/statistics/token_count",
    "metrics/predict_time",
    "metrics/input_token_count",
    "metrics/output_token_count",
    "duration",
    "duration_seconds",
];

/// What is looked at only where nothing wraps it.
const AT_ROOT: &[&str] = &[
    "type",
    "event_type",
    "object",
    "item_id",
    "custom_id",
    "recordId",
    "key",
    "request?",
    "task",
    "amazon-bedrock-invocationMetrics/**",
    "totalTokens",
    "input_tokens",
    "inputTokens",
    "audio_duration",
    "audio_duration_seconds",
    "session_duration_seconds",
    "metadata/usage/**", // Bedrock ConverseStream; not looked into for more: OpenAI's is the client's
    "metadata/duration",
    "metadata/request_id",
    "result/metadata/audio_duration",
    "session/model",
    "session/type",
    "session/input_audio_transcription/model",
    "session/audio/input/transcription/model",
    "setupComplete?",
    "serverContent?",
    "messageStop/stopReason",
    "promptFeedback/blockReason",
    "data/b64_json?",
    "data/url?",
    "images",
    "images/url?",
    "predictions/bytesBase64Encoded?",
    "count",
    "max_model_len",
    "seconds",
    "bytes",
];

/// Where a delta's content stands. Whether there is any matters, and its text where texts are kept.
pub(super) const CONTENT: &[&str] = &[
    "choices/delta/content",
    "choices/delta/reasoning_content",
    "choices/delta/reasoning",
    "choices/delta/refusal",
    "choices/delta/tool_calls/function/arguments",
    "choices/delta/audio/data",
    "choices/text",
    "candidates/content/parts/text",
    "candidates/content/parts/functionCall?",
    "serverContent/modelTurn/parts/text",
    "serverContent/modelTurn/parts/inlineData?",
    "serverContent/outputTranscription/text",
    "contentBlockDelta/delta/text",
    "delta",
    "delta/text",
    "delta/thinking",
    "delta/partial_json",
    "delta/reasoningContent?",
    "delta/toolUse?",
    "message/content",
    "message/thinking",
    "response",
    "generation",
    "outputText",
    "token/text",
    "text",
];

/// Of these, the ones that hold the words a model wrote, and not a summary, a repetition or sound.
pub(super) const PROSE: &[&str] = &[
    "choices/delta/content",
    "contentBlockDelta/delta/text",
    "delta/text",
    "message/content",
    "response",
    "generation",
    "outputText",
];

/// What is kept of a text beside them: whole answers' texts, and which text a delta belongs to.
pub(super) const TEXTS: &[&str] = &[
    "index",
    "contentBlockIndex",
    "output_index",
    "content_index",
    "choices/index",
    "choices/delta/tool_calls/index",
    "choices/message/content",
    "choices/message/reasoning_content",
    "choices/message/reasoning",
    "choices/message/refusal",
    "choices/message/tool_calls/function/arguments",
    "delta/message/content/text",
    "output/content/text",
    "output/arguments",
    "content/text",
    "content/thinking",
    "message/content/text",
    "output/message/content/text",
    "results/outputText",
];

/// All of it, made once.
pub(super) fn plan() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| Arc::new(fresh(&[]))).clone()
}

/// The same for a reader that keeps texts.
pub(super) fn plan_with_texts() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| Arc::new(fresh(TEXTS))).clone()
}

/// All of it and `more`, to be added to.
pub(super) fn fresh(more: &[&'static str]) -> Plan {
    let wrapped = |wrapper: &&str| {
        let wrapper = (*wrapper).to_owned();
        IN_ANSWER.iter().map(move |path| format!("{wrapper}/{path}"))
    };
    let wrapped: Vec<String> = WRAPPERS.iter().flat_map(wrapped).collect();
    let plain = [IN_ANSWER, AT_ROOT, CONTENT, more].concat();
    Plan::new(plain.into_iter().chain(wrapped.iter().map(String::as_str)))
}
