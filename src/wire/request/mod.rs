//! What a client asks for: the parts of a request that decide what it may cost.
//!
//! One strict parser decides; its bytes are then forwarded unchanged. Whatever two parsers could
//! read differently (a key given twice, a number in an odd notation, trailing bytes) is refused.

mod batch;
mod bounds;
mod bucket;
mod features;
mod fields;
mod form;
mod inspect;
mod json;
mod length;
mod session;
mod shape;
mod stored;
mod tally;
mod usage_option;

pub use batch::{NewBatch, Requests, Uploaded};
pub use inspect::{AZURE, Ask, Bound, Request, inspect};
pub use length::{least_length, thinking_budget, with_length};
pub use session::{Transcription, transcription};
pub use usage_option::with_usage_asked;

use core::fmt;

/// Why a body was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// A sentence for the developer who sent it. Never repeats content.
    pub message: String,
    /// The field, where one is to blame.
    pub param: Option<&'static str>,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn bad<T>(
    param: impl Into<Option<&'static str>>,
    message: impl Into<String>,
) -> Result<T, BadRequest> {
    Err(BadRequest { message: message.into(), param: param.into() })
}

#[cfg(test)]
mod tests;
