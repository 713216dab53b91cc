//! Where each endpoint's request keeps what its price depends on: one table to read and extend.
//! Paths are field names joined by dots.

use crate::wire::route::Endpoint;

/// The price-relevant places of one endpoint's body.
pub(super) struct Shape {
    /// Fields with content: what is in them is input. The first of them that is there has to be.
    pub content: &'static [&'static str],
    /// Fields that bound the answer's tokens; the largest counts.
    pub max_output: &'static [&'static str],
    /// Fields that multiply the answer.
    pub choices: &'static [&'static str],
    /// The answer is made of tokens.
    pub output: bool,
    /// Fields that bring in text kept by the provider, of unknown length.
    pub kept_elsewhere: &'static [&'static str],
    /// Fields that switch on something whose cost nothing in the request bounds, and its name.
    pub unbounded: &'static [(&'static str, &'static str)],
    /// Fields that name the end user.
    pub end_user: &'static [&'static str],
    /// The model where neither body nor path names one: the provider's documented default.
    pub default_model: Option<&'static str>,
    /// A stream is the rule, and `"stream": false` the exception.
    pub streams_unasked: bool,
}

const NONE: Shape = Shape {
    content: &[],
    max_output: &[],
    choices: &[],
    output: false,
    kept_elsewhere: &[],
    unbounded: &[],
    end_user: &["user"],
    default_model: None,
    streams_unasked: false,
};

const CHAT: Shape = Shape {
    content: &["messages", "system"],
    // With both set the API refuses or takes the newer; the larger is safe for either.
    max_output: &["max_completion_tokens", "max_tokens"],
    choices: &["n"],
    output: true,
    unbounded: &[
        ("web_search_options", "web_search"),
        ("audio", "audio_output"),
        ("prediction", "prediction"),
        ("mcp_servers", "mcp"),
        ("plugins", "plugins"),
        ("search_parameters", "web_search"),
    ],
    end_user: &["safety_identifier", "user"],
    ..NONE
};

const RESPONSES: Shape = Shape {
    content: &["input", "prompt", "instructions"],
    max_output: &["max_output_tokens"],
    output: true,
    kept_elsewhere: &["previous_response_id", "conversation", "prompt"],
    end_user: &["safety_identifier", "user"],
    ..NONE
};

const MESSAGES: Shape = Shape {
    content: &["messages", "system"],
    max_output: &["max_tokens"],
    // Not of this API; but who takes it all the same is bounded by it.
    choices: &["n"],
    output: true,
    unbounded: &[
        ("mcp_servers", "mcp"),
        ("container", "code_execution"),
        ("context_management", "context_management"),
        ("speed", "speed"),
        ("inference_geo", "inference_geo"),
    ],
    end_user: &["metadata.user_id"],
    ..NONE
};

const GENERATE: Shape = Shape {
    content: &["contents", "systemInstruction", "system_instruction"],
    max_output: &[
        "generationConfig.maxOutputTokens",
        "generationConfig.max_output_tokens",
        "generation_config.maxOutputTokens",
        "generation_config.max_output_tokens",
    ],
    // Google reads either spelling at either level.
    choices: &[
        "generationConfig.candidateCount",
        "generationConfig.candidate_count",
        "generation_config.candidateCount",
        "generation_config.candidate_count",
    ],
    output: true,
    kept_elsewhere: &["cachedContent", "cached_content"],
    end_user: &[],
    ..NONE
};

const CONVERSE: Shape = Shape {
    content: &["messages", "system"],
    max_output: &["inferenceConfig.maxTokens"],
    output: true,
    kept_elsewhere: &["promptVariables"],
    unbounded: &[
        ("guardrailConfig", "guardrails"),
        ("performanceConfig", "performance"),
        ("additionalModelRequestFields", "additional_model_fields"),
    ],
    end_user: &["requestMetadata.user_id"],
    ..NONE
};

const INVOKE: Shape = Shape {
    content: &["messages", "prompt", "inputText", "contents", "system", "texts", "inputs"],
    max_output: &[
        "max_tokens",
        "max_tokens_to_sample",
        "inferenceConfig.max_new_tokens",
        "inferenceConfig.maxTokens",
        "textGenerationConfig.maxTokenCount",
        "max_gen_len",
    ],
    choices: &["num_generations", "n"],
    output: true,
    end_user: &["metadata.user_id"],
    ..NONE
};

const COHERE: Shape = Shape {
    content: &["messages", "message", "chat_history", "preamble", "documents"],
    max_output: &["max_tokens"],
    output: true,
    kept_elsewhere: &["conversation_id"],
    unbounded: &[("connectors", "web_search")],
    ..NONE
};

impl Shape {
    pub(super) fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Chat => CHAT,
            Endpoint::Responses => RESPONSES,
            Endpoint::Completions => Shape {
                content: &["prompt", "suffix"],
                max_output: &["max_tokens"],
                choices: &["n", "best_of"],
                output: true,
                ..NONE
            },
            Endpoint::Embeddings => Shape {
                content: &["input", "texts", "inputs", "images", "content", "requests", "prompt"],
                ..NONE
            },
            Endpoint::Moderations => {
                Shape { content: &["input"], default_model: Some("omni-moderation-latest"), ..NONE }
            }
            Endpoint::Images => Shape { content: &["prompt"], choices: &["n"], ..NONE },
            Endpoint::Speech => Shape { content: &["input", "text"], ..NONE },
            Endpoint::Rerank => Shape { content: &["query", "documents"], ..NONE },
            Endpoint::Messages => MESSAGES,
            Endpoint::CountTokens => Shape {
                content: &["messages", "contents", "generateContentRequest"],
                end_user: &[],
                ..NONE
            },
            Endpoint::Generate => GENERATE,
            Endpoint::Predict => Shape { content: &["instances"], ..NONE },
            Endpoint::Converse => CONVERSE,
            Endpoint::Invoke => INVOKE,
            Endpoint::CohereChat => COHERE,
            Endpoint::Ollama => Shape {
                content: &["messages", "prompt", "system"],
                max_output: &["options.num_predict"],
                output: true,
                streams_unasked: true,
                ..NONE
            },
            // What is said in a session comes after its request.
            Endpoint::Realtime => Shape { output: true, ..NONE },
            // Sound, pages and jobs have their content elsewhere.
            Endpoint::Transcription | Endpoint::Ocr | Endpoint::Job => NONE,
        }
    }
}
