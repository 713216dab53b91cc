//! Where each API family writes its counts: the table to extend when a provider adds a field.
//!
//! A row is `path in the usage object → what it is`. Where two rows name the same meter, the first
//! one that is present counts (DeepSeek writes one count under two names). A total that includes
//! what was cached is `InputTotal`; one that does not is `InputUncached`. What a number is that no
//! row names is not known: it is kept on the reading and raises a flag.

#[allow(clippy::enum_glob_use)] // a table of meters reads best without `Meter::`
use crate::wire::usage::Meter::{self, *};

/// What a field of a usage object is.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// A quantity of this meter.
    Meter(Meter),
    /// A list of `{modality, tokenCount}`.
    Modalities(Modalities),
    /// Understood, and no quantity of its own: a sum, a time, a copy. With all below it.
    Known,
}

/// The meters of text, audio, images, video and documents; `None` where there is no such meter.
pub(super) type Modalities = [Option<Meter>; 5];

const PROMPT: Modalities =
    [Some(TextIn), Some(AudioIn), Some(ImageIn), Some(VideoIn), Some(DocumentIn)];
const CACHED: Modalities =
    [Some(CacheReadText), Some(CacheReadAudio), Some(CacheReadImage), None, None];
const ANSWER: Modalities = [Some(TextOut), Some(AudioOut), Some(ImageOut), None, None];

/// Who writes usage like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Cohere,
    Gemini,
    Interactions,
    Bedrock,
    BedrockMetrics,
    Chat,
    Anthropic,
    Responses,
    Pages,
}

/// One family's usage object.
pub(super) struct Table {
    /// Its name.
    pub family: Family,
    /// Any of these keys marks the family; of two families the earlier in [`ALL`] wins.
    pub signs: &'static [&'static str],
    /// The fields.
    pub fields: &'static [(&'static str, To)],
    /// What must be put right after the fields are read.
    pub rule: Rule,
}

/// What a family's fields do not say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The fields are what they say.
    Plain,
    /// What is billed stands apart from what the model saw.
    BilledUnits,
    /// `total_tokens` tells whether reasoning is inside the output.
    TotalArbitrates,
    /// Thinking is outside the output and the tools' prompt outside the input.
    ThoughtsOutside,
    /// Each field replaces the one of an earlier report; none erases.
    Overlay,
}

/// Every family, the most telling first.
pub(super) static ALL: [&Table; 9] = [
    &COHERE,
    &GEMINI,
    &INTERACTIONS,
    &BEDROCK,
    &BEDROCK_METRICS,
    &CHAT,
    &ANTHROPIC,
    &RESPONSES,
    &PAGES,
];

const fn m(meter: Meter) -> To {
    To::Meter(meter)
}
use To::Known;

/// Chat completions, completions, embeddings and rerankers, at OpenAI and all who copy it.
static CHAT: Table = Table {
    family: Family::Chat,
    signs: &["prompt_tokens", "completion_tokens"],
    rule: Rule::TotalArbitrates,
    fields: &[
        ("prompt_tokens", m(InputTotal)),
        ("completion_tokens", m(OutputTotal)),
        ("total_tokens", Known),
        ("prompt_tokens_details/cached_tokens", m(CacheRead)),
        ("prompt_token_details/cached_tokens", m(CacheRead)), // Mistral, in places
        ("prompt_cache_hit_tokens", m(CacheRead)),            // DeepSeek's second name
        ("cached_tokens", m(CacheRead)), // Moonshot, and Anthropic's OpenAI endpoint
        ("num_cached_tokens", m(CacheRead)), // Mistral, older
        ("cached_prompt_text_tokens", m(CacheRead)), // xAI over gRPC
        ("cache_read_input_tokens", m(CacheRead)), // Databricks
        ("prompt_cache_miss_tokens", Known), // prompt_tokens less the hits
        ("prompt_tokens_details/cache_write_tokens", m(CacheWrite)),
        ("prompt_tokens_details/cache_creation_tokens", m(CacheWrite)),
        ("cache_creation_input_tokens", m(CacheWrite)),
        ("prompt_tokens_details/text_tokens", m(TextIn)),
        ("prompt_tokens_details/audio_tokens", m(AudioIn)),
        ("prompt_tokens_details/image_tokens", m(ImageIn)),
        ("prompt_tokens_details/video_tokens", m(VideoIn)),
        ("prompt_text_tokens", m(TextIn)),
        ("prompt_image_tokens", m(ImageIn)),
        ("completion_tokens_details/reasoning_tokens", m(Reasoning)),
        ("reasoning_tokens", m(Reasoning)),
        ("completion_tokens_details/text_tokens", m(TextOut)),
        ("completion_tokens_details/audio_tokens", m(AudioOut)),
        ("completion_tokens_details/image_tokens", m(ImageOut)),
        ("completion_tokens_details/accepted_prediction_tokens", m(AcceptedPrediction)),
        ("completion_tokens_details/rejected_prediction_tokens", m(RejectedPrediction)),
        ("citation_tokens", m(Citation)),         // Perplexity
        ("num_search_queries", m(SearchQueries)), // Perplexity
        ("prompt_audio_seconds", m(Seconds)),     // Mistral
        ("connectors/web_search", m(WebSearchRequests)), // Mistral's agents
        ("cost_in_usd_ticks", m(CostInUsdTicks)), // xAI
        ("server_side_tool_usage_details/web_search_calls", m(WebSearchRequests)), // xAI
        ("server_side_tool_usage_details/x_search_calls", m(XSearchRequests)),
        ("server_tool_use_details/web_search_requests", m(WebSearchRequests)), // OpenRouter
        ("server_tool_use/web_search_requests", m(WebSearchRequests)),
        ("server_tool_use/web_fetch_requests", m(WebFetchRequests)),
        ("num_server_side_tools_used", Known),
        ("context_details", Known),
        ("cost", Known), // read as the provider's own price
        ("cost_details", Known),
        ("queue_time", Known),
        ("prompt_time", Known),
        ("completion_time", Known),
        ("total_time", Known),
    ],
};

/// Responses, images, transcription and Realtime at OpenAI, and those who copy them.
static RESPONSES: Table = Table {
    family: Family::Responses,
    signs: &[
        "input_tokens",
        "output_tokens",
        "seconds",
        "billable_audio_seconds",
        "audio_duration_ms",
        "total_tokens",
    ],
    rule: Rule::TotalArbitrates,
    fields: &[
        ("input_tokens", m(InputTotal)),
        ("output_tokens", m(OutputTotal)),
        ("total_tokens", Known),
        ("input_tokens_details/cached_tokens", m(CacheRead)),
        ("input_token_details/cached_tokens", m(CacheRead)),
        ("input_tokens_details/cache_read_input_tokens", m(CacheRead)), // Perplexity
        ("cache_read_input_tokens", m(CacheRead)),
        ("input_tokens_details/cache_write_tokens", m(CacheWrite)),
        ("input_tokens_details/cache_creation_input_tokens", m(CacheWrite)),
        ("cache_creation_input_tokens", m(CacheWrite)),
        ("input_tokens_details/text_tokens", m(TextIn)),
        ("input_token_details/text_tokens", m(TextIn)),
        ("input_tokens_details/audio_tokens", m(AudioIn)),
        ("input_token_details/audio_tokens", m(AudioIn)),
        ("input_tokens_details/image_tokens", m(ImageIn)),
        ("input_token_details/image_tokens", m(ImageIn)),
        ("input_tokens_details/cached_tokens_details/text_tokens", m(CacheReadText)),
        ("input_token_details/cached_tokens_details/text_tokens", m(CacheReadText)),
        ("input_tokens_details/cached_tokens_details/audio_tokens", m(CacheReadAudio)),
        ("input_token_details/cached_tokens_details/audio_tokens", m(CacheReadAudio)),
        ("input_tokens_details/cached_tokens_details/image_tokens", m(CacheReadImage)),
        ("input_token_details/cached_tokens_details/image_tokens", m(CacheReadImage)),
        ("output_tokens_details/reasoning_tokens", m(Reasoning)),
        ("output_token_details/reasoning_tokens", m(Reasoning)),
        ("output_tokens_details/text_tokens", m(TextOut)),
        ("output_token_details/text_tokens", m(TextOut)),
        ("output_tokens_details/audio_tokens", m(AudioOut)),
        ("output_token_details/audio_tokens", m(AudioOut)),
        ("output_tokens_details/image_tokens", m(ImageOut)),
        ("output_token_details/image_tokens", m(ImageOut)),
        ("output_tokens_details/accepted_prediction_tokens", m(AcceptedPrediction)),
        ("output_tokens_details/rejected_prediction_tokens", m(RejectedPrediction)),
        ("seconds", m(Seconds)),
        ("billable_audio_seconds", m(Seconds)), // xAI's Realtime
        ("audio_duration_ms", Known),           // read as seconds
        ("output_audio_seconds", Known),
        ("input_token_details/grok_tokens", Known),
        ("output_token_details/grok_tokens", Known),
        ("cost_in_usd_ticks", m(CostInUsdTicks)),
        ("server_side_tool_usage_details/web_search_calls", m(WebSearchRequests)),
        ("server_side_tool_usage_details/x_search_calls", m(XSearchRequests)),
        ("server_tool_use_details/web_search_requests", m(WebSearchRequests)),
        ("backend_model_usage", Known), // read as sub-usage
        ("tool_calls_details/search_web/invocation", m(WebSearchRequests)), // Perplexity
        ("num_server_side_tools_used", Known),
        ("context_details", Known),
        ("cost", Known),
        ("cost_details", Known),
        // Voyage's and Jina's embedders count more than text.
        ("text_tokens", m(TextIn)),
        ("image_tokens", m(ImageIn)),
    ],
};

/// Anthropic Messages, wherever it is served.
static ANTHROPIC: Table = Table {
    family: Family::Anthropic,
    signs: &[
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cache_creation",
        "iterations",
    ],
    rule: Rule::Overlay,
    fields: &[
        ("input_tokens", m(InputUncached)),
        ("cache_creation_input_tokens", m(CacheWrite)),
        ("cache_read_input_tokens", m(CacheRead)),
        ("cache_creation/ephemeral_5m_input_tokens", m(CacheWrite5m)),
        ("cache_creation/ephemeral_1h_input_tokens", m(CacheWrite1h)),
        ("output_tokens", m(OutputTotal)),
        ("output_tokens_details/thinking_tokens", m(Reasoning)),
        ("server_tool_use/web_search_requests", m(WebSearchRequests)),
        ("server_tool_use/web_fetch_requests", m(WebFetchRequests)),
        ("total_tokens", Known),
        ("iterations", Known), // read as sub-usage
    ],
};

/// Gemini and Vertex: `usageMetadata`, in the spelling of its JSON and of its protobuf.
static GEMINI: Table = Table {
    family: Family::Gemini,
    signs: &[
        "promptTokenCount",
        "candidatesTokenCount",
        "responseTokenCount",
        "totalTokenCount",
        "prompt_token_count",
        "candidates_token_count",
        "response_token_count",
        "total_token_count",
        "trafficType",
        "traffic_type",
    ],
    rule: Rule::ThoughtsOutside,
    fields: &[
        ("promptTokenCount", m(InputTotal)),
        ("prompt_token_count", m(InputTotal)),
        ("cachedContentTokenCount", m(CacheRead)),
        ("cached_content_token_count", m(CacheRead)),
        ("candidatesTokenCount", m(OutputTotal)),
        ("candidates_token_count", m(OutputTotal)),
        ("responseTokenCount", m(OutputTotal)), // Live
        ("response_token_count", m(OutputTotal)),
        ("thoughtsTokenCount", m(Reasoning)),
        ("thoughts_token_count", m(Reasoning)),
        ("toolUsePromptTokenCount", m(ToolPrompt)),
        ("tool_use_prompt_token_count", m(ToolPrompt)),
        ("totalTokenCount", Known),
        ("total_token_count", Known),
        ("promptTokensDetails", To::Modalities(PROMPT)),
        ("promptTokenDetails", Known), // embedContent: the prompt again
        ("prompt_tokens_details", To::Modalities(PROMPT)),
        ("toolUsePromptTokensDetails", To::Modalities(PROMPT)),
        ("tool_use_prompt_tokens_details", To::Modalities(PROMPT)),
        ("cacheTokensDetails", To::Modalities(CACHED)),
        ("cache_tokens_details", To::Modalities(CACHED)),
        ("candidatesTokensDetails", To::Modalities(ANSWER)),
        ("candidates_tokens_details", To::Modalities(ANSWER)),
        ("responseTokensDetails", To::Modalities(ANSWER)),
        ("response_tokens_details", To::Modalities(ANSWER)),
    ],
};

/// Gemini's Interactions API.
static INTERACTIONS: Table = Table {
    family: Family::Interactions,
    signs: &["total_input_tokens", "total_output_tokens", "total_thought_tokens"],
    rule: Rule::ThoughtsOutside,
    fields: &[
        ("total_input_tokens", m(InputTotal)),
        ("total_cached_tokens", m(CacheRead)),
        ("total_output_tokens", m(OutputTotal)),
        ("total_thought_tokens", m(Reasoning)),
        ("total_tool_use_tokens", m(ToolPrompt)),
        ("total_tokens", Known),
        ("input_tokens_by_modality", To::Modalities(PROMPT)),
        ("tool_use_tokens_by_modality", To::Modalities(PROMPT)),
        ("cached_tokens_by_modality", To::Modalities(CACHED)),
        ("output_tokens_by_modality", To::Modalities(ANSWER)),
    ],
};

/// Bedrock Converse, and Amazon's own models.
static BEDROCK: Table = Table {
    family: Family::Bedrock,
    signs: &["inputTokens", "outputTokens"],
    rule: Rule::Overlay,
    fields: &[
        ("inputTokens", m(InputUncached)),
        ("outputTokens", m(OutputTotal)),
        ("totalTokens", Known),
        ("cacheReadInputTokens", m(CacheRead)),
        ("cacheReadInputTokenCount", m(CacheRead)), // the same count again
        ("cacheWriteInputTokens", m(CacheWrite)),
        ("cacheWriteInputTokenCount", m(CacheWrite)),
        ("cacheDetails", Known), // read as the split of the writes
    ],
};

/// `amazon-bedrock-invocationMetrics`, at the end of a stream of any model.
static BEDROCK_METRICS: Table = Table {
    family: Family::BedrockMetrics,
    signs: &["inputTokenCount", "outputTokenCount"],
    rule: Rule::Overlay,
    fields: &[
        ("inputTokenCount", m(InputUncached)),
        ("outputTokenCount", m(OutputTotal)),
        ("cacheReadInputTokenCount", m(CacheRead)),
        ("cacheWriteInputTokenCount", m(CacheWrite)),
        ("invocationLatency", Known),
        ("firstByteLatency", Known),
    ],
};

/// Cohere: what is billed, not what the model saw (`tokens`, of which `cached_tokens` are a part).
static COHERE: Table = Table {
    family: Family::Cohere,
    signs: &["billed_units", "tokens"],
    rule: Rule::BilledUnits,
    fields: &[
        ("billed_units/input_tokens", m(InputTotal)),
        ("billed_units/output_tokens", m(OutputTotal)),
        ("billed_units/search_units", m(SearchUnits)),
        ("billed_units/image_tokens", m(ImageIn)),
        ("billed_units/images", m(Images)),
        ("tokens", Known),
        ("cached_tokens", Known),
        ("api_version", Known),
    ],
};

/// Mistral's OCR.
static PAGES: Table = Table {
    family: Family::Pages,
    signs: &["pages_processed"],
    rule: Rule::Plain,
    fields: &[("pages_processed", m(Pages)), ("doc_size_bytes", Known)],
};

/// Counts that stand in the answer itself, not in a usage object. All must be understood here,
/// because other fields of an answer are not usage.
pub(super) const IN_THE_ANSWER: &[(&str, Meter)] = &[
    // Llama and Titan on Bedrock.
    ("prompt_token_count", InputUncached),
    ("generation_token_count", OutputTotal),
    ("inputTextTokenCount", InputUncached),
    ("totalOutputTextTokenCount", OutputTotal),
    // Ollama.
    ("prompt_eval_count", InputTotal),
    ("eval_count", OutputTotal),
    // Text Generation Inference.
    ("details/input_length", InputTotal),
    ("details/generated_tokens", OutputTotal),
];

/// The table of a family.
pub(super) fn of(family: Family) -> Option<&'static Table> {
    ALL.iter().copied().find(|table| table.family == family)
}
