//! What AI APIs say: framing, JSON read in passing, and what each API family's usage means.
//!
//! In scope: reading an upstream's answer. Out of scope: bytes on their way to the client, which
//! never pass through here, and prices.

pub mod frame;
pub mod job;
pub mod json;
mod number;
pub mod query;
pub mod read;
pub mod request;
pub mod route;
mod scan;
pub mod strip;
pub mod usage;

use serde::{Deserialize, Serialize};

/// The shape of a request that is forwarded. How its answer is read does not depend on it: that
/// shows in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/messages`.
    AnthropicMessages,
}

impl Family {
    /// The family behind a path, if it is one we know.
    pub fn of_path(path: &str) -> Option<Self> {
        match path.trim_end_matches('/') {
            "/v1/chat/completions" => Some(Self::OpenAiChat),
            "/v1/messages" => Some(Self::AnthropicMessages),
            _ => None,
        }
    }

    /// The path a request of this family goes to.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/v1/chat/completions",
            Self::AnthropicMessages => "/v1/messages",
        }
    }
}
